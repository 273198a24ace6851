/* parcel.c: the command line's end of a parcel. One end of a socketpair goes to the shard, through supervisor and auth;
 * then frames go over it with blocking calls. While it sends, it takes what the shard answers, so that neither waits
 * for the other. A shard that ends closes its end. */
#include "proc/ctl/parcel.h"

#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MAX    (4 * (PARCEL_HEAD_SIZE + PARCEL_FRAME_MAX))
#define READ_CHUNK  65536
#define SEND_MAX    (1024 * 1024)
#define ANSWERS_MAX (2 * (PARCEL_HEAD_SIZE + PARCEL_FRAME_MAX))

int ctl_parcel_open(struct ctl *ctl, enum control_command command, const struct str *arguments, uint32_t n, int *fd,
                    struct ctl_reply *reply)
{
	struct control_request request = { .command = command, .n_arguments = MIN(n, (uint32_t)CONTROL_ARGUMENTS_MAX) };
	int ends[2];
	memcpy(request.arguments, arguments, request.n_arguments * sizeof *arguments);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		ctl_reply_fail(reply, ERR_IO, "cannot make a socket: %m");
		return ERR_IO;
	}
	int result = ctl_request_with(ctl, &request, ends[1], reply);
	close(ends[1]);
	if (result == ERR_NOT_FOUND && reply->result == 0)
		ctl_reply_fail(reply, ERR_UNAVAILABLE, "the server must run for this, and nobody answers at %.*s",
		               STR_ARG(str_first(ctl->conf.server.control_socket, 150)));
	if (reply->result < 0) {
		close(ends[0]);
		return reply->result;
	}
	*fd = ends[0];
	return 0;
}

/* --- reading --- */

static int lost(struct ctl_reply *reply)
{
	ctl_reply_fail(reply, ERR_CLOSED, "the server ended the transfer; see its log, and try again");
	return ERR_CLOSED;
}

/* The shard's own words, in place of a frame. */
static int read_result(struct str bytes, struct ctl_reply *reply)
{
	struct parcel_answer answer;
	size_t used;
	int result = parcel_answer_next(bytes, &answer, &used);
	if (result < 0)
		return result;
	result = answer.result < 0 ? answer.result : ERR_CORRUPT;
	ctl_reply_fail(reply, result, "%.*s", STR_ARG(answer.text));
	return result;
}

static int read_problem(const struct parcel_taker *taker, struct ctl_reply *reply)
{
	uint64_t offset;
	struct str problem = parcel_problem(taker, &offset);
	ctl_reply_fail(reply, ERR_CORRUPT, "the server's stream is damaged at byte %llu: %.*s", (unsigned long long)offset,
	               STR_ARG(problem));
	return ERR_CORRUPT;
}

/* All frames that are whole; ERR_INCOMPLETE when more bytes are needed. */
static int read_frames(struct parcel_taker *taker, struct buf *in, ctl_parcel_frame_fn *each, void *owner,
                       struct ctl_reply *reply)
{
	struct str rest = buf_str(in);
	const struct parcel_frame *frame;
	size_t used;
	int result = 0;
	while (result == 0 && !parcel_is_whole(taker)) {
		if (rest.n > 0 && (unsigned char)rest.p[0] == PARCEL_RESULT) {
			result = read_result(rest, reply);
		} else {
			result = parcel_next(taker, rest, &frame, &used);
			if (result == 0) {
				rest = str_from(rest, used);
				result = each(owner, frame);
			} else if (result != ERR_INCOMPLETE) {
				result = read_problem(taker, reply);
			}
		}
	}
	buf_consume(in, in->n - rest.n);
	return result;
}

int ctl_parcel_read(int fd, ctl_parcel_frame_fn *frame, void *owner, struct ctl_reply *reply)
{
	struct parcel_taker *taker = parcel_taker_new();
	struct buf in = BUF_INIT(READ_MAX);
	int result = ERR_INCOMPLETE;
	while (result == ERR_INCOMPLETE) {
		char *room = buf_reserve(&in, READ_CHUNK);
		ssize_t n = room ? recv(fd, room, READ_CHUNK, 0) : -1;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			result = lost(reply);
			break;
		}
		buf_commit(&in, (size_t)n);
		result = read_frames(taker, &in, frame, owner, reply);
	}
	buf_free(&in);
	parcel_taker_free(&taker);
	return result;
}

