/* thread.h: threads of messages (RFC 5256, BASE.6.4.THREAD) from their ids, subjects and dates. Knows no session; between
 * cmd_sort.c, which reads the messages and writes the answer, and thread.c, thread_ids.c. Private. */
#ifndef PROTO_IMAP_THREAD_H
#define PROTO_IMAP_THREAD_H

#include "base/buf.h"
#include "base/str.h"

#define THREAD_NONE UINT32_MAX

/* --- who answers whom, by ids: REFERENCES, step 1 --- */

struct thread_ids;

/* For at most so many messages. */
struct thread_ids *thread_ids_new(uint64_t seed, uint32_t messages) __attribute__((returns_nonnull));
void thread_ids_free(struct thread_ids **ids);
/* The next message (they count from 0): the bodies of Message-ID, References, In-Reply-To; empty where there is none.
 * ERR_LIMIT: too much text. */
int thread_ids_add(struct thread_ids *ids, struct str message_id, struct str references,
                   struct str in_reply_to) MUST_CHECK;

/* All nodes: ids that were seen, and messages without one. */
uint32_t thread_ids_count(const struct thread_ids *ids);
/* When all messages are added: the nearest one above this one; else the topmost node that no message has (*is_dummy);
 * THREAD_NONE: neither. */
uint32_t thread_ids_above(struct thread_ids *ids, uint32_t message, bool *is_dummy);
/* Links followed so far, of what this work costs: a few nanoseconds each, or a miss of the cache. */
uint64_t thread_ids_steps(const struct thread_ids *ids);

/* --- the tree --- */

/* Nodes below n are messages; those from n on are dummies, which stand at the top only. A node's children stand in the
 * order of their dates. */
struct thread_tree {
	uint32_t n, n_nodes;
	uint32_t *parent, *first_child, *last_child, *next; /* next: sibling */
	uint32_t first_root, last_root;
};

/* What is known of the messages: their order by date, and the subjects. */
struct thread_facts {
	const uint32_t *order; /* of n messages */
	uint32_t n;
	struct str (*subject)(const void *owner, uint32_t message); /* folded */
	bool (*is_reply)(const void *owner, uint32_t message);
	const void *owner;
	uint64_t seed; /* of a table by subject */
};

/* The work of making a tree, in steps of a fraction of a millisecond; linear. facts and ids live as long. */
struct thread_work;

/* ids: REFERENCES; NULL: ORDEREDSUBJECT. */
struct thread_work *thread_work_new(const struct thread_facts *facts, struct thread_ids *ids)
	__attribute__((returns_nonnull));
void thread_work_free(struct thread_work **work);
/* True: the tree is made. */
bool thread_work_step(struct thread_work *work);
const struct thread_tree *thread_work_tree(const struct thread_work *work);

/* Writing the tree: where the walk is. Begin with zero and first_root. */
struct thread_walk {
	uint32_t at; /* THREAD_NONE: done */
	bool leaving;
};
/* Prints about `max` nodes: "(2)(3 6 (4 23)(44 7 96))"; names by message. */
void thread_print(const struct thread_tree *tree, const uint32_t *names, struct thread_walk *walk, uint32_t max,
                  struct buf *out);

#endif
