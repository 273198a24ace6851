/* mail_derive.h: what mail.c derives from a message, for row_check.c, which has it in pieces. */
#ifndef MAIL_MAIL_DERIVE_H
#define MAIL_MAIL_DERIVE_H

#include "mail/mail.h"

#define DERIVE_HEADER_MAX ((size_t)256 * 1024) /* of a larger header, trace fields and all, no fields are kept */

/* Another one with the limits of this. */
struct mail_reader *mail_reader_like(const struct mail_reader *reader) __attribute__((returns_nonnull));

/* `last` holds the last two bytes that were fed. */
void mail_derive_begin(struct mail_reader *reader, char last[2]);
void mail_derive_feed(struct mail_reader *reader, struct str piece, char last[2]);
/* All of it was fed; head: its first DERIVE_HEADER_MAX bytes. As mail_examine. */
int mail_derive_end(struct mail_reader *reader, struct str head, const char last[2], struct message_arrival *out) MUST_CHECK;

#endif
