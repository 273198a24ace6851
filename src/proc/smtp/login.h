/* login.h: the login of a submission: auth is asked who this is, and with each message whether he may send it; the
 * answer, or the delay that follows a wrong password, goes back to the session. */
#ifndef PROC_SMTP_LOGIN_H
#define PROC_SMTP_LOGIN_H

#include "base/account_id.h"
#include "loop/timeout.h"

struct connection;

/* Part of its connection. */
struct login {
	struct connection *connection;
	struct loop_timeout deadline; /* of the login */
	struct loop_timeout delay; /* of the answer to a wrong password */
	uint64_t call, sender_call; /* to auth; 0: none */
	struct account_id account; /* of the login that was right, and: */
	uint64_t app_password;
	uint64_t asked_ms;
	bool unavailable_logged;
	char *user;                /* as typed, of the attempt under way (call not 0), for the log; then the account's
	                            * address, for `mansio who` and `mansio kick` */
};

void login_init(struct login *login, struct connection *connection);
/* A submission begins, or (STARTTLS) begins anew: without a login in time it ends. */
void login_expect(struct login *login);
/* The session is over: nothing is called any more, and an answer that still comes counts for nothing. As often as one
 * likes. */
void login_forget(struct login *login);

/* smtp_world's authenticate, check_sender and start_timer. */
void login_ask(struct login *login, struct str user, struct str password);
void login_check_sender(struct login *login, struct str address);
void login_delay(struct login *login, uint64_t milliseconds);

#endif
