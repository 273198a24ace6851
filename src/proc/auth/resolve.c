/* resolve.c: smtp asks where an address leads, and whether a login may send as one. Answered at once from the
 * directory; the answer is the directory's. */
#include "proc/auth/auth.h"

#include "auth/app_password.h"
#include "base/mem.h"
#include "ipc/smtp_auth.h"

_Static_assert(RESOLVE_TARGETS_MAX >= DIRECTORY_TARGETS_MAX, "all that the directory finds can be said");

static enum resolve_result result_of(int err)
{
	switch (err) {
	case 0:
		return RESOLVE_OK;
	case ERR_DENIED:
		return RESOLVE_NOT_LOCAL;
	case ERR_NOT_FOUND:
		return RESOLVE_NO_SUCH_USER;
	case ERR_LIMIT:
		return RESOLVE_LOOP;
	default:
		return RESOLVE_UNAVAILABLE;
	}
}

static int send_reply(struct auth_peer *smtp, const struct resolve_reply *reply)
{
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	resolve_reply_encode(reply, &body);
	int err = buf_error(&body);
	if (!err)
		err = ipc_send(smtp->channel, AUTH_SMTP_RESOLVE_REPLY, buf_str(&body), -1);
	buf_free(&body);
	return err;
}

/* --- senders --- */

/* Whether what the login was made with still holds: 0, or ERR_NOT_FOUND. */
static int look_at_login(struct auth *auth, const struct sender_request *request)
{
	int err = directory_account_may_log_in(auth->directory, &request->account);
	if (err || request->app_password == 0)
		return err;
	return app_password_exists(auth->directory, &request->account, request->app_password);
}

/* An address that leads to others too is not the account's alone: who sends as it would speak for them. */
static int look_at_sender(struct auth *auth, const struct sender_request *request, bool *own)
{
	*own = request->address.n == 0;
	if (*own)
		return 0;
	int err = directory_resolve(auth->directory, request->address, auth->targets);
	enum resolve_result result = result_of(err);
	*own = result == RESOLVE_OK && auth->targets->n == 1 &&
	       memcmp(&auth->targets->list[0].account, &request->account, sizeof request->account) == 0;
	return result == RESOLVE_UNAVAILABLE ? err : 0;
}

static enum sender_result judge_sender(struct auth *auth, const struct sender_request *request)
{
	bool own = false;
	int err = look_at_login(auth, request);
	if (err == ERR_NOT_FOUND)
		return SENDER_LOGGED_OUT;
	if (err == 0)
		err = look_at_sender(auth, request, &own);
	if (err != 0 && err != ERR_UNAVAILABLE)
		log_error("directory-failed", LOG_ID(request->session), LOG_ERR(err));
	return err != 0 ? SENDER_UNAVAILABLE : own ? SENDER_OWN : SENDER_OTHER;
}

static int sender_message(struct auth_peer *peer, struct str body)
{
	struct sender_request request;
	int err = sender_request_decode(body, &request);
	if (err)
		return err;
	struct sender_reply reply = { request.request, judge_sender(peer->auth, &request) };
	struct buf out = BUF_INIT(IPC_BODY_MAX);
	sender_reply_encode(&reply, &out);
	if (buf_error(&out) || ipc_send(peer->channel, AUTH_SMTP_SENDER_REPLY, buf_str(&out), -1) < 0)
		log_warning("reply-lost", LOG_C("to", "smtp"), LOG_U("index", peer->index));
	buf_free(&out);
	return 0;
}

/* --- recipients --- */

/* Sent with this turn, as is the answer to whoever asked for the change. A process that takes nothing more must not go
 * on with what it remembers: its next channel begins with nothing. */
void resolve_changed(void *owner)
{
	struct auth *auth = owner;
	for (size_t i = 0; i < AUTH_PEERS_MAX; i++) {
		struct auth_peer *smtp = &auth->smtp[i];
		if (!smtp->channel || !smtp->remembers)
			continue;
		smtp->remembers = false;
		if (ipc_send(smtp->channel, AUTH_SMTP_CHANGED, STR(""), -1) < 0)
			auth_peer_drop(smtp);
	}
}


int resolve_message(struct auth_peer *peer, uint16_t type, struct str body)
{
	struct auth *auth = peer->auth;
	if (type == SMTP_AUTH_SENDER)
		return sender_message(peer, body);
	struct resolve_request request;
	struct resolve_reply reply = { 0 };
	if (type != SMTP_AUTH_RESOLVE)
		return ERR_STATE;
	int err = resolve_request_decode(body, &request);
	if (err)
		return err;
	err = directory_resolve(auth->directory, request.address, auth->targets);
	reply.request = request.request;
	reply.result = result_of(err);
	auth->counters.resolved += reply.result == RESOLVE_OK;
	auth->counters.resolve_refused += reply.result != RESOLVE_OK;
	if (reply.result == RESOLVE_UNAVAILABLE && err != ERR_UNAVAILABLE)
		log_error("directory-failed", LOG_ID(request.session), LOG_ERR(err));
	struct resolve_target *targets = NULL;
	if (reply.result == RESOLVE_OK) {
		targets = mem_alloc(auth->targets->n, sizeof *targets);
		for (uint32_t i = 0; i < auth->targets->n; i++) {
			targets[i].account = auth->targets->list[i].account;
			targets[i].shard = auth->targets->list[i].shard;
		}
		reply.targets = targets;
		reply.n_targets = auth->targets->n;
	}
	peer->remembers |= reply.n_targets == 1;
	if (send_reply(peer, &reply) < 0)
		log_warning("reply-lost", LOG_C("to", "smtp"), LOG_U("index", peer->index));
	mem_free(targets);
	return 0;
}
