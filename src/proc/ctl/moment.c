/* moment.c: a date, or a date with a time of day, as people type them; in UTC. Pure. */
#include "proc/ctl/ctl_private.h"

static bool has_form(struct str text)
{
	static const char FORM[] = "dddd-dd-ddTdd:dd:dd";
	if (text.n != 10 && text.n != 16 && text.n != 19)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		bool good = FORM[i] == 'd'   ? ascii_is_digit(c)
		            : FORM[i] == 'T' ? c == 'T' || c == ' '
		                             : c == '-' || (FORM[i] == ':' && c == ':');
		if (!good)
			return false;
	}
	return true;
}

static int two_digits(struct str text, size_t at)
{
	return at < text.n ? (text.p[at] - '0') * 10 + text.p[at + 1] - '0' : 0;
}

int ctl_read_moment(struct str text, int64_t *seconds)
{
	if (!has_form(text))
		return ERR_SYNTAX;
	const struct tm given = {
		.tm_year = two_digits(text, 0) * 100 + two_digits(text, 2) - 1900, .tm_mon = two_digits(text, 5) - 1,
		.tm_mday = two_digits(text, 8), .tm_hour = two_digits(text, 11), .tm_min = two_digits(text, 14),
		.tm_sec = two_digits(text, 17),
	};
	struct tm real = given; /* timegm(3) makes March of a 30th of February: then it is another day */
	int64_t when = timegm(&real);
	if (real.tm_year != given.tm_year || real.tm_mon != given.tm_mon || real.tm_mday != given.tm_mday ||
	    real.tm_hour != given.tm_hour || real.tm_min != given.tm_min || real.tm_sec != given.tm_sec)
		return ERR_OVERFLOW;
	*seconds = when;
	return 0;
}
