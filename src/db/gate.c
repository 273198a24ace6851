/* gate.c: the commit gate (see gate.h for the states). Owned by the store; the helper that syncs is the owner's. One
 * sync is in flight at a time.
 *
 * Invariants: 1. COMMIT happens only when no sync is in flight. 2. durable <= batch - 1, and grows only when the
 * WAL's sync returned. 3. The elision of syncs is on only inside checkpoint(), where every WAL frame is durable
 * because nothing was committed since. */
#include "db/gate.h"

#include "base/file.h"
#include "base/mem.h"
#include "db/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum gate_state {
	GATE_OPEN,
	GATE_SEALED,     /* the segments' folder or bodies are being synced */
	GATE_CHECKPOINT, /* the WAL is being synced, to be copied then */
	GATE_FAILED,     /* for ever: the owner was told and ends; no later sync may make up for the one that failed */
};

enum gate_flight { FLIGHT_NONE, FLIGHT_FOLDER, FLIGHT_BODIES, FLIGHT_WAL, FLIGHT_DATABASE };

struct gate {
	struct db *db;
	struct bodylog *bodies;
	const struct gate_world *world;
	void *owner;
	enum gate_state state;
	enum gate_flight flight;
	bool dirty;              /* the open batch has a transaction */
	int prepared;            /* result of world->prepare of the sealed batch */
	uint64_t batch, durable; /* number of the open batch; of the last one on disk */
	uint64_t last;           /* that was committed */
	uint32_t segment;        /* committed end of the bodies, to rewind to */
	uint64_t segment_end;
	int database_fd, wal_fd;
	uint64_t checkpoint_size, reserve;
	int wal_frames;          /* since the last checkpoint, as SQLite told at COMMIT */
	uint32_t page_size;
	uint64_t batches, syncs, checkpoints, refusals;
};

static int note_wal_size(void *owner, sqlite3 *handle, const char *database, int frames)
{
	struct gate *gate = owner;
	gate->wal_frames = frames;
	return SQLITE_OK;
}

static int open_and_settle(struct str path, const char *suffix, int *out)
{
	struct buf name = BUF_INIT(4096);
	buf_add(&name, path);
	buf_add(&name, str_from_c(suffix));
	buf_add_byte(&name, '\0');
	int fd = name.failed ? -1 : open(name.p, O_RDWR | O_CLOEXEC);
	int result = fd < 0 ? err_from_errno(errno) : 0;
	buf_free(&name);
	if (result == 0 && fdatasync(fd) < 0)
		result = ERR_IO;
	*out = fd;
	return result;
}

