/* metrics_test.c: the text for Prometheus of counters that a test makes up, also as a process that was taken over might
 * tell them. tests/protocol/test_operation.py reads that of a real server by the rules of the format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "proc/role.h"
#include "proc/supervisor/supervisor_private.h"

#define TEXT_MAX 65536

static struct buf told[2], taken[2]; /* by child */

struct str status_counters(const struct status_request *request, size_t child)
{
	return buf_str(&taken[child]);
}

static bool silent; /* the shard has not answered */

bool status_answered(const struct status_request *request, size_t child)
{
	return child == 0 && !silent;
}

void role_status_add(struct buf *out, struct str key, uint64_t value)
{
	wire_put_short(out, key);
	wire_put_u64(out, value);
}

static void tell(size_t child, const char *key, uint64_t value)
{
	role_status_add(&told[child], str_from_c(key), value);
}

/* A shard that tells what tell() was given, and an access process that is down. */
static void print(struct buf *out)
{
	struct child children[2] = { { .role = ROLE_SHARD, .index = 3, .ready = true, .restarts = 2 },
		                         { .role = ROLE_ACCESS } };
	struct supervisor s = { .loop = loop_new(), .children = children, .n_children = 2 };
	*out = BUF_INIT(TEXT_MAX);
	for (size_t i = 0; i < 2; i++) {
		buf_clear(&taken[i]);
		counters_take(buf_str(&told[i]), &taken[i]);
	}
	metrics_print(NULL, &s, out);
	assert_int_equal(buf_error(out), 0);
	loop_free(&s.loop);
}

static int begin(void **state)
{
	told[0] = told[1] = taken[0] = taken[1] = BUF_INIT(TEXT_MAX);
	return 0;
}

static int end(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		buf_free(&told[i]);
		buf_free(&taken[i]);
	}
	return 0;
}

static bool has(const struct buf *text, const char *line)
{
	return str_find(buf_str(text), str_from_c(line)) >= 0;
}

static void each_counter_has_its_name_and_labels(void **state)
{
	struct buf text;
	tell(0, "batches", 7);
	tell(0, "sync_us", 1000002);
	tell(0, "commands_imap_uid-fetch", 9);
	tell(0, "deliveries_refused", UINT64_MAX);
	print(&text);
	assert_true(has(&text, "\nmansio_batches_total{process=\"shard.3\"} 7\n"));
	assert_true(has(&text, "\nmansio_fsync_seconds_total{process=\"shard.3\"} 1.000002\n"));
	assert_true(has(&text, "\nmansio_commands_total{process=\"shard.3\",protocol=\"imap\",command=\"uid-fetch\"} 9\n"));
	assert_true(has(&text, "\nmansio_deliveries_total{process=\"shard.3\",result=\"refused\"} 18446744073709551615\n"));
	assert_true(has(&text, "\n# HELP mansio_batches_total Batches that were committed.\n# TYPE mansio_batches_total counter\n"));
	assert_true(has(&text, "\nmansio_process_up{process=\"access.0\"} 0\n"));
	assert_true(has(&text, "\nmansio_process_up{process=\"shard.3\"} 1\n"));
	assert_true(has(&text, "\nmansio_process_restarts_total{process=\"shard.3\"} 2\n"));
	assert_false(has(&text, "mansio_certificate"));
	buf_free(&text);
	silent = true;
	print(&text);
	silent = false;
	assert_true(has(&text, "\nmansio_process_up{process=\"shard.3\"} 0\n"));
	buf_free(&text);
}

static void a_counter_counts_for_its_role_alone(void **state)
{
	struct buf text;
	tell(0, "connections", 5);
	tell(1, "batches", 6);
	tell(1, "connections", 8);
	print(&text);
	assert_false(has(&text, "mansio_connections{process=\"shard.3\"}"));
	assert_false(has(&text, "mansio_batches_total{process=\"access.0\"}"));
	assert_true(has(&text, "\nmansio_connections{process=\"access.0\"} 8\n"));
	buf_free(&text);
}

static void hostile_names_make_no_lines(void **state)
{
	static const char *const names[] = { "commands_imap_x\"} 1\nmansio_evil 1\n#", "commands_", "accepted_im\\ap", "no_such",
		                                 "commands_IMAP_FETCH", "", "pid" };
	struct buf before, after;
	print(&before);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		tell(0, names[i], 1);
	wire_put_u8(&told[0], 200); /* a name that is cut off */
	print(&after);
	assert_true(str_eq(buf_str(&before), buf_str(&after)));
	buf_free(&before);
	buf_free(&after);
}

/* Prometheus takes nothing of a text that has a line twice. */
static void what_is_told_twice_counts_once(void **state)
{
	struct buf once, twice;
	tell(0, "batches", 7);
	tell(0, "commands_imap_fetch", 9);
	print(&once);
	tell(0, "batches", 8);
	tell(0, "commands_imap_fetch", 10);
	print(&twice);
	assert_true(str_eq(buf_str(&once), buf_str(&twice)));
	buf_free(&once);
	buf_free(&twice);
}

static void a_process_has_no_more_counters_than_it_needs(void **state)
{
	struct buf text;
	char key[64];
	for (unsigned i = 0; i <= COUNTERS_MAX; i++) {
		snprintf(key, sizeof key, "commands_imap_%u", i);
		tell(0, key, 1);
	}
	print(&text);
	assert_true(has(&text, ",command=\"0\"} 1\n"));
	snprintf(key, sizeof key, ",command=\"%u\"} 1\n", COUNTERS_MAX - 1);
	assert_true(has(&text, key));
	snprintf(key, sizeof key, ",command=\"%u\"} 1\n", COUNTERS_MAX);
	assert_false(has(&text, key));
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_counter_has_its_name_and_labels, begin, end),
		cmocka_unit_test_setup_teardown(a_counter_counts_for_its_role_alone, begin, end),
		cmocka_unit_test_setup_teardown(hostile_names_make_no_lines, begin, end),
		cmocka_unit_test_setup_teardown(what_is_told_twice_counts_once, begin, end),
		cmocka_unit_test_setup_teardown(a_process_has_no_more_counters_than_it_needs, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
