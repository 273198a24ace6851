/* salvage_reader.h: what can still be read of a damaged index.db, of any version of ours. Nothing that it gives is
 * known to be right: numbers may be anything, names may be no names. For `mansio store salvage`. */
#ifndef STORE_SALVAGE_READER_H
#define STORE_SALVAGE_READER_H

#include "store/page.h"

struct salvage_account_row {
	int64_t number;
	bool has_id; /* false: only other rows speak of this number, or it was destroyed, or was not all here yet */
	int64_t removed; /* 0: it lives here; or what stood there, INT64_MAX where that is not known: of two rows with one id
	                  * the smaller one counts (store/parking.c) */
	struct account_id id;
	uint64_t uidvalidity, modseq, next;
	struct account_quota quota;
};

struct salvage_mailbox_row {
	int64_t number, account;
	struct str name;
	uint64_t uidvalidity;
	uint64_t special_use;
	struct str *keywords;
	uint32_t n_keywords;
};

struct salvage_run_row {
	int64_t number, account, mailbox;
	uint32_t uid_base;
	uint64_t modseq;
};

struct salvage_segment_row {
	uint32_t number;
	uint64_t end;
};

struct salvage_index {
	bool lost;     /* nothing can be read of it */
	bool doubtful; /* something is missing or may be: what it does not mention may still have been there */
	struct salvage_account_row *accounts;   /* by number */
	struct salvage_mailbox_row *mailboxes;  /* by account and name */
	struct salvage_run_row *runs;           /* by mailbox and uids */
	struct salvage_segment_row *segments;   /* by number */
	size_t n_accounts, n_mailboxes, n_runs, n_segments;
	const struct salvage_run_row **nameless; /* runs of mailboxes that are not among those */
	size_t n_nameless;
	struct salvage_index_private *private;
};

/* Each thing that cannot be read, in words: "table page: rows after key 12345 cannot be read". */
typedef void salvage_index_damage_fn(void *owner, struct str what);

/* Copies folder/index.db and its log into the folder `work` and reads the copy; index.db itself is only read. A database
 * that cannot be read at all is not an error, but out->lost. ERR_IO, ERR_NO_SPACE: the copy cannot be written. Close
 * *out in any case; that removes the copy. */
int salvage_index_open(struct str folder, struct str work, salvage_index_damage_fn *damage, void *owner,
                       struct salvage_index *out) MUST_CHECK;
void salvage_index_close(struct salvage_index *index);

/* The accounts that can be read of another shard's index.db, which is copied into `work` for that: those that are there, or
 * on their way with all that they have, and whether anything is in their mailboxes. None where it cannot be read; that is
 * told, and no error. ERR_IO, ERR_NO_SPACE: the copy cannot be written. */
typedef void salvage_account_fn(void *owner, const struct account_id *id, bool has_mail);
int salvage_index_accounts(struct str folder, struct str work, salvage_index_damage_fn *damage, salvage_account_fn *fn,
                           void *owner) MUST_CHECK;

/* The rows of an account, by number, or the pages of a run. The callbacks must not use the index. */
typedef void salvage_page_fn(void *owner, const struct page *page);
void salvage_index_pages(struct salvage_index *index, const struct salvage_run_row *run, salvage_page_fn *fn,
                         void *owner);

typedef void salvage_expunged_fn(void *owner, int64_t mailbox, int64_t time, const struct page *page);
void salvage_index_expunged(struct salvage_index *index, int64_t account, salvage_expunged_fn *fn, void *owner);

struct salvage_place {
	uint64_t message;
	uint64_t segment, offset, size;
};
typedef void salvage_place_fn(void *owner, const struct salvage_place *place);
void salvage_index_places(struct salvage_index *index, int64_t account, salvage_place_fn *fn, void *owner);

/* Messages that nothing pointed to any more, but that were not removed yet. */
typedef void salvage_number_fn(void *owner, uint64_t number);
void salvage_index_forgotten(struct salvage_index *index, int64_t account, salvage_number_fn *fn, void *owner);

/* Unique ids of POP3 that came from elsewhere, by the entry's id. */
typedef void salvage_uidl_fn(void *owner, uint64_t entry, struct str text);
void salvage_index_uidls(struct salvage_index *index, int64_t account, salvage_uidl_fn *fn, void *owner);

typedef void salvage_name_fn(void *owner, struct str name);
void salvage_index_subscriptions(struct salvage_index *index, int64_t account, salvage_name_fn *fn, void *owner);

/* The names that a blob of keywords begins with, at most KEYWORDS_MAX; *names is the caller's (each name and the
 * array, mem_free). */
uint32_t salvage_keywords(struct str blob, struct str **names);

#endif
