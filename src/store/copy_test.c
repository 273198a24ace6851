/* Tests of copies and moves in steps: what happens to the mailboxes meanwhile, giving up, and what a crash or a
 * voided batch leaves. */
#include "store/internal.h"
#include "store/test_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MANY 22000

struct test {
	struct store_fixture fixture;
	struct account *account;
	struct mailbox *inbox, *archive;
	struct set all, source, target;
	struct mailbox_copying *copying;
};

static void open_all(struct test *t)
{
	t->account = fixture_account(&t->fixture, 1);
	t->inbox = account_mailbox(t->account, STR("INBOX"));
	t->archive = account_mailbox(t->account, STR("Archive"));
	assert_int_equal(mailbox_open(t->inbox), 0);
	assert_int_equal(mailbox_open(t->archive), 0);
}

static void close_all(struct test *t)
{
	mailbox_copy_free(&t->copying);
	mailbox_close(t->inbox);
	mailbox_close(t->archive);
	account_close(&t->account);
}

static void reopen(struct test *t)
{
	close_all(t);
	fixture_reopen(&t->fixture);
	open_all(t);
}

/* INBOX has MANY entries of 100 messages, every third seen, every fifth with a keyword. */
static int set_up(void **state)
{
	static struct test t;
	struct keyword_bits bits = { { 0 } };
	uint32_t bit;
	t = (struct test){ .copying = NULL };
	fixture_begin(&t.fixture);
	fixture_open(&t.fixture);
	open_all(&t);
	set_add(&t.all, 1, UINT32_MAX);
	assert_int_equal(keyword_add(t.archive, STR("other"), 9, &bit), 0);
	assert_int_equal(keyword_add(t.inbox, STR("five"), 9, &bit), 0);
	for (uint32_t i = 1; i <= 100; i++) {
		bits.word[0] = i % 5 == 0;
		fixture_add(t.inbox, i, i % 3 ? 0 : FLAG_SEEN, &bits);
	}
	while (mailbox_count(t.inbox) < MANY) {
		set_clear(&t.source);
		set_clear(&t.target);
		assert_int_equal(mailbox_copy(t.inbox, &t.all, t.inbox, false, 9, &t.source, &t.target), 0);
	}
	fixture_settle(&t.fixture);
	*state = &t;
	return 0;
}

static int tear_down(void **state)
{
	struct test *t = *state;
	close_all(t);
	set_free(&t->all);
	set_free(&t->source);
	set_free(&t->target);
	fixture_end(&t->fixture);
	return 0;
}

static void begin(struct test *t)
{
	set_clear(&t->source);
	set_clear(&t->target);
	assert_int_equal(mailbox_copy_begin(t->inbox, &t->all, t->archive, 9, &t->copying), 0);
}

/* What is staged does not count, what is attached does. */
static void assert_counters(struct test *t)
{
	struct mailbox_counts inbox, archive;
	struct account_counts counts = account_counts(t->account);
	mailbox_counts(t->inbox, &inbox);
	mailbox_counts(t->archive, &archive);
	assert_int_equal(counts.messages, inbox.messages + archive.messages);
	assert_int_equal(counts.bytes, inbox.bytes + archive.bytes);
}

static bool step(struct test *t)
{
	bool done = false;
	assert_int_equal(mailbox_copy_step(t->copying, &done), 0);
	assert_counters(t);
	fixture_settle(&t->fixture);
	return !done;
}

static int end(struct test *t)
{
	int result = mailbox_copy_end(t->copying, &t->source, &t->target);
	mailbox_copy_free(&t->copying);
	if (!t->account->gone && !t->archive->gone)
		assert_counters(t);
	return result;
}

static bool has_keyword(struct mailbox *box, const struct entry *entry, const char *name)
{
	struct keyword_bits bits;
	int bit = keyword_find(box, str_from_c(name));
	entry_keywords(box, entry, &bits);
	return bit >= 0 && (bits.word[0] >> bit & 1);
}

