/* Tests of search text: what the text of messages is, that searches find what plainly looking finds, across blocks,
 * cuts and runs of the server; that text which is missing, torn, damaged or of another's is made again, and that of what
 * is gone is freed. */
#include "mail/test_text.h"

#include "base/checked.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

/* --- the text of one message --- */

static void expect_text(struct text_test *t, const char *message, enum text_kind kind, struct str expected)
{
	struct text_block block;
	struct buf crlf = BUF_INIT(MESSAGE_MAX);
	for (const char *p = message; *p; p++)
		buf_add(&crlf, *p == '\n' ? STR("\r\n") : str_of(p, 1));
	uint32_t uid = text_add(t, buf_str(&crlf));
	text_settle(t);
	text_block_init(&block, kind);
	text_of(t, uid, &block);
	struct buf *text = &block.columns[0].text;
	if (!str_eq(buf_str(text), expected)) {
		for (size_t i = 0; i < text->n; i++)
			text->p[i] = text->p[i] ? text->p[i] : '|';
		fail_msg("%s\ngot: %.*s", message, STR_ARG(buf_str(text)));
	}
	text_block_free(&block);
	buf_free(&crlf);
}

#define MIXED "Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n"

static void the_text_of_bodies(void **state)
{
	struct text_test *t = *state;
	expect_text(t, "Subject: x\n\nHello\nworld\n", TEXT_BODY, STR("HELLO\r\nWORLD\r\n\0"));
	expect_text(t, "Content-Transfer-Encoding: base64\nContent-Type: text/plain; charset=iso-8859-1\n\nY2Fm\n6Q==\n",
	            TEXT_BODY, STR("CAFE\xcc\x81\0"));
	expect_text(t, "Content-Transfer-Encoding: quoted-printable\nContent-Type: text/html; charset=utf-8\n\n"
	               "<p>Stra=C3=9F=\ne &amp; <b>W</b>eg</p><script>no</script>\n", TEXT_BODY, STR("STRA\xc3\x9f" "E & WEG\0"));
	expect_text(t, MIXED "\nfirst\n--b\nContent-Type: image/png\nContent-Disposition: attachment;\n filename*=utf-8''n%C3%A4me\n\n"
	               "binary\n--b--\nepilogue\n", TEXT_BODY,
	            STR("FIRST\0CONTENT-TYPE: IMAGE/PNG\0CONTENT-DISPOSITION: ATTACHMENT; FILENAME*=UTF-8''N%C3%A4ME\0"
	                "CONTENT-DISPOSITION: NA\xcc\x88ME\0"));
	expect_text(t, "Content-Type: message/rfc822\n\nSubject: =?utf-8?q?inn=65r?=\n\ninside\n", TEXT_BODY,
	            STR("SUBJECT: INNER\0INSIDE\r\n\0"));
	expect_text(t, "Content-Type: application/pdf\n\n%PDF\n", TEXT_BODY, STR(""));
	expect_text(t, "Subject: none\n\n", TEXT_BODY, STR("\0"));
	expect_text(t, "Content-Type: text/plain; charset=x-unknown\n\ncaf\xe9\n", TEXT_BODY, STR("CAFE\xcc\x81\r\n\0"));
}

static void the_text_of_headers(void **state)
{
	struct text_test *t = *state;
	const char *message = "Subject: =?iso-8859-1?q?caf=E9?=\n =?utf-8?b?YQ==?=\nTo: a@b\nTo:c@d\nX-Own:  folded\n  value\nX-Empty:\n\n";
	expect_text(t, message, TEXT_HEADER,
	            STR("SUBJECT: CAFE\xcc\x81" "A\0TO: A@B\0TO:C@D\0X-OWN:  FOLDED  VALUE\0X-EMPTY:\0"));
	expect_text(t, message, TEXT_FIELDS, STR("CAFE\xcc\x81" "A\0"));
	message = "Subject:\tone\n\ttwo\nX-Own:\tthree\n\n";
	expect_text(t, message, TEXT_HEADER, STR("SUBJECT: ONE TWO\0X-OWN: THREE\0"));
	expect_text(t, message, TEXT_FIELDS, STR("ONE TWO\0"));
}

