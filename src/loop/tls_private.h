/* tls_private.h: OpenSSL between tls.c and stream.c. */
#ifndef LOOP_TLS_PRIVATE_H
#define LOOP_TLS_PRIVATE_H

#include "base/openssl.h"
#include "loop/tls.h"

#include <openssl/ssl.h>

/* A server connection on the descriptor; it holds a reference of the context. */
SSL *tls_server_new(struct tls_context *context, int fd);

#endif
