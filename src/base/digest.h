/* digest.h: SHA-256 (FIPS 180-4) of bytes that come in pieces, one message after the other. For what must not be
 * forged; checksums are cheaper (db/bodylog.h). */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/str.h"

#define DIGEST_SIZE 32

struct digest;

/* All end the process when memory is short. */
struct digest *digest_new(void) __attribute__((returns_nonnull));
void digest_free(struct digest **digest);

/* Begins a message, whether or not the one before has ended. */
void digest_begin(struct digest *digest);
void digest_add(struct digest *digest, struct str bytes);
void digest_end(struct digest *digest, unsigned char out[DIGEST_SIZE]);

#endif
