/* session_test_world.c: see session_test_world.h. Everything is freed at the test's end; a failed assertion ends the
 * test. */
#include "proto/imap/session_test_world.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

/* --- the store --- */

static const struct account_id account_id = { { 1, 2, 3 } };

static bool disk_is_full;

/* In place of the C library's. */
int fstatvfs(int fd, struct statvfs *out)
{
	(void)fd;
	*out = (struct statvfs){ .f_frsize = 4096, .f_bavail = disk_is_full ? 0 : 1 << 30 };
	return 0;
}

void test_store_begin(struct test_store *w)
{
	const struct mime_limits mime = MIME_LIMITS_DEFAULT;
	*w = (struct test_store){ 0 };
	disk_is_full = false;
	fixture_begin(&w->fixture);
	w->fixture.no_syncs = true; /* nobody cuts the power of a test */
	w->fixture.settings.segment_size = 64 << 20;
	w->fixture.settings.checkpoint_size = 4 << 20;
	w->fixture.settings.reserve = 1 << 20;
	fixture_open(&w->fixture);
	w->settings = (struct imap_settings){
		.limits = IMAP_LIMITS_DEFAULT,
		.mail = { mail_reader_new(&mime), 1 << 20, 64 },
		.charsets = charsets_open(),
		.max_bad_commands = 20,
		.max_mailboxes = 1000,
		.max_mailbox_depth = 20,
		.max_mailbox_name = 1000,
		.max_keyword_length = 100,
		.output_pause = 65536,
		.spool_threshold = 65536,
		.spool_directory = str_from_c(w->fixture.directory),
	};
	assert_int_equal(account_create(w->fixture.store, &account_id), 0);
	test_turn(w, NULL);
	assert_int_equal(account_open(w->fixture.store, &account_id, &w->account), 0);
}

void test_store_reopen(struct test_store *w)
{
	test_turn(w, NULL);
	account_close(&w->account);
	fixture_reopen(&w->fixture);
	assert_int_equal(account_open(w->fixture.store, &account_id, &w->account), 0);
}

void test_store_fill_disk(void)
{
	disk_is_full = true;
}

void test_store_destroy_account(struct test_store *w)
{
	uint64_t messages, bytes;
	assert_int_equal(account_destroy(w->fixture.store, &account_id, &messages, &bytes), 0);
	test_turn(w, NULL);
}

void test_store_end(struct test_store *w)
{
	w->hold_syncs = false;
	test_turn(w, NULL);
	account_close(&w->account);
	assert_int_equal(w->fixture.failed, 0);
	fixture_end(&w->fixture);
	mail_reader_free(&w->settings.mail.reader);
	charsets_free(&w->settings.charsets);
}

int test_store_set_up(void **state)
{
	static struct test_store w;
	test_store_begin(&w);
	*state = &w;
	return 0;
}

int test_store_tear_down(void **state)
{
	test_store_end(*state);
	return 0;
}

/* --- the session's world --- */

static struct outq *output(void *owner)
{
	return &((struct test_client *)owner)->out;
}

static void want_resume(void *owner, enum session_resume reason)
{
	((struct test_client *)owner)->wishes |= 1u << reason;
}

static void flush(void *owner)
{
	((struct test_client *)owner)->flushes++;
}

static uint64_t microseconds(void *owner)
{
	struct test_client *c = owner;
	return c->clock += c->clock_step;
}

static void close_session(void *owner)
{
	((struct test_client *)owner)->closed = true;
}

static bool fetch(void *owner, int fd, uint64_t offset, uint64_t n)
{
	struct test_client *c = owner;
	if (!c->cold || c->unfetchable || (offset >= c->fetched_at && offset + n <= c->fetched_to))
		return false;
	c->fetches++;
	c->fetched_at = offset;
	c->fetched_to = offset + n;
	want_resume(c, SESSION_RESUME_SOON);
	return true;
}

static bool read_at_once(void *owner, int fd, uint64_t offset, char *to, size_t n)
{
	struct test_client *c = owner;
	if (c->cold && (offset < c->fetched_at || offset + n > c->fetched_to))
		return false;
	return pread(fd, to, n, (off_t)offset) == (ssize_t)n;
}

static const struct session_world imap_world = {
	.output = output,
	.want_resume = want_resume,
	.flush = flush,
	.microseconds = microseconds,
	.close = close_session,
	.fetch = fetch,
	.read = read_at_once,
};

