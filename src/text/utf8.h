/* utf8.h: reading and writing UTF-8 (RFC 3629), and making well-formed text out of bytes that claim to be it. */
#ifndef TEXT_UTF8_H
#define TEXT_UTF8_H

#include "base/buf.h"

#define UTF8_REPLACEMENT 0xFFFD /* stands for what could not be read */

/* The first character of s (not empty): its number, and in *length how many bytes it took. Malformed bytes give
 * UTF8_REPLACEMENT, one byte at a time. */
uint32_t utf8_first(struct str s, size_t *length);

/* Appends one character; numbers that are no character are written as UTF8_REPLACEMENT. */
void utf8_put(struct buf *out, uint32_t character);

/* Appends s with every malformed byte replaced, so that the result is well-formed. */
void utf8_put_repaired(struct buf *out, struct str s);

/* The same, but malformed bytes are read as windows-1252, each for itself: text without a charset, or with a wrong one.
 */
void utf8_put_guessed(struct buf *out, struct str s);

/* What windows-1252 has at 128 to 159; 0: nothing. */
uint32_t utf8_windows_1252(unsigned char byte);

#endif
