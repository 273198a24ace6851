/* parcel_writer.c: an account becomes a parcel (store/parcel.h), a few milliseconds at a time, while it goes on living.
 *
 * First its entries are copied, page by page, until all copies are of one instant: a pass over the mailboxes copies
 * those that have changed since the last pass, of these only the pages that have, and ends the copying when it reached
 * the end within one step. Nothing of the account can be in none of the copies (moved from a mailbox that is still to
 * be copied into one that was) or in two. What the copies name stays: no sweep of the account begins meanwhile. Rows of
 * the logs up to that instant are read later, as they are then; an undelete at that time may take some with it.
 *
 * Then frames are made: each page's messages that were not sent yet, and its entries. A message's bytes are read twice
 * when they are many: its checksum is verified before it begins, for a stream cannot take it back.
 *
 * Owned by whoever sends the parcel; holds the account. Reads only. */
#include "store/transfer.h"

#include "base/checked.h"
#include "base/clock.h"
#include "store/internal.h"
#include "store/parcel_shot.h"
#include "store/pop3.h"

#include <stdarg.h>

#define SLICE_US     4000
#define CHUNK        (256 * 1024)                                /* of a message, read at once */
#define ROOM         (CHUNK + CHUNK / 16 + 2 * PARCEL_FRAME_MAX) /* what one unit of work may put at most */
#define OUT_MAX      (4 * ROOM)
#define SENT_BITS    20      /* numbers in one block of the list of sent messages, as a power of two */
#define CHANGE_RANGES 3000   /* in one frame */
#define PLACES_MAX   8       /* how often a message that is being sent may be moved by compaction */

enum phase { TAKING, BEGINNING, MAILBOXES, SUBSCRIPTIONS, ENTRIES, EXPUNGED, CHANGES, POP3, SOURCES, DONE };

/* The message that is being sent. */
struct outgoing {
	bool under_way, verified, begun; /* begun: its frame was put */
	struct parcel_message facts;
	uint32_t segment;
	uint64_t offset;
	uint64_t done; /* bytes verified, then sent */
	struct body_sum *sum;
	uint32_t places;
};

struct parcel_writer {
	struct account *account;
	struct str *mailboxes; /* owned; of the filter */
	uint32_t n_mailboxes;
	uint64_t after;
	bool whole;
	struct parcel_maker maker;
	enum phase phase;
	struct shot **shots;
	uint32_t n_shots;
	struct parcel_begin begin;
	uint64_t batch;
	uint32_t shot, at;    /* where the phase is: mailbox, its page; or subscription */
	struct page *page;    /* entries to send: of a page, or of a row of the undelete log */
	uint32_t slot;        /* messages before it were sent */
	uint64_t log_at;      /* modseq of the last row of the log that was sent, or is the page's */
	int64_t log_time;
	uint32_t log_mailbox;
	struct outgoing out;
	uint64_t **sent;      /* blocks of bits by number */
	uint64_t n_blocks;
	struct message_cursor rows;
	struct uidl_cursor uidls;
	bool has_uidls;
	int uidl_error;
	char (*texts)[POP3_UIDL_MAX]; /* of the frame's entries; NULL: none was needed yet */
	struct pop3_position remembered;
	struct source_position sources;
	struct parcel_entries *frame;
	char *chunk;
	bool lost_logs; /* rows that are not of mail in mailboxes cannot be read */
	char problem[160];
};

static void __attribute__((format(printf, 2, 3))) tell(struct parcel_writer *w, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(w->problem, sizeof w->problem, format, args);
	va_end(args);
}

/* --- life --- */

struct parcel_writer *parcel_writer_new(struct account *account, const struct parcel_filter *filter)
{
	struct parcel_writer *w = mem_alloc(1, sizeof *w);
	w->account = account;
	loose_begin(account);
	w->after = filter->after;
	w->whole = filter->whole;
	w->n_mailboxes = filter->n_mailboxes;
	w->mailboxes = mem_alloc(w->n_mailboxes + 1, sizeof *w->mailboxes);
	for (uint32_t i = 0; i < w->n_mailboxes; i++)
		w->mailboxes[i] = str_of(mem_copy(filter->mailboxes[i]), filter->mailboxes[i].n);
	parcel_maker_begin(&w->maker, OUT_MAX);
	w->frame = mem_alloc(1, sizeof *w->frame);
	w->chunk = mem_alloc_unset(CHUNK);
	return w;
}

