/* check.c: reads everything, a few milliseconds at a time, while the store serves: each page of entries decodes and
 * its entries have their messages, of the size that they say; the account counts them rightly; each message is where
 * its row says, in a record that names it, with the bytes that came in, of which the row says what mail/ says of them
 * (struct check_reader). What else index.db says is checked on a snapshot: index_check.c. Only tells; changes nothing.
 * What is moved by compaction while it is read is read again at its new place. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"

#include <inttypes.h>

#define CHECK_SLICE_US 4000
#define PIECE          ((size_t)256 * 1024)
#define AHEAD          32 /* messages whose bytes are asked for before they are read */
#define NAMED_MAX      1000 /* damaged messages of an account whose mailboxes are looked up */
#define TOLD_AT_ONCE   100
#define DAMAGE_MAX     100000 /* that is told; further damage, and further notes, are only counted */
#define NOTES_MAX      1000
#define COUNT_TRIES    3  /* of an account that is written meanwhile: then its counters are not compared */

struct place {
	int64_t key;
	uint32_t segment;
	uint64_t offset, size;
};

/* What an account's row says. All changes of entries come with a new modseq. */
struct counters {
	uint64_t modseq;
	struct account_counts counts;
	bool is_written; /* by the batch that is open: rows are not all as they will be */
};

enum check_phase {
	CHECK_ACCOUNT,
	CHECK_PAGES,
	CHECK_MESSAGES,
	CHECK_NAMES, /* the pages again: who has the messages that are damaged */
};

struct damaged {
	struct check_damage damage;
	int64_t mailbox; /* its number; 0: no entry was found yet */
};

struct store_check {
	struct store *store;
	enum check_phase phase;
	int64_t account; /* that is being checked, or was last */
	struct account_id id;
	struct counters before; /* of the account, when its pages were begun */
	struct account_counts counted;
	uint32_t tries;
	bool is_whole;   /* all pages of the account could be read */
	struct checked_run {
		int64_t number;
		int64_t mailbox; /* 0: not attached, its entries do not count */
		uint32_t uid_base;
	} *runs;
	uint32_t n_runs, run;
	int64_t at;      /* key of the page that was looked at last */
	struct place ahead[AHEAD];
	uint32_t n_ahead, next;
	int64_t last;    /* key of the last message of those */
	uint64_t read;   /* bytes of ahead[next] */
	uint64_t checksum;
	struct body_sum *sum; /* NULL: not begun */
	struct check_reader reader; /* zero: none */
	char *room;
	struct damaged *damaged; /* messages of the account, by number */
	size_t n_damaged, n_told;
	struct check_totals totals;
	check_damage_fn *damage;
	void *owner;
};

struct store_check *store_check_new(struct store *store, check_damage_fn *damage, void *owner)
{
	struct store_check *check = mem_alloc(1, sizeof *check);
	*check = (struct store_check){ .store = store, .room = mem_alloc(1, PIECE), .damage = damage, .owner = owner };
	return check;
}

void store_check_free(struct store_check **pointer)
{
	struct store_check *check = *pointer;
	*pointer = NULL;
	if (!check)
		return;
	(void)body_sum_end(&check->sum);
	mem_free(check->runs);
	mem_free(check->room);
	mem_free(check->damaged);
	mem_free(check);
}

const struct check_totals *store_check_totals(const struct store_check *check)
{
	return &check->totals;
}

void store_check_read_by(struct store_check *check, const struct check_reader *reader)
{
	check->reader = *reader;
}

static void tell(struct store_check *check, const struct check_damage *damage, int64_t mailbox)
{
	struct check_damage named = *damage;
	uint64_t *told = damage->is_note ? &check->totals.notes : &check->totals.damaged;
	if ((*told)++ >= (damage->is_note ? NOTES_MAX : DAMAGE_MAX))
		return;
	DB_USING(find, check->store->sql.check_mailbox);
	db_bind_int(find, 1, mailbox);
	if (mailbox != 0 && db_step(find) == DB_ROW)
		named.mailbox = db_column_text(find, 0);
	check->damage(check->owner, &named);
}

/* Damage in index.db: the row of a table whose key (or number) this is. */
static void tell_row(struct store_check *check, const char *table, int64_t key, struct check_damage damage,
                     const char *problem)
{
	bool is_account = strcmp(table, "account") == 0;
	damage.account = check->id;
	damage.table = table;
	damage.problem = problem;
	snprintf(damage.row, sizeof damage.row, "%s = %" PRId64, is_account ? "number" : "key", key);
	tell(check, &damage, is_account || check->run >= check->n_runs ? 0 : check->runs[check->run].mailbox);
}

