/* internal.h: the store's own structures, shared by the files of this room only. Ownership: store → accounts →
 * mailboxes → pages. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include "base/mem.h"
#include "db/bodylog.h"
#include "db/gate.h"
#include "db/sqlite.h"
#include "store/page.h"
#include "store/store.h"
#include "store/store_open.h"
#include "store/text.h"

#define MAILBOX_SEPARATOR  '/'
#define KEY_SHIFT          40
#define ACCOUNT_NUMBER_MAX ((1 << 23) - 1)
#define NUMBER_MAX         ((INT64_C(1) << KEY_SHIFT) - 1)
#define RUN_NUMBER_MAX     INT64_C(0x7fffffff)
#define MODSEQ_LAST        (NUMBER_MAX - (1 << 20)) /* where no write begins any more: one may give some, */
#define UIDVALIDITY_LAST   (UINT32_MAX - (1 << 20)) /* and what follows is another account's, or 0 */
#define ACCOUNT_BYTES_MAX  (INT64_C(1) << 60) /* of its mail: what no disk has, and sums of it still fit */
#define PARKED_KEY_MAX     25
#define ACCOUNT_BUCKETS    4096 /* of the table by id; a power of two */
#define RECENT_CHANGES     64   /* remembered per mailbox in memory; sessions that are further behind compare everything */
#define RECENT_RANGES_MAX  256  /* of one remembered change; a larger one is not remembered */

/* A counter of a segment; nothing, when it is out of bounds: a sum that overflows would make every batch fail. The check tells. */
#define SEGMENT_COUNT(column) "segment." column " * (segment." column " BETWEEN 0 AND 1152921504606846976)"

