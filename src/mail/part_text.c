/* part_text.c: the readers of transfer encodings, charsets, HTML and flowed lines, one behind the other. Owned by its
 * caller; any bytes have a text. */
#include "mail/part_text.h"

#include "base/mem.h"
#include "syntax/transfer.h"
#include "text/charset.h"
#include "text/flowed.h"
#include "text/html.h"

#define TEXT_MAX (4 * 1024 * 1024) /* of one piece: charsets and HTML make it at most a few times as long */

struct part_text {
	struct buf decoded, utf8, visible;
	struct str charset; /* of the part: its name, which lives as long as the part */
	struct transfer_decoder transfer;
	struct charset_reader reader;
	struct html_text html;
	struct flowed_text flowed;
	bool is_html, is_flowed;
	bool reads; /* reader has begun, and is to be ended */
};

struct part_text *part_text_new(void)
{
	struct part_text *text = mem_alloc(1, sizeof *text);
	text->decoded = text->utf8 = text->visible = BUF_INIT(TEXT_MAX);
	return text;
}

static void leave_part(struct part_text *text)
{
	if (text->reads)
		charset_reader_end(&text->reader);
	text->reads = false;
}

void part_text_free(struct part_text **pointer)
{
	struct part_text *text = *pointer;
	*pointer = NULL;
	if (!text)
		return;
	leave_part(text);
	buf_free(&text->decoded);
	buf_free(&text->utf8);
	buf_free(&text->visible);
	mem_free(text);
}

static struct str param(const struct mime_part *part, struct str name)
{
	const struct mime_param *found = mime_param_find(&part->params, name);
	return found ? found->value : STR("");
}

void part_text_begin(struct part_text *text, const struct mime_part *part)
{
	bool is_text = str_eq(part->type, STR("text"));
	leave_part(text);
	buf_clear(&text->decoded);
	transfer_decoder_begin(&text->transfer, part->encoding);
	text->charset = str_trim(param(part, STR("charset")));
	text->html = (struct html_text){ .state = HTML_IN_TEXT };
	text->flowed = (struct flowed_text){ .delete_space = str_ieq(param(part, STR("delsp")), STR("yes")) };
	text->is_html = is_text && str_eq(part->subtype, STR("html"));
	text->is_flowed = is_text && !text->is_html && str_ieq(param(part, STR("format")), STR("flowed"));
}

/* False: the charset may be named in what follows. */
static bool begin_reading(struct part_text *text, bool last)
{
	struct str decoded = buf_str(&text->decoded);
	bool looks = text->is_html && text->charset.n == 0;
	if (looks && decoded.n < HTML_CHARSET_WITHIN && !last)
		return false;
	charset_reader_begin(&text->reader, looks ? html_charset(decoded) : text->charset);
	text->reads = true;
	return true;
}

struct str part_text_add(struct part_text *text, struct str bytes, bool last)
{
	if (text->reads)
		buf_clear(&text->decoded);
	buf_clear(&text->utf8);
	buf_clear(&text->visible);
	transfer_decoder_add(&text->transfer, bytes, &text->decoded);
	if (last)
		transfer_decoder_end(&text->transfer, &text->decoded);
	if (!text->reads && !begin_reading(text, last))
		return STR("");
	charset_reader_add(&text->reader, buf_str(&text->decoded), last, &text->utf8);
	if (text->is_html) {
		html_text_add(&text->html, buf_str(&text->utf8), &text->visible);
		if (last)
			html_text_end(&text->html, &text->visible);
		return buf_str(&text->visible);
	}
	if (text->is_flowed) {
		flowed_text_add(&text->flowed, buf_str(&text->utf8), &text->visible);
		if (last)
			flowed_text_end(&text->flowed, &text->visible);
		return buf_str(&text->visible);
	}
	return buf_str(&text->utf8);
}
