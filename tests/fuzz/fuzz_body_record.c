/* Headers of body records: damage is an error; what is read lies within the bytes. As random bytes never have the
 * right checksum, they are tried a second time with magic, size and checksum set right. */
#include "base/mem.h"
#include "db/bodylog.h"

#include <xxhash.h>

#define MAGIC "MSB1"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_one(struct str bytes)
{
	struct body_record record;
	int n = body_record_decode(bytes, &record);
	if (n < 0)
		return;
	if ((size_t)n > bytes.n || (size_t)n > BODYLOG_HEADER_MAX || record.mailbox.p < bytes.p || record.mailbox.p + record.mailbox.n > bytes.p + n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_of((const char *)data, size);
	try_one(bytes);
	if (size < 16 || size > BODYLOG_HEADER_MAX)
		return 0;
	char *made = mem_copy(bytes);
	memcpy(made, MAGIC, 4);
	made[4] = (char)(size & 0xff);
	made[5] = (char)(size >> 8);
	uint32_t sum = (uint32_t)XXH3_64bits(made, size - sizeof sum);
	memcpy(made + size - sizeof sum, &sum, sizeof sum);
	try_one(str_of(made, size));
	mem_free(made);
	return 0;
}
