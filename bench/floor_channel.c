/* floor_channel.c: messages between two processes, over a stream socketpair as Mansio's (src/ipc/channel.h): what is
 * told in a turn leaves at its end in as few calls as descriptors allow. A channel lives as long as its process, and
 * the process ends with it. */
#include "floor.h"

#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_SIZE (256 * 1024)
#define PIECES       64 /* of one call; a message and its body are two */

_Static_assert(sizeof(struct told) == TOLD_SIZE, "no other size");

struct telling {
	struct telling *next;
	int fd; /* -1: none, or sent */
	bool pass;
	size_t sent;
	struct told told;
	struct buf body;
};

/* --- telling --- */

void channel_tell(struct channel *channel, const struct told *told, struct buf *body, int fd, bool pass)
{
	struct telling *telling = mem_alloc_unset(sizeof *telling);
	*telling = (struct telling){ .fd = fd, .pass = pass, .told = *told };
	telling->told.has_file = fd >= 0;
	if (body) {
		telling->told.inline_n = body->n;
		telling->body = *body;
		*body = BUF_INIT(body->max);
	}
	*channel->last = telling;
	channel->last = &telling->next;
}

/* Up to the next one that brings a descriptor of its own. */
static size_t gather(const struct channel *channel, struct iovec *pieces)
{
	size_t n = 0;
	for (struct telling *telling = channel->first; telling && n + 2 <= PIECES; telling = telling->next) {
		size_t head = MIN(telling->sent, (size_t)TOLD_SIZE), body = telling->sent - head;
		if (n > 0 && telling->fd >= 0)
			break;
		if (head < TOLD_SIZE)
			pieces[n++] = (struct iovec){ (char *)&telling->told + head, TOLD_SIZE - head };
		if (telling->body.n > body)
			pieces[n++] = (struct iovec){ telling->body.p + body, telling->body.n - body };
	}
	return n;
}

static void consume(struct channel *channel, size_t sent)
{
	while (sent > 0) {
		struct telling *telling = channel->first;
		size_t n = MIN(sent, TOLD_SIZE + telling->body.n - telling->sent);
		telling->sent += n;
		sent -= n;
		if (telling->sent < TOLD_SIZE + telling->body.n)
			return;
		channel->first = telling->next;
		if (!channel->first)
			channel->last = &channel->first;
		buf_free(&telling->body);
		mem_free(telling);
	}
}

static void send_some(struct channel *channel)
{
	struct iovec pieces[PIECES];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = gather(channel, pieces) };
	struct telling *first = channel->first;
	if (first->fd >= 0) {
		message.msg_control = control.room;
		message.msg_controllen = sizeof control.room;
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &first->fd, sizeof first->fd);
	}
	ssize_t sent = sendmsg(channel->watched.fd, &message, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		die("a room does not hear");
	if (sent < 0) {
		channel->blocked = true;
		loop_watch(&channel->watched, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
		return;
	}
	if (first->fd >= 0 && first->pass)
		close(first->fd);
	first->fd = -1;
	consume(channel, (size_t)sent);
}

void channel_flush(struct channel *channel)
{
	while (channel->first && !channel->blocked)
		send_some(channel);
}

/* --- hearing --- */

/* A descriptor comes no later than the first byte of its message, and may come with the end of the one before. */
static void heard(struct channel *channel)
{
	int none = -1, *fd = channel->told.has_file ? &channel->fd_came : &none;
	if (channel->told.has_file && *fd < 0)
		bench_die("a descriptor got lost between two rooms", STR(""));
	channel->hear(channel, &channel->told, fd);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	channel->told_n = 0;
}

/* The next bytes: of the message itself, or inline ones that belong to it. */
static size_t take_some(struct channel *channel, struct str bytes)
{
	size_t n;
	if (channel->told_n < TOLD_SIZE) {
		n = MIN(bytes.n, TOLD_SIZE - channel->told_n);
		memcpy((char *)&channel->told + channel->told_n, bytes.p, n);
		channel->told_n += n;
		channel->inline_left = channel->told_n == TOLD_SIZE ? channel->told.inline_n : 0;
	} else {
		n = MIN(bytes.n, channel->inline_left);
		channel->take(str_first(bytes, n));
		channel->inline_left -= n;
	}
	if (channel->told_n == TOLD_SIZE && channel->inline_left == 0)
		heard(channel);
	return n;
}

static void receive(struct channel *channel)
{
	static char received[RECEIVE_SIZE];
	struct iovec iov = { received, sizeof received };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
		                      .msg_controllen = sizeof control.room };
	ssize_t got = recvmsg(channel->watched.fd, &message, MSG_CMSG_CLOEXEC);
	if (got <= 0)
		die("a room is gone");
	const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && channel->fd_came >= 0)
		bench_die("two descriptors for one message", STR(""));
	if (header)
		memcpy(&channel->fd_came, CMSG_DATA(header), sizeof channel->fd_came);
	for (struct str rest = str_of(received, (size_t)got); rest.n > 0;)
		rest = str_from(rest, take_some(channel, rest));
}

static void on_channel(struct watched *watched, uint32_t events)
{
	struct channel *channel = (struct channel *)watched; /* its first member */
	if (events & EPOLLOUT) {
		channel->blocked = false;
		loop_watch(watched, EPOLL_CTL_MOD, EPOLLIN);
	}
	if (events & ~(uint32_t)EPOLLOUT)
		receive(channel);
}

void channel_open(struct channel *channel, int fd, hear_fn *hear)
{
	*channel = (struct channel){ .watched = { .fd = fd, .ready = on_channel }, .hear = hear, .fd_came = -1 };
	channel->last = &channel->first;
	loop_watch(&channel->watched, EPOLL_CTL_ADD, EPOLLIN);
}
