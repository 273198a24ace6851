/* stream_test.c: plain streams over socketpairs: what is offered and kept, what leaves and when, every way to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/checked.h"
#include "base/random.h"
#include "loop/stream.h"
#include "loop/test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_MAX  1000
#define OUTPUT_MAX (8 * 1024 * 1024)
#define LONG_MS    (10 * TEST_PATIENCE_MS) /* time enough for whoever is waited for */

enum inside { NOTHING, FREE_IT, DETACH_IT, PAUSE_IT };

struct session {
	struct loop *loop;
	struct stream *stream;
	int client;             /* our end of the other side */
	struct buf got;         /* what input() took */
	struct buf offered;     /* the last slice */
	size_t take;            /* bytes that input() takes at most */
	int inputs, drains, ends, idles, closes, closed_with;
	enum inside in_input, in_drained, in_closed;
	int detached;
	struct buf unread;
};

static void act(struct session *s, enum inside what)
{
	switch (what) {
	case NOTHING:
		break;
	case FREE_IT:
		stream_free(&s->stream);
		break;
	case DETACH_IT:
		assert_int_equal(stream_detach(&s->stream, &s->detached, &s->unread), 0);
		break;
	case PAUSE_IT:
		stream_pause(s->stream, true);
		break;
	}
}

static size_t on_input(void *owner, struct str bytes)
{
	struct session *s = owner;
	struct str taken = str_first(bytes, s->take);
	s->inputs++;
	buf_clear(&s->offered);
	buf_add(&s->offered, bytes);
	buf_add(&s->got, taken);
	act(s, s->in_input);
	return taken.n;
}

static void on_drained(void *owner)
{
	struct session *s = owner;
	s->drains++;
	act(s, s->in_drained);
}

static void on_closed(void *owner, int err)
{
	struct session *s = owner;
	s->closes++;
	s->closed_with = err;
	act(s, s->in_closed);
}

static const struct stream_events events = { .input = on_input, .drained = on_drained, .closed = on_closed };

static void begin(struct session *s)
{
	int pair[2];
	clock_hold(0); /* after a test that failed, too */
	*s = (struct session){ .loop = loop_new(), .take = SIZE_MAX, .detached = -1 };
	s->got = s->offered = s->unread = BUF_INIT(64 * 1024 * 1024);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	s->client = pair[1];
	s->stream = stream_new(s->loop, pair[0], (struct stream_limits){ INPUT_MAX, OUTPUT_MAX }, &events, s);
}

static void end(struct session *s)
{
	stream_free(&s->stream);
	if (s->detached >= 0)
		close(s->detached);
	if (s->client >= 0)
		close(s->client);
	buf_free(&s->got);
	buf_free(&s->offered);
	buf_free(&s->unread);
	loop_free(&s->loop);
}

static void client_says(struct session *s, const char *text)
{
	assert_int_equal(write(s->client, text, strlen(text)), strlen(text));
}

/* Reads from the client's side until so many bytes are there (or the end); lets the loop run meanwhile. */
static void client_reads(struct session *s, struct buf *into, size_t n)
{
	for (unsigned tries = 0; into->n < n && tries < TEST_PATIENCE_MS;) {
		char bytes[30000];
		ssize_t got = read(s->client, bytes, MIN(sizeof bytes, n - into->n));
		if (got == 0)
			break;
		if (got > 0)
			buf_add(into, str_of(bytes, (size_t)got));
		else
			test_run(s->loop, 1), tries++;
	}
}

static bool client_sees_end(struct session *s)
{
	char byte;
	return read(s->client, &byte, 1) == 0;
}

static bool client_sees_nothing(struct session *s)
{
	char byte;
	return read(s->client, &byte, 1) < 0 && errno == EAGAIN;
}

