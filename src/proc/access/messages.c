/* messages.c: what auth and the shards say: answers to logins, news, and the ends of sessions that were handed over. */
#include "proc/access/private.h"

#include "base/log.h"

void access_ticket_unused(struct access_role *role, struct str ticket)
{
	struct ipc_channel *auth = peers_channel(role->peers, PEER_AUTH);
	if (role->process->conf.pop3.login_delay_ms == 0 || ticket.n == 0 || !auth)
		return;
	if (ipc_send(auth, ACCESS_AUTH_TICKET_UNUSED, ticket, -1) < 0)
		log_warning("unused-ticket-not-told");
}

static int on_login_reply(struct access_role *role, struct str body)
{
	struct login_reply reply;
	int err = login_reply_decode(body, &reply);
	/* An answer that nobody waits for any more is no error. */
	if (err == 0 && !ipc_call_end(role->calls, PEER_AUTH, reply.request, &reply))
		access_ticket_unused(role, reply.ticket);
	return err;
}

static int on_expire(struct access_role *role, struct str body)
{
	int err = expire_news_decode(body, &role->expire);
	if (err == 0)
		access_settings(role);
	return err;
}

/* Sessions that came through a relay are not in the table: the end of the relay says it all. */
static int on_session_closed(struct access_role *role, uint32_t peer, struct str body)
{
	struct session_closed closed;
	int err = session_closed_decode(body, &closed);
	if (err == 0 && handed_end(role->handed, closed.session, peer))
		log_debug("disconnect", LOG_ID(closed.session));
	return err;
}

static int on_message(void *owner, uint32_t peer, uint16_t type, struct str body)
{
	struct access_role *role = owner;
	if (peer == PEER_AUTH && type == AUTH_ACCESS_LOGIN_REPLY)
		return on_login_reply(role, body);
	if (peer == PEER_AUTH && type == AUTH_ACCESS_EXPIRE)
		return on_expire(role, body);
	if (peer != PEER_AUTH && type == SHARD_ACCESS_CLOSED)
		return on_session_closed(role, peer, body);
	return ERR_CORRUPT;
}

static void on_lost(void *owner, uint32_t peer)
{
	struct access_role *role = owner;
	if (peer == PEER_AUTH)
		ipc_calls_peer_lost(role->calls, peer);
	else
		handed_lost(role->handed, peer);
}

const struct peers_events access_peers_events = { .message = on_message, .lost = on_lost };
