/* backup.c: the commands mansio backup, backup list and backup verify. A backup is a generation: snapshots of the
 * databases, and the ends of segments whose bytes the folder gathers. Nothing counts before its manifest is on disk. */
#include "proc/ctl/backup.h"

#include "auth/directory.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "db/snapshot.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT_MAX (INT64_C(128) << 30) /* bytes; twice what store.segment_size allows: the last message may be long */

static int fail(const struct ctl *ctl, int err, const struct buf *problem)
{
	struct ctl_reply reply = { .result = err, .message = *problem };
	return ctl_fail_reply(ctl, &reply);
}

/* For people, who know their mailboxes. */
static void print_in_mailbox(const struct backup_damage *damage)
{
	char uid[32] = "", place[BACKUP_NAME_MAX * 4] = "";
	if (damage->uid)
		snprintf(uid, sizeof uid, ", uid %" PRIu32, damage->uid);
	if (damage->file)
		snprintf(place, sizeof place, " (%s, offset %" PRIu64 ")", damage->file, damage->offset);
	fprintf(stderr, "mansio: %.*s%s: %s%s\n", STR_ARG(damage->mailbox), uid, damage->problem, place);
}

void backup_print_found(const struct backup_found *found, char out[BACKUP_FOUND_MAX])
{
	size_t at = 0;
	if (!found->damaged && !found->pieces)
		snprintf(out, BACKUP_FOUND_MAX, "all as they were");
	if (found->damaged)
		at = (size_t)snprintf(out, BACKUP_FOUND_MAX, "damaged: %" PRIu64 " message%s", found->damaged,
		                      found->damaged == 1 ? "" : "s");
	if (found->pieces)
		snprintf(out + at, BACKUP_FOUND_MAX - at, "%s%" PRIu64 " %s", at ? ", " : "damaged: ", found->pieces,
		         found->pieces == 1 ? "piece of a file" : "pieces of files");
}

void backup_json_found(const struct backup_found *found, struct buf *out)
{
	json_field_u64(out, "damaged", found->damaged);
	json_field_u64(out, "damaged_pieces", found->pieces);
	json_key(out, "damage");
	json_put_raw(out, buf_str(&found->json));
}

void backup_on_damage(void *owner, const struct backup_damage *damage)
{
	struct backup_found *found = owner;
	struct buf *json = &found->json;
	*(damage->account.n ? &found->damaged : &found->pieces) += 1;
	json_begin_object(json);
	if (damage->mailbox.n)
		json_field_string(json, "mailbox", damage->mailbox);
	if (damage->uid)
		json_field_u64(json, "uid", damage->uid);
	if (damage->file) {
		json_field_string(json, "file", str_from_c(damage->file));
		json_field_u64(json, "offset", damage->offset);
	}
	if (damage->account.n) {
		json_field_string(json, "account", damage->account);
		json_field_u64(json, "message", damage->message);
	}
	json_field_string(json, "problem", str_from_c(damage->problem));
	json_end_object(json);
	if (found->ctl->json)
		return;
	if (found->work)
		progress_end(&found->work->progress);
	if (damage->mailbox.n)
		print_in_mailbox(damage);
	else if (damage->account.n)
		fprintf(stderr, "mansio: %s, offset %" PRIu64 ": message %" PRIu64 " of account %.*s: %s\n", damage->file,
		        damage->offset, damage->message, STR_ARG(damage->account), damage->problem);
	else
		fprintf(stderr, "mansio: %s, offset %" PRIu64 ": %s\n", damage->file, damage->offset, damage->problem);
}

/* --- making one --- */

struct run {
	struct ctl *ctl;
	struct repository repository;
	struct backup_source *source;
	struct backup_manifest *manifest, *before; /* before: the newest there was; the repository's */
	struct backup_work work;
	struct backup_found found;
	struct buf *problem, ahead, torn; /* tell_ahead, tell_torn */
	char folder[BACKUP_PATH_MAX]; /* of the new generation */
	struct database {
		bool as_it_lies; /* it was copied so */
		bool is_doubted; /* what it says of its segments cannot be */
	} *databases; /* the directory, then the shards */
	uint64_t messages, removed;
};

