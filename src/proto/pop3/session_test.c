/* POP3 after login, on a real store in a temporary folder: what the client sees, what others do meanwhile, and that
 * only QUIT removes. */
#include "proto/pop3/session.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "mail/mail.h"
#include "store/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_PAUSE 2048

#define CAPABILITIES                                                                                                   \
	"+OK Capabilities follow.\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n"                        \
	"EXPIRE NEVER\r\nLANG\r\n"
#define LAST_CAPABILITY "IMPLEMENTATION Mansio\r\n.\r\n"

struct fixture {
	struct store_fixture world;
	struct account *account;
	struct mailbox *inbox;
	struct mail_reader *reader;
	struct pop3_session *session;
	struct pop3_settings settings;
	struct outq out;
	struct buf said;
	uint64_t clock;
	bool soon, on_output, on_writable;
	bool cold, fetching; /* each range is fetched before it may be read */
	uint64_t fetched_at;
	unsigned fetches;
	unsigned closed;
	bool utf8;
	struct pop3_policy policy;
};

/* --- the session's world --- */

static struct outq *output(void *owner)
{
	return &((struct fixture *)owner)->out;
}

static void want_resume(void *owner, enum session_resume reason)
{
	struct fixture *f = owner;
	f->soon |= reason == SESSION_RESUME_SOON;
	f->on_output |= reason == SESSION_RESUME_OUTPUT;
	f->on_writable |= reason == SESSION_RESUME_WRITABLE || reason == SESSION_RESUME_DURABLE;
}

static void flush(void *owner)
{
	(void)owner;
}

static uint64_t microseconds(void *owner)
{
	return ((struct fixture *)owner)->clock += 100;
}

static void close_connection(void *owner)
{
	((struct fixture *)owner)->closed++;
}

static bool fetch(void *owner, int fd, uint64_t offset, uint64_t n)
{
	struct fixture *f = owner;
	assert_true(fd >= 0 && n > 0);
	bool again = f->fetches > 0 && f->fetched_at == offset;
	if (!f->cold || (again && !f->fetching))
		return false;
	f->fetches += !again;
	f->fetched_at = offset;
	f->fetching = true;
	return true;
}

static const struct session_world world = { output, want_resume, flush, microseconds, close_connection, fetch };

static void drain(struct fixture *f)
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

/* Says it and goes on with what waits, as the shard does (for the store too, unless `gate` is to stay as it is). */
static void say(struct fixture *f, struct str text)
{
	buf_clear(&f->said);
	while (text.n || f->soon || f->on_output || f->on_writable || f->fetching) {
		size_t taken = pop3_session_input(f->session, text);
		text = str_from(text, taken);
		drain(f);
		if (f->on_writable)
			fixture_settle(&f->world);
		bool wanted = f->soon || f->on_output || f->on_writable || f->fetching;
		f->soon = f->on_output = f->on_writable = f->fetching = false;
		if (wanted)
			pop3_session_resume(f->session);
		drain(f);
	}
	buf_add_byte(&f->said, '\0');
}

static void assert_says(struct fixture *f, const char *text, const char *wanted)
{
	say(f, str_from_c(text));
	assert_string_equal(f->said.p, wanted);
}

static void log_in(struct fixture *f, const char *wanted)
{
	f->session = pop3_session_new(&world, f, &f->settings, f->account, &f->policy, f->utf8, 1);
	buf_clear(&f->said);
	drain(f);
	buf_add_byte(&f->said, '\0');
	assert_string_equal(f->said.p, wanted);
}

static void log_out(struct fixture *f)
{
	pop3_session_free(&f->session);
	f->soon = f->on_output = f->on_writable = false;
	f->closed = 0;
	fixture_settle(&f->world);
}

/* --- the mailbox --- */

static void append(struct fixture *f, struct str bytes)
{
	struct mail_settings mail = { .reader = f->reader, .max_message_size = 10000000, .max_keywords = 64 };
	struct mail_source source = { .bytes = bytes, .fd = -1 };
	struct mail_facts facts = { .internal_date = 1700000000 };
	uint32_t uid;
	fixture_settle(&f->world);
	assert_int_equal(mail_append(f->inbox, &mail, &source, &facts, &uid), 0);
}

static void expunge(struct fixture *f, uint32_t uid)
{
	struct set uids = SET_INIT, expunged = SET_INIT;
	set_add(&uids, uid, uid);
	fixture_settle(&f->world);
	assert_int_equal(mailbox_expunge(f->inbox, &uids, false, &expunged), 0);
	assert_int_equal(set_count(&expunged), 1);
	set_free(&uids);
	set_free(&expunged);
}

