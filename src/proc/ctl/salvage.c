/* salvage.c: `mansio store salvage`: makes shards anew from what can be read of damaged ones, while no server runs, under
 * the store's lock. The new shard is made in a folder beside the old one, which is only read; when it is whole and on
 * disk, the two change places in one step. A run that is cut off leaves a folder that the next one makes anew, or an old
 * shard that it gives its name.
 *
 *     NN.salvage has "unfinished-salvage"   it is not whole: it goes
 *     NN.salvage has "finished-salvage"     it is whole, and not in place: it goes
 *     NN has "finished-salvage"             they changed places: NN.salvage, if it is there, is the old shard
 *
 * Before a new one is made there is no such file in NN, on disk: so nothing of an old shard is ever removed. */
#include "proc/ctl/salvage.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "proc/store_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_BYTES   (CONF_PATH_MAX + 128)
#define UNFINISHED   "unfinished-salvage"
#define FINISHED     "finished-salvage"
#define FILES_AT_ONCE 16
#define KEPT_MAX     1000 /* damaged shards of one second */
#define ARENA_MAX    ((size_t)2 * SALVAGE_REPORT_MAX)
#define OBJECTS_MAX  ((size_t)SALVAGE_REPORT_MAX + 65536) /* a report, and what else is said of a shard */

struct places {
	char auth[PATH_BYTES], shards[PATH_BYTES], from[PATH_BYTES], to[PATH_BYTES], kept[PATH_BYTES];
	char unfinished[PATH_BYTES], finished[PATH_BYTES]; /* in `to` */
	char stale[PATH_BYTES], placed[PATH_BYTES];        /* the same, in `from` */
};

/* A run over some shards; the one of which is said what is said. */
struct run {
	const struct ctl *ctl;
	uint16_t n_shards, shard;
	bool dry_run;
	struct buf all; /* JSON, of one shard; printed as soon as it is done */
	bool has_told;  /* some of it was printed */
	bool lost;
	int result;     /* of the first that failed */
};

