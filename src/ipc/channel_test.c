/* channel_test.c: frames and descriptors between two channels, and a raw, hostile other side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/checked.h"
#include "base/wire.h"
#include "ipc/call.h"
#include "ipc/channel.h"
#include "loop/test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DESCRIPTORS 704 /* what a role may get at its start: 256 listeners, and channels to 256 shards and 3 times 64 others */

/* In the place of libc's: root is not held to the limit of descriptors in flight. */
static bool refuse_descriptors;
static int tries;

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	tries++;
	if (message->msg_controllen == 0 || !refuse_descriptors)
		return syscall(SYS_sendmsg, fd, message, flags);
	errno = ETOOMANYREFS;
	return -1;
}

struct end {
	struct ipc_channel *channel;
	int messages, closes;
	uint16_t last_type;
	struct buf last;
	uint64_t bytes;
	int descriptors, wrong_descriptors, lost;
	int answer; /* what the handler returns */
	bool quiet_inside;
	bool free_inside;
};

static int on_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct end *end = owner;
	end->messages++;
	end->last_type = type;
	end->bytes += body.n;
	buf_clear(&end->last);
	buf_add(&end->last, str_first(body, 1000));
	end->lost += *fd == IPC_FD_LOST;
	if (*fd >= 0) {
		/* Each descriptor is a file that holds the number that its frame says. */
		char text[16] = "";
		ssize_t n = pread(*fd, text, sizeof text - 1, 0);
		end->descriptors++;
		end->wrong_descriptors += !str_eq(str_of(text, n > 0 ? (size_t)n : 0), str_first(body, 15));
	}
	end->quiet_inside |= ipc_is_quiet(end->channel);
	if (end->free_inside)
		ipc_channel_free(&end->channel);
	return end->answer;
}

static void on_closed(void *owner)
{
	struct end *end = owner;
	end->closes++;
}

struct both {
	struct loop *loop;
	struct end a, b;
};

