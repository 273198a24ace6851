/* print.h: printing by hand what is printed a million times: numbers and flags of FETCH responses. Callers reserve room
 * in the output first; each function returns the place behind what it wrote. */
#ifndef PROTO_IMAP_PRINT_H
#define PROTO_IMAP_PRINT_H

#include "base/str.h"
#include "store/store.h"

#define PRINT_U32_MAX 10 /* digits */

char *print_u32(char *p, uint32_t value);

static inline char *print_str(char *p, struct str s)
{
	if (s.n)
		memcpy(p, s.p, s.n);
	return p + s.n;
}

/* Prints the flags of a mailbox's entries. */
#define PRINT_SYSTEM_FLAGS 64 /* combinations of five flags and \Recent */
#define PRINT_RECENT       32 /* the bit of \Recent among them */

struct flags_printer {
	const struct mailbox *mailbox;
	const struct str *keywords; /* names by bit */
	size_t n_keywords;
	size_t room; /* of the longest flag list, brackets included */
	struct {
		char text[55];
		uint8_t n; /* 0: not made yet */
	} system[PRINT_SYSTEM_FLAGS];
};

/* The printer is good until the mailbox gets another keyword. */
void flags_printer_init(struct flags_printer *printer, const struct mailbox *mailbox);

/* "(\Seen \Recent $Forwarded)" */
char *flags_print(struct flags_printer *printer, char *p, const struct entry *entry, bool recent);

/* What of an entry is printed. */
enum print_part { PRINT_UID = 1, PRINT_FLAGS = 2, PRINT_MODSEQ = 4 };

/* "* 12 FETCH (UID 7 FLAGS (...) MODSEQ (9))" and the line end, of these parts; FETCH_FLAGS_ROOM and the printer's room
 * are enough. */
#define FETCH_FLAGS_ROOM 96
char *fetch_flags_print(struct flags_printer *printer, char *p, uint32_t number, const struct entry *entry, bool recent,
                        unsigned parts);

/* "MODSEQ (9)"; MODSEQ_ROOM is enough. */
#define MODSEQ_ROOM 32
char *modseq_print(char *p, uint64_t modseq);

#endif
