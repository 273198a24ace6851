/* app_login.c: logins with app passwords. When they were used last is gathered in memory and written now and then, many in
 * one transaction: a login waits for no disk. What the process knows when it is killed is lost, a minute's worth. */
#include "proc/auth/auth.h"

#include "auth/app_password.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ipc/access_auth.h"
#include "loop/turns.h"

#define USED_MAX      256
#define USED_WRITE_MS (60 * 1000)

struct app_logins {
	struct loop_timer *timer; /* runs while there are some */
	uint64_t used[USED_MAX];
	uint32_t n;
};

static void write_used(void *owner)
{
	struct auth *auth = owner;
	struct app_logins *logins = auth->app_logins;
	int err = logins->n ? app_passwords_used(auth->directory, logins->used, logins->n, clock_wall_seconds()) : 0;
	if (err)
		log_warning("last-use-not-written", LOG_U("passwords", logins->n), LOG_ERR(err));
	logins->n = 0;
	loop_did(auth->process->loop, STR("last use of app passwords"));
}

/* Once an hour for each is enough. */
static void note_use(struct auth *auth, uint64_t number, int64_t last_used)
{
	struct app_logins *logins = auth->app_logins;
	if (clock_wall_seconds() - last_used < APP_PASSWORD_USED_EVERY)
		return;
	for (uint32_t i = 0; i < logins->n; i++)
		if (logins->used[i] == number)
			return;
	if (logins->n == USED_MAX)
		write_used(auth);
	if (logins->n == 0)
		loop_timer_start(logins->timer, USED_WRITE_MS);
	logins->used[logins->n++] = number;
}

bool app_password_fits(struct auth *auth, const struct directory_account *account, const struct login_request *request,
		       uint64_t *number)
{
	static const struct account_id nobody;
	int64_t last_used;
	_Static_assert(APP_PASSWORD_IMAP == TICKET_IMAP && APP_PASSWORD_POP3 == TICKET_POP3 &&
		       APP_PASSWORD_SMTP == TICKET_SMTP, "the directory has the bits of tickets");
	int err = app_password_check(auth->directory, account ? &account->id : &nobody, request->password, request->right,
				     number, &last_used);
	if (err && err != ERR_NOT_FOUND)
		log_error("directory-failed", LOG_ID(request->session), LOG_ERR(err));
	if (err || !account)
		return false;
	log_debug("app-password", LOG_ID(request->session), LOG_U("number", *number));
	note_use(auth, *number, last_used);
	return true;
}

void app_logins_begin(struct auth *auth)
{
	auth->app_logins = mem_alloc(1, sizeof *auth->app_logins);
	auth->app_logins->timer = loop_timer_new(auth->process->loop, write_used, auth);
}

void app_logins_write(struct auth *auth)
{
	write_used(auth);
}

void app_logins_stop(struct auth *auth)
{
	if (!auth->app_logins)
		return;
	write_used(auth);
	loop_timer_free(&auth->app_logins->timer);
	mem_free(auth->app_logins);
	auth->app_logins = NULL;
}
