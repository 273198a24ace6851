/* toml_scan.c: bytes with their places, white space, strings and numbers of TOML. The scan belongs to one toml_parse;
 * what it decodes goes to the arena of the struct toml. Errors are noted there; the caller decides whether to go on. */
#include "syntax/toml_scan.h"

#include "base/checked.h"

#include <stdarg.h>

#define NUMBER_MAX 80 /* bytes of a number: 64 binary digits, a prefix, some underscores */

/* ---- errors ---- */

int toml_fail_at(struct toml_scan *scan, int err, struct toml_place place, const char *format, ...)
{
	char text[512];
	struct toml *out = scan->out;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (out->errors_n == TOML_ERRORS_MAX)
		return err;
	struct toml_error *error = &out->errors[out->errors_n];
	struct str kept = str_of(text, n < 0 ? 0 : MIN((size_t)n, sizeof text - 1));
	error->place = place;
	if (arena_copy(&out->arena, kept, &error->text) < 0)
		error->text = STR("the file needs too much memory");
	out->errors_n++;
	if (scan->err != ERR_SYNTAX)
		scan->err = err;
	if (err == ERR_LIMIT)
		scan->ends_here = true;
	return err;
}

int toml_fail_memory(struct toml_scan *scan, struct toml_place place)
{
	return toml_fail_at(scan, ERR_LIMIT, place, "the file needs more than %d bytes of memory", TOML_ARENA_MAX);
}

/* ---- bytes ---- */

static bool at_bytes(const struct toml_scan *scan, struct str s)
{
	return str_starts(str_of(scan->p, (size_t)(scan->end - scan->p)), s);
}

bool toml_at_newline(const struct toml_scan *scan)
{
	return toml_peek(scan) == '\n' || at_bytes(scan, STR("\r\n"));
}

/* Counts lines, and characters by the bytes that begin one. */
void toml_take(struct toml_scan *scan, size_t n)
{
	for (; n > 0; n--, scan->p++) {
		if (*scan->p == '\n') {
			scan->place.line++;
			scan->place.column = 1;
		} else if (((unsigned char)*scan->p & 0xC0) != 0x80) {
			scan->place.column++;
		}
	}
}

void toml_take_newline(struct toml_scan *scan)
{
	toml_take(scan, toml_peek(scan) == '\r' ? 2 : 1);
}

bool toml_take_if(struct toml_scan *scan, char c)
{
	if (toml_peek(scan) != (unsigned char)c)
		return false;
	toml_take(scan, 1);
	return true;
}

void toml_skip_spaces(struct toml_scan *scan)
{
	while (toml_peek(scan) == ' ' || toml_peek(scan) == '\t')
		toml_take(scan, 1);
}

/* A control character other than tab has no place in comments and strings. */
static bool is_control(int c)
{
	return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7F;
}

int toml_skip_comment(struct toml_scan *scan)
{
	if (toml_peek(scan) != '#')
		return 0;
	while (scan->p < scan->end && !toml_at_newline(scan)) {
		if (is_control(toml_peek(scan)))
			return toml_fail(scan, "control character 0x%02x in a comment", toml_peek(scan));
		toml_take(scan, 1);
	}
	return 0;
}

int toml_skip_lines(struct toml_scan *scan)
{
	for (;;) {
		toml_skip_spaces(scan);
		int err = toml_skip_comment(scan);
		if (err < 0)
			return err;
		if (!toml_at_newline(scan))
			return 0;
		toml_take_newline(scan);
	}
}

bool toml_is_bare(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || c == '_' || c == '-';
}

/* ---- strings ---- */

