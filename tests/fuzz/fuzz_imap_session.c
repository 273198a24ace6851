/* fuzz_imap_session.c: two sessions of one account on a real store, fed with what a client might say. A model of a
 * client reads every response and aborts when a number is out of the range that it was told, when a line is not ended,
 * or when a session says something after it closed.
 *
 * First byte of the input: 'l': the engine before login gets the rest. Otherwise the rest goes to the sessions in turn,
 * the speaker changing at each byte 0x01; '0' to '9' as the first byte chooses the size of chunks (and small output
 * limits for odd ones). */
#include "proto/imap/login.h"
#include "proto/imap/session.h"
#include "store/test_store.h"

#include <unistd.h>

#include "session_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PIECE_MAX 4096
#define UIDS_MAX  1024

static struct world {
	struct store_fixture fixture;
	struct imap_settings settings;
	uint64_t accounts, turns;
} world;

/* What a client knows, and where its reading of the responses is. */
struct client {
	struct imap_session *session;
	struct session_client world;
	uint64_t exists;
	uint64_t uids[UIDS_MAX]; /* by sequence number - 1, where the client was told; else 0 */
	struct buf line;
	uint64_t literal_left;
	bool in_line; /* the line goes on behind a literal */
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* --- the model --- */

static uint64_t number_at(struct str line, struct str *rest)
{
	uint64_t number = 0;
	struct str digits = str_cut(&line, ' ');
	*rest = line;
	return str_to_u64(digits, UINT32_MAX, &number) == 0 ? number : 0;
}

/* A message keeps its uid, whatever its number becomes; and numbers are in the order of uids. */
static void read_uid(struct client *c, uint64_t number, struct str text)
{
	size_t n = 0;
	while (n < text.n && ascii_is_digit(text.p[n]))
		n++;
	uint64_t uid = 0, *at = &c->uids[number - 1];
	check(str_to_u64(str_first(text, n), UINT32_MAX, &uid) == 0 && uid > 0);
	check(*at == 0 || *at == uid);
	*at = uid;
	check(number == 1 || at[-1] < uid);
	check(at[1] == 0 || number == c->exists || at[1] > uid);
}

/* "1:3,7" of VANISHED (RFC 7162): those of EARLIER are of no message that the client counts; others are each of one, the
 * numbers of the rest are as they may be. */
static void read_vanished(struct client *c, struct str set, bool earlier)
{
	uint64_t count = 0, first, last, before = 0;
	while (set.n) {
		struct str range = str_cut(&set, ','), from = str_cut(&range, ':');
		check(str_to_u64(from, UINT32_MAX, &first) == 0);
		check(str_to_u64(range.n ? range : from, UINT32_MAX, &last) == 0);
		check(first > before && last >= first);
		before = last;
		count += last - first + 1;
		for (size_t i = 0; i < UIDS_MAX && earlier; i++)
			check(c->uids[i] < first || c->uids[i] > last);
	}
	check(count > 0);
	if (earlier)
		return;
	check(count <= c->exists);
	c->exists -= count;
	memset(c->uids, 0, sizeof c->uids);
}

static void read_response(struct client *c, struct str line)
{
	struct str rest;
	if (str_starts(line, STR("* VANISHED (EARLIER) ")))
		read_vanished(c, str_from(line, strlen("* VANISHED (EARLIER) ")), true);
	else if (str_starts(line, STR("* VANISHED ")))
		read_vanished(c, str_from(line, strlen("* VANISHED ")), false);
	if (!str_starts(line, STR("* ")))
		return;
	uint64_t number = number_at(str_from(line, 2), &rest);
	if (str_starts(line, STR("* OK [UIDVALIDITY "))) {
		memset(c->uids, 0, sizeof c->uids); /* another mailbox is selected */
	} else if (str_eq(rest, STR("EXISTS"))) {
		check(number < UIDS_MAX);
		c->exists = number;
	} else if (str_eq(rest, STR("EXPUNGE"))) {
		check(number >= 1 && number <= c->exists);
		memmove(c->uids + number - 1, c->uids + number, (UIDS_MAX - number) * sizeof *c->uids);
		c->exists--;
	} else if (str_starts(rest, STR("FETCH ("))) {
		check(number >= 1 && number <= c->exists);
		if (str_starts(rest, STR("FETCH (UID ")))
			read_uid(c, number, str_from(rest, strlen("FETCH (UID ")));
	}
}

/* A line without its LF: the begin of a response, or what follows a literal in it. */
static void read_line(struct client *c, struct str line)
{
	check(line.n >= 1 && line.p[line.n - 1] == '\r');
	line.n--;
	if (!c->in_line)
		read_response(c, line);
	size_t brace = line.n;
	while (brace > 0 && line.p[brace - 1] != '{')
		brace--;
	c->in_line = brace > 0 && line.p[line.n - 1] == '}' &&
	             str_to_u64(str_of(line.p + brace, line.n - brace - 1), UINT32_MAX, &c->literal_left) == 0;
}

static void read_bytes(struct client *c, struct str bytes)
{
	while (bytes.n) {
		size_t skip = c->literal_left < bytes.n ? (size_t)c->literal_left : bytes.n;
		c->literal_left -= skip;
		bytes = str_from(bytes, skip);
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
	while (outq_peek(&c->world.out, &piece)) {
		if (piece.file_fd < 0) {
			read_bytes(c, piece.bytes);
			outq_consume(&c->world.out, piece.bytes.n);
		} else {
			check(piece.n <= c->literal_left);
			c->literal_left -= piece.n;
			outq_consume(&c->world.out, piece.n);
		}
	}
}

/* --- the world --- */

static void remove_world(void)
{
	fixture_end(&world.fixture);
	mail_reader_free(&world.settings.mail.reader);
	charsets_free(&world.settings.charsets);
}

static void make_world(void)
{
	const struct mime_limits mime = MIME_LIMITS_DEFAULT;
	fixture_begin(&world.fixture);
	world.fixture.no_syncs = true;
	fixture_open(&world.fixture);
	world.settings = (struct imap_settings){
		.limits = { .line_bytes = 4096,
		            .literal_bytes = 1000,
		            .command_bytes = 8192,
		            .discard_bytes = 4096,
		            .arena_bytes = 1 << 18,
		            .list_items = 100,
		            .set_ranges = 100,
		            .search_depth = 10,
		            .part_depth = 10 },
		.mail = { mail_reader_new(&mime), 4096, 8 },
		.charsets = charsets_open(),
		.max_bad_commands = 10,
		.max_mailboxes = 20,
		.max_mailbox_depth = 5,
		.max_mailbox_name = 100,
		.max_keyword_length = 20,
		.spool_threshold = 100,
		.spool_directory = str_from_c(world.fixture.directory),
	};
	atexit(remove_world);
}

/* One turn of the loop: what is in flight comes back (lazy: at every third turn), wishes come true. */
static void turn(struct client *clients, bool lazy)
{
	bool hold = lazy && ++world.turns % 3 != 0;
	for (bool busy = true; busy;) {
		check(!world.fixture.failed && !world.fixture.voids);
		store_turn(world.fixture.store);
		busy = !hold && fixture_sync(&world.fixture, 0);
		for (int i = 0; i < 2; i++) {
			drain(&clients[i]);
			unsigned wishes = clients[i].world.wishes;
			if (!store_writable(world.fixture.store))
				wishes &= ~(1u << SESSION_RESUME_WRITABLE);
			if (!wishes || clients[i].world.closed)
				continue;
			clients[i].world.wishes &= ~wishes;
			imap_session_resume(clients[i].session);
			busy = true;
		}
	}
}

static void speak(struct client *clients, struct client *c, struct str bytes, bool lazy)
{
	for (int stuck = 0; bytes.n && stuck < 5; stuck++) {
		size_t taken = imap_session_input(c->session, bytes);
		check(taken <= bytes.n);
		if (taken)
			stuck = 0;
		bytes = str_from(bytes, taken);
		turn(clients, lazy);
	}
	check(bytes.n == 0);
}

static void run_sessions(unsigned mode, struct str text)
{
	struct client clients[2] = { 0 };
	struct account_id id = { { 0 } };
	struct account *account = NULL;
	uint64_t messages, bytes, number = ++world.accounts;
	memcpy(id.bytes, &number, sizeof number);
	world.settings.output_pause = mode % 2 ? 500 : 65536;
	check(account_create(world.fixture.store, &id) == 0 && account_open(world.fixture.store, &id, &account) == 0);
	for (int i = 0; i < 2; i++) {
		clients[i].world.out = OUTQ_INIT(4 << 20);
		clients[i].line = BUF_INIT(4 << 20);
		clients[i].session =
		    imap_session_new(&session_client_world, &clients[i].world, &world.settings, account,
		                     number * 2 + (uint64_t)i, STR("t"));
	}
	turn(clients, false);
	for (int speaker = 0; text.p; speaker = !speaker) {
		struct str said = str_cut(&text, '\001');
		size_t step = mode < 2 ? PIECE_MAX : 1 + mode * 3;
		for (; said.n; said = str_from(said, step))
			speak(clients, &clients[speaker], str_first(said, step), mode > 4);
	}
	for (int i = 0; i < 2; i++) {
		imap_session_free(&clients[i].session);
		outq_free(&clients[i].world.out);
		buf_free(&clients[i].line);
	}
	account_close(&account);
	static struct client nobody[2] = { { .world.closed = true }, { .world.closed = true } };
	turn(nobody, false);
	check(account_destroy(world.fixture.store, &id, &messages, &bytes) == 0);
	turn(nobody, false);
	while (store_idle_work(world.fixture.store))
		turn(nobody, false);
}

/* --- before login --- */

struct stranger {
	struct imap_login_session *login;
	struct outq out;
	bool asked, timer, tls, over;
};

static struct outq *stranger_output(void *owner)
{
	return &((struct stranger *)owner)->out;
}

static void start_tls(void *owner)
{
	((struct stranger *)owner)->tls = true;
}

static void authenticate(void *owner, struct str user, struct str password)
{
	check(user.n <= LOGIN_ENGINE_USER_MAX && password.n <= LOGIN_ENGINE_PASSWORD_MAX && str_is_utf8(user));
	((struct stranger *)owner)->asked = true;
}

static void start_timer(void *owner, uint64_t milliseconds)
{
	((struct stranger *)owner)->timer = true;
}

static void hand_over(void *owner, struct str tag)
{
	check(tag.n > 0 && tag.n <= IMAP_LOGIN_TAG_MAX);
	((struct stranger *)owner)->over = true;
}

static void close_stranger(void *owner)
{
	((struct stranger *)owner)->over = true;
}

static bool has_certificate(void *owner)
{
	return true;
}

static const struct login_world login_world = { stranger_output, start_tls, has_certificate, authenticate,
	                                                 start_timer,     hand_over, close_stranger };

static void run_login(struct str text)
{
	static const struct login_settings settings = { .max_line = 1024, .max_bad_commands = 5, .max_failures = 3 };
	struct stranger s = { .out = OUTQ_INIT(65536) };
	struct login_facts facts = { .session = 1, .can_start_tls = true, .plain_allowed = text.n % 2 };
	s.login = imap_login_new(&login_world, &s, &settings, &facts);
	while (text.n && !s.over) {
		size_t taken = imap_login_input(s.login, text);
		text = str_from(text, taken);
		check(taken || s.asked || s.timer || s.over);
		if (s.tls)
			imap_login_tls_started(s.login);
		if (s.asked)
			imap_login_answer(s.login, text.n % 3 == 0   ? LOGIN_VERDICT_OK
			                           : text.n % 3 == 1 ? LOGIN_VERDICT_DENIED
			                                             : LOGIN_VERDICT_UNAVAILABLE);
		if (s.timer)
			imap_login_timer(s.login);
		s.asked = s.timer = s.tls = false;
	}
	imap_login_free(&s.login);
	check(!s.out.failed);
	outq_free(&s.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_of((const char *)data, size);
	if (!world.fixture.store)
		make_world();
	if (size < 2)
		return 0;
	if (text.p[0] == 'l')
		run_login(str_from(text, 1));
	else
		run_sessions((unsigned char)text.p[0] % 10, str_from(text, 1));
	return 0;
}
