/* relay.c: two streams back to back. Owned by its connection. The bytes lie in the streams' output queues only, so
 * that a relay whose both sides keep up holds nothing. */
#include "proc/access/relay.h"

#include "base/checked.h"
#include "base/mem.h"

struct relay {
	struct stream *client; /* the owner's */
	struct stream *shard;  /* NULL: gone */
};

/* Moves what fits; pauses the reading of `from` when that is not all, or the last that fits. */
static size_t pass(struct stream *from, struct stream *to, struct str bytes)
{
	struct outq *out = stream_output(to);
	size_t room = out->held < RELAY_PAUSE ? RELAY_PAUSE - out->held : 0;
	size_t n = MIN(bytes.n, room);
	outq_add(out, str_first(bytes, n));
	stream_flush(to);
	if (n == room)
		stream_pause(from, true);
	return n;
}

/* --- the shard's side --- */

static size_t on_shard_input(void *owner, struct str bytes)
{
	struct relay *relay = owner;
	return pass(relay->shard, relay->client, bytes);
}

static void on_shard_drained(void *owner)
{
	struct relay *relay = owner;
	stream_pause(relay->client, false);
}

static void on_shard_closed(void *owner, int err)
{
	struct relay *relay = owner;
	(void)err;
	stream_free(&relay->shard);
	stream_finish(relay->client, RELAY_LINGER_MS);
}

/* --- the client's side --- */

size_t relay_client_input(struct relay *relay, struct str bytes)
{
	return relay->shard ? pass(relay->client, relay->shard, bytes) : bytes.n;
}

void relay_client_drained(struct relay *relay)
{
	if (relay->shard)
		stream_pause(relay->shard, false);
}

void relay_client_ended(struct relay *relay)
{
	if (relay->shard)
		stream_end_output(relay->shard);
}

struct relay *relay_new(struct loop *loop, struct stream *client, int fd)
{
	static const struct stream_events events = {
		.input = on_shard_input, .drained = on_shard_drained, .closed = on_shard_closed,
	};
	struct relay *relay = mem_alloc(1, sizeof *relay);
	struct stream_limits limits = { LOOP_SCRATCH_SIZE, RELAY_OUTPUT_MAX };
	relay->client = client;
	relay->shard = stream_new(loop, fd, limits, &events, relay);
	stream_hear_out(relay->shard); /* its last answers may come far behind what the client sends meanwhile */
	stream_pause(client, false); /* offers what it has kept */
	stream_offer_again(client);
	return relay;
}

void relay_free(struct relay **relay)
{
	if (!*relay)
		return;
	stream_free(&(*relay)->shard);
	mem_free(*relay);
	*relay = NULL;
}
