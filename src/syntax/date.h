/* date.h: the dates of mail: RFC 5322 date-time, and IMAP's date-time and date. */
#ifndef SYNTAX_DATE_H
#define SYNTAX_DATE_H

#include "base/buf.h"

/* A moment, and the zone it was written in (RFC 5322, 4.3: unknown zones are 0). Numbers out of bounds, before the year 1 or
 * after 9999, count as the nearest that are not. */
struct date {
	int64_t seconds;      /* since 1970-01-01 00:00 UTC */
	int32_t zone_minutes; /* east of UTC, -1439 to 1439 */
};

/* RFC 5322, 3.3 and 4.3: comments and folding anywhere, day of the week optional and not checked, seconds optional,
 * two- and three-digit years, names of zones, "+02:00"; a zone that is missing or broken is 0. A leap second is the
 * second before it. ERR_SYNTAX when no moment can be read out of it. */
int date_parse(struct str s, struct date *out) MUST_CHECK;

/* A Date field, as RFC 5256, 2.2 has it: as date_parse, but a day whose time cannot be read is its 00:00:00 UTC.
 * ERR_SYNTAX when there is no day. */
int date_parse_sent(struct str s, struct date *out) MUST_CHECK;

/* "Tue, 1 Jul 2003 10:52:37 +0200" */
void date_print(struct date d, struct buf *out);

/* IMAP date-time (RFC 3501, 9) without its quotes: "17-Jul-1996 02:44:25 -0700"; the day padded with a space.
 * Parsing is strict, but for a day of one digit without the space. ERR_SYNTAX. */
void date_print_internal(struct date d, struct buf *out);
int date_parse_internal(struct str s, struct date *out) MUST_CHECK;

/* IMAP date (RFC 3501, 9) without quotes, "1-Feb-1994": as days since 1970-01-01. ERR_SYNTAX. */
int date_parse_search(struct str s, int64_t *days) MUST_CHECK;

/* The day (since 1970-01-01) that the moment has in its own zone, or in UTC: what SENTSINCE and SINCE compare. */
int64_t date_local_day(struct date d);

#endif