static void store_name(const struct backup_source *source, char out[BACKUP_ID_HEX + 1])
{
	const struct store_identity *identity = source_identity(source);
	for (size_t i = 0; i < STORE_ID_SIZE; i++)
		snprintf(out + 2 * i, 3, "%02x", identity->id[i]);
}

/* By the time, whatever the others are called: when the clock was set back, the sequence says which is newer. */
static void name_generation(struct run *run)
{
	time_t now = (time_t)run->manifest->time;
	struct tm parts;
	do {
		if (!gmtime_r(&now, &parts) ||
		    strftime(run->manifest->name, BACKUP_NAME_MAX, "%Y-%m-%dT%H-%M-%SZ", &parts) == 0)
			snprintf(run->manifest->name, BACKUP_NAME_MAX, "%020" PRId64, (int64_t)now);
		now++;
	} while (repository_has(&run->repository, run->manifest->name));
	run->manifest->sequence = MIN(run->before ? run->before->sequence + 1 : 1, (uint64_t)INT64_MAX);
}

/* Empty: no clock was ahead. */
static void tell_ahead(struct run *run)
{
	const struct backup_manifest *ahead = repository_ahead(&run->repository, run->manifest->time);
	if (ahead)
		buf_addf(&run->ahead,
		         "the backup %s/" BACKUP_GENERATIONS "/%s is dated later than now: the clock was ahead when it was made, "
		         "or is behind now. No older backup is removed while it is there. Set the clock right, or remove that "
		         "folder when nobody needs it any more",
		         run->repository.path, ahead->name);
}

static void name_database(int shard, char out[BACKUP_NAME_MAX])
{
	if (shard == SOURCE_DIRECTORY)
		snprintf(out, BACKUP_NAME_MAX, STORE_FOLDER_AUTH "/" DIRECTORY_FILE);
	else
		snprintf(out, BACKUP_NAME_MAX, STORE_FOLDER_SHARDS "/%02u/index.db", (unsigned)shard);
}

/* Empty: no log has a torn end. */
static void tell_torn(struct run *run)
{
	char file[BACKUP_NAME_MAX];
	for (int i = SOURCE_DIRECTORY; i < (int)run->manifest->shards; i++) {
		if (!source_is_torn(run->source, i))
			continue;
		name_database(i, file);
		buf_addf(&run->torn, "%s%s-wal", run->torn.n ? ", " : "the last changes are not whole, and not in this backup: ", file);
	}
	if (run->torn.n)
		buf_add(&run->torn, STR(". That is what a power cut leaves of changes that nobody was told of; if there was none, the disk "
		                        "has damaged the last ones that somebody was told of (mansio store salvage brings messages back). "
		                        "So no older backup was removed"));
}

struct adding {
	struct run *run;
	uint16_t shard;
	size_t first, n_rows; /* of the shard's, that rows of its index say; add_file */
};

static void add_segment(void *owner, uint32_t number, uint64_t size)
{
	const struct adding *adding = owner;
	struct backup_segment segment = { .shard = adding->shard, .number = number };
	manifest_add_segment(adding->run->manifest, &segment)->end = size;
}

static int by_number(const void *a, const void *b)
{
	const struct backup_segment *one = a, *other = b;
	return one->number < other->number ? -1 : one->number > other->number;
}

/* Of what the index says and the file has, the larger. */
static void add_file(void *owner, uint32_t number, uint64_t size)
{
	const struct adding *adding = owner;
	const struct backup_segment key = { .number = number };
	struct backup_segment *rows = adding->run->manifest->segments;
	struct backup_segment *known = adding->n_rows == 0 ? NULL
	                               : bsearch(&key, rows + adding->first, adding->n_rows, sizeof key, by_number);
	if (known)
		known->end = MAX(known->end, size);
	else
		add_segment(owner, number, size);
}

