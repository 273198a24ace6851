/* store.h: the mail of one shard: accounts, mailboxes, entries, messages, changes. Knows no event loop and no
 * protocol; wire forms of messages (ENVELOPE, BODYSTRUCTURE, part tables) are opaque bytes here.
 *
 * Every function that writes needs the gate open (store_writable); it changes the batch that is open and the views
 * in memory at once. What it promised is on disk when store_durable reaches account_batch of its account: until then
 * no output of that account may leave (db/gate.h). An error of a write other than those named at the function voids
 * the whole batch: the store then says so through its world, and the caller only has to give up.
 *
 * Pointers to accounts, mailboxes and views stay valid while held (account_open, mailbox_open); entries and rows
 * only until the next call that may change or load them. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/account_id.h"
#include "base/set.h"

struct store;
struct account;
struct mailbox;

/* --- limits --- */
#define MAILBOX_NAME_MAX     1000 /* bytes of UTF-8 */
#define MAILBOX_DEPTH_MAX    32
#define KEYWORD_NAME_MAX     128
#define SUBSCRIPTIONS_MAX    10000 /* of an account */
#define KEYWORDS_MAX         256 /* per mailbox, whatever the setting says */
#define KEYWORD_WORDS        (KEYWORDS_MAX / 64)

/* --- gate --- */

/* False while the batch is sealed: wait for store_world.writable. */
bool store_writable(const struct store *store);

/* Bytes of large messages that the next sync has to write, about. */
uint64_t store_unsynced(const struct store *store);

/* The last batch that is on disk. */
uint64_t store_durable(const struct store *store);

/* The batch of the account's last change (0: none since start): output computed from it may leave when store_durable
 * >= this. */
uint64_t account_batch(const struct account *account);

/* The batch that is open: writes made now become durable with it. */
uint64_t store_batch(const struct store *store);

/* The last batch that anything was written in: an answer about the whole store may leave when store_durable >= this. */
uint64_t store_last_batch(const struct store *store);

/* --- accounts --- */

/* Holds the account (loads it if need be). ERR_NOT_FOUND; ERR_CORRUPT. */
int account_open(struct store *store, const struct account_id *id, struct account **out) MUST_CHECK;
/* The same, some milliseconds at a time: *done is false, and nothing is held, while there are more mailboxes to load; to be
 * called again in a later turn. account_open loads the rest at once. */
int account_open_step(struct store *store, const struct account_id *id, struct account **out, bool *done) MUST_CHECK;
void account_close(struct account **account);

/* A new account with INBOX, Drafts, Sent, Trash, Junk and Archive. 0 also when it is there already. */
int account_create(struct store *store, const struct account_id *id) MUST_CHECK;

/* The account is gone at once for everybody; its rows are removed little by little (store_idle_work). 0 also when
 * there is none. */
int account_destroy(struct store *store, const struct account_id *id, uint64_t *messages, uint64_t *bytes) MUST_CHECK;

/* What quotas count, and `mansio account usage` prints: the entries in mailboxes and the sum of their sizes. A message
 * that was copied counts as often as it stands somewhere; what was expunged does not. */
struct account_counts {
	uint64_t messages, bytes;
};
struct account_counts account_counts(const struct account *account);
int account_usage(struct store *store, const struct account_id *id, uint64_t *messages, uint64_t *bytes) MUST_CHECK;

/* Limits of an account as they were set for it. */
#define QUOTA_DEFAULT (-1) /* the server's (store_settings.quota) */
#define QUOTA_NONE    0
struct account_quota {
	int64_t messages, bytes;
};

/* The limits that hold now: 0 is none. */
struct account_counts account_limits(const struct account *account);

/* Sets the limits; no write when they are these already. 0 also when there is no such account. */
int account_set_quota(struct store *store, const struct account_id *id, const struct account_quota *quota) MUST_CHECK;

/* Would the account, with so much more, still be within its limits? What begins below and ends above is not. */
bool account_has_room(const struct account *account, uint64_t messages, uint64_t bytes);

struct store *account_store(const struct account *account);

