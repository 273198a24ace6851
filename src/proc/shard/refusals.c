/* refusals.c: clients that cannot be let in: each hears why, and what it has sent ahead is read off for a while, so that no
 * reset takes the answer away. Owned by the shard, until the client has ended its side, was given enough time, or sent too
 * much. Of more than REFUSALS_MAX at once the connection is closed behind the answer, whatever waits in it. */
#include "proc/shard/shard.h"

#include "base/mem.h"
#include "loop/timeout.h"

#include <sys/socket.h>
#include <unistd.h>

struct refusal {
	struct shard *shard;
	struct refusal *next, **link;
	struct stream *stream;
	struct loop_timeout timeout;
	uint64_t bytes; /* that have come */
};

static void end(struct refusal *refusal)
{
	struct shard *shard = refusal->shard;
	loop_timeout_set(shard->process->loop, &refusal->timeout, 0);
	stream_free(&refusal->stream);
	*refusal->link = refusal->next;
	if (refusal->next)
		refusal->next->link = refusal->link;
	shard->n_refusals--;
	mem_free(refusal);
}

static size_t on_input(void *owner, struct str bytes)
{
	struct refusal *refusal = owner;
	refusal->bytes += bytes.n;
	if (refusal->bytes > REFUSAL_BYTES_MAX)
		end(refusal);
	return bytes.n;
}

static void on_closed(void *owner, int err)
{
	end(owner);
}

static void on_timeout(void *owner)
{
	end(owner);
}

static const struct stream_events events = { .input = on_input, .closed = on_closed };

void refusal_begin(struct shard *shard, struct str answer, int fd)
{
	if (shard->n_refusals == REFUSALS_MAX) {
		ssize_t ignored = send(fd, answer.p, answer.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)ignored; /* a client that does not take it hears nothing */
		close(fd);
		return;
	}
	struct refusal *refusal = mem_alloc(1, sizeof *refusal);
	struct stream_limits limits = { .input_max = 1, .output_max = REFUSAL_MAX };
	*refusal = (struct refusal){ .shard = shard, .next = shard->refusals, .link = &shard->refusals };
	if (refusal->next)
		refusal->next->link = &refusal->next;
	shard->refusals = refusal;
	shard->n_refusals++;
	refusal->timeout = (struct loop_timeout){ .fire = on_timeout, .owner = refusal };
	loop_timeout_set(shard->process->loop, &refusal->timeout, LINGER_MS);
	refusal->stream = stream_new(shard->process->loop, fd, limits, &events, refusal);
	outq_add(stream_output(refusal->stream), answer);
	stream_end_output(refusal->stream);
}

void refusals_free(struct shard *shard)
{
	while (shard->refusals)
		end(shard->refusals);
}
