/* test_text.h: a store with one account whose messages are searched, for tests of search text. */
#ifndef MAIL_TEST_TEXT_H
#define MAIL_TEST_TEXT_H

#include "mail/text_search.h"
#include "store/test_store.h"

#define MESSAGE_MAX (4 << 20)

struct text_test {
	struct store_fixture fixture;
	struct account *account;
	struct mailbox *inbox;
	struct charsets *charsets;
	struct search_text *maker;
	struct mail_reader *reader;
	unsigned fetches; /* answers of "it is not there yet" to come */
	uint64_t first_asked, last_asked; /* offsets; 0: none */
	uint64_t most_asked_at, most_asked; /* the largest range */
	unsigned steps;   /* of the last search */
};

/* cmocka's set-up and tear-down: *state is the test. */
int text_set_up(void **state);
int text_tear_down(void **state);
void text_open_account(struct text_test *t);
void text_close_account(struct text_test *t);

/* Into INBOX. Returns the uid. */
uint32_t text_add(struct text_test *t, struct str message);
/* So many small ones: "body 1 of many, word1x", and so on; settled. */
void text_add_many(struct text_test *t, unsigned n);
void text_settle(struct text_test *t);
/* The text of a message, added to the columns. */
void text_of(struct text_test *t, uint32_t uid, struct text_block *block);

struct text_search_world text_world(struct text_test *t);
/* All messages of INBOX, by number; to be freed. */
struct text_candidate *text_candidates_of(struct text_test *t, size_t *n);
/* A search that is freed when it is done, or after `most` steps. True: it was done. */
bool text_search_some(struct text_test *t, const struct text_query *queries, size_t n_queries,
                      struct text_candidate *candidates, size_t n, unsigned most);
/* Uids of messages of which the query says so; its bit and its finder, where it has no field, are made here. */
struct set text_search_query(struct text_test *t, struct text_query query, struct str needle);
/* Uids of messages that have the (folded) text. */
struct set text_search_for(struct text_test *t, enum text_kind kind, uint32_t column, struct str needle);
void text_expect_set(struct set *found, const char *what, const char *uids);
/* In bodies. */
void text_expect_found(struct text_test *t, const char *needle, const char *uids);

/* A file of the account in text/; negative: it is not there. */
int text_open_file(struct text_test *t, const char *suffix, int flags);
/* Its bytes, and those of them that are no holes; 0: it is not there. */
uint64_t text_file_size(struct text_test *t, const char *suffix);
uint64_t text_file_held(struct text_test *t, const char *suffix);
/* Writes over what is there; NULL: cuts off there. */
void text_damage(struct text_test *t, const char *suffix, uint64_t at, const char *bytes);

uint32_t text_random(uint32_t *seed);

#endif
