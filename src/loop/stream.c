/* stream.c: life and input of a stream; stream_output.c sends. Owned by a session, who may free or detach it inside
 * any of its callbacks: `busy` counts our own calls on the stack, and the last one of them releases the memory.
 *
 * Everything that is put off (output, offers, a resumed read) is done by at_end_of_turn(), at most once a turn.
 * After an error or a time-out closed() is called once and the stream only waits to be freed: no watch, no timer, no
 * input. */
#include "loop/stream.h"

#include "base/checked.h"
#include "base/mem.h"
#include "loop/stream_private.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- life --- */

static void release(struct stream *stream)
{
	buf_free(&stream->kept);
	mem_free(stream);
}

static void enter(struct stream *stream)
{
	stream->busy++;
}

/* False when the owner freed it meanwhile: then it is gone. */
static bool leave(struct stream *stream)
{
	stream->busy--;
	if (!stream->dead)
		return true;
	if (stream->busy == 0)
		release(stream);
	return false;
}

/* Is anybody still interested in what happens? */
static bool alive(const struct stream *stream)
{
	return !stream->dead && !stream->told;
}

static void stop_timeouts(struct stream *stream)
{
	loop_timeout_set(stream->loop, &stream->timeout, 0);
	loop_timeout_set(stream->loop, &stream->stalled, 0);
}

/* Takes loop and OpenSSL away from the descriptor; kept input stays for a caller up the stack. */
static void unhook(struct stream *stream)
{
	loop_later_cancel(stream->loop, &stream->later);
	stop_timeouts(stream);
	cold_read_forget(&stream->fetch);
	loop_watch_free(&stream->watch);
	SSL_free(stream->ssl);
	stream->ssl = NULL;
	outq_free(&stream->out);
}

bool stream_takes(int fd)
{
	int type = 0, listens = 1;
	socklen_t n = sizeof type;
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && !listens;
}

void stream_free(struct stream **stream)
{
	struct stream *s = *stream;
	*stream = NULL;
	if (!s || s->dead)
		return;
	unhook(s);
	close(s->fd);
	s->dead = true;
	if (s->busy == 0)
		release(s);
}

static void tell_closed(struct stream *stream, int err)
{
	if (!alive(stream))
		return;
	stream->told = true;
	loop_later_cancel(stream->loop, &stream->later);
	stop_timeouts(stream);
	loop_watch_set(stream->watch, 0);
	stream->events->closed(stream->owner, err);
}

/* --- what to wait for --- */

static bool wants_input(const struct stream *stream)
{
	if (stream->ended || stream->told)
		return false;
	if (stream->finishing)
		return stream->shut; /* thrown away while waiting for the other side's end */
	if (stream->tls == STREAM_TLS_WAITING)
		return false;
	return stream->tls == STREAM_TLS_HANDSHAKE || (!stream->paused && stream->kept.n < stream->limits.input_max);
}

static void update_watch(struct stream *stream)
{
	int events = 0;
	if (wants_input(stream) || (stream->write_wants_read && !stream->ended))
		events |= LOOP_READ;
	if (stream->blocked || stream->read_wants_write)
		events |= LOOP_WRITE;
	if (stream->told)
		events = 0;
	loop_watch_set(stream->watch, events);
}

/* Called after an attempt to send: progress only touches the time-out, so that its cost is not one of each turn. */
static void update_stalled(struct stream *stream)
{
	bool stalled = (stream->blocked || stream->write_wants_read) && !stream->finishing && !stream->told;
	bool running = stream->stalled.after > 0;
	if (stalled != running && (running || stream->write_timeout > 0))
		loop_timeout_set(stream->loop, &stream->stalled, stalled ? stream->write_timeout : 0);
}

static void do_later(struct stream *stream)
{
	if (alive(stream))
		loop_later(stream->loop, &stream->later);
}

/* --- input --- */

/* Offers the slice, which is `kept` or lies in the scratch room, and keeps what was not taken. */
static void offer(struct stream *stream, struct str bytes, bool is_kept)
{
	stream->in_input = true;
	stream->input_void = false;
	size_t taken = stream->events->input(stream->owner, bytes);
	stream->in_input = false;
	if (!alive(stream) || stream->input_void || stream->finishing) {
		buf_free(&stream->kept);
		return;
	}
	taken = MIN(taken, bytes.n);
	if (is_kept)
		buf_consume(&stream->kept, taken);
	else
		buf_add(&stream->kept, str_from(bytes, taken));
	if (stream->kept.n == 0)
		buf_free(&stream->kept);
}

