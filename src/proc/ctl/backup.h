/* backup.h: what the files of `mansio backup` and `mansio restore` share.
 *
 *     backup.c             the commands backup, backup list, backup verify
 *     backup_source.c      the store that is backed up: by the running server, or directly while none runs
 *     backup_repository.c  the folder of backups: its lock, its generations, what is no longer needed
 *     backup_manifest.c    what a generation consists of, as JSON
 *     backup_copy.c        files and segments into the folder
 *     backup_verify.c      is a generation what it was when it was made, and is every message in it?
 *     restore_command.c    the command restore
 *     restore.c            a whole store from a generation
 *     restore_account.c    an account, a mailbox or messages from a generation, into the running server
 *
 * The folder:
 *     mansio-backup                     text: format, id of the store; it is also the lock
 *     segments/00/000001.seg            bytes of messages of shard 0, appended, shared by all generations
 *     generations/2026-01-31T12-00-00Z/ manifest.json (written last), store, directory.db, 00.db, 01.db ...
 *     generations/.new/                 one that is being made, or was interrupted
 *
 * Errors: 0 or negative enum err, and a sentence for people in `problem`. */
#ifndef PROC_CTL_BACKUP_H
#define PROC_CTL_BACKUP_H

#include "proc/ctl/ctl_private.h"
#include "proc/ctl/progress.h"
#include "proc/store_folder.h"

#define BACKUP_MARK        "mansio-backup"
#define BACKUP_GENERATIONS "generations"
#define BACKUP_SEGMENTS    "segments"
#define BACKUP_NEW         ".new"
#define BACKUP_MANIFEST    "manifest.json"
#define BACKUP_STORE       "store"
#define BACKUP_DIRECTORY   "directory.db"
#define BACKUP_FORMAT      1

#define BACKUP_NAME_MAX        32
#define BACKUP_PATH_MAX        4096
#define BACKUP_ID_HEX          (2 * STORE_ID_SIZE)
#define BACKUP_PIECE           (UINT64_C(16) * 1024 * 1024) /* of a segment, under one checksum; at most */
#define BACKUP_KEEP            7                            /* generations, when nothing else is said */
#define BACKUP_GENERATIONS_MAX 10000
#define BACKUP_MANIFEST_MAX    ((size_t)512 * 1024 * 1024)
#define BACKUP_TEXT_MAX        65536
#define BACKUP_DAMAGE_MAX      ((size_t)64 * 1024 * 1024)
#define BACKUP_FOUND_MAX       96

/* A file of a generation. */
struct backup_file {
	char name[BACKUP_NAME_MAX];
	uint64_t size, sum; /* XXH3 of all of it */
};

/* The bytes of a segment up to `end`, from the end of the piece before. */
struct backup_piece {
	uint64_t end, sum;
};

struct backup_segment {
	uint16_t shard;
	uint32_t number,
		variant; /* variant: the store went another way once (it was restored): 0 is the file without one */
	uint64_t end;
	struct backup_piece *pieces;
	size_t n_pieces;
};

/* What is not as it should be of a shard. The next backup then compares all bytes of its segments, and looks at all its
 * messages; what is further down the list is the graver doubt, and includes the others. */
enum backup_doubt {
	DOUBT_NONE,
	DOUBT_DAMAGE,      /* something of it was damaged, or could not be read: it may be whole then; or nobody wrote down
	                    * whether it was (manifests of older versions) */
	DOUBT_NO_SNAPSHOT, /* its index was copied as it lay, and may know less than its segments have: a restore needs a
	                    * salvage. Nor are their ends from one moment: bytes below them may have been those of a record
	                    * that was not whole yet */
};

