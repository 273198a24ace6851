/* view.c: a mailbox's entries in memory: loading pages, finding, counting, walking. A view belongs to its mailbox
 * and serves all sessions; while nobody has the mailbox open and no page waits to be written, it can be dropped and
 * read again. Damaged pages are ERR_CORRUPT, and the view stays as it was. */
#include "store/internal.h"

#include "base/checked.h"
#include "store/readable.h"

#define RUNS_MAX    65536 /* of one mailbox */
#define SLICE_PAGES 128   /* read at a time, where others wait: about 15,000 entries */

/* --- memory --- */

static void count_bytes(struct mailbox *mailbox)
{
	struct store *store = mailbox->account->store;
	uint64_t bytes = 0;
	if (mailbox->n_pages > 0) {
		const struct page *last = mailbox->pages[mailbox->n_pages - 1];
		bytes = (mailbox->n_pages - 1) * (sizeof *last + PAGE_ENTRIES * sizeof(struct entry)) + sizeof *last +
		        last->size * sizeof(struct entry);
	}
	store->view_bytes += bytes - mailbox->bytes;
	mailbox->bytes = bytes;
}

static void push_page(struct mailbox *mailbox, struct page *page)
{
	if (mailbox->n_pages == mailbox->size_pages) {
		mailbox->size_pages = mailbox->size_pages ? mailbox->size_pages * 2 : 1;
		mailbox->pages = mem_resize(mailbox->pages, mailbox->size_pages, sizeof(struct page *));
		mailbox->below = mem_resize(mailbox->below, mailbox->size_pages, sizeof *mailbox->below);
	}
	mailbox->below[mailbox->n_pages] = mailbox->count;
	mailbox->pages[mailbox->n_pages++] = page;
}

struct run {
	uint64_t number;
	uint32_t uid_base;
	uint64_t modseq;
};

/* Pages before those that are in memory, as far as they were read. They cannot change meanwhile: whoever wants to
 * change them reads the rest first. */
struct view_loading {
	bool *damaged;        /* what cannot be read is passed over, and told here; NULL: it ends the loading */
	struct run *runs;
	uint32_t n_runs, run; /* run: the one that is read */
	uint64_t next;        /* key in that run to go on at */
	struct page **pages;
	uint32_t n, last_uid;
};

static void loading_free(struct mailbox *mailbox)
{
	struct view_loading *loading = mailbox->loading;
	mailbox->loading = NULL;
	if (!loading)
		return;
	for (uint32_t i = 0; i < loading->n; i++)
		page_free(&loading->pages[i]);
	mem_free(loading->pages);
	mem_free(loading->runs);
	mem_free(loading);
}

void view_drop(struct mailbox *mailbox)
{
	for (uint32_t i = 0; i < mailbox->n_pages; i++) {
		page_unmark_dirty(mailbox->pages[i]);
		page_free(&mailbox->pages[i]);
	}
	mailbox->n_pages = mailbox->size_pages = 0;
	loading_free(mailbox);
	count_bytes(mailbox);
	mem_free(mailbox->pages);
	mem_free(mailbox->below);
	mailbox->pages = NULL;
	mailbox->below = NULL;
	mailbox->view = VIEW_NONE;
}

bool view_is_dirty(const struct mailbox *mailbox)
{
	for (uint32_t i = 0; i < mailbox->n_pages; i++)
		if (mailbox->pages[i]->dirty_link)
			return true;
	return false;
}

/* Everything that follows from the pages: call after pages or entries came or went in the middle. */
void view_recount(struct mailbox *mailbox)
{
	mailbox->count = mailbox->unseen = 0;
	mailbox->size = 0;
	for (uint32_t i = 0; i < mailbox->n_pages; i++) {
		mailbox->below[i] = mailbox->count;
		mailbox->count += mailbox->pages[i]->n;
		mailbox->unseen += mailbox->pages[i]->unseen;
		mailbox->size += mailbox->pages[i]->bytes;
		mailbox->modseq = MAX(mailbox->modseq, mailbox->pages[i]->modseq);
	}
	count_bytes(mailbox);
}

/* --- loading --- */

static int read_run(sqlite3_stmt *row, struct run *out)
{
	if (!db_column_between(row, 0, 1, RUN_NUMBER_MAX) || !db_column_between(row, 1, 0, UINT32_MAX - 1) ||
	    !db_column_between(row, 2, 0, NUMBER_MAX))
		return ERR_CORRUPT;
	*out = (struct run){ (uint64_t)db_column_int(row, 0), (uint32_t)db_column_int(row, 1),
		                 (uint64_t)db_column_int(row, 2) };
	return 0;
}

