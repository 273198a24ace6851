/* charset.h: text in the charsets of mail, to UTF-8. The charsets are a fixed list; their converters are all opened at
 * once, because that loads files, which a sandboxed process may not do later. */
#ifndef TEXT_CHARSET_H
#define TEXT_CHARSET_H

#include "base/buf.h"

struct charsets;

/* Opens all converters (some milliseconds). Charsets that the C library cannot convert are left out. */
struct charsets *charsets_open(void) __attribute__((returns_nonnull));
void charsets_free(struct charsets **charsets);

/* Appends the bytes as well-formed UTF-8; what cannot be read becomes U+FFFD. Names in any case, common aliases
 * included; read as people use them: iso-8859-1 as windows-1252, gb2312 as gb18030, shift_jis as windows-31j,
 * us-ascii as UTF-8, and what cannot be UTF-8 as windows-1252; utf-16 and utf-32 without a byte order mark are big-endian (RFC 2781, 4.3).
 * ERR_UNSUPPORTED for names that are not in the list. */
int charset_to_utf8(struct charsets *charsets, struct str name, struct str bytes, struct buf *out) MUST_CHECK;

/* Is it a name of UTF-8, or of US-ASCII, which is part of it? */
bool charset_is_utf8(struct str name);

/* Appends all names that charset_to_utf8 knows, in capitals, with blanks between them. */
void charset_names(struct buf *out);

/* A text that comes in pieces cut anywhere, with a converter of its own. Its charset need not be known: what is in none
 * of the list, or has no name, is UTF-8; and in what is or claims to be that, bytes that cannot be are windows-1252. */
struct charset_reader {
	void *converter; /* private; NULL: UTF-8 */
	uint8_t which;   /* private: whose converter that is, or will be */
	char held[8];    /* a character of which the rest is still to come */
	size_t n_held;
};
void charset_reader_begin(struct charset_reader *reader, struct str name);
/* Appends the bytes as well-formed UTF-8. last: nothing follows. */
void charset_reader_add(struct charset_reader *reader, struct str bytes, bool last, struct buf *out);
void charset_reader_end(struct charset_reader *reader);

#endif
