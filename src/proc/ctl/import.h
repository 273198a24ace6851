/* import.h: what the files of `mansio import` share. One struct import a run.
 *
 *     import.c        the command line, and what is said in the end
 *     import_scan.c   the folders and messages that there are; import_list.c: those of one folder of a Maildir
 *     import_moved.c  what programs move at the source while an import runs
 *     import_order.c  which of them are to be imported, by what earlier runs remember
 *     import_state.c  that memory, in files; import_record.c: as text
 *     import_names.c  which mailbox a folder becomes
 *     import_mbox.c, import_maildir.c    files into messages
 *     import_uidl.c   the unique ids that POP3 clients know them by
 *     import_send.c   messages into the parcel, and what the server says of them
 *
 * Nothing comes in twice and nothing is left out, wherever a run ends and however often the same is imported. Each
 * message that is known has a line in the list, and with it a number that it keeps and no other message ever gets; what
 * is imported, or will be, is decided by lines alone. The record says up to which number all is done with, and which
 * of these lines were left out and are to be tried again. It follows what the server says is on
 * disk, so it may be behind, and is never ahead. The server keeps the numbers of what it has stored, together with one
 * drawn for the import, up to its end and through all interruptions, and passes over what it has already: that came by
 * the same import.
 *
 * Where the store went back to an earlier state, as by a restore of a backup, nobody knows what of it is missing. But the
 * account's counter went back too, and the record knows how far that was: this is told, and people decide.
 *
 * A message is the same when it has the same name up to the colon (Maildir), or the same bytes (mbox; without what
 * programs note in its header), in the same folder; or in another, when it is gone from the one where it was. Of
 * several that are the same, the first is the first that is remembered, and so on. */
#ifndef PROC_CTL_IMPORT_H
#define PROC_CTL_IMPORT_H

#include "mail/mail.h"
#include "proc/ctl/ctl_private.h"
#include "proc/ctl/import_record.h"
#include "proc/ctl/parcel.h"
#include "proc/ctl/progress.h"
#include "syntax/date.h"

#include <dirent.h>

/* How far it has come: everything in front of it is done with. */
struct import_position {
	uint64_t number;   /* of a line in the list */
	uint64_t imported; /* messages sent to the server */
	uint64_t message;  /* of those waiting: the line of the one that was sent */
};

/* A folder of a Maildir, or an mbox file. */
struct import_folder {
	char *path;          /* below the source; "." is the source */
	struct buf mailbox;  /* where its mail goes */
};

/* A message; without a name: the folder itself. */
struct import_file {
	uint32_t folder;
	uint32_t n_listed; /* of the first of several that are the same: how many of them the list has */
	bool is_new;       /* Maildir: in new/ */
	bool is_listed;    /* in the list of an earlier run */
	char *name;        /* Maildir: of the file; mbox: the digest of the message */
	uint64_t size, offset; /* mbox: where it is in the file */
};

struct import_scan {
	struct import_folder *folders;
	uint32_t n_folders;
	struct import_file *files; /* sorted by folder, then name; of the same name by offset */
	size_t n_files;
	uint64_t bytes, messages;
	uint64_t unreadable; /* messages by whose names the list cannot know them */
	uint64_t unreadable_folders; /* and mbox files; wholly or in part */
	uint64_t links;      /* to folders and mbox files; nobody follows them */
	uint64_t mbox_files; /* where folders are Maildirs */
	uint64_t renamed;    /* folders whose mailboxes cannot have their names */
};

/* A message that was not where the scan had seen it. */
struct import_missed {
	struct str name; /* of its own; as import_name_of */
	int64_t balance; /* by how many there are more of that name than there were */
};

struct import_moved {
	bool has_listing;
	uint32_t folder;            /* whose files these are: */
	struct import_scan listing; /* sorted by name */
	struct import_missed *list; /* in whatever order */
	size_t n;
};

#define IMPORT_GONE SIZE_MAX

/* A line that is not done with yet. */
struct import_item {
	size_t file; /* index of scan.files, or IMPORT_GONE */
	uint64_t number;
};

struct import_target; /* import_send.c: a mailbox of the parcel */

/* Unique ids of POP3 of one folder (import_uidl.c). */
struct import_uidl;
struct import_uidls {
	struct str pattern; /* --uidl; empty: auto */
	bool off;           /* --uidl none */
	struct buf given;   /* --uidl-file */
	bool given_is_read; /* the list is of that, whatever the folder */
	struct buf text;    /* of the folder's list */
	struct buf made;    /* ids that were made by a pattern */
	struct import_uidl *list; /* sorted by name */
	size_t n;
};

