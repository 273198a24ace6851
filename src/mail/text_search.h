/* text_search.h: which of many messages have some texts in them: one pass over one kind of search text (store/text.h),
 * in steps of about a millisecond. Blocks that are there are read in the order in which they lie in their file; what no
 * block has yet is made (mail/search_text.h), looked through, and kept for the next search where that may be. */
#ifndef MAIL_TEXT_SEARCH_H
#define MAIL_TEXT_SEARCH_H

#include "mail/search_text.h"
#include "text/find.h"

/* What is looked for, folded. */
struct text_query {
	enum text_kind kind;
	uint32_t column;
	uint64_t bit;         /* of text_candidate.hits */
	bool any;             /* any text of the column at all will do */
	struct str field;     /* "NAME:", folded: only in the values of such fields, of a column in the form of TEXT_HEADER */
	struct finder finder; /* for the text; where that is empty, for `field` */
};

struct text_candidate {
	uint64_t number, size; /* of the message */
	uint64_t hits;         /* bits of queries that found something */
	uint32_t uid, sequence; /* its owner's, */
	uint64_t modseq;        /* so is this */
	bool wanted;           /* this pass looks at it */
	bool looked;           /* it did; at first: it is not wanted */
};

/* is_there: may the range be read without waiting for the disk? False: it is being fetched, and the search is to be
 * stepped again when it is there. is_gone: was the candidate's entry expunged since the search began? Then it is no error
 * that the message cannot be found. */
struct text_search_world {
	bool (*is_there)(void *owner, int fd, uint64_t offset, uint64_t n);
	bool (*is_gone)(void *owner, const struct text_candidate *candidate);
	void *owner;
};

enum text_search_progress { TEXT_SEARCH_DONE, TEXT_SEARCH_MORE, TEXT_SEARCH_WAITS };

struct text_search;

/* Candidates by number ascending, several of one message behind each other; they and the queries (all of one kind) stay
 * their owner's, who leaves them as they are until the search is freed. The account is held meanwhile. */
struct text_search *text_search_new(struct account *account, struct search_text *maker,
                                    const struct text_search_world *world, const struct text_query *queries,
                                    size_t n_queries, struct text_candidate *candidates,
                                    size_t n_candidates) __attribute__((returns_nonnull));
void text_search_free(struct text_search **search);
enum text_search_progress text_search_step(struct text_search *search);
/* Of messages that could not be read, the last; they are looked at and have no hits. */
int text_search_error(const struct text_search *search) MUST_CHECK;

#endif
