/* compact.c: gives the space of dead messages back. A segment whose live share is small is emptied: its records are
 * walked in order, those that their row still points to are appended to the current segment, and the row is changed;
 * a segment that no row points to is removed.
 *
 *     pick ──▶ move, record by record, large ones piece by piece ──▶ (no row points to it) wait until that is durable
 *                     │                  ──▶ its own row: no bytes; wait until that is durable ──▶ unlink, forget
 *                     └─▶ (rows are left: damage) leave it as it is
 *
 * Crash safety, at every point: 1. A copy is part of the batch that changes its row, so the gate has synced the
 * bytes before the row can be durable; before that the row points to the old place. A copy whose batch never came is
 * dead bytes. 2. A segment is unlinked only when the table says that no row points to it and the batch that said so
 * is durable. Between unlink and the removal of its row in `segment`, which may be voided, the file is missing: the next
 * run takes it as unlinked, and nobody else misses it, as its row has no bytes (end = 0) by then; the gate syncs the
 * folder before the row can be gone, so that no file stays that has no row. 3. Only bytes whose checksum is right are
 * moved: a damaged record stays where it is, and its segment with it, for `mansio store check` and for people. So does a
 * segment with a record behind its committed end: of those that are current no more only one has that which a start with
 * a torn log has not cut, since salvage may bring mail back from it. 4. When a batch is voided, the segment waits for the
 * next round.
 *
 * Rate: what is copied is taken from what compaction_rate has given since (base/rate.h), and nothing is done, nor a batch
 * begun for it, while that is used up. An order (store_compact_now) does not wait, and takes nothing from it; and when
 * all else is done it ends the segment that was current when it came, so that this one gives its space back too.
 *
 * Readers: a range of an unlinked file is sent to its end, because the descriptor stays open until nobody sends from
 * it (store_world.reads). No place is remembered by anyone longer than a turn. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/rate.h"

#include <unistd.h>

#define LIVE_SHARE_LOW     50 /* percent: below it a segment is emptied in the background */
#define LIVE_SHARE_ANY     97 /* the same when all is to be compacted */
#define HEADER_TYPICAL     80 /* bytes of a record's header, about */
#define PIECE              ((size_t)256 * 1024)
#define RECORD_LARGE       ((uint64_t)1024 * 1024)
#define COMPACT_SLICE_US   4000
#define SLICE_BYTES        ((uint64_t)4 * 1024 * 1024) /* copied in one slice, at most, and the last record */
#define SAVED_SHARE        4 /* of a second's bytes may be saved up: slices come every 50 ms, if nothing else has its turn */
#define RETIRED_MAX        64

/* A large record on its way. */
struct large {
	bool under_way;
	int64_t key;
	uint64_t from; /* its body in the old segment */
	struct body_place to;
	uint64_t length, done, checksum;
	struct body_sum *sum;
};

struct compaction {
	uint32_t segment;  /* that is being emptied; 0: none */
	uint32_t tried;    /* up to which segments were looked at in this round */
	uint32_t damaged;  /* of them */
	uint64_t at, end;  /* the next record; the committed end */
	bool emptied;      /* no row points to it, as of `batch` */
	bool cleared;      /* and its own row says so, as of `batch` */
	uint64_t batch;
	struct large large;
	struct account_id id; /* whose number is `account`, to look it up once for many records */
	int64_t account;
	int64_t moved, moved_bytes; /* in this slice */
	struct rate rate;           /* bytes that may be copied now */
	uint64_t slice_left;        /* and in this slice */
	char *room;                 /* RECORD_LARGE bytes */
	int retired[RETIRED_MAX];   /* of segments that are gone */
	uint32_t n_retired;
};

static void forget_large(struct store *store, struct large *large)
{
	if (large->under_way)
		bodylog_release(store->bodies);
	(void)body_sum_end(&large->sum);
	*large = (struct large){ .under_way = false };
}

void compact_stop(struct store *store)
{
	struct compaction *c = store->compaction;
	if (!c)
		return;
	forget_large(store, &c->large);
	c->segment = 0;
	c->account = c->moved = c->moved_bytes = 0;
}

void compact_free(struct store *store)
{
	struct compaction *c = store->compaction;
	if (!c)
		return;
	compact_stop(store);
	for (uint32_t i = 0; i < c->n_retired; i++)
		close(c->retired[i]);
	mem_free(c->room);
	mem_free(c);
	store->compaction = NULL;
}

