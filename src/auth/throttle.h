/* throttle.h: who fails to log in is served more slowly. One table for client addresses and accounts, of a fixed
 * size: an attacker who comes from many addresses pushes out old entries of a neighbourhood, not ours. */
#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

#include "base/err.h"

/* Failures that cost nothing: people mistype. */
#define THROTTLE_FREE_FAILURES 3
/* An entry without a failure for this long is forgotten. */
#define THROTTLE_FORGET_MS (15 * 60 * 1000)

struct throttle;

/* Slots are rounded up to a power of two; 32 bytes each. */
struct throttle *throttle_new(uint32_t slots);
void throttle_free(struct throttle **throttle);

/* What is counted: a client address or an account, under the delays that it gets. */
struct throttle_key {
	uint64_t hash;
	uint64_t delay_ms;     /* after the free failures; doubled with each further one */
	uint64_t delay_max_ms;
};

/* The key of a client address: IPv4 as it is, IPv6 by its /64, since one client has all of that. Any other text (a unix
 * socket's) is its own key. */
struct throttle_key throttle_peer(struct str address, uint64_t delay_ms, uint64_t delay_max_ms);
struct throttle_key throttle_account(struct str account, uint64_t delay_ms, uint64_t delay_max_ms);

/* An attempt begins: after how many milliseconds it may be looked at, at most the key's maximum. Attempts of the same
 * key that come meanwhile are put behind each other, so that connections in parallel gain nothing. */
uint64_t throttle_begin(struct throttle *throttle, struct throttle_key key, uint64_t now_ms);
void throttle_failed(struct throttle *throttle, struct throttle_key key, uint64_t now_ms);
/* Forgets the key's failures. */
void throttle_succeeded(struct throttle *throttle, struct throttle_key key);

#endif
