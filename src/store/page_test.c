/* Tests of the packed pages: what is encoded comes back, and damage is seen. */
#include "store/page.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BLOB_MAX (64 * 1024)

static struct entry entry_at(uint32_t i)
{
	return (struct entry){ .uid = 10 + i * 3, .saved = 1700000000 + i, .modseq = (UINT64_C(1) << 39) + i, .id = (UINT64_C(1) << 39) + i * 5,
		               .message = (UINT64_C(1) << 38) + i * 7, .flags = i % 32,
		               .size_low = i * 100003 & 0xffffff, .size_high = i % 2 ? 0x7fff - i : 0, .open_end = i % 3 == 0 };
}

static struct page *filled(uint32_t n, uint32_t keyword_bits)
{
	struct page *page = page_new(NULL, 77, 5);
	for (uint32_t i = 0; i < n; i++) {
		struct entry entry = entry_at(i);
		struct keyword_bits bits = { { 0 } };
		if (keyword_bits && i % 2)
			bits.word[(keyword_bits - 1) / 64] |= UINT64_C(1) << ((keyword_bits - 1) % 64);
		if (keyword_bits && i % 3 == 0)
			bits.word[0] |= 1;
		page_add(page, &entry, &bits);
	}
	page->uidnext = 5000;
	page->recent = 4000;
	return page;
}

static void assert_same(const struct page *a, const struct page *b)
{
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->unseen, b->unseen);
	assert_int_equal(a->bytes, b->bytes);
	assert_int_equal(a->modseq, b->modseq);
	assert_int_equal(a->uidnext, b->uidnext);
	assert_int_equal(a->recent, b->recent);
	for (uint32_t i = 0; i < a->n; i++) {
		struct keyword_bits x, y;
		assert_int_equal(a->entries[i].uid, b->entries[i].uid);
		assert_int_equal(a->entries[i].saved, b->entries[i].saved);
		assert_int_equal(a->entries[i].modseq, b->entries[i].modseq);
		assert_int_equal(a->entries[i].id, b->entries[i].id);
		assert_int_equal(a->entries[i].message, b->entries[i].message);
		assert_int_equal(a->entries[i].flags, b->entries[i].flags);
		assert_int_equal(entry_size(&a->entries[i]), entry_size(&b->entries[i]));
		assert_int_equal(a->entries[i].open_end, b->entries[i].open_end);
		page_keywords(a, i, &x);
		page_keywords(b, i, &y);
		assert_memory_equal(&x, &y, sizeof x);
	}
}

static void pages_come_back_with_keywords_of_any_width(void **state)
{
	static const uint32_t widths[] = { 0, 1, 8, 9, 32, 33, 56, 57, 64, 65, 128, 129, 192, 193, 255, 256 };
	static const uint32_t counts[] = { 0, 1, 2, 119, PAGE_ENTRIES };
	for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
		for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
			struct page *page = filled(counts[c], widths[w]), *again = page_new(NULL, 77, 5);
			struct buf blob = BUF_INIT(BLOB_MAX);
			page_encode(page, &blob);
			assert_int_equal(buf_error(&blob), 0);
			if (widths[w] <= PAGE_KEYWORD_BYTES * 8)
				assert_true(blob.n <= 4057); /* fits a database page */
			assert_int_equal(page_decode(buf_str(&blob), 0, again), 0);
			assert_same(page, again);
			buf_free(&blob);
			page_free(&page);
			page_free(&again);
		}
}

/* Version 1 had modseqs of 6 bytes and no sizes. */
static void the_first_version_is_read(void **state)
{
	static const char blob[] = "\1\0\2\0" "\7\0\0\0\0\0\0\0" "\12\0\0\0" "\11\0\0\0" /* header */
	                           "\1\0\0\0" "\3\0\0\0" "\4\0\0\0" "\5\0\0\0"           /* uids, saved */
	                           "\6\0\0\0\0\0" "\0\0\0\0\0\0"                         /* modseqs */
	                           "\10\0\0\0\1" "\11\0\0\0\0" "\20\0\0\0\0" "\21\0\0\0\0" "\1\2";
	struct page *page = page_new(NULL, 1, 5);
	assert_int_equal(page_decode(str_of(blob, sizeof blob - 1), 3, page), 0);
	assert_int_equal(page->n, 2);
	assert_int_equal(page->modseq, 7);
	assert_int_equal(page->uidnext, 10);
	assert_int_equal(page->entries[1].uid, 8);
	assert_int_equal(page->entries[0].modseq, 6);
	assert_int_equal(page->entries[1].modseq, 3);
	assert_int_equal(page->entries[0].message, (UINT64_C(1) << 32) + 8);
	assert_int_equal(page->entries[1].id, 17);
	assert_int_equal(entry_size(&page->entries[1]), 0);
	assert_int_equal(page->entries[1].flags, FLAG_ANSWERED);
	assert_int_equal(page->unseen, 1);
	page_free(&page);
}