static void what_is_not_taken_is_offered_again_with_what_follows(void **state)
{
	(void)state;
	struct session s;
	begin(&s);
	s.take = 3;
	client_says(&s, "abcde");
	TEST_UNTIL(s.loop, s.inputs == 1);
	assert_true(str_eq(buf_str(&s.offered), STR("abcde")));
	client_says(&s, "fg");
	TEST_UNTIL(s.loop, s.inputs == 2);
	assert_true(str_eq(buf_str(&s.offered), STR("defg")));
	stream_offer_again(s.stream);
	TEST_UNTIL(s.loop, s.inputs == 3);
	assert_true(str_eq(buf_str(&s.offered), STR("g")));
	stream_offer_again(s.stream);
	test_run(s.loop, 5);
	assert_int_equal(s.inputs, 3);
	assert_true(str_eq(buf_str(&s.got), STR("abcdefg")));
	end(&s);
}

static void a_full_input_stops_reading_until_something_is_taken(void **state)
{
	(void)state;
	struct session s;
	char bytes[INPUT_MAX];
	memset(bytes, 'x', sizeof bytes);
	begin(&s);
	s.take = 0;
	assert_int_equal(write(s.client, bytes, sizeof bytes), sizeof bytes);
	TEST_UNTIL(s.loop, s.inputs == 1);
	client_says(&s, "y");
	test_run(s.loop, 10);
	assert_int_equal(s.inputs, 1);
	s.take = SIZE_MAX;
	stream_offer_again(s.stream);
	TEST_UNTIL(s.loop, s.got.n == INPUT_MAX + 1);
	end(&s);
}

static void a_paused_stream_reads_nothing_and_offers_on_resume(void **state)
{
	(void)state;
	struct session s;
	begin(&s);
	s.take = 1;
	s.in_input = PAUSE_IT;
	client_says(&s, "ab");
	TEST_UNTIL(s.loop, s.inputs == 1);
	client_says(&s, "c");
	stream_offer_again(s.stream);
	test_run(s.loop, 10);
	assert_int_equal(s.inputs, 1);
	s.in_input = NOTHING;
	s.take = SIZE_MAX;
	stream_pause(s.stream, false);
	TEST_UNTIL(s.loop, s.got.n == 3);
	assert_true(str_eq(buf_str(&s.got), STR("abc")));
	end(&s);
}

static void much_output_leaves_whole_to_a_slow_reader(void **state)
{
	(void)state;
	struct session s;
	size_t n = 3 * 1024 * 1024 + 17;
	char *bytes = malloc(n);
	struct buf read_back = BUF_INIT(n);
	begin(&s);
	random_bytes(bytes, n);
	outq_add(stream_output(s.stream), str_of(bytes, n));
	stream_flush(s.stream);
	client_reads(&s, &read_back, n);
	assert_int_equal(read_back.n, n);
	assert_memory_equal(read_back.p, bytes, n);
	TEST_UNTIL(s.loop, s.drains == 1);
	free(bytes);
	buf_free(&read_back);
	end(&s);
}

static void bytes_and_file_ranges_leave_in_order(void **state)
{
	(void)state;
	struct session s;
	size_t n = 900000;
	char *file = malloc(n);
	struct buf wanted = BUF_INIT(OUTPUT_MAX), read_back = BUF_INIT(OUTPUT_MAX);
	begin(&s);
	random_bytes(file, n);
	int fd = memfd_create("bodies", MFD_CLOEXEC);
	assert_int_equal(write(fd, file, n), n);
	const size_t lengths[] = { 1, 100, 16383, 16384, 16385, 40000, 300000, 5, 0, 15000, 15000, 15000, 15000, 15000 };
	size_t at = 0;
	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		outq_addf(stream_output(s.stream), "* %zu FETCH {%zu}\r\n", i, lengths[i]);
		buf_addf(&wanted, "* %zu FETCH {%zu}\r\n", i, lengths[i]);
		outq_add_file(stream_output(s.stream), fd, at, lengths[i]);
		buf_add(&wanted, str_of(file + at, lengths[i]));
		at += lengths[i];
	}
	stream_flush(s.stream);
	client_reads(&s, &read_back, wanted.n);
	assert_true(str_eq(buf_str(&read_back), buf_str(&wanted)));
	TEST_UNTIL(s.loop, s.drains == 1);
	/* A file that is shorter than promised ends the session. */
	outq_add_file(stream_output(s.stream), fd, n - 10, 20000);
	stream_flush(s.stream);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, ERR_IO);
	close(fd);
	free(file);
	buf_free(&wanted);
	buf_free(&read_back);
	end(&s);
}

