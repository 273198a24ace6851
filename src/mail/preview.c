/* preview.c: a message's beginning through the MIME parser, its first text through decoder, charset and HTML reader, as
 * far as a few hundred characters need. Nothing is kept: it costs a fraction of a millisecond. Owned by a command. */
#include "mail/preview.h"

#include "base/checked.h"
#include "base/mem.h"
#include "syntax/transfer.h"
#include "text/charset.h"
#include "text/html.h"
#include "text/utf8.h"

#define READ_MAX 32768 /* bytes of a message */

struct mail_preview {
	struct mime_parser *parser;
	struct buf bytes, decoded, text, plain, out;
};

struct mail_preview *mail_preview_new(const struct mime_limits *limits)
{
	struct mail_preview *p = mem_alloc(1, sizeof *p);
	p->parser = mime_parser_new(limits);
	p->bytes = BUF_INIT(READ_MAX);
	p->decoded = BUF_INIT(TRANSFER_DECODED_MAX((size_t)READ_MAX));
	p->text = p->plain = BUF_INIT(8 * (size_t)READ_MAX);
	p->out = BUF_INIT(PREVIEW_MAX + 8);
	return p;
}

void mail_preview_free(struct mail_preview **preview)
{
	struct mail_preview *p = *preview;
	*preview = NULL;
	if (!p)
		return;
	mime_parser_free(&p->parser);
	buf_free(&p->bytes);
	buf_free(&p->decoded);
	buf_free(&p->text);
	buf_free(&p->plain);
	buf_free(&p->out);
	mem_free(p);
}

uint64_t mail_preview_bytes(const struct message_row *row)
{
	return MIN(row->size, (uint64_t)READ_MAX);
}

/* Not below a message in the message, and nothing that is attached. */
static bool is_shown(const struct mime_message *message, const struct mime_part *part)
{
	if (part->kind != MIME_LEAF || !str_eq(part->type, STR("text")) || str_eq(part->disposition, STR("attachment")))
		return false;
	for (uint32_t at = part->parent; at != MIME_NONE; at = message->parts[at].parent)
		if (message->parts[at].kind == MIME_MESSAGE)
			return false;
	return true;
}

static const struct mime_part *find_text(const struct mime_message *message)
{
	const struct mime_part *html = NULL;
	for (uint32_t i = 0; i < message->n_parts; i++) {
		const struct mime_part *part = &message->parts[i];
		if (!is_shown(message, part))
			continue;
		if (str_eq(part->subtype, STR("plain")))
			return part;
		if (!html && str_eq(part->subtype, STR("html")))
			html = part;
	}
	return html;
}

/* Into p->text; of HTML what a reader sees. */
static void decode(struct mail_preview *p, const struct mime_part *part, struct str body)
{
	const struct mime_param *charset = mime_param_find(&part->params, STR("charset"));
	struct transfer_decoder decoder;
	struct charset_reader reader;
	buf_clear(&p->decoded);
	buf_clear(&p->text);
	transfer_decoder_begin(&decoder, part->encoding);
	transfer_decoder_add(&decoder, body, &p->decoded);
	transfer_decoder_end(&decoder, &p->decoded);
	charset_reader_begin(&reader, charset ? charset->value : STR(""));
	charset_reader_add(&reader, buf_str(&p->decoded), true, &p->text);
	charset_reader_end(&reader);
	if (!str_eq(part->subtype, STR("html")))
		return;
	struct html_text html = { 0 };
	struct buf seen = p->plain;
	buf_clear(&seen);
	html_text_add(&html, buf_str(&p->text), &seen);
	html_text_end(&html, &seen);
	p->plain = p->text;
	p->text = seen;
}

static bool is_blank(uint32_t c)
{
	return c <= ' ' || (c >= 0x7f && c <= 0xa0) || c == 0x2028 || c == 0x2029 || c == 0x3000 || c == 0xfeff ||
	       (c >= 0x200b && c <= 0x200f) || c == 0x034f || c == 0x00ad;
}

/* Appends a line's words to p->out. False: there are enough characters. */
static bool add_line(struct mail_preview *p, struct str line, unsigned *characters)
{
	bool gap = *characters > 0;
	size_t length;
	for (; line.n > 0; line = str_from(line, length)) {
		uint32_t c = utf8_first(line, &length);
		if (is_blank(c)) {
			gap = *characters > 0;
			continue;
		}
		if (*characters + gap >= PREVIEW_CHARACTERS)
			return false;
		if (gap)
			buf_add_byte(&p->out, ' ');
		utf8_put(&p->out, c);
		*characters += 1 + gap;
		gap = false;
	}
	return true;
}

static void gather(struct mail_preview *p, bool quotes)
{
	struct str rest = buf_str(&p->text);
	unsigned characters = 0;
	bool more = true;
	buf_clear(&p->out);
	while (rest.n > 0 && more) {
		struct str line = str_cut(&rest, '\n');
		if (quotes || !str_starts(line, STR(">")))
			more = add_line(p, line, &characters);
	}
}

struct str mail_preview_of(struct mail_preview *p, struct str message)
{
	buf_clear(&p->out);
	mime_parser_reset(p->parser);
	mime_parser_feed(p->parser, message);
	const struct mime_part *part = find_text(mime_parser_finish(p->parser));
	if (!part)
		return STR("");
	uint64_t end = MIN(part->body_end, (uint64_t)message.n), start = MIN(part->body_start, end);
	decode(p, part, str_of(message.p + start, (size_t)(end - start)));
	gather(p, false);
	if (p->out.n == 0)
		gather(p, true); /* nothing but quotes */
	return buf_str(&p->out);
}

int mail_preview_make(struct mail_preview *p, struct account *account, const struct message_row *row, struct str *out)
{
	size_t n = (size_t)mail_preview_bytes(row);
	buf_clear(&p->bytes);
	char *room = buf_reserve(&p->bytes, MAX(n, (size_t)1));
	int err = room ? message_read(account, row, 0, n, room) : ERR_LIMIT;
	if (err == 0)
		*out = mail_preview_of(p, str_of(room, n));
	return err;
}