/* For the owner's use: how many sessions the account has. */
uint32_t *account_sessions(struct account *account);

/* True once the account was destroyed or dropped with a void batch: sessions on it must end. */
bool account_is_gone(const struct account *account);

/* --- mailboxes --- */

/* RFC 6154; names by mailbox_special_use_name: "\\Drafts". */
#define SPECIAL_USE_LIST(X)                                                                                            \
	X(SPECIAL_USE_NONE, "")                                                                                            \
	X(SPECIAL_USE_ARCHIVE, "\\Archive")                                                                                \
	X(SPECIAL_USE_DRAFTS, "\\Drafts")                                                                                  \
	X(SPECIAL_USE_JUNK, "\\Junk")                                                                                      \
	X(SPECIAL_USE_SENT, "\\Sent")                                                                                      \
	X(SPECIAL_USE_TRASH, "\\Trash")

enum special_use {
#define SPECIAL_USE_ENUM(name, text) name,
	SPECIAL_USE_LIST(SPECIAL_USE_ENUM)
#undef SPECIAL_USE_ENUM
	SPECIAL_USE_COUNT
};

struct str special_use_name(enum special_use use);

struct mailbox_facts {
	struct str name; /* UTF-8, separator '/'; "INBOX" in capitals */
	uint32_t number; /* in the store; never used again */
	uint32_t uidvalidity;
	enum special_use special_use;
};

const struct mailbox_facts *mailbox_facts(const struct mailbox *mailbox);
struct account *mailbox_account(const struct mailbox *mailbox);

/* True once the mailbox was deleted (by another session) or its account is gone. */
bool mailbox_is_gone(const struct mailbox *mailbox);

/* All mailboxes of the account in order of their names; the array is valid until the next mailbox_create, _delete or
 * _rename. */
size_t account_mailboxes(struct account *account, struct mailbox *const **out);

/* Another one whenever names of its mailboxes or subscriptions have changed. */
uint64_t account_names_version(const struct account *account);

/* Levels of a mailbox's name; it need not be a good one. */
size_t mailbox_depth(struct str name);

/* NULL when there is none. Exact name (callers make INBOX capitals). */
struct mailbox *account_mailbox(struct account *account, struct str name);

/* Creates the mailbox, and those above it that are missing. ERR_EXISTS, ERR_LIMIT (name too long or deep, too many
 * mailboxes), ERR_SYNTAX (empty component, control characters, not UTF-8). special_use other than NONE: ERR_EXISTS
 * when another one has it. */
int mailbox_create(struct account *account, struct str name, enum special_use use, uint32_t max_mailboxes,
                   struct mailbox **out) MUST_CHECK;

/* Its messages go to the undelete log; mailboxes below it stay. ERR_DENIED for INBOX. */
int mailbox_delete(struct mailbox *mailbox) MUST_CHECK;
/* The same of one that cannot be opened (ERR_CORRUPT): what can be read of it goes to the undelete log, nobody knows what else was
 * in it. Reads all mailboxes of the account, for its counters. */
int mailbox_delete_damaged(struct mailbox *mailbox) MUST_CHECK;

/* Renames it and all below it; creates missing parents. INBOX (RFC 3501 6.3.5): its messages move to a new mailbox
 * of that name, INBOX stays, empty. `name` as in mailbox_create. ERR_EXISTS when `to` or a name
 * below it is taken, be it by what is renamed too. */
int mailbox_rename(struct account *account, struct str from, struct str to, uint32_t max_mailboxes) MUST_CHECK;

/* Of more than RENAME_SLICE mailboxes the batch of mailbox_rename has only what is called how; all have their new names for
 * everybody, after a crash too. Their rows follow: so many with each account_rename_step, which may be in a batch of its own,
 * or the rest at once with the next mailbox_create or mailbox_rename. */
#define RENAME_SLICE 256
bool account_is_renaming(const struct account *account);
int account_rename_step(struct account *account) MUST_CHECK;

/* Subscriptions are names, whether or not such a mailbox exists (RFC 3501 6.3.9). Sorted; valid until the next
 * subscribe. To subscribe: ERR_SYNTAX and ERR_LIMIT for the name as in mailbox_create; ERR_LIMIT at
 * SUBSCRIPTIONS_MAX. */
