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

/* Converters: what iconv calls them. UTF8 is not one: it needs none; nor are UTF16 and UTF32, which are one of two:
 * iconv's own remember the byte order of one text for all others. */
#define CONVERTER_LIST(X)                                                                                              \
	X(LATIN2, "ISO-8859-2") X(LATIN3, "ISO-8859-3") X(LATIN4, "ISO-8859-4") X(CYRILLIC, "ISO-8859-5")                  \
	X(ARABIC, "ISO-8859-6") X(GREEK, "ISO-8859-7") X(HEBREW, "ISO-8859-8") X(LATIN6, "ISO-8859-10")                    \
	X(LATIN7, "ISO-8859-13") X(LATIN8, "ISO-8859-14") X(LATIN9, "ISO-8859-15") X(LATIN10, "ISO-8859-16")               \
	X(CP1250, "CP1250") X(CP1251, "CP1251") X(CP1252, "CP1252") X(CP1253, "CP1253") X(CP1254, "CP1254")                \
	X(CP1255, "CP1255") X(CP1256, "CP1256") X(CP1257, "CP1257") X(CP1258, "CP1258") X(CP874, "CP874")                  \
	X(CP437, "CP437") X(CP850, "CP850") X(CP852, "CP852") X(CP866, "CP866") X(MACINTOSH, "MACINTOSH")                  \
	X(KOI8R, "KOI8-R") X(KOI8U, "KOI8-U") X(GB18030, "GB18030") X(BIG5, "BIG5-HKSCS") X(SJIS, "CP932")                 \
	X(EUCJP, "EUC-JP") X(JIS, "ISO-2022-JP") X(EUCKR, "UHC") X(ISO2022KR, "ISO-2022-KR") X(UTF7, "UTF-7")              \
	X(UTF16LE, "UTF-16LE") X(UTF16BE, "UTF-16BE") X(UTF32LE, "UTF-32LE") X(UTF32BE, "UTF-32BE")