/* Every statement of the store, prepared once. */
#define STATEMENT_LIST(X)                                                                                              \
	X(account_by_id, "SELECT number, uidvalidity, modseq, next, messages, bytes, quota_messages, quota_bytes, renaming FROM account WHERE id = ?1 AND removed <> 1") \
	X(account_insert, "INSERT INTO account (id, created, uidvalidity, modseq, next) VALUES (?1, ?2, ?3, 0, 1)")        \
	X(account_update, "UPDATE account SET uidvalidity = ?2, modseq = ?3, next = ?4, messages = ?5, bytes = ?6, quota_messages = ?7, quota_bytes = ?8 WHERE number = ?1") \
	X(account_renaming, "UPDATE account SET renaming = ?2 WHERE number = ?1")                                         \
	X(account_remove, "UPDATE account SET removed = 1, id = randomblob(24) WHERE number = ?1")                         \
	X(account_park, "UPDATE account SET removed = ?3, id = ?2 WHERE id = ?1")                                          \
	X(account_remove_id, "UPDATE account SET removed = 1, id = randomblob(24) WHERE id = ?1")                          \
	X(account_insert_as, "INSERT INTO account (id, removed, created, uidvalidity, modseq, next, quota_messages, quota_bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)") \
	X(account_created, "SELECT created FROM account WHERE number = ?1")                                                \
	X(expunged_to, "UPDATE expunged SET mailbox = ?4 WHERE key BETWEEN ?1 AND ?2 AND mailbox = ?3")                    \
	X(change_list, "SELECT key, mailbox, kind, time, uids FROM change WHERE key BETWEEN ?1 AND ?2 ORDER BY key")       \
	X(message_facts, "SELECT size, traits FROM message WHERE key = ?1")                                                \
	X(mailbox_list, "SELECT number, name, uidvalidity, special_use, keywords FROM mailbox WHERE account = ?1 AND name >= ?2 ORDER BY name") \
	X(mailbox_insert, "INSERT INTO mailbox (account, name, uidvalidity, special_use, keywords) VALUES (?1, ?2, ?3, ?4, ?5)") \
	X(mailbox_rename, "UPDATE mailbox SET name = ?2 WHERE number = ?1")                                                \
	X(mailbox_keywords, "UPDATE mailbox SET keywords = ?2 WHERE number = ?1")                                          \
	X(mailbox_remove, "DELETE FROM mailbox WHERE number = ?1")                                                         \
	X(subscription_list, "SELECT name FROM subscription WHERE account = ?1 AND name >= ?2 ORDER BY name")                             \
	X(subscription_insert, "INSERT OR IGNORE INTO subscription (account, name) VALUES (?1, ?2)")                       \
	X(subscription_remove, "DELETE FROM subscription WHERE account = ?1 AND name = ?2")                                \
	X(run_list, "SELECT number, uid_base, modseq FROM run WHERE mailbox = ?1 ORDER BY uid_base, number")               \
	X(run_last, "SELECT number, uid_base, modseq FROM run WHERE mailbox = ?1 ORDER BY uid_base DESC, number DESC LIMIT 1") \
	X(run_insert, "INSERT INTO run (account, mailbox, uid_base, modseq) VALUES (?1, ?2, ?3, ?4)")                      \
	X(run_attach, "UPDATE run SET mailbox = ?2, uid_base = ?3, modseq = ?4 WHERE number = ?1")                         \
	X(run_remove, "DELETE FROM run WHERE mailbox = ?1")                                                                \
	X(page_list, "SELECT key, entries FROM page WHERE key BETWEEN ?1 AND ?2 ORDER BY key")                             \
	X(page_last, "SELECT key, entries FROM page WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC LIMIT 1")                \
	X(page_write, "INSERT OR REPLACE INTO page (key, entries) VALUES (?1, ?2)")                                        \
	X(page_remove, "DELETE FROM page WHERE key BETWEEN ?1 AND ?2")                                                     \
	X(message_insert, "INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)")      \
	X(message_walk, "SELECT * FROM message WHERE key BETWEEN ?1 AND ?2 ORDER BY key")                                  \
	X(message_walk_listing, "SELECT key, date, zone, envelope, structure FROM message WHERE key BETWEEN ?1 AND ?2 ORDER BY key") \
	X(message_walk_ranges, "SELECT key, segment, offset, size, date, zone, traits, header_size, lines, parts FROM message WHERE key BETWEEN ?1 AND ?2 ORDER BY key") \
	X(message_walk_fields, "SELECT key, segment, offset, size, date, zone, traits, header_size, lines, headers FROM message WHERE key BETWEEN ?1 AND ?2 ORDER BY key") \
	X(message_last, "SELECT max(key) FROM message WHERE key BETWEEN ?1 AND ?2")                                        \
	X(change_insert, "INSERT INTO change (key, mailbox, kind, time, uids) VALUES (?1, ?2, ?3, ?4, ?5)")                \
	X(change_last, "SELECT max(key) FROM change WHERE key BETWEEN ?1 AND ?2")                                          \
	X(change_first, "SELECT min(key) FROM change WHERE key BETWEEN ?1 AND ?2")                                         \
	X(change_tail, "SELECT mailbox, kind, uids FROM change WHERE key BETWEEN ?1 AND ?2 ORDER BY key")                  \
	X(expunged_insert, "INSERT INTO expunged (key, mailbox, time, entries) VALUES (?1, ?2, ?3, ?4)")                   \
	X(expunged_last, "SELECT max(key) FROM expunged WHERE key BETWEEN ?1 AND ?2")                                      \
	X(delivery_find, "SELECT 1 FROM delivery WHERE key = ?1")                                                          \
	X(delivery_insert, "INSERT OR REPLACE INTO delivery (key, time) VALUES (?1, ?2)")                                  \
	X(delivery_range, "SELECT key, time FROM delivery WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT ?3")             \
	X(delivery_remove, "DELETE FROM delivery WHERE key = ?1")                                                          \
	X(segment_write, "INSERT INTO segment (number, end, messages, bytes) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (number) DO UPDATE SET end = excluded.end, messages = " SEGMENT_COUNT("messages") " + excluded.messages, bytes = " SEGMENT_COUNT("bytes") " + excluded.bytes") \
	X(segment_less, "UPDATE segment SET messages = " SEGMENT_COUNT("messages") " - ?2, bytes = " SEGMENT_COUNT("bytes") " - ?3 WHERE number = ?1") \
	X(segment_space, "SELECT count(*), total(end), total(messages), total(bytes) FROM segment")                        \
	X(segment_to_compact, "SELECT number, end, messages FROM segment WHERE number > ?1 AND number < ?2 AND (end = 0 OR (bytes + messages * ?3) * 100 < end * ?4) ORDER BY number LIMIT 1") \
	X(segment_messages, "SELECT messages FROM segment WHERE number = ?1")                                              \
	X(segment_clear, "UPDATE segment SET end = 0 WHERE number = ?1")                                                   \
	X(segment_remove, "DELETE FROM segment WHERE number = ?1")                                                         \
	X(check_account, "SELECT number, id FROM account WHERE number > ?1 AND removed = 0 ORDER BY number LIMIT 1")       \
	X(check_counters, "SELECT modseq, messages, bytes FROM account WHERE number = ?1")                                 \
	X(check_messages, "SELECT key, segment, offset, size FROM message WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT ?3") \
	X(check_mailbox, "SELECT name FROM mailbox WHERE number = ?1")                                                        \
	X(check_row, "SELECT * FROM message WHERE key = ?1")                                                                \
	X(account_number, "SELECT number FROM account WHERE id = ?1")                                                      \
	X(message_place, "SELECT segment, offset, size, date, zone FROM message WHERE key = ?1")                                       \
	X(message_move, "UPDATE message SET segment = ?2, offset = ?3 WHERE key = ?1")                                     \
	X(message_remove, "DELETE FROM message WHERE key = ?1 RETURNING segment, size")                                    \
	X(forgotten_insert, "INSERT OR IGNORE INTO forgotten (key) VALUES (?1)")                                           \
	X(forgotten_list, "SELECT key FROM forgotten WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3")                   \
	X(forgotten_next, "SELECT min(key) FROM forgotten WHERE key > ?1")                                                 \
	X(forgotten_remove, "DELETE FROM forgotten WHERE key = ?1")                                                        \
	X(removed_forgotten, "DELETE FROM forgotten WHERE key IN (SELECT key FROM forgotten WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)") \
	X(account_runs, "SELECT number, mailbox, uid_base FROM run WHERE mailbox IN (SELECT number FROM mailbox WHERE account = ?1 UNION ALL SELECT 0) AND account = ?1") \
	X(account_next, "UPDATE account SET next = max(next, ?2) WHERE number = ?1")                                       \
	X(expunged_list, "SELECT key, mailbox, time, entries FROM expunged WHERE key BETWEEN ?1 AND ?2 ORDER BY key")      \
	X(expunged_update, "UPDATE expunged SET entries = ?2 WHERE key = ?1")                                              \
	X(expunged_remove, "DELETE FROM expunged WHERE key = ?1")                                                          \
	X(old_deliveries, "DELETE FROM delivery WHERE key IN (SELECT key FROM delivery WHERE time < ?1 LIMIT ?2)")         \
	X(removed_account, "SELECT number FROM account WHERE removed = 1 AND number > ?1 ORDER BY number LIMIT 1")                                         \
	X(removed_messages, "DELETE FROM message WHERE key IN (SELECT key FROM message WHERE key BETWEEN ?1 AND ?2 LIMIT ?3) RETURNING segment, size") \
	X(removed_changes, "DELETE FROM change WHERE key IN (SELECT key FROM change WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)") \
	X(removed_expunged, "DELETE FROM expunged WHERE key IN (SELECT key FROM expunged WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)") \
	X(removed_run, "SELECT number FROM run WHERE account = ?1 LIMIT 1")                                                \
	X(removed_pages, "DELETE FROM page WHERE key IN (SELECT key FROM page WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)")      \
	X(removed_run_end, "DELETE FROM run WHERE number = ?1")                                                            \
	X(removed_mailboxes, "DELETE FROM mailbox WHERE account = ?1")                                                     \
	X(removed_subscriptions, "DELETE FROM subscription WHERE account = ?1")                                            \
	X(removed_account_end, "DELETE FROM account WHERE number = ?1")                                                    \
	X(next_account, "SELECT min(number) FROM account WHERE number > ?1 AND removed IN (0, 3)")                         \
	X(oldest_delivery, "SELECT min(time) FROM delivery")                                                               \
	X(oldest_change, "SELECT time FROM change WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT 1")                       \
	X(oldest_expunged, "SELECT time FROM expunged WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT 1")                   \
	X(hidden_read, "SELECT uids FROM pop3_hidden WHERE mailbox = ?1 AND login = ?2")                                   \
	X(hidden_write, "INSERT OR REPLACE INTO pop3_hidden (mailbox, login, uids) VALUES (?1, ?2, ?3)")                   \
	X(hidden_list, "SELECT login, uids FROM pop3_hidden WHERE mailbox = ?1 AND login >= ?2 ORDER BY login")            \
	X(hidden_forget, "DELETE FROM pop3_hidden WHERE mailbox IN (SELECT number FROM mailbox WHERE account = ?1) AND login = ?2") \
	X(hidden_remove, "DELETE FROM pop3_hidden WHERE mailbox = ?1")                                                     \
	X(due_read, "SELECT uids FROM pop3_due WHERE due = ?1 AND mailbox = ?2 AND trash = ?3")                            \
	X(due_write, "INSERT OR REPLACE INTO pop3_due (due, mailbox, trash, uids) VALUES (?1, ?2, ?3, ?4)")                \
	X(due_remove, "DELETE FROM pop3_due WHERE due = ?1 AND mailbox = ?2 AND trash = ?3")                               \
	X(due_next, "SELECT ifnull(min(due), 0) FROM pop3_due")                                                            \
	X(due_first, "SELECT d.due, d.mailbox, d.trash, d.uids, CASE WHEN a.removed = 0 THEN a.id END FROM pop3_due d LEFT JOIN mailbox m ON m.number = d.mailbox LEFT JOIN account a ON a.number = m.account WHERE d.due <= ?1 AND ifnull(a.removed, 1) <= 1 ORDER BY d.due LIMIT 1") \
	X(due_list, "SELECT due, trash, uids FROM pop3_due WHERE mailbox = ?1 AND (due, trash) > (?2, ?3) ORDER BY due, trash") \
	X(due_forget, "DELETE FROM pop3_due WHERE mailbox = ?1")                                                           \
	X(uidl_walk, "SELECT key, text FROM pop3_uidl WHERE key BETWEEN ?1 AND ?2 ORDER BY key")                           \
	X(uidl_insert, "INSERT OR IGNORE INTO pop3_uidl (key, text) VALUES (?1, ?2)")                                      \
	X(uidl_remove, "DELETE FROM pop3_uidl WHERE key = ?1")                                                             \
	X(removed_hidden, "DELETE FROM pop3_hidden WHERE mailbox IN (SELECT number FROM mailbox WHERE account = ?1)")      \
	X(removed_due, "DELETE FROM pop3_due WHERE mailbox IN (SELECT number FROM mailbox WHERE account = ?1)")            \
	X(removed_uidls, "DELETE FROM pop3_uidl WHERE key IN (SELECT key FROM pop3_uidl WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)") \
	X(account_floor, "UPDATE account SET modseq = max(modseq, (SELECT ifnull(max(key), 0) & ?4 FROM change WHERE key BETWEEN ?2 AND ?3), (SELECT ifnull(max(key), 0) & ?4 FROM expunged WHERE key BETWEEN ?2 AND ?3)) WHERE number = ?1") \
	X(old_changes, "DELETE FROM change WHERE key IN (SELECT key FROM (SELECT key, max(time) OVER (ORDER BY key) AS latest FROM (SELECT key, time FROM change WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?4)) WHERE latest < ?3)")