size_t account_subscriptions(struct account *account, const struct str **out);
int account_subscribe(struct account *account, struct str name, bool subscribe) MUST_CHECK;
bool account_is_subscribed(struct account *account, struct str name);

/* --- entries: what is in a mailbox, ordered by uid --- */

enum message_flag {
	FLAG_SEEN = 1,
	FLAG_ANSWERED = 2,
	FLAG_FLAGGED = 4,
	FLAG_DELETED = 8,
	FLAG_DRAFT = 16,
};

struct keyword_bits {
	uint64_t word[KEYWORD_WORDS];
};

struct entry {
	uint32_t uid;
	uint32_t saved;          /* seconds since 1970 when it came into this mailbox */
	uint64_t modseq;
	uint64_t id : 40;        /* unique in the account for ever; POP3's UIDL */
	uint64_t size_low : 24;  /* entry_size */
	uint64_t message : 40;   /* number in the account: key of its row */
	uint64_t size_high : 15;
	uint64_t open_end : 1;   /* its message has MESSAGE_ENDS_WITHOUT_CRLF */
	uint64_t flags : 8;      /* of enum message_flag */
};

#define ENTRY_SIZE_MAX ((UINT64_C(1) << 39) - 1)

/* Bytes of its message: RFC822.SIZE. */
static inline uint64_t entry_size(const struct entry *entry)
{
	return (uint64_t)entry->size_high << 24 | entry->size_low;
}

static inline void entry_set_size(struct entry *entry, uint64_t size)
{
	entry->size_low = size & 0xffffff;
	entry->size_high = size >> 24 & 0x7fff;
}

/* Holds the mailbox's entries in memory (loads them if need be), until mailbox_close. ERR_CORRUPT, ERR_IO. */
int mailbox_open(struct mailbox *mailbox) MUST_CHECK;

/* The same of a mailbox that may have many entries, some milliseconds at a time, with others served in between: begin
 * holds it; then step until *done. Whatever step returns, mailbox_close lets go of it; before *done nothing but these
 * may be called for its entries. */
int mailbox_open_begin(struct mailbox *mailbox) MUST_CHECK;
int mailbox_open_step(struct mailbox *mailbox, bool *done) MUST_CHECK;
void mailbox_close(struct mailbox *mailbox);

/* For an open mailbox: */
uint32_t mailbox_count(const struct mailbox *mailbox);
uint32_t mailbox_uidnext(const struct mailbox *mailbox);
uint64_t mailbox_modseq(const struct mailbox *mailbox); /* HIGHESTMODSEQ; 1 or more */

struct mailbox_counts {
	uint32_t messages, unseen, recent;
	uint32_t first_unseen_uid; /* 0: none */
	uint64_t bytes;            /* sum of the messages' sizes */
};
void mailbox_counts(const struct mailbox *mailbox, struct mailbox_counts *out);
/* Messages with \Deleted, and the sum of their sizes; looks at all entries. */
void mailbox_deleted(const struct mailbox *mailbox, struct account_counts *out);

/* What a session knows of a mailbox; all that an idle session holds. */
struct known {
	struct set uids;
	uint64_t modseq;
};

/* Walking entries in uid order: position at the first entry with uid >= `uid`; then entry_next until NULL. A write
 * to the mailbox ends the walk. */
struct entry_cursor {
	const struct mailbox *mailbox;
	uint32_t page, slot;
};
struct entry_cursor entry_seek(const struct mailbox *mailbox, uint32_t uid);
const struct entry *entry_next(struct entry_cursor *cursor);
const struct entry *entry_find(const struct mailbox *mailbox, uint32_t uid); /* NULL if not there */

/* Keywords of the entry that entry_next gave last (or entry_find: give its entry). All zero when the mailbox has
 * none. */
void entry_keywords(const struct mailbox *mailbox, const struct entry *entry, struct keyword_bits *out);

/* All uids of an open mailbox and its modseq, as a session that has been told everything knows it. */
void mailbox_know_all(const struct mailbox *mailbox, struct known *out);

