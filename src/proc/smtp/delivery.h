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

/* Forgets it; answers that still come are ignored. Accepts NULL inside. */
void delivery_free(struct delivery **delivery);

/* Deliveries whose keys the shards may forget, by shard. */
struct confirmation {
	uint16_t shard;
	struct delivery_key key;
};

/* The settled ones, after the session has answered. Fills at most `max` and returns how many. */
size_t delivery_settled(const struct delivery *delivery, struct confirmation *out, size_t max);

/* Tells the shards, soon. A shard that is down keeps the keys until they are old; that is harmless. */
void confirmations_send(struct smtp_role *role, const struct confirmation *list, size_t n);
/* The role's timer: tells all. */
void confirmations_due(void *owner);

#endif
