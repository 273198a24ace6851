/* row_check.h: does a message's row say what its bytes say? For the store's check (store/store_open.h), which reads all
 * bytes and knows no mail. */
#ifndef MAIL_ROW_CHECK_H
#define MAIL_ROW_CHECK_H

#include "mail/mail.h"
#include "store/store_open.h"

/* A reader for the check: parses each message once more. Wrong is what cannot be right whoever derived it: sizes, lines
 * and traits that are not those of the bytes, wire forms that no client could read, ranges that are none, header fields
 * that do not stand in the message (of a header that is too large for them today, older versions may have kept some: they
 * are not looked for). What is only different is a note: an older version may have derived it, or one with other
 * limits. It has the limits of `like`. Freed after the check. */
struct mail_row_check;
struct mail_row_check *mail_row_check_new(const struct mail_reader *like) __attribute__((returns_nonnull));
void mail_row_check_free(struct mail_row_check **check);
struct check_reader mail_row_check_reader(struct mail_row_check *check);

/* Is it one list as IMAP writes it (RFC 3501, 9): parentheses that match, strings that end, nothing behind it? */
bool mail_is_wire_list(struct str text);

#endif