bool page_keywords_are_known(const struct mailbox *mailbox, const struct page *page)
{
	struct keyword_bits bits;
	bool known = true;
	for (uint32_t i = 0; i < page->n && page->words > 0 && known; i++) {
		page_keywords(page, i, &bits);
		for (size_t bit = mailbox->n_keywords; bit < KEYWORDS_MAX && known; bit++)
			known = !(bits.word[bit / 64] >> (bit % 64) & 1);
	}
	return known;
}

/* anyhow: its keywords are not looked at. */
static int read_page(struct mailbox *mailbox, const struct run *run, bool anyhow, sqlite3_stmt *row, struct page **out)
{
	struct page *page = page_new(mailbox, (uint64_t)db_column_int(row, 0), run->uid_base);
	int result = page_decode(db_column_blob(row, 1), run->modseq, page);
	if (result == 0 && (page->n > PAGE_ENTRIES || (!anyhow && !page_keywords_are_known(mailbox, page))))
		result = ERR_CORRUPT;
	if (result < 0)
		page_free(&page);
	else
		*out = page;
	return result;
}

/* The run's pages from a key on. */
static void bind_pages(sqlite3_stmt *pages, const struct run *run, uint64_t from)
{
	db_bind_int(pages, 1, (int64_t)MAX(from, run->number << 32));
	db_bind_int(pages, 2, (int64_t)(run->number << 32 | UINT32_MAX));
}

/* The last page only: enough to append to. */
static int load_tail(struct mailbox *mailbox)
{
	struct statements *sql = &mailbox->account->store->sql;
	DB_USING(runs, sql->run_last);
	DB_USING(pages, sql->page_last);
	struct page *page;
	db_bind_int(runs, 1, mailbox->facts.number);
	int row = db_step(runs);
	if (row != DB_ROW)
		return row == DB_DONE ? ERR_CORRUPT : row;
	struct run run;
	row = read_run(runs, &run);
	if (row < 0)
		return row;
	bind_pages(pages, &run, 0);
	row = db_step(pages);
	if (row < 0)
		return row;
	if (row == DB_ROW) {
		int result = read_page(mailbox, &run, false, pages, &page);
		if (result < 0)
			return result;
		if (page->uidnext == 0 || (page->n > 0 && page->entries[page->n - 1].uid >= page->uidnext)) {
			page_free(&page);
			return ERR_CORRUPT;
		}
	} else {
		page = page_new(mailbox, run.number << 32, run.uid_base);
		page->uidnext = page->recent = run.uid_base + 1;
	}
	mailbox->count = mailbox->unseen = 0;
	push_page(mailbox, page);
	mailbox->uidnext = page->uidnext;
	mailbox->recent = page->recent;
	mailbox->modseq = page->modseq;
	mailbox->view = VIEW_TAIL;
	count_bytes(mailbox);
	return 0;
}

static int list_runs(struct mailbox *mailbox, struct run **out, uint32_t *n)
{
	DB_USING(runs, mailbox->account->store->sql.run_list);
	int row;
	*out = NULL;
	*n = 0;
	db_bind_int(runs, 1, mailbox->facts.number);
	while ((row = db_step(runs)) == DB_ROW) {
		struct run run;
		if (*n >= RUNS_MAX || read_run(runs, &run) < 0)
			return ERR_CORRUPT;
		*out = mem_resize(*out, *n + 1, sizeof **out);
		(*out)[(*n)++] = run;
	}
	return row;
}

static void take_page(struct view_loading *loading, struct page *page)
{
	loading->last_uid = page->entries[page->n - 1].uid;
	if ((loading->n & (loading->n - 1)) == 0)
		loading->pages = mem_resize(loading->pages, loading->n ? loading->n * 2 : 1, sizeof(struct page *));
	loading->pages[loading->n++] = page;
}

/* Do the entries of the page lie between those before it and those in memory? */
static bool page_fits(const struct mailbox *mailbox, const struct page *page)
{
	const struct view_loading *loading = mailbox->loading;
	const struct page *first = mailbox->pages[0];
	return page->n > 0 && page->entries[0].uid > loading->last_uid &&
	       (!loading->damaged || first->n == 0 || page->entries[page->n - 1].uid < first->entries[0].uid);
}

