/* smtp_data.h: the message after DATA (RFC 5321, 4.1.1.4 and 4.5.2), in pieces cut anywhere, without copies.
 *
 * The end is the five bytes CRLF.CRLF (the first CRLF may be the one that ended DATA) and nothing else: no bare CR,
 * bare LF or NUL ever makes a line end. A message that has one of them is flawed; reading goes on to its true end
 * all the same, so that what follows the end for us follows it for everybody (no smuggling). */
#ifndef SYNTAX_SMTP_DATA_H
#define SYNTAX_SMTP_DATA_H

#include "base/str.h"

enum {
	SMTP_DATA_BARE_CR = 1,
	SMTP_DATA_BARE_LF = 2,
	SMTP_DATA_NUL = 4,
};

enum smtp_data_at { SMTP_DATA_AT_LINE, SMTP_DATA_AT_TEXT, SMTP_DATA_AT_CR, SMTP_DATA_AT_DOT, SMTP_DATA_AT_DOT_CR };

struct smtp_data {
	unsigned flaws;       /* SMTP_DATA_BARE_CR and so on */
	uint32_t received;    /* Received fields in the message's header so far (RFC 5321, 6.3) */
	uint64_t size;        /* bytes given out */
	enum smtp_data_at at; /* private, as all below */
	bool in_header;
	uint8_t matched; /* bytes of "Received:" that this line began with; beyond its length when it did not */
	bool line_empty;
};

#define SMTP_DATA_INIT ((struct smtp_data){ .at = SMTP_DATA_AT_LINE, .in_header = true, .line_empty = true })

enum smtp_data_event {
	SMTP_DATA_MORE, /* all of the input was used */
	SMTP_DATA_TEXT, /* *out is a piece of the message: a slice of the input, dots undone */
	SMTP_DATA_END,  /* the end was read; what is left of *in comes after the message */
};

/* Takes from the front of *in. Call it until it says MORE or END. The pieces together are the message, exactly when
 * flaws is 0 at the end. Costs memchr over the input. */
enum smtp_data_event smtp_data_next(struct smtp_data *data, struct str *in, struct str *out);

#endif
