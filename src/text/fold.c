/* fold.c: folding by libunistring's tables, ASCII without them. Nothing is kept. */
#include "text/fold.h"

#include "text/utf8.h"

#include <unicase.h>
#include <uninorm.h>

/* Decompositions are applied again to what they give (RFC 5051, 2); Unicode's are at most this deep. */
#define DEPTH_MAX 8

static void put_decomposed(uint32_t character, unsigned depth, struct buf *out)
{
	ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];
	int tag;
	int n = character < 0x80 || depth == DEPTH_MAX ? -1 : uc_decomposition(character, &tag, parts);
	if (n < 0) {
		utf8_put(out, character);
		return;
	}
	for (int i = 0; i < n; i++)
		put_decomposed(parts[i], depth + 1, out);
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
		room[i] = ascii_upper(s.p[i]);
	buf_commit(out, n);
	return n;
}

void fold_text(struct str utf8, struct buf *out)
{
	while (utf8.n) {
		utf8 = str_from(utf8, fold_ascii(utf8, out));
		if (!utf8.n)
			break;
		size_t length;
		uint32_t character = utf8_first(utf8, &length);
		put_decomposed(uc_totitle(character), 0, out);
		utf8 = str_from(utf8, length);
	}
}
