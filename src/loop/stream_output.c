/* stream_output.c: empties a stream's outq into its socket. Neighbouring bytes and small file ranges (copied through
 * the loop's scratch room) leave in one call; large file ranges by sendfile, or over TLS record by record. A TCP socket
 * is corked over a file range and what stands around it: a message and the end of its answer are one packet where they
 * fit, and one wake-up of the client.
 *
 * What is not in the page cache is fetched by the loop's read helper, one range a stream at a time; the stream sends
 * nothing meanwhile and goes on in on_fetched(). What was fetched is read without asking again, so that each fetch
 * is followed by progress even when memory is short, until the socket takes no more: later it may be cold again. */
#include "loop/stream_private.h"

#include "base/checked.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECES_AT_ONCE 64
#define SENDFILE_MIN   16384          /* measured: below it, pread and a common write cost less */
#define SEND_AT_ONCE   (1024 * 1024)  /* bytes a turn, so that one fast reader does not starve the others */
#define RECORD_MAX     16384          /* of TLS */

/* --- files --- */

static void on_fetched(void *owner)
{
	struct stream *stream = owner;
	stream->fetch = NULL;
	stream->fetched = stream->fetching;
	stream_flush(stream);
}

/* The range begins so many bytes behind the front of the queue. */
static void fetch(struct stream *stream, const struct outq_piece *piece, size_t behind)
{
	uint64_t n = MIN(piece->n, (uint64_t)COLD_READ_MAX);
	stream->fetching = behind + n;
	stream->fetch = cold_read_begin(stream->loop, piece->file_fd, piece->offset, n, on_fetched, stream);
}

/* May bytes up to here, counted from the front of the queue, be read from their files without asking whether they
 * are cold? */
static bool is_warm(const struct stream *stream, uint64_t up_to)
{
	return up_to <= stream->fetched || !loop_read_helper(stream->loop);
}

/* Reads a whole file range, or the first `room` bytes of it. A file shorter than the queue says is ERR_IO;
 * ERR_INCOMPLETE: it is to be fetched first. */
