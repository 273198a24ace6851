/* login.c: the engine of a connection without a login. Owned by the access process, one for each IMAP connection until
 * it is handed over or closed. Bad input is answered and counted; passwords are wiped as soon as they have been passed
 * on. The states are those of proto/login.h. */
#include "proto/imap/login.h"

#include "base/mem.h"
#include "proto/imap/capability.h"
#include "proto/sasl.h"
#include "syntax/imap_reader.h"

struct imap_login_session {
	const struct login_world *world;
	void *owner;
	const struct login_settings *settings;
	struct login_facts facts;
	struct imap_limits limits;
	struct imap_reader reader;
	enum login_state state;
	struct sasl sasl; /* from AUTHENTICATE to the question, or to its failure */
	enum login_verdict result; /* that a DELAYED login will be answered with */
	uint32_t bad_commands, failures;
};

static void enter_state(struct imap_login_session *l, enum login_state state)
{
	login_enter_state(&l->state, state, l->facts.session);
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

static void say_bye(struct imap_login_session *l, struct str text)
{
	struct outq *out = output(l);
	outq_add(out, STR("* BYE "));
	outq_add(out, text);
	outq_add(out, STR("\r\n"));
}

static void close_login(struct imap_login_session *l)
{
	enter_state(l, LOGIN_CLOSED);
	l->world->close(l->owner);
}

static void close_with(struct imap_login_session *l, struct str text)
{
	say_bye(l, text);
	close_login(l);
}

static void answer_bad(struct imap_login_session *l, struct str tag, const char *text)
{
	struct outq *out = output(l);
	outq_add(out, tag.n ? tag : STR("*"));
	outq_addf(out, " BAD %s\r\n", text);
	if (++l->bad_commands >= l->settings->max_bad_commands)
		close_with(l, STR("Too many bad commands."));
}

static bool may_start_tls(const struct imap_login_session *l)
{
	return login_may_start_tls(&l->facts) && l->world->has_certificate(l->owner);
}

static void put_capabilities(struct imap_login_session *l)
{
	struct outq *out = output(l);
	outq_add(out, STR("CAPABILITY " IMAP_CAPABILITIES_BEFORE_LOGIN));
	if (may_start_tls(l))
		outq_add(out, STR(" STARTTLS"));
	outq_add(out, login_may_send_password(&l->facts) ? STR(" AUTH=PLAIN AUTH=LOGIN") : STR(" LOGINDISABLED"));
}

struct imap_login_session *imap_login_new(const struct login_world *world, void *owner,
                                          const struct login_settings *settings,
                                          const struct login_facts *facts)
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
	sasl_end(&(*login)->sasl);
	imap_reader_free(&(*login)->reader);
	mem_free(*login);
	*login = NULL;
}

/* --- who is it? --- */

static void finish_failure(struct imap_login_session *l)
{
	if (l->result == LOGIN_VERDICT_DENIED)
		reply_tagged(l, "NO [AUTHENTICATIONFAILED] Wrong user name or password.");
	else
		reply_tagged(l, "NO [UNAVAILABLE] Logging in is not possible now, please try again later.");
	enter_state(l, LOGIN_COMMAND);
	if (++l->failures >= l->settings->max_failures)
		close_with(l, STR("Too many failed logins."));
}

static void fail(struct imap_login_session *l, enum login_verdict result)
{
	l->result = result;
	enter_state(l, LOGIN_DELAYED);
	l->world->start_timer(l->owner, l->settings->failure_delay_ms);
}

static void deny(struct imap_login_session *l)
{
	fail(l, LOGIN_VERDICT_DENIED);
}

static void ask(struct imap_login_session *l, struct str user, struct str password)
{
	if (!login_is_possible(user, password)) {
		deny(l);
		return;
	}
	enter_state(l, LOGIN_ASKING);
	l->world->authenticate(l->owner, user, password);
}

