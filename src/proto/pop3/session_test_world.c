/* session_test_world.c: see session_test_world.h. */
#include "proto/pop3/session_test_world.h"

#include "base/checked.h"
#include "base/mem.h"

#include <unistd.h>

/* --- the session's world --- */

static struct outq *output(void *owner)
{
	return &((struct pop3_fixture *)owner)->out;
}

static void want_resume(void *owner, enum session_resume reason)
{
	struct pop3_fixture *f = owner;
	f->soon |= reason == SESSION_RESUME_SOON;
	f->on_output |= reason == SESSION_RESUME_OUTPUT || reason == SESSION_RESUME_RECEIVED;
	f->on_writable |= reason == SESSION_RESUME_WRITABLE || reason == SESSION_RESUME_DURABLE;
}

static uint64_t received(void *owner)
{
	struct pop3_fixture *f = owner;
	return f->out.sent - MIN(f->out.sent, f->on_the_way);
}

static void flush(void *owner)
{
	(void)owner;
}

static uint64_t microseconds(void *owner)
{
	return ((struct pop3_fixture *)owner)->clock += 100;
}

static void close_connection(void *owner)
{
	((struct pop3_fixture *)owner)->closed++;
}

static bool fetch(void *owner, int fd, uint64_t offset, uint64_t n)
{
	struct pop3_fixture *f = owner;
	assert_true(fd >= 0 && n > 0);
	bool again = f->fetches > 0 && f->fetched_at == offset;
	if (!f->cold || (again && !f->fetching))
		return false;
	f->fetches += !again;
	f->fetched_at = offset;
	f->fetching = true;
	return true;
}

static const struct session_world world = {
	.output = output,
	.want_resume = want_resume,
	.flush = flush,
	.received = received,
	.microseconds = microseconds,
	.close = close_connection,
	.fetch = fetch,
};

void test_drain(struct pop3_fixture *f)
{
	struct outq_piece piece;
	while (outq_peek(&f->out, &piece)) {
		if (piece.file_fd < 0) {
			buf_add(&f->said, piece.bytes);
			outq_consume(&f->out, piece.bytes.n);
			continue;
		}
		char *room = buf_reserve(&f->said, (size_t)piece.n);
		assert_int_equal(pread(piece.file_fd, room, (size_t)piece.n, (off_t)piece.offset), piece.n);
		buf_commit(&f->said, (size_t)piece.n);
		outq_consume(&f->out, piece.n);
	}
}

void test_say(struct pop3_fixture *f, struct str text)
{
	buf_clear(&f->said);
	while (text.n || f->soon || f->on_output || f->on_writable || f->fetching) {
		size_t taken = pop3_session_input(f->session, text);
		text = str_from(text, taken);
		test_drain(f);
		if (f->on_writable)
			fixture_settle(&f->world);
		bool wanted = f->soon || f->on_output || f->on_writable || f->fetching;
		f->soon = f->on_output = f->on_writable = f->fetching = false;
		if (wanted)
			pop3_session_resume(f->session);
		test_drain(f);
	}
	buf_add_byte(&f->said, '\0');
}

void test_assert_says(struct pop3_fixture *f, const char *text, const char *wanted)
{
	test_say(f, str_from_c(text));
	assert_string_equal(f->said.p, wanted);
}

void test_log_in(struct pop3_fixture *f, const char *wanted)
{
	f->session = pop3_session_new(&world, f, &f->settings, f->account, &f->policy, f->utf8, 1);
	buf_clear(&f->said);
	test_drain(f);
	buf_add_byte(&f->said, '\0');
	assert_string_equal(f->said.p, wanted);
}

void test_log_out(struct pop3_fixture *f)
{
	pop3_session_free(&f->session);
	f->soon = f->on_output = f->on_writable = false;
	f->closed = 0;
	fixture_settle(&f->world);
}

/* --- the mailbox --- */

void test_append(struct pop3_fixture *f, struct str bytes)
{
	struct mail_settings mail = { .reader = f->reader, .max_message_size = 10000000, .max_keywords = 64 };
	struct mail_source source = { .bytes = bytes, .fd = -1 };
	struct mail_facts facts = { .internal_date = 1700000000 };
	uint32_t uid;
	fixture_settle(&f->world);
	assert_int_equal(mail_append(f->inbox, &mail, &source, &facts, &uid), 0);
}

void test_expunge(struct pop3_fixture *f, uint32_t uid)
{
	struct set uids = SET_INIT, expunged = SET_INIT;
	set_add(&uids, uid, uid);
	fixture_settle(&f->world);
	assert_int_equal(mailbox_expunge(f->inbox, &uids, false, &expunged), 0);
	assert_int_equal(set_count(&expunged), 1);
	set_free(&uids);
	set_free(&expunged);
}

void test_append_three(struct pop3_fixture *f)
{
	test_append(f, STR(FIRST));
	test_append(f, STR(SECOND));
	test_append(f, STR(THIRD));
}

int test_set_up(void **state)
{
	static const struct account_id id = { { 7 } };
	struct pop3_fixture *f = mem_alloc(1, sizeof *f);
	fixture_begin(&f->world);
	f->world.no_syncs = true;
	fixture_open(&f->world);
	f->policy = POP3_POLICY_DEFAULT;
	f->settings = (struct pop3_settings){ .max_line = 255, .max_bad_commands = 3, .output_pause = OUTPUT_PAUSE };
	f->reader = mail_reader_new(&MIME_LIMITS_DEFAULT);
	f->out = OUTQ_INIT(1 << 20);
	f->said = BUF_INIT(16 << 20);
	assert_int_equal(account_create(f->world.store, &id), 0);
	fixture_settle(&f->world);
	assert_int_equal(account_open(f->world.store, &id, &f->account), 0);
	f->inbox = account_mailbox(f->account, STR("INBOX"));
	*state = f;
	return 0;
}

int test_tear_down(void **state)
{
	struct pop3_fixture *f = *state;
	test_log_out(f);
	account_close(&f->account);
	assert_int_equal(f->world.failed, 0);
	assert_int_equal(f->world.voids, 0);
	fixture_end(&f->world);
	mail_reader_free(&f->reader);
	outq_free(&f->out);
	buf_free(&f->said);
	mem_free(f);
	return 0;
}
