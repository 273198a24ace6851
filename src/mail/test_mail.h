/* test_mail.h: what tests of the way in begin with: a store with one account, its INBOX open, and a reader. */
#ifndef MAIL_TEST_MAIL_H
#define MAIL_TEST_MAIL_H

#include "mail/mail.h"
#include "store/test_store.h"

struct mail_test {
	struct store_fixture fixture;
	struct account *account; /* number 1 */
	struct mailbox *inbox;
	struct mail_settings settings;
};

/* message_max: bytes; segment_size: bytes, 0 for the fixture's own. 0, as cmocka's set-up and tear-down want it. */
int mail_test_begin(struct mail_test *test, size_t message_max, uint64_t segment_size);
int mail_test_end(struct mail_test *test);

/* The folder of MANSIO_CORPORA, or ../shared/corpora beside the project; where there is none, the test is skipped and
 * says so. */
const char *mail_test_corpora(void);

#endif
