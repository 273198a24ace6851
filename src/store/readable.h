/* readable.h: what can still be read of an account where pages of index.db are torn: for a parcel that goes on at damage
 * (store/parcel_writer.c). Reads only, around what cannot be read; where an index is torn, whole tables are read, which takes
 * as long as they are. */
#ifndef STORE_READABLE_H
#define STORE_READABLE_H

#include "store/page.h"
#include "store/store.h"

/* As account_open; but of an account that cannot be opened, *out is what can be read of it, which nobody else sees:
 * mailboxes, of some perhaps no more than the name, and account.has_lost_mailboxes when there may be more. Only for reading. ERR_NOT_FOUND; ERR_CORRUPT: its mailboxes cannot be found at all. */
int account_open_readable(struct store *store, const struct account_id *id, struct account **out) MUST_CHECK;

/* Calls fn for each page of the mailbox's entries that can be read, in order of its runs. True in *lost when some cannot. */
typedef void readable_page_fn(void *owner, const struct page *page);
int readable_pages(const struct mailbox *mailbox, readable_page_fn *fn, void *owner, bool *lost) MUST_CHECK;

#endif
