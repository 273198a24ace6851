/* handovers.c: clients that access hands over, with a ticket of auth's. One whose account takes several turns to load, as
 * it has thousands of mailboxes, waits here, and those that come to such accounts behind it: the first is let in before
 * another account is begun. Owned by the shard. Whoever came by a process that is gone since is closed: its session has
 * nobody that counts it. */
#include "proc/shard/shard.h"

#include "base/clock.h"
#include "base/mem.h"

#include <unistd.h>

struct waiting_handover {
	struct waiting_handover *next;
	struct peer *peer;
	uint32_t generation;
	int64_t came; /* clock_wall_seconds */
	int fd;       /* the client's; -1: it is done */
	size_t n;
	char body[];
};

static void remove_first(struct shard *shard)
{
	struct waiting_handover *waiting = shard->handovers;
	shard->handovers = waiting->next;
	if (!shard->handovers)
		shard->handovers_end = &shard->handovers;
	shard->n_handovers--;
	if (waiting->fd >= 0)
		close(waiting->fd);
	mem_free(waiting);
}

/* A slice for the first. */
static void let_in_first(struct shard *shard)
{
	struct waiting_handover *waiting = shard->handovers;
	struct peer *peer = waiting->peer;
	bool lives = peer->channel && peer->generation == waiting->generation;
	shard->n_handovers--; /* its own place is not taken */
	int result = lives ? connection_let_in(shard, peer->index, str_of(waiting->body, waiting->n), waiting->came, &waiting->fd) : 0;
	shard->n_handovers++;
	if (result < 0)
		shard_drop_peer(peer);
	if (result < 0 || !lives || waiting->fd == -1)
		remove_first(shard);
}

static void work(void *owner)
{
	struct shard *shard = owner;
	if (shard->handovers)
		let_in_first(shard);
	if (shard->handovers)
		loop_later(shard->process->loop, &shard->handover);
}

void handovers_begin(struct shard *shard)
{
	shard->handovers_end = &shard->handovers;
	shard->handover = (struct loop_later){ .fn = work, .owner = shard };
}

static void wait(struct shard *shard, struct peer *peer, struct str body, int64_t came, int fd)
{
	struct waiting_handover *waiting = mem_alloc(1, sizeof *waiting + body.n);
	*waiting = (struct waiting_handover){ .peer = peer, .generation = peer->generation, .came = came, .fd = fd, .n = body.n };
	memcpy(waiting->body, body.p, body.n);
	*shard->handovers_end = waiting;
	shard->handovers_end = &waiting->next;
	shard->n_handovers++;
	loop_later(shard->process->loop, &shard->handover);
}

int handover_came(struct shard *shard, uint16_t access, struct str body, int *fd)
{
	int64_t came = clock_wall_seconds();
	int result = connection_let_in(shard, access, body, came, fd);
	if (result < 0 || *fd == -1)
		return result;
	wait(shard, &shard->access[access % PEERS_MAX], body, came, *fd);
	*fd = -1;
	return 0;
}

void handovers_stop(struct shard *shard)
{
	while (shard->handovers)
		let_in_first(shard);
}

void handovers_free(struct shard *shard)
{
	while (shard->handovers)
		remove_first(shard);
	loop_later_cancel(shard->process->loop, &shard->handover);
}