static void a_held_stream_says_nothing(void **state)
{
	(void)state;
	struct session s;
	struct buf answer = BUF_INIT(100);
	begin(&s);
	stream_hold(s.stream, true);
	outq_add(stream_output(s.stream), STR("OK"));
	stream_flush(s.stream);
	test_run(s.loop, 20);
	assert_true(client_sees_nothing(&s));
	assert_int_equal(s.drains, 0);
	stream_hold(s.stream, false);
	client_reads(&s, &answer, 2);
	assert_true(str_eq(buf_str(&answer), STR("OK")));
	buf_free(&answer);
	end(&s);
}

static void an_output_over_its_maximum_closes(void **state)
{
	(void)state;
	struct session s;
	char *bytes = calloc(1, OUTPUT_MAX + 1);
	begin(&s);
	outq_add(stream_output(s.stream), str_of(bytes, OUTPUT_MAX + 1));
	stream_flush(s.stream);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, ERR_LIMIT);
	free(bytes);
	end(&s);
}

static void silence_times_out_and_progress_postpones_it(void **state)
{
	(void)state;
	struct session s;
	begin(&s);
	clock_hold(clock_monotonic_us());
	stream_set_timeout(s.stream, 200);
	for (int i = 0; i < 8; i++) {
		test_pass(s.loop, 50);
		client_says(&s, "x");
	}
	assert_int_equal(s.closes, 0);
	test_pass(s.loop, 0); /* the last is read */
	test_pass(s.loop, 400);
	assert_int_equal(s.closes, 1);
	assert_int_equal(s.closed_with, ERR_TIMEOUT);
	test_pass(s.loop, 400);
	assert_int_equal(s.closes, 1);
	clock_hold(0);
	end(&s);
}

static void a_client_that_ends_its_side_still_gets_its_answer(void **state)
{
	(void)state;
	struct session s;
	struct buf answer = BUF_INIT(100);
	begin(&s);
	s.in_input = PAUSE_IT; /* the owner waits for somebody else */
	client_says(&s, "LOGOUT");
	shutdown(s.client, SHUT_WR);
	TEST_UNTIL(s.loop, s.inputs == 1);
	test_run(s.loop, 20);
	assert_int_equal(s.closes, 0);
	/* The answer is held by the commit gate at first. */
	stream_hold(s.stream, true);
	outq_add(stream_output(s.stream), STR("BYE"));
	stream_flush(s.stream);
	stream_pause(s.stream, false);
	test_run(s.loop, 20);
	assert_int_equal(s.closes, 0);
	stream_hold(s.stream, false);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	client_reads(&s, &answer, 3);
	assert_true(str_eq(buf_str(&answer), STR("BYE")));
	buf_free(&answer);
	end(&s);
}

static void on_ended(void *owner)
{
	struct session *s = owner;
	s->ends++;
}

static void begin_relay(struct session *s)
{
	static const struct stream_events relay = { .input = on_input, .drained = on_drained, .closed = on_closed, .ended = on_ended };
	int pair[2];
	begin(s);
	stream_free(&s->stream);
	close(s->client);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	s->client = pair[1];
	s->stream = stream_new(s->loop, pair[0], (struct stream_limits){ INPUT_MAX, OUTPUT_MAX }, &relay, s);
}