#define FIRST "Subject: one\r\n\r\nHello\r\nworld\r\n"
#define SECOND "Subject: two\r\n\r\n.dot\r\n..\r\nno end"
#define THIRD "Subject: three\r\n\r\nbody"

static void append_three(struct fixture *f)
{
	append(f, STR(FIRST));
	append(f, STR(SECOND));
	append(f, STR(THIRD));
}

static int set_up(void **state)
{
	static const struct account_id id = { { 7 } };
	struct fixture *f = mem_alloc(1, sizeof *f);
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

static int tear_down(void **state)
{
	struct fixture *f = *state;
	log_out(f);
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

/* --- tests --- */

static void an_empty_mailbox_is_a_mailbox(void **state)
{
	struct fixture *f = *state;
	log_in(f, "+OK Logged in, 0 messages.\r\n");
	assert_says(f, "STAT\r\n", "+OK 0 0\r\n");
	assert_says(f, "LIST\r\n", "+OK 0 messages (0 octets)\r\n.\r\n");
	assert_says(f, "UIDL\r\n", "+OK Unique ids follow.\r\n.\r\n");
	assert_says(f, "RETR 1\r\n", "-ERR There is no such message.\r\n");
	assert_says(f, "QUIT\r\n", "+OK Good-bye.\r\n");
	assert_int_equal(f->closed, 1);
}

static void messages_come_back_byte_for_byte(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	log_in(f, "+OK Logged in, 3 messages.\r\n");
	assert_says(f, "STAT\r\n", "+OK 3 88\r\n");
	assert_says(f, "LIST\r\n", "+OK 3 messages (88 octets)\r\n1 30\r\n2 34\r\n3 24\r\n.\r\n");
	assert_says(f, "LIST 2\r\n", "+OK 2 34\r\n");
	assert_says(f, "RETR 1\r\n", "+OK 30 octets follow.\r\n" FIRST ".\r\n");
	assert_says(f, "RETR 2\r\n", "+OK 34 octets follow.\r\nSubject: two\r\n\r\n..dot\r\n...\r\nno end\r\n.\r\n");
	assert_says(f, "RETR 3\r\n", "+OK 24 octets follow.\r\n" THIRD "\r\n.\r\n");
	assert_says(f, "NOOP\r\n", "+OK Still here.\r\n");
}

static void top_gives_header_and_lines(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	log_in(f, "+OK Logged in, 3 messages.\r\n");
	assert_says(f, "TOP 1 0\r\n", "+OK The top of 30 octets follows.\r\nSubject: one\r\n\r\n.\r\n");
	assert_says(f, "TOP 1 1\r\n", "+OK The top of 30 octets follows.\r\nSubject: one\r\n\r\nHello\r\n.\r\n");
	assert_says(f, "TOP 2 0\r\n", "+OK The top of 34 octets follows.\r\nSubject: two\r\n\r\n.\r\n");
	assert_says(f, "TOP 2 1\r\n", "+OK The top of 34 octets follows.\r\nSubject: two\r\n\r\n..dot\r\n.\r\n");
	assert_says(f, "TOP 2 3\r\n",
	            "+OK The top of 34 octets follows.\r\nSubject: two\r\n\r\n..dot\r\n...\r\nno end\r\n.\r\n");
	assert_says(f, "TOP 3 999999999999999999999\r\n", "+OK The top of 24 octets follows.\r\n" THIRD "\r\n.\r\n");
	assert_says(f, "TOP 4 1\r\n", "-ERR There is no such message.\r\n");
}

#define WIDE "Subject: Gr\xc3\xbc\xc3\x9f" "e\r\n\r\nHello\r\n"

static void a_header_in_utf8_needs_utf8_mode_where_that_is_offered(void **state)
{
	struct fixture *f = *state;
	append(f, STR(WIDE));
	append(f, STR("Subject: ASCII\r\n\r\nGr\xc3\xbc\xc3\x9f" "e\r\n"));
	log_in(f, "+OK Logged in, 2 messages.\r\n");
	assert_says(f, "RETR 1\r\n", "+OK 27 octets follow.\r\n" WIDE ".\r\n");
	log_out(f);
	f->settings.utf8 = true;
	log_in(f, "+OK Logged in, 2 messages.\r\n");
	assert_says(f, "RETR 1\r\nTOP 1 0\r\n", "-ERR [UTF8] The header of that message needs UTF-8 mode.\r\n"
	                                          "-ERR [UTF8] The header of that message needs UTF-8 mode.\r\n");
	assert_says(f, "LIST 1\r\n", "+OK 1 27\r\n");
	assert_says(f, "TOP 2 0\r\n", "+OK The top of 27 octets follows.\r\nSubject: ASCII\r\n\r\n.\r\n");
	assert_says(f, "UTF8\r\n", "-ERR You are logged in already.\r\n");
	log_out(f);
	f->utf8 = true;
	log_in(f, "+OK Logged in, 2 messages.\r\n");
	assert_says(f, "RETR 1\r\n", "+OK 27 octets follow.\r\n" WIDE ".\r\n");
}

static void bare_line_ends_cannot_end_a_response(void **state)
{
	struct fixture *f = *state;
	append(f, STR("Subject: bare\r\n\r\na\n.\r\nb\n"));
	log_in(f, "+OK Logged in, 1 messages.\r\n");
	assert_says(f, "RETR 1\r\n", "+OK 26 octets follow.\r\nSubject: bare\r\n\r\na\n..\r\nb\n\r\n.\r\n");
}

static void only_quit_removes(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	log_in(f, "+OK Logged in, 3 messages.\r\n");
	assert_says(f, "DELE 2\r\nDELE 2\r\nRETR 2\r\nSTAT\r\n",
	            "+OK Marked as deleted.\r\n-ERR That message is marked as deleted.\r\n"
	            "-ERR That message is marked as deleted.\r\n+OK 2 54\r\n");
	assert_says(f, "LIST\r\n", "+OK 2 messages (54 octets)\r\n1 30\r\n3 24\r\n.\r\n");
	log_out(f); /* the client vanished */
	log_in(f, "+OK Logged in, 3 messages.\r\n");
	assert_says(f, "DELE 1\r\nRSET\r\nDELE 3\r\n",
	            "+OK Marked as deleted.\r\n+OK Nothing is marked as deleted.\r\n+OK Marked as deleted.\r\n");
	assert_says(f, "QUIT\r\n", "+OK Good-bye, deleted messages are removed.\r\n");
	assert_int_equal(f->closed, 1);
	log_out(f);
	log_in(f, "+OK Logged in, 2 messages.\r\n");
	assert_says(f, "LIST\r\n", "+OK 2 messages (64 octets)\r\n1 30\r\n2 34\r\n.\r\n");
}

static void quit_waits_for_the_store(void **state)
{
	struct fixture *f = *state;
	append(f, STR(FIRST));
	fixture_settle(&f->world);
	log_in(f, "+OK Logged in, 1 messages.\r\n");
	append(f, STR(SECOND));
	store_turn(f->world.store); /* sealed: the gate is closed until the sync returns */
	assert_false(store_writable(f->world.store));
	assert_int_equal(pop3_session_input(f->session, STR("DELE 1\r\nQUIT\r\nNOOP\r\n")), 14);
	assert_true(f->on_writable);
	assert_int_equal(f->closed, 0);
	assert_false(pop3_session_wants_input(f->session));
	fixture_settle(&f->world);
	pop3_session_resume(f->session);
	assert_int_equal(f->closed, 1);
	/* The +OK is in the queue, and the owner holds it back. */
	assert_true(account_batch(f->account) > store_durable(f->world.store));
}

static void quit_waits_until_what_it_removes_has_left(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	fixture_settle(&f->world);
	log_in(f, "+OK Logged in, 3 messages.\r\n");
	assert_int_equal(pop3_session_input(f->session, STR("RETR 1\r\nDELE 1\r\nQUIT\r\n")), 22);
	assert_true(f->on_output);
	assert_int_equal(f->closed, 0);
	assert_int_equal(account_batch(f->account), store_durable(f->world.store));
	drain(f);
	pop3_session_resume(f->session);
	assert_int_equal(f->closed, 1);
	drain(f);
	log_out(f);
	/* Answers that are no messages are not waited for. */
	log_in(f, "+OK Logged in, 2 messages.\r\n");
	assert_int_equal(pop3_session_input(f->session, STR("RETR 1\r\n")), 8);
	drain(f);
	assert_int_equal(pop3_session_input(f->session, STR("DELE 1\r\nQUIT\r\n")), 14);
	assert_int_equal(f->closed, 1);
}

static void others_may_remove_messages_meanwhile(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	log_in(f, "+OK Logged in, 3 messages.\r\n");
	expunge(f, 2);
	assert_says(f, "RETR 1\r\n", "+OK 30 octets follow.\r\n" FIRST ".\r\n");
	assert_says(f, "STAT\r\n", "+OK 3 88\r\n");
	assert_says(f, "LIST\r\n", "+OK 3 messages (88 octets)\r\n1 30\r\n2 34\r\n3 24\r\n.\r\n");
	expunge(f, 3);
	assert_says(f, "UIDL\r\n", "+OK Unique ids follow.\r\n1 0000000000000001\r\n2 0000000000000002\r\n"
	                           "3 0000000000000003\r\n.\r\n");
	assert_says(f, "LIST 2\r\nUIDL 3\r\n", "+OK 2 34\r\n+OK 3 0000000000000003\r\n");
	append(f, STR(FIRST)); /* new ones are not seen */
	assert_says(f, "RETR 4\r\n", "-ERR There is no such message.\r\n");
	assert_says(f, "STAT\r\n", "+OK 3 88\r\n");
	assert_says(f, "DELE 1\r\nDELE 3\r\nSTAT\r\n", "+OK Marked as deleted.\r\n+OK Marked as deleted.\r\n+OK 1 34\r\n");
	assert_says(f, "UIDL 3\r\nRSET\r\nSTAT\r\n", "-ERR That message is marked as deleted.\r\n"
	                                             "+OK Nothing is marked as deleted.\r\n+OK 3 88\r\n");
	assert_says(f, "DELE 1\r\nDELE 3\r\nQUIT\r\n", "+OK Marked as deleted.\r\n+OK Marked as deleted.\r\n"
	                                                "+OK Good-bye, deleted messages are removed.\r\n");
	log_out(f);
	log_in(f, "+OK Logged in, 1 messages.\r\n");
}

/* As some days later: the store has the bytes of removed messages no more. */
static void forget_removed(struct fixture *f)
{
	fixture_settle(&f->world);
	clock_shift(2 * 86400);
	while (store_idle_work(f->world.store))
		fixture_settle(&f->world);
	clock_shift(0);
}

static void removed_messages_are_sent_while_the_store_has_them(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	log_in(f, "+OK Logged in, 3 messages.\r\n");
	expunge(f, 1);
	expunge(f, 2);
	assert_says(f, "RETR 1\r\n", "+OK 30 octets follow.\r\n" FIRST ".\r\n");
	assert_says(f, "TOP 2 0\r\n", "+OK The top of 34 octets follows.\r\nSubject: two\r\n\r\n.\r\n");
	forget_removed(f);
	assert_says(f, "RETR 1\r\nTOP 2 0\r\n", "-ERR That message was removed meanwhile by another session.\r\n"
	                                        "-ERR That message was removed meanwhile by another session.\r\n");
	assert_says(f, "STAT\r\nLIST 1\r\n", "+OK 3 88\r\n+OK 1 30\r\n");
	assert_says(f, "RETR 3\r\n", "+OK 24 octets follow.\r\n" THIRD "\r\n.\r\n");
}

static void a_session_sees_what_was_there_whatever_happens_to_the_mailbox(void **state)
{
	struct fixture *f = *state;
	struct set all = SET_INIT, expunged = SET_INIT;
	char *listed;
	f->settings.output_pause = 1 << 20;
	for (uint32_t i = 0; i < 1000; i++)
		fixture_add(f->inbox, i, 0, NULL);
	log_in(f, "+OK Logged in, 1000 messages.\r\n");
	say(f, STR("STAT\r\nLIST\r\nUIDL\r\n"));
	listed = mem_copy(str_from_c(f->said.p));
	for (uint32_t i = 0; i < 300; i++) /* into the last page that the session has, and beyond */
		fixture_add(f->inbox, i, 0, NULL);
	expunge(f, 500);
	expunge(f, 999);
	expunge(f, 1001);
	set_add(&all, 1, 900); /* whole pages, and a part of one */
	set_remove(&all, 500, 500);
	fixture_settle(&f->world);
	assert_int_equal(mailbox_expunge(f->inbox, &all, false, &expunged), 0);
	assert_int_equal(set_count(&expunged), 899);
	assert_int_equal(mailbox_count(f->inbox), 1300 - 902);
	fixture_settle(&f->world);
	say(f, STR("STAT\r\nLIST\r\nUIDL\r\n"));
	assert_string_equal(f->said.p, listed);
	set_free(&all);
	set_free(&expunged);
	mem_free(listed);
	log_out(f);
	log_in(f, "+OK Logged in, 398 messages.\r\n");
}

static void unique_ids_stay_for_ever(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	log_in(f, "+OK Logged in, 3 messages.\r\n");
	say(f, STR("UIDL\r\n"));
	char first[200], wanted[100];
	snprintf(first, sizeof first, "%s", f->said.p);
	assert_int_equal(strlen(first), strlen("+OK Unique ids follow.\r\n.\r\n") + 3 * 20);
	const char *line = strstr(first, "\r\n3 ") + 2;
	snprintf(wanted, sizeof wanted, "+OK %.18s\r\n", line);
	assert_says(f, "UIDL 3\r\n", wanted);
	assert_says(f, "DELE 1\r\nQUIT\r\n", "+OK Marked as deleted.\r\n+OK Good-bye, deleted messages are removed.\r\n");
	log_out(f);
	log_in(f, "+OK Logged in, 2 messages.\r\n");
	snprintf(wanted, sizeof wanted, "+OK 2 %.16s\r\n", line + 2);
	assert_says(f, "UIDL 2\r\n", wanted);
	assert_says(f, "UIDL 3\r\n", "-ERR There is no such message.\r\n");
}

static void large_answers_pause_and_go_on(void **state)
{
	struct fixture *f = *state;
	struct buf message = BUF_INIT(1 << 20), wanted = BUF_INIT(1 << 21);
	buf_add(&message, STR("Subject: large\r\n\r\n"));
	for (int i = 0; i < 5000; i++)
		buf_addf(&message, "%s%d this is a line\r\n", i % 3 ? "" : ".", i);
	append(f, buf_str(&message));
	log_in(f, "+OK Logged in, 1 messages.\r\n");
	buf_addf(&wanted, "+OK %zu octets follow.\r\nSubject: large\r\n\r\n", message.n);
	for (int i = 0; i < 5000; i++)
		buf_addf(&wanted, "%s%d this is a line\r\n", i % 3 ? "" : "..", i);
	buf_add(&wanted, STR(".\r\n+OK Still here.\r\n"));
	/* The command behind it waits its turn. */
	assert_int_equal(pop3_session_input(f->session, STR("RETR 1\r\nNOOP\r\n")), 8);
	assert_true(f->on_output);
	assert_true(f->out.held < 4 * OUTPUT_PAUSE + 2 * 16384);
	f->on_output = false;
	buf_clear(&f->said);
	drain(f);
	while (!pop3_session_wants_input(f->session)) {
		pop3_session_resume(f->session);
		drain(f);
	}
	assert_int_equal(pop3_session_input(f->session, STR("NOOP\r\n")), 6);
	drain(f);
	assert_true(str_eq(buf_str(&f->said), buf_str(&wanted)));
	f->on_output = false;
	buf_free(&message);
	buf_free(&wanted);
}

static void long_lists_pause_and_go_on(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 400; i++)
		append(f, STR(FIRST));
	for (uint32_t uid = 3; uid <= 399; uid += 2)
		expunge(f, uid);
	log_in(f, "+OK Logged in, 201 messages.\r\n");
	say(f, STR("LIST\r\n"));
	assert_non_null(strstr(f->said.p, "+OK 201 messages (6030 octets)\r\n1 30\r\n2 30\r\n"));
	assert_non_null(strstr(f->said.p, "\r\n201 30\r\n.\r\n"));
	say(f, STR("UIDL\r\nSTAT\r\n"));
	assert_int_equal(f->said.p[0], '+');
	unsigned lines = 0;
	for (const char *p = f->said.p; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, 1 + 201 + 1 + 1);
	assert_non_null(strstr(f->said.p, "\r\n.\r\n+OK 201 6030\r\n"));
}

static void many_commands_at_once_are_run_in_slices(void **state)
{
	struct fixture *f = *state;
	struct buf text = BUF_INIT(1 << 16);
	f->settings.output_pause = 1 << 20;
	append_three(f);
	log_in(f, "+OK Logged in, 3 messages.\r\n");
	for (unsigned i = 0; i < 4000; i++)
		buf_add(&text, STR("STAT\r\n"));
	buf_add(&text, STR("NOOP\r\n"));
	uint64_t began = f->clock;
	size_t taken = pop3_session_input(f->session, buf_str(&text));
	assert_true(taken > 0 && f->clock - began < 5000);
	assert_true(f->soon && pop3_session_wants_input(f->session));
	say(f, str_from(buf_str(&text), taken));
	assert_true(str_ends(str_from_c(f->said.p), STR("+OK 3 88\r\n+OK Still here.\r\n")));
	/* What was taken as a whole waits for nothing. */
	assert_int_equal(pop3_session_input(f->session, STR("NOOP\r\n")), 6);
	assert_false(f->soon);
	buf_free(&text);
}

static void large_messages_and_lists_are_made_in_slices(void **state)
{
	struct fixture *f = *state;
	struct buf message = BUF_INIT(4 << 20);
	f->settings.output_pause = 1 << 20;
	buf_add(&message, STR("Subject: large\r\n\r\n"));
	while (message.n < 800000)
		buf_add(&message, STR(".\r\n"));
	append(f, buf_str(&message));
	fixture_settle(&f->world);
	for (uint32_t i = 1; i < 50000; i++)
		fixture_add(f->inbox, i, 0, NULL);
	fixture_settle(&f->world);
	log_in(f, "+OK Logged in, 50000 messages.\r\n");
	static const char *const commands[] = { "RETR 1\r\n", "LIST\r\n" };
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		uint64_t began = f->clock;
		assert_int_equal(pop3_session_input(f->session, str_from_c(commands[i])), strlen(commands[i]));
		assert_true(f->soon && !pop3_session_wants_input(f->session));
		assert_true(f->clock - began < 5000);
		say(f, STR(""));
		assert_true(str_ends(str_from_c(f->said.p), STR("\r\n.\r\n")));
	}
	buf_free(&message);
}

