/* Tests of the way in: what was brought is what is stored, what must be refused is refused, a delivery is stored
 * once. With MANSIO_CORPORA (or ../shared/corpora beside the project) every message there goes through too. */
#include "mail/test_mail.h"

#include "base/checked.h"
#include "base/mem.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MESSAGE_MAX  (4 * 1024 * 1024)
#define CORPUS_FILES 2000

#define DERIVED_FACTOR 20 /* bytes that are kept of a byte of mail, at the very most */

static struct mail_test test;

static int set_up(void **state)
{
	return mail_test_begin(&test, MESSAGE_MAX, 0);
}

static int tear_down(void **state)
{
	return mail_test_end(&test);
}

static const struct mail_facts facts = { .flags = FLAG_FLAGGED, .internal_date = 1000000000, .zone_minutes = 60 };

static struct str message(void)
{
	return STR("From: a@example.test\r\nSubject: x\r\nX-Other: y\r\n\r\nhello\r\n.dot\r\n");
}

static void read_row(uint32_t uid, struct message_cursor *cursor, struct message_row *row)
{
	const struct entry *entry = entry_find(test.inbox, uid);
	assert_non_null(entry);
	message_cursor_begin(cursor, test.account);
	assert_int_equal(message_cursor_get(cursor, entry->message, row), 0);
}

/* The bytes of the stored message are these two, one behind the other. */
static void assert_bytes(uint32_t uid, struct str head, struct str body)
{
	struct message_cursor cursor;
	struct message_row row;
	read_row(uid, &cursor, &row);
	assert_int_equal(row.size, head.n + body.n);
	char *bytes = mem_alloc(1, row.size);
	assert_int_equal(message_read(test.account, &row, 0, row.size, bytes), 0);
	if (head.n)
		assert_memory_equal(bytes, head.p, head.n);
	if (body.n)
		assert_memory_equal(bytes + head.n, body.p, body.n);
	mem_free(bytes);
	message_cursor_end(&cursor);
}

static void an_appended_message_comes_back_with_its_facts(void **state)
{
	struct mail_source source = { .head = STR("Received: us\r\n"), .bytes = message(), .fd = -1 };
	struct message_cursor cursor;
	struct message_row row;
	struct keyword_bits bits;
	uint32_t uid;
	struct str keywords[] = { STR("one"), STR("TWO"), STR("One") };
	struct mail_facts with = facts;
	with.keywords = keywords;
	with.n_keywords = 3;
	assert_int_equal(mail_append(test.inbox, &test.settings, &source, &with, &uid), 0);
	assert_bytes(uid, source.head, source.bytes);
	read_row(uid, &cursor, &row);
	assert_int_equal(row.internal_date, 1000000000);
	assert_int_equal(row.zone_minutes, 60);
	assert_int_equal(row.traits, MESSAGE_NEEDS_STUFFING);
	assert_int_equal(row.header_size, 14 + 48);
	assert_int_equal(row.lines, 7);
	assert_true(str_find(row.derived.envelope, STR("\"x\"")) > 0);
	assert_true(str_istarts(row.derived.structure, STR("(\"TEXT\" \"PLAIN\"")));
	assert_true(row.derived.body.n > 0 && row.derived.parts.n > 0);
	assert_true(str_eq(row.derived.headers, STR("From: a@example.test\r\nSubject: x\r\n")) ||
	            str_eq(row.derived.headers, STR("From: a@example.test\r\nSubject: x\r\n\r\n")));
	message_cursor_end(&cursor);
	const struct entry *entry = entry_find(test.inbox, uid);
	assert_int_equal(entry->flags, FLAG_FLAGGED);
	entry_keywords(test.inbox, entry, &bits);
	assert_int_equal(bits.word[0], 3);
}

static void fields_above_the_message_are_kept_too(void **state)
{
	struct mail_source source = { .head = STR("Received: us;\r\n now\r\nMessage-ID: <1@us>\r\n"),
		                          .bytes = STR("Subject: x\r\n\r\ny\r\n"), .fd = -1 };
	struct message_cursor cursor;
	struct message_row row;
	uint32_t uid;
	assert_int_equal(mail_append(test.inbox, &test.settings, &source, &facts, &uid), 0);
	read_row(uid, &cursor, &row);
	assert_true(str_eq(row.derived.headers, STR("Message-ID: <1@us>\r\nSubject: x\r\n\r\n")));
	message_cursor_end(&cursor);
}

