/* maildir.h: names of files in a Maildir: "1700000000.E17.0af3,S=2048,W=2100:2,FSa". In front of the colon what is unique
 * and stays; behind ":2," the flags, and the letters a to z for keywords, whose names stand in a file dovecot-keywords
 * beside (Dovecot's way). Pure functions; folders are folder_name.h's. */
#ifndef MAIL_MAILDIR_H
#define MAIL_MAILDIR_H

#include "base/buf.h"

#define MAILDIR_LETTERS_MAX 26
#define MAILDIR_NAME_MAX    255
#define MAILDIR_KEYWORDS_FILE "dovecot-keywords"
#define MAILDIR_NO_LETTER   UINT8_MAX

struct maildir_name {
	struct str unique;
	uint8_t flags;     /* of enum message_flag: D F R S T */
	bool is_forwarded; /* P: the keyword $Forwarded */
	uint32_t letters;  /* bit 0: a */
};

/* Reads the name of a file in cur/ or new/. ERR_SYNTAX for what is no message: it begins with '.', or has nothing in
 * front of the colon. Unknown flags are left out. */
int maildir_name_parse(struct str file, struct maildir_name *out) MUST_CHECK;

/* "UNIQUE:2,FLAGS", the flags in the order of their letters as they must be. */
void maildir_name_print(const struct maildir_name *name, struct buf *out);

/* Reads lines "0 name" into names[0], pointing into the text. Lines that are none, and names that IMAP cannot have, are
 * left out; what is not told is empty. */
void maildir_keywords_read(struct str text, struct str names[MAILDIR_LETTERS_MAX]);

/* The number of the letter (0: a) that each of n keywords has: the one that `text`, which the file has already, gives its
 * name in any case of letters; else the first that the text does not speak of and that is not in `used` (bit 0: a);
 * MAILDIR_NO_LETTER when there is none. The text, with lines for what is new, is appended to out. How many have no letter. */
size_t maildir_keywords_add(struct str text, uint32_t used, const struct str *keywords, size_t n, uint8_t *letters,
                            struct buf *out);

/* Order of messages in a folder: by the number that names begin with (the time of delivery), then by bytes. */
int maildir_name_compare(struct str a, struct str b);

#endif
