/* damage.h: how `mansio store check` says where damage is, in its answer and in the log. */
#ifndef PROC_DAMAGE_H
#define PROC_DAMAGE_H

#include "base/buf.h"
#include "store/store_open.h"

#define DAMAGE_FILE_MAX    64
#define DAMAGE_ACCOUNT_MAX (2 * ACCOUNT_ID_SIZE + 1)

/* The file, in the store's folder: "shards/00/body/000001.seg", or the shard's "shards/00/index.db". */
void damage_file(uint16_t shard, const struct check_damage *damage, char out[DAMAGE_FILE_MAX]);

/* The account's id in hexadecimal digits; empty: of no account. */
void damage_account(const struct check_damage *damage, char out[DAMAGE_ACCOUNT_MAX]);

/* One object. */
void damage_print(const char *file, const struct check_damage *damage, struct buf *json);

#endif
