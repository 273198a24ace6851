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

#define KEY_SHIFT          40
#define ACCOUNT_NUMBER_MAX ((1 << 23) - 1)
#define NUMBER_MAX         ((INT64_C(1) << KEY_SHIFT) - 1)
#define ACCOUNT_BUCKETS    4096 /* of the table by id; a power of two */
#define RECENT_CHANGES     64   /* remembered per mailbox in memory; sessions that are further behind compare everything */
#define RECENT_RANGES_MAX  256  /* of one remembered change; a larger one is not remembered */

/* Every statement of the store, prepared once. */
#define STATEMENT_LIST(X)                                                                                              \
	X(account_by_id, "SELECT number, uidvalidity, modseq, next FROM account WHERE id = ?1 AND removed = 0")            \
	X(account_insert, "INSERT INTO account (id, created, uidvalidity, modseq, next) VALUES (?1, ?2, ?3, 0, 1)")        \
	X(account_update, "UPDATE account SET uidvalidity = ?2, modseq = ?3, next = ?4 WHERE number = ?1")                 \
	X(account_remove, "UPDATE account SET removed = 1, id = randomblob(24) WHERE number = ?1")                         \
	X(account_usage, "SELECT count(*), total(size) FROM message WHERE key BETWEEN ?1 AND ?2")                          \
	X(mailbox_list, "SELECT number, name, uidvalidity, special_use, keywords FROM mailbox WHERE account = ?1 ORDER BY name") \
	X(mailbox_insert, "INSERT INTO mailbox (account, name, uidvalidity, special_use, keywords) VALUES (?1, ?2, ?3, ?4, x'')") \
	X(mailbox_rename, "UPDATE mailbox SET name = ?2 WHERE number = ?1")                                                \
	X(mailbox_keywords, "UPDATE mailbox SET keywords = ?2 WHERE number = ?1")                                          \
	X(mailbox_remove, "DELETE FROM mailbox WHERE number = ?1")                                                         \
	X(subscription_list, "SELECT name FROM subscription WHERE account = ?1 ORDER BY name")                             \
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
	X(message_last, "SELECT max(key) FROM message WHERE key BETWEEN ?1 AND ?2")                                        \
	X(change_insert, "INSERT INTO change (key, mailbox, kind, time, uids) VALUES (?1, ?2, ?3, ?4, ?5)")                \
	X(change_last, "SELECT max(key) FROM change WHERE key BETWEEN ?1 AND ?2")                                          \
	X(expunged_insert, "INSERT INTO expunged (key, mailbox, time, entries) VALUES (?1, ?2, ?3, ?4)")                   \
	X(expunged_last, "SELECT max(key) FROM expunged WHERE key BETWEEN ?1 AND ?2")                                      \
	X(delivery_find, "SELECT 1 FROM delivery WHERE key = ?1")                                                          \
	X(delivery_insert, "INSERT OR REPLACE INTO delivery (key, time) VALUES (?1, ?2)")                                  \
	X(delivery_remove, "DELETE FROM delivery WHERE key = ?1")                                                          \
	X(segment_write, "INSERT INTO segment (number, end, messages, bytes) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (number) DO UPDATE SET end = excluded.end, messages = messages + excluded.messages, bytes = bytes + excluded.bytes") \
	X(segment_less, "UPDATE segment SET messages = messages - ?2, bytes = bytes - ?3 WHERE number = ?1")               \
	X(segment_space, "SELECT count(*), sum(end), sum(messages), sum(bytes) FROM segment")                              \
	X(segment_to_compact, "SELECT number, end, messages FROM segment WHERE number > ?1 AND number < ?2 AND (bytes + messages * ?3) * 100 < end * ?4 ORDER BY number LIMIT 1") \
	X(segment_messages, "SELECT messages FROM segment WHERE number = ?1")                                              \
	X(segment_remove, "DELETE FROM segment WHERE number = ?1")                                                         \
	X(check_account, "SELECT number, id FROM account WHERE number > ?1 AND removed = 0 ORDER BY number LIMIT 1")       \
	X(check_messages, "SELECT key, segment, offset, size FROM message WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT ?3") \
	X(account_number, "SELECT number FROM account WHERE id = ?1")                                                      \
	X(message_place, "SELECT segment, offset, size FROM message WHERE key = ?1")                                       \
	X(message_move, "UPDATE message SET segment = ?2, offset = ?3 WHERE key = ?1")                                     \
	X(message_remove, "DELETE FROM message WHERE key = ?1 RETURNING segment, size")                                    \
	X(forgotten_insert, "INSERT OR IGNORE INTO forgotten (key) VALUES (?1)")                                           \
	X(forgotten_list, "SELECT key FROM forgotten WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3")                   \
	X(forgotten_next, "SELECT min(key) FROM forgotten WHERE key > ?1")                                                 \
	X(forgotten_remove, "DELETE FROM forgotten WHERE key = ?1")                                                        \
	X(removed_forgotten, "DELETE FROM forgotten WHERE key IN (SELECT key FROM forgotten WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)") \
	X(account_runs, "SELECT number FROM run WHERE mailbox IN (SELECT number FROM mailbox WHERE account = ?1 UNION ALL SELECT 0) AND account = ?1") \
	X(account_next, "UPDATE account SET next = max(next, ?2) WHERE number = ?1")                                       \
	X(expunged_list, "SELECT key, mailbox, time, entries FROM expunged WHERE key BETWEEN ?1 AND ?2 ORDER BY key")      \
	X(expunged_update, "UPDATE expunged SET entries = ?2 WHERE key = ?1")                                              \
	X(expunged_remove, "DELETE FROM expunged WHERE key = ?1")                                                          \
	X(old_deliveries, "DELETE FROM delivery WHERE key IN (SELECT key FROM delivery WHERE time < ?1 LIMIT ?2)")         \
	X(removed_account, "SELECT number FROM account WHERE removed = 1 LIMIT 1")                                         \
	X(removed_messages, "DELETE FROM message WHERE key IN (SELECT key FROM message WHERE key BETWEEN ?1 AND ?2 LIMIT ?3) RETURNING segment, size") \
	X(removed_changes, "DELETE FROM change WHERE key IN (SELECT key FROM change WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)") \
	X(removed_expunged, "DELETE FROM expunged WHERE key IN (SELECT key FROM expunged WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)") \
	X(removed_run, "SELECT number FROM run WHERE account = ?1 LIMIT 1")                                                \
	X(removed_pages, "DELETE FROM page WHERE key IN (SELECT key FROM page WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)")      \
	X(removed_run_end, "DELETE FROM run WHERE number = ?1")                                                            \
	X(removed_mailboxes, "DELETE FROM mailbox WHERE account = ?1")                                                     \
	X(removed_subscriptions, "DELETE FROM subscription WHERE account = ?1")                                            \
	X(removed_account_end, "DELETE FROM account WHERE number = ?1")                                                    \
	X(next_account, "SELECT min(number) FROM account WHERE number > ?1")                                               \
	X(oldest_delivery, "SELECT min(time) FROM delivery")                                                               \
	X(oldest_change, "SELECT time FROM change WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT 1")                       \
	X(oldest_expunged, "SELECT time FROM expunged WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT 1")                   \
	X(account_floor, "UPDATE account SET modseq = max(modseq, (SELECT ifnull(max(key), 0) & ?4 FROM change WHERE key BETWEEN ?2 AND ?3), (SELECT ifnull(max(key), 0) & ?4 FROM expunged WHERE key BETWEEN ?2 AND ?3)) WHERE number = ?1") \
	X(old_changes, "DELETE FROM change WHERE key IN (SELECT key FROM (SELECT key, time FROM change WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?4) WHERE time < ?3)")

