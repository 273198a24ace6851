/* header.h: blocks of header fields (RFC 5322, 2.2), whole in memory: walking, finding, selecting. The lines end in
 * CRLF or LF. What is no field (a "From " line, garbage) is skipped. */
#ifndef SYNTAX_HEADER_H
#define SYNTAX_HEADER_H

#include "base/buf.h"
#include "text/charset.h"

struct header_field {
	struct str name;  /* as written, without the blanks that obsolete syntax allows before the colon */
	struct str body;  /* what follows the colon, folding included, without the last line end */
	struct str whole; /* all lines of the field, with the last line end */
};

/* A line, with or without its line end, that can start a field: length of the name, or 0. */
size_t header_name_length(struct str line);

/* Takes the next field off *rest; false at the blank line or the end. */
bool header_next(struct str *rest, struct header_field *out);

/* The body of the first field of that name (any case), unfolded neither nor decoded; ERR_NOT_FOUND. */
int header_find(struct str block, struct str name, struct str *body) MUST_CHECK;

/* Appends the body without its line ends and the blanks at both ends (RFC 5322, 2.2.3). */
void header_unfold(struct str body, struct buf *out);

/* HEADER.FIELDS and HEADER.FIELDS.NOT (RFC 3501, 6.4.5): the fields whose name is (except: is not) in the list, as they
 * stand in the block and in its order, then the blank line, if the block has one. */
void header_fields_select(struct str block, const struct str *names, size_t n_names, bool except, struct buf *out);

/* Unstructured text for people and for search: unfolded, encoded words (RFC 2047) decoded, in well-formed UTF-8
 * whatever came in. The text of words in a charset that charset.h does not know, and what is no word,
 * is UTF-8, and where it cannot be, windows-1252. */
void header_decode_text(struct str body, struct charsets *charsets, struct buf *utf8);

#endif
