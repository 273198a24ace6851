/* address.h: addresses as the directory knows them: local part and domain, folded, so that different spellings of one
 * address are one key.
 *
 * Folding of a local part: each character becomes its simple lower-case one (Unicode; no locale, no
 * change of length such as ß to ss), then the whole is put in normalisation form C. "Ä" and "A" with a diaeresis behind
 * it are one letter; "Straße" and "strasse" are two people. A dot at the end of the domain is dropped.
 *
 * A domain beyond ASCII is its A-labels (IDNA 2008, RFC 5891, with the mappings of UTS 46): bücher.example,
 * BÜCHER.example and xn--bcher-kva.example are one domain, and the last is what it is called. */
#ifndef AUTH_ADDRESS_H
#define AUTH_ADDRESS_H

#include "base/err.h"

#define ADDRESS_LOCAL_MAX  64  /* bytes; RFC 5321, 4.5.3.1.1 */
#define ADDRESS_DOMAIN_MAX 253 /* bytes; RFC 1035, 2.3.4, without the root's dot */
#define ADDRESS_TEXT_MAX   (ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX)

/* Holds its own text; may be copied with address_copy only. */
struct folded_address {
	struct str local, domain;        /* point into text; domain may be empty where that was asked for */
	struct str whole;                /* local@domain, or local alone */
	char text[ADDRESS_TEXT_MAX + 1];
};

void address_copy(struct folded_address *to, const struct folded_address *from);

/* Reads and folds local@domain (unquoted UTF-8, cut at the last "@"); any local part that mail can carry. Without "@"
 * the domain is empty. ERR_SYNTAX: not UTF-8, control characters, an empty or impossible part; ERR_LIMIT: too long. */
int address_read(struct str text, struct folded_address *out) MUST_CHECK;

/* The same for an address that is to be added: the local part must be one that people can write without quoting (RFC
 * 5321 Dot-string, RFC 6531 UTF-8). */
int address_read_new(struct str text, struct folded_address *out) MUST_CHECK;

/* Reads and folds a domain: labels of letters, digits, "-", "_" and what IDNA allows beyond ASCII, 1 to 63 bytes each
 * as A-labels. out: room for ADDRESS_DOMAIN_MAX bytes, which are ASCII. ERR_SYNTAX, ERR_LIMIT. */
int domain_read(struct str text, char *out, size_t *n) MUST_CHECK;

#endif