/* --- sending --- */

void ctl_parcel_sender_begin(struct ctl_parcel_sender *sender, int fd)
{
	*sender = (struct ctl_parcel_sender){ .fd = fd, .answers = BUF_INIT(ANSWERS_MAX) };
	parcel_maker_begin(&sender->maker, SEND_MAX);
}

void ctl_parcel_sender_free(struct ctl_parcel_sender *sender)
{
	parcel_maker_free(&sender->maker);
	buf_free(&sender->answers);
	if (sender->fd >= 0)
		close(sender->fd);
	sender->fd = -1;
}

static int take_answers(struct ctl_parcel_sender *sender, struct ctl_reply *reply)
{
	struct parcel_answer answer;
	size_t used;
	int result;
	while ((result = parcel_answer_next(buf_str(&sender->answers), &answer, &used)) == 0) {
		if (answer.type == PARCEL_REFUSED) {
			if (sender->refused)
				sender->refused(sender->owner, answer.number);
			buf_consume(&sender->answers, used);
			continue;
		}
		sender->answer = answer;
		memcpy(sender->text, answer.text.p ? answer.text.p : "", answer.text.n);
		sender->answer.text = str_of(sender->text, answer.text.n);
		buf_consume(&sender->answers, used);
		sender->over |= answer.type == PARCEL_RESULT;
	}
	if (result != ERR_INCOMPLETE) {
		ctl_reply_fail(reply, ERR_CORRUPT, "the server's answer cannot be read; is it of another version?");
		return ERR_CORRUPT;
	}
	if (sender->over && sender->answer.result < 0)
		ctl_reply_fail(reply, sender->answer.result, "%.*s", STR_ARG(sender->answer.text));
	return sender->over ? sender->answer.result : 0;
}

/* Waits until something came, or (sends) something can be sent; takes what came. */
static int wait_for_shard(struct ctl_parcel_sender *sender, bool sends, bool *may_send, struct ctl_reply *reply)
{
	struct pollfd wait = { .fd = sender->fd, .events = (short)(POLLIN | (sends ? POLLOUT : 0)) };
	if (poll(&wait, 1, -1) < 0)
		return errno == EINTR ? 0 : lost(reply);
	*may_send = wait.revents & POLLOUT;
	if (!(wait.revents & (POLLIN | POLLHUP | POLLERR)))
		return 0;
	char *room = buf_reserve(&sender->answers, 4096);
	ssize_t n = room ? recv(sender->fd, room, 4096, MSG_DONTWAIT) : -1;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return lost(reply);
	buf_commit(&sender->answers, (size_t)n);
	return take_answers(sender, reply);
}

int ctl_parcel_flush(struct ctl_parcel_sender *sender, struct ctl_reply *reply)
{
	struct buf *out = &sender->maker.out;
	size_t sent = 0;
	int result = buf_error(out);
	if (result < 0)
		ctl_reply_fail(reply, result, "a frame of the parcel is too long");
	while (result == 0 && sent < out->n && !sender->over) {
		bool may_send = false;
		result = wait_for_shard(sender, true, &may_send, reply);
		if (result < 0 || !may_send || sender->over)
			continue;
		ssize_t n = send(sender->fd, out->p + sent, out->n - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			sent += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR && errno != EPIPE && errno != ECONNRESET) /* why may still be to be read */
			result = lost(reply);
	}
	buf_consume(out, sent);
	return result;
}

int ctl_parcel_finish(struct ctl_parcel_sender *sender, struct ctl_reply *reply)
{
	bool may_send;
	int result = ctl_parcel_flush(sender, reply);
	while (result == 0 && !sender->over)
		result = wait_for_shard(sender, false, &may_send, reply);
	return result;
}
