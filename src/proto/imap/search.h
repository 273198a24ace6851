/* search.h: between the parts of SEARCH: cmd_search.c walks the mailbox and answers; search_plan.c makes the keys
 * ready; search_match.c compares them with messages; search_pass.c has texts looked for, in all messages at once. Private.
 *
 * A key that needs text cannot be answered for a message as it comes along. It gets a bit; messages for which the answer
 * hangs on such bits are candidates, and each kind of text is looked through in one pass for those that still need it. */
#ifndef PROTO_IMAP_SEARCH_H
#define PROTO_IMAP_SEARCH_H

#include "mail/text_search.h"
#include "proto/imap/session_private.h"

/* What a key costs, in the order in which they are looked at. */
enum search_cost {
	SEARCH_COST_ENTRY,  /* the mailbox's entry tells */
	SEARCH_COST_ROW,    /* the message's row is read */
	SEARCH_COST_FIELDS, /* from here on: a text, of this kind */
	SEARCH_COST_HEADER,
	SEARCH_COST_BODY,
	SEARCH_COSTS
};

/* A key made ready: '*' resolved, keywords to bits, text folded. Number and depth are bounded by the parser's limits. Sets
 * stay as the client wrote them, and "$" is the session's: mapped to uids, each would be as large as the mailbox. */
struct search_node {
	enum imap_search_kind kind;
	enum search_cost cost;
	bool wanted;   /* FLAG, KEYWORD */
	uint32_t flag; /* enum imap_flag */
	int keyword;   /* bit; -1: no message has it */
	int64_t day;   /* since 1970 */
	uint64_t size;     /* LARGER, SMALLER; OLDER, YOUNGER: a time, seconds since 1970 */
	struct buf text;   /* folded */
	struct buf field;  /* folded, with its colon; empty: the column is this field's alone */
	const struct set *numbers; /* SEQUENCE: sequence numbers; UID, and SEQUENCE where it is "$": uids; */
	bool by_uid;               /* then true */
	struct set own;            /* what numbers points to, but for "$" */
	uint64_t bit;      /* of a key of text; of AND and OR: of what those children together say that need no text, 0: none */
	uint64_t late_bit; /* of TEXT: its header */
	struct search_node *child, *next; /* children in order of their cost */
};

#define SEARCH_BITS 64

struct search_plan {
	struct search_node *root;
	unsigned bits; /* given out */
	struct text_query queries[SEARCH_BITS]; /* of all kinds */
	size_t n_queries;
	bool has_modseq; /* a key asks for MODSEQ */
	uint32_t nodes;
	uint32_t uid_max, number_max; /* '*' */
};

/* NULL: it cannot be, and the tagged reply is chosen. */
struct search_plan *search_plan_new(struct imap_session *s, const struct imap_search *search);
void search_plan_free(struct search_plan **plan);

/* How many messages may be held against the plan between two looks at the clock: `most`, or fewer where it has so many
 * nodes that those would be long. */
unsigned search_plan_at_once(const struct search_plan *plan, unsigned most);

/* --- one message, as the walk comes to it --- */

struct candidate {
	struct imap_session *s;
	const struct entry *entry;
	uint32_t number; /* its sequence number */
	struct message_cursor *rows;
	struct message_row row;
	bool has_row, asked_row;
	bool has_sent, asked_sent; /* the day of its Date field */
	int64_t sent;
	struct buf *scratch;
	int error; /* of reading: what could not be read does not match */
};

enum search_verdict { SEARCH_NO, SEARCH_YES, SEARCH_UNKNOWN };

/* A key that needs no text. */
bool search_matches(struct candidate *candidate, const struct search_node *node);

/* Sets the bits of what needs no text. */
void search_set_bits(struct candidate *candidate, const struct search_node *node, uint64_t *hits);

/* What the bits say; those not in `known` are open. */
enum search_verdict search_verdict_of(const struct search_node *node, uint64_t hits, uint64_t known);

/* --- all that hang on texts --- */

struct search_pass;

struct search_pass *search_pass_new(struct imap_session *s, const struct search_plan *plan)
	__attribute__((returns_nonnull));
void search_pass_free(struct search_pass **pass);
/* In the walk's order. */
void search_pass_add(struct search_pass *pass, const struct entry *entry, uint32_t sequence, uint64_t hits);
/* Until `end` (of the clock world.microseconds). IMAP_STEP_DONE: all is known. */
enum imap_step search_pass_step(struct search_pass *pass, uint64_t end);
/* Then, in the walk's order: those that match. LATER: *out is as it was, and the clock is worth a look. */
enum search_next { SEARCH_NEXT_FOUND, SEARCH_NEXT_LATER, SEARCH_NEXT_NONE };
enum search_next search_pass_next(struct search_pass *pass, struct text_candidate *out);
int search_pass_error(const struct search_pass *pass) MUST_CHECK;

#endif
