/* Tests of parcels between stores: an account that was written and read again is the same in every fact, which is
 * shown by writing it once more: the two parcels say the same (how entries are spread over frames aside). What is cut off is not applied; what is
 * hostile is an error. */
#include "mail/test_parcel.h"

#include "base/checked.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

#define SEEDS 6
#define STEPS 150

/* --- an account with everything in it --- */

static void some_uids(struct mailbox *mailbox, struct set *out)
{
	uint32_t next = mailbox_uidnext(mailbox);
	for (uint32_t i = 0; i < 3 && next > 1; i++) {
		uint32_t first = 1 + parcel_pick(next);
		set_add(out, first, first + parcel_pick(5));
	}
}

static void one_step(uint32_t step)
{
	static const char *const names[] = { "INBOX", "Archive", "Sent", "Trash" };
	static const char *const keywords[] = { "", "$Forwarded", "work", "a-long-keyword-of-somebody" };
	struct mailbox *one = parcel_named(names[parcel_pick(4)]), *two = parcel_named(names[parcel_pick(4)]), *fresh;
	struct set uids = SET_INIT, out = SET_INIT, more = SET_INIT;
	struct flags_change change = { .mode = FLAGS_ADD, .flags = (uint8_t)(1u << parcel_pick(5)) };
	char name[40];
	assert_int_equal(mailbox_open(one), 0);
	some_uids(one, &uids);
	switch (parcel_pick(8)) {
	case 0:
		assert_int_equal(mailbox_expunge(one, &uids, false, &out), 0);
		break;
	case 1:
		if (one != two)
			assert_int_equal(mailbox_copy(one, &uids, two, parcel_pick(2), 30, &out, &more), 0);
		break;
	case 2:
	case 3:
		assert_int_equal(mailbox_store(one, &uids, &change, 0, NULL), 0);
		break;
	case 4:
		snprintf(name, sizeof name, "Folder %u/of %u", parcel_pick(5), step);
		assert_int_equal(mailbox_create(parcel_test.account, str_from_c(name), SPECIAL_USE_NONE, 1000, &fresh), 0);
		parcel_append(fresh, step, 0, STR(""));
		assert_int_equal(account_subscribe(parcel_test.account, str_from_c(name), true), 0);
		if (parcel_pick(3) == 0)
			assert_int_equal(mailbox_delete(fresh), 0);
		break;
	default:
		for (uint32_t i = parcel_pick(20); i > 0; i--)
			parcel_append(one, step * 100 + i, (uint8_t)parcel_pick(32), str_from_c(keywords[parcel_pick(4)]));
	}
	mailbox_close(one);
	set_free(&uids);
	set_free(&out);
	set_free(&more);
	fixture_settle(&parcel_test.from);
}

/* As imports leave them. */
static void remember_sources(void)
{
	struct account_id source = fixture_account_id(77);
	uint64_t numbers[10];
	for (uint32_t i = 0; i < 100; i++) {
		for (uint32_t k = 0; k < COUNT_OF(numbers); k++)
			numbers[k] = 1 + i * COUNT_OF(numbers) + k;
		uint64_t mark = source_mark(parcel_test.account, &source, i % 2 ? STR("INBOX") : STR("Sent"));
		assert_int_equal(source_remember(parcel_test.account, mark, numbers, COUNT_OF(numbers)), 0);
	}
}

static void fill(void)
{
	struct mailbox *inbox = parcel_named("INBOX");
	remember_sources();
	for (uint32_t i = 0; i < 300; i++)
		parcel_append(inbox, i, (uint8_t)(i % 32), i % 7 ? STR("") : STR("seventh"));
	for (uint32_t step = 0; step < STEPS; step++)
		one_step(step);
	mailbox_take_recent(inbox);
	struct undelete_filter filter = { .mailbox = STR("INBOX") };
	struct undelete_position position = { 0, 0 };
	struct undelete_done done;
	assert_int_equal(undelete_restore(parcel_test.account, &filter, &position, &done), 0);
	parcel_append(inbox, 99999, 0, STR(""));
	fixture_settle(&parcel_test.from);
}

static void assert_no_account(struct store_fixture *fixture, uint32_t number)
{
	struct account_id id = fixture_account_id(number);
	struct account *account;
	assert_int_equal(account_open(fixture->store, &id, &account), ERR_NOT_FOUND);
}

/* --- what a parcel says --- */

static void print_entry(struct buf *out, char kind, const struct parcel_entries *entries, uint32_t i)
{
	const struct parcel_entry *e = &entries->list[i];
	buf_addf(out, "%c %u %llu %lld: %u %u %llu %llu %llu %u", kind, entries->mailbox, (unsigned long long)entries->modseq,
	         (long long)entries->time, e->uid, e->saved, (unsigned long long)e->modseq, (unsigned long long)e->id,
	         (unsigned long long)e->message, e->flags);
	for (size_t k = 0; k < KEYWORD_WORDS; k++)
		buf_addf(out, " %llx", (unsigned long long)e->keywords.word[k]);
	buf_add(out, STR("\n"));
}