static void parameters_that_were_rewritten(void **state)
{
	struct text_test *t = *state;
	expect_text(t, "Content-Type: a/b; name*0=\"on\"; name*1=e; x=y; z*=\"'\"\n\n", TEXT_HEADER,
	            STR("CONTENT-TYPE: A/B; NAME*0=\"ON\"; NAME*1=E; X=Y; Z*=\"'\"\0CONTENT-TYPE: ONE\0CONTENT-TYPE: '\0"));
	expect_text(t, "Content-Disposition: a; f*=koi8-r''%D0; g*=x-no''%E9; h*0*=x'; h*1==?utf-8?q?=65?=\n\n", TEXT_HEADER,
	            STR("CONTENT-DISPOSITION: A; F*=KOI8-R''%D0; G*=X-NO''%E9; H*0*=X'; H*1=E\0CONTENT-DISPOSITION: \xd0\x9f\0"
	                "CONTENT-DISPOSITION: E\xcc\x81\0CONTENT-DISPOSITION: X'E\0"));
	expect_text(t, "X-Own: a; name*0=on; name*1=e\n\n", TEXT_HEADER, STR("X-OWN: A; NAME*0=ON; NAME*1=E\0"));
}

static void a_message_that_base64_hides(void **state)
{
	struct text_test *t = *state;
	expect_text(t, "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaGkKCnRleHQK\n", TEXT_BODY,
	            STR("SUBJECT: HI\n\nTEXT\n\0"));
	expect_text(t, "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nSubject: hi\n\ntext\n", TEXT_BODY,
	            STR("SUBJECT: HI\0TEXT\r\n\0")); /* what says so and is not */
}

/* --- searches --- */

/* `value`, folded, in fields "NAME:"; empty: in messages that have the field. */
static void expect_field(struct text_test *t, struct str field, struct str value, const char *uids)
{
	struct text_query query = { .kind = TEXT_HEADER, .field = field };
	struct set found = text_search_query(t, query, value.n ? value : field);
	text_expect_set(&found, value.p, uids);
}

static void text_is_kept_and_used_again(void **state)
{
	struct text_test *t = *state;
	text_add_many(t, 100);
	text_expect_found(t, "WORD77X", "77");
	assert_int_equal(text_file_size(t, ".index") > 0, true);
	uint64_t size = text_file_size(t, ".text");
	text_expect_found(t, "WORD77X", "77");
	text_expect_found(t, "OF MANY", "1:100");
	text_expect_found(t, "X\r\nBODY", "");
	assert_int_equal(text_file_size(t, ".text"), size); /* nothing was made again */
	text_add_many(t, 5); /* not worth a block: made each time */
	text_expect_found(t, "BODY 3 OF", "3,103");
	assert_int_equal(text_file_size(t, ".text"), size);
	text_add_many(t, 60);
	text_expect_found(t, "BODY 3 OF", "3,103,108");
	assert_true(text_file_size(t, ".text") > size);
	text_close_account(t);
	fixture_reopen(&t->fixture);
	text_open_account(t);
	size = text_file_size(t, ".text");
	text_expect_found(t, "BODY 3 OF", "3,103,108");
	assert_int_equal(text_file_size(t, ".text"), size);
	t->fetches = 7;
	text_expect_found(t, "BODY 3 OF", "3,103,108");
	assert_int_equal(t->fetches, 0);
}

static void nothing_is_kept_of_what_may_never_have_been(void **state)
{
	struct text_test *t = *state;
	t->fixture.no_syncs = true;
	char text[] = "Subject: x\r\n\r\nsoon\r\n";
	for (int i = 0; i < 50; i++)
		text_add(t, str_of(text, strlen(text)));
	text_expect_found(t, "SOON", "1:50"); /* not durable yet */
	assert_int_equal(text_file_size(t, ".text"), 0);
	text_settle(t);
	text_expect_found(t, "SOON", "1:50");
	assert_true(text_file_size(t, ".text") > 0);
}

/* A full disk, and a process with no descriptor left: searches find what there is, and keep nothing. */
static void searches_need_no_room_to_keep_text(void **state)
{
	struct text_test *t = *state;
	text_add_many(t, 100);
	text_close_account(t);
	t->fixture.settings.reserve = INT64_MAX;
	fixture_reopen(&t->fixture);
	text_open_account(t);
	text_expect_found(t, "WORD77X", "77");
	assert_int_equal(text_file_size(t, ".index"), 0);
	text_close_account(t);
	t->fixture.settings.reserve = 1 << 20;
	fixture_reopen(&t->fixture);
	text_open_account(t);
	text_expect_found(t, "WORD77X", "77");
	uint64_t size = text_file_size(t, ".index");
	assert_true(size > 0);
	struct rlimit before, none;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	text_expect_found(t, "WORD78X", "78");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	text_expect_found(t, "WORD79X", "79");
	assert_int_equal(text_file_size(t, ".index"), size);
	assert_int_equal(t->fixture.voids, 0);
}

