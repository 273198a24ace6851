/* loop_test.c: timers, work at the end of a turn, coarse time-outs, watches, the disk helper and the listener. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/checked.h"
#include "base/clock.h"
#include "loop/helper.h"
#include "loop/listener.h"
#include "loop/test_support.h"
#include "loop/timeout.h"
#include "loop/turns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

struct counter {
	struct loop *loop;
	struct loop_later later;
	struct loop_later *cancel_this;
	int count, again;
	int fd;
};

static void count_later(void *owner)
{
	struct counter *c = owner;
	c->count++;
	if (c->cancel_this)
		loop_later_cancel(c->loop, c->cancel_this);
	if (c->again-- > 0)
		loop_later(c->loop, &c->later);
}

static void work_put_off_runs_once_and_may_ask_again(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct counter c = { .loop = loop, .again = 3 };
	c.later = (struct loop_later){ .fn = count_later, .owner = &c };
	loop_later(loop, &c.later);
	loop_later(loop, &c.later);
	TEST_UNTIL(loop, c.count == 4);
	test_run(loop, 5);
	assert_int_equal(c.count, 4);
	loop_free(&loop);
	assert_null(loop);
}

static void work_put_off_can_be_cancelled_even_by_its_neighbour(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct counter a = { .loop = loop }, b = { .loop = loop }, c = { .loop = loop };
	a.later = (struct loop_later){ .fn = count_later, .owner = &a };
	b.later = (struct loop_later){ .fn = count_later, .owner = &b };
	c.later = (struct loop_later){ .fn = count_later, .owner = &c };
	a.cancel_this = &b.later;
	loop_later(loop, &a.later);
	loop_later(loop, &b.later);
	loop_later(loop, &c.later);
	TEST_UNTIL(loop, c.count == 1);
	assert_int_equal(a.count, 1);
	assert_int_equal(b.count, 0);
	loop_later(loop, &b.later);
	loop_later_cancel(loop, &b.later);
	loop_later_cancel(loop, &b.later);
	loop_later(loop, &c.later);
	TEST_UNTIL(loop, c.count == 2);
	assert_int_equal(b.count, 0);
	loop_free(&loop);
}

static void count_ready(void *owner, int events)
{
	struct counter *c = owner;
	char byte;
	if (events & LOOP_READ && read(c->fd, &byte, 1) == 1)
		c->count++;
}

static void a_watch_reports_and_rests(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	struct counter c = { .loop = loop, .fd = pair[0] };
	struct loop_watch *watch = loop_watch_new(loop, pair[0], count_ready, &c);
	assert_int_equal(write(pair[1], "xy", 2), 2);
	test_run(loop, 10);
	assert_int_equal(c.count, 0);
	loop_watch_set(watch, LOOP_READ);
	TEST_UNTIL(loop, c.count == 2);
	loop_watch_set(watch, 0);
	assert_int_equal(write(pair[1], "z", 1), 1);
	test_run(loop, 10);
	assert_int_equal(c.count, 2);
	loop_watch_free(&watch);
	/* The same number can be watched again at once. */
	watch = loop_watch_new(loop, pair[0], count_ready, &c);
	loop_watch_set(watch, LOOP_READ);
	TEST_UNTIL(loop, c.count == 3);
	loop_watch_free(&watch);
	close(pair[0]);
	close(pair[1]);
	loop_free(&loop);
}

/* What came while nothing was waited for is reported when it is again, and costs no turns in between. */
static void a_rested_watch_reports_what_came_meanwhile(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	struct counter c = { .loop = loop, .fd = pair[0] };
	struct loop_watch *watch = loop_watch_new(loop, pair[0], count_ready, &c);
	loop_watch_set(watch, LOOP_READ | LOOP_WRITE);
	loop_watch_set(watch, 0);
	loop_watch_set(watch, LOOP_READ);
	loop_watch_set(watch, 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	close(pair[1]);
	struct timespec before, after;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	test_run(loop, 200);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	assert_int_equal(c.count, 0);
	assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 100);
	loop_watch_set(watch, LOOP_READ);
	TEST_UNTIL(loop, c.count == 1);
	loop_watch_free(&watch);
	close(pair[0]);
	loop_free(&loop);
}

struct rival {
	struct loop_watch *own, **other;
	int calls;
};

static void free_the_other(void *owner, int events)
{
	struct rival *rival = owner;
	(void)events;
	rival->calls++;
	loop_watch_set(rival->own, 0);
	loop_watch_free(rival->other);
}

static void a_watch_freed_by_its_neighbour_is_silent(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	struct rival a = { 0 }, b = { 0 };
	a.own = loop_watch_new(loop, pair[0], free_the_other, &a);
	b.own = loop_watch_new(loop, pair[1], free_the_other, &b);
	a.other = &b.own;
	b.other = &a.own;
	loop_watch_set(a.own, LOOP_WRITE);
	loop_watch_set(b.own, LOOP_WRITE);
	test_run(loop, 20); /* both are ready in the same turn */
	assert_int_equal(a.calls + b.calls, 1);
	loop_watch_free(&a.own);
	loop_watch_free(&b.own);
	close(pair[0]);
	close(pair[1]);
	loop_free(&loop);
}

