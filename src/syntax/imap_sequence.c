/* imap_sequence.c: sequence sets after parsing: resolved to a set of numbers, and printed. */
#include "syntax/imap.h"

#include "base/mem.h"

static int compare_ranges(const void *a, const void *b)
{
	const struct set_range *x = a, *y = b;
	return x->first < y->first ? -1 : x->first > y->first;
}

/* Sorted first, so that each goes to the end of the set, where adding is cheap. */
static void add_unsorted(struct set_range *ranges, uint32_t n, struct set *out)
{
	qsort(ranges, n, sizeof *ranges, compare_ranges);
	for (uint32_t i = 0; i < n; i++)
		set_add(out, ranges[i].first, ranges[i].last);
}

/* False where '*' has no meaning. */
static bool resolve(struct imap_sequence_range range, uint32_t max, struct set_range *out)
{
	if (!max && (range.first == IMAP_STAR || range.last == IMAP_STAR))
		return false;
	uint32_t a = range.first == IMAP_STAR ? max : range.first;
	uint32_t b = range.last == IMAP_STAR ? max : range.last;
	*out = a <= b ? (struct set_range){ a, b } : (struct set_range){ b, a };
	return true;
}

void imap_sequence_resolve(const struct imap_sequence *sequence, uint32_t max, struct set *out)
{
	struct set_range range;
	uint32_t n = 0;
	set_clear(out);
	if (sequence->n == 1) {
		if (resolve(sequence->ranges[0], max, &range))
			set_add(out, range.first, range.last);
		return;
	}
	struct set_range *ranges = mem_alloc(sequence->n, sizeof *ranges);
	bool sorted = true;
	for (uint32_t i = 0; i < sequence->n; i++) {
		if (!resolve(sequence->ranges[i], max, &range))
			continue;
		sorted = sorted && (n == 0 || ranges[n - 1].first <= range.first);
		ranges[n++] = range;
	}
	if (!sorted) {
		add_unsorted(ranges, n, out);
	} else {
		for (uint32_t i = 0; i < n; i++)
			set_add(out, ranges[i].first, ranges[i].last);
	}
	mem_free(ranges);
}

static void print_number(uint32_t number, struct buf *out)
{
	if (number == IMAP_STAR)
		buf_add_byte(out, '*');
	else
		buf_add_u64(out, number);
}

void imap_sequence_print(const struct imap_sequence *sequence, struct buf *out)
{
	if (sequence->saved)
		buf_add_byte(out, '$');
	for (uint32_t i = 0; i < sequence->n; i++) {
		struct imap_sequence_range range = sequence->ranges[i];
		if (i)
			buf_add_byte(out, ',');
		print_number(range.first, out);
		if (range.last == range.first)
			continue;
		buf_add_byte(out, ':');
		print_number(range.last, out);
	}
}