void parcel_writer_free(struct parcel_writer **pointer)
{
	struct parcel_writer *w = *pointer;
	*pointer = NULL;
	if (!w)
		return;
	for (uint32_t i = 0; i < w->n_shots; i++)
		shot_free(w->shots[i]);
	mem_free(w->shots);
	for (uint64_t i = 0; i < w->n_blocks; i++)
		mem_free(w->sent[i]);
	mem_free(w->sent);
	for (uint32_t i = 0; i < w->n_mailboxes; i++)
		mem_free((char *)w->mailboxes[i].p);
	mem_free(w->mailboxes);
	(void)body_sum_end(&w->out.sum);
	page_free(&w->page);
	parcel_maker_free(&w->maker);
	mem_free(w->frame);
	mem_free(w->texts);
	mem_free(w->chunk);
	loose_end(w->account);
	mem_free(w);
}

struct parcel_maker *parcel_writer_maker(struct parcel_writer *w)
{
	return &w->maker;
}

uint64_t parcel_writer_batch(const struct parcel_writer *w)
{
	return w->batch;
}

struct str parcel_writer_problem(const struct parcel_writer *w)
{
	return str_of(w->problem, strlen(w->problem));
}

/* --- copies of one instant --- */

static bool is_wanted(const struct parcel_writer *w, struct str name)
{
	for (uint32_t i = 0; i < w->n_mailboxes; i++)
		if (str_eq(w->mailboxes[i], name))
			return true;
	return w->n_mailboxes == 0;
}

/* Both lists are nearly the same, so that it mostly is where it is looked for first. */
static struct shot *shot_of(struct parcel_writer *w, uint32_t number, uint32_t hint)
{
	for (uint32_t i = 0; i < w->n_shots; i++) {
		struct shot *shot = w->shots[(hint + i) % w->n_shots];
		if (shot->number == number)
			return shot;
	}
	return NULL;
}

static int add_shot(struct parcel_writer *w, struct mailbox *mailbox, struct shot **out)
{
	int result = mailbox_open_begin(mailbox);
	if (result < 0 && result != ERR_CORRUPT)
		return result;
	struct shot *shot = shot_new(result == 0 ? mailbox : NULL, mailbox->facts.number);
	w->shots = mem_resize(w->shots, w->n_shots + 1, sizeof(struct shot *));
	w->shots[w->n_shots++] = shot;
	*out = shot;
	return result;
}

/* *done: its copy is of now. */
static int take_mailbox(struct parcel_writer *w, struct mailbox *mailbox, uint32_t hint, uint64_t end_us, bool *done)
{
	struct shot *shot = w->n_shots ? shot_of(w, mailbox->facts.number, hint) : NULL;
	bool loaded = false;
	int result = shot ? 0 : add_shot(w, mailbox, &shot);
	*done = false;
	while (result == 0 && !loaded && !shot->damaged && clock_monotonic_us() < end_us)
		result = mailbox_open_step(mailbox, &loaded);
	if (result == ERR_CORRUPT && !w->whole)
		result = shot_take_readable(shot, mailbox);
	loaded |= shot && shot->damaged;
	if (result == ERR_CORRUPT)
		tell(w, "entries of mailbox %.*s are damaged", STR_ARG(str_first(mailbox->facts.name, 100)));
	if (result < 0 || !loaded)
		return result;
	if (!shot_is_as_taken(shot, mailbox))
		shot_take(shot, mailbox);
	shot->seen = true;
	*done = true;
	return 0;
}

static void drop_unseen(struct parcel_writer *w)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < w->n_shots; i++) {
		if (w->shots[i]->seen)
			w->shots[kept++] = w->shots[i];
		else
			shot_free(w->shots[i]);
	}
	w->n_shots = kept;
}