/* Told when it is known which entry has it, unless there are too many. */
static void note_message(struct store_check *check, const struct place *place, const char *problem, bool is_note)
{
	struct check_damage damage = { .account = check->id, .message = (uint64_t)place->key & NUMBER_MAX,
		                           .segment = place->segment, .offset = place->offset, .table = "message",
		                           .problem = problem, .is_note = is_note };
	snprintf(damage.row, sizeof damage.row, "key = %" PRId64, place->key);
	if (check->n_damaged == NAMED_MAX) {
		tell(check, &damage, 0);
		return;
	}
	check->damaged = mem_resize(check->damaged, check->n_damaged + 1, sizeof *check->damaged);
	check->damaged[check->n_damaged++] = (struct damaged){ damage, 0 };
}

/* --- accounts --- */

static int list_runs(struct store_check *check)
{
	DB_USING(list, check->store->sql.account_runs);
	int row;
	check->n_runs = check->run = 0;
	db_bind_int(list, 1, check->account);
	while ((row = db_step(list)) == DB_ROW) {
		check->runs = mem_resize(check->runs, check->n_runs + 1, sizeof *check->runs);
		check->runs[check->n_runs++] =
			(struct checked_run){ db_column_int(list, 0), db_column_int(list, 1), (uint32_t)db_column_int(list, 2) };
	}
	if (row < 0)
		check->n_runs = 0;
	return row;
}

static int read_counters(struct store_check *check, struct counters *out)
{
	DB_USING(row, check->store->sql.check_counters);
	*out = (struct counters){ 0 };
	db_bind_int(row, 1, check->account);
	int result = db_step(row);
	if (result == DB_ROW) {
		out->modseq = (uint64_t)db_column_int(row, 0);
		out->counts = (struct account_counts){ (uint64_t)db_column_int(row, 1), (uint64_t)db_column_int(row, 2) };
	}
	for (const struct account *account = check->store->touched; account; account = account->touched_next)
		out->is_written |= account->number == check->account;
	return MIN(result, 0);
}

static int begin_pages(struct store_check *check)
{
	check->at = 0;
	check->phase = CHECK_PAGES;
	check->counted = (struct account_counts){ 0, 0 };
	check->is_whole = true;
	int result = read_counters(check, &check->before);
	return result == 0 ? list_runs(check) : result;
}

static void begin_messages(struct store_check *check)
{
	check->n_ahead = check->next = 0;
	check->phase = CHECK_MESSAGES;
}

/* All pages were read: once more, when the account was written meanwhile. */
static int end_pages(struct store_check *check)
{
	struct counters now;
	int result = read_counters(check, &now);
	if (result < 0)
		return result;
	bool quiet = !now.is_written && !check->before.is_written && now.modseq == check->before.modseq;
	if (!quiet && ++check->tries < COUNT_TRIES)
		return begin_pages(check);
	if (quiet && check->is_whole &&
	    (now.counts.messages != check->counted.messages || now.counts.bytes != check->counted.bytes))
		tell_row(check, "account", check->account, (struct check_damage){ 0 }, "its counters are not those of its entries");
	check->totals.entries += check->counted.messages;
	begin_messages(check);
	return 0;
}

/* The next account; *done: there is none. */
static int next_account(struct store_check *check, bool *done)
{
	{
		DB_USING(find, check->store->sql.check_account);
		db_bind_int(find, 1, check->account);
		int row = db_step(find);
		if (row != DB_ROW) {
			*done = row == DB_DONE;
			return row;
		}
		struct str id = db_column_blob(find, 1);
		check->account = db_column_int(find, 0);
		memcpy(check->id.bytes, id.p, MIN(id.n, sizeof check->id.bytes));
	}
	check->totals.accounts++;
	check->last = account_key(check->account, 0);
	check->tries = 0;
	return begin_pages(check);
}

/* --- entries --- */

static int check_entry(struct store_check *check, const struct entry *entry)
{
	DB_USING(find, check->store->sql.message_place);
	struct check_damage damage = { .message = entry->message, .uid = entry->uid };
	const char *problem = NULL;
	db_bind_int(find, 1, account_key(check->account, entry->message));
	int row = db_step(find);
	if (row < 0)
		return row;
	if (row == DB_DONE)
		problem = "an entry of a mailbox has no message";
	else if ((uint64_t)db_column_int(find, 2) != entry_size(entry))
		problem = "an entry of a mailbox has another size than its message";
	if (problem)
		tell_row(check, "page", check->at, damage, problem);
	return 0;
}

static int check_entries(struct store_check *check, const struct page *page)
{
	int result = 0;
	if (check->runs[check->run].mailbox != 0) {
		check->counted.messages += page->n;
		check->counted.bytes += page->bytes;
	}
	for (uint32_t i = 0; i < page->n && check->tries == 0 && result == 0; i++)
		result = check_entry(check, &page->entries[i]);
	return result;
}