struct statements {
#define STATEMENT_FIELD(name, sql) sqlite3_stmt *name;
	STATEMENT_LIST(STATEMENT_FIELD)
#undef STATEMENT_FIELD
};

/* loading.c: an account of which some rows were read. */
#define LOADINGS_MAX 16
enum loading_part { LOADING_BEGINS, LOADING_MAILBOXES, LOADING_SUBSCRIPTIONS };
struct loading {
	struct account *account; /* not in the table */
	enum loading_part part;  /* what is being read */
	uint64_t asked_us;       /* clock_monotonic_us when somebody asked for it last */
};

struct store {
	struct store_settings settings;
	struct buf directory; /* backs settings.directory */
	struct db db;
	struct bodylog *bodies;
	struct gate *gate;
	struct statements sql;
	const struct store_world *world;
	void *owner;
	struct account *buckets[ACCOUNT_BUCKETS];
	struct account *oldest, *newest; /* all accounts in memory, by last use */
	struct account *touched;         /* changed in the open batch */
	struct page *dirty;              /* pages to write when the batch is sealed */
	uint32_t n_dirty, n_written;     /* so many; and pages that the batch has already written */
	struct mailbox *noisy;           /* mailboxes whose watchers are to be told */
	struct deliveries *deliveries;   /* whose answers may still arrive, or just have */
	struct message_cursor *walking;  /* who stands on a message_walk statement, */
	sqlite3_stmt *walk;              /* and which */
	struct buf scratch;              /* for encoding one blob at a time */
	uint64_t view_bytes;
	uint64_t n_accounts;
	struct loading loadings[LOADINGS_MAX];
	uint32_t n_loadings;
	uint64_t voids;                  /* batches that were voided */
	uint64_t committed;              /* the last batch before the last that was voided: accounts may be loaded again that rest on it */
	uint32_t written_segment;        /* what the segment table says */
	uint64_t written_end;
	int64_t added_messages, added_bytes; /* rows that point to the current segment since, less those that went, and their sizes */
	struct sweep *sweep;             /* under way; NULL: none */
	uint32_t placings_waiting;       /* for the end of records that are being filled */
	struct compaction *compaction;   /* NULL: never begun */
	struct store_snapshot *snapshot; /* NULL: none */
	int64_t swept_to;                /* key that the table forgotten was worked off to, in this round */
	uint8_t upkeep_turn;             /* of maintenance.c: which chore had the last slice */
	bool compact_now;                /* as fast as possible, whatever is dead, */
	uint32_t compact_to;             /* up to this segment, the current one when the order came */
	struct text_sweep *text_sweep;   /* under way; NULL: none */
	bool text_dead;                  /* rows of messages went since the last one; true at start */
	bool text_sweep_all;             /* the next begins now, and is thorough */
	bool text_sweep_again;           /* the same a while later: one that was thorough was given up for an account */
	int64_t text_swept;              /* when the last one began */
	uint64_t compacted_bytes, segments_damaged;
	int64_t *abandoned;              /* runs of copies that were given up: removed while idle, or at start */
	uint32_t n_abandoned;
	struct account *arriving; /* linked by bucket_next */
	struct buf dropped; /* keys of arriving accounts that were given up: to be removed while idle, or at start */
	int64_t unremovable;             /* account number: rows of destroyed ones up to it cannot all be removed, until the next start */
	int64_t pruned_to;               /* account number that old changes and the undelete log were pruned up to, in this round */
	bool failed;
};

