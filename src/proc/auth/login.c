/* login.c: access and smtp ask whether a user may come in. Known right passwords are answered at once from the cache;
 * others wait for a turn (auth/throttle.h says whose it is) and are verified by authwork, unknown users against a dummy
 * hash, so that they take the same time. App passwords cost no such work, and are looked at first (app_login.c). A yes is
 * a ticket for the account's shard to access, the account's id to smtp.
 *
 *     login_message ──▶ throttle ──GO──▶ compare ──▶ authwork ──▶ verified ──▶ end
 *                          │ ▲                                                  │
 *                          │ └──────────────── login_turns ◀────────────────────┘
 *                          └──refused──▶ put off
 *
 * A login is owned by the throttle's list while it waits, then by its password task. */
#include "proc/auth/auth.h"

#include "auth/pop3_settings.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ipc/smtp_auth.h"

#define PEER_TEXT_MAX 64

struct login {
	struct throttle_attempt attempt; /* first: the throttle gives it back */
	struct auth_peer *asker;         /* access or smtp */
	uint64_t generation;     /* of it, when it asked */
	uint64_t request, session;
	uint32_t right;
	char user[LOGIN_USER_MAX], peer[PEER_TEXT_MAX];
	size_t user_n, peer_n;
	char *password; /* kept for the cache; wiped */
	size_t password_n;
	bool known; /* there is such an account: */
	struct account_id id;
	char hash[DIRECTORY_PASSWORD_MAX];
	size_t hash_n;
};

static void send_body(struct auth_peer *asker, uint16_t type, const struct buf *body)
{
	if (buf_error(body) || ipc_send(asker->channel, type, buf_str(body), -1) < 0)
		log_warning("reply-lost", LOG_S("to", role_name(asker->role)), LOG_U("index", asker->index));
}

static void send_reply(struct auth_peer *access, const struct login_reply *reply)
{
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	login_reply_encode(reply, &body);
	send_body(access, AUTH_ACCESS_LOGIN_REPLY, &body);
	buf_free(&body);
}

static void send_smtp_reply(struct auth_peer *smtp, const struct smtp_login_reply *reply)
{
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	smtp_login_reply_encode(reply, &body);
	send_body(smtp, AUTH_SMTP_LOGIN_REPLY, &body);
	buf_free(&body);
}

static void refuse(struct auth *auth, struct auth_peer *asker, uint64_t request, enum login_result result)
{
	if (result == LOGIN_DENIED)
		auth->counters.login_failures++;
	if (asker->role == ROLE_SMTP)
		send_smtp_reply(asker, &(struct smtp_login_reply){ .request = request, .result = result });
	else
		send_reply(asker, &(struct login_reply){ .request = request, .result = result });
}

/* Which protocols each of the two may ask for. */
static bool may_ask_for(enum role role, uint32_t right)
{
	return role == ROLE_SMTP ? right == TICKET_SMTP : right == TICKET_IMAP || right == TICKET_POP3;
}

/* The password was right. A disabled account gets no ticket; one that its shard has not made yet must wait, as
 * must one that comes by POP3 too soon (RFC 2449, section 6.5). app_password: which of these it was; 0: the account's. */
static void admit(struct auth *auth, struct auth_peer *asker, const struct login_request *request,
		  const struct directory_account *account, uint64_t app_password)
{
	struct pop3_choices choices;
	if (!account->enabled || !account->made) {
		refuse(auth, asker, request->request, account->enabled ? LOGIN_UNAVAILABLE : LOGIN_DENIED);
		return;
	}
	if (request->right == TICKET_SMTP) {
		auth->counters.logins++;
		send_smtp_reply(asker, &(struct smtp_login_reply){ request->request, LOGIN_OK, account->id, app_password,
								   account->address.whole });
		return;
	}
	struct ticket ticket = {
		.account = account->id,
		.shard = account->shard,
		.rights = request->right,
		.session = request->session,
		.expires = clock_wall_seconds() + TICKET_LIFETIME_SECONDS,
		.user = account->address.whole,
		.login = app_password,
	};
	if (request->right == TICKET_POP3 && pop3_policy_of(auth, account, app_password, &choices, &ticket.pop3) < 0) {
		refuse(auth, asker, request->request, LOGIN_UNAVAILABLE);
		return;
	}
	struct buf sealed = BUF_INIT(TICKET_SIZE_MAX);
	ticket_seal(&ticket, auth->tickets, &sealed);
	if (buf_error(&sealed)) {
		refuse(auth, asker, request->request, LOGIN_UNAVAILABLE);
	} else if (request->right == TICKET_POP3 && !login_delay_begin(auth->pop3_delay, &account->id, request->session,
								       loop_now_ms(auth->process->loop))) {
		refuse(auth, asker, request->request, LOGIN_TOO_SOON);
	} else {
		auth->counters.logins++;
		send_reply(asker, &(struct login_reply){
			.request = request->request,
			.result = LOGIN_OK,
			.shard = account->shard,
			.ticket = buf_str(&sealed),
		});
	}
	buf_free(&sealed);
}

