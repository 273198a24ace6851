/* backup_verify.c: is a generation what it was when it was made? Files and segments against the checksums of the
 * manifest, the databases by SQLite's own check, and each message: its record stands where its row says, names it, and
 * has the bytes that came in. Only reads. Damage is told, one by one, and never ends the reading. */
#include "proc/ctl/backup.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/bodylog.h"
#include "db/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#define CHUNK       ((size_t)256 * 1024)
#define KEY_SHIFT   40 /* store/schema.sql: account << 40 | number of the message */
#define NUMBER_MASK ((UINT64_C(1) << KEY_SHIFT) - 1)

static void tell(struct verify *verify, const char *file, uint64_t offset, const char *problem)
{
	verify->damage(verify->owner, &(struct backup_damage){ .file = file, .offset = offset, .problem = problem });
}

/* --- files --- */

/* Exactly n bytes from `at` into the sum; false: not so many are there. */
static bool sum_range(int fd, uint64_t at, uint64_t end, char *room, struct backup_work *work, uint64_t *sum,
                      int *failed)
{
	struct body_sum *state = body_sum_new();
	while (at < end && *failed == 0) {
		struct str piece = str_of(room, (size_t)MIN(end - at, (uint64_t)CHUNK));
		if (file_read_exactly(fd, at, room, piece.n) < 0)
			break;
		body_sum_add(state, piece);
		at += piece.n;
		*failed = work_done(work, piece.n);
	}
	*sum = body_sum_end(&state);
	return at == end;
}

static int verify_segment(struct verify *verify, const struct backup_segment *segment, char *room)
{
	char path[BACKUP_NAME_MAX * 2];
	uint64_t from = 0;
	int failed = 0;
	segment_path(segment, path);
	int fd = openat(verify->repository->folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && segment->n_pieces > 0)
		tell(verify, path, 0, errno == ENOENT ? "the file is missing" : "the file cannot be read");
	for (size_t i = 0; fd >= 0 && i < segment->n_pieces && failed == 0; i++) {
		const struct backup_piece *piece = &segment->pieces[i];
		uint64_t sum;
		bool whole = sum_range(fd, from, piece->end, room, verify->work, &sum, &failed);
		if (failed == 0 && !whole)
			tell(verify, path, from, "the file ends too early, or cannot be read from here on");
		else if (failed == 0 && sum != piece->sum)
			tell(verify, path, from, "bytes have changed, here or in the 16 MB behind");
		from = piece->end;
	}
	if (fd >= 0)
		close(fd);
	return failed;
}

/* Garbage may be an empty database, which has no fault. */
bool verify_database(const char *path, bool is_directory)
{
	struct db db = { NULL };
	sqlite3_stmt *check = NULL, *tables = NULL;
	int result = snapshot_open(str_from_c(path), &db);
	if (result == 0)
		result = db_prepare(&db, is_directory ? "SELECT 1 FROM account, address" : "SELECT 1 FROM account, message, segment",
		                    &tables);
	if (result == 0)
		result = db_prepare(&db, "PRAGMA integrity_check(1)", &check);
	bool whole = result == 0 && db_step(check) == DB_ROW && str_eq(db_column_text(check, 0), STR("ok"));
	db_finalize(&tables);
	db_finalize(&check);
	db_close(&db);
	return whole;
}

static void check_database(struct verify *verify, const char *name, const char *path)
{
	char whole[BACKUP_PATH_MAX];
	snprintf(whole, sizeof whole, "%.3000s/%s", verify->repository->path, path);
	const char *doubt = manifest_doubt_of_file(verify->manifest, name);
	if (!verify_database(whole, strcmp(name, BACKUP_DIRECTORY) == 0))
		tell(verify, path, 0, "this database is damaged");
	else if (doubt)
		tell(verify, path, 0, doubt);
}

