/* handed.c: a table of chains by session id, which is random. Owned by the role. */
#include "proc/access/handed.h"

#include "base/mem.h"

#define BUCKETS_MIN 64
#define BUCKETS_MAX (UINT32_C(1) << 20)

struct session {
	struct session *next;
	uint64_t id;
	uint32_t shard;
	char address[sizeof((struct peer_address *)0)->text];
};

struct handed {
	struct address_count *counts;
	struct session **buckets;
	uint32_t n_buckets; /* a power of two */
	uint32_t n;
};

struct handed *handed_new(uint32_t max, struct address_count *counts)
{
	struct handed *handed = mem_alloc(1, sizeof *handed);
	handed->counts = counts;
	handed->n_buckets = BUCKETS_MIN;
	while (handed->n_buckets < max && handed->n_buckets < BUCKETS_MAX)
		handed->n_buckets *= 2;
	handed->buckets = mem_alloc(handed->n_buckets, sizeof *handed->buckets);
	return handed;
}

void handed_free(struct handed **handed)
{
	struct handed *h = *handed;
	*handed = NULL;
	if (!h)
		return;
	for (uint32_t i = 0; i < h->n_buckets; i++) {
		while (h->buckets[i]) {
			struct session *next = h->buckets[i]->next;
			mem_free(h->buckets[i]);
			h->buckets[i] = next;
		}
	}
	mem_free(h->buckets);
	mem_free(h);
}

uint32_t handed_count(const struct handed *handed)
{
	return handed->n;
}

void handed_add(struct handed *handed, uint64_t session, uint32_t shard, const char *address)
{
	struct session **bucket = &handed->buckets[session & (handed->n_buckets - 1)];
	struct session *s = mem_alloc(1, sizeof *s);
	s->id = session;
	s->shard = shard;
	snprintf(s->address, sizeof s->address, "%s", address);
	s->next = *bucket;
	*bucket = s;
	handed->n++;
}

static void end(struct handed *handed, struct session **at)
{
	struct session *s = *at;
	address_count_give(handed->counts, s->address);
	*at = s->next;
	handed->n--;
	mem_free(s);
}

bool handed_end(struct handed *handed, uint64_t session, uint32_t shard)
{
	struct session **at = &handed->buckets[session & (handed->n_buckets - 1)];
	while (*at && ((*at)->id != session || (*at)->shard != shard))
		at = &(*at)->next;
	if (!*at)
		return false;
	end(handed, at);
	return true;
}

void handed_lost(struct handed *handed, uint32_t shard)
{
	for (uint32_t i = 0; i < handed->n_buckets; i++) {
		for (struct session **at = &handed->buckets[i]; *at;) {
			if ((*at)->shard == shard)
				end(handed, at);
			else
				at = &(*at)->next;
		}
	}
}
