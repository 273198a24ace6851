/* delivery.h: one message on its way to the shards: its recipients grouped by shard, a DELIVER each, and what came
 * back. */
#ifndef PROC_SMTP_DELIVERY_H
#define PROC_SMTP_DELIVERY_H

#include "proc/smtp/private.h"

struct delivery;

/* Every target has its result. The owner frees the delivery now or later. */
typedef void delivery_done_fn(void *owner);

/* `message` is borrowed until the delivery is freed; `body` (finished) only during delivery_send,
 * which takes its file. */
struct delivery *delivery_new(struct smtp_role *role, uint64_t session, struct smtp_delivery *message,
                              delivery_done_fn *done, void *owner) __attribute__((returns_nonnull));

/* Asks the shards, and calls done() when all have answered, the deadline has passed, or none could be asked (then
 * before it returns). Shards that are down or late leave SMTP_UNAVAILABLE. */
void delivery_send(struct delivery *delivery, struct body *body);

/* Forgets it; answers that still come are ignored, and what the shards store is left for the client's next try. Accepts
 * NULL inside. */
void delivery_free(struct delivery **delivery);

/* A request to a shard whose client was told "stored", and may have heard it or not. */
struct unended {
	uint64_t request;
	uint16_t shard;
};

/* The session has answered: fills at most `max` and returns how many; more than these are taken for heard. Recipients that
 * are to be sent again are left. */
size_t delivery_answered_to_client(struct delivery *delivery, struct unended *out, size_t max);
/* The client has ended its side before the answer. */
void delivery_is_doubtful(struct delivery *delivery);

/* Tells the shards what became of these answers; confirmations within ENDS_WAIT_MS. A shard that is down is not told,
 * and takes them for left when it is back. */
void answer_ended(struct smtp_role *role, const struct unended *list, size_t n, enum deliver_outcome outcome);
/* The role's timer: tells all. */
void ends_due(void *owner);

#endif
