/* handed.h: which plain connections are in the shards' hands now, so that they count for their addresses until a
 * shard says that they ended. (The others are seen by their relays.) */
#ifndef PROC_ACCESS_HANDED_H
#define PROC_ACCESS_HANDED_H

#include "loop/listener.h"
#include "proc/address_count.h"

struct handed;

/* For at most `max` sessions. When one ends, its address gets its connection back in `counts` (borrowed). */
struct handed *handed_new(uint32_t max, struct address_count *counts) __attribute__((returns_nonnull));
/* Gives nothing back. */
void handed_free(struct handed **handed);
uint32_t handed_count(const struct handed *handed);

/* A connection that was taken from the counts is with that shard. */
void handed_add(struct handed *handed, uint64_t session, uint32_t shard, const char *address);
/* That shard says that it ended. False when it has no such session (or has told so before). */
bool handed_end(struct handed *handed, uint64_t session, uint32_t shard);
/* The shard is gone, and its sessions with it. */
void handed_lost(struct handed *handed, uint32_t shard);

#endif
