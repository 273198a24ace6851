/* Tests of what grows within a maximum: buffers, arenas, output queues. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/outq.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* --- buf --- */

static void a_buffer_never_passes_its_maximum(void **state)
{
	struct buf b = BUF_INIT(1000);
	for (int i = 0; i < 1000; i++)
		buf_add_byte(&b, (char)i);
	assert_int_equal(buf_error(&b), 0);
	assert_int_equal(b.n, 1000);
	assert_true(b.size <= 1000);
	buf_add_byte(&b, 'x');
	assert_int_equal(buf_error(&b), ERR_LIMIT);
	assert_int_equal(b.n, 1000);
	buf_add(&b, STR(""));
	assert_int_equal(buf_error(&b), ERR_LIMIT); /* sticky */
	buf_clear(&b);
	assert_int_equal(buf_error(&b), 0);
	assert_null(buf_reserve(&b, SIZE_MAX));
	buf_free(&b);
}

static void a_buffer_prints_and_consumes(void **state)
{
	struct buf b = BUF_INIT(100);
	buf_add_u64(&b, 0);
	buf_add_u64(&b, UINT64_MAX);
	buf_addf(&b, " %s-%d", "x", 42);
	assert_true(str_eq(buf_str(&b), STR("018446744073709551615 x-42")));
	buf_consume(&b, 22);
	assert_true(str_eq(buf_str(&b), STR("x-42")));
	buf_consume(&b, 99);
	assert_int_equal(b.n, 0);
	char *room = buf_reserve(&b, 3);
	memcpy(room, "abc", 3);
	buf_commit(&b, 3);
	assert_true(str_eq(buf_str(&b), STR("abc")));
	buf_add_hex(&b, str_of("\0\x9f\xff", 3));
	assert_true(str_eq(buf_str(&b), STR("abc009fff")));
	buf_addf(&b, "%200s", "");
	assert_int_equal(buf_error(&b), ERR_LIMIT);
	buf_free(&b);
}

/* --- arrays --- */

