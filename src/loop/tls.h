/* tls.h: certificates and keys as an OpenSSL server context, made from PEM text that the supervisor read (the roles
 * have no right to open files). TLS 1.2 and 1.3, session tickets within one process life, SSL_MODE_RELEASE_BUFFERS. */
#ifndef LOOP_TLS_H
#define LOOP_TLS_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

struct tls_context;

#define TLS_CHAIN_MAX 16 /* certificates in one file, behind the first */

/* OpenSSL takes its memory from base/mem.h: without any, the process ends, and nothing is served by halves. Before
 * anything else of OpenSSL. */
void tls_use_memory(void);

/* Makes OpenSSL read its configuration and load what it needs (also for MACs and hashes), which a sandbox would
 * forbid later. Called before the sandbox by every role. */
void tls_prepare(void);

/* minimum_version: 0x0303 for 1.2, 0x0304 for 1.3. ERR_SYNTAX when the PEM or the pair does not fit. */
int tls_context_new(struct str certificate_pem, struct str key_pem, int minimum_version,
                    struct tls_context **out) MUST_CHECK;
/* Why a certificate and a key cannot be used. */
enum tls_fault {
	TLS_PAIR_GOOD,
	TLS_CERTIFICATE_NOT_PEM,
	TLS_CERTIFICATE_REFUSED, /* OpenSSL says why: too weak for its security level, a key that TLS does not know */
	TLS_CHAIN_DAMAGED,       /* what stands behind the certificate */
	TLS_CHAIN_REFUSED,
	TLS_KEY_NOT_PEM,
	TLS_KEY_HAS_PASSPHRASE, /* nobody is there to type it */
	TLS_KEY_OF_ANOTHER,     /* it does not belong to the certificate */
	TLS_UNSUPPORTED,        /* OpenSSL makes no server of this minimum_version */
};

struct tls_pair {
	enum tls_fault fault;
	const char *reason; /* of OpenSSL for what it refused, else NULL. Static */
	int64_t not_before, not_after; /* of a good pair: RFC 5280, section 4.1.2.5, in seconds since 1970 */
};

/* Tries a pair as tls_context_new would use it. */
void tls_pair_try(struct str certificate_pem, struct str key_pem, int minimum_version, struct tls_pair *out);

/* Reference counted: streams that use it keep it alive. */
void tls_context_free(struct tls_context **context);

#endif