static void print_frame(struct buf *out, const struct parcel_frame *frame)
{
	const struct parcel_message *m = &frame->message;
	const struct parcel_mailbox *box = &frame->mailbox;
	const struct parcel_begin *begin = &frame->begin;
	switch ((unsigned)frame->type) {
	case PARCEL_BEGIN:
		buf_addf(out, "begin %lld %u %llu %llu %lld %lld %llu %llu\n", (long long)begin->created, begin->uidvalidity,
		         (unsigned long long)begin->modseq, (unsigned long long)begin->next, (long long)begin->quota.messages,
		         (long long)begin->quota.bytes, (unsigned long long)begin->messages, (unsigned long long)begin->bytes);
		break;
	case PARCEL_MAILBOX:
		buf_addf(out, "mailbox %u %.*s %u %d %u %u %llu", box->number, STR_ARG(box->name), box->uidvalidity,
		         box->special_use, box->uidnext, box->recent, (unsigned long long)box->modseq);
		for (uint32_t i = 0; i < box->n_keywords; i++)
			buf_addf(out, " %.*s", STR_ARG(box->keywords[i]));
		buf_add(out, STR("\n"));
		break;
	case PARCEL_SUBSCRIPTION:
		buf_addf(out, "subscription %.*s\n", STR_ARG(frame->subscription));
		break;
	case PARCEL_MESSAGE:
		buf_addf(out, "message %llu %llu %lld %d %llx\n", (unsigned long long)m->number, (unsigned long long)m->size,
		         (long long)m->internal_date, m->zone_minutes, (unsigned long long)m->checksum);
		break;
	case PARCEL_ENTRIES:
	case PARCEL_EXPUNGED:
		for (uint32_t i = 0; i < frame->entries.n; i++)
			print_entry(out, frame->type == PARCEL_ENTRIES ? 'e' : 'x', &frame->entries, i);
		break;
	case PARCEL_SOURCES:
		for (uint32_t i = 0; i < frame->sources.n; i++)
			buf_addf(out, "source %llx %llu %lld\n", (unsigned long long)frame->sources.mark,
			         (unsigned long long)frame->sources.list[i].number, (long long)frame->sources.list[i].time);
		break;
	case PARCEL_CHANGE:
		buf_addf(out, "change %u %llu %d %lld ", frame->change.mailbox, (unsigned long long)frame->change.modseq,
		         frame->change.kind, (long long)frame->change.time);
		for (size_t i = 0; i < frame->change.uids.n; i++)
			buf_addf(out, "%02x", (unsigned char)frame->change.uids.p[i]);
		buf_add(out, STR("\n"));
		break;
	}
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Every fact on a line of its own, sorted. */
static void print_facts(struct str parcel, struct buf *out)
{
	struct parcel_taker *taker = parcel_taker_new();
	struct buf text = BUF_INIT(PARCEL_MAX);
	const struct parcel_frame *frame;
	size_t used, n = 0;
	while (parcel.n > 0) {
		assert_int_equal(parcel_next(taker, parcel, &frame, &used), 0);
		print_frame(&text, frame);
		parcel = str_from(parcel, used);
	}
	assert_true(parcel_is_whole(taker));
	struct str rest = buf_str(&text), *lines = mem_alloc(text.n, sizeof *lines);
	while (rest.n > 0)
		lines[n++] = str_cut(&rest, '\n');
	qsort(lines, n, sizeof *lines, by_text);
	for (size_t i = 0; i < n; i++)
		buf_addf(out, "%.*s\n", STR_ARG(lines[i]));
	assert_int_equal(buf_error(out), 0);
	mem_free(lines);
	buf_free(&text);
	parcel_taker_free(&taker);
}

static void assert_say_the_same(const struct buf *a, const struct buf *b)
{
	struct buf x = BUF_INIT(PARCEL_MAX), y = BUF_INIT(PARCEL_MAX);
	print_facts(buf_str(a), &x);
	print_facts(buf_str(b), &y);
	struct str left = buf_str(&x), right = buf_str(&y);
	while (left.n > 0 || right.n > 0) {
		struct str one = str_cut(&left, '\n'), other = str_cut(&right, '\n');
		if (!str_eq(one, other))
			print_message("%.*s\nis now\n%.*s\n", STR_ARG(one), STR_ARG(other));
		assert_true(str_eq(one, other));
	}
	buf_free(&x);
	buf_free(&y);
}

/* --- tests --- */

static void an_account_that_moved_is_the_same_in_every_fact(void **state)
{
	struct account_id id = fixture_account_id(1);
	struct buf again = BUF_INIT(PARCEL_MAX);
	for (parcel_test.random = 1; parcel_test.random <= SEEDS;) {
		uint64_t seed = parcel_test.random;
		fill();
		parcel_write_all(&parcel_test.parcel);
		assert_int_equal(parcel_read(PARCEL_EXACT, 1, buf_str(&parcel_test.parcel)), 0);
		assert_no_account(&parcel_test.to, 1); /* it waits for its owner's word */
		fixture_reopen(&parcel_test.to);
		assert_no_account(&parcel_test.to, 1);
		assert_int_equal(account_create(parcel_test.to.store, &id), 0);
		fixture_settle(&parcel_test.to);
		struct account *moved;
		assert_int_equal(account_open(parcel_test.to.store, &id, &moved), 0);
		struct account_counts before = account_counts(parcel_test.account), after = account_counts(moved);
		assert_int_equal(before.messages, after.messages);
		assert_int_equal(before.bytes, after.bytes);
		parcel_write(&parcel_test.to, moved, &(struct parcel_filter){ .whole = true }, &again);
		assert_say_the_same(&parcel_test.parcel, &again);
		parcel_assert_checked(&parcel_test.to, 1);
		account_close(&moved);
		parcel_test.random = seed + 1;
		parcel_tear_down(state);
		parcel_set_up(state);
		parcel_test.random = seed + 1;
	}
	buf_free(&again);
}

static void a_parcel_that_is_cut_leaves_nothing(void **state)
{
	struct set starts = SET_INIT;
	struct parcel_taker *taker = parcel_taker_new();
	const struct parcel_frame *frame;
	size_t at = 0, used;
	fill();
	parcel_write_all(&parcel_test.parcel);
	while (at < parcel_test.parcel.n) {
		set_add(&starts, (uint32_t)at, (uint32_t)at);
		assert_int_equal(parcel_next(taker, str_from(buf_str(&parcel_test.parcel), at), &frame, &used), 0);
		at += used;
	}
	for (uint64_t i = 0; i < set_count(&starts); i += 1 + i / 12) {
		struct parcel_reader *reader = parcel_new_reader(PARCEL_EXACT, 1);
		uint32_t end;
		bool done;
		assert_true(set_at(&starts, i, &end));
		assert_int_equal(parcel_read_some(reader, str_first(buf_str(&parcel_test.parcel), end), &done), 0);
		assert_false(done);
		parcel_reader_free(&reader);
		assert_no_account(&parcel_test.to, 1);
		if (i % 2)
			fixture_reopen(&parcel_test.to);
		parcel_idle(&parcel_test.to);
	}
	assert_int_equal(parcel_read(PARCEL_EXACT, 1, buf_str(&parcel_test.parcel)), 0);
	parcel_assert_checked(&parcel_test.to, 0);
	parcel_taker_free(&taker);
	set_free(&starts);
}

static void a_new_and_empty_account_gives_its_place_and_a_used_one_does_not(void **state)
{
	struct account *empty = fixture_account(&parcel_test.to, 1), *used = fixture_account(&parcel_test.to, 2);
	fixture_add(account_mailbox(used, STR("INBOX")), 1, 0, NULL);
	fixture_settle(&parcel_test.to);
	fill();
	parcel_write_all(&parcel_test.parcel);
	assert_int_equal(parcel_read(PARCEL_EXACT, 1, buf_str(&parcel_test.parcel)), 0);
	assert_true(account_is_gone(empty));
	assert_int_equal(parcel_read(PARCEL_EXACT, 2, buf_str(&parcel_test.parcel)), ERR_EXISTS);
	assert_false(account_is_gone(used));
	account_close(&empty);
	account_close(&used);
	empty = fixture_account(&parcel_test.to, 1);
	assert_int_equal(account_counts(empty).messages, account_counts(parcel_test.account).messages);
	account_close(&empty);
}

static void a_leaving_account_is_unseen_until_it_is_taken_back(void **state)
{
	struct account_id id = fixture_account_id(1);
	struct buf before = BUF_INIT(PARCEL_MAX);
	struct account *leaving, *back;
	fill();
	mailbox_take_recent(parcel_named("Sent")); /* a page that waits to be written */
	parcel_write_all(&before);
	assert_int_equal(account_leave(parcel_test.from.store, &id), 0);
	assert_int_equal(account_leave(parcel_test.from.store, &id), 0);
	fixture_settle(&parcel_test.from);
	assert_true(account_is_gone(parcel_test.account));
	account_close(&parcel_test.account);
	assert_no_account(&parcel_test.from, 1);
	fixture_reopen(&parcel_test.from);
	assert_no_account(&parcel_test.from, 1);
	assert_int_equal(account_open_leaving(parcel_test.from.store, &id, &leaving), 0);
	parcel_write(&parcel_test.from, leaving, &(struct parcel_filter){ .whole = true }, &parcel_test.parcel);
	account_close(&leaving);
	assert_say_the_same(&parcel_test.parcel, &before);
	assert_int_equal(parcel_read(PARCEL_EXACT, 1, buf_str(&parcel_test.parcel)), 0);
	assert_int_equal(account_create(parcel_test.from.store, &id), 0);
	fixture_settle(&parcel_test.from);
	assert_int_equal(account_open(parcel_test.from.store, &id, &back), 0);
	parcel_append(account_mailbox(back, STR("INBOX")), 5, 0, STR(""));
	fixture_settle(&parcel_test.from);
	account_close(&back);
	uint64_t messages, bytes;
	assert_int_equal(account_destroy(parcel_test.to.store, &id, &messages, &bytes), 0);
	fixture_settle(&parcel_test.to);
	parcel_idle(&parcel_test.to);
	assert_int_equal(account_create(parcel_test.to.store, &id), 0);
	assert_int_equal(account_open(parcel_test.to.store, &id, &back), 0);
	assert_int_equal(account_counts(back).messages, 0);
	account_close(&back);
	buf_free(&before);
}

static void a_rolled_back_account_has_the_mail_of_then_and_new_uidvalidities(void **state)
{
	struct account_id id = fixture_account_id(1);
	struct account *account;
	fill();
	parcel_write_all(&parcel_test.parcel);
	assert_int_equal(parcel_read(PARCEL_EXACT, 1, buf_str(&parcel_test.parcel)), 0);
	assert_int_equal(account_create(parcel_test.to.store, &id), 0);
	fixture_settle(&parcel_test.to);
	assert_int_equal(account_open(parcel_test.to.store, &id, &account), 0);
	struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
	struct set all = SET_INIT, expunged = SET_INIT;
	uint32_t uidvalidity = mailbox_facts(inbox)->uidvalidity;
	set_add(&all, 1, UINT32_MAX);
	assert_int_equal(mailbox_open(inbox), 0);
	uint32_t count = mailbox_count(inbox);
	uint64_t modseq = mailbox_modseq(inbox);
	assert_int_equal(mailbox_expunge(inbox, &all, false, &expunged), 0);
	parcel_append(inbox, 4711, 0, STR(""));
	fixture_settle(&parcel_test.to);
	assert_int_equal(parcel_read(PARCEL_BACK, 1, buf_str(&parcel_test.parcel)), 0);
	assert_true(mailbox_is_gone(inbox));
	mailbox_close(inbox);
	inbox = account_mailbox(account, STR("INBOX"));
	assert_int_equal(mailbox_open(inbox), 0);
	assert_int_equal(mailbox_count(inbox), count);
	assert_true(mailbox_facts(inbox)->uidvalidity > uidvalidity);
	assert_true(mailbox_modseq(inbox) > modseq);
	mailbox_close(inbox);
	struct undelete_filter filter = { .mailbox = STR("INBOX") };
	assert_true(parcel_undelete_all(account, &filter) >= count + 1);
	fixture_settle(&parcel_test.to);
	parcel_idle(&parcel_test.to);
	parcel_assert_checked(&parcel_test.to, 1);
	account_close(&account);
	set_free(&all);
	set_free(&expunged);
}

static void added_mail_keeps_flags_keywords_and_dates(void **state)
{
	struct account *account = fixture_account(&parcel_test.to, 3);
	uint64_t before = account_counts(account).messages;
	fill();
	parcel_write_all(&parcel_test.parcel);
	assert_int_equal(parcel_read(PARCEL_ADD, 3, buf_str(&parcel_test.parcel)), 0);
	assert_int_equal(account_counts(account).messages, before + account_counts(parcel_test.account).messages);
	assert_int_equal(account_counts(account).bytes, account_counts(parcel_test.account).bytes);
	struct mailbox *old = parcel_named("INBOX"), *fresh = account_mailbox(account, STR("INBOX"));
	assert_int_equal(mailbox_open(old), 0);
	assert_int_equal(mailbox_open(fresh), 0);
	struct entry_cursor a = entry_seek(old, 0), b = entry_seek(fresh, 0);
	const struct entry *x, *y;
	while ((x = entry_next(&a))) {
		struct keyword_bits p, q;
		y = entry_next(&b);
		assert_non_null(y);
		assert_int_equal(x->flags, y->flags);
		assert_int_equal(entry_size(x), entry_size(y));
		assert_int_equal(x->saved, y->saved);
		entry_keywords(old, x, &p);
		entry_keywords(fresh, y, &q);
		assert_int_equal(__builtin_popcountll(p.word[0]), __builtin_popcountll(q.word[0]));
	}
	mailbox_close(old);
	mailbox_close(fresh);
	fixture_settle(&parcel_test.to);
	parcel_idle(&parcel_test.to);
	parcel_assert_checked(&parcel_test.to, 1);
	account_close(&account);
}

static void an_import_that_is_cut_off_leaves_no_message_without_an_entry(void **state)
{
	struct account *account = fixture_account(&parcel_test.to, 3);
	struct account_id id = fixture_account_id(3);
	uint64_t messages, bytes;
	fill();
	parcel_write_all(&parcel_test.parcel);
	for (size_t n = parcel_test.parcel.n / 7; n < parcel_test.parcel.n; n += parcel_test.parcel.n / 7) {
		struct parcel_reader *reader = parcel_new_reader(n % 2 ? PARCEL_ADD : PARCEL_BACK, 3);
		bool done;
		assert_int_equal(parcel_read_some(reader, str_first(buf_str(&parcel_test.parcel), n), &done), 0);
		parcel_reader_free(&reader);
		parcel_idle(&parcel_test.to);
	}
	assert_int_equal(account_destroy(parcel_test.to.store, &id, &messages, &bytes), 0);
	fixture_settle(&parcel_test.to);
	account_close(&account);
	parcel_idle(&parcel_test.to);
	struct store_statistics statistics;
	store_statistics(parcel_test.to.store, &statistics);
	parcel_assert_checked(&parcel_test.to, 0);
}

/* As an import sends them, into account 3. How many of the entries were there. */
static uint64_t import_into(struct store_fixture *fixture, struct str parcel, unsigned char source)
{
	struct parcel_reader_settings settings = { .mail = parcel_test.settings, .max_mailboxes = 1000, .mode = PARCEL_ADD,
		                                       .spool_directory = str_from_c(fixture->directory),
		                                       .account = fixture_account_id(3), .source = { .bytes = { source } } };
	struct parcel_reader *reader = parcel_reader_new(fixture->store, &settings);
	parcel_read_whole(fixture, reader, parcel);
	uint64_t passed = parcel_reader_counts(reader).passed;
	parcel_reader_free(&reader);
	return passed;
}

/* The account 3 of a store, as it is, into the other as the account of this number. */
static void move_account(struct store_fixture *from, struct store_fixture *to, uint32_t number)
{
	struct account_id id = fixture_account_id(number);
	struct parcel_reader_settings settings = { .mail = parcel_test.settings, .mode = PARCEL_EXACT,
		                                       .spool_directory = str_from_c(to->directory), .account = id };
	struct buf parcel = BUF_INIT(PARCEL_MAX);
	struct account *account = fixture_account(from, 3);
	parcel_write(from, account, &(struct parcel_filter){ .whole = true }, &parcel);
	account_close(&account);
	struct parcel_reader *reader = parcel_reader_new(to->store, &settings);
	parcel_read_whole(to, reader, buf_str(&parcel));
	parcel_reader_free(&reader);
	assert_int_equal(account_create(to->store, &id), 0);
	fixture_settle(to);
	buf_free(&parcel);
}

static void what_imports_brought_is_known_where_the_account_goes(void **state)
{
	enum { MESSAGES = 1300 }; /* in several frames */
	struct account *account = fixture_account(&parcel_test.to, 3);
	for (uint32_t i = 0; i < MESSAGES; i++)
		parcel_append(parcel_named(i < MESSAGES - 5 ? "INBOX" : "Sent"), i, 0, STR(""));
	fixture_settle(&parcel_test.from);
	parcel_write_all(&parcel_test.parcel);
	assert_int_equal(import_into(&parcel_test.to, buf_str(&parcel_test.parcel), 1), 0);
	account_close(&account);
	move_account(&parcel_test.to, &parcel_test.from, 3);
	fixture_reopen(&parcel_test.to);
	account_close(&parcel_test.account);
	fixture_reopen(&parcel_test.from);
	assert_int_equal(import_into(&parcel_test.from, buf_str(&parcel_test.parcel), 1), MESSAGES);
	assert_int_equal(import_into(&parcel_test.from, buf_str(&parcel_test.parcel), 2), 0);
	account = fixture_account(&parcel_test.from, 3);
	assert_int_equal(account_counts(account).messages, 2 * MESSAGES);
	account_close(&account);
	/* and on from there, with what both brought */
	struct store_fixture third;
	fixture_begin(&third);
	fixture_open(&third);
	move_account(&parcel_test.from, &third, 3);
	assert_int_equal(import_into(&third, buf_str(&parcel_test.parcel), 1), MESSAGES);
	assert_int_equal(import_into(&third, buf_str(&parcel_test.parcel), 2), MESSAGES);
	fixture_end(&third);
	parcel_test.account = fixture_account(&parcel_test.from, 1);
}

/* Of what came in several frames any may be the youngest. */
static void what_leads_to_rows_of_imports_stays_as_long_as_they_do(void **state)
{
	struct account *account = fixture_account(&parcel_test.to, 3);
	for (uint32_t i = 0; i < 500; i++)
		parcel_append(parcel_named("INBOX"), i, 0, STR(""));
	fixture_settle(&parcel_test.from);
	parcel_write_all(&parcel_test.parcel);
	assert_int_equal(import_into(&parcel_test.to, buf_str(&parcel_test.parcel), 1), 0);
	account_close(&account);
	parcel_change_rows(&parcel_test.to, "UPDATE delivery SET time = time - 1000 WHERE substr(key, 9) > x'00000000000000ff'");
	move_account(&parcel_test.to, &parcel_test.from, 3);
	account_close(&parcel_test.account);
	parcel_change_rows(&parcel_test.from,
	                   "CREATE TEMP TABLE wanted (pairs CHECK (pairs > 0), older CHECK (older = 0));"
	                   "INSERT INTO wanted SELECT count(*), total(mark.time < row.time) FROM delivery AS mark, delivery AS row "
	                   "WHERE substr(mark.key, 9) = substr(row.key, 1, 8)");
	parcel_test.account = fixture_account(&parcel_test.from, 1);
}

static void what_imports_brought_to_another_account_says_nothing_of_this(void **state)
{
	struct account *account = fixture_account(&parcel_test.to, 3);
	parcel_append(parcel_named("INBOX"), 1, 0, STR(""));
	fixture_settle(&parcel_test.from);
	parcel_write_all(&parcel_test.parcel);
	assert_int_equal(import_into(&parcel_test.to, buf_str(&parcel_test.parcel), 1), 0);
	account_close(&account);
	move_account(&parcel_test.to, &parcel_test.from, 4);
	account = fixture_account(&parcel_test.from, 3);
	assert_int_equal(import_into(&parcel_test.from, buf_str(&parcel_test.parcel), 1), 0);
	account_close(&account);
}

static void note_refused(void *owner, uint64_t number)
{
	set_add(owner, (uint32_t)number, (uint32_t)number);
}

/* As into account 3, where no message may be larger. */
static struct parcel_counts import_up_to(uint64_t max_size, struct set *refused)
{
	struct parcel_reader_settings settings = { .mail = parcel_test.settings, .max_mailboxes = 1000, .mode = PARCEL_ADD,
		                                       .spool_directory = str_from_c(parcel_test.to.directory),
		                                       .account = fixture_account_id(3), .source = { .bytes = { 9 } },
		                                       .refused = note_refused, .owner = refused };
	settings.mail.max_message_size = max_size;
	struct parcel_reader *reader = parcel_reader_new(parcel_test.to.store, &settings);
	parcel_read_whole(&parcel_test.to, reader, buf_str(&parcel_test.parcel));
	struct parcel_counts counts = parcel_reader_counts(reader);
	parcel_reader_free(&reader);
	return counts;
}

static void what_an_import_was_refused_is_named_and_may_come_once_more(void **state)
{
	struct account *account = fixture_account(&parcel_test.to, 3);
	struct set refused = SET_INIT;
	for (uint32_t i = 0; i < 40; i++)
		parcel_append(parcel_named("INBOX"), i, 0, STR(""));
	fixture_settle(&parcel_test.from);
	parcel_write_all(&parcel_test.parcel);
	assert_int_equal(import_up_to(1, &refused).entries, 0);
	assert_int_equal(set_count(&refused), 40);
	set_clear(&refused);
	struct parcel_counts counts = import_up_to(1 << 20, &refused);
	assert_int_equal(counts.entries, 40);
	assert_int_equal(counts.passed, 0);
	/* what is in is not refused any more, and stays so */
	for (int lowered = 1; lowered >= 0; lowered--) {
		counts = import_up_to(lowered ? 1 : 1 << 20, &refused);
		assert_int_equal(counts.passed, 40);
		assert_int_equal(counts.entries, 40);
		assert_int_equal(counts.refused, 0);
		assert_int_equal(set_count(&refused), 0);
	}
	assert_int_equal(account_counts(account).messages, 40);
	set_free(&refused);
	account_close(&account);
}

static void an_account_that_is_not_here_is_to_be_tried_again(void **state)
{
	parcel_append(parcel_named("INBOX"), 1, 0, STR(""));
	fixture_settle(&parcel_test.from);
	parcel_write_all(&parcel_test.parcel);
	assert_int_equal(parcel_read(PARCEL_ADD, 3, buf_str(&parcel_test.parcel)), ERR_UNAVAILABLE);
	assert_int_equal(parcel_read(PARCEL_BACK, 3, buf_str(&parcel_test.parcel)), ERR_UNAVAILABLE);
}

static void a_quota_stops_an_import(void **state)
{
	struct account_id id = fixture_account_id(3);
	struct account *account = fixture_account(&parcel_test.to, 3);
	assert_int_equal(account_set_quota(parcel_test.to.store, &id, &(struct account_quota){ .messages = 100, .bytes = 0 }), 0);
	fill();
	parcel_write_all(&parcel_test.parcel);
	assert_int_equal(parcel_read(PARCEL_ADD, 3, buf_str(&parcel_test.parcel)), ERR_LIMIT);
	assert_true(account_counts(account).messages <= 100);
	account_close(&account);
}

static void damage_makes_one_message_missing_or_ends_a_move(void **state)
{
	struct mailbox *inbox = parcel_named("INBOX");
	struct message_cursor cursor;
	struct message_row row;
	int fd, result = 0;
	uint64_t offset;
	bool done = false;
	for (uint32_t i = 0; i < 10; i++)
		parcel_append(inbox, 500 + i, 0, STR(""));
	fixture_settle(&parcel_test.from);
	assert_int_equal(mailbox_open(inbox), 0);
	message_cursor_begin(&cursor, parcel_test.account);
	assert_int_equal(message_cursor_get(&cursor, entry_find(inbox, 4)->message, &row), 0);
	assert_int_equal(message_file(parcel_test.account, &row, &fd, &offset), 0);
	message_cursor_end(&cursor);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)offset + 12), 1);
	mailbox_close(inbox);
	parcel_write(&parcel_test.from, parcel_test.account, &(struct parcel_filter){ .whole = false }, &parcel_test.parcel);
	struct parcel_reader *reader = parcel_new_reader(PARCEL_EXACT, 1);
	assert_int_equal(parcel_read_some(reader, buf_str(&parcel_test.parcel), &done), 0);
	assert_true(done);
	assert_int_equal(parcel_reader_counts(reader).refused, 1);
	assert_int_equal(parcel_reader_counts(reader).entries, 9);
	parcel_reader_free(&reader);
	struct parcel_writer *writer = parcel_writer_new(parcel_test.account, &(struct parcel_filter){ .whole = true });
	for (done = false; !done && result == 0;)
		result = parcel_writer_step(writer, &done);
	assert_int_equal(result, ERR_CORRUPT);
	assert_true(str_find(parcel_writer_problem(writer), STR("damaged")) >= 0);
	parcel_writer_free(&writer);
}

