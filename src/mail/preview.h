/* preview.h: the first words of a message for a list of messages (RFC 8970): of its first text/plain part, or else its
 * first text/html part, decoded, without what is quoted from others, white space as single blanks. */
#ifndef MAIL_PREVIEW_H
#define MAIL_PREVIEW_H

#include "mail/mail.h"

#define PREVIEW_CHARACTERS 200 /* at most (RFC 8970, 3.3) */
#define PREVIEW_MAX        (4 * PREVIEW_CHARACTERS)

struct mail_preview;

/* For one message after the other. */
struct mail_preview *mail_preview_new(const struct mime_limits *limits) __attribute__((returns_nonnull));
void mail_preview_free(struct mail_preview **preview);

/* How much of a message is read: so many bytes from its beginning. */
uint64_t mail_preview_bytes(const struct message_row *row);

/* UTF-8, valid until the next call; empty where there is no text. The row is read as MESSAGE_RANGES or more. Errors of
 * reading. */
int mail_preview_make(struct mail_preview *preview, struct account *account, const struct message_row *row,
                      struct str *out) MUST_CHECK;

/* The same of bytes: as many of the message as there are. */
struct str mail_preview_of(struct mail_preview *preview, struct str message);

#endif
