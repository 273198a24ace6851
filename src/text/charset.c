/* charset.c: a table of names and iconv converters. The converters carry state while a text is converted, so the table
 * belongs to one owner and is not shared between threads. ISO-2022-CN-EXT is left out on purpose: its converter had a
 * buffer overflow (CVE-2024-2961), and nobody sends it. */
#include "text/charset.h"

#include "base/checked.h"
#include "base/mem.h"
#include "text/utf8.h"

#include <errno.h>
#include <iconv.h>

#define PIECE_BYTES 1024

/* Converters: what iconv calls them. UTF8 is not one: it needs none. */
#define CONVERTER_LIST(X)                                                                                              \
	X(LATIN2, "ISO-8859-2") X(LATIN3, "ISO-8859-3") X(LATIN4, "ISO-8859-4") X(CYRILLIC, "ISO-8859-5")                  \
	X(ARABIC, "ISO-8859-6") X(GREEK, "ISO-8859-7") X(HEBREW, "ISO-8859-8") X(LATIN6, "ISO-8859-10")                    \
	X(LATIN7, "ISO-8859-13") X(LATIN8, "ISO-8859-14") X(LATIN9, "ISO-8859-15") X(LATIN10, "ISO-8859-16")               \
	X(CP1250, "CP1250") X(CP1251, "CP1251") X(CP1252, "CP1252") X(CP1253, "CP1253") X(CP1254, "CP1254")                \
	X(CP1255, "CP1255") X(CP1256, "CP1256") X(CP1257, "CP1257") X(CP1258, "CP1258") X(CP874, "CP874")                  \
	X(CP437, "CP437") X(CP850, "CP850") X(CP852, "CP852") X(CP866, "CP866") X(MACINTOSH, "MACINTOSH")                  \
	X(KOI8R, "KOI8-R") X(KOI8U, "KOI8-U") X(GB18030, "GB18030") X(BIG5, "BIG5-HKSCS") X(SJIS, "CP932")                 \
	X(EUCJP, "EUC-JP") X(JIS, "ISO-2022-JP") X(EUCKR, "UHC") X(ISO2022KR, "ISO-2022-KR") X(UTF7, "UTF-7")              \
	X(UTF16, "UTF-16") X(UTF16LE, "UTF-16LE") X(UTF16BE, "UTF-16BE")

enum converter {
#define CONVERTER_ENUM(symbol, iconv_name) CONVERTER_##symbol,
	CONVERTER_LIST(CONVERTER_ENUM)
#undef CONVERTER_ENUM
	CONVERTER_COUNT,
	CONVERTER_UTF8 = CONVERTER_COUNT,
};

static const char *const iconv_names[CONVERTER_COUNT] = {
#define CONVERTER_NAME(symbol, iconv_name) [CONVERTER_##symbol] = iconv_name,
	CONVERTER_LIST(CONVERTER_NAME)
#undef CONVERTER_NAME
};