/* Behind an attachment too: its bytes are no text, and are passed over. */
static void all_that_is_read_is_asked_for(void **state)
{
	struct text_test *t = *state;
	struct buf message = BUF_INIT(MESSAGE_MAX);
	buf_add(&message, STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b\r\nContent-Type: image/png\r\n\r\n"));
	for (int i = 0; i < 100000; i++)
		buf_add(&message, STR("dGhlIHF1aWNr\r\n"));
	buf_add(&message, STR("--b\r\n\r\nlast\r\n--b--\r\n"));
	text_add(t, buf_str(&message));
	text_settle(t);
	text_expect_found(t, "LAST", "1");
	assert_true(t->first_asked > 0 && t->last_asked > t->first_asked + message.n - 100);
	buf_free(&message);
}

/* The header of a part is read at once, however long it is. */
static void all_of_a_long_header_is_asked_for(void **state)
{
	enum { HEADER = 200000 };
	struct text_test *t = *state;
	struct buf message = BUF_INIT(MESSAGE_MAX);
	buf_add(&message, STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b\r\n"));
	size_t header = message.n;
	buf_add(&message, STR("X-Long: "));
	while (message.n < header + HEADER)
		buf_add(&message, STR("word "));
	buf_add(&message, STR("there\r\n\r\nlast\r\n--b--\r\n"));
	text_add(t, buf_str(&message));
	text_settle(t);
	text_expect_found(t, "WORD THERE", "1");
	assert_true(t->most_asked_at <= t->first_asked + header);
	assert_true(t->most_asked_at + t->most_asked >= t->first_asked + header + HEADER);
	text_expect_found(t, "LAST", "1");
	buf_free(&message);
}

/* All of a large header in any script; of one that is made to become more, so much that no step takes long. */
static void headers_become_no_more_than_so_much_text(void **state)
{
	static const struct {
		const char *character;
		bool whole;
	} cases[] = { { "\xea\xb0\x81", true } /* three for one */, { "\xef\xb7\xba", false } /* eleven */ };
	struct text_test *t = *state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		for (unsigned fields = 1; fields <= 8; fields *= 8) {
			struct buf message = BUF_INIT(MESSAGE_MAX);
			struct text_block block;
			for (unsigned k = 0; k < fields; k++) {
				buf_add(&message, STR("X-Long: "));
				for (unsigned n = 0; n < 84000 / fields; n++)
					buf_add(&message, str_from_c(cases[i].character));
				buf_add(&message, STR("\r\n"));
			}
			buf_add(&message, STR("X-Last: there\r\n\r\n"));
			uint32_t uid = text_add(t, buf_str(&message));
			text_settle(t);
			text_block_init(&block, TEXT_HEADER);
			text_of(t, uid, &block);
			struct str text = buf_str(&block.columns[0].text);
			assert_int_equal(str_ends(text, STR("X-LAST: THERE\0")), cases[i].whole);
			assert_true(text.n < 1200 * 1024);
			text_block_free(&block);
			buf_free(&message);
		}
	}
}

static void what_is_damaged_is_made_again(void **state)
{
	static const struct {
		const char *suffix;
		int64_t at; /* from the end where negative */
		const char *bytes; /* NULL: cut off */
	} cases[] = {
		{ ".text", 40, "damage" },  { ".text", -10, NULL },  { ".text", 0, NULL },    { ".index", -1, NULL },
		{ ".index", 4, "damage" },  { ".index", 26, "damage" }, { ".index", -3, "d" }, { ".index", 3, NULL },
	};
	struct text_test *t = *state;
	text_add_many(t, 100);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		text_expect_found(t, "WORD77X", "77");
		uint64_t size = text_file_size(t, cases[i].suffix), whole = text_file_size(t, ".text");
		text_damage(t, cases[i].suffix, cases[i].at < 0 ? size - (uint64_t)-cases[i].at : (uint64_t)cases[i].at, cases[i].bytes);
		text_expect_found(t, "WORD78X", "78");
		text_expect_found(t, "WORD79X", "79");
		assert_int_equal(text_file_size(t, ".text"), whole);
	}
}

