/* Sets of numbers: what was read is in order, and printed and read again it is the same. */
#include "base/set.h"

#define BYTES_MAX (16 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct set set = SET_INIT, again = SET_INIT, less = SET_INIT;
	struct buf bytes = BUF_INIT(BYTES_MAX);
	if (set_decode(str_of((const char *)data, size), &set) == 0) {
		for (uint32_t i = 0; i < set.n; i++)
			if (set.ranges[i].first > set.ranges[i].last || (i > 0 && (uint64_t)set.ranges[i - 1].last + 1 >= set.ranges[i].first))
				abort();
		set_encode(&set, &bytes);
		if (buf_error(&bytes) < 0 || set_decode(buf_str(&bytes), &again) < 0 || set_count(&again) != set_count(&set))
			abort();
		set_difference(&set, &again, &less);
		if (less.n != 0)
			abort();
	}
	buf_free(&bytes);
	set_free(&set);
	set_free(&again);
	set_free(&less);
	return 0;
}
