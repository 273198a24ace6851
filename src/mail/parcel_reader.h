/* parcel_reader.h: a parcel (store/parcel.h) comes into a store. Each message is parsed again; nothing in the parcel is
 * trusted. */
#ifndef MAIL_PARCEL_READER_H
#define MAIL_PARCEL_READER_H

#include "mail/mail.h"

/* What becomes of what comes.
 *
 * EXACT: the account is made as it was: ids, uids, modseqs, UIDVALIDITYs, logs. It is seen only when all of it is there:
 *        then it waits for account_create (store/transfer.h), or takes the place of a new and empty account of its id.
 * BACK:  each mailbox of the parcel takes the place of the one of its name, be it damaged, in one batch when all has
 *        come. What is there now, and can be read, goes to the undelete log; UIDVALIDITYs and ids of entries are new.
 *        Entries whose messages are missing in the parcel are left out; a mailbox that has only such ones (parcel.h:
 *        MISSING of messages, or of entries that nobody knows) takes no place: what is there now stays.
 *        The logs of the parcel are not looked at.
 * ADD:   each entry is appended to the mailbox of its name, which is made when it is missing, under a new uid. An entry
 *        id that was never used stays. The account's quota holds. What was added before an error stays. Subscribed are
 *        mailboxes that were made. */
enum parcel_mode { PARCEL_EXACT, PARCEL_BACK, PARCEL_ADD };

struct parcel_reader_settings {
	struct mail_settings mail;   /* limits of size and keywords hold for ADD */
	uint32_t max_mailboxes;      /* ADD */
	struct str spool_directory;  /* for large messages on their way */
	enum parcel_mode mode;
	struct account_id account;   /* that it becomes, or goes to; whatever the parcel says */
	struct account_id source;    /* ADD: a number drawn for what is imported; an entry whose message, by its number in the
	                              * parcel, came from there into that mailbox before is passed over. All zero: none is */
	bool made_anew;              /* ADD: nothing is passed over in a mailbox that was missing and is made for the parcel */
	/* ADD: told of each message that is refused, by its number in the parcel; nothing is remembered of it, so it may come
	 * once more. Called by parcel_reader_input; the reader must not be freed then. NULL: nobody is told */
	void (*refused)(void *owner, uint64_t number);
	void *owner;
};

struct parcel_counts {
	uint64_t messages; /* that have come */
	uint64_t bytes;    /* of these */
	uint64_t entries;  /* that were made of them, or passed over (settings.source) */
	uint64_t passed;   /* of these entries: passed over */
	uint64_t keywords; /* of these entries that were left out: no room in their mailbox (ADD) */
	uint64_t next;     /* as in struct parcel_answer (ADD) */
	uint64_t refused;  /* messages of these that are too large or hold a NUL (ADD), and that were missing in the parcel */
};

struct parcel_reader;
struct parcel_reader *parcel_reader_new(struct store *store, const struct parcel_reader_settings *settings)
	__attribute__((returns_nonnull));
/* What is not complete and has to be, goes. Free it before the store. */
void parcel_reader_free(struct parcel_reader **reader);

/* Takes from the front of `bytes` what it can in a few milliseconds, *used of them; call it while the gate is open
 * (store_writable), again and again. *done: the parcel has come to its end and was applied; it is durable with
 * parcel_reader_batch. Errors end it: ERR_CORRUPT (of the parcel, or of what the store has), ERR_EXISTS, ERR_NOT_FOUND (the account), ERR_LIMIT,
 * ERR_NO_SPACE, ERR_IO, ERR_UNAVAILABLE (a batch was voided). */
int parcel_reader_input(struct parcel_reader *reader, struct str bytes, size_t *used, bool *done) MUST_CHECK;

/* What was done until now, and the batch with which it is on disk. */
struct parcel_counts parcel_reader_counts(const struct parcel_reader *reader);
uint64_t parcel_reader_batch(const struct parcel_reader *reader);

/* After an error: what was wrong, for people; and whether it was that the store's own index.db is damaged. */
struct str parcel_reader_problem(const struct parcel_reader *reader);
bool parcel_reader_met_damage(const struct parcel_reader *reader);

#endif