static int append(struct str bytes, uint32_t *uid)
{
	struct mail_source source = { .bytes = bytes, .fd = -1 };
	return mail_append(test.inbox, &test.settings, &source, &facts, uid);
}

static int deliver(struct str bytes, const char *key)
{
	struct delivery_claim claim = { .delivery = NULL };
	struct mail_source source = { .bytes = bytes, .fd = -1 };
	memcpy(claim.key, key, strlen(key));
	return mail_deliver(test.account, &test.settings, &source, &facts, &claim);
}

static void what_must_not_come_in_is_refused(void **state)
{
	uint32_t uid = 0;
	assert_int_equal(append(STR("Subject: x\r\n\r\na\0b\r\n"), &uid), ERR_SYNTAX);
	assert_int_equal(deliver(STR("Subject: x\r\n\r\na\0b\r\n"), "nul"), ERR_SYNTAX);
	assert_int_equal(deliver(STR("Subject: x\r\n\r\na\nb\r\n"), "lf"), ERR_SYNTAX);
	assert_int_equal(deliver(STR("Subject: x\r\n\r\na\rb\r\n"), "cr"), ERR_SYNTAX);
	assert_int_equal(mailbox_count(test.inbox), 0);
	assert_int_equal(append(STR("Subject: x\n\na\nb\n"), &uid), 0); /* a client may bring what it has */
	assert_bytes(uid, STR(""), STR("Subject: x\n\na\nb\n"));
	char *large = mem_alloc(1, MESSAGE_MAX + 1);
	memset(large, 'x', MESSAGE_MAX + 1);
	assert_int_equal(append(str_of(large, MESSAGE_MAX + 1), &uid), ERR_LIMIT);
	mem_free(large);
	struct str keywords[] = { STR("a"), STR("b"), STR("c"), STR("d") };
	struct mail_source source = { .bytes = message(), .fd = -1 };
	struct mail_facts many = { .keywords = keywords, .n_keywords = 4 };
	assert_int_equal(mail_append(test.inbox, &test.settings, &source, &many, &uid), ERR_LIMIT);
	assert_int_equal(mailbox_count(test.inbox), 1);
}

static uint32_t traits(uint32_t uid)
{
	struct message_cursor cursor;
	struct message_row row;
	read_row(uid, &cursor, &row);
	message_cursor_end(&cursor);
	return row.traits;
}

static void the_end_of_a_message_is_seen_across_its_pieces(void **state)
{
	uint32_t uid;
	struct mail_source source = { .head = STR("A: b\r\n\r\nx\r"), .bytes = STR("\n"), .fd = -1 };
	assert_int_equal(mail_append(test.inbox, &test.settings, &source, &facts, &uid), 0);
	assert_int_equal(traits(uid), 0);
	source = (struct mail_source){ .head = STR("A: b\r\n\r\nx\r\n"), .fd = -1 };
	assert_int_equal(mail_append(test.inbox, &test.settings, &source, &facts, &uid), 0);
	assert_int_equal(traits(uid), 0);
	assert_int_equal(append(STR("A: b\r\n\r\n\xe4"), &uid), 0);
	assert_int_equal(traits(uid), MESSAGE_8BIT | MESSAGE_ENDS_WITHOUT_CRLF);
	assert_int_equal(append(STR(""), &uid), 0);
	assert_bytes(uid, STR(""), STR(""));
}

static void what_does_not_fit_into_the_account_is_refused(void **state)
{
	struct account_id id = fixture_account_id(1);
	uint32_t uid;
	assert_int_equal(append(STR("A: b\r\n\r\nno end"), &uid), 0);
	const struct entry *entry = entry_find(test.inbox, uid);
	assert_int_equal(entry_size(entry), strlen("A: b\r\n\r\nno end"));
	assert_true(entry->open_end);
	assert_int_equal(account_set_quota(test.fixture.store, &id, &(struct account_quota){ 2, QUOTA_DEFAULT }), 0);
	assert_int_equal(deliver(message(), "one"), 0);
	assert_false(entry_find(test.inbox, uid + 1)->open_end);
	assert_int_equal(deliver(message(), "two"), ERR_QUOTA);
	assert_int_equal(append(message(), &uid), ERR_QUOTA);
	assert_int_equal(deliver(message(), "one"), 0); /* is there already */
	assert_int_equal(mailbox_count(test.inbox), 2);
}

