/* parcel_numbers.h: which number a message of a parcel has here. */
#ifndef MAIL_PARCEL_NUMBERS_H
#define MAIL_PARCEL_NUMBERS_H

#include "base/err.h"

#define PARCEL_NUMBERS_MAX (UINT32_C(1) << 23) /* messages of one parcel that get other numbers here */

/* A table with open addressing; all zero to begin with. */
struct parcel_numbers {
	struct parcel_pair *pairs;
	uint32_t n, size; /* size: a power of two, or 0 */
};
void parcel_numbers_free(struct parcel_numbers *numbers);

/* `there` is not 0. ERR_EXISTS; ERR_LIMIT. */
int parcel_numbers_add(struct parcel_numbers *numbers, uint64_t there, uint64_t here) MUST_CHECK;
/* ERR_NOT_FOUND. */
int parcel_numbers_find(const struct parcel_numbers *numbers, uint64_t there, uint64_t *here) MUST_CHECK;

#endif
