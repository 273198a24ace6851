/* Every message of the corpora (MANSIO_CORPORA; skipped where they are absent), with CRLF and as it is: cut into chunks
 * anywhere, it gives the same tree, ENVELOPE, BODYSTRUCTURE and facts as in one piece. */
#include "syntax/mime.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#define FILE_MAX   (4 << 20)
#define OUT_MAX    (64 << 20)
#define CUTTINGS   6
#define CHUNK_MAX  300
#define OPEN_FILES 16

static const char *const folders[] = { "mime4j",            "mail-parser", "python-email",
	                                 "james-mailbox-eml", "jsmime",      "mimekit" };

/* nftw() passes no context, so these are the test's only globals. */
static struct buf message, crlf;
static uint64_t random_state = 1;
static size_t messages;

static size_t random_below(size_t bound)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(random_state >> 33) % bound;
}

/* Everything that is said about the message, as bytes to compare. */
static void describe(const struct mime_message *m, struct buf *out)
{
	envelope_print(m, 0, out);
	bodystructure_print(m, true, out);
	mime_encode_parts(m, out);
	buf_addf(out, "%d%d%d%d %llu %llu", m->pure_crlf, m->has_nul, m->has_8bit, m->needs_dot_stuffing,
	         (unsigned long long)m->lines, (unsigned long long)m->header_size);
	for (uint32_t i = 0; i < m->n_parts; i++) {
		const struct mime_part *part = &m->parts[i];
		assert_true(part->header_start <= part->body_start && part->body_start <= part->body_end);
		assert_true(part->body_end <= m->size);
		if (part->parent != MIME_NONE) {
			assert_true(part->header_start >= m->parts[part->parent].body_start);
			assert_true(part->body_end <= m->parts[part->parent].body_end);
		}
	}
	assert_int_equal(buf_error(out), 0);
}

static void check(struct str text)
{
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	struct mime_parser *parser = mime_parser_new(&limits);
	struct buf whole = BUF_INIT(OUT_MAX), cut = BUF_INIT(OUT_MAX);
	mime_parser_feed(parser, text);
	describe(mime_parser_finish(parser), &whole);
	for (int i = 0; i < CUTTINGS; i++) {
		size_t chunk_max = i == 0 ? 1 : 1 + random_below(CHUNK_MAX);
		mime_parser_reset(parser);
		buf_clear(&cut);
		for (struct str rest = text; rest.n > 0;) {
			struct str chunk = str_first(rest, 1 + random_below(chunk_max));
			mime_parser_feed(parser, chunk);
			rest = str_from(rest, chunk.n);
		}
		describe(mime_parser_finish(parser), &cut);
		assert_int_equal(cut.n, whole.n);
		assert_memory_equal(cut.p, whole.p, whole.n);
	}
	mime_parser_free(&parser);
	buf_free(&whole);
	buf_free(&cut);
}

static void make_crlf(struct str text)
{
	buf_clear(&crlf);
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\n' && (i == 0 || text.p[i - 1] != '\r'))
			buf_add_byte(&crlf, '\r');
		buf_add_byte(&crlf, text.p[i]);
	}
}

static bool is_message(const char *path)
{
	struct str name = str_from_c(path);
	return str_ends(name, STR(".eml")) || str_ends(name, STR(".msg")) || str_ends(name, STR(".txt")) ||
	       str_find(name, STR("/jsmime/data/")) >= 0;
}

static int check_file(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
	if (kind != FTW_F || facts->st_size > FILE_MAX || !is_message(path))
		return 0;
	FILE *file = fopen(path, "rbe");
	assert_non_null(file);
	buf_clear(&message);
	char *room = buf_reserve(&message, FILE_MAX);
	assert_non_null(room);
	buf_commit(&message, fread(room, 1, FILE_MAX, file));
	fclose(file);
	check(buf_str(&message));
	make_crlf(buf_str(&message));
	check(buf_str(&crlf));
	messages++;
	return 0;
}

static void corpora_give_the_same_in_any_chunks(void **state)
{
	const char *root = getenv("MANSIO_CORPORA") ? getenv("MANSIO_CORPORA") : MANSIO_SOURCE_ROOT "/../shared/corpora";
	message = crlf = BUF_INIT(2 * FILE_MAX);
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		char path[4096];
		snprintf(path, sizeof path, "%s/%s", root, folders[i]);
		nftw(path, check_file, OPEN_FILES, FTW_PHYS);
	}
	buf_free(&message);
	buf_free(&crlf);
	if (messages == 0) {
		print_message("no corpora at %s\n", root);
		skip();
	}
	print_message("%zu messages\n", messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(corpora_give_the_same_in_any_chunks) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