/* The files that there are, where the index cannot say which there should be. `first`: the shard's first in the manifest;
 * what its rows say stands there, in order. */
static int list_files(struct run *run, uint16_t shard, size_t first)
{
	struct backup_manifest *manifest = run->manifest;
	struct adding adding = { run, shard, first, manifest->n_segments - first };
	int result = source_each_segment(run->source, shard, add_file, &adding);
	if (manifest->n_segments > first)
		qsort(manifest->segments + first, manifest->n_segments - first, sizeof *manifest->segments, by_number);
	return result == ERR_NOT_FOUND ? 0 : result;
}

/* The segments that the snapshot of a shard needs, as far as they are known. A row of a damaged index may say anything:
 * numbers come in order, and no segment is longer than SEGMENT_MAX. */
static int list_segments(struct run *run, uint16_t shard)
{
	size_t before = run->manifest->n_segments;
	int64_t last = 0;
	char path[BACKUP_PATH_MAX + 64];
	struct db db = { NULL };
	sqlite3_stmt *rows = NULL;
	snprintf(path, sizeof path, "%s/%02u.db", run->folder, shard);
	int row = snapshot_open(str_from_c(path), &db);
	if (row == 0)
		row = db_prepare(&db, "SELECT number, end FROM segment ORDER BY number", &rows);
	while (row >= 0 && rows && (row = db_step(rows)) == DB_ROW) {
		int64_t number = db_column_int(rows, 0), end = db_column_int(rows, 1);
		if (number <= last || number > UINT32_MAX || end < 0 || end > SEGMENT_MAX) {
			row = ERR_CORRUPT;
			break;
		}
		last = number;
		if (end > 0) /* else it may have no file */
			add_segment(&(struct adding){ run, shard, before, 0 }, (uint32_t)number, (uint64_t)end); /* wanted; copy_one has the rest */
	}
	db_finalize(&rows);
	db_close(&db);
	if (row < 0) {
		run->databases[shard + 1].is_doubted = true;
		run->manifest->n_segments = before;
	}
	if (row < 0 || run->databases[shard + 1].as_it_lies) {
		int listed = list_files(run, shard, before);
		row = row < 0 ? listed : 0; /* else each of them that cannot be read is told when its turn comes */
	}
	return row < 0 ? backup_fail(run->problem, row, "the segments of shard %u cannot be found: %s", shard, err_text(row))
	               : 0;
}

/* A file that no generation knows of: the store has gone another way than its backups. */
static uint32_t unused_variant(const struct run *run, const struct backup_segment *segment)
{
	uint32_t variant = 0;
	for (size_t i = 0; i < run->repository.n_generations; i++) {
		const struct backup_segment *known =
			manifest_segment(run->repository.generations[i], segment->shard, segment->number);
		if (known && known->variant >= variant)
			variant = known->variant + 1;
	}
	return variant;
}

/* What is in the folder of this segment already. */
static int find_known(struct run *run, int from, uint64_t end, struct backup_segment *segment, bool *lost)
{
	const struct backup_segment *known =
		run->before ? manifest_segment(run->before, segment->shard, segment->number) : NULL;
	bool continues = false;
	bool all = known && manifest_doubt_of(run->before, segment->shard);
	int result = known && known->end <= end
	                 ? segment_continues(&run->repository, from, known, all, &run->work, &continues, lost)
	                 : 0;
	if (continues) {
		segment->variant = known->variant;
		for (size_t i = 0; i < known->n_pieces; i++)
			segment_add_piece(segment, known->pieces[i].end, known->pieces[i].sum);
	} else {
		segment->variant = unused_variant(run, segment);
	}
	return result;
}

