/* links.c: the channels to auth and the shards. What does not fit closes the channel and fails its calls; the
 * supervisor sends a new one, after it has started the other process again if that has ended. */
#include "proc/access/private.h"

#include "base/log.h"

static int on_login_reply(struct link *link, struct str body)
{
	struct login_reply reply;
	int err = login_reply_decode(body, &reply);
	/* An answer that nobody waits for any more is no error. */
	if (err == 0)
		ipc_call_end(link->role->calls, link->peer, reply.request, &reply);
	return err;
}

static int on_expire(struct link *link, struct str body)
{
	int err = expire_news_decode(body, &link->role->expire);
	if (err == 0)
		access_settings(link->role);
	return err;
}

/* Sessions that came through a relay are not in the table: the end of the relay says it all. */
static int on_session_closed(struct link *link, struct str body)
{
	struct session_closed closed;
	int err = session_closed_decode(body, &closed);
	if (err == 0 && handed_end(link->role->handed, closed.session, link->peer))
		log_debug("disconnect", LOG_ID(closed.session));
	return err;
}

static int on_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct link *link = owner;
	if (*fd != -1)
		return ERR_CORRUPT;
	if (link->peer == PEER_AUTH && type == AUTH_ACCESS_LOGIN_REPLY)
		return on_login_reply(link, body);
	if (link->peer == PEER_AUTH && type == AUTH_ACCESS_EXPIRE)
		return on_expire(link, body);
	if (link->peer != PEER_AUTH && type == SHARD_ACCESS_CLOSED)
		return on_session_closed(link, body);
	return ERR_CORRUPT;
}

static void lose(struct link *link)
{
	ipc_channel_free(&link->channel);
	if (link->peer == PEER_AUTH)
		ipc_calls_peer_lost(link->role->calls, link->peer);
	else
		handed_lost(link->role->handed, link->peer);
}

static void on_closed(void *owner)
{
	struct link *link = owner;
	bool auth = link->peer == PEER_AUTH;
	if (!link->role->stopping)
		log_warning("peer-lost", LOG_C("peer", auth ? "auth" : "shard"),
		            LOG_U("index", auth ? 0 : link->peer - PEER_SHARD(0)));
	lose(link);
	role_peer_lost(link->role->process, auth ? ROLE_AUTH : ROLE_SHARD,
	               auth ? 0 : (uint16_t)(link->peer - PEER_SHARD(0)));
}

void access_link_open(struct access_role *role, uint32_t peer, int fd)
{
	struct link *link = &role->links[peer];
	if (link->channel)
		lose(link);
	link->channel = ipc_channel_new(role->process->loop, fd, on_message, on_closed, link);
}

void access_links_free(struct access_role *role)
{
	for (uint32_t i = 0; i < role->n_links; i++)
		if (role->links[i].channel)
			ipc_channel_free(&role->links[i].channel);
}

int access_link_pass(struct access_role *role, uint32_t peer, uint16_t type, int *fd)
{
	struct ipc_channel *channel = peer < role->n_links ? role->links[peer].channel : NULL;
	int err = buf_error(&role->scratch);
	if (err < 0)
		return err;
	return channel ? ipc_pass(channel, type, buf_str(&role->scratch), fd) : ERR_UNAVAILABLE;
}

int access_link_send(struct access_role *role, uint32_t peer, uint16_t type)
{
	int none = -1;
	return access_link_pass(role, peer, type, &none);
}
