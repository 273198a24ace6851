/* imap_cursor.c: the words of IMAP's grammar. Works on a slice and an arena of its caller; the first error is kept in
 * the cursor, and nothing is undone: the caller drops the arena. */
#include "syntax/imap_cursor.h"

#include "base/checked.h"
#include "syntax/date.h"
#include "syntax/imap_name.h"
#include "text/utf8.h"

#define ATOM    IMAP_CLASS_ATOM
#define ASTRING IMAP_CLASS_ASTRING
#define LIST    IMAP_CLASS_LIST
#define TAG     IMAP_CLASS_TAG
#define NAME    IMAP_CLASS_NAME
#define PLAIN   (ATOM | ASTRING | LIST | TAG)

/* RFC 3501 section 9: atom-specials are ( ) { SP CTL % * " \ ] and everything above 7 bits */
static const uint8_t class_of[256] = {
	['!'] = PLAIN, ['#' ... '$'] = PLAIN, ['%'] = LIST, ['&' ... '\''] = PLAIN, ['*'] = LIST,
	['+'] = ATOM | ASTRING | LIST, [','] = PLAIN, ['-' ... '.'] = PLAIN | NAME, ['/'] = PLAIN,
	['0' ... '9'] = PLAIN | NAME, [':' ... '@'] = PLAIN, ['A' ... 'Z'] = PLAIN | NAME, ['['] = PLAIN,
	[']'] = ASTRING | LIST | TAG, ['^' ... '`'] = PLAIN, ['a' ... 'z'] = PLAIN | NAME, ['|' ... '~'] = PLAIN,
};

static bool fail(struct imap_cursor *c, int err, enum imap_error_answer answer, const char *message)
{
	if (!c->err) {
		c->err = err;
		c->error->answer = answer;
		c->error->message = message;
		c->error->offset = (size_t)(c->p - c->start);
	}
	return false;
}

bool imap_fail(struct imap_cursor *c, const char *message)
{
	return fail(c, ERR_SYNTAX, IMAP_ANSWER_BAD, message);
}

bool imap_fail_limit(struct imap_cursor *c, const char *message)
{
	return fail(c, ERR_LIMIT, IMAP_ANSWER_TOO_BIG, message);
}

bool imap_expect(struct imap_cursor *c, char byte, const char *message)
{
	return imap_try(c, byte) || imap_fail(c, message);
}

bool imap_space(struct imap_cursor *c)
{
	return imap_try(c, ' ') || imap_fail(c, imap_at_end(c) ? "expected an argument" : "expected a space");
}

bool imap_open(struct imap_cursor *c)
{
	return imap_expect(c, '(', "expected '('");
}

bool imap_list_goes_on(struct imap_cursor *c)
{
	if (imap_try(c, ')'))
		return false;
	return imap_expect(c, ' ', "expected a space or ')'");
}

bool imap_finish(struct imap_cursor *c)
{
	const char *p = c->p;
	while (p < c->end && *p == ' ')
		p++;
	if (p != c->end)
		return imap_fail(c, "unexpected argument");
	c->p = p;
	return true;
}

struct str imap_run(struct imap_cursor *c, enum imap_class class)
{
	const char *from = c->p;
	while (c->p < c->end && class_of[(unsigned char)*c->p] & class)
		c->p++;
	return str_of(from, (size_t)(c->p - from));
}

bool imap_try_word(struct imap_cursor *c, struct str word)
{
	const char *from = c->p;
	if (str_ieq(imap_run(c, IMAP_CLASS_NAME), word))
		return true;
	c->p = from;
	return false;
}

bool imap_atom(struct imap_cursor *c, const char *message, struct str *out)
{
	struct str atom = imap_run(c, IMAP_CLASS_ATOM);
	if (!atom.n)
		return imap_fail(c, message);
	*out = atom;
	return true;
}