static void values_are_looked_for_in_their_fields(void **state)
{
	struct text_test *t = *state;
	struct buf message = BUF_INIT(MESSAGE_MAX);
	char own[] = "X-ONE:"; /* a text that says what its field is called */
	text_add(t, STR("X-One: first\r\nX-Two: second X-Three: third\r\n\r\n"));
	text_add(t, STR("X-One: two x-one: three\r\n\r\n"));
	text_add(t, STR("X-One: =?utf-8?q?a=00X-Four=3A_fourth?=\r\n\r\n"));
	for (int round = 0; round < 2; round++) { /* made, then read */
		expect_field(t, STR("X-ONE:"), STR("FIRST"), "1");
		expect_field(t, STR("X-TWO:"), STR("FIRST"), "");
		expect_field(t, STR("X-ONE:"), str_of(own, strlen(own)), "2");
		expect_field(t, STR("X-ONE:"), STR(""), "1:3");
		expect_field(t, STR("X-THREE:"), STR(""), "");
		expect_field(t, STR("X-THREE:"), STR("THIRD"), "");
		expect_field(t, STR("X-FOUR:"), STR("FOURTH"), ""); /* a NUL in a field ends none */
		for (int i = 0; i < 40; i++)
			text_add(t, STR("Subject: x\r\n\r\n"));
		text_settle(t);
	}
	/* many hits in a long field of another name: each is passed over once */
	buf_add(&message, STR("X-Long: "));
	for (int i = 0; i < 250000; i++)
		buf_add_byte(&message, 'a');
	buf_add(&message, STR("\r\nX-Seven: a\r\n\r\n"));
	text_add(t, buf_str(&message));
	expect_field(t, STR("X-SEVEN:"), STR("A"), "84");
	expect_field(t, STR("X-EIGHT:"), STR("A"), "");
	buf_free(&message);
}

/* Expunged by another, and forgotten, while the search was on its way. */
static void messages_that_went_meanwhile_are_no_error(void **state)
{
	struct text_test *t = *state;
	struct text_search_world world = text_world(t);
	struct text_query query = { .kind = TEXT_BODY, .bit = 1 };
	size_t n;
	text_add_many(t, 2);
	struct text_candidate *candidates = text_candidates_of(t, &n);
	for (uint32_t uid = 2; uid <= 3; uid++) { /* an entry without its message; none */
		candidates[n] = (struct text_candidate){ .number = candidates[n - 1].number + 7, .size = 50, .uid = uid,
			                                 .wanted = true };
		candidates[0].looked = candidates[1].looked = false;
		candidates[0].hits = candidates[1].hits = 0;
		finder_init(&query.finder, STR("MANY"));
		struct text_search *s = text_search_new(t->account, t->maker, &world, &query, 1, candidates, n + 1);
		while (text_search_step(s) != TEXT_SEARCH_DONE)
			;
		assert_int_equal(text_search_error(s), uid == 2 ? ERR_CORRUPT : 0);
		text_search_free(&s);
		assert_true(candidates[0].hits && candidates[1].hits && candidates[n].looked && !candidates[n].hits);
	}
	mem_free(candidates);
}

/* The same message in two entries, of which the first is decided already. */
static void one_message_in_two_entries_is_read_once(void **state)
{
	struct text_test *t = *state;
	struct text_search_world world = text_world(t);
	struct text_query query = { .kind = TEXT_BODY, .bit = 1 };
	size_t n;
	text_add_many(t, 100);
	text_expect_found(t, "WORD77X", "77");
	uint64_t size = text_file_size(t, ".text");
	struct text_candidate *once = text_candidates_of(t, &n), *twice = mem_alloc(2 * n, sizeof *twice);
	for (size_t i = 0; i < 2 * n; i++) {
		twice[i] = once[i / 2];
		twice[i].wanted = i % 2;
		twice[i].looked = !twice[i].wanted;
	}
	finder_init(&query.finder, STR("MANY"));
	struct text_search *s = text_search_new(t->account, t->maker, &world, &query, 1, twice, 2 * n);
	while (text_search_step(s) != TEXT_SEARCH_DONE)
		;
	text_search_free(&s);
	for (size_t i = 0; i < 2 * n; i++)
		assert_int_equal(twice[i].hits, i % 2);
	assert_int_equal(text_file_size(t, ".text"), size); /* nothing was made again */
	mem_free(once);
	mem_free(twice);
}

static bool record_is_read(enum text_kind kind, bool continues, uint64_t offset, uint32_t packed)
{
	struct text_place places[TEXT_COLUMNS_MAX] = { { packed, 100, 1 } };
	struct buf bytes = BUF_INIT(4096);
	struct text_block block;
	struct text_record record;
	text_block_init(&block, kind);
	text_block_end_message(&block, 1, 100);
	block.continues = continues;
	text_record_encode(&block, offset, places, 0, &bytes);
	text_block_free(&block);
	struct str rest = buf_str(&bytes);
	int result = text_record_next(&rest, &record);
	buf_free(&bytes);
	assert_true(result == 0 || result == ERR_CORRUPT);
	return result == 0;
}

