/* login.c: the engine of a connection without a login. Owned by the access process, one for each IMAP connection until
 * it is handed over or closed. Bad input is answered and counted; passwords are wiped as soon as they have been passed
 * on.
 *
 *             greeting
 *                │            STARTTLS             imap_login_tls_started
 *             COMMAND ───────────────────▶ TLS ───────────────────────────▶ COMMAND
 *              │  ▲ │ AUTHENTICATE without initial response
 *              │  │ └──────────▶ RESPONSE ──┐ the client's line
 *              │  └─────────────────────────┤ (cancelled, malformed)
 *        LOGIN │                            │
 *              └────────▶ ASKING ◀──────────┘
 *                          │  │ imap_login_answer: denied       imap_login_timer
 *                 answer:  │  └───────────────▶ DELAYED ───────────────────▶ COMMAND
 *                 OK       ▼
 *                        HANDED_OVER                    any ──▶ CLOSED (LOGOUT, limits, imap_login_bye)
 */
#include "proto/imap/login.h"

#include "base/log.h"
#include "base/mem.h"
#include "proto/imap/capability.h"
#include "syntax/imap_reader.h"
#include "syntax/sasl_plain.h"
#include "text/base64.h"

#define LOGIN_STATE_LIST(X)                                                                                            \
	X(LOGIN_COMMAND, "command")                                                                                        \
	X(LOGIN_RESPONSE, "response")                                                                                      \
	X(LOGIN_ASKING, "asking")                                                                                          \
	X(LOGIN_DELAYED, "delayed")                                                                                        \
	X(LOGIN_TLS, "tls")                                                                                                \
	X(LOGIN_HANDED_OVER, "handed-over")                                                                                \
	X(LOGIN_CLOSED, "closed")

enum login_state {
#define LOGIN_STATE_ENUM(name, text) name,
	LOGIN_STATE_LIST(LOGIN_STATE_ENUM)
#undef LOGIN_STATE_ENUM
};

#define BIT(state) (1u << (state))

struct imap_login_session {
	const struct imap_login_world *world;
	void *owner;
	const struct imap_login_settings *settings;
	struct imap_login_facts facts;
	struct imap_limits limits;
	struct imap_reader reader;
	enum login_state state;
	enum imap_login_result result; /* that a DELAYED login will be answered with */
	uint32_t bad_commands, failures;
};

static const char *state_name(enum login_state state)
{
	static const char *const names[] = {
#define LOGIN_STATE_NAME(name, text) text,
		LOGIN_STATE_LIST(LOGIN_STATE_NAME)
#undef LOGIN_STATE_NAME
	};
	return names[state];
}

static void enter_state(struct imap_login_session *l, enum login_state state)
{
	static const unsigned legal[] = {
		[LOGIN_COMMAND] =
		    BIT(LOGIN_RESPONSE) | BIT(LOGIN_ASKING) | BIT(LOGIN_DELAYED) | BIT(LOGIN_TLS) | BIT(LOGIN_CLOSED),
		[LOGIN_RESPONSE] = BIT(LOGIN_COMMAND) | BIT(LOGIN_ASKING) | BIT(LOGIN_DELAYED) | BIT(LOGIN_CLOSED),
		[LOGIN_ASKING] = BIT(LOGIN_COMMAND) | BIT(LOGIN_DELAYED) | BIT(LOGIN_HANDED_OVER) | BIT(LOGIN_CLOSED),
		[LOGIN_DELAYED] = BIT(LOGIN_COMMAND) | BIT(LOGIN_CLOSED),
		[LOGIN_TLS] = BIT(LOGIN_COMMAND) | BIT(LOGIN_CLOSED),
		[LOGIN_HANDED_OVER] = 0,
		[LOGIN_CLOSED] = 0,
	};
	if (!(legal[l->state] & BIT(state)))
		abort();
	log_debug("imap-login-state", LOG_ID(l->facts.session), LOG_C("from", state_name(l->state)),
	          LOG_C("to", state_name(state)));
	l->state = state;
}

