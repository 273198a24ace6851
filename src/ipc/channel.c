/* channel.c: frames over a stream socketpair. Owned by a role; its closed() is called once, and it may be freed
 * inside its own callbacks (`busy` keeps the memory until the last call of ours returns).
 *
 * Descriptors: each travels in the ancillary data of the first byte of its frame, so the kernel delivers it no later
 * than that byte. The receiver queues what comes (IPC_FD_LOST for what it had no room for); a frame that announces
 * one takes the oldest. A frame without its descriptor, or more waiting descriptors than frames can still claim
 * (FD_QUEUE_MAX), closes the channel. Reading: into the loop's scratch room; only an incomplete frame is kept, and
 * its memory goes when it is complete. */
#include "ipc/channel.h"

#include "base/checked.h"
#include "base/mem.h"
#include "loop/timeout.h"
#include "base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_SIZE    8
#define FD_QUEUE_MAX   64                 /* received and not claimed yet: more than one read can bring frames for */
#define QUEUE_BLOCK    65536
#define FDS_A_MESSAGE  16                 /* room in recvmsg for more than we send at once: what is cut off would be lost */
#define SEND_AT_ONCE   (1024 * 1024)
#define REST_MS        10                 /* and the tick of the loop's timeouts on top */

/* Output waiting: a list of blocks, each with frames one behind the other. A frame with a descriptor starts a block
 * of its own, so that the descriptor goes with the block's first byte. */
struct out_block {
	struct out_block *next;
	int fd; /* goes with the first byte; -1: none, or sent */
	size_t start, end, size;
	char data[];
};

struct ipc_channel {
	struct loop *loop;
	struct loop_watch *watch;
	ipc_message_fn *message;
	ipc_closed_fn *closed;
	void *owner;
	struct loop_later later;
	struct out_block *out_first, *out_last;
	size_t out_bytes, out_fds;
	struct buf partial; /* an incomplete frame; no memory when there is none */
	int fds[FD_QUEUE_MAX];
	size_t n_fds;
	int fd;
	int busy;
	struct loop_timeout rest; /* until the next try, while the kernel takes no more descriptors */
	bool blocked, broken, told, dead;
};

static void update_watch(struct ipc_channel *channel)
{
	loop_watch_set(channel->watch, channel->broken ? 0 : LOOP_READ | (channel->blocked ? LOOP_WRITE : 0));
}

/* Frames hold passwords and keys. */
static void free_block(struct out_block *block)
{
	mem_wipe(block->data, block->end);
	mem_free(block);
}

static void drop_output(struct ipc_channel *channel)
{
	while (channel->out_first) {
		struct out_block *next = channel->out_first->next;
		if (channel->out_first->fd >= 0)
			close(channel->out_first->fd);
		free_block(channel->out_first);
		channel->out_first = next;
	}
	channel->out_last = NULL;
	channel->out_bytes = channel->out_fds = 0;
}

static void drop_descriptors(struct ipc_channel *channel)
{
	for (size_t i = 0; i < channel->n_fds; i++) {
		if (channel->fds[i] >= 0)
			close(channel->fds[i]);
	}
	channel->n_fds = 0;
}

static void release(struct ipc_channel *channel)
{
	buf_free(&channel->partial);
	mem_free(channel);
}

static void leave(struct ipc_channel *channel)
{
	channel->busy--;
	if (!channel->dead)
		update_watch(channel);
	else if (channel->busy == 0)
		release(channel);
}

/* Nothing goes in or out any more; the owner hears it at the end of the turn. */
static void break_off(struct ipc_channel *channel)
{
	if (channel->broken || channel->dead)
		return;
	channel->broken = true;
	drop_output(channel);
	drop_descriptors(channel);
	loop_later(channel->loop, &channel->later);
}

/* --- output --- */

static struct out_block *append_block(struct ipc_channel *channel, size_t size, int fd)
{
	struct out_block *block = mem_alloc_unset(sizeof *block + size);
	*block = (struct out_block){ .fd = fd, .size = size };
	if (channel->out_last)
		channel->out_last->next = block;
	else
		channel->out_first = block;
	channel->out_last = block;
	return block;
}