/* What a cold command answers is what it answers warm, after so many fetches. */
static void assert_fetches(struct fixture *f, const char *command, unsigned fetches)
{
	f->cold = false;
	say(f, str_from_c(command));
	char *wanted = mem_copy(str_from_c(f->said.p));
	f->cold = true;
	f->fetches = 0;
	say(f, str_from_c(command));
	assert_string_equal(f->said.p, wanted);
	assert_int_equal(f->fetches, fetches);
	mem_free(wanted);
}

static void cold_messages_are_fetched_before_they_are_read(void **state)
{
	struct fixture *f = *state;
	struct buf message = BUF_INIT(1 << 20);
	append_three(f);
	append(f, STR("Subject: bare\r\n\r\na\n.\r\nb\n"));
	append(f, STR(WIDE));
	buf_add(&message, STR("Subject: large\r\n\r\n"));
	while (message.n < 100000)
		buf_addf(&message, ".%zu this is a line\r\n", message.n);
	append(f, buf_str(&message));
	log_in(f, "+OK Logged in, 6 messages.\r\n");
	assert_fetches(f, "RETR 1\r\n", 0); /* the stream's */
	assert_fetches(f, "TOP 1 0\r\n", 0);
	assert_fetches(f, "TOP 1 1\r\n", 1);
	assert_fetches(f, "RETR 2\r\n", 1);
	assert_fetches(f, "RETR 4\r\n", 1);
	assert_fetches(f, "TOP 6 1\r\n", 1);
	log_out(f);
	f->settings.utf8 = true;
	f->cold = false;
	log_in(f, "+OK Logged in, 6 messages.\r\n");
	assert_fetches(f, "TOP 5 0\r\n", 1); /* has its header ASCII? */
	/* Nothing else is done meanwhile, and being called too early does no harm. */
	f->fetches = 0;
	assert_int_equal(pop3_session_input(f->session, STR("RETR 2\r\nNOOP\r\n")), 8);
	assert_true(f->fetching && !f->soon && !f->on_output && !pop3_session_wants_input(f->session));
	pop3_session_resume(f->session);
	assert_true(f->fetching && f->fetches == 1 && !pop3_session_wants_input(f->session));
	say(f, STR("NOOP\r\n"));
	assert_true(str_ends(str_from_c(f->said.p), STR("\r\nno end\r\n.\r\n+OK Still here.\r\n")));
	buf_free(&message);
}

