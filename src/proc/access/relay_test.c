/* The relay between two socketpairs: bytes in order both ways, back-pressure, and the passing on of ends. */
#include "proc/access/relay.h"

#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/test_support.h"

#define LARGE (4 * 1024 * 1024)

struct fixture {
	struct loop *loop;
	struct stream *stream;
	struct relay *relay;
	int client, shard; /* the far ends */
	int closed;        /* 0: open, else 1 */
	int closed_with;
};

/* What the owner of the client's stream does. */
static size_t on_input(void *owner, struct str bytes)
{
	return relay_client_input(((struct fixture *)owner)->relay, bytes);
}

static void on_drained(void *owner)
{
	relay_client_drained(((struct fixture *)owner)->relay);
}

static void on_ended(void *owner)
{
	relay_client_ended(((struct fixture *)owner)->relay);
}

static void on_closed(void *owner, int err)
{
	struct fixture *f = owner;
	f->closed = 1;
	f->closed_with = err;
	relay_free(&f->relay);
	stream_free(&f->stream);
}

static int set_up(void **state)
{
	static const struct stream_events events = {
		.input = on_input, .drained = on_drained, .closed = on_closed, .ended = on_ended,
	};
	struct fixture *f = mem_alloc(1, sizeof *f);
	int client[2], shard[2];
	f->loop = loop_new();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, client) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, shard) != 0)
		return -1;
	f->client = client[0];
	f->shard = shard[0];
	f->stream = stream_new(f->loop, client[1], (struct stream_limits){ 16384, RELAY_OUTPUT_MAX }, &events, f);
	stream_set_write_timeout(f->stream, 300);
	f->relay = relay_new(f->loop, f->stream, shard[1]);
	*state = f;
	return 0;
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	relay_free(&f->relay);
	stream_free(&f->stream);
	close_end(&f->client);
	close_end(&f->shard);
	loop_free(&f->loop);
	mem_free(f);
	return 0;
}

static char pattern(size_t at)
{
	return (char)('a' + at % 23);
}

/* Sends the pattern from `at` on until the socket takes no more, or up to `end`. */
static void push(int fd, size_t *at, size_t end)
{
	char piece[8192];
	while (*at < end) {
		size_t n = MIN(sizeof piece, end - *at);
		for (size_t i = 0; i < n; i++)
			piece[i] = pattern(*at + i);
		ssize_t sent = send(fd, piece, n, MSG_NOSIGNAL);
		if (sent < 0) {
			assert_true(errno == EAGAIN || errno == EPIPE);
			return;
		}
		*at += (size_t)sent;
	}
}

/* Receives and compares; true at the end of the stream. */
static bool pull(int fd, size_t *at)
{
	char piece[8192];
	ssize_t got;
	while ((got = recv(fd, piece, sizeof piece, 0)) > 0) {
		for (ssize_t i = 0; i < got; i++)
			assert_int_equal(piece[i], pattern(*at + (size_t)i));
		*at += (size_t)got;
	}
	return got == 0;
}

static bool moved(struct fixture *f, size_t sent[2], size_t received[2])
{
	push(f->client, &sent[0], LARGE);
	push(f->shard, &sent[1], LARGE);
	pull(f->shard, &received[0]);
	pull(f->client, &received[1]);
	return received[0] == LARGE && received[1] == LARGE;
}

static void bytes_arrive_in_order_both_ways_at_once(void **state)
{
	struct fixture *f = *state;
	size_t sent[2] = { 0 }, received[2] = { 0 };
	TEST_UNTIL(f->loop, moved(f, sent, received));
}

static void nothing_more_is_read_when_the_other_side_is_full(void **state)
{
	struct fixture *f = *state;
	size_t sent = 0, received = 0, before;
	do {
		before = sent;
		push(f->client, &sent, LARGE);
		test_run(f->loop, 20);
	} while (sent > before);
	assert_true(sent < 2 * 1024 * 1024);
	/* The other direction goes on. */
	size_t back = 0, got = 0;
	push(f->shard, &back, 1000);
	TEST_UNTIL(f->loop, (pull(f->client, &got), got == 1000));
	TEST_UNTIL(f->loop, (push(f->client, &sent, LARGE), pull(f->shard, &received), received == LARGE));
}

static void the_clients_end_is_passed_on_and_answers_still_come(void **state)
{
	struct fixture *f = *state;
	size_t sent = 0, received = 0, back = 0, got = 0;
	push(f->client, &sent, 5000);
	shutdown(f->client, SHUT_WR);
	TEST_UNTIL(f->loop, pull(f->shard, &received));
	assert_int_equal(received, 5000);
	push(f->shard, &back, 3000);
	close_end(&f->shard);
	TEST_UNTIL(f->loop, pull(f->client, &got));
	assert_int_equal(got, 3000);
	TEST_UNTIL(f->loop, f->closed);
	assert_int_equal(f->closed_with, 0);
}

