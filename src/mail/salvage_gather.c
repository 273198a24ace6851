/* salvage_gather.c: what is known of one account: which of its messages can be read, which entries point to them, and
 * what nothing points to. Owns the lists that it makes; records and rows are the shard's. What the index says is believed
 * only as far as it makes sense: a number beyond half of its range is taken for damage. */
#include "mail/salvage_private.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"

#define NUMBER_PLAUSIBLE  (UINT64_C(1) << 39) /* of 40 bits */
#define SLACK             100000 /* what counters may have reached beyond what can be read */
#define UIDVALIDITY_AHEAD (10 * 366 * 86400) /* seconds from now */
#define FLAGS_ALL         (FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_DRAFT)
#define NO_MAILBOX        UINT32_MAX

/* --- ids of entries --- */

static void grow_ids(struct found *found)
{
	size_t old_size = found->size_ids;
	uint64_t *old = found->ids;
	found->size_ids = old_size ? old_size * 2 : 256;
	found->ids = mem_alloc(found->size_ids, sizeof *found->ids);
	for (size_t i = 0; i < old_size; i++) {
		size_t at = (size_t)(old[i] * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (found->size_ids - 1);
		while (old[i] && found->ids[at])
			at = (at + 1) & (found->size_ids - 1);
		if (old[i])
			found->ids[at] = old[i];
	}
	mem_free(old);
}

/* True when the id was free and is taken now. */
static bool take_id(struct found *found, uint64_t id)
{
	if (id == 0 || id > NUMBER_PLAUSIBLE)
		return false;
	if (found->n_ids * 2 >= found->size_ids)
		grow_ids(found);
	size_t at = (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (found->size_ids - 1);
	for (; found->ids[at]; at = (at + 1) & (found->size_ids - 1))
		if (found->ids[at] == id)
			return false;
	found->ids[at] = id;
	found->n_ids++;
	found->floors.next = MAX(found->floors.next, id + 1);
	return true;
}

/* --- floors --- */

static void saw_modseq(struct found *found, uint64_t modseq)
{
	if (modseq <= NUMBER_PLAUSIBLE)
		found->floors.modseq = MAX(found->floors.modseq, modseq);
}

static void saw_number(struct found *found, uint64_t number)
{
	if (number <= NUMBER_PLAUSIBLE)
		found->floors.next = MAX(found->floors.next, number + 1);
}

static void saw_uidvalidity(struct found *found, uint64_t uidvalidity)
{
	if (uidvalidity < (uint64_t)clock_wall_seconds() + UIDVALIDITY_AHEAD && uidvalidity <= UINT32_MAX - SLACK)
		found->floors.uidvalidity = MAX(found->floors.uidvalidity, (uint32_t)uidvalidity);
}

static void begin_floors(struct found *found)
{
	const struct salvage_account_row *row = found->row;
	found->floors = (struct salvage_floors){ .uidvalidity = (uint32_t)clock_wall_seconds(), .next = 1,
		                                     .quota = { QUOTA_DEFAULT, QUOTA_DEFAULT } };
	if (!row)
		return;
	saw_uidvalidity(found, row->uidvalidity);
	saw_modseq(found, row->modseq);
	saw_number(found, row->next);
	found->floors.quota = row->quota;
}

/* --- messages --- */

static bool same_body(const struct salvage_record *a, const struct salvage_record *b)
{
	return a->checksum == b->checksum && a->length == b->length;
}

/* Of several records with one number the last counts, as compaction appends; a row may know better. */
static void list_kept(struct found *found)
{
	found->kept = mem_alloc(MAX(found->n_records, (size_t)1), sizeof *found->kept);
	for (size_t i = 0; i < found->n_records; i++) {
		const struct salvage_record *record = &found->records[i];
		if (record->message > NUMBER_PLAUSIBLE)
			continue;
		if (found->n_kept == 0 || found->kept[found->n_kept - 1].message != record->message)
			found->kept[found->n_kept++].message = record->message;
		found->kept[found->n_kept - 1].record = record;
	}
}

static struct kept *find_kept(struct found *found, uint64_t message)
{
	size_t low = 0, high = found->n_kept;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (found->kept[middle].message < message)
			low = middle + 1;
		else
			high = middle;
	}
	return low < found->n_kept && found->kept[low].message == message ? &found->kept[low] : NULL;
}

static void note_place(void *owner, const struct salvage_place *place)
{
	struct found *found = owner;
	struct kept *kept = find_kept(found, place->message);
	saw_number(found, place->message);
	if (!kept)
		return;
	kept->has_row = true;
	for (size_t at = (size_t)(kept->record - found->records) + 1; at > 0; at--) {
		const struct salvage_record *record = &found->records[at - 1];
		if (record->message != kept->message)
			break;
		bool there = record->segment == place->segment && record->offset == place->offset;
		if (there || (!kept->by_row && record->length == place->size && kept->record->length != place->size)) {
			kept->record = record;
			kept->by_row = there;
		}
		if (there)
			break;
	}
}

static void note_forgotten(void *owner, uint64_t number)
{
	struct kept *kept = find_kept(owner, number);
	if (kept)
		kept->forgotten = true;
}

/* Where no row says which record is the message, each different one is kept. */
static void list_extras(struct found *found)
{
	for (size_t i = 0; i < found->n_records; i++) {
		const struct salvage_record *record = &found->records[i];
		const struct kept *kept = find_kept(found, record->message);
		bool other = kept && !kept->by_row && !same_body(record, kept->record);
		for (size_t k = found->n_extras; k > 0 && other && found->extras[k - 1]->message == record->message; k--)
			other = !same_body(found->extras[k - 1], record);
		if (!other)
			continue;
		found->extras = mem_resize(found->extras, found->n_extras + 1, sizeof *found->extras);
		found->extras[found->n_extras++] = record;
	}
}

/* --- mailboxes and entries --- */

static uint32_t mailbox_named(struct found *found, struct str name)
{
	for (uint32_t i = 0; i < found->n_mailboxes; i++)
		if (str_eq(found->mailboxes[i].name, name))
			return i;
	found->mailboxes = mem_resize(found->mailboxes, found->n_mailboxes + 1, sizeof *found->mailboxes);
	found->mailboxes[found->n_mailboxes++] = (struct found_mailbox){ .name = name };
	return found->n_mailboxes - 1;
}

static uint32_t mailbox_of_record(struct found *found, const struct salvage_record *record)
{
	struct str name = found->salvage->segments.names[record->mailbox];
	return mailbox_named(found, name.n ? name : STR("INBOX"));
}

/* The last page of the mailbox, with room for one more entry. Uids of a page grow from 1. */
static struct page *page_of(struct found_mailbox *mailbox)
{
	struct page *last = mailbox->n_pages ? mailbox->pages[mailbox->n_pages - 1] : NULL;
	if (last && last->n < PAGE_ENTRIES)
		return last;
	if ((mailbox->n_pages & (mailbox->n_pages - 1)) == 0)
		mailbox->pages = mem_resize(mailbox->pages, mailbox->n_pages ? mailbox->n_pages * 2 : 1, sizeof last);
	mailbox->pages[mailbox->n_pages++] = page_new(NULL, 0, 0);
	return mailbox->pages[mailbox->n_pages - 1];
}

static void add_entry(struct found *found, struct found_mailbox *mailbox, struct page *page, struct entry entry,
                      struct keyword_bits keywords)
{
	keywords_trim(&keywords, mailbox && mailbox->row ? mailbox->row->n_keywords : 0);
	entry.flags &= FLAGS_ALL;
	if (!take_id(found, entry.id))
		entry.id = 0; /* gets one in the end */
	page_add(page, &entry, &keywords);
}

static void tell_lost(struct found *found, uint32_t mailbox, const struct entry *entry, bool expunged)
{
	struct salvage *salvage = found->salvage;
	struct str name = mailbox == NO_MAILBOX ? STR("") : found->mailboxes[mailbox].name;
	*(expunged ? &found->facts.lost_undelete : &found->facts.lost) += 1;
	if (!expunged) {
		found->lost = mem_room_for_one(found->lost, found->n_lost, sizeof *found->lost);
		found->lost[found->n_lost++] = entry->message;
	}
	salvage->world->lost(salvage->owner, &found->id, name, entry->uid, expunged);
}

static void note_page(void *owner, const struct page *page)
{
	struct found *found = owner;
	saw_modseq(found, page->modseq);
	for (uint32_t i = 0; i < page->n; i++) {
		struct entry entry = page->entries[i];
		struct kept *kept = find_kept(found, entry.message);
		struct keyword_bits keywords;
		saw_modseq(found, entry.modseq);
		saw_number(found, entry.message);
		if (!kept) {
			tell_lost(found, found->reading_mailbox, &entry, false);
			continue;
		}
		uint32_t number = found->reading_mailbox;
		if (number == NO_MAILBOX)
			number = mailbox_of_record(found, kept->record);
		struct page *to = page_of(&found->mailboxes[number]);
		kept->wanted = true;
		entry.uid = to->n + 1;
		entry_set_size(&entry, kept->record->length);
		page_keywords(page, i, &keywords);
		add_entry(found, &found->mailboxes[number], to, entry, keywords);
	}
}

static void read_runs(struct found *found, int64_t mailbox)
{
	struct salvage_index *index = &found->salvage->index;
	size_t low = 0, high = index->n_runs;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (index->runs[middle].mailbox < mailbox)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < index->n_runs && index->runs[low].mailbox == mailbox; low++) {
		saw_modseq(found, index->runs[low].modseq);
		salvage_index_pages(index, &index->runs[low], note_page, found);
	}
}

