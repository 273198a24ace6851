/* fuzz_smtp_session.c: any bytes as what a client says in a whole session; the world is played. The first byte
 * chooses dialect, TLS and whether answers come late, the second how the input is cut.
 *
 * Holds: every reply is a well-formed line; bodies begin, grow and end in order and never have a bare CR, bare LF
 * or NUL when they are delivered; LMTP answers once for each recipient; and, where the world answers at once, the
 * replies do not depend on how the input was cut. */
#include "base/checked.h"
#include "base/log.h"
#include "proto/smtp/session.h"

#define MESSAGE_MAX 4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOOSE_LMTP = 1, CHOOSE_TLS = 2, CHOOSE_LATE = 4, CHOOSE_BODY_ERROR = 8, CHOOSE_STOP = 16 };

struct world {
	uint8_t choice;
	struct smtp_session *session;
	struct outq out;
	struct buf body, address, said;
	bool receiving, resolving, handshake, closed;
	struct smtp_delivery *delivery;
};

static const struct smtp_config config = {
	.hostname = STR_INIT("mail.example"),
	.max_message_size = MESSAGE_MAX,
	.max_recipients = 20,
	.max_refused_recipients = 20,
	.max_transactions = 20,
	.max_bad_commands = 50,
	.max_line = 600,
	.max_received_headers = 5,
	.recipient_delimiter = STR_INIT("+"),
	.command_timeout_ms = 1,
	.data_timeout_ms = 1,
	.handshake_timeout_ms = 1,
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* Every answer follows from the address's bytes. */
static void answer_resolve(struct world *world)
{
	struct smtp_target targets[3] = { { .shard = 0 }, { .shard = 1 }, { .shard = 0 } };
	unsigned first = (unsigned char)world->address.p[0];
	unsigned kind = first % 8;
	uint32_t n = kind < 5 ? 1 + first % 3 : 0;
	for (uint32_t i = 0; i < n; i++)
		targets[i].account[0] = (unsigned char)(first % 5 + i);
	world->resolving = false;
	smtp_session_resolved(world->session, kind < 4 ? SMTP_RESOLVED : (enum smtp_resolution)(kind - 3), targets,
	                      kind < 4 ? n : 0);
}

static unsigned count_lines(const struct outq *out)
{
	struct outq_piece pieces[64];
	size_t n = outq_pieces(out, pieces, COUNT_OF(pieces));
	unsigned lines = 0;
	require(n < COUNT_OF(pieces));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < pieces[i].bytes.n; k++)
			lines += pieces[i].bytes.p[k] == '\n';
	return lines;
}

static void answer_deliver(struct world *world)
{
	struct smtp_delivery *delivery = world->delivery;
	uint32_t recipients = delivery->n_recipients;
	unsigned lines = count_lines(&world->out);
	world->delivery = NULL;
	for (uint32_t i = 0; i < delivery->n_targets; i++)
		delivery->targets[i].result = (enum smtp_result)((world->body.n + i) % 6);
	smtp_session_delivered(world->session);
	lines = count_lines(&world->out) - lines;
	require(lines == (world->choice & CHOOSE_LMTP ? recipients : 1) || world->closed);
}

static void on_resolve(void *owner, struct str address)
{
	struct world *world = owner;
	require(address.n > 0 && !world->resolving && !world->delivery && !world->receiving && !world->closed);
	world->resolving = true;
	buf_clear(&world->address);
	buf_add(&world->address, address);
	if (!(world->choice & CHOOSE_LATE))
		answer_resolve(world);
}

static int on_body_begin(void *owner, uint64_t size)
{
	struct world *world = owner;
	require(!world->receiving && size <= MESSAGE_MAX);
	buf_clear(&world->body);
	world->receiving = true;
	return 0;
}

static int on_body_add(void *owner, struct str bytes)
{
	struct world *world = owner;
	require(world->receiving && bytes.n > 0);
	buf_add(&world->body, bytes);
	require(world->body.n <= MESSAGE_MAX && buf_error(&world->body) == 0);
	return world->choice & CHOOSE_BODY_ERROR && world->body.n > 1000 ? ERR_NO_SPACE : 0;
}

static void on_body_drop(void *owner)
{
	struct world *world = owner;
	require(world->receiving);
	world->receiving = false;
}