static int read_created(struct account *account, bool whole, int64_t *out)
{
	DB_USING(created, account->store->sql.account_created);
	db_bind_int(created, 1, account->number);
	int row = db_step(created);
	if (row == DB_ROW)
		*out = db_column_int(created, 0);
	bool damaged = row == ERR_CORRUPT || row == DB_DONE;
	return row == DB_ROW || (damaged && !whole) ? 0 : row == DB_DONE ? ERR_NOT_FOUND : row;
}

/* All copies are of this instant. */
static int end_taking(struct parcel_writer *w)
{
	struct account *account = w->account;
	drop_unseen(w);
	w->begin = (struct parcel_begin){ .account = account->id, .uidvalidity = account->uidvalidity,
		                              .modseq = account->modseq, .next = account->next, .quota = account->quota };
	for (uint32_t i = 0; i < w->n_shots; i++) {
		struct shot *shot = w->shots[i];
		shot->facts.number = i + 1;
		w->begin.modseq = MAX(w->begin.modseq, shot->facts.modseq);
		w->begin.messages += shot->messages;
		w->begin.bytes += shot->bytes;
		if (!shot->mailbox)
			continue;
		w->begin.messages += shot->mailbox->count;
		w->begin.bytes += shot->mailbox->size;
		mailbox_close(shot->mailbox);
		shot->mailbox = NULL;
	}
	w->batch = account->batch;
	w->n_blocks = (account->next >> SENT_BITS) + 1;
	w->sent = mem_alloc(w->n_blocks, sizeof *w->sent);
	w->phase = BEGINNING;
	return read_created(account, w->whole, &w->begin.created);
}

static int take(struct parcel_writer *w, uint64_t end_us)
{
	struct account *account = w->account;
	bool done = true;
	int result = 0;
	for (uint32_t i = 0; i < w->n_shots; i++)
		w->shots[i]->seen = false;
	for (uint32_t i = 0; i < account->n_mailboxes && result == 0 && done; i++)
		if (is_wanted(w, account->mailboxes[i]->facts.name))
			result = take_mailbox(w, account->mailboxes[i], i, end_us, &done);
	return result == 0 && done ? end_taking(w) : result;
}

/* --- messages --- */

/* Was it sent, or is it not to be? It is marked as sent. */
static bool mark_sent(struct parcel_writer *w, uint64_t number)
{
	uint64_t block = number >> SENT_BITS, bit = number & ((UINT64_C(1) << SENT_BITS) - 1);
	if (number <= w->after || block >= w->n_blocks)
		return true;
	if (!w->sent[block])
		w->sent[block] = mem_alloc((UINT64_C(1) << SENT_BITS) / 64, sizeof(uint64_t));
	bool sent = w->sent[block][bit / 64] >> (bit % 64) & 1;
	w->sent[block][bit / 64] |= UINT64_C(1) << (bit % 64);
	return sent;
}

static int give_up_message(struct parcel_writer *w, const char *problem)
{
	struct outgoing *out = &w->out;
	(void)body_sum_end(&out->sum);
	out->under_way = false;
	if (out->segment == 0)
		tell(w, "message %llu: %s", (unsigned long long)out->facts.number, problem);
	else
		tell(w, "message %llu: %s (segment %u, offset %llu)", (unsigned long long)out->facts.number, problem, out->segment,
		     (unsigned long long)out->offset);
	if (w->whole || out->begun)
		return ERR_CORRUPT;
	parcel_put_missing(&w->maker, &(struct parcel_missing){ out->facts.number, parcel_writer_problem(w) });
	return 0;
}

/* Of its row only what comes first: neither the rows before it nor the pages that a long one goes on in are looked at. */
static int find_place(struct parcel_writer *w, struct message_row *out)
{
	DB_USING(place, w->account->store->sql.message_place);
	db_bind_int(place, 1, make_key(w->account, w->out.facts.number));
	int row = db_step(place);
	if (row == DB_ROW && (!db_column_between(place, 0, 1, BODYLOG_SEGMENT_MAX) || !db_column_between(place, 1, 0, INT64_MAX) ||
	                      !db_column_between(place, 2, 0, ENTRY_SIZE_MAX) || !db_column_between(place, 4, INT16_MIN, INT16_MAX)))
		return ERR_CORRUPT;
	if (row == DB_ROW)
		*out = (struct message_row){ .segment = (uint32_t)db_column_int(place, 0), .offset = (uint64_t)db_column_int(place, 1),
			                         .size = (uint64_t)db_column_int(place, 2), .internal_date = db_column_int(place, 3),
			                         .zone_minutes = (int16_t)db_column_int(place, 4) };
	return row == DB_ROW ? 0 : row == DB_DONE ? ERR_NOT_FOUND : row;
}

