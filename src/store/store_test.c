/* Tests of accounts, mailboxes and messages, and of what remains after a batch that was rolled back.
 * Entries and changes: random_test.c; delivery keys: delivery_test.c. */
#include "store/internal.h"
#include "store/test_store.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#define MANY 1000

struct test {
	struct store_fixture fixture;
	struct account *account;
};

static int set_up(void **state)
{
	static struct test test;
	test = (struct test){ .account = NULL };
	fixture_begin(&test.fixture);
	fixture_open(&test.fixture);
	test.account = fixture_account(&test.fixture, 1);
	fixture_settle(&test.fixture);
	*state = &test;
	return 0;
}

static int tear_down(void **state)
{
	struct test *test = *state;
	account_close(&test->account);
	fixture_end(&test->fixture);
	return 0;
}

static void reopen(struct test *test)
{
	account_close(&test->account);
	fixture_reopen(&test->fixture);
	test->account = fixture_account(&test->fixture, 1);
}

static struct mailbox *find(struct test *test, const char *name)
{
	return account_mailbox(test->account, str_from_c(name));
}

static struct mailbox *create(struct test *test, const char *name)
{
	struct mailbox *mailbox;
	assert_int_equal(mailbox_create(test->account, str_from_c(name), SPECIAL_USE_NONE, MANY, &mailbox), 0);
	return mailbox;
}

static int rename_to(struct test *test, const char *from, const char *to)
{
	return mailbox_rename(test->account, str_from_c(from), str_from_c(to), MANY);
}

static void assert_names(struct test *test, const char *names)
{
	struct mailbox *const *list;
	struct buf all = BUF_INIT(65536);
	size_t n = account_mailboxes(test->account, &list);
	for (size_t i = 0; i < n; i++)
		buf_addf(&all, "%.*s ", STR_ARG(mailbox_facts(list[i])->name));
	buf_add_byte(&all, '\0');
	assert_string_equal(all.p, names);
	buf_free(&all);
}

static uint32_t count(struct mailbox *mailbox)
{
	assert_int_equal(mailbox_open(mailbox), 0);
	uint32_t n = mailbox_count(mailbox);
	mailbox_close(mailbox);
	return n;
}

/* --- accounts --- */

static void a_new_account_has_its_mailboxes_and_they_last(void **state)
{
	struct test *test = *state;
	for (int i = 0; i < 2; i++) {
		assert_names(test, "Archive Drafts INBOX Junk Sent Trash ");
		assert_int_equal(mailbox_facts(find(test, "Trash"))->special_use, SPECIAL_USE_TRASH);
		assert_true(account_is_subscribed(test->account, STR("INBOX")));
		reopen(test);
	}
	struct account_id unknown = fixture_account_id(99);
	struct account *account;
	assert_int_equal(account_open(test->fixture.store, &unknown, &account), ERR_NOT_FOUND);
}

static void a_destroyed_account_is_gone_at_once_and_its_rows_little_by_little(void **state)
{
	struct test *test = *state;
	struct store *store = test->fixture.store;
	struct account_id id = fixture_account_id(1);
	uint64_t messages, bytes;
	int64_t left;
	struct mailbox *inbox = find(test, "INBOX");
	assert_int_equal(mailbox_open(inbox), 0);
	for (uint32_t i = 0; i < 500; i++)
		fixture_add(inbox, i, 0, NULL);
	assert_int_equal(account_usage(store, &id, &messages, &bytes), 0);
	assert_int_equal(messages, 500);
	assert_true(bytes > 500 * 10);
	assert_int_equal(account_destroy(store, &id, &messages, &bytes), 0);
	assert_int_equal(messages, 500);
	assert_true(account_is_gone(test->account) && mailbox_is_gone(inbox));
	assert_int_equal(mailbox_store(inbox, &(struct set)SET_INIT, &(struct flags_change){ 0 }, 0, NULL), ERR_NOT_FOUND);
	mailbox_close(inbox);
	account_close(&test->account);
	assert_int_equal(account_open(store, &id, &test->account), ERR_NOT_FOUND);
	fixture_settle(&test->fixture);
	while (store_idle_work(store))
		fixture_settle(&test->fixture);
	static const char *const tables[] = { "account", "mailbox", "subscription", "run", "page", "message", "change" };
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		char sql[64];
		snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", tables[i]);
		assert_int_equal(db_query_int(&store->db, sql, &left), 0);
		assert_int_equal(left, 0);
	}
	assert_int_equal(account_destroy(store, &id, &messages, &bytes), 0);
	test->account = fixture_account(&test->fixture, 1); /* its numbers begin anew, nothing of the old one is in it */
	assert_int_equal(count(find(test, "INBOX")), 0);
}