#define IMPORT_AT_ONCE 16 /* entries in a frame: each frame is one change in the mailbox */

struct import {
	struct ctl *ctl;
	struct str account; /* address */
	struct str mailbox; /* --mailbox; empty: none */
	char *source;       /* absolute */
	bool is_maildir, is_file;
	int source_fd;      /* the folder; of a file: where it is */
	struct import_scan scan;
	struct import_item *items; /* in order of their numbers */
	size_t n_items, next_item;
	struct import_file *file; /* of the item at hand; NULL: it is gone */
	struct import_moved moved;
	bool is_silent; /* the source is looked at once more: what cannot be read was told before */
	uint64_t number;    /* its own; at.number is that of the last one in order */
	/* what is remembered */
	struct buf remembered; /* lines of the list, as it was */
	struct buf list;       /* as it is now */
	unsigned char list_id[ACCOUNT_ID_SIZE];
	bool list_is_new;      /* begun by this run: no record is of it yet */
	struct set left;       /* lines that were left out and are to be tried again, by the next run at the latest */
	uint64_t before, next; /* as in struct import_record */
	uint64_t there_already; /* messages of the source that are of imports before this one */
	bool complete;
	uint64_t counter;   /* as in struct import_record */
	uint64_t counter_at_begin; /* that counter as the server said it, before the record was read */
	bool store_is_older; /* than the record */
	char *state_path;
	int state_fd; /* locked */
	unsigned char transfer[ACCOUNT_ID_SIZE];
	char account_id[64];
	uint64_t shard;     /* where it lives */
	bool is_moving;     /* to another one */
	struct import_position durable; /* on the server's disk; what the record says, unless */
	struct import_position held;    /* it stays here: */
	bool is_held; /* something behind it was left out or came, and no more ranges of `left` can be noted */
	struct import_position at;      /* of the message being read: when it is done with */
	bool resumed;
	uint64_t saved_ms;
	/* the message being read */
	struct mail_spool spool;
	struct buf piece; /* converted, not in the spool yet */
	char last;
	bool is_too_large, has_nul;
	uint64_t max_size;
	/* sending */
	struct ctl_parcel_sender sender;
	struct ctl_reply reply;
	struct parcel_entries entries; /* of messages that were sent, to be told next */
	char uidl_rooms[IMPORT_AT_ONCE][POP3_UIDL_MAX]; /* for their unique ids */
	struct import_uidls uidls;
	uint64_t with_uidl; /* messages that were sent with such an id */
	struct import_target *targets;
	uint32_t n_targets, n_told; /* mailboxes of the parcel; frames that told of them */
	struct import_position *waiting; /* sent and not on disk yet, in order */
	size_t first_waiting, n_waiting, size_waiting;
	uint64_t acknowledged; /* entries */
	struct set refusals;   /* messages that the server has refused, by their lines */
	/* what is told in the end */
	uint64_t too_large, refused, deleted, with_nul, unreadable;
	uint64_t gone;        /* not there any more */
	uint64_t still_there; /* not imported, for they moved: the next run finds them */
	uint64_t keywords_left_out; /* of messages */
	uint64_t bytes_done; /* of the source */
	struct progress progress;
	struct buf problem; /* why it ends, for people */
};

/* What is known of a message beside its bytes. */
struct import_facts {
	struct str mailbox;
	uint8_t flags;
	const struct str *keywords; /* valid ones */
	size_t n_keywords;
	size_t keywords_left_out; /* and further ones, for which there is no room */
	struct date date;
	struct str uidl; /* empty: the server gives one */
};

