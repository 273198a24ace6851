/* restore.h: what the files of `mansio restore` share, beside backup.h.
 *
 *     restore_command.c   the command                 restore_account.c   an account into the running server
 *     restore.c           a whole store               restore_working.c   a shard of a backup, opened as a store */
#ifndef PROC_CTL_RESTORE_H
#define PROC_CTL_RESTORE_H

#include "proc/ctl/backup.h"
#include "store/store_open.h"

/* A whole store into the folder of the configuration, which has none, and no server. */
int restore_store(struct ctl *ctl, struct repository *repository, const struct backup_manifest *manifest,
                  struct backup_found *found, uint64_t *messages, struct buf *problem) MUST_CHECK;

/* --- restore_account.c --- */

/* What is to be restored. */
struct restore_wish {
	struct str address;
	const struct str *mailboxes; /* none: all */
	uint32_t n_mailboxes;
	struct str messages;  /* uids in mailboxes[0], "12,15:20"; empty: all */
	struct account_id id; /* in the backup; set by restore_account */
};

struct restore_done {
	uint64_t messages, entries, missing; /* missing: damaged in the backup, or refused */
	uint64_t again; /* of the entries: an earlier run of this command had added them, and they were left as they are */
};

/* Into the account of that address in the running server. */
int restore_account(struct ctl *ctl, const struct repository *repository, const struct backup_manifest *manifest,
                    struct restore_wish *wish, struct backup_found *found, struct restore_done *done,
                    struct buf *problem) MUST_CHECK;

/* --- restore_working.c --- */

struct working_store {
	struct store *store;
	char folder[BACKUP_PATH_MAX / 2]; /* empty: none */
	bool sync_wanted;
	int failed;
};

/* Whatever happens, working_close it. */
int working_open(struct working_store *working, const struct repository *repository,
                 const struct backup_manifest *manifest, uint16_t shard, struct backup_work *work) MUST_CHECK;
void working_close(struct working_store *working);
/* After each step of work in the store. */
void working_turn(struct working_store *working);

#endif
