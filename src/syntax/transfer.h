/* transfer.h: content transfer encodings (RFC 2045, 6) undone, in pieces, as people read broken mail: what cannot be is
 * skipped or stands as it is, and every input has an output. */
#ifndef SYNTAX_TRANSFER_H
#define SYNTAX_TRANSFER_H

#include "syntax/mime.h"

/* Bytes that n bytes become at most, with what was held back before them. */
#define TRANSFER_DECODED_MAX(n) ((n) + 80)

struct transfer_decoder {
	enum mime_encoding encoding;
	uint32_t bits;        /* of base64 */
	unsigned n_bits;
	char held[80];        /* quoted-printable: "=", "=4", or blanks that may end a line */
	size_t n_held;
};

/* 7bit, 8bit, binary and what is unknown stand as they are. */
void transfer_decoder_begin(struct transfer_decoder *decoder, enum mime_encoding encoding);
void transfer_decoder_add(struct transfer_decoder *decoder, struct str bytes, struct buf *out);
/* Nothing follows: what was held back is written. */
void transfer_decoder_end(struct transfer_decoder *decoder, struct buf *out);

#endif
