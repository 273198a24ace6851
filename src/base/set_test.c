/* Tests of sets of numbers: every operation against a naive bitmap, at both ends of the numbers too; and the compact
 * form. */
#include "base/set.h"

#include "base/test_moves.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BITS  200
#define STEPS 3000

/* The bitmap's numbers are base..base + BITS - 1. */
struct naive {
	uint32_t base;
	bool has[BITS];
};

static uint64_t state_of_random;

static uint32_t pick(uint32_t below)
{
	state_of_random = state_of_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state_of_random >> 33) % below;
}

static void assert_canonical(const struct set *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		assert_true(s->ranges[i].first <= s->ranges[i].last);
		if (i > 0)
			assert_true((uint64_t)s->ranges[i - 1].last + 1 < s->ranges[i].first);
	}
}

static void assert_same(const struct set *s, const struct naive *naive)
{
	uint64_t n = 0;
	assert_canonical(s);
	for (uint32_t i = 0; i < BITS; i++) {
		uint32_t value = naive->base + i, at;
		assert_int_equal(set_has(s, value), naive->has[i]);
		assert_int_equal(set_count_below(s, value), n);
		if (!naive->has[i])
			continue;
		assert_true(set_at(s, n, &at));
		assert_int_equal(at, value);
		n++;
	}
	assert_int_equal(set_count(s), n);
	assert_false(set_at(s, n, &(uint32_t){ 0 }));
}

static void assert_survives_encoding(const struct set *s)
{
	struct buf bytes = BUF_INIT(65536);
	struct set again = SET_INIT;
	set_add(&again, 1, 5); /* is replaced */
	set_encode(s, &bytes);
	assert_int_equal(set_decode(buf_str(&bytes), &again), 0);
	assert_int_equal(again.n, s->n);
	if (s->n)
		assert_memory_equal(again.ranges, s->ranges, s->n * sizeof *s->ranges);
	if (bytes.n > 1)
		assert_int_equal(set_decode(str_first(buf_str(&bytes), bytes.n - 1), &again), ERR_CORRUPT);
	set_free(&again);
	buf_free(&bytes);
}

static void change(struct set *s, struct naive *naive)
{
	uint32_t first = pick(BITS), last = first + pick(pick(4) ? 4 : BITS - first);
	bool add = pick(5) < 3;
	if (last >= BITS)
		last = BITS - 1;
	for (uint32_t i = first; i <= last; i++)
		naive->has[i] = add;
	(add ? set_add : set_remove)(s, naive->base + first, naive->base + last);
}

static void assert_combinations(const struct set *a, const struct set *b, const struct naive *na, const struct naive *nb)
{
	struct naive both = { .base = na->base }, less = { .base = na->base }, any = { .base = na->base };
	struct set out = SET_INIT;
	for (uint32_t i = 0; i < BITS; i++) {
		both.has[i] = na->has[i] && nb->has[i];
		less.has[i] = na->has[i] && !nb->has[i];
		any.has[i] = na->has[i] || nb->has[i];
	}
	set_intersection(a, b, &out);
	assert_same(&out, &both);
	set_difference(a, b, &out);
	assert_same(&out, &less);
	set_copy(&out, a);
	set_add_set(&out, b);
	assert_same(&out, &any);
	set_free(&out);
}

static void sets_are_like_a_bitmap(void **state)
{
	static const uint32_t bases[] = { 0, 1, 1000000, UINT32_MAX - BITS + 1 };
	for (size_t k = 0; k < sizeof bases / sizeof *bases; k++) {
		struct naive na = { .base = bases[k] }, nb = { .base = bases[k] };
		struct set a = SET_INIT, b = SET_INIT;
		state_of_random = k + 1;
		for (int step = 0; step < STEPS; step++) {
			change(&a, &na);
			change(&b, &nb);
			assert_same(&a, &na);
			if (step % 10 == 0) {
				assert_combinations(&a, &b, &na, &nb);
				assert_survives_encoding(&a);
			}
		}
		set_free(&a);
		set_free(&b);
	}
}