struct backup_manifest {
	char name[BACKUP_NAME_MAX];
	char store[BACKUP_ID_HEX + 1];
	int64_t time; /* seconds since 1970 when it began */
	uint64_t sequence; /* one more than that of the one before: clocks are set back; 0: made before there was one */
	uint16_t shards;
	uint64_t copied; /* bytes that came anew into the folder */
	struct backup_file *files;
	size_t n_files;
	struct backup_segment *segments; /* by shard and number */
	size_t n_segments;
	enum backup_doubt *doubts; /* by shard; NULL: none */
	bool is_directory_doubted; /* directory.db was copied as it lay */
};

/* --- backup_manifest.c --- */
void manifest_free(struct backup_manifest **manifest);
void manifest_add_file(struct backup_manifest *manifest, const char *name, uint64_t size, uint64_t sum);
struct backup_segment *manifest_add_segment(struct backup_manifest *manifest, const struct backup_segment *segment);
void segment_add_piece(struct backup_segment *segment, uint64_t end, uint64_t sum);
const struct backup_file *manifest_file(const struct backup_manifest *manifest, const char *name);
const struct backup_segment *manifest_segment(const struct backup_manifest *manifest, uint16_t shard, uint32_t number);
/* Once `shards` is known; a graver doubt stays. */
void manifest_doubt(struct backup_manifest *manifest, uint16_t shard, enum backup_doubt doubt);
enum backup_doubt manifest_doubt_of(const struct backup_manifest *manifest, uint16_t shard);
/* For a database of the generation, by its name: what is to be told where no snapshot of it could be made; NULL: nothing. */
const char *manifest_doubt_of_file(const struct backup_manifest *manifest, const char *name);
/* Bytes of all that a generation holds. */
uint64_t manifest_bytes(const struct backup_manifest *manifest);
void manifest_print(const struct backup_manifest *manifest, struct buf *out);
/* ERR_CORRUPT: damaged, or not a manifest; ERR_UNSUPPORTED: made by a newer version. */
int manifest_parse(struct str text, struct backup_manifest **out) MUST_CHECK;

/* --- backup_repository.c --- */
struct repository {
	char path[BACKUP_PATH_MAX];
	int folder, mark; /* mark: locked */
	char store[BACKUP_ID_HEX + 1];
	struct backup_manifest **generations; /* the oldest first: by sequence, then by name */
	size_t n_generations;
	char (*unreadable)[BACKUP_NAME_MAX]; /* generations whose manifest cannot be read */
	size_t n_unreadable;
};

/* For writing: made when missing, and its own alone; store: id of the store that is backed up. For reading: store is
 * NULL. */
int repository_open(const char *path, const char *store, struct repository *out, struct buf *problem) MUST_CHECK;
void repository_close(struct repository *repository);
/* The generation that `at` means: "latest" or empty, a name, or the newest that is not after a time like 2026-01-31 or
 * 2026-01-31T12:00 (UTC). ERR_NOT_FOUND, ERR_CORRUPT (its manifest cannot be read), or ERR_SYNTAX where there is no such day
 * or time; and a problem. warning: a sentence where a newer one was passed over, as its manifest cannot be read. */
int repository_find(const struct repository *repository, struct str at, const struct backup_manifest **out,
                    struct buf *warning, struct buf *problem) MUST_CHECK;
/* Is there a generation of that name? */
bool repository_has(const struct repository *repository, const char *name);
/* The generation with the latest time, when that is later than `now` by more than a day, else NULL: a clock was wrong
 * when it was made, or is now. */
const struct backup_manifest *repository_ahead(const struct repository *repository, int64_t now);
/* An empty folder for a new generation. */
int repository_begin(const struct repository *repository, struct buf *problem) MUST_CHECK;
/* It is whole: its manifest is written, and it gets its name. Everything is on disk then. */
int repository_commit(struct repository *repository, struct backup_manifest **manifest, struct buf *problem) MUST_CHECK;
/* Removes all but the newest `keep`, then the segments that none of these needs. */
int repository_prune(struct repository *repository, uint64_t keep, uint64_t *removed, struct buf *problem) MUST_CHECK;
void segment_path(const struct backup_segment *segment, char out[BACKUP_NAME_MAX * 2]);
/* generations/NAME/FILE, in the folder. */
void generation_path(const char *name, const char *file, char out[BACKUP_NAME_MAX * 4]);
/* Calls each for every name in the folder `name` below `parent`, . and .. aside; stops at an error. No link is followed. */
int folder_each(int parent, const char *name, int (*each)(void *owner, int folder, const char *name),
                void *owner) MUST_CHECK;
