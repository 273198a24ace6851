/* fair_queue.h: a bounded queue that serves its clients in turn: one who asks a hundred times waits for himself, not
 * the others for him. What is trusted and what is not are two crowds with every other turn each, and when the queue is
 * full the newest of whoever has most gives way, what is not trusted first. Holds pointers; what they point to stays
 * its owner's. */
#ifndef AUTH_FAIR_QUEUE_H
#define AUTH_FAIR_QUEUE_H

#include "base/err.h"

struct fair_queue;

/* At most max in all and max_per_client of one client. */
struct fair_queue *fair_queue_new(uint32_t max, uint32_t max_per_client);
void fair_queue_free(struct fair_queue **queue);

/* Other limits from now on; what waits already stays. */
void fair_queue_set_limits(struct fair_queue *queue, uint32_t max, uint32_t max_per_client);

/* client: hash of who asks; trusted: nothing is held against him. *gave_way: an item that left the queue for this one;
 * NULL: none. ERR_LIMIT: full for this client, or in all, and nobody has more than he. */
int fair_queue_push(struct fair_queue *queue, uint64_t client, bool trusted, void *item, void **gave_way) MUST_CHECK;

/* The next of the next client; NULL when empty. */
void *fair_queue_pop(struct fair_queue *queue);

uint32_t fair_queue_count(const struct fair_queue *queue);

#endif