static void begin(struct both *both)
{
	int pair[2];
	*both = (struct both){ .loop = loop_new() };
	both->a.last = both->b.last = BUF_INIT(1000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	both->a.channel = ipc_channel_new(both->loop, pair[0], on_message, on_closed, &both->a);
	both->b.channel = ipc_channel_new(both->loop, pair[1], on_message, on_closed, &both->b);
}

static void finish(struct both *both)
{
	ipc_channel_free(&both->a.channel);
	ipc_channel_free(&both->b.channel);
	buf_free(&both->a.last);
	buf_free(&both->b.last);
	loop_free(&both->loop);
}

static void messages_arrive_whole_and_in_order(void **state)
{
	(void)state;
	struct both both;
	begin(&both);
	assert_int_equal(ipc_send(both.a.channel, 1, STR(""), -1), 0);
	assert_int_equal(ipc_send(both.a.channel, 2, STR("hello"), -1), 0);
	TEST_UNTIL(both.loop, both.b.messages == 2);
	assert_int_equal(both.b.last_type, 2);
	assert_true(str_eq(buf_str(&both.b.last), STR("hello")));
	uint64_t sent = 5;
	char *large = calloc(1, IPC_BODY_MAX + 1);
	for (size_t n = 1; n <= IPC_BODY_MAX; n = n * 3 + 1) {
		assert_int_equal(ipc_send2(both.a.channel, 3, STR("head"), str_of(large, n), -1), 0);
		sent += n + 4;
	}
	assert_int_equal(ipc_send(both.a.channel, 4, str_of(large, IPC_BODY_MAX), -1), 0);
	assert_int_equal(ipc_send(both.a.channel, 4, str_of(large, IPC_BODY_MAX + 1), -1), ERR_LIMIT);
	sent += IPC_BODY_MAX;
	TEST_UNTIL(both.loop, both.b.bytes == sent && both.b.last_type == 4);
	assert_int_equal(both.b.closes + both.a.closes, 0);
	free(large);
	finish(&both);
}

/* Not while something has come that nobody was given, be it a part of a message; nor when the other side is gone. */
static void it_is_known_whether_all_was_read(void **state)
{
	(void)state;
	struct both both;
	int pair[2];
	begin(&both);
	ipc_channel_free(&both.a.channel);
	ipc_channel_free(&both.b.channel);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	both.b.channel = ipc_channel_new(both.loop, pair[1], on_message, on_closed, &both.b);
	assert_true(ipc_is_quiet(both.b.channel));
	assert_int_equal(write(pair[0], "\2\0\0\0\1\0\0\0a", 9), 9);
	assert_false(ipc_is_quiet(both.b.channel));
	test_run(both.loop, 5);
	assert_false(ipc_is_quiet(both.b.channel));
	assert_int_equal(write(pair[0], "b", 1), 1);
	TEST_UNTIL(both.loop, both.b.messages == 1);
	assert_true(ipc_is_quiet(both.b.channel));
	assert_false(both.b.quiet_inside);
	close(pair[0]);
	assert_false(ipc_is_quiet(both.b.channel));
	TEST_UNTIL(both.loop, both.b.closes == 1);
	assert_false(ipc_is_quiet(both.b.channel));
	finish(&both);
}

/* What comes when the table of descriptors is full is lost; its frame comes, those behind it keep theirs. */
static void a_descriptor_without_room_is_lost_and_its_frame_is_not(void **state)
{
	(void)state;
	struct both both;
	struct rlimit before, none;
	begin(&both);
	int fd = memfd_create("number", MFD_CLOEXEC);
	assert_int_equal(write(fd, "1", 1), 1);
	assert_int_equal(ipc_send(both.a.channel, 1, STR("1"), fd), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	TEST_UNTIL(both.loop, both.b.messages == 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(both.b.lost, 1);
	assert_int_equal(ipc_send(both.a.channel, 1, STR("1"), fd), 0);
	TEST_UNTIL(both.loop, both.b.messages == 2);
	assert_int_equal(both.b.descriptors, 1);
	assert_int_equal(both.b.lost, 1);
	assert_int_equal(both.b.wrong_descriptors + both.b.closes, 0);
	close(fd);
	finish(&both);
}

static void descriptors_stay_with_their_frames(void **state)
{
	(void)state;
	struct both both;
	begin(&both);
	for (int i = 0; i < DESCRIPTORS; i++) {
		char text[16];
		int n = snprintf(text, sizeof text, "%d", i);
		int fd = memfd_create("number", MFD_CLOEXEC);
		assert_int_equal(write(fd, text, (size_t)n), n);
		assert_int_equal(ipc_send(both.a.channel, 1, STR("between"), -1), 0);
		assert_int_equal(ipc_send(both.a.channel, 2, str_of(text, (size_t)n), fd), 0);
		close(fd);
	}
	TEST_UNTIL(both.loop, both.b.messages == 2 * DESCRIPTORS);
	assert_int_equal(both.b.descriptors, DESCRIPTORS);
	assert_int_equal(both.b.wrong_descriptors, 0);
	assert_int_equal(both.b.closes, 0);
	finish(&both);
}

/* The socket is writable while the kernel takes no descriptor: trying at once would take all the processor's time. */
static void too_many_descriptors_in_flight_are_tried_again_in_a_while(void **state)
{
	(void)state;
	struct both both;
	begin(&both);
	int fd = memfd_create("number", MFD_CLOEXEC);
	assert_int_equal(write(fd, "1", 1), 1);
	tries = 0;
	refuse_descriptors = true;
	assert_int_equal(ipc_send(both.a.channel, 1, STR("1"), fd), 0);
	assert_int_equal(ipc_send(both.a.channel, 2, STR("behind it"), -1), 0);
	test_run(both.loop, 300);
	assert_in_range(tries, 1, 32);
	TEST_UNTIL(both.loop, tries >= 2);
	assert_int_equal(both.b.messages, 0);
	refuse_descriptors = false;
	TEST_UNTIL(both.loop, both.b.messages == 2);
	assert_int_equal(both.b.last_type, 2);
	assert_int_equal(both.b.descriptors, 1);
	assert_int_equal(both.b.closes, 0);
	close(fd);
	finish(&both);
}

static void a_full_queue_says_unavailable(void **state)
{
	(void)state;
	struct both both;
	char *large = calloc(1, IPC_BODY_MAX);
	begin(&both);
	int err = 0, sent = 0;
	while (err == 0 && sent < 1000) {
		err = ipc_send(both.a.channel, 1, str_of(large, IPC_BODY_MAX), -1);
		sent += err == 0;
	}
	assert_int_equal(err, ERR_UNAVAILABLE);
	TEST_UNTIL(both.loop, both.b.messages == sent);
	assert_int_equal(ipc_send(both.a.channel, 1, STR("again"), -1), 0);
	TEST_UNTIL(both.loop, both.b.messages == sent + 1);
	free(large);
	finish(&both);
}

static void a_refused_message_closes_both_sides(void **state)
{
	(void)state;
	struct both both;
	begin(&both);
	both.b.answer = ERR_CORRUPT;
	assert_int_equal(ipc_send(both.a.channel, 1, STR("x"), -1), 0);
	assert_int_equal(ipc_send(both.a.channel, 1, STR("y"), -1), 0);
	TEST_UNTIL(both.loop, both.b.closes == 1);
	assert_int_equal(both.b.messages, 1);
	assert_int_equal(ipc_send(both.b.channel, 1, STR("x"), -1), ERR_UNAVAILABLE);
	ipc_channel_free(&both.b.channel);
	TEST_UNTIL(both.loop, both.a.closes == 1);
	assert_int_equal(ipc_send(both.a.channel, 1, STR("x"), -1), ERR_UNAVAILABLE);
	finish(&both);
}

static void a_channel_may_be_freed_inside_its_handler(void **state)
{
	(void)state;
	struct both both;
	begin(&both);
	both.b.free_inside = true;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ipc_send(both.a.channel, 1, STR("x"), -1), 0);
	TEST_UNTIL(both.loop, both.b.channel == NULL);
	assert_int_equal(both.b.messages, 1);
	TEST_UNTIL(both.loop, both.a.closes == 1);
	finish(&both);
}

/* --- a raw other side --- */

static void begin_raw(struct both *both, int *raw)
{
	int pair[2];
	*both = (struct both){ .loop = loop_new() };
	both->b.last = BUF_INIT(1000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	both->b.channel = ipc_channel_new(both->loop, pair[1], on_message, on_closed, &both->b);
	*raw = pair[0];
}

static void print_frame(struct buf *out, uint32_t n, uint8_t fds, uint8_t zero, struct str body)
{
	wire_put_u32(out, n);
	wire_put_u16(out, 5);
	wire_put_u8(out, fds);
	wire_put_u8(out, zero);
	buf_add(out, body);
}

static void send_with_descriptors(int raw, struct str bytes, int n)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(100 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (char *)(uintptr_t)bytes.p, bytes.n };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
		                  .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int)) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	for (int i = 0; i < n; i++)
		memcpy(CMSG_DATA(header) + (size_t)i * sizeof(int), &raw, sizeof raw);
	assert_int_equal(sendmsg(raw, &message, 0), bytes.n);
}

