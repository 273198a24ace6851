/* mbox_from.c: the line that begins a message in an mbox, read as all the programs write it and written as RFC 4155
 * says. No state; nothing is owned. */
#include "mail/mbox_private.h"

#include "base/checked.h"
#include "base/clock.h"
#include "syntax/header.h"

#include <inttypes.h>

#define WORDS_MAX 8 /* of a date: "Thu Nov 24 18:22:48 EST 1986 remote from host" without its end has 6 */

static const char DAYS[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char MONTHS[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static struct str next_word(struct str *rest)
{
	*rest = str_trim(*rest);
	size_t n = 0;
	while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
		n++;
	struct str word = str_first(*rest, n);
	*rest = str_from(*rest, n);
	return word;
}

static bool is_day(struct str word)
{
	if (word.n == 4 && word.p[3] == ',')
		word.n = 3;
	for (size_t i = 0; i < COUNT_OF(DAYS); i++)
		if (str_ieq(word, str_of(DAYS[i], 3)))
			return true;
	return false;
}

static bool is_month(struct str word)
{
	for (size_t i = 0; i < COUNT_OF(MONTHS); i++)
		if (str_ieq(word, str_of(MONTHS[i], 3)))
			return true;
	return false;
}

static bool is_year(struct str word)
{
	uint64_t year;
	return word.n == 4 && str_to_u64(word, 9999, &year) == 0;
}

static bool is_zone(struct str word)
{
	bool is_number = word.n == 5 && (word.p[0] == '+' || word.p[0] == '-');
	for (size_t i = 0; i < word.n; i++)
		if (is_number ? i > 0 && !ascii_is_digit(word.p[i]) : !ascii_is_alpha(word.p[i]))
			return false;
	return is_number || (word.n > 0 && word.n <= 5);
}

/* What follows the day of the week: "Nov 24 18:22:48 1986", a zone before or behind the year. Written anew in the order of
 * RFC 5322, so that one function knows what a date is. */
static int parse_asctime(const struct str *words, size_t n, struct date *date)
{
	struct str year = n > 3 ? words[3] : STR(""), zone = STR("");
	char text[64];
	if (n == 5) {
		bool zone_first = !is_year(words[3]);
		year = words[zone_first ? 4 : 3];
		zone = words[zone_first ? 3 : 4];
	}
	if (n < 4 || n > 5 || !is_month(words[0]) || !is_year(year) || (n == 5 && !is_zone(zone)) || words[1].n > 2 ||
	    words[2].n > 8)
		return ERR_SYNTAX;
	int length = snprintf(text, sizeof text, "%.*s %.*s %.*s %.*s %.*s", STR_ARG(words[1]), STR_ARG(words[0]),
	                      STR_ARG(year), STR_ARG(words[2]), STR_ARG(zone));
	return date_parse(str_of(text, (size_t)length), date);
}

/* A date that is all of `text`, from its day of the week on. */
static int parse_date(struct str text, struct date *date)
{
	struct str words[WORDS_MAX], rest = text;
	size_t n = 0;
	uint64_t day;
	if (!is_day(next_word(&rest)))
		return ERR_SYNTAX;
	while (rest.n > 0 && n < WORDS_MAX) {
		words[n] = next_word(&rest);
		n += words[n].n > 0;
		if (n >= 2 && str_eq(words[n - 1], STR("from")) && str_eq(words[n - 2], STR("remote"))) {
			n -= 2; /* a host of UUCP follows */
			next_word(&rest);
			break;
		}
	}
	if (str_trim(rest).n > 0)
		return ERR_SYNTAX;
	bool ends_well = n <= 5 || (n == 6 && str_starts(words[5], STR("("))); /* "(CET)" */
	if (n >= 4 && ends_well && str_to_u64(words[0], 31, &day) == 0 && is_month(words[1]) && is_year(words[2]))
		return date_parse(text, date); /* "Thu, 24 Nov 1986 18:22:48 +0100" */
	return parse_asctime(words, n, date);
}

int mbox_from_parse(struct str line, struct str *sender, bool *has_date, struct date *date)
{
	if (!str_starts(line, STR("From ")))
		return ERR_SYNTAX;
	line = str_trim(str_from(line, 5));
	struct str rest = line;
	*has_date = false;
	while (rest.n > 0 && !*has_date) {
		struct str from_here = rest;
		struct str word = next_word(&rest);
		if (is_day(word) && parse_date(from_here, date) == 0) {
			*has_date = true;
			*sender = str_trim(str_first(line, (size_t)(from_here.p - line.p)));
		}
	}
	if (!*has_date) {
		rest = line;
		*sender = next_word(&rest);
	}
	if (sender->n > MBOX_SENDER_MAX || str_eq(*sender, STR("-")) || str_ieq(*sender, STR("MAILER-DAEMON")))
		*sender = STR(""); /* "-" is Thunderbird's */
	return 0;
}

void mbox_from_print(const struct mbox_message *message, struct buf *out)
{
	time_t when = (time_t)MIN(MAX(message->date.seconds, CALENDAR_FIRST), CALENDAR_LAST);
	struct tm parts = { 0 };
	gmtime_r(&when, &parts);
	buf_add(out, STR("From "));
	buf_add(out, message->sender.n ? message->sender : STR("MAILER-DAEMON"));
	buf_addf(out, " %s %s %2d %02d:%02d:%02d %04d\n", DAYS[parts.tm_wday], MONTHS[parts.tm_mon], parts.tm_mday,
	         parts.tm_hour, parts.tm_min, parts.tm_sec, parts.tm_year + 1900);
}

struct str mbox_sender_of(struct str header)
{
	struct str body;
	if (header_find(header, STR("Return-Path"), &body) < 0)
		return STR("");
	ptrdiff_t open = str_find_byte(body, '<');
	if (open >= 0) {
		body = str_from(body, (size_t)open + 1);
		ptrdiff_t close = str_find_byte(body, '>');
		body = str_first(body, close < 0 ? 0 : (size_t)close);
	}
	body = str_trim(body);
	for (size_t i = 0; i < body.n; i++)
		if ((unsigned char)body.p[i] <= ' ' || body.p[i] == 0x7f)
			return STR("");
	return body.n <= MBOX_SENDER_MAX ? body : STR("");
}

bool mbox_is_likely(struct str beginning)
{
	while (beginning.n > 0 && (beginning.p[0] == '\r' || beginning.p[0] == '\n'))
		beginning = str_from(beginning, 1);
	return str_starts(beginning, STR("From "));
}
