/* list_names.h: the names that LIST and LSUB choose from: mailboxes, names subscribed to, and the parents of both that
 * are missing. A copy, so that it may outlive changes of the account while the answer waits for a slow client. */
#ifndef PROTO_IMAP_LIST_NAMES_H
#define PROTO_IMAP_LIST_NAMES_H

#include "base/arena.h"
#include "store/store.h"
#include "syntax/imap.h"

struct list_name {
	struct str name;
	enum special_use use;
	bool exists;
	bool subscribed;
	bool matches;          /* one of the command's patterns */
	bool has_children;     /* a mailbox lies below it */
	bool subscribed_below; /* a name below it is subscribed */
	bool unmatched_below;  /* a subscribed one that matches no pattern, so that nothing else tells of it */
};

enum list_work {
	LIST_WORK_COPY,    /* what the account has; anew when it changes meanwhile */
	LIST_WORK_PARENTS, /* names get those above them that the one before them did not have */
	LIST_WORK_SORT,    /* runs of names in order are merged, two at a time */
	LIST_WORK_UNITE,   /* what is the same name */
	LIST_WORK_MATCH,
	LIST_WORK_MARK,    /* names learn what lies below them */
	LIST_WORK_DONE,
};

struct list_names {
	struct arena arena; /* of the names */
	struct account *account; /* COPY */
	uint64_t version;        /* of its names, that are copied */
	unsigned tries;
	struct list_name *given; /* mailboxes, then subscriptions; each in order */
	size_t n_given, n_mailboxes;
	struct list_name *list; /* sorted, in the end; room for `size` */
	size_t n, size;
	enum list_work work;
	size_t next;            /* of given (PARENTS), else of list */
	size_t kept;            /* UNITE */
	struct list_name *merged; /* SORT: as large as list */
	size_t *runs, n_runs;   /* where runs begin */
	size_t run, left, left_end, right, right_end; /* those that are merged; left == right: none yet */
	struct buf pattern; /* the one that is being matched: reference and pattern put together (RFC 3501, 6.3.8) */
	uint32_t next_pattern;
	bool of_special_use; /* set after the begin: a subscribed name counts for those above it only if it has one, too */
};

/* More bytes of names than this are not listed (ERR_LIMIT): an account at its maximum of longest names. */
#define LIST_NAMES_BYTES_MAX (64u * 1024 * 1024)

/* The account must be held as long as there are steps. */
void list_names_begin(struct account *account, struct list_names *out);
void list_names_free(struct list_names *names);

/* Goes on with it: some names of one kind of work, or one match; well below a millisecond. *done: all names that the account had at one
 * moment stand in order, know what lies below them, and whether they match. Empty patterns match nothing. ERR_LIMIT. */
int list_names_step(struct list_names *names, struct str reference, const struct imap_strings *patterns, bool *done) MUST_CHECK;

#endif
