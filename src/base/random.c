/* random.c: getrandom(2), the only source of randomness. */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

void random_bytes(void *p, size_t n)
{
	unsigned char *at = p;
	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort();
		at += got;
		n -= (size_t)got;
	}
}

uint64_t random_u64(void)
{
	uint64_t value;
	random_bytes(&value, sizeof value);
	return value;
}
