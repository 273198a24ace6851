/* address_count.c: a table of chains, as large as the maximum of connections asks for. Owned by the role. The hash
 * has a random seed, so nobody can aim at one chain. */
#include "proc/address_count.h"

#include "base/mem.h"

#include <arpa/inet.h>

#define KEY_SIZE     16
#define NETWORK_SIZE 8 /* bytes of a /64 */
#define BUCKETS_MIN  64

struct entry {
	struct entry *next;
	unsigned char key[KEY_SIZE];
	uint32_t connections;
};

struct address_count {
	struct entry **buckets;
	uint32_t n_buckets; /* a power of two */
	uint32_t connections, max;
};

struct address_count *address_count_new(uint32_t max)
{
	struct address_count *counts = mem_alloc(1, sizeof *counts);
	counts->max = max;
	counts->n_buckets = BUCKETS_MIN;
	while (counts->n_buckets < max && counts->n_buckets < UINT32_C(1) << 20)
		counts->n_buckets *= 2;
	counts->buckets = mem_alloc(counts->n_buckets, sizeof *counts->buckets);
	return counts;
}

void address_count_free(struct address_count **counts)
{
	struct address_count *c = *counts;
	*counts = NULL;
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n_buckets; i++) {
		while (c->buckets[i]) {
			struct entry *next = c->buckets[i]->next;
			mem_free(c->buckets[i]);
			c->buckets[i] = next;
		}
	}
	mem_free(c->buckets);
	mem_free(c);
}

/* IPv4 addresses are told from networks of IPv6 by their last bytes; all else ("unix") is one client. */
static void make_key(const char *address, unsigned char key[KEY_SIZE])
{
	memset(key, 0, KEY_SIZE);
	if (inet_pton(AF_INET6, address, key) == 1)
		memset(key + NETWORK_SIZE, 0, KEY_SIZE - NETWORK_SIZE);
	else if (inet_pton(AF_INET, address, key) == 1)
		memset(key + KEY_SIZE - 4, 0xff, 4);
}

/* The place that points to the address's entry, or to the NULL where it would be. */
static struct entry **find(struct address_count *counts, const unsigned char key[KEY_SIZE])
{
	uint64_t hash = str_hash(str_of((const char *)key, KEY_SIZE));
	struct entry **at = &counts->buckets[hash & (counts->n_buckets - 1)];
	while (*at && memcmp((*at)->key, key, KEY_SIZE) != 0)
		at = &(*at)->next;
	return at;
}

bool address_count_take(struct address_count *counts, const char *address, uint32_t limit)
{
	unsigned char key[KEY_SIZE];
	make_key(address, key);
	struct entry **at = find(counts, key);
	if (counts->connections >= counts->max || (*at ? (*at)->connections : 0) >= limit)
		return false;
	if (!*at) {
		*at = mem_alloc(1, sizeof **at);
		memcpy((*at)->key, key, KEY_SIZE);
	}
	(*at)->connections++;
	counts->connections++;
	return true;
}

void address_count_give(struct address_count *counts, const char *address)
{
	unsigned char key[KEY_SIZE];
	make_key(address, key);
	struct entry **at = find(counts, key), *entry = *at;
	if (!entry)
		return;
	counts->connections--;
	if (--entry->connections > 0)
		return;
	*at = entry->next;
	mem_free(entry);
}
