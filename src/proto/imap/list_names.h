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

struct list_names {
	struct arena arena; /* of the names */
	struct list_name *list; /* sorted */
	size_t n, size;
	struct buf pattern; /* the one that is being matched: reference and pattern put together (RFC 3501, 6.3.8) */
	uint32_t next_pattern;
	size_t next_name;
};

/* More bytes of names than this are not listed (ERR_LIMIT): an account at its maximum of longest names. */
#define LIST_NAMES_BYTES_MAX (64u * 1024 * 1024)

/* Gathers and sorts them. */
int list_names_gather(struct account *account, struct list_names *out) MUST_CHECK;
void list_names_free(struct list_names *names);

/* Matches one name with one pattern, at most some milliseconds of work; false when all are matched, and every name
 * knows what lies below it. Empty patterns match nothing. */
bool list_names_match(struct list_names *names, struct str reference, const struct imap_strings *patterns);

#endif