/* A file that is not there yet has nothing to settle. */
static int settle(struct str path, const char *suffix)
{
	int fd, result = open_and_settle(path, suffix, &fd);
	if (result == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
		result = ERR_IO;
	if (fd >= 0)
		close(fd);
	return result == ERR_NOT_FOUND ? 0 : result;
}

int gate_settle(struct str path)
{
	int result = settle(path, "");
	return result == 0 ? settle(path, "-wal") : result;
}

static int sync_folder(struct str path)
{
	char *folder = mem_copy(path), *slash = strrchr(folder, '/');
	int result = ERR_NOT_FOUND;
	if (slash && slash != folder) {
		*slash = '\0';
		result = file_sync_folder(AT_FDCWD, folder);
	}
	mem_free(folder);
	return result;
}

int gate_new(struct db *db, struct bodylog *bodies, const struct gate_settings *settings,
             const struct gate_world *world, void *owner, struct gate **out)
{
	struct gate *gate = mem_alloc(1, sizeof *gate);
	int64_t page_size = 0;
	*gate = (struct gate){ .db = db, .bodies = bodies, .world = world, .owner = owner, .batch = 1, .database_fd = -1,
		               .wal_fd = -1, .checkpoint_size = settings->checkpoint_size, .reserve = settings->reserve };
	int result = db_query_int(db, "PRAGMA page_size", &page_size);
	if (result == 0)
		result = open_and_settle(settings->path, "", &gate->database_fd);
	if (result == 0)
		result = open_and_settle(settings->path, "-wal", &gate->wal_fd);
	if (result == 0)
		result = sync_folder(settings->path);
	if (result < 0) {
		gate_free(&gate);
		return result;
	}
	gate->page_size = (uint32_t)page_size;
	bodylog_position(bodies, &gate->segment, &gate->segment_end);
	sqlite3_wal_hook(db->handle, note_wal_size, gate);
	*out = gate;
	return 0;
}

void gate_free(struct gate **pointer)
{
	struct gate *gate = *pointer;
	*pointer = NULL;
	if (!gate)
		return;
	if (gate->db->handle)
		sqlite3_wal_hook(gate->db->handle, NULL, NULL);
	if (gate->database_fd >= 0)
		close(gate->database_fd);
	if (gate->wal_fd >= 0)
		close(gate->wal_fd);
	mem_free(gate);
}

bool gate_is_open(const struct gate *gate)
{
	return gate->state == GATE_OPEN;
}

bool gate_has_batch(const struct gate *gate)
{
	return gate->dirty;
}

bool gate_is_idle(const struct gate *gate)
{
	return gate->state == GATE_OPEN && gate->flight == FLIGHT_NONE && !gate->dirty;
}

bool gate_would_seal(const struct gate *gate)
{
	return gate->state == GATE_OPEN && gate->flight == FLIGHT_NONE && gate->dirty;
}

uint64_t gate_batch(const struct gate *gate)
{
	return gate->batch;
}

uint64_t gate_last(const struct gate *gate)
{
	return gate->dirty ? gate->batch : gate->last;
}

uint64_t gate_durable(const struct gate *gate)
{
	return gate->durable;
}

uint64_t gate_batches(const struct gate *gate)
{
	return gate->batches;
}

uint64_t gate_syncs(const struct gate *gate)
{
	return gate->syncs;
}

uint64_t gate_checkpoints(const struct gate *gate)
{
	return gate->checkpoints;
}

uint64_t gate_wal_bytes(const struct gate *gate)
{
	return (uint64_t)gate->wal_frames * gate->page_size;
}

static void fail(struct gate *gate, const char *what, int err)
{
	gate->state = GATE_FAILED;
	gate->world->failed(gate->owner, what, err);
}

bool gate_free_space(const struct gate *gate, uint64_t *bytes)
{
	struct statvfs disk;
	if (fstatvfs(gate->database_fd, &disk) < 0)
		return false;
	*bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	return true;
}

bool gate_has_room(const struct gate *gate, uint64_t more)
{
	uint64_t bytes;
	return !gate_free_space(gate, &bytes) || bytes >= gate->reserve + more; /* not known: the write itself will tell */
}

uint64_t gate_refusals(const struct gate *gate)
{
	return gate->refusals;
}

int gate_begin(struct gate *gate, uint64_t more, uint64_t *batch)
{
	if (gate->state != GATE_OPEN)
		return ERR_UNAVAILABLE;
	/* Looked at once per batch, and again for what would make a difference. */
	if ((!gate->dirty || more > BODYLOG_BUFFER_MAX) && !gate_has_room(gate, more)) {
		gate->refusals++;
		return ERR_NO_SPACE;
	}
	if (gate->dirty && !db_in_transaction(gate->db)) {
		gate_void(gate, ERR_IO); /* SQLite rolled back by itself when a read failed */
		return ERR_UNAVAILABLE;
	}
	if (!gate->dirty) {
		int result = bodylog_roll(gate->bodies);
		if (result == 0)
			result = db_begin(gate->db);
		if (result < 0)
			return result;
		gate->dirty = true;
	}
	*batch = gate->batch;
	return 0;
}

void gate_void(struct gate *gate, int err)
{
	if (gate->state == GATE_FAILED)
		return;
	uint64_t batch = gate->batch++;
	db_rollback(gate->db);
	if (err == ERR_CORRUPT)
		db_be_careful(gate->db); /* else whoever reads that page again voids the next batch */
	bodylog_rewind(gate->bodies, gate->segment, gate->segment_end);
	gate->dirty = false;
	gate->state = GATE_OPEN;
	gate->world->voided(gate->owner, batch, err);
}

static void ask_sync(struct gate *gate, enum gate_flight flight, int fd)
{
	gate->flight = flight;
	gate->syncs++;
	gate->world->sync(gate->owner, fd, flight == FLIGHT_FOLDER);
}

static void commit(struct gate *gate)
{
	int result = gate->prepared;
	if (result == 0)
		result = db_in_transaction(gate->db) ? db_commit(gate->db) : ERR_IO;
	/* A WAL that begins anew is synced by SQLite itself, within COMMIT. */
	if (result < 0 && sqlite3_extended_errcode(gate->db->handle) == SQLITE_IOERR_FSYNC) {
		fail(gate, "fdatasync of the write-ahead log's beginning", result);
		return;
	}
	if (result < 0) {
		gate_void(gate, result);
		return;
	}
	bodylog_position(gate->bodies, &gate->segment, &gate->segment_end);
	gate->dirty = false;
	gate->last = gate->batch++;
	gate->batches++;
	bool long_wal = (uint64_t)gate->wal_frames * gate->page_size >= gate->checkpoint_size;
	gate->state = long_wal ? GATE_CHECKPOINT : GATE_OPEN;
	ask_sync(gate, FLIGHT_WAL, gate->wal_fd);
	if (gate->world->committed)
		gate->world->committed(gate->owner);
}

/* What must be on disk before the COMMIT of what points there, the folder first. False: all is. */
static bool sync_bodies(struct gate *gate)
{
	if (bodylog_folder_needs_sync(gate->bodies))
		ask_sync(gate, FLIGHT_FOLDER, bodylog_folder_fd(gate->bodies));
	else if (bodylog_needs_sync(gate->bodies))
		ask_sync(gate, FLIGHT_BODIES, bodylog_sync_fd(gate->bodies));
	else
		return false;
	return true;
}

static void seal(struct gate *gate)
{
	/* Without its transaction, which SQLite ends by itself when a read fails, what prepare writes would be committed
	 * at once. */
	int result = db_in_transaction(gate->db) ? bodylog_flush(gate->bodies) : ERR_IO;
	if (result < 0) {
		gate_void(gate, result);
		return;
	}
	gate->state = GATE_SEALED;
	bool waits = sync_bodies(gate);
	gate->prepared = gate->world->prepare(gate->owner); /* while the helper waits for the disk */
	if (!waits)
		commit(gate);
}

void gate_turn(struct gate *gate)
{
	if (gate_would_seal(gate))
		seal(gate);
}

/* Every frame is durable and no transaction is open: copies the WAL into the database, without syncs; the next
 * COMMIT, which may overwrite the WAL from its start, waits for the database's sync. */
static void checkpoint(struct gate *gate)
{
	gate->checkpoints++;
	int copied = 0, total = 0;
	vfs_elide_syncs(true);
	int result =
		db_error(sqlite3_wal_checkpoint_v2(gate->db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, &total, &copied));
	vfs_elide_syncs(false);
	gate->state = GATE_OPEN;
	if (result == ERR_NO_SPACE || result == ERR_UNAVAILABLE)
		return; /* disk full, or a statement still reads: SQLite counts nothing as copied, and the next batch tries again */
	if (result < 0) {
		fail(gate, "checkpoint", result);
		return;
	}
	gate->wal_frames = 0;
	ask_sync(gate, FLIGHT_DATABASE, gate->database_fd);
}

static const char *flight_name(enum gate_flight flight)
{
	switch (flight) {
	case FLIGHT_NONE:
		return "nothing";
	case FLIGHT_FOLDER:
		return "fsync of the segments' folder";
	case FLIGHT_BODIES:
		return "fdatasync of a segment";
	case FLIGHT_WAL:
		return "fdatasync of the write-ahead log";
	case FLIGHT_DATABASE:
		return "fdatasync of the database";
	}
	return "";
}

void gate_synced(struct gate *gate, int result)
{
	enum gate_flight flight = gate->flight;
	bool was_open = gate->state == GATE_OPEN;
	gate->flight = FLIGHT_NONE;
	if (result < 0) {
		fail(gate, flight_name(flight), result);
		return;
	}
	switch (flight) {
	case FLIGHT_NONE:
	case FLIGHT_DATABASE:
		break;
	case FLIGHT_FOLDER:
		bodylog_folder_synced(gate->bodies);
		if (!sync_bodies(gate))
			commit(gate);
		break;
	case FLIGHT_BODIES:
		bodylog_synced(gate->bodies);
		commit(gate);
		break;
	case FLIGHT_WAL:
		gate->durable = gate->batch - 1;
		gate->world->durable(gate->owner, gate->durable);
		if (gate->state == GATE_CHECKPOINT)
			checkpoint(gate);
		break;
	}
	if (!was_open && gate->state == GATE_OPEN)
		gate->world->writable(gate->owner);
}
