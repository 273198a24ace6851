/* Bodies decoded: transfer encoding, then charset, as the first byte chooses. Whatever the bytes are, the result is
 * well-formed UTF-8, and the same wherever they are cut (broken UTF-7 aside, whose converter goes on in another way where
 * it stopped at an end). */
#include "syntax/transfer.h"
#include "text/charset.h"

#include <stdlib.h>

#define TEXT_MAX (4 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct str charsets[16] = { STR_INIT("utf-8"),  STR_INIT("iso-8859-1"), STR_INIT("iso-2022-jp"), STR_INIT("gb18030"),
	                                     STR_INIT("utf-16"), STR_INIT("utf-7"),      STR_INIT("euc-kr"),      STR_INIT("big5"),
	                                     STR_INIT(""),       STR_INIT("utf-32"),     STR_INIT("shift_jis"),   STR_INIT("euc-jp") };

static void decode(enum mime_encoding encoding, struct str charset, struct str bytes, size_t piece, struct buf *out)
{
	struct transfer_decoder decoder;
	struct charset_reader reader;
	struct buf decoded = BUF_INIT(TEXT_MAX);
	transfer_decoder_begin(&decoder, encoding);
	charset_reader_begin(&reader, charset);
	for (; bytes.n; bytes = str_from(bytes, piece)) {
		buf_clear(&decoded);
		transfer_decoder_add(&decoder, str_first(bytes, piece), &decoded);
		charset_reader_add(&reader, buf_str(&decoded), false, out);
	}
	buf_clear(&decoded);
	transfer_decoder_end(&decoder, &decoded);
	charset_reader_add(&reader, buf_str(&decoded), true, out);
	charset_reader_end(&reader);
	buf_free(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT(TEXT_MAX), cut = BUF_INIT(TEXT_MAX);
	if (size == 0)
		return 0;
	enum mime_encoding encoding = data[0] & 8 ? MIME_ENCODING_BASE64 : data[0] & 16 ? MIME_ENCODING_QUOTED_PRINTABLE : MIME_ENCODING_8BIT;
	struct str charset = charsets[(data[0] & 7) + (data[0] & 32 ? 8 : 0)], bytes = str_of((const char *)data + 1, size - 1);
	decode(encoding, charset, bytes, TEXT_MAX, &whole);
	decode(encoding, charset, bytes, 1 + size % 5, &cut);
	bool same = str_eq(buf_str(&whole), buf_str(&cut)) || str_eq(charset, STR("utf-7"));
	if (!same || !str_is_utf8(buf_str(&whole)) || !str_is_utf8(buf_str(&cut)))
		abort();
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
