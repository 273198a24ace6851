/* store_folder.h: what lies in server.directory, and whose it is. The supervisor makes it at the first start; the
 * command line reads and locks it when no server runs.
 *
 *     store            text: format, id, secret, number of shards          supervisor  0600
 *     lock             flock(2) by the one server (or offline command)     supervisor  0600
 *     auth/            directory.db: domains, accounts, aliases            user        0700
 *     shards/00/ …     one folder a shard                                  user        0700
 *     spool/           unnamed temporary files of smtp                     network user 0700
 *     run/             control.sock                                        supervisor  0755
 *     restore.unfinished  a whole restore began there (proc/ctl/restore_folder.c): without "store" this is no store, and
 *                      not to become one by a start; beside "store" it means nothing */
#ifndef PROC_STORE_FOLDER_H
#define PROC_STORE_FOLDER_H

#include "base/err.h"
#include "ipc/supervisor.h"

#define STORE_FOLDER_AUTH   "auth"
#define STORE_FOLDER_SHARDS "shards" /* then "/%02u" */
#define STORE_FOLDER_SPOOL  "spool"
#define STORE_FOLDER_RUN    "run"
#define STORE_FOLDER_UNFINISHED "restore.unfinished"

#define STORE_ID_SIZE 16

struct store_identity {
	unsigned char id[STORE_ID_SIZE];
	unsigned char secret[STORE_SECRET_SIZE];
	uint16_t shards;
};

/* Who owns what; used only by root, else all belongs to the one who runs it. */
struct store_owners {
	uint32_t user, group, network_user, network_group;
};

/* The user and its own group; `otherwise`, and false, for both when the system has no such user. A NUL follows the name. */
bool store_owner_find(struct str name, uint64_t otherwise, uint32_t *user, uint32_t *group);

/* What is wrong with these owners though the server would start: static text, or NULL. */
const char *store_owners_warning(const struct store_owners *owners);

/* Takes the store's lock; *fd holds it until closed. ERR_UNAVAILABLE: a server (or command) has it. ERR_NOT_FOUND:
 * no such folder. */
int store_folder_lock(const char *directory, int *fd) MUST_CHECK;

/* Reads the file "store". ERR_NOT_FOUND: there is none yet; ERR_CORRUPT: not ours or damaged; ERR_UNSUPPORTED: newer
 * format. */
int store_folder_read(const char *directory, struct store_identity *out) MUST_CHECK;

/* The text of that file, for store_folder_read and tests. */
int store_identity_parse(struct str text, struct store_identity *out) MUST_CHECK;

/* Makes the folder itself (and its parents), so that it can be locked. */
int store_folder_make(const char *directory) MUST_CHECK;

/* Makes what is missing in it, with a new identity of so many shards when there is no file "store" yet, and
 * everything on disk when it returns. ERR_CORRUPT: there are shards but no (good) file "store"; ERR_STATE: none because
 * a restore into it did not end. */
int store_folder_fill(const char *directory, uint16_t shards, const struct store_owners *owners,
                      struct store_identity *out) MUST_CHECK;

#endif
