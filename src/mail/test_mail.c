/* test_mail.c: see test_mail.h. */
#include "mail/test_mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

int mail_test_begin(struct mail_test *test, size_t message_max, uint64_t segment_size)
{
	const struct mime_limits limits = MIME_LIMITS_DEFAULT;
	*test = (struct mail_test){ .settings = { mail_reader_new(&limits), message_max, 3 } };
	fixture_begin(&test->fixture);
	if (segment_size > 0)
		test->fixture.settings.segment_size = segment_size;
	fixture_open(&test->fixture);
	test->account = fixture_account(&test->fixture, 1);
	test->inbox = account_mailbox(test->account, STR("INBOX"));
	return mailbox_open(test->inbox);
}

int mail_test_end(struct mail_test *test)
{
	mailbox_close(test->inbox);
	account_close(&test->account);
	mail_reader_free(&test->settings.reader);
	fixture_end(&test->fixture);
	return 0;
}

const char *mail_test_corpora(void)
{
	const char *folder = getenv("MANSIO_CORPORA");
	if (!folder)
		folder = MANSIO_SOURCE_ROOT "/../shared/corpora";
	if (access(folder, R_OK) < 0) {
		print_message("no corpora at %s: skipped\n", folder);
		skip();
	}
	return folder;
}
