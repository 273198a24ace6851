/* The text of HTML, from any bytes made UTF-8: the same wherever the document is cut, not much longer than it, and
 * without blanks behind each other. */
#include "text/html.h"
#include "text/utf8.h"

#include <stdlib.h>

#define TEXT_MAX (4 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_in_pieces(struct str document, size_t piece, struct buf *out)
{
	struct html_text html = { .state = HTML_IN_TEXT };
	while (document.n > 0) {
		size_t n = piece < document.n ? piece : document.n;
		while (n < document.n && ((unsigned char)document.p[n] & 0xc0) == 0x80)
			n++;
		html_text_add(&html, str_first(document, n), out);
		document = str_from(document, n);
	}
	html_text_end(&html, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf document = BUF_INIT(TEXT_MAX), whole = BUF_INIT(TEXT_MAX), cut = BUF_INIT(TEXT_MAX);
	struct str charset = html_charset(str_of((const char *)data, size));
	if (charset.n > size || str_find_byte(charset, '>') >= 0 || str_find_byte(charset, ' ') >= 0)
		abort();
	utf8_put_repaired(&document, str_of((const char *)data, size));
	read_in_pieces(buf_str(&document), TEXT_MAX, &whole);
	read_in_pieces(buf_str(&document), 1 + size % 7, &cut);
	if (!str_eq(buf_str(&whole), buf_str(&cut)) || whole.n > 2 * document.n + 16 || !str_is_utf8(buf_str(&whole)))
		abort();
	if (str_find(buf_str(&whole), STR("  ")) >= 0 || str_find(buf_str(&whole), STR("\n ")) >= 0)
		abort();
	buf_free(&document);
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
