/* stream_private.h: a stream as stream.c (life and input) and stream_output.c (sending) see it. */
#ifndef LOOP_STREAM_PRIVATE_H
#define LOOP_STREAM_PRIVATE_H

#include "loop/cold_read.h"
#include "loop/stream.h"
#include "loop/timeout.h"
#include "loop/tls_private.h"

enum stream_tls {
	STREAM_PLAIN,
	STREAM_TLS_WAITING,   /* for queued plaintext to leave */
	STREAM_TLS_HANDSHAKE,
	STREAM_TLS,
};

struct stream {
	struct loop *loop;
	struct loop_watch *watch;
	const struct stream_events *events;
	void *owner;
	struct stream_limits limits;
	struct outq out;
	struct buf kept; /* input not taken yet; no memory when empty */
	struct loop_later later;
	struct loop_timeout timeout; /* nothing comes or goes; of a finish that is shut: the linger; hurried: all of it */
	struct loop_timeout stalled; /* the socket takes nothing */
	uint64_t write_timeout;      /* milliseconds of `stalled`; 0: never */
	uint64_t linger;             /* milliseconds, of a finish */
	struct cold_read *fetch;     /* the helper reads what is to be sent next */
	uint64_t fetching, fetched;  /* bytes at the front of the queue that will be, were in the page cache by that */
	SSL *ssl;
	void (*tls_done)(void *owner);
	int fd;
	enum stream_tls tls;
	int busy;           /* depth of our own calls that still use the struct */
	bool dead;          /* freed by the owner while busy */
	bool told;          /* closed() was called */
	bool paused, held;
	bool ended;         /* the other side sends no more */
	bool end_told;      /* ended() was called */
	bool ending;        /* stream_end_output: shut the sending side down when the output has left */
	bool finishing;     /* stream_finish: no input, close when the output has left */
	bool hurried;       /* progress gives a finish no more time */
	bool no_linger;     /* finished when the output has left */
	bool shut;          /* our sending side is shut down */
	bool hears_out;     /* stream_hear_out */
	bool deaf;          /* the other side reads no more: what is for it is dropped */
	bool blocked;       /* the socket took no more output */
	bool corked;        /* the socket gathers what comes into full packets */
	bool cannot_cork;   /* it is no TCP socket */
	bool offer;         /* kept input is to be offered at the end of the turn */
	bool read_again;    /* OpenSSL may hold input that epoll knows nothing of */
	bool read_wants_write, write_wants_read; /* OpenSSL */
	bool input_void;    /* what input() was offered is gone: TLS began inside it */
	bool in_input;
};

/* May the queue leave now, as far as we know? */
static inline bool stream_can_send(const struct stream *stream)
{
	return !stream->held && !stream->blocked && !stream->write_wants_read && !stream->fetch &&
	       stream->tls != STREAM_TLS_HANDSHAKE;
}

/* Sends as much as the socket takes, a bounded amount at once. Negative: the stream is broken. *sent: something
 * left. */
int stream_send(struct stream *stream, bool *sent) MUST_CHECK;

#endif