static void memory_over_the_budget_is_given_back(void **state)
{
	struct test *test = *state;
	struct store *store = test->fixture.store;
	struct store_statistics before, after;
	for (uint32_t i = 0; i < 100; i++) {
		struct account *account = fixture_account(&test->fixture, 100 + i);
		fixture_add(account_mailbox(account, STR("INBOX")), i, 0, NULL);
		account_close(&account);
	}
	store_statistics(store, &before);
	store->settings.view_memory = 10 * 3000;
	for (int i = 0; i < 10; i++)
		fixture_settle(&test->fixture);
	store_statistics(store, &after);
	assert_true(before.accounts_in_memory > 100 && after.accounts_in_memory < 16);
	assert_true(after.view_bytes <= 10 * 3000);
	for (uint32_t i = 0; i < 100; i++) {
		struct account *account = fixture_account(&test->fixture, 100 + i);
		assert_int_equal(count(account_mailbox(account, STR("INBOX"))), 1);
		account_close(&account);
	}
}

/* --- mailboxes --- */

static void creating_makes_parents_and_checks_names(void **state)
{
	struct test *test = *state;
	struct mailbox *mailbox;
	char name[MAILBOX_NAME_MAX + 2];
	static const struct { const char *name; int result; } bad[] = {
		{ "", ERR_SYNTAX }, { "/a", ERR_SYNTAX }, { "a/", ERR_SYNTAX }, { "a//b", ERR_SYNTAX }, { "a\nb", ERR_SYNTAX }, { "\xff", ERR_SYNTAX },
		{ "INBOX", ERR_EXISTS },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(mailbox_create(test->account, str_from_c(bad[i].name), SPECIAL_USE_NONE, MANY, &mailbox), bad[i].result);
	memset(name, 'x', sizeof name);
	assert_int_equal(mailbox_create(test->account, str_of(name, sizeof name), SPECIAL_USE_NONE, MANY, &mailbox), ERR_LIMIT);
	for (size_t i = 1; i < 2 * MAILBOX_DEPTH_MAX + 1; i += 2)
		name[i] = '/';
	assert_int_equal(mailbox_create(test->account, str_of(name, 2 * MAILBOX_DEPTH_MAX + 1), SPECIAL_USE_NONE, MANY, &mailbox), ERR_LIMIT);
	assert_int_equal(mailbox_create(test->account, STR("a/b/c"), SPECIAL_USE_NONE, 8, &mailbox), ERR_LIMIT);
	assert_int_equal(mailbox_create(test->account, STR("a/b/c"), SPECIAL_USE_NONE, 9, &mailbox), 0);
	assert_int_equal(mailbox_create(test->account, STR("Bin"), SPECIAL_USE_TRASH, MANY, &mailbox), ERR_EXISTS);
	for (int i = 0; i < 2; i++) {
		assert_names(test, "Archive Drafts INBOX Junk Sent Trash a a/b a/b/c ");
		reopen(test);
	}
}

static void deleting_keeps_what_is_below_and_uidvalidity_grows(void **state)
{
	struct test *test = *state;
	create(test, "a/b");
	struct mailbox *a = find(test, "a");
	uint32_t before = mailbox_facts(a)->uidvalidity;
	fixture_add(a, 1, 0, NULL);
	assert_int_equal(mailbox_open(a), 0);
	assert_int_equal(mailbox_delete(find(test, "INBOX")), ERR_DENIED);
	assert_int_equal(mailbox_delete(a), 0);
	assert_true(mailbox_is_gone(a)); /* its holder still may ask */
	assert_int_equal(mailbox_delete(a), ERR_NOT_FOUND);
	assert_int_equal(mailbox_open(a), ERR_NOT_FOUND);
	assert_null(entry_find(a, 1));
	assert_int_equal(mailbox_take_recent(a) > 0, true);
	mailbox_close(a);
	assert_names(test, "Archive Drafts INBOX Junk Sent Trash a/b ");
	reopen(test);
	assert_names(test, "Archive Drafts INBOX Junk Sent Trash a/b ");
	a = create(test, "a");
	assert_true(mailbox_facts(a)->uidvalidity > before);
	assert_int_equal(count(a), 0);
}

static void renaming_takes_the_tree_along(void **state)
{
	struct test *test = *state;
	uint32_t uid = fixture_add(create(test, "a/b/c"), 7, 0, NULL);
	create(test, "ab");
	uint32_t uidvalidity = mailbox_facts(find(test, "a/b/c"))->uidvalidity;
	assert_int_equal(rename_to(test, "a", "a/x"), ERR_DENIED);
	assert_int_equal(rename_to(test, "a", "ab"), ERR_EXISTS);
	assert_int_equal(rename_to(test, "a", "Z//a"), ERR_SYNTAX);
	assert_int_equal(rename_to(test, "nowhere", "Z"), ERR_NOT_FOUND);
	assert_int_equal(mailbox_rename(test->account, mailbox_facts(find(test, "a"))->name, STR("Z/y"), MANY), 0);
	for (int i = 0; i < 2; i++) {
		assert_names(test, "Archive Drafts INBOX Junk Sent Trash Z Z/y Z/y/b Z/y/b/c ab ");
		struct mailbox *c = find(test, "Z/y/b/c");
		assert_int_equal(mailbox_facts(c)->uidvalidity, uidvalidity);
		assert_int_equal(mailbox_open(c), 0);
		assert_non_null(entry_find(c, uid));
		mailbox_close(c);
		reopen(test);
	}
}

static void renaming_inbox_moves_its_messages(void **state)
{
	struct test *test = *state;
	struct keyword_bits bits = { { 0 } };
	uint32_t bit;
	assert_int_equal(keyword_add(find(test, "INBOX"), STR("urgent"), MANY, &bit), 0);
	bits.word[bit / 64] |= UINT64_C(1) << bit;
	for (uint32_t i = 0; i < 300; i++)
		fixture_add(find(test, "INBOX"), i, i % 2 ? FLAG_SEEN : 0, &bits);
	assert_int_equal(rename_to(test, "INBOX", "old/mail"), 0);
	reopen(test);
	assert_names(test, "Archive Drafts INBOX Junk Sent Trash old old/mail ");
	assert_int_equal(count(find(test, "INBOX")), 0);
	struct mailbox *mail = find(test, "old/mail");
	assert_int_equal(count(mail), 300);
	assert_int_equal(mailbox_open(mail), 0);
	struct keyword_bits read;
	entry_keywords(mail, entry_find(mail, 300), &read);
	assert_int_equal(read.word[0], UINT64_C(1) << keyword_find(mail, STR("URGENT")));
	mailbox_close(mail);
	assert_int_equal(fixture_add(find(test, "INBOX"), 1, 0, NULL), 301); /* uids go on */
}

static void an_emptied_mailbox_keeps_its_counters(void **state)
{
	struct test *test = *state;
	struct set all = SET_INIT, gone = SET_INIT;
	set_add(&all, 1, UINT32_MAX);
	for (uint32_t n = 1; n <= 400; n += 133) {
		struct mailbox *box = find(test, "Archive");
		uint32_t uidnext;
		uint64_t modseq;
		for (uint32_t i = 0; i < n; i++)
			fixture_add(box, i, 0, NULL);
		set_clear(&gone);
		assert_int_equal(mailbox_open(box), 0);
		assert_int_equal(mailbox_expunge(box, &all, false, &gone), 0);
		assert_int_equal(set_count(&gone), n);
		uidnext = mailbox_uidnext(box);
		modseq = mailbox_modseq(box);
		mailbox_close(box);
		reopen(test);
		box = find(test, "Archive");
		assert_int_equal(mailbox_open(box), 0);
		assert_int_equal(mailbox_count(box), 0);
		assert_int_equal(mailbox_uidnext(box), uidnext);
		assert_int_equal(mailbox_modseq(box), modseq);
		mailbox_close(box);
	}
	set_free(&all);
	set_free(&gone);
}

static void the_modseq_never_falls_back(void **state)
{
	struct test *test = *state;
	struct mailbox *box = find(test, "Archive");
	struct set all = SET_INIT, gone = SET_INIT;
	set_add(&all, 1, UINT32_MAX);
	fixture_add(box, 1, 0, NULL);
	assert_int_equal(mailbox_expunge(box, &all, false, &gone), 0);
	assert_int_equal(mailbox_delete(box), 0);
	uint64_t modseq = test->account->modseq, next = test->account->next;
	fixture_settle(&test->fixture);
	clock_shift(2 * 86400); /* all changes are old: their rows go */
	while (store_idle_work(test->fixture.store))
		fixture_settle(&test->fixture);
	clock_shift(0);
	int64_t left;
	assert_int_equal(db_query_int(&test->fixture.store->db, "SELECT count(*) FROM change", &left), 0);
	assert_int_equal(left, 0);
	reopen(test);
	assert_true(test->account->modseq >= modseq);
	assert_true(test->account->next >= next);
	set_free(&all);
	set_free(&gone);
}

static void subscriptions_are_names_and_last(void **state)
{
	struct test *test = *state;
	const struct str *names;
	assert_int_equal(account_subscribe(test->account, STR("no/such"), true), 0);
	assert_int_equal(account_subscribe(test->account, STR("no/such"), true), 0);
	assert_int_equal(account_subscribe(test->account, STR("bad//name"), true), ERR_SYNTAX);
	assert_int_equal(account_subscribe(test->account, STR("Junk"), false), 0);
	assert_int_equal(account_subscribe(test->account, STR("never"), false), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(account_subscriptions(test->account, &names), 6);
		assert_true(account_is_subscribed(test->account, STR("no/such")));
		assert_false(account_is_subscribed(test->account, STR("Junk")));
		reopen(test);
	}
}

static void keywords_have_a_limit_and_one_case(void **state)
{
	struct test *test = *state;
	struct mailbox *box = find(test, "INBOX");
	uint32_t bit;
	assert_int_equal(keyword_add(box, STR("$Forwarded"), 2, &bit), 0);
	assert_int_equal(bit, 0);
	assert_int_equal(keyword_add(box, STR("$FORWARDED"), 2, &bit), 0);
	assert_int_equal(keyword_add(box, STR("other"), 2, &bit), 0);
	assert_int_equal(bit, 1);
	assert_int_equal(keyword_add(box, STR("third"), 2, &bit), ERR_LIMIT);
	for (uint32_t i = 2; i < KEYWORDS_MAX; i++) {
		char name[16];
		assert_int_equal(keyword_add(box, str_of(name, (size_t)snprintf(name, sizeof name, "k%u", i)), 5000, &bit), 0);
	}
	assert_int_equal(keyword_add(box, STR("more"), 5000, &bit), ERR_LIMIT);
	reopen(test);
	assert_int_equal(keyword_find(find(test, "INBOX"), STR("K255")), 255);
}

static void recent_is_told_to_one_session_and_remembered(void **state)
{
	struct test *test = *state;
	struct mailbox *box = find(test, "INBOX");
	struct mailbox_counts counts;
	fixture_add(box, 1, 0, NULL);
	fixture_add(box, 2, 0, NULL);
	assert_int_equal(mailbox_open(box), 0);
	mailbox_counts(box, &counts);
	assert_int_equal(counts.recent, 2);
	assert_int_equal(mailbox_take_recent(box), 1);
	assert_int_equal(mailbox_take_recent(box), 3);
	mailbox_close(box);
	fixture_settle(&test->fixture);
	assert_int_equal(mailbox_open(box), 0);
	fixture_add(box, 3, 0, NULL);
	fixture_settle(&test->fixture);
	assert_int_equal(mailbox_take_recent(box), 3);
	mailbox_close(box);
	assert_true(store_idle_work(test->fixture.store)); /* only the header of the page changed */
	reopen(test);
	assert_int_equal(mailbox_open(find(test, "INBOX")), 0);
	assert_int_equal(mailbox_take_recent(find(test, "INBOX")), 4);
	mailbox_close(find(test, "INBOX"));
}

/* --- messages --- */

static void assert_message(struct test *test, struct message_cursor *cursor, const struct entry *entry, uint32_t n)
{
	struct message_row row;
	char expected[32], read[32];
	int length = snprintf(expected, sizeof expected, "message %u\r\n", n);
	assert_int_equal(message_cursor_get(cursor, entry->message, &row), 0);
	assert_int_equal(row.number, entry->message);
	assert_int_equal(row.size, length);
	assert_int_equal(row.internal_date, 1000000 + n);
	assert_int_equal(row.zone_minutes, -90);
	assert_true(str_eq(row.derived.envelope, STR("envelope")));
	assert_true(str_eq(row.derived.headers, str_of(expected, (size_t)length)));
	assert_int_equal(message_read(test->account, &row, 0, row.size, read), 0);
	assert_memory_equal(read, expected, row.size);
	assert_int_equal(message_read(test->account, &row, 3, row.size - 3, read), 0);
	assert_memory_equal(read, expected + 3, row.size - 3);
	assert_int_equal(message_read(test->account, &row, 3, row.size, read), ERR_CORRUPT);
}

static void messages_of_many_pages_are_read_in_order_and_at_random(void **state)
{
	struct test *test = *state;
	struct mailbox *box = find(test, "INBOX");
	struct message_cursor cursor;
	struct message_row row;
	uint64_t random = 1;
	for (uint32_t i = 1; i <= 1100; i++)
		assert_int_equal(fixture_add(box, i, 0, NULL), i);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(mailbox_open(box), 0);
		struct entry_cursor entries = entry_seek(box, 0);
		const struct entry *entry;
		message_cursor_begin(&cursor, test->account);
		for (uint32_t i = 1; (entry = entry_next(&entries)); i++)
			assert_message(test, &cursor, entry, i);
		for (uint32_t i = 0; i < 300; i++) {
			random = random * UINT64_C(6364136223846793005) + 1;
			uint32_t uid = 1 + (uint32_t)(random >> 33) % 1100;
			assert_message(test, &cursor, entry_find(box, uid), uid);
		}
		assert_int_equal(message_cursor_get(&cursor, 999999, &row), ERR_NOT_FOUND);
		assert_message(test, &cursor, entry_find(box, 5), 5);
		message_cursor_end(&cursor);
		mailbox_close(box);
		reopen(test);
		box = find(test, "INBOX");
	}
}