/* The result of a read: bytes, 0 for the end, negative enum err, or ERR_INCOMPLETE when there is nothing now. */
static ssize_t read_plain(struct stream *stream, char *to, size_t n)
{
	/* Not by O_NONBLOCK alone: who handed the socket over may still share that flag. */
	ssize_t got = recv(stream->fd, to, n, MSG_DONTWAIT);
	if (got >= 0)
		return got;
	if (errno == EAGAIN || errno == EINTR)
		return ERR_INCOMPLETE;
	return errno == ECONNRESET || errno == EPIPE ? ERR_CLOSED : ERR_IO;
}

static ssize_t read_tls(struct stream *stream, char *to, size_t n)
{
	size_t done = 0;
	stream->read_wants_write = false;
	while (done < n) {
		ERR_clear_error();
		int got = SSL_read(stream->ssl, to + done, (int)(n - done));
		if (got <= 0) {
			int reason = SSL_get_error(stream->ssl, got);
			stream->read_wants_write = reason == SSL_ERROR_WANT_WRITE;
			if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE)
				return done > 0 ? (ssize_t)done : ERR_INCOMPLETE;
			/* An end or an error behind good bytes shows again at the next read. */
			if (done > 0)
				break;
			return reason == SSL_ERROR_ZERO_RETURN ? 0 : ERR_CLOSED;
		}
		done += (size_t)got;
		if (!SSL_has_pending(stream->ssl))
			return (ssize_t)done;
	}
	stream->read_again = true;
	do_later(stream);
	return (ssize_t)done;
}

static ssize_t read_some(struct stream *stream, char *to, size_t n)
{
	return stream->tls == STREAM_TLS ? read_tls(stream, to, n) : read_plain(stream, to, n);
}

static void discard_input(struct stream *stream)
{
	ssize_t got = read_plain(stream, loop_scratch(stream->loop), LOOP_SCRATCH_SIZE);
	if (got != ERR_INCOMPLETE && got <= 0) {
		stream->ended = true;
		tell_closed(stream, 0);
	}
}

static void read_input(struct stream *stream)
{
	if (stream->finishing) {
		discard_input(stream);
		return;
	}
	bool keep = stream->kept.n > 0;
	size_t room = keep ? MIN((size_t)LOOP_SCRATCH_SIZE, stream->limits.input_max - stream->kept.n) : LOOP_SCRATCH_SIZE;
	char *to = keep ? buf_reserve(&stream->kept, room) : loop_scratch(stream->loop);
	ssize_t got = read_some(stream, to, room);
	if (got > 0) {
		loop_timeout_touch(stream->loop, &stream->timeout);
		if (keep)
			buf_commit(&stream->kept, (size_t)got);
		offer(stream, keep ? buf_str(&stream->kept) : str_of(to, (size_t)got), keep);
	} else if (got == 0 || (got == ERR_CLOSED && stream->hears_out)) {
		stream->ended = true;
		do_later(stream);
		if (stream->events->end_read)
			stream->events->end_read(stream->owner);
	} else if (got != ERR_INCOMPLETE) {
		tell_closed(stream, (int)got);
	}
}

/* --- TLS --- */

static void shake_hands(struct stream *stream)
{
	stream->read_wants_write = false;
	ERR_clear_error();
	int result = SSL_accept(stream->ssl);
	if (result == 1) {
		stream->tls = STREAM_TLS;
		loop_timeout_touch(stream->loop, &stream->timeout);
		/* The client's first command may have come with the end of the handshake: from OpenSSL 3.2 on SSL_has_pending
		 * does not count it. */
		stream->read_again = true;
		do_later(stream);
		if (stream->tls_done)
			stream->tls_done(stream->owner);
		return;
	}
	int reason = SSL_get_error(stream->ssl, result);
	stream->read_wants_write = reason == SSL_ERROR_WANT_WRITE;
	if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
		tell_closed(stream, ERR_CLOSED);
}

int stream_start_tls(struct stream *stream, struct tls_context *context, void (*tls_done)(void *owner))
{
	if (stream->tls != STREAM_PLAIN || !alive(stream))
		return ERR_STATE;
	stream->tls = STREAM_TLS_WAITING;
	stream->tls_done = tls_done;
	stream->ssl = tls_server_new(context, stream->fd);
	stream->input_void = true;
	if (!stream->in_input)
		buf_free(&stream->kept);
	stream->offer = false;
	do_later(stream);
	return 0;
}

bool stream_is_tls(const struct stream *stream)
{
	return stream->tls == STREAM_TLS;
}

struct str stream_tls_version(const struct stream *stream)
{
	return str_from_c(stream_is_tls(stream) && SSL_is_init_finished(stream->ssl) ? SSL_get_version(stream->ssl) : NULL);
}

struct str stream_tls_cipher(const struct stream *stream)
{
	return str_from_c(stream_is_tls(stream) ? SSL_get_cipher_name(stream->ssl) : NULL);
}

