/* throttle.h: who fails to log in is served more slowly, and strangers cannot lock anybody out. The policy:
 *
 *  1. Failures count against the client's address and against the account. THROTTLE_FREE_FAILURES cost nothing; after
 *     them the key has one attempt in work at a time, and each failure is followed by a pause, which doubles up to a
 *     maximum. Attempts in work count as failures until they end, so connections in parallel gain nothing.
 *  2. An address without failures passes by the pauses of an account, one attempt at a time: strangers who guess at an
 *     account cannot keep its owner out. So each address has one guess of its own at any account until its failures are
 *     forgotten; all other guesses at an account, from wherever, share the account's turns.
 *  3. Who has no turn yet waits, at most THROTTLE_WAIT_MAX_MS: few for each key that has failed too often, of others
 *     as many as the limits say. Of those that wait for one key, the one with the fewest failures goes first, and the
 *     one with the most gives way when there is no place; when all places are taken, the newest of an address with
 *     failures, then of the address that has most.
 *
 * One table for addresses and accounts, of a fixed size: an attacker who comes from many addresses pushes out old
 * entries of a neighbourhood, not ours. */
#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

#include "base/err.h"

/* Failures that cost nothing: people mistype. */
#define THROTTLE_FREE_FAILURES       3
/* An entry without a failure for this long is forgotten. */
#define THROTTLE_FORGET_MS           (15 * 60 * 1000)
/* The pauses of an account are no longer than this, whatever those of an address are. */
#define THROTTLE_ACCOUNT_PAUSE_MS    5000
/* Nobody waits longer than this; who would have to is refused at once. */
#define THROTTLE_WAIT_MAX_MS         20000
/* Attempts that may wait for one key that has failed too often. */
#define THROTTLE_WAITING_MAX         8

struct throttle;

struct throttle_limits {
	uint64_t delay_ms;     /* the first pause */
	uint64_t delay_max_ms; /* the longest */
	uint32_t waiting;      /* attempts, in all, */
	uint32_t waiting_per_address;
};

/* Slots are rounded up to a power of two; 32 bytes each. */
struct throttle *throttle_new(uint32_t slots, const struct throttle_limits *limits);
/* The caller has ended all attempts. */
void throttle_free(struct throttle **throttle);
/* Others from now on; what waits already stays. */
void throttle_set_limits(struct throttle *throttle, const struct throttle_limits *limits);

/* The key of a client address: IPv4 as it is, IPv6 by its /64, since one client has all of that. Any other text (a
 * unix socket's) is its own key. */
uint64_t throttle_address(struct str address);
/* Of an account: by its id, however it was spelled; by the name that was given when there is none. */
uint64_t throttle_account(struct str id);
uint64_t throttle_nobody(struct str name);

/* One attempt to log in: part of what its owner keeps of it, from throttle_begin to its end. The owner sets the keys. */
struct throttle_attempt {
	uint64_t address, account;
	bool clean; /* let go: its address had no failures */
	/* throttle.c's: */
	bool aside;             /* let go past its account */
	bool for_account, over; /* waiting: it has a place of its account; no place any more */
	uint64_t until_ms;      /* waiting: not longer than this */
	struct throttle_attempt *next, *previous;
};

enum throttle_turn {
	THROTTLE_GO,      /* compare the password now, then call throttle_end */
	THROTTLE_WAIT,    /* throttle_next will give it back */
	THROTTLE_REFUSED, /* its end: whoever it is is to come again */
};

/* After this and after throttle_end others may be ready, or have lost their place: call throttle_next until it gives
 * nothing. */
enum throttle_turn throttle_begin(struct throttle *throttle, struct throttle_attempt *attempt, uint64_t now_ms);

/* The next attempt whose wait is over, and how: GO or REFUSED. NULL: none. When now_ms is UINT64_MAX all are refused.
 * Costs a walk over all that wait. */
struct throttle_attempt *throttle_next(struct throttle *throttle, uint64_t now_ms, enum throttle_turn *turn);

/* How long until throttle_next has one, if no attempt ends before; UINT64_MAX: none waits. */
uint64_t throttle_next_in(const struct throttle *throttle, uint64_t now_ms);

enum throttle_result {
	THROTTLE_RIGHT,
	THROTTLE_WRONG,
	THROTTLE_UNKNOWN, /* nobody has looked */
};

/* The end of an attempt that was let go. A right password makes an account's failures forgotten, unless it came past
 * the account's turns; an address's never, or a guesser with an account of his own would be free. */
void throttle_end(struct throttle *throttle, const struct throttle_attempt *attempt, enum throttle_result result,
		  uint64_t now_ms);

#endif
