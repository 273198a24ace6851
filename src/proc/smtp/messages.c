/* messages.c: what auth and the shards say. Their answers end calls (ipc/call.h), and each kind of question has its own
 * table of them: an answer of one kind never ends a question of another, whatever number it names. An answer that
 * nobody waits for any more is no error. */
#include "proc/smtp/private.h"

#include "base/arena.h"

#define RESOLVE_ARENA (128 * 1024)

static int on_resolve_reply(struct smtp_role *role, struct str body)
{
	struct arena arena = ARENA_INIT(RESOLVE_ARENA);
	struct resolve_reply reply;
	int err = resolve_reply_decode(body, &arena, &reply);
	if (err == 0)
		ipc_call_end(role->calls[QUESTION_RESOLVE], PEER_AUTH, reply.request, &reply);
	arena_free(&arena);
	return err;
}

static int on_login_reply(struct smtp_role *role, struct str body)
{
	struct smtp_login_reply reply;
	int err = smtp_login_reply_decode(body, &reply);
	if (err == 0)
		ipc_call_end(role->calls[QUESTION_LOGIN], PEER_AUTH, reply.request, &reply);
	return err;
}

static int on_sender_reply(struct smtp_role *role, struct str body)
{
	struct sender_reply reply;
	int err = sender_reply_decode(body, &reply);
	if (err == 0)
		ipc_call_end(role->calls[QUESTION_SENDER], PEER_AUTH, reply.request, &reply);
	return err;
}

static int on_deliver_reply(struct smtp_role *role, uint32_t peer, struct str body)
{
	struct deliver_reply reply;
	int err = deliver_reply_decode(body, &reply);
	if (err == 0)
		ipc_call_end(role->calls[QUESTION_DELIVER], peer, reply.request, &reply);
	return err;
}

/* Some address may lead elsewhere than it did. */
static int on_changed(struct smtp_role *role, struct str body)
{
	known_addresses_forget(role->known);
	return body.n == 0 ? 0 : ERR_CORRUPT;
}

static int on_message(void *owner, uint32_t peer, uint16_t type, struct str body)
{
	struct smtp_role *role = owner;
	if (peer == PEER_AUTH && type == AUTH_SMTP_RESOLVE_REPLY)
		return on_resolve_reply(role, body);
	if (peer == PEER_AUTH && type == AUTH_SMTP_LOGIN_REPLY)
		return on_login_reply(role, body);
	if (peer == PEER_AUTH && type == AUTH_SMTP_SENDER_REPLY)
		return on_sender_reply(role, body);
	if (peer == PEER_AUTH && type == AUTH_SMTP_CHANGED)
		return on_changed(role, body);
	if (peer != PEER_AUTH && type == SHARD_SMTP_DELIVER_REPLY)
		return on_deliver_reply(role, peer, body);
	return ERR_CORRUPT;
}

static void on_lost(void *owner, uint32_t peer)
{
	struct smtp_role *role = owner;
	for (size_t i = 0; i < QUESTION_COUNT; i++)
		ipc_calls_peer_lost(role->calls[i], peer);
	if (peer == PEER_AUTH)
		known_addresses_forget(role->known); /* the next life of auth does not know who was told what */
}

const struct peers_events smtp_peers_events = { .message = on_message, .lost = on_lost };
