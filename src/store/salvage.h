/* salvage.h: fills an empty shard with what was found of a damaged one: accounts under their ids, messages where their
 * bytes lie already, entries under their old ids. Mailboxes and subscriptions are made as ever (store.h). All write in
 * the open batch, as store.h says; an error voids it. */
#ifndef STORE_SALVAGE_H
#define STORE_SALVAGE_H

#include "store/page.h"
#include "store/store_open.h"

/* What counters of the account must not fall behind. */
struct salvage_floors {
	uint32_t uidvalidity;
	uint64_t modseq, next;
	struct account_quota quota;
};

/* An account without mailboxes, held: account_close. It must not be there yet. */
int salvage_add_account(struct store *store, const struct account_id *id, const struct salvage_floors *floors,
                        struct account **out) MUST_CHECK;

/* The mailboxes that a new account has; it has none yet. */
int salvage_add_first_mailboxes(struct account *account) MUST_CHECK;

/* A segment that lies in the folder already, of this size. Its number is below the current one
 * (store_settings.first_segment). */
int salvage_add_segment(struct store *store, uint32_t number, uint64_t end) MUST_CHECK;

/* A message whose bytes are in such a segment. Of `arrival` only what was derived counts. ERR_LIMIT: not a number or a
 * size of ours. */
int salvage_add_message(struct account *account, uint64_t number, uint32_t segment, uint64_t offset,
                        const struct message_arrival *arrival) MUST_CHECK;

/* The entries of the page go to the end of the mailbox, as one change, with new uids and one new modseq; ids, flags and
 * times stay. Nobody is told that they are recent. Their messages are there. ERR_LIMIT at the end of uids. */
int salvage_add_entries(struct mailbox *mailbox, const struct page *page) MUST_CHECK;

/* The entries of the page go to the undelete log, as expunged then from the mailbox; NULL: that is gone. */
int salvage_add_expunged(struct account *account, const struct mailbox *mailbox, int64_t time,
                         const struct page *page) MUST_CHECK;

#endif
