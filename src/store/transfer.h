/* transfer.h: accounts and messages on their way from one store to another: what mail/parcel_reader.c and proc/shard
 * need for parcels (store/parcel.h), and nobody else.
 *
 * An account can be parked: its rows are here, but account_open does not find it, so that no session, delivery or
 * check sees it.
 *
 *     (a stream) ──▶ ARRIVING ──▶ ARRIVED ──account_create──▶ lives
 *                                lives ──account_leave──▶ LEAVING ──account_create──▶ lives
 *     account_destroy removes all of them; ARRIVING accounts are removed when the store is opened.
 *
 * As with all writes (store.h): the gate must be open, an error other than those named voids the batch. What is given and
 * cannot be is ERR_SYNTAX; ERR_CORRUPT is damage of what the store has. */
#ifndef STORE_TRANSFER_H
#define STORE_TRANSFER_H

#include "store/parcel.h"
#include "store/store_open.h"

/* --- parked accounts --- */

/* From now on nobody sees the account; sessions on it must end (account_is_gone). ERR_NOT_FOUND; 0 also when it is
 * LEAVING already. */
int account_leave(struct store *store, const struct account_id *id) MUST_CHECK;

/* Holds a LEAVING account, for reading. ERR_NOT_FOUND. */
int account_open_leaving(struct store *store, const struct account_id *id, struct account **out) MUST_CHECK;

/* --- out: an account becomes a parcel --- */

struct parcel_filter {
	const struct str *mailboxes; /* only these, without logs and subscriptions; n_mailboxes 0: all */
	uint32_t n_mailboxes;
	uint64_t after;   /* messages up to this number are not sent, only named: the receiver has them */
	bool whole;       /* damage ends it with ERR_CORRUPT; else what is damaged is MISSING, and it goes on. What cannot be
	                   * read of a mailbox's entries is one MISSING of a number that no message has */
};

struct parcel_writer;

/* Holds the account; a writer is freed before its store. The filter's slices are copied. */
struct parcel_writer *parcel_writer_new(struct account *account, const struct parcel_filter *filter)
	__attribute__((returns_nonnull));
void parcel_writer_free(struct parcel_writer **writer);

/* Works for a few milliseconds: makes frames until time is over, the maker has no room, or all is made (*done). What
 * comes out is the account as it was at one instant, some steps after the first: nothing is made before. Writes
 * nothing. ERR_NOT_FOUND: the account is gone meanwhile; ERR_CORRUPT (filter.whole), ERR_IO. */
int parcel_writer_step(struct parcel_writer *writer, bool *done) MUST_CHECK;
struct parcel_maker *parcel_writer_maker(struct parcel_writer *writer);

/* What was made rests on writes up to this batch: it must not leave before they are durable. */
uint64_t parcel_writer_batch(const struct parcel_writer *writer);

/* After ERR_CORRUPT: what is damaged. */
struct str parcel_writer_problem(const struct parcel_writer *writer);

/* --- in: messages without entries yet --- */

/* The account's messages are not swept while this lasts: between the two calls messages may be without an entry. Each
 * begin needs an end. */
void loose_begin(struct account *account);
void loose_end(struct account *account);

/* Adds a message that no entry has yet, under this number, or (0) the account's next, which is told. `mailbox`: its
 * name, for the record. ERR_EXISTS: the number is taken; ERR_LIMIT; ERR_SYNTAX: its file was changed. */
int loose_message(struct account *account, struct str mailbox, const struct message_arrival *arrival,
                  uint64_t *number) MUST_CHECK;

/* A message that no entry has at the end of the batch must be doubted: it goes when none has come in the end. */
int loose_doubt(struct account *account, uint64_t number) MUST_CHECK;

/* The size of a message that is there. ERR_NOT_FOUND. */
int loose_size(struct account *account, uint64_t number, uint64_t *size) MUST_CHECK;

/* From which numbers of messages and ids of entries are drawn. What it is behind loose_append is on disk with that. */
uint64_t loose_counter(const struct account *account);

/* Appends entries of such messages to a mailbox, with new uids and one new modseq. Ids that are given and have never
 * been used stay, others are new ones. ERR_LIMIT: end of uids. */