struct account {
	struct store *store;
	struct account_id id;
	uint32_t number;
	uint32_t holds, sessions;
	uint32_t copyings; /* mailbox_copying under way: what they staged is not all in pages yet */
	bool gone;
	bool parked;    /* not in the table: see transfer.h; freed by its last holder */
	bool has_lost_mailboxes; /* of readable.c */
	uint8_t key_n;  /* parked: what stands as its id in its row */
	char key[PARKED_KEY_MAX];
	bool row_dirty;  /* counters to write when the batch is sealed */
	bool is_touched; /* in store->touched */
	bool text_is_written; /* by a text_writer */
	uint64_t batch;
	uint64_t modseq; /* the last given */
	uint64_t next;   /* number for the next message or entry */
	uint32_t uidvalidity;
	struct account_counts counts; /* account_count_added, account_count_removed */
	struct account_quota quota;
	struct mailbox **mailboxes; /* sorted by name */
	size_t n_mailboxes;
	uint64_t names_version; /* grows with each change of names and subscriptions */
	struct renaming *renaming;  /* rows of many mailboxes have old names; NULL: none */
	struct str *subscriptions;  /* sorted; each owned */
	size_t n_subscriptions;
	struct account *bucket_next, *older, *newer, *touched_next;
};

/* One thing that happened, as remembered in memory. */
struct recent_change {
	uint64_t modseq;
	enum change_kind kind;
	uint64_t origin;
	struct set uids;
};

