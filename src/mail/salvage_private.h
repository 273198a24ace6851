/* salvage_private.h: what salvage.c (the shard) and salvage_gather.c and salvage_write.c (one account) share. */
#ifndef MAIL_SALVAGE_PRIVATE_H
#define MAIL_SALVAGE_PRIVATE_H

#include "mail/mail.h"
#include "mail/salvage.h"
#include "store/salvage.h"
#include "store/salvage_reader.h"
#include "store/salvage_segments.h"

struct salvage {
	const struct salvage_settings *settings;
	const struct salvage_world *world;
	void *owner;
	struct salvage_totals *totals;
	struct salvage_index index;
	struct salvage_segments segments;
	struct mail_reader *reader;
	struct store *store; /* NULL: nothing is written */
	int sync_fd;         /* that the store waits for; -1: none */
	bool sync_is_folder;
	int failed;          /* what went wrong in the store's world */
	uint32_t unsettled;  /* messages since the last batch */
	uint32_t open_segment; /* whose descriptor is segment_fd */
	int segment_fd;
	uint64_t bytes;      /* read for the progress */
	struct other_shard *others; /* by number; NULL until one was asked */
	bool is_foreign;     /* the index seems to be of other segments: that was told */
};

/* A message of the account that can be read. */
struct kept {
	uint64_t message;
	const struct salvage_record *record;
	bool has_row;  /* the index has a row of it */
	bool by_row;   /* which says that this record is the one */
	bool forgotten;/* it was about to be removed */
	bool wanted;   /* some entry has it */
	bool open_end; /* known once it was parsed */
};

struct found_mailbox {
	const struct salvage_mailbox_row *row; /* NULL: made for what comes back */
	struct str name;                       /* owned elsewhere */
	struct page **pages;
	uint32_t n_pages;
	struct mailbox *made;
};

struct found_expunged {
	const struct found_mailbox *mailbox; /* NULL: gone */
	uint32_t number;                     /* of the mailbox in `mailboxes`; they may move */
	int64_t time;
	struct page *page;
};

/* An account as it will be. */
struct found {
	struct salvage *salvage;
	struct account_id id;
	const struct salvage_account_row *row; /* NULL: the index does not have it */
	const struct salvage_record *records;
	size_t n_records;
	struct kept *kept; /* by message */
	size_t n_kept;
	struct found_mailbox *mailboxes;
	uint32_t n_mailboxes;
	struct found_expunged *expunged;
	size_t n_expunged;
	const struct salvage_record **extras; /* a second message of the same number: which one counts is not known */
	size_t n_extras;
	uint64_t *ids; /* hash table of entry ids in use; 0: free */
	size_t n_ids, size_ids;
	uint64_t *lost; /* numbers of messages that entries have and that cannot be read */
	size_t n_lost;
	struct salvage_floors floors;
	struct salvage_account_facts facts;
	/* while reading rows */
	uint32_t reading_mailbox; /* index in mailboxes; UINT32_MAX: each entry goes where its record says */
	size_t reading_kept;
};

/* salvage_elsewhere.c: does the index of that shard, which is another one, know the account, and mail of it? */
int salvage_look_elsewhere(struct salvage *salvage, uint16_t shard, const struct account_id *id, bool *has,
                           bool *has_mail) MUST_CHECK;
void salvage_elsewhere_free(struct salvage *salvage);

/* salvage_gather.c: everything about the account that can be read, without writing. *found is to be freed. */
void salvage_gather(struct salvage *salvage, const struct account_id *id, const struct salvage_account_row *row,
                    struct found *found);
void salvage_found_free(struct found *found);

/* salvage_write.c: into the new store. */
int salvage_write(struct found *found) MUST_CHECK;
int salvage_settle(struct salvage *salvage) MUST_CHECK; /* until all that was written is durable */
void salvage_sample(struct found *found, struct buf *out); /* for facts.recipients */

#endif
