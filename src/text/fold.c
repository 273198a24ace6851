/* fold.c: folding by libunistring's tables, ASCII without them. Nothing is kept. */
#include "text/fold.h"

#include "text/utf8.h"

#include <unicase.h>
#include <uninorm.h>

/* Decompositions are applied again to what they give (RFC 5051, 2); Unicode's are at most this deep. */
#define DEPTH_MAX 8

/* What was folded and is not in `out` yet: many characters at once are cheaper than each alone. */
struct gathered {
	struct buf *out;
	char bytes[512];
	size_t n;
};

static void flush(struct gathered *g)
{
	buf_add(g->out, str_of(g->bytes, g->n));
	g->n = 0;
}

static void put(struct gathered *g, uint32_t c)
{
	if (g->n + 4 > sizeof g->bytes)
		flush(g);
	char *p = g->bytes + g->n;
	if (c < 0x80) {
		p[0] = (char)c;
		g->n += 1;
	} else if (c < 0x800) {
		p[0] = (char)(0xc0 | c >> 6);
		p[1] = (char)(0x80 | (c & 0x3f));
		g->n += 2;
	} else if (c < 0x10000) {
		p[0] = (char)(0xe0 | c >> 12);
		p[1] = (char)(0x80 | (c >> 6 & 0x3f));
		p[2] = (char)(0x80 | (c & 0x3f));
		g->n += 3;
	} else {
		flush(g);
		utf8_put(g->out, c);
	}
}

static void put_decomposed(uint32_t character, unsigned depth, struct gathered *g)
{
	ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];
	int tag;
	int n = character < 0x80 || depth == DEPTH_MAX ? -1 : uc_decomposition(character, &tag, parts);
	if (n < 0) {
		put(g, character);
		return;
	}
	for (int i = 0; i < n; i++)
		put_decomposed(parts[i], depth + 1, g);
}

static bool goes_on(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* utf8_first, quicker for what nearly all text is. */
static uint32_t first(struct str s, size_t *length)
{
	const unsigned char *p = (const unsigned char *)s.p;
	if (s.n >= 2 && p[0] >= 0xc2 && p[0] < 0xe0 && goes_on(s.p[1])) {
		*length = 2;
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	}
	if (s.n >= 3 && p[0] > 0xe0 && p[0] < 0xed && goes_on(s.p[1]) && goes_on(s.p[2])) {
		*length = 3;
		return (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	}
	return utf8_first(s, length);
}

static size_t fold_ascii(struct str s, struct buf *out)
{
	size_t n = 0;
	while (n < s.n && (unsigned char)s.p[n] < 0x80)
		n++;
	char *room = buf_reserve(out, n);
	if (!room)
		return s.n; /* out has failed */
	for (size_t i = 0; i < n; i++)
		room[i] = fold_ascii_character(s.p[i]);
	buf_commit(out, n);
	return n;
}

/* Characters beyond ASCII; what follows is ASCII, or nothing. */
static size_t fold_others(struct str s, struct buf *out)
{
	struct gathered g = { .out = out };
	size_t done = 0;
	while (done < s.n && (unsigned char)s.p[done] >= 0x80) {
		size_t length;
		uint32_t character = first(str_from(s, done), &length);
		put_decomposed(uc_totitle(character), 0, &g);
		done += length;
	}
	flush(&g);
	return done;
}

void fold_text(struct str utf8, struct buf *out)
{
	while (utf8.n) {
		utf8 = str_from(utf8, fold_ascii(utf8, out));
		utf8 = str_from(utf8, fold_others(utf8, out));
	}
}