static int verify_file(struct verify *verify, const struct backup_file *file, char *room)
{
	char path[BACKUP_NAME_MAX * 4];
	uint64_t sum;
	int failed = 0;
	generation_path(verify->manifest->name, file->name, path);
	int fd = openat(verify->repository->folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool whole = fd >= 0 && sum_range(fd, 0, file->size, room, verify->work, &sum, &failed);
	off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
	if (fd >= 0)
		close(fd);
	if (failed < 0)
		return failed;
	if (!whole || (uint64_t)size != file->size)
		tell(verify, path, 0,
		     fd < 0 ? "the file is missing, or cannot be read" : "the file has not the size that it had");
	else if (sum != file->sum)
		tell(verify, path, 0, "bytes have changed");
	else if (str_ends(str_from_c(file->name), STR(".db")))
		check_database(verify, file->name, path);
	return 0;
}

int verify_files(struct verify *verify)
{
	const struct backup_manifest *manifest = verify->manifest;
	char *room = mem_alloc_unset(CHUNK);
	int result = 0;
	for (size_t i = 0; i < manifest->n_files && result == 0; i++)
		result = verify_file(verify, &manifest->files[i], room);
	for (size_t i = 0; i < manifest->n_segments && result == 0; i++)
		result = verify_segment(verify, &manifest->segments[i], room);
	mem_free(room);
	return result;
}

/* --- messages --- */

/* The walk over a shard's messages in the order of their bytes. */
struct walk {
	struct verify *verify;
	uint16_t shard;
	const struct backup_segment *segment; /* that is open */
	uint64_t known;                       /* up to here an earlier generation has seen to it */
	char path[BACKUP_NAME_MAX * 2];
	int fd;
	char *room;
};

struct place {
	uint64_t message;
	struct str account; /* id */
	uint32_t segment;
	uint64_t offset, size;
};

static void tell_message(struct walk *walk, const struct place *place, const char *problem)
{
	char id[2 * ACCOUNT_ID_SIZE + 1] = "";
	for (size_t i = 0; i < MIN(place->account.n, (size_t)ACCOUNT_ID_SIZE); i++)
		snprintf(id + 2 * i, 3, "%02x", (unsigned char)place->account.p[i]);
	walk->verify->damage(walk->verify->owner, &(struct backup_damage){ .file = walk->path,
	                                                                   .offset = place->offset,
	                                                                   .account = str_from_c(id),
	                                                                   .message = place->message,
	                                                                   .problem = problem });
}

static void open_segment(struct walk *walk, uint32_t number)
{
	struct verify *verify = walk->verify;
	if (walk->segment && walk->segment->number == number)
		return;
	if (walk->fd >= 0)
		close(walk->fd);
	walk->fd = -1;
	walk->known = 0;
	walk->segment = manifest_segment(verify->manifest, walk->shard, number);
	snprintf(walk->path, sizeof walk->path, "%s/%02u/%s%06u.seg", verify->store ? STORE_FOLDER_SHARDS : BACKUP_SEGMENTS,
	         walk->shard, verify->store ? "body/" : "", number);
	if (!walk->segment)
		return;
	if (!verify->store)
		segment_path(walk->segment, walk->path);
	char whole[BACKUP_PATH_MAX];
	snprintf(whole, sizeof whole, "%.3000s/%s", verify->store ? verify->store : verify->repository->path, walk->path);
	walk->fd = open(whole, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	const struct backup_segment *before = verify->since ? manifest_segment(verify->since, walk->shard, number) : NULL;
	if (before && before->variant == walk->segment->variant)
		walk->known = before->end;
}

/* The record's header ends where the body begins. */
const char *verify_record(int fd, uint64_t offset, uint64_t size, uint64_t message, struct str account, char *room,
                          uint64_t *sum)
{
	size_t n = (size_t)MIN(offset, (uint64_t)BODYLOG_HEADER_MAX);
	struct body_record record;
	uint64_t lost;
	bool all = read_or_zeros(fd, offset - n, room, n, &lost); /* what cannot be read may be of the record before it */
	for (size_t back = 1; back <= n; back++) {
		if (body_record_decode(str_of(room + n - back, back), &record) != (int)back)
			continue;
		*sum = record.checksum;
		return record.length == size && record.message == message &&
		               str_eq(account, str_of((const char *)record.account.bytes, sizeof record.account.bytes))
		           ? NULL
		           : "its record is another message's";
	}
	return all ? "it has no readable record" : "its record cannot be read";
}

static int check_message(struct walk *walk, const struct place *place)
{
	uint64_t sum, expected = 0, end;
	int failed = 0;
	open_segment(walk, place->segment);
	if (walk->segment && place->offset < walk->known)
		return 0;
	walk->verify->messages++;
	walk->verify->work->items++;
	const char *problem = NULL;
	if (!walk->segment || walk->fd < 0)
		problem = "its segment is not in the backup";
	else if (!checked_add(place->offset, place->size, &end) || end > walk->segment->end)
		problem = "it lies behind the end of its segment";
	else
		problem =
			verify_record(walk->fd, place->offset, place->size, place->message, place->account, walk->room, &expected);
	if (!problem && !sum_range(walk->fd, place->offset, end, walk->room, walk->verify->work, &sum, &failed))
		problem = "its bytes cannot be read";
	else if (!problem && sum != expected)
		problem = "its bytes are not those that came in";
	if (problem && failed == 0)
		tell_message(walk, place, problem);
	return failed;
}

/* Whole numbers from outside: a damaged database may say anything. */
static int read_place(sqlite3_stmt *row, struct place *out)
{
	int64_t segment = db_column_int(row, 1), offset = db_column_int(row, 2), size = db_column_int(row, 3);
	if (segment <= 0 || segment > UINT32_MAX || offset < 0 || size < 0)
		return ERR_CORRUPT;
	*out = (struct place){ (uint64_t)db_column_int(row, 0) & NUMBER_MASK, db_column_blob(row, 4), (uint32_t)segment,
		                   (uint64_t)offset, (uint64_t)size };
	return 0;
}

int verify_messages(struct verify *verify, uint16_t shard, const char *database)
{
	struct walk walk = { .verify = verify, .shard = shard, .fd = -1 };
	sqlite3_stmt *rows = NULL;
	struct db db = { NULL };
	struct place place;
	int result = snapshot_open(str_from_c(database), &db);
	/* an account that is being removed has no mail any more */
	if (result == 0)
		result = db_prepare(
			&db,
			"SELECT message.key, segment, offset, size, account.id FROM message JOIN account ON account.number "
			"= message.key >> 40 WHERE account.removed <> 1 ORDER BY segment, offset",
			&rows);
	walk.room = mem_alloc_unset(CHUNK);
	while (result == 0) {
		int row = db_step(rows);
		if (row != DB_ROW) {
			result = row;
			break;
		}
		if (read_place(rows, &place) == 0)
			result = check_message(&walk, &place);
		else
			tell(verify, database, 0, "a row of a message names no place that there can be");
	}
	if (walk.fd >= 0)
		close(walk.fd);
	mem_free(walk.room);
	db_finalize(&rows);
	db_close(&db);
	return result;
}