/* A segment of the store that is not whole: what there is of it is saved, with what earlier backups have. */
static void tell_lost(struct run *run, const struct backup_segment *segment, int opened, uint64_t offset)
{
	char file[BACKUP_NAME_MAX * 2];
	snprintf(file, sizeof file, STORE_FOLDER_SHARDS "/%02u/body/%06u.seg", segment->shard, segment->number);
	backup_on_damage(&run->found, &(struct backup_damage){
		.file = file, .offset = offset,
		.problem = opened == ERR_NOT_FOUND ? "this file of the store is missing; see mansio store check"
		           : opened < 0            ? "this file of the store cannot be opened; see mansio store check"
		                                   : "the store cannot be read here; see mansio store check" });
}

static int copy_one(struct run *run, struct backup_segment *segment)
{
	uint64_t end = segment->end;
	struct segment_copied copied = { 0 };
	int from, opened = source_segment(run->source, segment->shard, segment->number, &from);
	if (opened < 0)
		from = -1;
	segment->end = 0;
	bool lost = false;
	int result = 0;
	if (opened == ERR_NOT_FOUND && source_is_released(run->source, segment->shard))
		result = backup_fail(run->problem, ERR_UNAVAILABLE,
		                     "shard %u was stopped while its messages were copied, and has removed segment %u since; "
		                     "give the command again",
		                     segment->shard, segment->number);
	if (result == 0)
		result = find_known(run, from, end, segment, &lost);
	uint64_t known = segment->end;
	if (result == 0) {
		run->work.bytes += segment->end;
		progress_skip(&run->work.progress, segment->end, 0);
		result = copy_segment(&run->repository, from, end, segment, &run->work, &copied);
	}
	if (from >= 0)
		close(from);
	if (opened < 0 || lost || copied.damaged)
		tell_lost(run, segment, opened, lost || !copied.damaged ? known : copied.lost);
	run->manifest->copied += copied.written;
	if (copied.damaged)
		manifest_doubt(run->manifest, segment->shard, DOUBT_DAMAGE); /* zeros stand where bytes may be there again */
	return result < 0 && run->problem->n == 0
	           ? backup_fail(run->problem, result, "cannot copy segment %u of shard %u: %s", segment->number,
	                         segment->shard, err_text(result))
	           : result;
}

