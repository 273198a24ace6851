/* header_lex.h: the small pieces that all structured header fields are made of (RFC 5322, 3.2). For syntax/ only. Each
 * function takes what it read off *rest. */
#ifndef SYNTAX_HEADER_LEX_H
#define SYNTAX_HEADER_LEX_H

#include "base/str.h"

static inline bool lex_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Length of the quoted string that the slice begins with, both quotes included; 0 when it is never closed. */
size_t lex_quoted_length(struct str s);

/* Length of the comment that the slice begins with; comments nest; all that is left when it is never closed. */
size_t lex_comment_length(struct str s);

/* The same; 0 when it is never closed. */
size_t lex_closed_comment_length(struct str s);

/* Skips blanks, line ends and comments; the inside of the last comment, if there is one, goes to *comment
 * (which may be NULL). */
void lex_skip_cfws(struct str *rest, struct str *comment);

/* A token of RFC 2045, 5.1 (8-bit bytes let through); empty when there is none. */
struct str lex_token(struct str *rest);

/* The inside of a quoted string (or comment) without line ends and without quoting; out has room for s.n bytes.
 * Returns how many were written. */
size_t lex_unquote(struct str s, char *out);

#endif