static void records_that_nobody_wrote_are_refused(void **state)
{
	assert_true(record_is_read(TEXT_BODY, true, 4096, 100));
	assert_true(record_is_read(TEXT_FIELDS, false, 4096, 100));
	assert_false(record_is_read(TEXT_FIELDS, true, 4096, 100)); /* only bodies go on */
	assert_false(record_is_read(TEXT_HEADER, true, 4096, 100));
	assert_false(record_is_read(TEXT_BODY, false, INT64_MAX, 100));
	assert_false(record_is_read(TEXT_BODY, false, UINT64_MAX - 50, 100));
	assert_false(record_is_read(TEXT_BODY, false, 4096, UINT32_MAX));
}

/* Files of a later time beside a store of an earlier one: its numbers come to mean other messages of the same size. */
static void text_from_the_future_is_not_believed(void **state)
{
	struct text_test *t = *state;
	struct text_block block;
	struct text_writer *writer;
	text_add_many(t, 50);
	text_block_init(&block, TEXT_BODY);
	size_t n;
	struct text_candidate *candidates = text_candidates_of(t, &n);
	for (size_t i = 0; i < n + 1; i++) {
		buf_add(&block.columns[0].text, STR("OF ANOTHER LIFE\0"));
		text_block_end_message(&block, candidates[MIN(i, n - 1)].number + (i == n), candidates[MIN(i, n - 1)].size);
	}
	mem_free(candidates);
	assert_int_equal(text_writer_open(t->account, &writer), 0);
	assert_int_equal(text_writer_add(writer, &block), 0);
	text_writer_close(&writer);
	text_block_free(&block);
	text_expect_found(t, "ANOTHER LIFE", "");
	text_expect_found(t, "WORD50X", "50");
}

static void text_of_what_is_gone_is_freed(void **state)
{
	struct text_test *t = *state;
	struct set uids = SET_INIT, gone = SET_INIT;
	text_add_many(t, 300);
	text_expect_found(t, "WORD77X", "77");
	set_add(&uids, 1, 200);
	assert_int_equal(mailbox_expunge(t->inbox, &uids, false, &gone), 0);
	text_settle(t);
	text_expect_found(t, "WORD277X", "277");
	uint64_t before = text_file_size(t, ".index");
	t->fixture.settings.undelete_window = -1;
	text_close_account(t);
	fixture_reopen(&t->fixture);
	text_open_account(t);
	for (int i = 0; i < 10000; i++) {
		bool more = store_idle_work(t->fixture.store);
		text_settle(t);
		if (!more && i > 1000)
			break;
	}
	assert_true(text_file_size(t, ".index") < before);
	text_expect_found(t, "WORD277X", "277");
	text_expect_found(t, "BODY 2", "201:299");
	uint64_t messages, bytes;
	struct account_id id = fixture_account_id(1);
	mailbox_close(t->inbox);
	account_close(&t->account);
	assert_int_equal(account_destroy(t->fixture.store, &id, &messages, &bytes), 0);
	text_settle(t);
	assert_int_equal(text_file_size(t, ".index"), 0);
	assert_int_equal(text_file_size(t, ".text"), 0);
	text_open_account(t);
	set_free(&uids);
	set_free(&gone);
}

/* A message whose text takes several blocks: hits in each, across their ends, and at its own. */
static void long_messages_are_found_whole(void **state)
{
	struct text_test *t = *state;
	struct buf message = BUF_INIT(MESSAGE_MAX);
	struct buf needle = BUF_INIT(MESSAGE_MAX);
	text_add_many(t, 3);
	buf_add(&message, STR("Subject: long\r\n\r\n"));
	for (unsigned i = 0; i < 100000; i++)
		buf_addf(&message, "%06u ", i);
	buf_add(&message, STR("the end"));
	uint32_t uid = text_add(t, buf_str(&message));
	text_add_many(t, 40);
	char uids[16];
	snprintf(uids, sizeof uids, "%u", uid);
	for (int round = 0; round < 2; round++) { /* made, then read */
		for (unsigned i = 0; i < 99990; i += round ? 331 : 9973) {
			buf_clear(&needle);
			buf_addf(&needle, "%06u %06u %06u", i, i + 1, i + 2);
			buf_add_byte(&needle, '\0');
			text_expect_found(t, needle.p, uids);
		}
		text_expect_found(t, "099999 THE END", uids);
		text_expect_found(t, "000001 000003", "");
		text_expect_found(t, "ENDBODY", "");
		assert_true(text_file_size(t, ".index") > 0);
	}
	/* longer than a block */
	buf_clear(&needle);
	for (unsigned i = 10; i < 60000; i++)
		buf_addf(&needle, "%06u ", i);
	buf_add_byte(&needle, '\0');
	text_expect_found(t, needle.p, uids);
	needle.p[needle.n - 3] = 'x';
	text_expect_found(t, needle.p, "");
	buf_free(&message);
	buf_free(&needle);
}

