/* auth.c: AUTH (RFC 4954): the exchange of proto/sasl.h in lines of SMTP, and what follows from the world's verdict.
 * Only on submission ports, and only once in a session. A login that failed, whatever from, is answered after a delay;
 * too many end the connection. */
#include "proto/smtp/internal.h"

static void answer_later(struct smtp_session *session, enum login_verdict verdict)
{
	session->verdict = verdict;
	smtp_enter_state(session, SMTP_DELAYED);
	session->world->start_timer(session->owner, session->config->failure_delay_ms);
}

static void deny(struct smtp_session *session)
{
	answer_later(session, LOGIN_VERDICT_DENIED);
}

static void ask(struct smtp_session *session, struct str user, struct str password)
{
	if (!login_is_possible(user, password)) {
		deny(session);
		return;
	}
	smtp_enter_state(session, SMTP_ASKING);
	session->world->authenticate(session->owner, user, password);
}

static void fail(struct smtp_session *session, unsigned code, const char *enhanced, const char *text)
{
	if (session->state == SMTP_RESPONSE)
		smtp_enter_state(session, SMTP_READY);
	sasl_end(&session->sasl);
	smtp_complain(session, code, enhanced, text);
}

static void take(struct smtp_session *session, struct str base64)
{
	struct str user, password;
	switch (sasl_take_base64(&session->sasl, base64, &user, &password)) {
	case SASL_CHALLENGE:
		smtp_enter_state(session, SMTP_RESPONSE);
		outq_addf(session->out, "334 %.*s\r\n", STR_ARG(sasl_challenge(&session->sasl)));
		return;
	case SASL_MALFORMED:
		fail(session, 501, "5.5.2", "that is no base64, or no response of this mechanism");
		return;
	case SASL_DENIED:
		deny(session);
		break;
	case SASL_ASK:
		ask(session, user, password);
		break;
	}
	sasl_end(&session->sasl);
}

void smtp_command_auth(struct smtp_session *session)
{
	const struct smtp_command *command = &session->command;
	if (!session->submission) {
		smtp_complain(session, 502, "5.5.1", "there is no login on this port, only on those for submission");
	} else if (!session->extended) {
		smtp_complain(session, 503, "5.5.1", "say EHLO first");
	} else if (session->authenticated || session->state == SMTP_TRANSACTION) {
		smtp_complain(session, 503, "5.5.1", session->authenticated ? "you are logged in already"
		                                                            : "not in a transaction, RSET ends it");
	} else if (!smtp_may_log_in(session)) {
		smtp_complain(session, 538, "5.7.11", "no passwords without TLS, please: STARTTLS comes first");
	} else if (!sasl_begin(&session->sasl, command->mechanism)) {
		smtp_complain(session, 504, "5.5.4", "the mechanisms here are " SASL_MECHANISMS);
	} else if (command->has_initial) {
		take(session, command->initial);
	} else {
		smtp_enter_state(session, SMTP_RESPONSE);
		outq_addf(session->out, "334 %.*s\r\n", STR_ARG(sasl_challenge(&session->sasl)));
	}
}

void smtp_take_response(struct smtp_session *session, struct str line)
{
	if (str_eq(line, STR("*")))
		fail(session, 501, "5.7.0", "cancelled, as you wish");
	else
		take(session, line);
}

void smtp_session_authenticated(struct smtp_session *session, enum login_verdict verdict)
{
	if (session->state != SMTP_ASKING)
		return; /* closed meanwhile */
	switch (verdict) {
	case LOGIN_VERDICT_OK:
		session->authenticated = true;
		smtp_enter_state(session, SMTP_READY);
		smtp_reply(session, 235, "2.7.0", "welcome");
		break;
	case LOGIN_VERDICT_DENIED:
	case LOGIN_VERDICT_UNAVAILABLE:
	case LOGIN_VERDICT_TOO_SOON: /* of POP3 */
		answer_later(session, verdict);
		break;
	}
}

void smtp_session_timer(struct smtp_session *session)
{
	if (session->state != SMTP_DELAYED)
		return;
	smtp_enter_state(session, SMTP_READY);
	if (session->verdict == LOGIN_VERDICT_DENIED)
		smtp_reply(session, 535, "5.7.8", "wrong user name or password");
	else
		smtp_reply(session, 454, "4.7.0", "logins cannot be checked now, please try again later");
	if (++session->failures < session->config->max_failures)
		return;
	smtp_reply(session, 421, "4.7.0", "too many failed logins, closing");
	smtp_close(session);
}
