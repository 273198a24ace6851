/* password.h: passwords as encoded Argon2id hashes (RFC 9106): "$argon2id$v=19$m=19456,t=2,p=1$salt$hash". Costs tens
 * of milliseconds of CPU and the memory that is asked for: in the server only authwork calls these. Passwords are
 * bytes; no preparation (RFC 8265) is applied. */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "base/err.h"

#define PASSWORD_MAX         1024 /* bytes of a password */
#define PASSWORD_ENCODED_MAX 256  /* bytes of an encoded hash */

/* What a hash may cost at most, whoever made it. */
#define PASSWORD_MEMORY_MAX_KB    (1024 * 1024)
#define PASSWORD_ITERATIONS_MAX   100
#define PASSWORD_PARALLELISM_MAX  16

struct password_cost {
	uint32_t memory_kb; /* at least 8 */
	uint32_t iterations;
};

/* ERR_LIMIT: an empty or too long password, or a cost out of bounds; ERR_UNAVAILABLE: no memory for it. */
int password_hash(struct str password, const struct password_cost *cost, char out[PASSWORD_ENCODED_MAX],
		  size_t *n) MUST_CHECK;

/* 0: it is the one; ERR_DENIED: it is not; ERR_CORRUPT: no hash that we can read, or one that would cost too much;
 * ERR_UNAVAILABLE: no memory. */
int password_verify(struct str password, struct str encoded) MUST_CHECK;

/* A password of 20 characters (about 100 bits) that can be read out and typed: five groups of four, "abcd-…". */
#define PASSWORD_GENERATED_SIZE 24
void password_generate(char out[PASSWORD_GENERATED_SIZE]);

#endif