/* All functions: 0, or negative enum err with a sentence in x->problem: the import ends. */
int import_fail(struct import *x, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* --- import_scan.c --- */
int import_scan(struct import *x) MUST_CHECK;
/* Takes file->name. */
void import_add_file(struct import_scan *scan, const struct import_file *file);
void import_scan_free(struct import_scan *scan);
/* A folder, or an mbox file, is left out wholly or in part: told to people by its path below the source, and counted in
 * `scan`. why: NULL for what errno says. */
void import_leave_folder(struct import *x, struct import_scan *scan, const char *path, const char *why);
/* "SOURCE/PATH WHY" for people, on a line of its own; nothing while import.is_silent. */
void import_tell(struct import *x, const char *path, const char *why);
bool import_fits_the_list(struct str name);
/* Opens a folder; NULL as errno says. */
DIR *import_open_folder(int parent, const char *path);
/* A file that another program keeps beside the messages of a folder; what a folder has and cannot be read is told. False:
 * there is none, or it cannot be read. */
bool import_read_beside(struct import *x, const struct import_folder *folder, const char *name, struct buf *out);
/* How many elements of a sorted array stand in front of the key: of these compare(element, key) is negative. */
size_t import_count_below(const void *list, size_t n, size_t size, const void *key,
                          int (*compare)(const void *element, const void *key));
/* Of a message of a Maildir, below the source. */
void import_file_path(const struct import *x, const struct import_file *file, char out[2 * IMPORT_PATH_MAX]);
/* The name that a message has in the list. */
struct str import_name_of(const struct import_file *file);
/* Is there a Maildir, or a folder with one in it? */
bool import_looks_like_maildir(const char *path);

/* --- import_list.c --- */
/* Adds the messages of a folder of a Maildir to `to`, in any order and some of them twice (import_settle). What cannot be
 * read is told, and counted there. */
void import_list(struct import *x, uint32_t folder, struct import_scan *to);
/* In what is sorted by folder and name: each file of a Maildir stands once, and those of one name in an order that stays
 * when their flags change. */
void import_settle(struct import *x, struct import_scan *scan);

/* --- import_moved.c --- */
/* A message of a Maildir is not where it was: x->file becomes where it is now, in its folder. False: nowhere. */
bool import_find_moved(struct import *x);
/* It is nowhere. */
void import_missed(struct import *x);
/* After all messages: which of those are still at the source, elsewhere (x->still_there), and which are gone? */
void import_look_again(struct import *x);
void import_moved_free(struct import_moved *moved);

/* --- import_order.c --- */
/* Sets x->items and x->list by what is remembered and what there is. */
int import_order(struct import *x) MUST_CHECK;
/* The next message to import (x->file), x->at is on it; folders on the way are told. NULL: there is none, or *err. */
const struct import_file *import_next(struct import *x, int *err);
/* The item at hand is left out, to be tried again by the next run that is begun. why: told to people, with the place of
 * the message; NULL: nothing is. */
void import_leave(struct import *x, const char *why);
/* The same of one that was sent; why: not NULL. */
void import_leave_sent(struct import *x, uint64_t number, const char *why);
/* It is on disk, and may have been left out before. */
void import_came(struct import *x, uint32_t number);

/* --- import_state.c --- */
int import_state_lock(struct import *x) MUST_CHECK; /* nobody else uses it from now on */
int import_state_read(struct import *x) MUST_CHECK; /* what earlier runs remember; after import_ask_counter */
/* What there is to import is remembered from now on; where that is interrupted, what was remembered before is. */
int import_state_begin(struct import *x) MUST_CHECK;
int import_state_save(struct import *x) MUST_CHECK;

/* --- import_names.c --- */
/* The mailbox that the mail of a folder goes to: `folder` is its decoded name, "INBOX" for the source itself. False: no
 * mailbox may have that name, and it got another one, which other folders may have too. */
bool import_mailbox_name(const struct import *x, struct str folder, struct buf *out);

/* --- import_uidl.c --- */
/* EXIT_DONE, or the exit code of what was said. */
int import_uidl_options(struct import *x);
/* The files of this folder come next. */
void import_uidl_enter(struct import *x, const struct import_folder *folder);
/* The id of a file by its name up to the colon, or what a field X-UIDL says; empty: none that POP3 may have. */
struct str import_uidl_find(struct import *x, const struct import_folder *folder, struct str name);
struct str import_uidl_of_field(const struct import *x, struct str value);
void import_uidl_free(struct import *x);

/* --- import_mbox.c, import_maildir.c --- */
/* Adds the messages of that file to the scan. */
int import_mbox_scan(struct import *x, uint32_t folder) MUST_CHECK;
/* What import_next gives, to the end. */
int import_mbox(struct import *x) MUST_CHECK;
int import_maildir(struct import *x) MUST_CHECK;

/* --- import_send.c --- */
void import_message_begin(struct import *x);
/* Bytes of it; LF without CR becomes CRLF, NUL becomes '?'. */
int import_message_add(struct import *x, struct str bytes) MUST_CHECK;
/* The message is whole and goes to the server. x->at is on it. */
int import_message_send(struct import *x, const struct import_facts *facts) MUST_CHECK;
/* A mailbox of that name is wanted, whether or not anything is in it, and a subscription of it. */
int import_mailbox_send(struct import *x, struct str mailbox) MUST_CHECK;
/* For x->sender.refused: `owner` is the import. */
void import_on_refused(void *owner, uint64_t number);
/* Sets x->counter_at_begin. */
int import_ask_counter(struct import *x) MUST_CHECK;
int import_begin(struct import *x) MUST_CHECK;
/* Everything was sent: waits until it is on disk. */
int import_finish(struct import *x) MUST_CHECK;
void import_send_free(struct import *x);

#endif