void store_compact_now(struct store *store)
{
	uint64_t end;
	store->compact_now = true;
	bodylog_position(store->bodies, &store->compact_to, &end);
	store->pruned_to = store->swept_to = 0;
	if (store->compaction)
		store->compaction->tried = store->compaction->damaged = 0;
}

bool store_is_compacting(const struct store *store)
{
	return store->compact_now;
}

void compact_space(const struct store *store, struct store_statistics *out)
{
	DB_USING(space, store->sql.segment_space);
	if (db_step(space) != DB_ROW)
		return;
	uint64_t live = (uint64_t)db_column_int(space, 3) + (uint64_t)db_column_int(space, 2) * HEADER_TYPICAL;
	out->segments = (uint64_t)db_column_int(space, 0);
	out->body_bytes = (uint64_t)db_column_int(space, 1);
	out->messages = (uint64_t)db_column_int(space, 2);
	out->dead_bytes = out->body_bytes > live ? out->body_bytes - live : 0;
}

/* --- picking --- */

static void close_retired(struct store *store, struct compaction *c)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < c->n_retired; i++) {
		if (store->world->reads && store->world->reads(store->owner, c->retired[i]))
			c->retired[kept++] = c->retired[i];
		else
			close(c->retired[i]);
	}
	c->n_retired = kept;
}

/* The first segment with enough dead in it, of those behind `after` and before `before`. */
static int find_segment(struct store *store, sqlite3_stmt *find, uint32_t after, uint32_t before)
{
	db_bind_int(find, 1, after);
	db_bind_int(find, 2, before);
	db_bind_int(find, 3, HEADER_TYPICAL);
	db_bind_int(find, 4, store->compact_now ? LIVE_SHARE_ANY : LIVE_SHARE_LOW);
	return db_step(find);
}

/* Is it the turn of the segment that was written to when the order came, and is there enough dead in it? It ends then: the
 * next batch begins another, and this one is as all before it. */
static int end_current(struct store *store, uint32_t current, bool *ends)
{
	if (!store->compact_now || current > store->compact_to)
		return 0;
	DB_USING(find, store->sql.segment_to_compact);
	int row = find_segment(store, find, current - 1, current + 1);
	*ends = row == DB_ROW && bodylog_end_segment(store->bodies);
	return MIN(row, 0);
}

/* alone: no other chore is due, which might make more dead. *ends: first, the current segment is to end. */
static int pick(struct store *store, struct compaction *c, bool alone, bool *ends)
{
	uint32_t current;
	uint64_t end;
	bodylog_position(store->bodies, &current, &end);
	DB_USING(find, store->sql.segment_to_compact);
	int row = find_segment(store, find, c->tried, current);
	if (row == DB_DONE && alone) {
		sqlite3_reset(find);
		int result = end_current(store, current, ends);
		if (result < 0 || *ends)
			return result;
	}
	c->tried = row == DB_ROW ? (uint32_t)db_column_int(find, 0) : 0;
	if (row == DB_DONE) {
		store->segments_damaged = c->damaged;
		c->damaged = 0;
	}
	if (row != DB_ROW)
		return row;
	c->segment = c->tried;
	c->at = 0;
	c->end = (uint64_t)db_column_int(find, 1);
	c->emptied = db_column_int(find, 2) == 0;
	c->cleared = c->end == 0;
	c->batch = store_last_batch(store);
	return 0;
}

static bool is_walking(const struct compaction *c)
{
	return c->segment != 0 && !c->emptied && (c->large.under_way || c->at < c->end);
}

/* A large record whose end somebody waits for keeps to no rate. */
static bool has_leave(const struct store *store, const struct compaction *c)
{
	bool awaited = c->large.under_way && (store->placings_waiting > 0 || snapshot_waits(store));
	return store->compact_now || awaited || rate_allows(&c->rate);
}

/* Is nothing to be copied before more time has passed? */
static bool waits(const struct store *store, struct compaction *c)
{
	uint64_t rate = store->settings.compaction_rate;
	rate_fill(&c->rate, rate, MAX(rate / SAVED_SHARE, 1), clock_monotonic_us());
	return is_walking(c) && !has_leave(store, c);
}

/* What would be begun now goes into the next segment, or behind the ends that a copy of index.db tells. */
static bool may_begin_record(const struct store *store)
{
	return !bodylog_is_full(store->bodies) && !snapshot_waits(store);
}

