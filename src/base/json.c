/* json.c: prints JSON into the caller's buffer; keeps no state but what is printed. Failure: the buffer's own. */
#include "base/json.h"

/* What stands before says whether a comma is due: nothing, an opening or a colon means that this value is the first. */
static void separate(struct buf *out)
{
	char last = out->n ? out->p[out->n - 1] : '\n';
	if (last != '{' && last != '[' && last != ':' && last != '\n')
		buf_add_byte(out, ',');
}

void json_begin_object(struct buf *out)
{
	separate(out);
	buf_add_byte(out, '{');
}

void json_end_object(struct buf *out)
{
	buf_add_byte(out, '}');
}

void json_begin_array(struct buf *out)
{
	separate(out);
	buf_add_byte(out, '[');
}

void json_end_array(struct buf *out)
{
	buf_add_byte(out, ']');
}

/* Length of the well-formed UTF-8 character at the front, 0 if there is none. */
static size_t character_length(struct str s)
{
	for (size_t n = 1; n <= 4 && n <= s.n; n++)
		if (str_is_utf8(str_first(s, n)))
			return n;
	return 0;
}

static void put_escaped(struct buf *out, unsigned char c)
{
	switch (c) {
	case '"':
		buf_add(out, STR("\\\""));
		break;
	case '\\':
		buf_add(out, STR("\\\\"));
		break;
	case '\n':
		buf_add(out, STR("\\n"));
		break;
	case '\r':
		buf_add(out, STR("\\r"));
		break;
	case '\t':
		buf_add(out, STR("\\t"));
		break;
	default:
		buf_addf(out, "\\u%04x", c);
	}
}

void json_put_string(struct buf *out, struct str value)
{
	separate(out);
	buf_add_byte(out, '"');
	while (value.n > 0) {
		unsigned char c = (unsigned char)value.p[0];
		size_t n = character_length(value);
		if (n == 0) {
			buf_add(out, STR("\xEF\xBF\xBD"));
			n = 1;
		} else if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f) {
			put_escaped(out, c);
		} else {
			buf_add(out, str_first(value, n));
		}
		value = str_from(value, n);
	}
	buf_add_byte(out, '"');
}

void json_key_str(struct buf *out, struct str key)
{
	json_put_string(out, key);
	buf_add_byte(out, ':');
}

void json_key(struct buf *out, const char *key)
{
	json_key_str(out, str_from_c(key));
}

void json_put_u64(struct buf *out, uint64_t value)
{
	separate(out);
	buf_add_u64(out, value);
}

void json_put_i64(struct buf *out, int64_t value)
{
	separate(out);
	if (value < 0)
		buf_add_byte(out, '-');
	buf_add_u64(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void json_put_bool(struct buf *out, bool value)
{
	json_put_raw(out, value ? STR("true") : STR("false"));
}

void json_put_null(struct buf *out)
{
	json_put_raw(out, STR("null"));
}

void json_put_raw(struct buf *out, struct str json)
{
	separate(out);
	buf_add(out, json);
}

void json_field_string(struct buf *out, const char *key, struct str value)
{
	json_key(out, key);
	json_put_string(out, value);
}

void json_field_u64(struct buf *out, const char *key, uint64_t value)
{
	json_key(out, key);
	json_put_u64(out, value);
}

void json_field_bool(struct buf *out, const char *key, bool value)
{
	json_key(out, key);
	json_put_bool(out, value);
}
