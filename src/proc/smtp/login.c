/* login.c: asks auth who a submission comes from, once for each AUTH, and about the sender of each message. Owned by
 * the connection. When auth is away or does not answer, the client is told to come again. */
#include "proc/smtp/login.h"

#include "base/checked.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/smtp/connection.h"

static void on_delay_over(void *owner)
{
	struct login *login = owner;
	smtp_session_timer(login->connection->session);
	connection_go_on(login->connection);
}

static void on_deadline(void *owner)
{
	struct login *login = owner;
	smtp_session_end(login->connection->session, "no login came in time");
	connection_go_on(login->connection);
}

void login_init(struct login *login, struct connection *connection)
{
	login->connection = connection;
	login->deadline = (struct loop_timeout){ .fire = on_deadline, .owner = login };
	login->delay = (struct loop_timeout){ .fire = on_delay_over, .owner = login };
}

static void forget_user(struct login *login)
{
	mem_free(login->user);
	login->user = NULL;
}

void login_expect(struct login *login)
{
	struct role_process *process = login->connection->role->process;
	forget_user(login);
	loop_timeout_set(process->loop, &login->deadline, process->conf.login.timeout_ms);
}

void login_forget(struct login *login)
{
	struct smtp_role *role = login->connection->role;
	ipc_call_cancel(role->calls[QUESTION_LOGIN], login->call);
	ipc_call_cancel(role->calls[QUESTION_SENDER], login->sender_call);
	login->call = login->sender_call = 0;
	loop_timeout_set(role->process->loop, &login->delay, 0);
	loop_timeout_set(role->process->loop, &login->deadline, 0);
	forget_user(login);
}

void login_delay(struct login *login, uint64_t milliseconds)
{
	loop_timeout_set(login->connection->role->process->loop, &login->delay, MAX(milliseconds, UINT64_C(1)));
}

/* As proc/access writes it. */
static void log_login(const struct login *login, const char *result)
{
	const struct connection *connection = login->connection;
	bool tls = stream_is_tls(connection->stream);
	log_info("login", LOG_ID(connection->id), LOG_C("result", result), LOG_C("protocol", "smtp"),
	         LOG_C("user", login->user), LOG_C("peer", connection->peer.text),
	         LOG_S("tls", tls ? stream_tls_version(connection->stream) : STR("no")),
	         LOG_U("milliseconds", loop_now_ms(connection->role->process->loop) - login->asked_ms));
}

/* Told once for each connection, as by proc/access. */
static enum login_verdict be_unavailable(struct login *login, const char *why)
{
	if (!login->unavailable_logged)
		log_login(login, why);
	login->unavailable_logged = true;
	return LOGIN_VERDICT_UNAVAILABLE;
}

static enum login_verdict verdict_of(struct login *login, int result, const struct smtp_login_reply *reply)
{
	struct smtp_role *role = login->connection->role;
	if (result < 0)
		return be_unavailable(login, result == ERR_TIMEOUT ? "no-answer" : "auth-away");
	switch (reply->result) {
	case LOGIN_OK:
		role->n_logins++;
		login->account = reply->account;
		login->app_password = reply->app_password;
		loop_timeout_set(role->process->loop, &login->deadline, 0);
		log_login(login, "ok");
		forget_user(login);
		login->user = mem_copy(reply->user);
		return LOGIN_VERDICT_OK;
	case LOGIN_DENIED:
		role->n_login_failures++;
		log_login(login, "denied");
		return LOGIN_VERDICT_DENIED;
	case LOGIN_PUT_OFF:
		return be_unavailable(login, "put-off");
	case LOGIN_TOO_SOON: /* of POP3 */
	case LOGIN_UNAVAILABLE:
	case LOGIN_RESULT_COUNT:
		break;
	}
	return be_unavailable(login, "unavailable");
}

static void on_answer(void *owner, int result, const void *message)
{
	struct login *login = owner;
	const struct smtp_login_reply *reply = message;
	login->call = 0;
	enum login_verdict verdict = verdict_of(login, result, reply);
	if (verdict != LOGIN_VERDICT_OK)
		forget_user(login);
	smtp_session_authenticated(login->connection->session, verdict);
	connection_go_on(login->connection);
}