int compact_begin(struct store *store, bool alone, bool *any, bool *writes)
{
	bool ends = false;
	if (!store->compaction)
		store->compaction = mem_alloc(1, sizeof *store->compaction);
	struct compaction *c = store->compaction;
	close_retired(store, c);
	int result = c->segment == 0 && c->n_retired < RETIRED_MAX ? pick(store, c, alone, &ends) : 0;
	bool pinned = c->emptied && snapshot_pins(store);
	*any = ends || (c->segment != 0 && !pinned);
	if (ends)
		*writes = !bodylog_is_filling(store->bodies);
	else
		*writes = *any && (!c->emptied || store_durable(store) >= c->batch) && !waits(store, c);
	return result;
}

bool compact_has_readers(const struct store *store)
{
	return store->compaction && store->compaction->n_retired > 0;
}

/* --- moving --- */

static void copied(const struct store *store, struct compaction *c, uint64_t bytes)
{
	c->slice_left -= MIN(c->slice_left, bytes);
	if (!store->compact_now)
		rate_take(&c->rate, bytes);
}

/* The key of the record's row, when that points to this very place; 0: the record is dead. */
static int find_live(struct store *store, struct compaction *c, const struct body_record *record, uint64_t body,
                     int64_t *key)
{
	*key = 0;
	if (c->account == 0 || memcmp(&c->id, &record->account, sizeof c->id) != 0) {
		int result = account_find_number(store, &record->account, &c->account);
		if (result < 0)
			return result;
		c->id = record->account;
	}
	if (c->account == 0 || record->message == 0 || record->message > (uint64_t)NUMBER_MAX)
		return 0;
	DB_USING(place, store->sql.message_place);
	db_bind_int(place, 1, account_key(c->account, record->message));
	int row = db_step(place);
	if (row == DB_ROW && db_column_int(place, 0) == c->segment && (uint64_t)db_column_int(place, 1) == body &&
	    (uint64_t)db_column_int(place, 2) == record->length)
		*key = account_key(c->account, record->message);
	return MIN(row, 0);
}

static int change_row(struct store *store, int64_t key, const struct body_place *to, uint64_t size)
{
	struct compaction *c = store->compaction;
	db_bind_int(store->sql.message_move, 1, key);
	db_bind_int(store->sql.message_move, 2, to->segment);
	db_bind_int(store->sql.message_move, 3, (int64_t)to->offset);
	c->moved++;
	c->moved_bytes += (int64_t)size;
	store->added_messages++;
	store->added_bytes += (int64_t)size;
	return db_run(store->sql.message_move);
}

/* What cannot be read, or is not what was written, stays. */
static bool is_damage(int err)
{
	return err == ERR_CORRUPT || err == ERR_IO;
}

static int move_small(struct store *store, struct compaction *c, const struct body_record *record, uint64_t body,
                      int64_t key)
{
	struct str bytes = str_of(c->room, (size_t)record->length);
	struct body_place to;
	int result = bodylog_read(store->bodies, c->segment, body, c->room, bytes.n);
	if (is_damage(result))
		return 0;
	if (result < 0)
		return result;
	struct body_sum *sum = body_sum_new();
	body_sum_add(sum, bytes);
	if (body_sum_end(&sum) != record->checksum)
		return 0;
	result = bodylog_append(store->bodies, record, &bytes, 1, -1, 0, &to);
	return result == 0 ? change_row(store, key, &to, record->length) : result;
}

static int begin_large(struct store *store, struct compaction *c, const struct body_record *record, uint64_t body,
                       int64_t key)
{
	struct large large = {
		.under_way = true, .key = key, .from = body, .length = record->length, .checksum = record->checksum
	};
	int result = bodylog_reserve(store->bodies, record, &large.to);
	if (result < 0)
		return result;
	large.sum = body_sum_new();
	c->large = large;
	return 0;
}

/* The row still points there? The message may have gone while its bytes were copied. */
static int still_there(struct store *store, const struct compaction *c, bool *there)
{
	DB_USING(place, store->sql.message_place);
	db_bind_int(place, 1, c->large.key);
	int row = db_step(place);
	*there = row == DB_ROW && db_column_int(place, 0) == c->segment && (uint64_t)db_column_int(place, 1) == c->large.from;
	return MIN(row, 0);
}

static int move_piece(struct store *store, struct compaction *c)
{
	struct large *large = &c->large;
	struct str piece = str_of(c->room, (size_t)MIN(large->length - large->done, (uint64_t)PIECE));
	int result = bodylog_read(store->bodies, c->segment, large->from + large->done, c->room, piece.n);
	if (is_damage(result)) {
		forget_large(store, large);
		return 0;
	}
	if (result == 0)
		result = bodylog_fill(store->bodies, &large->to, large->done, piece);
	if (result < 0)
		return result;
	body_sum_add(large->sum, piece);
	large->done += piece.n;
	copied(store, c, piece.n);
	bodylog_will_read(store->bodies, c->segment, large->from + large->done, 2 * PIECE);
	if (large->done < large->length)
		return 0;
	bool there = false;
	if (body_sum_end(&large->sum) == large->checksum)
		result = still_there(store, c, &there);
	if (result == 0 && there)
		result = change_row(store, large->key, &large->to, large->length);
	forget_large(store, large);
	return result;
}

