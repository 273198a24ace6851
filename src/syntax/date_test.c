/* Dates of RFC 5322 with its obsolete forms, and those of IMAP, are read and printed exactly. */
#include "syntax/date.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void reads(const char *text, int64_t seconds, int32_t zone)
{
	struct date d;
	assert_int_equal(date_parse(str_from_c(text), &d), 0);
	assert_int_equal(d.seconds, seconds);
	assert_int_equal(d.zone_minutes, zone);
}

static void refused(const char *text)
{
	struct date d = { 7, 7 };
	assert_int_equal(date_parse(str_from_c(text), &d), ERR_SYNTAX);
	assert_int_equal(d.seconds, 7);
}

static void rfc5322_examples(void **state)
{
	reads("Fri, 21 Nov 1997 09:55:06 -0600", 880127706, -360);
	reads("Tue, 1 Jul 2003 10:52:37 +0200", 1057049557, 120);
	reads("Thu, 13 Feb 1969 23:32:54 -0330", -27723426, -210);
	reads("Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n "
	      "             -0330 (Newfoundland Time)",
	      -27723480, -210);
	reads("21 Nov 97 09:55:06 GMT", 880106106, 0);
	reads("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880127706, -360);
}

static void obsolete_years_and_zones(void **state)
{
	reads("1 Jan 00 00:00 +0000", 946684800, 0);
	reads("1 Jan 49 00:00 +0000", 2493072000, 0);
	reads("1 Jan 50 00:00 +0000", -631152000, 0);
	reads("1 Jan 100 00:00 +0000", 946684800, 0);
	reads("1 Jan 2000 00:00 EST", 946684800 + 5 * 3600, -300);
	reads("1 Jan 2000 00:00 PDT", 946684800 + 7 * 3600, -420);
	reads("1 Jan 2000 00:00 Z", 946684800, 0);
	reads("1 Jan 2000 00:00 A", 946684800, 0); /* military: to be read as unknown */
	reads("1 Jan 2000 00:00", 946684800, 0);
	reads("1 Jan 2000 00:00 -9999", 946684800, 0);
}

/* People write the zone as RFC 3339 does; what is no zone is UTC (RFC 5256, 2.2). */
static void zones_with_a_colon_and_broken_ones(void **state)
{
	reads("1 Jul 2003 10:52:37 +02:00", 1057049557, 120);
	reads("1 Jul 2003 10:52:37 -05:30 (there)", 1057056757 + 19800, -330);
	reads("1 Jul 2003 10:52:37 +200", 1057049557, 120);
	reads("1 Jul 2003 10:52:37 +02", 1057056757, 0);
	reads("1 Jul 2003 10:52:37 +02:", 1057056757, 0);
	reads("1 Jul 2003 10:52:37 +02:0", 1057056757, 0);
	reads("1 Jul 2003 10:52:37 +2:00", 1057056757, 0);
	reads("1 Jul 2003 10:52:37 +02:60", 1057056757, 0);
	reads("1 Jul 2003 10:52:37 +24:00", 1057056757, 0);
}

/* It belongs to the day whose last second it is: RFC 3501, 6.4.4 compares days. */
static void a_leap_second_is_the_second_before_it(void **state)
{
	struct date d;
	reads("1 Jul 2003 23:59:60 +0000", 1057103999, 0);
	assert_int_equal(date_parse_internal(STR(" 1-Jul-2003 23:59:60 +0000"), &d), 0);
	assert_int_equal(d.seconds, 1057103999);
	assert_int_equal(date_parse_internal(STR(" 1-Jul-2003 23:59:61 +0000"), &d), ERR_SYNTAX);
}

static void sent(const char *text, int64_t seconds, int32_t zone)
{
	struct date d;
	assert_int_equal(date_parse_sent(str_from_c(text), &d), 0);
	assert_int_equal(d.seconds, seconds);
	assert_int_equal(d.zone_minutes, zone);
}

static void a_day_whose_time_cannot_be_read_is_its_midnight(void **state)
{
	struct date d = { 7, 7 };
	const char *days[] = { "1 Jul 2003",
		                   "Tue, 1 Jul 2003 25:00:00 +0000",
		                   "1 Jul 2003 10.52.37 +0100",
		                   "1 Jul 2003 10:61:00 +0100",
		                   "1 Jul 2003 10:00:61 +0100",
		                   "1 Jul 2003 at noon" };
	for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
		refused(days[i]);
		sent(days[i], 1057017600, 0);
	}
	sent("Tue, 1 Jul 2003 10:52:37 +0200", 1057049557, 120);
	assert_int_equal(date_parse_sent(STR("31 Jun 2003 10:00 +0000"), &d), ERR_SYNTAX);
	assert_int_equal(d.seconds, 7);
}

static void what_is_no_moment_is_refused(void **state)
{
	refused("");
	refused("Fri,");
	refused("(");
	refused("Malformed Date.");
	refused("30 Feb 2000 00:00 +0000");
	refused("29 Feb 1900 00:00 +0000");
	refused("0 Jan 2000 00:00 +0000");
	refused("1 Jan 2000 24:00 +0000");
	refused("1 Jan 2000 00:60 +0000");
	refused("1 Jan 2000 00:00:61 +0000");
	refused("1 Foo 2000 00:00 +0000");
	refused("1 Jan 2000 00");
}