void imap_login_answer(struct imap_login_session *l, enum login_verdict result)
{
	if (l->state != LOGIN_ASKING)
		return; /* closed meanwhile */
	switch (result) {
	case LOGIN_VERDICT_OK:
		enter_state(l, LOGIN_HANDED_OVER);
		l->world->hand_over(l->owner, l->reader.command.tag);
		return;
	case LOGIN_VERDICT_DENIED:
	case LOGIN_VERDICT_UNAVAILABLE:
	case LOGIN_VERDICT_TOO_SOON: /* of POP3 */
		fail(l, result);
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
	if (login_may_send_password(&l->facts))
		return false;
	reply_tagged(l, "NO [PRIVACYREQUIRED] No passwords without TLS, please.");
	return true;
}

static void run_login(struct imap_login_session *l)
{
	struct str user = l->reader.command.login.user, password = l->reader.command.login.password;
	if (!refuse_without_tls(l))
		ask(l, user, password);
	mem_wipe_str(password);
}

/* The exchange is over without a question. */
static void fail_exchange(struct imap_login_session *l, const char *text)
{
	sasl_end(&l->sasl);
	enter_state(l, LOGIN_COMMAND);
	answer_bad(l, l->reader.command.tag, text);
}

static void send_challenge(struct imap_login_session *l)
{
	outq_addf(output(l), "+ %.*s\r\n", STR_ARG(sasl_challenge(&l->sasl)));
	imap_reader_expect_line(&l->reader);
}

/* In RESPONSE. A name or password that is too long, and acting for somebody else, are denied like a wrong password. */
static void follow_exchange(struct imap_login_session *l, enum sasl_step step, struct str user, struct str password)
{
	switch (step) {
	case SASL_CHALLENGE:
		send_challenge(l);
		return;
	case SASL_MALFORMED:
		fail_exchange(l, "That is not base64, or no response of this mechanism.");
		return;
	case SASL_DENIED:
		deny(l);
		break;
	case SASL_ASK:
		ask(l, user, password);
		break;
	}
	sasl_end(&l->sasl);
}

static void run_authenticate(struct imap_login_session *l)
{
	const struct imap_authenticate *authenticate = &l->reader.command.authenticate;
	struct str user = STR(""), password = STR("");
	if (!sasl_begin(&l->sasl, authenticate->mechanism)) {
		reply_tagged(l, "NO [CANNOT] The mechanisms here are " SASL_MECHANISMS ".");
	} else if (!refuse_without_tls(l)) {
		enter_state(l, LOGIN_RESPONSE);
		if (authenticate->has_initial) {
			enum sasl_step step = sasl_take(&l->sasl, authenticate->initial, &user, &password);
			follow_exchange(l, step, user, password);
		} else {
			send_challenge(l);
		}
	}
	mem_wipe_str(authenticate->initial);
}

/* The line after "+" (RFC 3501, 6.2.2): base64, or "*" to cancel. */
static void take_response(struct imap_login_session *l, struct str line)
{
	struct str user = STR(""), password = STR("");
	if (str_eq(line, STR("*"))) {
		fail_exchange(l, "Cancelled, as you wish.");
	} else {
		enum sasl_step step = sasl_take_base64(&l->sasl, line, &user, &password);
		follow_exchange(l, step, user, password);
	}
	mem_wipe_str(line);
}

/* --- the other commands --- */

static void run_starttls(struct imap_login_session *l)
{
	if (l->facts.tls) {
		answer_bad(l, l->reader.command.tag, "TLS is on already.");
		return;
	}
	if (!may_start_tls(l)) {
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
	if (l->settings->imap_commands)
		l->settings->imap_commands[command->kind]++;
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
		close_login(l);
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
	sasl_end(&l->sasl);
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
	if (l->state == LOGIN_CLOSED || l->state == LOGIN_HANDED_OVER)
		return;
	/* Behind the OK of STARTTLS the client takes all that comes for TLS. */
	if (l->state != LOGIN_TLS)
		say_bye(l, text);
	close_login(l);
}