static void text_add_character(struct toml_scan *scan, uint32_t c)
{
	struct buf *b = &scan->text;
	if (c < 0x80) {
		buf_add_byte(b, (char)c);
	} else if (c < 0x800) {
		buf_add_byte(b, (char)(0xC0 | c >> 6));
		buf_add_byte(b, (char)(0x80 | (c & 0x3F)));
	} else if (c < 0x10000) {
		buf_add_byte(b, (char)(0xE0 | c >> 12));
		buf_add_byte(b, (char)(0x80 | (c >> 6 & 0x3F)));
		buf_add_byte(b, (char)(0x80 | (c & 0x3F)));
	} else {
		buf_add_byte(b, (char)(0xF0 | c >> 18));
		buf_add_byte(b, (char)(0x80 | (c >> 12 & 0x3F)));
		buf_add_byte(b, (char)(0x80 | (c >> 6 & 0x3F)));
		buf_add_byte(b, (char)(0x80 | (c & 0x3F)));
	}
}

/* The value of a digit in any base up to 16; 16 when it is none. */
static unsigned digit_value(int c)
{
	int value = c < 0 ? -1 : ascii_hex_value((char)c);
	return value < 0 ? 16 : (unsigned)value;
}

static int escape_unicode(struct toml_scan *scan, unsigned digits)
{
	struct toml_place start = scan->place;
	uint32_t c = 0;
	toml_take(scan, 1);
	for (unsigned i = 0; i < digits; i++) {
		unsigned value = digit_value(toml_peek(scan));
		if (value == 16)
			return toml_fail(scan, "expected %u hexadecimal digits after \\%c", digits,
				digits == 4 ? 'u' : 'U');
		c = c << 4 | value;
		toml_take(scan, 1);
	}
	if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
		return toml_fail_at(scan, ERR_SYNTAX, start, "there is no Unicode character U+%X", (unsigned)c);
	text_add_character(scan, c);
	return 0;
}

/* A backslash at the end of a line takes the line end and all white space after it away. */
static bool escape_line_end(struct toml_scan *scan)
{
	const char *q = scan->p;
	while (q < scan->end && (*q == ' ' || *q == '\t'))
		q++;
	if (!str_starts(str_of(q, (size_t)(scan->end - q)), STR("\r\n")) && (q == scan->end || *q != '\n'))
		return false;
	toml_take(scan, (size_t)(q - scan->p));
	while (toml_peek(scan) == ' ' || toml_peek(scan) == '\t' || toml_at_newline(scan))
		toml_take(scan, 1);
	return true;
}

static int escape_parse(struct toml_scan *scan, bool multi_line)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	toml_take(scan, 1);
	int c = toml_peek(scan);
	const char *at = c > 0 ? strchr(from, c) : NULL;
	if (at) {
		buf_add_byte(&scan->text, to[at - from]);
		toml_take(scan, 1);
		return 0;
	}
	if (c == 'u' || c == 'U')
		return escape_unicode(scan, c == 'u' ? 4 : 8);
	if (multi_line && escape_line_end(scan))
		return 0;
	return toml_fail(scan,
		"unknown escape in a string; a backslash itself is written \\\\, or use 'single quotes'");
}

/* At a quote of a multi-line string: up to two of them may stand in it, three close it, and up to two more before these
 * belong to the text. True when it is closed. */
static bool multi_line_quotes(struct toml_scan *scan, char quote)
{
	size_t n = 0;
	while (n < 5 && (size_t)(scan->end - scan->p) > n && scan->p[n] == quote)
		n++;
	toml_take(scan, n);
	for (size_t i = n < 3 ? n : n - 3; i > 0; i--)
		buf_add_byte(&scan->text, quote);
	return n >= 3;
}

