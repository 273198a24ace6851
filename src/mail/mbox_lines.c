/* mbox_lines.c: cuts a stream into lines, and header lines into fields. A line that fits into one chunk is not copied;
 * of a longer one only the head is held. Owned by the reader or the writer; nothing here can fail. */
#include "mail/mbox_private.h"

#include "base/checked.h"
#include "syntax/header.h"

static void advance(struct mbox_lines *lines, struct str *chunk, size_t n)
{
	*chunk = str_from(*chunk, n);
	lines->offset += n;
}

static struct str without_cr(struct str text)
{
	return text.n > 0 && text.p[text.n - 1] == '\r' ? str_first(text, text.n - 1) : text;
}

static void add_to_head(struct mbox_lines *lines, struct str bytes)
{
	memcpy(lines->head + lines->n, bytes.p, bytes.n);
	lines->n += bytes.n;
}

static void end_line(struct mbox_lines *lines)
{
	lines->quotes = 0;
	lines->n = 0;
	lines->is_rest = lines->held_cr = false;
}

/* The line's beginning, up to its end or as much as is looked at. */
static void take_head(struct mbox_lines *lines, struct str *chunk, mbox_piece_function *give, void *owner)
{
	if (lines->n == 0 && lines->quotes == 0)
		lines->line_start = lines->offset;
	while (lines->n == 0 && chunk->n > 0 && chunk->p[0] == '>') {
		lines->quotes++;
		advance(lines, chunk, 1);
	}
	struct str part = str_first(*chunk, sizeof lines->head - lines->n);
	ptrdiff_t end = str_find_byte(part, '\n');
	struct mbox_piece piece = { .quotes = lines->quotes, .first = true, .last = end >= 0 };
	if (end >= 0)
		part = str_first(part, (size_t)end);
	if (end < 0 || lines->n > 0)
		add_to_head(lines, part);
	piece.text = end >= 0 && lines->n == 0 ? part : str_of(lines->head, lines->n);
	if (end < 0 && lines->n < sizeof lines->head) {
		advance(lines, chunk, part.n);
		return;
	}
	size_t whole = piece.text.n;
	piece.text = without_cr(piece.text);
	advance(lines, chunk, part.n + (end >= 0));
	give(owner, &piece);
	if (end >= 0) {
		end_line(lines);
	} else {
		lines->is_rest = true;
		lines->held_cr = piece.text.n < whole;
	}
}

static void take_rest(struct mbox_lines *lines, struct str *chunk, mbox_piece_function *give, void *owner)
{
	ptrdiff_t end = str_find_byte(*chunk, '\n');
	struct str part = end >= 0 ? str_first(*chunk, (size_t)end) : *chunk, text = without_cr(part);
	if (lines->held_cr && part.n > 0)
		give(owner, &(struct mbox_piece){ .text = STR("\r") });
	lines->held_cr = text.n < part.n;
	advance(lines, chunk, part.n + (end >= 0));
	give(owner, &(struct mbox_piece){ .text = text, .last = end >= 0 });
	if (end >= 0)
		end_line(lines);
}

void mbox_lines_feed(struct mbox_lines *lines, struct str chunk, mbox_piece_function *give, void *owner)
{
	while (chunk.n > 0) {
		if (lines->is_rest)
			take_rest(lines, &chunk, give, owner);
		else
			take_head(lines, &chunk, give, owner);
	}
}

void mbox_lines_finish(struct mbox_lines *lines, mbox_piece_function *give, void *owner)
{
	struct mbox_piece piece = { .last = true };
	if (!lines->is_rest && lines->n == 0 && lines->quotes == 0)
		return;
	if (!lines->is_rest) {
		piece.first = true;
		piece.quotes = lines->quotes;
		piece.text = without_cr(str_of(lines->head, lines->n));
	}
	give(owner, &piece);
	end_line(lines);
}

/* --- header --- */

static const struct {
	struct str name;
	enum mbox_field_use use;
} FIELDS[] = {
#define MBOX_FIELD_ROW(name, text, use) { STR_INIT(text), use },
	MBOX_FIELD_LIST(MBOX_FIELD_ROW)
#undef MBOX_FIELD_ROW
};

enum mbox_field_use mbox_field_use(enum mbox_field field)
{
	return FIELDS[field].use;
}

static enum mbox_field field_of(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(FIELDS); i++)
		if (str_ieq(name, FIELDS[i].name))
			return (enum mbox_field)i;
	return MBOX_FIELD_NONE;
}

bool mbox_header_step(struct mbox_header *header, const struct mbox_piece *piece)
{
	if (!header->inside || !piece->first)
		return false;
	bool is_field_line = piece->quotes == 0 && piece->text.n > 0;
	if (is_field_line && (piece->text.p[0] == ' ' || piece->text.p[0] == '\t'))
		return false;
	size_t name = is_field_line ? header_name_length(piece->text) : 0;
	header->field = name ? field_of(str_first(piece->text, name)) : MBOX_FIELD_NONE;
	header->inside = name > 0 || mbox_piece_is_from(piece);
	return true;
}