static struct outq *output(struct imap_login_session *l)
{
	return l->world->output(l->owner);
}

static void reply(struct imap_login_session *l, struct str tag, const char *text)
{
	struct outq *out = output(l);
	outq_add(out, tag);
	outq_addf(out, " %s\r\n", text);
}

static void reply_tagged(struct imap_login_session *l, const char *text)
{
	reply(l, l->reader.command.tag, text);
}

static void close_with(struct imap_login_session *l, struct str text)
{
	struct outq *out = output(l);
	outq_add(out, STR("* BYE "));
	outq_add(out, text);
	outq_add(out, STR("\r\n"));
	enter_state(l, LOGIN_CLOSED);
	l->world->close(l->owner);
}

static void answer_bad(struct imap_login_session *l, struct str tag, const char *text)
{
	struct outq *out = output(l);
	outq_add(out, tag.n ? tag : STR("*"));
	outq_addf(out, " BAD %s\r\n", text);
	if (++l->bad_commands >= l->settings->max_bad_commands)
		close_with(l, STR("Too many bad commands."));
}

static bool may_send_password(const struct imap_login_session *l)
{
	return l->facts.tls || l->facts.plain_allowed;
}

static void put_capabilities(struct imap_login_session *l)
{
	struct outq *out = output(l);
	outq_add(out, STR("CAPABILITY " IMAP_CAPABILITIES_BEFORE_LOGIN));
	if (!l->facts.tls && l->facts.can_start_tls)
		outq_add(out, STR(" STARTTLS"));
	outq_add(out, may_send_password(l) ? STR(" AUTH=PLAIN") : STR(" LOGINDISABLED"));
}

struct imap_login_session *imap_login_new(const struct imap_login_world *world, void *owner,
                                          const struct imap_login_settings *settings,
                                          const struct imap_login_facts *facts)
{
	struct imap_login_session *l = mem_alloc(1, sizeof *l);
	l->world = world;
	l->owner = owner;
	l->settings = settings;
	l->facts = *facts;
	l->limits = (struct imap_limits){
		.line_bytes = settings->max_line,
		.literal_bytes = settings->max_line,
		.command_bytes = settings->max_line * 2,
		.discard_bytes = settings->max_line * 8,
		.arena_bytes = settings->max_line * 8,
		.list_items = 128,
		.set_ranges = 128,
		.search_depth = 8,
		.part_depth = 8,
	};
	imap_reader_init(&l->reader, &l->limits);
	outq_add(output(l), STR("* OK ["));
	put_capabilities(l);
	outq_add(output(l), STR("] Mansio is ready.\r\n"));
	return l;
}

void imap_login_free(struct imap_login_session **login)
{
	if (!*login)
		return;
	imap_reader_free(&(*login)->reader);
	mem_free(*login);
	*login = NULL;
}

/* --- who is it? --- */

static void wipe(struct str secret)
{
	if (secret.n)
		mem_wipe((char *)(uintptr_t)secret.p, secret.n);
}

static void finish_failure(struct imap_login_session *l)
{
	if (l->result == IMAP_LOGIN_UNAVAILABLE)
		reply_tagged(l, "NO [UNAVAILABLE] Logins cannot be checked now, please try again later.");
	else
		reply_tagged(l, "NO [AUTHENTICATIONFAILED] Wrong user name or password.");
	enter_state(l, LOGIN_COMMAND);
	if (l->result == IMAP_LOGIN_DENIED && ++l->failures >= l->settings->max_failures)
		close_with(l, STR("Too many failed logins."));
}

static void deny(struct imap_login_session *l)
{
	l->result = IMAP_LOGIN_DENIED;
	enter_state(l, LOGIN_DELAYED);
	l->world->start_timer(l->owner, l->settings->failure_delay_ms);
}

