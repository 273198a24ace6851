/* base64.h: base64 of RFC 4648 section 4, and the alphabet of IMAP's mailbox names. */
#ifndef TEXT_BASE64_H
#define TEXT_BASE64_H

#include "base/buf.h"

/* Bytes that n bytes become (with padding), and at most come from n. */
#define BASE64_ENCODED(n) (((n) + 2) / 3 * 4)
#define BASE64_DECODED(n) ((n) / 4 * 3)

/* Appends base64 with padding, in one line. */
void base64_encode(struct str bytes, struct buf *out);

/* Strict: alphabet only, padding complete, unused bits zero, no white space. Appends to out. ERR_SYNTAX, ERR_LIMIT
 * (out is full); nothing is appended on failure. MIME bodies need a forgiving decoder, not this one. */
int base64_decode(struct str text, struct buf *out) MUST_CHECK;

/* Value 0..63 of a character, -1 if it is none; and the character of a value. */
extern const signed char base64_values[128];
static inline int base64_value(char c)
{
	return (unsigned char)c < 128 ? base64_values[(unsigned char)c] : -1;
}
char base64_char(unsigned value);

#endif
