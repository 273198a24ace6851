/* Search text on disk: a record of the index, and a column, with right checksums around bytes that are not: both are
 * read or refused, and what was read of a record is printed as the same record. */
#include "base/mem.h"
#include "base/wire.h"
#include "store/text.h"

#include <stdlib.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_record(struct str body)
{
	struct buf bytes = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	struct text_block block;
	struct text_record record;
	wire_put_u32(&bytes, (uint32_t)body.n + 4);
	wire_put_u32(&bytes, (uint32_t)XXH3_64bits(body.p, body.n));
	buf_add(&bytes, body);
	struct str rest = buf_str(&bytes);
	text_block_init(&block, TEXT_FIELDS);
	if (text_record_next(&rest, &record) == 0 && text_record_messages(&record, &block) == 0) {
		struct text_record second;
		text_record_encode(&block, record.offset, record.places, record.signature, &again);
		rest = buf_str(&again);
		if (text_record_next(&rest, &second) < 0 || second.n != record.n || second.offset != record.offset || second.signature != record.signature ||
		    second.continued != record.continued || second.continues != record.continues ||
		    memcmp(second.places, record.places, sizeof second.places) != 0)
			abort();
	}
	text_block_free(&block);
	buf_free(&bytes);
	buf_free(&again);
}

static void read_column(uint32_t n, uint32_t raw, struct str packed)
{
	struct text_block block;
	struct text_place place = { (uint32_t)packed.n, raw, XXH3_64bits(packed.p, packed.n) };
	text_block_init(&block, TEXT_BODY);
	if (text_column_unpack(packed, &place, n, &block.columns[0]) == 0) {
		for (block.n = n, n = 0; n < block.n; n++) {
			uint32_t from, to;
			text_block_range(&block, 0, n, &from, &to);
			if (from > to || to > block.columns[0].text.n)
				abort();
		}
	}
	text_block_free(&block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader r = wire_reader(str_of((const char *)data, size));
	uint8_t which = wire_get_u8(&r);
	uint32_t raw = which & 1 ? wire_get_u16(&r) : 0;
	if (r.failed)
		return 0;
	struct str rest = str_of((const char *)r.p, (size_t)(r.end - r.p));
	if (which & 1)
		read_column(which >> 1, raw, rest);
	else
		read_record(rest);
	return 0;
}
