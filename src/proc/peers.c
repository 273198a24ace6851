/* peers.c: the channels to auth and the shards, by number. Owned by the role's state; a peer lives as long as the
 * process, its channel until it closes. */
#include "proc/peers.h"

#include "base/log.h"
#include "base/mem.h"

#include <unistd.h>

struct peer {
	struct peers *peers;
	struct ipc_channel *channel; /* NULL while it is down */
};

struct peers {
	struct role_process *process;
	const struct peers_events *events;
	void *owner;
	bool stopping;
	uint32_t n;
	struct peer list[];
};

struct peers *peers_new(struct role_process *process, const struct peers_events *events, void *owner)
{
	uint32_t n = PEER_SHARD(process->setup.shards);
	struct peers *peers = mem_alloc(1, sizeof *peers + n * sizeof peers->list[0]);
	peers->process = process;
	peers->events = events;
	peers->owner = owner;
	peers->n = n;
	for (uint32_t i = 0; i < n; i++)
		peers->list[i].peers = peers;
	return peers;
}

void peers_free(struct peers **peers)
{
	if (!*peers)
		return;
	for (uint32_t i = 0; i < (*peers)->n; i++)
		ipc_channel_free(&(*peers)->list[i].channel);
	mem_free(*peers);
	*peers = NULL;
}

static uint32_t number_of(const struct peer *peer)
{
	return (uint32_t)(peer - peer->peers->list);
}

static int on_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct peer *peer = owner;
	if (*fd != -1)
		return ERR_CORRUPT;
	return peer->peers->events->message(peer->peers->owner, number_of(peer), type, body);
}

static void lose(struct peer *peer)
{
	ipc_channel_free(&peer->channel);
	peer->peers->events->lost(peer->peers->owner, number_of(peer));
}

static void on_closed(void *owner)
{
	struct peer *peer = owner;
	uint32_t number = number_of(peer);
	enum role role = number == PEER_AUTH ? ROLE_AUTH : ROLE_SHARD;
	uint16_t index = number == PEER_AUTH ? 0 : (uint16_t)(number - PEER_SHARD(0));
	if (!peer->peers->stopping)
		log_warning("peer-lost", LOG_S("peer", role_name(role)), LOG_U("index", index));
	lose(peer);
	role_peer_lost(peer->peers->process, role, index);
}

void peers_add(struct peers *peers, enum role role, uint16_t index, int fd)
{
	uint32_t number = role == ROLE_AUTH ? PEER_AUTH : PEER_SHARD(index);
	if ((role != ROLE_AUTH && role != ROLE_SHARD) || number >= peers->n) {
		log_error("peer-refused", LOG_S("role", role_name(role)), LOG_U("index", index));
		close(fd);
		return;
	}
	struct peer *peer = &peers->list[number];
	if (peer->channel)
		lose(peer);
	peer->channel = ipc_channel_new(peers->process->loop, fd, on_message, on_closed, peer);
}

void peers_stop(struct peers *peers)
{
	peers->stopping = true;
}

struct ipc_channel *peers_channel(const struct peers *peers, uint32_t peer)
{
	return peer < peers->n ? peers->list[peer].channel : NULL;
}

int peers_pass(struct peers *peers, uint32_t peer, uint16_t type, const struct buf *body, int *fd)
{
	struct ipc_channel *channel = peers_channel(peers, peer);
	int err = buf_error(body);
	if (err < 0)
		return err;
	return channel ? ipc_pass(channel, type, buf_str(body), fd) : ERR_UNAVAILABLE;
}

int peers_send(struct peers *peers, uint32_t peer, uint16_t type, const struct buf *body)
{
	int none = -1;
	return peers_pass(peers, peer, type, body, &none);
}
