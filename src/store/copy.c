/* copy.c: copies and moves in one piece; and copies of many entries in steps. All or nothing either way. In steps: pages
 * are built in a run of their own that belongs to no mailbox yet, their uids counted from 0, written as they fill
 * up, in whatever batches are open meanwhile; in the end one small transaction gives the run to the mailbox, with
 * its uids and its modseq. A run that is never attached is removed: while idle when the copy was given up, at start
 * after a crash. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"

#define ABANDONED_MAX 1024 /* more wait for the next start */

struct copy {
	struct mailbox *from, *to;
	bool move;
	struct keyword_map keywords;
	uint64_t modseq;
	uint32_t now;
};

/* The keywords of an entry as bits of the other mailbox. */
static int translate_keywords(struct copy *copy, const struct keyword_bits *from, struct keyword_bits *to)
{
	if (copy->from != copy->to && keywords_any(from))
		return keyword_map_bits(&copy->keywords, copy->from->keywords, copy->from->n_keywords, from, to);
	*to = *from;
	return 0;
}

static int copy_entries(struct copy *copy, const struct set *source, struct set *target)
{
	struct account *account = copy->from->account;
	struct slot_walk walk = { .mailbox = copy->from, .uids = source };
	struct page *page;
	uint32_t slot;
	while (slot_walk_next(&walk, &page, &slot)) {
		struct entry entry = page->entries[slot];
		struct keyword_bits before, keywords;
		page_keywords(page, slot, &before);
		int result = translate_keywords(copy, &before, &keywords);
		if (result < 0)
			return result;
		entry.uid = copy->to->uidnext;
		entry.saved = copy->now;
		entry.modseq = copy->modseq;
		if (!copy->move)
			entry.id = account->next++;
		entries_append(copy->to, &entry, &keywords);
		set_add(target, entry.uid, entry.uid);
	}
	if (!copy->move)
		account->row_dirty = true; /* the ids that were drawn are in no row that load_counters looks at */
	view_mark_last(copy->to);
	return change_write(copy->to, copy->modseq, CHANGE_NEW, target, 0);
}

static int leave_source(struct mailbox *from, const struct set *source)
{
	uint64_t modseq = account_next_modseq(from->account);
	int result = entries_remove(from, source, modseq);
	return result == 0 ? change_write(from, modseq, CHANGE_EXPUNGE, source, 0) : result;
}

static struct copy copy_new(struct mailbox *from, struct mailbox *to, bool move, uint32_t max_keywords)
{
	struct copy copy = {
		.from = from, .to = to, .move = move, .now = (uint32_t)clock_wall_seconds()
	};
	keyword_map_begin(&copy.keywords, to, max_keywords);
	return copy;
}

/* A copy takes room once more. */
static int check_room(const struct mailbox *from, const struct set *uids)
{
	struct account_counts sum;
	entries_sum(from, uids, &sum);
	return account_has_room(from->account, sum.messages, sum.bytes) ? 0 : ERR_QUOTA;
}

int mailbox_copy(struct mailbox *from, const struct set *uids, struct mailbox *to, bool move, uint32_t max_keywords,
                 struct set *source, struct set *target)
{
	struct account *account = from->account;
	struct copy copy = copy_new(from, to, move, max_keywords);
	int result = view_load(from, VIEW_FULL);
	if (result == 0)
		result = view_load(to, VIEW_TAIL);
	if (result < 0)
		return result;
	entries_select(from, uids, false, source);
	uint64_t n = set_count(source);
	if (n == 0)
		return 0;
	if (n > UINT32_MAX - to->uidnext || n > NUMBER_MAX - account->next)
		result = ERR_LIMIT;
	if (result == 0 && !move)
		result = check_room(from, source);
	if (result == 0)
		result = store_begin(account, 0);
	if (result < 0) {
		set_clear(source);
		return result;
	}
	copy.modseq = account_next_modseq(account);
	result = copy_entries(&copy, source, target);
	if (result == 0 && move)
		result = leave_source(from, source);
	if (result == 0)
		return 0;
	set_clear(source);
	set_clear(target);
	return store_void(account->store, result);
}

/* --- in steps --- */

struct mailbox_copying {
	struct copy copy;
	struct account *account;
	struct set left;     /* uids still to be copied */
	struct set taken;    /* uids that were; the n-th of them is the n-th staged entry */
	struct page **pages; /* staged */
	uint32_t n_pages, size_pages;
	int64_t run;         /* 0: not begun */
	uint64_t seen;       /* modseq of `from` at the begin: what changed later is looked at again in the end */
	bool attached;
};