/* At most `max` further pages of the run that is read; uids must go on growing. *done: it has no more, or what follows
 * is in memory. */
static int load_run(struct mailbox *mailbox, uint32_t max, bool *done)
{
	DB_USING(pages, mailbox->account->store->sql.page_list);
	struct view_loading *loading = mailbox->loading;
	const struct run *run = &loading->runs[loading->run];
	int row = DB_ROW;
	bind_pages(pages, run, loading->next);
	for (uint32_t n = 0; n < max && (row = db_step(pages)) == DB_ROW; n++) {
		struct page *page;
		loading->next = (uint64_t)db_column_int(pages, 0);
		if (loading->next++ == mailbox->pages[0]->key) {
			*done = true;
			return 0;
		}
		int result = read_page(mailbox, run, loading->damaged != NULL, pages, &page);
		if (result == 0 && page_fits(mailbox, page)) {
			take_page(loading, page);
			continue;
		}
		if (result == 0)
			page_free(&page);
		if (!loading->damaged)
			return ERR_CORRUPT;
		*loading->damaged = true;
	}
	*done = row == DB_DONE;
	return row < 0 ? row : 0;
}

/* All runs were read: their pages come before those in memory. */
static int join_pages(struct mailbox *mailbox)
{
	struct view_loading *loading = mailbox->loading;
	if (mailbox->pages[0]->n > 0 && mailbox->pages[0]->entries[0].uid <= loading->last_uid)
		return ERR_CORRUPT;
	mailbox->size_pages = loading->n + mailbox->n_pages;
	struct page **all = mem_alloc(mailbox->size_pages, sizeof *all);
	if (loading->n)
		memcpy(all, loading->pages, loading->n * sizeof *all);
	memcpy(all + loading->n, mailbox->pages, mailbox->n_pages * sizeof *all);
	mem_free(mailbox->pages);
	mailbox->pages = all;
	mailbox->below = mem_resize(mailbox->below, mailbox->size_pages, sizeof *mailbox->below);
	mailbox->n_pages += loading->n;
	loading->n = 0;
	mailbox->view = VIEW_FULL;
	view_recount(mailbox);
	return 0;
}

/* Of the pages before those that are in memory, about `max`. They are all there when the view is VIEW_FULL. `damaged` as in
 * view_loading. */
static int load_rest(struct mailbox *mailbox, uint32_t max, bool *damaged)
{
	struct view_loading *loading = mailbox->loading;
	int result = 0;
	bool done = false;
	if (!loading) {
		loading = mailbox->loading = mem_alloc(1, sizeof *loading);
		loading->damaged = damaged;
		result = list_runs(mailbox, &loading->runs, &loading->n_runs);
	}
	uint32_t end = max < UINT32_MAX - loading->n ? loading->n + max : UINT32_MAX;
	while (result == 0 && loading->n < end && loading->run < loading->n_runs) {
		result = load_run(mailbox, end - loading->n, &done);
		if (result == 0 && done) {
			loading->run++;
			loading->next = 0;
		}
	}
	bool read = result == 0 && loading->run >= loading->n_runs;
	if (read)
		result = join_pages(mailbox);
	if (read || result < 0)
		loading_free(mailbox);
	return result;
}

int view_load(struct mailbox *mailbox, enum view_state wanted)
{
	int result = 0;
	if (mailbox->gone)
		return ERR_NOT_FOUND;
	if (mailbox->view == VIEW_NONE)
		result = load_tail(mailbox);
	if (result == 0 && wanted == VIEW_FULL && mailbox->view != VIEW_FULL)
		result = load_rest(mailbox, UINT32_MAX, NULL);
	return store_met(mailbox->account->store, result);
}

/* A page of a mailbox of which SQLite itself cannot read others; those before it are in the view. */
static void take_readable(void *owner, const struct page *page)
{
	struct mailbox *mailbox = owner;
	const struct page *last = mailbox->n_pages ? mailbox->pages[mailbox->n_pages - 1] : NULL;
	struct buf *blob = &mailbox->account->store->scratch;
	if (page->n == 0 || page->n > PAGE_ENTRIES || (last && page->entries[0].uid <= last->entries[last->n - 1].uid))
		return;
	struct page *copy = page_new(mailbox, page->key, page->uid_base);
	buf_clear(blob);
	page_encode(page, blob);
	if (page_decode(buf_str(blob), 0, copy) == 0)
		push_page(mailbox, copy);
	else
		page_free(&copy);
}

