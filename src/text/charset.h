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

#endif