static int find_message(struct parcel_writer *w)
{
	struct outgoing *out = &w->out;
	struct message_row row;
	int result = message_cursor_get(&w->rows, out->facts.number, &row);
	if (result == ERR_CORRUPT && !w->whole)
		result = find_place(w, &row);
	if (result < 0)
		return result;
	out->segment = row.segment;
	out->offset = row.offset;
	out->facts.size = row.size;
	out->facts.internal_date = row.internal_date;
	out->facts.zone_minutes = row.zone_minutes;
	return 0;
}

static int begin_message(struct parcel_writer *w, uint64_t number, uint32_t mailbox)
{
	struct bodylog *bodies = w->account->store->bodies;
	struct outgoing *out = &w->out;
	char room[BODYLOG_HEADER_MAX];
	struct body_record record;
	uint64_t end;
	*out = (struct outgoing){ .under_way = true, .facts = { .number = number, .mailbox = mailbox } };
	int result = find_message(w);
	if (result == ERR_NOT_FOUND || result == ERR_CORRUPT)
		return give_up_message(w, result == ERR_CORRUPT ? "its row in index.db cannot be read" : "it is gone");
	if (result < 0)
		return result;
	if (!checked_add(out->offset, out->facts.size, &end))
		return give_up_message(w, "its row is damaged");
	result = bodylog_record_of(bodies, out->segment, out->offset, end, room, &record);
	if (result < 0 || record.length != out->facts.size || record.message != number ||
	    memcmp(&record.account, &w->account->id, sizeof record.account) != 0)
		return give_up_message(w, "it has no readable record");
	out->facts.checksum = record.checksum;
	out->sum = body_sum_new();
	bodylog_will_read(bodies, out->segment, out->offset, out->facts.size + 2 * CHUNK);
	return 0;
}

/* A chunk from out->done on. Compaction may have moved the message since: then it is looked for again. */
static int read_chunk(struct parcel_writer *w, size_t *n)
{
	struct outgoing *out = &w->out;
	struct bodylog *bodies = w->account->store->bodies;
	*n = (size_t)MIN(out->facts.size - out->done, (uint64_t)CHUNK);
	int result = bodylog_read(bodies, out->segment, out->offset + out->done, w->chunk, *n);
	while (result == ERR_NOT_FOUND && out->places++ < PLACES_MAX) {
		result = find_message(w);
		if (result == 0)
			result = bodylog_read(bodies, out->segment, out->offset + out->done, w->chunk, *n);
	}
	return result;
}

static void put_chunk(struct parcel_writer *w, size_t n)
{
	for (struct str rest = str_of(w->chunk, n); rest.n > 0; rest = str_from(rest, MIN(rest.n, (size_t)PARCEL_BODY_CHUNK)))
		parcel_put_body(&w->maker, str_first(rest, PARCEL_BODY_CHUNK));
}

/* One chunk further. What fits in one is read once. */
static int go_on_message(struct parcel_writer *w)
{
	struct outgoing *out = &w->out;
	size_t n;
	int result = read_chunk(w, &n);
	if (result < 0)
		return give_up_message(w, "its bytes cannot be read");
	out->done += n;
	if (!out->verified) {
		body_sum_add(out->sum, str_of(w->chunk, n));
		if (out->done < out->facts.size)
			return 0;
		if (body_sum_end(&out->sum) != out->facts.checksum)
			return give_up_message(w, "its bytes are damaged");
		out->verified = true;
		if (out->facts.size > CHUNK) {
			out->done = 0;
			return 0;
		}
	}
	if (!out->begun)
		parcel_put_message(&w->maker, &out->facts);
	out->begun = true;
	put_chunk(w, n);
	out->under_way = out->done < out->facts.size;
	return 0;
}

