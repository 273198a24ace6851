/* Pages of entries: what was read is printed as the same bytes' meaning: read, print, read gives the same page, and
 * damage is an error. */
#include "store/page.h"

#define BLOB_MAX (16 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct page *page = page_new(NULL, 1, 7), *again = page_new(NULL, 1, 7);
	struct buf first = BUF_INIT(BLOB_MAX), second = BUF_INIT(BLOB_MAX);
	if (page_decode(str_of((const char *)data, size), 3, page) == 0) {
		page_encode(page, &first);
		if (buf_error(&first) < 0 || page_decode(buf_str(&first), 3, again) < 0)
			abort();
		page_encode(again, &second);
		if (!str_eq(buf_str(&first), buf_str(&second)) || again->n != page->n || again->unseen != page->unseen)
			abort();
		for (uint32_t i = 1; i < page->n; i++)
			if (page->entries[i].uid <= page->entries[i - 1].uid)
				abort();
	}
	buf_free(&first);
	buf_free(&second);
	page_free(&page);
	page_free(&again);
	return 0;
}
