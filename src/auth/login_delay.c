/* login_delay.c: the time of each account's last login, in neighbourhoods of four. Owned by the process auth. Account
 * ids are random, so that a part of one is a good hash, and two accounts with the same 64 bits do not happen. */
#include "auth/login_delay.h"

#include "base/mem.h"

#define WAYS 4

struct last_login {
	uint64_t account; /* first bytes of its id; 0: unused */
	uint64_t at_ms;
	uint64_t session;
};

struct login_delay {
	uint64_t delay_ms;
	size_t n; /* a power of two, at least WAYS */
	struct last_login *last;
};

struct login_delay *login_delay_new(uint32_t entries, uint64_t delay_ms)
{
	struct login_delay *delay = mem_alloc(1, sizeof *delay);
	delay->delay_ms = delay_ms;
	delay->n = WAYS;
	while (delay->n < entries)
		delay->n *= 2;
	if (delay_ms > 0)
		delay->last = mem_alloc(delay->n, sizeof *delay->last);
	return delay;
}

void login_delay_free(struct login_delay **delay)
{
	if (!*delay)
		return;
	mem_free((*delay)->last);
	mem_free(*delay);
	*delay = NULL;
}

/* The account's entry, or the one that it takes over: an unused one, else the oldest. */
static struct last_login *find(struct login_delay *delay, uint64_t account)
{
	struct last_login *ways = &delay->last[account & (delay->n - 1) & ~(size_t)(WAYS - 1)], *oldest = ways;
	for (size_t i = 0; i < WAYS; i++) {
		if (ways[i].account == account)
			return &ways[i];
		if (ways[i].at_ms < oldest->at_ms)
			oldest = &ways[i];
	}
	return oldest;
}

static uint64_t key_of(const struct account_id *account)
{
	uint64_t key;
	memcpy(&key, account->bytes, sizeof key);
	return key;
}

bool login_delay_begin(struct login_delay *delay, const struct account_id *account, uint64_t session, uint64_t now_ms)
{
	if (delay->delay_ms == 0)
		return true;
	uint64_t key = key_of(account);
	struct last_login *last = find(delay, key);
	if (last->account == key && now_ms < last->at_ms + delay->delay_ms)
		return false;
	*last = (struct last_login){ key, now_ms, session };
	return true;
}

void login_delay_forget(struct login_delay *delay, const struct account_id *account, uint64_t session)
{
	if (delay->delay_ms == 0)
		return;
	uint64_t key = key_of(account);
	struct last_login *last = find(delay, key);
	if (last->account == key && last->session == session)
		*last = (struct last_login){ 0 };
}
