/* text.h: what searches look through: the decoded, folded text of messages, in blocks of many messages each, in files of
 * their own beside body/ (text/ID.text and text/ID.index, for each account that was searched). Derived data: made by the
 * first search that needs it, never waited for, never synced, thrown away when anything about it is not as it should be.
 *
 * A block has columns. Text never holds a NUL but between fields and parts, so no needle matches across them; each
 * message's text in a column ends with one, or is empty. What the text is: mail/search_text.h. */
#ifndef STORE_TEXT_H
#define STORE_TEXT_H

#include "base/buf.h"

struct account;
struct account_id;
struct store;

/* Changes whenever the same message would give other text (folding, decoding, columns): older text is made anew. */
#define TEXT_VERSION 3

enum text_kind {
	TEXT_FIELDS, /* header fields that are kept in the message's row: cheap to make */
	TEXT_HEADER, /* the whole header */
	TEXT_BODY,
	TEXT_KINDS
};

enum text_fields_column { TEXT_SUBJECT, TEXT_FROM, TEXT_TO, TEXT_CC, TEXT_BCC, TEXT_OTHER_FIELDS, TEXT_COLUMNS_MAX };

/* How many columns blocks of a kind have: the fields above, or one. */
uint32_t text_columns(enum text_kind kind);

#define TEXT_BLOCK_BYTES    (256 * 1024)       /* text of a full block: it takes no more messages */
#define TEXT_BLOCK_MAX      (16 * 1024 * 1024) /* of a column */
#define TEXT_BLOCK_MESSAGES 4096
#define TEXT_STORE_MESSAGES 32                 /* fewer new messages are not worth a block: they are made again */

/* A message as a block names it: the size tells a message apart from one that had its number in another life. */
struct text_message {
	uint64_t number, size;
};

/* Of the text of message i of a column: ends[i - 1] to ends[i]. */
struct text_column {
	struct buf ends; /* uint32_t each, in the machine's order */
	struct buf text;
};

struct text_block {
	enum text_kind kind;
	bool continued; /* the first message's text began in the block before */
	bool continues; /* the last message's text goes on in the next block */
	uint32_t n;
	struct buf messages; /* struct text_message each, by number ascending */
	struct text_column columns[TEXT_COLUMNS_MAX];
};

void text_block_init(struct text_block *block, enum text_kind kind);
void text_block_clear(struct text_block *block);
void text_block_free(struct text_block *block);
const struct text_message *text_block_message(const struct text_block *block, uint32_t i);
/* Where message i begins and ends in its column. */
void text_block_range(const struct text_block *block, uint32_t column, uint32_t i, uint32_t *from, uint32_t *to);
/* What was added to the columns since the last call is the text of this message. */
void text_block_end_message(struct text_block *block, uint64_t number, uint64_t size);
bool text_block_is_full(const struct text_block *block);

/* --- reading --- */

/* The files of an account, as they are now: blocks that come later are not seen. NULL: there are none, or none that can
 * be used. */
struct text_reader;
struct text_reader *text_reader_open(struct account *account);
void text_reader_close(struct text_reader **reader);

/* The next block of that kind, from the first on: *block gets its messages, without columns. False: that was the last.
 * ERR_CORRUPT in *err: the rest is not to be believed, text_forget is due. */
bool text_reader_next(struct text_reader *reader, enum text_kind kind, struct text_block *block, int *err);
/* Does the first message of that block go on from the block before it? A rest that does not stand exactly behind what it
 * is the rest of, back to where the message began, is nobody's. */
bool text_reader_goes_on(const struct text_reader *reader);

/* Where a column of the block that came last lies, for whoever must not wait for the disk. */
void text_reader_place(const struct text_reader *reader, uint32_t column, int *fd, uint64_t *offset, uint64_t *n);
/* May the block that came last have this text (in its only column)? By its signature, 8 KB, which lies at
 * text_reader_place of column 1; true for kinds and needles that have none. ERR_CORRUPT, ERR_IO: text_forget is due. */
