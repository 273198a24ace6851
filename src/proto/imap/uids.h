/* uids.h: the client's view of a mailbox: sequence numbers are places in the set of uids that it knows. Sets are
 * sorted, so everything here walks them in step, in time linear in the number of ranges. */
#ifndef PROTO_IMAP_UIDS_H
#define PROTO_IMAP_UIDS_H

#include "base/set.h"
#include "syntax/imap.h"

/* The uids that a sequence set of the client means: of uids, those known; of sequence numbers, all, or ERR_OVERFLOW
 * when one of them is not in use (RFC 3501, 9: "seq-number"); of "$", those of `saved` that are known still. *out is
 * replaced. */
int uids_resolve(const struct imap_sequence *sequence, bool is_uids, const struct set *known, const struct set *saved,
                 struct set *out) MUST_CHECK;

/* The same set in numbers of its own kind, not mapped to uids and not cut to those known: no larger than what the client
 * wrote. max: the largest one in use. Not for "$". */
int uids_asked(const struct imap_sequence *sequence, bool is_uids, uint32_t max, struct set *out) MUST_CHECK;

/* The largest number of a set; 0: it is empty. */
uint32_t uids_last(const struct set *set);

/* Takes `what` out of `from`. */
void uids_subtract(struct set *from, const struct set *what);

/* Sequence numbers of ascending uids, without a search for each. */
struct uids_walk {
	const struct set *known;
	uint32_t range;  /* of known */
	uint32_t before; /* numbers in the ranges before it */
};

/* The sequence number of a uid (not smaller than that of the call before); 0: it is not known. */
static inline uint32_t uids_walk_to(struct uids_walk *walk, uint32_t uid)
{
	const struct set *known = walk->known;
	while (walk->range < known->n && known->ranges[walk->range].last < uid) {
		walk->before += known->ranges[walk->range].last - known->ranges[walk->range].first + 1;
		walk->range++;
	}
	if (walk->range == known->n || known->ranges[walk->range].first > uid)
		return 0;
	return walk->before + (uid - known->ranges[walk->range].first) + 1;
}

#endif
