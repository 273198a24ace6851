/* header.c: walking blocks of header fields. Pure: slices into the caller's block, which outlives them. */
#include "syntax/header.h"

#include "base/checked.h"
#include "base/mem.h"
#include "syntax/header_lex.h"

#include <stdlib.h>

#define COMPARED_MAX 24 /* names that are compared one by one */

size_t header_name_length(struct str line)
{
	size_t n = 0;
	while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
		n++;
	size_t colon = n;
	while (colon < line.n && (line.p[colon] == ' ' || line.p[colon] == '\t')) /* obsolete: RFC 5322, 4.5 */
		colon++;
	return colon < line.n && line.p[colon] == ':' ? n : 0;
}

/* The first line of s with its line end; all where there is none. */
static struct str first_line(struct str s)
{
	ptrdiff_t at = str_find_byte(s, '\n');
	return at < 0 ? s : str_first(s, (size_t)at + 1);
}

static bool is_blank_line(struct str line)
{
	return line.n <= 2 && (str_eq(line, STR("\r\n")) || str_eq(line, STR("\n")));
}

static struct str without_line_end(struct str s)
{
	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

bool header_next(struct str *rest, struct header_field *out)
{
	while (rest->n > 0) {
		struct str whole = first_line(*rest);
		if (is_blank_line(whole))
			return false;
		struct str behind = str_from(*rest, whole.n);
		while (behind.n > 0 && (behind.p[0] == ' ' || behind.p[0] == '\t')) {
			size_t n = first_line(behind).n;
			whole.n += n;
			behind = str_from(behind, n);
		}
		*rest = behind;
		size_t name = header_name_length(whole);
		if (name == 0)
			continue;
		size_t colon = (size_t)str_find_byte(whole, ':');
		*out = (struct header_field){ str_first(whole, name), without_line_end(str_from(whole, colon + 1)), whole };
		return true;
	}
	return false;
}

int header_find(struct str block, struct str name, struct str *body)
{
	struct header_field field;
	while (header_next(&block, &field)) {
		if (str_ieq(field.name, name)) {
			*body = field.body;
			return 0;
		}
	}
	return ERR_NOT_FOUND;
}

void header_unfold(struct str body, struct buf *out)
{
	body = str_trim(body);
	char *room = buf_reserve(out, body.n);
	if (!room)
		return;
	size_t n = 0;
	for (size_t i = 0; i < body.n; i++) {
		bool line_end = body.p[i] == '\n' || (body.p[i] == '\r' && i + 1 < body.n && body.p[i + 1] == '\n');
		if (!line_end)
			room[n++] = body.p[i];
	}
	buf_commit(out, n);
}

static int compare_names(const void *left, const void *right)
{
	const struct str *a = left, *b = right;
	size_t n = MIN(a->n, b->n);
	for (size_t i = 0; i < n; i++)
		if (ascii_lower(a->p[i]) != ascii_lower(b->p[i]))
			return (unsigned char)ascii_lower(a->p[i]) < (unsigned char)ascii_lower(b->p[i]) ? -1 : 1;
	return (a->n > b->n) - (a->n < b->n);
}

static bool is_listed(struct str name, const struct str *names, size_t n_names, bool sorted)
{
	if (sorted)
		return bsearch(&name, names, n_names, sizeof *names, compare_names);
	for (size_t i = 0; i < n_names; i++)
		if (name.n == names[i].n && str_ieq(name, names[i]))
			return true;
	return false;
}

/* Lists and headers come from outside: with a long list each field is searched for, not compared with all. */
void header_fields_select(struct str block, const struct str *names, size_t n_names, bool except, struct buf *out)
{
	struct header_field field;
	struct str *sorted = NULL;
	if (n_names > COMPARED_MAX) {
		sorted = mem_alloc(n_names, sizeof *sorted);
		memcpy(sorted, names, n_names * sizeof *sorted);
		qsort(sorted, n_names, sizeof *sorted, compare_names);
	}
	while (header_next(&block, &field))
		if (is_listed(field.name, sorted ? sorted : names, n_names, sorted) != except)
			buf_add(out, field.whole);
	mem_free(sorted);
	buf_add(out, first_line(block)); /* header_next stopped at the blank line, or at the end */
}