static void two_cursors_do_not_disturb_each_other(void **state)
{
	struct test *test = *state;
	struct mailbox *box = find(test, "INBOX");
	struct message_cursor first, second;
	for (uint32_t i = 1; i <= 50; i++)
		fixture_add(box, i, 0, NULL);
	assert_int_equal(mailbox_open(box), 0);
	message_cursor_begin(&first, test->account);
	message_cursor_begin(&second, test->account);
	for (uint32_t i = 1; i <= 50; i++) {
		assert_message(test, &first, entry_find(box, i), i);
		assert_message(test, &second, entry_find(box, 51 - i), 51 - i);
	}
	message_cursor_end(&first);
	assert_message(test, &second, entry_find(box, 9), 9);
	message_cursor_end(&second);
	mailbox_close(box);
}

static bool is_known(struct test *test, const unsigned char *key)
{
	bool known;
	assert_int_equal(delivery_is_known(test->fixture.store, key, &known), 0);
	return known;
}

/* Who sent the file still has its descriptor, and might change it after it was parsed. */
static void a_file_that_changed_since_it_was_parsed_is_refused(void **state)
{
	struct test *test = *state;
	struct mailbox *inbox = find(test, "INBOX");
	struct str head = STR("Head: 1\r\n"), body = STR("\r\nbody\r\n"), whole = STR("Head: 1\r\n\r\nbody\r\n");
	struct message_arrival arrival = { .pieces = &head, .n_pieces = 1, .file_length = body.n, .size = whole.n, .header_size = 11 };
	uint32_t uid = 0;
	FILE *file = tmpfile();
	assert_non_null(file);
	assert_int_equal(fwrite(body.p, 1, body.n, file), body.n);
	assert_int_equal(fflush(file), 0);
	arrival.fd = fileno(file);
	arrival.checksum = XXH3_64bits(whole.p, whole.n) + 1;
	assert_int_equal(mailbox_add(inbox, &arrival, &uid), ERR_SYNTAX);
	assert_int_equal(uid, 0);
	arrival.checksum--;
	assert_int_equal(mailbox_add(inbox, &arrival, &uid), 0);
	assert_int_equal(uid, 1);
	fixture_settle(&test->fixture);
	fclose(file);
}