enum converter {
#define CONVERTER_ENUM(symbol, iconv_name) CONVERTER_##symbol,
	CONVERTER_LIST(CONVERTER_ENUM)
#undef CONVERTER_ENUM
	CONVERTER_COUNT,
	CONVERTER_UTF8 = CONVERTER_COUNT,
	CONVERTER_UTF16,
	CONVERTER_UTF32,
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
	{ STR_INIT("ansi_x3.4-1968"), CONVERTER_UTF8 },
	{ STR_INIT("iso646-us"), CONVERTER_UTF8 },
	{ STR_INIT("iso-8859-1"), CONVERTER_CP1252 },
	{ STR_INIT("iso8859-1"), CONVERTER_CP1252 },
	{ STR_INIT("iso_8859-1"), CONVERTER_CP1252 },
	{ STR_INIT("latin1"), CONVERTER_CP1252 },
	{ STR_INIT("l1"), CONVERTER_CP1252 },
	{ STR_INIT("windows-1252"), CONVERTER_CP1252 },
	{ STR_INIT("cp1252"), CONVERTER_CP1252 },
	{ STR_INIT("x-cp1252"), CONVERTER_CP1252 },
	{ STR_INIT("iso-8859-2"), CONVERTER_LATIN2 },
	{ STR_INIT("iso8859-2"), CONVERTER_LATIN2 },
	{ STR_INIT("iso_8859-2"), CONVERTER_LATIN2 },
	{ STR_INIT("latin2"), CONVERTER_LATIN2 },
	{ STR_INIT("iso-8859-3"), CONVERTER_LATIN3 },
	{ STR_INIT("iso-8859-4"), CONVERTER_LATIN4 },
	{ STR_INIT("iso-8859-5"), CONVERTER_CYRILLIC },
	{ STR_INIT("iso_8859-5"), CONVERTER_CYRILLIC },
	{ STR_INIT("iso-8859-6"), CONVERTER_ARABIC },
	{ STR_INIT("iso-8859-7"), CONVERTER_GREEK },
	{ STR_INIT("iso_8859-7"), CONVERTER_GREEK },
	{ STR_INIT("iso-8859-8"), CONVERTER_HEBREW },
	{ STR_INIT("iso-8859-8-i"), CONVERTER_HEBREW },
	{ STR_INIT("iso-8859-9"), CONVERTER_CP1254 },
	{ STR_INIT("iso_8859-9"), CONVERTER_CP1254 },
	{ STR_INIT("latin5"), CONVERTER_CP1254 },
	{ STR_INIT("iso-8859-10"), CONVERTER_LATIN6 },
	{ STR_INIT("iso-8859-11"), CONVERTER_CP874 },
	{ STR_INIT("iso-8859-13"), CONVERTER_LATIN7 },
	{ STR_INIT("iso-8859-14"), CONVERTER_LATIN8 },
	{ STR_INIT("iso-8859-15"), CONVERTER_LATIN9 },
	{ STR_INIT("iso8859-15"), CONVERTER_LATIN9 },
	{ STR_INIT("iso_8859-15"), CONVERTER_LATIN9 },
	{ STR_INIT("latin9"), CONVERTER_LATIN9 },
	{ STR_INIT("iso-8859-16"), CONVERTER_LATIN10 },
	{ STR_INIT("windows-1250"), CONVERTER_CP1250 },
	{ STR_INIT("cp1250"), CONVERTER_CP1250 },
	{ STR_INIT("windows-1251"), CONVERTER_CP1251 },
	{ STR_INIT("cp1251"), CONVERTER_CP1251 },
	{ STR_INIT("x-cp1251"), CONVERTER_CP1251 },
	{ STR_INIT("windows-1253"), CONVERTER_CP1253 },
	{ STR_INIT("cp1253"), CONVERTER_CP1253 },
	{ STR_INIT("windows-1254"), CONVERTER_CP1254 },
	{ STR_INIT("cp1254"), CONVERTER_CP1254 },
	{ STR_INIT("windows-1255"), CONVERTER_CP1255 },
	{ STR_INIT("cp1255"), CONVERTER_CP1255 },
	{ STR_INIT("windows-1256"), CONVERTER_CP1256 },
	{ STR_INIT("cp1256"), CONVERTER_CP1256 },
	{ STR_INIT("windows-1257"), CONVERTER_CP1257 },
	{ STR_INIT("cp1257"), CONVERTER_CP1257 },
	{ STR_INIT("windows-1258"), CONVERTER_CP1258 },
	{ STR_INIT("cp1258"), CONVERTER_CP1258 },
	{ STR_INIT("windows-874"), CONVERTER_CP874 },
	{ STR_INIT("tis-620"), CONVERTER_CP874 },
	{ STR_INIT("ibm437"), CONVERTER_CP437 },
	{ STR_INIT("cp437"), CONVERTER_CP437 },
	{ STR_INIT("ibm850"), CONVERTER_CP850 },
	{ STR_INIT("cp850"), CONVERTER_CP850 },
	{ STR_INIT("ibm852"), CONVERTER_CP852 },
	{ STR_INIT("cp852"), CONVERTER_CP852 },
	{ STR_INIT("ibm866"), CONVERTER_CP866 },
	{ STR_INIT("cp866"), CONVERTER_CP866 },
	{ STR_INIT("macintosh"), CONVERTER_MACINTOSH },
	{ STR_INIT("x-mac-roman"), CONVERTER_MACINTOSH },
	{ STR_INIT("koi8-r"), CONVERTER_KOI8R },
	{ STR_INIT("koi8-u"), CONVERTER_KOI8U },
	{ STR_INIT("gb2312"), CONVERTER_GB18030 },
	{ STR_INIT("gb_2312-80"), CONVERTER_GB18030 },
	{ STR_INIT("cp936"), CONVERTER_GB18030 },
	{ STR_INIT("gbk"), CONVERTER_GB18030 },
	{ STR_INIT("x-gbk"), CONVERTER_GB18030 },
	{ STR_INIT("gb18030"), CONVERTER_GB18030 },
	{ STR_INIT("big5"), CONVERTER_BIG5 },
	{ STR_INIT("big5-hkscs"), CONVERTER_BIG5 },
	{ STR_INIT("shift_jis"), CONVERTER_SJIS },
	{ STR_INIT("shift-jis"), CONVERTER_SJIS },
	{ STR_INIT("sjis"), CONVERTER_SJIS },
	{ STR_INIT("x-sjis"), CONVERTER_SJIS },
	{ STR_INIT("ms_kanji"), CONVERTER_SJIS },
	{ STR_INIT("cp932"), CONVERTER_SJIS },
	{ STR_INIT("windows-31j"), CONVERTER_SJIS },
	{ STR_INIT("euc-jp"), CONVERTER_EUCJP },
	{ STR_INIT("x-euc-jp"), CONVERTER_EUCJP },
	{ STR_INIT("iso-2022-jp"), CONVERTER_JIS },
	{ STR_INIT("cp50221"), CONVERTER_JIS },
	{ STR_INIT("euc-kr"), CONVERTER_EUCKR },
	{ STR_INIT("ks_c_5601-1987"), CONVERTER_EUCKR },
	{ STR_INIT("ksc5601"), CONVERTER_EUCKR },
	{ STR_INIT("ks_c_5601"), CONVERTER_EUCKR },
	{ STR_INIT("uhc"), CONVERTER_EUCKR },
	{ STR_INIT("cp949"), CONVERTER_EUCKR },
	{ STR_INIT("windows-949"), CONVERTER_EUCKR },
	{ STR_INIT("iso-2022-kr"), CONVERTER_ISO2022KR },
	{ STR_INIT("utf-7"), CONVERTER_UTF7 },
	{ STR_INIT("utf-16"), CONVERTER_UTF16 },
	{ STR_INIT("utf-16le"), CONVERTER_UTF16LE },
	{ STR_INIT("utf-16be"), CONVERTER_UTF16BE },
	{ STR_INIT("utf-32"), CONVERTER_UTF32 },
};