static void the_shards_end_reaches_the_client_behind_its_last_words(void **state)
{
	struct fixture *f = *state;
	size_t sent = 0, got = 0;
	push(f->shard, &sent, 100000);
	shutdown(f->shard, SHUT_WR);
	TEST_UNTIL(f->loop, pull(f->client, &got));
	assert_int_equal(got, sent);
	close_end(&f->client);
	TEST_UNTIL(f->loop, f->closed);
}

static size_t say_all_that_fits(struct fixture *f)
{
	size_t sent = 0, before;
	do {
		before = sent;
		push(f->shard, &sent, LARGE);
		test_run(f->loop, 20);
	} while (sent > before);
	assert_true(sent < LARGE);
	return sent;
}

/* The shard says so much, ends, and only then does the client read it, saying something itself. */
static void hear_out(struct fixture *f, size_t sent)
{
	size_t said = 0, got = 0;
	close_end(&f->shard);
	test_run(f->loop, 20);
	push(f->client, &said, 100);
	test_run(f->loop, 20);
	assert_false(f->closed);
	TEST_UNTIL(f->loop, (push(f->client, &said, said + 1), pull(f->client, &got) || f->closed));
	assert_int_equal(got, sent);
	close_end(&f->client);
	TEST_UNTIL(f->loop, f->closed);
	assert_int_equal(f->closed_with, 0);
}

static void what_the_client_says_behind_the_shards_end_cuts_nothing_off(void **state)
{
	struct fixture *f = *state;
	stream_set_write_timeout(f->stream, TEST_PATIENCE_MS);
	hear_out(f, say_all_that_fits(f));
}

static void what_the_shard_did_not_read_cuts_nothing_off(void **state)
{
	struct fixture *f = *state;
	size_t sent = 0, said = 0, before;
	stream_set_write_timeout(f->stream, TEST_PATIENCE_MS);
	do {
		before = sent + said;
		push(f->shard, &sent, LARGE);
		push(f->client, &said, LARGE); /* in the shard's socket, and behind it */
		test_run(f->loop, 20);
	} while (sent + said > before);
	hear_out(f, sent);
}

static void after_the_shards_end_the_client_may_end_too(void **state)
{
	struct fixture *f = *state;
	size_t said = 0, got = 0;
	stream_set_write_timeout(f->stream, TEST_PATIENCE_MS);
	size_t sent = say_all_that_fits(f);
	close_end(&f->shard);
	push(f->client, &said, 100);
	shutdown(f->client, SHUT_WR);
	test_run(f->loop, 20);
	assert_false(f->closed);
	TEST_UNTIL(f->loop, pull(f->client, &got) || f->closed);
	assert_int_equal(got, sent);
	TEST_UNTIL(f->loop, f->closed);
}

static void a_client_that_never_hears_the_last_words_is_closed_in_time(void **state)
{
	struct fixture *f = *state;
	size_t said = 0;
	(void)say_all_that_fits(f);
	close_end(&f->shard);
	TEST_UNTIL(f->loop, (push(f->client, &said, said + 1), f->closed));
	assert_int_equal(f->closed_with, ERR_TIMEOUT);
}

static void a_client_that_vanishes_ends_the_shards_side(void **state)
{
	struct fixture *f = *state;
	size_t sent = 0, received = 0;
	push(f->shard, &sent, LARGE); /* more than fits */
	test_run(f->loop, 10);
	close_end(&f->client);
	TEST_UNTIL(f->loop, f->closed);
	TEST_UNTIL(f->loop, pull(f->shard, &received) || errno == ECONNRESET);
}

static void a_client_that_never_reads_is_closed_in_time(void **state)
{
	struct fixture *f = *state;
	size_t sent = 0;
	TEST_UNTIL(f->loop, (push(f->shard, &sent, LARGE), f->closed));
	assert_int_equal(f->closed_with, ERR_TIMEOUT);
}

static void an_idle_client_is_not_closed(void **state)
{
	struct fixture *f = *state;
	size_t sent = 0, got = 0;
	push(f->shard, &sent, 10);
	TEST_UNTIL(f->loop, (pull(f->client, &got), got == 10));
	test_run(f->loop, 600);
	assert_false(f->closed);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(bytes_arrive_in_order_both_ways_at_once),
		TEST(nothing_more_is_read_when_the_other_side_is_full),
		TEST(the_clients_end_is_passed_on_and_answers_still_come),
		TEST(the_shards_end_reaches_the_client_behind_its_last_words),
		TEST(what_the_client_says_behind_the_shards_end_cuts_nothing_off),
		TEST(what_the_shard_did_not_read_cuts_nothing_off),
		TEST(after_the_shards_end_the_client_may_end_too),
		TEST(a_client_that_never_hears_the_last_words_is_closed_in_time),
		TEST(a_client_that_vanishes_ends_the_shards_side),
		TEST(a_client_that_never_reads_is_closed_in_time),
		TEST(an_idle_client_is_not_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
