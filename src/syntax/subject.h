/* subject.h: the base subject of RFC 5256, 2.1: what is left of a Subject without "Re:", "[list]", "(fwd)" and their
 * like, by which messages are sorted and threaded. */
#ifndef SYNTAX_SUBJECT_H
#define SYNTAX_SUBJECT_H

#include "base/buf.h"

/* Appends the base subject of decoded text (header_decode_text). *is_reply: something was taken off that only a reply or
 * a forwarded message has (2.1, used by THREAD's step 5). Linear, but for nested "[fwd: ]", each of which costs a pass. */
void subject_base(struct str decoded, struct buf *out, bool *is_reply);

#endif
