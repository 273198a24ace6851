/* parcel_shot.c: see parcel_shot.h. Owned by the writer of the parcel. */
#include "store/parcel_shot.h"

#include "base/checked.h"
#include "store/readable.h"

struct shot *shot_new(struct mailbox *mailbox, uint32_t number)
{
	struct shot *shot = mem_alloc(1, sizeof *shot);
	shot->mailbox = mailbox;
	shot->number = number;
	shot->name = BUF_INIT(MAILBOX_NAME_MAX);
	return shot;
}

static void free_pages(struct shot_page *pages, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		buf_free(&pages[i].blob);
	mem_free(pages);
}

void shot_free(struct shot *shot)
{
	if (shot->mailbox)
		mailbox_close(shot->mailbox);
	for (uint32_t i = 0; i < shot->facts.n_keywords; i++)
		mem_free((char *)shot->facts.keywords[i].p);
	free_pages(shot->pages, shot->n_pages);
	buf_free(&shot->name);
	mem_free(shot);
}

bool shot_is_as_taken(const struct shot *shot, const struct mailbox *mailbox)
{
	if (shot->damaged)
		return true;
	return shot->taken && shot->facts.modseq == mailbox->modseq && shot->facts.uidnext == mailbox->uidnext &&
	       shot->facts.recent == mailbox->recent && shot->facts.n_keywords == mailbox->n_keywords &&
	       str_eq(shot->facts.name, mailbox->facts.name);
}

static void take_facts(struct shot *shot, const struct mailbox *mailbox)
{
	buf_clear(&shot->name);
	buf_add(&shot->name, mailbox->facts.name);
	for (uint32_t i = shot->facts.n_keywords; i < mailbox->n_keywords; i++)
		shot->facts.keywords[i] = str_of(mem_copy(mailbox->keywords[i]), mailbox->keywords[i].n);
	shot->facts.n_keywords = (uint32_t)mailbox->n_keywords;
	shot->facts.name = buf_str(&shot->name);
	shot->facts.uidvalidity = mailbox->facts.uidvalidity;
	shot->facts.special_use = mailbox->facts.special_use;
	shot->facts.uidnext = mailbox->uidnext;
	shot->facts.recent = mailbox->recent;
	shot->facts.modseq = mailbox->modseq;
	shot->taken = true;
}

/* Both lists are in order of uid, and so of key within a run. */
static void take_pages(struct shot *shot, const struct mailbox *mailbox)
{
	struct shot_page *fresh = mem_alloc(mailbox->n_pages + 1, sizeof *fresh);
	uint32_t n = 0, old = 0;
	for (uint32_t i = 0; i < mailbox->n_pages; i++) {
		const struct page *page = mailbox->pages[i];
		if (page->n == 0)
			continue;
		uint32_t at = old;
		while (at < shot->n_pages && shot->pages[at].key != page->key)
			at++;
		if (at < shot->n_pages)
			old = at + 1;
		struct shot_page *before = at < shot->n_pages ? &shot->pages[at] : NULL;
		if (before && before->modseq == page->modseq && before->n == page->n) {
			fresh[n++] = *before;
			before->blob = BUF_INIT(0);
			continue;
		}
		fresh[n] = (struct shot_page){ page->key, page->modseq, page->uid_base, page->n, BUF_INIT(PARCEL_FRAME_MAX) };
		page_encode(page, &fresh[n++].blob);
	}
	free_pages(shot->pages, shot->n_pages);
	shot->pages = fresh;
	shot->n_pages = n;
}

void shot_take(struct shot *shot, const struct mailbox *mailbox)
{
	take_facts(shot, mailbox);
	take_pages(shot, mailbox);
}

/* --- of what is damaged --- */

struct readable {
	struct shot *shot;
	const struct mailbox *mailbox;
};

/* Its uids must follow those before. */
static void take_page(void *owner, const struct page *page)
{
	const struct readable *readable = owner;
	struct shot *shot = readable->shot;
	if (page->n > 0 && page->entries[0].uid >= shot->facts.uidnext && page->n <= PAGE_ENTRIES) {
		if ((shot->n_pages & (shot->n_pages - 1)) == 0)
			shot->pages = mem_resize(shot->pages, shot->n_pages ? shot->n_pages * 2 : 1, sizeof *shot->pages);
		struct shot_page *copy = &shot->pages[shot->n_pages++];
		*copy = (struct shot_page){ page->key, page->modseq, page->uid_base, page->n, BUF_INIT(PARCEL_FRAME_MAX) };
		page_encode(page, &copy->blob);
		shot->messages += page->n;
		shot->bytes += page->bytes;
		shot->facts.uidnext = page->entries[page->n - 1].uid + 1;
		shot->lost_keywords |= !page_keywords_are_known(readable->mailbox, page);
	} else if (page->n > 0) {
		shot->lost = true;
	}
	shot->facts.uidnext = MAX(shot->facts.uidnext, page->uidnext);
	shot->facts.modseq = MAX(shot->facts.modseq, page->modseq);
}

int shot_take_readable(struct shot *shot, const struct mailbox *mailbox)
{
	struct readable readable = { shot, mailbox };
	take_facts(shot, mailbox);
	shot->damaged = true;
	shot->facts.uidnext = 1;
	shot->facts.modseq = 0;
	int result = readable_pages(mailbox, take_page, &readable, &shot->lost);
	shot->facts.recent = shot->facts.uidnext;
	return result;
}
