/* wire.h: encoding of numbers and strings, little-endian, for messages between processes and for records on disk.
 * A reader checks every length; after the first read past the end it is failed and gives zeros, so that a decoder reads
 * like its schema and looks once at the end (wire_finish). */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include "base/buf.h"

struct wire_reader {
	const unsigned char *p, *end;
	bool failed;
};

static inline struct wire_reader wire_reader(struct str bytes)
{
	return (struct wire_reader){ (const unsigned char *)bytes.p, (const unsigned char *)bytes.p + bytes.n, false };
}

uint8_t wire_get_u8(struct wire_reader *r);
uint16_t wire_get_u16(struct wire_reader *r);
uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
uint64_t wire_get_varint(struct wire_reader *r); /* LEB128, at most 10 bytes */
bool wire_get_bool(struct wire_reader *r);       /* 0 or 1; anything else fails */
struct str wire_get_bytes(struct wire_reader *r, size_t n); /* points into the input */
struct str wire_get_str(struct wire_reader *r, size_t max); /* u32 length, then bytes; over max fails */
struct str wire_get_short(struct wire_reader *r, size_t max); /* varint length, then bytes */
void wire_get_copy(struct wire_reader *r, void *out, size_t n);

/* 0 when all reads worked and every byte was used, else ERR_CORRUPT. */
int wire_finish(const struct wire_reader *r) MUST_CHECK;

void wire_put_u8(struct buf *b, uint8_t v);
void wire_put_u16(struct buf *b, uint16_t v);
void wire_put_u32(struct buf *b, uint32_t v);
void wire_put_u64(struct buf *b, uint64_t v);
void wire_put_varint(struct buf *b, uint64_t v);
void wire_put_str(struct buf *b, struct str s);
void wire_put_short(struct buf *b, struct str s);

#endif
