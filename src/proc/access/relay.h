/* relay.h: the plaintext of a TLS connection to its shard and back. When one side takes no more, nothing more is
 * read from the other; an end of one side is passed on when what came before it has left: what the client says behind the
 * shard's end is dropped. An idle relay holds no buffers. */
#ifndef PROC_ACCESS_RELAY_H
#define PROC_ACCESS_RELAY_H

#include "loop/stream.h"

/* What waits for one side before the other is not read any more; and the limit of output that a client's stream
 * needs. */
#define RELAY_PAUSE      (128 * 1024)
#define RELAY_OUTPUT_MAX (2 * RELAY_PAUSE)

/* Time for what the shard said last to reach the client. */
#define RELAY_LINGER_MS 10000

struct relay;

/* Takes over the descriptor of our end towards the shard. The client's stream stays the owner's, who passes its
 * events on to the functions below and does nothing else with it; when the shard's side is gone it is finished
 * (stream_finish), and then closed. That a client takes nothing is noticed by the write time-out of its stream, which
 * the owner has set. */
struct relay *relay_new(struct loop *loop, struct stream *client, int fd) __attribute__((returns_nonnull));

/* At once, without flushing: to be called when the client's stream is closed. */
void relay_free(struct relay **relay);

/* The client's stream events. */
size_t relay_client_input(struct relay *relay, struct str bytes);
void relay_client_drained(struct relay *relay);
void relay_client_ended(struct relay *relay);

#endif
