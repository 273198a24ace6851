/* Who asks for metrics slowly, in pieces, or while others wait. */
#include "proc/access/scrape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000
#define SHORT_MS    100
#define STEP_MS     10
#define STEPS_MAX   1000
#define CLIENTS     3

struct fixture {
	struct role_process process;
	struct scrapes *scrapes;
	struct loop_timer *timer;
	void (*step)(struct fixture *f);
	int clients[CLIENTS];
	unsigned steps, asked;
};

static struct fixture f;

void role_ask_metrics(struct role_process *process)
{
	f.asked++;
}

static void on_timer(void *owner)
{
	f.step(&f);
	if (++f.steps == STEPS_MAX)
		loop_stop(f.process.loop);
	else
		loop_timer_start(f.timer, STEP_MS);
}

static int set_up_with(uint64_t patience_ms)
{
	f = (struct fixture){ .process.loop = loop_new() };
	f.scrapes = scrapes_new(&f.process, patience_ms);
	f.timer = loop_timer_new(f.process.loop, on_timer, &f);
	for (size_t i = 0; i < CLIENTS; i++) {
		int ends[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
		scrapes_accept(f.scrapes, ends[0]);
		f.clients[i] = ends[1];
	}
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(PATIENCE_MS);
}

static int set_up_impatient(void **state)
{
	return set_up_with(SHORT_MS);
}

static int tear_down(void **state)
{
	for (size_t i = 0; i < CLIENTS; i++)
		close(f.clients[i]);
	scrapes_free(&f.scrapes);
	loop_timer_free(&f.timer);
	loop_free(&f.process.loop);
	return 0;
}

static void run(void (*step)(struct fixture *f))
{
	f.step = step;
	loop_timer_start(f.timer, STEP_MS);
	loop_run(f.process.loop);
	assert_in_range(f.steps, 0, STEPS_MAX - 1);
}

static void send_text(int client, const char *text)
{
	(void)!send(client, text, strlen(text), MSG_NOSIGNAL);
}

static void dribble(struct fixture *at)
{
	char byte;
	send_text(at->clients[0], "G");
	if (recv(at->clients[0], &byte, 1, 0) == 0)
		loop_stop(at->process.loop);
}

static void who_sends_byte_by_byte_has_no_longer_than_others(void **state)
{
	run(dribble);
	assert_int_equal(f.asked, 0);
}

static void ask_and_read(struct fixture *at)
{
	char answer[1024];
	size_t answered = 0;
	if (at->steps == 0)
		for (size_t i = 0; i < CLIENTS; i++)
			send_text(at->clients[i], "GET /metrics HTTP/1.0\r\n");
	if (at->steps == 1)
		for (size_t i = 0; i < CLIENTS; i++)
			send_text(at->clients[i], "\r\n");
	if (at->steps == 3)
		scrapes_answer(at->scrapes, STR("mansio 1\n"));
	for (size_t i = 0; i < CLIENTS && at->steps > 3; i++) {
		ssize_t n = recv(at->clients[i], answer, sizeof answer, MSG_PEEK);
		answered += n > 0 && str_starts(str_of(answer, (size_t)n), STR("HTTP/1.1 200 ")) &&
		            str_ends(str_of(answer, (size_t)n), STR("\r\n\r\nmansio 1\n"));
	}
	if (answered == CLIENTS)
		loop_stop(at->process.loop);
}

static void all_who_wait_are_answered_by_one_question(void **state)
{
	run(ask_and_read);
	assert_int_equal(f.asked, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_sends_byte_by_byte_has_no_longer_than_others, set_up_impatient, tear_down),
		cmocka_unit_test_setup_teardown(all_who_wait_are_answered_by_one_question, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
