/* fuzz_mime.c: a message in one piece and in chunks gives the same; ranges lie inside each other; what is printed is
 * IMAP grammar and not very much more than the message, and so it is of the message as one part; the stored table finds the bodies that the tree has; header tools take any block. The first byte
 * chooses the limits and the size of the chunks. */
#include "base/checked.h"
#include "base/wire.h"
#include "syntax/header.h"
#include "syntax/mime.h"

#define OUT_MAX (16 << 20)

/* What is printed of a message, all forms together. */
#define PRINTED_BASE     16384
#define PRINTED_PER_BYTE 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* Reads one value of the grammar that ENVELOPE and BODYSTRUCTURE are made of; the depth is that of the printer. */
static void skip_value(struct str *rest)
{
	must(rest->n > 0);
	char first = rest->p[0];
	*rest = str_from(*rest, 1);
	if (first == '(') {
		must(rest->n > 0 && rest->p[0] != ')');
		while (rest->p[0] != ')') {
			skip_value(rest);
			must(rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == ')' || rest->p[0] == '('));
			if (rest->p[0] == ' ')
				*rest = str_from(*rest, 1);
		}
		*rest = str_from(*rest, 1);
	} else if (first == '"') {
		while (rest->n > 0 && rest->p[0] != '"') {
			must((rest->p[0] & 0x80) == 0 && rest->p[0] != '\0' && rest->p[0] != '\r' && rest->p[0] != '\n');
			*rest = str_from(*rest, rest->p[0] == '\\' ? 2 : 1);
		}
		must(rest->n > 0);
		*rest = str_from(*rest, 1);
	} else if (first == '{') {
		uint64_t n;
		must(str_to_u64(str_cut(rest, '}'), OUT_MAX, &n) == 0 && str_starts(*rest, STR("\r\n")) && rest->n >= n + 2);
		must(str_find_byte(str_first(str_from(*rest, 2), (size_t)n), '\0') < 0);
		*rest = str_from(*rest, (size_t)n + 2);
	} else if (first == 'N') {
		must(str_starts(*rest, STR("IL")));
		*rest = str_from(*rest, 2);
	} else {
		must(ascii_is_digit(first));
		while (rest->n > 0 && ascii_is_digit(rest->p[0]))
			*rest = str_from(*rest, 1);
	}
}

static void must_be_value(struct str text)
{
	skip_value(&text);
	must(text.n == 0);
}

static void check_ranges(const struct mime_message *m)
{
	for (uint32_t i = 0; i < m->n_parts; i++) {
		const struct mime_part *part = &m->parts[i];
		must(part->header_start <= part->body_start && part->body_start <= part->body_end && part->body_end <= m->size);
		must((part->kind == MIME_LEAF) == (part->first_child == MIME_NONE));
		must(part->type.n > 0 && part->subtype.n > 0);
		if (part->parent == MIME_NONE)
			continue;
		const struct mime_part *parent = &m->parts[part->parent];
		must(part->parent < i && part->depth == parent->depth + 1);
		must(part->header_start >= parent->body_start && part->body_end <= parent->body_end);
	}
}

/* Walks the first parts down by number: section and tree agree. */
static void check_sections(const struct mime_message *m, struct str encoded)
{
	uint32_t path[64], n = 0, at = 0;
	bool at_root = true;
	while (n < 64) {
		const struct mime_part *part = &m->parts[at];
		struct mime_range range;
		if (!at_root && part->kind == MIME_MESSAGE) {
			at = part->first_child;
			part = &m->parts[at];
			at_root = true;
		}
		if (part->kind == MIME_MULTIPART)
			at = part->first_child;
		else if (!at_root)
			break;
		path[n++] = 1;
		at_root = false;
		part = &m->parts[at];
		must(mime_parts_find(encoded, path, n, MIME_SECTION_WHOLE, &range) == 0);
		must(range.offset == part->body_start && range.n == part->body_end - part->body_start);
		must(mime_parts_find(encoded, path, n, MIME_SECTION_MIME, &range) == 0 && range.offset == part->header_start);
		must((mime_parts_find(encoded, path, n, MIME_SECTION_TEXT, &range) == 0) == (part->kind == MIME_MESSAGE));
	}
}