enum view_state {
	VIEW_NONE,
	VIEW_TAIL, /* the last page, and new ones after it: enough to append; those before it may be on their way (loading) */
	VIEW_FULL,
};

struct mailbox {
	struct account *account; /* NULL when the account is gone from memory */
	struct mailbox_facts facts;
	uint32_t holds;
	bool gone;
	struct str *keywords;
	size_t n_keywords;

	enum view_state view;
	struct view_loading *loading; /* VIEW_TAIL: the other pages, as far as they were read; NULL: none */
	struct page **pages; /* by uid; never empty when loaded; only the last may have no entries */
	uint32_t *below;     /* below[i]: entries in pages before i (VIEW_FULL) */
	uint32_t n_pages, size_pages;
	uint32_t count, unseen;
	uint64_t size;       /* sum of the sizes of the messages (VIEW_FULL) */
	uint32_t uidnext, recent;
	uint64_t modseq;
	uint64_t bytes;      /* of memory, as counted in store->view_bytes */

	struct recent_change *changes; /* ring of RECENT_CHANGES, allocated at the first change with the mailbox open */
	uint32_t changes_first, n_changes;
	uint64_t changes_floor; /* what happened after this modseq is in the ring */
	struct mailbox_watch *watches;
	struct mailbox *noisy_next;
	bool is_noisy;
};

/* Walks the slots of a mailbox's entries whose uid is in a set, in order. Begin with mailbox and uids, the rest
 * zero. */
struct slot_walk {
	const struct mailbox *mailbox;
	const struct set *uids;
	uint32_t range, page, slot;
	uint32_t from; /* smaller uids are passed over; range may be that of set_seek */
	bool placed;   /* page and slot stand at or behind the start of the range */
};

static inline int64_t make_key(const struct account *account, uint64_t number)
{
	return (int64_t)((uint64_t)account->number << KEY_SHIFT | number);
}

/* The same for numbers that a row gave, which may be damaged: no shift of a signed number overflows. */
static inline int64_t account_key(int64_t account, uint64_t number)
{
	return (int64_t)((uint64_t)account << KEY_SHIFT | number);
}

static inline int64_t run_key(int64_t run, uint32_t page)
{
	return (int64_t)((uint64_t)run << 32 | page);
}

