/* entries.c: what changes entries in their mailbox: a message is added, flags change, entries leave (copies:
 * copy.c). Each function is all or nothing: what can fail for a reason of the client's is checked before the first
 * change; a failing write voids the batch. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"

#define EXPUNGED_CHUNK 1000 /* entries in one row of the undelete log, which is put back or forgotten in one piece */

/* To the first entry with this uid or a larger one. Ranges only grow, so it often is in the page that the walk is in. */
static void slot_walk_place(struct slot_walk *walk, uint32_t uid)
{
	const struct mailbox *mailbox = walk->mailbox;
	const struct page *page = walk->page < mailbox->n_pages ? mailbox->pages[walk->page] : NULL;
	walk->placed = true;
	if (page && walk->slot < page->n && page->entries[walk->slot].uid >= uid)
		return;
	if (page && page->n > 0 && page->entries[page->n - 1].uid >= uid) {
		walk->slot = page_slot(page, uid);
		return;
	}
	struct entry_cursor cursor = entry_seek(mailbox, uid);
	walk->page = cursor.page;
	walk->slot = cursor.slot;
}

bool slot_walk_next(struct slot_walk *walk, struct page **page, uint32_t *slot)
{
	for (; walk->range < walk->uids->n; walk->range++, walk->placed = false) {
		struct set_range range = walk->uids->ranges[walk->range];
		if (!walk->placed)
			slot_walk_place(walk, MAX(range.first, walk->from));
		while (walk->page < walk->mailbox->n_pages && walk->slot >= walk->mailbox->pages[walk->page]->n) {
			walk->page++;
			walk->slot = 0;
		}
		if (walk->page >= walk->mailbox->n_pages)
			return false;
		if (walk->mailbox->pages[walk->page]->entries[walk->slot].uid <= range.last) {
			*page = walk->mailbox->pages[walk->page];
			*slot = walk->slot++;
			return true;
		}
	}
	return false;
}

int mailbox_slice(struct mailbox *mailbox, const struct set *uids, uint32_t max, uint32_t *from, struct set *out, bool *more)
{
	struct slot_walk walk = { .mailbox = mailbox, .uids = uids, .range = set_seek(uids, *from), .from = *from };
	struct page *page, *last = NULL;
	uint32_t slot, pages = 0, n = 0;
	int result = view_load(mailbox, VIEW_FULL);
	if (result < 0)
		return result;
	set_clear(out);
	*more = false;
	while (!*more && slot_walk_next(&walk, &page, &slot)) {
		uint32_t uid = page->entries[slot].uid;
		if (n++ == max || (page != last && pages++ == SLICE_PAGES_MAX)) {
			*from = uid;
			*more = true;
		} else {
			set_add(out, uid, uid);
		}
		last = page;
	}
	return 0;
}

/* --- a message comes in --- */

int message_insert(struct account *account, uint64_t number, const struct body_place *place,
                   const struct message_arrival *arrival)
{
	sqlite3_stmt *insert = account->store->sql.message_insert;
	db_bind_int(insert, 1, make_key(account, number));
	db_bind_int(insert, 2, place->segment);
	db_bind_int(insert, 3, (int64_t)place->offset);
	db_bind_int(insert, 4, (int64_t)arrival->size);
	db_bind_int(insert, 5, MIN(MAX(arrival->internal_date, CALENDAR_FIRST), CALENDAR_LAST));
	db_bind_int(insert, 6, arrival->zone_minutes);
	db_bind_int(insert, 7, arrival->traits);
	db_bind_int(insert, 8, arrival->header_size);
	db_bind_int(insert, 9, (int64_t)arrival->lines);
	db_bind_blob(insert, 10, arrival->derived.envelope);
	db_bind_blob(insert, 11, arrival->derived.structure);
	db_bind_blob(insert, 12, arrival->derived.body);
	db_bind_blob(insert, 13, arrival->derived.parts);
	db_bind_blob(insert, 14, arrival->derived.headers);
	return db_run(insert);
}

static int append_body(struct account *account, struct str mailbox, uint64_t number,
                       const struct message_arrival *arrival, struct body_place *out)
{
	struct body_record record = { .account = account->id, .message = number, .internal_date = arrival->internal_date,
		                      .zone_minutes = arrival->zone_minutes, .mailbox = mailbox };
	return bodylog_append_part(account->store->bodies, &record, arrival->pieces, arrival->n_pieces, arrival->fd,
	                           arrival->file_start, arrival->file_length, out);
}

