/* part_text.h: what a reader sees of a part that is text: transfer encoding (RFC 2045) and charset undone, HTML without
 * what is not shown, format=flowed (RFC 3676) with its paragraphs joined. In pieces, cut anywhere. */
#ifndef MAIL_PART_TEXT_H
#define MAIL_PART_TEXT_H

#include "syntax/mime.h"

#define PART_TEXT_PIECE (16 * 1024) /* bytes of a part at a time */

struct part_text;

/* For one part after the other. */
struct part_text *part_text_new(void) __attribute__((returns_nonnull));
void part_text_free(struct part_text **text);

/* The text that follows is that of this part; one that was begun before is forgotten. */
void part_text_begin(struct part_text *text, const struct mime_part *part);

/* The text of the next bytes, at most PART_TEXT_PIECE, as far as it is known: UTF-8, valid until the next call. last:
 * nothing follows. A charset that is not named is looked for in HTML, else guessed (text/charset.h). */
struct str part_text_add(struct part_text *text, struct str bytes, bool last);

#endif
