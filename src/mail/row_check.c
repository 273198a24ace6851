/* row_check.c: parses a message as it comes in pieces and compares what is derived with its row (row_check.h). Owned by
 * whoever checks; holds the parser, and the beginning of one message for the fields that a row keeps. */
#include "mail/row_check.h"

#include "base/checked.h"
#include "base/mem.h"
#include "mail/mail_derive.h"

struct mail_row_check {
	struct mail_reader *reader;
	struct buf head; /* the first bytes of the message, as many as its header may have to be kept */
	char last[2];
};

struct mail_row_check *mail_row_check_new(const struct mail_reader *like)
{
	struct mail_row_check *check = mem_alloc(1, sizeof *check);
	check->reader = mail_reader_like(like);
	check->head = BUF_INIT(DERIVE_HEADER_MAX);
	return check;
}

void mail_row_check_free(struct mail_row_check **pointer)
{
	struct mail_row_check *check = *pointer;
	*pointer = NULL;
	if (!check)
		return;
	mail_reader_free(&check->reader);
	buf_free(&check->head);
	mem_free(check);
}

static void begin(void *owner)
{
	struct mail_row_check *check = owner;
	mail_derive_begin(check->reader, check->last);
	buf_clear(&check->head);
}

static void feed(void *owner, struct str bytes)
{
	struct mail_row_check *check = owner;
	buf_add(&check->head, str_first(bytes, DERIVE_HEADER_MAX - check->head.n));
	mail_derive_feed(check->reader, bytes, check->last);
}

/* Moves behind a quoted string or a literal that begins at *at. False: it does not end. */
static bool skip_string(struct str text, size_t *at)
{
	size_t i = *at + 1;
	uint64_t n = 0;
	if (text.p[*at] == '"') {
		while (i < text.n && text.p[i] != '"')
			i += text.p[i] == '\\' ? 2 : 1;
		*at = i + 1;
		return i < text.n;
	}
	struct str digits = str_of(text.p + i, 0);
	while (i < text.n && text.p[i] >= '0' && text.p[i] <= '9') {
		digits.n++;
		i++;
	}
	if (str_to_u64(digits, text.n, &n) < 0 || text.n - i < 3 + n || memcmp(text.p + i, "}\r\n", 3) != 0)
		return false;
	*at = i + 3 + (size_t)n;
	return true;
}

bool mail_is_wire_list(struct str text)
{
	size_t at = 0, depth = 0;
	do {
		char c = at < text.n ? text.p[at] : '\0';
		if (c == '"' || c == '{') {
			if (depth == 0 || !skip_string(text, &at))
				return false;
			continue;
		}
		if (c == '(')
			depth++;
		else if (c < ' ' || c == 127 || depth == 0)
			return false;
		else if (c == ')')
			depth--;
		at++;
	} while (depth > 0);
	return at == text.n;
}

/* Each line of the kept fields stands in the header, and they in this order. */
static bool stands_in(struct str kept, struct str header)
{
	while (kept.n > 0) {
		ptrdiff_t end = str_find_byte(kept, '\n');
		struct str line = str_first(kept, end < 0 ? kept.n : (size_t)end + 1);
		const char *found = header.n < line.n ? NULL : memmem(header.p, header.n, line.p, line.n);
		if (!found)
			return false;
		header.n -= (size_t)(found - header.p) + line.n;
		header.p = found + line.n;
		kept.p += line.n;
		kept.n -= line.n;
	}
	return true;
}

static const char *compare_numbers(const struct message_arrival *now, const struct message_row *row)
{
	if (now->size != row->size)
		return "its row has another size than its bytes";
	if (now->header_size != row->header_size || now->lines != row->lines || now->traits != row->traits)
		return "the size of its header, its lines or its traits are not those of its bytes";
	return NULL;
}

static const char *compare_derived(const struct mail_row_check *check, const struct message_arrival *now,
                                   const struct message_row *row, bool *is_note)
{
	const struct message_derived *a = &now->derived, *b = &row->derived;
	struct mime_range range;
	*is_note = false;
	if (!str_eq(a->envelope, b->envelope) && !mail_is_wire_list(b->envelope))
		return "the envelope that was kept of it is none";
	if ((!str_eq(a->structure, b->structure) && !mail_is_wire_list(b->structure)) ||
	    (!str_eq(a->body, b->body) && !mail_is_wire_list(b->body)))
		return "the structure that was kept of it is none";
	if (!str_eq(a->parts, b->parts) &&
	    (mime_parts_find(b->parts, NULL, 0, MIME_SECTION_WHOLE, &range) < 0 || range.offset + range.n > row->size))
		return "the table of its parts cannot be read";
	if (!str_eq(a->headers, b->headers) && now->header_size <= DERIVE_HEADER_MAX &&
	    !stands_in(b->headers, str_first(buf_str(&check->head), now->header_size)))
		return "the header fields that were kept of it are not its own";
	*is_note = true;
	if (!str_eq(a->envelope, b->envelope) || !str_eq(a->headers, b->headers))
		return "the envelope or the header fields that were kept of it are not what this version makes of its bytes";
	if (!str_eq(a->structure, b->structure) || !str_eq(a->body, b->body) || !str_eq(a->parts, b->parts))
		return "the structure that was kept of it is not what this version makes of its bytes";
	return NULL;
}

static const char *compare(void *owner, const struct message_row *row, bool *is_note)
{
	struct mail_row_check *check = owner;
	struct message_arrival now = { 0 };
	*is_note = false;
	int result = mail_derive_end(check->reader, buf_str(&check->head), check->last, &now);
	const char *problem = compare_numbers(&now, row); /* which are known whatever it says */
	if (problem || (result < 0 && result != ERR_SYNTAX)) /* that is a NUL, which an older version may have let in */
		return problem;
	return compare_derived(check, &now, row, is_note);
}

struct check_reader mail_row_check_reader(struct mail_row_check *check)
{
	return (struct check_reader){ begin, feed, compare, check };
}
