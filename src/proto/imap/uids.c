/* uids.c: set arithmetic between what a client asks for and what it knows. Nothing is kept here; the sets are their
 * owners'. */
#include "proto/imap/uids.h"

#include "base/checked.h"

uint32_t uids_last(const struct set *set)
{
	return set->n ? set->ranges[set->n - 1].last : 0;
}

void uids_subtract(struct set *from, const struct set *what)
{
	struct set left = SET_INIT;
	if (what->n == 0)
		return;
	set_difference(from, what, &left);
	set_free(from);
	*from = left;
}

/* Sequence numbers (all in use) to uids: both sets walked in step. */
static void map_numbers(const struct set *numbers, const struct set *known, struct set *out)
{
	uint32_t at = 0, before = 0;
	set_clear(out);
	for (uint32_t i = 0; i < numbers->n; i++) {
		uint32_t first = numbers->ranges[i].first, last = numbers->ranges[i].last;
		while (first <= last && at < known->n) {
			const struct set_range *range = &known->ranges[at];
			uint32_t count = range->last - range->first + 1;
			if (first > before + count) {
				before += count;
				at++;
				continue;
			}
			uint32_t until = MIN(last, before + count);
			set_add(out, range->first + (first - before - 1), range->first + (until - before - 1));
			first = until + 1;
		}
	}
}

/* RFC 3501, 9: numbers above those in use are an error; but "7:*" in a mailbox of five means the last one, as it would
 * for uids. */
static bool names_unused_number(const struct imap_sequence *sequence, uint32_t max)
{
	for (uint32_t i = 0; i < sequence->n; i++) {
		struct imap_sequence_range range = sequence->ranges[i];
		bool star = range.first == IMAP_STAR || range.last == IMAP_STAR;
		if (!star && MAX(range.first, range.last) > max)
			return true;
	}
	return false;
}

int uids_asked(const struct imap_sequence *sequence, bool is_uids, uint32_t max, struct set *out)
{
	if (!is_uids && names_unused_number(sequence, max))
		return ERR_OVERFLOW;
	imap_sequence_resolve(sequence, max, out);
	if (!is_uids && max < UINT32_MAX)
		set_remove(out, max + 1, UINT32_MAX);
	return 0;
}

int uids_resolve(const struct imap_sequence *sequence, bool is_uids, const struct set *known, const struct set *saved,
                 struct set *out)
{
	if (sequence->saved) {
		set_intersection(saved, known, out);
		return 0;
	}
	uint32_t max = is_uids ? uids_last(known) : (uint32_t)set_count(known);
	struct set asked = SET_INIT;
	if (uids_asked(sequence, is_uids, max, &asked) < 0)
		return ERR_OVERFLOW;
	if (is_uids)
		set_intersection(&asked, known, out);
	else
		map_numbers(&asked, known, out);
	set_free(&asked);
	return 0;
}