static void bad_input_is_answered_and_counted(void **state)
{
	struct fixture *f = *state;
	append(f, STR(FIRST));
	log_in(f, "+OK Logged in, 1 messages.\r\n");
	assert_says(f, "RETR 0\r\nRETR 2\r\nDELE 9\r\nLIST 99999999999999\r\n",
	            "-ERR There is no such message.\r\n-ERR There is no such message.\r\n-ERR There is no such message.\r\n"
	            "-ERR There is no such message.\r\n");
	assert_says(f, "USER alice\r\n", "-ERR You are logged in already.\r\n");
	char line[300];
	snprintf(line, sizeof line, "NOOP %0260d\r\n", 0);
	assert_says(f, line, "-ERR That line is too long.\r\n");
	assert_says(f, "CAPA\r\n", CAPABILITIES "USER\r\nSASL PLAIN LOGIN\r\n" LAST_CAPABILITY);
	assert_int_equal(f->closed, 0);
	assert_says(f, "DELE 1\r\nRETR x\r\nQUIT\r\n", "+OK Marked as deleted.\r\n-ERR That is not a number.\r\n");
	assert_int_equal(f->closed, 1);
	log_out(f);
	log_in(f, "+OK Logged in, 1 messages.\r\n");
}

static void a_removed_account_ends_the_session(void **state)
{
	struct fixture *f = *state;
	static const struct account_id id = { { 7 } };
	uint64_t messages, bytes;
	append(f, STR(FIRST));
	log_in(f, "+OK Logged in, 1 messages.\r\n");
	fixture_settle(&f->world);
	assert_int_equal(account_destroy(f->world.store, &id, &messages, &bytes), 0);
	assert_says(f, "STAT\r\n", "-ERR [SYS/TEMP] The mailbox is not available now.\r\n");
	assert_int_equal(f->closed, 1);
}

