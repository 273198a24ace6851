/* cache.c: a table of MACs, looked up by the MAC itself, in neighbourhoods of four. Owned by the process auth; lost
 * with it. */
#include "auth/cache.h"

#include "auth/password.h"
#include "base/checked.h"
#include "base/mac.h"
#include "base/mem.h"
#include "base/random.h"

#define KEY_SIZE 32
#define WAYS     4

struct entry {
	unsigned char mac[MAC_SIZE];
	uint64_t expires_ms; /* 0: unused */
};

struct auth_cache {
	struct mac *key; /* random */
	uint64_t lifetime_ms;
	size_t n_entries; /* a power of two, at least WAYS */
	struct entry *entries;
};

struct auth_cache *auth_cache_new(uint32_t entries, uint64_t lifetime_ms)
{
	struct auth_cache *cache = mem_alloc(1, sizeof *cache);
	char key[KEY_SIZE];
	random_bytes(key, sizeof key);
	cache->key = mac_new(str_of(key, sizeof key));
	mem_wipe(key, sizeof key);
	cache->lifetime_ms = lifetime_ms;
	cache->n_entries = WAYS;
	while (cache->n_entries < entries)
		cache->n_entries *= 2;
	cache->entries = mem_alloc(cache->n_entries, sizeof *cache->entries);
	return cache;
}

void auth_cache_set_lifetime(struct auth_cache *cache, uint64_t lifetime_ms)
{
	cache->lifetime_ms = lifetime_ms;
	if (lifetime_ms == 0)
		mem_wipe(cache->entries, cache->n_entries * sizeof *cache->entries);
}

void auth_cache_free(struct auth_cache **cache)
{
	if (!*cache)
		return;
	mac_free(&(*cache)->key);
	mem_free((*cache)->entries);
	mem_free(*cache);
	*cache = NULL;
}

/* The length of the stored hash stands in front, so that no other pair of hash and password gives the same bytes. */
static bool make_mac(const struct auth_cache *cache, const struct directory_account *account, struct str password,
		     unsigned char mac[MAC_SIZE])
{
	unsigned char message[ACCOUNT_ID_SIZE + 2 + DIRECTORY_PASSWORD_MAX + PASSWORD_MAX];
	if (password.n == 0 || password.n > PASSWORD_MAX)
		return false;
	size_t n = 0;
	memcpy(message, account->id.bytes, ACCOUNT_ID_SIZE);
	n += ACCOUNT_ID_SIZE;
	message[n++] = (unsigned char)(account->password_n >> 8);
	message[n++] = (unsigned char)account->password_n;
	memcpy(message + n, account->password, account->password_n);
	n += account->password_n;
	memcpy(message + n, password.p, password.n);
	n += password.n;
	mac_of(cache->key, str_of((const char *)message, n), mac);
	mem_wipe(message, sizeof message);
	return true;
}

static struct entry *neighbourhood(const struct auth_cache *cache, const unsigned char mac[MAC_SIZE])
{
	uint64_t place;
	memcpy(&place, mac, sizeof place);
	return &cache->entries[place & (cache->n_entries - 1) & ~(size_t)(WAYS - 1)];
}

bool auth_cache_has(const struct auth_cache *cache, const struct directory_account *account, struct str password,
		    uint64_t now_ms)
{
	unsigned char mac[MAC_SIZE];
	if (cache->lifetime_ms == 0 || !make_mac(cache, account, password, mac))
		return false;
	const struct entry *entries = neighbourhood(cache, mac);
	bool found = false;
	for (size_t i = 0; i < WAYS; i++)
		found |= entries[i].expires_ms > now_ms && mem_equal_secret(entries[i].mac, mac, MAC_SIZE);
	return found;
}

void auth_cache_add(struct auth_cache *cache, const struct directory_account *account, struct str password,
		    uint64_t now_ms)
{
	unsigned char mac[MAC_SIZE];
	if (cache->lifetime_ms == 0 || !make_mac(cache, account, password, mac))
		return;
	struct entry *entries = neighbourhood(cache, mac), *oldest = entries;
	for (size_t i = 0; i < WAYS; i++) {
		if (mem_equal_secret(entries[i].mac, mac, MAC_SIZE)) {
			oldest = &entries[i];
			break;
		}
		if (entries[i].expires_ms < oldest->expires_ms)
			oldest = &entries[i];
	}
	memcpy(oldest->mac, mac, MAC_SIZE);
	oldest->expires_ms = now_ms + cache->lifetime_ms;
}