static void a_damaged_page_leaves_out_its_entries_alone(void **state)
{
	struct mailbox *inbox = parcel_named("INBOX");
	struct parcel_reader *reader;
	bool done;
	for (uint32_t i = 0; i < 3 * 120 + 7; i++)
		parcel_append(inbox, i, 0, STR(""));
	account_close(&parcel_test.account);
	parcel_change_rows(&parcel_test.from, CUT_SECOND_PAGE);
	parcel_test.account = fixture_account(&parcel_test.from, 1);
	parcel_write(&parcel_test.from, parcel_test.account, &(struct parcel_filter){ .whole = false }, &parcel_test.parcel);
	reader = parcel_new_reader(PARCEL_EXACT, 1);
	assert_int_equal(parcel_read_some(reader, buf_str(&parcel_test.parcel), &done), 0);
	assert_true(done);
	assert_int_equal(parcel_reader_counts(reader).entries, 2 * 120 + 7);
	assert_int_equal(parcel_reader_counts(reader).refused, 1);
	parcel_reader_free(&reader);
}

/* Frames whose sums are right and whose meaning is not. */
static void hostile_parcels_are_errors(void **state)
{
	static const enum parcel_mode modes[] = { PARCEL_EXACT, PARCEL_BACK, PARCEL_ADD };
	struct parcel_entries *entries = mem_alloc(1, sizeof *entries);
	struct parcel_mailbox *mailbox = mem_alloc(1, sizeof *mailbox);
	struct account *account = fixture_account(&parcel_test.to, 5);
	for (uint32_t kind = 0; kind < 14; kind++) {
		struct parcel_maker maker;
		struct parcel_begin begin = { .uidvalidity = 5, .modseq = 50, .next = 50, .quota = { -1, -1 } };
		struct set uids = SET_INIT;
		struct buf bytes = BUF_INIT(100);
		parcel_maker_begin(&maker, PARCEL_MAX);
		*mailbox = (struct parcel_mailbox){ .number = 1, .name = kind == 0 ? STR("a//b") : kind == 1 ? STR("Other") : STR("INBOX"),
			                                .uidvalidity = kind == 2 ? 6 : 5, .uidnext = kind == 3 ? 1 : 10, .recent = 1,
			                                .modseq = kind == 4 ? 51 : 50 };
		*entries = (struct parcel_entries){ .mailbox = 1, .n = 1, .modseq = 40, .time = 1 };
		entries->list[0] = (struct parcel_entry){ .uid = kind == 5 ? 0 : 3, .modseq = kind == 6 ? 51 : 5,
			                                      .id = kind == 7 ? 50 : 6, .message = kind == 8 ? 8 : 7 };
		if (kind == 9)
			entries->list[0].keywords.word[0] = 1;
		parcel_put_begin(&maker, &begin);
		parcel_put_mailbox(&maker, mailbox);
		mailbox->number = 2;
		if (kind == 10)
			parcel_put_mailbox(&maker, mailbox);
		struct parcel_message message = { .number = kind == 11 ? 50 : 7, .checksum = XXH3_64bits("", 0) };
		parcel_put_message(&maker, &message);
		if (kind == 12)
			parcel_put_message(&maker, &message);
		parcel_put_entries(&maker, entries);
		set_add(&uids, 3, 3);
		set_encode(&uids, &bytes);
		parcel_put_change(&maker, &(struct parcel_change){ 1, kind == 13 ? 51 : 5, CHANGE_NEW, 1, false, buf_str(&bytes) });
		parcel_put_end(&maker);
		assert_int_equal(buf_error(&maker.out), 0);
		for (size_t i = 0; i < COUNT_OF(modes); i++) {
			struct parcel_reader *reader = parcel_new_reader(modes[i], modes[i] == PARCEL_EXACT ? 9 : 5);
			bool done;
			int result = parcel_read_some(reader, buf_str(&maker.out), &done);
			assert_true(result < 0 || (modes[i] != PARCEL_EXACT && done));
			assert_true(result == 0 || parcel_reader_problem(reader).n > 0);
			assert_false(parcel_reader_met_damage(reader)); /* it is the parcel's */
			parcel_reader_free(&reader);
		}
		assert_no_account(&parcel_test.to, 9);
		parcel_idle(&parcel_test.to);
		set_free(&uids);
		buf_free(&bytes);
		parcel_maker_free(&maker);
	}
	assert_int_equal(parcel_test.to.voids, 0); /* nobody else's batch was rolled back for it */
	parcel_assert_checked(&parcel_test.to, 0);
	account_close(&account);
	mem_free(entries);
	mem_free(mailbox);
}