int message_add(struct account *account, struct str mailbox, uint64_t number, const struct message_arrival *arrival)
{
	struct body_place place;
	uint64_t placed;
	int result = 0;
	if (arrival->placing && placing_place(arrival->placing, account, &placed, &place) && placed == number)
		bodylog_filled(account->store->bodies);
	else
		result = append_body(account, mailbox, number, arrival, &place);
	if (result == 0 && arrival->fd >= 0 && place.checksum != arrival->checksum)
		return ERR_SYNTAX; /* its bytes are dead */
	if (result == 0)
		result = message_insert(account, number, &place, arrival);
	if (result == 0) {
		account->store->added_messages++;
		account->store->added_bytes += (int64_t)arrival->size;
	}
	return result;
}

void entries_append(struct mailbox *mailbox, const struct entry *entry, const struct keyword_bits *keywords)
{
	struct page *page = view_page_for_append(mailbox);
	sweep_keep(mailbox->account, entry->message);
	account_count_added(mailbox->account, 1, entry_size(entry));
	page_add(page, entry, keywords);
	mailbox->uidnext = entry->uid + 1;
	mailbox->count++;
	mailbox->unseen += !(entry->flags & FLAG_SEEN);
	mailbox->size += entry_size(entry);
	page->uidnext = mailbox->uidnext;
	page_mark_dirty(page);
}

uint64_t message_number(const struct account *account, const struct message_arrival *arrival, uint64_t fresh)
{
	struct body_place place;
	uint64_t number;
	return arrival->placing && placing_place(arrival->placing, account, &number, &place) ? number : fresh;
}

int mailbox_add(struct mailbox *mailbox, const struct message_arrival *arrival, uint32_t *uid)
{
	struct account *account = mailbox->account;
	struct set uids = SET_INIT;
	int result = view_load(mailbox, VIEW_TAIL);
	if (result < 0)
		return result;
	if (mailbox->uidnext == UINT32_MAX || account->next >= NUMBER_MAX || arrival->size > ENTRY_SIZE_MAX)
		return ERR_LIMIT;
	result = store_begin(account, arrival->size);
	if (result < 0)
		return result;
	uint64_t id = account->next++, number = message_number(account, arrival, id);
	uint64_t modseq = account_next_modseq(account);
	struct entry entry = { .uid = mailbox->uidnext,
		                   .saved = (uint32_t)clock_wall_seconds(),
		                   .modseq = modseq,
		                   .id = id,
		                   .message = number,
		                   .flags = arrival->flags };
	account->row_dirty |= number != id; /* as in loose_append */
	entry_set_size(&entry, arrival->size);
	entry.open_end = (arrival->traits & MESSAGE_ENDS_WITHOUT_CRLF) != 0;
	set_add(&uids, entry.uid, entry.uid);
	result = message_add(account, mailbox->facts.name, number, arrival);
	if (result == ERR_SYNTAX) {
		set_free(&uids); /* a modseq was skipped; nothing else has happened */
		return result;
	}
	if (result == 0)
		result = change_write(mailbox, modseq, CHANGE_NEW, &uids, 0);
	set_free(&uids);
	if (result < 0)
		return store_void(account->store, result);
	entries_append(mailbox, &entry, &arrival->keywords);
	view_mark_last(mailbox);
	*uid = entry.uid;
	return 0;
}

/* --- flags --- */

static void changed_flags(const struct flags_change *change, uint8_t *flags, struct keyword_bits *keywords)
{
	switch (change->mode) {
	case FLAGS_REPLACE:
		*flags = change->flags;
		*keywords = change->keywords;
		break;
	case FLAGS_ADD:
		*flags |= change->flags;
		for (size_t i = 0; i < KEYWORD_WORDS; i++)
			keywords->word[i] |= change->keywords.word[i];
		break;
	case FLAGS_REMOVE:
		*flags &= (uint8_t)~change->flags;
		for (size_t i = 0; i < KEYWORD_WORDS; i++)
			keywords->word[i] &= ~change->keywords.word[i];
		break;
	}
}

/* True when the entry is different after the change. */
static bool would_change(const struct page *page, uint32_t slot, const struct flags_change *change, uint8_t *flags,
                         struct keyword_bits *keywords)
{
	struct keyword_bits before;
	page_keywords(page, slot, &before);
	*keywords = before;
	*flags = (uint8_t)page->entries[slot].flags;
	changed_flags(change, flags, keywords);
	return *flags != page->entries[slot].flags || memcmp(&before, keywords, sizeof before) != 0;
}

