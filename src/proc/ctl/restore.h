/* restore.h: what the files of `mansio restore` share, beside backup.h.
 *
 *     restore_command.c   the command                 restore_account.c   an account into the running server
 *     restore.c           a whole store               restore_working.c   a shard of a backup, opened as a store
 *     restore_folder.c    the folder it comes into    restore_temporary.c a folder that goes with the command
 *     restore_missing.c   what a backup cannot give back */
#ifndef PROC_CTL_RESTORE_H
#define PROC_CTL_RESTORE_H

#include "base/checked.h"
#include "db/bodylog.h"
#include "proc/ctl/backup.h"
#include "store/parcel.h"
#include "store/store_open.h"

/* What came of a whole store. */
struct restored {
	uint64_t messages;
	bool directory;    /* is damaged */
	struct buf salvage; /* numbers of the shards whose index.db is damaged: "0 3" */
};

/* A whole store into the folder of the configuration, which has none, and no server. A database that is damaged is told of
 * and laid in place as it is. out->salvage is freed by the caller in any case. */
int restore_store(struct ctl *ctl, struct repository *repository, const struct backup_manifest *manifest,
                  struct backup_found *found, struct restored *out, struct buf *problem) MUST_CHECK;

/* --- restore_folder.c --- */

#define RESTORE_STORE_NEW "store.new" /* the file "store", until restore_folder_end */

/* The folder, of that name and open, is empty but for the mark, and ready: what a restore that was interrupted left is
 * removed, where all of it is a restore's. ERR_EXISTS: there is a store, or anything else. The store's lock is held. */
int restore_folder_begin(const char *directory, int folder, struct buf *problem) MUST_CHECK;
/* All files are there and on disk: from now on it is a store. ERR_IO, and errno. */
int restore_folder_end(int folder) MUST_CHECK;

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
	uint64_t messages, entries;
	uint64_t refused; /* messages, by the server; those that are damaged in the backup are told to `found` */
	uint64_t again; /* of the entries: an earlier run of this command had added them, and they were left as they are */
	struct buf left; /* a JSON array that is open: names of mailboxes that stayed as they are, as nothing could be read */
};

/* Into the account of that address in the running server. */
int restore_account(struct ctl *ctl, const struct repository *repository, const struct backup_manifest *manifest,
                    struct restore_wish *wish, struct backup_found *found, struct restore_done *done,
                    struct buf *problem) MUST_CHECK;

/* --- restore_missing.c --- */

/* An account as a backup has it. */
struct restore_origin {
	struct account *account;
	const struct backup_manifest *manifest;
	uint16_t shard;
	struct account_id id;
	struct backup_found *found;
	char *room; /* RESTORE_ROOM bytes */
};
#define RESTORE_ROOM MAX(PARCEL_BODY_CHUNK, BODYLOG_HEADER_MAX)

struct origin_message {
	uint64_t number;
	struct message_row row; /* its segment is 0: not known */
	uint64_t checksum;      /* as its record says */
	const char *problem;    /* NULL: it is there, with the bytes that came in */
};
/* Reads all of it. */
void origin_examine(const struct restore_origin *origin, uint64_t number, struct origin_message *out);
/* That it is left out. */
void origin_tell(const struct restore_origin *origin, struct str mailbox, uint32_t uid,
                 const struct origin_message *message);

/* What is missing in a parcel of the account that is made for PARCEL_BACK (mail/parcel_reader.h). */
struct missing;
struct missing *missing_new(const struct restore_origin *origin) __attribute__((returns_nonnull));
void missing_free(struct missing **missing); /* accepts NULL */
/* Frames, whole ones, as they are made; tells of each message that is missing, once. ERR_CORRUPT, ERR_LIMIT. */
int missing_scan(struct missing *missing, struct str frames) MUST_CHECK;
/* At the end: the mailboxes of which nothing comes back, so that those that are there stay as they are. */
void missing_tell_left(const struct missing *missing, struct buf *json);

/* --- restore_temporary.c --- */

struct temporary_folder {
	char path[BACKUP_PATH_MAX / 2]; /* empty: none */
	int lock, life; /* life: its end is the folder's */
	pid_t guardian;
};
/* An empty folder for this user alone, which goes, with what is in it, at temporary_end or when the process ends, however
 * it does. What an earlier run could not remove goes first. */
int temporary_begin(struct temporary_folder *out, struct buf *problem) MUST_CHECK;
void temporary_end(struct temporary_folder *folder); /* accepts one that is not there */

/* --- restore_working.c --- */

struct working_store {
	struct store *store;
	struct temporary_folder folder;
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