/* To the end of the problem: what, and which error. Returns err. */
int backup_fail(struct buf *problem, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));
void print_sum(uint64_t sum, char out[17]);

/* --- backup_copy.c --- */

/* Told of every piece of work: the line on the terminal, and a sign of life for the server now and then. */
struct backup_work {
	struct progress progress;
	uint64_t bytes, items;
	int (*alive)(void *owner, struct buf *problem); /* NULL: nobody waits */
	void *owner;
	uint64_t alive_ms; /* when it was called last */
	struct buf *problem;
};
int work_done(struct backup_work *work, uint64_t bytes) MUST_CHECK;

/* The whole file `from` into folder/name, mode 0600, synced. */
int copy_whole(int from, int folder, const char *name, struct backup_work *work, uint64_t *size,
               uint64_t *sum) MUST_CHECK;
/* A file that is there already: its size and sum, synced. */
int sum_whole(int folder, const char *name, struct backup_work *work, uint64_t *size, uint64_t *sum) MUST_CHECK;
/* Bytes of a file from `at` on; zeros for what cannot be read (from -1: nothing), by sectors, so that all behind it stays
 * in its place. False: some could not, *lost is the offset of the first. */
bool read_or_zeros(int from, uint64_t at, char *to, size_t n, uint64_t *lost) MUST_CHECK;
struct segment_copied {
	uint64_t written; /* bytes that were not there (an interrupted run may have left some) */
	bool damaged;     /* some could not be read: zeros stand in their place, from `lost` on */
	uint64_t lost;
};
/* Appends to the segment's file what `from` (-1: it cannot be opened) has beyond its pieces, up to `end`. */
int copy_segment(const struct repository *repository, int from, uint64_t end, struct backup_segment *segment,
                 struct backup_work *work, struct segment_copied *out) MUST_CHECK;
/* Is what the folder has of it also in `from`? The last bytes tell; with `all` (what is known is doubted) every one is
 * compared. Where `from` has lost some (*lost) it is not another. */
int segment_continues(const struct repository *repository, int from, const struct backup_segment *known, bool all,
                      struct backup_work *work, bool *continues, bool *lost) MUST_CHECK;

/* --- backup_source.c --- */
struct backup_source;
/* The store of the configuration: through the running server, else directly, under its lock. */
int source_open(struct ctl *ctl, struct backup_source **out, struct buf *problem) MUST_CHECK;
/* Into which folder, which is locked: a run that was killed holds up none that comes after it. */
void source_set_name(struct backup_source *source, const struct repository *repository);
const struct store_identity *source_identity(const struct backup_source *source);
/* The snapshots into folder (a path), as directory.db, 00.db ...; from now until source_close segments stay. A database of
 * which no snapshot can be made is copied as it lies. */
int source_snapshot(struct backup_source *source, const char *folder, struct buf *problem) MUST_CHECK;
/* Was it copied as it lies? That of a shard, or of SOURCE_DIRECTORY. */
#define SOURCE_DIRECTORY (-1)
bool source_is_as_it_lies(const struct backup_source *source, int shard);
/* Of a server that is stopped: are the last changes in its log not whole (WAL_TORN, db/wal.h)? They are not in the copy. */
bool source_is_torn(const struct backup_source *source, int shard);
/* The segments' files that a shard has now, in no order. ERR_NOT_FOUND: no folder. */
typedef void source_segment_fn(void *owner, uint32_t number, uint64_t size);
int source_each_segment(const struct backup_source *source, uint16_t shard, source_segment_fn *each, void *owner) MUST_CHECK;
/* ERR_NOT_FOUND: it is gone. */
int source_segment(const struct backup_source *source, uint16_t shard, uint32_t number, int *fd) MUST_CHECK;
int source_alive(void *source, struct buf *problem) MUST_CHECK;
/* Was a shard, of which a snapshot was made, stopped since, so that segments may be gone? The server is asked. */
bool source_is_released(struct backup_source *source, uint16_t shard);
/* For store check, while the server runs: snapshots that are read where they are, in this order. From the claim on no
 * other check and no backup begins; it fails while one is under way. */