static void read_mailboxes(struct found *found)
{
	struct salvage_index *index = &found->salvage->index;
	size_t low = 0, high = index->n_mailboxes;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (index->mailboxes[middle].account < found->row->number)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < index->n_mailboxes && index->mailboxes[low].account == found->row->number; low++) {
		const struct salvage_mailbox_row *row = &index->mailboxes[low];
		uint32_t number = mailbox_named(found, row->name);
		saw_uidvalidity(found, row->uidvalidity);
		if (!found->mailboxes[number].row)
			found->mailboxes[number].row = row;
		found->reading_mailbox = number;
		read_runs(found, row->number);
	}
}

/* Entries of mailboxes whose names cannot be read. */
static void read_nameless_runs(struct found *found)
{
	struct salvage_index *index = &found->salvage->index;
	found->reading_mailbox = NO_MAILBOX;
	for (size_t i = 0; i < index->n_nameless; i++)
		if (index->nameless[i]->account == found->row->number)
			salvage_index_pages(index, index->nameless[i], note_page, found);
}

static void note_expunged(void *owner, int64_t mailbox, int64_t time, const struct page *page)
{
	struct found *found = owner;
	struct found_expunged expunged = { .number = NO_MAILBOX, .time = time, .page = page_new(NULL, 0, 0) };
	for (uint32_t i = 0; i < found->n_mailboxes; i++)
		if (found->mailboxes[i].row && found->mailboxes[i].row->number == mailbox)
			expunged.number = i;
	saw_modseq(found, page->modseq);
	for (uint32_t i = 0; i < page->n; i++) {
		struct entry entry = page->entries[i];
		struct kept *kept = find_kept(found, entry.message);
		struct keyword_bits keywords;
		if (!kept) {
			tell_lost(found, expunged.number, &entry, true);
			continue;
		}
		kept->wanted = true;
		entry_set_size(&entry, kept->record->length);
		page_keywords(page, i, &keywords);
		add_entry(found, expunged.number == NO_MAILBOX ? NULL : &found->mailboxes[expunged.number], expunged.page, entry,
		          keywords);
	}
	if (expunged.page->n == 0) {
		page_free(&expunged.page);
		return;
	}
	if ((found->n_expunged & (found->n_expunged - 1)) == 0)
		found->expunged =
			mem_resize(found->expunged, found->n_expunged ? found->n_expunged * 2 : 1, sizeof *found->expunged);
	found->expunged[found->n_expunged++] = expunged;
}

