/* test_sized.h: messages of a size whose bytes say which they are, segments full of them, and what is left of those. */
#ifndef STORE_TEST_SIZED_H
#define STORE_TEST_SIZED_H

#include "store/internal.h"
#include "store/test_store.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define BODY 20000
#define DAY  86400

/* A message whose body says which it is, over and over. */
static inline void fill(char *body, size_t size, uint32_t n)
{
	for (size_t i = 0; i < size; i++)
		body[i] = (char)('a' + (n + i / 100) % 26);
}

static inline uint32_t add_sized(struct mailbox *mailbox, uint32_t n, size_t size)
{
	char *body = mem_alloc(1, size);
	struct str piece = str_of(body, size);
	uint32_t uid;
	fill(body, size, n);
	struct message_arrival arrival = { .pieces = &piece, .n_pieces = 1, .fd = -1, .size = size, .internal_date = n, .flags = FLAG_SEEN };
	assert_int_equal(mailbox_add(mailbox, &arrival, &uid), 0);
	mem_free(body);
	return uid;
}

/* The message at this uid has the bytes that it was added with. */
static inline void assert_whole(struct store_test *test, struct mailbox *mailbox, uint32_t uid, uint32_t n, size_t size)
{
	struct message_cursor rows;
	struct message_row row;
	char *wanted = mem_alloc(1, size), *got = mem_alloc(1, size);
	assert_int_equal(mailbox_open(mailbox), 0);
	const struct entry *entry = entry_find(mailbox, uid);
	assert_non_null(entry);
	message_cursor_begin(&rows, test->account);
	assert_int_equal(message_cursor_get(&rows, entry->message, &row), 0);
	message_cursor_end(&rows);
	assert_int_equal(row.size, size);
	assert_int_equal(message_read(test->account, &row, 0, size, got), 0);
	fill(wanted, size, n);
	assert_memory_equal(got, wanted, size);
	mailbox_close(mailbox);
	mem_free(wanted);
	mem_free(got);
}

static inline void expunge(struct mailbox *mailbox, uint32_t first, uint32_t last)
{
	struct set uids = SET_INIT, gone = SET_INIT;
	set_add(&uids, first, last);
	assert_int_equal(mailbox_expunge(mailbox, &uids, false, &gone), 0);
	set_free(&uids);
	set_free(&gone);
}

/* The counters of every segment are what the rows say. */
static inline void assert_counters(struct store_test *test)
{
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM segment AS s WHERE messages <> (SELECT count(*) FROM message WHERE segment = s.number) "
	                           "OR bytes <> (SELECT total(size) FROM message WHERE segment = s.number)"), 0);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM message WHERE segment NOT IN (SELECT number FROM segment)"), 0);
}

/* Messages 1 to n in INBOX, over several segments of 256 KB. */
static inline void fill_segments(struct store_test *test, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		add_sized(test->inbox, i, BODY);
		fixture_settle(&test->fixture);
	}
}

/* Of each ten the last so many remain. */
static inline void thin_out_to(struct store_test *test, uint32_t n, uint32_t remain)
{
	for (uint32_t i = 1; i <= n; i++)
		if ((i - 1) % 10 < 10 - remain)
			expunge(test->inbox, i, i);
	fixture_settle(&test->fixture);
	clock_shift(2 * DAY);
}

static inline void thin_out(struct store_test *test, uint32_t n)
{
	thin_out_to(test, n, 1);
}

#endif