static void each_side_of_a_relay_may_end_first(void **state)
{
	(void)state;
	struct session s;
	struct buf answer = BUF_INIT(100);
	begin_relay(&s);
	shutdown(s.client, SHUT_WR);
	TEST_UNTIL(s.loop, s.ends == 1);
	test_run(s.loop, 10);
	assert_int_equal(s.closes, 0);
	outq_add(stream_output(s.stream), STR("answer"));
	stream_flush(s.stream);
	client_reads(&s, &answer, 6);
	stream_end_output(s.stream);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	assert_int_equal(s.ends, 1);
	assert_true(client_sees_end(&s));
	end(&s);
	/* The other order; the client's last words still come. */
	begin_relay(&s);
	stream_end_output(s.stream);
	TEST_UNTIL(s.loop, client_sees_end(&s));
	client_says(&s, "last words");
	TEST_UNTIL(s.loop, s.got.n == 10);
	assert_int_equal(s.closes, 0);
	shutdown(s.client, SHUT_WR);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.ends, 0);
	end(&s);
	/* Ended while paused: what was kept is offered first. */
	begin_relay(&s);
	s.take = 3;
	s.in_input = PAUSE_IT;
	client_says(&s, "abcdef");
	shutdown(s.client, SHUT_WR);
	TEST_UNTIL(s.loop, s.inputs == 1);
	stream_end_output(s.stream);
	test_run(s.loop, 10);
	assert_int_equal(s.closes, 0);
	s.in_input = NOTHING;
	stream_pause(s.stream, false);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_true(str_eq(buf_str(&s.got), STR("abcdef")));
	buf_free(&answer);
	end(&s);
}

static void an_end_is_told_once_and_only_behind_what_waits(void **state)
{
	(void)state;
	struct session s;
	char *bytes = calloc(1, OUTPUT_MAX);
	struct buf read_back = BUF_INIT(OUTPUT_MAX);
	begin_relay(&s);
	outq_add(stream_output(s.stream), str_of(bytes, OUTPUT_MAX));
	stream_flush(s.stream);
	client_says(&s, "x");
	shutdown(s.client, SHUT_WR);
	TEST_UNTIL(s.loop, s.got.n == 1);
	test_run(s.loop, 20);
	assert_int_equal(s.ends, 0);
	client_reads(&s, &read_back, OUTPUT_MAX);
	TEST_UNTIL(s.loop, s.ends == 1);
	/* Turns that follow do not tell it again. */
	stream_flush(s.stream);
	stream_offer_again(s.stream);
	test_run(s.loop, 10);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.closes, 0);
	/* The end of our side waits for what is queued, also when that is held. */
	stream_hold(s.stream, true);
	buf_clear(&read_back);
	outq_add(stream_output(s.stream), STR("last"));
	stream_end_output(s.stream);
	test_run(s.loop, 10);
	assert_int_equal(s.closes, 0);
	stream_hold(s.stream, false);
	client_reads(&s, &read_back, 4);
	assert_true(str_eq(buf_str(&read_back), STR("last")));
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	assert_true(client_sees_end(&s));
	end(&s);
	/* stream_finish after an end closes too. */
	begin_relay(&s);
	shutdown(s.client, SHUT_WR);
	TEST_UNTIL(s.loop, s.ends == 1);
	stream_finish(s.stream, 5000);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	free(bytes);
	buf_free(&read_back);
	end(&s);
}

static void a_client_that_never_reads_is_given_up_whatever_it_says(void **state)
{
	(void)state;
	struct session s;
	char *bytes = calloc(1, OUTPUT_MAX);
	begin(&s);
	stream_set_timeout(s.stream, 60000);
	stream_set_write_timeout(s.stream, 200);
	/* Nothing waits: silence is none of its business. */
	test_run(s.loop, 400);
	assert_int_equal(s.closes, 0);
	outq_add(stream_output(s.stream), str_of(bytes, OUTPUT_MAX));
	stream_flush(s.stream);
	uint64_t began = loop_now_ms(s.loop);
	while (s.closes == 0 && loop_now_ms(s.loop) - began < TEST_PATIENCE_MS) {
		client_says(&s, "x");
		test_run(s.loop, 20);
	}
	assert_int_equal(s.closes, 1);
	assert_int_equal(s.closed_with, ERR_TIMEOUT);
	end(&s);
	free(bytes);
}