/* --- what nothing points to --- */

static bool comes_back(const struct found *found, const struct kept *kept, uint64_t next)
{
	const struct salvage_index *index = &found->salvage->index;
	if (kept->wanted)
		return false;
	if (index->doubtful || !found->row || kept->message >= next)
		return true;
	return kept->has_row && !kept->forgotten;
}

static void bring_back(struct found *found, uint64_t next)
{
	for (size_t i = 0; i < found->n_kept; i++) {
		struct kept *kept = &found->kept[i];
		if (!comes_back(found, kept, next))
			continue;
		uint32_t number = mailbox_of_record(found, kept->record); /* may move the array */
		struct found_mailbox *mailbox = &found->mailboxes[number];
		struct page *page = page_of(mailbox);
		int64_t date = MIN(MAX(kept->record->internal_date, INT64_C(0)), (int64_t)UINT32_MAX);
		struct entry entry = { .uid = page->n + 1, .saved = (uint32_t)date, .id = kept->message,
			               .message = kept->message };
		entry_set_size(&entry, kept->record->length);
		add_entry(found, mailbox, page, entry, (struct keyword_bits){ { 0 } });
		kept->wanted = true;
		found->facts.returned++;
	}
}

static void name_entries(struct found *found, struct page *page)
{
	for (uint32_t i = 0; i < page->n; i++)
		if (page->entries[i].id == 0)
			page->entries[i].id = found->floors.next++;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void count_lost(struct found *found)
{
	if (found->n_lost)
		qsort(found->lost, found->n_lost, sizeof *found->lost, by_number);
	for (size_t i = 0; i < found->n_lost; i++)
		found->facts.lost_messages += i == 0 || found->lost[i] != found->lost[i - 1];
}

static void finish(struct found *found)
{
	count_lost(found);
	for (uint32_t m = 0; m < found->n_mailboxes; m++)
		for (uint32_t i = 0; i < found->mailboxes[m].n_pages; i++) {
			struct page *page = found->mailboxes[m].pages[i];
			name_entries(found, page);
			found->facts.messages += page->n;
			for (uint32_t k = 0; k < page->n; k++)
				found->facts.bytes += entry_size(&page->entries[k]);
		}
	for (size_t i = 0; i < found->n_expunged; i++) {
		uint32_t number = found->expunged[i].number;
		name_entries(found, found->expunged[i].page);
		found->expunged[i].mailbox = number == NO_MAILBOX ? NULL : &found->mailboxes[number];
	}
	for (size_t i = 0; i < found->n_extras; i++) {
		(void)mailbox_of_record(found, found->extras[i]);
		found->facts.messages++;
		found->facts.bytes += found->extras[i]->length;
		found->facts.returned++;
	}
}

void salvage_gather(struct salvage *salvage, const struct account_id *id, const struct salvage_account_row *row,
                    struct found *found)
{
	struct salvage_index *index = &salvage->index;
	*found = (struct found){ .salvage = salvage, .id = *id, .row = row, .facts = { .id = *id } };
	found->records = salvage_records_of(&salvage->segments, id, &found->n_records);
	begin_floors(found);
	list_kept(found);
	if (row) {
		salvage_index_places(index, row->number, note_place, found);
		salvage_index_forgotten(index, row->number, note_forgotten, found);
		read_mailboxes(found);
		read_nameless_runs(found);
		salvage_index_expunged(index, row->number, note_expunged, found);
	}
	uint64_t next = found->floors.next;
	if (found->n_kept)
		saw_number(found, found->kept[found->n_kept - 1].message);
	found->floors.next += SLACK * (uint64_t)(index->doubtful || !row);
	bring_back(found, next);
	if (index->doubtful || !row)
		list_extras(found);
	found->floors.modseq += SLACK;
	found->floors.uidvalidity += row ? 0 : SLACK;
	finish(found);
}

void salvage_found_free(struct found *found)
{
	for (uint32_t m = 0; m < found->n_mailboxes; m++) {
		for (uint32_t i = 0; i < found->mailboxes[m].n_pages; i++)
			page_free(&found->mailboxes[m].pages[i]);
		mem_free(found->mailboxes[m].pages);
	}
	for (size_t i = 0; i < found->n_expunged; i++)
		page_free(&found->expunged[i].page);
	mem_free(found->mailboxes);
	mem_free(found->expunged);
	mem_free(found->extras);
	mem_free(found->kept);
	mem_free(found->ids);
	mem_free(found->lost);
}