static void drain(struct test_client *c)
{
	struct outq_piece piece;
	while (!c->slow && outq_peek(&c->out, &piece)) {
		if (piece.file_fd < 0) {
			buf_add(&c->text, piece.bytes);
			outq_consume(&c->out, piece.bytes.n);
			continue;
		}
		char *room = buf_reserve(&c->text, piece.n);
		assert_non_null(room);
		assert_int_equal(pread(piece.file_fd, room, piece.n, (off_t)piece.offset), piece.n);
		buf_commit(&c->text, piece.n);
		outq_consume(&c->out, piece.n);
	}
}

/* Fulfils the wishes that can come true; false when there were none. */
static bool fulfil(struct test_client *c)
{
	unsigned ready = c->wishes & 1u << SESSION_RESUME_SOON;
	if (c->out.total < c->world->settings.output_pause / 2)
		ready |= c->wishes & 1u << SESSION_RESUME_OUTPUT;
	if (store_writable(c->world->fixture.store))
		ready |= c->wishes & 1u << SESSION_RESUME_WRITABLE;
	if (store_place_is_free(c->world->fixture.store))
		ready |= c->wishes & 1u << SESSION_RESUME_PLACE;
	if (account_batch(c->world->account) <= store_durable(c->world->fixture.store))
		ready |= c->wishes & 1u << SESSION_RESUME_DURABLE;
	if (!ready || c->closed)
		return false;
	c->wishes &= ~ready;
	c->resumes++;
	imap_session_resume(c->session);
	drain(c);
	return true;
}

void test_turn(struct test_store *w, struct test_client *c)
{
	bool busy = true;
	while (busy) {
		busy = c && fulfil(c);
		store_turn(w->fixture.store);
		if (!w->hold_syncs && fixture_sync(&w->fixture, 0))
			busy = true;
	}
}

void test_client_begin(struct test_client *c, struct test_store *w, uint64_t id)
{
	*c = (struct test_client){ .world = w, .out = OUTQ_INIT(4 << 20), .text = BUF_INIT(256 << 20), .clock_step = 1 };
	c->session = imap_session_new(&imap_world, c, &w->settings, w->account, id, STR("login"));
	drain(c);
	test_expect_part(c, "login OK [CAPABILITY IMAP4rev1 ");
}

void test_client_end(struct test_client *c)
{
	imap_session_free(&c->session);
	outq_free(&c->out);
	buf_free(&c->text);
}

void test_say_bytes(struct test_client *c, struct str bytes)
{
	buf_clear(&c->text);
	for (int idle = 0; idle < 3; idle++) {
		size_t taken = imap_session_input(c->session, bytes);
		drain(c);
		if (taken)
			idle = 0;
		bytes = str_from(bytes, taken);
		test_turn(c->world, c);
		if (!bytes.n)
			break;
	}
}

void test_say(struct test_client *c, const char *text)
{
	test_say_bytes(c, str_from_c(text));
}

void test_expect(struct test_client *c, const char *text)
{
	if (!str_eq(buf_str(&c->text), str_from_c(text)))
		fail_msg("got\n%.*sexpected\n%s", STR_ARG(buf_str(&c->text)), text);
}

void test_expect_part(struct test_client *c, const char *part)
{
	if (str_find(buf_str(&c->text), str_from_c(part)) < 0)
		fail_msg("got\n%.*swithout\n%s", STR_ARG(buf_str(&c->text)), part);
}

void test_expect_none(struct test_client *c, const char *part)
{
	if (str_find(buf_str(&c->text), str_from_c(part)) >= 0)
		fail_msg("got\n%.*swith\n%s", STR_ARG(buf_str(&c->text)), part);
}

void test_append(struct test_client *c, const char *mailbox, const char *name, unsigned count)
{
	struct buf command = BUF_INIT(4096);
	for (unsigned i = 1; i <= count; i++) {
		struct buf message = BUF_INIT(2048);
		buf_addf(&message,
		         "From: Alice <alice@example.test>\r\nTo: bob@example.test\r\nSubject: %s %u\r\n"
		         "Date: Tue, 1 Jul 2003 10:52:37 +0200\r\nMessage-ID: <%u@example.test>\r\n\r\nThis is %s %u.\r\n",
		         name, i, i, name, i);
		buf_clear(&command);
		buf_addf(&command, "app APPEND %s {%zu+}\r\n%.*s\r\n", mailbox, message.n, STR_ARG(buf_str(&message)));
		test_say_bytes(c, buf_str(&command));
		test_expect_part(c, "app OK [APPENDUID ");
		buf_free(&message);
	}
	buf_free(&command);
}
