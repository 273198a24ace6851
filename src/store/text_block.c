/* text_block.c: a block of search text in memory, and its form on disk. Buffers belong to their block. What is read
 * from disk is checked as if somebody else had written it: every length, every order; then it cannot do worse than not
 * be found.
 *
 * A record of the index: length u32 of what follows, checksum u32 (XXH3) of what follows it; kind u8, flags u8, offset
 * u64, n varint; n times (varint: number less the one before, varint: size); for each column packed u32, raw u32, checksum
 * u64; where it has a signature, its checksum u64. A column: the text, then the ends, LZ4 together. Little-endian. */
#include "store/text.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/wire.h"

#include <lz4.h>
#include <xxhash.h>

#define MESSAGES_MAX (TEXT_BLOCK_MESSAGES * sizeof(struct text_message))
#define RECORD_MAX   (TEXT_BLOCK_MESSAGES * 20 + 256)
#define COLUMN_MAX   (TEXT_BLOCK_MAX + TEXT_BLOCK_MESSAGES * sizeof(uint32_t))
#define PACKED_MAX   LZ4_COMPRESSBOUND(COLUMN_MAX)

enum { FLAG_CONTINUED = 1, FLAG_CONTINUES = 2 };

uint32_t text_columns(enum text_kind kind)
{
	return kind == TEXT_FIELDS ? TEXT_COLUMNS_MAX : 1;
}

bool text_has_signature(enum text_kind kind)
{
	return kind != TEXT_FIELDS;
}

/* One of TEXT_SIGNATURE_BYTES * 8 bits. */
static uint32_t bit_of(const char *p)
{
	uint32_t gram = (uint32_t)(unsigned char)p[0] | (uint32_t)(unsigned char)p[1] << 8 | (uint32_t)(unsigned char)p[2] << 16;
	return (gram * 0x9E3779B1u) >> 16;
}

void text_signature_make(struct str text, unsigned char signature[TEXT_SIGNATURE_BYTES])
{
	memset(signature, 0, TEXT_SIGNATURE_BYTES);
	for (size_t i = 0; i + TEXT_SIGNATURE_GRAM <= text.n; i++) {
		uint32_t bit = bit_of(text.p + i);
		signature[bit / 8] |= (unsigned char)(1u << bit % 8);
	}
}

bool text_signature_may_have(const unsigned char signature[TEXT_SIGNATURE_BYTES], struct str needle)
{
	for (size_t i = 0; i + TEXT_SIGNATURE_GRAM <= needle.n; i++) {
		uint32_t bit = bit_of(needle.p + i);
		if (!(signature[bit / 8] >> bit % 8 & 1))
			return false;
	}
	return true;
}

uint64_t text_record_bytes(const struct text_record *record)
{
	uint64_t n = text_has_signature(record->kind) ? TEXT_SIGNATURE_BYTES : 0;
	for (uint32_t i = 0; i < text_columns(record->kind); i++)
		n += record->places[i].packed;
	return n;
}

/* The end tells blocks of two makings of one message apart: only the same writer puts one exactly behind the other. */
bool text_chain_next(struct text_chain *chain, const struct text_record *record, const struct text_block *block)
{
	bool goes_on = record->continued && chain->open && chain->end == record->offset &&
	               chain->number == text_block_message(block, 0)->number;
	bool begins = block->n > 1 || !record->continued;
	*chain = (struct text_chain){ .open = record->continues && (begins || goes_on),
		                      .number = text_block_message(block, block->n - 1)->number,
		                      .end = record->offset + text_record_bytes(record) };
	return goes_on;
}

void text_block_init(struct text_block *block, enum text_kind kind)
{
	*block = (struct text_block){ .kind = kind, .messages = BUF_INIT(MESSAGES_MAX) };
	for (uint32_t i = 0; i < TEXT_COLUMNS_MAX; i++) {
		block->columns[i].ends = BUF_INIT(TEXT_BLOCK_MESSAGES * sizeof(uint32_t));
		block->columns[i].text = BUF_INIT(TEXT_BLOCK_MAX);
	}
}

void text_block_clear(struct text_block *block)
{
	block->n = 0;
	block->continued = block->continues = false;
	buf_clear(&block->messages);
	for (uint32_t i = 0; i < TEXT_COLUMNS_MAX; i++) {
		buf_clear(&block->columns[i].ends);
		buf_clear(&block->columns[i].text);
	}
}

