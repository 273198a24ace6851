/* sort.h: between cmd_sort.c, which answers SORT and THREAD, and what makes the order: sort_table.c. Private. */
#ifndef PROTO_IMAP_SORT_H
#define PROTO_IMAP_SORT_H

#include "proto/imap/session_private.h"

/* What is told of a message (its number or uid), and one cell for each key: a number, or a place in `texts`. Messages are
 * added in the order of the mailbox, which decides where all keys are equal. */
struct sort_table {
	const struct imap_sort_key *keys; /* of who uses the table */
	uint32_t n_keys, n_compared; /* the others are only kept */
	uint32_t n, size;
	uint32_t *names;
	uint64_t *cells; /* n_keys for each message */
	struct buf texts;
	uint32_t *order; /* indexes of messages; sorted in the end */
	uint32_t *spare;
	uint32_t sorted, width, left, i, j; /* how far: runs, then merges of runs */
	bool merging;
};

void sort_table_init(struct sort_table *table, const struct imap_sort_key *keys, uint32_t n_keys);
void sort_table_free(struct sort_table *table);

/* The message's fields, wherever they are kept. */
struct sort_source {
	struct imap_session *s;
	const struct message_row *row;
	struct buf *header; /* its bytes, when they were read for it; empty: not yet */
};
/* The body of the first field of that name; ERR_NOT_FOUND, or an error of reading. */
int sort_field(struct sort_source *source, struct str name, struct str *body) MUST_CHECK;
/* Of the Date field, or as it came in (RFC 5256, 2.2): seconds since 1970. */
int sort_sent_date(struct sort_source *source, int64_t *out) MUST_CHECK;
/* Appends the base subject, folded; *is_reply as of subject_base. */
int sort_subject(struct sort_source *source, struct buf *out, bool *is_reply) MUST_CHECK;

/* Adds a message. ERR_LIMIT: too many keys, or too much text; errors of reading. */
int sort_table_add(struct sort_table *table, struct sort_source *source, const struct entry *entry,
                   uint32_t name) MUST_CHECK;

/* Some of the sorting: a fraction of a millisecond. True: `order` is sorted. */
bool sort_table_step(struct sort_table *table);

/* The text of a message's cell; for a subject: was it a reply's? */
struct str sort_text(const struct sort_table *table, uint32_t index, uint32_t key);
bool sort_is_reply(const struct sort_table *table, uint32_t index, uint32_t key);

#endif