static void what_goes_on_meanwhile_is_all_in_or_all_out(void **state)
{
	struct mailbox *inbox = parcel_named("INBOX"), *archive = parcel_named("Archive");
	struct set uids = SET_INIT, source = SET_INIT, target = SET_INIT;
	struct parcel_writer *writer;
	bool done = false;
	for (uint32_t i = 0; i < 1000; i++)
		parcel_append(inbox, i, 0, STR(""));
	fixture_settle(&parcel_test.from);
	writer = parcel_writer_new(parcel_test.account, &(struct parcel_filter){ .whole = true });
	struct parcel_maker *maker = parcel_writer_maker(writer);
	for (uint32_t i = 0; !done; i++) {
		assert_int_equal(parcel_writer_step(writer, &done), 0);
		buf_add(&parcel_test.parcel, buf_str(&maker->out));
		buf_consume(&maker->out, maker->out.n);
		if (i < 200) {
			set_clear(&uids);
			set_clear(&source);
			set_clear(&target);
			set_add(&uids, 1 + i * 5, 3 + i * 5);
			assert_int_equal(mailbox_copy(inbox, &uids, archive, true, 10, &source, &target), 0);
			parcel_append(inbox, 7000 + i, 0, STR(""));
			fixture_settle(&parcel_test.from);
		}
	}
	parcel_writer_free(&writer);
	struct parcel_reader *reader = parcel_new_reader(PARCEL_EXACT, 1);
	assert_int_equal(parcel_read_some(reader, buf_str(&parcel_test.parcel), &done), 0);
	assert_true(done);
	assert_true(parcel_reader_counts(reader).entries >= 1000);
	assert_int_equal(parcel_reader_counts(reader).entries, parcel_reader_counts(reader).messages);
	parcel_reader_free(&reader);
	set_free(&uids);
	set_free(&source);
	set_free(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_account_that_moved_is_the_same_in_every_fact, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(a_parcel_that_is_cut_leaves_nothing, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(a_new_and_empty_account_gives_its_place_and_a_used_one_does_not, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(a_leaving_account_is_unseen_until_it_is_taken_back, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(a_rolled_back_account_has_the_mail_of_then_and_new_uidvalidities, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(added_mail_keeps_flags_keywords_and_dates, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(an_import_that_is_cut_off_leaves_no_message_without_an_entry, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(what_imports_brought_is_known_where_the_account_goes, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(what_leads_to_rows_of_imports_stays_as_long_as_they_do, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(what_imports_brought_to_another_account_says_nothing_of_this, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(a_quota_stops_an_import, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(what_an_import_was_refused_is_named_and_may_come_once_more, parcel_set_up,
		                                parcel_tear_down),
		cmocka_unit_test_setup_teardown(an_account_that_is_not_here_is_to_be_tried_again, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(damage_makes_one_message_missing_or_ends_a_move, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_page_leaves_out_its_entries_alone, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(hostile_parcels_are_errors, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(what_goes_on_meanwhile_is_all_in_or_all_out, parcel_set_up, parcel_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
