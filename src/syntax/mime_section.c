/* mime_section.c: the stored form of the part tree, and finding BODY[section] in it (RFC 3501, 6.4.5).
 *
 *     u8 version, varint message size, varint number of parts, then for each part in pre-order:
 *     u8 kind + 4 * encoding, varint depth, varint header start, varint header length, varint body length, varint lines
 *
 * A child is what follows one level deeper. Reading goes forward only and allocates nothing; every range is checked
 * against the message's size, because the bytes come from disk. */
#include "syntax/mime.h"

#include "base/checked.h"
#include "base/wire.h"

#define PARTS_VERSION 1

void mime_encode_parts(const struct mime_message *message, struct buf *out)
{
	wire_put_u8(out, PARTS_VERSION);
	wire_put_varint(out, message->size);
	wire_put_varint(out, message->n_parts);
	for (uint32_t i = 0; i < message->n_parts; i++) {
		const struct mime_part *part = &message->parts[i];
		wire_put_u8(out, (uint8_t)(part->kind + 4 * part->encoding));
		wire_put_varint(out, part->depth);
		wire_put_varint(out, part->header_start);
		wire_put_varint(out, part->body_start - part->header_start);
		wire_put_varint(out, part->body_end - part->body_start);
		wire_put_varint(out, part->lines);
	}
}

struct entry {
	enum mime_kind kind;
	uint64_t depth, header_start, body_start, body_end;
};

struct entries {
	struct wire_reader reader;
	uint64_t size, left;
	struct entry now; /* the last one read */
};

/* Reads the next entry into `now`: ERR_NOT_FOUND behind the last one, ERR_CORRUPT. */
static int next_entry(struct entries *s)
{
	if (s->left == 0)
		return ERR_NOT_FOUND;
	s->left--;
	uint8_t kind = wire_get_u8(&s->reader) & 3;
	struct entry e = { .kind = kind, .depth = wire_get_varint(&s->reader) };
	e.header_start = wire_get_varint(&s->reader);
	uint64_t header_length = wire_get_varint(&s->reader), body_length = wire_get_varint(&s->reader);
	wire_get_varint(&s->reader); /* lines */
	if (s->reader.failed || kind > MIME_MESSAGE || !checked_add(e.header_start, header_length, &e.body_start) ||
	    !checked_add(e.body_start, body_length, &e.body_end) || e.body_end > s->size)
		return ERR_CORRUPT;
	s->now = e;
	return 0;
}

static int open_entries(struct str encoded, struct entries *s)
{
	*s = (struct entries){ .reader = wire_reader(encoded) };
	if (wire_get_u8(&s->reader) != PARTS_VERSION)
		return ERR_CORRUPT;
	s->size = wire_get_varint(&s->reader);
	s->left = wire_get_varint(&s->reader);
	int err = next_entry(s);
	if (err == 0 && s->now.depth != 0)
		err = ERR_CORRUPT;
	return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
}

/* Goes to the n-th child (from 1) of the entry read last. */
static int go_to_child(struct entries *s, uint32_t n)
{
	uint64_t depth = s->now.depth + 1;
	while (n > 0) {
		int err = next_entry(s);
		if (err != 0)
			return err;
		if (s->now.depth < depth)
			return ERR_NOT_FOUND;
		n -= s->now.depth == depth;
	}
	return 0;
}

/* One step of a path. `at_root`: the entry is the root of a message; its part 1 is itself unless it is a multipart. */
static int go_to_part(struct entries *s, uint32_t number, bool at_root)
{
	int err = 0;
	if (number == 0)
		return ERR_NOT_FOUND;
	if (!at_root && s->now.kind == MIME_MESSAGE) {
		err = go_to_child(s, 1);
		at_root = true;
	}
	if (err != 0)
		return err;
	if (s->now.kind == MIME_MULTIPART)
		return go_to_child(s, number);
	return at_root && number == 1 ? 0 : ERR_NOT_FOUND;
}

int mime_parts_find(struct str encoded, const uint32_t *path, size_t n, enum mime_section want, struct mime_range *out)
{
	struct entries s;
	int err = n == 0 && want == MIME_SECTION_MIME ? ERR_NOT_FOUND : open_entries(encoded, &s);
	for (size_t i = 0; err == 0 && i < n; i++)
		err = go_to_part(&s, path[i], i == 0);
	if (err == 0 && n > 0 && (want == MIME_SECTION_HEADER || want == MIME_SECTION_TEXT))
		err = s.now.kind == MIME_MESSAGE ? go_to_child(&s, 1) : ERR_NOT_FOUND;
	if (err != 0)
		return err;
	struct mime_range header = { s.now.header_start, s.now.body_start - s.now.header_start };
	struct mime_range body = { s.now.body_start, s.now.body_end - s.now.body_start };
	switch (want) {
	case MIME_SECTION_WHOLE: *out = n > 0 ? body : (struct mime_range){ 0, s.size }; break;
	case MIME_SECTION_TEXT: *out = body; break;
	case MIME_SECTION_HEADER:
	case MIME_SECTION_MIME: *out = header; break;
	}
	return 0;
}

int mime_parts_header(struct str encoded, uint64_t from, struct mime_range *out)
{
	struct entries s;
	int err = open_entries(encoded, &s);
	while (err == 0 && s.now.body_start <= MAX(from, s.now.header_start)) /* it is over, or there is none */
		err = next_entry(&s);
	if (err != 0)
		return err;
	uint64_t start = MAX(s.now.header_start, from);
	*out = (struct mime_range){ start, s.now.body_start - start };
	return 0;
}
