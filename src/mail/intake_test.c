/* Tests of large messages that come in by slices: what is stored is what one piece gives, whatever they are made of. With
 * MANSIO_CORPORA (or ../shared/corpora beside the project) they are made of the messages there. */
#include "mail/test_mail.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MESSAGE_MAX (8 * 1024 * 1024)
#define RANDOM_RUNS 12

static struct mail_test test;
static const struct mail_facts facts = { .internal_date = 1000000000 };

static int set_up(void **state)
{
	return mail_test_begin(&test, MESSAGE_MAX, 64 * 1024 * 1024);
}

static int tear_down(void **state)
{
	return mail_test_end(&test);
}

static struct mail_source in_file(struct str head, struct str bytes)
{
	struct mail_source source = { .head = head, .fd = memfd_create("message", MFD_CLOEXEC), .length = bytes.n };
	assert_true(source.fd >= 0);
	assert_int_equal(file_write(source.fd, bytes), 0);
	return source;
}

/* In slices as small as they can be, with other messages in between. */
static int append_ahead(struct mail_source *source, uint32_t *uid)
{
	bool ready = false;
	int result = 0;
	uint32_t other;
	struct mail_source small = { .bytes = STR("Subject: in between\r\n\r\nx\r\n"), .fd = -1 };
	source->intake = mail_intake_new(&test.settings);
	while (result == 0 && !ready) {
		result = mail_append_ahead(test.inbox, &test.settings, source, &facts, 0, &ready);
		assert_int_equal(mail_append(test.inbox, &test.settings, &small, &facts, &other), 0);
		fixture_settle(&test.fixture);
	}
	if (result == 0)
		result = mail_append(test.inbox, &test.settings, source, &facts, uid);
	mail_intake_free(&source->intake);
	return result;
}

struct stored {
	struct message_row row;
	struct buf derived;
	char *bytes;
};

static void read_back(uint32_t uid, struct stored *out)
{
	struct message_cursor cursor;
	const struct entry *entry = entry_find(test.inbox, uid);
	assert_non_null(entry);
	message_cursor_begin(&cursor, test.account);
	assert_int_equal(message_cursor_get(&cursor, entry->message, &out->row), 0);
	out->derived = BUF_INIT(64 * 1024 * 1024);
	const struct message_derived *derived = &out->row.derived;
	const struct str all[] = { derived->envelope, derived->structure, derived->body, derived->parts, derived->headers };
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		buf_addf(&out->derived, "%zu:", all[i].n);
		buf_add(&out->derived, all[i]);
	}
	out->bytes = mem_alloc(1, out->row.size);
	assert_int_equal(message_read(test.account, &out->row, 0, out->row.size, out->bytes), 0);
	message_cursor_end(&cursor);
}

static void free_stored(struct stored *stored)
{
	buf_free(&stored->derived);
	mem_free(stored->bytes);
}

static void assert_same(uint32_t first, uint32_t second)
{
	struct stored one, other;
	read_back(first, &one);
	read_back(second, &other);
	assert_int_equal(one.row.size, other.row.size);
	assert_int_equal(one.row.traits, other.row.traits);
	assert_int_equal(one.row.header_size, other.row.header_size);
	assert_int_equal(one.row.lines, other.row.lines);
	assert_true(str_eq(buf_str(&one.derived), buf_str(&other.derived)));
	assert_memory_equal(one.bytes, other.bytes, one.row.size);
	free_stored(&one);
	free_stored(&other);
}

static void both_ways_are_one(struct str head, struct str bytes)
{
	uint32_t whole, sliced;
	struct mail_source source = in_file(head, bytes);
	assert_int_equal(mail_is_large(&source), bytes.n > MAIL_LARGE);
	int result = mail_append(test.inbox, &test.settings, &source, &facts, &whole);
	assert_int_equal(append_ahead(&source, &sliced), result);
	if (result == 0)
		assert_same(whole, sliced);
	else
		assert_int_equal(result, ERR_SYNTAX);
	close(source.fd);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33);
}

