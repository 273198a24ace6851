/* preview.h: the first words of a message for a list of messages (RFC 8970): of its first part that is text/plain or
 * text/html and has some, of alternatives the plain one before; as a reader sees it (mail/part_text.h), without what is
 * quoted from others, white space as single blanks. */
#ifndef MAIL_PREVIEW_H
#define MAIL_PREVIEW_H

#include "mail/mail.h"

#define PREVIEW_CHARACTERS 200 /* at most (RFC 8970, 3.3) */
#define PREVIEW_MAX        (4 * PREVIEW_CHARACTERS)

struct mail_preview;

/* For one message after the other. */
struct mail_preview *mail_preview_new(const struct mime_limits *limits) __attribute__((returns_nonnull));
void mail_preview_free(struct mail_preview **preview);

/* How much of a message is read: so many bytes from its beginning, its header and 32 KB; `further`, where those had no
 * text, 96 KB. The same number where it is not that long. */
uint64_t mail_preview_bytes(const struct message_row *row, bool further);

/* UTF-8, valid until the next call; empty where there is no text. The row is read as MESSAGE_RANGES or more. Errors of
 * reading. */
int mail_preview_make(struct mail_preview *preview, struct account *account, const struct message_row *row, bool further,
                      struct str *out) MUST_CHECK;

/* The same of a whole message. */
struct str mail_preview_of(struct mail_preview *preview, struct str message);

#endif