void text_block_free(struct text_block *block)
{
	buf_free(&block->messages);
	for (uint32_t i = 0; i < TEXT_COLUMNS_MAX; i++) {
		buf_free(&block->columns[i].ends);
		buf_free(&block->columns[i].text);
	}
}

const struct text_message *text_block_message(const struct text_block *block, uint32_t i)
{
	return (const void *)(block->messages.p + i * sizeof(struct text_message));
}

static uint32_t end_of(const struct text_column *column, uint32_t i)
{
	uint32_t end;
	memcpy(&end, column->ends.p + i * sizeof end, sizeof end);
	return end;
}

void text_block_range(const struct text_block *block, uint32_t column, uint32_t i, uint32_t *from, uint32_t *to)
{
	*from = i ? end_of(&block->columns[column], i - 1) : 0;
	*to = end_of(&block->columns[column], i);
}

void text_block_end_message(struct text_block *block, uint64_t number, uint64_t size)
{
	struct text_message message = { number, size };
	buf_add(&block->messages, str_of((const char *)&message, sizeof message));
	for (uint32_t i = 0; i < text_columns(block->kind); i++) {
		uint32_t end = (uint32_t)block->columns[i].text.n;
		buf_add(&block->columns[i].ends, str_of((const char *)&end, sizeof end));
	}
	block->n++;
}

bool text_block_is_full(const struct text_block *block)
{
	size_t n = 0;
	for (uint32_t i = 0; i < text_columns(block->kind); i++)
		n += block->columns[i].text.n;
	return n >= TEXT_BLOCK_BYTES || block->n >= TEXT_BLOCK_MESSAGES;
}

/* --- writing --- */

int text_column_pack(const struct text_column *column, struct text_place *place, struct buf *out)
{
	struct buf raw = BUF_INIT(COLUMN_MAX);
	buf_add(&raw, buf_str(&column->text));
	buf_add(&raw, buf_str(&column->ends));
	int result = buf_error(&raw), packed = 0, room = LZ4_compressBound((int)raw.n);
	char *to = result == 0 ? buf_reserve(out, (size_t)room) : NULL;
	if (to)
		packed = LZ4_compress_default(raw.p, to, (int)raw.n, room);
	if (packed > 0) {
		*place = (struct text_place){ (uint32_t)packed, (uint32_t)raw.n, XXH3_64bits(to, (size_t)packed) };
		buf_commit(out, (size_t)packed);
	}
	buf_free(&raw);
	return packed > 0 ? 0 : ERR_LIMIT;
}

void text_record_encode(const struct text_block *block, uint64_t offset, const struct text_place *places,
                        uint64_t signature, struct buf *out)
{
	struct buf record = BUF_INIT(RECORD_MAX);
	uint64_t before = 0;
	wire_put_u8(&record, (uint8_t)block->kind);
	wire_put_u8(&record, (uint8_t)((block->continued ? FLAG_CONTINUED : 0) | (block->continues ? FLAG_CONTINUES : 0)));
	wire_put_u64(&record, offset);
	wire_put_varint(&record, block->n);
	for (uint32_t i = 0; i < block->n; i++) {
		const struct text_message *message = text_block_message(block, i);
		wire_put_varint(&record, message->number - before);
		wire_put_varint(&record, message->size);
		before = message->number;
	}
	for (uint32_t i = 0; i < text_columns(block->kind); i++) {
		wire_put_u32(&record, places[i].packed);
		wire_put_u32(&record, places[i].raw);
		wire_put_u64(&record, places[i].checksum);
	}
	if (text_has_signature(block->kind))
		wire_put_u64(&record, signature);
	wire_put_u32(out, (uint32_t)record.n + (uint32_t)sizeof(uint32_t));
	wire_put_u32(out, (uint32_t)XXH3_64bits(record.p, record.n));
	buf_add(out, buf_str(&record));
	buf_free(&record);
}

/* --- reading --- */

/* What only hostile hands or chance write: places that no file has, other texts than bodies that go on. */
static bool is_likely(const struct text_record *record)
{
	for (uint32_t i = 0; i < text_columns(record->kind); i++)
		if (record->places[i].packed > PACKED_MAX)
			return false;
	return record->offset <= INT64_MAX - text_record_bytes(record) &&
	       (record->kind == TEXT_BODY || !(record->continued || record->continues));
}

