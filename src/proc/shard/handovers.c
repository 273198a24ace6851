/* handovers.c: sessions whose account is still being loaded, which takes several turns where it has thousands of
 * mailboxes. One is looked at in a turn; each is handed over anew then, by connection_hand_over, which may send it back to
 * the end. Owned by the shard. Whoever came by a process that is gone since is closed: its session has nobody that
 * counts it. */
#include "proc/shard/shard.h"

#include "base/mem.h"

#include <unistd.h>

struct waiting_handover {
	struct waiting_handover *next;
	struct peer *peer;
	uint32_t generation;
	int fd; /* the client's */
	size_t n;
	char body[];
};

static struct waiting_handover *take_first(struct shard *shard)
{
	struct waiting_handover *waiting = shard->handovers;
	shard->handovers = waiting->next;
	if (!shard->handovers)
		shard->handovers_end = &shard->handovers;
	shard->n_handovers--;
	return waiting;
}

static void free_waiting(struct waiting_handover *waiting)
{
	if (waiting->fd >= 0)
		close(waiting->fd);
	mem_free(waiting);
}

static void hand_over_first(void *owner)
{
	struct shard *shard = owner;
	if (!shard->handovers)
		return;
	struct waiting_handover *waiting = take_first(shard);
	struct peer *peer = waiting->peer;
	if (peer->channel && peer->generation == waiting->generation &&
	    connection_hand_over(shard, peer->index, str_of(waiting->body, waiting->n), &waiting->fd) < 0)
		shard_drop_peer(peer);
	free_waiting(waiting);
	if (shard->handovers)
		loop_later(shard->process->loop, &shard->handover);
}

void handovers_begin(struct shard *shard)
{
	shard->handovers_end = &shard->handovers;
	shard->handover = (struct loop_later){ .fn = hand_over_first, .owner = shard };
}

void handovers_wait(struct shard *shard, struct peer *peer, struct str body, int fd)
{
	struct waiting_handover *waiting = mem_alloc(1, sizeof *waiting + body.n);
	*waiting = (struct waiting_handover){ .peer = peer, .generation = peer->generation, .fd = fd, .n = body.n };
	memcpy(waiting->body, body.p, body.n);
	*shard->handovers_end = waiting;
	shard->handovers_end = &waiting->next;
	shard->n_handovers++;
	loop_later(shard->process->loop, &shard->handover);
}

void handovers_free(struct shard *shard)
{
	while (shard->handovers)
		free_waiting(take_first(shard));
	loop_later_cancel(shard->process->loop, &shard->handover);
}