static void a_slow_reader_and_held_output_are_no_reason_to_give_up(void **state)
{
	(void)state;
	struct session s;
	char *bytes = calloc(1, OUTPUT_MAX);
	struct buf read_back = BUF_INIT(OUTPUT_MAX);
	begin(&s);
	clock_hold(clock_monotonic_us());
	stream_set_write_timeout(s.stream, 1000);
	stream_hold(s.stream, true);
	outq_add(stream_output(s.stream), str_of(bytes, OUTPUT_MAX));
	stream_flush(s.stream);
	test_pass(s.loop, 1300);
	assert_int_equal(s.closes, 0);
	stream_hold(s.stream, false);
	for (size_t n = 1; n <= 8; n++) {
		test_pass(s.loop, 300);
		client_reads(&s, &read_back, n * (OUTPUT_MAX / 10));
		assert_int_equal(s.closes, 0);
	}
	/* Held while the socket is full, and the client empties it: then it has nothing to be blamed for. */
	stream_hold(s.stream, true);
	char piece[65536];
	while (read(s.client, piece, sizeof piece) > 0)
		;
	test_run(s.loop, 20); /* that is seen */
	test_pass(s.loop, 1300);
	assert_int_equal(s.closes, 0);
	clock_hold(0);
	end(&s);
	free(bytes);
	buf_free(&read_back);
}

static void on_idle(void *owner)
{
	struct session *s = owner;
	s->idles++;
	outq_add(stream_output(s->stream), STR("* BYE\r\n"));
	stream_finish(s->stream, LONG_MS);
}

static void the_owner_may_say_last_words_to_an_idle_client(void **state)
{
	static const struct stream_events polite = { .input = on_input, .closed = on_closed, .idle = on_idle };
	(void)state;
	struct session s;
	struct buf words = BUF_INIT(100);
	int pair[2];
	begin(&s);
	stream_free(&s.stream);
	close(s.client);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	s.client = pair[1];
	s.stream = stream_new(s.loop, pair[0], (struct stream_limits){ INPUT_MAX, OUTPUT_MAX }, &polite, &s);
	stream_set_timeout(s.stream, 100);
	TEST_UNTIL(s.loop, s.idles == 1);
	client_reads(&s, &words, 7);
	assert_true(str_eq(buf_str(&words), STR("* BYE\r\n")));
	TEST_UNTIL(s.loop, client_sees_end(&s));
	assert_int_equal(s.closes, 0);
	close(s.client);
	s.client = -1;
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	assert_int_equal(s.idles, 1);
	buf_free(&words);
	end(&s);
}

static void a_vanished_client_shows_as_an_end_or_at_the_next_write(void **state)
{
	(void)state;
	struct session s;
	begin(&s);
	close(s.client);
	s.client = -1;
	outq_add(stream_output(s.stream), STR("hello"));
	stream_flush(s.stream);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, ERR_CLOSED);
	end(&s);
	begin(&s);
	close(s.client);
	s.client = -1;
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	end(&s);
}

static void finish_sends_shuts_down_and_waits_for_the_other_side(void **state)
{
	(void)state;
	struct session s;
	struct buf answer = BUF_INIT(100);
	begin(&s);
	outq_add(stream_output(s.stream), STR("221 bye"));
	stream_finish(s.stream, LONG_MS);
	client_says(&s, "too late");
	client_reads(&s, &answer, 7);
	assert_true(str_eq(buf_str(&answer), STR("221 bye")));
	TEST_UNTIL(s.loop, client_sees_end(&s));
	test_run(s.loop, 10);
	assert_int_equal(s.closes, 0);
	client_says(&s, "still talking");
	close(s.client);
	s.client = -1;
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	assert_int_equal(s.inputs, 0);
	buf_free(&answer);
	end(&s);
}