static void prints(void (*print)(struct date, struct buf *), struct date d, const char *expected)
{
	struct buf out = BUF_INIT(64);
	print(d, &out);
	assert_int_equal(buf_error(&out), 0);
	assert_int_equal(out.n, strlen(expected));
	assert_memory_equal(out.p, expected, out.n);
	buf_free(&out);
}

static void printed_as_rfc5322(void **state)
{
	prints(date_print, (struct date){ 1057049557, 120 }, "Tue, 1 Jul 2003 10:52:37 +0200");
	prints(date_print, (struct date){ -27723426, -210 }, "Thu, 13 Feb 1969 23:32:54 -0330");
	prints(date_print, (struct date){ 0, 0 }, "Thu, 1 Jan 1970 00:00:00 +0000");
	prints(date_print, (struct date){ 951782400, 0 }, "Tue, 29 Feb 2000 00:00:00 +0000");
}

static void imap_dates_round_trip(void **state)
{
	struct date d;
	assert_int_equal(date_parse_internal(STR("17-Jul-1996 02:44:25 -0700"), &d), 0);
	assert_int_equal(d.seconds, 837596665);
	prints(date_print_internal, d, "17-Jul-1996 02:44:25 -0700");
	assert_int_equal(date_parse_internal(STR(" 1-Feb-1994 00:00:00 +0530"), &d), 0);
	prints(date_print_internal, d, " 1-Feb-1994 00:00:00 +0530");
	const char *bad[] = { "", " 17-Jul-1996 02:44:25 -0700", "17-Jul-1996 2:44:25 -0700", "17-Jul-1996 02:44:25 -0700 ",
		                  "17-July-1996 02:44:25 -0700", "17-Jul-96 02:44:25 -0700", "31-Feb-1996 02:44:25 -0700",
		                  "17-Jul-1996 02:44:25 0700", "17-Jul-1996 02:44:25 -2400", "  -Jul-1996 02:44:25 -0700" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(date_parse_internal(str_from_c(bad[i]), &d), ERR_SYNTAX);
}

/* Whatever stands in a row of a damaged database. */
static void numbers_that_no_calendar_has_are_its_ends(void **state)
{
	const int64_t last = CALENDAR_LAST, first = CALENDAR_FIRST;
	prints(date_print_internal, (struct date){ last, 0 }, "31-Dec-9999 23:59:59 +0000");
	prints(date_print_internal, (struct date){ last + 60, -1 }, "31-Dec-9999 23:59:59 -0001");
	prints(date_print_internal, (struct date){ last, 1439 }, "31-Dec-9999 23:59:59 +2359");
	prints(date_print_internal, (struct date){ INT64_MAX, INT32_MAX }, "31-Dec-9999 23:59:59 +2359");
	prints(date_print_internal, (struct date){ first, 0 }, " 1-Jan-0001 00:00:00 +0000");
	prints(date_print_internal, (struct date){ INT64_MIN, INT32_MIN }, " 1-Jan-0001 00:00:00 -2359");
	prints(date_print, (struct date){ INT64_MIN, 0 }, "Mon, 1 Jan 0001 00:00:00 +0000");
	assert_int_equal(date_local_day((struct date){ INT64_MAX, INT32_MAX }), last / 86400);
	assert_int_equal(date_local_day((struct date){ INT64_MIN, INT32_MIN }), first / 86400);
}

static void search_dates_are_days(void **state)
{
	int64_t day;
	assert_int_equal(date_parse_search(STR("1-Feb-1994"), &day), 0);
	assert_int_equal(day, 8797);
	assert_int_equal(date_parse_search(STR("01-feb-1994"), &day), 0);
	assert_int_equal(date_parse_search(STR("1-Feb-94"), &day), ERR_SYNTAX);
	assert_int_equal(date_parse_search(STR("1-Feb-1994 "), &day), ERR_SYNTAX);
	assert_int_equal(date_local_day((struct date){ 8797 * 86400 - 1, 0 }), 8796);
	assert_int_equal(date_local_day((struct date){ 8797 * 86400 - 1, 1 }), 8797);
	assert_int_equal(date_local_day((struct date){ -1, 0 }), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc5322_examples),
		cmocka_unit_test(obsolete_years_and_zones),
		cmocka_unit_test(zones_with_a_colon_and_broken_ones),
		cmocka_unit_test(a_leap_second_is_the_second_before_it),
		cmocka_unit_test(a_day_whose_time_cannot_be_read_is_its_midnight),
		cmocka_unit_test(what_is_no_moment_is_refused),
		cmocka_unit_test(printed_as_rfc5322),
		cmocka_unit_test(imap_dates_round_trip),
		cmocka_unit_test(numbers_that_no_calendar_has_are_its_ends),
		cmocka_unit_test(search_dates_are_days),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