/* One unit of work for the messages of the page at hand; *done: all were sent. */
static int send_messages(struct parcel_writer *w, uint32_t mailbox, bool *done)
{
	*done = false;
	if (w->out.under_way)
		return go_on_message(w);
	while (w->slot < w->page->n) {
		uint64_t number = w->page->entries[w->slot++].message;
		if (!mark_sent(w, number))
			return begin_message(w, number, mailbox);
	}
	*done = true;
	return 0;
}

/* --- frames --- */

/* The unique id that the entry came with, kept in the place of the frame's entry `at`. */
static struct str find_uidl(struct parcel_writer *w, uint64_t id, uint32_t at)
{
	struct str text = STR("");
	int result = w->has_uidls ? uidl_cursor_find(&w->uidls, id, &text) : 0;
	if (result == ERR_CORRUPT && !w->whole)
		w->lost_logs = true;
	else if (result < 0)
		w->uidl_error = result;
	if (result < 0 || text.n == 0 || text.n > POP3_UIDL_MAX)
		return STR("");
	if (!w->texts)
		w->texts = mem_alloc(PARCEL_ENTRIES_MAX, sizeof *w->texts);
	memcpy(w->texts[at], text.p, text.n);
	return str_of(w->texts[at], text.n);
}

/* Entries of the page from slot `first` on, as many as go into a frame. */
static uint32_t fill_frame(struct parcel_writer *w, uint32_t first)
{
	struct parcel_entries *frame = w->frame;
	frame->n = 0;
	for (uint32_t i = first; i < w->page->n && frame->n < PARCEL_ENTRIES_MAX; i++) {
		const struct entry *entry = &w->page->entries[i];
		struct parcel_entry *to = &frame->list[frame->n++];
		*to = (struct parcel_entry){ .uid = entry->uid, .saved = entry->saved, .modseq = entry->modseq, .id = entry->id,
			                         .message = entry->message, .flags = (uint8_t)entry->flags };
		to->uidl = find_uidl(w, entry->id, frame->n - 1);
		page_keywords(w->page, i, &to->keywords);
	}
	return first + frame->n;
}

static int load_page(struct parcel_writer *w, const struct shot_page *copy)
{
	w->page = page_new(NULL, copy->key, copy->uid_base);
	w->slot = 0;
	return page_decode(buf_str(&copy->blob), 0, w->page);
}

static int send_entries(struct parcel_writer *w)
{
	bool sent = false;
	if (w->shot == w->n_shots) {
		w->phase = w->n_mailboxes == 0 ? EXPUNGED : DONE;
		return 0;
	}
	struct shot *shot = w->shots[w->shot];
	if (w->at == shot->n_pages) {
		w->shot++;
		w->at = 0;
		return 0;
	}
	int result = w->page ? 0 : load_page(w, &shot->pages[w->at]);
	if (result == 0)
		result = send_messages(w, shot->facts.number, &sent);
	if (!sent)
		return result;
	w->frame->mailbox = shot->facts.number;
	for (uint32_t i = 0; i < w->page->n;) {
		i = fill_frame(w, i);
		parcel_put_entries(&w->maker, w->frame);
	}
	page_free(&w->page);
	buf_free(&shot->pages[w->at++].blob);
	return 0;
}

static uint32_t number_of_mailbox(struct parcel_writer *w, int64_t number)
{
	struct shot *shot = w->n_shots && number > 0 ? shot_of(w, (uint32_t)number, 0) : NULL;
	return shot ? shot->facts.number : 0; /* in the parcel */
}

/* The next row of a log; behind the last number there is none. */
static int step_log(const struct parcel_writer *w, sqlite3_stmt *rows)
{
	if (w->log_at >= w->begin.modseq)
		return DB_DONE;
	db_bind_int(rows, 1, make_key(w->account, w->log_at + 1));
	db_bind_int(rows, 2, make_key(w->account, w->begin.modseq));
	return db_step(rows);
}

/* What its rows end with: DB_DONE, or an error. What lies behind a page that cannot be read is left out. */
static int end_of_log(struct parcel_writer *w, int row)
{
	if (row != ERR_CORRUPT || w->whole)
		return MIN(row, 0);
	w->lost_logs = true;
	return 0;
}

