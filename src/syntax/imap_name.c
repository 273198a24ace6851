/* imap_name.c: mailbox names between UTF-8 and modified UTF-7, their rules, and LIST's patterns. Stateless; what fails
 * leaves the caller's buffer as it was. */
#include "syntax/imap_name.h"

#include "syntax/imap_print.h"
#include "text/base64.h"
#include "text/utf8.h"

#define SHIFT '&' /* begins base64; "&-" is the character itself */

static const struct str inbox = STR_INIT("INBOX");

static bool printable(uint32_t c)
{
	return c >= 0x20 && c <= 0x7e;
}

static int modified_value(char c)
{
	return c == ',' ? 63 : c == '/' ? -1 : base64_value(c);
}

/* What decode_unit has so far of a character outside the BMP. */
struct utf16 {
	uint32_t high; /* the first surrogate, 0 if there is none */
};

static bool decode_unit(struct utf16 *state, uint32_t unit, struct buf *out)
{
	bool is_low = unit >= 0xdc00 && unit <= 0xdfff;
	if ((state->high != 0) != is_low)
		return false;
	if (is_low) {
		utf8_put(out, 0x10000 + ((state->high - 0xd800) << 10) + (unit - 0xdc00));
		state->high = 0;
		return true;
	}
	if (unit >= 0xd800 && unit <= 0xdbff) {
		state->high = unit;
		return true;
	}
	if (unit == 0 || printable(unit))
		return false;
	utf8_put(out, unit);
	return true;
}

/* Base64 of UTF-16 between '&' and '-' (neither is in it; not empty). */
static bool decode_shifted(struct str text, struct buf *out)
{
	struct utf16 state = { 0 };
	uint32_t bits = 0;
	unsigned held = 0;
	for (size_t i = 0; i < text.n; i++) {
		int value = modified_value(text.p[i]);
		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held < 16)
			continue;
		held -= 16;
		if (!decode_unit(&state, bits >> held & 0xffff, out))
			return false;
		bits &= (1u << held) - 1;
	}
	return held < 6 && bits == 0 && state.high == 0;
}

static bool decode(struct str wire, struct buf *out)
{
	bool after_shift = false; /* "&...-" just ended: another one must have been part of it */
	for (size_t i = 0; i < wire.n; i++) {
		if (!printable((unsigned char)wire.p[i]))
			return false;
		if (wire.p[i] != SHIFT) {
			buf_add_byte(out, wire.p[i]);
			after_shift = false;
			continue;
		}
		struct str rest = str_from(wire, i + 1);
		ptrdiff_t n = str_find_byte(rest, '-');
		if (n < 0)
			return false;
		if (n == 0) {
			buf_add_byte(out, SHIFT);
			after_shift = false;
		} else if (after_shift || !decode_shifted(str_first(rest, (size_t)n), out)) {
			return false;
		} else {
			after_shift = true;
		}
		i += (size_t)n + 1;
	}
	return true;
}

/* Undoes what a failed conversion has written. */
static int finish(struct buf *out, size_t before, bool failed_before, bool fine)
{
	if (fine && !out->failed)
		return 0;
	int err = out->failed && !failed_before ? ERR_LIMIT : ERR_SYNTAX;
	out->n = before;
	out->failed = failed_before;
	return err;
}

int imap_utf7_decode(struct str wire, struct buf *out)
{
	size_t before = out->n;
	bool failed_before = out->failed;
	if (failed_before)
		return ERR_LIMIT;
	return finish(out, before, failed_before, decode(wire, out));
}

/* Bits that wait for a whole base64 character. */
struct shifted {
	uint32_t bits;
	unsigned held;
};

static void put_value(struct buf *out, unsigned value)
{
	buf_add_byte(out, value == 63 ? ',' : base64_char(value));
}

static void put_unit(struct shifted *state, uint32_t unit, struct buf *out)
{
	state->bits = state->bits << 16 | unit;
	state->held += 16;
	while (state->held >= 6) {
		state->held -= 6;
		put_value(out, state->bits >> state->held & 63);
	}
	state->bits &= (1u << state->held) - 1;
}

static void put_shifted(struct shifted *state, uint32_t character, struct buf *out)
{
	if (character < 0x10000) {
		put_unit(state, character, out);
		return;
	}
	put_unit(state, 0xd800 + ((character - 0x10000) >> 10), out);
	put_unit(state, 0xdc00 + ((character - 0x10000) & 0x3ff), out);
}

static void end_shift(struct shifted *state, struct buf *out)
{
	if (state->held)
		put_value(out, state->bits << (6 - state->held) & 63);
	buf_add_byte(out, '-');
	*state = (struct shifted){ 0 };
}

int imap_utf7_encode(struct str name, struct buf *out)
{
	size_t before = out->n, length;
	struct shifted state = { 0 };
	bool in_shift = false;
	if (out->failed)
		return ERR_LIMIT;
	if (!str_is_utf8(name))
		return ERR_SYNTAX;
	for (struct str rest = name; rest.n; rest = str_from(rest, length)) {
		uint32_t character = utf8_first(rest, &length);
		if (!printable(character)) {
			if (!in_shift)
				buf_add_byte(out, SHIFT);
			in_shift = true;
			put_shifted(&state, character, out);
			continue;
		}
		if (in_shift)
			end_shift(&state, out);
		in_shift = false;
		buf_add_byte(out, (char)character);
		if (character == SHIFT)
			buf_add_byte(out, '-');
	}
	if (in_shift)
		end_shift(&state, out);
	return finish(out, before, false, true);
}