/* --- output and the end --- */

/* RFC 8446, 6.1: without it the client cannot tell our end from one that somebody else made. False: the socket has no room
 * for it now. */
static bool say_end_of_tls(struct stream *stream)
{
	ERR_clear_error();
	int result = SSL_shutdown(stream->ssl);
	stream->blocked = result < 0 && SSL_get_error(stream->ssl, result) == SSL_ERROR_WANT_WRITE;
	return !stream->blocked;
}

static void shut_output(struct stream *stream)
{
	if (stream->tls == STREAM_TLS && !say_end_of_tls(stream)) {
		if (stream->finishing && !stream->hurried)
			loop_timeout_set(stream->loop, &stream->timeout, stream->linger);
		return;
	}
	stream->shut = true;
	if (stream->finishing && stream->no_linger) {
		tell_closed(stream, 0); /* the end of our side leaves when the owner frees the stream */
		return;
	}
	shutdown(stream->fd, SHUT_WR);
	if (stream->finishing && !stream->hurried)
		loop_timeout_set(stream->loop, &stream->timeout, stream->linger);
	/* A paused stream may have input that its owner still wants: then the resume tells. */
	if (stream->ended && (stream->finishing || !stream->paused))
		tell_closed(stream, 0);
}

static void send_output(struct stream *stream)
{
	bool sent;
	int err = stream_send(stream, &sent);
	if (err == ERR_CLOSED && stream->hears_out) {
		stream->deaf = stream->shut = true;
		err = 0;
	}
	if (stream->deaf) {
		sent = !outq_empty(&stream->out);
		outq_free(&stream->out);
	}
	if (err != 0) {
		tell_closed(stream, err);
		return;
	}
	if (!outq_empty(&stream->out)) {
		if (stream_can_send(stream))
			do_later(stream); /* a turn's share was sent */
		return;
	}
	outq_free(&stream->out);
	if (sent && stream->tls != STREAM_TLS_WAITING && stream->events->drained && !stream->finishing)
		stream->events->drained(stream->owner);
}

/* A clean end of input. */
static void tell_ended(struct stream *stream)
{
	if (!stream->events->ended || stream->shut) {
		tell_closed(stream, 0);
	} else if (!stream->end_told) {
		stream->end_told = true;
		stream->events->ended(stream->owner);
	}
}

/* What follows from an empty queue: the handshake, the end of our side, the news that the client is gone. */
static void after_output(struct stream *stream)
{
	if (!outq_empty(&stream->out) || stream->held || stream->blocked)
		return;
	if (stream->finishing) {
		if (!stream->shut)
			shut_output(stream);
	} else if (stream->tls == STREAM_TLS_WAITING) {
		stream->tls = STREAM_TLS_HANDSHAKE;
		shake_hands(stream);
	} else if (stream->ending && !stream->shut) {
		shut_output(stream);
	} else if (stream->ended && !stream->paused && !stream->later.queued) {
		tell_ended(stream);
	}
}

static bool should_read_again(const struct stream *stream)
{
	return alive(stream) && stream->read_again && stream->tls == STREAM_TLS && wants_input(stream);
}

static void at_end_of_turn(void *owner)
{
	struct stream *stream = owner;
	enter(stream);
	if (should_read_again(stream)) {
		stream->read_again = false;
		read_input(stream);
	}
	if (alive(stream) && stream->offer && !stream->paused && !stream->finishing && stream->tls != STREAM_TLS_WAITING) {
		stream->offer = false;
		if (stream->kept.n > 0)
			offer(stream, buf_str(&stream->kept), true);
	}
	if (alive(stream))
		send_output(stream);
	if (alive(stream))
		after_output(stream);
	if (should_read_again(stream))
		do_later(stream);
	if (!leave(stream))
		return;
	update_watch(stream);
	update_stalled(stream);
}

static void on_ready(void *owner, int events)
{
	struct stream *stream = owner;
	enter(stream);
	if (events & LOOP_WRITE)
		stream->blocked = false;
	if (events & LOOP_READ)
		stream->write_wants_read = false;
	if (stream->tls == STREAM_TLS_HANDSHAKE)
		shake_hands(stream);
	else if (wants_input(stream) && ((events & LOOP_READ) || stream->read_wants_write))
		read_input(stream);
	if (alive(stream) && (!outq_empty(&stream->out) || stream->finishing || (stream->ending && !stream->shut)))
		do_later(stream);
	if (leave(stream))
		update_watch(stream);
}

static void on_timeout(void *owner)
{
	struct stream *stream = owner;
	bool can_speak = stream->tls == STREAM_PLAIN || stream->tls == STREAM_TLS;
	enter(stream);
	if (stream->events->idle && can_speak && !stream->finishing)
		stream->events->idle(stream->owner);
	else
		tell_closed(stream, stream->shut ? 0 : ERR_TIMEOUT);
	leave(stream);
}

