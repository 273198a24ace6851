/* flowed.h: text/plain; format=flowed (RFC 3676) with its paragraphs in one line each: lines that end in a blank are
 * joined to the next one of the same quote depth. Other lines stay as they are, quote marks included. Line ends become
 * CRLF. Linear, in constant memory. */
#ifndef TEXT_FLOWED_H
#define TEXT_FLOWED_H

#include "base/buf.h"

/* Where in a text the reader is; zero but for delete_space: at its beginning. Private to flowed.c. */
struct flowed_text {
	bool delete_space;    /* DelSp=yes: the blank at such an end is not part of the text (4.1) */
	bool in_line;         /* behind quote marks and space-stuffing (4.4, 4.5) */
	bool any;             /* a line came before */
	bool soft;            /* it ended in a blank */
	uint32_t depth, last; /* quote marks of this line, and of the one before */
	bool blank, cr;       /* read, not written: the line may end here */
	uint8_t n;            /* of the line's first characters, as far as they are those of a signature's "-- " (4.3) */
};

/* The next bytes, UTF-8, cut anywhere. Appends text. */
void flowed_text_add(struct flowed_text *flowed, struct str utf8, struct buf *out);
/* The text is over. */
void flowed_text_end(struct flowed_text *flowed, struct buf *out);

#endif
