/* search_text.h: the text of messages as searches compare it, made from rows and bytes (RFC 3501, 6.4.4: header text
 * decoded by RFC 2047, bodies by transfer encoding and charset), folded by RFC 5051 (text/fold.h):
 *
 * TEXT_FIELDS  the columns Subject, From, To, Cc and Bcc: of each field its value, without folding white space and
 *              blanks at its ends; other fields that the row keeps: as TEXT_HEADER
 * TEXT_HEADER  of each field its name, a colon, the blanks behind it, its value; once more with the value of each of its
 *              parameters that RFC 2231 rewrote, as names of files often are
 * TEXT_BODY    of each part of a multipart, and of each message in the message, its header in that form; of each part
 *              text/..., or message/... other than a message, its text as a reader sees it (mail/part_text.h); of a
 *              message in an encoding that it may not have (RFC 2046, 5.2.1) what the encoding hides, as it is
 *
 * Each field and part ends with a NUL, so that nothing is found across them. Over the limits of the MIME parser the rest
 * of a message is one part; of one header 256 KB are looked at, or what becomes 768 KB of
 * text. */
#ifndef MAIL_SEARCH_TEXT_H
#define MAIL_SEARCH_TEXT_H

#include "mail/mail.h"
#include "store/text.h"
#include "text/charset.h"

struct search_text;

/* For one message after the other. */
struct search_text *search_text_new(const struct mime_limits *limits, struct charsets *charsets)
	__attribute__((returns_nonnull));
void search_text_free(struct search_text **maker);

/* A field's value, folded: for whoever compares one field. Appends. */
void search_text_value(struct charsets *charsets, struct str body, struct buf *out);

/* Does the block have this field, whatever its value, in TEXT_FIELDS? Its column then. */
bool search_text_column(struct str field, enum text_fields_column *column);

/* Appends the text of a message to a block of the kind, as TEXT_FIELDS or TEXT_HEADER; the row is read as
 * MESSAGE_FIELDS. Errors of reading. */
int search_text_header(struct search_text *maker, struct account *account, const struct message_row *row,
                       struct text_block *block) MUST_CHECK;

/* The bytes that search_text_header would read, for whoever must not wait for the disk; 0: none. */
uint64_t search_text_header_bytes(const struct message_row *row, enum text_kind kind);

/* TEXT_BODY, in pieces: begin, then step until *done, each with the row as it is then (MESSAGE_FIELDS or _RANGES): its
 * bytes may have moved. A step reads only what lies in the range that search_text_body_range told before; what it appends
 * is not more than a few times that. */
#define SEARCH_TEXT_PIECE (64 * 1024)
void search_text_body_begin(struct search_text *maker, const struct message_row *row);
void search_text_body_range(const struct search_text *maker, uint64_t *at, uint64_t *n);
int search_text_body_step(struct search_text *maker, struct account *account, const struct message_row *row,
                          struct text_block *block, bool *done) MUST_CHECK;

#endif
