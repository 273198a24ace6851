/* links.c: the channels to auth and the shards. Their answers end calls (ipc/call.h). What does not fit closes the
 * channel and fails its calls; the supervisor sends a new one, after it has started the other process again if that
 * has ended. */
#include "proc/smtp/private.h"

#include "base/arena.h"
#include "base/log.h"

#define RESOLVE_ARENA (128 * 1024)

static int on_resolve_reply(struct link *link, struct str body)
{
	struct arena arena = ARENA_INIT(RESOLVE_ARENA);
	struct resolve_reply reply;
	int err = resolve_reply_decode(body, &arena, &reply);
	if (err == 0)
		ipc_call_end(link->role->calls, link->peer, reply.request, &reply);
	arena_free(&arena);
	return err;
}

static int on_login_reply(struct link *link, struct str body)
{
	struct smtp_login_reply reply;
	int err = smtp_login_reply_decode(body, &reply);
	if (err == 0)
		ipc_call_end(link->role->calls, link->peer, reply.request, &reply);
	return err;
}

static int on_sender_reply(struct link *link, struct str body)
{
	struct sender_reply reply;
	int err = sender_reply_decode(body, &reply);
	if (err == 0)
		ipc_call_end(link->role->calls, link->peer, reply.request, &reply);
	return err;
}

static int on_deliver_reply(struct link *link, struct str body)
{
	struct deliver_reply reply;
	int err = deliver_reply_decode(body, &reply);
	/* An answer that nobody waits for any more is no error. */
	if (err == 0)
		ipc_call_end(link->role->calls, link->peer, reply.request, &reply);
	return err;
}

static int on_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct link *link = owner;
	if (*fd != -1)
		return ERR_CORRUPT;
	if (link->peer == PEER_AUTH && type == AUTH_SMTP_RESOLVE_REPLY)
		return on_resolve_reply(link, body);
	if (link->peer == PEER_AUTH && type == AUTH_SMTP_LOGIN_REPLY)
		return on_login_reply(link, body);
	if (link->peer == PEER_AUTH && type == AUTH_SMTP_SENDER_REPLY)
		return on_sender_reply(link, body);
	if (link->peer != PEER_AUTH && type == SHARD_SMTP_DELIVER_REPLY)
		return on_deliver_reply(link, body);
	return ERR_CORRUPT;
}

static void on_closed(void *owner)
{
	struct link *link = owner;
	bool auth = link->peer == PEER_AUTH;
	if (!link->role->stopping)
		log_warning("peer-lost", LOG_C("peer", auth ? "auth" : "shard"),
		            LOG_U("index", auth ? 0 : link->peer - PEER_SHARD(0)));
	ipc_channel_free(&link->channel);
	ipc_calls_peer_lost(link->role->calls, link->peer);
	role_peer_lost(link->role->process, auth ? ROLE_AUTH : ROLE_SHARD,
	               auth ? 0 : (uint16_t)(link->peer - PEER_SHARD(0)));
}

void smtp_link_open(struct smtp_role *role, uint32_t peer, int fd)
{
	struct link *link = &role->links[peer];
	if (link->channel) {
		ipc_channel_free(&link->channel);
		ipc_calls_peer_lost(role->calls, peer);
	}
	link->channel = ipc_channel_new(role->process->loop, fd, on_message, on_closed, link);
}

void smtp_links_free(struct smtp_role *role)
{
	for (uint32_t i = 0; i < role->n_links; i++)
		if (role->links[i].channel)
			ipc_channel_free(&role->links[i].channel);
}
