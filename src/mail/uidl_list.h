/* uidl_list.h: what other servers keep of POP3's unique ids beside a Maildir, a line for each file:
 *
 *     dovecot-uidlist       3 V1275660208 N25022 G3085f01b...       UIDVALIDITY, next uid
 *                           25006 P0000abcd W2481 :1276528487.M36   uid, fields (P: the id that POP3 clients were told),
 *                                                                   and the name of the file
 *     the same, version 1, and courierimapuiddb of Courier
 *                           1 1275660208 25022
 *                           25006 1276528487.M36
 *     courierpop3dsizelist  /3 25022 1275660208                     next number, UIDVALIDITY
 *                           1276528487.M36 2481 25006:1275660208    name, size, number and UIDVALIDITY
 *     a file that somebody made: name and id
 *                           1276528487.M36 0000abcd
 *
 * Names count up to the colon. Dovecot tells ids that it has not kept by a pattern, pop3_uidl_format. Pure functions. */
#ifndef MAIL_UIDL_LIST_H
#define MAIL_UIDL_LIST_H

#include "base/buf.h"

enum uidl_list_kind { UIDL_LIST_OF_UIDS, UIDL_LIST_OF_POP3, UIDL_LIST_OF_PAIRS };

struct uidl_list {
	enum uidl_list_kind kind;
	bool begun;           /* its first line was read */
	uint32_t version;
	uint32_t uidvalidity; /* 0: not told */
};

struct uidl_item {
	struct str name;     /* of the file, up to the colon */
	uint32_t uid;        /* OF_UIDS, OF_POP3; 0: not told */
	uint32_t uidvalidity;
	struct str uidl;     /* as it was told; empty: by a pattern */
};

/* Reads one line without its line end. 0: an item, whose slices point into the line; ERR_INCOMPLETE: the first line, or
 * an empty one; ERR_SYNTAX: no line of such a list, to be passed over; ERR_UNSUPPORTED: another version, nothing of it
 * can be read. */
int uidl_list_line(struct uidl_list *list, struct str line, struct uidl_item *out) MUST_CHECK;

/* Appends what a pattern says of an item: %u uid, %v UIDVALIDITY, %f name; with a width, zeros in front and X for
 * hexadecimal in between, as in "%08Xu%08Xv". ERR_SYNTAX: no pattern; ERR_NOT_FOUND: the item lacks what it asks for. */
int uidl_pattern_print(struct str pattern, const struct uidl_item *item, struct buf *out) MUST_CHECK;

/* Dovecot's default. */
#define UIDL_PATTERN_DOVECOT "%08Xu%08Xv"

#endif
