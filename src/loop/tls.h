/* tls.h: certificates and keys as an OpenSSL server context, made from PEM text that the supervisor read (the roles
 * have no right to open files). TLS 1.2 and 1.3, session tickets within one process life, SSL_MODE_RELEASE_BUFFERS. */
#ifndef LOOP_TLS_H
#define LOOP_TLS_H

#include "base/err.h"
#include "base/str.h"

struct tls_context;

/* OpenSSL takes its memory from base/mem.h: without any, the process ends, and nothing is served by halves. Before
 * anything else of OpenSSL. */
void tls_use_memory(void);

/* Makes OpenSSL read its configuration and load what it needs (also for MACs and hashes), which a sandbox would
 * forbid later. Called before the sandbox by every role. */
void tls_prepare(void);

/* minimum_version: 0x0303 for 1.2, 0x0304 for 1.3. ERR_SYNTAX when the PEM or the pair does not fit. */
int tls_context_new(struct str certificate_pem, struct str key_pem, int minimum_version,
                    struct tls_context **out) MUST_CHECK;
/* Reference counted: streams that use it keep it alive. */
void tls_context_free(struct tls_context **context);

#endif
