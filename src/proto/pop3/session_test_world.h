/* session_test_world.h: a POP3 session on a real store in a temporary folder, for the tests of the session engine; what
 * it says is drained into text. */
#ifndef PROTO_POP3_SESSION_TEST_WORLD_H
#define PROTO_POP3_SESSION_TEST_WORLD_H

#include "mail/mail.h"
#include "proto/pop3/session.h"
#include "store/test_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OUTPUT_PAUSE 2048
/* More entries than are read at a time. */
#define MANY 20000

#define BYE_REMOVED "+OK Good-bye, deleted messages are removed.\r\n"

#define FIRST "Subject: one\r\n\r\nHello\r\nworld\r\n"
#define SECOND "Subject: two\r\n\r\n.dot\r\n..\r\nno end"
#define THIRD "Subject: three\r\n\r\nbody"
#define WIDE "Subject: Gr\xc3\xbc\xc3\x9f" "e\r\n\r\nHello\r\n"

struct pop3_fixture {
	struct store_fixture world;
	struct account *account;
	struct mailbox *inbox;
	struct mail_reader *reader;
	struct pop3_session *session;
	struct pop3_settings settings;
	struct outq out;
	struct buf said;
	uint64_t on_the_way; /* bytes that have left and are not acknowledged */
	uint64_t clock;
	bool soon, on_output, on_writable;
	bool cold, fetching; /* each range is fetched before it may be read */
	uint64_t fetched_at;
	unsigned fetches;
	unsigned closed;
	bool utf8;
	struct pop3_policy policy;
};

/* What waits is said. */
void test_drain(struct pop3_fixture *f);
/* Says it and goes on with what waits, as the shard does, for the store too. */
void test_say(struct pop3_fixture *f, struct str text);
void test_assert_says(struct pop3_fixture *f, const char *text, const char *wanted);
void test_log_in(struct pop3_fixture *f, const char *wanted);
void test_log_out(struct pop3_fixture *f);

void test_append(struct pop3_fixture *f, struct str bytes);
void test_append_three(struct pop3_fixture *f);
void test_expunge(struct pop3_fixture *f, uint32_t uid);

int test_set_up(void **state);
int test_tear_down(void **state);

#endif