/* The entries of an open mailbox as they are now, for a session that is to see the same until its end (POP3): what
 * leaves the mailbox later stays in here. Their uids, sizes, ids and messages count, flags and modseqs may be newer; what
 * came later may be in here too. Costs a pointer for every 120 entries, and 4 KB for each such page once entries have left
 * it, shared by all who have it. May outlive the mailbox; says nothing of whether a message can still be read. */
struct mailbox_past;
struct mailbox_past *mailbox_past_new(const struct mailbox *mailbox) __attribute__((returns_nonnull));
void mailbox_past_free(struct mailbox_past **past);

/* Walks it like a mailbox; a write does not end the walk. */
struct past_cursor {
	const struct mailbox_past *past;
	uint32_t page, slot;
};
struct past_cursor past_seek(const struct mailbox_past *past, uint32_t uid);
const struct entry *past_next(struct past_cursor *cursor);
const struct entry *past_find(const struct mailbox_past *past, uint32_t uid); /* NULL if not there */

/* The 1-based sequence number of a position among the entries now (not a session's view): entries with a smaller
 * uid, plus 1. */
uint32_t mailbox_count_below(const struct mailbox *mailbox, uint32_t uid);

/* The mailbox's keyword names by bit number. keyword_find: bit, or -1 (ASCII case does not matter). keyword_add
 * makes it (a write): ERR_LIMIT at `max` names. */
size_t mailbox_keywords(const struct mailbox *mailbox, const struct str **out);
int keyword_find(const struct mailbox *mailbox, struct str name);
int keyword_add(struct mailbox *mailbox, struct str name, uint32_t max, uint32_t *bit) MUST_CHECK;

/* \Recent (RFC 3501 2.3.2): uids from the result on are recent to the session that asks now, and to no other after
 * it. */
uint32_t mailbox_take_recent(struct mailbox *mailbox);

/* --- changes --- */

enum change_kind { CHANGE_NEW, CHANGE_FLAGS, CHANGE_EXPUNGE };

/* What happened since `known`: uids that are gone, uids whose flags changed (of those still there, known before),
 * uids that are new. Cheap when little happened (from the recent changes in memory), a full comparison otherwise.
 * Changes of flags made under `origin` (a session's id, 0: none) are left out where the recent changes tell: that
 * session has said them already. `known` is not changed: the session applies what it tells its client. */
struct delta {
	struct set expunged, flags, fresh;
};
void delta_free(struct delta *delta);
bool mailbox_has_news(const struct mailbox *mailbox, const struct known *known);
int mailbox_delta(const struct mailbox *mailbox, const struct known *known, uint64_t origin,
                  struct delta *out) MUST_CHECK;

/* What happened in an open mailbox since `modseq`, for a client that comes back: *changed gets the uids, of those that
 * are there now, that came or whose flags changed; *expunged those that were expunged. Both replaced. *complete: the
 * change log goes back that far and *expunged is all of it; else it is empty, and who asks compares what it knows with
 * what is there. Costs what the changes of the account since then cost, or, when they are many, a look at each page.
 * ERR_STATE, ERR_IO, ERR_CORRUPT. */
int mailbox_changes_since(const struct mailbox *mailbox, uint64_t modseq, struct set *changed, struct set *expunged,
                          bool *complete) MUST_CHECK;

/* Called (soon, once per turn) after a mailbox changed; in IDLE or for notices. It may only take note: other watches
 * must stay. */
struct mailbox_watch {
	void (*changed)(void *owner);
	void *owner;
	struct mailbox *mailbox;
	struct mailbox_watch *next, **link; /* private */
};
void mailbox_watch_start(struct mailbox *mailbox, struct mailbox_watch *watch);
void mailbox_watch_stop(struct mailbox_watch *watch);

/* --- writing entries --- */

enum flags_mode { FLAGS_REPLACE, FLAGS_ADD, FLAGS_REMOVE };

struct flags_change {
	enum flags_mode mode;
	uint8_t flags;
	struct keyword_bits keywords;
};

