/* login.c: the states of an engine before login and what else both protocols decide alike. Keeps nothing itself. */
#include "proto/login.h"

#include "base/log.h"

#define BIT(state) (1u << (state))

void login_enter_state(enum login_state *state, enum login_state to, uint64_t session)
{
	static const char *const names[] = {
		[LOGIN_COMMAND] = "command", [LOGIN_RESPONSE] = "response", [LOGIN_ASKING] = "asking",
		[LOGIN_DELAYED] = "delayed", [LOGIN_TLS] = "tls", [LOGIN_HANDED_OVER] = "handed-over",
		[LOGIN_CLOSED] = "closed",
	};
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
	if (!(legal[*state] & BIT(to)))
		abort();
	log_debug("login-state", LOG_ID(session), LOG_C("from", names[*state]), LOG_C("to", names[to]));
	*state = to;
}

bool login_is_possible(struct str user, struct str password)
{
	return user.n > 0 && user.n <= LOGIN_ENGINE_USER_MAX && password.n <= LOGIN_ENGINE_PASSWORD_MAX &&
	       str_is_utf8(user);
}
