/* imap_name.h: mailbox names: UTF-8 with separator '/' inside, modified UTF-7 on the wire (RFC 3501, 5.1 and 5.1.3). */
#ifndef SYNTAX_IMAP_NAME_H
#define SYNTAX_IMAP_NAME_H

#include "base/buf.h"

#define IMAP_SEPARATOR        '/'
#define IMAP_NAME_MAX         1000 /* bytes of UTF-8 */
#define IMAP_NAME_LEVELS_MAX  64
#define IMAP_NAME_PART_MAX    255  /* bytes between separators */

/* Modified UTF-7 to UTF-8, appended to out. ERR_SYNTAX, and nothing appended, for what RFC 3501 5.1.3 does not allow:
 * bytes outside printable ASCII, wrong base64 or padding bits, lone surrogates, printable ASCII in base64, a NUL,
 * "&...-&" without need. ERR_LIMIT when out is full. */
int imap_utf7_decode(struct str wire, struct buf *out) MUST_CHECK;

/* UTF-8 to modified UTF-7, appended to out. ERR_SYNTAX for malformed UTF-8. */
int imap_utf7_encode(struct str name, struct buf *out) MUST_CHECK;

/* Prints a stored name as an astring in modified UTF-7, for LIST, STATUS and so on. The name is well-formed UTF-8. */
void imap_put_mailbox(struct buf *out, struct str name);

/* True for INBOX in any case. */
bool imap_name_is_inbox(struct str name);

/* Writes INBOX in capitals where it is the name or its first component ("inbox/x"), in place. */
void imap_name_normalise(char *name, size_t n);

/* A character that no mailbox may have in its name: controls (C1 and Unicode's line ends too, RFC 5198), code points that are
 * no characters, and wildcards of LIST. */
bool imap_name_bars(uint32_t character);

/* May a mailbox of this name be made? ERR_SYNTAX with *why (static text) if not: empty, empty component, leading or
 * trailing '/', control or malformed or unassigned (U+FFFE, U+FFFF) characters, '%' or '*', "." or ".." as component;
 * ERR_LIMIT over the maxima above. */
int imap_name_check(struct str name, const char **why) MUST_CHECK;

/* Does the name match a LIST pattern (6.3.8)? '*' matches anything, '%' anything but '/'. INBOX as a whole pattern or
 * first component in any case. At most pattern.n * name.n steps. */
bool imap_list_match(struct str pattern, struct str name);

#endif
