/* session_test_world.h: a simulated world for tests of the engine: what is asked is answered at once or late, what is
 * said is gathered and compared. */
#ifndef PROTO_SMTP_SESSION_TEST_WORLD_H
#define PROTO_SMTP_SESSION_TEST_WORLD_H

#include "base/checked.h"
#include "base/mem.h"
#include "proto/smtp/session.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct world {
	struct smtp_session *session;
	struct outq out;
	struct buf input;   /* offered and not taken yet */
	struct buf said;    /* everything that left, as text */
	struct buf body;
	bool late;          /* answers wait for world_answer */
	char asked[600];    /* address that waits for its answer */
	struct smtp_delivery *delivery;
	enum smtp_result results[10];
	int body_error;
	unsigned delivered, dropped, begun, settled;
	bool closing, handshake, certificate_gone;
	uint64_t announced;
	char user[400], password[1100]; /* of a login that waits for its answer */
	char sender[600];               /* that waits for its answer */
	bool checking;
	uint64_t timer_ms;              /* 0: none runs */
	char head[SMTP_ACCOUNT_SIZE * 100];
	uint32_t n_targets;
};

static const struct smtp_config config = {
	.hostname = STR_INIT("mail.example"),
	.max_message_size = 50000,
	.max_recipients = 5,
	.max_refused_recipients = 4,
	.max_transactions = 6,
	.max_bad_commands = 5,
	.max_line = 600,
	.max_received_headers = 3,
	.command_timeout_ms = 300000,
	.data_timeout_ms = 180000,
	.handshake_timeout_ms = 30000,
	.message_timeout_ms = 3600000,
	.max_failures = 3,
	.failure_delay_ms = 2000,
};

/* a, b, c are accounts; ab is an alias of a and b; others: by name. */
static inline void answer_resolve(struct world *world)
{
	struct str address = str_from_c(world->asked), rest = address, local = str_cut(&rest, '@');
	struct smtp_target targets[2] = { { .account = { 0 } }, { .account = { 0 } } };
	uint32_t n = 0;
	enum smtp_resolution resolution = SMTP_RESOLVED;
	local = str_cut(&local, '+');
	if (rest.p && !str_eq(rest, STR("example.test")))
		resolution = SMTP_NOT_LOCAL;
	else if (str_eq(local, STR("nobody")))
		resolution = SMTP_NO_SUCH_USER;
	else if (str_eq(local, STR("loop")))
		resolution = SMTP_ALIAS_LOOP;
	else if (str_eq(local, STR("down")))
		resolution = SMTP_RESOLVE_UNAVAILABLE;
	else
		for (; n < local.n && n < 2; n++)
			targets[n].account[0] = (unsigned char)local.p[n];
	world->asked[0] = '\0';
	smtp_session_resolved(world->session, resolution, targets, n);
}

static inline void answer_deliver(struct world *world)
{
	struct smtp_delivery *delivery = world->delivery;
	world->delivery = NULL;
	world->delivered++;
	world->n_targets = delivery->n_targets;
	snprintf(world->head, sizeof world->head, "%.*s", STR_ARG(delivery->head));
	for (uint32_t i = 0; i < delivery->n_targets; i++)
		delivery->targets[i].result = world->results[i];
	smtp_session_delivered(world->session);
}

static inline void on_resolve(void *owner, struct str address)
{
	struct world *world = owner;
	snprintf(world->asked, sizeof world->asked, "%.*s", STR_ARG(address));
	if (!world->late)
		answer_resolve(world);
}

static inline int on_body_begin(void *owner, uint64_t size)
{
	struct world *world = owner;
	world->announced = size;
	world->begun++;
	buf_clear(&world->body);
	return world->body_error == ERR_LIMIT ? ERR_NO_SPACE : 0;
}

static inline int on_body_add(void *owner, struct str bytes)
{
	struct world *world = owner;
	buf_add(&world->body, bytes);
	return world->body_error;
}

static inline void on_body_drop(void *owner)
{
	struct world *world = owner;
	world->dropped++;
}

static inline void on_deliver(void *owner, struct smtp_delivery *delivery)
{
	struct world *world = owner;
	world->delivery = delivery;
	if (!world->late)
		answer_deliver(world);
}

static inline void on_answered(void *owner, const struct smtp_delivery *delivery)
{
	struct world *world = owner;
	for (uint32_t i = 0; i < delivery->n_targets; i++)
		world->settled |= (unsigned)delivery->targets[i].settled << i;
}

static inline void on_start_tls(void *owner)
{
	struct world *world = owner;
	world->handshake = true;
}

static inline bool on_has_certificate(void *owner)
{
	struct world *world = owner;
	return !world->certificate_gone;
}

/* Account a has the password "secret", b "down" stands for an auth that is away. */
static inline void answer_login(struct world *world)
{
	bool right = strcmp(world->password, "secret") == 0, away = strcmp(world->user, "down@example.test") == 0;
	world->user[0] = '\0';
	smtp_session_authenticated(world->session, away    ? LOGIN_VERDICT_UNAVAILABLE
	                                           : right ? LOGIN_VERDICT_OK
	                                                   : LOGIN_VERDICT_DENIED);
}

