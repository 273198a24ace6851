/* parcel_shot.h: a mailbox as it was at one instant, for the parcel that is made of it (store/parcel_writer.c). */
#ifndef STORE_PARCEL_SHOT_H
#define STORE_PARCEL_SHOT_H

#include "store/internal.h"
#include "store/parcel.h"

struct shot_page {
	uint64_t key, modseq;
	uint32_t uid_base, n;
	struct buf blob;
};

struct shot {
	struct mailbox *mailbox; /* held while copies are made; NULL afterwards */
	uint32_t number;         /* in the store */
	bool taken, seen;        /* seen: in this pass */
	bool damaged;            /* it cannot be opened: it was taken once, from its rows, */
	bool lost, lost_keywords; /* of which some cannot be read either; or entries have keywords whose names cannot */
	uint64_t messages, bytes; /* damaged: of the entries that were read */
	struct buf name;
	struct parcel_mailbox facts; /* slices are owned (keywords) or of `name` */
	struct shot_page *pages;
	uint32_t n_pages;
};

/* mailbox: NULL when it cannot be opened; else it is held by the caller, and closed with the shot. */
struct shot *shot_new(struct mailbox *mailbox, uint32_t number) __attribute__((returns_nonnull));
void shot_free(struct shot *shot);

/* Is the copy of now? */
bool shot_is_as_taken(const struct shot *shot, const struct mailbox *mailbox);
/* Of a mailbox that is loaded whole; pages that are as they were keep their copy. */
void shot_take(struct shot *shot, const struct mailbox *mailbox);
/* Of one that cannot be opened: what can be read of its rows. ERR_IO. */
int shot_take_readable(struct shot *shot, const struct mailbox *mailbox) MUST_CHECK;

#endif