/* Changes flags of those of `uids` that are there. *changed (may be NULL; an empty set to begin with) gets the uids
 * whose flags are different now; one new modseq for all of them. Nothing different: nothing is written. */
int mailbox_store(struct mailbox *mailbox, const struct set *uids, const struct flags_change *change, uint64_t origin,
                  struct set *changed) MUST_CHECK;

/* Bulk work goes in slices, each in a batch of its own: of those of `uids` that are there, from *from on, the next `max`, or
 * fewer where they lie in SLICE_PAGES_MAX pages, for what a COMMIT costs is the pages that it writes. *more: there are
 * others, and *from is where they begin. Costs what it finds, not what the set or the mailbox has. */
#define SLICE_PAGES_MAX 171 /* full ones: 20,480 entries */
int mailbox_slice(struct mailbox *mailbox, const struct set *uids, uint32_t max, uint32_t *from, struct set *out,
                  bool *more) MUST_CHECK;

/* Asked where the gate is open: may bulk work of `messages` (those that are left, or more) write its next slice into this
 * batch? False when the batch has as many pages as it is to write, of whomever: the account is part of it then, and whoever
 * waits until it is durable may ask again. A few messages always may. *refusals, 0 at first, is whoever asks's own: after
 * SLICE_REFUSALS_MAX of them he may too, whatever others write, so nobody waits for longer. */
#define SLICE_FEW          16
#define SLICE_REFUSALS_MAX 3
bool account_may_write_slice(struct account *account, uint64_t messages, uint8_t *refusals);

/* Removes those of `uids` that are there and (deleted_only) have \Deleted; *expunged (empty to begin with) gets
 * them. They can be undeleted during the window. */
int mailbox_expunge(struct mailbox *mailbox, const struct set *uids, bool deleted_only,
                    struct set *expunged) MUST_CHECK;

/* Copies entries, with flags and keywords (new keywords are made in `to`, up to max_keywords; those beyond it are
 * dropped), all or nothing. `from` may equal `to`. The n-th of *source became the n-th of *target. move: they leave
 * `from`, keeping their entry ids (RFC 6851). ERR_QUOTA: no room for copies; a move needs none. */
int mailbox_copy(struct mailbox *from, const struct set *uids, struct mailbox *to, bool move, uint32_t max_keywords,
                 struct set *source, struct set *target) MUST_CHECK;

/* A copy of many entries (more than COPY_AT_ONCE_MAX), a few milliseconds at a time: begin, then step until
 * *done, end, and free in any case. Nothing of it is seen before the end, and giving up leaves nothing. Flags are
 * copied as they are in the end. Both mailboxes are held meanwhile. Steps and end write: ERR_UNAVAILABLE when the
 * gate is closed, to be called again when it is open; ERR_NOT_FOUND when a mailbox was deleted meanwhile; other
 * errors as mailbox_copy's. Moves of many go by mailbox_slice instead. */
#define COPY_AT_ONCE_MAX  10000
#define COPY_STEP_ENTRIES 8192
struct mailbox_copying;
int mailbox_copy_begin(struct mailbox *from, const struct set *uids, struct mailbox *to, uint32_t max_keywords,
                       struct mailbox_copying **out) MUST_CHECK;
int mailbox_copy_step(struct mailbox_copying *copying, bool *done) MUST_CHECK;
int mailbox_copy_end(struct mailbox_copying *copying, struct set *source, struct set *target) MUST_CHECK;
void mailbox_copy_free(struct mailbox_copying **copying);

/* --- undelete: what was expunged, during store_settings.undelete_window --- */

/* Which entries: all conditions together. */
struct undelete_filter {
	struct str mailbox;  /* expunged from it (and it is still there); empty: from any */
	int64_t since;       /* expunged at this time or later; seconds since 1970 */
	const uint64_t *ids; /* of entries */
	size_t n_ids;        /* 0: all */
};

struct expunged_entry {
	const struct entry *entry;
	struct str mailbox; /* the name that it has now; empty: the mailbox is gone */
	int64_t time;       /* of the expunge */
};

/* Where a listing goes on; zero: the beginning, or the end was reached. */
struct undelete_position {
	uint64_t row;
	uint32_t slot;
};

