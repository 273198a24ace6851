/* check.c: reads everything, a few milliseconds at a time, while the store serves: each page of entries decodes and
 * its entries have their messages; each message is where its row says, in a record that names it, with the bytes
 * that came in. Only tells; changes nothing. What is moved by compaction while it is read is read again at its new
 * place. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"

#define CHECK_SLICE_US 4000
#define PIECE          ((size_t)256 * 1024)
#define AHEAD          32 /* messages whose bytes are asked for before they are read */

struct place {
	int64_t key;
	uint32_t segment;
	uint64_t offset, size;
};

enum check_phase { CHECK_ACCOUNT, CHECK_PAGES, CHECK_MESSAGES };

struct store_check {
	struct store *store;
	enum check_phase phase;
	int64_t account; /* that is being checked, or was last */
	struct account_id id;
	int64_t *runs;
	uint32_t n_runs, run;
	int64_t at;      /* key of the page that was looked at last */
	struct place ahead[AHEAD];
	uint32_t n_ahead, next;
	int64_t last;    /* key of the last message of those */
	uint64_t read;   /* bytes of ahead[next] */
	uint64_t checksum;
	struct body_sum *sum; /* NULL: not begun */
	char *room;
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
	mem_free(check);
}

const struct check_totals *store_check_totals(const struct store_check *check)
{
	return &check->totals;
}

static void tell(struct store_check *check, const struct check_damage *damage)
{
	check->totals.damaged++;
	check->damage(check->owner, damage);
}

static void tell_message(struct store_check *check, const struct place *place, const char *problem)
{
	tell(check, &(struct check_damage){ check->id, (uint64_t)place->key & NUMBER_MAX, place->segment, place->offset,
	                                    problem });
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
		check->runs[check->n_runs++] = db_column_int(list, 0);
	}
	return row;
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
	check->at = 0;
	check->last = check->account << KEY_SHIFT;
	check->phase = CHECK_PAGES;
	return list_runs(check);
}

/* --- entries --- */

static int check_entries(struct store_check *check, const struct page *page)
{
	DB_USING(find, check->store->sql.message_place);
	for (uint32_t i = 0; i < page->n; i++) {
		struct place place = { .key = check->account << KEY_SHIFT | (int64_t)page->entries[i].message };
		db_reset(find);
		db_bind_int(find, 1, place.key);
		int row = db_step(find);
		if (row < 0)
			return row;
		if (row == DB_DONE)
			tell_message(check, &place, "an entry of a mailbox has no message");
		check->totals.entries++;
	}
	return 0;
}

static int check_page(struct store_check *check)
{
	DB_USING(pages, check->store->sql.page_list);
	int64_t first = check->runs[check->run] << 32;
	db_bind_int(pages, 1, MAX(first, check->at + 1));
	db_bind_int(pages, 2, first | UINT32_MAX);
	int row = db_step(pages);
	if (row != DB_ROW) {
		check->run++;
		check->at = 0;
		return row;
	}
	struct page *page = page_new(NULL, 0, 0);
	check->at = db_column_int(pages, 0);
	int result = page_decode(db_column_blob(pages, 1), 0, page);
	if (result < 0) {
		tell(check,
		     &(struct check_damage){ .account = check->id, .problem = "a page of a mailbox's entries cannot be read" });
		result = 0;
	} else {
		result = check_entries(check, page);
	}
	page_free(&page);
	return result;
}

/* --- messages --- */

/* The places of the next messages of the account; the disk may fetch them meanwhile. */
static int look_ahead(struct store_check *check)
{
	DB_USING(list, check->store->sql.check_messages);
	int row;
	check->n_ahead = check->next = 0;
	db_bind_int(list, 1, check->last);
	db_bind_int(list, 2, check->account << KEY_SHIFT | NUMBER_MAX);
	db_bind_int(list, 3, AHEAD);
	while ((row = db_step(list)) == DB_ROW && check->n_ahead < AHEAD) {
		struct place *place = &check->ahead[check->n_ahead++];
		*place = (struct place){ db_column_int(list, 0), (uint32_t)db_column_int(list, 1), (uint64_t)db_column_int(list, 2),
			                 (uint64_t)db_column_int(list, 3) };
		check->last = place->key;
		bodylog_will_read(check->store->bodies, place->segment, place->offset, MIN(place->size, (uint64_t)PIECE));
	}
	if (row == DB_DONE && check->n_ahead == 0)
		check->phase = CHECK_ACCOUNT;
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
	check->read += n;
	check->totals.bytes += n;
	*done = check->read == place->size;
	return *done && body_sum_end(&check->sum) != check->checksum ? "its bytes are not those that came in" : NULL;
}

static void check_message(struct store_check *check)
{
	struct place *place = &check->ahead[check->next];
	bool done = false;
	const char *problem = check->sum ? NULL : begin_message(check, place);
	if (!problem)
		problem = read_message(check, place, &done);
	if (problem || done)
		(void)body_sum_end(&check->sum);
	if (problem && !is_unchanged(check, place))
		return;
	if (problem)
		tell_message(check, place, problem);
	if (problem || done) {
		check->totals.messages++;
		check->next++;
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
			if (check->run < check->n_runs) {
				result = check_page(check);
			} else {
				check->n_ahead = check->next = 0;
				check->phase = CHECK_MESSAGES;
			}
			break;
		case CHECK_MESSAGES:
			if (check->next < check->n_ahead)
				check_message(check);
			else
				result = look_ahead(check);
			break;
		}
	}
	return result;
}
