/* corpus_test.c: every message of the corpora (MANSIO_CORPORA; skipped where they are absent), with CRLF, goes in by
 * APPEND and comes out by FETCH the same, whole and in its two halves; header fields selected from what a row keeps are
 * those of the message. Messages with a NUL are refused. */
#include "proto/imap/session_test_world.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#define FILE_MAX   (4 << 20)
#define OPEN_FILES 16

static const char *const folders[] = { "mime4j",            "mail-parser", "python-email",
	                                   "james-mailbox-eml", "jsmime",      "mimekit" };

/* nftw() passes no context, so these are the test's only globals. */
static struct buf crlf;
static struct test_client client;
static unsigned messages, refused;

static void read_with_crlf(FILE *file)
{
	int before = 0, c;
	buf_clear(&crlf);
	while ((c = getc(file)) != EOF) {
		if (c == '\n' && before != '\r')
			buf_add_byte(&crlf, '\r');
		buf_add_byte(&crlf, (char)c);
		before = c;
	}
}

/* Fetches one item of the last message; its literal. */
static struct str fetch(const char *item)
{
	struct buf command = BUF_INIT(1000);
	uint64_t n;
	buf_addf(&command, "f FETCH * %s\r\n", item);
	test_say_bytes(&client, buf_str(&command));
	buf_free(&command);
	test_expect_part(&client, "\r\nf OK ");
	struct str text = buf_str(&client.text);
	ptrdiff_t open = str_find_byte(text, '{'), close = str_find(text, STR("}\r\n"));
	assert_true(open > 0 && close > open);
	assert_int_equal(str_to_u64(str_of(text.p + open + 1, (size_t)(close - open - 1)), UINT32_MAX, &n), 0);
	text = str_from(text, (size_t)close + 3);
	assert_true(n <= text.n);
	return str_first(text, (size_t)n);
}

static void check_halves(struct str message)
{
	struct buf whole = BUF_INIT(2 * FILE_MAX);
	buf_add(&whole, fetch("BODY.PEEK[HEADER]"));
	buf_add(&whole, fetch("BODY.PEEK[TEXT]"));
	assert_true(str_eq(buf_str(&whole), message));
	buf_free(&whole);
}

static void check_kept_fields(const char *path)
{
	struct buf kept = BUF_INIT(FILE_MAX);
	buf_add(&kept, fetch("BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-Id References)]"));
	struct str selected = fetch("BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-Id References X-Nobody-Has-This)]");
	if (!str_eq(buf_str(&kept), selected))
		fail_msg("%s: kept\n%.*s\nselected\n%.*s", path, STR_ARG(buf_str(&kept)), STR_ARG(selected));
	buf_free(&kept);
}

static void check(const char *path, struct str message)
{
	struct buf command = BUF_INIT(2 * FILE_MAX);
	buf_addf(&command, "a APPEND INBOX {%zu+}\r\n", message.n);
	buf_add(&command, message);
	buf_add(&command, STR("\r\n"));
	test_say_bytes(&client, buf_str(&command));
	buf_free(&command);
	messages++;
	if (str_find_byte(message, '\0') >= 0) {
		test_expect_part(&client, "a NO [CANNOT] ");
		refused++;
		return;
	}
	test_expect_part(&client, "a OK [APPENDUID ");
	if (!str_eq(fetch("BODY.PEEK[]"), message))
		fail_msg("%s comes out another", path);
	check_halves(message);
	check_kept_fields(path);
	test_say(&client, "f FETCH * (ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[1] BODY.PEEK[2.MIME] BODY.PEEK[1.2.HEADER])\r\n");
	test_expect_part(&client, "\r\nf OK ");
}

static bool is_message(const char *path)
{
	struct str name = str_from_c(path);
	return str_ends(name, STR(".eml")) || str_ends(name, STR(".msg")) || str_ends(name, STR(".txt")) ||
	       str_find(name, STR("/jsmime/data/")) >= 0;
}

static int check_file(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
	if (kind != FTW_F || facts->st_size == 0 || facts->st_size > FILE_MAX / 4 || !is_message(path))
		return 0;
	FILE *file = fopen(path, "rbe");
	assert_non_null(file);
	read_with_crlf(file);
	fclose(file);
	check(path, buf_str(&crlf));
	return 0;
}

static void test_corpora_go_in_and_come_out(void **state)
{
	static struct test_store w;
	const char *root = getenv("MANSIO_CORPORA") ? getenv("MANSIO_CORPORA") : MANSIO_SOURCE_ROOT "/../shared/corpora";
	char path[4096];
	test_store_begin(&w);
	w.settings.mail.max_message_size = FILE_MAX;
	crlf = BUF_INIT(FILE_MAX);
	test_client_begin(&client, &w, 1);
	test_say(&client, "s SELECT INBOX\r\n");
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, sizeof path, "%s/%s", root, folders[i]);
		nftw(path, check_file, OPEN_FILES, FTW_PHYS);
	}
	test_say(&client, "x SEARCH OR SUBJECT \"re:\" NOT FROM \"@\"\r\ny SEARCH SENTSINCE 1-Jan-2000\r\n");
	test_expect_part(&client, "x OK ");
	test_expect_part(&client, "y OK ");
	test_client_end(&client);
	buf_free(&crlf);
	test_store_end(&w);
	if (messages == 0) {
		print_message("no corpora at %s\n", root);
		skip();
	}
	print_message("%u messages, %u refused for a NUL\n", messages, refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_corpora_go_in_and_come_out) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
