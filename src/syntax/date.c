/* date.c: reading and printing dates without libc's calendar, locale or zone files. Pure. */
#include "syntax/date.h"

#include "base/checked.h"
#include "base/clock.h"
#include "syntax/header_lex.h"

#define DAY_SECONDS 86400
#define ZONE_MAX    1439

static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char day_names[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" }; /* 1970-01-01 was a Thursday */

struct civil {
	int64_t year;
	int32_t month, day; /* from 1 */
};

/* Years counted from March, so that the leap day is a year's last; 400 years ("era") are 146097 days. */
static int64_t days_from_civil(struct civil c)
{
	int64_t year = c.month <= 2 ? c.year - 1 : c.year;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static struct civil civil_from_days(int64_t days)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t day = days - era * 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
	int32_t month = (int32_t)((5 * day_of_year + 2) / 153);
	struct civil c = { .year = year + era * 400, .day = (int32_t)(day_of_year - (153 * month + 2) / 5 + 1) };
	c.month = month < 10 ? month + 3 : month - 9;
	c.year += c.month <= 2;
	return c;
}

static bool civil_is_day(struct civil c)
{
	static const int32_t lengths[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	if (c.year < 1 || c.year > 9999 || c.month < 1 || c.month > 12 || c.day < 1)
		return false;
	bool leap = c.year % 4 == 0 && (c.year % 100 != 0 || c.year % 400 == 0);
	return c.day <= lengths[c.month - 1] + (c.month == 2 && leap);
}

/* 1 to 12, or 0; only the first three letters count (RFC 5322 knows no others, people write "June"). */
static int32_t month_number(struct str word)
{
	for (int32_t i = 0; i < 12; i++)
		if (word.n >= 3 && str_istarts(word, str_of(month_names[i], 3)))
			return i + 1;
	return 0;
}

/* Takes a number of at most `digits_max` digits, with its length; false when there is none. */
static bool take_number(struct str *rest, size_t digits_max, int32_t *value, size_t *digits)
{
	size_t n = 0;
	int32_t v = 0;
	for (; n < rest->n && n < digits_max && ascii_is_digit(rest->p[n]); n++)
		v = v * 10 + (rest->p[n] - '0');
	*value = v;
	if (digits)
		*digits = n;
	*rest = str_from(*rest, n);
	return n > 0;
}

static struct str take_word(struct str *rest)
{
	size_t n = 0;
	while (n < rest->n && ascii_is_alpha(rest->p[n]))
		n++;
	struct str word = str_first(*rest, n);
	*rest = str_from(*rest, n);
	return word;
}

static bool take_byte(struct str *rest, char c)
{
	if (rest->n == 0 || rest->p[0] != c)
		return false;
	*rest = str_from(*rest, 1);
	return true;
}

/* RFC 5322, 4.3; military zones are to be read as -0000, since RFC 822 had their signs wrong. */
static int32_t zone_by_name(struct str word)
{
	static const struct {
		char name[4];
		int32_t hours;
	} zones[] = { { "EDT", -4 }, { "EST", -5 }, { "CDT", -5 }, { "CST", -6 },
		          { "MDT", -6 }, { "MST", -7 }, { "PDT", -7 }, { "PST", -8 } };
	for (size_t i = 0; i < COUNT_OF(zones); i++)
		if (str_ieq(word, str_of(zones[i].name, 3)))
			return zones[i].hours * 60;
	return 0;
}

static int32_t take_zone(struct str *rest)
{
	bool west = rest->n > 0 && rest->p[0] == '-';
	if (!west && !(rest->n > 0 && rest->p[0] == '+'))
		return zone_by_name(take_word(rest));
	*rest = str_from(*rest, 1);
	int32_t value, behind;
	size_t digits, n = 0;
	take_number(rest, 4, &value, &digits);
	if (digits == 2 && take_byte(rest, ':') && take_number(rest, 2, &behind, &n)) { /* "+02:00", as RFC 3339 has it */
		value = value * 100 + behind;
		digits += n;
	}
	if (digits < 3 || n == 1 || value % 100 > 59 || value / 100 > 23)
		return 0;
	int32_t minutes = value / 100 * 60 + value % 100;
	return west ? -minutes : minutes;
}

static bool take_day(struct str *rest, struct civil *c)
{
	size_t digits;
	int32_t year;
	lex_skip_cfws(rest, NULL);
	if (take_word(rest).n > 0) { /* the day of the week: never checked, the date counts */
		lex_skip_cfws(rest, NULL);
		take_byte(rest, ',');
		lex_skip_cfws(rest, NULL);
	}
	if (!take_number(rest, 2, &c->day, NULL))
		return false;
	lex_skip_cfws(rest, NULL);
	take_byte(rest, '-');
	c->month = month_number(take_word(rest));
	lex_skip_cfws(rest, NULL);
	take_byte(rest, '-');
	if (!take_number(rest, 4, &year, &digits))
		return false;
	c->year = digits == 3 ? year + 1900 : digits > 2 ? year : year < 50 ? year + 2000 : year + 1900;
	return civil_is_day(*c);
}

static bool take_time(struct str *rest, int64_t *seconds)
{
	int32_t hour, minute, second = 0;
	lex_skip_cfws(rest, NULL);
	if (!take_number(rest, 2, &hour, NULL))
		return false;
	lex_skip_cfws(rest, NULL);
	if (!take_byte(rest, ':'))
		return false;
	lex_skip_cfws(rest, NULL);
	if (!take_number(rest, 2, &minute, NULL))
		return false;
	lex_skip_cfws(rest, NULL);
	if (take_byte(rest, ':')) {
		lex_skip_cfws(rest, NULL);
		if (!take_number(rest, 2, &second, NULL))
			return false;
	}
	*seconds = hour * 3600 + minute * 60 + MIN(second, 59); /* a leap second is of the day that it ends */
	return hour <= 23 && minute <= 59 && second <= 60;
}

static int parse_date(struct str s, bool needs_time, struct date *out)
{
	struct civil day;
	int64_t seconds;
	int32_t zone = 0;
	if (!take_day(&s, &day))
		return ERR_SYNTAX;
	if (take_time(&s, &seconds)) {
		lex_skip_cfws(&s, NULL);
		zone = take_zone(&s);
	} else if (needs_time) {
		return ERR_SYNTAX;
	} else {
		seconds = 0;
	}
	*out = (struct date){ days_from_civil(day) * DAY_SECONDS + seconds - zone * 60, zone };
	return 0;
}

int date_parse(struct str s, struct date *out)
{
	return parse_date(s, true, out);
}

int date_parse_sent(struct str s, struct date *out)
{
	return parse_date(s, false, out);
}

struct printable {
	struct civil day;
	int hour, minute, second, zone; /* zone as hhmm */
	char sign;
	const char *day_name, *month_name;
};

static int32_t zone_of(struct date d)
{
	return MIN(MAX(d.zone_minutes, -ZONE_MAX), ZONE_MAX);
}

/* In its zone; what no calendar has becomes its first or its last second. */
static int64_t local_seconds(struct date d)
{
	int64_t seconds = MIN(MAX(d.seconds, CALENDAR_FIRST - DAY_SECONDS), CALENDAR_LAST + DAY_SECONDS) + zone_of(d) * 60;
	return MIN(MAX(seconds, CALENDAR_FIRST), CALENDAR_LAST);
}

static struct printable to_printable(struct date d)
{
	int64_t days = date_local_day(d);
	int second = (int)(local_seconds(d) - days * DAY_SECONDS);
	int zone = abs(zone_of(d));
	struct civil day = civil_from_days(days);
	return (struct printable){
		.day = day, .hour = second / 3600, .minute = second / 60 % 60, .second = second % 60,
		.zone = zone / 60 * 100 + zone % 60, .sign = zone_of(d) < 0 ? '-' : '+',
		.day_name = day_names[(days % 7 + 7) % 7], .month_name = month_names[day.month - 1],
	};
}

void date_print(struct date d, struct buf *out)
{
	struct printable p = to_printable(d);
	buf_addf(out, "%s, %d %s %04lld %02d:%02d:%02d %c%04d", p.day_name, p.day.day, p.month_name, (long long)p.day.year,
	         p.hour, p.minute, p.second, p.sign, p.zone);
}

static void put_digits(char *to, int n, int value)
{
	while (n-- > 0) {
		to[n] = (char)('0' + value % 10);
		value /= 10;
	}
}

void date_print_internal(struct date d, struct buf *out)
{
	struct printable p = to_printable(d);
	char text[] = "dd-mmm-yyyy hh:mm:ss +zzzz";
	if (p.day.year < 0 || p.day.year > 9999) {
		buf_addf(out, "%2d-%s-%04lld %02d:%02d:%02d %c%04d", p.day.day, p.month_name, (long long)p.day.year, p.hour,
		         p.minute, p.second, p.sign, p.zone);
		return;
	}
	/* By hand: with vsnprintf it was a tenth of a FETCH of envelopes. */
	put_digits(text, 2, p.day.day);
	if (text[0] == '0')
		text[0] = ' ';
	memcpy(text + 3, p.month_name, 3);
	put_digits(text + 7, 4, (int)p.day.year);
	put_digits(text + 12, 2, p.hour);
	put_digits(text + 15, 2, p.minute);
	put_digits(text + 18, 2, p.second);
	text[21] = p.sign;
	put_digits(text + 22, 4, p.zone);
	buf_add(out, str_of(text, sizeof text - 1));
}

/* "1-Feb-1994", "01-Feb-1994" */
static bool take_imap_date(struct str *rest, struct civil *c)
{
	size_t digits;
	int32_t year;
	if (!take_number(rest, 2, &c->day, NULL) || !take_byte(rest, '-'))
		return false;
	struct str month = take_word(rest);
	c->month = month.n == 3 ? month_number(month) : 0;
	if (!take_byte(rest, '-') || !take_number(rest, 4, &year, &digits) || digits != 4)
		return false;
	c->year = year;
	return civil_is_day(*c);
}

/* Two digits and, unless `after` is 0, the byte behind them. */
static bool take_two(struct str *rest, int32_t max, char after, int32_t *value)
{
	size_t digits;
	return take_number(rest, 2, value, &digits) && digits == 2 && *value <= max && (!after || take_byte(rest, after));
}

int date_parse_internal(struct str s, struct date *out)
{
	struct civil day;
	int32_t hour, minute, second, zone_hours, zone_minutes;
	if (s.n > 1 && s.p[0] == ' ' && str_find_byte(s, '-') != 2)
		return ERR_SYNTAX;
	take_byte(&s, ' ');
	if (!take_imap_date(&s, &day) || !take_byte(&s, ' ') || !take_two(&s, 23, ':', &hour) ||
	    !take_two(&s, 59, ':', &minute) || !take_two(&s, 60, ' ', &second))
		return ERR_SYNTAX;
	bool west = take_byte(&s, '-');
	if ((!west && !take_byte(&s, '+')) || !take_two(&s, 23, 0, &zone_hours) || !take_two(&s, 59, 0, &zone_minutes) ||
	    s.n > 0)
		return ERR_SYNTAX;
	int32_t zone = zone_hours * 60 + zone_minutes;
	if (west)
		zone = -zone;
	int64_t seconds = hour * 3600 + minute * 60 + MIN(second, 59);
	*out = (struct date){ days_from_civil(day) * DAY_SECONDS + seconds - zone * 60, zone };
	return 0;
}

int date_parse_search(struct str s, int64_t *days)
{
	struct civil day;
	if (!take_imap_date(&s, &day) || s.n > 0)
		return ERR_SYNTAX;
	*days = days_from_civil(day);
	return 0;
}

int64_t date_local_day(struct date d)
{
	int64_t seconds = local_seconds(d);
	int64_t days = seconds / DAY_SECONDS;
	return seconds % DAY_SECONDS < 0 ? days - 1 : days;
}
