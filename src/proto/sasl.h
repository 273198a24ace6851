/* sasl.h: the SASL exchange that the engines of IMAP, POP3 and SMTP share: PLAIN (RFC 4616) and LOGIN
 * (draft-murchison-sasl-login), both of which bring a name and a password. An engine carries challenges and responses
 * in its own protocol's lines and asks whoever it asks; nothing is checked here but form. */
#ifndef PROTO_SASL_H
#define PROTO_SASL_H

#include "base/buf.h"
#include "syntax/sasl_plain.h"

/* As capability lists have them, best first. The same condition as for a password command: TLS, or a setting. */
#define SASL_MECHANISM_LIST(X)                                                                                         \
	X(SASL_PLAIN, "PLAIN")                                                                                             \
	X(SASL_LOGIN, "LOGIN")

enum sasl_mechanism {
#define SASL_MECHANISM_ENUM(name, text) name,
	SASL_MECHANISM_LIST(SASL_MECHANISM_ENUM)
#undef SASL_MECHANISM_ENUM
};

#define SASL_MECHANISMS "PLAIN LOGIN"

/* The longest response, as base64 in a line (RFC 4954, 4: longer ones are the client's failure). */
#define SASL_LINE_MAX 12288

/* One exchange; starts as zeros. sasl_end wipes and frees what it holds, and makes it ready for the next. */
struct sasl {
	enum sasl_mechanism mechanism;
	bool has_user;       /* LOGIN: the name has come */
	struct buf user;     /* of LOGIN */
	struct buf response; /* the last one, without base64 */
};

enum sasl_step {
	SASL_CHALLENGE, /* another response is to come: send sasl_challenge() */
	SASL_ASK,       /* name and password are there */
	SASL_MALFORMED, /* no response of this mechanism; the exchange is over */
	SASL_DENIED,    /* well-formed, but can be nobody (too long, or acting for somebody else): to be answered like a
	                   wrong password; the exchange is over */
};

/* False: there is no such mechanism. */
bool sasl_begin(struct sasl *sasl, struct str mechanism) MUST_CHECK;

/* What to send now, in base64: empty for PLAIN. Static memory. */
struct str sasl_challenge(const struct sasl *sasl);

/* Takes a response. *user and *password are set with SASL_ASK and stay valid until sasl_end; the bytes given are left
 * as they are, and the caller's to wipe. An initial response counts as the first one, for LOGIN too: RFC 4954 section 4
 * would have it refused there, but clients send it (Python's smtplib) and nothing becomes ambiguous. */
enum sasl_step sasl_take(struct sasl *sasl, struct str response, struct str *user, struct str *password) MUST_CHECK;

/* The same for a line in base64, "=" standing for an empty response. */
enum sasl_step sasl_take_base64(struct sasl *sasl, struct str line, struct str *user, struct str *password) MUST_CHECK;

void sasl_end(struct sasl *sasl);

/* The mechanism's name. */
struct str sasl_name(const struct sasl *sasl);

#endif