static void a_timeout_says_and_removes_nothing(void **state)
{
	struct fixture *f = *state;
	append(f, STR(FIRST));
	log_in(f, "+OK Logged in, 1 messages.\r\n");
	assert_says(f, "DELE 1\r\n", "+OK Marked as deleted.\r\n");
	pop3_session_bye(f->session, STR("too slow"));
	assert_true(outq_empty(&f->out));
	assert_int_equal(f->closed, 1);
	log_out(f);
	log_in(f, "+OK Logged in, 1 messages.\r\n");
}

#define MANY 20000 /* more entries than are read at a time */

static void a_large_inbox_is_read_in_slices(void **state)
{
	static const struct account_id id = { { 7 } };
	struct fixture *f = *state;
	for (uint32_t i = 0; i < MANY; i++)
		fixture_add(f->inbox, i, 0, NULL);
	fixture_settle(&f->world);
	account_close(&f->account);
	fixture_reopen(&f->world);
	assert_int_equal(account_open(f->world.store, &id, &f->account), 0);
	f->inbox = account_mailbox(f->account, STR("INBOX"));
	log_in(f, "");
	assert_false(pop3_session_wants_input(f->session));
	assert_true(f->soon);
	say(f, STR(""));
	assert_string_equal(f->said.p, "+OK Logged in, 20000 messages.\r\n");
	for (uint32_t i = 2; i < MANY; i++) {
		char command[32];
		snprintf(command, sizeof command, "DELE %u\r\n", i);
		assert_says(f, command, "+OK Marked as deleted.\r\n");
	}
	assert_says(f, "QUIT\r\n", "+OK Good-bye, deleted messages are removed.\r\n");
	log_out(f);
	log_in(f, "+OK Logged in, 2 messages.\r\n");
	log_out(f);
	for (uint32_t i = 0; i < MANY; i++)
		fixture_add(f->inbox, i, 0, NULL);
	fixture_settle(&f->world);
	account_close(&f->account);
	fixture_reopen(&f->world);
	assert_int_equal(account_open(f->world.store, &id, &f->account), 0);
	log_in(f, "");
	pop3_session_bye(f->session, STR("too slow"));
	assert_int_equal(f->closed, 1);
}

