/* backup_source.c: the store that is backed up. While the server runs, auth and the shards make snapshots in their
 * own folders, which are copied from there, and the shards keep all segments until they are told that the backup is
 * over; while none runs, the snapshots are made here, under the store's lock. The files of the store are only read, and
 * the snapshots removed. A database of which no snapshot can be made (it is damaged, or its shard does not run) is copied
 * as it lies, with what its log has, so that all the rest is saved and a salvage can be made of what was.
 *
 * A shard that was killed meanwhile, and is there again, has forgotten its snapshot and keeps no segments: all are begun
 * anew. So they are where a shard came back while its database was copied as it lay. A shard that is killed when its
 * snapshot was copied does no harm, unless it then removes a segment before that was copied.
 *
 * Order: the directory first, then the shards. An account that was added meanwhile is then in a shard and not in the
 * directory, which harms nobody; one that was removed (or moved to another shard) meanwhile is missing in the shard
 * where the directory says it is: then all is taken once more, so that no account that exists throughout is ever left
 * out. */
#include "proc/ctl/backup.h"

#include "auth/directory.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "db/snapshot.h"
#include "store/store_open.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_ARENA  ((size_t)4 * 1024 * 1024)
#define TRIES         4
#define OFFLINE_SLICE 100000 /* microseconds */
#define CACHE_KB      16384
#define OPEN_WAIT_MS  5000
#define ABSENT_TRIES  4       /* for a shard that is being started, */
#define ALL_TRIES     20      /* and for all of them: the server is being started */
#define ABSENT_NS     500000000
#define CHUNK         ((size_t)256 * 1024)
#define PAGE_BYTES    4096

struct backup_source {
	struct ctl *ctl;
	const char *directory; /* of the store */
	struct store_identity identity;
	bool online, begun;
	int lock;      /* offline */
	char name[64]; /* of this backup, to the shards */
	struct source_part *parts; /* the directory, then the shards; NULL: every snapshot must be made */
};

/* What a shard said last. */
enum part_said {
	SAID_WELL,   /* its snapshot is there, or being made, and it keeps its segments */
	SAID_FAILED, /* it can make none */
	SAID_ANEW,   /* it knows nothing of this backup */
	SAID_NOTHING /* it does not run, or not well */
};

struct source_part {
	enum part_said said;
	bool is_released; /* it said nothing, or anew, once since it was begun: its segments were not held throughout */
	bool as_it_lies;  /* its copy is to be made so, or was */
	bool is_torn;     /* the last changes in its log are not whole; offline */
};

/* --- asking the server --- */

static bool is_member_true(const struct json_value *object, const char *key)
{
	return json_is_true(json_member(object, key));
}

static bool is_lost(enum part_said said)
{
	return said == SAID_ANEW || said == SAID_NOTHING;
}

static int every_is_needed(unsigned shard, enum part_said said, struct buf *problem)
{
	switch (said) {
	case SAID_WELL:
		break;
	case SAID_FAILED:
		return backup_fail(problem, ERR_IO, "index.db of shard %u could not be copied; see the server's log", shard);
	case SAID_ANEW:
		return backup_fail(problem, ERR_STATE, "shard %u was started anew meanwhile; try again", shard);
	case SAID_NOTHING:
		return backup_fail(problem, ERR_UNAVAILABLE,
		                   "shard %u does not answer now; try again, and if it stays so, see the server's log", shard);
	}
	return 0;
}

/* What one shard says. An error where every snapshot must be made, and that of this one is not to be had. */
static int take_part(struct backup_source *source, const struct json_value *answer, bool *more, struct buf *problem)
{
	enum part_said said = is_member_true(answer, "absent") ? SAID_NOTHING
	                      : is_member_true(answer, "anew") ? SAID_ANEW
	                      : is_member_true(answer, "failed") ? SAID_FAILED : SAID_WELL;
	uint64_t shard = json_u64(json_member(answer, "shard"));
	*more |= !is_member_true(answer, "done");
	if (shard >= source->identity.shards)
		return 0;
	if (!source->parts)
		return every_is_needed((unsigned)shard, said, problem);
	source->parts[shard + 1].said = said;
	source->parts[shard + 1].is_released |= is_lost(said);
	return 0;
}