static inline void on_authenticate(void *owner, struct str user, struct str password)
{
	struct world *world = owner;
	snprintf(world->user, sizeof world->user, "%.*s", STR_ARG(user));
	snprintf(world->password, sizeof world->password, "%.*s", STR_ARG(password));
	if (!world->late)
		answer_login(world);
}

/* Account a is logged in. */
static inline void answer_sender(struct world *world)
{
	struct str address = str_from_c(world->sender);
	enum smtp_sender result = SMTP_SENDER_OTHER;
	if (address.n == 0 || str_eq(address, STR("a@example.test")) || str_starts(address, STR("a+")))
		result = SMTP_SENDER_OWN;
	else if (str_starts(address, STR("down@")))
		result = SMTP_SENDER_UNAVAILABLE;
	else if (str_starts(address, STR("gone@")))
		result = SMTP_SENDER_LOGGED_OUT;
	world->checking = false;
	smtp_session_sender_checked(world->session, result);
}

static inline void on_check_sender(void *owner, struct str address)
{
	struct world *world = owner;
	snprintf(world->sender, sizeof world->sender, "%.*s", STR_ARG(address));
	world->checking = true;
	if (!world->late)
		answer_sender(world);
}

static inline void on_start_timer(void *owner, uint64_t milliseconds)
{
	struct world *world = owner;
	assert_int_equal(world->timer_ms, 0);
	world->timer_ms = milliseconds;
}

static inline void on_close(void *owner)
{
	struct world *world = owner;
	assert_false(world->closing);
	world->closing = true;
}

static const struct smtp_world functions = {
	on_resolve, on_body_begin, on_body_add, on_body_drop, on_deliver, on_answered, on_start_tls, on_has_certificate,
	on_close, on_authenticate, on_check_sender, on_start_timer,
};

static inline void collect(struct world *world)
{
	struct outq_piece piece;
	while (outq_peek(&world->out, &piece)) {
		buf_add(&world->said, piece.bytes);
		outq_consume(&world->out, piece.bytes.n);
	}
}

static inline struct world *begin_client_of(const struct smtp_config *its_config, const struct smtp_client *client)
{
	struct world *world = mem_alloc(1, sizeof *world);
	world->out = OUTQ_INIT(smtp_output_max(its_config, client->dialect));
	world->input = world->said = world->body = BUF_INIT(1000000);
	world->session = smtp_session_new(its_config, client, &functions, world, &world->out);
	collect(world);
	return world;
}

static inline struct world *begin_client(const struct smtp_client *client)
{
	return begin_client_of(&config, client);
}

static inline struct world *begin_with(enum smtp_dialect dialect, bool tls)
{
	struct smtp_client client = { .dialect = dialect, .session = 0xabc, .address = STR("192.0.2.1"), .offer_tls = tls };
	struct world *world = begin_client(&client);
	buf_clear(&world->said);
	return world;
}

static inline struct world *begin(void)
{
	return begin_with(SMTP_DIALECT_SMTP, false);
}

static inline struct world *begin_lmtp(void)
{
	struct world *world = begin_with(SMTP_DIALECT_LMTP, false);
	return world;
}

static inline void end(struct world *world)
{
	smtp_session_free(&world->session);
	outq_free(&world->out);
	buf_free(&world->input);
	buf_free(&world->said);
	buf_free(&world->body);
	mem_free(world);
}

/* Gives input as a stream would, and gathers what is said. */
static inline void offer(struct world *world, struct str bytes)
{
	buf_add(&world->input, bytes);
	size_t taken = smtp_session_input(world->session, buf_str(&world->input));
	assert_true(taken <= world->input.n);
	buf_consume(&world->input, taken);
	collect(world);
}

static inline void answer(struct world *world)
{
	if (world->asked[0])
		answer_resolve(world);
	else if (world->delivery)
		answer_deliver(world);
	else if (world->user[0])
		answer_login(world);
	else if (world->checking)
		answer_sender(world);
	offer(world, STR(""));
}

/* What was said since the last call must be this. */
static inline void said(struct world *world, const char *expected)
{
	if (!str_eq(buf_str(&world->said), str_from_c(expected)))
		fail_msg("said:\n%.*s\nexpected:\n%s", STR_ARG(buf_str(&world->said)), expected);
	buf_clear(&world->said);
}

static inline void talk(struct world *world, const char *line, const char *expected)
{
	offer(world, str_from_c(line));
	said(world, expected);
}

/* The time that the session asked for is over. */
static inline void pass_time(struct world *world)
{
	assert_int_equal(world->timer_ms, config.failure_delay_ms);
	world->timer_ms = 0;
	smtp_session_timer(world->session);
	offer(world, STR(""));
}

static inline void greet(struct world *world)
{
	offer(world, STR("EHLO c.example\r\n"));
	buf_clear(&world->said);
}

#define OK_MAIL "250 2.1.0 sender ok\r\n"
#define OK_RCPT "250 2.1.5 recipient ok\r\n"
#define OK_DATA "354 send the message, end with CRLF.CRLF\r\n"
#define OK_DONE(n) "250 2.0.0 delivered, id 0000000000000abc-" n "\r\n"

#endif