/* Entry by entry the same as they were added; `first` is the uid of the first copy. */
static void assert_copied(struct test *t, uint32_t first, uint32_t n)
{
	struct entry_cursor entries = entry_seek(t->archive, first);
	struct message_cursor cursor;
	message_cursor_begin(&cursor, t->account);
	for (uint32_t i = 0; i < n; i++) {
		const struct entry *entry = entry_next(&entries);
		uint32_t number = i % 100 + 1;
		assert_non_null(entry);
		assert_int_equal(entry->uid, first + i);
		assert_int_equal(entry->message, (uint64_t)number);
		assert_int_equal(entry->flags, number % 3 ? 0 : FLAG_SEEN);
		assert_int_equal(has_keyword(t->archive, entry, "five"), number % 5 == 0);
	}
	message_cursor_end(&cursor);
}

static int64_t count_rows(struct test *t, const char *sql)
{
	int64_t n;
	assert_int_equal(db_query_int(&t->fixture.store->db, sql, &n), 0);
	return n;
}

static void a_copy_in_steps_is_seen_only_in_the_end(void **state)
{
	struct test *t = *state;
	uint32_t n = mailbox_count(t->inbox), steps = 1;
	for (uint32_t round = 0; round < 2; round++) {
		uint32_t before = mailbox_count(t->archive);
		uint64_t modseq = mailbox_modseq(t->archive);
		begin(t);
		for (; step(t); steps++) {
			assert_int_equal(mailbox_count(t->archive), before);
			assert_int_equal(mailbox_modseq(t->archive), modseq);
		}
		fixture_add(t->archive, 1, 0, NULL); /* somebody else delivers meanwhile */
		assert_int_equal(end(t), 0);
		assert_int_equal(set_count(&t->source), n);
		assert_int_equal(set_count(&t->target), n);
		assert_int_equal(t->target.ranges[0].first, before + 2);
		assert_copied(t, before + 2, n);
		assert_int_equal(mailbox_count(t->archive), before + 1 + n);
		assert_int_equal(mailbox_count_below(t->archive, before + 300), before + 299);
		reopen(t);
		assert_int_equal(mailbox_count(t->archive), before + 1 + n);
		assert_int_equal(mailbox_uidnext(t->archive), before + 2 + n);
		assert_copied(t, before + 2, n);
		assert_true(mailbox_modseq(t->archive) > modseq);
	}
	assert_true(steps > 4);
	assert_int_equal(count_rows(t, "SELECT count(*) FROM run WHERE mailbox = 0"), 0);
	uint32_t next = mailbox_uidnext(t->archive);
	assert_int_equal(fixture_add(t->archive, 1, 0, NULL), next);
}

static void flags_that_change_meanwhile_are_copied_as_they_are_in_the_end(void **state)
{
	struct test *t = *state;
	struct set some = SET_INIT, gone = SET_INIT;
	uint32_t n = mailbox_count(t->inbox);
	struct flags_change change = { .mode = FLAGS_REPLACE, .flags = FLAG_FLAGGED };
	set_add(&some, 100, 119);
	set_add(&some, n, n);
	begin(t);
	step(t);
	assert_int_equal(mailbox_store(t->inbox, &some, &change, 0, NULL), 0);
	while (step(t))
		;
	assert_int_equal(end(t), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(mailbox_count(t->archive), n);
		for (uint32_t uid = 95; uid < 125; uid++) {
			const struct entry *entry = entry_find(t->archive, uid);
			bool changed = uid >= 100 && uid < 120;
			assert_int_equal(entry->flags & FLAG_FLAGGED, changed ? FLAG_FLAGGED : 0);
			if (changed)
				assert_false(has_keyword(t->archive, entry, "five"));
		}
		assert_int_equal(entry_find(t->archive, n)->flags, FLAG_FLAGGED);
		reopen(t);
	}
	set_free(&some);
	set_free(&gone);
}

