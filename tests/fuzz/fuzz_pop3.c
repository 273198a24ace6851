/* fuzz_pop3.c: what a POP3 client might say. The first byte of the input chooses who hears the rest: 'c': the parser
 * of command lines (what it takes is printed and read again), 'b': the body of a response (it must unstuff to what
 * went in), 'l': the engine before login, other bytes: two sessions on one account of a real store, in turn; the
 * byte chooses the size of the pieces, and a byte 0x01 changes the speaker. A model of a client reads every response
 * and aborts when it is not framed as RFC 1939 says, or when something is said after the end. */
#include "base/mem.h"
#include "mail/mail.h"
#include "proto/pop3/capability.h"
#include "proto/pop3/login.h"
#include "proto/pop3/session.h"
#include "store/test_store.h"
#include "syntax/pop3.h"
#include "syntax/smtp_data.h"

#include <unistd.h>

#include "session_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINE_MAX_BYTES 100

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* --- command lines --- */

static void fuzz_command(struct str line)
{
	struct pop3_command command, again;
	if (str_find_byte(line, '\n') >= 0 || pop3_parse(line, &command) != POP3_FLAW_NONE)
		return;
	struct buf out = BUF_INIT(100000);
	pop3_print(&command, &out);
	check(pop3_parse(buf_str(&out), &again) == POP3_FLAW_NONE);
	check(again.verb == command.verb && again.number == command.number && again.lines == command.lines);
	check(again.has_number == command.has_number && again.has_initial == command.has_initial);
	check(str_eq(again.text, command.text) && str_eq(again.initial, command.initial));
	buf_free(&out);
}

/* --- bodies --- */

static void take_all(struct outq *q, struct buf *to)
{
	struct outq_piece piece;
	while (outq_peek(q, &piece)) {
		buf_add(to, piece.bytes);
		outq_consume(q, piece.bytes.n);
	}
	outq_free(q);
}

/* A client that knows CRLF only, as RFC 1939 says. Line by line, since the response ends at the first ".". */
static void unstuff(struct str response, struct buf *to)
{
	for (;;) {
		ptrdiff_t end = str_find(response, STR("\r\n"));
		check(end >= 0);
		struct str line = str_first(response, (size_t)end + 2);
		response = str_from(response, line.n);
		if (str_eq(line, STR(".\r\n")))
			break;
		buf_add(to, str_from(line, line.p[0] == '.' ? 1 : 0));
	}
	check(response.n == 0);
}

static void fuzz_body(struct str bytes)
{
	size_t piece = bytes.n ? (unsigned char)bytes.p[0] % 7u + 1 : 1;
	struct pop3_body body = { .lines_left = UINT64_MAX };
	struct outq q = OUTQ_INIT(1 << 20);
	struct buf response = BUF_INIT(1 << 20), back = BUF_INIT(1 << 20);
	for (struct str rest = bytes; rest.n; rest = str_from(rest, piece))
		pop3_body_put(&body, str_first(rest, piece), &q);
	pop3_body_end(&body, &q);
	take_all(&q, &response);
	unstuff(buf_str(&response), &back);
	/* The same bytes, but for the line end that was missing, and for dots stuffed behind a bare LF. */
	bool bare = false;
	for (size_t i = 0; i < bytes.n; i++)
		bare = bare || (bytes.p[i] == '\n' && (i == 0 || bytes.p[i - 1] != '\r'));
	check(bare || (str_starts(buf_str(&back), bytes) && back.n <= bytes.n + 2));
	buf_free(&response);
	buf_free(&back);
}

/* --- the engine before login --- */

struct before_login {
	struct outq out;
	bool asked, timer, tls, over;
};

static struct outq *login_output(void *owner)
{
	struct before_login *b = owner;
	check(!b->over);
	return &b->out;
}

static void login_start_tls(void *owner)
{
	((struct before_login *)owner)->tls = true;
}

static bool login_has_certificate(void *owner)
{
	return true;
}

static void login_authenticate(void *owner, struct str user, struct str password)
{
	struct before_login *b = owner;
	check(!b->asked && !b->timer);
	check(user.n > 0 && user.n <= LOGIN_ENGINE_USER_MAX && password.n <= LOGIN_ENGINE_PASSWORD_MAX);
	b->asked = true;
}