struct statements {
#define STATEMENT_FIELD(name, sql) sqlite3_stmt *name;
	STATEMENT_LIST(STATEMENT_FIELD)
#undef STATEMENT_FIELD
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
	struct mailbox *noisy;           /* mailboxes whose watchers are to be told */
	struct delivery_confirmed *confirmed; /* keys to forget with the next batch */
	struct message_cursor *walking;  /* who stands on the message_walk statement */
	struct buf scratch;              /* for encoding one blob at a time */
	uint64_t view_bytes;
	uint64_t n_accounts;
	uint32_t written_segment;        /* what the segment table says */
	uint64_t written_end;
	int64_t added_messages, added_bytes; /* rows that point to the current segment since, and their sizes */
	struct sweep *sweep;             /* under way; NULL: none */
	struct compaction *compaction;   /* NULL: never begun */
	int64_t swept_to;                /* key that the table forgotten was worked off to, in this round */
	bool compact_now;                /* as fast as possible, whatever is dead */
	uint64_t compacted_bytes, segments_damaged;
	int64_t *abandoned;              /* runs of copies that were given up: removed while idle, or at start */
	uint32_t n_abandoned;
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
	bool row_dirty;  /* counters to write when the batch is sealed */
	bool is_touched; /* in store->touched */
	uint64_t batch;
	uint64_t modseq; /* the last given */
	uint64_t next;   /* number for the next message or entry */
	uint32_t uidvalidity;
	struct mailbox **mailboxes; /* sorted by name */
	size_t n_mailboxes;
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
	VIEW_TAIL, /* the last page, and new ones after it: enough to append */
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
	struct page **pages; /* by uid; never empty when loaded; only the last may have no entries */
	uint32_t *below;     /* below[i]: entries in pages before i (VIEW_FULL) */
	uint32_t n_pages, size_pages;
	uint32_t count, unseen;
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
	bool placed; /* page and slot stand at or behind the start of the range */
};

