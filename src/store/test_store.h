/* test_store.h: a store in a temporary folder, for tests of this room and of those that use it. Syncs are done at
 * once, by fixture_settle, or one by one. A test opens one, writes, settles, and ends it; nothing stays behind. */
#ifndef STORE_TEST_STORE_H
#define STORE_TEST_STORE_H

#include "store/store_open.h"

/* SQL that takes an index.db back from a version to the one before: from 5, from 4. */
#define UNDO_STEP_5 "ALTER TABLE account DROP COLUMN renaming;"
#define UNDO_STEP_4 "DROP TABLE pop3_hidden; DROP TABLE pop3_due; DROP TABLE pop3_uidl;"

struct store_fixture {
	char directory[64];
	struct store_settings settings; /* change before fixture_open or fixture_reopen */
	struct store *store;
	int sync_fd;                    /* that the gate waits for; -1: none */
	bool sync_is_folder;
	uint64_t durable, voids, writables;
	int failed;                     /* error of store_world.failed */
	bool no_syncs;                  /* answers without fdatasync: for measuring */
};

/* Settings that make the rare things happen: small segments, a short WAL. Makes the folder. */
void fixture_begin(struct store_fixture *fixture);
/* Opens the store; the test ends when that fails. */
void fixture_open(struct store_fixture *fixture);
/* The same for a store that may be damaged: what store_open says. */
int fixture_try_open(struct store_fixture *fixture) MUST_CHECK;
/* Seals and syncs until all that was written is durable. */
void fixture_settle(struct store_fixture *fixture);
/* Background work, each slice settled, until there is none. */
void fixture_work(struct store_fixture *fixture);
/* One number from index.db as the store sees it now. */
int64_t fixture_ask(struct store_fixture *fixture, const char *sql);
/* Completes the sync that is in flight with this result; false when there is none. */
bool fixture_sync(struct store_fixture *fixture, int result);
/* Settles, closes and opens again. */
void fixture_reopen(struct store_fixture *fixture);
/* Closes it and removes the folder. */
void fixture_end(struct store_fixture *fixture);

/* Copies the folder as it is now into a new temporary one, whose name is written to `to` (64 bytes): what a crash of
 * the process would leave. */
void fixture_copy_folder(const struct store_fixture *fixture, char *to);

/* Made from a number, so that tests need not care. */
struct account_id fixture_account_id(uint32_t number);
/* Makes the account (if missing) and holds it: account_close in the end. */
struct account *fixture_account(struct store_fixture *fixture, uint32_t number);
/* Adds a small message whose bytes are "message <n>\r\n"; returns its uid. */
uint32_t fixture_add(struct mailbox *mailbox, uint32_t n, uint8_t flags, const struct keyword_bits *keywords);

/* What most tests begin with, as cmocka's set-up and tear-down: a store with one account, held, and two of its
 * mailboxes. clock_shift and clock_hold are taken back in the end. */
struct store_test {
	struct store_fixture fixture;
	struct account *account; /* number 1 */
	struct mailbox *inbox, *archive;
};
int store_test_set_up(void **state);
int store_test_tear_down(void **state);
/* Settles, closes and opens the store again, and finds the account there. */
void store_test_reopen(struct store_test *test);
/* The account and its mailboxes in a store that the test has opened. */
void store_test_open_account(struct store_test *test);

#endif