/* The next page of the run; NULL: it was the last, and the next run begins, or (*broken) it cannot be read. */
static int next_page(struct store_check *check, struct page **out, bool *broken)
{
	DB_USING(pages, check->store->sql.page_list);
	const struct checked_run *run = &check->runs[check->run];
	int64_t first = run_key(run->number, 0);
	*out = NULL;
	*broken = false;
	db_bind_int(pages, 1, MAX(first, check->at + 1));
	db_bind_int(pages, 2, first | UINT32_MAX);
	int row = db_step(pages);
	if (row != DB_ROW) {
		check->run++;
		check->at = 0;
		return row;
	}
	check->at = db_column_int(pages, 0);
	*out = page_new(NULL, 0, run->uid_base);
	*broken = page_decode(db_column_blob(pages, 1), 0, *out) < 0;
	if (*broken)
		page_free(out);
	return 0;
}

static int check_page(struct store_check *check)
{
	struct page *page;
	bool broken;
	int result = next_page(check, &page, &broken);
	if (broken) {
		check->is_whole = false;
		if (check->tries == 0)
			tell_row(check, "page", check->at, (struct check_damage){ 0 }, "a page of a mailbox's entries cannot be read");
	}
	if (page)
		result = check_entries(check, page);
	page_free(&page);
	return result;
}

/* --- who has what is damaged --- */

static int by_message(const void *key, const void *item)
{
	uint64_t number = *(const uint64_t *)key, other = ((const struct damaged *)item)->damage.message;
	return (number > other) - (number < other);
}

static int name_page(struct store_check *check)
{
	int64_t mailbox = check->runs[check->run].mailbox;
	struct page *page;
	bool broken;
	int result = next_page(check, &page, &broken);
	for (uint32_t i = 0; page && i < page->n && mailbox != 0; i++) {
		uint64_t number = page->entries[i].message;
		struct damaged *damaged =
			bsearch(&number, check->damaged, check->n_damaged, sizeof *damaged, by_message);
		if (damaged && damaged->mailbox == 0) {
			damaged->mailbox = mailbox;
			damaged->damage.uid = page->entries[i].uid;
		}
	}
	page_free(&page);
	return result;
}

static void tell_some(struct store_check *check)
{
	for (uint32_t n = 0; n < TOLD_AT_ONCE && check->n_told < check->n_damaged; n++, check->n_told++)
		tell(check, &check->damaged[check->n_told].damage, check->damaged[check->n_told].mailbox);
	if (check->n_told < check->n_damaged)
		return;
	check->n_damaged = check->n_told = 0;
	check->phase = CHECK_ACCOUNT;
}

/* --- messages --- */

static void end_account(struct store_check *check)
{
	check->phase = check->n_damaged ? CHECK_NAMES : CHECK_ACCOUNT;
	check->run = 0;
	check->at = 0;
}

/* The places of the next messages of the account; the disk may fetch them meanwhile. */
static int look_ahead(struct store_check *check)
{
	DB_USING(list, check->store->sql.check_messages);
	int row;
	check->n_ahead = check->next = 0;
	db_bind_int(list, 1, check->last);
	db_bind_int(list, 2, account_key(check->account, NUMBER_MAX));
	db_bind_int(list, 3, AHEAD);
	while ((row = db_step(list)) == DB_ROW && check->n_ahead < AHEAD) {
		struct place *place = &check->ahead[check->n_ahead++];
		*place = (struct place){ db_column_int(list, 0), (uint32_t)db_column_int(list, 1), (uint64_t)db_column_int(list, 2),
			                 (uint64_t)db_column_int(list, 3) };
		check->last = place->key;
		bodylog_will_read(check->store->bodies, place->segment, place->offset, MIN(place->size, (uint64_t)PIECE));
	}
	if (row == DB_DONE && check->n_ahead == 0)
		end_account(check);
	return MIN(row, 0);
}

/* Is the row as it was? False: it is gone, or has changed and is to be read at its new place. */
static bool is_unchanged(struct store_check *check, struct place *place)
{
	DB_USING(find, check->store->sql.message_place);
	db_bind_int(find, 1, place->key);
	if (db_step(find) != DB_ROW) {
		check->next++;
		return false;
	}
	struct place now = { place->key, (uint32_t)db_column_int(find, 0), (uint64_t)db_column_int(find, 1),
		                 (uint64_t)db_column_int(find, 2) };
	bool same = now.segment == place->segment && now.offset == place->offset && now.size == place->size;
	*place = now;
	return same;
}

