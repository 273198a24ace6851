/* Flowed text, from any bytes: the same wherever it is cut, and not longer than with a CR at each line end. */
#include "text/flowed.h"

#include <stdlib.h>

#define TEXT_MAX (4 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_in_pieces(struct str text, bool delete_space, size_t piece, struct buf *out)
{
	struct flowed_text flowed = { .delete_space = delete_space };
	for (; text.n > 0; text = str_from(text, piece))
		flowed_text_add(&flowed, str_first(text, piece), out);
	flowed_text_end(&flowed, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT(TEXT_MAX), cut = BUF_INIT(TEXT_MAX);
	struct str text = str_of((const char *)data, size);
	bool delete_space = size % 2 == 0;
	read_in_pieces(text, delete_space, TEXT_MAX, &whole);
	read_in_pieces(text, delete_space, 1 + size % 5, &cut);
	if (!str_eq(buf_str(&whole), buf_str(&cut)) || whole.n > 2 * size)
		abort();
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