/* --- against looking plainly --- */

static bool has(const struct text_block *block, struct str needle)
{
	return memmem(block->columns[0].text.p, block->columns[0].text.n, needle.p, needle.n) != NULL;
}

/* Words that the messages have, and words that cross what they have. */
static void searches_find_what_looking_finds(void **state)
{
	enum { MESSAGES = 200, NEEDLES = 120 };
	static const char *const charsets[] = { "utf-8", "iso-8859-1", "koi8-r", "iso-2022-jp", "utf-7", "x-none" };
	struct text_test *t = *state;
	struct text_block *blocks = mem_alloc(MESSAGES, sizeof *blocks);
	uint32_t seed = 7;
	for (unsigned i = 0; i < MESSAGES; i++) {
		struct buf message = BUF_INIT(MESSAGE_MAX);
		unsigned words = text_random(&seed) % (i % 50 == 0 ? 60000 : 400);
		buf_addf(&message, "Subject: s\r\nContent-Type: text/%s; charset=%s\r\n\r\n", i % 3 ? "plain" : "html",
		         charsets[text_random(&seed) % 6]);
		for (unsigned k = 0; k < words; k++) {
			for (unsigned letters = 1 + text_random(&seed) % 6; letters; letters--)
				buf_add_byte(&message, "abcdeABC&<>=+\xe9\xc3\xa4"[text_random(&seed) % 16]);
			buf_add(&message, k % 9 ? STR(" ") : STR("\r\n"));
		}
		uint32_t uid = text_add(t, buf_str(&message));
		text_settle(t);
		text_block_init(&blocks[i], TEXT_BODY);
		text_of(t, uid, &blocks[i]);
		buf_free(&message);
	}
	for (unsigned k = 0; k < NEEDLES; k++) {
		const struct buf *text = &blocks[text_random(&seed) % MESSAGES].columns[0].text;
		size_t n = 1 + text_random(&seed) % 12, at = text->n > n ? text_random(&seed) % (text->n - n) : 0;
		struct str needle = str_first(str_from(buf_str(text), at), n);
		if (needle.n == 0 || str_find_byte(needle, '\0') >= 0)
			continue;
		struct set found = text_search_for(t, TEXT_BODY, 0, needle);
		for (unsigned i = 0; i < MESSAGES; i++)
			if (set_has(&found, i + 1) != has(&blocks[i], needle))
				fail_msg("\"%.*s\" in %u: %d", STR_ARG(needle), i + 1, set_has(&found, i + 1));
		set_free(&found);
		if (k % 40 == 39)
			text_forget(t->account);
	}
	for (unsigned i = 0; i < MESSAGES; i++)
		text_block_free(&blocks[i]);
	mem_free(blocks);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, text_set_up, text_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_text_of_bodies),
		TEST(the_text_of_headers),
		TEST(parameters_that_were_rewritten),
		TEST(a_message_that_base64_hides),
		TEST(text_is_kept_and_used_again),
		TEST(nothing_is_kept_of_what_may_never_have_been),
		TEST(searches_need_no_room_to_keep_text),
		TEST(all_that_is_read_is_asked_for),
		TEST(all_of_a_long_header_is_asked_for),
		TEST(headers_become_no_more_than_so_much_text),
		TEST(what_is_damaged_is_made_again),
		TEST(values_are_looked_for_in_their_fields),
		TEST(messages_that_went_meanwhile_are_no_error),
		TEST(one_message_in_two_entries_is_read_once),
		TEST(records_that_nobody_wrote_are_refused),
		TEST(text_from_the_future_is_not_believed),
		TEST(text_of_what_is_gone_is_freed),
		TEST(long_messages_are_found_whole),
		TEST(searches_find_what_looking_finds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