static inline int64_t make_key(const struct account *account, uint64_t number)
{
	return (int64_t)((uint64_t)account->number << KEY_SHIFT | number);
}

/* store.c */
int store_begin(struct account *account, uint64_t more) MUST_CHECK; /* gate_begin, and the account counts as touched */
int store_void(struct store *store, int err) MUST_CHECK;            /* voids the batch; returns err */
void page_mark_dirty(struct page *page);
void page_unmark_dirty(struct page *page);

int store_write_page(struct store *store, struct page *page) MUST_CHECK; /* its row, now */

/* account.c */
void account_free(struct account **account);
void account_drop(struct account *account); /* out of the table: gone for everybody */
void account_evict(struct store *store);
void account_used(struct account *account);
int account_save(struct account *account) MUST_CHECK;
uint64_t account_next_modseq(struct account *account);

/* mailbox.c */
struct mailbox *mailbox_new(struct account *account, const struct mailbox_facts *facts, struct str keywords);
void mailbox_free(struct mailbox **mailbox);
int mailbox_insert(struct account *account, struct str name, enum special_use use, struct mailbox **out) MUST_CHECK;

/* view.c */
int view_load(struct mailbox *mailbox, enum view_state wanted) MUST_CHECK;
void view_drop(struct mailbox *mailbox);
bool view_is_dirty(const struct mailbox *mailbox);
struct page *view_page_for_append(struct mailbox *mailbox);
void view_attach(struct mailbox *mailbox, struct page **pages, uint32_t n); /* behind those that it has: takes them */
void view_mark_last(struct mailbox *mailbox); /* uidnext, recent or modseq changed: the last page has them */
void view_recount(struct mailbox *mailbox);
uint32_t view_page_of(const struct mailbox *mailbox, uint32_t uid); /* index of the page where uid is or would be */

/* entries.c */
bool slot_walk_next(struct slot_walk *walk, struct page **page, uint32_t *slot); /* the entries must not move meanwhile, new ones at the end aside */
void entries_append(struct mailbox *mailbox, const struct entry *entry, const struct keyword_bits *keywords);
void entries_select(const struct mailbox *mailbox, const struct set *uids, bool deleted_only, struct set *out); /* those that are there (and \Deleted) */
int entries_remove(struct mailbox *mailbox, const struct set *uids, uint64_t modseq) MUST_CHECK; /* `uids` is not empty */

/* change.c */
int change_write(struct mailbox *mailbox, uint64_t modseq, enum change_kind kind, const struct set *uids,
                 uint64_t origin) MUST_CHECK;
void changes_forget(struct mailbox *mailbox);

/* maintenance.c */
int message_rows_removed(struct store *store, sqlite3_stmt *removing, int64_t *n) MUST_CHECK; /* runs a DELETE FROM message ... RETURNING segment, size */

/* sweep.c */
void sweep_stop(struct store *store);
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

/* compact.c */
void compact_stop(struct store *store); /* the batch was voided: begins its segment again */
void compact_free(struct store *store);
int compact_begin(struct store *store, bool *any, bool *writes) MUST_CHECK; /* picks what to do next; writes: compact_step needs a batch */
int compact_step(struct store *store) MUST_CHECK;
bool compact_has_readers(const struct store *store); /* descriptors of removed segments wait to be closed */
void compact_space(const struct store *store, struct store_statistics *out);

/* delivery.c */
int deliveries_forget(struct store *store) MUST_CHECK; /* in prepare */
void deliveries_forgotten(struct store *store, bool committed); /* that batch is durable, or was voided */

#endif
