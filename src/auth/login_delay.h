/* login_delay.h: how soon an account may log in again (LOGIN-DELAY of RFC 2449, section 6.5). One table of a fixed
 * size; lost with the process. When more accounts come within the delay than it holds, the oldest of a neighbourhood is
 * forgotten and may come too soon: nobody is ever refused for another's login. */
#ifndef AUTH_LOGIN_DELAY_H
#define AUTH_LOGIN_DELAY_H

#include "base/account_id.h"

struct login_delay;

/* Entries are rounded up to a power of two; 24 bytes each, used as they are needed. A delay of 0 refuses nobody and
 * takes no memory for entries. */
struct login_delay *login_delay_new(uint32_t entries, uint64_t delay_ms) __attribute__((returns_nonnull));
void login_delay_free(struct login_delay **delay);

/* A login begins: true when it may, and counts from now on. Those that are refused do not count. session: its name, to
 * forget it by. now_ms: base/clock's monotonic time. */
bool login_delay_begin(struct login_delay *delay, const struct account_id *account, uint64_t session, uint64_t now_ms);
/* That login became no session, and does not count. Nothing happens when it is not the account's last one. */
void login_delay_forget(struct login_delay *delay, const struct account_id *account, uint64_t session);

#endif