static void on_deliver(void *owner, struct smtp_delivery *delivery)
{
	struct world *world = owner;
	struct str body = buf_str(&world->body);
	require(world->receiving && delivery->n_recipients > 0 && delivery->n_targets > 0);
	world->receiving = false;
	for (size_t i = 0; i < body.n; i++) {
		require(body.p[i] != '\0');
		require(body.p[i] != '\n' || (i > 0 && body.p[i - 1] == '\r'));
		require(body.p[i] != '\r' || (i + 1 < body.n && body.p[i + 1] == '\n'));
	}
	require(str_starts(delivery->head, STR("Return-Path: <")) && str_ends(delivery->head, STR("\r\n")));
	world->delivery = delivery;
	if (!(world->choice & CHOOSE_LATE))
		answer_deliver(world);
}

static void on_answered(void *owner, const struct smtp_delivery *delivery)
{
	for (uint32_t i = 0; i < delivery->n_targets; i++)
		require(!delivery->targets[i].settled || delivery->targets[i].result == SMTP_DELIVERED);
}

static void on_start_tls(void *owner)
{
	struct world *world = owner;
	require(world->choice & CHOOSE_TLS);
	world->handshake = true;
}

static void on_close(void *owner)
{
	struct world *world = owner;
	require(!world->closed);
	world->closed = true;
}

static const struct smtp_world functions = {
	on_resolve, on_body_begin, on_body_add, on_body_drop, on_deliver, on_answered, on_start_tls, on_close,
};

static void collect(struct world *world)
{
	struct outq_piece piece;
	require(!world->out.failed);
	while (outq_peek(&world->out, &piece)) {
		buf_add(&world->said, piece.bytes);
		outq_consume(&world->out, piece.bytes.n);
	}
}

static void check_replies(struct str said)
{
	while (said.n > 0) {
		struct str line = str_cut(&said, '\n');
		require(said.p && line.n >= 5 && str_ends(line, STR("\r")));
		require(line.p[0] >= '2' && line.p[0] <= '5' && ascii_is_digit(line.p[1]) && ascii_is_digit(line.p[2]));
		require(line.p[3] == ' ' || line.p[3] == '-');
		for (size_t i = 0; i + 1 < line.n; i++)
			require(line.p[i] >= ' ' && line.p[i] < 0x7f);
	}
}

/* What waits for the world is answered; false when nothing does. */
static bool answer(struct world *world)
{
	if (world->resolving)
		answer_resolve(world);
	else if (world->delivery)
		answer_deliver(world);
	else if (world->handshake)
		smtp_session_tls_started(world->session, STR("TLSv1.3"), STR("cipher"));
	else
		return false;
	world->handshake = false;
	return true;
}

static void play(uint8_t choice, struct str input, size_t step, struct buf *said)
{
	struct world world = { .choice = choice, .out = OUTQ_INIT(SMTP_OUTPUT_MAX), .body = BUF_INIT(MESSAGE_MAX),
		                   .address = BUF_INIT(600), .said = BUF_INIT(16 * 1024 * 1024) };
	struct smtp_client client = { choice & CHOOSE_LMTP ? SMTP_DIALECT_LMTP : SMTP_DIALECT_SMTP, 1, STR("192.0.2.1"),
		                          choice & CHOOSE_TLS };
	size_t from = 0, to = 0;
	world.session = smtp_session_new(&config, &client, &functions, &world, &world.out);
	do {
		to = MIN(to + step, input.n);
		size_t taken = smtp_session_input(world.session, str_of(input.p + from, to - from));
		require(taken <= to - from);
		from += taken;
		collect(&world);
		require(world.resolving || world.delivery || world.handshake || smtp_session_patience_ms(world.session) > 0 ||
		        world.closed);
	} while (answer(&world) || to < input.n);
	collect(&world);
	if (choice & CHOOSE_STOP)
		smtp_session_stop(world.session);
	else
		smtp_session_timed_out(world.session);
	require(world.closed);
	smtp_session_free(&world.session);
	collect(&world);
	check_replies(buf_str(&world.said));
	*said = world.said;
	outq_free(&world.out);
	buf_free(&world.body);
	buf_free(&world.address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf cut, whole;
	if (size < 2)
		return 0;
	log_set_level(LOG_ERROR);
	struct str input = str_of((const char *)data + 2, size - 2);
	play(data[0], input, 1 + data[1], &cut);
	if (!(data[0] & (CHOOSE_TLS | CHOOSE_LATE | CHOOSE_BODY_ERROR))) {
		play(data[0], input, MAX(input.n, (size_t)1), &whole);
		require(str_eq(buf_str(&cut), buf_str(&whole)));
		buf_free(&whole);
	}
	buf_free(&cut);
	return 0;
}
