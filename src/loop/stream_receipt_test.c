/* stream_receipt_test.c: what a client's system has acknowledged, over TCP on this machine. */
#include "base/checked.h"
#include "loop/stream.h"
#include "loop/test_support.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LARGE (8u << 20) /* more than the system takes for a client that does not read */

struct session {
	struct loop *loop;
	struct stream *stream;
	int client;
	bool closed;
};

static size_t on_input(void *owner, struct str bytes)
{
	return bytes.n;
}

static void on_drained(void *owner)
{
}

static void on_closed(void *owner, int err)
{
	((struct session *)owner)->closed = true;
}

static const struct stream_events events = { .input = on_input, .drained = on_drained, .closed = on_closed };

static void begin(struct session *s)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM, 0), small = 4096;
	assert_int_equal(bind(listener, (struct sockaddr *)&address, n), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &n), 0);
	*s = (struct session){ .loop = loop_new(), .client = socket(AF_INET, SOCK_STREAM, 0) };
	assert_int_equal(setsockopt(s->client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
	assert_int_equal(connect(s->client, (struct sockaddr *)&address, n), 0);
	int server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(server >= 0);
	close(listener);
	s->stream = stream_new(s->loop, server, (struct stream_limits){ 1000, 2 * LARGE }, &events, s);
}

static void end(struct session *s)
{
	stream_free(&s->stream);
	loop_free(&s->loop);
}

static void say(struct session *s, size_t n)
{
	char bytes[1024] = "";
	for (size_t done = 0; done < n; done += sizeof bytes)
		outq_add(stream_output(s->stream), str_of(bytes, MIN(sizeof bytes, n - done)));
	stream_flush(s->stream);
}

static void go_away_with_a_reset(struct session *s)
{
	struct linger at_once = { 1, 0 };
	assert_int_equal(setsockopt(s->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
	close(s->client);
	TEST_UNTIL(s->loop, s->closed);
}

static void what_has_arrived_has_arrived_whoever_goes_away(void **state)
{
	struct session s;
	begin(&s);
	assert_int_equal(stream_received(s.stream), 0);
	say(&s, 100);
	TEST_UNTIL(s.loop, stream_received(s.stream) == 100);
	say(&s, 50); /* counted from the beginning */
	TEST_UNTIL(s.loop, stream_received(s.stream) == 150);
	go_away_with_a_reset(&s);
	assert_int_equal(stream_received(s.stream), 150);
	end(&s);
}

static void what_lies_in_our_own_buffers_has_not(void **state)
{
	struct session s;
	begin(&s);
	say(&s, LARGE);
	TEST_UNTIL(s.loop, stream_received(s.stream) > 0);
	assert_true(stream_received(s.stream) < LARGE / 2);
	go_away_with_a_reset(&s);
	assert_true(stream_received(s.stream) < LARGE / 2);
	end(&s);
	begin(&s);
	say(&s, 20000); /* which has left at once */
	TEST_UNTIL(s.loop, outq_empty(stream_output(s.stream)));
	assert_true(stream_received(s.stream) < 20000);
	go_away_with_a_reset(&s);
	assert_true(stream_received(s.stream) < 20000);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_has_arrived_has_arrived_whoever_goes_away),
		cmocka_unit_test(what_lies_in_our_own_buffers_has_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