/* Under the sanitizers, or valgrind, a byte too few is told. */
static void an_array_that_grows_one_by_one_has_room(void **state)
{
	uint64_t *list = NULL;
	size_t n = 0;
	for (; n < 1000; n++) {
		list = mem_room_for_one(list, n, sizeof *list);
		list[n] = n;
	}
	n = 5; /* some went */
	for (; n < 300; n++) {
		list = mem_room_for_one(list, n, sizeof *list);
		list[n] = n;
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(list[i], i);
	mem_free(list);
}

/* --- arena --- */

static void an_arena_gives_aligned_zeroed_memory_up_to_its_maximum(void **state)
{
	struct arena a = ARENA_INIT(100000);
	struct str copy;
	size_t given = 0;
	for (size_t n = 1;; n = n % 700 + 1) {
		char *p = arena_alloc(&a, n, 1);
		if (!p)
			break;
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
		given += n;
		assert_true(a.used <= a.max);
	}
	assert_true(given > 80000 && given <= 100000);
	char large[1000] = { 0 };
	assert_int_equal(arena_copy(&a, str_of(large, sizeof large), &copy), ERR_LIMIT);
	arena_free(&a);
	assert_int_equal(arena_copy(&a, STR("again"), &copy), 0);
	assert_true(str_eq(copy, STR("again")));
	assert_null(arena_alloc(&a, SIZE_MAX / 2, 3));
	assert_null(arena_alloc(&a, SIZE_MAX, 1));
	arena_free(&a);
}

/* --- outq --- */

/* Takes everything out in bites of `bite` bytes, and compares. */
static void assert_comes_out(struct outq *q, struct str expected, uint64_t bite)
{
	struct outq_piece piece;
	while (outq_peek(q, &piece)) {
		uint64_t n = piece.file_fd >= 0 ? piece.n : piece.bytes.n;
		n = n < bite ? n : bite;
		assert_true(n > 0 && n <= expected.n);
		if (piece.file_fd >= 0) {
			assert_int_equal(piece.file_fd, 77);
			assert_int_equal(expected.p[0], '0' + (char)(piece.offset % 10));
		} else {
			assert_memory_equal(piece.bytes.p, expected.p, n);
		}
		outq_consume(q, n);
		expected = str_from(expected, n);
		assert_int_equal(q->total, expected.n);
	}
	assert_int_equal(expected.n, 0);
	assert_true(outq_empty(q));
	assert_int_equal(q->held, 0);
}

static void what_goes_in_comes_out_in_order(void **state)
{
	struct buf expected = BUF_INIT(1 << 20);
	struct outq q = OUTQ_INIT(1 << 20);
	for (uint64_t bite = 1; bite < 100000; bite = bite * 7 + 1) {
		buf_clear(&expected);
		for (int i = 0; i < 300; i++) {
			char *room = outq_reserve(&q, 1000); /* reserved, used a little or not at all */
			memcpy(room, "abc", 3);
			outq_commit(&q, (size_t)(i % 4));
			buf_add(&expected, str_of("abc", (size_t)(i % 4 == 3 ? 3 : i % 4)));
			if (i % 5 == 0) {
				outq_add_file(&q, 77, (uint64_t)i, 4);
				for (int k = 0; k < 4; k++)
					buf_add_byte(&expected, (char)('0' + (i + k) % 10));
			}
			outq_addf(&q, "%d,", i);
			buf_addf(&expected, "%d,", i);
			outq_add_u64(&q, (uint64_t)i);
			buf_add_u64(&expected, (uint64_t)i);
		}
		assert_false(q.failed);
		assert_comes_out(&q, buf_str(&expected), bite);
	}
	outq_free(&q);
	buf_free(&expected);
}

static void several_pieces_are_seen_at_once(void **state)
{
	struct outq q = OUTQ_INIT(1 << 20);
	struct outq_piece pieces[4];
	outq_add(&q, STR("a"));
	outq_add_file(&q, 77, 100, 5);
	outq_add_file(&q, 77, 0, 0); /* nothing */
	outq_add(&q, STR("bc"));
	assert_int_equal(outq_pieces(&q, pieces, 2), 2);
	assert_int_equal(outq_pieces(&q, pieces, 4), 3);
	assert_int_equal(pieces[1].offset, 100);
	outq_consume(&q, 3);
	assert_int_equal(outq_pieces(&q, pieces, 4), 2);
	assert_int_equal(pieces[0].offset, 102);
	assert_int_equal(pieces[0].n, 3);
	outq_free(&q);
	assert_true(outq_empty(&q));
}

static void of_a_queue_that_is_cut_the_beginning_stays(void **state)
{
	for (uint64_t n = 0; n <= 13; n++) {
		struct outq q = OUTQ_INIT(12);
		outq_add(&q, STR("abcd"));
		outq_add_file(&q, 77, 3, 5);
		outq_add(&q, STR("efgh"));
		outq_consume(&q, 2);
		outq_add(&q, STR("more than fits"));
		assert_true(q.failed);
		outq_cut(&q, n);
		assert_false(q.failed);
		struct str kept = str_first(STR("cd34567efgh"), n);
		assert_int_equal(q.total, kept.n);
		struct buf expected = BUF_INIT(100);
		buf_add(&expected, kept);
		outq_add(&q, STR("xyz"));
		buf_add(&expected, STR("xyz"));
		assert_comes_out(&q, buf_str(&expected), 3);
		assert_int_equal(q.sent, 2 + kept.n + 3);
		outq_free(&q);
		buf_free(&expected);
	}
}

/* Blocks are 512 bytes first, then 16 KB: what fits is printed in place, what does not gets a block of its own. */
static void formatted_text_is_whole_wherever_a_block_ends(void **state)
{
	for (int width = 1; width < 1100; width += 7) {
		struct outq q = OUTQ_INIT(1 << 20);
		struct buf expected = BUF_INIT(1 << 20);
		for (int i = 0; i < 40; i++) {
			outq_addf(&q, "%*d", width, i % 10);
			buf_addf(&expected, "%*d", width, i % 10);
		}
		assert_int_equal(expected.n, 40 * width);
		assert_comes_out(&q, buf_str(&expected), UINT64_MAX);
		outq_free(&q);
		buf_free(&expected);
	}
	struct outq small = OUTQ_INIT(20);
	outq_addf(&small, "%d", 1234567890);
	assert_false(small.failed);
	outq_addf(&small, "%d", 1234567890);
	assert_true(small.failed); /* there is no room for the NUL of vsnprintf */
	assert_comes_out(&small, STR("1234567890"), 3);
	outq_free(&small);
}

static void a_queue_that_is_full_has_failed(void **state)
{
	struct outq q = OUTQ_INIT(100000);
	char *large = mem_alloc(1, 90000);
	outq_add(&q, str_of(large, 90000));
	assert_false(q.failed);
	outq_add_file(&q, 77, 0, UINT64_C(1) << 40); /* files are not held in memory */
	assert_false(q.failed);
	outq_add(&q, str_of(large, 10001));
	assert_true(q.failed);
	assert_null(outq_reserve(&q, 1));
	outq_free(&q);
	assert_null(outq_reserve(&q, OUTQ_RESERVE_MAX + 1));
	outq_free(&q);
	mem_free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_never_passes_its_maximum),
		cmocka_unit_test(a_buffer_prints_and_consumes),
		cmocka_unit_test(an_array_that_grows_one_by_one_has_room),
		cmocka_unit_test(an_arena_gives_aligned_zeroed_memory_up_to_its_maximum),
		cmocka_unit_test(what_goes_in_comes_out_in_order),
		cmocka_unit_test(of_a_queue_that_is_cut_the_beginning_stays),
		cmocka_unit_test(several_pieces_are_seen_at_once),
		cmocka_unit_test(formatted_text_is_whole_wherever_a_block_ends),
		cmocka_unit_test(a_queue_that_is_full_has_failed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