static void random_messages_are_the_same_both_ways(void **state)
{
	static const struct str words[] = {
		STR_INIT("\r\n"), STR_INIT("\n"), STR_INIT("\r"), STR_INIT("--b\r\n"), STR_INIT("\r\n--b--\r\n"), STR_INIT("\r\n--c\r\n"),
		STR_INIT("Content-Type: multipart/mixed; boundary=c\r\n\r\n"), STR_INIT("Content-Type: message/rfc822\r\n\r\n"),
		STR_INIT("To: a@b\r\n"), STR_INIT("."), STR_INIT("x"), STR_INIT(" folded\r\n"), STR_INIT("\xc3\xa9"), STR_INIT("Subject: s\r\n"),
		STR_INIT("a line of text that is as long as most are in what people write\r\n"),
	};
	uint64_t random = 42;
	for (int run = 0; run < RANDOM_RUNS; run++) {
		struct buf text = BUF_INIT(MESSAGE_MAX);
		size_t size = MAIL_LARGE + next_random(&random) % (MAIL_LARGE / 2), few = 2 + next_random(&random) % COUNT_OF(words);
		buf_add(&text, STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"));
		while (text.n < size)
			buf_add(&text, words[next_random(&random) % few]);
		if (run % 6 == 5)
			text.p[text.n / 2] = '\0';
		both_ways_are_one(run % 2 ? STR("Received: us\r\n") : STR(""), buf_str(&text));
		buf_free(&text);
	}
}

static struct buf joined;

static int join_file(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	if (kind != FTW_F || !strstr(path, ".eml") || (size_t)st->st_size > joined.max - joined.n)
		return 0;
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	char *to = buf_reserve(&joined, (size_t)st->st_size);
	buf_commit(&joined, fread(to, 1, (size_t)st->st_size, file));
	fclose(file);
	return 0;
}

/* One behind the other, from each of many places on. */
static void messages_of_the_corpora_are_the_same_both_ways(void **state)
{
	const char *folder = mail_test_corpora();
	joined = BUF_INIT(16 * 1024 * 1024);
	do { /* several times, if they are few: pieces are cut elsewhere each time */
		size_t before = joined.n;
		assert_int_equal(nftw(folder, join_file, 16, FTW_PHYS), 0);
		assert_true(joined.n > before);
	} while (joined.n < 4 * MAIL_LARGE);
	print_message("%zu bytes\n", joined.n);
	for (size_t at = 0; at < joined.n; at += MAIL_LARGE + 12345)
		both_ways_are_one(STR(""), str_first(str_from(buf_str(&joined), at), MAIL_LARGE + 54321));
	buf_free(&joined);
}

static struct str large_text(struct buf *text, struct str line)
{
	buf_add(text, STR("Subject: x\r\n\r\n"));
	while (text->n < 2 * MAIL_LARGE)
		buf_add(text, line);
	return buf_str(text);
}

static int deliver_ahead(struct mail_source *source, unsigned char first, unsigned *steps)
{
	struct delivery_claim claim = { .key = { first } };
	bool ready = false;
	int result = 0;
	for (*steps = 0; result == 0 && !ready; ++*steps)
		result = mail_deliver_ahead(test.account, &test.settings, source, &facts, &claim, 0, &ready);
	return result == 0 ? mail_deliver(test.account, &test.settings, source, &facts, &claim) : result;
}

static void a_delivery_goes_to_several_and_to_each_once(void **state)
{
	struct buf text = BUF_INIT(MESSAGE_MAX);
	struct mail_source source = in_file(STR("Received: us\r\n"), large_text(&text, STR("hello\r\n")));
	unsigned steps;
	source.intake = mail_intake_new(&test.settings);
	assert_int_equal(deliver_ahead(&source, 1, &steps), 0);
	assert_true(steps > 8);
	assert_int_equal(deliver_ahead(&source, 1, &steps), 0);
	assert_int_equal(steps, 1);
	assert_int_equal(mailbox_count(test.inbox), 1);
	assert_int_equal(deliver_ahead(&source, 2, &steps), 0); /* is parsed already */
	assert_int_equal(mailbox_count(test.inbox), 2);
	assert_same(1, 2);
	mail_intake_free(&source.intake);
	close(source.fd);
	buf_free(&text);
}

static void what_is_refused_is_not_copied(void **state)
{
	struct buf text = BUF_INIT(MESSAGE_MAX);
	struct mail_source source = in_file(STR(""), large_text(&text, STR("bare\n")));
	struct store_statistics statistics;
	unsigned steps;
	source.intake = mail_intake_new(&test.settings);
	assert_int_equal(deliver_ahead(&source, 1, &steps), ERR_SYNTAX);
	mail_intake_free(&source.intake);
	test.settings.max_message_size = MAIL_LARGE;
	source.intake = mail_intake_new(&test.settings);
	assert_int_equal(deliver_ahead(&source, 2, &steps), ERR_LIMIT);
	assert_int_equal(steps, 1);
	mail_intake_free(&source.intake);
	assert_int_equal(mailbox_count(test.inbox), 0);
	fixture_settle(&test.fixture);
	store_statistics(test.fixture.store, &statistics);
	assert_int_equal(statistics.body_bytes, 0);
	close(source.fd);
	buf_free(&text);
}

static void it_can_be_given_up_anywhere(void **state)
{
	struct buf text = BUF_INIT(MESSAGE_MAX);
	struct mail_source source = in_file(STR(""), large_text(&text, STR("hello\r\n")));
	for (int steps = 0; steps < 20; steps++) {
		bool ready;
		source.intake = mail_intake_new(&test.settings);
		for (int i = 0; i < steps; i++)
			assert_int_equal(mail_append_ahead(test.inbox, &test.settings, &source, &facts, 0, &ready), 0);
		mail_intake_free(&source.intake);
		fixture_settle(&test.fixture);
	}
	assert_int_equal(mailbox_count(test.inbox), 0);
	close(source.fd);
	buf_free(&text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(random_messages_are_the_same_both_ways),
		TEST(messages_of_the_corpora_are_the_same_both_ways),
		TEST(a_delivery_goes_to_several_and_to_each_once),
		TEST(what_is_refused_is_not_copied),
		TEST(it_can_be_given_up_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