int text_record_next(struct str *rest, struct text_record *out)
{
	struct wire_reader r = wire_reader(*rest);
	if (rest->n == 0)
		return ERR_NOT_FOUND;
	uint32_t length = wire_get_u32(&r), checksum = wire_get_u32(&r);
	if (r.failed || length < sizeof checksum || length > RECORD_MAX)
		return ERR_CORRUPT;
	struct str body = wire_get_bytes(&r, length - sizeof checksum);
	if (r.failed || (uint32_t)XXH3_64bits(body.p, body.n) != checksum)
		return ERR_CORRUPT;
	struct wire_reader b = wire_reader(body);
	uint8_t kind = wire_get_u8(&b), flags = wire_get_u8(&b);
	struct text_record record = { .offset = wire_get_u64(&b), .whole = str_first(*rest, sizeof length + length) };
	uint64_t n = wire_get_varint(&b);
	if (b.failed || kind >= TEXT_KINDS || n == 0 || n > TEXT_BLOCK_MESSAGES)
		return ERR_CORRUPT;
	record.kind = (enum text_kind)kind;
	size_t tail = text_columns(record.kind) * 16 + (text_has_signature(record.kind) ? 8 : 0);
	if ((size_t)(b.end - b.p) < tail)
		return ERR_CORRUPT;
	record.messages = wire_get_bytes(&b, (size_t)(b.end - b.p) - tail);
	for (uint32_t i = 0; i < text_columns(record.kind); i++)
		record.places[i] = (struct text_place){ wire_get_u32(&b), wire_get_u32(&b), wire_get_u64(&b) };
	if (text_has_signature(record.kind))
		record.signature = wire_get_u64(&b);
	if (wire_finish(&b) < 0)
		return ERR_CORRUPT;
	record.n = (uint32_t)n;
	record.continued = flags & FLAG_CONTINUED;
	record.continues = flags & FLAG_CONTINUES;
	if (!is_likely(&record))
		return ERR_CORRUPT;
	*out = record;
	*rest = str_from(*rest, record.whole.n);
	return 0;
}

int text_record_messages(const struct text_record *record, struct text_block *block)
{
	struct wire_reader r = wire_reader(record->messages);
	uint64_t number = 0;
	text_block_clear(block);
	for (uint32_t i = 0; i < record->n && !r.failed; i++) {
		uint64_t step = wire_get_varint(&r), size = wire_get_varint(&r);
		struct text_message message = { 0, size };
		if ((i > 0 && step == 0) || !checked_add(number, step, &message.number))
			return ERR_CORRUPT;
		number = message.number;
		buf_add(&block->messages, str_of((const char *)&message, sizeof message));
	}
	if (wire_finish(&r) < 0 || buf_error(&block->messages) < 0)
		return ERR_CORRUPT;
	block->kind = record->kind;
	block->n = record->n;
	block->continued = record->continued;
	block->continues = record->continues;
	return 0;
}

int text_column_unpack(struct str packed, const struct text_place *place, uint32_t n, struct text_column *column)
{
	size_t ends = n * sizeof(uint32_t), raw = place->raw;
	uint32_t before = 0;
	if (packed.n != place->packed || XXH3_64bits(packed.p, packed.n) != place->checksum || raw < ends || raw > COLUMN_MAX ||
	    packed.n > INT32_MAX)
		return ERR_CORRUPT;
	column->text.max = COLUMN_MAX;
	buf_clear(&column->text);
	buf_clear(&column->ends);
	char *to = buf_reserve(&column->text, raw);
	if (!to || LZ4_decompress_safe(packed.p, to, (int)packed.n, (int)raw) != (int)raw)
		return ERR_CORRUPT;
	buf_add(&column->ends, str_of(to + raw - ends, ends));
	if (buf_error(&column->ends) < 0)
		return ERR_CORRUPT;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t end = end_of(column, i);
		if (end < before || end > raw - ends)
			return ERR_CORRUPT;
		before = end;
	}
	if (before != raw - ends)
		return ERR_CORRUPT;
	buf_commit(&column->text, raw - ends);
	return 0;
}
