/* throttle.c: counts of failures in a table of fixed size, in neighbourhoods of four, and the list of attempts that
 * wait for a turn of theirs. An entry that is in no attempt's use gives way first, the one whose last failure is oldest.
 * Owned by the process auth; lost with it. Attempts stay their owner's.
 *
 *     throttle_begin ──▶ waiting ──throttle_next──▶ in work ──throttle_end──▶
 *            │              └──────throttle_next──▶ refused         ▲
 *            └──────────────────────────────────────────────────────┘
 */
#include "auth/throttle.h"

#include "base/checked.h"
#include "base/mem.h"

#include <arpa/inet.h>

#define WAYS            4
#define DOUBLINGS_MAX   20
#define IPV6_PREFIX     8 /* bytes */
#define ADDRESS_TEXT    64
#define UNCLEAN         (UINT64_C(1) << 32)

struct slot {
	uint64_t hash;      /* 0: unused */
	uint64_t failed_ms; /* when it last failed */
	uint64_t next_ms;   /* its next turn is not before */
	uint32_t failures;
	uint8_t running; /* attempts in work that had a turn; at most THROTTLE_FREE_FAILURES */
	uint8_t aside;   /* an address: those in work that went past their account; 0 or 1 */
	uint16_t waiting;
};

struct throttle {
	struct throttle_limits limits;
	size_t n_slots; /* a power of two, at least WAYS */
	struct slot *slots;
	struct throttle_attempt *first, *last; /* those that wait, and those that are over, oldest first */
	uint32_t n_waiting;                    /* without those that are over */
};

struct throttle *throttle_new(uint32_t slots, const struct throttle_limits *limits)
{
	struct throttle *throttle = mem_alloc(1, sizeof *throttle);
	throttle->n_slots = WAYS;
	while (throttle->n_slots < slots)
		throttle->n_slots *= 2;
	throttle->slots = mem_alloc(throttle->n_slots, sizeof *throttle->slots);
	throttle_set_limits(throttle, limits);
	return throttle;
}

void throttle_free(struct throttle **throttle)
{
	if (!*throttle)
		return;
	mem_free((*throttle)->slots);
	mem_free(*throttle);
	*throttle = NULL;
}

void throttle_set_limits(struct throttle *throttle, const struct throttle_limits *limits)
{
	throttle->limits = *limits;
	throttle->limits.waiting_per_address = MIN(limits->waiting_per_address, (uint32_t)UINT16_MAX);
}

/* --- keys --- */

static uint64_t make_key(char kind, struct str text)
{
	/* kind stands in the hash so that an account called like an address is another key */
	uint64_t hash = str_hash(text) ^ ((uint64_t)(unsigned char)kind << 56);
	return hash ? hash : 1;
}

uint64_t throttle_address(struct str address)
{
	char text[ADDRESS_TEXT];
	unsigned char ipv6[16];
	if (address.n < sizeof text && str_find_byte(address, ':') >= 0) {
		memcpy(text, address.p, address.n);
		text[address.n] = '\0';
		if (inet_pton(AF_INET6, text, ipv6) == 1)
			return make_key('6', str_of((const char *)ipv6, IPV6_PREFIX));
	}
	return make_key('p', address);
}

uint64_t throttle_account(struct str id)
{
	return make_key('a', id);
}

uint64_t throttle_nobody(struct str name)
{
	return make_key('n', name);
}

/* --- slots --- */

static struct slot *neighbourhood(const struct throttle *throttle, uint64_t hash)
{
	return &throttle->slots[hash & (throttle->n_slots - 1) & ~(size_t)(WAYS - 1)];
}

static struct slot *find(const struct throttle *throttle, uint64_t hash)
{
	struct slot *slots = neighbourhood(throttle, hash);
	for (size_t i = 0; i < WAYS; i++)
		if (slots[i].hash == hash)
			return &slots[i];
	return NULL;
}

static bool in_use(const struct slot *slot)
{
	return slot->running || slot->aside || slot->waiting;
}

static bool gives_way_before(const struct slot *one, const struct slot *other)
{
	if (one->hash == 0 || other->hash == 0)
		return one->hash == 0 && other->hash != 0;
	if (in_use(one) != in_use(other))
		return !in_use(one);
	return one->failed_ms < other->failed_ms;
}

/* Good until the next call. */
static struct slot *find_or_make(struct throttle *throttle, uint64_t hash)
{
	struct slot *slot = find(throttle, hash);
	if (slot)
		return slot;
	struct slot *slots = neighbourhood(throttle, hash);
	slot = slots;
	for (size_t i = 1; i < WAYS; i++)
		if (gives_way_before(&slots[i], slot))
			slot = &slots[i];
	*slot = (struct slot){ .hash = hash };
	return slot;
}

static uint32_t failures_of(const struct slot *slot, uint64_t now_ms)
{
	return slot && now_ms <= slot->failed_ms + THROTTLE_FORGET_MS ? slot->failures : 0;
}

