/* parcel.h: the codec of parcels. A parcel is a stream of frames that holds one account, or part of it: what account
 * moves, backup and restore, export and import pass between processes. It knows uids, flags, dates, names and the
 * bytes of messages, and nothing that was derived from them: the receiver parses each message again, trusts nothing,
 * and the form does not depend on the schema.
 *
 * Frame: u8 type, u32 length of the body (at most PARCEL_FRAME_MAX), body; numbers are little-endian. Order:
 *
 *     BEGIN ( MAILBOX | SUBSCRIPTION | MESSAGE BODY* | MISSING | ENTRIES | EXPUNGED | CHANGE | HIDDEN | DUE | SOURCES )* END
 *
 * A mailbox comes before what names it, mailboxes are numbered from 1 in the order in which they come, 0 stands for
 * one that is gone. A message comes at most once, and before the entries that name it; an entry may name a message
 * that was sent as MISSING, or (in a parcel that continues an earlier one) that is not sent at all. END tells the
 * totals and the XXH3 of all bytes before it: a stream without it is not whole.
 *
 * parcel_next checks lengths, order, that numbers are in their bounds, each message against its size and checksum, and
 * the totals; that messages are not sent twice, and that entries name messages, is for the receiver to check, who knows
 * them. No I/O here, no store; used by shards and by the command line. Bytes may be hostile: every problem
 * is an error value. */
#ifndef STORE_PARCEL_H
#define STORE_PARCEL_H

#include "base/account_id.h"
#include "base/pop3_policy.h"
#include "store/store.h"

#define PARCEL_FRAME_MAX     65536 /* bytes of a frame's body */
#define PARCEL_HEAD_SIZE     5
#define PARCEL_BODY_CHUNK    32768 /* bytes of a message in one frame, as parcel_put_body splits them */
#define PARCEL_MAILBOXES_MAX 100000
#define PARCEL_ENTRIES_MAX   400   /* in one frame */
#define PARCEL_SOURCES_MAX   400   /* likewise */
#define PARCEL_NUMBER_MAX    ((UINT64_C(1) << 40) - 1) /* of messages, entry ids and modseqs */
#define PARCEL_TEXT_MAX      1000

/* Under which number a MISSING tells that entries of a mailbox are, nobody knows of which messages; and the mailbox of such
 * a number, 0 when it is a message's. */
static inline uint64_t parcel_number_of_lost_entries(uint32_t mailbox)
{
	return PARCEL_NUMBER_MAX - mailbox;
}
static inline uint32_t parcel_mailbox_of_lost_entries(uint64_t number)
{
	return number >= PARCEL_NUMBER_MAX - PARCEL_MAILBOXES_MAX && number < PARCEL_NUMBER_MAX
	               ? (uint32_t)(PARCEL_NUMBER_MAX - number) : 0;
}

/* And under which that mailboxes may be, nobody knows which; or rows that are not of mail in mailboxes: what was expunged, the log
 * of changes, what POP3 remembers. */
#define PARCEL_LOST_MAILBOXES PARCEL_NUMBER_MAX
#define PARCEL_LOST_LOGS      (PARCEL_NUMBER_MAX - PARCEL_MAILBOXES_MAX - 1)

enum parcel_type {
	PARCEL_BEGIN = 1,
	PARCEL_MAILBOX = 2,
	PARCEL_SUBSCRIPTION = 3,
	PARCEL_MESSAGE = 4,
	PARCEL_BODY = 5,
	PARCEL_MISSING = 6,
	PARCEL_ENTRIES = 7,
	PARCEL_EXPUNGED = 8,
	PARCEL_CHANGE = 9,
	PARCEL_END = 10,
	PARCEL_HIDDEN = 11,
	PARCEL_DUE = 12,
	PARCEL_SOURCES = 13,
	/* what the receiver says, in the other direction */
	PARCEL_ACK = 20,
	PARCEL_RESULT = 21,
	PARCEL_REFUSED = 22,
};

struct parcel_begin {
	struct account_id account;
	int64_t created;         /* seconds since 1970 */
	uint32_t uidvalidity;    /* the last one given to a mailbox */
	uint64_t modseq, next;   /* counters of the account: at least all that follows */
	struct account_quota quota;
	uint64_t messages, bytes; /* that will come, about: for progress only */
};