/* quoted, behind its first quote. Bytes above 7 bits pass: RFC 6855 and 9051 allow UTF-8 there, clients send it. */
static bool quoted(struct imap_cursor *c, struct str *out)
{
	const char *from = c->p, *p = from;
	size_t escapes = 0;
	for (;; p++) {
		if (p == c->end || *p == '\r' || *p == '\n' || *p == '\0') {
			c->p = p;
			return imap_fail(c, "quoted string does not end");
		}
		if (*p == '"')
			break;
		if (*p == '\\') {
			if (++p == c->end || (*p != '"' && *p != '\\')) {
				c->p = p;
				return imap_fail(c, "only \\\" and \\\\ may be escaped");
			}
			escapes++;
		}
	}
	c->p = p + 1;
	struct str raw = str_of(from, (size_t)(p - from));
	if (!escapes) {
		*out = raw;
		return true;
	}
	char *copy = arena_alloc(c->arena, raw.n - escapes, 1);
	if (!copy)
		return imap_fail_limit(c, "command needs too much memory");
	size_t n = 0;
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '\\')
			i++;
		copy[n++] = raw.p[i];
	}
	*out = str_of(copy, n);
	return true;
}

bool imap_literal_head(struct imap_cursor *c, uint64_t *n, bool *synchronising)
{
	if (!imap_expect(c, '{', "expected a literal") || !imap_number(c, INT64_MAX, n))
		return false;
	*synchronising = !imap_try(c, '+');
	return imap_expect(c, '}', "expected '}'");
}

static bool literal(struct imap_cursor *c, struct str *out)
{
	uint64_t n;
	bool synchronising;
	if (!imap_literal_head(c, &n, &synchronising))
		return false;
	imap_try(c, '\r');
	if (!imap_expect(c, '\n', "expected a line end behind '}'"))
		return false;
	if (n > (uint64_t)(c->end - c->p))
		return imap_fail(c, "literal is cut off");
	struct str bytes = str_of(c->p, (size_t)n);
	if (str_find_byte(bytes, '\0') >= 0)
		return imap_fail(c, "NUL in a literal");
	c->p += n;
	*out = bytes;
	return true;
}

bool imap_string(struct imap_cursor *c, const char *message, struct str *out)
{
	if (imap_try(c, '"'))
		return quoted(c, out);
	if (imap_at(c, '{'))
		return literal(c, out);
	return imap_fail(c, message);
}

bool imap_astring(struct imap_cursor *c, const char *message, struct str *out)
{
	struct str word = imap_run(c, IMAP_CLASS_ASTRING);
	if (!word.n)
		return imap_string(c, message, out);
	*out = word;
	return true;
}

bool imap_nstring(struct imap_cursor *c, struct str *out)
{
	if (imap_try_word(c, STR("NIL"))) {
		*out = (struct str){ NULL, 0 };
		return true;
	}
	return imap_string(c, "expected a string or NIL", out);
}

bool imap_number(struct imap_cursor *c, uint64_t max, uint64_t *out)
{
	const char *p = c->p;
	uint64_t value = 0;
	for (; p < c->end && ascii_is_digit(*p); p++) {
		if (!checked_mul(value, 10u, &value) || !checked_add(value, (uint64_t)(*p - '0'), &value) || value > max)
			return imap_fail(c, "number is too large");
	}
	if (p == c->p)
		return imap_fail(c, "expected a number");
	c->p = p;
	*out = value;
	return true;
}

bool imap_nz_number(struct imap_cursor *c, uint32_t *out)
{
	uint64_t value;
	if (imap_at(c, '0'))
		return imap_fail(c, "expected a number from 1 on");
	if (!imap_number(c, UINT32_MAX, &value))
		return false;
	*out = (uint32_t)value;
	return true;
}

/* Modified UTF-7 to UTF-8; the usual name needs no copy. */
static int decode_name(struct imap_cursor *c, struct str wire, struct str *out)
{
	bool plain = true;
	for (size_t i = 0; i < wire.n && plain; i++)
		plain = wire.p[i] >= ' ' && wire.p[i] < 0x7f && wire.p[i] != '&';
	if (plain) {
		*out = wire;
		return 0;
	}
	struct buf name = BUF_INIT(wire.n * 2);
	int err = imap_utf7_decode(wire, &name);
	if (!err)
		err = arena_copy(c->arena, buf_str(&name), out);
	buf_free(&name);
	return err;
}