/* store.c */
int store_begin(struct account *account, uint64_t more) MUST_CHECK; /* gate_begin, and the account counts as touched */
int store_void(struct store *store, int err) MUST_CHECK;            /* voids the batch; returns err */
int store_met(struct store *store, int result) MUST_CHECK;          /* the same result; damage that was met between two batches is to cost none of them (db_be_careful) */
void page_mark_dirty(struct page *page);
void page_unmark_dirty(struct page *page);

int store_write_page(struct store *store, struct page *page) MUST_CHECK; /* its row, now */

/* account.c */
void account_free(struct account **account);
void account_drop(struct account *account); /* out of the table: gone for everybody */
void account_evict(struct store *store);
void account_used(struct account *account);
int account_save(struct account *account) MUST_CHECK;
int account_recount(struct account *account) MUST_CHECK; /* its counters, from all mailboxes; what is damaged does not count. In a batch that was begun. Reads everything: not for what happens often */
int account_fill(struct account *account) MUST_CHECK; /* a new one's first mailboxes; an error leaves the batch to be voided */
uint64_t account_next_modseq(struct account *account);
struct account *account_new(struct store *store, const struct account_id *id) __attribute__((returns_nonnull));

/* loading.c */
int loading_run(struct store *store, const struct account_id *id, uint64_t end_us, struct account **out) MUST_CHECK; /* at least some rows, until the time; *out stays as it is while there are more */
void loadings_drop(struct store *store);
int account_find_row(struct account *account, struct str key) MUST_CHECK; /* number, limits and counters, as they stand there */
int account_load_counters(struct account *account) MUST_CHECK; /* what other tables say of them */
int account_load(struct account *account, struct str key) MUST_CHECK; /* everything of the row with this id, which is not its own when it is parked */

/* parking.c */
enum parked { PARKED_ARRIVING = 2, PARKED_ARRIVED = 3, PARKED_LEAVING = 4 }; /* account.removed, and the first byte of its id there */
int account_unpark(struct store *store, const struct account_id *id) MUST_CHECK; /* an ARRIVED or LEAVING one lives; ERR_NOT_FOUND */
int account_find_number(struct store *store, const struct account_id *id, int64_t *number) MUST_CHECK; /* parked or not; 0: none */
int account_destroy_parked(struct store *store, const struct account_id *id) MUST_CHECK;
int arrivals_remove_dropped(struct store *store) MUST_CHECK; /* in a batch that was begun */
void arrivals_voided(struct store *store, uint64_t batch); /* those that wrote in it are gone */
void arrival_forget(struct account *account); /* it is about to be freed */

/* Entries came to stand in a mailbox of the account, or left one: so many, of so many bytes together (entry_size). For
 * whoever changes pages of a mailbox: entries_append, entries_remove and view_attach count by themselves, and staged pages
 * and rows of the undelete log do not count, so nobody above them has to. The account is part of the batch
 * (store_begin): its row is written with it, and dropped with it when it is voided. */
static inline void account_count_added(struct account *account, uint64_t messages, uint64_t bytes)
{
	account->counts.messages += messages;
	account->counts.bytes += bytes;
	account->row_dirty = true;
}

/* A row that is damaged (mansio store check tells) must not make a counter of many exabytes. */
static inline void account_count_removed(struct account *account, uint64_t messages, uint64_t bytes)
{
	account->counts.messages -= messages < account->counts.messages ? messages : account->counts.messages;
	account->counts.bytes -= bytes < account->counts.bytes ? bytes : account->counts.bytes;
	account->row_dirty = true;
}

/* mailbox.c */
struct mailbox *mailbox_new(struct account *account, const struct mailbox_facts *facts, struct str keywords);
void mailbox_free(struct mailbox **mailbox);
int mailbox_insert(struct account *account, struct str name, enum special_use use, struct mailbox **out) MUST_CHECK;
int mailbox_insert_as(struct account *account, const struct mailbox_facts *facts, const struct str *keywords, uint32_t n_keywords, struct mailbox **out) MUST_CHECK; /* without a run */
int runs_remove(struct store *store, uint32_t mailbox) MUST_CHECK; /* by its number, and their pages; 0: those that are not attached */
int mailbox_check_name(struct str name) MUST_CHECK; /* ERR_LIMIT, ERR_SYNTAX */
bool mailbox_is_below(struct str name, struct str parent);
size_t mailbox_place(const struct account *account, struct str name); /* its index, or where it would be inserted */
void mailboxes_below(const struct account *account, struct str name, size_t *first, size_t *end); /* indices of all below it */
void mailboxes_sort(struct account *account);
int mailbox_insert_parents(struct account *account, struct str name) MUST_CHECK; /* those above it that are missing, outermost first; an error leaves the batch to be voided */
int mailbox_remove(struct mailbox *mailbox) MUST_CHECK; /* with INBOX too: its entries go to the undelete log. Held by none of the caller's */
/* The same of one that another replaces, and that may be damaged (view_load_readable): what can be read of it goes to the undelete
 * log. *damaged: account_recount is due when the other is there. The batch was begun; an error leaves it to be voided. */
