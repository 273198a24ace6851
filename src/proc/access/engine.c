/* engine.c: the two engines behind the one table; nothing but the passing on of calls. */
#include "proc/access/engine.h"

#include "base/checked.h"

struct login_settings login_settings_of(const struct conf *conf)
{
	return (struct login_settings){
		.max_line = (size_t)conf->login.max_line,
		.max_bad_commands = (uint32_t)conf->login.max_bad_commands,
		.max_failures = (uint32_t)conf->login.max_failures,
		.failure_delay_ms = conf->login.failure_delay_ms,
		.pop3_utf8 = conf->pop3.utf8,
		.pop3_login_delay_ms = conf->pop3.login_delay_ms,
	};
}

static const struct login_world world = {
	.output = access_output,
	.start_tls = access_start_tls,
	.has_certificate = access_has_certificate,
	.authenticate = access_authenticate,
	.start_timer = access_start_timer,
	.hand_over = access_hand_over,
	.close = access_close,
};

/* --- IMAP --- */

static void *imap_start(void *owner, const struct login_settings *settings, const struct login_facts *facts)
{
	return imap_login_new(&world, owner, settings, facts);
}

static void imap_free(void **login)
{
	struct imap_login_session *l = *login;
	imap_login_free(&l);
	*login = NULL;
}

static size_t imap_input(void *login, struct str bytes)
{
	return imap_login_input(login, bytes);
}

static bool imap_wants_input(const void *login)
{
	return imap_login_wants_input(login);
}

static void imap_answer(void *login, enum login_verdict verdict)
{
	imap_login_answer(login, verdict);
}

static void imap_timer(void *login)
{
	imap_login_timer(login);
}

static void imap_tls_started(void *login)
{
	imap_login_tls_started(login);
}

static void imap_bye(void *login, struct str text)
{
	imap_login_bye(login, text);
}

const struct login_engine imap_login_engine = {
	.name = STR_INIT("imap"),
	.refusal = STR_INIT("* BYE [UNAVAILABLE] Too many connections.\r\n"),
	.protocol = HANDOVER_IMAP,
	.right = TICKET_IMAP,
	.start = imap_start,
	.free = imap_free,
	.input = imap_input,
	.wants_input = imap_wants_input,
	.answer = imap_answer,
	.timer = imap_timer,
	.tls_started = imap_tls_started,
	.bye = imap_bye,
};

/* --- POP3 --- */

static void *pop3_start(void *owner, const struct login_settings *settings, const struct login_facts *facts)
{
	return pop3_login_new(&world, owner, settings, facts);
}

static void pop3_free(void **login)
{
	struct pop3_login *l = *login;
	pop3_login_free(&l);
	*login = NULL;
}

static size_t pop3_input(void *login, struct str bytes)
{
	return pop3_login_input(login, bytes);
}

static bool pop3_wants_input(const void *login)
{
	return pop3_login_wants_input(login);
}

static void pop3_answer(void *login, enum login_verdict verdict)
{
	pop3_login_answer(login, verdict);
}

static void pop3_timer(void *login)
{
	pop3_login_timer(login);
}

static void pop3_tls_started(void *login)
{
	pop3_login_tls_started(login);
}

static void pop3_bye(void *login, struct str text)
{
	pop3_login_bye(login, text);
}

const struct login_engine pop3_login_engine = {
	.name = STR_INIT("pop3"),
	.refusal = STR_INIT("-ERR [SYS/TEMP] Too many connections.\r\n"),
	.protocol = HANDOVER_POP3,
	.right = TICKET_POP3,
	.start = pop3_start,
	.free = pop3_free,
	.input = pop3_input,
	.wants_input = pop3_wants_input,
	.answer = pop3_answer,
	.timer = pop3_timer,
	.tls_started = pop3_tls_started,
	.bye = pop3_bye,
};