struct timed {
	struct loop_timeout timeout;
	struct loop *loop;
	int fired;
	uint64_t again_ms;
};

static void on_fire(void *owner)
{
	struct timed *t = owner;
	t->fired++;
	loop_timeout_set(t->loop, &t->timeout, t->again_ms);
}

static void timeouts_fire_once_and_a_touch_postpones_them(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct timed a = { .loop = loop }, b = { .loop = loop }, c = { .loop = loop }, d = { .loop = loop, .again_ms = 70 };
	struct timed *all[] = { &a, &b, &c, &d };
	for (size_t i = 0; i < 4; i++) {
		all[i]->timeout.fire = on_fire;
		all[i]->timeout.owner = all[i];
	}
	loop_timeout_set(loop, &a.timeout, 100);
	loop_timeout_set(loop, &b.timeout, 250);
	loop_timeout_set(loop, &c.timeout, 100);
	loop_timeout_set(loop, &d.timeout, 70);
	loop_timeout_set(loop, &c.timeout, 0);
	uint64_t touched = clock_monotonic_ms(), longest_ms = 0;
	for (int i = 0; i < 20; i++) {
		test_run(loop, 20);
		longest_ms = MAX(longest_ms, clock_monotonic_ms() - touched);
		loop_timeout_touch(loop, &b.timeout);
		touched = clock_monotonic_ms();
	}
	assert_int_equal(a.fired, 1);
	assert_true(b.fired == 0 || longest_ms >= 250); /* else this process did not get the processor in time */
	assert_int_equal(c.fired, 0);
	assert_true(d.fired >= 2);
	TEST_UNTIL(loop, b.fired >= 1);
	loop_timeout_set(loop, &d.timeout, 0);
	loop_free(&loop);
}

static void a_timeout_longer_than_the_wheel_fires_at_its_time(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct timed day = { .loop = loop }, soon = { .loop = loop };
	day.timeout = (struct loop_timeout){ .fire = on_fire, .owner = &day };
	soon.timeout = (struct loop_timeout){ .fire = on_fire, .owner = &soon };
	loop_timeout_set(loop, &day.timeout, 24 * 3600 * 1000);
	clock_shift(12 * 3600);
	loop_timeout_set(loop, &soon.timeout, 100);
	TEST_UNTIL(loop, soon.fired == 1);
	assert_int_equal(day.fired, 0);
	clock_shift(25 * 3600);
	loop_timeout_set(loop, &soon.timeout, 100);
	TEST_UNTIL(loop, soon.fired == 2);
	assert_int_equal(day.fired, 1);
	clock_shift(0);
	loop_free(&loop);
}

struct job {
	struct loop_job job;
	int number, *order, *next;
};

static int do_job(struct loop_job *job)
{
	struct job *j = (struct job *)job;
	return -j->number;
}

static void job_done(struct loop_job *job, int result)
{
	struct job *j = (struct job *)job;
	j->order[(*j->next)++] = -result;
}

static void the_helper_does_jobs_in_order(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct loop_helper *helper = loop_helper_new(loop);
	struct job jobs[50];
	int order[50], next = 0;
	for (int i = 0; i < 50; i++) {
		jobs[i] = (struct job){ .job = { .work = do_job, .done = job_done }, .number = i, .order = order, .next = &next };
		loop_helper_submit(helper, &jobs[i].job);
	}
	TEST_UNTIL(loop, next == 50);
	for (int i = 0; i < 50; i++)
		assert_int_equal(order[i], i);
	loop_helper_free(&helper);
	loop_helper_free(&helper);
	loop_free(&loop);
}

struct accepting {
	struct listener *listener;
	struct peer_address peer;
	int accepted, fd;
	bool free_inside;
};

static void on_accept(void *owner, int fd, const struct peer_address *peer)
{
	struct accepting *a = owner;
	a->accepted++;
	a->peer = *peer;
	a->fd = fd;
	if (a->free_inside)
		listener_free(&a->listener);
}

static int dial(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
	return fd;
}

static void a_listener_accepts_pauses_and_may_be_freed_inside(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 5), 0);
	getsockname(fd, (struct sockaddr *)&address, &n);
	struct accepting a = { 0 };
	a.listener = listener_new(loop, fd, on_accept, &a);
	listener_pause(a.listener, true);
	int client = dial(&address);
	test_run(loop, 20);
	assert_int_equal(a.accepted, 0);
	listener_pause(a.listener, false);
	TEST_UNTIL(loop, a.accepted == 1);
	assert_string_equal(a.peer.text, "127.0.0.1");
	assert_true(a.peer.loopback);
	assert_true(a.peer.port != 0);
	struct peer_address own;
	assert_int_equal(socket_own_address(a.fd, &own), 0);
	assert_int_equal(own.port, ntohs(address.sin_port));
	close(a.fd);
	close(client);
	a.free_inside = true;
	client = dial(&address);
	TEST_UNTIL(loop, a.accepted == 2);
	assert_null(a.listener);
	close(a.fd);
	close(client);
	loop_free(&loop);
}

