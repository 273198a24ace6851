/* fuzz_address.c: any bytes read as a list of addresses; groups are closed; an address written in its plainest form is
 * read as the same. The same bytes as header text become well-formed UTF-8. */
#include "syntax/address.h"
#include "syntax/header.h"
#include "text/charset.h"

#define ADDRESSES_MAX 50
#define OUT_MAX       (4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void put_quoted(struct buf *out, struct str s)
{
	buf_add_byte(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_add_byte(out, '\\');
		buf_add_byte(out, s.p[i]);
	}
	buf_add_byte(out, '"');
}

static bool is_plain_domain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alpha(s.p[i]) && !ascii_is_digit(s.p[i]) && s.p[i] != '-')
			return false;
	return s.n > 0;
}

static void check_reread(const struct address *a)
{
	struct buf text = BUF_INIT(OUT_MAX);
	struct arena arena = ARENA_INIT(OUT_MAX);
	struct address *list;
	size_t n;
	put_quoted(&text, a->name);
	buf_add(&text, STR(" <"));
	put_quoted(&text, a->local);
	buf_add_byte(&text, '@');
	buf_add(&text, a->domain);
	buf_add_byte(&text, '>');
	must(address_parse_list(buf_str(&text), &arena, ADDRESSES_MAX, &list, &n) == 0);
	must(n == 1 && str_eq(list[0].name, a->name));
	must(str_eq(list[0].local, a->local) && str_eq(list[0].domain, a->domain));
	buf_free(&text);
	arena_free(&arena);
}

/* No line end comes through into what is printed and stored. */
static bool is_one_line(struct str s)
{
	return str_find_byte(s, '\n') < 0;
}

static void check_list(struct str text)
{
	struct arena arena = ARENA_INIT(OUT_MAX);
	struct address *list;
	size_t n;
	bool in_group = false;
	must(address_parse_list(text, &arena, ADDRESSES_MAX, &list, &n) == 0);
	must(n <= ADDRESSES_MAX);
	for (size_t i = 0; i < n; i++) {
		must(is_one_line(list[i].name) && is_one_line(list[i].local) && is_one_line(list[i].domain));
		switch (list[i].kind) {
		case ADDRESS_MAILBOX:
			must(list[i].local.p != NULL);
			if (is_plain_domain(list[i].domain) && str_find_byte(list[i].name, '\r') < 0 &&
			    str_find_byte(list[i].local, '\r') < 0)
				check_reread(&list[i]);
			break;
		case ADDRESS_GROUP_START:
			must(!in_group && list[i].name.p != NULL);
			in_group = true;
			break;
		case ADDRESS_GROUP_END:
			must(in_group);
			in_group = false;
			break;
		}
	}
	must(!in_group);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct charsets *charsets; /* opened once: it loads files */
	struct str text = { (const char *)data, size };
	if (!charsets)
		charsets = charsets_open();
	check_list(text);
	struct buf out = BUF_INIT(OUT_MAX);
	header_decode_text(text, charsets, &out);
	must(buf_error(&out) == 0 && str_is_utf8(buf_str(&out)));
	buf_free(&out);
	return 0;
}