int login_ticket_unused(struct auth *auth, struct str body)
{
	struct ticket ticket;
	int err = ticket_open(body, auth->tickets, clock_wall_seconds(), &ticket);
	if (err == 0 && ticket.rights == TICKET_POP3)
		login_delay_forget(auth->pop3_delay, &ticket.account, ticket.session);
	return err == ERR_DENIED ? 0 : err; /* its time is over */
}

static void free_login(struct login *login)
{
	mem_wipe(login->password, login->password_n);
	mem_free(login->password);
	mem_free(login);
}

static bool asker_is_there(const struct login *login)
{
	return login->asker->channel && login->asker->generation == login->generation;
}

static void answer_no(struct auth *auth, const struct login *login, enum login_result result)
{
	if (asker_is_there(login))
		refuse(auth, login->asker, login->request, result);
}

static void answer_yes(struct auth *auth, const struct login *login, const struct directory_account *account)
{
	struct login_request request = { .request = login->request, .session = login->session, .right = login->right };
	if (asker_is_there(login))
		admit(auth, login->asker, &request, account, 0);
}

/* Nobody has looked at its password. access and smtp log it, once for each connection. */
static void put_off(struct auth *auth, const struct login *login)
{
	log_debug("login-put-off", LOG_ID(login->session), LOG_S("user", str_of(login->user, login->user_n)),
		  LOG_S("peer", str_of(login->peer, login->peer_n)));
	answer_no(auth, login, LOGIN_PUT_OFF);
}

/* Of one that had its turn. */
static void end(struct auth *auth, struct login *login, enum throttle_result result)
{
	throttle_end(auth->throttle, &login->attempt, result, loop_now_ms(auth->process->loop));
	loop_later(auth->process->loop, &auth->turns_later);
	free_login(login);
}

/* The account, if it is still the one whose hash was verified. */
static bool find_again(struct auth *auth, const struct login *login, struct directory_account *out)
{
	return directory_login_find(auth->directory, str_of(login->user, login->user_n), out) == 0 &&
	       memcmp(out->id.bytes, login->id.bytes, ACCOUNT_ID_SIZE) == 0 &&
	       str_eq(str_of(out->password, out->password_n), str_of(login->hash, login->hash_n));
}

static void be_right(struct auth *auth, const struct login *login)
{
	struct directory_account account;
	if (!find_again(auth, login, &account)) {
		answer_no(auth, login, LOGIN_UNAVAILABLE);
		return;
	}
	auth_cache_add(auth->cache, &account, str_of(login->password, login->password_n), loop_now_ms(auth->process->loop));
	answer_yes(auth, login, &account);
}

static void be_wrong(struct auth *auth, const struct login *login)
{
	log_info("login-failed", LOG_ID(login->session), LOG_S("user", str_of(login->user, login->user_n)),
		 LOG_S("peer", str_of(login->peer, login->peer_n)));
	answer_no(auth, login, LOGIN_DENIED);
}

static void verified(struct auth *auth, void *owner, enum password_result result, struct str hash)
{
	struct login *login = owner;
	enum throttle_result end_result = THROTTLE_WRONG;
	switch (result) {
	case PASSWORD_GOOD:
		if (login->known) {
			be_right(auth, login);
			end_result = THROTTLE_RIGHT;
		} else {
			be_wrong(auth, login);
		}
		break;
	case PASSWORD_BAD:
		be_wrong(auth, login);
		break;
	case PASSWORD_UNCHECKED:
		put_off(auth, login);
		end_result = THROTTLE_UNKNOWN;
		break;
	case PASSWORD_DEADLY: /* counts like a wrong one: all others paid for it */
		log_error("password-not-verified", LOG_ID(login->session), LOG_S("user", str_of(login->user, login->user_n)),
			  LOG_C("action", "give this account a new password; login.password_memory may be too much"));
		answer_no(auth, login, LOGIN_UNAVAILABLE);
		break;
	}
	end(auth, login, end_result);
}

static void set_account(struct login *login, const struct directory_account *account)
{
	login->known = account;
	if (!account)
		return;
	login->id = account->id;
	memcpy(login->hash, account->password, account->password_n);
	login->hash_n = account->password_n;
}

static struct login *new_login(struct auth_peer *asker, const struct login_request *request,
			       const struct directory_account *account)
{
	struct login *login = mem_alloc(1, sizeof *login);
	login->asker = asker;
	login->generation = asker->generation;
	login->request = request->request;
	login->session = request->session;
	login->right = request->right;
	login->user_n = MIN(request->user.n, sizeof login->user);
	login->peer_n = MIN(request->peer.n, sizeof login->peer);
	if (login->user_n)
		memcpy(login->user, request->user.p, login->user_n);
	if (login->peer_n)
		memcpy(login->peer, request->peer.p, login->peer_n);
	login->password = mem_copy(request->password);
	login->password_n = request->password.n;
	set_account(login, account);
	login->attempt.address = throttle_address(request->peer);
	/* all spellings are one account, whether it exists or not */
	struct folded_address folded;
	if (account)
		login->attempt.account = throttle_account(str_of((const char *)account->id.bytes, ACCOUNT_ID_SIZE));
	else
		login->attempt.account =
			throttle_nobody(address_read(request->user, &folded) == 0 ? folded.whole : request->user);
	return login;
}

