/* login.c: the engine of a connection without a login. Owned by the access process, one for each POP3 connection
 * until it is handed over or closed. Bad input is answered and counted; passwords are wiped as soon as they have
 * been passed on. The states are those of proto/login.h. */
#include "proto/pop3/login.h"

#include "base/checked.h"
#include "base/mem.h"
#include "proto/pop3/capability.h"
#include "proto/sasl.h"
#include "syntax/pop3.h"

struct pop3_login {
	const struct login_world *world;
	void *owner;
	const struct login_settings *settings;
	struct login_facts facts;
	struct pop3_reader reader;
	char *user; /* of USER, for the next command; NULL: none */
	bool utf8;  /* the client has said UTF8 */
	struct sasl sasl; /* from AUTH to the question, or to its failure */
	enum login_state state;
	enum login_verdict result; /* that a DELAYED login will be answered with */
	uint32_t bad_commands, failures;
};

static void enter_state(struct pop3_login *l, enum login_state state)
{
	login_enter_state(&l->state, state, l->facts.session);
}

static struct outq *output(struct pop3_login *l)
{
	return l->world->output(l->owner);
}

static void reply(struct pop3_login *l, const char *text)
{
	outq_addf(output(l), "%s\r\n", text);
}

static void close_login(struct pop3_login *l)
{
	enter_state(l, LOGIN_CLOSED);
	l->world->close(l->owner);
}

/* A bad command was answered; that was the last answer when there were too many. */
static void count_bad(struct pop3_login *l)
{
	if (++l->bad_commands >= l->settings->max_bad_commands)
		close_login(l);
}

static void answer_bad(struct pop3_login *l, const char *text)
{
	outq_addf(output(l), "-ERR %s\r\n", text);
	count_bad(l);
}

struct pop3_login *pop3_login_new(const struct login_world *world, void *owner,
                                  const struct login_settings *settings, const struct login_facts *facts)
{
	struct pop3_login *l = mem_alloc(1, sizeof *l);
	l->world = world;
	l->owner = owner;
	l->settings = settings;
	l->facts = *facts;
	l->reader = POP3_READER_INIT(settings->max_line);
	/* Nothing in angle brackets: that would offer APOP (RFC 1939, 7). */
	reply(l, "+OK Mansio is ready.");
	return l;
}

static void forget_user(struct pop3_login *l)
{
	mem_free(l->user);
	l->user = NULL;
}

void pop3_login_free(struct pop3_login **login)
{
	if (!*login)
		return;
	forget_user(*login);
	sasl_end(&(*login)->sasl);
	pop3_reader_free(&(*login)->reader);
	mem_free(*login);
	*login = NULL;
}

/* --- who is it? --- */

static void fail(struct pop3_login *l, enum login_verdict result)
{
	l->result = result;
	enter_state(l, LOGIN_DELAYED);
	l->world->start_timer(l->owner, l->settings->failure_delay_ms);
}

static void deny(struct pop3_login *l)
{
	fail(l, LOGIN_VERDICT_DENIED);
}

static void ask(struct pop3_login *l, struct str user, struct str password)
{
	if (!login_is_possible(user, password)) {
		deny(l);
		return;
	}
	enter_state(l, LOGIN_ASKING);
	l->world->authenticate(l->owner, user, password);
}

void pop3_login_answer(struct pop3_login *l, enum login_verdict result)
{
	if (l->state != LOGIN_ASKING)
		return; /* closed meanwhile */
	switch (result) {
	case LOGIN_VERDICT_OK:
		enter_state(l, LOGIN_HANDED_OVER);
		l->world->hand_over(l->owner, l->utf8 ? STR(POP3_HANDED_UTF8) : STR(""));
		return;
	case LOGIN_VERDICT_DENIED:
	case LOGIN_VERDICT_UNAVAILABLE:
	case LOGIN_VERDICT_TOO_SOON:
		fail(l, result);
		return;
	}
}

