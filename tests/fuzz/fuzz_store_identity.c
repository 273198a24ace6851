/* The file "store", which says what the folder is: damage is an error, and what is good is complete. */
#include "base/mem.h"
#include "proc/store_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_identity identity = { .shards = 0 };
	int err = store_identity_parse(str_of((const char *)data, size), &identity);
	if ((err == 0) != (identity.shards > 0))
		abort();
	return 0;
}