struct parcel_mailbox {
	uint32_t number;
	struct str name; /* UTF-8, separator '/', INBOX in capitals; not checked further here (the store does) */
	uint32_t uidvalidity;
	enum special_use special_use;
	uint32_t uidnext, recent; /* recent: the first uid that no session was told of as \Recent */
	uint64_t modseq;
	uint32_t n_keywords;
	struct str keywords[KEYWORDS_MAX]; /* by bit number */
};

struct parcel_message {
	uint64_t number; /* in its account; in a parcel that was made from something else, any that are unique in it */
	uint64_t size;
	int64_t internal_date; /* seconds since 1970 */
	int16_t zone_minutes;
	uint64_t checksum; /* XXH3 of the bytes */
	uint32_t mailbox;  /* one that it stands in; 0: none, or not known. For the record of its bytes only */
};

struct parcel_missing {
	uint64_t number;
	struct str problem; /* for people: "its bytes are damaged" */
};

struct parcel_entry {
	uint32_t uid;    /* 0 where the receiver gives its own (import) */
	uint32_t saved;  /* seconds since 1970 when it came into its mailbox; 0: now */
	uint64_t modseq; /* 0 with uid 0 */
	uint64_t id;     /* POP3's UIDL; 0: the receiver gives one */
	uint64_t message;
	uint8_t flags;   /* of enum message_flag */
	struct keyword_bits keywords; /* bits by the names of the mailbox */
	struct str uidl; /* what POP3's UIDL says instead of its id (store/pop3.h); at most POP3_UIDL_MAX bytes; empty: nothing */
};

/* ENTRIES: in order of uid, those of a mailbox over all its frames (entries without uid: in any order). EXPUNGED: a
 * row of the undelete log, or the first part of one. */
struct parcel_entries {
	uint32_t mailbox; /* EXPUNGED: 0 when it is gone */
	uint64_t modseq;  /* EXPUNGED: of the expunge */
	int64_t time;     /* EXPUNGED: when; seconds since 1970 */
	bool more;        /* EXPUNGED: the next frame goes on with this row */
	uint32_t n;
	struct parcel_entry list[PARCEL_ENTRIES_MAX];
};

/* A row of the change log, or a part of its uids. */
struct parcel_change {
	uint32_t mailbox;
	uint64_t modseq;
	enum change_kind kind;
	int64_t time;
	bool more;       /* the next frame goes on with this row */
	struct str uids; /* base/set.h; checked */
};

/* What POP3 remembers of a mailbox (store/pop3.h); a part of the uids, several frames are one set. HIDDEN: from this
 * login. DUE: when they are deleted. */
struct parcel_pop3 {
	uint32_t mailbox;
	uint64_t login; /* HIDDEN */
	int64_t due;    /* DUE; seconds since 1970 */
	bool trash;     /* DUE */
	struct str uids; /* base/set.h; checked */
};

/* Messages of a source that came into a mailbox by an import, or a restore of single messages (store/transfer.h). */
struct parcel_sources {
	uint64_t mark; /* of the source and the mailbox, in the account of BEGIN */
	uint32_t n;
	struct {
		uint64_t number; /* of the message in its source; in order, and none twice */
		int64_t time;    /* when it came; seconds since 1970 */
	} list[PARCEL_SOURCES_MAX];
};

struct parcel_end {
	uint64_t messages, bytes, missing, entries; /* that were sent (bytes: of messages) */
	uint64_t checksum; /* XXH3 of all bytes of the stream before this frame */
};

/* --- making a parcel --- */

struct body_sum;

/* A parcel in the making. Whoever makes it takes bytes from the front (buf_consume) as they leave; the buffer's maximum
 * is the maker's: put a frame only when it has room for PARCEL_HEAD_SIZE + PARCEL_FRAME_MAX more. */
struct parcel_maker {
	struct buf out;
	struct body_sum *sum;
	struct parcel_end totals; /* counted as frames are put */
};
void parcel_maker_begin(struct parcel_maker *maker, size_t max);
void parcel_maker_free(struct parcel_maker *maker);
bool parcel_has_room(const struct parcel_maker *maker);

