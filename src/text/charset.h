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
 * us-ascii as UTF-8.
 * ERR_UNSUPPORTED for names that are not in the list. */
int charset_to_utf8(struct charsets *charsets, struct str name, struct str bytes, struct buf *out) MUST_CHECK;

/* Appends all names that charset_to_utf8 knows, in capitals, with blanks between them. */
void charset_names(struct buf *out);

/* A text that comes in pieces cut anywhere, with a converter of its own. Its charset need not be known: what is in none
 * of the list, or US-ASCII, or has no name, is UTF-8, and from the first piece on that is not, windows-1252. */
struct charset_reader {
	void *converter; /* private; NULL: UTF-8 */
	bool guesses;    /* windows-1252 may follow */
	char held[8];    /* a character of which the rest is still to come */
	size_t n_held;
};
void charset_reader_begin(struct charset_reader *reader, struct str name);
/* Appends the bytes as well-formed UTF-8. last: nothing follows. */
void charset_reader_add(struct charset_reader *reader, struct str bytes, bool last, struct buf *out);
void charset_reader_end(struct charset_reader *reader);

#endif