static void put_u32(char *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (char)(value >> (8 * i) & 0xff);
}

static void put_bytes(struct out_block *block, struct str bytes)
{
	if (bytes.n > 0)
		memcpy(block->data + block->end, bytes.p, bytes.n);
	block->end += bytes.n;
}

/* Is there room for it in the queue? */
static int look_for_room(const struct ipc_channel *channel, size_t head, size_t payload, bool with_fd)
{
	size_t body;
	if (!checked_add(head, payload, &body) || body > IPC_BODY_MAX)
		return ERR_LIMIT;
	if (channel->broken || channel->dead || channel->out_bytes + HEADER_SIZE + body > IPC_QUEUE_MAX ||
	    (with_fd && channel->out_fds >= IPC_FDS_MAX))
		return ERR_UNAVAILABLE;
	return 0;
}

/* There is room; the descriptor, or -1, is the queue's. */
static void queue_frame(struct ipc_channel *channel, uint16_t type, struct str head, struct str payload, int fd)
{
	size_t body = head.n + payload.n, frame = HEADER_SIZE + body;
	struct out_block *block = channel->out_last;
	channel->out_fds += fd >= 0;
	if (!block || fd >= 0 || block->size - block->end < frame)
		block = append_block(channel, MAX(frame, fd >= 0 || !block ? 4 * (size_t)HEADER_SIZE : (size_t)QUEUE_BLOCK), fd);
	char header[HEADER_SIZE] = { 0 };
	put_u32(header, (uint32_t)body);
	header[4] = (char)(type & 0xff);
	header[5] = (char)(type >> 8);
	header[6] = fd >= 0;
	put_bytes(block, str_of(header, sizeof header));
	put_bytes(block, head);
	put_bytes(block, payload);
	channel->out_bytes += frame;
	loop_later(channel->loop, &channel->later);
}

int ipc_send2(struct ipc_channel *channel, uint16_t type, struct str head, struct str payload, int fd)
{
	int err = look_for_room(channel, head.n, payload.n, fd >= 0);
	int copy = err == 0 && fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (err == 0 && fd >= 0 && copy < 0)
		err = ERR_UNAVAILABLE;
	if (err == 0)
		queue_frame(channel, type, head, payload, copy);
	return err;
}

int ipc_pass(struct ipc_channel *channel, uint16_t type, struct str body, int *fd)
{
	int err = look_for_room(channel, body.n, 0, *fd >= 0);
	if (err != 0)
		return err;
	queue_frame(channel, type, body, (struct str){ NULL, 0 }, *fd);
	*fd = -1;
	return 0;
}

int ipc_send(struct ipc_channel *channel, uint16_t type, struct str body, int fd)
{
	return ipc_send2(channel, type, body, (struct str){ NULL, 0 }, fd);
}

/* Fills the vector up to (not including) the next block that brings a descriptor of its own. */
static size_t gather(const struct ipc_channel *channel, struct iovec *iov, size_t max)
{
	size_t n = 0;
	for (struct out_block *block = channel->out_first; block && n < max; block = block->next) {
		if (n > 0 && block->fd >= 0)
			break;
		iov[n++] = (struct iovec){ block->data + block->start, block->end - block->start };
	}
	return n;
}

static void consume(struct ipc_channel *channel, size_t sent)
{
	channel->out_bytes -= sent;
	while (sent > 0) {
		struct out_block *block = channel->out_first;
		size_t n = MIN(sent, block->end - block->start);
		block->start += n;
		sent -= n;
		if (block->start == block->end) {
			channel->out_first = block->next;
			if (!channel->out_first)
				channel->out_last = NULL;
			free_block(block);
		}
	}
}

static void send_once(struct ipc_channel *channel)
{
	struct iovec iov[16];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = gather(channel, iov, COUNT_OF(iov)) };
	int fd = channel->out_first->fd;
	if (fd >= 0) {
		message.msg_control = control.room;
		message.msg_controllen = sizeof control.room;
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof fd);
	}
	ssize_t sent = sendmsg(channel->fd, &message, MSG_NOSIGNAL);
	if (sent < 0) {
		/* ETOOMANYREFS: the kernel's limit of descriptors in flight; they get fewer as the other side reads, but the
		 * socket is writable all the while. */
		if (errno == EAGAIN)
			channel->blocked = true;
		else if (errno == ETOOMANYREFS)
			loop_timeout_set(channel->loop, &channel->rest, REST_MS);
		else if (errno != EINTR)
			break_off(channel);
		return;
	}
	if (fd >= 0) {
		close(fd);
		channel->out_first->fd = -1;
		channel->out_fds--;
	}
	consume(channel, (size_t)sent);
}

