/* parcel_numbers.c: a hash table from number to number. Owned by its reader; only grows. */
#include "mail/parcel_numbers.h"

#include "base/mem.h"

#define SIZE_FIRST 64

struct parcel_pair {
	uint64_t there, here; /* there: 0 is free */
};

static uint32_t place_of(const struct parcel_numbers *numbers, uint64_t there)
{
	uint32_t at = (uint32_t)(there * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (numbers->size - 1);
	while (numbers->pairs[at].there != 0 && numbers->pairs[at].there != there)
		at = (at + 1) & (numbers->size - 1);
	return at;
}

void parcel_numbers_free(struct parcel_numbers *numbers)
{
	mem_free(numbers->pairs);
	*numbers = (struct parcel_numbers){ NULL, 0, 0 };
}

static void grow(struct parcel_numbers *numbers)
{
	struct parcel_numbers wide = { .size = numbers->size ? numbers->size * 2 : SIZE_FIRST, .n = numbers->n };
	wide.pairs = mem_alloc(wide.size, sizeof *wide.pairs);
	for (uint32_t i = 0; i < numbers->size; i++)
		if (numbers->pairs[i].there)
			wide.pairs[place_of(&wide, numbers->pairs[i].there)] = numbers->pairs[i];
	mem_free(numbers->pairs);
	*numbers = wide;
}

int parcel_numbers_add(struct parcel_numbers *numbers, uint64_t there, uint64_t here)
{
	if (numbers->n == PARCEL_NUMBERS_MAX)
		return ERR_LIMIT;
	if (numbers->n >= numbers->size / 2)
		grow(numbers);
	uint32_t at = place_of(numbers, there);
	if (numbers->pairs[at].there)
		return ERR_EXISTS;
	numbers->pairs[at] = (struct parcel_pair){ there, here };
	numbers->n++;
	return 0;
}

int parcel_numbers_find(const struct parcel_numbers *numbers, uint64_t there, uint64_t *here)
{
	uint32_t at = numbers->size ? place_of(numbers, there) : 0;
	if (numbers->size == 0 || numbers->pairs[at].there == 0)
		return ERR_NOT_FOUND;
	*here = numbers->pairs[at].here;
	return 0;
}