static void entries_that_leave_meanwhile_are_copied_where_they_were_staged(void **state)
{
	struct test *t = *state;
	struct set some = SET_INIT, gone = SET_INIT;
	uint32_t n = mailbox_count(t->inbox);
	set_add(&some, 50, 59);     /* staged already */
	set_add(&some, n - 9, n);   /* not yet */
	begin(t);
	step(t);
	assert_int_equal(mailbox_expunge(t->inbox, &some, false, &gone), 0);
	while (step(t))
		;
	assert_int_equal(end(t), 0);
	assert_int_equal(mailbox_count(t->archive), n - 10);
	assert_int_equal(set_count(&t->source), n - 10);
	assert_copied(t, 1, n - 10);
	assert_int_equal(mailbox_count(t->inbox), n - 20);
	set_free(&some);
	set_free(&gone);
}

static void a_copy_that_is_given_up_leaves_nothing(void **state)
{
	struct test *t = *state;
	int64_t pages = count_rows(t, "SELECT count(*) FROM page");
	begin(t);
	step(t);
	step(t);
	assert_true(count_rows(t, "SELECT count(*) FROM page") > pages);
	mailbox_copy_free(&t->copying);
	while (store_idle_work(t->fixture.store))
		fixture_settle(&t->fixture);
	assert_int_equal(count_rows(t, "SELECT count(*) FROM page"), pages);
	assert_int_equal(count_rows(t, "SELECT count(*) FROM run WHERE mailbox = 0"), 0);
	/* the same at start, after a crash */
	begin(t);
	step(t);
	struct store_fixture crashed = t->fixture;
	fixture_copy_folder(&t->fixture, crashed.directory);
	fixture_open(&crashed);
	int64_t n = 0;
	assert_int_equal(db_query_int(&crashed.store->db, "SELECT count(*) FROM page", &n), 0);
	assert_int_equal(n, pages);
	assert_int_equal(db_query_int(&crashed.store->db, "SELECT count(*) FROM run WHERE mailbox = 0", &n), 0);
	assert_int_equal(n, 0);
	fixture_end(&crashed);
}

static void a_copy_ends_with_its_mailbox_or_batch(void **state)
{
	struct test *t = *state;
	uint32_t n = mailbox_count(t->inbox);
	bool done;
	begin(t);
	step(t);
	assert_int_equal(mailbox_delete(t->archive), 0);
	assert_int_equal(mailbox_copy_step(t->copying, &done), ERR_NOT_FOUND);
	assert_int_equal(end(t), ERR_NOT_FOUND);
	mailbox_close(t->archive);
	assert_int_equal(mailbox_create(t->account, STR("Archive"), SPECIAL_USE_NONE, 99, &t->archive), 0);
	assert_int_equal(mailbox_open(t->archive), 0);
	fixture_settle(&t->fixture);
	begin(t);
	step(t);
	assert_int_equal(mailbox_copy_step(t->copying, &done), 0);
	gate_void(t->fixture.store->gate, ERR_IO);
	assert_int_equal(mailbox_copy_step(t->copying, &done), ERR_NOT_FOUND);
	assert_int_equal(end(t), ERR_NOT_FOUND);
	reopen(t);
	assert_int_equal(mailbox_count(t->inbox), n);
	assert_int_equal(mailbox_count(t->archive), 0);
	begin(t);
	store_turn(t->fixture.store);
	fixture_add(t->inbox, 1, 0, NULL);
	store_turn(t->fixture.store);
	assert_int_equal(mailbox_copy_step(t->copying, &done), ERR_UNAVAILABLE); /* sealed: again later */
	fixture_settle(&t->fixture);
	while (step(t))
		;
	assert_int_equal(end(t), 0);
	assert_int_equal(mailbox_count(t->inbox), n + 1);
	assert_int_equal(mailbox_count(t->archive), n);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_copy_in_steps_is_seen_only_in_the_end),
		TEST(flags_that_change_meanwhile_are_copied_as_they_are_in_the_end),
		TEST(entries_that_leave_meanwhile_are_copied_where_they_were_staged),
		TEST(a_copy_that_is_given_up_leaves_nothing),
		TEST(a_copy_ends_with_its_mailbox_or_batch),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