int mailbox_replaced(struct mailbox *mailbox, bool *damaged) MUST_CHECK;

/* Keyword bits of one mailbox, or of one that is gone, as those of another. Names that are missing there are made when the
 * first entry has them, up to `max`; those beyond it are left out, as are bits without a name. */
struct keyword_map {
	struct mailbox *to;
	uint32_t max;
	int16_t bits[KEYWORDS_MAX]; /* own */
};
void keyword_map_begin(struct keyword_map *map, struct mailbox *to, uint32_t max);
int keyword_map_bits(struct keyword_map *map, const struct str *names, size_t n_names, const struct keyword_bits *from,
                     struct keyword_bits *to) MUST_CHECK; /* names: of the bits that are given; the same each time, but for new ones */

/* view.c */
int view_load(struct mailbox *mailbox, enum view_state wanted) MUST_CHECK;
/* The view as far as its rows can be read and make sense; *damaged: entries are missing in it; *torn: SQLite itself cannot read
 * some, so none can be removed. Only for a mailbox that is to go (mailbox_replaced), in a batch that was begun, which is voided
 * when that fails. */
int view_load_readable(struct mailbox *mailbox, bool *damaged, bool *torn) MUST_CHECK;
bool page_keywords_are_known(const struct mailbox *mailbox, const struct page *page); /* no bit stands for a name that the mailbox does not have */
void view_drop(struct mailbox *mailbox);
bool view_is_dirty(const struct mailbox *mailbox);
struct page *view_page_for_append(struct mailbox *mailbox);
void view_attach(struct mailbox *mailbox, struct page **pages, uint32_t n); /* behind those that it has: takes them */
void view_mark_last(struct mailbox *mailbox); /* uidnext, recent or modseq changed: the last page has them */
void view_recount(struct mailbox *mailbox);
uint32_t view_page_of(const struct mailbox *mailbox, uint32_t uid); /* index of the page where uid is or would be */

/* entries.c */
int message_insert(struct account *account, uint64_t number, const struct body_place *place,
                   const struct message_arrival *arrival) MUST_CHECK; /* its row; segments are counted by the caller */
/* What a message that comes in without a number gets: that of its record, when that is in place already, or the fresh one. */
uint64_t message_number(const struct account *account, const struct message_arrival *arrival, uint64_t fresh);
int message_add(struct account *account, struct str mailbox, uint64_t number, const struct message_arrival *arrival) MUST_CHECK; /* bytes and row; ERR_SYNTAX: the file was changed, and nothing has happened; other errors leave the batch to be voided */
int expunged_write(struct account *account, uint32_t mailbox, const struct page *record, uint64_t modseq, int64_t time) MUST_CHECK;
bool slot_walk_next(struct slot_walk *walk, struct page **page, uint32_t *slot); /* the entries must not move meanwhile, new ones at the end aside */
void entries_append(struct mailbox *mailbox, const struct entry *entry, const struct keyword_bits *keywords);
void entries_select(const struct mailbox *mailbox, const struct set *uids, bool deleted_only, struct set *out); /* those that are there (and \Deleted) */
void entries_sum(const struct mailbox *mailbox, const struct set *uids, struct account_counts *out); /* of those that are there */
int entries_remove(struct mailbox *mailbox, const struct set *uids, uint64_t modseq) MUST_CHECK; /* `uids` is not empty */
int entries_log(struct mailbox *mailbox, const struct set *uids, uint64_t *modseq) MUST_CHECK; /* into the undelete log, in chunks, each under a modseq of its own; *modseq: of the first, and then of the last */

/* change.c */
int change_insert_row(struct account *account, uint32_t mailbox, uint64_t modseq, enum change_kind kind, int64_t time, const struct set *uids) MUST_CHECK;
int change_write(struct mailbox *mailbox, uint64_t modseq, enum change_kind kind, const struct set *uids,
                 uint64_t origin) MUST_CHECK;
void changes_forget(struct mailbox *mailbox);

/* undelete.c */
int expunged_rewrite(struct account *account, int64_t key, const struct page *page) MUST_CHECK; /* the log's row has these entries now; without any it goes */

/* migration.c: index.db from version 2 to 3 */
int sizes_into_entries(struct db *db) MUST_CHECK;

