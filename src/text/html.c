/* html.c: a scanner of HTML that keeps only where it is, after the tokenizer of the HTML standard, simplified: what
 * matters is which bytes a reader sees. Everything is accepted; an element, comment or quote that never ends takes the
 * rest of the document, as in browsers. Owned by its caller; nothing is allocated but in `out`. */
#include "text/html.h"

#include "base/checked.h"
#include "text/html_entities.h"
#include "text/utf8.h"

struct entity {
	const char *name;
	uint32_t character;
};

static const struct entity entities[] = {
#define HTML_ENTITY_ROW(name, character) { name, character },
	HTML_ENTITY_LIST(HTML_ENTITY_ROW)
#undef HTML_ENTITY_ROW
};

/* Elements that browsers lay out as blocks, cells or lines of their own (HTML standard, 15.3, and what older pages have).
 * Text goes on across the tags of all others, known or not. */
static const char *const block_elements[] = {
	"address", "article", "aside",  "blockquote", "body",     "br",     "caption",    "center",  "col",   "colgroup",
	"dd",      "details", "dialog", "dir",        "div",      "dl",     "dt",         "fieldset", "figcaption", "figure",
	"footer",  "form",    "frame",  "frameset",   "h1",       "h2",     "h3",         "h4",      "h5",    "h6",
	"head",    "header",  "hgroup", "hr",         "html",     "iframe", "legend",     "li",      "listing", "main",
	"marquee", "menu",    "nav",    "ol",         "optgroup", "option", "p",          "plaintext", "pre", "search",
	"section", "select",  "summary", "table",     "tbody",    "td",     "textarea",   "tfoot",   "th",    "thead",
	"title",   "tr",      "ul",     "xmp",
};

/* What of a comment was read last: its end may follow all but the first two. */
enum { COMMENT_TEXT, COMMENT_DASH, COMMENT_DASHES, COMMENT_BANG, COMMENT_OPENED, COMMENT_OPENED_DASH };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

static void name_add(struct html_text *html, char c)
{
	if (html->n_name < HTML_NAME_MAX)
		html->name[html->n_name++] = c;
	else
		html->n_name = HTML_NAME_MAX + 1;
}

static bool name_is(const struct html_text *html, const char *name)
{
	return html->n_name <= HTML_NAME_MAX && str_ieq(str_of(html->name, html->n_name), str_from_c(name));
}

/* --- writing --- */

static void fill_gap(struct html_text *html, struct buf *out)
{
	if (html->gap && html->any)
		buf_add_byte(out, html->gap);
	html->gap = 0;
	html->any = true;
}

static void put_blank(struct html_text *html)
{
	if (!html->gap)
		html->gap = ' ';
}

static void put_character(struct html_text *html, uint32_t character, struct buf *out)
{
	if (character < 0x80 && is_blank((char)character)) {
		put_blank(html);
		return;
	}
	fill_gap(html, out);
	utf8_put(out, character == 0 ? UTF8_REPLACEMENT : character);
}

static void put_bytes(struct html_text *html, struct str bytes, struct buf *out)
{
	if (bytes.n == 0)
		return;
	fill_gap(html, out);
	buf_add(out, bytes);
}

/* --- character references --- */

static bool read_number(struct str digits, uint32_t *out)
{
	bool hex = digits.n > 0 && ascii_lower(digits.p[0]) == 'x';
	uint32_t value = 0;
	if (hex)
		digits = str_from(digits, 1);
	for (size_t i = 0; i < digits.n; i++) {
		int digit = ascii_hex_value(digits.p[i]);
		if (digit < 0 || (!hex && digit > 9))
			return false;
		value = MIN(value * (hex ? 16 : 10) + (uint32_t)digit, (uint32_t)0x110000);
	}
	uint32_t meant = value < 160 ? utf8_windows_1252((unsigned char)value) : 0;
	*out = meant ? meant : value;
	return digits.n > 0;
}

