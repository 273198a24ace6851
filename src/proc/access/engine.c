/* engine.c: the two engines behind the one table; nothing but the passing on of calls. */
#include "proc/access/engine.h"

#include "base/checked.h"

struct login_settings login_settings_of(const struct conf *conf)
{
	const size_t max_line = (size_t)conf->login.max_line;
	const uint32_t max_bad = (uint32_t)conf->login.max_bad_commands, max_failures = (uint32_t)conf->login.max_failures;
	return (struct login_settings){
		.imap = { max_line, max_bad, max_failures, conf->login.failure_delay_ms },
		.pop3 = { max_line, max_bad, max_failures, conf->login.failure_delay_ms },
	};
}

/* --- IMAP --- */

static const struct imap_login_world imap_world = {
	.output = access_output,
	.start_tls = access_start_tls,
	.authenticate = access_authenticate,
	.start_timer = access_start_timer,
	.hand_over = access_hand_over,
	.close = access_close,
};

static void *imap_start(void *owner, const struct login_settings *settings, const struct login_facts *facts)
{
	struct imap_login_facts f = { facts->session, facts->tls, facts->can_start_tls, facts->plain_allowed };
	return imap_login_new(&imap_world, owner, &settings->imap, &f);
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

static void imap_answer(void *login, enum login_result result)
{
	static const enum imap_login_result results[] = {
		[LOGIN_OK] = IMAP_LOGIN_OK,
		[LOGIN_DENIED] = IMAP_LOGIN_DENIED,
		[LOGIN_UNAVAILABLE] = IMAP_LOGIN_UNAVAILABLE,
	};
	imap_login_answer(login, results[result]);
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

static void pop3_hand_over(void *owner)
{
	access_hand_over(owner, STR(""));
}

static const struct pop3_login_world pop3_world = {
	.output = access_output,
	.start_tls = access_start_tls,
	.authenticate = access_authenticate,
	.start_timer = access_start_timer,
	.hand_over = pop3_hand_over,
	.close = access_close,
};

static void *pop3_start(void *owner, const struct login_settings *settings, const struct login_facts *facts)
{
	struct pop3_login_facts f = { facts->session, facts->tls, facts->can_start_tls, facts->plain_allowed };
	return pop3_login_new(&pop3_world, owner, &settings->pop3, &f);
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

static void pop3_answer(void *login, enum login_result result)
{
	static const enum pop3_login_result results[] = {
		[LOGIN_OK] = POP3_LOGIN_OK,
		[LOGIN_DENIED] = POP3_LOGIN_DENIED,
		[LOGIN_UNAVAILABLE] = POP3_LOGIN_UNAVAILABLE,
	};
	pop3_login_answer(login, results[result]);
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