static int rebuild(struct mailbox *mailbox)
{
	bool lost = false;
	view_drop(mailbox);
	int result = readable_pages(mailbox, take_readable, mailbox, &lost);
	if (mailbox->n_pages == 0)
		push_page(mailbox, page_new(mailbox, 0, 0));
	mailbox->view = VIEW_FULL;
	view_recount(mailbox);
	return result;
}

int view_load_readable(struct mailbox *mailbox, bool *damaged, bool *torn)
{
	int result = view_load(mailbox, VIEW_FULL);
	*damaged = result == ERR_CORRUPT;
	*torn = false;
	if (!*damaged)
		return result;
	if (mailbox->view == VIEW_NONE) { /* in place of the last page, one that is in no run */
		push_page(mailbox, page_new(mailbox, 0, 0));
		mailbox->view = VIEW_TAIL;
	}
	result = load_rest(mailbox, UINT32_MAX, damaged);
	*torn = result == ERR_CORRUPT;
	return *torn ? rebuild(mailbox) : result;
}

static void hold(struct mailbox *mailbox)
{
	if (mailbox->holds++ == 0)
		mailbox->changes_floor = mailbox->modseq;
	mailbox->account->holds++;
}

int mailbox_open(struct mailbox *mailbox)
{
	int result = view_load(mailbox, VIEW_FULL);
	if (result == 0)
		hold(mailbox);
	return result;
}

int mailbox_open_begin(struct mailbox *mailbox)
{
	int result = view_load(mailbox, VIEW_TAIL);
	if (result == 0)
		hold(mailbox);
	return result;
}

int mailbox_open_step(struct mailbox *mailbox, bool *done)
{
	int result = view_load(mailbox, VIEW_TAIL); /* a void batch may have dropped it */
	if (result == 0 && mailbox->view != VIEW_FULL)
		result = load_rest(mailbox, SLICE_PAGES, NULL);
	if (result == 0)
		*done = mailbox->view == VIEW_FULL;
	return store_met(mailbox->account->store, result);
}

void mailbox_close(struct mailbox *mailbox)
{
	struct account *account = mailbox->account;
	if (--mailbox->holds == 0) {
		changes_forget(mailbox);
		bool listed = false; /* a deleted mailbox is nobody's any more; one of a gone account is freed with it */
		for (size_t i = 0; i < account->n_mailboxes && mailbox->gone; i++)
			listed |= account->mailboxes[i] == mailbox;
		if (mailbox->gone && !listed)
			mailbox_free(&mailbox);
	}
	account_close(&account);
}

/* --- appending --- */

void view_attach(struct mailbox *mailbox, struct page **pages, uint32_t n)
{
	uint64_t messages = 0, bytes = 0;
	for (uint32_t i = 0; i < n; i++) {
		pages[i]->mailbox = mailbox;
		push_page(mailbox, pages[i]);
		messages += pages[i]->n;
		bytes += pages[i]->bytes;
	}
	account_count_added(mailbox->account, messages, bytes);
	view_recount(mailbox);
}

struct page *view_page_for_append(struct mailbox *mailbox)
{
	struct page *last = mailbox->pages[mailbox->n_pages - 1];
	if (last->n < PAGE_ENTRIES)
		return last;
	push_page(mailbox, page_new(mailbox, last->key + 1, last->uid_base));
	count_bytes(mailbox);
	return mailbox->pages[mailbox->n_pages - 1];
}

void view_mark_last(struct mailbox *mailbox)
{
	if (mailbox->n_pages == 0)
		return; /* dropped with its account */
	struct page *last = mailbox->pages[mailbox->n_pages - 1];
	last->uidnext = mailbox->uidnext;
	last->recent = mailbox->recent;
	last->modseq = MAX(last->modseq, mailbox->modseq);
	page_mark_dirty(last);
}

uint32_t mailbox_take_recent(struct mailbox *mailbox)
{
	uint32_t first = mailbox->recent;
	if (first != mailbox->uidnext) {
		mailbox->recent = mailbox->uidnext;
		view_mark_last(mailbox); /* written with the next batch, whoever begins it: no batch is worth it */
	}
	return first;
}

/* --- reading --- */

uint32_t mailbox_count(const struct mailbox *mailbox)
{
	return mailbox->count;
}

uint32_t mailbox_uidnext(const struct mailbox *mailbox)
{
	return mailbox->uidnext;
}

/* 0, of a mailbox where nothing has happened yet, is none that a client could be told (RFC 7162, 7). No message has
 * 1 (account_next_modseq), so nobody who knows 1 misses one. */
