/* fetch.h: between cmd_fetch.c, which walks the messages, and fetch_items.c, which writes what is asked of each.
 * Private to them. */
#ifndef PROTO_IMAP_FETCH_H
#define PROTO_IMAP_FETCH_H

#include "mail/preview.h"
#include "proto/imap/print.h"
#include "proto/imap/session_private.h"
#include "proto/imap/uids.h"

struct fetch_task {
	const struct imap_fetch *fetch; /* of the command; NULL for an answer in another's name */
	const char *done;               /* text of the tagged OK */
	struct buf code;                /* of the tagged OK; may be empty */
	struct set vanished;            /* to be told first */
	struct set uids;                /* asked for, and known */
	uint32_t range;                 /* of uids, where the walk is */
	uint32_t next_uid;              /* where the walk goes on after a pause */
	struct uids_walk walk;
	bool plain;                /* nothing but UID, FLAGS and MODSEQ */
	bool with_rows;            /* rows of messages are read: more is asked for than what entries have */
	enum message_part rows_part;
	unsigned parts;            /* of a plain answer; of others: those that are asked for */
	bool sets_seen;
	uint32_t window_last;   /* \Seen is set up to this uid */
	struct set marked;      /* those of the window that were not \Seen before; of a plain answer: that are told with flags */
	uint64_t wanted, found; /* messages */
	int error;              /* the last of a message that could not be read */
	struct fetch_cold {
		int fd;
		uint64_t offset, n; /* n > 0: a response needs this range, which is not in memory */
	} cold;
	bool may_wait;          /* it cannot be fetched either: reading waits, or says what is wrong */
	uint64_t scanned;       /* bytes of headers that fields were chosen of, for one response */
	struct mail_preview *preview; /* when it is asked for */
	uint64_t previewed;           /* the message that preview_text is of */
	uint64_t preview_further;     /* the message of which its beginning has no text */
	struct str preview_text;
	struct message_cursor rows;
	struct flags_printer flags;
	struct buf scratch; /* selected header fields */
};

/* PREVIEW is asked for, not as LAZY, and what it is made of is being fetched from the disk: come again. */
bool fetch_waits_for_preview(struct imap_session *s, struct fetch_task *t, const struct entry *entry);

/* Nothing is said of the message in this answer, because of that error. */
void fetch_leave_out(struct imap_session *s, struct fetch_task *t, const struct entry *entry, int err);

/* Writes one whole response, with what it can read: what cannot be read is NIL (or the response is missing) and sets
 * error. With `cold` set it is not whole, and is to be taken back. */
void fetch_message(struct imap_session *s, struct fetch_task *t, uint32_t number, const struct entry *entry);

#endif