static const char *begin_message(struct store_check *check, const struct place *place)
{
	char room[BODYLOG_HEADER_MAX];
	struct body_record record;
	uint64_t end;
	int result = checked_add(place->offset, place->size, &end)
	                 ? bodylog_record_of(check->store->bodies, place->segment, place->offset, end, room, &record)
	                 : ERR_CORRUPT;
	if (result == ERR_NOT_FOUND)
		return "the file of its segment is missing";
	if (result < 0)
		return "it has no readable record";
	if (record.length != place->size || record.message != ((uint64_t)place->key & NUMBER_MAX) ||
	    memcmp(&record.account, &check->id, sizeof record.account) != 0)
		return "its record is another message's";
	check->sum = body_sum_new();
	if (check->reader.begin)
		check->reader.begin(check->reader.owner);
	check->checksum = record.checksum;
	check->read = 0;
	return NULL;
}

static const char *read_message(struct store_check *check, const struct place *place, bool *done)
{
	size_t n = (size_t)MIN(place->size - check->read, (uint64_t)PIECE);
	if (bodylog_read(check->store->bodies, place->segment, place->offset + check->read, check->room, n) < 0)
		return "its bytes cannot be read";
	body_sum_add(check->sum, str_of(check->room, n));
	if (check->reader.feed)
		check->reader.feed(check->reader.owner, str_of(check->room, n));
	check->read += n;
	check->totals.bytes += n;
	*done = check->read == place->size;
	return *done && body_sum_end(&check->sum) != check->checksum ? "its bytes are not those that came in" : NULL;
}

/* Its bytes are those that came in: does its row say what they say? */
static const char *compare_row(struct store_check *check, const struct place *place, bool *is_note)
{
	DB_USING(find, check->store->sql.check_row);
	struct message_row row;
	if (!check->reader.compare)
		return NULL;
	db_bind_int(find, 1, place->key);
	if (db_step(find) != DB_ROW)
		return NULL;
	if (message_row_read(find, &row) < 0)
		return NULL; /* its numbers: the check of the index names the row, and which */
	return check->reader.compare(check->reader.owner, &row, is_note);
}

static void check_message(struct store_check *check)
{
	struct place *place = &check->ahead[check->next];
	bool done = false, is_note = false;
	const char *problem = check->sum ? NULL : begin_message(check, place);
	if (!problem)
		problem = read_message(check, place, &done);
	if (problem || done)
		(void)body_sum_end(&check->sum);
	if (!problem && done)
		problem = compare_row(check, place, &is_note);
	if (problem && !is_unchanged(check, place))
		return;
	if (problem)
		note_message(check, place, problem, is_note);
	if (problem || done) {
		check->totals.messages++;
		check->next++;
	}
}

/* A page of index.db cannot be read: that is told, and what it would have led to is left out. */
static void pass_over(struct store_check *check, bool *done)
{
	struct check_damage damage = { 0 };
	check->is_whole = false;
	switch (check->phase) {
	case CHECK_ACCOUNT:
		check->id = (struct account_id){ { 0 } };
		tell_row(check, "account", check->account, damage, "accounts behind this one cannot be read");
		*done = true;
		break;
	case CHECK_PAGES:
		if (check->run >= check->n_runs) {
			tell_row(check, "account", check->account, damage, "what mailboxes it has cannot be read");
			begin_messages(check);
		} else if (check->tries == 0) {
			tell_row(check, "page", check->at, damage, "pages of a mailbox's entries cannot be read from here on");
		}
		check->run++;
		check->at = 0;
		break;
	case CHECK_MESSAGES:
		tell_row(check, "message", check->last, damage, "messages of this account cannot be read from here on");
		end_account(check);
		break;
	case CHECK_NAMES:
		check->run++;
		check->at = 0;
		break;
	}
}

int store_check_step(struct store_check *check, bool *done)
{
	uint64_t end_us = clock_monotonic_us() + CHECK_SLICE_US;
	int result = 0;
	*done = false;
	while (result == 0 && !*done && clock_monotonic_us() < end_us) {
		switch (check->phase) {
		case CHECK_ACCOUNT:
			result = next_account(check, done);
			break;
		case CHECK_PAGES:
			result = check->run < check->n_runs ? check_page(check) : end_pages(check);
			break;
		case CHECK_MESSAGES:
			if (check->next < check->n_ahead)
				check_message(check);
			else
				result = look_ahead(check);
			break;
		case CHECK_NAMES:
			if (check->run < check->n_runs)
				result = name_page(check);
			else
				tell_some(check);
			if (check->n_told > 0)
				return result; /* the owner may send what it heard */
			break;
		}
		if (result == ERR_CORRUPT) {
			pass_over(check, done);
			result = 0;
		}
	}
	return result;
}