static void count_signal(void *owner, int signum)
{
	struct counter *c = owner;
	c->count = signum;
}

static void signals_come_to_the_loop(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct counter c = { 0 };
	assert_int_equal(loop_on_signal(loop, SIGUSR1, count_signal, &c), 0);
	raise(SIGUSR1);
	TEST_UNTIL(loop, c.count == SIGUSR1);
	loop_free(&loop);
}

struct slow {
	struct loop *loop;
	struct loop_turn turn;
	int count;
};

static void remember_turn(void *owner, const struct loop_turn *turn)
{
	struct slow *slow = owner;
	slow->turn = *turn;
	slow->count++;
}

static void work_hard(void *owner)
{
	struct slow *slow = owner;
	uint64_t until = clock_monotonic_us() + 5000;
	loop_did(slow->loop, STR("nothing"));
	while (clock_monotonic_us() < until)
		;
	loop_did(slow->loop, STR("work"));
}

static void sleep_long(void *owner)
{
	struct slow *slow = owner;
	usleep(5000);
	loop_did(slow->loop, STR("sleep"));
}

/* A turn with this work, until one is told in which it took longest: without the processor anything may. */
static void turn_until_longest(struct slow *slow, loop_later_fn *fn, struct str what)
{
	struct loop_later later = { .fn = fn, .owner = slow };
	slow->turn = (struct loop_turn){ 0 };
	for (int i = 0; i < 100 && !str_eq(slow->turn.longest, what); i++) {
		slow->count = 0;
		loop_later(slow->loop, &later);
		TEST_UNTIL(slow->loop, slow->count > 0);
	}
	assert_true(str_eq(slow->turn.longest, what));
}

static void a_slow_turn_is_told_with_what_took_longest(void **state)
{
	(void)state;
	struct slow slow = { .loop = loop_new() };
	loop_on_slow_turn(slow.loop, 4000, remember_turn, &slow);
	turn_until_longest(&slow, work_hard, STR("work"));
	assert_true(slow.turn.us >= 5000);
	assert_true(slow.turn.longest_us <= slow.turn.us);
	assert_true(slow.turn.cpu_us > 0 && slow.turn.cpu_us <= slow.turn.us);
	struct loop_turns before = loop_turns(slow.loop);
	assert_true(before.slow >= 1 && before.longest_us >= 5000 && before.longest_cpu_us > 0);
	turn_until_longest(&slow, sleep_long, STR("sleep"));
	assert_true(slow.turn.sleeps >= 1);
	assert_true(loop_turns(slow.loop).slow > before.slow);
	loop_free(&slow.loop);
}

#define START_US 300000

static void start(void *owner)
{
	struct slow *slow = owner;
	clock_hold(clock_monotonic_us() + START_US);
	loop_did_not_serve(slow->loop);
	slow->count++;
}

static void one_more(void *owner)
{
	struct slow *slow = owner;
	slow->count++;
}

static void a_turn_that_served_nobody_does_not_count(void **state)
{
	(void)state;
	struct slow slow = { .loop = loop_new() };
	struct loop_later first = { .fn = start, .owner = &slow }, second = { .fn = one_more, .owner = &slow };
	clock_hold(clock_monotonic_us()); /* no other turn takes long */
	loop_later(slow.loop, &first);
	TEST_UNTIL(slow.loop, slow.count == 1);
	loop_later(slow.loop, &second);
	TEST_UNTIL(slow.loop, slow.count == 2);
	assert_true(loop_turns(slow.loop).longest_us < START_US);
	clock_hold(0);
	loop_free(&slow.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slow_turn_is_told_with_what_took_longest),
		cmocka_unit_test(a_turn_that_served_nobody_does_not_count),
		cmocka_unit_test(work_put_off_runs_once_and_may_ask_again),
		cmocka_unit_test(work_put_off_can_be_cancelled_even_by_its_neighbour),
		cmocka_unit_test(a_watch_reports_and_rests),
		cmocka_unit_test(a_rested_watch_reports_what_came_meanwhile),
		cmocka_unit_test(a_watch_freed_by_its_neighbour_is_silent),
		cmocka_unit_test(timeouts_fire_once_and_a_touch_postpones_them),
		cmocka_unit_test(a_timeout_longer_than_the_wheel_fires_at_its_time),
		cmocka_unit_test(the_helper_does_jobs_in_order),
		cmocka_unit_test(a_listener_accepts_pauses_and_may_be_freed_inside),
		cmocka_unit_test(signals_come_to_the_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