static void frames_come_byte_by_byte_too(void **state)
{
	(void)state;
	struct both both;
	int raw;
	struct buf bytes = BUF_INIT(1000);
	begin_raw(&both, &raw);
	print_frame(&bytes, 3, 0, 0, STR("abc"));
	print_frame(&bytes, 0, 0, 0, STR(""));
	print_frame(&bytes, 2, 0, 0, STR("de"));
	for (size_t i = 0; i < bytes.n; i++) {
		assert_int_equal(write(raw, bytes.p + i, 1), 1);
		test_run(both.loop, 1);
	}
	TEST_UNTIL(both.loop, both.b.messages == 3);
	assert_int_equal(both.b.bytes, 5);
	buf_free(&bytes);
	close(raw);
	TEST_UNTIL(both.loop, both.b.closes == 1);
	finish(&both);
}

static void bad_frames_close_the_channel(void **state)
{
	(void)state;
	const struct {
		uint32_t n;
		uint8_t fds, zero;
	} bad[] = { { IPC_BODY_MAX + 1, 0, 0 }, { UINT32_MAX, 0, 0 }, { 0, 1, 0 }, { 0, 2, 0 }, { 0, 0, 1 } };
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct both both;
		int raw;
		struct buf bytes = BUF_INIT(1000);
		begin_raw(&both, &raw);
		print_frame(&bytes, bad[i].n, bad[i].fds, bad[i].zero, STR(""));
		assert_int_equal(write(raw, bytes.p, bytes.n), bytes.n);
		TEST_UNTIL(both.loop, both.b.closes == 1);
		assert_int_equal(both.b.messages, 0);
		buf_free(&bytes);
		close(raw);
		finish(&both);
	}
}

static int open_descriptors(void)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void surplus_descriptors_close_the_channel_and_do_not_stay(void **state)
{
	(void)state;
	for (int n = 1; n <= 100; n += 33) {
		struct both both;
		int raw;
		struct buf bytes = BUF_INIT(1000);
		begin_raw(&both, &raw);
		int before = open_descriptors();
		print_frame(&bytes, 0, 0, 0, STR(""));
		send_with_descriptors(raw, buf_str(&bytes), n);
		TEST_UNTIL(both.loop, both.b.closes == 1);
		assert_int_equal(open_descriptors(), before);
		buf_free(&bytes);
		close(raw);
		finish(&both);
	}
}