/* Names in mail (IANA's, and those that broken senders made up), lower case. */
static const struct {
	struct str name;
	enum converter converter;
} aliases[] = {
	{ STR_INIT("utf-8"), CONVERTER_UTF8 },
	{ STR_INIT("utf8"), CONVERTER_UTF8 },
	{ STR_INIT("us-ascii"), CONVERTER_UTF8 },
	{ STR_INIT("ascii"), CONVERTER_UTF8 },
	{ STR_INIT("iso-8859-1"), CONVERTER_CP1252 },
	{ STR_INIT("iso8859-1"), CONVERTER_CP1252 },
	{ STR_INIT("latin1"), CONVERTER_CP1252 },
	{ STR_INIT("windows-1252"), CONVERTER_CP1252 },
	{ STR_INIT("cp1252"), CONVERTER_CP1252 },
	{ STR_INIT("iso-8859-2"), CONVERTER_LATIN2 },
	{ STR_INIT("iso-8859-3"), CONVERTER_LATIN3 },
	{ STR_INIT("iso-8859-4"), CONVERTER_LATIN4 },
	{ STR_INIT("iso-8859-5"), CONVERTER_CYRILLIC },
	{ STR_INIT("iso-8859-6"), CONVERTER_ARABIC },
	{ STR_INIT("iso-8859-7"), CONVERTER_GREEK },
	{ STR_INIT("iso-8859-8"), CONVERTER_HEBREW },
	{ STR_INIT("iso-8859-8-i"), CONVERTER_HEBREW },
	{ STR_INIT("iso-8859-9"), CONVERTER_CP1254 },
	{ STR_INIT("iso-8859-10"), CONVERTER_LATIN6 },
	{ STR_INIT("iso-8859-11"), CONVERTER_CP874 },
	{ STR_INIT("iso-8859-13"), CONVERTER_LATIN7 },
	{ STR_INIT("iso-8859-14"), CONVERTER_LATIN8 },
	{ STR_INIT("iso-8859-15"), CONVERTER_LATIN9 },
	{ STR_INIT("iso8859-15"), CONVERTER_LATIN9 },
	{ STR_INIT("iso-8859-16"), CONVERTER_LATIN10 },
	{ STR_INIT("windows-1250"), CONVERTER_CP1250 },
	{ STR_INIT("windows-1251"), CONVERTER_CP1251 },
	{ STR_INIT("cp1251"), CONVERTER_CP1251 },
	{ STR_INIT("windows-1253"), CONVERTER_CP1253 },
	{ STR_INIT("windows-1254"), CONVERTER_CP1254 },
	{ STR_INIT("windows-1255"), CONVERTER_CP1255 },
	{ STR_INIT("windows-1256"), CONVERTER_CP1256 },
	{ STR_INIT("windows-1257"), CONVERTER_CP1257 },
	{ STR_INIT("windows-1258"), CONVERTER_CP1258 },
	{ STR_INIT("windows-874"), CONVERTER_CP874 },
	{ STR_INIT("tis-620"), CONVERTER_CP874 },
	{ STR_INIT("ibm437"), CONVERTER_CP437 },
	{ STR_INIT("cp437"), CONVERTER_CP437 },
	{ STR_INIT("ibm850"), CONVERTER_CP850 },
	{ STR_INIT("cp850"), CONVERTER_CP850 },
	{ STR_INIT("ibm852"), CONVERTER_CP852 },
	{ STR_INIT("ibm866"), CONVERTER_CP866 },
	{ STR_INIT("cp866"), CONVERTER_CP866 },
	{ STR_INIT("macintosh"), CONVERTER_MACINTOSH },
	{ STR_INIT("koi8-r"), CONVERTER_KOI8R },
	{ STR_INIT("koi8-u"), CONVERTER_KOI8U },
	{ STR_INIT("gb2312"), CONVERTER_GB18030 },
	{ STR_INIT("gbk"), CONVERTER_GB18030 },
	{ STR_INIT("gb18030"), CONVERTER_GB18030 },
	{ STR_INIT("big5"), CONVERTER_BIG5 },
	{ STR_INIT("big5-hkscs"), CONVERTER_BIG5 },
	{ STR_INIT("shift_jis"), CONVERTER_SJIS },
	{ STR_INIT("windows-31j"), CONVERTER_SJIS },
	{ STR_INIT("euc-jp"), CONVERTER_EUCJP },
	{ STR_INIT("iso-2022-jp"), CONVERTER_JIS },
	{ STR_INIT("euc-kr"), CONVERTER_EUCKR },
	{ STR_INIT("ks_c_5601-1987"), CONVERTER_EUCKR },
	{ STR_INIT("ksc5601"), CONVERTER_EUCKR },
	{ STR_INIT("iso-2022-kr"), CONVERTER_ISO2022KR },
	{ STR_INIT("utf-7"), CONVERTER_UTF7 },
	{ STR_INIT("utf-16"), CONVERTER_UTF16 },
	{ STR_INIT("utf-16le"), CONVERTER_UTF16LE },
	{ STR_INIT("utf-16be"), CONVERTER_UTF16BE },
};

#define NO_CONVERTER ((iconv_t)-1)

struct charsets {
	iconv_t converters[CONVERTER_COUNT];
};

struct charsets *charsets_open(void)
{
	struct charsets *charsets = mem_alloc(1, sizeof *charsets);
	for (size_t i = 0; i < CONVERTER_COUNT; i++)
		charsets->converters[i] = iconv_open("UTF-8", iconv_names[i]);
	return charsets;
}

void charsets_free(struct charsets **charsets)
{
	if (!*charsets)
		return;
	for (size_t i = 0; i < CONVERTER_COUNT; i++)
		if ((*charsets)->converters[i] != NO_CONVERTER)
			iconv_close((*charsets)->converters[i]);
	mem_free(*charsets);
	*charsets = NULL;
}

/* One piece of output; what stops iconv in the input (but for lack of room) is replaced, a byte at a time. Returns how
 * many bytes at the end are the beginning of a character, at most `may_stay`; they are not read. */
static size_t convert(iconv_t converter, struct str bytes, size_t may_stay, struct buf *out)
{
	char piece[PIECE_BYTES], *in = (char *)(uintptr_t)bytes.p; /* iconv's prototype wants it so; it only reads */
	size_t left = bytes.n;
	while (left > 0) {
		char *to = piece;
		size_t room = sizeof piece;
		size_t result = iconv(converter, &in, &left, &to, &room);
		int error = result == (size_t)-1 ? errno : 0;
		buf_add(out, str_of(piece, sizeof piece - room));
		if (error == EINVAL && left <= may_stay)
			return left;
		if (error != 0 && error != E2BIG && left > 0) {
			utf8_put(out, UTF8_REPLACEMENT);
			in++;
			left--;
		}
	}
	return 0;
}

