/* The directory's addresses: folding what is folded changes nothing, and the parts make the whole. */
#include "auth/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct folded_address once, twice;
	if (address_read(str_of((const char *)data, size), &once) < 0)
		return 0;
	if (once.local.n + (once.domain.n ? 1 + once.domain.n : 0) != once.whole.n)
		abort();
	int err = address_read(once.whole, &twice);
	if (err || !str_eq(once.whole, twice.whole) || !str_eq(once.domain, twice.domain))
		abort();
	return 0;
}