static bool fail_name(struct imap_cursor *c, int err)
{
	if (err == ERR_SYNTAX)
		return fail(c, ERR_SYNTAX, IMAP_ANSWER_NO, "mailbox name is not valid modified UTF-7");
	return imap_fail_limit(c, "command needs too much memory");
}

bool imap_mailbox(struct imap_cursor *c, struct str *out)
{
	struct str wire, name;
	if (!imap_astring(c, "expected a mailbox name", &wire))
		return false;
	int err = decode_name(c, wire, &name);
	if (err)
		return fail_name(c, err);
	if (imap_name_is_inbox(str_first(name, 5)) && (name.n == 5 || name.p[5] == IMAP_SEPARATOR)) {
		char *copy = arena_alloc(c->arena, name.n, 1);
		if (!copy)
			return imap_fail_limit(c, "command needs too much memory");
		memcpy(copy, name.p, name.n);
		imap_name_normalise(copy, name.n);
		name.p = copy;
	}
	*out = name;
	return true;
}

bool imap_list_mailbox(struct imap_cursor *c, struct str *out)
{
	struct str wire = imap_run(c, IMAP_CLASS_LIST);
	if (!wire.n && !imap_string(c, "expected a mailbox pattern", &wire))
		return false;
	int err = decode_name(c, wire, out);
	if (err != ERR_SYNTAX || !str_is_utf8(wire))
		return !err || fail_name(c, err);
	/* part of a name need not decode ("&AO*"): no error, it matches what looks like it, mostly nothing */
	*out = wire;
	return true;
}

bool imap_grow(struct imap_cursor *c, void **items, uint32_t n, size_t size, uint32_t max)
{
	enum { FIRST = 4 };
	if (n >= max)
		return imap_fail_limit(c, "too many items");
	bool full = n == 0 || (n >= FIRST && (n & (n - 1)) == 0);
	if (!full)
		return true;
	void *larger = arena_alloc(c->arena, n ? (size_t)n * 2 : FIRST, size);
	if (!larger)
		return imap_fail_limit(c, "command needs too much memory");
	if (n)
		memcpy(larger, *items, n * size);
	*items = larger;
	return true;
}

bool imap_strings_add(struct imap_cursor *c, struct imap_strings *list, struct str item)
{
	if (!imap_grow(c, (void **)&list->items, list->n, sizeof *list->items, c->limits->list_items))
		return false;
	list->items[list->n++] = item;
	return true;
}

static bool sequence_number(struct imap_cursor *c, uint32_t *out)
{
	if (imap_try(c, '*')) {
		*out = IMAP_STAR;
		return true;
	}
	return imap_nz_number(c, out);
}

bool imap_sequence_set(struct imap_cursor *c, struct imap_sequence *out)
{
	*out = (struct imap_sequence){ .saved = imap_try(c, '$') };
	if (out->saved)
		return true;
	do {
		struct imap_sequence_range range;
		if (!sequence_number(c, &range.first))
			return false;
		range.last = range.first;
		if (imap_try(c, ':') && !sequence_number(c, &range.last))
			return false;
		if (!imap_grow(c, (void **)&out->ranges, out->n, sizeof *out->ranges, c->limits->set_ranges))
			return false;
		out->ranges[out->n++] = range;
	} while (imap_try(c, ','));
	return true;
}

static bool keyword_add(struct imap_cursor *c, struct imap_flags *flags, struct str keyword)
{
	/* bounds the search for doubles, which is quadratic */
	enum { KEYWORDS_MAX = 256 };
	for (uint32_t i = 0; i < flags->keywords.n; i++)
		if (str_ieq(flags->keywords.items[i], keyword))
			return true;
	if (flags->keywords.n == KEYWORDS_MAX)
		return imap_fail_limit(c, "too many keywords");
	return imap_strings_add(c, &flags->keywords, keyword);
}