/* guard.c, before the database is opened */
enum guard_finding {
	GUARD_INDEX,    /* there is an index.db */
	GUARD_NEW,      /* neither one nor mail in segments */
	GUARD_NO_INDEX, /* index.db is missing or empty, and there are segments */
};
int guard_index(struct str directory, enum guard_finding *out) MUST_CHECK;
int guard_segments(struct str directory, uint32_t *last) MUST_CHECK; /* the largest number of one with anything in it; 0: none */

/* message.c */
int message_row_read(sqlite3_stmt *row, struct message_row *out) MUST_CHECK; /* all of one that stands on SELECT * FROM message; ERR_CORRUPT */

/* maintenance.c */
int message_rows_removed(struct store *store, sqlite3_stmt *removing, int64_t *n) MUST_CHECK; /* runs a DELETE FROM message ... RETURNING segment, size */

/* pop3.c */
#define DUE_SLICE 1000 /* uids deleted at a time */
struct due_work {
	int64_t due;
	uint32_t mailbox;
	bool trash, gone, loaded; /* gone: there is nothing to delete from any more; loaded: due_step may be called */
	struct account_id account;
	struct account *holder;
	struct mailbox *open;
	struct set uids;
};
int due_begin(struct store *store, struct due_work *work, bool *any) MUST_CHECK; /* *work: zero. due_end in any case */
int due_step(struct store *store, struct due_work *work) MUST_CHECK; /* a slice; in a batch that was begun, when it is gone or loaded */
void due_end(struct due_work *work);
int pop3_hide_row(struct store *store, uint32_t mailbox, uint64_t login, const struct set *uids) MUST_CHECK; /* adds to it */
int pop3_due_row(struct store *store, uint32_t mailbox, int64_t due, bool trash, const struct set *uids) MUST_CHECK; /* adds to it */

/* parcel_pop3.c */
struct parcel_maker;
struct pop3_position { /* where it goes on; zero: the beginning */
	bool hidden_done;
	uint64_t login;
	int64_t due, trash;
	uint32_t range;
};
int parcel_put_remembered(struct store *store, uint32_t number, uint32_t there, struct pop3_position *position, struct parcel_maker *maker, bool *any) MUST_CHECK; /* the next frame of mailbox `number`, which is `there` in the parcel; !*any: there is none */

/* parcel_sources.c */
struct source_position { /* where it goes on; zero: the beginning */
	uint64_t mark, number;
	bool inside; /* of the mark there may be more */
};
/* The next frame SOURCES of the account, or none for a mark without rows; !*any: there is no further one. */
int parcel_put_account_sources(struct account *account, struct source_position *position, struct parcel_maker *maker, bool *any) MUST_CHECK;

/* sweep.c */
void sweep_stop(struct store *store);
void sweep_stop_of(struct store *store, int64_t account); /* its rows are being removed */
int sweep_begin(struct store *store, bool *any) MUST_CHECK; /* picks what to do next; *any: there is some */
int sweep_step(struct store *store) MUST_CHECK;             /* a slice; may write, in the open batch */
void sweep_keep_one(struct sweep *sweep, const struct account *account, uint64_t message);

/* An entry with this message comes to stand in a page or in the undelete log. Every place that makes one says so: a
 * sweep that is under way may have looked there already. */
static inline void sweep_keep(const struct account *account, uint64_t message)
{
	if (__builtin_expect(account->store->sweep != NULL, 0))
		sweep_keep_one(account->store->sweep, account, message);
}

/* text_sweep.c */
void text_sweep_stop(struct store *store);

/* placing.c */
/* True when the bytes of this message are in place, all of them: where, and the number in their record. */
bool placing_place(const struct placing *placing, const struct account *account, uint64_t *number,
                   struct body_place *place);

/* compact.c */
void compact_stop(struct store *store); /* the batch was voided: begins its segment again */
void compact_free(struct store *store);
/* Picks what to do next. alone: no other chore is due; *writes: compact_step needs a batch. */
int compact_begin(struct store *store, bool alone, bool *any, bool *writes) MUST_CHECK;
int compact_step(struct store *store) MUST_CHECK;
bool compact_has_readers(const struct store *store); /* descriptors of removed segments wait to be closed */
void compact_space(const struct store *store, struct store_statistics *out);

/* snapshot.c */
void snapshot_committed(struct store *store); /* between two batches */
bool snapshot_pins(const struct store *store); /* no segment may be removed */
bool snapshot_waits(const struct store *store); /* the next slice is its last, if nothing is being filled then */

/* delivery.c */
int deliveries_forget(struct store *store) MUST_CHECK; /* in prepare */
void deliveries_forgotten(struct store *store, bool committed); /* that batch is durable, or was voided */
void deliveries_free(struct store *store);

#endif
