/* smtp_data.c: the decoder of DATA. Pure; five states, changed only at CR, LF and at the dot that begins a line:
 *
 *            '.'            CR               LF
 *     LINE ------> DOT ---------> DOT_CR ---------> end
 *      ^  \ other   \ other        \ other: bare CR, TEXT (CR)
 *      |   v         v
 *      |   TEXT <----'  (the dot is dropped)
 *      |    | CR
 *      '--- CR   (LF: LINE; other: bare CR, TEXT)
 *
 * A piece is a run of bytes that begins after a dropped dot and ends before the next; lines inside it are walked
 * with memchr, once for CR and once for LF, and NUL is looked for once a piece. What comes out of a flawed message
 * does not matter (it is thrown away), so a CR at the end of the input is given out before it is known what
 * follows. */
#include "syntax/smtp_data.h"

#include "base/bytes16.h"

static const struct str received_name = STR_INIT("Received:");

/* Follows the header's lines by their first bytes, until the empty line. `text` has no line end in it. */
static void watch_header(struct smtp_data *data, struct str text)
{
	if (text.n == 0)
		return;
	data->line_empty = false;
	for (size_t i = 0; i < text.n && data->matched < received_name.n; i++) {
		if (ascii_lower(text.p[i]) != ascii_lower(received_name.p[data->matched])) {
			data->matched = UINT8_MAX;
			return;
		}
		data->matched++;
		data->received += data->matched == received_name.n;
	}
}

static void line_ended(struct smtp_data *data)
{
	if (data->line_empty)
		data->in_header = false;
	data->line_empty = true;
	data->matched = 0;
	data->at = SMTP_DATA_AT_LINE;
}

/* In TEXT: up to and with the next CR, or to the end. */
static const char *walk_text(struct smtp_data *data, const char *p, const char *end)
{
	const char *cr = memchr(p, '\r', (size_t)(end - p));
	const char *stop = cr ? cr : end;
	if (memchr(p, '\n', (size_t)(stop - p)))
		data->flaws |= SMTP_DATA_BARE_LF;
	if (data->in_header)
		watch_header(data, str_of(p, (size_t)(stop - p)));
	if (!cr)
		return end;
	data->at = SMTP_DATA_AT_CR;
	return cr + 1;
}

/* Behind the header only line ends and dots behind them matter: passes over whole blocks without such a dot. `p` is in
 * TEXT, with two bytes of the input before it. */
static const char *pass_blocks(struct smtp_data *data, const char *p, const char *end)
{
	const char *start = p;
	bytes16 bare_lf = { 0 }, bare_cr = { 0 };
	for (; end - p >= (ptrdiff_t)sizeof bare_lf; p += sizeof bare_lf) {
		bytes16 v = load16(p), before = load16(p - 1), second = load16(p - 2);
		bytes16 lf = (bytes16)(v == '\n'), after_cr = (bytes16)(before == '\r');
		if (any16((bytes16)(v == '.') & (bytes16)(before == '\n') & (bytes16)(second == '\r')))
			break;
		bare_lf |= lf & ~after_cr;
		bare_cr |= after_cr & ~lf;
	}
	if (p == start)
		return p;
	if (any16(bare_lf))
		data->flaws |= SMTP_DATA_BARE_LF;
	if (any16(bare_cr))
		data->flaws |= SMTP_DATA_BARE_CR;
	if (p[-1] == '\r')
		data->at = SMTP_DATA_AT_CR;
	else if (p[-1] == '\n' && p[-2] == '\r')
		data->at = SMTP_DATA_AT_LINE;
	return p;
}

/* Walks a piece: to the end of the input, or to a dot that begins a line (not part of the piece). */
static const char *walk_piece(struct smtp_data *data, const char *p, const char *end)
{
	const char *begin = p;
	while (p < end) {
		switch (data->at) {
		case SMTP_DATA_AT_CR:
			if (*p == '\n') {
				line_ended(data);
				p++;
			} else {
				data->flaws |= SMTP_DATA_BARE_CR;
				data->line_empty = false;
				data->at = SMTP_DATA_AT_TEXT;
			}
			break;
		case SMTP_DATA_AT_LINE:
			if (*p == '.')
				return p;
			data->at = SMTP_DATA_AT_TEXT;
			break;
		case SMTP_DATA_AT_TEXT:
			if (!data->in_header && p - begin >= 2 && p[-1] != '\r')
				p = pass_blocks(data, p, end);
			if (data->at == SMTP_DATA_AT_TEXT)
				p = walk_text(data, p, end);
			break;
		case SMTP_DATA_AT_DOT:
		case SMTP_DATA_AT_DOT_CR:
			return p;
		}
	}
	return end;
}

/* At a dot that begins a line, or behind it. True when the end was read; otherwise the state tells what comes next. */
static bool walk_dot(struct smtp_data *data, struct str *in)
{
	while (in->n > 0) {
		char c = in->p[0];
		if (data->at == SMTP_DATA_AT_LINE && c == '.') {
			data->at = SMTP_DATA_AT_DOT;
		} else if (data->at == SMTP_DATA_AT_DOT && c == '\r') {
			data->at = SMTP_DATA_AT_DOT_CR;
		} else if (data->at == SMTP_DATA_AT_DOT) {
			data->at = SMTP_DATA_AT_TEXT;
			return false;
		} else if (data->at == SMTP_DATA_AT_DOT_CR && c == '\n') {
			*in = str_from(*in, 1);
			return true;
		} else if (data->at == SMTP_DATA_AT_DOT_CR) {
			data->flaws |= SMTP_DATA_BARE_CR;
			data->at = c == '\r' ? SMTP_DATA_AT_CR : SMTP_DATA_AT_TEXT;
			data->line_empty = false;
			if (c != '\r')
				return false;
		} else {
			return false;
		}
		*in = str_from(*in, 1);
	}
	return false;
}

enum smtp_data_event smtp_data_next(struct smtp_data *data, struct str *in, struct str *out)
{
	if (walk_dot(data, in))
		return SMTP_DATA_END;
	if (in->n == 0)
		return SMTP_DATA_MORE;
	const char *stop = walk_piece(data, in->p, in->p + in->n);
	*out = str_of(in->p, (size_t)(stop - in->p));
	*in = str_from(*in, out->n);
	if (memchr(out->p, '\0', out->n))
		data->flaws |= SMTP_DATA_NUL;
	data->size += out->n;
	return SMTP_DATA_TEXT;
}