/* --- policies (base/pop3_policy.h) --- */

/* A session that says this, up to its good-bye, among `messages`. */
static void speak(struct fixture *f, unsigned messages, const char *text, const char *last)
{
	char wanted[64];
	snprintf(wanted, sizeof wanted, "+OK Logged in, %u messages.\r\n", messages);
	log_in(f, wanted);
	say(f, str_from_c(text));
	assert_true(str_ends(str_from_c(f->said.p), str_from_c(last)));
	assert_int_equal(f->closed, 1);
	log_out(f);
}

#define BYE         "+OK Good-bye.\r\n"
#define BYE_REMOVED "+OK Good-bye, deleted messages are removed.\r\n"

static void delete_mode_removes_what_was_retrieved(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	f->policy.mode = POP3_MODE_DELETE;
	speak(f, 3, "RETR 1\r\nTOP 2 9\r\nRETR 9\r\nQUIT\r\n", BYE_REMOVED);
	speak(f, 2, "RETR 2\r\nRSET\r\nTOP 1 999999\r\nQUIT\r\n", BYE);
	log_in(f, "+OK Logged in, 2 messages.\r\n");
	say(f, STR("RETR 1\r\nRETR 2\r\n"));
	log_out(f); /* without QUIT */
	speak(f, 2, "CAPA\r\nQUIT\r\n", BYE);
	speak(f, 2, "TOP 2 99999999\r\nQUIT\r\n", BYE_REMOVED); /* the whole message */
}