/* The caller keeps the order and the limits above; a frame that breaks a limit fails the buffer (buf_error). */
void parcel_put_begin(struct parcel_maker *maker, const struct parcel_begin *m);
void parcel_put_mailbox(struct parcel_maker *maker, const struct parcel_mailbox *m);
void parcel_put_subscription(struct parcel_maker *maker, struct str name);
void parcel_put_message(struct parcel_maker *maker, const struct parcel_message *m);
void parcel_put_body(struct parcel_maker *maker, struct str bytes); /* at most PARCEL_FRAME_MAX bytes */
void parcel_put_missing(struct parcel_maker *maker, const struct parcel_missing *m);
void parcel_put_entries(struct parcel_maker *maker, const struct parcel_entries *m);
void parcel_put_expunged(struct parcel_maker *maker, const struct parcel_entries *m);
void parcel_put_change(struct parcel_maker *maker, const struct parcel_change *m);
void parcel_put_pop3(struct parcel_maker *maker, enum parcel_type type, const struct parcel_pop3 *m); /* HIDDEN or DUE */
void parcel_put_sources(struct parcel_maker *maker, const struct parcel_sources *m);
void parcel_put_end(struct parcel_maker *maker); /* totals and checksum are the maker's */

/* --- reading one --- */

struct parcel_frame {
	enum parcel_type type;
	union {
		struct parcel_begin begin;
		struct parcel_mailbox mailbox;
		struct str subscription;
		struct parcel_message message;
		struct str body;
		struct parcel_missing missing;
		struct parcel_entries entries; /* ENTRIES and EXPUNGED */
		struct parcel_change change;
		struct parcel_pop3 pop3; /* HIDDEN and DUE */
		struct parcel_sources sources;
		struct parcel_end end;
	};
	bool message_complete; /* MESSAGE without bytes, or its last BODY */
};

struct parcel_taker;
struct parcel_taker *parcel_taker_new(void) __attribute__((returns_nonnull));
void parcel_taker_free(struct parcel_taker **taker);

/* The frame that `bytes` begin with: 0, and *used bytes are done with; *frame and its slices (into `bytes`) are valid
 * until the next call. ERR_INCOMPLETE: more bytes are needed, at most PARCEL_HEAD_SIZE + PARCEL_FRAME_MAX in all.
 * ERR_UNSUPPORTED: of a newer version. ERR_CORRUPT: not a parcel, or damaged; nothing more can be read. */
int parcel_next(struct parcel_taker *taker, struct str bytes, const struct parcel_frame **frame, size_t *used) MUST_CHECK;

/* END has come. */
bool parcel_is_whole(const struct parcel_taker *taker);

/* What was wrong, for people: "message 17 does not have the bytes that its checksum was made of"; and the offset in
 * the stream of the frame that it was wrong with. "" while nothing was. */
struct str parcel_problem(const struct parcel_taker *taker, uint64_t *offset);

/* --- the receiver's answers --- */

struct parcel_answer {
	enum parcel_type type;
	/* ACK, RESULT: that have come and are on disk (with an error: those stay, where the mode says so), messages of these
	 * that were refused or missing, and entries that had come before and were passed over. */
	uint64_t messages, entries, refused, passed;
	uint64_t keywords; /* of these entries that were left out, since their mailbox has as many as it may */
	uint64_t next;     /* the account's counter, from which all numbers are drawn, behind these entries; without any, as it is */
	int32_t result;   /* RESULT: 0 or negative enum err; the last frame */
	struct str text;  /* RESULT: for people, what was wrong and what to do */
	uint64_t number;  /* REFUSED, which tells nothing else: of a message that has come and is not stored, and would be asked for
	                   * again: it is too large, or cannot be read as a message. Before any answer that counts it */
};
void parcel_put_answer(struct buf *out, const struct parcel_answer *m);
/* As parcel_next. */
int parcel_answer_next(struct str bytes, struct parcel_answer *out, size_t *used) MUST_CHECK;

#endif
