/* text_private.h: between the files of search text: text_file.c and text_sweep.c. */
#ifndef STORE_TEXT_PRIVATE_H
#define STORE_TEXT_PRIVATE_H

#include "store/text.h"

#define TEXT_NAME_MAX     48         /* 32 digits, a suffix */
#define TEXT_INDEX_MAGIC  0x3149544d /* "MTI1" */
#define TEXT_INDEX_HEADER 24         /* magic, version, account */

int text_folder(const struct store *store, bool make); /* a descriptor, or -1 */
void text_name(const struct account_id *id, const char *suffix, char out[TEXT_NAME_MAX]);
void text_index_begin(const struct account_id *id, struct buf *out);
/* Does the block name messages that were never given a number, of which `next` is the next one? An older index.db was
 * put beside files of a later time: they are not of its messages. */
bool text_is_of_future(const struct text_block *block, uint64_t next);
int text_index_read(int folder, const struct account_id *id, struct buf *index, struct str *records) MUST_CHECK;
/* Of the records those up to the last behind which no message goes on: what is behind it is being written, was broken
 * off, or is damaged. *text_end: where their text ends. */
struct str text_index_whole(struct str records, uint64_t *text_end);

#endif