/* From when on the key has a turn; UINT64_MAX: when an attempt of it ends. */
static uint64_t turn_of(const struct slot *slot, uint64_t now_ms)
{
	if (!slot || failures_of(slot, now_ms) + (uint64_t)slot->running < THROTTLE_FREE_FAILURES)
		return 0;
	return slot->running ? UINT64_MAX : slot->next_ms;
}

static uint64_t pause_after(const struct throttle *throttle, uint32_t failures, uint64_t max_ms)
{
	if (failures < THROTTLE_FREE_FAILURES)
		return 0;
	uint32_t doublings = MIN(failures - THROTTLE_FREE_FAILURES, (uint32_t)DOUBLINGS_MAX);
	return MIN(throttle->limits.delay_ms << doublings, MIN(max_ms, throttle->limits.delay_max_ms));
}

static void count_failure(struct throttle *throttle, uint64_t hash, uint64_t max_ms, bool had_turn, uint64_t now_ms)
{
	struct slot *slot = find_or_make(throttle, hash);
	slot->failures = failures_of(slot, now_ms);
	if (slot->failures < UINT32_MAX)
		slot->failures++;
	slot->failed_ms = now_ms;
	/* what goes past the turns does not put them off: they are for those who cannot */
	if (had_turn)
		slot->next_ms = now_ms + pause_after(throttle, slot->failures, max_ms);
}

static void forget_if_idle(struct slot *slot)
{
	if (slot && slot->failures == 0 && !in_use(slot))
		slot->hash = 0;
}

/* --- attempts --- */

/* From when on it may be looked at; *aside: past its account. */
static uint64_t ready_at(const struct throttle *throttle, const struct throttle_attempt *attempt, uint64_t now_ms,
			 bool *aside)
{
	const struct slot *address = find(throttle, attempt->address);
	uint64_t address_ms = turn_of(address, now_ms);
	uint64_t account_ms = turn_of(find(throttle, attempt->account), now_ms);
	*aside = account_ms > now_ms && failures_of(address, now_ms) == 0 && !(address && address->aside);
	return *aside ? address_ms : MAX(address_ms, account_ms);
}

static uint64_t failures_behind(const struct throttle *throttle, const struct throttle_attempt *attempt,
				uint64_t now_ms)
{
	return (uint64_t)failures_of(find(throttle, attempt->address), now_ms) +
	       failures_of(find(throttle, attempt->account), now_ms);
}

static void let_go(struct throttle *throttle, struct throttle_attempt *attempt, bool aside, uint64_t now_ms)
{
	struct slot *slot = find_or_make(throttle, attempt->address);
	attempt->aside = aside;
	attempt->clean = failures_of(slot, now_ms) == 0;
	slot->running++;
	if (aside)
		slot->aside++;
	else
		find_or_make(throttle, attempt->account)->running++;
}

static void give_up_waiting(struct throttle *throttle, const struct throttle_attempt *attempt)
{
	struct slot *address = find(throttle, attempt->address), *account = find(throttle, attempt->account);
	if (address && address->waiting)
		address->waiting--;
	if (attempt->for_account && account && account->waiting)
		account->waiting--;
	forget_if_idle(address);
	forget_if_idle(account);
	throttle->n_waiting--;
}

/* Its place is free; throttle_next tells its owner. */
static void turn_away(struct throttle *throttle, struct throttle_attempt *attempt)
{
	give_up_waiting(throttle, attempt);
	attempt->over = true;
}

static void take_off(struct throttle *throttle, struct throttle_attempt *attempt)
{
	if (!attempt->over)
		give_up_waiting(throttle, attempt);
	if (attempt->previous)
		attempt->previous->next = attempt->next;
	else
		throttle->first = attempt->next;
	if (attempt->next)
		attempt->next->previous = attempt->previous;
	else
		throttle->last = attempt->previous;
	attempt->next = attempt->previous = NULL;
}

/* --- places --- */

static bool find_place_of_key(struct throttle *throttle, const struct throttle_attempt *attempt, uint64_t key,
			      uint64_t now_ms)
{
	const struct slot *slot = find(throttle, key);
	uint32_t places = throttle->limits.waiting_per_address;
	if (failures_of(slot, now_ms) >= THROTTLE_FREE_FAILURES)
		places = MIN(places, (uint32_t)THROTTLE_WAITING_MAX);
	if (!slot || slot->waiting < places)
		return true;
	struct throttle_attempt *worst = NULL;
	uint64_t most = failures_behind(throttle, attempt, now_ms);
	for (struct throttle_attempt *one = throttle->last; one; one = one->previous) {
		bool same = one->address == key || (one->account == key && one->for_account);
		uint64_t failures = same && !one->over ? failures_behind(throttle, one, now_ms) : 0;
		if (failures > most) {
			worst = one;
			most = failures;
		}
	}
	if (worst)
		turn_away(throttle, worst);
	return worst;
}

static uint64_t share_of(const struct throttle *throttle, uint64_t address, uint64_t now_ms)
{
	const struct slot *slot = find(throttle, address);
	return (failures_of(slot, now_ms) ? UNCLEAN : 0) + (slot ? slot->waiting : 0);
}