static bool may_send(const struct ipc_channel *channel)
{
	return !channel->blocked && !channel->broken && !channel->rest.after;
}

static void has_rested(void *owner)
{
	struct ipc_channel *channel = owner;
	loop_later(channel->loop, &channel->later);
}

static void at_end_of_turn(void *owner)
{
	struct ipc_channel *channel = owner;
	channel->busy++;
	for (size_t before = channel->out_bytes; channel->out_first && may_send(channel);) {
		send_once(channel);
		if (channel->out_first && before - channel->out_bytes >= SEND_AT_ONCE) {
			loop_later(channel->loop, &channel->later);
			break;
		}
	}
	if (channel->broken && !channel->told && !channel->dead) {
		channel->told = true;
		channel->closed(channel->owner);
	}
	leave(channel);
}

/* --- input --- */

static int take_descriptor(struct ipc_channel *channel)
{
	int fd = channel->fds[0];
	channel->n_fds--;
	memmove(channel->fds, channel->fds + 1, channel->n_fds * sizeof channel->fds[0]);
	return fd;
}

/* One frame from the front: its length, 0 when it is not complete, or negative when the other side must go. *wanted:
 * bytes of the whole frame as far as known. */
static ssize_t take_frame(struct ipc_channel *channel, struct str bytes, size_t *wanted)
{
	*wanted = HEADER_SIZE;
	if (bytes.n < HEADER_SIZE)
		return 0;
	struct wire_reader r = wire_reader(str_first(bytes, HEADER_SIZE));
	uint32_t body = wire_get_u32(&r);
	uint16_t type = wire_get_u16(&r);
	uint8_t n_fds = wire_get_u8(&r), zero = wire_get_u8(&r);
	if (body > IPC_BODY_MAX || n_fds > 1 || zero != 0)
		return ERR_CORRUPT;
	*wanted = HEADER_SIZE + body;
	if (bytes.n < *wanted)
		return 0;
	if (n_fds > channel->n_fds)
		return ERR_CORRUPT;
	int fd = n_fds == 1 ? take_descriptor(channel) : -1;
	int err = channel->message(channel->owner, type, str_of(bytes.p + HEADER_SIZE, body), &fd);
	if (fd >= 0)
		close(fd);
	return err < 0 ? err : (ssize_t)*wanted;
}

/* Takes all complete frames; the number of bytes taken. */
static size_t take_frames(struct ipc_channel *channel, struct str bytes, size_t *wanted)
{
	size_t taken = 0;
	while (!channel->dead && !channel->broken) {
		ssize_t n = take_frame(channel, str_from(bytes, taken), wanted);
		if (n < 0)
			break_off(channel);
		if (n <= 0)
			break;
		taken += (size_t)n;
	}
	return taken;
}

static int queue_descriptor(struct ipc_channel *channel, int fd)
{
	if (channel->n_fds < FD_QUEUE_MAX) {
		channel->fds[channel->n_fds++] = fd;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	return ERR_LIMIT;
}

/* The kernel cuts off what finds no room in our table of descriptors; one a message is all that we send, so its
 * place is known. More than one is not from us. */
static int queue_descriptors(struct ipc_channel *channel, struct msghdr *message)
{
	bool cut = message->msg_flags & MSG_CTRUNC;
	size_t came = 0;
	int err = 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
			if (queue_descriptor(channel, fd) != 0)
				err = ERR_LIMIT;
			came++;
		}
	}
	if (cut && came > 0)
		err = ERR_LIMIT;
	else if (cut)
		err = queue_descriptor(channel, IPC_FD_LOST);
	return err;
}