#define NO_CONVERTER ((iconv_t)-1)

/* NEC's row 13 of JIS X 0208, as cp50221 has it; 0: nothing. */
static const uint16_t nec_row_13[94] = {
	0x2460, 0x2461, 0x2462, 0x2463, 0x2464, 0x2465, 0x2466, 0x2467, 0x2468, 0x2469, 0x246a, 0x246b, 0x246c, 0x246d, 0x246e, 0x246f,
	0x2470, 0x2471, 0x2472, 0x2473, 0x2160, 0x2161, 0x2162, 0x2163, 0x2164, 0x2165, 0x2166, 0x2167, 0x2168, 0x2169, 0,      0x3349,
	0x3314, 0x3322, 0x334d, 0x3318, 0x3327, 0x3303, 0x3336, 0x3351, 0x3357, 0x330d, 0x3326, 0x3323, 0x332b, 0x334a, 0x333b, 0x339c,
	0x339d, 0x339e, 0x338e, 0x338f, 0x33c4, 0x33a1, 0,      0,      0,      0,      0,      0,      0,      0,      0x337b, 0x301d,
	0x301f, 0x2116, 0x33cd, 0x2121, 0x32a4, 0x32a5, 0x32a6, 0x32a7, 0x32a8, 0x3231, 0x3232, 0x3239, 0x337e, 0x337d, 0x337c, 0x2252,
	0x2261, 0x222b, 0x222e, 0x2211, 0x221a, 0x22a5, 0x2220, 0x221f, 0x22bf, 0x2235, 0x2229, 0x222a, 0,      0,
};

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

/* What stopped iconv is replaced, a byte at a time; returns how many bytes that takes. In ISO-2022-JP '-' stops it only
 * as the first of two bytes. */
static size_t put_unreadable(enum converter which, struct str s, struct buf *out)
{
	unsigned second = s.n > 1 ? (unsigned char)s.p[1] : 0;
	bool row_13 = which == CONVERTER_JIS && s.p[0] == '-' && second >= 0x21 && second <= 0x7e;
	uint32_t character = row_13 ? nec_row_13[second - 0x21] : 0;
	utf8_put(out, character ? character : UTF8_REPLACEMENT);
	return character ? 2 : 1;
}

/* Appends what the bytes are. Returns how many at the end are the beginning of a character, at most `may_stay`; they
 * are not read. */
static size_t convert(iconv_t converter, enum converter which, struct str bytes, size_t may_stay, struct buf *out)
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
			size_t n = put_unreadable(which, str_of(in, left), out);
			in += n;
			left -= n;
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

static size_t byte_order_mark(enum converter which)
{
	return which == CONVERTER_UTF16 ? 2 : which == CONVERTER_UTF32 ? 4 : 0;
}

/* Takes the byte order mark off the text; without one it is big-endian (RFC 2781, 4.3). */
static enum converter choose_byte_order(enum converter which, struct str *text)
{
	size_t n = byte_order_mark(which);
	if (n == 0)
		return which;
	bool big = str_starts(*text, str_from(STR("\0\0\xfe\xff"), 4 - n));
	bool little = str_starts(*text, str_first(STR("\xff\xfe\0\0"), n));
	*text = str_from(*text, big || little ? n : 0);
	if (which == CONVERTER_UTF16)
		return little ? CONVERTER_UTF16LE : CONVERTER_UTF16BE;
	return little ? CONVERTER_UTF32LE : CONVERTER_UTF32BE;
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
		utf8_put_guessed(out, bytes);
		return 0;
	}
	converter = choose_byte_order(converter, &bytes);
	if (charsets->converters[converter] == NO_CONVERTER)
		return ERR_UNSUPPORTED;
	iconv(charsets->converters[converter], NULL, NULL, NULL, NULL);
	convert(charsets->converters[converter], converter, bytes, 0, out);
	end_conversion(charsets->converters[converter], out);
	return 0;
}

bool charset_is_utf8(struct str name)
{
	enum converter converter;
	return find_converter(name, &converter) && converter == CONVERTER_UTF8;
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
	if (!find_converter(name, &converter))
		converter = CONVERTER_UTF8;
	*reader = (struct charset_reader){ .which = converter };
	if (converter < CONVERTER_COUNT)
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
	if (byte_order_mark(reader->which) > 0) {
		if (s.n < byte_order_mark(reader->which) && !last)
			return s.n;
		reader->which = choose_byte_order(reader->which, &s);
		reader->converter = open_converter(reader->which);
	}
	if (!reader->converter) {
		size_t rest = last ? 0 : unfinished(s);
		utf8_put_guessed(out, str_first(s, s.n - rest));
		return rest;
	}
	return convert(reader->converter, reader->which, s, last ? 0 : sizeof reader->held, out);
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
