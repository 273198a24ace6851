/* json.c: a recursive reader, bounded in depth, that reads like RFC 8259's grammar. The tree lives in the caller's
 * arena. */
#include "syntax/json.h"

#include "base/json.h"

struct reader {
	struct str rest;
	struct arena *arena;
	unsigned depth;
};

static int read_value(struct reader *r, struct json_value *out);

static void skip_space(struct reader *r)
{
	while (r->rest.n && (r->rest.p[0] == ' ' || r->rest.p[0] == '\t' || r->rest.p[0] == '\n' || r->rest.p[0] == '\r'))
		r->rest = str_from(r->rest, 1);
}

/* Takes the character if it is next, after white space. */
static bool take(struct reader *r, char c)
{
	skip_space(r);
	if (r->rest.n == 0 || r->rest.p[0] != c)
		return false;
	r->rest = str_from(r->rest, 1);
	return true;
}

static int read_hex4(struct reader *r, uint32_t *out)
{
	uint32_t value = 0;
	if (r->rest.n < 4)
		return ERR_SYNTAX;
	for (size_t i = 0; i < 4; i++) {
		int digit = ascii_hex_value(r->rest.p[i]);
		if (digit < 0)
			return ERR_SYNTAX;
		value = value << 4 | (uint32_t)digit;
	}
	r->rest = str_from(r->rest, 4);
	*out = value;
	return 0;
}

