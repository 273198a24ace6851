/* delivery.h: keeps a sender who got no answer, and comes again, from being stored twice, and nobody else from being
 * stored each time.
 *
 * A delivery has a key, the same for all identical ones to an account (same bytes, sender, account). Its row lies in
 * the database from the batch that the message comes in until its answer is known to have arrived. Meanwhile it is
 *   live      its process is there and may still confirm it. Known in memory alone.
 *   doubtful  live, but its client may have gone: to be decided soon.
 *   left      nobody will confirm it any more (connection or process gone, shard begun anew): a row that is not live.
 * An identical delivery that finds a left one is its retry: it is not stored, and the row is live again, as its own.
 * One that finds none but live ones is a copy that somebody means: it is stored under a key of its own, the next of the
 * row's keys (copy 0, 1, ...), so that as many are left as answers are lost. One that finds a doubtful one, and none
 * left, is told to come again; not so in one session, where nobody has gone. */
#ifndef STORE_DELIVERY_H
#define STORE_DELIVERY_H

#include "store/store_open.h"

#define DELIVERY_COPIES_MAX 64    /* identical ones live at once; further ones are stored without a key */
#define DELIVERY_KEYS_MAX   65536 /* live, or confirmed and waiting for a batch; further ones likewise */
#define DELIVERY_ALL        UINT32_MAX

/* What one request of a process brings to some accounts. Owned by who began it until delivery_answered, by the store
 * from then on. */
struct delivery;

enum delivery_end {
	DELIVERY_CONFIRMED, /* the answer has arrived: forgotten with the next batch */
	DELIVERY_DOUBTFUL,  /* not known yet, the end comes later */
	DELIVERY_LEFT,      /* it may not have arrived */
	DELIVERY_END_COUNT,
};

/* `process` names who brings it, `number` the request of his, `session` the client's. */
struct delivery *delivery_begin(struct store *store, uint64_t process, uint64_t number, uint64_t session)
	__attribute__((returns_nonnull));
/* Its batches are durable or void and the answer is on its way; delivery_end tells the rest. results: by recipient, 0 for
 * those that were told "stored". Accepts NULL inside. */
void delivery_answered(struct store *store, struct delivery **delivery, const unsigned char *results,
                       uint32_t n_results);
/* For one recipient or DELIVERY_ALL. A request that is not known any more has no effect. */
void delivery_end(struct store *store, uint64_t process, uint64_t number, uint32_t recipient, enum delivery_end end);
/* The process is gone: all of its are left. */
void delivery_process_gone(struct store *store, uint64_t process);

/* Rows of confirmed keys go with any batch. Where none comes: opens one, when there are such rows; a store that is opened
 * again would take them for left ones. False: none, or not possible now. */
bool delivery_forget_confirmed(struct store *store);

/* A message for one recipient on its way in. */
struct delivery_claim {
	struct delivery *delivery; /* NULL: left as soon as it is stored */
	uint32_t recipient;
	unsigned char key[DELIVERY_KEY_BYTES];
};
struct delivery_look {
	bool is_retry; /* stored already; else it is to be stored, */
	bool has_row;  /* and the row of one whose answer arrived is still there */
	uint32_t copy; /* DELIVERY_COPIES_MAX: without a key */
};

/* Changes nothing, and may be asked again. ERR_UNAVAILABLE: a doubtful one is there, or there is no room. One lookup in
 * the database. */
int delivery_look(struct store *store, const struct delivery_claim *claim, struct delivery_look *look) MUST_CHECK;
/* After delivery_look, in the same turn. A retry: its answer is this delivery's. Else the message was stored in the open
 * batch just now: remembers its key there. */
int delivery_take(struct store *store, struct account *account, const struct delivery_claim *claim,
                  const struct delivery_look *look) MUST_CHECK;

#endif
