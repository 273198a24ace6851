/* export.h: what the files of `mansio export` share. One struct export a run.
 *
 *     export.c        the command: reads the parcel, says what became of it
 *     export_spool.c  messages that have come, until an entry says where they belong
 *     export_maildir.c, export_mbox.c    entries into files */
#ifndef PROC_CTL_EXPORT_H
#define PROC_CTL_EXPORT_H

#include "proc/ctl/ctl_private.h"
#include "proc/ctl/progress.h"
#include "store/parcel.h"
#include "syntax/date.h"

struct export;

/* A message of the parcel: first it lies in the spool; once it was written it can be read again from there, since
 * another entry may name it. */
struct export_message {
	uint64_t number, size;
	struct date date;
	char *problem; /* it is missing, and why; owned */
	bool is_written;
	bool is_kept;        /* export_keep */
	uint64_t start, end; /* in the spool; written: in the mbox */
	uint32_t mailbox;    /* written: index of it */
	char *path;          /* written to a Maildir: its file; owned */
};

struct export_mailbox {
	struct str name; /* owned, like the keywords */
	uint32_t recent;
	size_t n_keywords;
	struct str *keywords;
	uint8_t *letters;  /* Maildir: of each keyword, or MAILDIR_NO_LETTER; owned */
	char *path;        /* below the folder of the export; NULL: it cannot be written there */
	struct str *there; /* Maildir: names of the files that an earlier run left, sorted; each owned */
	size_t n_there;
	uint64_t written;  /* mbox: bytes */
	uint64_t left_out; /* entries, where there is no path */
};

struct export_entry {
	uint32_t mailbox; /* index */
	struct export_message *message;
	const struct parcel_entry *entry;
	bool was_there; /* out: an earlier run has written it */
};

/* Functions give 0 or negative enum err with errno of the failure; everything but ERR_LIMIT ends the export. */
struct export_format {
	const char *name;
	int (*open_mailbox)(struct export *x, uint32_t index); /* ERR_LIMIT: its name cannot be the name of a file */
	int (*write)(struct export *x, struct export_entry *entry);
	int (*read_back)(struct export *x, const struct export_message *message,
	                 void (*give)(void *owner, struct str bytes), void *owner);
	int (*finish)(struct export *x);
	void (*close)(struct export *x);
};
extern const struct export_format EXPORT_MAILDIR, EXPORT_MBOX;

struct export {
	struct ctl *ctl;
	const struct export_format *format;
	bool is_nested;   /* Maildir: folders in folders */
	bool is_one_file; /* mbox: that is `target`, below `folder` */
	bool may_replace; /* mbox: files that are there */
	char *folder, *target;
	int folder_fd;
	struct account_id account;
	struct export_mailbox *mailboxes;
	uint32_t n_mailboxes;
	/* export_spool.c */
	int spool_fd;
	uint64_t spool_end, n_waiting;  /* messages in the spool that were neither written nor kept yet */
	uint64_t spool_kept;            /* bytes at its beginning that it keeps to the end */
	struct export_message *messages;
	size_t n_messages;
	uint32_t *slots; /* hash table: index into messages + 1 */
	size_t n_slots;
	void *writing; /* of the format */
	/* what is told in the end */
	uint64_t entries, bytes, there, damaged, moved;
	uint32_t left_out_mailboxes; /* for want of a path */
	char problem[512]; /* why a function failed, where errno does not say it */
	struct buf damage; /* JSON */
	struct progress progress;
};

/* --- export_spool.c --- */
/* A new message; bytes are added to the last one. ERR_*: the spool cannot be written. The pointer is valid until the
 * next one. */
int export_spool_begin(struct export *x, const struct parcel_message *message) MUST_CHECK;
int export_spool_add(struct export *x, struct str bytes) MUST_CHECK;
void export_spool_missing(struct export *x, const struct parcel_missing *missing);
struct export_message *export_find(struct export *x, uint64_t number); /* NULL: has not come */
/* The bytes of a message, from wherever they are. */
int export_read(struct export *x, const struct export_message *message, void (*give)(void *owner, struct str bytes),
                void *owner) MUST_CHECK;
/* It is in a file now: the spool may forget it. */
void export_written(struct export *x, struct export_message *message);
/* Its entry has no file to go into; another one may: the spool keeps it, and all that lies before it. */
void export_keep(struct export *x, struct export_message *message);
void export_spool_free(struct export *x);

/* --- export.c --- */
/* mkdirat with all folders above, mode 0700; 0 when it is there. */
int export_make_folder(struct export *x, const char *path) MUST_CHECK;
/* A new file of mode 0600 for writing and reading, where the one of this name goes if there is one: what an earlier run left,
 * or a link that somebody else, whose folder this may be, has laid there. -1: see errno. */
int export_new_file(struct export *x, const char *path, int flags);

#endif
