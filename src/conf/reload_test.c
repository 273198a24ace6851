/* reload_test.c: what a reload finds changed, what it takes over, and how long a configuration lives. */
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OUTPUT_MAX (64 * 1024)

static void parse(const char *text, struct conf *out)
{
	struct conf_errors errors;
	assert_int_equal(conf_parse(str_from_c(text), STR("mansio.toml"), out, &errors), 0);
	conf_errors_free(&errors);
}

static void assert_change(const struct conf_change *change, const char *name, const char *before, const char *after,
                          enum conf_when when)
{
	assert_true(str_eq(change->name, str_from_c(name)));
	assert_true(str_eq(change->before, str_from_c(before)));
	assert_true(str_eq(change->after, str_from_c(after)));
	assert_int_equal(change->when, when);
}

static void changes_are_told_by_name_and_value(void **state)
{
	struct conf running, file;
	struct conf_changes changes;
	parse("[imap]\nmax_keywords = 20\n[listen]\nimap = [\"127.0.0.1:143\"]\n", &running);
	parse("[imap]\nidle_timeout = \"31m\"\n[listen]\nimap = [\"127.0.0.1:143\", \"[::1]:143\"]\n", &file);
	conf_compare(&running, &file, &changes);
	assert_int_equal(changes.n, 3);
	assert_change(&changes.list[0], "listen.imap", "[\"127.0.0.1:143\"]", "[\"127.0.0.1:143\", \"[::1]:143\"]", CONF_RESTART);
	assert_change(&changes.list[1], "imap.idle_timeout", "\"30m\"", "\"31m\"", CONF_LIVE);
	assert_change(&changes.list[2], "imap.max_keywords", "20", "128", CONF_LIVE);
	conf_changes_free(&changes);
	conf_free(&running);
	conf_free(&file);
}

static void a_value_in_other_words_is_no_change(void **state)
{
	struct conf running, file;
	struct conf_changes changes;
	parse("[login]\ntimeout = \"60s\"\n", &running);
	parse("# the same\n[login]\ntimeout = \"1m\"\n[imap]\nmax_line = 65536\n", &file);
	conf_compare(&running, &file, &changes);
	assert_int_equal(changes.n, 0);
	conf_changes_free(&changes);
	conf_free(&running);
	conf_free(&file);
}

static void a_reload_takes_over_what_is_live_and_nothing_else(void **state)
{
	struct conf running, file, reloaded;
	struct conf_changes changes;
	struct buf text = BUF_INIT(OUTPUT_MAX);
	parse("[server]\nhostname = \"mx.example.test\"\n[smtp]\nmax_recipients = 200\n", &running);
	parse("[server]\nlog_level = \"debug\"\nshards = 3\n[smtp]\nmax_recipients = 300\nmax_transactions = 7\n", &file);
	conf_print_reloaded(&running, &file, &text);
	assert_int_equal(buf_error(&text), 0);
	parse(strndupa(text.p, text.n), &reloaded);
	assert_true(str_eq(reloaded.server.hostname, STR("mx.example.test")));
	assert_int_equal(reloaded.server.log_level, LOG_DEBUG);
	assert_int_equal(reloaded.smtp.max_recipients, 200);
	assert_int_equal(reloaded.smtp.max_transactions, 7);
	conf_compare(&reloaded, &file, &changes);
	assert_int_equal(changes.n, 3);
	assert_int_equal(changes.list[0].when, CONF_RESTART);
	assert_int_equal(changes.list[1].when, CONF_NEW_STORE);
	assert_int_equal(changes.list[2].when, CONF_RESTART);
	conf_changes_free(&changes);
	buf_free(&text);
	conf_free(&running);
	conf_free(&file);
	conf_free(&reloaded);
}

static void the_first_configuration_of_a_process_stays(void **state)
{
	struct conf running, first = { 0 }, fresh;
	parse("[server]\nhostname = \"mx.example.test\"\n", &running);
	struct str kept = running.server.hostname;
	for (int i = 0; i < 3; i++) {
		char text[64];
		snprintf(text, sizeof text, "[smtp]\nmax_transactions = %d\n", i + 1);
		parse(text, &fresh);
		conf_replace(&running, &first, &fresh);
		assert_int_equal(running.smtp.max_transactions, (uint64_t)i + 1);
		assert_true(str_eq(kept, STR("mx.example.test")));
		assert_ptr_equal(first.server.hostname.p, kept.p);
		conf_free(&fresh);
	}
	conf_free(&running);
	conf_free(&first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_told_by_name_and_value),
		cmocka_unit_test(a_value_in_other_words_is_no_change),
		cmocka_unit_test(a_reload_takes_over_what_is_live_and_nothing_else),
		cmocka_unit_test(the_first_configuration_of_a_process_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