/* --- batches that never happened --- */

static void a_voided_batch_drops_the_accounts_in_it_only(void **state)
{
	struct test *test = *state;
	struct account *other = fixture_account(&test->fixture, 2);
	const unsigned char key[DELIVERY_KEY_BYTES] = "key";
	fixture_settle(&test->fixture);
	struct mailbox *box = create(test, "lost"), *inbox = find(test, "INBOX");
	assert_int_equal(mailbox_open(inbox), 0);
	fixture_add(inbox, 1, 0, NULL);
	assert_int_equal(delivery_remember(test->fixture.store, test->account, key), 0);
	assert_int_equal(mailbox_open(box), 0);
	gate_void(test->fixture.store->gate, ERR_NO_SPACE);
	assert_true(account_is_gone(test->account) && mailbox_is_gone(box) && mailbox_is_gone(inbox));
	assert_false(account_is_gone(other));
	assert_int_equal(mailbox_take_recent(inbox) > 0, true); /* a session that is about to be closed may still ask */
	mailbox_close(box);
	mailbox_close(inbox);
	account_close(&test->account);
	test->account = fixture_account(&test->fixture, 1);
	assert_null(find(test, "lost"));
	assert_int_equal(count(find(test, "INBOX")), 0);
	assert_false(is_known(test, key));
	assert_int_equal(fixture_add(find(test, "INBOX"), 5, 0, NULL), 1);
	account_close(&other);
	reopen(test);
	assert_int_equal(count(find(test, "INBOX")), 1);
}