void pop3_login_timer(struct pop3_login *l)
{
	static const char *const answers[] = {
		[LOGIN_VERDICT_DENIED] = "-ERR [AUTH] Wrong user name or password.",
		[LOGIN_VERDICT_UNAVAILABLE] = "-ERR [SYS/TEMP] Logging in is not possible now, please try again later.",
		[LOGIN_VERDICT_TOO_SOON] =
		    "-ERR [LOGIN-DELAY] The last login was too short a time ago, please come back later.",
	};
	if (l->state != LOGIN_DELAYED)
		return;
	enter_state(l, LOGIN_COMMAND);
	reply(l, answers[l->result]);
	if (l->result != LOGIN_VERDICT_TOO_SOON && ++l->failures >= l->settings->max_failures)
		close_login(l);
}

static bool refuse_without_tls(struct pop3_login *l)
{
	if (login_may_send_password(&l->facts))
		return false;
	answer_bad(l, "No passwords without TLS, please.");
	return true;
}

static void run_user(struct pop3_login *l, struct str user)
{
	if (refuse_without_tls(l))
		return;
	user = str_trim(user);
	if (user.n == 0) {
		answer_bad(l, pop3_flaw_text(POP3_FLAW_ARGUMENT_MISSING));
		return;
	}
	l->user = mem_copy(user);
	/* Whether there is such a user is nobody's business yet. */
	reply(l, "+OK The password, please.");
}

static void run_pass(struct pop3_login *l, struct str password)
{
	if (!refuse_without_tls(l)) {
		if (l->user)
			ask(l, str_from_c(l->user), password);
		else
			answer_bad(l, "USER comes first.");
	}
	mem_wipe_str(password);
}

static void fail_exchange(struct pop3_login *l, const char *text)
{
	sasl_end(&l->sasl);
	enter_state(l, LOGIN_COMMAND);
	answer_bad(l, text);
}

static void send_challenge(struct pop3_login *l)
{
	outq_addf(output(l), "+ %.*s\r\n", STR_ARG(sasl_challenge(&l->sasl)));
}

/* A response as it came, in base64 (RFC 5034, 4). In RESPONSE. */
static void take_response(struct pop3_login *l, struct str text)
{
	struct str user, password;
	switch (sasl_take_base64(&l->sasl, text, &user, &password)) {
	case SASL_CHALLENGE:
		send_challenge(l);
		break;
	case SASL_MALFORMED:
		fail_exchange(l, "That is not base64, or no response of this mechanism.");
		break;
	case SASL_DENIED:
		deny(l);
		sasl_end(&l->sasl);
		break;
	case SASL_ASK:
		ask(l, user, password);
		sasl_end(&l->sasl);
		break;
	}
	mem_wipe_str(text);
}

static void run_auth(struct pop3_login *l, const struct pop3_command *command)
{
	if (!sasl_begin(&l->sasl, command->text)) {
		answer_bad(l, "The mechanisms here are " SASL_MECHANISMS ".");
	} else if (!refuse_without_tls(l)) {
		enter_state(l, LOGIN_RESPONSE);
		if (command->has_initial)
			take_response(l, command->initial);
		else
			send_challenge(l);
	}
	mem_wipe_str(command->initial);
}

static void take_response_line(struct pop3_login *l, struct str line)
{
	if (str_eq(line, STR("*")))
		fail_exchange(l, "Cancelled, as you wish.");
	else
		take_response(l, line);
}

/* --- the other commands --- */

static void run_stls(struct pop3_login *l)
{
	if (!login_may_start_tls(&l->facts)) {
		answer_bad(l, l->facts.tls ? "TLS is on already." : "There is no TLS here.");
		return;
	}
	if (l->utf8) { /* RFC 6856, 2.1 */
		answer_bad(l, "STLS comes before UTF8.");
		return;
	}
	if (!l->world->has_certificate(l->owner)) {
		reply(l, "-ERR [SYS/TEMP] There is no TLS here now.");
		return;
	}
	reply(l, "+OK Begin the TLS handshake now.");
	enter_state(l, LOGIN_TLS);
	l->world->start_tls(l->owner);
}

void pop3_login_tls_started(struct pop3_login *l)
{
	if (l->state != LOGIN_TLS)
		return;
	l->facts.tls = true;
	pop3_reader_free(&l->reader);
	enter_state(l, LOGIN_COMMAND);
}

