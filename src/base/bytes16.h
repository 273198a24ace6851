/* bytes16.h: sixteen bytes at a time, for passes over whole messages: the compiler makes vector instructions of it. */
#ifndef BASE_BYTES16_H
#define BASE_BYTES16_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef unsigned char bytes16 __attribute__((vector_size(16)));

static inline bytes16 load16(const char *p)
{
	bytes16 v;
	memcpy(&v, p, sizeof v);
	return v;
}

/* Is any of them not zero? */
static inline bool any16(bytes16 v)
{
	uint64_t halves[2];
	memcpy(halves, &v, sizeof halves);
	return (halves[0] | halves[1]) != 0;
}

#endif