static void a_delivery_is_stored_once_per_key(void **state)
{
	assert_int_equal(deliver(message(), "one"), 0);
	assert_int_equal(deliver(message(), "one"), 0);
	assert_int_equal(mailbox_count(test.inbox), 1);
	fixture_settle(&test.fixture);
	assert_int_equal(deliver(message(), "one"), 0);
	assert_int_equal(deliver(message(), "two"), 0);
	assert_int_equal(mailbox_count(test.inbox), 2);
	store_turn(test.fixture.store);
	assert_false(store_writable(test.fixture.store));
	assert_int_equal(deliver(message(), "three"), ERR_UNAVAILABLE);
}

static void a_spool_goes_to_a_file_over_its_threshold(void **state)
{
	struct mail_spool spool;
	struct buf all = BUF_INIT(MESSAGE_MAX);
	struct str head = STR("Received: us\r\n");
	uint32_t uid;
	buf_add(&all, message());
	for (int i = 0; all.n < 600000; i++)
		buf_addf(&all, "line %d\r\n", i);
	for (size_t n = 90; n <= all.n; n = n * 20 + 7) {
		struct str rest = str_first(buf_str(&all), n);
		mail_spool_start(&spool, str_from_c(test.fixture.directory), 2000);
		for (size_t bite = 1; rest.n > 0; rest = str_from(rest, bite), bite = bite * 3 % 7001)
			assert_int_equal(mail_spool_add(&spool, str_first(rest, bite)), 0);
		struct mail_source source = mail_spool_source(&spool);
		assert_int_equal(source.fd >= 0, n > 2000);
		source.head = head;
		assert_int_equal(mail_append(test.inbox, &test.settings, &source, &facts, &uid), 0);
		assert_bytes(uid, head, str_first(buf_str(&all), n));
		mail_spool_free(&spool);
		mail_spool_free(&spool); /* harmless */
	}
	mail_spool_start(&spool, STR("/nonexistent"), 10);
	assert_int_equal(mail_spool_add(&spool, buf_str(&all)), ERR_NOT_FOUND);
	mail_spool_free(&spool);
	buf_free(&all);
}

static void repeat(struct buf *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_add(out, str_from_c(text));
}

static size_t derived_bytes(const struct message_derived *derived)
{
	return derived->envelope.n + derived->structure.n + derived->body.n + derived->parts.n + derived->headers.n;
}

/* Of two parts whose parameters print as more than is kept: taken, as one part for whoever asks. */
static void a_message_whose_structure_is_too_much_is_one_part(void **state)
{
	struct buf text = BUF_INIT(MESSAGE_MAX);
	struct message_cursor cursor;
	struct message_row row;
	struct mime_range range;
	uint32_t uid;
	buf_add(&text, STR("Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"));
	for (int i = 0; i < 2; i++) {
		buf_add(&text, STR("--b\r\nContent-Type: a/b; name*=''"));
		repeat(&text, "\x01", 200000);
		buf_add(&text, STR("\r\n\r\nbody\r\n"));
	}
	assert_int_equal(append(buf_str(&text), &uid), 0);
	assert_bytes(uid, STR(""), buf_str(&text));
	read_row(uid, &cursor, &row);
	assert_true(str_starts(row.derived.structure, STR("(\"application\" \"octet-stream\" NIL NIL NIL \"7bit\" ")));
	assert_true(str_starts(row.derived.body, STR("(\"application\" \"octet-stream\" NIL NIL NIL \"7bit\" ")));
	assert_true(str_starts(row.derived.envelope, STR("(NIL \"x\" NIL")));
	assert_int_equal(mime_parts_find(row.derived.parts, (const uint32_t[]){ 1 }, 1, MIME_SECTION_WHOLE, &range), 0);
	assert_int_equal(range.offset + range.n, row.size);
	message_cursor_end(&cursor);
	buf_free(&text);
}

/* With limits that allow a header of megabytes. */
static void an_envelope_that_is_too_much_is_an_empty_one(void **state)
{
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	limits.header_bytes = limits.header_total = 16 * 1024 * 1024;
	struct mail_reader *reader = mail_reader_new(&limits);
	struct message_arrival found = { 0 };
	struct buf text = BUF_INIT(MESSAGE_MAX);
	buf_add(&text, STR("From: a@b.example\r\nSubject: "));
	repeat(&text, "x", 2 * 1024 * 1024);
	buf_add(&text, STR("\r\n\r\nbody\r\n"));
	struct mail_source source = { .bytes = buf_str(&text), .fd = -1 };
	assert_int_equal(mail_examine(reader, &source, &found), 0);
	assert_true(str_eq(found.derived.envelope, STR("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)")));
	assert_int_equal(found.lines, 4);
	mail_reader_free(&reader);
	buf_free(&text);
}