static void run_capa(struct pop3_login *l)
{
	struct pop3_offer offer = {
		.password = login_may_send_password(&l->facts),
		.stls = login_may_start_tls(&l->facts) && !l->utf8 && l->world->has_certificate(l->owner),
		.utf8 = l->settings->pop3_utf8,
		.expire_days = l->settings->pop3_expire_days,
		.expire_differs = l->settings->pop3_expire_differs,
		.login_delay_ms = l->settings->pop3_login_delay_ms,
	};
	pop3_put_capabilities(&offer, output(l));
}

static void run_utf8(struct pop3_login *l)
{
	if (!l->settings->pop3_utf8) {
		answer_bad(l, "UTF-8 mode is not offered here.");
		return;
	}
	l->utf8 = true;
	reply(l, "+OK UTF-8 mode is on.");
}

static void run_command(struct pop3_login *l, const struct pop3_command *command)
{
	if (l->settings->pop3_commands)
		l->settings->pop3_commands[command->verb]++;
	switch (command->verb) {
	case POP3_AUTH:
		run_auth(l, command);
		break;
	case POP3_CAPA:
		run_capa(l);
		break;
	case POP3_LANG:
		if (!pop3_put_language(command->text, output(l)))
			count_bad(l);
		break;
	case POP3_PASS:
		run_pass(l, command->text);
		forget_user(l);
		break;
	case POP3_QUIT:
		reply(l, "+OK Good-bye.");
		close_login(l);
		break;
	case POP3_STLS:
		run_stls(l);
		break;
	case POP3_USER:
		run_user(l, command->text);
		break;
	case POP3_UTF8:
		run_utf8(l);
		break;
	case POP3_UNKNOWN:
	case POP3_DELE:
	case POP3_LIST:
	case POP3_NOOP:
	case POP3_RETR:
	case POP3_RSET:
	case POP3_STAT:
	case POP3_TOP:
	case POP3_UIDL:
		answer_bad(l, "Log in first.");
		break;
	}
}

/* --- input --- */

static void take_line(struct pop3_login *l, struct str line)
{
	struct pop3_command command;
	if (l->state == LOGIN_RESPONSE) {
		take_response_line(l, line);
		return;
	}
	enum pop3_flaw flaw = pop3_parse(line, &command);
	/* RFC 1939, 7: PASS stands immediately behind USER; whatever else comes is a new beginning. */
	if (flaw != POP3_FLAW_NONE || command.verb != POP3_PASS)
		forget_user(l);
	if (flaw == POP3_FLAW_NONE)
		run_command(l, &command);
	else
		answer_bad(l, pop3_flaw_text(flaw));
}

static void take_long_line(struct pop3_login *l)
{
	if (l->state == LOGIN_RESPONSE)
		enter_state(l, LOGIN_COMMAND);
	sasl_end(&l->sasl);
	forget_user(l);
	answer_bad(l, "That line is too long.");
}

bool pop3_login_wants_input(const struct pop3_login *l)
{
	return l->state == LOGIN_COMMAND || l->state == LOGIN_RESPONSE;
}

size_t pop3_login_input(struct pop3_login *l, struct str bytes)
{
	struct str rest = bytes, line;
	while (pop3_login_wants_input(l)) {
		int err = pop3_reader_next(&l->reader, &rest, &line);
		if (err == ERR_INCOMPLETE)
			break;
		if (err == 0)
			take_line(l, line);
		else
			take_long_line(l);
	}
	/* RFC 2595, 4: what was sent in the clear behind STLS is not believed (nor what comes after the end). */
	if (l->state == LOGIN_TLS || l->state == LOGIN_CLOSED)
		return bytes.n;
	return bytes.n - rest.n;
}

void pop3_login_bye(struct pop3_login *l, struct str text)
{
	if (l->state == LOGIN_CLOSED || l->state == LOGIN_HANDED_OVER)
		return;
	/* Only where an answer is due: RFC 1939, 3, wants an end without a word, since the client would take it for the answer
	 * to its next command. */
	if (l->state == LOGIN_ASKING || l->state == LOGIN_DELAYED)
		outq_addf(output(l), "-ERR [SYS/TEMP] %.*s\r\n", STR_ARG(text));
	close_login(l);
}