/* Its output must not say what a batch brought whose sync is still awaited. */
static void an_account_that_is_loaded_again_waits_for_the_sync_in_flight(void **state)
{
	struct test *test = *state;
	create(test, "in-flight");
	uint64_t batch = store_batch(test->fixture.store);
	store_turn(test->fixture.store);
	assert_true(store_writable(test->fixture.store) && store_durable(test->fixture.store) < batch);
	create(test, "void");
	gate_void(test->fixture.store->gate, ERR_NO_SPACE);
	account_close(&test->account);
	test->account = fixture_account(&test->fixture, 1);
	assert_non_null(find(test, "in-flight"));
	assert_int_equal(account_batch(test->account), batch);
	fixture_settle(&test->fixture);
	assert_true(store_durable(test->fixture.store) >= batch);
}

static void a_batch_that_cannot_be_prepared_is_voided(void **state)
{
	struct test *test = *state;
	fixture_add(find(test, "INBOX"), 1, 0, NULL);
	/* the table of pages cannot be written any more: as with a full disk */
	assert_int_equal(db_exec(&test->fixture.store->db, "CREATE TEMP TRIGGER broken BEFORE INSERT ON main.page BEGIN SELECT RAISE(ABORT, 'no'); END"), 0);
	fixture_settle(&test->fixture);
	assert_int_equal(test->fixture.voids, 1);
	assert_true(account_is_gone(test->account));
	account_close(&test->account);
	test->account = fixture_account(&test->fixture, 1);
	assert_int_equal(count(find(test, "INBOX")), 0);
	assert_int_equal(db_exec(&test->fixture.store->db, "DROP TRIGGER IF EXISTS broken"), 0);
	fixture_add(find(test, "INBOX"), 1, 0, NULL);
	reopen(test);
	assert_int_equal(count(find(test, "INBOX")), 1);
}