int text_reader_may_have(struct text_reader *reader, struct str needle, bool *may) MUST_CHECK;
/* Reads a column of it into *block. ERR_CORRUPT, ERR_IO: text_forget is due. */
int text_reader_column(struct text_reader *reader, uint32_t column, struct text_block *block) MUST_CHECK;

/* --- writing --- */

/* One at a time for each account. ERR_STATE: another writes, or the account has what is not durable: its numbers may
 * come to mean other messages. ERR_NO_SPACE, ERR_IO. */
struct text_writer;
int text_writer_open(struct account *account, struct text_writer **out) MUST_CHECK;
/* Appends the block, which stays its owner's. One that continues the last is taken only behind that; of a message whose
 * end does not come, all blocks are cut off again: when another begins, or when the writer is closed. No reader sees them
 * before. ERR_STATE as above, or the block continues nothing; other errors: nothing more can be written. */
int text_writer_add(struct text_writer *writer, const struct text_block *block) MUST_CHECK;
/* Before the account is closed. Accepts NULL. */
void text_writer_close(struct text_writer **writer);

/* --- being rid of it --- */

/* The account's files go, whoever reads them; its next search makes new ones. */
void text_forget(struct account *account);
void text_remove(struct store *store, const struct account_id *id);

/* A slice of looking for text of messages and accounts that are gone: blocks in which much is dead go (all that has any
 * dead, when the store compacts now). Called in idle time; true when there is more to do soon. */
bool text_sweep_step(struct store *store);

/* --- the form on disk, for fuzzing: a record of the index, cut off *rest --- */

struct text_place {
	uint32_t packed, raw;
	uint64_t checksum; /* XXH3 of the packed bytes */
};

/* Of headers and bodies: which three bytes follow each other anywhere in a block, as a bit for each hash of three. A
 * word that no message has mostly has three that the block has not. Behind the columns, as it is. */
#define TEXT_SIGNATURE_BYTES 8192
#define TEXT_SIGNATURE_GRAM  3 /* shorter needles have none */
bool text_has_signature(enum text_kind kind);
void text_signature_make(struct str text, unsigned char signature[TEXT_SIGNATURE_BYTES]);
bool text_signature_may_have(const unsigned char signature[TEXT_SIGNATURE_BYTES], struct str needle);

struct text_record {
	struct str whole;    /* its bytes, with what stands around it */
	struct str messages; /* packed */
	enum text_kind kind;
	bool continued, continues;
	uint32_t n;
	uint64_t offset;
	struct text_place places[TEXT_COLUMNS_MAX];
	uint64_t signature;  /* XXH3 */
};
/* Bytes of the text's file that it names, from its offset on. */
uint64_t text_record_bytes(const struct text_record *record);

/* The message that goes on behind the last record, all of which was there. Begins empty. */
struct text_chain {
	bool open;
	uint64_t number; /* of the message, */
	uint64_t end;    /* and where its next block must stand */
};
/* The next record, and its messages: does the first go on from the record before? */
bool text_chain_next(struct text_chain *chain, const struct text_record *record, const struct text_block *block);
/* ERR_NOT_FOUND: that was all. ERR_CORRUPT. */
int text_record_next(struct str *rest, struct text_record *out) MUST_CHECK;
/* Into block->messages. ERR_CORRUPT. */
int text_record_messages(const struct text_record *record, struct text_block *block) MUST_CHECK;
/* A packed column into *column, which n messages must fit. ERR_CORRUPT. */
int text_column_unpack(struct str packed, const struct text_place *place, uint32_t n,
                       struct text_column *column) MUST_CHECK;
void text_record_encode(const struct text_block *block, uint64_t offset, const struct text_place *places,
                        uint64_t signature, struct buf *out);
int text_column_pack(const struct text_column *column, struct text_place *place, struct buf *out) MUST_CHECK;

#endif