/* The next row of the undelete log; without one the phase is over. A row that cannot be read is passed over. */
static int load_expunged(struct parcel_writer *w)
{
	DB_USING(rows, w->account->store->sql.expunged_list);
	int row = step_log(w, rows);
	if (row != DB_ROW) {
		w->phase = CHANGES;
		w->log_at = 0;
		return end_of_log(w, row);
	}
	w->log_at = (uint64_t)db_column_int(rows, 0) & NUMBER_MAX;
	w->log_mailbox = number_of_mailbox(w, db_column_int(rows, 1));
	w->log_time = db_column_int(rows, 2);
	w->page = page_new(NULL, 0, 0);
	w->slot = 0;
	int result = page_decode(db_column_blob(rows, 3), 0, w->page);
	if (result == ERR_CORRUPT && !w->whole) {
		page_free(&w->page);
		return 0;
	}
	if (result == ERR_CORRUPT)
		tell(w, "row %llu of the undelete log is damaged", (unsigned long long)w->log_at);
	return result;
}

static int send_expunged(struct parcel_writer *w)
{
	bool sent = false;
	int result = w->page ? 0 : load_expunged(w);
	if (result == 0 && w->page)
		result = send_messages(w, w->log_mailbox, &sent);
	if (!sent)
		return result;
	*w->frame = (struct parcel_entries){ .mailbox = w->log_mailbox, .modseq = w->log_at, .time = w->log_time };
	for (uint32_t i = 0; i < w->page->n;) {
		i = fill_frame(w, i);
		w->frame->more = i < w->page->n;
		parcel_put_expunged(&w->maker, w->frame);
	}
	page_free(&w->page);
	return 0;
}

static int put_change(struct parcel_writer *w, struct parcel_change *change, const struct set *uids, uint32_t first)
{
	struct buf bytes = BUF_INIT(PARCEL_FRAME_MAX);
	struct set part = { uids->ranges + first, MIN(uids->n - first, (uint32_t)CHANGE_RANGES), 0 };
	set_encode(&part, &bytes);
	change->uids = buf_str(&bytes);
	change->more = first + part.n < uids->n;
	parcel_put_change(&w->maker, change);
	int result = buf_error(&bytes);
	buf_free(&bytes);
	return result;
}

/* A row of the change log. Those of mailboxes that are gone are of no use to anybody. */
static int send_change(struct parcel_writer *w)
{
	struct set uids = SET_INIT;
	DB_USING(rows, w->account->store->sql.change_list);
	int row = step_log(w, rows);
	if (row != DB_ROW) {
		w->phase = POP3;
		w->shot = 0;
		return end_of_log(w, row);
	}
	w->log_at = (uint64_t)db_column_int(rows, 0) & NUMBER_MAX;
	struct parcel_change change = { .mailbox = number_of_mailbox(w, db_column_int(rows, 1)), .modseq = w->log_at,
		                            .kind = (enum change_kind)db_column_int(rows, 2), .time = db_column_int(rows, 3) };
	int result = 0;
	if (change.mailbox && set_decode(db_column_blob(rows, 4), &uids) == 0) {
		for (uint32_t i = 0; i < uids.n && result == 0; i += CHANGE_RANGES)
			result = put_change(w, &change, &uids, i);
	}
	set_free(&uids);
	return result;
}

static void put_lost_logs(struct parcel_writer *w)
{
	if (w->lost_logs)
		parcel_put_missing(&w->maker, &(struct parcel_missing){ PARCEL_LOST_LOGS, STR("rows of index.db cannot be read: what was expunged, "
		                   "the log of changes and what POP3 remembers are not whole") });
}

/* What POP3 remembers of mailboxes. */
static int send_remembered(struct parcel_writer *w)
{
	bool any = false;
	if (w->shot == w->n_shots) {
		w->phase = SOURCES;
		put_lost_logs(w);
		return 0;
	}
	const struct shot *shot = w->shots[w->shot];
	int result = parcel_put_remembered(w->account->store, shot->number, shot->facts.number, &w->remembered, &w->maker, &any);
	if (!any || result == ERR_CORRUPT) {
		w->remembered = (struct pop3_position){ 0 };
		w->shot++;
	}
	return end_of_log(w, result);
}

