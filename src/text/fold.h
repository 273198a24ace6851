/* fold.h: text as searches compare it: RFC 5051 (i;unicode-casemap): titlecase, then decomposition. Straße is not
 * strasse, but é is É and e with a combining accent. */
#ifndef TEXT_FOLD_H
#define TEXT_FOLD_H

#include "base/buf.h"

/* The fold of one character of ASCII. */
static inline char fold_ascii_character(char c)
{
	return c == '\0' || c == '\t' ? ' ' : ascii_upper(c);
}

/* Room that n bytes folded need at most: the longest decomposition (U+FDFA) is 18 characters of 2 bytes for its 3, and
 * room to work. */
#define FOLDED_MAX(n) ((n)*12 + 64)

/* Appends the fold of UTF-8 text. Malformed bytes are folded as U+FFFD; NUL as a blank, since it may stand between
 * texts; TAB too, since nobody sees which it is, and header fields are folded with it. Linear. */
void fold_text(struct str utf8, struct buf *out);

#endif
