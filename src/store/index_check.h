/* index_check.h: whether all that index.db says is what the store could have written, on a snapshot of it (db/snapshot.h):
 * SQLite's own check, then table by table each row by itself and against those that it speaks of. For
 * `mansio store check`, in the process that asks; check.c, in the shard, reads the messages' bytes. Only reads. */
#ifndef STORE_INDEX_CHECK_H
#define STORE_INDEX_CHECK_H

#include "store/store_open.h"

#define INDEX_DAMAGE_MAX 10000 /* that is told of one shard; the rest is as good as said */

struct index_check;

/* Opens the snapshot (an absolute path) and compares the ends of segments with the files in the folder `bodies`, which
 * must still be pinned; afterwards both may go. ERR_CORRUPT, ERR_NOT_FOUND, ERR_IO: the snapshot cannot be opened.
 * damage() is called for each thing that is wrong, from here and from index_check_run. */
int index_check_open(struct str snapshot, struct str bodies, check_damage_fn *damage, void *owner,
                     struct index_check **out) MUST_CHECK;

/* All the rest, which may take minutes. */
void index_check_run(struct index_check *check);

/* Things told. */
uint64_t index_check_damaged(const struct index_check *check);

/* Is there such an account that lives here? ERR_NOT_FOUND; ERR_CORRUPT, ERR_IO. */
int index_check_account(struct index_check *check, const struct account_id *id) MUST_CHECK;

/* The accounts that live here, by number, after this one (0: the first); ERR_NOT_FOUND behind the last. */
int index_check_next_account(struct index_check *check, int64_t *number, struct account_id *id) MUST_CHECK;

/* Accepts NULL. */
void index_check_free(struct index_check **check);

#endif