void imap_put_mailbox(struct buf *out, struct str name)
{
	bool plain = true;
	for (size_t i = 0; i < name.n && plain; i++)
		plain = printable((unsigned char)name.p[i]) && name.p[i] != SHIFT;
	if (plain) {
		imap_put_astring(out, name);
		return;
	}
	/* a byte of control is the worst: "&AAE-" */
	struct buf wire = BUF_INIT(name.n * 5 + 1);
	if (imap_utf7_encode(name, &wire))
		out->failed = true;
	else
		imap_put_astring(out, buf_str(&wire));
	buf_free(&wire);
}

bool imap_name_is_inbox(struct str name)
{
	return str_ieq(name, inbox);
}

/* The first component is INBOX in any case. */
static bool begins_with_inbox(struct str name)
{
	return str_istarts(name, inbox) && (name.n == inbox.n || name.p[inbox.n] == IMAP_SEPARATOR);
}

void imap_name_normalise(char *name, size_t n)
{
	if (begins_with_inbox(str_of(name, n)))
		memcpy(name, inbox.p, inbox.n);
}

/* Control characters (C1 and Unicode's line ends too, RFC 5198) and code points that are no characters. */
static bool unwanted(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || (c & 0xfffe) == 0xfffe ||
		(c >= 0xfdd0 && c <= 0xfdef);
}

bool imap_name_bars(uint32_t character)
{
	return unwanted(character) || character == '*' || character == '%';
}

static int refuse(int err, const char *text, const char **why)
{
	*why = text;
	return err;
}

static int check_characters(struct str name, const char **why)
{
	size_t length;
	if (!str_is_utf8(name))
		return refuse(ERR_SYNTAX, "mailbox name is not valid Unicode", why);
	for (struct str rest = name; rest.n; rest = str_from(rest, length)) {
		uint32_t character = utf8_first(rest, &length);
		if (unwanted(character))
			return refuse(ERR_SYNTAX, "mailbox name has a control character", why);
		if (character == '*' || character == '%')
			return refuse(ERR_SYNTAX, "mailbox name has a wildcard", why);
	}
	return 0;
}

static int check_part(struct str part, const char **why)
{
	if (!part.n)
		return refuse(ERR_SYNTAX, "mailbox name has an empty level", why);
	if (str_eq(part, STR(".")) || str_eq(part, STR("..")))
		return refuse(ERR_SYNTAX, "mailbox name has a level . or ..", why);
	if (part.n > IMAP_NAME_PART_MAX)
		return refuse(ERR_LIMIT, "a level of the mailbox name is too long", why);
	return 0;
}

int imap_name_check(struct str name, const char **why)
{
	if (!name.n)
		return refuse(ERR_SYNTAX, "mailbox name is empty", why);
	if (name.n > IMAP_NAME_MAX)
		return refuse(ERR_LIMIT, "mailbox name is too long", why);
	int err = check_characters(name, why);
	struct str rest = name;
	for (unsigned levels = 0; !err && rest.p; levels++) {
		if (levels == IMAP_NAME_LEVELS_MAX)
			return refuse(ERR_LIMIT, "mailbox name has too many levels", why);
		err = check_part(str_cut(&rest, IMAP_SEPARATOR), why);
	}
	return err;
}

/* Bytes equal; those of INBOX at the front of the name in any case. */
static bool same_byte(char pattern, struct str name, size_t at, bool is_inbox)
{
	char byte = name.p[at];
	return pattern == byte || (is_inbox && at < inbox.n && ascii_upper(pattern) == ascii_upper(byte));
}

/* reach[j]: the pattern so far matches the first j bytes of the name. One step takes one more byte of the pattern. */
static bool match_step(char pattern, struct str name, bool is_inbox, bool *reach)
{
	bool any = false, before = reach[0];
	if (pattern == '*' || pattern == '%') {
		for (size_t j = 0; j < name.n; j++)
			if (reach[j] && (pattern == '*' || name.p[j] != IMAP_SEPARATOR))
				reach[j + 1] = true;
		return true;
	}
	reach[0] = false;
	for (size_t j = 0; j < name.n; j++) {
		bool here = before && same_byte(pattern, name, j, is_inbox);
		before = reach[j + 1];
		reach[j + 1] = here;
		any |= here;
	}
	return any;
}

bool imap_list_match(struct str pattern, struct str name)
{
	bool reach[IMAP_NAME_MAX + 1] = { false };
	bool is_inbox = begins_with_inbox(name);
	size_t same = 0;
	if (name.n > IMAP_NAME_MAX)
		return false;
	while (same < pattern.n && pattern.p[same] != '*' && pattern.p[same] != '%') {
		if (same == name.n || !same_byte(pattern.p[same], name, same, is_inbox))
			return false;
		same++;
	}
	if (same == pattern.n)
		return same == name.n;
	if (pattern.n - same == 1)
		return pattern.p[same] == '*' || str_find_byte(str_from(name, same), IMAP_SEPARATOR) < 0;
	reach[same] = true;
	for (size_t i = same; i < pattern.n; i++)
		if (!match_step(pattern.p[i], name, is_inbox, reach))
			return false;
	return reach[name.n];
}
