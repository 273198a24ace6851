/* renaming.h: the names of many mailboxes that change at once, for the files of this room (renaming.c says how). */
#ifndef STORE_RENAMING_H
#define STORE_RENAMING_H

#include "base/buf.h"
#include "store/store.h"

struct renaming;

/* What the column account.renaming says: rows of mailboxes with a number above `done` that are called `from`, or as what lies
 * below it, are called so no more. */
struct renaming_facts {
	struct str from, to;
	uint32_t done;
};
bool renaming_read(struct str packed, struct renaming_facts *out); /* points into `packed`; false: damaged */
bool renaming_apply(const struct renaming_facts *facts, uint32_t number, struct str name, struct buf *out); /* what the mailbox of this row is called; false: as its row says */

/* An account is read: `packed` of its row, then, when its mailboxes were listed with the names of their rows. What cannot be
 * read is passed over: rows keep their names, which `mansio store check` tells. */
void renaming_load(struct account *account, struct str packed);
void renaming_loaded(struct account *account);
void renaming_free(struct renaming **renaming);

/* Writes the rows that are left, all at once. In a batch that was begun; an error leaves it to be voided. */
int renaming_finish(struct account *account) MUST_CHECK;

/* RENAME of anything but INBOX; `to` was checked, is not there and not below `from`. */
int mailboxes_rename(struct account *account, struct str from, struct str to) MUST_CHECK;

#endif