static void ask(struct imap_login_session *l, struct str user, struct str password)
{
	if (user.n == 0 || user.n > IMAP_LOGIN_USER_MAX || password.n > IMAP_LOGIN_PASSWORD_MAX || !str_is_utf8(user)) {
		deny(l);
		return;
	}
	enter_state(l, LOGIN_ASKING);
	l->world->authenticate(l->owner, user, password);
}

void imap_login_answer(struct imap_login_session *l, enum imap_login_result result)
{
	if (l->state != LOGIN_ASKING)
		return; /* closed meanwhile */
	switch (result) {
	case IMAP_LOGIN_OK:
		enter_state(l, LOGIN_HANDED_OVER);
		l->world->hand_over(l->owner, l->reader.command.tag);
		return;
	case IMAP_LOGIN_DENIED:
		deny(l);
		return;
	case IMAP_LOGIN_UNAVAILABLE:
		l->result = result;
		finish_failure(l);
		return;
	}
}

void imap_login_timer(struct imap_login_session *l)
{
	if (l->state == LOGIN_DELAYED)
		finish_failure(l);
}

static bool refuse_without_tls(struct imap_login_session *l)
{
	if (may_send_password(l))
		return false;
	reply_tagged(l, "NO [PRIVACYREQUIRED] No passwords without TLS, please.");
	return true;
}

static void run_login(struct imap_login_session *l)
{
	struct str user = l->reader.command.login.user, password = l->reader.command.login.password;
	if (!refuse_without_tls(l))
		ask(l, user, password);
	wipe(password);
}

/* The message of RFC 4616. A name or password that is too long, and acting for somebody else, are denied like a wrong
 * password. */
static void run_plain(struct imap_login_session *l, struct str message)
{
	struct sasl_plain plain;
	int err = sasl_plain_parse(message, &plain);
	if (err == 0) {
		ask(l, plain.user, plain.password);
	} else if (err == ERR_SYNTAX) {
		enter_state(l, LOGIN_COMMAND);
		answer_bad(l, l->reader.command.tag, "That is no PLAIN response.");
	} else {
		deny(l);
	}
	wipe(message);
}

static void run_authenticate(struct imap_login_session *l)
{
	const struct imap_authenticate *authenticate = &l->reader.command.authenticate;
	if (!str_ieq(authenticate->mechanism, STR("PLAIN"))) {
		reply_tagged(l, "NO [CANNOT] The only mechanism here is PLAIN.");
		return;
	}
	if (refuse_without_tls(l)) {
		wipe(authenticate->initial);
		return;
	}
	enter_state(l, LOGIN_RESPONSE);
	if (authenticate->has_initial) {
		run_plain(l, authenticate->initial);
		return;
	}
	outq_add(output(l), STR("+ \r\n"));
	imap_reader_expect_line(&l->reader);
}

/* The line after "+" (RFC 3501, 6.2.2): base64, or "*" to cancel. */
static void take_response(struct imap_login_session *l, struct str line)
{
	struct buf message = BUF_INIT(l->settings->max_line);
	if (str_eq(line, STR("*"))) {
		enter_state(l, LOGIN_COMMAND);
		answer_bad(l, l->reader.command.tag, "Cancelled, as you wish.");
	} else if (base64_decode(line, &message) < 0) {
		enter_state(l, LOGIN_COMMAND);
		answer_bad(l, l->reader.command.tag, "That is not base64.");
	} else {
		run_plain(l, buf_str(&message));
	}
	wipe(line);
	buf_free(&message);
}

/* --- the other commands --- */

static void run_starttls(struct imap_login_session *l)
{
	if (l->facts.tls) {
		answer_bad(l, l->reader.command.tag, "TLS is on already.");
		return;
	}
	if (!l->facts.can_start_tls) {
		reply_tagged(l, "NO [UNAVAILABLE] There is no TLS here.");
		return;
	}
	reply_tagged(l, "OK Begin the TLS handshake now.");
	enter_state(l, LOGIN_TLS);
	l->world->start_tls(l->owner);
}