static void nothing_is_written_while_sealed(void **state)
{
	struct test *test = *state;
	struct mailbox *box = find(test, "INBOX"), *made;
	struct set all = SET_INIT, gone = SET_INIT;
	set_add(&all, 1, UINT32_MAX);
	fixture_add(box, 1, FLAG_DELETED, NULL);
	store_turn(test->fixture.store);
	assert_false(store_writable(test->fixture.store));
	assert_int_equal(mailbox_expunge(box, &all, true, &gone), ERR_UNAVAILABLE);
	assert_int_equal(gone.n, 0);
	assert_int_equal(mailbox_create(test->account, STR("x"), SPECIAL_USE_NONE, MANY, &made), ERR_UNAVAILABLE);
	assert_int_equal(mailbox_delete(find(test, "Junk")), ERR_UNAVAILABLE);
	assert_int_equal(rename_to(test, "Junk", "y"), ERR_UNAVAILABLE);
	fixture_settle(&test->fixture);
	assert_true(store_writable(test->fixture.store) && test->fixture.writables == 1);
	assert_names(test, "Archive Drafts INBOX Junk Sent Trash ");
	assert_int_equal(mailbox_expunge(box, &all, true, &gone), 0);
	assert_int_equal(gone.n, 1);
	set_free(&all);
	set_free(&gone);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_new_account_has_its_mailboxes_and_they_last),
		TEST(a_destroyed_account_is_gone_at_once_and_its_rows_little_by_little),
		TEST(memory_over_the_budget_is_given_back),
		TEST(creating_makes_parents_and_checks_names),
		TEST(deleting_keeps_what_is_below_and_uidvalidity_grows),
		TEST(renaming_takes_the_tree_along),
		TEST(renaming_inbox_moves_its_messages),
		TEST(an_emptied_mailbox_keeps_its_counters),
		TEST(the_modseq_never_falls_back),
		TEST(subscriptions_are_names_and_last),
		TEST(keywords_have_a_limit_and_one_case),
		TEST(recent_is_told_to_one_session_and_remembered),
		TEST(messages_of_many_pages_are_read_in_order_and_at_random),
		TEST(two_cursors_do_not_disturb_each_other),
		TEST(a_file_that_changed_since_it_was_parsed_is_refused),
		TEST(a_voided_batch_drops_the_accounts_in_it_only),
		TEST(an_account_that_is_loaded_again_waits_for_the_sync_in_flight),
		TEST(a_batch_that_cannot_be_prepared_is_voided),
		TEST(nothing_is_written_while_sealed),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
