/* store/pop3.h: what POP3 remembers of entries: which a login has hidden, which the server deletes later, and unique ids
 * that came from another server. Nothing is written for accounts that use none of it.
 *
 * Hidden entries and dates belong to a mailbox and its uids: an entry that is moved, or undeleted, is seen again and has no
 * date any more; a copy never has either. A foreign unique id belongs to the entry's id: it goes along with moves and
 * undelete, and a copy gets one of ours. */
#ifndef STORE_POP3_H
#define STORE_POP3_H

#include "base/pop3_policy.h"
#include "store/store.h"

/* --- hidden entries --- */

/* Adds to *out the uids that this login (base/pop3_policy.h) has hidden; they may be gone. A row that cannot be read hides
 * nothing. ERR_IO. */
int pop3_hidden(const struct mailbox *mailbox, uint64_t login, struct set *out) MUST_CHECK;
/* Hides them from this login. The mailbox is open: uids that are gone are forgotten by the way. */
int pop3_hide(struct mailbox *mailbox, uint64_t login, const struct set *uids) MUST_CHECK;
/* The login is no more: nothing is hidden from it. 0 also when the account is not here. */
int pop3_forget_login(struct store *store, const struct account_id *account, uint64_t login) MUST_CHECK;

/* --- deleting --- */

#define POP3_DUE_STEP 3600 /* seconds: dates are rounded up to this */

/* Those that are there leave the mailbox, as an expunge; trash: by a move to the mailbox that is \Trash (or called
 * Trash), made when there is none. From the trash itself they are expunged. As mailbox_expunge. */
int pop3_discard(struct mailbox *mailbox, const struct set *uids, bool trash) MUST_CHECK;
/* The same, at `due` (seconds since 1970) or soon after it (store_idle_work), with those that are still there then; a day
 * later where that fails. An earlier date stands. */
int pop3_discard_later(struct mailbox *mailbox, const struct set *uids, bool trash, int64_t due) MUST_CHECK;

/* --- unique ids from elsewhere (RFC 1939, 7) --- */

/* Looks up foreign ids by entry id: a walk in ascending order, other orders are seeks. Use one for one slice and end it
 * before returning to the loop, or writing. */
struct uidl_cursor {
	struct account *account;
	uint64_t at;       /* private: entry id of the row that the statement stands on; UINT64_MAX: behind the last */
	uint64_t sought;   /* the statement was set to this id, and all from there on are known */
	bool open;
};
/* *any: the account has some. Without, there is nothing to look for. */
int uidl_cursor_begin(struct uidl_cursor *cursor, struct account *account, bool *any) MUST_CHECK;
/* *out: the id of the entry, valid until the next call; empty: it has none. */
int uidl_cursor_find(struct uidl_cursor *cursor, uint64_t entry, struct str *out) MUST_CHECK;
void uidl_cursor_end(struct uidl_cursor *cursor);

/* Gives an entry that is new such an id, of 1 to POP3_UIDL_MAX bytes. Where another entry of the account has the same one,
 * nothing happens: the second has one of ours. */
int uidl_keep(struct account *account, uint64_t entry, struct str text) MUST_CHECK;

#endif
