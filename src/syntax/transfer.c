/* transfer.c: base64 and quoted-printable, tolerant. Pure; memory is the decoder itself and `out`. */
#include "syntax/transfer.h"

#include "base/checked.h"
#include "text/base64.h"

void transfer_decoder_begin(struct transfer_decoder *decoder, enum mime_encoding encoding)
{
	*decoder = (struct transfer_decoder){ .encoding = encoding };
}

/* What is no digit is skipped (6.8); a '=' ends a unit, and what comes behind it begins another: some join encoded
 * texts. */
static void add_base64(struct transfer_decoder *d, struct str s, struct buf *out)
{
	char *room = buf_reserve(out, s.n);
	size_t n = 0;
	if (!room)
		return;
	for (size_t i = 0; i < s.n; i++) {
		for (; d->n_bits == 0 && i + 4 < s.n; i += 4) { /* whole units, as nearly all are */
			int a = base64_value(s.p[i]), b = base64_value(s.p[i + 1]);
			int c = base64_value(s.p[i + 2]), e = base64_value(s.p[i + 3]);
			if ((a | b | c | e) < 0)
				break;
			room[n++] = (char)(a << 2 | b >> 4);
			room[n++] = (char)(b << 4 | c >> 2);
			room[n++] = (char)(c << 6 | e);
		}
		int digit = base64_value(s.p[i]);
		if (s.p[i] == '=')
			d->n_bits = 0;
		if (digit < 0)
			continue;
		d->bits = d->bits << 6 | (uint32_t)digit;
		d->n_bits += 6;
		if (d->n_bits >= 8) {
			d->n_bits -= 8;
			room[n++] = (char)(d->bits >> d->n_bits);
		}
	}
	buf_commit(out, n);
}

static void hold(struct transfer_decoder *d, char c, struct buf *out)
{
	if (d->n_held == sizeof d->held) { /* no line of quoted-printable has so many blanks: they are text */
		buf_add(out, str_of(d->held, d->n_held));
		d->n_held = 0;
	}
	d->held[d->n_held++] = c;
}

static void release(struct transfer_decoder *d, struct buf *out)
{
	buf_add(out, str_of(d->held, d->n_held));
	d->n_held = 0;
}

/* Behind '=': a digit pair, or a soft line break with the blanks in front of it; anything else is text. False: the byte
 * is looked at again. */
static bool after_equals(struct transfer_decoder *d, char c, struct buf *out)
{
	char first = d->n_held > 1 ? d->held[1] : 0;
	int value = ascii_hex_value(c);
	if (c == '\n' && (d->n_held == 1 || ascii_hex_value(first) < 0)) {
		d->n_held = 0;
		return true;
	}
	if (d->n_held == 1 ? value >= 0 || c == ' ' || c == '\t' || c == '\r' :
	    (first == ' ' || first == '\t') && (c == ' ' || c == '\t' || c == '\r') && d->n_held < sizeof d->held) {
		d->held[d->n_held++] = c;
		return true;
	}
	if (d->n_held == 2 && value >= 0 && ascii_hex_value(first) >= 0) {
		buf_add_byte(out, (char)(ascii_hex_value(first) << 4 | value));
		d->n_held = 0;
		return true;
	}
	release(d, out);
	return false;
}

/* Blanks at the end of a line are not text (6.7 rule 3). */
static void add_quoted_byte(struct transfer_decoder *d, char c, struct buf *out)
{
	if (d->n_held > 0 && d->held[0] == '=' && after_equals(d, c, out))
		return;
	if (c == '=') {
		release(d, out);
		hold(d, c, out);
	} else if (c == ' ' || c == '\t') {
		hold(d, c, out);
	} else if (c == '\r' || c == '\n') {
		d->n_held = 0;
		buf_add_byte(out, c);
	} else {
		release(d, out);
		buf_add_byte(out, c);
	}
}

static void add_quoted(struct transfer_decoder *d, struct str s, struct buf *out)
{
	while (s.n > 0) {
		size_t n = 0;
		while (d->n_held == 0 && n < s.n && s.p[n] != '=' && s.p[n] != ' ' && s.p[n] != '\t')
			n++;
		buf_add(out, str_first(s, n));
		s = str_from(s, n);
		if (s.n > 0) {
			add_quoted_byte(d, s.p[0], out);
			s = str_from(s, 1);
		}
	}
}

void transfer_decoder_add(struct transfer_decoder *decoder, struct str bytes, struct buf *out)
{
	switch (decoder->encoding) {
	case MIME_ENCODING_BASE64:
		add_base64(decoder, bytes, out);
		return;
	case MIME_ENCODING_QUOTED_PRINTABLE:
		add_quoted(decoder, bytes, out);
		return;
	case MIME_ENCODING_7BIT:
	case MIME_ENCODING_8BIT:
	case MIME_ENCODING_BINARY:
	case MIME_ENCODING_OTHER:
		buf_add(out, bytes);
		return;
	}
}

void transfer_decoder_end(struct transfer_decoder *decoder, struct buf *out)
{
	if (decoder->n_held == 2 && ascii_hex_value(decoder->held[1]) >= 0) /* half a pair is text, blanks and a soft break are not */
		release(decoder, out);
	decoder->n_held = 0;
}
