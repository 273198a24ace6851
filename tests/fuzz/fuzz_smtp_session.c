/* fuzz_smtp_session.c: any bytes as what a client says in a whole session; the world is played. The first byte
 * chooses dialect (SMTP, LMTP, submission), TLS and whether answers come late, the second how the input is cut.
 *
 * Holds: every reply is a well-formed line; bodies begin, grow and end in order and never have a bare CR, bare LF
 * or NUL when they are delivered; LMTP answers once for each recipient; and, where the world answers at once, the
 * replies do not depend on how the input was cut. Nobody submits a message without a login, nor as somebody else, and
 * what is submitted has no Bcc. */
#include "base/checked.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/smtp/session.h"
#include "syntax/header.h"

#define MESSAGE_MAX 4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOOSE_LMTP = 1, CHOOSE_TLS = 2, CHOOSE_LATE = 4, CHOOSE_BODY_ERROR = 8, CHOOSE_STOP = 16,
	CHOOSE_SUBMISSION = 32 };
/* Addresses of who is logged in begin with this byte. */
#define OWN_FIRST 'Q'

struct world {
	uint8_t choice;
	struct smtp_session *session;
	struct outq out;
	struct buf body, address, said;
	bool receiving, resolving, handshake, asking, checking, timer, closed;
	char first; /* byte of the sender */
	bool right, logged_in;
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
	.command_timeout_ms = 1,
	.data_timeout_ms = 1,
	.handshake_timeout_ms = 1,
	.message_timeout_ms = UINT64_MAX,
	.max_failures = 10,
	.failure_delay_ms = 1,
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

static void answer_login(struct world *world)
{
	world->asking = false;
	world->logged_in = world->right;
	smtp_session_authenticated(world->session, world->right ? LOGIN_VERDICT_OK : LOGIN_VERDICT_DENIED);
}

static void answer_sender(struct world *world)
{
	world->checking = false;
	smtp_session_sender_checked(world->session, world->first == OWN_FIRST || world->first == '\0' ? SMTP_SENDER_OWN
	                                            : (enum smtp_sender)(1 + (unsigned char)world->first % 3));
}

static void on_check_sender(void *owner, struct str address)
{
	struct world *world = owner;
	require(world->logged_in && !world->resolving && !world->delivery && !world->receiving && !world->closed);
	world->first = address.n > 0 ? address.p[0] : '\0';
	world->checking = true;
	if (!(world->choice & CHOOSE_LATE))
		answer_sender(world);
}

static void on_authenticate(void *owner, struct str user, struct str password)
{
	struct world *world = owner;
	require(world->choice & CHOOSE_SUBMISSION && !world->asking && !world->logged_in && !world->closed);
	require(user.n > 0 && str_is_utf8(user));
	world->asking = true;
	world->right = password.n > 0 && password.p[0] == 's';
	if (!(world->choice & CHOOSE_LATE))
		answer_login(world);
}

static void on_start_timer(void *owner, uint64_t milliseconds)
{
	struct world *world = owner;
	require(!world->timer && milliseconds == config.failure_delay_ms);
	world->timer = true;
}

static void on_body_drop(void *owner)
{
	struct world *world = owner;
	require(world->receiving);
	world->receiving = false;
}

static void check_submission(const struct world *world, const struct smtp_delivery *delivery, struct str body)
{
	struct header_field field;
	require(world->logged_in);
	require(world->first == OWN_FIRST || world->first == '\0');
	require((delivery->sender.n == 0) == (world->first == '\0'));
	while (header_next(&body, &field))
		require(!str_ieq(field.name, STR("Bcc")) && !str_ieq(field.name, STR("Resent-Bcc")));
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
	if (world->choice & CHOOSE_SUBMISSION)
		check_submission(world, delivery, body);
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
	world->logged_in = false;
}

static bool on_has_certificate(void *owner)
{
	return true;
}

static void on_close(void *owner)
{
	struct world *world = owner;
	require(!world->closed);
	world->closed = true;
}

static const struct smtp_world functions = {
	on_resolve, on_body_begin, on_body_add, on_body_drop, on_deliver, on_answered, on_start_tls, on_has_certificate,
	on_close, on_authenticate, on_check_sender, on_start_timer,
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
			require((unsigned char)line.p[i] >= ' ' && line.p[i] != 0x7f);
		require(str_is_utf8(line));
	}
}

/* What waits for the world is answered; false when nothing does. */
static bool answer(struct world *world)
{
	if (world->resolving)
		answer_resolve(world);
	else if (world->delivery)
		answer_deliver(world);
	else if (world->asking)
		answer_login(world);
	else if (world->checking)
		answer_sender(world);
	else if (world->timer) {
		world->timer = false;
		smtp_session_timer(world->session);
	} else if (world->handshake)
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
	bool submission = choice & CHOOSE_SUBMISSION;
	struct smtp_client client = {
		.dialect = choice & CHOOSE_LMTP ? SMTP_DIALECT_LMTP : SMTP_DIALECT_SMTP,
		.session = 1,
		.address = STR("192.0.2.1"),
		.offer_tls = choice & CHOOSE_TLS, .submission = submission, .plain_allowed = true,
		.tls_first = submission && choice & CHOOSE_TLS && choice & CHOOSE_STOP,
	};
	char *bytes = mem_copy(input); /* responses are wiped in place */
	size_t from = 0, to = 0;
	world.handshake = client.tls_first;
	world.session = smtp_session_new(&config, &client, &functions, &world, &world.out);
	do {
		to = MIN(to + step, input.n);
		size_t taken = smtp_session_input(world.session, str_of(bytes + from, to - from));
		require(taken <= to - from);
		from += taken;
		collect(&world);
		bool asked = world.resolving || world.asking || world.checking;
		bool waits = asked || world.delivery || world.handshake || world.timer;
		require(waits || smtp_session_patience_ms(world.session) > 0 || world.closed);
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
	mem_free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf cut, whole;
	if (size < 2)
		return 0;
	log_set_level(LOG_ERROR);
	struct str input = str_of((const char *)data + 2, size - 2);
	uint8_t choice = data[0] & CHOOSE_SUBMISSION ? data[0] & (uint8_t)~CHOOSE_LMTP : data[0];
	play(choice, input, 1 + data[1], &cut);
	if (!(choice & (CHOOSE_TLS | CHOOSE_LATE | CHOOSE_BODY_ERROR))) {
		play(choice, input, MAX(input.n, (size_t)1), &whole);
		require(str_eq(buf_str(&cut), buf_str(&whole)));
		buf_free(&whole);
	}
	buf_free(&cut);
	return 0;
}