static void keep_mode_hides_from_one_login(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	f->policy.mode = POP3_MODE_KEEP;
	f->policy.login = 7;
	speak(f, 3, "RETR 1\r\nDELE 1\r\nDELE 3\r\nRSET\r\nDELE 2\r\nQUIT\r\n", BYE);
	log_in(f, "+OK Logged in, 2 messages.\r\n");
	assert_says(f, "UIDL\r\n", "+OK Unique ids follow.\r\n1 0000000000000001\r\n2 0000000000000003\r\n.\r\n");
	log_out(f);
	f->policy.login = 0;
	speak(f, 3, "QUIT\r\n", BYE);
	assert_int_equal(mailbox_open(f->inbox), 0);
	assert_int_equal(mailbox_count(f->inbox), 3);
	mailbox_close(f->inbox);
}

static void quit_in_keep_mode_is_held_back_until_it_is_durable(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	fixture_settle(&f->world);
	f->policy.mode = POP3_MODE_DAYS;
	log_in(f, "+OK Logged in, 3 messages.\r\n");
	assert_int_equal(pop3_session_input(f->session, STR("DELE 1\r\nRETR 2\r\n")), 16);
	assert_int_equal(account_batch(f->account), store_durable(f->world.store)); /* nothing is written before QUIT */
	assert_int_equal(pop3_session_input(f->session, STR("QUIT\r\n")), 6);
	assert_int_equal(f->closed, 0); /* what was retrieved has not left yet */
	assert_true(f->on_output);
	assert_int_equal(account_batch(f->account), store_durable(f->world.store));
	drain(f);
	pop3_session_resume(f->session);
	assert_int_equal(f->closed, 1);
	assert_true(account_batch(f->account) > store_durable(f->world.store));
}