uint64_t mailbox_modseq(const struct mailbox *mailbox)
{
	return MAX(mailbox->modseq, UINT64_C(1));
}

/* The first page that has an entry with this uid or a larger one; n_pages if none. */
uint32_t view_page_of(const struct mailbox *mailbox, uint32_t uid)
{
	return pages_find(mailbox->pages, mailbox->n_pages, uid);
}

struct entry_cursor entry_seek(const struct mailbox *mailbox, uint32_t uid)
{
	struct entry_cursor cursor = { mailbox, view_page_of(mailbox, uid), 0 };
	if (cursor.page < mailbox->n_pages)
		cursor.slot = page_slot(mailbox->pages[cursor.page], uid);
	return cursor;
}

const struct entry *entry_next(struct entry_cursor *cursor)
{
	while (cursor->page < cursor->mailbox->n_pages) {
		const struct page *page = cursor->mailbox->pages[cursor->page];
		if (cursor->slot < page->n)
			return &page->entries[cursor->slot++];
		cursor->page++;
		cursor->slot = 0;
	}
	return NULL;
}

const struct entry *entry_find(const struct mailbox *mailbox, uint32_t uid)
{
	struct entry_cursor cursor = entry_seek(mailbox, uid);
	const struct entry *entry = entry_next(&cursor);
	return entry && entry->uid == uid ? entry : NULL;
}

void entry_keywords(const struct mailbox *mailbox, const struct entry *entry, struct keyword_bits *out)
{
	uint32_t at = mailbox->n_keywords ? view_page_of(mailbox, entry->uid) : mailbox->n_pages;
	if (at < mailbox->n_pages)
		page_keywords(mailbox->pages[at], page_slot(mailbox->pages[at], entry->uid), out);
	else
		*out = (struct keyword_bits){ { 0 } };
}

uint32_t mailbox_count_below(const struct mailbox *mailbox, uint32_t uid)
{
	uint32_t at = view_page_of(mailbox, uid);
	return at < mailbox->n_pages ? mailbox->below[at] + page_slot(mailbox->pages[at], uid) : mailbox->count;
}

void mailbox_counts(const struct mailbox *mailbox, struct mailbox_counts *out)
{
	uint32_t at = mailbox->unseen > 0 ? 0 : mailbox->n_pages;
	*out = (struct mailbox_counts){ .messages = mailbox->count, .unseen = mailbox->unseen, .bytes = mailbox->size,
		                        .recent = mailbox->count - mailbox_count_below(mailbox, mailbox->recent) };
	while (at < mailbox->n_pages && mailbox->pages[at]->unseen == 0)
		at++;
	for (uint32_t i = 0; at < mailbox->n_pages; i++) {
		if (!(mailbox->pages[at]->entries[i].flags & FLAG_SEEN)) {
			out->first_unseen_uid = mailbox->pages[at]->entries[i].uid;
			break;
		}
	}
}

void mailbox_deleted(const struct mailbox *mailbox, struct account_counts *out)
{
	struct entry_cursor cursor = entry_seek(mailbox, 0);
	const struct entry *entry;
	*out = (struct account_counts){ 0, 0 };
	while ((entry = entry_next(&cursor))) {
		if (entry->flags & FLAG_DELETED) {
			out->messages++;
			out->bytes += entry_size(entry);
		}
	}
}

void mailbox_know_all(const struct mailbox *mailbox, struct known *out)
{
	uint32_t n = mailbox->n_pages;
	set_clear(&out->uids);
	out->modseq = mailbox->modseq;
	if (mailbox->count == 0)
		return;
	/* Where nothing is missing in between, the ends tell it; only the last page may have no entries. */
	const struct page *end = mailbox->pages[mailbox->pages[n - 1]->n > 0 ? n - 1 : n - 2];
	uint32_t lowest = mailbox->pages[0]->entries[0].uid, highest = end->entries[end->n - 1].uid;
	if (highest - lowest + 1 == mailbox->count) {
		set_add(&out->uids, lowest, highest);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct page *page = mailbox->pages[i];
		if (page->n == 0)
			continue;
		uint32_t first = page->entries[0].uid, last = page->entries[page->n - 1].uid;
		if (last - first + 1 == page->n) {
			set_add(&out->uids, first, last);
			continue;
		}
		for (uint32_t k = 0; k < page->n; k++)
			set_add(&out->uids, page->entries[k].uid, page->entries[k].uid);
	}
}
