/* resolve.c: smtp asks where an address leads. Answered at once from the directory; the answer is the directory's. */
#include "proc/auth/auth.h"

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

int resolve_message(struct auth_peer *peer, uint16_t type, struct str body)
{
	struct auth *auth = peer->auth;
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
	if (send_reply(peer, &reply) < 0)
		log_warning("reply-lost", LOG_C("to", "smtp"), LOG_U("index", peer->index));
	mem_free(targets);
	return 0;
}