/* Sent on purpose: what is kept of it grows with it, not by fifty bytes for each of its own. No quota counts that. */
static void no_message_makes_very_much_more_than_itself(void **state)
{
	static const struct {
		const char *head, *again;
	} kinds[] = {
		{ "From: ", ":;" },
		{ "From: ", "a," },
		{ "Content-Type: message/rfc822\r\n\r\nFrom: ", ":;" },
		{ "Content-Type: multipart/digest; boundary=b\r\n\r\n", "--b\n\n" },
		{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\n\n" },
		{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\nContent-Type: message/rfc822\n\nFrom: a,a,a,a,\n\n" },
		{ "Content-Type: multipart/digest; boundary=b\r\n\r\n", "--b\n\nFrom: :;:;\n\n" },
		{ "Content-Type: a/b", ";a=b" },
		{ "Content-Type: a/b; name*=''", "\x01" },
		{ "Content-Language: ", "a," },
	};
	static const size_t sizes[] = { 1000, 10000, 100000, 1000000 };
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		for (size_t k = 0; k < COUNT_OF(sizes); k++) {
			struct buf text = BUF_INIT(MESSAGE_MAX);
			struct message_arrival found = { 0 };
			buf_add(&text, str_from_c(kinds[i].head));
			repeat(&text, kinds[i].again, sizes[k] / strlen(kinds[i].again));
			struct mail_source source = { .bytes = buf_str(&text), .fd = -1 };
			assert_int_equal(mail_examine(test.settings.reader, &source, &found), 0);
			if (derived_bytes(&found.derived) > DERIVED_FACTOR * text.n)
				fail_msg("%zu bytes of %s%s...: %zu", text.n, kinds[i].head, kinds[i].again, derived_bytes(&found.derived));
			buf_free(&text);
		}
	}
}

static void kept_headers_are_known_by_name(void **state)
{
	const struct str names[] = { STR("subject"), STR("DATE"), STR("X-Other") };
	assert_true(mail_headers_are_kept(names, 2));
	assert_false(mail_headers_are_kept(names, 3));
	assert_true(mail_headers_are_kept(names, 0));
}

/* --- corpora --- */

static uint32_t corpus_files;

static int append_file(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	if (kind != FTW_F || st->st_size == 0 || st->st_size > MESSAGE_MAX || corpus_files >= CORPUS_FILES || !strstr(path, ".eml"))
		return 0;
	FILE *file = fopen(path, "rb");
	char *bytes = mem_alloc(1, (size_t)st->st_size);
	uint32_t uid;
	assert_non_null(file);
	struct str text = str_of(bytes, fread(bytes, 1, (size_t)st->st_size, file));
	fclose(file);
	int result = append(text, &uid);
	if (result == 0)
		assert_bytes(uid, STR(""), text);
	else
		assert_true(result == ERR_SYNTAX && str_find_byte(text, '\0') >= 0);
	if (++corpus_files % 50 == 0)
		fixture_settle(&test.fixture);
	mem_free(bytes);
	return 0;
}

static void messages_of_the_corpora_come_back_the_same(void **state)
{
	const char *folder = mail_test_corpora();
	corpus_files = 0;
	assert_int_equal(nftw(folder, append_file, 16, FTW_PHYS), 0);
	print_message("%u messages\n", corpus_files);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_appended_message_comes_back_with_its_facts),
		TEST(what_must_not_come_in_is_refused),
		TEST(the_end_of_a_message_is_seen_across_its_pieces),
		TEST(what_does_not_fit_into_the_account_is_refused),
		TEST(a_delivery_is_stored_once_per_key),
		TEST(a_spool_goes_to_a_file_over_its_threshold),
		TEST(a_message_whose_structure_is_too_much_is_one_part),
		TEST(an_envelope_that_is_too_much_is_an_empty_one),
		TEST(no_message_makes_very_much_more_than_itself),
		TEST(kept_headers_are_known_by_name),
		TEST(fields_above_the_message_are_kept_too),
		TEST(messages_of_the_corpora_come_back_the_same),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