/* What imports brought. Without the rows that cannot be read the mail is whole: nothing is said of them, nor ended. */
static int send_sources(struct parcel_writer *w)
{
	bool any = false;
	int result = parcel_put_account_sources(w->account, &w->sources, &w->maker, &any);
	if (!any || result == ERR_CORRUPT)
		w->phase = DONE;
	return result == ERR_CORRUPT ? 0 : result;
}

static void next_subscription(struct parcel_writer *w)
{
	const struct str *names;
	size_t n = account_subscriptions(w->account, &names);
	if (w->n_mailboxes > 0 || w->at >= n) {
		w->phase = ENTRIES;
		w->at = 0;
	} else {
		parcel_put_subscription(&w->maker, names[w->at++]);
	}
}

/* Nobody knows which messages the pages named that cannot be read: they are told as one. */
static void put_mailbox(struct parcel_writer *w, const struct shot *shot)
{
	parcel_put_mailbox(&w->maker, &shot->facts);
	if (!shot->lost && !shot->lost_keywords)
		return;
	tell(w, "rows of it in index.db are damaged: %s%s%s are left out", shot->lost ? "some of its messages" : "",
	     shot->lost && shot->lost_keywords ? " and " : "", shot->lost_keywords ? "keywords" : "");
	parcel_put_missing(&w->maker, &(struct parcel_missing){ parcel_number_of_lost_entries(shot->facts.number),
	                                                        parcel_writer_problem(w) });
}

static void put_begin(struct parcel_writer *w)
{
	parcel_put_begin(&w->maker, &w->begin);
	if (w->account->has_lost_mailboxes)
		parcel_put_missing(&w->maker, &(struct parcel_missing){ PARCEL_LOST_MAILBOXES, STR("rows of its mailboxes in index.db cannot "
		                   "be read: whole mailboxes may be left out") });
	w->phase = MAILBOXES;
}

/* --- steps --- */

static int work(struct parcel_writer *w, uint64_t end_us)
{
	switch (w->phase) {
	case TAKING:
		return take(w, end_us);
	case BEGINNING:
		put_begin(w);
		return 0;
	case MAILBOXES:
		if (w->at < w->n_shots) {
			put_mailbox(w, w->shots[w->at++]);
			return 0;
		}
		w->at = 0;
		w->phase = SUBSCRIPTIONS;
		return 0;
	case SUBSCRIPTIONS:
		next_subscription(w);
		return 0;
	case ENTRIES:
		return send_entries(w);
	case EXPUNGED:
		return send_expunged(w);
	case CHANGES:
		return send_change(w);
	case POP3:
		return send_remembered(w);
	case SOURCES:
		return send_sources(w);
	case DONE:
		return 0;
	}
	return 0;
}

static int begin_uidls(struct parcel_writer *w)
{
	int result = uidl_cursor_begin(&w->uidls, w->account, &w->has_uidls);
	if (result != ERR_CORRUPT || w->whole)
		return result;
	w->lost_logs = true;
	return 0;
}

int parcel_writer_step(struct parcel_writer *w, bool *done)
{
	uint64_t end_us = clock_monotonic_us() + SLICE_US;
	int result = account_is_gone(w->account) ? ERR_NOT_FOUND : 0;
	message_cursor_begin(&w->rows, w->account);
	if (result == 0)
		result = begin_uidls(w);
	while (result == 0 && w->phase != DONE && w->maker.out.max - w->maker.out.n >= ROOM &&
	       clock_monotonic_us() < end_us)
		result = work(w, end_us);
	message_cursor_end(&w->rows);
	if (w->uidls.account)
		uidl_cursor_end(&w->uidls);
	if (result == 0)
		result = w->uidl_error;
	if (result == 0)
		result = buf_error(&w->maker.out);
	if (result == 0 && w->phase == DONE && w->maker.sum && w->maker.out.max - w->maker.out.n >= ROOM)
		parcel_put_end(&w->maker);
	*done = result == 0 && w->phase == DONE && !w->maker.sum;
	return result;
}
