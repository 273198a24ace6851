/* test_parcel.c: see test_parcel.h. */
#include "mail/test_parcel.h"

#include "base/checked.h"
#include "base/mem.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>

#include <cmocka.h>

#define MESSAGE_MAX (4 * 1024 * 1024)

struct parcel_test parcel_test;

int parcel_set_up(void **state)
{
	const struct mime_limits limits = MIME_LIMITS_DEFAULT;
	parcel_test = (struct parcel_test){ .settings = { mail_reader_new(&limits), MESSAGE_MAX, 30 },
		                                .parcel = BUF_INIT(PARCEL_MAX),
		                                .random = 1 };
	fixture_begin(&parcel_test.from);
	fixture_open(&parcel_test.from);
	fixture_begin(&parcel_test.to);
	fixture_open(&parcel_test.to);
	parcel_test.account = fixture_account(&parcel_test.from, 1);
	return 0;
}

int parcel_tear_down(void **state)
{
	account_close(&parcel_test.account);
	fixture_end(&parcel_test.from);
	fixture_end(&parcel_test.to);
	mail_reader_free(&parcel_test.settings.reader);
	buf_free(&parcel_test.parcel);
	return 0;
}

uint32_t parcel_pick(uint32_t below)
{
	parcel_test.random = parcel_test.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(parcel_test.random >> 33) % below;
}

uint32_t parcel_append(struct mailbox *mailbox, uint32_t n, uint8_t flags, struct str keyword)
{
	char text[256];
	uint32_t uid = 0;
	int length = snprintf(text, sizeof text, "Subject: message %u\r\n\r\n%.*s\r\n", n, (int)(n % 90),
	                      "..................................................................................................");
	struct mail_source source = { .bytes = str_of(text, (size_t)length), .fd = -1 };
	struct mail_facts facts = { .flags = flags, .keywords = &keyword, .n_keywords = keyword.n > 0,
		                        .internal_date = 1600000000 + n, .zone_minutes = (int16_t)(n % 3 * 60 - 60) };
	assert_int_equal(mail_append(mailbox, &parcel_test.settings, &source, &facts, &uid), 0);
	return uid;
}

struct mailbox *parcel_named(const char *name)
{
	struct mailbox *mailbox = account_mailbox(parcel_test.account, str_from_c(name));
	assert_non_null(mailbox);
	return mailbox;
}

void parcel_write(struct store_fixture *fixture, struct account *account, const struct parcel_filter *filter,
                         struct buf *out)
{
	struct parcel_writer *writer = parcel_writer_new(account, filter);
	struct parcel_maker *maker = parcel_writer_maker(writer);
	bool done = false;
	buf_clear(out);
	while (!done) {
		assert_int_equal(parcel_writer_step(writer, &done), 0);
		buf_add(out, buf_str(&maker->out));
		buf_consume(&maker->out, maker->out.n);
	}
	assert_int_equal(buf_error(out), 0);
	parcel_writer_free(&writer);
}

void parcel_write_all(struct buf *out)
{
	parcel_write(&parcel_test.from, parcel_test.account, &(struct parcel_filter){ .whole = true }, out);
}

struct parcel_reader *parcel_new_reader(enum parcel_mode mode, uint32_t account)
{
	struct parcel_reader_settings settings = { .mail = parcel_test.settings, .max_mailboxes = 1000, .mode = mode,
		                                       .spool_directory = str_from_c(parcel_test.to.directory),
		                                       .account = fixture_account_id(account) };
	return parcel_reader_new(parcel_test.to.store, &settings);
}

void parcel_read_whole(struct store_fixture *fixture, struct parcel_reader *reader, struct str bytes)
{
	bool done = false;
	while (!done) {
		size_t used;
		assert_int_equal(parcel_reader_input(reader, bytes, &used, &done), 0);
		assert_true(used > 0 || done);
		bytes = str_from(bytes, used);
		fixture_settle(fixture);
	}
}

int parcel_read_some(struct parcel_reader *reader, struct str bytes, bool *done)
{
	size_t used = 0, piece = 1000;
	int result = 0;
	*done = false;
	while (bytes.n > 0 && result == 0 && !*done) {
		result = parcel_reader_input(reader, str_first(bytes, piece), &used, done);
		if (used == 0 && piece >= bytes.n)
			break;
		piece = used == 0 ? piece * 2 : 1000 + parcel_pick(100000);
		bytes = str_from(bytes, used);
		if (parcel_pick(3) == 0)
			fixture_settle(&parcel_test.to);
	}
	fixture_settle(&parcel_test.to);
	return result;
}

int parcel_read(enum parcel_mode mode, uint32_t account, struct str bytes)
{
	struct parcel_reader *reader = parcel_new_reader(mode, account);
	bool done;
	int result = parcel_read_some(reader, bytes, &done);
	assert_int_equal(done, result == 0);
	parcel_reader_free(&reader);
	return result;
}

void parcel_idle(struct store_fixture *fixture)
{
	for (int i = 0; i < 10000 && store_idle_work(fixture->store); i++)
		fixture_settle(fixture);
	fixture_settle(fixture);
}

void parcel_assert_checked(struct store_fixture *fixture, uint64_t messages)
{
	struct store_check *check = store_check_new(fixture->store, NULL, NULL);
	bool done = false;
	while (!done)
		assert_int_equal(store_check_step(check, &done), 0);
	assert_int_equal(store_check_totals(check)->damaged, 0);
	if (messages)
		assert_true(store_check_totals(check)->messages >= messages);
	store_check_free(&check);
}

uint32_t parcel_undelete_all(struct account *account, const struct undelete_filter *filter)
{
	struct undelete_position position = { 0, 0 };
	struct undelete_done done;
	uint32_t restored = 0;
	do {
		assert_int_equal(undelete_restore(account, filter, &position, &done), 0);
		restored += done.restored;
		fixture_settle(&parcel_test.to);
	} while (position.row != 0);
	return restored;
}

void parcel_change_rows(struct store_fixture *fixture, const char *sql)
{
	sqlite3 *db;
	char path[100];
	fixture_settle(fixture);
	store_close(&fixture->store);
	snprintf(path, sizeof path, "%s/index.db", fixture->directory);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	fixture_open(fixture);
}