/* Calls each for at most `max` entries, in the order in which they were expunged; slices and entries are valid
 * during the call, which may read messages but not write. Fewer, or none, when it has looked at much of the log for them.
 * ERR_IO. */
int undelete_list(struct account *account, const struct undelete_filter *filter, struct undelete_position *position,
                  uint32_t max, void (*each)(void *owner, const struct expunged_entry *expunged),
                  void *owner) MUST_CHECK;

struct undelete_done {
	uint32_t restored;
	uint32_t damaged; /* that were asked for and stay in the log: they have no message, or their mailbox cannot be read */
};

/* Puts entries back: as new entries at the end of the mailbox that they were in, or of INBOX when that is gone; with
 * their flags, \Deleted aside, their keywords (not into INBOX) and their entry ids. Of one call: UNDELETE_AT_ONCE and
 * the rest of a row of the log (at most 1000), or fewer when it has looked at much of the log for them; *position as in
 * undelete_list. ERR_LIMIT at the end of uids. */
#define UNDELETE_AT_ONCE 500
int undelete_restore(struct account *account, const struct undelete_filter *filter, struct undelete_position *position,
                     struct undelete_done *done) MUST_CHECK;

/* --- messages --- */

/* What was derived from a message when it came: facts that replies are copied from. */
struct message_derived {
	struct str envelope;  /* wire form of ENVELOPE */
	struct str structure; /* of BODYSTRUCTURE */
	struct str body;      /* of BODY without extension data */
	struct str parts;     /* encoded part table (syntax/mime.h) */
	struct str headers;   /* the header fields that clients ask for most, as they stand in the message (mail/headers.h) */
};

enum message_trait {
	MESSAGE_NEEDS_STUFFING = 1, /* a line begins with '.' */
	MESSAGE_ENDS_WITHOUT_CRLF = 2,
	MESSAGE_8BIT = 4,
	MESSAGE_BARE_LINE_ENDS = 8, /* it holds a CR or an LF alone (only APPEND brings such) */
};

struct message_row {
	uint64_t number;
	uint64_t size;          /* bytes: RFC822.SIZE */
	int64_t internal_date;  /* seconds since 1970 */
	int16_t zone_minutes;   /* of the internal date as it was given */
	uint32_t traits;        /* of enum message_trait */
	uint32_t header_size;   /* bytes of the top header with its blank line */
	uint64_t lines;
	uint32_t segment;       /* where the bytes are */
	uint64_t offset;
	struct message_derived derived;
};

/* Reading rows in ascending order of number is a walk, other orders are seeks: use one cursor for one FETCH slice
 * and end it before returning to the loop. The row's slices are valid until the next call on the cursor.
 * ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO. */
enum message_part {
	MESSAGE_WHOLE,
	MESSAGE_LISTING, /* number, internal date, envelope, structure: what a list of messages needs; the rest is 0 */
	MESSAGE_FIELDS,  /* all but envelope, structure, body, parts: what a search in headers needs */
	MESSAGE_RANGES,  /* all but envelope, structure, body, headers: what leads to the bytes */
};

struct message_cursor {
	struct account *account;
	uint64_t at; /* private: number of the row the statement stands on */
	enum message_part part;
	bool open;
};
void message_cursor_begin(struct message_cursor *cursor, struct account *account);
/* Reads a part of each row only: SQLite copies every column that it is asked for. */
void message_cursor_begin_part(struct message_cursor *cursor, struct account *account, enum message_part part);
int message_cursor_get(struct message_cursor *cursor, uint64_t number, struct message_row *out) MUST_CHECK;
void message_cursor_end(struct message_cursor *cursor);

/* The bytes of a message: a range of a file, for outq_add_file; or read into memory: exactly n bytes from `from`
 * (ERR_CORRUPT beyond its end). */
int message_file(struct account *account, const struct message_row *row, int *fd, uint64_t *offset) MUST_CHECK;
int message_read(struct account *account, const struct message_row *row, uint64_t from, size_t n, char *out) MUST_CHECK;

#endif
