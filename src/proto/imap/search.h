/* search.h: between cmd_search.c, which walks the messages, and search_plan.c and search_match.c, which know the keys.
 * Private. */
#ifndef PROTO_IMAP_SEARCH_H
#define PROTO_IMAP_SEARCH_H

#include "proto/imap/session_private.h"

/* What a key costs a message. */
enum search_cost {
	SEARCH_COST_ENTRY,  /* the mailbox's entry tells */
	SEARCH_COST_ROW,    /* the message's row is read */
	SEARCH_COST_HEADER, /* its header is looked through */
};

/* A key made ready: sets resolved to uids, keywords to bits, text folded. Number and depth are bounded by the parser's
 * limits. */
struct search_node {
	enum imap_search_kind kind;
	enum search_cost cost;
	bool wanted;   /* FLAG, KEYWORD */
	uint32_t flag; /* enum imap_flag */
	int keyword;   /* bit; -1: no message has it */
	int64_t day;   /* since 1970 */
	uint64_t size;
	struct str field;                 /* of keys that look into a header field; lives as long as the command */
	struct buf text;                  /* folded */
	struct set uids;                  /* SEQUENCE, UID */
	struct search_node *child, *next; /* children in order of their cost */
};

/* NULL: it cannot be, and the tagged reply is chosen. */
struct search_node *search_plan_new(struct imap_session *s, const struct imap_search *search);
void search_plan_free(struct search_node **root);

/* One message that is looked at; its row and header are read when a key asks for them. */
struct candidate {
	struct imap_session *s;
	const struct entry *entry;
	struct message_cursor *rows;
	struct message_row row;
	bool has_row;
	bool has_header; /* `header` is this message's */
	struct buf *header;
	struct buf *scratch; /* decoded text of one field, then folded */
	int error;           /* of reading: what could not be read does not match */
};

bool search_matches(struct candidate *candidate, const struct search_node *node);

#endif
