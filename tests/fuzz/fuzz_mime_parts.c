/* The part table of a message's row, as it may stand in a damaged database: a section that is found lies within the size
 * that the table gives. The first bytes are the path. */
#include "base/wire.h"
#include "syntax/mime.h"

#define PATH_MAX_PARTS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t path[PATH_MAX_PARTS];
	if (size < PATH_MAX_PARTS + 1)
		return 0;
	size_t n = data[0] % (PATH_MAX_PARTS + 1);
	for (size_t i = 0; i < PATH_MAX_PARTS; i++)
		path[i] = data[i + 1] % 8;
	struct str encoded = str_of((const char *)data + PATH_MAX_PARTS + 1, size - PATH_MAX_PARTS - 1);
	struct wire_reader r = wire_reader(encoded);
	(void)wire_get_u8(&r);
	uint64_t whole = wire_get_varint(&r);
	for (enum mime_section want = MIME_SECTION_WHOLE; want <= MIME_SECTION_MIME; want++) {
		struct mime_range range;
		if (mime_parts_find(encoded, path, n, want, &range) == 0 &&
		    (range.offset > whole || range.n > whole - range.offset))
			abort();
	}
	struct mime_range header = { 0, 0 };
	for (uint64_t at = 0; mime_parts_header(encoded, at, &header) == 0; at = header.offset + header.n)
		if (header.offset < at || header.n == 0 || header.offset > whole || header.n > whole - header.offset)
			abort();
	return 0;
}
