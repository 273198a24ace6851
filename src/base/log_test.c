/* A log that nobody reads holds nobody up: lines that find no room are lost and counted, and what is read later is whole
 * and in order. For each kind of thing that stderr may be. */
#include "base/log.h"

#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LINES     3000
#define TEXT_SIZE (2 * 1024 * 1024)

struct place {
	int old, reader;
};

static void use(struct place *place, int writer, int reader)
{
	place->old = dup(STDERR_FILENO);
	place->reader = reader;
	assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	assert_true(dup2(writer, STDERR_FILENO) >= 0);
	close(writer);
}

static void restore(struct place *place)
{
	dup2(place->old, STDERR_FILENO);
	close(place->old);
	close(place->reader);
	log_never_wait();
}

static size_t read_all(const struct place *place, char *text, size_t n)
{
	for (ssize_t got; (got = read(place->reader, text + n, TEXT_SIZE - n)) > 0;)
		n += (size_t)got;
	return n;
}

/* Each line in its turn, then that so many are missing, then the next. */
static void check(struct str text)
{
	uint64_t next = 0, lost = 0;
	while (text.n > 0) {
		struct str line = str_cut(&text, '\n');
		char wanted[64];
		assert_true(str_starts(line, STR("time=")));
		if (str_find(line, STR(" level=warning role=mansio event=log-lines-lost lines=")) > 0) {
			assert_int_equal(lost, 0);
			lost = LINES - next;
			snprintf(wanted, sizeof wanted, " lines=%llu meaning=", (unsigned long long)lost);
			assert_true(str_find(line, str_from_c(wanted)) > 0);
			next = LINES;
			continue;
		}
		snprintf(wanted, sizeof wanted, " event=line number=%llu", (unsigned long long)next++);
		assert_true(str_ends(line, str_from_c(wanted)));
	}
	assert_true(lost > 0);
	assert_int_equal(next, LINES + 1);
}

static void write_and_read(struct place *place)
{
	char *text = mem_alloc(TEXT_SIZE, 1);
	for (uint64_t i = 0; i < LINES; i++)
		log_info("line", LOG_U("number", i));
	size_t n = read_all(place, text, 0);
	log_flush();
	log_info("line", LOG_U("number", LINES));
	log_flush();
	n = read_all(place, text, n);
	restore(place);
	check(str_of(text, n));
	mem_free(text);
}

static void a_pipe_that_nobody_reads_holds_nobody_up(void **state)
{
	struct place place;
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	use(&place, ends[1], ends[0]);
	log_never_wait();
	assert_true(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK);
	write_and_read(&place);
}

/* Who shares it wants to wait. */
static void the_old_pipe_stays_as_it_was(void **state)
{
	struct place place;
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	int shared = dup(ends[1]);
	use(&place, ends[1], ends[0]);
	log_never_wait();
	int flags = fcntl(shared, F_GETFL);
	close(shared);
	restore(&place);
	assert_true(flags >= 0 && !(flags & O_NONBLOCK));
}

static void nor_does_one_that_cannot_be_opened_anew(void **state)
{
	struct place place;
	int ends[2];
	struct rlimit before, none;
	assert_int_equal(pipe(ends), 0);
	use(&place, ends[1], ends[0]);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	log_never_wait();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_false(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK);
	write_and_read(&place);
}

static void nor_does_a_socket(void **state)
{
	struct place place;
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	use(&place, ends[1], ends[0]);
	log_never_wait();
	write_and_read(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pipe_that_nobody_reads_holds_nobody_up),
		cmocka_unit_test(the_old_pipe_stays_as_it_was),
		cmocka_unit_test(nor_does_one_that_cannot_be_opened_anew),
		cmocka_unit_test(nor_does_a_socket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
