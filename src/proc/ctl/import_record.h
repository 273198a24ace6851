/* import_record.h: what an import remembers of its source, as text (import_state.c keeps it in files): a record, and a
 * list with a line for each folder and message that it knows.
 *
 *     {"form":2,"transfer":"32 hex digits","account":"id","source":"/absolute/path","mailbox":"","format":"mbox",
 *      "list":"32 hex digits","number":N,"before":N,"next":N,"imported":N,"complete":true,"counter":N,"left":[FIRST,LAST,...]}
 *
 *     list<tab>32 hex digits        the first line; none in lists of older versions
 *     NUMBER<tab>FOLDER<tab>NAME    a message: the name of its file up to the colon, or the digest of one in an mbox
 *     NUMBER<tab>FOLDER<tab>        the folder itself
 *
 * A record and a list belong together that have the same digits, drawn when the list is begun: by the first import, and by one
 * that takes everything once more. Numbers grow from line to line and never come again; the server knows a message by its number and `transfer`
 * (mail/parcel_reader.h). Pure functions; the bytes may be anything. */
#ifndef PROC_CTL_IMPORT_RECORD_H
#define PROC_CTL_IMPORT_RECORD_H

#include "base/account_id.h"
#include "base/arena.h"
#include "base/set.h"

#define IMPORT_PATH_MAX   4096
#define IMPORT_NUMBER_MAX (UINT32_MAX - 1)
#define IMPORT_LEFT_MAX   8192         /* ranges of messages that were left out */
#define IMPORT_RECORD_MAX (256 * 1024) /* bytes as text */
#define IMPORT_ARENA_MAX  (16 * IMPORT_RECORD_MAX)

struct import_record {
	unsigned char transfer[ACCOUNT_ID_SIZE]; /* drawn for each import, up to where it is complete */
	unsigned char list[ACCOUNT_ID_SIZE];     /* to which it belongs; all zero: of an older version */
	struct str account;  /* its id, as text */
	struct str source, mailbox, format;
	uint64_t number;     /* lines up to this one are done with */
	uint64_t before;     /* lines up to this one are of imports that are complete */
	uint64_t next;       /* no line has this number, or a higher one */
	uint64_t imported;   /* messages, by the runs since `before` */
	bool complete;
	uint64_t counter;    /* the highest of the account that the server told with what it stored (struct parcel_answer); 0:
	                      * none was told, or the record is of an older version */
	struct set left;     /* of the lines up to `number`: that could not be imported, and are to be tried again */
};

/* Strings are the arena's (IMPORT_ARENA_MAX), the set is the caller's to free. ERR_CORRUPT: not a record, or one of
 * another form. */
int import_record_parse(struct str text, struct arena *arena, struct import_record *out) MUST_CHECK;
void import_record_print(const struct import_record *record, struct buf *out);

/* The first line of a list. Taken: *rest is behind it; where there is none, `list` is all zero. ERR_CORRUPT. */
int import_head_take(struct str *rest, unsigned char list[ACCOUNT_ID_SIZE]) MUST_CHECK;
void import_head_print(const unsigned char list[ACCOUNT_ID_SIZE], struct buf *out);

struct import_line {
	uint64_t number;
	struct str folder, name; /* without tabs and line ends */
};

/* The next line of *rest, which is not empty; it must have a number beyond `after`. Slices point into it.
 * ERR_CORRUPT. */
int import_line_take(struct str *rest, uint64_t after, struct import_line *out) MUST_CHECK;
void import_line_print(const struct import_line *line, struct buf *out);

#endif