static int add_files(struct run *run)
{
	char name[BACKUP_NAME_MAX];
	uint64_t size, sum;
	int folder = open(run->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = folder < 0 ? ERR_IO : 0;
	for (int i = -2; i < (int)run->manifest->shards && result == 0; i++) {
		snprintf(name, sizeof name, "%02d.db", i);
		const char *file = i == -2 ? BACKUP_STORE : i == -1 ? BACKUP_DIRECTORY : name;
		result = sum_whole(folder, file, &run->work, &size, &sum);
		if (result == 0) {
			manifest_add_file(run->manifest, file, size, sum);
			run->manifest->copied += size;
		}
	}
	if (folder >= 0)
		close(folder);
	return result < 0 && run->problem->n == 0
	           ? backup_fail(run->problem, result, "cannot read what was copied: %s", err_text(result))
	           : result;
}

static int copy_all(struct run *run)
{
	struct backup_manifest *manifest = run->manifest;
	int result = 0;
	for (uint16_t i = 0; i < manifest->shards && result == 0; i++) {
		char shard[BACKUP_NAME_MAX];
		snprintf(shard, sizeof shard, BACKUP_SEGMENTS "/%02u", i);
		if (mkdirat(run->repository.folder, shard, 0700) < 0 && faccessat(run->repository.folder, shard, W_OK, 0) < 0)
			result = backup_fail(run->problem, ERR_IO, "cannot make %s/%s: %m", run->repository.path, shard);
		if (result == 0)
			result = list_segments(run, i);
	}
	for (size_t i = 0; i < manifest->n_segments; i++)
		run->work.progress.total += manifest->segments[i].end;
	for (size_t i = 0; i < manifest->n_segments && result == 0; i++)
		result = copy_one(run, &manifest->segments[i]);
	return result == 0 ? add_files(run) : result;
}

/* Once for each database, at most. */
static void tell_database(struct run *run, int shard)
{
	char file[BACKUP_NAME_MAX];
	name_database(shard, file);
	backup_on_damage(&run->found, &(struct backup_damage){
		.file = file,
		.problem = run->databases[shard + 1].as_it_lies
		               ? "no snapshot of this database could be made, and its bytes were taken as they lie; see the "
		                 "server's log and mansio store salvage"
		               : "this database is damaged; see mansio store check and mansio store salvage" });
}

/* The databases are read by SQLite, and the messages whose bytes are new once more, from the copy. */
static int verify_shard(struct run *run, struct verify *verify, uint16_t shard)
{
	char path[BACKUP_PATH_MAX + 64];
	snprintf(path, sizeof path, "%s/%02u.db", run->folder, shard);
	const struct database *database = &run->databases[shard + 1];
	bool whole = verify_database(path, false) && !database->as_it_lies && !database->is_doubted;
	if (database->as_it_lies || database->is_doubted)
		manifest_doubt(run->manifest, shard, DOUBT_NO_SNAPSHOT);
	uint64_t told_before = run->found.damaged + run->found.pieces;
	verify->since = run->before && manifest_doubt_of(run->before, shard) ? NULL : run->before;
	int result = verify_messages(verify, shard, path);
	if (run->problem->n == 0 && (result == ERR_CORRUPT || (result < 0 && !whole))) {
		result = 0;
		whole = false;
	}
	if (!whole)
		tell_database(run, shard);
	if (run->found.damaged + run->found.pieces > told_before)
		manifest_doubt(run->manifest, shard, DOUBT_DAMAGE); /* the next backup tells what still is so, and gets what came back */
	return result;
}

static int verify_new(struct run *run)
{
	struct backup_work work = { .alive_ms = clock_monotonic_ms(), .problem = run->problem };
	struct verify verify = { .repository = &run->repository,
		                     .manifest = run->manifest,
		                     .work = &work,
		                     .damage = backup_on_damage,
		                     .owner = &run->found };
	int result = 0;
	progress_begin(&work.progress, "verifying", 0, "messages");
	run->found.work = &work;
	char directory[BACKUP_PATH_MAX + 64];
	snprintf(directory, sizeof directory, "%s/" BACKUP_DIRECTORY, run->folder);
	run->manifest->is_directory_doubted = run->databases[0].as_it_lies;
	if (run->databases[0].as_it_lies || !verify_database(directory, true))
		tell_database(run, SOURCE_DIRECTORY);
	for (uint16_t i = 0; i < run->manifest->shards && result == 0; i++)
		result = verify_shard(run, &verify, i);
	progress_end(&work.progress);
	run->messages = verify.messages;
	return result < 0 && run->problem->n == 0
	           ? backup_fail(run->problem, result, "cannot read what was copied: %s", err_text(result))
	           : result;
}

/* What is in the store's folder is lost with it, and in the way of a restore. */
static int refuse_inside(struct run *run, const char *path)
{
	char *store = realpath(run->ctl->conf.server.directory.p, NULL), *folder = realpath(path, NULL);
	if (!folder) { /* to be made */
		char parent[BACKUP_PATH_MAX];
		struct str name = str_from_c(path);
		while (name.n > 1 && str_ends(name, STR("/")))
			name.n--;
		while (name.n > 0 && !str_ends(name, STR("/")))
			name.n--;
		snprintf(parent, sizeof parent, "%.*s.", (int)MIN(name.n, sizeof parent - 2), path);
		folder = realpath(parent, NULL);
	}
	size_t n = store ? strlen(store) : 0;
	bool inside = store && folder && strncmp(folder, store, n) == 0 && (folder[n] == '/' || folder[n] == '\0');
	free(store);
	free(folder);
	return inside ? backup_fail(run->problem, ERR_STATE,
	                            "%s lies in the store's own folder, %s, and would be lost with it: name a folder "
	                            "elsewhere, best on another disk",
	                            path, run->ctl->conf.server.directory.p)
	              : 0;
}

static int make(struct run *run, const char *path)
{
	char store[BACKUP_ID_HEX + 1];
	int result = refuse_inside(run, path);
	if (result == 0)
		result = source_open(run->ctl, &run->source, run->problem);
	if (result < 0)
		return result;
	run->work.owner = run->source;
	store_name(run->source, store);
	result = repository_open(path, store, &run->repository, run->problem);
	if (result == 0)
		result = repository_begin(&run->repository, run->problem);
	if (result < 0)
		return result;
	source_set_name(run->source, &run->repository);
	size_t n = run->repository.n_generations;
	run->before = n ? run->repository.generations[n - 1] : NULL;
	run->manifest = mem_alloc(1, sizeof *run->manifest);
	run->manifest->time = clock_wall_seconds();
	run->manifest->shards = source_identity(run->source)->shards;
	memcpy(run->manifest->store, store, sizeof store);
	name_generation(run);
	tell_ahead(run);
	snprintf(run->folder, sizeof run->folder, "%.3000s/" BACKUP_GENERATIONS "/" BACKUP_NEW, run->repository.path);
	result = source_snapshot(run->source, run->folder, run->problem);
	run->databases = mem_alloc((size_t)run->manifest->shards + 1, sizeof *run->databases);
	for (int i = SOURCE_DIRECTORY; i < (int)run->manifest->shards; i++)
		run->databases[i + 1].as_it_lies = source_is_as_it_lies(run->source, i);
	tell_torn(run);
	progress_begin(&run->work.progress, "copying", 0, NULL);
	run->work.alive_ms = clock_monotonic_ms();
	if (result == 0)
		result = copy_all(run);
	progress_end(&run->work.progress);
	source_close(&run->source);
	if (result == 0)
		result = verify_new(run);
	return result == 0 ? repository_commit(&run->repository, &run->manifest, run->problem) : result;
}

static void print_done(struct run *run)
{
	const struct backup_manifest *made = run->repository.generations[run->repository.n_generations - 1];
	char all[32], copied[32];
	ctl_print_bytes(manifest_bytes(made), all, sizeof all);
	ctl_print_bytes(made->copied, copied, sizeof copied);
	if (!run->ctl->json) {
		printf("%s: %s, of which %s were copied anew\n", made->name, all, copied);
		if (run->removed)
			printf("%" PRIu64 " older backup%s removed\n", run->removed, run->removed == 1 ? " was" : "s were");
		if (run->found.damaged)
			fprintf(stderr, "mansio: %" PRIu64 " message%s damaged in the store already (see mansio store check)\n",
			        run->found.damaged, run->found.damaged == 1 ? " is" : "s are");
		if (run->found.damaged || run->found.pieces)
			fprintf(stderr, "mansio: no older backup was removed\n");
		if (run->ahead.n)
			fprintf(stderr, "mansio: %.*s\n", STR_ARG(buf_str(&run->ahead)));
		if (run->torn.n)
			fprintf(stderr, "mansio: %.*s\n", STR_ARG(buf_str(&run->torn)));
		return;
	}
	struct buf out = BUF_INIT(BACKUP_DAMAGE_MAX + 4096);
	json_begin_object(&out);
	json_field_string(&out, "name", str_from_c(made->name));
	json_field_u64(&out, "bytes", manifest_bytes(made));
	json_field_u64(&out, "copied_bytes", made->copied);
	json_field_u64(&out, "new_messages", run->messages);
	json_field_u64(&out, "removed", run->removed);
	backup_json_found(&run->found, &out);
	if (run->ahead.n && run->torn.n)
		buf_add(&run->ahead, STR(". And "));
	buf_add(&run->ahead, buf_str(&run->torn));
	if (run->ahead.n)
		json_field_string(&out, "warning", buf_str(&run->ahead));
	json_end_object(&out);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_free(&out);
}

int ctl_run_backup(struct ctl *ctl, const struct ctl_command *command)
{
	struct buf problem = BUF_INIT(BACKUP_TEXT_MAX);
	struct str keep_text = ctl_option(ctl, "--keep");
	uint64_t keep = BACKUP_KEEP;
	if (keep_text.n && (str_to_u64(keep_text, BACKUP_GENERATIONS_MAX, &keep) < 0 || keep == 0))
		return ctl_usage(ctl, "--keep takes a number from 1, not \"%.*s\"", keep_text);
	struct run *run = mem_alloc(1, sizeof *run);
	char *path = mem_copy(ctl->arguments[0]);
	run->ctl = ctl;
	run->problem = &problem;
	run->repository = (struct repository){ .folder = -1, .mark = -1 };
	run->ahead = run->torn = BUF_INIT(BACKUP_TEXT_MAX);
	run->work.problem = &problem;
	run->found = (struct backup_found){ .ctl = ctl, .work = &run->work, .json = BUF_INIT(BACKUP_DAMAGE_MAX) };
	run->work.alive = source_alive;
	json_begin_array(&run->found.json);
	umask(077);
	int err = make(run, path);
	json_end_array(&run->found.json);
	source_close(&run->source);
	bool whole = err == 0 && run->found.damaged == 0 && run->found.pieces == 0 && run->ahead.n == 0;
	int result = err < 0 ? fail(ctl, err, &problem) : whole ? EXIT_DONE : EXIT_FAILED;
	/* what came before the damage may be the last that has it whole, and one whose date is wrong the newest of all */
	if (whole && run->torn.n == 0 && repository_prune(&run->repository, keep, &run->removed, &problem) < 0) {
		fprintf(stderr, "mansio: %.*s\n", STR_ARG(buf_str(&problem)));
		result = EXIT_FAILED;
	}
	if (err == 0)
		print_done(run);
	buf_free(&run->ahead);
	buf_free(&run->torn);
	mem_free(run->databases);
	manifest_free(&run->manifest);
	repository_close(&run->repository);
	buf_free(&run->found.json);
	buf_free(&problem);
	mem_free(path);
	mem_free(run);
	return result;
}

/* --- list --- */

int ctl_run_backup_list(struct ctl *ctl, const struct ctl_command *command)
{
	struct buf problem = BUF_INIT(BACKUP_TEXT_MAX), out = BUF_INIT(CTL_REPLY_MAX);
	struct repository *repository = mem_alloc(1, sizeof *repository);
	char *path = mem_copy(ctl->arguments[0]);
	int err = repository_open(path, NULL, repository, &problem);
	int result = err < 0 ? fail(ctl, err, &problem) : EXIT_DONE;
	if (err == 0 && !ctl->json && repository->n_generations > 0)
		printf("%-22s  %10s  %10s\n", "BACKUP (UTC)", "HOLDS", "COPIED");
	json_begin_array(&out);
	for (size_t i = 0; err == 0 && i < repository->n_generations; i++) {
		const struct backup_manifest *manifest = repository->generations[i];
		char all[32], copied[32];
		ctl_print_bytes(manifest_bytes(manifest), all, sizeof all);
		ctl_print_bytes(manifest->copied, copied, sizeof copied);
		if (!ctl->json)
			printf("%-22s  %10s  %10s\n", manifest->name, all, copied);
		json_begin_object(&out);
		json_field_string(&out, "name", str_from_c(manifest->name));
		json_field_u64(&out, "time", (uint64_t)manifest->time);
		json_field_u64(&out, "bytes", manifest_bytes(manifest));
		json_field_u64(&out, "copied_bytes", manifest->copied);
		json_end_object(&out);
	}
	json_end_array(&out);
	if (err == 0 && ctl->json)
		printf("%.*s\n", STR_ARG(buf_str(&out)));
	for (size_t i = 0; err == 0 && i < repository->n_unreadable; i++) {
		fprintf(stderr, "mansio: the manifest of %s/" BACKUP_GENERATIONS "/%s cannot be read\n", repository->path,
		        repository->unreadable[i]);
		result = EXIT_FAILED;
	}
	repository_close(repository);
	mem_free(repository);
	buf_free(&problem);
	buf_free(&out);
	mem_free(path);
	return result;
}

/* --- verify --- */

static int verify_one(struct verify *verify, const struct backup_found *found, struct buf *problem)
{
	int result = verify_files(verify);
	for (uint16_t i = 0; i < verify->manifest->shards && result == 0; i++) {
		char name[BACKUP_NAME_MAX], path[BACKUP_NAME_MAX * 4], whole[BACKUP_PATH_MAX];
		snprintf(name, sizeof name, "%02u.db", i);
		generation_path(verify->manifest->name, name, path);
		snprintf(whole, sizeof whole, "%.3000s/%s", verify->repository->path, path);
		result = verify_messages(verify, i, whole);
		/* a damaged database was told of, and can tell no more */
		if (result < 0 && problem->n == 0 && found->damaged + found->pieces > 0)
			result = 0;
	}
	return result < 0 && problem->n == 0 ? backup_fail(problem, result, "cannot read the backup: %s", err_text(result))
	                                     : result;
}

static void print_verified(struct ctl *ctl, const struct verify *verify, const struct backup_found *found,
                           struct str warning)
{
	char size[32], damage[BACKUP_FOUND_MAX];
	ctl_print_bytes(manifest_bytes(verify->manifest), size, sizeof size);
	backup_print_found(found, damage);
	if (!ctl->json) {
		printf("%s: %" PRIu64 " message%s, %s, %s\n", verify->manifest->name, verify->messages,
		       verify->messages == 1 ? "" : "s", size, damage);
		if (warning.n)
			fprintf(stderr, "mansio: %.*s\n", STR_ARG(warning));
		return;
	}
	struct buf out = BUF_INIT(BACKUP_DAMAGE_MAX + 4096);
	json_begin_object(&out);
	json_field_string(&out, "name", str_from_c(verify->manifest->name));
	json_field_u64(&out, "messages", verify->messages);
	json_field_u64(&out, "bytes", manifest_bytes(verify->manifest));
	backup_json_found(found, &out);
	if (warning.n)
		json_field_string(&out, "warning", warning);
	json_end_object(&out);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_free(&out);
}

int ctl_run_backup_verify(struct ctl *ctl, const struct ctl_command *command)
{
	struct buf problem = BUF_INIT(BACKUP_TEXT_MAX), warning = BUF_INIT(BACKUP_TEXT_MAX);
	struct repository *repository = mem_alloc(1, sizeof *repository);
	struct backup_work work = { .problem = &problem };
	struct backup_found found = { .ctl = ctl, .work = &work, .json = BUF_INIT(BACKUP_DAMAGE_MAX) };
	struct verify verify = { .repository = repository, .work = &work, .damage = backup_on_damage, .owner = &found };
	char *path = mem_copy(ctl->arguments[0]);
	int err = repository_open(path, NULL, repository, &problem);
	json_begin_array(&found.json);
	if (err == 0)
		err = repository_find(repository, ctl_option(ctl, "--at"), &verify.manifest, &warning, &problem);
	if (err == 0) {
		progress_begin(&work.progress, "verifying", 2 * manifest_bytes(verify.manifest), "messages");
		err = verify_one(&verify, &found, &problem);
		progress_end(&work.progress);
	}
	json_end_array(&found.json);
	int result = err < 0 ? fail(ctl, err, &problem) : found.damaged + found.pieces + warning.n ? EXIT_FAILED : EXIT_DONE;
	if (err == 0)
		print_verified(ctl, &verify, &found, buf_str(&warning));
	buf_free(&warning);
	repository_close(repository);
	mem_free(repository);
	buf_free(&found.json);
	buf_free(&problem);
	mem_free(path);
	return result;
}
