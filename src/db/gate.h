/* gate.h: the commit gate. A reply leaves the process only when what it promises is on disk. Writes gather in a
 * batch:
 *
 *   OPEN       writes run to completion, in one transaction (gate_begin)
 *   SEALED     no sync is in flight and the batch is not empty (gate_turn): bodies are written; a helper syncs the
 *              segments' folder, if one was begun or removed, then the segment, if the batch has bodies. No write
 *              starts meanwhile, reads go on. Skipped when there is neither.
 *   COMMITTED  COMMIT writes the WAL; the next batch is OPEN; a helper syncs the WAL
 *   DURABLE    gate_world.durable: replies of the batch may leave
 *
 * Crash rule: body before metadata before acknowledgement, and the name of a file before what is in it. When the WAL
 * is long, the gate stays closed from COMMIT until the WAL is durable, copies it into the database without syncs,
 * opens, has a helper sync the database, and commits nothing before that returned.
 *
 * A sync that fails is never tried again: gate_world.failed, and the process must end. */
#ifndef DB_GATE_H
#define DB_GATE_H

#include "db/bodylog.h"
#include "db/sqlite.h"

struct gate;

struct gate_world {
	/* file_sync this descriptor elsewhere, then call gate_synced, not before this returned. */
	void (*sync)(void *owner, int fd, bool is_folder);
	/* The batch is being sealed: write what is dirty into the transaction. An error voids the batch. */
	int (*prepare)(void *owner);
	/* The gate was closed and is open again. */
	void (*writable)(void *owner);
	/* All batches up to this one are on disk. */
	void (*durable)(void *owner, uint64_t batch);
	/* The batch was rolled back: nothing of it happened. */
	void (*voided)(void *owner, uint64_t batch, int err);
	/* A sync or a checkpoint failed; nothing can be promised any more. */
	void (*failed)(void *owner, const char *what, int err);
	/* A batch was committed, and no transaction is open: what reads between batches may do a slice of it, while the WAL
	 * is being synced. May not write. NULL: nobody does. */
	void (*committed)(void *owner);
};

struct gate_settings {
	struct str path;          /* of the database, absolute */
	uint64_t checkpoint_size; /* bytes of WAL */
	uint64_t reserve;         /* bytes kept free on the disk: below it no batch begins */
};

/* Before the database at `path` is opened: after a failed sync the page cache may hold what the disk does not, and
 * nobody would know. Syncs the files, which must work, and drops them from the cache, so that what is read is what
 * is on the disk. */
int gate_settle(struct str path) MUST_CHECK;

/* `db` was opened through vfs.h and migrated. Takes descriptors of the database and its WAL that stay open for ever,
 * syncs them and their folder. `bodies` stays the caller's. */
int gate_new(struct db *db, struct bodylog *bodies, const struct gate_settings *settings,
             const struct gate_world *world, void *owner, struct gate **out) MUST_CHECK;
void gate_free(struct gate **gate);

/* True when a write may begin now. */
bool gate_is_open(const struct gate *gate);

/* Before each write: begins the batch's transaction if need be. ERR_UNAVAILABLE when the gate is closed;
 * ERR_NO_SPACE when the disk has less than the reserve and `more` bytes free. *batch: the number to wait for. */
int gate_begin(struct gate *gate, uint64_t more, uint64_t *batch) MUST_CHECK;

/* Would so many bytes leave the reserve free? For what is written outside of batches. */
bool gate_has_room(const struct gate *gate, uint64_t more);
/* Bytes that are free on the disk. False: not known. */
bool gate_free_space(const struct gate *gate, uint64_t *bytes);
uint64_t gate_refusals(const struct gate *gate); /* times that gate_begin found too little space */

/* A write failed half way: rolls the whole batch back (gate_world.voided is called). */
void gate_void(struct gate *gate, int err);

/* At the end of each turn of the loop: seals the batch if nothing is in flight. */
void gate_turn(struct gate *gate);
bool gate_would_seal(const struct gate *gate); /* would gate_turn do so now? */

/* The sync asked for has returned (0 or negative enum err). */
void gate_synced(struct gate *gate, int result);

uint64_t gate_batch(const struct gate *gate); /* number of the open (or sealed) batch */
uint64_t gate_last(const struct gate *gate);  /* number of the last batch that is not empty; 0: none since start */
uint64_t gate_durable(const struct gate *gate);
bool gate_has_batch(const struct gate *gate); /* something was written: the next gate_begin begins no batch, and no segment */
bool gate_is_idle(const struct gate *gate); /* nothing written, nothing in flight */

/* Counters for status: batches and syncs since start. */
uint64_t gate_batches(const struct gate *gate);
uint64_t gate_syncs(const struct gate *gate);
uint64_t gate_checkpoints(const struct gate *gate);
uint64_t gate_wal_bytes(const struct gate *gate); /* written since the last checkpoint */

#endif