int mailbox_copy_begin(struct mailbox *from, const struct set *uids, struct mailbox *to, uint32_t max_keywords,
                       struct mailbox_copying **out)
{
	int result = mailbox_open(from);
	if (result < 0)
		return result;
	result = mailbox_open(to);
	if (result < 0) {
		mailbox_close(from);
		return result;
	}
	struct mailbox_copying *copying = mem_alloc(1, sizeof *copying);
	copying->copy = copy_new(from, to, false, max_keywords);
	copying->account = from->account;
	copying->account->copyings++;
	copying->seen = mailbox_modseq(from);
	entries_select(from, uids, false, &copying->left);
	result = check_room(from, &copying->left);
	if (result < 0)
		mailbox_copy_free(&copying);
	else
		*out = copying;
	return result;
}

void mailbox_copy_free(struct mailbox_copying **pointer)
{
	struct mailbox_copying *copying = *pointer;
	*pointer = NULL;
	if (!copying)
		return;
	struct store *store = copying->account->store;
	/* of a gone account: its rows are removed as it was destroyed, or the batch of the run was rolled back and its
	 * number means nothing */
	if (copying->run && !copying->attached && !copying->account->gone && store->n_abandoned < ABANDONED_MAX) {
		if (!store->abandoned)
			store->abandoned = mem_alloc(ABANDONED_MAX, sizeof *store->abandoned);
		store->abandoned[store->n_abandoned++] = copying->run;
	}
	for (uint32_t i = 0; i < copying->n_pages && !copying->attached; i++)
		page_free(&copying->pages[i]);
	mem_free(copying->pages);
	copying->account->copyings--;
	set_free(&copying->left);
	set_free(&copying->taken);
	mailbox_close(copying->copy.to);
	mailbox_close(copying->copy.from);
	mem_free(copying);
}

static bool is_gone(const struct mailbox_copying *copying)
{
	return copying->copy.from->gone || copying->copy.to->gone;
}

static int begin_run(struct mailbox_copying *copying)
{
	struct store *store = copying->account->store;
	db_bind_int(store->sql.run_insert, 1, copying->account->number);
	db_bind_int(store->sql.run_insert, 2, 0);
	db_bind_int(store->sql.run_insert, 3, 0);
	db_bind_int(store->sql.run_insert, 4, 0);
	int result = db_run(store->sql.run_insert);
	if (result == 0)
		copying->run = db_last_id(&store->db);
	return result;
}

/* The page that has room for one more; the one before it, now full, is written. */
static int staging_page(struct mailbox_copying *copying, struct page **out)
{
	uint32_t n = copying->n_pages;
	if (n > 0 && copying->pages[n - 1]->n < PAGE_ENTRIES) {
		*out = copying->pages[n - 1];
		return 0;
	}
	int result = n > 0 ? store_write_page(copying->account->store, copying->pages[n - 1]) : 0;
	if (result < 0)
		return result;
	if (n == copying->size_pages) {
		copying->size_pages = n ? n * 2 : 16;
		copying->pages = mem_resize(copying->pages, copying->size_pages, sizeof(struct page *));
	}
	*out = copying->pages[copying->n_pages++] = page_new(NULL, (uint64_t)copying->run << 32 | n, 0);
	return 0;
}

static int stage(struct mailbox_copying *copying, const struct page *from, uint32_t slot)
{
	struct entry entry = from->entries[slot];
	struct keyword_bits before, keywords;
	struct page *page = NULL;
	uint32_t uid = entry.uid;
	page_keywords(from, slot, &before);
	int result = translate_keywords(&copying->copy, &before, &keywords);
	if (result == 0)
		result = staging_page(copying, &page);
	if (result < 0)
		return result;
	entry.uid = (copying->n_pages - 1) * PAGE_ENTRIES + page->n + 1;
	entry.saved = copying->copy.now;
	entry.modseq = 0; /* the run's */
	entry.id = copying->account->next++;
	sweep_keep(copying->account, entry.message);
	page_add(page, &entry, &keywords);
	set_add(&copying->taken, uid, uid);
	return 0;
}

int mailbox_copy_step(struct mailbox_copying *copying, bool *done)
{
	struct account *account = copying->account;
	struct slot_walk walk = { .mailbox = copying->copy.from, .uids = &copying->left };
	struct page *page;
	uint32_t slot, last = 0;
	if (is_gone(copying))
		return ERR_NOT_FOUND;
	if (copying->left.n == 0) {
		*done = true;
		return 0;
	}
	if (NUMBER_MAX - account->next < COPY_STEP_ENTRIES)
		return ERR_LIMIT;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	account->row_dirty = true; /* for the ids that are drawn */
	if (copying->run == 0)
		result = begin_run(copying);
	uint32_t n = 0;
	while (result == 0 && n < COPY_STEP_ENTRIES && slot_walk_next(&walk, &page, &slot)) {
		last = page->entries[slot].uid;
		result = stage(copying, page, slot);
		n++;
	}
	if (result < 0)
		return store_void(account->store, result);
	*done = n < COPY_STEP_ENTRIES;
	set_remove(&copying->left, 0, last);
	return 0;
}

