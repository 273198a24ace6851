/* address.h: lists of addresses as they stand in From, To and their like (RFC 5322, 3.4 and 4.4; RFC 6532). Broken
 * lists give their best reading, never an error: mail is taken as it comes. */
#ifndef SYNTAX_ADDRESS_H
#define SYNTAX_ADDRESS_H

#include "base/arena.h"

enum address_kind {
	ADDRESS_MAILBOX,
	ADDRESS_GROUP_START, /* name holds the group's name */
	ADDRESS_GROUP_END,
};

/* Slices without quoting and comments; encoded words (RFC 2047) and 8-bit bytes stay as they are. p is NULL where the
 * text has nothing of the kind. */
struct address {
	enum address_kind kind;
	struct str name;   /* display name, or else the last comment behind the address */
	struct str route;  /* obsolete source route, "@a,@b" */
	struct str local;  /* local part; of "joe" without domain too */
	struct str domain; /* "example.test" or "[192.0.2.1]" */
};

/* Reads a field body (folded or not) of any length; the addresses and their text come from the arena. At most `max`
 * entries (group marks count; a group that is open is closed); what comes after is left out. ERR_LIMIT when the arena
 * is full. Costs time linear in the length. */
int address_parse_list(struct str body, struct arena *arena, size_t max, struct address **out, size_t *n) MUST_CHECK;

#endif
