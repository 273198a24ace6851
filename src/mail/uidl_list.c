/* uidl_list.c: see uidl_list.h. No state but the caller's, no I/O. */
#include "mail/uidl_list.h"

#include <inttypes.h>

#define WIDTH_MAX 20

static bool read_number(struct str text, uint32_t *out)
{
	uint64_t number;
	if (str_to_u64(text, UINT32_MAX, &number) < 0)
		return false;
	*out = (uint32_t)number;
	return true;
}

static struct str next_word(struct str *rest)
{
	struct str word = { NULL, 0 };
	while (rest->n > 0 && word.n == 0)
		word = str_cut(rest, ' ');
	return word;
}

/* --- first lines --- */

static int begin_uids(struct uidl_list *list, struct str line)
{
	struct str first = next_word(&line);
	uint32_t next;
	if (!read_number(first, &list->version) || (list->version != 1 && list->version != 3))
		return ERR_UNSUPPORTED;
	if (list->version == 1)
		return read_number(next_word(&line), &list->uidvalidity) && read_number(next_word(&line), &next) ? ERR_INCOMPLETE
		                                                                                                 : ERR_UNSUPPORTED;
	while (line.n > 0) {
		struct str word = next_word(&line);
		if (word.n > 1 && word.p[0] == 'V' && !read_number(str_from(word, 1), &list->uidvalidity))
			return ERR_UNSUPPORTED;
	}
	return ERR_INCOMPLETE;
}

static int begin_pop3(struct uidl_list *list, struct str line)
{
	struct str first = next_word(&line);
	uint32_t next;
	if (first.n < 2 || first.p[0] != '/' || !read_number(str_from(first, 1), &list->version) || list->version != 3)
		return ERR_UNSUPPORTED;
	return read_number(next_word(&line), &next) && read_number(next_word(&line), &list->uidvalidity) ? ERR_INCOMPLETE
	                                                                                                 : ERR_UNSUPPORTED;
}

/* --- items --- */

static struct str base_of(struct str name)
{
	return str_cut(&name, ':');
}

static int read_uids(const struct uidl_list *list, struct str line, struct uidl_item *out)
{
	if (!read_number(next_word(&line), &out->uid) || out->uid == 0)
		return ERR_SYNTAX;
	out->uidvalidity = list->uidvalidity;
	while (list->version == 3 && line.n > 0 && line.p[0] != ':') {
		struct str word = next_word(&line);
		if (word.n > 1 && word.p[0] == 'P')
			out->uidl = str_from(word, 1);
	}
	if (list->version == 3 && line.n > 0)
		line = str_from(line, 1); /* the colon in front of the name */
	out->name = base_of(line);
	return out->name.n > 0 ? 0 : ERR_SYNTAX;
}

/* The number and its UIDVALIDITY stand at the end; names may hold spaces. Number 0: the id is the name. */
static int read_pop3(struct str line, struct uidl_item *out)
{
	struct str last = line;
	size_t at = line.n, spaces = 0;
	while (at > 0 && spaces < 2)
		spaces += line.p[--at] == ' ';
	struct str name = str_first(line, at);
	last = str_from(line, at + 1);
	uint32_t size;
	if (spaces < 2 || !read_number(str_cut(&last, ' '), &size))
		return ERR_SYNTAX;
	if (!read_number(str_cut(&last, ':'), &out->uid) || !read_number(str_cut(&last, ':'), &out->uidvalidity))
		return ERR_SYNTAX;
	out->name = base_of(name);
	if (out->uid == 0)
		out->uidl = out->name;
	return out->name.n > 0 ? 0 : ERR_SYNTAX;
}

static int read_pair(struct str line, struct uidl_item *out)
{
	struct str name = next_word(&line);
	out->name = base_of(name);
	out->uidl = str_trim(line);
	return out->name.n > 0 && out->uidl.n > 0 ? 0 : ERR_SYNTAX;
}

int uidl_list_line(struct uidl_list *list, struct str line, struct uidl_item *out)
{
	struct uidl_item item = { { NULL, 0 }, 0, 0, { NULL, 0 } };
	bool first = !list->begun;
	int result = ERR_SYNTAX;
	line = str_trim(line);
	if (line.n == 0)
		return ERR_INCOMPLETE;
	list->begun = true;
	switch (list->kind) {
	case UIDL_LIST_OF_UIDS:
		result = first ? begin_uids(list, line) : read_uids(list, line, &item);
		break;
	case UIDL_LIST_OF_POP3:
		result = first ? begin_pop3(list, line) : read_pop3(line, &item);
		break;
	case UIDL_LIST_OF_PAIRS:
		result = read_pair(line, &item);
		break;
	}
	if (result == 0)
		*out = item;
	return result;
}

/* --- patterns --- */

/* One variable behind its "%". */
static int print_variable(struct str *rest, const struct uidl_item *item, struct buf *out)
{
	int width = 0;
	bool hexadecimal = false;
	for (; rest->n > 0 && ascii_is_digit(rest->p[0]); *rest = str_from(*rest, 1)) {
		width = width * 10 + (rest->p[0] - '0');
		if (width > WIDTH_MAX)
			return ERR_SYNTAX;
	}
	if (rest->n > 0 && rest->p[0] == 'X') {
		hexadecimal = true;
		*rest = str_from(*rest, 1);
	}
	if (rest->n == 0)
		return ERR_SYNTAX;
	char letter = rest->p[0];
	uint32_t number = letter == 'u' ? item->uid : item->uidvalidity;
	*rest = str_from(*rest, 1);
	if (letter == 'f' && !hexadecimal && width == 0) {
		buf_add(out, item->name);
		return 0;
	}
	if (letter != 'u' && letter != 'v')
		return ERR_SYNTAX;
	buf_addf(out, hexadecimal ? "%0*" PRIx32 : "%0*" PRIu32, width, number);
	return number ? 0 : ERR_NOT_FOUND;
}

int uidl_pattern_print(struct str pattern, const struct uidl_item *item, struct buf *out)
{
	int result = pattern.n == 0 ? ERR_SYNTAX : 0;
	while (pattern.n > 0 && result == 0) {
		char byte = pattern.p[0];
		pattern = str_from(pattern, 1);
		if (byte == '%')
			result = print_variable(&pattern, item, out);
		else
			buf_add_byte(out, byte);
	}
	return result == 0 ? buf_error(out) : result;
}