static void a_finish_without_linger_closes_when_all_was_sent(void **state)
{
	(void)state;
	struct session s;
	struct buf answer = BUF_INIT(100);
	begin(&s);
	outq_add(stream_output(s.stream), STR("221 bye"));
	stream_no_linger(s.stream);
	stream_finish(s.stream, LONG_MS);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	stream_free(&s.stream);
	client_reads(&s, &answer, 7);
	assert_true(str_eq(buf_str(&answer), STR("221 bye")));
	TEST_UNTIL(s.loop, client_sees_end(&s));
	buf_free(&answer);
	end(&s);
}

static void finish_does_not_wait_longer_than_told(void **state)
{
	(void)state;
	struct session s;
	begin(&s);
	stream_finish(s.stream, 100);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	end(&s);
	/* With output that nobody reads. */
	char *bytes = calloc(1, OUTPUT_MAX);
	begin(&s);
	outq_add(stream_output(s.stream), str_of(bytes, OUTPUT_MAX));
	stream_finish(s.stream, 100);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, ERR_TIMEOUT);
	free(bytes);
	end(&s);
}

/* Pipelined answers behind LOGOUT or QUIT are as good as others. */
static void a_finish_waits_for_who_takes_nothing_for_a_while(void **state)
{
	(void)state;
	struct session s;
	char *bytes = calloc(1, OUTPUT_MAX);
	struct buf read_back = BUF_INIT(OUTPUT_MAX);
	begin(&s);
	stream_set_write_timeout(s.stream, TEST_PATIENCE_MS);
	outq_add(stream_output(s.stream), str_of(bytes, OUTPUT_MAX));
	stream_finish(s.stream, 100);
	test_run(s.loop, 400);
	assert_int_equal(s.closes, 0);
	client_reads(&s, &read_back, OUTPUT_MAX);
	assert_int_equal(read_back.n, OUTPUT_MAX);
	/* Then it is the end that it has 100 ms for. */
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	end(&s);
	/* Who goes on taking nothing is given up all the same. */
	begin(&s);
	stream_set_write_timeout(s.stream, 200);
	outq_add(stream_output(s.stream), str_of(bytes, OUTPUT_MAX));
	stream_finish(s.stream, 100);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, ERR_TIMEOUT);
	end(&s);
	free(bytes);
	buf_free(&read_back);
}

static void at_a_stop_nobody_gets_more_time_by_reading_slowly(void **state)
{
	(void)state;
	struct session s;
	char *bytes = calloc(1, OUTPUT_MAX), piece[10000];
	begin(&s);
	stream_set_write_timeout(s.stream, LONG_MS);
	outq_add(stream_output(s.stream), str_of(bytes, OUTPUT_MAX));
	stream_finish(s.stream, LONG_MS);
	test_run(s.loop, 20);
	stream_finish_soon(s.stream, 200);
	uint64_t began = loop_now_ms(s.loop);
	while (s.closes == 0 && loop_now_ms(s.loop) - began < TEST_PATIENCE_MS) {
		assert_true(read(s.client, piece, sizeof piece) > 0);
		test_run(s.loop, 20);
		stream_finish_soon(s.stream, 200); /* nor by being told again */
	}
	assert_int_equal(s.closes, 1);
	assert_int_equal(s.closed_with, ERR_TIMEOUT);
	end(&s);
	free(bytes);
}