static void login_start_timer(void *owner, uint64_t milliseconds)
{
	struct before_login *b = owner;
	check(!b->timer && milliseconds == 5);
	b->timer = true;
}

static void login_over(void *owner)
{
	struct before_login *b = owner;
	check(!b->over);
	b->over = true;
}

static void login_hand_over(void *owner, struct str tag)
{
	check(tag.n == 0 || str_eq(tag, STR(POP3_HANDED_UTF8)));
	login_over(owner);
}

static const struct login_world login_world = {
	login_output, login_start_tls, login_has_certificate, login_authenticate, login_start_timer, login_hand_over, login_over,
};

static void fuzz_login(struct str bytes)
{
	static const struct login_settings settings = { LINE_MAX_BYTES, 20, 3, 5, true, 1 };
	struct before_login b = { .out = OUTQ_INIT(1 << 20) };
	struct login_facts facts = { 1, false, true, true };
	struct pop3_login *login = pop3_login_new(&login_world, &b, &settings, &facts);
	unsigned answers = 0;
	while (bytes.n && !b.over) {
		size_t offered = bytes.n < 13 ? bytes.n : 13;
		size_t taken = pop3_login_input(login, str_first(bytes, offered));
		check(taken <= offered && (taken == offered || !pop3_login_wants_input(login)));
		bytes = str_from(bytes, taken);
		if (b.asked) {
			b.asked = false;
			pop3_login_answer(login, answers++ % 3 ? LOGIN_VERDICT_DENIED : LOGIN_VERDICT_UNAVAILABLE);
		}
		if (b.timer) {
			b.timer = false;
			pop3_login_timer(login);
		}
		if (b.tls) {
			b.tls = false;
			pop3_login_tls_started(login);
		}
		check(b.over || pop3_login_wants_input(login));
	}
	pop3_login_free(&login);
	outq_free(&b.out);
}

/* --- sessions on a store --- */

static struct {
	struct store_fixture fixture;
	struct mail_reader *reader;
	uint64_t accounts;
} world;

/* A client's reading of what it gets. */
struct client {
	struct pop3_session *session;
	struct session_client world;
	struct buf line;
	bool drained_after_close;
	bool in_body; /* of a multi-line response */
};

static void settle_store(void)
{
	fixture_settle(&world.fixture);
	check(!world.fixture.failed && !world.fixture.voids);
}

static void remove_world(void)
{
	fixture_end(&world.fixture);
	mail_reader_free(&world.reader);
}

static void make_world(void)
{
	fixture_begin(&world.fixture);
	world.fixture.no_syncs = true;
	fixture_open(&world.fixture);
	world.reader = mail_reader_new(&MIME_LIMITS_DEFAULT);
	atexit(remove_world);
}

static void read_line(struct client *c, struct str line)
{
	check(!c->drained_after_close);
	if (c->in_body) {
		c->in_body = !str_eq(line, STR(".\r"));
		check(line.n < 2 || line.p[0] != '.' || line.p[1] == '.' || !c->in_body);
		return;
	}
	check(str_starts(line, STR("+OK")) || str_starts(line, STR("-ERR ")));
	check(str_ends(line, STR("\r")));
	c->in_body = str_ends(line, STR("follow.\r")) || str_ends(line, STR("follows.\r")) ||
	             str_ends(line, STR("octets)\r"));
}

static void read_bytes(struct client *c, struct str bytes)
{
	while (bytes.n) {
		ptrdiff_t end = str_find_byte(bytes, '\n');
		buf_add(&c->line, str_first(bytes, end < 0 ? bytes.n : (size_t)end));
		check(buf_error(&c->line) == 0);
		if (end < 0)
			return;
		bytes = str_from(bytes, (size_t)end + 1);
		read_line(c, buf_str(&c->line));
		buf_clear(&c->line);
	}
}

static void drain(struct client *c)
{
	struct outq_piece piece;
	char bytes[8192];
	while (outq_peek(&c->world.out, &piece)) {
		if (piece.file_fd < 0) {
			read_bytes(c, piece.bytes);
			outq_consume(&c->world.out, piece.bytes.n);
			continue;
		}
		size_t n = piece.n < sizeof bytes ? (size_t)piece.n : sizeof bytes;
		check(pread(piece.file_fd, bytes, n, (off_t)piece.offset) == (ssize_t)n);
		read_bytes(c, str_of(bytes, n));
		outq_consume(&c->world.out, n);
	}
	c->drained_after_close = c->world.closed;
}

