/* test_text.c: see test_text.h. */
#include "mail/test_text.h"

#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define STEPS_MAX 1000000 /* of a search that comes to an end */

static const struct mime_limits limits = MIME_LIMITS_DEFAULT;

void text_open_account(struct text_test *t)
{
	t->account = fixture_account(&t->fixture, 1);
	t->inbox = account_mailbox(t->account, STR("INBOX"));
	assert_int_equal(mailbox_open(t->inbox), 0);
}

void text_close_account(struct text_test *t)
{
	mailbox_close(t->inbox);
	account_close(&t->account);
}

int text_set_up(void **state)
{
	static struct text_test t;
	t = (struct text_test){ .charsets = charsets_open(), .reader = mail_reader_new(&limits) };
	fixture_begin(&t.fixture);
	t.fixture.settings.segment_size = 64 << 20;
	t.fixture.settings.reserve = 1 << 20;
	t.fixture.no_syncs = true;
	fixture_open(&t.fixture);
	t.maker = search_text_new(&limits, t.charsets);
	text_open_account(&t);
	*state = &t;
	return 0;
}

int text_tear_down(void **state)
{
	struct text_test *t = *state;
	text_close_account(t);
	fixture_end(&t->fixture);
	search_text_free(&t->maker);
	mail_reader_free(&t->reader);
	charsets_free(&t->charsets);
	return 0;
}

uint32_t text_add(struct text_test *t, struct str message)
{
	uint32_t uid;
	struct mail_settings settings = { t->reader, MESSAGE_MAX, 10 };
	struct mail_source source = { .bytes = message, .fd = -1 };
	struct mail_facts facts = { .internal_date = 1000 };
	assert_int_equal(mail_append(t->inbox, &settings, &source, &facts, &uid), 0);
	return uid;
}

void text_settle(struct text_test *t)
{
	fixture_settle(&t->fixture);
}

static bool is_there(void *owner, int fd, uint64_t offset, uint64_t n)
{
	struct text_test *t = owner;
	t->first_asked = t->first_asked ? t->first_asked : offset;
	t->last_asked = offset;
	if (n > t->most_asked) {
		t->most_asked_at = offset;
		t->most_asked = n;
	}
	if (t->fetches == 0)
		return true;
	t->fetches--;
	return false;
}

static bool is_gone(void *owner, const struct text_candidate *candidate)
{
	const struct text_test *t = owner;
	return candidate->uid > mailbox_count(t->inbox);
}

struct text_search_world text_world(struct text_test *t)
{
	return (struct text_search_world){ is_there, is_gone, t };
}

void text_of(struct text_test *t, uint32_t uid, struct text_block *block)
{
	struct message_cursor rows;
	struct message_row row;
	struct entry_cursor cursor = entry_seek(t->inbox, uid);
	const struct entry *entry = entry_next(&cursor);
	bool done = false;
	message_cursor_begin_part(&rows, t->account, MESSAGE_FIELDS);
	assert_int_equal(message_cursor_get(&rows, entry->message, &row), 0);
	if (block->kind == TEXT_BODY) {
		search_text_body_begin(t->maker, &row);
		while (!done)
			assert_int_equal(search_text_body_step(t->maker, t->account, &row, block, &done), 0);
	} else {
		assert_int_equal(search_text_header(t->maker, t->account, &row, block), 0);
	}
	message_cursor_end(&rows);
}

struct text_candidate *text_candidates_of(struct text_test *t, size_t *n)
{
	struct text_candidate *candidates = mem_alloc(mailbox_count(t->inbox) + 1, sizeof *candidates);
	struct entry_cursor cursor = entry_seek(t->inbox, 0);
	const struct entry *entry;
	*n = 0;
	while ((entry = entry_next(&cursor))) {
		size_t at = (*n)++;
		for (; at > 0 && candidates[at - 1].number > entry->message; at--)
			candidates[at] = candidates[at - 1];
		candidates[at] = (struct text_candidate){ .number = entry->message, .size = entry_size(entry), .uid = entry->uid,
			                                  .wanted = true };
	}
	return candidates;
}

