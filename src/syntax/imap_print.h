/* imap_print.h: strings in the form that IMAP puts on the wire (RFC 3501, section 9). */
#ifndef SYNTAX_IMAP_PRINT_H
#define SYNTAX_IMAP_PRINT_H

#include "base/buf.h"

/* Longer strings are sent as literals: clients with line buffers live longer. */
#define IMAP_QUOTED_MAX 1000

/* string: quoted when it is 7-bit text without CR, LF and at most IMAP_QUOTED_MAX long, else a literal {n}CRLF.
 * 8-bit bytes go as they are, in a literal: RFC 3501 allows CHAR8 there and not in quoted strings, so a client that
 * never heard of UTF-8 is not hurt, and nothing is lost. NUL is in neither (CHAR8 is 1-255): it is left out. */
void imap_put_string(struct buf *out, struct str s);

/* nstring: NIL when s.p is NULL, else as imap_put_string. */
void imap_put_nstring(struct buf *out, struct str s);

/* astring: an atom where s is one (never for NIL or the empty string), else as imap_put_string. */
void imap_put_astring(struct buf *out, struct str s);

#endif