static void set_flags(struct mailbox *mailbox, struct page *page, uint32_t slot, uint8_t flags,
                      const struct keyword_bits *keywords, uint64_t modseq)
{
	struct entry *entry = &page->entries[slot];
	uint32_t unseen = page->unseen;
	page->unseen += (entry->flags & FLAG_SEEN) && !(flags & FLAG_SEEN);
	page->unseen -= !(entry->flags & FLAG_SEEN) && (flags & FLAG_SEEN);
	mailbox->unseen += page->unseen - unseen;
	entry->flags = flags;
	entry->modseq = modseq;
	page_set_keywords(page, slot, keywords);
	page->modseq = modseq;
	page_mark_dirty(page);
}

int mailbox_store(struct mailbox *mailbox, const struct set *uids, const struct flags_change *change, uint64_t origin,
                  struct set *changed)
{
	struct account *account = mailbox->account;
	struct set touched = SET_INIT;
	struct page *page;
	uint32_t slot;
	uint64_t modseq = 0;
	int result = view_load(mailbox, VIEW_FULL);
	struct slot_walk walk = { .mailbox = mailbox, .uids = uids };
	while (result == 0 && slot_walk_next(&walk, &page, &slot)) {
		uint8_t flags;
		struct keyword_bits keywords;
		if (!would_change(page, slot, change, &flags, &keywords))
			continue;
		if (modseq == 0) {
			result = store_begin(account, 0);
			if (result < 0)
				break;
			modseq = account_next_modseq(account);
		}
		set_flags(mailbox, page, slot, flags, &keywords, modseq);
		set_add(&touched, page->entries[slot].uid, page->entries[slot].uid);
	}
	if (result == 0 && modseq != 0) {
		result = change_write(mailbox, modseq, CHANGE_FLAGS, &touched, origin);
		if (result < 0)
			result = store_void(account->store, result);
	}
	if (result == 0 && changed)
		set_add_set(changed, &touched);
	set_free(&touched);
	return result;
}

/* --- leaving --- */

int expunged_write(struct account *account, uint32_t mailbox, const struct page *record, uint64_t modseq, int64_t time)
{
	struct store *store = account->store;
	sqlite3_stmt *insert = store->sql.expunged_insert;
	buf_clear(&store->scratch);
	page_encode(record, &store->scratch);
	int result = buf_error(&store->scratch);
	if (result < 0)
		return result;
	db_bind_int(insert, 1, make_key(account, modseq));
	db_bind_int(insert, 2, mailbox);
	db_bind_int(insert, 3, time);
	db_bind_blob(insert, 4, buf_str(&store->scratch));
	return db_run(insert);
}

static int write_expunged(struct mailbox *mailbox, const struct page *record, uint64_t modseq)
{
	return expunged_write(mailbox->account, mailbox->facts.number, record, modseq, clock_wall_seconds());
}

int entries_log(struct mailbox *mailbox, const struct set *uids, uint64_t *modseq)
{
	struct slot_walk walk = { .mailbox = mailbox, .uids = uids };
	struct page *page, *record = page_new(mailbox, 0, 0);
	uint32_t slot;
	int result = 0;
	while (result == 0 && slot_walk_next(&walk, &page, &slot)) {
		struct keyword_bits keywords;
		if (record->n == EXPUNGED_CHUNK) {
			result = write_expunged(mailbox, record, *modseq);
			*modseq = account_next_modseq(mailbox->account);
			page_free(&record);
			record = page_new(mailbox, 0, 0);
		}
		page_keywords(page, slot, &keywords);
		sweep_keep(mailbox->account, page->entries[slot].message);
		page_add(record, &page->entries[slot], &keywords);
	}
	if (result == 0)
		result = write_expunged(mailbox, record, *modseq);
	page_free(&record);
	return result;
}

/* Pages of one run, one behind the other, whose rows go together. */
struct gone_pages {
	uint64_t first, last; /* keys; 0: none yet */
};

static int remove_pages(struct mailbox *mailbox, struct gone_pages *gone)
{
	sqlite3_stmt *remove = mailbox->account->store->sql.page_remove;
	if (gone->first == 0)
		return 0;
	db_bind_int(remove, 1, (int64_t)gone->first);
	db_bind_int(remove, 2, (int64_t)gone->last);
	gone->first = 0;
	return db_run(remove);
}

static int page_goes(struct mailbox *mailbox, struct page *page, struct gone_pages *gone)
{
	bool follows = gone->first != 0 && gone->last >> 32 == page->key >> 32;
	int result = follows ? 0 : remove_pages(mailbox, gone);
	if (gone->first == 0)
		gone->first = page->key;
	gone->last = page->key;
	page_unmark_dirty(page);
	page_free(&page);
	return result;
}

