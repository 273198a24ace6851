/* past.c: the entries of a mailbox as they were. A past shares the pages of the view; a page that entries are to leave is
 * copied for the mailbox first (entries_remove), and stays as it is for the past. Owned by a session. */
#include "store/internal.h"

struct mailbox_past {
	struct page **pages; /* each held (page.pasts) */
	uint32_t n;
};

struct mailbox_past *mailbox_past_new(const struct mailbox *mailbox)
{
	struct mailbox_past *past = mem_alloc(1, sizeof *past);
	past->pages = mem_alloc(mailbox->n_pages, sizeof *past->pages);
	past->n = mailbox->n_pages;
	for (uint32_t i = 0; i < past->n; i++) {
		past->pages[i] = mailbox->pages[i];
		past->pages[i]->pasts++;
	}
	return past;
}

void mailbox_past_free(struct mailbox_past **pointer)
{
	struct mailbox_past *past = *pointer;
	*pointer = NULL;
	if (!past)
		return;
	for (uint32_t i = 0; i < past->n; i++)
		page_free(&past->pages[i]);
	mem_free(past->pages);
	mem_free(past);
}

struct past_cursor past_seek(const struct mailbox_past *past, uint32_t uid)
{
	struct past_cursor cursor = { past, pages_find(past->pages, past->n, uid), 0 };
	if (cursor.page < past->n)
		cursor.slot = page_slot(past->pages[cursor.page], uid);
	return cursor;
}

const struct entry *past_next(struct past_cursor *cursor)
{
	for (; cursor->page < cursor->past->n; cursor->page++, cursor->slot = 0) {
		const struct page *page = cursor->past->pages[cursor->page];
		if (cursor->slot < page->n)
			return &page->entries[cursor->slot++];
	}
	return NULL;
}

const struct entry *past_find(const struct mailbox_past *past, uint32_t uid)
{
	struct past_cursor cursor = past_seek(past, uid);
	const struct entry *entry = past_next(&cursor);
	return entry && entry->uid == uid ? entry : NULL;
}