/* ERR_CORRUPT: no record begins where one must. */
static int move_record(struct store *store, struct compaction *c)
{
	char header[BODYLOG_HEADER_MAX];
	struct body_record record;
	uint64_t body;
	int64_t key;
	int result = bodylog_record(store->bodies, c->segment, c->at, c->end, header, &record, &body);
	if (result < 0)
		return ERR_CORRUPT;
	result = find_live(store, c, &record, body, &key);
	if (result < 0)
		return result;
	uint64_t from = c->at;
	c->at = body + record.length;
	bodylog_will_read(store->bodies, c->segment, c->at, 2 * PIECE);
	if (key == 0)
		return 0;
	if (record.length > RECORD_LARGE)
		return begin_large(store, c, &record, body, key);
	copied(store, c, c->at - from);
	return move_small(store, c, &record, body, key);
}

/* --- the end of a segment --- */

static void give_up(struct store *store, struct compaction *c)
{
	forget_large(store, &c->large);
	c->damaged++;
	c->segment = 0;
}

/* All records were walked: is it empty now? */
static int end_walk(struct store *store, struct compaction *c)
{
	DB_USING(left, store->sql.segment_messages);
	db_bind_int(left, 1, c->segment);
	int row = db_step(left);
	if (row < 0)
		return row;
	if (row == DB_ROW && db_column_int(left, 0) != 0) {
		give_up(store, c);
		return 0;
	}
	c->emptied = true;
	c->batch = store_batch(store);
	return 0;
}

static bool has_more(struct store *store, const struct compaction *c)
{
	char header[BODYLOG_HEADER_MAX];
	struct body_record record;
	uint64_t body;
	return bodylog_record(store->bodies, c->segment, c->end, INT64_MAX, header, &record, &body) == 0;
}

/* In two batches: see 2. above. */
static int remove_segment(struct store *store, struct compaction *c)
{
	int fd;
	if (store_durable(store) < c->batch || snapshot_pins(store))
		return 0;
	if (!c->cleared && has_more(store, c)) {
		give_up(store, c);
		return 0;
	}
	if (!c->cleared) {
		c->cleared = true;
		c->batch = store_batch(store);
		db_bind_int(store->sql.segment_clear, 1, c->segment);
		return db_run(store->sql.segment_clear);
	}
	int result = bodylog_remove(store->bodies, c->segment, &fd);
	if (result < 0)
		return result;
	if (fd >= 0)
		c->retired[c->n_retired++] = fd;
	db_bind_int(store->sql.segment_remove, 1, c->segment);
	store->compacted_bytes += c->end;
	c->segment = 0;
	return db_run(store->sql.segment_remove);
}

/* What was moved in this slice no longer counts for the old segment. */
static int count_moved(struct store *store, struct compaction *c)
{
	if (c->moved == 0)
		return 0;
	db_bind_int(store->sql.segment_less, 1, c->segment);
	db_bind_int(store->sql.segment_less, 2, c->moved);
	db_bind_int(store->sql.segment_less, 3, c->moved_bytes);
	c->moved = c->moved_bytes = 0;
	return db_run(store->sql.segment_less);
}

int compact_step(struct store *store)
{
	struct compaction *c = store->compaction;
	uint64_t now_us = clock_monotonic_us(), end_us = now_us + COMPACT_SLICE_US;
	int result = 0;
	if (c->segment == 0)
		return 0;
	if (c->emptied)
		return remove_segment(store, c);
	if (!c->room)
		c->room = mem_alloc(1, RECORD_LARGE);
	c->slice_left = SLICE_BYTES;
	while (result == 0 && is_walking(c) && c->slice_left > 0 && now_us < end_us && has_leave(store, c) &&
	       (c->large.under_way || may_begin_record(store))) {
		result = c->large.under_way ? move_piece(store, c) : move_record(store, c);
		now_us = clock_monotonic_us();
	}
	bool damaged = result == ERR_CORRUPT;
	if (damaged)
		result = 0;
	if (result == 0)
		result = count_moved(store, c);
	if (result == 0 && damaged)
		give_up(store, c);
	else if (result == 0 && !is_walking(c))
		result = end_walk(store, c);
	return result;
}