static int multi_line_parse(struct toml_scan *scan, char quote)
{
	struct toml_place start = scan->place;
	bool ends_here = scan->ends_here;
	scan->ends_here = true;
	toml_take(scan, 3);
	if (toml_at_newline(scan))
		toml_take_newline(scan);
	for (;;) {
		int c = toml_peek(scan), err = 0;
		if (c < 0)
			return toml_fail_at(scan, ERR_SYNTAX, start, "a string that is never closed");
		if (c == quote) {
			if (multi_line_quotes(scan, quote))
				break;
		} else if (c == '\\' && quote == '"') {
			err = escape_parse(scan, true);
		} else if (toml_at_newline(scan)) {
			toml_take_newline(scan);
			buf_add_byte(&scan->text, '\n');
		} else if (is_control(c)) {
			err = toml_fail(scan, "control character 0x%02x in a string", c);
		} else {
			buf_add_byte(&scan->text, (char)c);
			toml_take(scan, 1);
		}
		if (err < 0)
			return err;
	}
	scan->ends_here = ends_here;
	return 0;
}

static int single_line_parse(struct toml_scan *scan, char quote)
{
	struct toml_place start = scan->place;
	toml_take(scan, 1);
	for (;;) {
		int c = toml_peek(scan), err = 0;
		if (c < 0 || toml_at_newline(scan))
			return toml_fail_at(scan, ERR_SYNTAX, start, "a string that is not closed on its line");
		if (c == quote)
			break;
		if (c == '\\' && quote == '"') {
			err = escape_parse(scan, false);
		} else if (is_control(c)) {
			err = toml_fail(scan, "control character 0x%02x in a string", c);
		} else {
			buf_add_byte(&scan->text, (char)c);
			toml_take(scan, 1);
		}
		if (err < 0)
			return err;
	}
	toml_take(scan, 1);
	return 0;
}

int toml_string_parse(struct toml_scan *scan, bool may_be_multi_line, struct str *out)
{
	struct toml_place start = scan->place;
	char quote = *scan->p;
	buf_clear(&scan->text);
	bool multi_line = at_bytes(scan, quote == '"' ? STR("\"\"\"") : STR("'''"));
	if (multi_line && !may_be_multi_line)
		return toml_fail(scan, "a key cannot be a multi-line string");
	int err = multi_line ? multi_line_parse(scan, quote) : single_line_parse(scan, quote);
	if (err < 0)
		return err;
	if (buf_error(&scan->text) < 0)
		return toml_fail_at(scan, ERR_LIMIT, start, "a string longer than %d bytes", TOML_STRING_MAX);
	if (arena_copy(&scan->out->arena, buf_str(&scan->text), out) < 0)
		return toml_fail_memory(scan, start);
	return 0;
}

/* ---- numbers and true, false ---- */

static bool is_token(int c)
{
	return c >= 0 && (toml_is_bare((char)c) || c == '+' || c == '.' || c == ':');
}

static bool looks_like_date(struct str s)
{
	size_t digits = 0;
	while (digits < s.n && ascii_is_digit(s.p[digits]))
		digits++;
	return digits < s.n && ((digits == 4 && s.p[digits] == '-') || (digits == 2 && s.p[digits] == ':'));
}

static bool looks_like_float(struct str s)
{
	if (s.n > 0 && (s.p[0] == '+' || s.p[0] == '-'))
		s = str_from(s, 1);
	if (str_eq(s, STR("inf")) || str_eq(s, STR("nan")))
		return true;
	size_t dots = 0;
	bool sign = false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.p[i]) && !memchr("_.eE+-", s.p[i], 6))
			return false;
		sign = sign || strchr(".eE", s.p[i]);
		dots += s.p[i] == '.';
	}
	return sign && dots < 2 && s.n > 0 && ascii_is_digit(s.p[0]);
}

/* digits = digit *( [ "_" ] digit ) in the base, times the sign. ERR_SYNTAX or ERR_OVERFLOW. */
static int digits_parse(struct str s, unsigned base, int sign, int64_t *out)
{
	int64_t value = 0;
	bool after_digit = false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '_' && after_digit && i + 1 < s.n) {
			after_digit = false;
			continue;
		}
		unsigned digit = digit_value(s.p[i]);
		if (digit >= base)
			return ERR_SYNTAX;
		if (!checked_mul(value, (int64_t)base, &value) || !checked_add(value, sign * (int64_t)digit, &value))
			return ERR_OVERFLOW;
		after_digit = true;
	}
	*out = value;
	return after_digit ? 0 : ERR_SYNTAX;
}

