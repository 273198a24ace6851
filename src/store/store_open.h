/* store_open.h: the life of a shard's store, for its owner (proc/shard and tests). Everyone else needs store.h only. */
#ifndef STORE_STORE_OPEN_H
#define STORE_STORE_OPEN_H

#include "store/store.h"

#define DATABASE_PAGE 4096 /* bytes, of index.db: salvage and restore know no other */

struct store_settings {
	struct str directory;      /* of the shard, absolute; made if missing */
	uint64_t segment_size;     /* bytes */
	uint32_t first_segment;    /* number of the first segment of a new store; 0: 1 */
	uint64_t view_memory;      /* bytes for entries of mailboxes that nobody has open */
	uint64_t reserve;          /* bytes kept free on the disk */
	uint64_t checkpoint_size;  /* bytes of WAL */
	uint32_t database_cache_kb;
	int64_t change_retention;  /* seconds */
	int64_t undelete_window;   /* seconds */
	int64_t delivery_lifetime; /* seconds */
	uint64_t compaction_rate;  /* bytes a second that background work copies */
	struct account_counts quota; /* limits of accounts that have none of their own; 0: none */
};

/* What the store asks of its owner. Called from within store functions: put work off to the end of the turn. */
struct store_world {
	/* file_sync this descriptor on a helper thread, then call store_synced with what it said on the loop. */
	void (*sync)(void *owner, int fd, bool is_folder);
	/* Writing is possible again. */
	void (*writable)(void *owner);
	/* Batches up to this one are on disk: replies may leave. */
	void (*durable)(void *owner, uint64_t batch);
	/* The batch never happened: answer its deliveries with an error, end the sessions that wrote in it or whose held
	 * output saw it. Touched accounts are gone from memory (account_is_gone). */
	void (*voided)(void *owner, uint64_t batch, int err);
	/* Nothing can be promised any more: log one line, end the process. */
	void (*failed)(void *owner, const char *what, int err);
	/* Is anything of this file still to be sent? A segment that is gone is closed when not. NULL: never. */
	bool (*reads)(void *owner, int fd);
};

/* Opens or makes the shard's files. ERR_CORRUPT, ERR_IO, ERR_NO_SPACE, ERR_UNSUPPORTED (made by a newer version),
 * ERR_UNAVAILABLE (another process has it). *what: which file or step it was, for the log; static memory. */
int store_open(const struct store_settings *settings, const struct store_world *world, void *owner, struct store **out,
               const char **what) MUST_CHECK;

/* When it was opened, the log of the last changes ended in some that are not whole. A power cut leaves that of those that
 * nobody was told of; damage may leave it of the last ones that somebody was. */
bool store_log_was_torn(const struct store *store);

/* Takes over what can change while it is open: view_memory, change_retention, undelete_window, delivery_lifetime,
 * compaction_rate, quota. */
void store_change_settings(struct store *store, const struct store_settings *settings);

/* Writes nothing more; what is not durable is lost (nobody was told). */
void store_close(struct store **store);

/* When the batch has many pages to write: writes a slice of them into its transaction, and true; to be called again in a
 * later turn, before store_turn, which would write all that is left. The COMMIT writes the log as ever: what SQLite puts
 * there before, and changes again, it would have to read and sum up again. */
bool store_write_ahead(struct store *store);

/* Call at the end of each turn of the loop: seals the batch, tells watchers. */
void store_turn(struct store *store);
void store_synced(struct store *store, int result);

/* Nothing is open or in flight: all that was asked for is on disk. */
bool store_is_idle(const struct store *store);
/* A batch is open, and the next store_turn seals it: the owner may see first whether more is coming. */
bool store_would_seal(const struct store *store);

/* No more background work is done from now on: what it holds, others need not wait for. */
void store_stop_upkeep(struct store *store);

/* A slice of background work (rows of destroyed accounts, what is past its time, messages that no entry has,
 * segments that are mostly dead), at most a few milliseconds. True when there is more to do. */
bool store_idle_work(struct store *store);

/* From now on, until store_idle_work has found nothing more to do, it compacts every segment with anything dead in
 * it, and as fast as it can. */
void store_compact_now(struct store *store);
bool store_is_compacting(const struct store *store);

struct store_statistics {
	uint64_t batches, syncs, accounts_in_memory, view_bytes;
	uint64_t checkpoints, wal_bytes;
	uint64_t segments, body_bytes; /* on disk */
	uint64_t messages;             /* in them, those that can be undeleted too */
	uint64_t dead_bytes;           /* of them: of messages that are gone; about */
	uint64_t compacted_bytes;      /* freed since start */
	uint64_t segments_damaged;     /* that cannot be compacted: see `mansio store check` */
};
void store_statistics(const struct store *store, struct store_statistics *out);

/* True when the disk has less free than the reserve: nothing is written then. *free_bytes: 0 where it is not known. */
bool store_is_short_of_space(const struct store *store, uint64_t *free_bytes);
/* Times that something was not begun for lack of space: when it grows, it is time to look. */
uint64_t store_space_refusals(const struct store *store);

/* --- a snapshot, for backups: snapshot.c --- */

#define STORE_SNAPSHOT_FILE "snapshot.db" /* in the shard's folder */

/* Begins a copy of index.db, beside it. From now until store_snapshot_end no segment is removed: all bytes below the
 * ends that the copy's table `segment` tells stay as they are. One at a time (ERR_STATE). */