static int send_request(struct login *login, struct str user, struct str password)
{
	struct connection *connection = login->connection;
	struct smtp_role *role = connection->role;
	struct login_request request = {
		.session = connection->id, .right = TICKET_SMTP, .tls = stream_is_tls(connection->stream), .user = user,
		.password = password, .peer = str_from_c(connection->peer.text),
	};
	_Static_assert(LOGIN_USER_MAX == LOGIN_ENGINE_USER_MAX && LOGIN_PASSWORD_MAX == LOGIN_ENGINE_PASSWORD_MAX,
	               "what the engine lets through can be asked");
	uint64_t patience_ms = LOGIN_ANSWER_MS + role->process->conf.login.failure_delay_max_ms;
	int err = ipc_call_begin(role->calls[QUESTION_LOGIN], PEER_AUTH, patience_ms, on_answer, login, &login->call);
	if (err != 0)
		return err;
	request.request = login->call;
	buf_clear(&role->scratch);
	login_request_encode(&request, &role->scratch);
	err = peers_send(role->peers, PEER_AUTH, SMTP_AUTH_LOGIN, &role->scratch);
	mem_wipe_str(buf_str(&role->scratch));
	return err;
}

void login_ask(struct login *login, struct str user, struct str password)
{
	struct smtp_role *role = login->connection->role;
	forget_user(login);
	login->user = mem_copy(user);
	login->asked_ms = loop_now_ms(role->process->loop);
	if (send_request(login, user, password) == 0)
		return;
	enum login_verdict verdict = be_unavailable(login, "auth-away");
	ipc_call_cancel(role->calls[QUESTION_LOGIN], login->call);
	login->call = 0;
	forget_user(login);
	smtp_session_authenticated(login->connection->session, verdict);
}

/* --- senders --- */

static enum smtp_sender sender_of(enum sender_result result)
{
	switch (result) {
	case SENDER_OWN:
		return SMTP_SENDER_OWN;
	case SENDER_OTHER:
		return SMTP_SENDER_OTHER;
	case SENDER_LOGGED_OUT:
		return SMTP_SENDER_LOGGED_OUT;
	case SENDER_UNAVAILABLE:
	case SENDER_RESULT_COUNT:
		break;
	}
	return SMTP_SENDER_UNAVAILABLE;
}

static void on_sender(void *owner, int result, const void *message)
{
	struct login *login = owner;
	const struct sender_reply *reply = message;
	login->sender_call = 0;
	if (result != 0)
		log_warning("sender-unanswered", LOG_ID(login->connection->id), LOG_ERR(result));
	smtp_session_sender_checked(login->connection->session,
	                            result == 0 ? sender_of(reply->result) : SMTP_SENDER_UNAVAILABLE);
	connection_go_on(login->connection);
}

void login_check_sender(struct login *login, struct str address)
{
	struct smtp_role *role = login->connection->role;
	struct ipc_calls *calls = role->calls[QUESTION_SENDER];
	struct sender_request request = { .session = login->connection->id, .account = login->account,
		                              .app_password = login->app_password, .address = address };
	int err = address.n > RESOLVE_ADDRESS_MAX ? ERR_LIMIT : 0;
	if (err == 0)
		err = ipc_call_begin(calls, PEER_AUTH, RESOLVE_TIMEOUT_MS, on_sender, login, &login->sender_call);
	if (err == 0) {
		request.request = login->sender_call;
		buf_clear(&role->scratch);
		sender_request_encode(&request, &role->scratch);
		err = peers_send(role->peers, PEER_AUTH, SMTP_AUTH_SENDER, &role->scratch);
	}
	if (err == 0)
		return;
	log_warning("sender-not-checked", LOG_ID(login->connection->id), LOG_ERR(err));
	ipc_call_cancel(calls, login->sender_call);
	login->sender_call = 0;
	smtp_session_sender_checked(login->connection->session, SMTP_SENDER_UNAVAILABLE);
}
