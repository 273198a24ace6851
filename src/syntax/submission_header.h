/* submission_header.h: the header of a message that its writer submits (RFC 6409, 8), on its way, in pieces cut
 * anywhere, without copies: whether it has a Date and a Message-ID, and all of it but what other recipients must not
 * see, the fields Bcc and Resent-Bcc (RFC 5322, 3.6.3 and 3.6.6). Everything else comes out byte for byte.
 *
 * What is a field is read as everywhere else (syntax/header.h): blanks may stand before the colon, a line that is no
 * field is passed over, the header ends at the empty line. */
#ifndef SYNTAX_SUBMISSION_HEADER_H
#define SYNTAX_SUBMISSION_HEADER_H

#include "base/str.h"

#define SUBMISSION_NAME_MAX 10 /* "resent-bcc", "message-id" */
/* Of a line whose name is not decided yet, when a piece ends. */
#define SUBMISSION_HELD_MAX 64

enum submission_at {
	SUBMISSION_AT_LINE,
	SUBMISSION_AT_NAME,
	SUBMISSION_AT_TEXT,    /* of a line that stays */
	SUBMISSION_AT_DROPPED, /* of one that goes */
	SUBMISSION_AT_BODY,
};

struct submission_header {
	bool has_date, has_message_id; /* seen so far */
	enum submission_at at;         /* private, as all below */
	bool dropping;                 /* the field that a continuation line belongs to goes */
	bool blank;                    /* blanks have come behind the name */
	uint8_t name_n, held_n;
	char name[SUBMISSION_NAME_MAX];
	char held[SUBMISSION_HELD_MAX];
};

#define SUBMISSION_HEADER_INIT ((struct submission_header){ .at = SUBMISSION_AT_LINE })

/* Takes from the front of *in. True: *out is a piece that stays, a slice of the input or of *header, valid until the
 * next call; false: all of the input was used. Lines must end in CRLF; of a message that ends with one, nothing is held
 * back at the end. Costs memchr over the header, nothing for the body. */
bool submission_header_next(struct submission_header *header, struct str *in, struct str *out);

#endif
