/* peers.h: the channels of a role that serves the network (access, smtp) to auth and the shards. While one of these
 * processes is down its channel is not there; what does not fit closes a channel; the supervisor sends a new one, after
 * it has started the other process again if that has ended. */
#ifndef PROC_PEERS_H
#define PROC_PEERS_H

#include "ipc/channel.h"
#include "proc/role.h"

/* How peers are numbered, in ipc_calls too. */
#define PEER_AUTH 0
#define PEER_SHARD(index) ((uint32_t)(index) + 1)

struct peers;

struct peers_events {
	/* As ipc_message_fn, for messages without a descriptor; one that has one is malformed. */
	int (*message)(void *owner, uint32_t peer, uint16_t type, struct str body);
	/* The channel is gone, and what was asked over it stays unanswered. Another may be there soon. */
	void (*lost)(void *owner, uint32_t peer);
};

/* Auth and all shards of the set-up, all down. The table is borrowed. */
struct peers *peers_new(struct role_process *process, const struct peers_events *events, void *owner)
	__attribute__((returns_nonnull));
/* Closes all, telling nobody. Accepts NULL inside. */
void peers_free(struct peers **peers);

/* A role's peer(): a new channel, replacing an older one. Takes the descriptor over. */
void peers_add(struct peers *peers, enum role role, uint16_t index, int fd);
/* The role stops: peers that go are nothing to warn of any more. */
void peers_stop(struct peers *peers);

/* NULL while it is down, and where there is no such peer. */
struct ipc_channel *peers_channel(const struct peers *peers, uint32_t peer);

/* ipc_send and ipc_pass of a message that was encoded into `body`. ERR_UNAVAILABLE while the peer is down; the buffer's
 * error when the message did not fit. */
int peers_send(struct peers *peers, uint32_t peer, uint16_t type, const struct buf *body) MUST_CHECK;
int peers_pass(struct peers *peers, uint32_t peer, uint16_t type, const struct buf *body, int *fd) MUST_CHECK;

#endif
