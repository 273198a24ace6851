/* address_count.h: how many connections each client address has. An IPv6 client owns a /64, so that counts as one. */
#ifndef PROC_ADDRESS_COUNT_H
#define PROC_ADDRESS_COUNT_H

#include "base/str.h"

struct address_count;

/* For at most `max` connections at once. */
struct address_count *address_count_new(uint32_t max) __attribute__((returns_nonnull));
void address_count_free(struct address_count **counts);

/* One more connection from the address (text as in struct peer_address). False, and nothing counted, when it has
 * `limit` already, or when there are `max` connections in all. */
bool address_count_take(struct address_count *counts, const char *address, uint32_t limit);

/* One connection that was taken is gone. */
void address_count_give(struct address_count *counts, const char *address);

#endif