/* *more: not done everywhere. */
static int ask(struct backup_source *source, enum control_command command, const struct str *arguments, uint32_t n,
               bool *more, struct buf *problem)
{
	struct control_request request = { .command = command, .n_arguments = n };
	struct arena arena = ARENA_INIT(ANSWER_ARENA);
	struct json_value *answer;
	struct ctl_reply reply;
	ctl_reply_init(&reply);
	memcpy(request.arguments, arguments, n * sizeof *arguments);
	int result = ctl_request_online(source->ctl, &request, &reply);
	if (result == ERR_NOT_FOUND && reply.result == 0)
		result = backup_fail(problem, ERR_UNAVAILABLE, "the server was stopped");
	else if (result < 0 || reply.result < 0)
		result =
			backup_fail(problem, reply.result < 0 ? reply.result : result, "%.*s", STR_ARG(buf_str(&reply.message)));
	*more = false;
	if (result == 0 && json_parse(buf_str(&reply.json), &arena, &answer) == 0)
		for (const struct json_value *part = answer->kind == JSON_ARRAY ? answer->first : NULL; part && result == 0;
		     part = part->next)
			result = take_part(source, part, more, problem);
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

static int ask_shards(struct backup_source *source, struct str what, bool *more, struct buf *problem)
{
	const struct str arguments[] = { what, str_from_c(source->name) };
	return ask(source, CONTROL_BACKUP, arguments, 2, more, problem);
}

static int ask_directory(struct backup_source *source, struct str what, struct buf *problem)
{
	bool more;
	return ask(source, CONTROL_BACKUP_DIRECTORY, &what, 1, &more, problem);
}

int source_alive(void *owner, struct buf *problem)
{
	struct backup_source *source = owner;
	bool more;
	return source->online && source->begun ? ask_shards(source, STR("keep"), &more, problem) : 0;
}

/* --- opening --- */

static int is_running(struct ctl *ctl, bool *running, struct buf *problem)
{
	struct control_request request = { .command = CONTROL_STATUS };
	struct ctl_reply reply;
	ctl_reply_init(&reply);
	int result = ctl_request_online(ctl, &request, &reply);
	*running = result == 0 && reply.result == 0;
	if (result == ERR_NOT_FOUND && reply.result == 0)
		result = 0;
	else if (!*running)
		result = backup_fail(problem, reply.result ? reply.result : result, "%.*s", STR_ARG(buf_str(&reply.message)));
	ctl_reply_free(&reply);
	return result;
}

int source_open(struct ctl *ctl, struct backup_source **out, struct buf *problem)
{
	struct backup_source *source = mem_alloc(1, sizeof *source);
	*source = (struct backup_source){ .ctl = ctl, .directory = ctl->conf.server.directory.p, .lock = -1 };
	int result = is_running(ctl, &source->online, problem);
	if (result == 0 && !source->online) {
		result = store_folder_lock(source->directory, &source->lock);
		if (result == ERR_UNAVAILABLE)
			(void)backup_fail(problem, result,
			                  "the store in %s is in use, but no server answers at %.*s; is it starting or stopping, or "
			                  "does another mansio command work on it?",
			                  source->directory, STR_ARG(ctl->conf.server.control_socket));
		else if (result == ERR_NOT_FOUND)
			result = backup_fail(problem, ERR_UNAVAILABLE,
			                     "there is no store in %s yet, and no server answers at %.*s; start the server once: mansio "
			                     "serve -c %s",
			                     source->directory, STR_ARG(ctl->conf.server.control_socket), ctl->config_file);
		else if (result < 0)
			(void)backup_fail(problem, result, "cannot lock the store in %s: %s", source->directory, err_text(result));
	}
	if (result == 0 && (result = store_folder_read(source->directory, &source->identity)) < 0)
		(void)backup_fail(problem, result, "cannot read the store in %s: %s; run this as root, or as the user who starts the server",
		                  source->directory, result == ERR_NOT_FOUND ? "there is none" : err_text(result));
	if (result < 0)
		source_close(&source);
	else
		*out = source;
	return result;
}

void source_set_name(struct backup_source *source, const struct repository *repository)
{
	struct stat about = { 0 };
	(void)fstat(repository->mark, &about);
	snprintf(source->name, sizeof source->name, "%" PRIx64 ".%" PRIx64, (uint64_t)about.st_dev, (uint64_t)about.st_ino);
}

const struct store_identity *source_identity(const struct backup_source *source)
{
	return &source->identity;
}

void source_close(struct backup_source **pointer)
{
	struct backup_source *source = *pointer;
	struct buf ignored = BUF_INIT(BACKUP_TEXT_MAX);
	bool more;
	*pointer = NULL;
	if (!source)
		return;
	/* a server that is gone, or was restarted, has removed them itself */
	if (source->begun && source->online && ask_shards(source, STR("end"), &more, &ignored) < 0)
		buf_clear(&ignored);
	if (source->lock >= 0)
		close(source->lock);
	buf_free(&ignored);
	mem_free(source->parts);
	mem_wipe(&source->identity, sizeof source->identity);
	mem_free(source);
}

/* --- files of the store --- */

/* A regular file, not followed through links: what a role put in its folder is not trusted. */
static int open_file(const struct backup_source *source, const char *name, int *out)
{
	char path[BACKUP_PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", source->directory, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_from_errno(errno);
	*out = fd;
	return 0;
}

int source_segment(const struct backup_source *source, uint16_t shard, uint32_t number, int *fd)
{
	char name[128];
	snprintf(name, sizeof name, STORE_FOLDER_SHARDS "/%02u/body/%06u.seg", shard, number);
	return open_file(source, name, fd);
}

struct each_segment {
	source_segment_fn *each;
	void *owner;
};

static int look_at_segment(void *owner, int folder, const char *name)
{
	const struct each_segment *walk = owner;
	struct str rest = str_from_c(name);
	struct stat facts;
	uint64_t number;
	if (str_to_u64(str_cut(&rest, '.'), UINT32_MAX, &number) == 0 && number > 0 && str_eq(rest, STR("seg")) &&
	    fstatat(folder, name, &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(facts.st_mode))
		walk->each(walk->owner, (uint32_t)number, (uint64_t)facts.st_size);
	return 0;
}

int source_each_segment(const struct backup_source *source, uint16_t shard, source_segment_fn *each, void *owner)
{
	char path[BACKUP_PATH_MAX];
	snprintf(path, sizeof path, "%s/" STORE_FOLDER_SHARDS "/%02u/body", source->directory, shard);
	return folder_each(AT_FDCWD, path, look_at_segment, &(struct each_segment){ each, owner });
}

/* Zeros stand for what cannot be read. Of what is not there at all: one page of them, which is no database, where an
 * empty file would be a new one. */
static int copy_bytes(struct backup_source *source, const char *name, int folder, const char *to, struct buf *problem)
{
	struct backup_work work = {
		.alive = source_alive, .owner = source, .alive_ms = clock_monotonic_ms(), .problem = problem
	};
	struct stat facts = { 0 };
	int from = -1, out = openat(folder, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int result = out < 0 ? err_from_errno(errno) : 0;
	if (open_file(source, name, &from) < 0 || fstat(from, &facts) < 0 || !S_ISREG(facts.st_mode) || facts.st_size == 0)
		facts.st_size = PAGE_BYTES;
	char *room = mem_alloc_unset(CHUNK);
	for (uint64_t at = 0, lost, end = (uint64_t)facts.st_size; at < end && result == 0;) {
		size_t n = (size_t)MIN(end - at, (uint64_t)CHUNK);
		(void)!read_or_zeros(from, at, room, n, &lost);
		result = file_write_at(out, at, str_of(room, n));
		if (result == 0)
			result = work_done(&work, n);
		at += n;
	}
	mem_free(room);
	if (from >= 0)
		close(from);
	if (out >= 0)
		close(out);
	return result;
}

/* What the log has is put in its place, as far as SQLite can read the two. */
static int copy_as_it_lies(struct backup_source *source, const char *name, int folder, const char *path, const char *to,
                           struct buf *problem)
{
	const struct db_options options = { .cache_kb = CACHE_KB, .takes_broken_log = true };
	char log[BACKUP_PATH_MAX], copy[BACKUP_PATH_MAX], of_log[BACKUP_NAME_MAX + 8];
	struct db db = { NULL };
	snprintf(log, sizeof log, "%s-wal", name);
	snprintf(of_log, sizeof of_log, "%s-wal", to);
	snprintf(copy, sizeof copy, "%s/%s", path, to);
	buf_clear(problem); /* why there is no snapshot */
	int result = copy_bytes(source, name, folder, to, problem);
	if (result == 0)
		result = copy_bytes(source, log, folder, of_log, problem);
	if (result == 0 && db_open(str_from_c(copy), &options, &db) == 0)
		db_close(&db);
	if (unlinkat(folder, of_log, 0) < 0 && errno != ENOENT && result == 0)
		result = err_from_errno(errno);
	return result < 0 && problem->n == 0
	           ? backup_fail(problem, result, "cannot copy %s/%s: %s", source->directory, name, err_text(result))
	           : result;
}

static int fetch(struct backup_source *source, const char *name, bool is_snapshot, int folder, const char *to,
                 struct buf *problem)
{
	struct backup_work work = {
		.alive = source_alive, .owner = source, .alive_ms = clock_monotonic_ms(), .problem = problem
	};
	uint64_t size, sum;
	int from = -1, result = open_file(source, name, &from);
	if (result < 0)
		return backup_fail(problem, result, "cannot read %s/%s: %m; run this as root, or as the user who starts the server",
		                   source->directory, name);
	result = copy_whole(from, folder, to, &work, &size, &sum);
	close(from);
	if (result == 0 && is_snapshot) {
		char path[BACKUP_PATH_MAX];
		snprintf(path, sizeof path, "%s/%s", source->directory, name);
		unlink(path); /* freeing a large file takes a while, which the server need not wait for */
	}
	return result < 0 && problem->n == 0
	           ? backup_fail(problem, result, "cannot copy %s/%s: %s", source->directory, name, err_text(result))
	           : result;
}

/* Offline: straight into the new generation. */
static int snapshot_here(struct backup_source *source, const char *name, struct source_part *part, const char *folder,
                         const char *to, struct buf *problem)
{
	const struct db_options options = { .cache_kb = CACHE_KB, .busy_timeout_ms = OPEN_WAIT_MS };
	char from[BACKUP_PATH_MAX], path[BACKUP_PATH_MAX];
	struct snapshot *snapshot = NULL;
	struct db db = { NULL };
	bool done = false;
	snprintf(from, sizeof from, "%s/%s", source->directory, name);
	snprintf(path, sizeof path, "%s/%s", folder, to);
	int result = access(from, F_OK) < 0 ? ERR_NOT_FOUND : db_open(str_from_c(from), &options, &db);
	part->is_torn = result == 0 && db.log == WAL_TORN;
	if (result == 0)
		result = snapshot_begin(&db, str_from_c(path), &snapshot);
	while (result == 0 && !done)
		result = snapshot_step(snapshot, OFFLINE_SLICE, true, &done);
	snapshot_free(&snapshot);
	db_close(&db);
	return result < 0 ? backup_fail(problem, result, "cannot copy %s: %s", from, err_text(result)) : 0;
}

/* --- snapshots --- */

/* The errors of a database that is damaged, on a disk that may be. */
static bool is_of_the_database(int err)
{
	return err == ERR_CORRUPT || err == ERR_IO || err == ERR_NOT_FOUND;
}

/* Offline. */
static int take_here(struct backup_source *source, const char *name, int shard, int folder, const char *path,
                     const char *to, struct buf *problem)
{
	int result = snapshot_here(source, name, &source->parts[shard + 1], path, to, problem);
	source->parts[shard + 1].as_it_lies = is_of_the_database(result);
	return source->parts[shard + 1].as_it_lies ? copy_as_it_lies(source, name, folder, path, to, problem) : result;
}

static int take_directory(struct backup_source *source, int folder, const char *path, struct buf *problem)
{
	const char *name = STORE_FOLDER_AUTH "/" DIRECTORY_FILE;
	if (!source->online)
		return take_here(source, name, SOURCE_DIRECTORY, folder, path, BACKUP_DIRECTORY, problem);
	int result = ask_directory(source, STR("begin"), problem);
	source->parts[0].as_it_lies = is_of_the_database(result);
	if (source->parts[0].as_it_lies)
		return copy_as_it_lies(source, name, folder, path, BACKUP_DIRECTORY, problem);
	if (result == 0)
		result = fetch(source, STORE_FOLDER_AUTH "/" DIRECTORY_SNAPSHOT_FILE, true, folder, BACKUP_DIRECTORY, problem);
	return result == 0 ? ask_directory(source, STR("end"), problem) : result;
}

static uint16_t count_lost(const struct backup_source *source)
{
	uint16_t n = 0;
	for (uint16_t i = 0; i < source->identity.shards; i++)
		n += source->parts && is_lost(source->parts[i + 1].said);
	return n;
}

/* Until each shard has made its snapshot, or one is lost (*more: others are still at it). */
static int begin_once(struct backup_source *source, bool *more, struct buf *problem)
{
	for (uint16_t i = 0; source->parts && i < source->identity.shards; i++)
		source->parts[i + 1] = (struct source_part){ 0 };
	int result = ask_shards(source, STR("begin"), more, problem);
	source->begun |= result == 0;
	while (result == 0 && *more && count_lost(source) == 0)
		result = ask_shards(source, STR("wait"), more, problem);
	return result;
}

/* Online: the shards make snapshots in their own folders. One that is being started, or was killed meanwhile, makes it
 * when it is there again, with all others; in the end those that are there make theirs. */
static int begin_shards(struct backup_source *source, struct buf *problem)
{
	bool more = false;
	int result = begin_once(source, &more, problem);
	for (int i = 1; result == 0 && count_lost(source) > 0; i++) {
		if (i >= (count_lost(source) == source->identity.shards ? ALL_TRIES : ABSENT_TRIES))
			break;
		nanosleep(&(struct timespec){ .tv_nsec = ABSENT_NS }, NULL);
		result = begin_once(source, &more, problem);
	}
	while (result == 0 && more)
		result = ask_shards(source, STR("wait"), &more, problem);
	for (uint16_t i = 0; source->parts && i < source->identity.shards; i++)
		source->parts[i + 1].as_it_lies = source->parts[i + 1].said != SAID_WELL;
	return result;
}

/* Are the copies what they are taken for? Not where a snapshot was forgotten while it was copied, nor where a shard came
 * back that was taken for stopped. */
static int look_again(struct backup_source *source, bool *again, struct buf *problem)
{
	int result = source_alive(source, problem);
	for (uint16_t i = 0; i < source->identity.shards && result == 0; i++) {
		const struct source_part *part = &source->parts[i + 1];
		*again |= part->as_it_lies ? part->said == SAID_WELL || part->said == SAID_ANEW : part->is_released;
	}
	return result;
}

/* Out of the shard's snapshot, or as it lies. *again: there is no snapshot, as the shard was started anew. */
static int take_shard(struct backup_source *source, uint16_t shard, int folder, const char *path, bool is_last, bool *again,
                      struct buf *problem)
{
	char name[128], snapshot[128], to[BACKUP_NAME_MAX];
	struct source_part *part = &source->parts[shard + 1];
	snprintf(to, sizeof to, "%02u.db", shard);
	snprintf(name, sizeof name, STORE_FOLDER_SHARDS "/%02u/index.db", shard);
	snprintf(snapshot, sizeof snapshot, STORE_FOLDER_SHARDS "/%02u/" STORE_SNAPSHOT_FILE, shard);
	if (!source->online)
		return take_here(source, name, shard, folder, path, to, problem);
	int result = part->as_it_lies ? 0 : fetch(source, snapshot, true, folder, to, problem);
	if (result == ERR_NOT_FOUND || (part->as_it_lies && part->said == SAID_ANEW)) {
		buf_clear(problem);
		*again = part->as_it_lies = true;
		result = 0;
	}
	return part->as_it_lies && (is_last || !*again) ? copy_as_it_lies(source, name, folder, path, to, problem) : result;
}

/* *again: it must be begun anew. On the last try things are taken, and told, as they are. */
static int take_shards(struct backup_source *source, int folder, const char *path, bool is_last, bool *again,
                       struct buf *problem)
{
	int result = source->online ? begin_shards(source, problem) : 0;
	*again = false;
	for (uint16_t i = 0; i < source->identity.shards && result == 0 && (is_last || !*again); i++)
		result = take_shard(source, i, folder, path, is_last, again, problem);
	if (result == 0 && source->online && !*again)
		result = look_again(source, again, problem);
	*again &= !is_last;
	return result;
}

static int open_snapshot(const char *folder, const char *name, struct db *out)
{
	char path[BACKUP_PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return snapshot_open(str_from_c(path), out);
}

/* --- snapshots that are read where they are, for store check --- */

/* A regular file: what a role put in its folder is not trusted. */
static int source_file(const struct backup_source *source, const char *name, char path[BACKUP_PATH_MAX],
                       struct buf *problem)
{
	struct stat facts;
	int n = snprintf(path, BACKUP_PATH_MAX, "%s/%s", source->directory, name);
	if (n >= BACKUP_PATH_MAX)
		return backup_fail(problem, ERR_LIMIT, "the name of the store's folder is too long");
	if (lstat(path, &facts) < 0)
		return backup_fail(problem, err_from_errno(errno), "cannot read %s: %m; run this as root, or as the user who starts the server",
		                   path);
	return S_ISREG(facts.st_mode) ? 0 : backup_fail(problem, ERR_CORRUPT, "%s is not a file", path);
}

int source_open_directory(struct backup_source *source, struct db *out, struct buf *problem)
{
	char path[BACKUP_PATH_MAX];
	int result = ask_directory(source, STR("begin"), problem);
	if (result < 0)
		return result;
	result = source_file(source, STORE_FOLDER_AUTH "/" DIRECTORY_SNAPSHOT_FILE, path, problem);
	if (result == 0 && (result = snapshot_open(str_from_c(path), out)) < 0)
		result = backup_fail(problem, result, "cannot open %s: %s", path, err_text(result));
	int ended = ask_directory(source, STR("end"), problem);
	if (result == 0 && ended < 0)
		db_close(out);
	return result < 0 ? result : ended;
}

int source_claim_shards(struct backup_source *source, struct buf *problem)
{
	bool more;
	snprintf(source->name, sizeof source->name, "check.%ld", (long)getpid());
	if (!source->online)
		return backup_fail(problem, ERR_UNAVAILABLE, "the server was stopped");
	int result = ask_shards(source, STR("begin"), &more, problem);
	source->begun |= result == 0;
	return result;
}

int source_hold_shards(struct backup_source *source, struct buf *problem)
{
	return begin_shards(source, problem);
}

int source_shard_snapshot(const struct backup_source *source, uint16_t shard, char path[BACKUP_PATH_MAX],
                          char bodies[BACKUP_PATH_MAX], struct buf *problem)
{
	char name[128];
	snprintf(bodies, BACKUP_PATH_MAX, "%s/" STORE_FOLDER_SHARDS "/%02u/body", source->directory, shard);
	snprintf(name, sizeof name, STORE_FOLDER_SHARDS "/%02u/" STORE_SNAPSHOT_FILE, shard);
	return source_file(source, name, path, problem);
}

/* --- snapshots into a folder --- */

/* Accounts of this shard, as the directory has them, that the shard does not have: none where a torn page hides them. */
static uint64_t count_missing(struct db *directory, struct db *index, uint16_t shard)
{
	sqlite3_stmt *accounts = NULL, *find = NULL;
	uint64_t missing = 0;
	int row = db_prepare(directory, "SELECT id FROM account WHERE shard = ?1 AND made = 1", &accounts);
	if (row == 0)
		row = db_prepare(index, "SELECT 1 FROM account WHERE id = ?1 AND removed = 0", &find);
	if (row == 0)
		db_bind_int(accounts, 1, shard);
	while (row >= 0 && accounts && find && (row = db_step(accounts)) == DB_ROW) {
		db_bind_blob(find, 1, db_column_blob(accounts, 0));
		int found = db_step(find);
		db_reset(find);
		missing += found == DB_DONE;
		if (found < 0)
			row = found;
	}
	db_finalize(&accounts);
	db_finalize(&find);
	return row < 0 ? 0 : missing;
}

/* A database that is damaged is told of when the copies are verified. */
static uint64_t find_missing(struct backup_source *source, const char *folder)
{
	struct db directory = { NULL };
	uint64_t missing = 0;
	int result = open_snapshot(folder, BACKUP_DIRECTORY, &directory);
	for (uint16_t i = 0; i < source->identity.shards && result == 0; i++) {
		struct db index = { NULL };
		char name[BACKUP_NAME_MAX];
		snprintf(name, sizeof name, "%02u.db", i);
		if (!source->parts[i + 1].as_it_lies && open_snapshot(folder, name, &index) == 0)
			missing += count_missing(&directory, &index, i);
		db_close(&index);
	}
	db_close(&directory);
	return missing;
}

bool source_is_as_it_lies(const struct backup_source *source, int shard)
{
	return source->parts && source->parts[shard + 1].as_it_lies;
}

bool source_is_torn(const struct backup_source *source, int shard)
{
	return source->parts && source->parts[shard + 1].is_torn;
}

bool source_is_released(struct backup_source *source, uint16_t shard)
{
	struct buf ignored = BUF_INIT(BACKUP_TEXT_MAX);
	bool is_gone = source_alive(source, &ignored) < 0;
	buf_free(&ignored);
	return source->parts && !source->parts[shard + 1].as_it_lies && (is_gone || source->parts[shard + 1].is_released);
}

int source_snapshot(struct backup_source *source, const char *folder, struct buf *problem)
{
	uint64_t missing = 1;
	bool again = true;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
	if (fd < 0)
		return backup_fail(problem, err_from_errno(errno), "cannot open %s: %m", folder);
	source->parts = mem_alloc((size_t)source->identity.shards + 1, sizeof *source->parts);
	/* accounts that are gone meanwhile: after some tries they are taken as they are, and come back empty */
	for (int i = 1; i <= TRIES && (missing > 0 || again) && result == 0; i++) {
		result = take_directory(source, fd, folder, problem);
		if (result == 0)
			result = take_shards(source, fd, folder, i == TRIES, &again, problem);
		if (result == 0 && !again)
			missing = find_missing(source, folder);
	}
	if (result == 0)
		result = fetch(source, "store", false, fd, BACKUP_STORE, problem);
	close(fd);
	return result;
}