static int integer_parse(struct str s, int64_t *out)
{
	static const struct { struct str prefix; unsigned base; } bases[] = {
		{ STR_INIT("0x"), 16 }, { STR_INIT("0o"), 8 }, { STR_INIT("0b"), 2 }
	};
	int sign = 1;
	for (size_t i = 0; i < COUNT_OF(bases); i++)
		if (str_starts(s, bases[i].prefix))
			return digits_parse(str_from(s, 2), bases[i].base, sign, out);
	if (s.n > 0 && (s.p[0] == '+' || s.p[0] == '-')) {
		sign = s.p[0] == '-' ? -1 : 1;
		s = str_from(s, 1);
	}
	if (s.n > 1 && s.p[0] == '0')
		return ERR_SYNTAX; /* no leading zeros: they would look octal */
	return digits_parse(s, 10, sign, out);
}

int toml_token_parse(struct toml_scan *scan, struct toml_entry *entry)
{
	struct toml_place start = scan->place;
	const char *begin = scan->p;
	while (is_token(toml_peek(scan)))
		toml_take(scan, 1);
	struct str s = str_of(begin, (size_t)(scan->p - begin));
	int shown = (int)MIN(s.n, (size_t)NUMBER_MAX);
	entry->type = TOML_BOOLEAN;
	entry->boolean = str_eq(s, STR("true"));
	if (entry->boolean || str_eq(s, STR("false")))
		return 0;
	entry->type = TOML_INTEGER;
	int err = s.n > NUMBER_MAX ? ERR_SYNTAX : integer_parse(s, &entry->integer);
	if (err == 0)
		return 0;
	if (err == ERR_OVERFLOW)
		return toml_fail_at(scan, ERR_SYNTAX, start, "%.*s does not fit into 64 bits", shown, s.p);
	if (s.n == 0)
		return toml_fail(scan,
			"expected a value: a \"string\", a number, true, false, an [array] or a {table}");
	if (looks_like_date(s))
		return toml_fail_at(scan, ERR_SYNTAX, start, "dates and times are not supported; write a string");
	if (looks_like_float(s))
		return toml_fail_at(scan, ERR_SYNTAX, start, "numbers with a fraction or exponent are not supported");
	return toml_fail_at(scan, ERR_SYNTAX, start, "%.*s is no value; a string needs \"quotes\"", shown, s.p);
}

/* ---- beginning and end ---- */

/* Notes the place of the first byte that is not UTF-8. */
static int utf8_fail(struct toml_scan *scan)
{
	while (scan->p < scan->end) {
		size_t n = 1, left = (size_t)(scan->end - scan->p);
		while (n < left && n < 4 && ((unsigned char)scan->p[n] & 0xC0) == 0x80)
			n++;
		if (!str_is_utf8(str_of(scan->p, n)))
			break;
		toml_take(scan, n);
	}
	return toml_fail(scan, "byte 0x%02x is not UTF-8 text", (unsigned)toml_peek(scan));
}

int toml_scan_begin(struct str text, struct toml *out, struct toml_scan *scan)
{
	const char *p = text.n ? text.p : "";
	*scan = (struct toml_scan){ .p = p, .end = p + text.n, .place = { 1, 1 }, .out = out,
		.text = BUF_INIT(TOML_STRING_MAX) };
	if (text.n > TOML_TEXT_MAX)
		return toml_fail_at(scan, ERR_LIMIT, scan->place, "the file is larger than %d bytes", TOML_TEXT_MAX);
	if (!str_is_utf8(text))
		return utf8_fail(scan);
	if (at_bytes(scan, STR("\xEF\xBB\xBF")))
		scan->p += 3; /* a byte order mark is no character of the text */
	return 0;
}

void toml_scan_end(struct toml_scan *scan)
{
	buf_free(&scan->text);
}
