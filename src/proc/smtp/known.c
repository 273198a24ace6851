/* known.c: a table in which each address has one place; who comes there later pushes out who was there. The places
 * depend on a number drawn at the start, so that nobody can choose addresses that push out each other. Owned by the
 * role, for as long as that lives. */
#include "proc/smtp/known.h"

#include "base/mem.h"
#include "base/random.h"

#include <xxhash.h>

struct place {
	char *address; /* NULL: free */
	size_t n;
	struct resolve_target target;
};

struct known_addresses {
	uint64_t seed;
	bool used;
	struct place places[KNOWN_ADDRESSES];
};

struct known_addresses *known_addresses_new(void)
{
	struct known_addresses *known = mem_alloc(1, sizeof *known);
	known->seed = random_u64();
	return known;
}

void known_addresses_free(struct known_addresses **known)
{
	if (*known)
		known_addresses_forget(*known);
	mem_free(*known);
	*known = NULL;
}

static size_t place_of(const struct known_addresses *known, struct str address)
{
	return XXH3_64bits_withSeed(address.p, address.n, known->seed) % KNOWN_ADDRESSES;
}

void known_addresses_add(struct known_addresses *known, struct str address, const struct resolve_target *target)
{
	if (address.n > RESOLVE_ADDRESS_MAX)
		return;
	struct place *place = &known->places[place_of(known, address)];
	mem_free(place->address);
	*place = (struct place){ mem_copy(address), address.n, *target };
	known->used = true;
}

bool known_addresses_find(const struct known_addresses *known, struct str address, struct resolve_target *out)
{
	const struct place *place = &known->places[place_of(known, address)];
	if (!place->address || !str_eq(str_of(place->address, place->n), address))
		return false;
	*out = place->target;
	return true;
}

void known_addresses_forget(struct known_addresses *known)
{
	for (size_t i = 0; known->used && i < KNOWN_ADDRESSES; i++) {
		mem_free(known->places[i].address);
		known->places[i].address = NULL;
	}
	known->used = false;
}
