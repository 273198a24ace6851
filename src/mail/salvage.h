/* salvage.h: a shard made anew from what can still be read of a damaged one: every message whose bytes are whole is in
 * the new one, byte for byte. Nobody else uses either of them meanwhile; the damaged one is only read.
 *
 * What the index tells is kept: mailboxes, flags, keywords, subscriptions, the undelete log, entry ids (POP3's UIDL). A
 * message that only its record knows of comes back into the mailbox that it once came into, unread, unless the index is
 * whole and shows that it was expunged. Each mailbox has a new UIDVALIDITY, each entry a new uid, in the old order;
 * counters stay above all that was seen.
 *
 * An account that the directory has in another shard is left out only where that shard's index knows it, and this one's does
 * not say that it lives here: with mail there, or where this one's is whole; or where the caller says so (leave_out). */
#ifndef MAIL_SALVAGE_H
#define MAIL_SALVAGE_H

#include "store/store_open.h"
#include "syntax/mime.h"

struct salvage_known {
	struct account_id id;
	uint16_t shard;
	bool leave_out; /* of every shard but this, if this one knows it */
};

struct salvage_settings {
	struct str from;             /* folder of the damaged shard, absolute */
	struct str to;               /* folder for the new one, beside it: there, and empty */
	bool write;                  /* false: only find out what could be done */
	uint16_t shard;              /* its number */
	uint16_t n_shards;
	const struct str *folders;   /* of all shards, by number, as `from` */
	bool directory_known;        /* `known` has the accounts of all shards, by id */
	const struct salvage_known *known;
	size_t n_known;
	struct store_settings store; /* directory and first_segment are set here */
	const struct mime_limits *mime;
};

struct salvage_totals {
	uint64_t accounts, mailboxes;
	uint64_t messages, bytes;   /* in mailboxes */
	uint64_t returned;          /* of them: that no mailbox was known to have */
	uint64_t undelete;          /* in the undelete log */
	uint64_t lost;              /* entries whose message cannot be read */
	uint64_t lost_messages;     /* that they had; several entries may have one */
	uint64_t lost_undelete;     /* entries of the undelete log whose message cannot be read */
	uint64_t skipped_accounts;  /* destroyed before, or in another shard now */
	uint64_t misplaced;         /* of `accounts` */
	bool index_lost, index_doubtful;
};

enum salvage_account_state {
	SALVAGE_KNOWN,     /* the directory has it in this shard, or there is no directory to ask */
	SALVAGE_UNKNOWN,   /* the directory does not have it */
	SALVAGE_MISPLACED, /* the directory has it in another shard, and it is kept in this one */
	SALVAGE_LEFT_OUT,  /* the directory has it in another shard, which knows it: nothing of it is in the new one */
};

struct salvage_account_facts {
	struct account_id id;
	enum salvage_account_state state;
	bool also_there;          /* MISPLACED: the other shard has mail of it too */
	uint64_t messages, bytes; /* LEFT_OUT: of what can still be read here, be it removed or not */
	uint64_t returned, lost, lost_messages, lost_undelete;
	struct str recipients; /* Delivered-To and To of one message, as they stand there; may be empty */
};

#define SALVAGE_NO_OFFSET UINT64_MAX

/* Told while it goes on; slices are good during the call. */
struct salvage_world {
	void (*progress)(void *owner, uint64_t bytes, uint64_t total);
	/* file: "index.db" or "body/000017.seg"; "shards/01/index.db": another shard's, which was asked for an account. */
	void (*damage)(void *owner, struct str file, uint64_t offset, struct str what);
	/* uid: 0 when it is not known, as the mailbox's name then. expunged: it could have been undeleted. */
	void (*lost)(void *owner, const struct account_id *account, struct str mailbox, uint32_t uid, bool expunged);
	void (*account)(void *owner, const struct salvage_account_facts *facts);
};

/* Everything is on disk when it returns 0. ERR_NO_SPACE, ERR_IO, ERR_DENIED, ERR_EXISTS (`to` is not empty), ERR_LIMIT;
 * *what: what failed then, static. */
int salvage_shard(const struct salvage_settings *settings, const struct salvage_world *world, void *owner,
                  struct salvage_totals *totals, const char **what) MUST_CHECK;

#endif
