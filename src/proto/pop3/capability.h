/* capability.h: what the engines before and after login share: CAPA and LANG (RFC 2449, 5 and 6: what is there before
 * login is listed after it too; RFC 6856, 3). */
#ifndef PROTO_POP3_CAPABILITY_H
#define PROTO_POP3_CAPABILITY_H

#include "base/outq.h"

/* Handed over with the connection when the client has said UTF8. */
#define POP3_HANDED_UTF8 "UTF8"

/* What depends on settings and connection. All else is said as it is. */
struct pop3_offer {
	bool password; /* USER and SASL: a password may be sent, or was */
	bool stls;
	bool utf8;
	uint32_t expire_days; /* a message stays at least so long, POP3_EXPIRE_NEVER: for ever (base/pop3_policy.h) */
	bool expire_differs;  /* before login: it depends on who logs in (RFC 2449, 6.7) */
	uint64_t login_delay_ms; /* between two logins of an account; 0: none */
};

/* The answer to CAPA. */
void pop3_put_capabilities(const struct pop3_offer *offer, struct outq *out);

/* The answer to LANG with this language range; empty: the list. There is English, and nothing else to choose: what a
 * range asks for beyond it (en-GB) is cut off, as RFC 4647 section 3.4 has it. False: -ERR was said. */
bool pop3_put_language(struct str range, struct outq *out);

#endif