int store_snapshot_begin(struct store *store) MUST_CHECK;
/* A slice of a few milliseconds at most. *done: the copy is whole, and all that it tells is on disk. An error (full
 * disk): it was given up. */
int store_snapshot_step(struct store *store, bool *done) MUST_CHECK;
/* Pages copied, and in all. */
void store_snapshot_progress(const struct store *store, uint64_t *copied, uint64_t *total);
/* Removes the copy, if it is still there, also one that an earlier run left. */
void store_snapshot_end(struct store *store);

/* --- checking --- */

#define CHECK_ROW_MAX 128

struct check_damage {
	struct account_id account; /* zero: of no account, or not known */
	uint64_t message;     /* number in the account; 0: the damage is not one message's */
	uint32_t segment;     /* where its bytes should be; 0: the damage is in index.db */
	uint64_t offset;      /* in the file of the segment, or in index.db when a page of that is damaged */
	const char *table;    /* of index.db; NULL: in a segment, or in no table */
	char row[CHECK_ROW_MAX]; /* which of the table, "key = 42"; empty: not known */
	const char *problem;  /* "it has no readable record"; valid during the call */
	struct str mailbox;   /* that has it, or one of them; empty: none, or not known */
	uint32_t uid;         /* its uid there; 0: not known */
	bool is_note;         /* strange, but it may be right: no damage */
};

struct check_totals {
	uint64_t accounts, entries, messages, bytes, damaged, notes;
};

/* What knows mail: is fed with the bytes of one message after the other. */
struct check_reader {
	void (*begin)(void *owner);
	void (*feed)(void *owner, struct str bytes);
	/* All of it was fed. NULL, or what of the row is not as the bytes are, static; *is_note: that may be right. */
	const char *(*compare)(void *owner, const struct message_row *row, bool *is_note);
	void *owner;
};

/* Reads everything while the store goes on: see check.c. damage() is called for each thing that is damaged (of very many
 * only for the first; all are in the totals) from within store_check_step, a slice of a few milliseconds; *done: all was
 * read. Errors are the database's own, damage of index.db aside: the check cannot go on. Free it before the store. */
typedef void check_damage_fn(void *owner, const struct check_damage *damage);
struct store_check *store_check_new(struct store *store, check_damage_fn *damage, void *owner)
	__attribute__((returns_nonnull));
/* Compares rows of messages with their bytes as well, by a reader that is freed after the check. */
void store_check_read_by(struct store_check *check, const struct check_reader *reader);
int store_check_step(struct store_check *check, bool *done) MUST_CHECK;
const struct check_totals *store_check_totals(const struct store_check *check);
void store_check_free(struct store_check **check);

/* --- the way in, for mail/ --- */

struct message_arrival {
	const struct str *pieces; /* bytes of the message, then */
	size_t n_pieces;
	int fd;                   /* -1, or a file of which file_length bytes from file_start on follow */
	uint64_t file_length, file_start;
	uint64_t checksum;        /* with a file: XXH3 of what was parsed; its sender might have changed it since */
	uint64_t size;            /* of all of it */
	int64_t internal_date;
	int16_t zone_minutes;
	uint32_t traits;
	uint32_t header_size;
	uint64_t lines;
	struct message_derived derived;
	uint8_t flags;
	struct keyword_bits keywords;
	const struct placing *placing; /* its bytes, when they are in the segments already; or NULL */
};

/* The bytes of a large message with a file, copied into the current segment in slices before the message is added:
 * see placing.c. Freed by its owner, after the message was added or instead, before the store. */
struct placing;
struct placing *placing_new(struct store *store) __attribute__((returns_nonnull));
void placing_free(struct placing **placing);

/* Copies a piece, and on until the time (clock_monotonic_us) is over or all is copied: *done. Also *done: it waited
 * for its place for too long, and is copied in one piece when it is added. Always of the same message and account;
 * does nothing while the store is not writable, or something else comes first. ERR_SYNTAX when the file is not what its checksum says; ERR_IO, ERR_NO_SPACE, ERR_NOT_FOUND (account). */
int placing_step(struct placing *placing, struct account *account, struct str mailbox,
                 const struct message_arrival *arrival, uint64_t end_us, bool *done) MUST_CHECK;

/* It waits for something else, and asking again is of no use before store_place_is_free, but from time to time: it does not
 * wait for ever. */
bool placing_waits(const struct placing *placing);
/* Does one wait? And may it go on? */
bool store_place_is_awaited(const struct store *store);
bool store_place_is_free(const struct store *store);

/* Adds a message to a mailbox; all or nothing. The mailbox need not be open. ERR_LIMIT at the end of uids;
 * ERR_SYNTAX when the file is not what its checksum says. */
int mailbox_add(struct mailbox *mailbox, const struct message_arrival *arrival, uint32_t *uid) MUST_CHECK;

#define DELIVERY_KEY_BYTES 16
/* The rows of keys, of deliveries (delivery.h) and of entries that come with an account. True when it was remembered, and
 * not confirmed since. */
int delivery_is_known(struct store *store, const unsigned char key[DELIVERY_KEY_BYTES], bool *known) MUST_CHECK;
int delivery_remember(struct store *store, struct account *account,
                      const unsigned char key[DELIVERY_KEY_BYTES]) MUST_CHECK;

#endif
