/* commands.c: which command may come when, and the short ones: greeting, RSET, NOOP, VRFY, EXPN, HELP, QUIT,
 * STARTTLS. AUTH stands in auth.c. */
#include "proto/smtp/internal.h"

#include "base/clock.h"

static struct str helo_of(const struct smtp_session *session)
{
	return str_from_c(session->helo);
}

/* Ends a transaction, if there is one; a session that has not greeted stays where it is. */
static void back_to_ready(struct smtp_session *session)
{
	smtp_transaction_reset(session);
	if (session->state == SMTP_TRANSACTION)
		smtp_enter_state(session, SMTP_READY);
}

/* RFC 5321, 4.1.1.1: a greeting in the middle is a RSET too. Only its first word is looked at, and that only for the
 * trace header. */
static void remember_helo(struct smtp_session *session, bool extended)
{
	struct str rest = session->command.argument;
	struct str name = str_first(str_cut(&rest, ' '), SMTP_HELO_MAX);
	memcpy(session->helo, name.p, name.n);
	session->helo[name.n] = '\0';
	session->extended = extended;
	smtp_transaction_reset(session);
	smtp_enter_state(session, SMTP_READY);
}

static void command_helo(struct smtp_session *session)
{
	if (session->dialect == SMTP_DIALECT_LMTP) {
		smtp_complain(session, 500, "5.5.1", "this is LMTP, say LHLO"); /* RFC 2033, 4.1 */
		return;
	}
	remember_helo(session, false);
	outq_addf(session->out, "250 %.*s\r\n", STR_ARG(session->config->hostname));
}

/* EHLO and LHLO. */
static void command_extended_hello(struct smtp_session *session)
{
	bool lmtp = session->dialect == SMTP_DIALECT_LMTP;
	if (lmtp != (session->command.verb == SMTP_LHLO)) {
		smtp_complain(session, 500, "5.5.1", lmtp ? "this is LMTP, say LHLO" : "this is SMTP, say EHLO");
		return;
	}
	remember_helo(session, true);
	outq_addf(session->out, "250-%.*s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n", STR_ARG(session->config->hostname),
	          (unsigned long long)session->config->max_message_size);
	if (session->offer_tls && !session->tls && session->world->has_certificate(session->owner))
		outq_add(session->out, STR("250-STARTTLS\r\n"));
	if (smtp_may_log_in(session))
		outq_add(session->out, STR("250-AUTH " SASL_MECHANISMS "\r\n"));
	outq_add(session->out, STR("250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"));
}

static void command_rset(struct smtp_session *session)
{
	back_to_ready(session);
	smtp_reply(session, 250, "2.0.0", "ok");
}

static void command_quit(struct smtp_session *session)
{
	smtp_reply(session, 221, "2.0.0", "closing");
	smtp_close(session);
}

/* RFC 3207. All that was learned before is forgotten; smtp_session_input drops what came with the command. */
static void command_starttls(struct smtp_session *session)
{
	if (session->tls) {
		smtp_complain(session, 503, "5.5.1", "TLS is on already");
		return;
	}
	if (!session->offer_tls) {
		smtp_complain(session, 502, "5.5.1", "TLS is not available");
		return;
	}
	if (!session->world->has_certificate(session->owner)) {
		smtp_reply(session, 454, "4.7.0", "TLS is not available now"); /* RFC 3207, 4 */
		return;
	}
	smtp_transaction_reset(session);
	smtp_reply(session, 220, "2.0.0", "ready for TLS");
	smtp_enter_state(session, SMTP_HANDSHAKE);
	session->world->start_tls(session->owner);
}

/* What a command needs to have happened before. False: complained. */
static bool in_order(struct smtp_session *session)
{
	enum smtp_verb verb = session->command.verb;
	bool needs_greeting = verb == SMTP_MAIL || verb == SMTP_RCPT || verb == SMTP_DATA || verb == SMTP_AUTH;
	if (needs_greeting && helo_of(session).n == 0) {
		smtp_complain(session, 503, "5.5.1",
		              session->dialect == SMTP_DIALECT_LMTP ? "say LHLO first" : "say EHLO or HELO first");
		return false;
	}
	if (verb == SMTP_MAIL && session->submission && !session->authenticated) { /* RFC 6409, 4.3; RFC 3207, 4 */
		smtp_complain(session, 530, "5.7.0",
		              smtp_may_log_in(session) ? "log in first" : "STARTTLS and a login come first");
		return false;
	}
	if (verb == SMTP_MAIL && session->state == SMTP_TRANSACTION) {
		smtp_complain(session, 503, "5.5.1", "a transaction is under way, RSET ends it");
		return false;
	}
	if ((verb == SMTP_RCPT || verb == SMTP_DATA) && session->state != SMTP_TRANSACTION) {
		smtp_complain(session, 503, "5.5.1", "MAIL comes first");
		return false;
	}
	return true;
}

/* Who says something now and then, but sends nothing, holds a place that others need. Not LMTP, and not users: it is known
 * who they are. */
static bool is_idle(const struct smtp_session *session)
{
	enum smtp_verb verb = session->command.verb;
	if (session->dialect == SMTP_DIALECT_LMTP || session->authenticated || verb == SMTP_DATA || verb == SMTP_QUIT)
		return false;
	return clock_monotonic_ms() - session->idle_since > session->config->message_timeout_ms;
}

void smtp_run_command(struct smtp_session *session)
{
	if (session->config->commands)
		session->config->commands[session->command.verb]++;
	if (is_idle(session)) {
		smtp_reply(session, 421, "4.4.2", "no message for too long, closing");
		smtp_close(session);
		return;
	}
	if (!in_order(session))
		return;
	switch (session->command.verb) {
	case SMTP_HELO:
		command_helo(session);
		break;
	case SMTP_EHLO:
	case SMTP_LHLO:
		command_extended_hello(session);
		break;
	case SMTP_MAIL:
		smtp_command_mail(session);
		break;
	case SMTP_RCPT:
		smtp_command_rcpt(session);
		break;
	case SMTP_DATA:
		smtp_command_data(session);
		break;
	case SMTP_RSET:
		command_rset(session);
		break;
	case SMTP_NOOP:
		smtp_reply(session, 250, "2.0.0", "ok");
		break;
	case SMTP_QUIT:
		command_quit(session);
		break;
	case SMTP_VRFY:
		/* RFC 5321, 3.5.3: who asks learns nothing about who exists. */
		smtp_reply(session, 252, "2.0.0", "not verified, send mail and see");
		break;
	case SMTP_EXPN:
		smtp_complain(session, 502, "5.5.1", "not available");
		break;
	case SMTP_HELP:
		smtp_reply(session, 214, "2.0.0", "commands are those of RFC 5321, RFC 2033, RFC 3207 and RFC 4954");
		break;
	case SMTP_STARTTLS:
		command_starttls(session);
		break;
	case SMTP_AUTH:
		smtp_command_auth(session);
		break;
	case SMTP_UNKNOWN:
		smtp_complain(session, 500, "5.5.1", "command not recognized");
		break;
	}
}
