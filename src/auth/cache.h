/* cache.h: right passwords, remembered for a short while so that a client that comes every minute does not cost an
 * Argon2id hash each time. What is kept is an HMAC-SHA-256, under a key that lives in this process only, over account
 * id, stored hash and password: after a change of password or the end of the account no entry can match. Wrong
 * passwords are not remembered. */
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include "auth/directory.h"

struct auth_cache;

/* At most about `entries` (rounded up to a power of two; 72 bytes each, from the start) for lifetime_ms each; a
 * lifetime of 0 remembers nothing. When it is full the oldest of a neighbourhood goes. */
struct auth_cache *auth_cache_new(uint32_t entries, uint64_t lifetime_ms);
void auth_cache_free(struct auth_cache **cache);
/* Of what is remembered from now on; 0: what is remembered already is forgotten too. */
void auth_cache_set_lifetime(struct auth_cache *cache, uint64_t lifetime_ms);

/* now_ms: base/clock's monotonic time. */
bool auth_cache_has(const struct auth_cache *cache, const struct directory_account *account, struct str password,
		    uint64_t now_ms);
void auth_cache_add(struct auth_cache *cache, const struct directory_account *account, struct str password,
		    uint64_t now_ms);

#endif