static bool find_place(struct throttle *throttle, const struct throttle_attempt *attempt, uint64_t now_ms)
{
	if (throttle->n_waiting < throttle->limits.waiting)
		return true;
	struct throttle_attempt *worst = NULL;
	uint64_t most = share_of(throttle, attempt->address, now_ms) + 1;
	for (struct throttle_attempt *one = throttle->last; one; one = one->previous) {
		uint64_t share = one->over ? 0 : share_of(throttle, one->address, now_ms);
		if (share > most) {
			worst = one;
			most = share;
		}
	}
	if (worst)
		turn_away(throttle, worst);
	return worst;
}

static bool wait(struct throttle *throttle, struct throttle_attempt *attempt, uint64_t now_ms)
{
	attempt->for_account = failures_of(find(throttle, attempt->address), now_ms) > 0;
	if (!find_place_of_key(throttle, attempt, attempt->address, now_ms) ||
	    (attempt->for_account && !find_place_of_key(throttle, attempt, attempt->account, now_ms)) ||
	    !find_place(throttle, attempt, now_ms))
		return false;
	attempt->over = false;
	attempt->until_ms = now_ms + THROTTLE_WAIT_MAX_MS;
	attempt->next = NULL;
	attempt->previous = throttle->last;
	if (throttle->last)
		throttle->last->next = attempt;
	else
		throttle->first = attempt;
	throttle->last = attempt;
	find_or_make(throttle, attempt->address)->waiting++;
	if (attempt->for_account)
		find_or_make(throttle, attempt->account)->waiting++;
	throttle->n_waiting++;
	return true;
}

/* --- the course of an attempt --- */

enum throttle_turn throttle_begin(struct throttle *throttle, struct throttle_attempt *attempt, uint64_t now_ms)
{
	bool aside;
	uint64_t ready_ms = ready_at(throttle, attempt, now_ms, &aside);
	const struct slot *address = find(throttle, attempt->address), *account = find(throttle, attempt->account);
	bool others_wait = (address && address->waiting) || (!aside && account && account->waiting);
	if (ready_ms <= now_ms && !others_wait) {
		let_go(throttle, attempt, aside, now_ms);
		return THROTTLE_GO;
	}
	if (ready_ms != UINT64_MAX && ready_ms > now_ms + THROTTLE_WAIT_MAX_MS)
		return THROTTLE_REFUSED;
	return wait(throttle, attempt, now_ms) ? THROTTLE_WAIT : THROTTLE_REFUSED;
}

struct throttle_attempt *throttle_next(struct throttle *throttle, uint64_t now_ms, enum throttle_turn *turn)
{
	struct throttle_attempt *best = NULL;
	uint64_t fewest = UINT64_MAX;
	bool aside;
	for (struct throttle_attempt *one = throttle->first; one; one = one->next) {
		if (one->over || one->until_ms <= now_ms) {
			take_off(throttle, one);
			*turn = THROTTLE_REFUSED;
			return one;
		}
		uint64_t failures = ready_at(throttle, one, now_ms, &aside) <= now_ms
					    ? failures_behind(throttle, one, now_ms)
					    : UINT64_MAX;
		if (failures < fewest) {
			best = one;
			fewest = failures;
		}
	}
	if (!best)
		return NULL;
	(void)ready_at(throttle, best, now_ms, &aside);
	take_off(throttle, best);
	let_go(throttle, best, aside, now_ms);
	*turn = THROTTLE_GO;
	return best;
}

uint64_t throttle_next_in(const struct throttle *throttle, uint64_t now_ms)
{
	uint64_t first_ms = UINT64_MAX;
	bool aside;
	for (const struct throttle_attempt *one = throttle->first; one; one = one->next) {
		uint64_t ready_ms = one->over ? 0 : MIN(one->until_ms, ready_at(throttle, one, now_ms, &aside));
		first_ms = MIN(first_ms, ready_ms);
	}
	return first_ms == UINT64_MAX ? UINT64_MAX : first_ms > now_ms ? first_ms - now_ms : 0;
}

void throttle_end(struct throttle *throttle, const struct throttle_attempt *attempt, enum throttle_result result,
		  uint64_t now_ms)
{
	struct slot *address = find(throttle, attempt->address), *account = find(throttle, attempt->account);
	if (address && address->running)
		address->running--;
	if (address && attempt->aside && address->aside)
		address->aside--;
	if (account && !attempt->aside && account->running)
		account->running--;
	if (result == THROTTLE_RIGHT && account && !attempt->aside)
		account->failures = 0;
	forget_if_idle(address);
	forget_if_idle(account);
	if (result != THROTTLE_WRONG)
		return;
	count_failure(throttle, attempt->address, UINT64_MAX, true, now_ms);
	count_failure(throttle, attempt->account, THROTTLE_ACCOUNT_PAUSE_MS, !attempt->aside, now_ms);
}