/* flag = system flag / flag-keyword. \Recent may not be sent, and no other \Flag is defined (flag-extension). */
static bool flag(struct imap_cursor *c, struct imap_flags *out)
{
	const char *from = c->p;
	struct str word;
	if (!imap_try(c, '\\'))
		return imap_atom(c, "expected a flag", &word) && keyword_add(c, out, word);
	if (!imap_atom(c, "expected a flag", &word))
		return false;
	uint32_t bit = imap_flag_from_name(str_of(from, word.n + 1));
	if (!bit || bit == IMAP_FLAG_RECENT) {
		c->p = from;
		return imap_fail(c, bit ? "\\Recent cannot be changed" : "unknown system flag");
	}
	out->system |= bit;
	return true;
}

bool imap_flag_list(struct imap_cursor *c, struct imap_flags *out)
{
	*out = (struct imap_flags){ 0 };
	if (!imap_open(c))
		return false;
	if (imap_try(c, ')'))
		return true;
	do {
		if (!flag(c, out))
			return false;
	} while (imap_list_goes_on(c));
	return !c->err;
}

bool imap_flag_words(struct imap_cursor *c, struct imap_flags *out)
{
	*out = (struct imap_flags){ 0 };
	do {
		if (!flag(c, out))
			return false;
	} while (imap_try(c, ' ') && !imap_at_end(c));
	return true;
}

/* A value in brackets, raw: nested lists, strings and anything printable. */
static bool raw_list(struct imap_cursor *c, struct str *out)
{
	const char *from = c->p;
	struct str ignored;
	uint32_t depth = 0;
	do {
		if (imap_at(c, '"') || imap_at(c, '{')) {
			if (!imap_string(c, "expected a string", &ignored))
				return false;
			continue;
		}
		if (imap_at_end(c) || *c->p < ' ' || *c->p == 0x7f)
			return imap_fail(c, "expected ')'");
		if (*c->p == '(')
			depth++;
		else if (*c->p == ')')
			depth--;
		c->p++;
	} while (depth);
	*out = str_of(from, (size_t)(c->p - from));
	return true;
}

static bool param(struct imap_cursor *c, struct imap_param *out)
{
	*out = (struct imap_param){ 0 };
	if (!imap_atom(c, "expected a parameter", &out->name))
		return false;
	if (c->end - c->p < 2 || *c->p != ' ')
		return true;
	if (c->p[1] == '(') {
		c->p++;
		return raw_list(c, &out->value);
	}
	if (ascii_is_digit(c->p[1]) || c->p[1] == '*') {
		c->p++;
		const char *from = c->p;
		while (c->p < c->end && (ascii_is_digit(*c->p) || strchr(":,*", *c->p)))
			c->p++;
		out->value = str_of(from, (size_t)(c->p - from));
	}
	return true;
}

bool imap_params(struct imap_cursor *c, struct imap_params *out)
{
	struct imap_params list = { NULL, 0 };
	if (!imap_open(c))
		return false;
	if (!imap_try(c, ')')) {
		do {
			if (!imap_grow(c, (void **)&list.items, list.n, sizeof *list.items, c->limits->list_items) ||
				!param(c, &list.items[list.n]))
				return false;
			list.n++;
		} while (imap_list_goes_on(c));
	}
	if (c->err)
		return false;
	*out = list;
	return true;
}

bool imap_date_time(struct imap_cursor *c, int64_t *seconds, int32_t *zone_minutes)
{
	const char *from = c->p;
	struct str text;
	struct date date;
	if (!imap_string(c, "expected a date", &text))
		return false;
	if (date_parse_internal(text, &date)) {
		c->p = from;
		return imap_fail(c, "expected a date like \"17-Jul-1996 02:44:25 -0700\"");
	}
	*seconds = date.seconds;
	*zone_minutes = date.zone_minutes;
	return true;
}

bool imap_date(struct imap_cursor *c, int32_t *day)
{
	const char *from = c->p;
	struct str text;
	int64_t days;
	if (!imap_astring(c, "expected a date", &text))
		return false;
	if (date_parse_search(text, &days)) {
		c->p = from;
		return imap_fail(c, "expected a date like 1-Feb-1994");
	}
	*day = (int32_t)days;
	return true;
}
