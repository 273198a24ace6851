/* openssl.h: include this before any header of OpenSSL. OpenSSL has a type ERR_STATE, and we have an error of that
 * name. */
#ifndef BASE_OPENSSL_H
#define BASE_OPENSSL_H

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/err.h>
#undef ERR_STATE

#endif