static void an_entry_without_modseq_has_the_runs(void **state)
{
	struct page *page = page_new(NULL, 1, 0), *again = page_new(NULL, 1, 0);
	struct entry entry = { .uid = 1, .modseq = 0 };
	struct keyword_bits none = { { 0 } };
	struct buf blob = BUF_INIT(BLOB_MAX);
	page_add(page, &entry, &none);
	page_encode(page, &blob);
	assert_int_equal(page_decode(buf_str(&blob), 42, again), 0);
	assert_int_equal(again->entries[0].modseq, 42);
	assert_int_equal(again->modseq, 42);
	buf_free(&blob);
	page_free(&page);
	page_free(&again);
}

static void removing_keeps_the_others_and_their_keywords(void **state)
{
	struct page *page = filled(100, 130);
	bool gone[PAGE_ENTRIES] = { false };
	uint32_t unseen = 0, at = 0;
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < 100; i += 3)
		gone[i] = true;
	page_remove(page, gone);
	assert_int_equal(page->n, 66);
	for (uint32_t i = 0; i < 100; i++) {
		struct keyword_bits bits;
		if (i % 3 == 0)
			continue;
		assert_int_equal(page->entries[at].uid, entry_at(i).uid);
		page_keywords(page, at, &bits);
		assert_int_equal(bits.word[2] != 0, i % 2 == 1);
		assert_int_equal(bits.word[0], 0);
		struct entry entry = entry_at(i);
		unseen += !(entry.flags & FLAG_SEEN);
		bytes += entry_size(&entry);
		at++;
	}
	assert_int_equal(page->unseen, unseen);
	assert_int_equal(page->bytes, bytes);
	page_free(&page);
}

static int decode_changed(struct str blob, size_t at, unsigned char value)
{
	struct page *page = page_new(NULL, 1, 5);
	char *copy = mem_copy(blob);
	copy[at] = (char)value;
	int result = page_decode(str_of(copy, blob.n), 0, page);
	mem_free(copy);
	page_free(&page);
	return result;
}

static void damaged_blobs_are_refused(void **state)
{
	struct page *page = filled(20, 9);
	struct buf blob = BUF_INIT(BLOB_MAX);
	page_encode(page, &blob);
	for (size_t n = 0; n < blob.n; n++) {
		struct page *again = page_new(NULL, 1, 5);
		assert_int_equal(page_decode(str_first(buf_str(&blob), n), 0, again), ERR_CORRUPT);
		page_free(&again);
	}
	assert_int_equal(decode_changed(buf_str(&blob), 0, 9), ERR_CORRUPT);   /* version */
	assert_int_equal(decode_changed(buf_str(&blob), 1, 33), ERR_CORRUPT);  /* keyword bytes */
	assert_int_equal(decode_changed(buf_str(&blob), 2, 21), ERR_CORRUPT);  /* entries */
	assert_int_equal(decode_changed(buf_str(&blob), 9, 1), ERR_CORRUPT);   /* a modseq of more than 40 bits */
	assert_int_equal(decode_changed(buf_str(&blob), 11, 0x80), ERR_CORRUPT);
	assert_int_equal(decode_changed(buf_str(&blob), 20 + 4, 0), ERR_CORRUPT); /* second uid below the first */
	assert_int_equal(decode_changed(buf_str(&blob), 20 + 79, 0xff), 0);
	buf_add_byte(&blob, 0);
	struct page *again = page_new(NULL, 1, 5);
	assert_int_equal(page_decode(buf_str(&blob), 0, again), ERR_CORRUPT);
	page_free(&again);
	again = page_new(NULL, 1, UINT32_MAX - 10); /* a base that takes uids over the top */
	assert_int_equal(page_decode(str_first(buf_str(&blob), blob.n - 1), 0, again), ERR_CORRUPT);
	page_free(&again);
	page_free(&page);
	buf_free(&blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_come_back_with_keywords_of_any_width),
		cmocka_unit_test(the_first_version_is_read),
		cmocka_unit_test(an_entry_without_modseq_has_the_runs),
		cmocka_unit_test(removing_keeps_the_others_and_their_keywords),
		cmocka_unit_test(damaged_blobs_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