static size_t put_utf8(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* After "\u": a character, or the first half of a pair of surrogates. A half alone is an error. */
static int read_unicode(struct reader *r, char *out, size_t *n)
{
	uint32_t c, low;
	int err = read_hex4(r, &c);
	if (err)
		return err;
	if (c >= 0xd800 && c < 0xdc00) {
		if (!str_starts(r->rest, STR("\\u")))
			return ERR_SYNTAX;
		r->rest = str_from(r->rest, 2);
		err = read_hex4(r, &low);
		if (err || low < 0xdc00 || low > 0xdfff)
			return ERR_SYNTAX;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	} else if (c >= 0xdc00 && c < 0xe000) {
		return ERR_SYNTAX;
	}
	*n += put_utf8(c, out + *n);
	return 0;
}

static int read_escape(struct reader *r, char *out, size_t *n)
{
	static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
	if (r->rest.n == 0)
		return ERR_SYNTAX;
	char c = r->rest.p[0];
	r->rest = str_from(r->rest, 1);
	if (c == 'u')
		return read_unicode(r, out, n);
	ptrdiff_t at = str_find_byte(str_of(FROM, sizeof FROM - 1), c);
	if (at < 0)
		return ERR_SYNTAX;
	out[(*n)++] = TO[at];
	return 0;
}

/* After the opening quote. No escape becomes longer than it was. */
static int read_string(struct reader *r, struct str *out)
{
	size_t length = 0;
	while (length < r->rest.n && r->rest.p[length] != '"')
		length += r->rest.p[length] == '\\' ? 2 : 1;
	if (length >= r->rest.n)
		return ERR_SYNTAX;
	char *text = arena_alloc(r->arena, length, 1);
	size_t n = 0;
	if (!text)
		return ERR_LIMIT;
	while (r->rest.n && r->rest.p[0] != '"') {
		char c = r->rest.p[0];
		if ((unsigned char)c < 0x20)
			return ERR_SYNTAX;
		r->rest = str_from(r->rest, 1);
		if (c != '\\') {
			text[n++] = c;
			continue;
		}
		int err = read_escape(r, text, &n);
		if (err)
			return err;
	}
	if (!take(r, '"'))
		return ERR_SYNTAX;
	*out = str_of(text, n);
	return 0;
}

static size_t count_digits(struct str s)
{
	size_t n = 0;
	while (n < s.n && ascii_is_digit(s.p[n]))
		n++;
	return n;
}

/* RFC 8259, 6: [ minus ] int [ frac ] [ exp ] */
static int read_number(struct reader *r, struct str *out)
{
	struct str s = r->rest;
	size_t at = s.p[0] == '-';
	size_t digits = count_digits(str_from(s, at));
	if (digits == 0 || (digits > 1 && s.p[at] == '0'))
		return ERR_SYNTAX;
	at += digits;
	if (at < s.n && s.p[at] == '.') {
		digits = count_digits(str_from(s, at + 1));
		if (digits == 0)
			return ERR_SYNTAX;
		at += 1 + digits;
	}
	if (at < s.n && ascii_lower(s.p[at]) == 'e') {
		at++;
		at += at < s.n && (s.p[at] == '+' || s.p[at] == '-');
		digits = count_digits(str_from(s, at));
		if (digits == 0)
			return ERR_SYNTAX;
		at += digits;
	}
	*out = str_first(s, at);
	r->rest = str_from(s, at);
	return 0;
}

/* After the opening bracket: values, with keys in an object, up to the closing one. */
static int read_members(struct reader *r, bool is_object, struct json_value *out)
{
	struct json_value **at = &out->first;
	char close = is_object ? '}' : ']';
	if (take(r, close))
		return 0;
	if (++r->depth > JSON_DEPTH_MAX)
		return ERR_LIMIT;
	do {
		struct json_value *value = arena_alloc(r->arena, 1, sizeof *value);
		if (!value)
			return ERR_LIMIT;
		int err = 0;
		if (is_object)
			err = !take(r, '"') ? ERR_SYNTAX : read_string(r, &value->key);
		if (!err && is_object && !take(r, ':'))
			err = ERR_SYNTAX;
		if (!err)
			err = read_value(r, value);
		if (err)
			return err;
		*at = value;
		at = &value->next;
	} while (take(r, ','));
	r->depth--;
	return take(r, close) ? 0 : ERR_SYNTAX;
}

static bool take_word(struct reader *r, struct str word)
{
	if (!str_starts(r->rest, word))
		return false;
	r->rest = str_from(r->rest, word.n);
	return true;
}

static int read_value(struct reader *r, struct json_value *out)
{
	if (take(r, '{')) {
		out->kind = JSON_OBJECT;
		return read_members(r, true, out);
	}
	if (take(r, '[')) {
		out->kind = JSON_ARRAY;
		return read_members(r, false, out);
	}
	if (take(r, '"')) {
		out->kind = JSON_STRING;
		return read_string(r, &out->text);
	}
	if (r->rest.n == 0)
		return ERR_SYNTAX;
	if (r->rest.p[0] == '-' || ascii_is_digit(r->rest.p[0])) {
		out->kind = JSON_NUMBER;
		return read_number(r, &out->text);
	}
	if (take_word(r, STR("true")))
		out->kind = JSON_TRUE;
	else if (take_word(r, STR("false")))
		out->kind = JSON_FALSE;
	else if (take_word(r, STR("null")))
		out->kind = JSON_NULL;
	else
		return ERR_SYNTAX;
	return 0;
}

int json_parse(struct str text, struct arena *arena, struct json_value **out)
{
	struct reader r = { .rest = text, .arena = arena };
	if (!str_is_utf8(text))
		return ERR_SYNTAX;
	struct json_value *value = arena_alloc(arena, 1, sizeof *value);
	if (!value)
		return ERR_LIMIT;
	int err = read_value(&r, value);
	if (err)
		return err;
	skip_space(&r);
	if (r.rest.n)
		return ERR_SYNTAX;
	*out = value;
	return 0;
}

const struct json_value *json_member(const struct json_value *object, const char *key)
{
	if (!object || object->kind != JSON_OBJECT)
		return NULL;
	for (const struct json_value *member = object->first; member; member = member->next)
		if (str_eq(member->key, str_from_c(key)))
			return member;
	return NULL;
}

struct str json_string(const struct json_value *value)
{
	return value && value->kind == JSON_STRING ? value->text : STR("");
}

uint64_t json_u64(const struct json_value *value)
{
	uint64_t number = 0;
	if (!value || value->kind != JSON_NUMBER || str_to_u64(value->text, UINT64_MAX, &number) < 0)
		return 0;
	return number;
}

bool json_is_true(const struct json_value *value)
{
	return value && value->kind == JSON_TRUE;
}

/* Recursion is bounded by the reader's depth. */
void json_print(const struct json_value *value, struct buf *out)
{
	switch (value->kind) {
	case JSON_NULL:
		json_put_null(out);
		return;
	case JSON_FALSE:
	case JSON_TRUE:
		json_put_bool(out, value->kind == JSON_TRUE);
		return;
	case JSON_NUMBER:
		json_put_raw(out, value->text);
		return;
	case JSON_STRING:
		json_put_string(out, value->text);
		return;
	case JSON_ARRAY:
		json_begin_array(out);
		for (const struct json_value *item = value->first; item; item = item->next)
			json_print(item, out);
		json_end_array(out);
		return;
	case JSON_OBJECT:
		json_begin_object(out);
		for (const struct json_value *member = value->first; member; member = member->next) {
			json_put_string(out, member->key);
			buf_add_byte(out, ':');
			json_print(member, out);
		}
		json_end_object(out);
		return;
	}
}
