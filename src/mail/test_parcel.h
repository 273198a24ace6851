/* test_parcel.h: two stores, and parcels from one into the other, for tests. */
#ifndef MAIL_TEST_PARCEL_H
#define MAIL_TEST_PARCEL_H

#include "mail/parcel_reader.h"
#include "store/test_store.h"
#include "store/transfer.h"

#define PARCEL_MAX (64 * 1024 * 1024)

struct parcel_test {
	struct store_fixture from, to;
	struct mail_settings settings;
	struct account *account; /* in `from`: number 1, held */
	struct buf parcel;
	uint64_t random;
};
extern struct parcel_test parcel_test;

/* cmocka's set-up and tear-down of parcel_test. */
int parcel_set_up(void **state);
int parcel_tear_down(void **state);

/* Below `below`; the same numbers in each run. */
uint32_t parcel_pick(uint32_t below);

/* A message that is made from its number, as is its internal date: 1600000000 + n. Returns its uid. */
uint32_t parcel_append(struct mailbox *mailbox, uint32_t n, uint8_t flags, struct str keyword);
/* A mailbox of parcel_test.account, which is there. */
struct mailbox *parcel_named(const char *name);

/* All that the writer makes. */
void parcel_write(struct store_fixture *fixture, struct account *account, const struct parcel_filter *filter,
                  struct buf *out);
void parcel_write_all(struct buf *out); /* of parcel_test.account */

/* For a parcel into the account of this number, in the store `to`. */
struct parcel_reader *parcel_new_reader(enum parcel_mode mode, uint32_t account);
/* All of them, into the store that the reader was made for. */
void parcel_read_whole(struct store_fixture *fixture, struct parcel_reader *reader, struct str bytes);
/* Feeds the bytes in pieces, with batches between them. */
int parcel_read_some(struct parcel_reader *reader, struct str bytes, bool *done) MUST_CHECK;
int parcel_read(enum parcel_mode mode, uint32_t account, struct str bytes) MUST_CHECK;

/* Until no more work waits for idle time. */
void parcel_idle(struct store_fixture *fixture);
/* store_check finds no damage, and so many messages or more. */
void parcel_assert_checked(struct store_fixture *fixture, uint64_t messages);
/* How many came back. */
uint32_t parcel_undelete_all(struct account *account, const struct undelete_filter *filter);

/* Runs the SQL on index.db. The store is closed meanwhile, so nobody holds an account of it. Everything is in index.db
 * itself then. */
void parcel_change_rows(struct store_fixture *fixture, const char *sql);

/* The second of a mailbox's pages. */
#define CUT_SECOND_PAGE                                                                                                \
	"UPDATE page SET entries = substr(entries, 1, 300) WHERE key = (SELECT min(key) + 1 FROM page WHERE key >> 32 = "  \
	"(SELECT run.number FROM run JOIN mailbox ON mailbox.number = run.mailbox WHERE name = 'INBOX'))"

#endif