void imap_login_tls_started(struct imap_login_session *l)
{
	if (l->state != LOGIN_TLS)
		return;
	l->facts.tls = true;
	imap_reader_free(&l->reader);
	imap_reader_init(&l->reader, &l->limits);
	enter_state(l, LOGIN_COMMAND);
}

static void run_command(struct imap_login_session *l)
{
	struct imap_command *command = &l->reader.command;
	if (command->tag.n > IMAP_LOGIN_TAG_MAX) {
		answer_bad(l, STR("*"), "The tag is too long.");
		return;
	}
	switch ((unsigned)command->kind) {
	case IMAP_COMMAND_CAPABILITY:
		outq_add(output(l), STR("* "));
		put_capabilities(l);
		outq_add(output(l), STR("\r\n"));
		reply_tagged(l, "OK CAPABILITY completed.");
		break;
	case IMAP_COMMAND_NOOP:
		reply_tagged(l, "OK NOOP completed.");
		break;
	case IMAP_COMMAND_ID:
		outq_add(output(l), STR(IMAP_ID_ANSWER));
		reply_tagged(l, "OK ID completed.");
		break;
	case IMAP_COMMAND_LOGOUT:
		outq_add(output(l), STR("* BYE Good-bye.\r\n"));
		reply_tagged(l, "OK LOGOUT completed.");
		enter_state(l, LOGIN_CLOSED);
		l->world->close(l->owner);
		break;
	case IMAP_COMMAND_STARTTLS:
		run_starttls(l);
		break;
	case IMAP_COMMAND_LOGIN:
		run_login(l);
		break;
	case IMAP_COMMAND_AUTHENTICATE:
		run_authenticate(l);
		break;
	default:
		answer_bad(l, command->tag, "Log in first.");
	}
}

/* --- input --- */

static void take_error(struct imap_login_session *l)
{
	const struct imap_error *error = &l->reader.error;
	if (l->state == LOGIN_RESPONSE)
		enter_state(l, LOGIN_COMMAND);
	answer_bad(l, error->tag, error->message);
}

static void take_event(struct imap_login_session *l, enum imap_read event)
{
	switch (event) {
	case IMAP_READ_CONTINUE:
		outq_add(output(l), STR("+ OK\r\n"));
		break;
	case IMAP_READ_COMMAND:
		run_command(l);
		break;
	case IMAP_READ_LINE:
		take_response(l, l->reader.line);
		break;
	case IMAP_READ_APPEND:
		imap_reader_refuse(&l->reader);
		answer_bad(l, l->reader.command.tag, "Log in first.");
		break;
	case IMAP_READ_BAD:
		take_error(l);
		break;
	case IMAP_READ_CLOSE:
		close_with(l, STR("That command is far too long."));
		break;
	case IMAP_READ_MORE:
	case IMAP_READ_DATA:
	case IMAP_READ_APPEND_END:
		break;
	}
}

bool imap_login_wants_input(const struct imap_login_session *l)
{
	return l->state == LOGIN_COMMAND || l->state == LOGIN_RESPONSE;
}

size_t imap_login_input(struct imap_login_session *l, struct str bytes)
{
	struct str rest = bytes;
	while (imap_login_wants_input(l)) {
		enum imap_read event = imap_reader_next(&l->reader, &rest);
		if (event == IMAP_READ_MORE)
			break;
		take_event(l, event);
	}
	/* RFC 3501, 6.2.1: what was sent in the clear behind STARTTLS is not believed (nor what comes after BYE). */
	if (l->state == LOGIN_TLS || l->state == LOGIN_CLOSED)
		return bytes.n;
	return bytes.n - rest.n;
}

void imap_login_bye(struct imap_login_session *l, struct str text)
{
	if (l->state != LOGIN_CLOSED && l->state != LOGIN_HANDED_OVER)
		close_with(l, text);
}
