/* throttle.c: counts of failures in a table of fixed size, in neighbourhoods of four; the entry whose last failure is
 * oldest gives way. Owned by the process auth; lost with it. */
#include "auth/throttle.h"

#include "base/checked.h"
#include "base/mem.h"

#include <arpa/inet.h>

#define WAYS            4
#define DOUBLINGS_MAX   20
#define IPV6_PREFIX     8 /* bytes */
#define ADDRESS_TEXT    64

struct slot {
	uint64_t hash; /* 0: unused */
	uint64_t failed_ms;   /* when it last failed */
	uint64_t next_ms;     /* the next attempt is not looked at before */
	uint32_t failures;
};

struct throttle {
	size_t n_slots; /* a power of two, at least WAYS */
	struct slot *slots;
};

struct throttle *throttle_new(uint32_t slots)
{
	struct throttle *throttle = mem_alloc(1, sizeof *throttle);
	throttle->n_slots = WAYS;
	while (throttle->n_slots < slots)
		throttle->n_slots *= 2;
	throttle->slots = mem_alloc(throttle->n_slots, sizeof *throttle->slots);
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

static struct throttle_key make_key(char kind, struct str text, uint64_t delay_ms, uint64_t delay_max_ms)
{
	/* kind stands in the hash so that an account called like an address is another key */
	uint64_t hash = str_hash(text) ^ ((uint64_t)(unsigned char)kind << 56);
	return (struct throttle_key){ hash ? hash : 1, delay_ms, delay_max_ms };
}

struct throttle_key throttle_peer(struct str address, uint64_t delay_ms, uint64_t delay_max_ms)
{
	char text[ADDRESS_TEXT];
	unsigned char ipv6[16];
	if (address.n < sizeof text && str_find_byte(address, ':') >= 0) {
		memcpy(text, address.p, address.n);
		text[address.n] = '\0';
		if (inet_pton(AF_INET6, text, ipv6) == 1)
			return make_key('6', str_of((const char *)ipv6, IPV6_PREFIX), delay_ms, delay_max_ms);
	}
	return make_key('p', address, delay_ms, delay_max_ms);
}

struct throttle_key throttle_account(struct str account, uint64_t delay_ms, uint64_t delay_max_ms)
{
	return make_key('a', account, delay_ms, delay_max_ms);
}

static struct slot *neighbourhood(struct throttle *throttle, uint64_t hash)
{
	return &throttle->slots[hash & (throttle->n_slots - 1) & ~(size_t)(WAYS - 1)];
}

static struct slot *find(struct throttle *throttle, uint64_t hash)
{
	struct slot *slots = neighbourhood(throttle, hash);
	for (size_t i = 0; i < WAYS; i++)
		if (slots[i].hash == hash)
			return &slots[i];
	return NULL;
}

static uint64_t delay_of(const struct slot *slot, struct throttle_key key)
{
	if (slot->failures < THROTTLE_FREE_FAILURES)
		return 0;
	uint32_t doublings = MIN(slot->failures - THROTTLE_FREE_FAILURES, (uint32_t)DOUBLINGS_MAX);
	return MIN(key.delay_ms << doublings, key.delay_max_ms);
}

uint64_t throttle_begin(struct throttle *throttle, struct throttle_key key, uint64_t now_ms)
{
	struct slot *slot = find(throttle, key.hash);
	if (!slot)
		return 0;
	if (now_ms > slot->failed_ms + THROTTLE_FORGET_MS) {
		slot->hash = 0;
		return 0;
	}
	/* never longer than the maximum, or a flood of attempts would lock the key's owner out for hours */
	uint64_t at_ms = MIN(MAX(now_ms, slot->next_ms), now_ms + key.delay_max_ms);
	slot->next_ms = at_ms + delay_of(slot, key);
	return at_ms - now_ms;
}

void throttle_failed(struct throttle *throttle, struct throttle_key key, uint64_t now_ms)
{
	struct slot *slot = find(throttle, key.hash);
	if (!slot) {
		struct slot *slots = neighbourhood(throttle, key.hash);
		slot = slots;
		for (size_t i = 0; i < WAYS; i++) {
			if (slots[i].hash == 0) {
				slot = &slots[i];
				break;
			}
			if (slots[i].failed_ms < slot->failed_ms)
				slot = &slots[i];
		}
		*slot = (struct slot){ .hash = key.hash };
	}
	if (slot->failures < UINT32_MAX)
		slot->failures++;
	slot->failed_ms = now_ms;
	slot->next_ms = MAX(slot->next_ms, now_ms + delay_of(slot, key));
}

void throttle_succeeded(struct throttle *throttle, struct throttle_key key)
{
	struct slot *slot = find(throttle, key.hash);
	if (slot)
		slot->hash = 0;
}