/* The page, made the mailbox's own: where a past has it, that one keeps it as it is. */
static struct page *page_to_change(struct mailbox *mailbox, uint32_t at)
{
	struct page *page = mailbox->pages[at];
	if (page->pasts == 0)
		return page;
	mailbox->pages[at] = page_copy(page);
	page_unmark_dirty(page);
	page_free(&page);
	return mailbox->pages[at];
}

/* Which entries of a page are in the set. *range: of the set, where the page's first entry may be; moved on to its last. */
static bool mark_gone(const struct page *page, const struct set *uids, uint32_t *range, bool gone[PAGE_ENTRIES])
{
	bool any = false;
	for (uint32_t k = 0; k < page->n && *range < uids->n; k++) {
		uint32_t uid = page->entries[k].uid;
		while (*range < uids->n && uids->ranges[*range].last < uid)
			++*range;
		any |= gone[k] = *range < uids->n && uids->ranges[*range].first <= uid;
	}
	return any;
}

/* A page without entries goes, unless it is the last, which keeps the mailbox's counters. */
int entries_remove(struct mailbox *mailbox, const struct set *uids, uint64_t modseq)
{
	struct gone_pages gone_pages = { 0, 0 };
	uint32_t kept = 0, first = uids->ranges[0].first, range = 0;
	uint64_t messages_gone = 0, bytes_gone = 0;
	int result = 0;
	for (uint32_t i = 0; i < mailbox->n_pages; i++) {
		struct page *page = mailbox->pages[i];
		bool gone[PAGE_ENTRIES] = { false };
		bool before = page->n == 0 || page->entries[page->n - 1].uid < first;
		if (!before && mark_gone(page, uids, &range, gone)) {
			page = page_to_change(mailbox, i);
			messages_gone += page->n;
			bytes_gone += page->bytes;
			page_remove(page, gone);
			messages_gone -= page->n;
			bytes_gone -= page->bytes;
			page->modseq = modseq;
			page_mark_dirty(page);
		}
		bool stays = page->n > 0 || i == mailbox->n_pages - 1;
		if (stays)
			mailbox->pages[kept++] = page;
		int removed = stays ? remove_pages(mailbox, &gone_pages) : page_goes(mailbox, page, &gone_pages);
		result = result < 0 ? result : removed;
	}
	mailbox->n_pages = kept;
	mailbox->pages[kept - 1]->modseq = modseq; /* what a page that went had reached must not be lost */
	page_mark_dirty(mailbox->pages[kept - 1]);
	view_recount(mailbox);
	account_count_removed(mailbox->account, messages_gone, bytes_gone);
	return result;
}

void entries_select(const struct mailbox *mailbox, const struct set *uids, bool deleted_only, struct set *out)
{
	struct slot_walk walk = { .mailbox = mailbox, .uids = uids };
	struct page *page;
	uint32_t slot;
	while (slot_walk_next(&walk, &page, &slot))
		if (!deleted_only || (page->entries[slot].flags & FLAG_DELETED))
			set_add(out, page->entries[slot].uid, page->entries[slot].uid);
}

void entries_sum(const struct mailbox *mailbox, const struct set *uids, struct account_counts *out)
{
	struct slot_walk walk = { .mailbox = mailbox, .uids = uids };
	struct page *page;
	uint32_t slot;
	*out = (struct account_counts){ 0, 0 };
	while (slot_walk_next(&walk, &page, &slot)) {
		out->messages++;
		out->bytes += entry_size(&page->entries[slot]);
	}
}

int mailbox_expunge(struct mailbox *mailbox, const struct set *uids, bool deleted_only, struct set *expunged)
{
	struct account *account = mailbox->account;
	int result = view_load(mailbox, VIEW_FULL);
	if (result < 0)
		return result;
	entries_select(mailbox, uids, deleted_only, expunged);
	if (expunged->n == 0)
		return 0;
	result = store_begin(account, 0);
	if (result < 0) {
		set_clear(expunged);
		return result;
	}
	uint64_t modseq = account_next_modseq(account);
	result = entries_log(mailbox, expunged, &modseq);
	if (result == 0)
		result = entries_remove(mailbox, expunged, modseq);
	if (result == 0)
		result = change_write(mailbox, modseq, CHANGE_EXPUNGE, expunged, 0);
	if (result == 0)
		return 0;
	set_clear(expunged);
	return store_void(account->store, result);
}