/* Goes on until nothing waits. */
static void turn(struct client *c)
{
	for (unsigned rounds = 0; c->world.wishes && !c->world.closed; rounds++) {
		check(rounds < 10000);
		c->world.wishes = 0;
		settle_store();
		drain(c);
		pop3_session_resume(c->session);
	}
	drain(c);
}

static void speak(struct client *c, struct str bytes, size_t piece)
{
	for (unsigned rounds = 0; bytes.n && !c->world.closed; rounds++) {
		struct str offered = str_first(bytes, piece);
		size_t taken = pop3_session_input(c->session, offered);
		check(taken <= offered.n);
		check(taken == offered.n || c->world.wishes);
		bytes = str_from(bytes, taken);
		turn(c);
		check(rounds < 100000);
	}
}

static void append(struct mailbox *inbox, struct str bytes)
{
	struct mail_settings settings = { .reader = world.reader, .max_message_size = 1 << 20, .max_keywords = 8 };
	struct mail_source source = { .bytes = bytes, .fd = -1 };
	struct mail_facts facts = { .internal_date = 1 };
	uint32_t uid;
	settle_store();
	check(mail_append(inbox, &settings, &source, &facts, &uid) == 0);
}

static void begin_client(struct client *c, struct account *account, const struct pop3_policy *policy)
{
	static const struct pop3_settings settings = { LINE_MAX_BYTES, 20, 50, true, 1 };
	*c = (struct client){ .world.out = OUTQ_INIT(1 << 20), .line = BUF_INIT(1 << 16) };
	c->session = pop3_session_new(&session_client_world, &c->world, &settings, account, policy, false, 1);
	drain(c);
	check(!c->world.closed);
}

static void end_client(struct client *c)
{
	turn(c);
	check(!c->in_body);
	pop3_session_free(&c->session);
	outq_free(&c->world.out);
	buf_free(&c->line);
}

/* Nothing that is kept ever leaves the mailbox. */
static void check_kept(struct mailbox *inbox, const struct pop3_policy *policy)
{
	if (policy->mode != POP3_MODE_KEEP && policy->mode != POP3_MODE_DAYS)
		return;
	check(mailbox_open(inbox) == 0);
	check(mailbox_count(inbox) == 4);
	mailbox_close(inbox);
}

static void fuzz_sessions(struct str bytes, size_t piece, enum pop3_mode mode)
{
	struct pop3_policy policy = POP3_POLICY_DEFAULT;
	struct account_id id = { { 0 } };
	struct account *account;
	struct client clients[2];
	uint64_t messages, octets;
	policy.mode = mode;
	policy.trash = piece % 2;
	policy.seen = piece % 3 == 0;
	if (!world.fixture.store)
		make_world();
	world.accounts++;
	memcpy(id.bytes, &world.accounts, sizeof world.accounts);
	settle_store();
	check(account_create(world.fixture.store, &id) == 0);
	check(account_open(world.fixture.store, &id, &account) == 0);
	struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
	append(inbox, STR("Subject: plain\r\n\r\nHello\r\n"));
	append(inbox, STR("Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nno end"));
	append(inbox, STR("Subject: bare\r\n\r\na\n.\r\nb\n"));
	append(inbox, STR("no header at all"));
	for (unsigned i = 0; i < 2; i++)
		begin_client(&clients[i], account, &policy);
	for (unsigned speaker = 0; bytes.p && bytes.n; speaker ^= 1)
		speak(&clients[speaker], str_cut(&bytes, '\1'), piece);
	for (unsigned i = 0; i < 2; i++)
		end_client(&clients[i]);
	settle_store();
	check_kept(inbox, &policy);
	account_close(&account);
	settle_store();
	check(account_destroy(world.fixture.store, &id, &messages, &octets) == 0);
	settle_store();
	while (store_idle_work(world.fixture.store))
		settle_store();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct str rest = str_of((const char *)data + 1, size - 1);
	switch (data[0]) {
	case 'c':
		fuzz_command(rest);
		break;
	case 'b':
		fuzz_body(rest);
		break;
	case 'l':
		fuzz_login(rest);
		break;
	default:
		fuzz_sessions(rest, data[0] % 64u + 1, (enum pop3_mode)(data[0] / 64u));
		break;
	}
	return 0;
}