/* Every other range from the one, every other from the other. */
static void sets_are_joined_in_one_go(void **state)
{
	enum { RANGES = 5000 };
	struct set a = SET_INIT, b = SET_INIT;
	for (uint32_t i = 0; i < RANGES; i++) {
		set_add(&a, 8 * i, 8 * i + 1);
		set_add(&b, 8 * i + 4, 8 * i + 5);
	}
	bytes_moved = 0;
	set_add_set(&a, &b);
	assert_in_range(bytes_moved, 0, 2 * RANGES * sizeof *a.ranges);
	assert_int_equal(a.n, 2 * RANGES);
	assert_int_equal(set_count(&a), 4 * RANGES);
	assert_canonical(&a);
	set_clear(&b);
	set_add(&b, 8 * RANGES, 8 * RANGES);
	set_add(&b, 8 * RANGES + 2, 8 * RANGES + 2);
	bytes_moved = 0;
	set_add_set(&a, &b); /* behind all of it: nothing is to be moved */
	assert_in_range(bytes_moved, 0, 2 * sizeof *a.ranges);
	assert_int_equal(a.n, 2 * RANGES + 2);
	set_add_set(&b, &a);
	assert_int_equal(b.n, a.n);
	assert_memory_equal(b.ranges, a.ranges, a.n * sizeof *a.ranges);
	set_free(&a);
	set_free(&b);
}

static void the_whole_range_is_one(void **state)
{
	struct set s = SET_INIT;
	set_add(&s, 5, 5);
	set_add(&s, UINT32_MAX, UINT32_MAX);
	set_add(&s, 0, UINT32_MAX);
	assert_int_equal(s.n, 1);
	assert_int_equal(set_count(&s), UINT64_C(1) << 32);
	assert_survives_encoding(&s);
	set_remove(&s, 1, UINT32_MAX - 1);
	assert_int_equal(set_count(&s), 2);
	set_remove(&s, 0, UINT32_MAX);
	assert_int_equal(s.n, 0);
	set_free(&s);
}

static void sets_print_as_in_imap(void **state)
{
	struct set s = SET_INIT;
	struct buf out = BUF_INIT(100);
	set_print(&s, &out);
	assert_int_equal(out.n, 0);
	set_add(&s, 7, 7);
	set_add(&s, 1, 3);
	set_add(&s, UINT32_MAX - 1, UINT32_MAX);
	set_print(&s, &out);
	assert_true(str_eq(buf_str(&out), STR("1:3,7,4294967294:4294967295")));
	buf_free(&out);
	set_free(&s);
}

static void damaged_sets_are_refused(void **state)
{
	static const struct str bad[] = {
		STR_INIT(""),
		STR_INIT("\x01"),
		STR_INIT("\x01\x01\x01\x01"),                     /* more than it says */
		STR_INIT("\x02\x01\x01\x01\x00"),                 /* ranges that touch */
		STR_INIT("\x02\x05\x00\x00\x00"),                 /* the same again */
		STR_INIT("\x01\xff\xff\xff\xff\x0f\x01"),         /* over the top */
		STR_INIT("\x01\x80\x80\x80\x80\x10\x00"),         /* 2^32 */
		STR_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), /* a count without ranges */
		STR_INIT("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02"),
	};
	struct set s = SET_INIT;
	set_add(&s, 3, 4);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(set_decode(bad[i], &s), ERR_CORRUPT);
	assert_int_equal(set_count(&s), 2); /* untouched */
	set_free(&s);
}

static void seek_finds_the_range_that_ends_there_or_behind(void **state)
{
	struct set s = SET_INIT;
	assert_int_equal(set_seek(&s, 5), 0);
	set_add(&s, 3, 5);
	set_add(&s, 8, 8);
	set_add(&s, 10, UINT32_MAX);
	assert_int_equal(set_seek(&s, 0), 0);
	assert_int_equal(set_seek(&s, 5), 0);
	assert_int_equal(set_seek(&s, 6), 1);
	assert_int_equal(set_seek(&s, 9), 2);
	set_remove(&s, 9, UINT32_MAX);
	assert_int_equal(set_seek(&s, 9), 2);
	set_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_are_like_a_bitmap),
		cmocka_unit_test(sets_are_joined_in_one_go),
		cmocka_unit_test(the_whole_range_is_one),
		cmocka_unit_test(sets_print_as_in_imap),
		cmocka_unit_test(damaged_sets_are_refused),
		cmocka_unit_test(seek_finds_the_range_that_ends_there_or_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