/* Bytes read, 0 at the end, negative for nothing now or an error (then the channel is broken). */
static ssize_t receive(struct ipc_channel *channel, char *to, size_t n)
{
	struct iovec iov = { to, n };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(FDS_A_MESSAGE * sizeof(int))];
	} control;
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room
	};
	ssize_t got = recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC);
	if (got < 0) {
		if (errno != EAGAIN && errno != EINTR)
			break_off(channel);
		return ERR_INCOMPLETE;
	}
	if (queue_descriptors(channel, &message) != 0)
		break_off(channel);
	return channel->broken ? ERR_CORRUPT : got;
}

/* Completes the frame that has begun to come, whose length is known once its header is here. */
static void read_rest(struct ipc_channel *channel)
{
	size_t wanted;
	struct buf *partial = &channel->partial;
	/* take_frames has looked at these bytes already and found one incomplete, well-formed frame. */
	wanted = HEADER_SIZE;
	if (partial->n >= HEADER_SIZE) {
		struct wire_reader r = wire_reader(buf_str(partial));
		wanted += wire_get_u32(&r);
	}
	size_t room = wanted - partial->n;
	char *to = buf_reserve(partial, room);
	ssize_t got = receive(channel, to, room);
	if (got == 0)
		break_off(channel);
	if (got <= 0)
		return;
	buf_commit(partial, (size_t)got);
	size_t taken = take_frames(channel, buf_str(partial), &wanted);
	if (taken == partial->n || channel->dead || channel->broken)
		buf_free(partial);
}

static void read_frames(struct ipc_channel *channel)
{
	char *scratch = loop_scratch(channel->loop);
	ssize_t got = receive(channel, scratch, LOOP_SCRATCH_SIZE);
	if (got == 0)
		break_off(channel);
	if (got <= 0)
		return;
	size_t wanted;
	size_t taken = take_frames(channel, str_of(scratch, (size_t)got), &wanted);
	if (channel->dead || channel->broken)
		return;
	if (taken < (size_t)got) {
		/* One allocation of the right size: the header said how much, and it is at most IPC_BODY_MAX. */
		(void)buf_reserve(&channel->partial, wanted);
		buf_add(&channel->partial, str_of(scratch + taken, (size_t)got - taken));
	}
}

static void on_ready(void *owner, int events)
{
	struct ipc_channel *channel = owner;
	channel->busy++;
	if (events & LOOP_WRITE) {
		channel->blocked = false;
		if (channel->out_first)
			loop_later(channel->loop, &channel->later);
	}
	if (events & LOOP_READ) {
		if (channel->partial.n > 0)
			read_rest(channel);
		else
			read_frames(channel);
		if (channel->partial.n == 0 && channel->n_fds > 0)
			break_off(channel); /* descriptors that no frame announced */
	}
	leave(channel);
}

bool ipc_is_quiet(const struct ipc_channel *channel)
{
	char byte;
	return !channel->broken && channel->busy == 0 && channel->partial.n == 0 &&
	       recv(channel->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* --- life --- */

struct ipc_channel *ipc_channel_new(struct loop *loop, int fd, ipc_message_fn *message, ipc_closed_fn *closed,
                                    void *owner)
{
	struct ipc_channel *channel = mem_alloc(1, sizeof *channel);
	*channel = (struct ipc_channel){ .loop = loop, .message = message, .closed = closed, .owner = owner, .fd = fd };
	channel->partial = BUF_INIT(HEADER_SIZE + IPC_BODY_MAX);
	channel->later = (struct loop_later){ .fn = at_end_of_turn, .owner = channel };
	channel->rest = (struct loop_timeout){ .fire = has_rested, .owner = channel };
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	channel->watch = loop_watch_new(loop, fd, on_ready, channel);
	update_watch(channel);
	return channel;
}

void ipc_channel_free(struct ipc_channel **channel)
{
	struct ipc_channel *c = *channel;
	*channel = NULL;
	if (!c || c->dead)
		return;
	loop_later_cancel(c->loop, &c->later);
	loop_timeout_set(c->loop, &c->rest, 0);
	loop_watch_free(&c->watch);
	drop_output(c);
	drop_descriptors(c);
	close(c->fd);
	c->dead = true;
	if (c->busy == 0)
		release(c);
}