int source_claim_shards(struct backup_source *source, struct buf *problem) MUST_CHECK;
/* The directory's is open when it returns, and closed by db_close. */
struct db;
int source_open_directory(struct backup_source *source, struct db *out, struct buf *problem) MUST_CHECK;
/* The shards make theirs anew, and keep them and all segments until source_close. */
int source_hold_shards(struct backup_source *source, struct buf *problem) MUST_CHECK;
/* Where a shard's is, and its segments. */
int source_shard_snapshot(const struct backup_source *source, uint16_t shard, char path[BACKUP_PATH_MAX],
                          char bodies[BACKUP_PATH_MAX], struct buf *problem) MUST_CHECK;
/* Tells the server that its snapshots are no longer needed. Accepts NULL. */
void source_close(struct backup_source **source);

/* --- backup_verify.c --- */
struct backup_damage {
	const char *file;   /* in the folder of backups; NULL: the place is not known */
	uint64_t offset;    /* about where */
	struct str account; /* id in hexadecimal; empty: no message's */
	uint64_t message;
	struct str mailbox; /* where the message was; empty: not known, or it is no message's */
	uint32_t uid;       /* 0: the mailbox itself is damaged */
	const char *problem;
};
typedef void backup_damage_fn(void *owner, const struct backup_damage *damage);

struct verify {
	const struct repository *repository;
	const struct backup_manifest *manifest, *since; /* since: messages whose bytes it had are left out; NULL: none */
	struct backup_work *work;
	backup_damage_fn *damage;
	void *owner;
	const char *store; /* folder of a store that was restored: its segments are read; NULL: those of the backup */
	uint64_t messages; /* that were looked at */
};
/* Is it a database of ours (a path: index.db, or the directory) in which SQLite's own check finds no fault? Reads all of it:
 * about 2 s of CPU for a GB. */
bool verify_database(const char *path, bool is_directory) MUST_CHECK;
/* Checksums of all files and pieces, and the databases' own checks. */
int verify_files(struct verify *verify) MUST_CHECK;
/* The record whose body begins there: NULL and the checksum of its body, or what is wrong with it. room:
 * BODYLOG_HEADER_MAX bytes. */
const char *verify_record(int fd, uint64_t offset, uint64_t size, uint64_t message, struct str account, char *room,
                          uint64_t *sum);
/* Each message's record, where its row says, with the bytes that came in. `database`: path of the shard's index.db. */
int verify_messages(struct verify *verify, uint16_t shard, const char *database) MUST_CHECK;

/* --- backup.c --- */

/* Damage, told at once, and gathered for --json. */
struct backup_found {
	const struct ctl *ctl;
	struct backup_work *work; /* whose line on the terminal makes room; NULL: none */
	uint64_t damaged, pieces; /* messages; and apart from them files, pieces of files, databases and what is in them */
	struct buf json; /* an array that is open */
};
backup_damage_fn backup_on_damage; /* owner: the struct */
/* "all as they were", or "damaged: 1 message, 2 pieces of files". */
void backup_print_found(const struct backup_found *found, char out[BACKUP_FOUND_MAX]);
/* The members damaged, damaged_pieces and damage of an object. */
void backup_json_found(const struct backup_found *found, struct buf *out);

#endif