struct loose_entry {
	uint64_t message, size;
	uint64_t id;    /* 0: a new one */
	struct str uidl; /* what UIDL says instead of it (store/pop3.h); empty: nothing */
	uint32_t saved; /* 0: now */
	uint8_t flags;
	struct keyword_bits keywords;
};
int loose_append(struct mailbox *mailbox, const struct loose_entry *list, uint32_t n) MUST_CHECK;

/* What came from a source, so that whoever sends it again, since it was interrupted, is not behind what was stored: each
 * message, by its number in the source, has a row for the mailbox that it came into, which ages as a delivery's
 * (store_open.h) and goes where the account goes. `mark`: source_mark. */
uint64_t source_mark(const struct account *account, const struct account_id *source, struct str mailbox);
int source_is_known(struct account *account, uint64_t mark, uint64_t number, bool *known) MUST_CHECK;
/* In the batch that the messages come in. */
int source_remember(struct account *account, uint64_t mark, const uint64_t *numbers, uint32_t n) MUST_CHECK;

/* --- in: mailboxes that are built unseen and come in one piece --- */

/* An account that comes as it is (ARRIVING): with the counters of `begin`. *out is held, and only good for the
 * functions of this part and loose_*. */
int arrival_begin(struct store *store, const struct parcel_begin *begin, struct account **out) MUST_CHECK;
/* All has come: it is ARRIVED; or, when a new and empty account of this id lives here already, takes its place and
 * lives. */
int arrival_end(struct account *account) MUST_CHECK;
/* It is removed (later, store_idle_work); call at any time. Both close the account. */
void arrival_drop(struct account **account);
int arrival_subscribe(struct account *account, struct str name) MUST_CHECK; /* ERR_SYNTAX, ERR_LIMIT */

/* One mailbox in the making. Of an ARRIVING account it keeps uids, modseqs and entry ids as given (each within the
 * account's counters); of one that lives it gets new ids and one new modseq, and replaces the mailbox of that name,
 * whose entries go to the undelete log, when staged_replace is called; its UIDVALIDITY is a new one. */
struct staged;
/* ERR_EXISTS: two mailboxes of one name; ERR_SYNTAX, ERR_LIMIT: its name; ERR_SYNTAX: numbers beyond the counters. */
int staged_new(struct account *account, const struct parcel_mailbox *mailbox, struct staged **out) MUST_CHECK;
/* In order of uid; messages[i] is the number here of what list[i] names; 0: the entry is left out. ERR_SYNTAX: uids,
 * ids, modseqs, keywords or messages that cannot be. */
int staged_entries(struct staged *staged, const struct parcel_entry *list, const uint64_t *messages,
                   uint32_t n) MUST_CHECK;
/* No more entries come. */
int staged_end(struct staged *staged) MUST_CHECK;
/* A mailbox that is damaged is replaced too; what can be read of it goes to the undelete log. Any error voids the batch, and
 * with it what was replaced before in the same batch. */
int staged_replace(struct staged *staged) MUST_CHECK;
uint32_t staged_number(const struct staged *staged); /* of an ARRIVING account's mailbox */
/* What was not put in place is removed later. */
void staged_free(struct staged **staged);

/* Rows of the logs of an ARRIVING account, in order of modseq, which is at most its counter. `mailbox`: by
 * staged_number, or 0 (gone). */
int arrival_expunged(struct account *account, uint32_t mailbox, uint64_t modseq, int64_t time,
                     const struct parcel_entry *list, uint32_t n) MUST_CHECK;
int arrival_change(struct account *account, uint32_t mailbox, uint64_t modseq, enum change_kind kind, int64_t time,
                   const struct set *uids) MUST_CHECK;
/* A frame HIDDEN or DUE of one of its mailboxes. */
int arrival_pop3(struct account *account, uint32_t mailbox, enum parcel_type type,
                 const struct parcel_pop3 *frame) MUST_CHECK;
/* A frame SOURCES, of the account whose id it has. */
int arrival_sources(struct account *account, const struct parcel_sources *frame) MUST_CHECK;

#endif
