/* stream.h: a connected socket with bounded buffers, plain or TLS. Input is offered as slices; what its owner does
 * not take is kept (bounded) and offered again with what follows. Output is an outq. An idle stream holds no
 * buffers. */
#ifndef LOOP_STREAM_H
#define LOOP_STREAM_H

#include "base/outq.h"
#include "loop/loop.h"

struct stream;
struct tls_context;

struct stream_events {
	/* Bytes have come: take some from the front and return how many. Not called again before more bytes come or
	 * stream_offer_again. Inside this call the stream may be closed or detached (stream_close, stream_detach): then the
	 * return value is ignored. */
	size_t (*input)(void *owner, struct str bytes);
	/* All output has left (called at the end of a turn, after output had been waiting or was flushed whole). */
	void (*drained)(void *owner);
	/* The other side closed, an error happened or a time-out: 0 for a clean end of input, else negative enum err
	 * (ERR_CLOSED, ERR_IO, ERR_TIMEOUT, ERR_LIMIT for an output queue that overflowed). Called once; the owner frees
	 * the stream now or later. A clean end waits while the stream is paused or held or has output (a client may shut
	 * down its side and still read): an owner that waits for somebody else before it answers pauses the stream. */
	void (*closed)(void *owner, int err);
	/* May be NULL. Called once, instead of closed(0), at a clean end of input: output may go on until the owner
	 * ends it with stream_finish or stream_end_output, after which closed(0) comes. */
	void (*ended)(void *owner);
	/* May be NULL. Called once as soon as a clean end of input is read, before ended or closed, which may have to wait. */
	void (*end_read)(void *owner);
	/* May be NULL. Called instead of closed(ERR_TIMEOUT) when the time-out of stream_set_timeout strikes: the owner
	 * says its last words and calls stream_finish, or frees the stream; else nothing watches its silence any more. */
	void (*idle)(void *owner);
};

struct stream_limits {
	/* Bytes of input kept while the owner waits for more: then nothing more is read until it takes some. What one read
	 * brought (LOOP_SCRATCH_SIZE) is kept in any case. */
	size_t input_max;
	size_t output_max; /* bytes of output held in memory */
};

/* Takes over the descriptor (made non-blocking; output is gathered by the turn, so a TCP socket should have TCP_NODELAY,
 * which it inherits from its listener). Reading starts at once. */
struct stream *stream_new(struct loop *loop, int fd, struct stream_limits limits, const struct stream_events *events,
                          void *owner);

/* Is it a stream socket that bytes can come and go by, and none that listens? For descriptors from a peer that may have
 * been taken over: another kind would stop its loop, or end it. */
bool stream_takes(int fd);

/* Closes the descriptor at once, dropping what is queued. Accepts NULL. Safe inside callbacks of the same stream. */
void stream_free(struct stream **stream);

/* Sends what is queued, shuts down the sending side, waits for the other side's end (so that the last answer is not
 * lost to a reset) for at most `linger_ms`, and calls closed(). While something is queued the client has as long as ever
 * (stream_set_write_timeout; at least `linger_ms` without progress). Input is ignored from now on. In the middle of a TLS
 * handshake nothing can be said: what is queued is dropped and closed() comes at once. */
void stream_finish(struct stream *stream, uint64_t linger_ms);
/* For a server that stops: all that takes at most so many milliseconds, and what has not left then is lost. Hurries a
 * finish that has begun, too. */
void stream_finish_soon(struct stream *stream, uint64_t milliseconds);
/* The other side has said its last word (LOGOUT, QUIT): a finish does not wait for its end, which costs three system
 * calls and a wake-up. */
void stream_no_linger(struct stream *stream);

/* Shuts down the sending side as soon as what is queued has left; input goes on, and closed(0) tells its end. */
void stream_end_output(struct stream *stream);

/* Of a plain stream: who closes the other side has said all, and what it has said counts, whatever is still to be sent.
 * From then on output is dropped as if it had left, also what follows; input goes on to its end, which closed(0) tells. */
void stream_hear_out(struct stream *stream);

/* File ranges that are not in the page cache are read by the loop's read helper (loop_set_read_helper); the stream
 * goes on when they are there, and its loop never waits for a disk. Without a helper it does.
 *
 * Add to this, then call stream_flush: it is sent at the end of the turn, as much as the socket takes. While held
 * (stream_hold), nothing leaves: the commit gate holds back replies that promise what is not on disk yet. */
struct outq *stream_output(struct stream *stream);
void stream_flush(struct stream *stream);
void stream_hold(struct stream *stream, bool hold);

/* Stops or resumes the reading of the socket (back-pressure); the resumed stream offers what it kept. */
void stream_pause(struct stream *stream, bool pause);
/* Offers the kept input again at the end of this turn, without new bytes. */
void stream_offer_again(struct stream *stream);

/* idle() or closed(ERR_TIMEOUT) after this many milliseconds without input or output progress; 0: never. */
void stream_set_timeout(struct stream *stream, uint64_t milliseconds);

/* closed(ERR_TIMEOUT) when the socket has taken nothing for this many milliseconds although output waits for it,
 * whatever comes in meanwhile; 0: never. Output that is held or read from a disk does not wait for the socket. */
void stream_set_write_timeout(struct stream *stream, uint64_t milliseconds);

/* The other side has ended its output: nothing comes any more but what is kept. Whether it still reads is not known. */
bool stream_has_ended(const struct stream *stream);
/* *all: the other side's system has acknowledged all that was sent (by a Unix socket: its program has read it).
 * ERR_CLOSED: it has refused some, as nobody is there any more. Works until the stream is freed. */
int stream_is_received(const struct stream *stream, bool *all) MUST_CHECK;
/* Bytes at the front of the output, since the stream was made, that the other side's system has acknowledged; all that
 * was sent when that is not known. Counts on when the stream is over, until it is freed. For plain TCP only: a Unix socket tells what the
 * kernel holds for it, and TLS has bytes of its own. */
uint64_t stream_received(const struct stream *stream);
/* Input is kept that the owner has not taken yet. */
bool stream_has_input(const struct stream *stream);

/* Milliseconds since a byte came or went. */
uint64_t stream_idle_ms(const struct stream *stream);

/* TLS as the server: output queued before still leaves in the clear, then the handshake begins. Plaintext input not
 * taken yet is thrown away (RFC 3207, 2595: nothing sent before may count); inside input() the return value is
 * ignored. tls_done (may be NULL) is called when the handshake is complete; a failed one calls closed(ERR_CLOSED).
 * ERR_STATE: it is TLS already. */
int stream_start_tls(struct stream *stream, struct tls_context *context, void (*tls_done)(void *owner)) MUST_CHECK;
bool stream_is_tls(const struct stream *stream);
/* "TLSv1.3" (empty too while the handshake is not complete) and cipher; empty slices when plain. */
struct str stream_tls_version(const struct stream *stream);
struct str stream_tls_cipher(const struct stream *stream);

/* Gives up the descriptor of a plain stream: kept input is appended to `unread`, the stream is freed, the watch
 * gone. Inside input() the owner appends what it did not take of the slice itself, and nothing is added here. Output
 * must have left (else ERR_STATE; ERR_LIMIT when `unread` is too small) and nothing changes. */
int stream_detach(struct stream **stream, int *fd, struct buf *unread) MUST_CHECK;

#endif
