/* import.h: what the files of `mansio import` share. One struct import a run.
 *
 *     import.c        the command line, and what is said in the end
 *     import_scan.c   the folders and files that there are, in an order that stays
 *     import_state.c  how far an import has come, for the next run
 *     import_names.c  which mailbox a folder becomes
 *     import_mbox.c, import_maildir.c    files into messages
 *     import_uidl.c   the unique ids that POP3 clients know them by
 *     import_send.c   messages into the parcel, and what the server says of them
 *
 * Nothing comes in twice and nothing is left out, wherever a run ends. Each message has a number, its place in the
 * order of the source, which is the same in every run (the list beside the state sees to that); the parcel is marked
 * with a number drawn at the first run. The server keeps both with what it has stored, and passes over what it has
 * already. The state, which says from where on to send, may therefore be behind; it is never ahead, since it follows
 * what the server says is on disk. */
#ifndef PROC_CTL_IMPORT_H
#define PROC_CTL_IMPORT_H

#include "mail/mail.h"
#include "proc/ctl/ctl_private.h"
#include "proc/ctl/parcel.h"
#include "proc/ctl/progress.h"
#include "syntax/date.h"

#define IMPORT_PATH_MAX 4096

/* How far it has come: everything in front of it is done with. */
struct import_position {
	uint64_t number;   /* messages looked at */
	uint64_t item;     /* files finished, of the list */
	uint64_t offset;   /* in the next one (mbox) */
	uint64_t imported; /* messages sent to the server */
};

/* A folder of a Maildir, or an mbox file. */
struct import_folder {
	char *path;          /* below the source; "." is the source */
	struct buf mailbox;  /* where its mail goes */
};

/* A message of a Maildir; for an mbox file there is one, without a name. */
struct import_file {
	uint32_t folder;
	bool is_new;    /* in new/ */
	bool is_listed; /* in the list of an earlier run */
	char *name;
	uint64_t size;
};

struct import_scan {
	struct import_folder *folders;
	uint32_t n_folders;
	struct import_file *files; /* sorted by folder, then time */
	size_t n_files;
	uint64_t bytes;
	uint64_t unreadable; /* names that the list cannot have */
};

#define IMPORT_GONE SIZE_MAX

struct import_target; /* import_send.c: a mailbox of the parcel */

/* Unique ids of POP3 of one folder (import_uidl.c). */
struct import_uidl;
struct import_uidls {
	struct str pattern; /* --uidl; empty: auto */
	bool off;           /* --uidl none */
	struct buf given;   /* --uidl-file */
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
	size_t *items;      /* the list: indexes of scan.files, or IMPORT_GONE */
	size_t n_items;
	struct buf list_text; /* of the list, its lines */
	/* state */
	char *state_path;
	int state_fd; /* locked */
	unsigned char transfer[ACCOUNT_ID_SIZE];
	char account_id[64];
	struct import_position durable; /* on the server's disk; what the state says */
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
	/* what is told in the end */
	uint64_t too_large, refused, deleted, with_nul, gone, unreadable;
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
	struct date date;
	struct str uidl; /* empty: the server gives one */
};

/* All functions: 0, or negative enum err with a sentence in x->problem: the import ends. */
int import_fail(struct import *x, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* --- import_scan.c --- */
int import_scan(struct import *x) MUST_CHECK;
void import_scan_free(struct import_scan *scan);
/* Sets x->items by the list of an earlier run in x->list_text, and adds to it what is new. */
void import_order(struct import *x);
/* Is there a Maildir, or a folder with one in it? */
bool import_looks_like_maildir(const char *path);

/* --- import_state.c --- */
int import_state_open(struct import *x) MUST_CHECK; /* before import_order: reads the list */
int import_state_save_list(struct import *x) MUST_CHECK;
int import_state_save(struct import *x) MUST_CHECK;
void import_state_remove(struct import *x);

/* --- import_names.c --- */
/* The mailbox that the mail of a folder goes to: `folder` is its decoded name, "INBOX" for the source itself. */
void import_mailbox_name(const struct import *x, struct str folder, struct buf *out);

/* --- import_uidl.c --- */
/* EXIT_DONE, or the exit code of what was said. */
int import_uidl_options(struct import *x);
/* The files of this folder come next. */
void import_uidl_enter(struct import *x, const struct import_folder *folder);
/* The id of a file by its name up to the colon, or what a field X-UIDL says; empty: none that POP3 may have. */
struct str import_uidl_find(struct import *x, const struct import_folder *folder, struct str name);
struct str import_uidl_of_field(const struct import *x, struct str value);
void import_uidl_free(struct import *x);

/* --- import_mbox.c, import_maildir.c: from x->at on, to the end --- */
int import_mbox(struct import *x) MUST_CHECK;
int import_maildir(struct import *x) MUST_CHECK;

/* --- import_send.c --- */
void import_message_begin(struct import *x);
/* Bytes of it; LF without CR becomes CRLF, NUL becomes '?'. */
int import_message_add(struct import *x, struct str bytes) MUST_CHECK;
/* The message is whole and goes to the server. x->at is behind it. */
int import_message_send(struct import *x, const struct import_facts *facts) MUST_CHECK;
/* A mailbox of that name is wanted, whether or not anything is in it. */
int import_mailbox_send(struct import *x, struct str mailbox) MUST_CHECK;
int import_begin(struct import *x) MUST_CHECK;
/* Everything was sent: waits until it is on disk. */
int import_finish(struct import *x) MUST_CHECK;
void import_send_free(struct import *x);

#endif
