/* wire.c: the checked reader and the writer of wire.h. Pure. */
#include "base/wire.h"

#include <endian.h>

#define VARINT_MAX_BYTES 10

struct str wire_get_bytes(struct wire_reader *r, size_t n)
{
	if (r->failed || (size_t)(r->end - r->p) < n) {
		r->failed = true;
		return (struct str){ NULL, 0 };
	}
	struct str s = { (const char *)r->p, n };
	r->p += n;
	return s;
}

void wire_get_copy(struct wire_reader *r, void *out, size_t n)
{
	struct str s = wire_get_bytes(r, n);
	if (r->failed)
		memset(out, 0, n);
	else if (n)
		memcpy(out, s.p, n);
}

uint8_t wire_get_u8(struct wire_reader *r)
{
	uint8_t v;
	wire_get_copy(r, &v, sizeof v);
	return v;
}

uint16_t wire_get_u16(struct wire_reader *r)
{
	uint16_t v;
	wire_get_copy(r, &v, sizeof v);
	return le16toh(v);
}

uint32_t wire_get_u32(struct wire_reader *r)
{
	uint32_t v;
	wire_get_copy(r, &v, sizeof v);
	return le32toh(v);
}

uint64_t wire_get_u64(struct wire_reader *r)
{
	uint64_t v;
	wire_get_copy(r, &v, sizeof v);
	return le64toh(v);
}

uint64_t wire_get_varint(struct wire_reader *r)
{
	uint64_t value = 0;
	for (int i = 0; i < VARINT_MAX_BYTES; i++) {
		uint8_t byte = wire_get_u8(r);
		if (i == VARINT_MAX_BYTES - 1 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80))
			return value;
	}
	r->failed = true;
	return 0;
}

bool wire_get_bool(struct wire_reader *r)
{
	uint8_t v = wire_get_u8(r);
	if (v > 1)
		r->failed = true;
	return v == 1;
}

static struct str get_counted(struct wire_reader *r, uint64_t n, size_t max)
{
	if (n > max)
		r->failed = true;
	return r->failed ? (struct str){ NULL, 0 } : wire_get_bytes(r, (size_t)n);
}

struct str wire_get_str(struct wire_reader *r, size_t max)
{
	return get_counted(r, wire_get_u32(r), max);
}

struct str wire_get_short(struct wire_reader *r, size_t max)
{
	return get_counted(r, wire_get_varint(r), max);
}

int wire_finish(const struct wire_reader *r)
{
	return r->failed || r->p != r->end ? ERR_CORRUPT : 0;
}

void wire_put_u8(struct buf *b, uint8_t v)
{
	buf_add(b, str_of((const char *)&v, sizeof v));
}

void wire_put_u16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	buf_add(b, str_of((const char *)&v, sizeof v));
}

void wire_put_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_add(b, str_of((const char *)&v, sizeof v));
}

void wire_put_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_add(b, str_of((const char *)&v, sizeof v));
}

void wire_put_varint(struct buf *b, uint64_t v)
{
	while (v >= 0x80) {
		wire_put_u8(b, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	wire_put_u8(b, (uint8_t)v);
}

void wire_put_str(struct buf *b, struct str s)
{
	if (s.n > UINT32_MAX)
		b->failed = true;
	wire_put_u32(b, (uint32_t)s.n);
	buf_add(b, s);
}

void wire_put_short(struct buf *b, struct str s)
{
	wire_put_varint(b, s.n);
	buf_add(b, s);
}