/* --- calls --- */

struct caller {
	struct ipc_calls *calls;
	uint64_t id;
	int replies, result;
	const void *reply;
	bool begin_inside;
};

static void on_reply(void *owner, int result, const void *reply)
{
	struct caller *caller = owner;
	caller->replies++;
	caller->result = result;
	caller->reply = reply;
	if (caller->begin_inside)
		assert_int_equal(ipc_call_begin(caller->calls, 9, 60000, on_reply, caller, &caller->id), 0);
}

static void a_call_ends_exactly_once(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct ipc_calls *calls = ipc_calls_new(loop, 100);
	struct caller a = { calls }, b = { calls }, c = { calls }, d = { calls };
	int answer = 42;
	assert_int_equal(ipc_call_begin(calls, 1, 60000, on_reply, &a, &a.id), 0);
	assert_int_equal(ipc_call_begin(calls, 1, 50, on_reply, &b, &b.id), 0);
	assert_int_equal(ipc_call_begin(calls, 2, 60000, on_reply, &c, &c.id), 0);
	assert_int_equal(ipc_call_begin(calls, 2, 60000, on_reply, &d, &d.id), 0);
	assert_int_equal(ipc_calls_count(calls), 4);
	assert_false(ipc_call_end(calls, 2, a.id, &answer)); /* another peer's call */
	assert_false(ipc_call_end(calls, 1, 0, &answer));
	assert_false(ipc_call_end(calls, 1, a.id + (UINT64_C(1) << 32), &answer));
	assert_true(ipc_call_end(calls, 1, a.id, &answer));
	assert_false(ipc_call_end(calls, 1, a.id, &answer));
	assert_ptr_equal(a.reply, &answer);
	TEST_UNTIL(loop, b.replies == 1);
	assert_int_equal(b.result, ERR_TIMEOUT);
	ipc_call_cancel(calls, d.id);
	ipc_call_cancel(calls, d.id);
	c.begin_inside = true;
	ipc_calls_peer_lost(calls, 2);
	assert_int_equal(c.result, ERR_UNAVAILABLE);
	assert_int_equal(a.replies + b.replies + c.replies + d.replies, 3);
	assert_int_equal(ipc_calls_count(calls), 1);
	ipc_calls_free(&calls);
	ipc_calls_free(&calls);
	loop_free(&loop);
}

static void calls_are_bounded_and_numbers_are_not_used_again(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct ipc_calls *calls = ipc_calls_new(loop, 50);
	struct caller callers[51];
	for (int i = 0; i < 50; i++) {
		callers[i] = (struct caller){ calls };
		assert_int_equal(ipc_call_begin(calls, 1, 60000, on_reply, &callers[i], &callers[i].id), 0);
	}
	uint64_t id;
	assert_int_equal(ipc_call_begin(calls, 1, 60000, on_reply, &callers[50], &id), ERR_LIMIT);
	ipc_call_cancel(calls, callers[7].id);
	assert_int_equal(ipc_call_begin(calls, 1, 60000, on_reply, &callers[7], &id), 0);
	assert_true(id != callers[7].id);
	assert_false(ipc_call_end(calls, 1, callers[7].id, NULL));
	ipc_calls_free(&calls);
	loop_free(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_arrive_whole_and_in_order),
		cmocka_unit_test(it_is_known_whether_all_was_read),
		cmocka_unit_test(descriptors_stay_with_their_frames),
		cmocka_unit_test(a_descriptor_without_room_is_lost_and_its_frame_is_not),
		cmocka_unit_test(too_many_descriptors_in_flight_are_tried_again_in_a_while),
		cmocka_unit_test(a_full_queue_says_unavailable),
		cmocka_unit_test(a_refused_message_closes_both_sides),
		cmocka_unit_test(a_channel_may_be_freed_inside_its_handler),
		cmocka_unit_test(frames_come_byte_by_byte_too),
		cmocka_unit_test(bad_frames_close_the_channel),
		cmocka_unit_test(surplus_descriptors_close_the_channel_and_do_not_stay),
		cmocka_unit_test(a_call_ends_exactly_once),
		cmocka_unit_test(calls_are_bounded_and_numbers_are_not_used_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