bool text_search_some(struct text_test *t, const struct text_query *queries, size_t n_queries,
                      struct text_candidate *candidates, size_t n, unsigned most)
{
	struct text_search_world world = text_world(t);
	struct text_search *s = text_search_new(t->account, t->maker, &world, queries, n_queries, candidates, n);
	bool done = false;
	for (t->steps = 0; t->steps < most && !done; t->steps++)
		done = text_search_step(s) == TEXT_SEARCH_DONE;
	assert_int_equal(text_search_error(s), 0);
	text_search_free(&s);
	return done;
}

struct set text_search_query(struct text_test *t, struct text_query query, struct str needle)
{
	struct set found = SET_INIT;
	size_t n;
	struct text_candidate *candidates = text_candidates_of(t, &n);
	query.bit = 1;
	finder_init(&query.finder, needle);
	assert_true(text_search_some(t, &query, 1, candidates, n, STEPS_MAX));
	for (size_t i = 0; i < n; i++) {
		assert_true(candidates[i].looked);
		if (candidates[i].hits)
			set_add(&found, candidates[i].uid, candidates[i].uid);
	}
	mem_free(candidates);
	return found;
}

struct set text_search_for(struct text_test *t, enum text_kind kind, uint32_t column, struct str needle)
{
	return text_search_query(t, (struct text_query){ .kind = kind, .column = column }, needle);
}

void text_expect_set(struct set *found, const char *what, const char *uids)
{
	struct buf text = BUF_INIT(4096);
	set_print(found, &text);
	if (!str_eq(buf_str(&text), str_from_c(uids)))
		fail_msg("%s: got %.*s, not %s", what, STR_ARG(buf_str(&text)), uids);
	set_free(found);
	buf_free(&text);
}

void text_expect_found(struct text_test *t, const char *needle, const char *uids)
{
	struct set found = text_search_for(t, TEXT_BODY, 0, str_from_c(needle));
	text_expect_set(&found, needle, uids);
}

int text_open_file(struct text_test *t, const char *suffix, int flags)
{
	char path[256];
	struct account_id id = fixture_account_id(1);
	char hex[ACCOUNT_ID_TEXT_SIZE];
	account_id_print(&id, hex);
	snprintf(path, sizeof path, "%s/text/%s%s", t->fixture.directory, hex, suffix);
	return open(path, flags | O_CLOEXEC);
}

static struct stat facts_of(struct text_test *t, const char *suffix)
{
	struct stat st = { .st_size = 0 };
	int fd = text_open_file(t, suffix, O_RDONLY);
	if (fd < 0)
		return st;
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	return st;
}

uint64_t text_file_size(struct text_test *t, const char *suffix)
{
	return (uint64_t)facts_of(t, suffix).st_size;
}

uint64_t text_file_held(struct text_test *t, const char *suffix)
{
	return (uint64_t)facts_of(t, suffix).st_blocks * 512;
}

void text_damage(struct text_test *t, const char *suffix, uint64_t at, const char *bytes)
{
	int fd = text_open_file(t, suffix, O_WRONLY);
	assert_true(fd >= 0);
	if (bytes)
		assert_int_equal(pwrite(fd, bytes, strlen(bytes), (off_t)at), strlen(bytes));
	else
		assert_int_equal(ftruncate(fd, (off_t)at), 0);
	close(fd);
}

void text_add_many(struct text_test *t, unsigned n)
{
	char text[200];
	for (unsigned i = 1; i <= n; i++) {
		int length = snprintf(text, sizeof text, "Subject: number %u\r\n\r\nbody %u of many, word%ux\r\n", i, i, i);
		text_add(t, str_of(text, (size_t)length));
	}
	text_settle(t);
}

uint32_t text_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}