/* It has its turn. */
static void compare(struct auth *auth, struct login *login)
{
	struct password_order order = {
		.password = str_of(login->password, login->password_n),
		.hash = login->known ? str_of(login->hash, login->hash_n) : str_of(auth->dummy_hash, auth->dummy_hash_n),
		.client = login->attempt.address,
		.trusted = login->attempt.clean,
		.done = verified,
		.owner = login,
	};
	if (passwords_ask(auth, &order) == 0)
		return;
	put_off(auth, login);
	end(auth, login, THROTTLE_UNKNOWN);
}

/* It has waited: account and cache may be others by now. */
static void go_on(struct auth *auth, struct login *login)
{
	struct directory_account account;
	struct str password = str_of(login->password, login->password_n);
	if (!asker_is_there(login)) {
		end(auth, login, THROTTLE_UNKNOWN);
		return;
	}
	int err = directory_login_find(auth->directory, str_of(login->user, login->user_n), &account);
	if (err && err != ERR_NOT_FOUND) {
		log_error("directory-failed", LOG_ID(login->session), LOG_ERR(err));
		answer_no(auth, login, LOGIN_UNAVAILABLE);
		end(auth, login, THROTTLE_UNKNOWN);
	} else if (!err && auth_cache_has(auth->cache, &account, password, loop_now_ms(auth->process->loop))) {
		auth->counters.logins_cached++;
		answer_yes(auth, login, &account);
		end(auth, login, THROTTLE_RIGHT);
	} else {
		set_account(login, err ? NULL : &account);
		compare(auth, login);
	}
}

void login_turns(void *owner)
{
	struct auth *auth = owner;
	uint64_t now_ms = loop_now_ms(auth->process->loop), next_ms;
	struct throttle_attempt *attempt;
	enum throttle_turn turn;
	while ((attempt = throttle_next(auth->throttle, now_ms, &turn))) {
		struct login *login = (struct login *)attempt; /* its first member */
		if (turn == THROTTLE_GO) {
			go_on(auth, login);
		} else {
			put_off(auth, login);
			free_login(login);
		}
	}
	next_ms = throttle_next_in(auth->throttle, now_ms);
	if (next_ms == UINT64_MAX)
		loop_timer_stop(auth->turns_timer);
	else
		loop_timer_start(auth->turns_timer, next_ms);
}

void login_stop(struct auth *auth)
{
	struct throttle_attempt *attempt;
	enum throttle_turn turn;
	while ((attempt = throttle_next(auth->throttle, UINT64_MAX, &turn)))
		free_login((struct login *)attempt);
	loop_later_cancel(auth->process->loop, &auth->turns_later);
}

static void verify(struct auth_peer *asker, const struct login_request *request,
		   const struct directory_account *account)
{
	struct auth *auth = asker->auth;
	struct login *login = new_login(asker, request, account);
	enum throttle_turn turn = throttle_begin(auth->throttle, &login->attempt, loop_now_ms(auth->process->loop));
	if (turn == THROTTLE_GO) {
		compare(auth, login);
		return;
	}
	auth->counters.logins_put_off++;
	if (turn == THROTTLE_REFUSED) {
		put_off(auth, login);
		free_login(login);
	}
	loop_later(auth->process->loop, &auth->turns_later);
}

int login_message(struct auth_peer *peer, uint16_t type, struct str body)
{
	struct auth *auth = peer->auth;
	struct login_request request;
	struct directory_account account;
	uint64_t app_password;
	if (type != (peer->role == ROLE_SMTP ? SMTP_AUTH_LOGIN : ACCESS_AUTH_LOGIN))
		return ERR_STATE;
	int err = login_request_decode(body, &request);
	if (err)
		return err;
	if (!may_ask_for(peer->role, request.right))
		return ERR_CORRUPT;
	err = directory_login_find(auth->directory, request.user, &account);
	if (err && err != ERR_NOT_FOUND) {
		log_error("directory-failed", LOG_ID(request.session), LOG_ERR(err));
		refuse(auth, peer, request.request, LOGIN_UNAVAILABLE);
	} else if (!err && auth_cache_has(auth->cache, &account, request.password, loop_now_ms(auth->process->loop))) {
		auth->counters.logins_cached++;
		admit(auth, peer, &request, &account, 0);
	} else if (app_password_fits(auth, err ? NULL : &account, &request, &app_password)) {
		admit(auth, peer, &request, &account, app_password);
	} else {
		verify(peer, &request, err ? NULL : &account);
	}
	mem_wipe_str(request.password); /* in the channel's room, which is used again */
	return 0;
}