static int fail(const struct ctl *ctl, int exit_code, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static int fail(const struct ctl *ctl, int exit_code, const char *code, const char *format, ...)
{
	char text[PATH_BYTES + 512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return ctl_fail(ctl, exit_code, code, str_from_c(text));
}

static int fail_shard(struct run *run, int exit_code, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The others go on. */
static int fail_shard(struct run *run, int exit_code, const char *code, const char *format, ...)
{
	char text[PATH_BYTES + 512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	run->result = run->result == EXIT_DONE ? exit_code : run->result;
	if (!run->ctl->json)
		return ctl_fail(run->ctl, exit_code, code, str_from_c(text));
	json_begin_object(&run->all);
	json_field_u64(&run->all, "shard", run->shard);
	json_key(&run->all, "error");
	json_begin_object(&run->all);
	json_field_string(&run->all, "code", str_from_c(code));
	json_field_string(&run->all, "message", str_from_c(text));
	json_end_object(&run->all);
	json_end_object(&run->all);
	return exit_code;
}

/* --- folders --- */

static void name_places(const struct ctl *ctl, uint16_t shard, struct places *places)
{
	const char *directory = ctl->conf.server.directory.p;
	time_t now = time(NULL);
	struct tm parts;
	char when[32] = "";
	if (gmtime_r(&now, &parts))
		strftime(when, sizeof when, "%Y%m%dT%H%M%S", &parts);
	snprintf(places->auth, PATH_BYTES, "%s/" STORE_FOLDER_AUTH, directory);
	snprintf(places->shards, PATH_BYTES, "%s/" STORE_FOLDER_SHARDS, directory);
	snprintf(places->from, PATH_BYTES, "%s/" STORE_FOLDER_SHARDS "/%02u", directory, shard);
	snprintf(places->to, PATH_BYTES, "%s/" STORE_FOLDER_SHARDS "/%02u.salvage", directory, shard);
	snprintf(places->unfinished, PATH_BYTES, "%s/" STORE_FOLDER_SHARDS "/%02u.salvage/" UNFINISHED, directory, shard);
	snprintf(places->finished, PATH_BYTES, "%s/" STORE_FOLDER_SHARDS "/%02u.salvage/" FINISHED, directory, shard);
	snprintf(places->stale, PATH_BYTES, "%s/" STORE_FOLDER_SHARDS "/%02u/" UNFINISHED, directory, shard);
	snprintf(places->placed, PATH_BYTES, "%s/" STORE_FOLDER_SHARDS "/%02u/" FINISHED, directory, shard);
	for (int i = 1; i == 1 || (i < KEPT_MAX && access(places->kept, F_OK) == 0); i++)
		snprintf(places->kept, PATH_BYTES, i == 1 ? "%s/" STORE_FOLDER_SHARDS "/%02u.damaged-%s" :
		         "%s/" STORE_FOLDER_SHARDS "/%02u.damaged-%s-%d", directory, shard, when, i);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
	const char *name = path + where->base;
	bool last = where->level == 0 || (where->level == 1 && (strcmp(name, UNFINISHED) == 0 || strcmp(name, FINISHED) == 0));
	return last ? 0 : remove(path);
}

static int remove_file(const char *path)
{
	return unlink(path) < 0 && errno != ENOENT ? err_from_errno(errno) : 0;
}

/* Links of segments go with it, never the segments; its marks last. */
static int remove_place(const struct places *places)
{
	if (nftw(places->to, remove_one, FILES_AT_ONCE, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
		return err_from_errno(errno);
	int err = remove_file(places->finished);
	if (!err)
		err = remove_file(places->unfinished);
	return !err && rmdir(places->to) < 0 ? err_from_errno(errno) : err;
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Marks of earlier runs in the shard itself. */
static int unmark(const struct places *places)
{
	if (!is_there(places->stale) && !is_there(places->placed))
		return 0;
	int err = remove_file(places->stale);
	if (!err)
		err = remove_file(places->placed);
	return err ? err : file_sync_folder(AT_FDCWD, places->from);
}

static int keep_old(const struct places *places)
{
	return rename(places->to, places->kept) < 0 ? err_from_errno(errno) : file_sync_folder(AT_FDCWD, places->shards);
}

/* What an earlier run may have left. ERR_EXISTS: the old shard that it had just replaced, which has its name now; ERR_STATE:
 * a folder of which nobody can say what it is, and which got that name too. */
static int clear_place(const struct places *places)
{
	int err = 0;
	bool placed = is_there(places->placed);
	if (access(places->to, F_OK) < 0)
		return errno == ENOENT ? unmark(places) : err_from_errno(errno);
	if (is_there(places->unfinished) || is_there(places->finished)) {
		err = remove_place(places);
		return err ? err : unmark(places);
	}
	err = keep_old(places);
	if (!err)
		err = unmark(places);
	return err ? err : placed ? ERR_EXISTS : ERR_STATE;
}

/* The folder with its mark, and then its owner: the mark is on disk before anything else is in it. */
static int make_place(const struct places *places)
{
	struct stat old;
	if (stat(places->from, &old) < 0)
		return err_from_errno(errno);
	if (mkdir(places->to, 0700) < 0)
		return err_from_errno(errno);
	int fd = open(places->unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int err = fd < 0 || fsync(fd) < 0 ? err_from_errno(errno) : 0;
	if (fd >= 0)
		close(fd);
	if (!err)
		err = file_sync_folder(AT_FDCWD, places->to);
	if (!err && geteuid() == 0 && chown(places->to, old.st_uid, old.st_gid) < 0)
		err = err_from_errno(errno);
	return err;
}

/* The new one takes the place of the old one, which gets the name it is kept under. *swapped: the first of it was done. */
static int swap_places(const struct places *places, bool *swapped)
{
	*swapped = false;
	if (rename(places->unfinished, places->finished) < 0)
		return err_from_errno(errno);
	int err = file_sync_folder(AT_FDCWD, places->to);
	if (err)
		return err;
	if (renameat2(AT_FDCWD, places->to, AT_FDCWD, places->from, RENAME_EXCHANGE) < 0)
		return errno == EINVAL ? ERR_UNSUPPORTED : err_from_errno(errno); /* by the file system */
	*swapped = true;
	err = keep_old(places);
	if (!err)
		(void)unlink(places->placed); /* the next run would */
	return err;
}

/* --- the process that does it --- */

static void work_in_child(const struct ctl *ctl, const struct salvage_work *work, int out)
{
	struct buf report = BUF_INIT(SALVAGE_REPORT_MAX);
	salvage_work(ctl, work, &report);
	for (size_t done = 0; done < report.n;) {
		ssize_t n = write(out, report.p + done, report.n - done);
		if (n < 0 && errno != EINTR)
			_exit(EXIT_FAILED);
		done += n > 0 ? (size_t)n : 0;
	}
	buf_free(&report);
	_exit(EXIT_DONE);
}

/* The report of a process of its own. ERR_CLOSED: it died. */
static int run_child(const struct ctl *ctl, const struct salvage_work *work, struct buf *report)
{
	int ends[2], status = 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_from_errno(errno);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		close(ends[0]);
		work_in_child(ctl, work, ends[1]);
	}
	close(ends[1]);
	int err = child < 0 ? err_from_errno(errno) : file_read_rest(ends[0], report);
	close(ends[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return !err && status != 0 ? ERR_CLOSED : err;
}

/* --- one shard --- */

static int prepare(struct run *run, const struct places *places)
{
	int err = is_there(places->from) ? clear_place(places) : ERR_NOT_FOUND;
	if (err == ERR_NOT_FOUND)
		return fail_shard(run, EXIT_NOT_FOUND, "not_found", "the folder %s, which is this shard, is missing: is its disk there? If it is "
		                  "lost, restore it from a backup", places->from);
	if (err == ERR_EXISTS)
		return fail_shard(run, EXIT_FAILED, "exists", "an earlier salvage of this shard was cut off after it was done: the new shard is "
		                  "in place, and what it replaced is now in %s. Run it again if the shard in place is damaged", places->kept);
	if (err == ERR_STATE)
		return fail_shard(run, EXIT_FAILED, "exists", "there was a folder %s that no salvage left so: whether it is an old shard or a "
		                  "new one is not known. It is now %s; the shard in place is as it was. Run it again", places->to, places->kept);
	if (!err)
		err = make_place(places);
	if (err)
		return fail_shard(run, ctl_exit_code(err), "io", "cannot make the folder %s: %s", places->to, err_text(err));
	return EXIT_DONE;
}

/* A message was lost, or an account is where nobody finds it; or one may have been lost: where a segment is damaged, and
 * index.db does not say what was there. */
static bool is_lost(const struct json_value *report)
{
	const struct json_value *damage = json_member(report, "damage");
	bool lost = json_u64(json_member(report, "lost_entries")) > 0 || json_u64(json_member(report, "lost_undelete")) > 0 ||
	            json_u64(json_member(report, "misplaced")) > 0;
	bool doubtful = json_is_true(json_member(report, "index_damaged"));
	for (const struct json_value *item = damage ? damage->first : NULL; item && doubtful && !lost; item = item->next)
		lost = str_starts(json_string(json_member(item, "file")), STR("body/"));
	return lost;
}

/* kept: NULL after a dry run. */
static void tell_report(struct run *run, const char *kept, const struct json_value *report, struct str text)
{
	run->lost |= is_lost(report);
	if (!run->ctl->json) {
		salvage_print(report, kept);
		return;
	}
	json_begin_object(&run->all);
	if (kept)
		json_field_string(&run->all, "kept", str_from_c(kept));
	json_key(&run->all, "report");
	json_put_raw(&run->all, text);
	json_end_object(&run->all);
}

static void finish(struct run *run, const struct places *places, const struct json_value *report, struct str text)
{
	bool swapped = false;
	int err = run->dry_run ? remove_place(places) : swap_places(places, &swapped);
	if (!err) {
		tell_report(run, run->dry_run ? NULL : places->kept, report, text);
	} else if (run->dry_run) {
		tell_report(run, NULL, report, text);
		(void)fail_shard(run, EXIT_FAILED, "io", "the folder %s, where this was tried out, cannot be removed: %s", places->to,
		                 err_text(err));
	} else if (swapped) {
		const char *kept = is_there(places->to) ? places->to : places->kept;
		tell_report(run, kept, report, text);
		(void)fail_shard(run, EXIT_FAILED, "io", "the new shard is in place in %s, and the damaged one is %s; but the last step failed: "
		                 "%s", places->from, kept, err_text(err));
	} else {
		(void)fail_shard(run, EXIT_FAILED, "io", "the new shard %s is whole, but cannot take the place of %s: %s. Nothing was changed: "
		                 "the damaged shard is in place. Run it again", places->to, places->from, err_text(err));
	}
}

static void salvage_one(struct run *run, uint16_t shard)
{
	struct places *places = mem_alloc(1, sizeof *places);
	struct buf report = BUF_INIT(SALVAGE_REPORT_MAX);
	struct arena arena = ARENA_INIT(ARENA_MAX);
	struct json_value *tree = NULL;
	run->shard = shard;
	name_places(run->ctl, shard, places);
	struct salvage_work work = { places->auth, places->from, places->to, shard, run->n_shards, !run->dry_run, getpid() };
	if (prepare(run, places) == EXIT_DONE) {
		int err = run_child(run->ctl, &work, &report);
		if (!err && json_parse(buf_str(&report), &arena, &tree) < 0)
			err = ERR_CLOSED;
		const struct json_value *failure = tree ? json_member(tree, "error") : NULL;
		if (err || failure) {
			struct str why = failure ? json_string(failure) : str_from_c(err_text(err));
			bool not_found = failure && json_is_true(json_member(tree, "not_found"));
			(void)fail_shard(run, not_found ? EXIT_NOT_FOUND : EXIT_FAILED, not_found ? "not_found" : "io",
			                 "shard %02u was not salvaged, and nothing was changed: %.*s", shard, STR_ARG(why));
			(void)remove_place(places); /* the next run would */
		} else {
			finish(run, places, tree, buf_str(&report));
		}
	}
	arena_free(&arena);
	buf_free(&report);
	mem_free(places);
}

/* --- the command --- */

static int read_shards(const struct ctl *ctl, uint16_t n_shards, bool *wanted)
{
	uint64_t number;
	for (uint32_t i = 0; i < ctl->n_arguments; i++) {
		if (str_to_u64(ctl->arguments[i], UINT16_MAX, &number) < 0 || number >= n_shards)
			return ctl_usage(ctl, "there is no shard %.*s in this store", ctl->arguments[i]);
		wanted[number] = true;
	}
	for (uint32_t i = 0; i < n_shards && ctl->n_arguments == 0; i++)
		wanted[i] = true;
	return EXIT_DONE;
}

/* What is said of one shard; of all of them together it would be more than memory should hold. */
static void print_objects(struct run *run)
{
	if (run->all.n)
		printf("%s%.*s", run->has_told ? "," : "", STR_ARG(buf_str(&run->all)));
	run->has_told |= run->all.n > 0;
	buf_clear(&run->all);
}

static int salvage_all(const struct ctl *ctl)
{
	struct store_identity identity;
	const char *directory = ctl->conf.server.directory.p;
	int err = store_folder_read(directory, &identity);
	if (err)
		return fail(ctl, ctl_exit_code(err), "corrupt", "the file %s/store, which says how many shards there are, cannot be "
		            "used: %s. Restore it from a backup", directory, err_text(err));
	bool *wanted = mem_alloc(identity.shards, sizeof *wanted);
	struct run run = { .ctl = ctl, .n_shards = identity.shards, .dry_run = ctl_flag(ctl, "--dry-run"),
		               .all = BUF_INIT(OBJECTS_MAX) };
	run.result = read_shards(ctl, identity.shards, wanted);
	bool usable = run.result == EXIT_DONE;
	if (usable && ctl->json)
		fputs("[", stdout);
	for (uint16_t i = 0; i < identity.shards && usable; i++) {
		if (wanted[i])
			salvage_one(&run, i);
		print_objects(&run);
	}
	if (usable && ctl->json)
		puts("]");
	mem_wipe(&identity, sizeof identity);
	mem_free(wanted);
	buf_free(&run.all);
	return run.result == EXIT_DONE && run.lost ? EXIT_FAILED : run.result;
}

int ctl_run_store_salvage(struct ctl *ctl, const struct ctl_command *command)
{
	const char *directory = ctl->conf.server.directory.p;
	int lock, err = store_folder_lock(directory, &lock);
	if (err == ERR_UNAVAILABLE)
		return fail(ctl, EXIT_UNAVAILABLE, "unavailable", "the store in %s is in use: stop the server first, or let the command "
		            "end that works on it (a shard cannot be made anew while it is served)", directory);
	if (err)
		return fail(ctl, ctl_exit_code(err), err == ERR_NOT_FOUND ? "not_found" : "io",
		            err == ERR_NOT_FOUND ? "there is no store in %s: %s" : "cannot lock the store in %s: %s", directory,
		            err_text(err));
	int result = salvage_all(ctl);
	close(lock);
	return result;
}