static void a_stream_may_be_freed_inside_its_callbacks(void **state)
{
	(void)state;
	struct session s;
	begin(&s);
	s.in_input = FREE_IT;
	client_says(&s, "x");
	TEST_UNTIL(s.loop, s.stream == NULL);
	end(&s);
	begin(&s);
	s.take = 0;
	client_says(&s, "x");
	TEST_UNTIL(s.loop, s.inputs == 1);
	s.in_input = FREE_IT; /* while kept input is offered */
	client_says(&s, "y");
	TEST_UNTIL(s.loop, s.stream == NULL);
	end(&s);
	begin(&s);
	s.in_drained = FREE_IT;
	outq_add(stream_output(s.stream), STR("x"));
	stream_flush(s.stream);
	TEST_UNTIL(s.loop, s.stream == NULL);
	end(&s);
	begin(&s);
	s.in_closed = FREE_IT;
	close(s.client);
	s.client = -1;
	TEST_UNTIL(s.loop, s.stream == NULL);
	end(&s);
	begin(&s);
	s.in_closed = FREE_IT;
	stream_set_timeout(s.stream, 50);
	TEST_UNTIL(s.loop, s.stream == NULL);
	end(&s);
}

static void detach_gives_descriptor_and_unread_bytes(void **state)
{
	(void)state;
	struct session s;
	begin(&s);
	s.take = 5;
	client_says(&s, "LOGINrest");
	TEST_UNTIL(s.loop, s.inputs == 1);
	outq_add(stream_output(s.stream), STR("not sent yet"));
	assert_int_equal(stream_detach(&s.stream, &s.detached, &s.unread), ERR_STATE);
	stream_flush(s.stream);
	TEST_UNTIL(s.loop, s.drains == 1);
	struct buf small = BUF_INIT(2);
	assert_int_equal(stream_detach(&s.stream, &s.detached, &small), ERR_LIMIT);
	buf_free(&small);
	assert_int_equal(stream_detach(&s.stream, &s.detached, &s.unread), 0);
	assert_null(s.stream);
	assert_true(str_eq(buf_str(&s.unread), STR("rest")));
	client_says(&s, "more");
	test_run(s.loop, 10);
	char bytes[10];
	assert_int_equal(read(s.detached, bytes, sizeof bytes), 4);
	assert_int_equal(s.inputs, 1);
	end(&s);
	/* Inside input() the slice is the owner's business. */
	begin(&s);
	s.in_input = DETACH_IT;
	client_says(&s, "x");
	TEST_UNTIL(s.loop, s.stream == NULL);
	assert_int_equal(s.unread.n, 0);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_taken_is_offered_again_with_what_follows),
		cmocka_unit_test(a_full_input_stops_reading_until_something_is_taken),
		cmocka_unit_test(a_paused_stream_reads_nothing_and_offers_on_resume),
		cmocka_unit_test(much_output_leaves_whole_to_a_slow_reader),
		cmocka_unit_test(bytes_and_file_ranges_leave_in_order),
		cmocka_unit_test(a_held_stream_says_nothing),
		cmocka_unit_test(an_output_over_its_maximum_closes),
		cmocka_unit_test(silence_times_out_and_progress_postpones_it),
		cmocka_unit_test(a_client_that_ends_its_side_still_gets_its_answer),
		cmocka_unit_test(each_side_of_a_relay_may_end_first),
		cmocka_unit_test(an_end_is_told_once_and_only_behind_what_waits),
		cmocka_unit_test(a_client_that_never_reads_is_given_up_whatever_it_says),
		cmocka_unit_test(a_slow_reader_and_held_output_are_no_reason_to_give_up),
		cmocka_unit_test(the_owner_may_say_last_words_to_an_idle_client),
		cmocka_unit_test(a_vanished_client_shows_as_an_end_or_at_the_next_write),
		cmocka_unit_test(finish_sends_shuts_down_and_waits_for_the_other_side),
		cmocka_unit_test(a_finish_without_linger_closes_when_all_was_sent),
		cmocka_unit_test(finish_does_not_wait_longer_than_told),
		cmocka_unit_test(a_finish_waits_for_who_takes_nothing_for_a_while),
		cmocka_unit_test(at_a_stop_nobody_gets_more_time_by_reading_slowly),
		cmocka_unit_test(a_stream_may_be_freed_inside_its_callbacks),
		cmocka_unit_test(detach_gives_descriptor_and_unread_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