static int read_range(const struct stream *stream, const struct outq_piece *piece, size_t behind, char *to, size_t room,
                      size_t *n)
{
	size_t wanted = (size_t)MIN(piece->n, (uint64_t)room), done = 0;
	bool warm = is_warm(stream, behind + wanted);
	while (done < wanted) {
		uint64_t offset = piece->offset + done;
		ssize_t got = warm ? pread(piece->file_fd, to + done, wanted - done, (off_t)offset)
		                   : cold_read_try(piece->file_fd, offset, to + done, wanted - done);
		if (warm && got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == ERR_INCOMPLETE && !warm ? ERR_INCOMPLETE : ERR_IO;
		done += (size_t)got;
	}
	*n = done;
	return 0;
}

/* --- plain --- */

/* What one sendmsg is to take. */
struct batch {
	struct iovec iov[PIECES_AT_ONCE];
	size_t n_iov;
	size_t bytes;
	bool file_next; /* a large file range comes right behind */
};

static int gather(struct stream *stream, struct batch *batch)
{
	struct outq_piece pieces[PIECES_AT_ONCE];
	size_t n = outq_pieces(&stream->out, pieces, PIECES_AT_ONCE), used = 0;
	char *scratch = loop_scratch(stream->loop);
	batch->n_iov = batch->bytes = 0;
	batch->file_next = false;
	for (size_t i = 0; i < n; i++) {
		struct str bytes = pieces[i].bytes;
		if (pieces[i].file_fd >= 0) {
			batch->file_next = pieces[i].n >= SENDFILE_MIN;
			if (batch->file_next || pieces[i].n > LOOP_SCRATCH_SIZE - used)
				break;
			size_t got;
			int err = read_range(stream, &pieces[i], batch->bytes, scratch + used, LOOP_SCRATCH_SIZE - used, &got);
			if (err == ERR_INCOMPLETE) {
				if (batch->n_iov == 0)
					fetch(stream, &pieces[i], 0);
				break;
			}
			if (err != 0)
				return err;
			bytes = str_of(scratch + used, got);
			used += got;
		}
		batch->iov[batch->n_iov++] = (struct iovec){ (char *)(uintptr_t)bytes.p, bytes.n };
		batch->bytes += bytes.n;
	}
	return 0;
}

static void block(struct stream *stream)
{
	stream->blocked = true;
	stream->fetched = 0;
}

/* The meaning of a failed write; 0 for "try later". */
static int write_error(struct stream *stream)
{
	switch (errno) {
	case EAGAIN:
		block(stream);
		return 0;
	case EINTR:
		return 0;
	case EPIPE:
	case ECONNRESET:
		return ERR_CLOSED;
	default:
		return ERR_IO;
	}
}

static void cork(struct stream *stream, bool corked)
{
	int value = corked;
	if (stream->corked == corked || stream->cannot_cork)
		return;
	stream->cannot_cork = setsockopt(stream->fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value) != 0;
	stream->corked = corked && !stream->cannot_cork;
}

static int send_file(struct stream *stream, const struct outq_piece *piece, size_t *n)
{
	off_t offset = (off_t)piece->offset;
	uint64_t wanted = MIN(piece->n, (uint64_t)SEND_AT_ONCE);
	if (stream->fetched > 0) {
		wanted = MIN(wanted, stream->fetched);
	} else if (loop_read_helper(stream->loop)) {
		wanted = MIN(wanted, (uint64_t)COLD_READ_MAX);
		if (cold_read_needed(piece->file_fd, piece->offset, wanted)) {
			fetch(stream, piece, 0);
			return 0;
		}
	}
	if (stream->out.total > piece->n)
		cork(stream, true);
	ssize_t sent = sendfile(stream->fd, piece->file_fd, &offset, (size_t)wanted);
	if (sent < 0)
		return write_error(stream);
	if (sent == 0)
		return ERR_IO; /* the file is shorter than the queue says */
	*n = (size_t)sent;
	return 0;
}

static int send_plain(struct stream *stream, size_t *n)
{
	struct outq_piece first;
	if (outq_peek(&stream->out, &first) && first.file_fd >= 0 && first.n >= SENDFILE_MIN)
		return send_file(stream, &first, n);
	struct batch batch;
	int err = gather(stream, &batch);
	if (err != 0 || batch.n_iov == 0)
		return err;
	struct msghdr message = { .msg_iov = batch.iov, .msg_iovlen = batch.n_iov };
	/* The last words wait in the socket for the end of our side, which follows at once (after_output): one packet,
	 * one wake-up of the client. */
	bool last = (stream->finishing || stream->ending) && batch.bytes == stream->out.total;
	ssize_t sent =
		sendmsg(stream->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL | (batch.file_next || last ? MSG_MORE : 0));
	if (sent < 0)
		return write_error(stream);
	*n = (size_t)sent;
	return 0;
}

/* --- TLS --- */

/* One record's worth from the front of the queue: in place when the first piece fills it, else gathered in the
 * scratch room. A second try after "would block" gathers at least the same bytes again, as SSL_write demands: so a
 * cold range behind warm bytes makes those wait. ERR_INCOMPLETE: it is being fetched. */
static int gather_record(struct stream *stream, struct str *out)
{
	struct outq_piece pieces[PIECES_AT_ONCE];
	size_t n = outq_pieces(&stream->out, pieces, PIECES_AT_ONCE), used = 0;
	char *scratch = loop_scratch(stream->loop);
	if (pieces[0].file_fd < 0 && (n == 1 || pieces[0].bytes.n >= RECORD_MAX)) {
		*out = str_first(pieces[0].bytes, RECORD_MAX);
		return 0;
	}
	for (size_t i = 0; i < n && used < RECORD_MAX; i++) {
		size_t got;
		if (pieces[i].file_fd >= 0) {
			int err = read_range(stream, &pieces[i], used, scratch + used, RECORD_MAX - used, &got);
			if (err == ERR_INCOMPLETE)
				fetch(stream, &pieces[i], used);
			if (err != 0)
				return err;
		} else {
			got = MIN(pieces[i].bytes.n, RECORD_MAX - used);
			memcpy(scratch + used, pieces[i].bytes.p, got);
		}
		used += got;
	}
	*out = str_of(scratch, used);
	return 0;
}

static int send_tls(struct stream *stream, size_t *n)
{
	struct str record;
	int err = gather_record(stream, &record);
	if (err != 0)
		return err == ERR_INCOMPLETE ? 0 : err;
	ERR_clear_error();
	int sent = SSL_write(stream->ssl, record.p, (int)record.n);
	if (sent > 0) {
		*n = (size_t)sent;
		return 0;
	}
	switch (SSL_get_error(stream->ssl, sent)) {
	case SSL_ERROR_WANT_WRITE:
		block(stream);
		return 0;
	case SSL_ERROR_WANT_READ:
		stream->write_wants_read = true;
		return 0;
	default:
		return ERR_CLOSED;
	}
}

int stream_send(struct stream *stream, bool *sent)
{
	size_t total = 0;
	*sent = false;
	if (stream->out.failed)
		return ERR_LIMIT;
	if (!stream_can_send(stream))
		return 0;
	while (!outq_empty(&stream->out) && total < SEND_AT_ONCE) {
		size_t n = 0;
		int err = stream->tls == STREAM_TLS ? send_tls(stream, &n) : send_plain(stream, &n);
		if (err != 0)
			return err;
		if (n == 0 && !stream_can_send(stream))
			break;
		outq_consume(&stream->out, n);
		stream->fetched -= MIN(stream->fetched, (uint64_t)n);
		total += n;
		*sent = *sent || n > 0;
	}
	if (outq_empty(&stream->out) || stream->fetch)
		cork(stream, false);
	if (total > 0) {
		if (!stream->hurried)
			loop_timeout_touch(stream->loop, &stream->timeout);
		loop_timeout_touch(stream->loop, &stream->stalled);
	}
	return 0;
}
