/* gone_logins.h: app passwords that were removed while tickets of them may be under way: who comes with such a ticket gets
 * no session. The last ones are known by their numbers, which are never given twice. Of those that gave way it is known
 * only until when their tickets can live, and a ticket of any app password that ends by then is refused: its client logs
 * in again.
 *
 * All this is remembered by a clock that only grows: the time of day may have been years ahead when it happened. */
#ifndef PROC_SHARD_GONE_LOGINS_H
#define PROC_SHARD_GONE_LOGINS_H

#include <stdbool.h>
#include <stdint.h>

#define GONE_LOGINS_MAX 64

/* All zero: none. */
struct gone_logins {
	struct gone_login {
		uint64_t login;
		uint64_t until_ms; /* then all tickets made before have expired */
	} list[GONE_LOGINS_MAX];
	uint32_t n;            /* so many were since the start; the oldest give way */
	uint64_t until_ms;     /* of those that gave way */
};

/* now_ms: loop_now_ms. */
void gone_logins_add(struct gone_logins *gone, uint64_t login, uint64_t now_ms);

/* Was the ticket made before its app password was removed, or may it have been? left_seconds: that it is still good for,
 * which the time of day says, as it does for the ticket itself. */
bool gone_logins_has(const struct gone_logins *gone, uint64_t login, uint64_t left_seconds, uint64_t now_ms);

#endif
