/* sasl_plain.h: the message of SASL PLAIN (RFC 4616), after its base64 was taken off. */
#ifndef SYNTAX_SASL_PLAIN_H
#define SYNTAX_SASL_PLAIN_H

#include "base/err.h"

#define SASL_PLAIN_USER_MAX     320  /* bytes; as much as ipc/access_auth.h carries */
#define SASL_PLAIN_PASSWORD_MAX 1024
#define SASL_PLAIN_MAX          (2 * SASL_PLAIN_USER_MAX + SASL_PLAIN_PASSWORD_MAX + 2)

struct sasl_plain {
	struct str user, password; /* point into the message */
};

/* message = [authzid] NUL authcid NUL passwd (RFC 4616, 2). ERR_SYNTAX: not that, not UTF-8, or an empty user or
 * password; ERR_LIMIT: too long; ERR_DENIED: it asks to act for somebody else (authzid is neither empty nor
 * authcid). */
int sasl_plain_parse(struct str message, struct sasl_plain *out) MUST_CHECK;

/* Appends the message that the parser reads as this, authzid empty. */
struct buf;
void sasl_plain_print(const struct sasl_plain *plain, struct buf *out);

#endif