static void describe(const struct mime_message *m, struct buf *out)
{
	for (int extended = 0; extended < 2; extended++) {
		size_t start = out->n;
		bodystructure_print(m, extended, out);
		must_be_value(str_from(buf_str(out), start));
	}
	size_t start = out->n;
	envelope_print(m, 0, out);
	must_be_value(str_from(buf_str(out), start));
	must(out->n <= PRINTED_BASE + PRINTED_PER_BYTE * m->size);
	start = out->n;
	mime_encode_parts(m, out);
	check_sections(m, str_from(buf_str(out), start));
	wire_put_u8(out, (uint8_t)(m->pure_crlf | m->has_nul << 1 | m->has_8bit << 2 | m->needs_dot_stuffing << 3));
	wire_put_u64(out, m->lines);
	must(buf_error(out) == 0);
}

static void check_header_tools(struct str block)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	const struct str name = STR("subject");
	struct str body;
	header_fields_select(block, &name, 1, false, &in);
	header_fields_select(block, &name, 1, true, &out);
	must(in.n <= block.n && out.n <= block.n);
	must((header_find(block, name, &body) == 0) == (header_find(buf_str(&in), name, &body) == 0));
	must(header_find(buf_str(&out), name, &body) == ERR_NOT_FOUND);
	/* A long list is searched in another way than a short one. */
	struct str many[30];
	struct buf same = BUF_INIT(OUT_MAX);
	for (size_t i = 0; i < COUNT_OF(many); i++)
		many[i] = i % 2 ? name : str_first(block, i);
	buf_clear(&out);
	header_fields_select(block, many, 16, true, &out);
	for (size_t i = 16; i < COUNT_OF(many); i++)
		many[i] = many[i - 16];
	header_fields_select(block, many, COUNT_OF(many), true, &same);
	must(str_eq(buf_str(&out), buf_str(&same)));
	buf_free(&same);
	buf_free(&in);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	if (data[0] & 1)
		limits = (struct mime_limits){ .depth = 3, .parts = 5, .header_fields = 6, .header_bytes = 200,
			                           .header_total = 500, .params = 3, .addresses = 4 };
	struct str text = { (const char *)data + 1, size - 1 };
	struct mime_parser *parser = mime_parser_new(&limits);
	struct buf whole = BUF_INIT(OUT_MAX), cut = BUF_INIT(OUT_MAX);
	mime_parser_feed(parser, text);
	const struct mime_message *message = mime_parser_finish(parser);
	check_ranges(message);
	must(message->size == text.n);
	check_header_tools(str_first(text, message->header_size));
	struct mime_whole room;
	describe(mime_as_one_part(message, &room), &whole);
	must(room.part.body_end == text.n && whole.n <= PRINTED_BASE + PRINTED_PER_BYTE * room.message.header_size);
	buf_clear(&whole);
	describe(message, &whole);
	mime_parser_reset(parser);
	for (struct str rest = text; rest.n > 0;) {
		size_t n = 1 + (rest.n * 7 + data[0]) % (1 + data[0] / 2);
		mime_parser_feed(parser, str_first(rest, n));
		rest = str_from(rest, n);
	}
	describe(mime_parser_finish(parser), &cut);
	must(str_eq(buf_str(&whole), buf_str(&cut)));
	struct mime_range range;
	/* bytes that are no table at all */
	int err = mime_parts_find(text, (const uint32_t[]){ 1, 2 }, 2, MIME_SECTION_HEADER, &range);
	must(err <= 0);
	mime_parser_free(&parser);
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