/* Flags that were changed since the entry was staged are staged anew. */
static int refresh(struct mailbox_copying *copying)
{
	struct mailbox *from = copying->copy.from;
	uint32_t index = 0;
	if (mailbox_modseq(from) == copying->seen)
		return 0; /* nothing has happened there since the begin */
	for (uint32_t r = 0; r < copying->taken.n; r++) {
		struct set_range range = copying->taken.ranges[r];
		struct entry_cursor cursor = entry_seek(from, range.first);
		const struct entry *entry = entry_next(&cursor);
		for (uint64_t uid = range.first; uid <= range.last; uid++, index++) {
			struct page *page = copying->pages[index / PAGE_ENTRIES];
			struct keyword_bits before, keywords;
			if (!entry || entry->uid != uid)
				continue; /* a copy of what was there remains */
			if (entry->modseq > copying->seen) {
				entry_keywords(from, entry, &before);
				int result = translate_keywords(&copying->copy, &before, &keywords);
				if (result < 0)
					return result;
				page->entries[index % PAGE_ENTRIES].flags = entry->flags;
				page_set_keywords(page, index % PAGE_ENTRIES, &keywords);
				page->modseq = copying->copy.modseq; /* marks it for attach */
			}
			entry = entry_next(&cursor);
		}
	}
	return 0;
}

/* An empty last page holds the counters of its mailbox; they go into the run's last page, and no empty page may
 * stand before others. */
static int drop_empty_last(struct mailbox *mailbox)
{
	sqlite3_stmt *remove = mailbox->account->store->sql.page_remove;
	struct page *last = mailbox->pages[mailbox->n_pages - 1];
	if (last->n > 0)
		return 0;
	db_bind_int(remove, 1, (int64_t)last->key);
	db_bind_int(remove, 2, (int64_t)last->key);
	mailbox->n_pages--;
	page_unmark_dirty(last);
	page_free(&last);
	return db_run(remove);
}

/* Others may have filled the account meanwhile. */
static bool has_room(const struct mailbox_copying *copying, uint64_t n)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < copying->n_pages; i++)
		bytes += copying->pages[i]->bytes;
	return account_has_room(copying->account, n, bytes);
}

static int attach(struct mailbox_copying *copying, uint32_t n)
{
	struct mailbox *to = copying->copy.to;
	struct statements *sql = &copying->account->store->sql;
	uint32_t base = to->uidnext - 1;
	int result = drop_empty_last(to);
	for (uint32_t i = 0; i < copying->n_pages; i++) {
		struct page *page = copying->pages[i];
		bool changed = page->modseq != 0;
		page->uid_base = base;
		page->modseq = copying->copy.modseq;
		page->unseen = 0;
		page->mailbox = to;
		for (uint32_t k = 0; k < page->n; k++) {
			page->entries[k].uid += base;
			page->entries[k].modseq = copying->copy.modseq;
			page->unseen += !(page->entries[k].flags & FLAG_SEEN);
		}
		if (changed)
			page_mark_dirty(page);
	}
	view_attach(to, copying->pages, copying->n_pages);
	copying->attached = true;
	to->uidnext = base + n + 1;
	to->modseq = copying->copy.modseq;
	view_mark_last(to);
	db_bind_int(sql->run_attach, 1, copying->run);
	db_bind_int(sql->run_attach, 2, to->facts.number);
	db_bind_int(sql->run_attach, 3, base);
	db_bind_int(sql->run_attach, 4, (int64_t)copying->copy.modseq);
	return result == 0 ? db_run(sql->run_attach) : result;
}

int mailbox_copy_end(struct mailbox_copying *copying, struct set *source, struct set *target)
{
	struct account *account = copying->account;
	struct mailbox *to = copying->copy.to;
	uint64_t n = set_count(&copying->taken);
	if (is_gone(copying))
		return ERR_NOT_FOUND;
	if (n == 0)
		return 0; /* nothing was there to copy */
	if (n > UINT32_MAX - to->uidnext)
		return ERR_LIMIT;
	if (!has_room(copying, n))
		return ERR_QUOTA;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	copying->copy.modseq = account_next_modseq(account);
	result = refresh(copying);
	set_add(target, to->uidnext, to->uidnext + (uint32_t)n - 1);
	if (result == 0)
		result = attach(copying, (uint32_t)n);
	if (result == 0)
		result = change_write(to, copying->copy.modseq, CHANGE_NEW, target, 0);
	if (result < 0) {
		set_clear(target);
		return store_void(account->store, result);
	}
	set_copy(source, &copying->taken);
	return 0;
}