static bool read_reference(struct str name, uint32_t *out)
{
	if (name.n > 0 && name.p[0] == '#')
		return read_number(str_from(name, 1), out);
	size_t low = 0, high = COUNT_OF(entities);
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = str_cmp(name, str_from_c(entities[middle].name));
		if (order == 0) {
			*out = entities[middle].character;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

/* What was read behind '&' is a character, or text as it stands. */
static void end_reference(struct html_text *html, bool semicolon, struct buf *out)
{
	uint32_t character;
	struct str name = str_of(html->name, MIN(html->n_name, HTML_NAME_MAX));
	html->state = HTML_IN_TEXT;
	if (html->n_name <= HTML_NAME_MAX && read_reference(name, &character)) {
		put_character(html, character, out);
		return;
	}
	put_bytes(html, STR("&"), out);
	put_bytes(html, name, out);
	if (semicolon)
		put_bytes(html, STR(";"), out);
}

/* --- tags --- */

static bool is_block(const struct html_text *html)
{
	for (size_t i = 0; i < COUNT_OF(block_elements); i++)
		if (ascii_lower(html->name[0]) == block_elements[i][0] && name_is(html, block_elements[i]))
			return true;
	return false;
}

static void end_tag(struct html_text *html)
{
	html->state = HTML_IN_TEXT;
	if (is_block(html))
		html->gap = '\n';
	if (html->closing || !(name_is(html, "script") || name_is(html, "style")))
		return;
	html->state = HTML_IN_RAW;
	memset(html->raw, 0, sizeof html->raw);
	memcpy(html->raw, html->name, MIN((size_t)html->n_name, sizeof html->raw - 1));
}

static void begin_name(struct html_text *html, enum html_state state, bool closing)
{
	html->state = state;
	html->n_name = 0;
	html->closing = closing;
}

/* Behind '<'. False: the byte is looked at again. */
static bool in_open(struct html_text *html, char c, struct buf *out)
{
	if (c == '/' && !html->closing) {
		html->closing = true;
		return true;
	}
	if (ascii_is_alpha(c)) {
		begin_name(html, HTML_IN_NAME, html->closing);
		return false;
	}
	if (c == '!' || c == '?' || html->closing) { /* "</" and no name: a comment, to the next '>' */
		html->state = HTML_IN_MARKUP;
		html->dashes = 0;
		return !html->closing;
	}
	put_bytes(html, STR("<"), out);
	html->state = HTML_IN_TEXT;
	return false;
}

static bool in_name(struct html_text *html, char c)
{
	if (c == '>' || c == '/' || is_blank(c)) {
		html->state = HTML_IN_TAG;
		html->in_value = false;
		return false;
	}
	name_add(html, c);
	return true;
}

static void in_tag(struct html_text *html, char c)
{
	if (c == '>') {
		end_tag(html);
	} else if ((c == '"' || c == '\'') && html->in_value) {
		html->quote = c;
		html->state = HTML_IN_QUOTES;
	} else if (!is_blank(c)) {
		html->in_value = c == '=';
	}
}

/* "<!--" opens a comment; anything else behind "<!" ends at the next '>'. dashes: 0xff where there can be no comment. */
static void in_markup(struct html_text *html, char c)
{
	if (c == '>') {
		html->state = HTML_IN_TEXT;
	} else if (c == '-' && html->dashes < 2) {
		if (++html->dashes == 2) {
			html->state = HTML_IN_COMMENT;
			html->dashes = COMMENT_OPENED;
		}
	} else {
		html->dashes = 0xff;
	}
}

/* It ends at "-->" and "--!>"; the dashes that opened it may close it too: "<!-->", "<!--->". */
static void in_comment(struct html_text *html, char c)
{
	static const uint8_t behind_a_dash[] = { [COMMENT_TEXT] = COMMENT_DASH,         [COMMENT_DASH] = COMMENT_DASHES,
		                                 [COMMENT_DASHES] = COMMENT_DASHES,     [COMMENT_BANG] = COMMENT_DASH,
		                                 [COMMENT_OPENED] = COMMENT_OPENED_DASH, [COMMENT_OPENED_DASH] = COMMENT_DASHES };
	if (c == '-')
		html->dashes = behind_a_dash[html->dashes];
	else if (c == '>' && html->dashes > COMMENT_DASH)
		html->state = HTML_IN_TEXT;
	else
		html->dashes = c == '!' && html->dashes == COMMENT_DASHES ? COMMENT_BANG : COMMENT_TEXT;
}

/* Behind "</" in a script: its end, or more of it. False: the byte is looked at again. */
static bool in_raw_name(struct html_text *html, char c)
{
	if (ascii_is_alpha(c)) {
		name_add(html, c);
		return true;
	}
	bool ends = name_is(html, html->raw) && (c == '>' || c == '/' || is_blank(c));
	html->state = ends ? HTML_IN_TAG : HTML_IN_RAW;
	html->in_value = false;
	return false;
}

static bool in_reference(struct html_text *html, char c, struct buf *out)
{
	bool goes_on = ascii_is_alpha(c) || ascii_is_digit(c) || (c == '#' && html->n_name == 0);
	if (goes_on && html->n_name < HTML_NAME_MAX) {
		name_add(html, c);
		return true;
	}
	end_reference(html, c == ';', out);
	return c == ';';
}

/* One byte of anything but text. False: it is looked at again, in another state. */
static bool step(struct html_text *html, char c, struct buf *out)
{
	switch (html->state) {
	case HTML_IN_OPEN:
		return in_open(html, c, out);
	case HTML_IN_NAME:
		return in_name(html, c);
	case HTML_IN_TAG:
		in_tag(html, c);
		return true;
	case HTML_IN_QUOTES:
		if (c == html->quote) {
			html->state = HTML_IN_TAG;
			html->in_value = false;
		}
		return true;
	case HTML_IN_MARKUP:
		in_markup(html, c);
		return true;
	case HTML_IN_COMMENT:
		in_comment(html, c);
		return true;
	case HTML_IN_RAW:
		if (c == '<')
			html->state = HTML_IN_RAW_OPEN;
		return true;
	case HTML_IN_RAW_OPEN:
		if (c == '/')
			begin_name(html, HTML_IN_RAW_NAME, true);
		else
			html->state = HTML_IN_RAW;
		return c == '/';
	case HTML_IN_RAW_NAME:
		return in_raw_name(html, c);
	case HTML_IN_REFERENCE:
		return in_reference(html, c, out);
	case HTML_IN_TEXT:
		break;
	}
	return true;
}

/* Text up to what is not text; returns how many bytes were taken, at least one. */
static size_t in_text(struct html_text *html, struct str s, struct buf *out)
{
	size_t n = 0;
	if (s.p[0] == '<') {
		begin_name(html, HTML_IN_OPEN, false);
		return 1;
	}
	if (s.p[0] == '&') {
		begin_name(html, HTML_IN_REFERENCE, false);
		return 1;
	}
	if (is_blank(s.p[0])) {
		put_blank(html);
		return 1;
	}
	while (n < s.n && s.p[n] != '<' && s.p[n] != '&' && !is_blank(s.p[n]))
		n++;
	put_bytes(html, str_first(s, n), out);
	return n;
}

void html_text_add(struct html_text *html, struct str s, struct buf *out)
{
	while (s.n > 0) {
		if (html->state == HTML_IN_TEXT)
			s = str_from(s, in_text(html, s, out));
		else if (step(html, s.p[0], out))
			s = str_from(s, 1);
	}
}

void html_text_end(struct html_text *html, struct buf *out)
{
	if (html->state == HTML_IN_REFERENCE)
		end_reference(html, false, out);
	else if (html->state == HTML_IN_OPEN)
		put_bytes(html, html->closing ? STR("</") : STR("<"), out);
}

/* --- the charset that a document names --- */

/* The name behind "charset=" in the tag, in quotes or not. */
static struct str name_behind(struct str tag)
{
	size_t n = 0;
	tag = str_trim(tag);
	if (tag.n == 0 || tag.p[0] != '=')
		return STR("");
	tag = str_trim(str_from(tag, 1));
	if (tag.n > 0 && (tag.p[0] == '"' || tag.p[0] == '\''))
		tag = str_trim(str_from(tag, 1));
	while (n < tag.n && !is_blank(tag.p[n]) && !strchr("\"';/>", tag.p[n]))
		n++;
	return str_first(tag, n);
}

struct str html_charset(struct str document)
{
	document = str_first(document, HTML_CHARSET_WITHIN);
	while (document.n > 0) {
		str_cut(&document, '<');
		if (!str_istarts(document, STR("meta")))
			continue;
		struct str tag = str_cut(&document, '>');
		for (; tag.n > 0; tag = str_from(tag, 1)) {
			if (!str_istarts(tag, STR("charset")))
				continue;
			struct str name = name_behind(str_from(tag, 7));
			bool wide = str_istarts(name, STR("utf-16")) || str_istarts(name, STR("utf-32"));
			if (name.n > 0)
				return wide ? STR("utf-8") : name;
		}
	}
	return STR("");
}