/* What it still held back; and it is ready for another text. */
static void end_conversion(iconv_t converter, struct buf *out)
{
	char piece[PIECE_BYTES], *to = piece;
	size_t room = sizeof piece;
	iconv(converter, NULL, NULL, &to, &room);
	buf_add(out, str_of(piece, sizeof piece - room));
}

static bool find_converter(struct str name, enum converter *out)
{
	for (size_t i = 0; i < COUNT_OF(aliases); i++) {
		if (str_ieq(name, aliases[i].name)) {
			*out = aliases[i].converter;
			return true;
		}
	}
	return false;
}

int charset_to_utf8(struct charsets *charsets, struct str name, struct str bytes, struct buf *out)
{
	enum converter converter;
	if (!find_converter(name, &converter))
		return ERR_UNSUPPORTED;
	if (converter == CONVERTER_UTF8) {
		utf8_put_repaired(out, bytes);
		return 0;
	}
	if (charsets->converters[converter] == NO_CONVERTER)
		return ERR_UNSUPPORTED;
	iconv(charsets->converters[converter], NULL, NULL, NULL, NULL);
	convert(charsets->converters[converter], bytes, 0, out);
	end_conversion(charsets->converters[converter], out);
	return 0;
}

void charset_names(struct buf *out)
{
	for (size_t i = 0; i < COUNT_OF(aliases); i++) {
		if (i > 0)
			buf_add_byte(out, ' ');
		for (size_t k = 0; k < aliases[i].name.n; k++)
			buf_add_byte(out, ascii_upper(aliases[i].name.p[k]));
	}
}

/* --- in pieces --- */

/* A process that opened all charsets has their tables in memory: this opens no file. */
static void *open_converter(enum converter converter)
{
	iconv_t opened = iconv_open("UTF-8", iconv_names[converter]);
	return opened == NO_CONVERTER ? NULL : opened;
}

void charset_reader_begin(struct charset_reader *reader, struct str name)
{
	enum converter converter;
	*reader = (struct charset_reader){ .converter = NULL };
	if (!find_converter(name, &converter) || str_ieq(name, STR("us-ascii")) || str_ieq(name, STR("ascii")))
		reader->guesses = true;
	else if (converter != CONVERTER_UTF8)
		reader->converter = open_converter(converter);
}

/* Bytes at the end of s that are the beginning of a character of UTF-8. */
static size_t unfinished(struct str s)
{
	for (size_t n = 1; n <= 3 && n <= s.n; n++) {
		unsigned char c = (unsigned char)s.p[s.n - n];
		if (c >= 0xc0)
			return (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u) > n ? n : 0;
		if (c < 0x80)
			break;
	}
	return 0;
}

/* All of `s` but what it returns: that many bytes at the end wait for more. */
static size_t read_piece(struct charset_reader *reader, struct str s, bool last, struct buf *out)
{
	size_t rest = last || reader->converter ? 0 : unfinished(s);
	struct str whole = str_first(s, s.n - rest);
	if (!reader->converter && reader->guesses && !str_is_utf8(whole)) {
		reader->converter = open_converter(CONVERTER_CP1252);
		whole = s;
		rest = 0;
	}
	if (reader->converter)
		return convert(reader->converter, whole, last ? 0 : sizeof reader->held, out);
	utf8_put_repaired(out, whole);
	return rest;
}

void charset_reader_add(struct charset_reader *reader, struct str bytes, bool last, struct buf *out)
{
	char joined[PIECE_BYTES];
	while (reader->n_held > 0 && (bytes.n > 0 || last)) {
		size_t held = reader->n_held, n = MIN(bytes.n, sizeof joined - held);
		memcpy(joined, reader->held, held);
		if (n > 0)
			memcpy(joined + held, bytes.p, n);
		bytes = str_from(bytes, n);
		size_t rest = read_piece(reader, str_of(joined, held + n), last && bytes.n == 0, out);
		memcpy(reader->held, joined + held + n - rest, rest);
		reader->n_held = rest;
	}
	if (bytes.n > 0) {
		reader->n_held = read_piece(reader, bytes, last, out);
		memcpy(reader->held, bytes.p + bytes.n - reader->n_held, reader->n_held);
	}
	if (last && reader->converter)
		end_conversion(reader->converter, out);
}

void charset_reader_end(struct charset_reader *reader)
{
	if (reader->converter)
		iconv_close(reader->converter);
	reader->converter = NULL;
}
