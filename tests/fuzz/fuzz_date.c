/* fuzz_date.c: a date that was read is printed in a form that is read as the same. */
#include "syntax/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct date d, void (*print)(struct date, struct buf *), int (*parse)(struct str, struct date *))
{
	struct buf out = BUF_INIT(64);
	struct date again;
	print(d, &out);
	int64_t year_end = INT64_C(253402214400); /* a zone can carry the last day into year 10000, which has no form */
	if (d.seconds < year_end && d.seconds > -INT64_C(62135510400) &&
	    (parse(buf_str(&out), &again) != 0 || again.seconds != d.seconds || again.zone_minutes != d.zone_minutes))
		abort();
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct date d, sent;
	int64_t days;
	if (date_parse(text, &d) == 0) {
		check(d, date_print, date_parse);
		if (date_parse_sent(text, &sent) != 0 || sent.seconds != d.seconds || sent.zone_minutes != d.zone_minutes)
			abort();
	} else if (date_parse_sent(text, &d) == 0) {
		check(d, date_print, date_parse);
		if (d.zone_minutes != 0 || d.seconds % 86400 != 0)
			abort(); /* a day, and no more */
	}
	if (date_parse_internal(text, &d) == 0)
		check(d, date_print_internal, date_parse_internal);
	if (date_parse_search(text, &days) == 0 && (days < -719162 || days > 2932896))
		abort(); /* outside of the years 1 to 9999 */
	return 0;
}
