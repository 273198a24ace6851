/* header_text.c: encoded words (RFC 2047) in header text. Pure but for the state in the converters it is given. What is
 * no well-formed encoded word stays as it is; the result is well-formed UTF-8 always. Linear in the length. */
#include "syntax/header.h"

#include "base/checked.h"
#include "syntax/header_lex.h"
#include "text/base64.h"
#include "text/utf8.h"

#define CHARSET_NAME_MAX 64

struct decoder {
	struct charsets *charsets;
	struct buf *out;
	struct buf word;    /* decoded bytes of encoded words that follow each other in one charset */
	struct str charset; /* of these */
};

struct encoded_word {
	struct str charset, text;
	char encoding; /* 'b' or 'q' */
	size_t length; /* with its signs */
};

/* "=?charset*language?B?text?=" at the start of s. *may_end becomes false when no "?=" is left in the text at all. */
static bool read_encoded_word(struct str s, struct encoded_word *word, bool *may_end)
{
	if (!str_starts(s, STR("=?")))
		return false;
	struct str rest = str_from(s, 2);
	ptrdiff_t mark = str_find_byte(str_first(rest, CHARSET_NAME_MAX), '?');
	if (mark <= 0 || (size_t)mark + 3 > rest.n || rest.p[mark + 2] != '?')
		return false;
	struct str name = str_first(rest, (size_t)mark);
	word->charset = str_cut(&name, '*'); /* RFC 2231, 5: a language may follow */
	word->encoding = ascii_lower(rest.p[mark + 1]);
	if (word->encoding != 'b' && word->encoding != 'q')
		return false;
	rest = str_from(rest, (size_t)mark + 3);
	ptrdiff_t end = str_find(rest, STR("?="));
	*may_end = end >= 0;
	if (end < 0)
		return false;
	word->text = str_first(rest, (size_t)end);
	word->length = (size_t)(rest.p + end + 2 - s.p);
	return true;
}

/* Tolerant: what is no digit is skipped, padding may be missing. */
static void decode_base64(struct str text, struct buf *out)
{
	uint32_t bits = 0;
	unsigned n_bits = 0;
	for (size_t i = 0; i < text.n; i++) {
		int digit = base64_value(text.p[i]);
		if (digit < 0)
			continue;
		bits = bits << 6 | (uint32_t)digit;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			buf_add_byte(out, (char)(bits >> n_bits));
		}
	}
}

static void decode_q(struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		int high = text.p[i] == '=' && i + 2 < text.n ? ascii_hex_value(text.p[i + 1]) : -1;
		int low = high >= 0 ? ascii_hex_value(text.p[i + 2]) : -1;
		if (low >= 0) {
			buf_add_byte(out, (char)(high << 4 | low));
			i += 2;
		} else {
			buf_add_byte(out, text.p[i] == '_' ? ' ' : text.p[i]);
		}
	}
}

/* Writes out the encoded words gathered so far. */
static void flush_words(struct decoder *d)
{
	if (d->word.n > 0 && charset_to_utf8(d->charsets, d->charset, buf_str(&d->word), d->out) != 0)
		utf8_put_guessed(d->out, buf_str(&d->word));
	buf_clear(&d->word);
}

static bool is_blank(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!lex_is_blank(s.p[i]))
			return false;
	return true;
}

static void decode(struct decoder *d, struct str s)
{
	size_t plain = 0, at = 0; /* the plain text not yet written is s[plain..at) */
	bool after_word = false, may_end = true;
	while (may_end && at < s.n) {
		struct encoded_word word;
		ptrdiff_t next = str_find(str_from(s, at), STR("=?"));
		if (next < 0)
			break;
		at += (size_t)next;
		if (!read_encoded_word(str_from(s, at), &word, &may_end)) {
			at += 2;
			continue;
		}
		struct str between = str_of(s.p + plain, at - plain);
		/* blanks between encoded words are not shown (6.2); a character cut by two words is joined again */
		bool joined = after_word && is_blank(between);
		if (!joined || !str_ieq(word.charset, d->charset))
			flush_words(d);
		if (!joined)
			utf8_put_guessed(d->out, between); /* UTF-8 (RFC 6532), or what people send */
		d->charset = word.charset;
		if (word.encoding == 'b')
			decode_base64(word.text, &d->word);
		else
			decode_q(word.text, &d->word);
		at += word.length;
		plain = at;
		after_word = true;
	}
	flush_words(d);
	utf8_put_guessed(d->out, str_from(s, plain));
}

void header_decode_text(struct str body, struct charsets *charsets, struct buf *utf8)
{
	struct buf line = BUF_INIT(body.n + 1);
	header_unfold(body, &line);
	struct decoder d = { .charsets = charsets, .out = utf8, .word = BUF_INIT(body.n + 1) };
	decode(&d, buf_str(&line));
	buf_free(&d.word);
	buf_free(&line);
}