static void on_stalled(void *owner)
{
	struct stream *stream = owner;
	enter(stream);
	tell_closed(stream, ERR_TIMEOUT);
	leave(stream);
}

/* --- what the owner calls --- */

struct stream *stream_new(struct loop *loop, int fd, struct stream_limits limits, const struct stream_events *events,
                          void *owner)
{
	struct stream *stream = mem_alloc(1, sizeof *stream);
	*stream = (struct stream){ .loop = loop, .fd = fd, .limits = limits, .events = events, .owner = owner };
	stream->out = OUTQ_INIT(limits.output_max);
	stream->kept = BUF_INIT(MAX(limits.input_max, (size_t)LOOP_SCRATCH_SIZE));
	stream->later = (struct loop_later){ .fn = at_end_of_turn, .owner = stream };
	stream->timeout = (struct loop_timeout){ .fire = on_timeout, .owner = stream, .touched = loop_now_ms(stream->loop) };
	stream->stalled = (struct loop_timeout){ .fire = on_stalled, .owner = stream };
	stream->watch = loop_watch_new(loop, fd, on_ready, stream);
	update_watch(stream);
	return stream;
}

void stream_finish(struct stream *stream, uint64_t linger_ms)
{
	if (!alive(stream) || stream->finishing)
		return;
	stream->finishing = true;
	stream->linger = MAX(linger_ms, UINT64_C(1));
	loop_timeout_set(stream->loop, &stream->timeout, stream->shut ? stream->linger : MAX(stream->linger, stream->write_timeout));
	if (!stream->in_input)
		buf_free(&stream->kept);
	if (stream->tls == STREAM_TLS_HANDSHAKE) {
		outq_free(&stream->out);
		stream->no_linger = true;
	}
	do_later(stream);
}

void stream_finish_soon(struct stream *stream, uint64_t milliseconds)
{
	if (!alive(stream) || stream->hurried)
		return;
	stream_finish(stream, milliseconds);
	stream->hurried = true;
	loop_timeout_set(stream->loop, &stream->timeout, MAX(milliseconds, UINT64_C(1)));
}

void stream_no_linger(struct stream *stream)
{
	stream->no_linger = true;
}

void stream_end_output(struct stream *stream)
{
	stream->ending = true;
	do_later(stream);
}

void stream_hear_out(struct stream *stream)
{
	stream->hears_out = true;
}

struct outq *stream_output(struct stream *stream)
{
	return &stream->out;
}

void stream_flush(struct stream *stream)
{
	do_later(stream);
}

void stream_hold(struct stream *stream, bool hold)
{
	if (stream->held == hold)
		return;
	stream->held = hold;
	do_later(stream);
}

void stream_pause(struct stream *stream, bool pause)
{
	if (stream->paused == pause)
		return;
	stream->paused = pause;
	if (!pause) {
		stream->offer = true;
		/* What OpenSSL has read already no descriptor tells. */
		stream->read_again = stream->read_again || (stream->tls == STREAM_TLS && SSL_has_pending(stream->ssl));
	}
	do_later(stream);
}

void stream_offer_again(struct stream *stream)
{
	stream->offer = true;
	do_later(stream);
}

void stream_set_timeout(struct stream *stream, uint64_t milliseconds)
{
	if (alive(stream) && !stream->finishing)
		loop_timeout_set(stream->loop, &stream->timeout, milliseconds);
}

bool stream_has_ended(const struct stream *stream)
{
	return stream->ended;
}

bool stream_has_input(const struct stream *stream)
{
	return stream->kept.n > 0;
}

uint64_t stream_idle_ms(const struct stream *stream)
{
	return loop_now_ms(stream->loop) - stream->timeout.touched;
}

void stream_set_write_timeout(struct stream *stream, uint64_t milliseconds)
{
	stream->write_timeout = milliseconds;
	if (!alive(stream))
		return;
	loop_timeout_set(stream->loop, &stream->stalled, 0);
	update_stalled(stream);
}

int stream_detach(struct stream **stream, int *fd, struct buf *unread)
{
	struct stream *s = *stream;
	if (s->tls != STREAM_PLAIN || !alive(s) || s->finishing || !outq_empty(&s->out))
		return ERR_STATE;
	if (!s->in_input) {
		buf_add(unread, buf_str(&s->kept));
		if (buf_error(unread) != 0)
			return ERR_LIMIT;
	}
	unhook(s);
	*fd = s->fd;
	*stream = NULL;
	s->dead = true;
	if (s->busy == 0)
		release(s);
	return 0;
}