static void the_default_mode_writes_nothing_for_retrieval(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	fixture_settle(&f->world);
	uint64_t before = store_batch(f->world.store);
	speak(f, 3, "RETR 1\r\nRETR 2\r\nTOP 3 1\r\nUIDL\r\nQUIT\r\n", BYE);
	assert_int_equal(store_batch(f->world.store), before);
}

static void what_was_retrieved_is_seen_where_that_is_said(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	f->policy.seen = true;
	speak(f, 3, "RETR 1\r\nTOP 2 1\r\nRETR 3\r\nDELE 3\r\nQUIT\r\n", BYE_REMOVED);
	assert_int_equal(mailbox_open(f->inbox), 0);
	assert_int_equal(entry_find(f->inbox, 1)->flags, FLAG_SEEN);
	assert_int_equal(entry_find(f->inbox, 2)->flags, 0);
	assert_null(entry_find(f->inbox, 3));
	mailbox_close(f->inbox);
}

static void another_mailbox_can_be_shown(void **state)
{
	struct fixture *f = *state;
	append_three(f);
	f->policy.mailbox = STR("Archive");
	speak(f, 0, "QUIT\r\n", BYE);
	f->policy.mailbox = STR("Nowhere");
	log_in(f, "-ERR [SYS/PERM] The mailbox that is set for POP3 does not exist.\r\n");
	assert_int_equal(f->closed, 1);
}

static void many_are_hidden_seen_and_put_away_in_slices(void **state)
{
	struct fixture *f = *state;
	f->policy = (struct pop3_policy){ POP3_MODE_DELETE, 30, true, true, STR("INBOX"), 0 };
	f->settings.output_pause = 1 << 20;
	for (uint32_t i = 0; i < MANY; i++)
		fixture_add(f->inbox, i, 0, NULL);
	fixture_settle(&f->world);
	log_in(f, "+OK Logged in, 20000 messages.\r\n");
	for (uint32_t i = 1; i <= MANY; i++) {
		char command[32];
		snprintf(command, sizeof command, "RETR %u\r\n", i);
		say(f, str_from_c(command));
	}
	assert_says(f, "QUIT\r\n", BYE_REMOVED);
	log_out(f);
	struct mailbox *trash = account_mailbox(f->account, STR("Trash"));
	struct mailbox_counts counts;
	assert_int_equal(mailbox_open(trash), 0);
	mailbox_counts(trash, &counts);
	assert_true(counts.messages == MANY && counts.unseen == 0);
	mailbox_close(trash);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_empty_mailbox_is_a_mailbox),
		TEST(messages_come_back_byte_for_byte),
		TEST(top_gives_header_and_lines),
		TEST(a_header_in_utf8_needs_utf8_mode_where_that_is_offered),
		TEST(bare_line_ends_cannot_end_a_response),
		TEST(only_quit_removes),
		TEST(quit_waits_for_the_store),
		TEST(quit_waits_until_what_it_removes_has_left),
		TEST(others_may_remove_messages_meanwhile),
		TEST(removed_messages_are_sent_while_the_store_has_them),
		TEST(a_session_sees_what_was_there_whatever_happens_to_the_mailbox),
		TEST(unique_ids_stay_for_ever),
		TEST(large_answers_pause_and_go_on),
		TEST(long_lists_pause_and_go_on),
		TEST(many_commands_at_once_are_run_in_slices),
		TEST(large_messages_and_lists_are_made_in_slices),
		TEST(cold_messages_are_fetched_before_they_are_read),
		TEST(bad_input_is_answered_and_counted),
		TEST(a_removed_account_ends_the_session),
		TEST(a_timeout_says_and_removes_nothing),
		TEST(a_large_inbox_is_read_in_slices),
		TEST(delete_mode_removes_what_was_retrieved),
		TEST(keep_mode_hides_from_one_login),
		TEST(quit_in_keep_mode_is_held_back_until_it_is_durable),
		TEST(the_default_mode_writes_nothing_for_retrieval),
		TEST(what_was_retrieved_is_seen_where_that_is_said),
		TEST(another_mailbox_can_be_shown),
		TEST(many_are_hidden_seen_and_put_away_in_slices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
