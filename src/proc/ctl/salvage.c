/* salvage.c: `mansio store salvage`: makes shards anew from what can be read of damaged ones, while no server runs, under
 * the store's lock. The new shard is made in a folder beside the old one, which is only read; when it is whole and on
 * disk, the two change places in one step. A run that is cut off leaves a folder that the next one makes anew; it is
 * told from the old shard by a file in it, so that nothing of an old one is ever removed. */
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
#define UNFINISHED   "unfinished-salvage" /* a file in a folder that may be removed */
#define FILES_AT_ONCE 16
#define KEPT_MAX     1000 /* damaged shards of one second */
#define ARENA_MAX    ((size_t)2 * SALVAGE_REPORT_MAX)

struct places {
	char auth[PATH_BYTES], shards[PATH_BYTES], from[PATH_BYTES], to[PATH_BYTES], mark[PATH_BYTES], kept[PATH_BYTES];
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
	snprintf(places->mark, PATH_BYTES, "%s/" STORE_FOLDER_SHARDS "/%02u.salvage/" UNFINISHED, directory, shard);
	for (int i = 1; i == 1 || (i < KEPT_MAX && access(places->kept, F_OK) == 0); i++)
		snprintf(places->kept, PATH_BYTES, i == 1 ? "%s/" STORE_FOLDER_SHARDS "/%02u.damaged-%s" :
		         "%s/" STORE_FOLDER_SHARDS "/%02u.damaged-%s-%d", directory, shard, when, i);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
	return remove(path);
}

/* Links of segments go with it, never the segments. */
static int remove_folder(const char *path)
{
	return nftw(path, remove_one, FILES_AT_ONCE, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 ? 0 : err_from_errno(errno);
}

/* What an earlier run may have left: its unfinished folder goes; an old shard that it had just replaced gets its name. */
static int clear_place(const struct places *places)
{
	if (access(places->to, F_OK) < 0)
		return errno == ENOENT ? 0 : err_from_errno(errno);
	if (access(places->mark, F_OK) == 0)
		return remove_folder(places->to);
	return rename(places->to, places->kept) < 0 ? err_from_errno(errno) : ERR_EXISTS;
}

/* The folder with its mark, and then its owner: the mark is on disk before anything else is in it. */
static int make_place(const struct places *places)
{
	struct stat old;
	if (stat(places->from, &old) < 0)
		return err_from_errno(errno);
	if (mkdir(places->to, 0700) < 0)
		return err_from_errno(errno);
	int fd = open(places->mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int err = fd < 0 || fsync(fd) < 0 ? err_from_errno(errno) : 0;
	if (fd >= 0)
		close(fd);
	if (!err)
		err = file_sync_folder(AT_FDCWD, places->to);
	if (!err && geteuid() == 0 && chown(places->to, old.st_uid, old.st_gid) < 0)
		err = err_from_errno(errno);
	return err;
}

/* The new one takes the place of the old one, which gets the name it is kept under. */
static int swap_places(const struct places *places)
{
	if (unlink(places->mark) < 0)
		return err_from_errno(errno);
	int err = file_sync_folder(AT_FDCWD, places->to);
	if (err)
		return err;
	if (renameat2(AT_FDCWD, places->to, AT_FDCWD, places->from, RENAME_EXCHANGE) < 0)
		return err_from_errno(errno);
	if (rename(places->to, places->kept) < 0)
		return err_from_errno(errno);
	return file_sync_folder(AT_FDCWD, places->shards);
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

static int prepare(const struct ctl *ctl, const struct places *places)
{
	int err = clear_place(places);
	if (err == ERR_EXISTS)
		return fail(ctl, EXIT_FAILED, "exists", "an earlier salvage of this shard was cut off after it was done; what it replaced is "
		            "now in %s. Run it again if the shard in place is damaged", places->kept);
	if (!err)
		err = make_place(places);
	if (err)
		return fail(ctl, ctl_exit_code(err), "io", "cannot make the folder %s: %s", places->to, err_text(err));
	return EXIT_DONE;
}

/* A message was lost; or may have been, where a segment is damaged, and index.db does not say what was there. */
static bool is_lost(const struct json_value *report)
{
	const struct json_value *damage = json_member(report, "damage");
	bool lost = json_u64(json_member(report, "lost_entries")) > 0;
	bool doubtful = json_is_true(json_member(report, "index_damaged"));
	for (const struct json_value *item = damage ? damage->first : NULL; item && doubtful && !lost; item = item->next)
		lost = str_starts(json_string(json_member(item, "file")), STR("body/"));
	return lost;
}

static int finish(const struct ctl *ctl, const struct places *places, bool dry_run, const struct json_value *report,
                  struct str text, struct buf *all)
{
	int err = dry_run ? remove_folder(places->to) : swap_places(places);
	if (err)
		return fail(ctl, EXIT_FAILED, "io", "the new shard %s is whole but cannot take the place of %s: %s", places->to,
		            places->from, err_text(err));
	if (!ctl->json) {
		salvage_print(report, dry_run ? NULL : places->kept);
		return EXIT_DONE;
	}
	json_begin_object(all);
	if (!dry_run)
		json_field_string(all, "kept", str_from_c(places->kept));
	json_key(all, "report");
	json_put_raw(all, text);
	json_end_object(all);
	return EXIT_DONE;
}

static int salvage_one(const struct ctl *ctl, uint16_t shard, uint16_t n_shards, bool dry_run, struct buf *all,
                       bool *lost)
{
	struct places *places = mem_alloc(1, sizeof *places);
	struct buf report = BUF_INIT(SALVAGE_REPORT_MAX);
	struct arena arena = ARENA_INIT(ARENA_MAX);
	struct json_value *tree = NULL;
	name_places(ctl, shard, places);
	struct salvage_work work = { places->auth, places->from, places->to, shard, n_shards, !dry_run };
	int result = prepare(ctl, places);
	if (result == EXIT_DONE) {
		int err = run_child(ctl, &work, &report);
		if (!err && json_parse(buf_str(&report), &arena, &tree) < 0)
			err = ERR_CLOSED;
		const struct json_value *failure = tree ? json_member(tree, "error") : NULL;
		if (err || failure) {
			struct str why = failure ? json_string(failure) : str_from_c(err_text(err));
			result = fail(ctl, EXIT_FAILED, "io", "shard %02u cannot be salvaged; nothing was changed: %.*s", shard,
			              STR_ARG(why));
			(void)remove_folder(places->to); /* the next run would */
		}
	}
	if (result == EXIT_DONE)
		result = finish(ctl, places, dry_run, tree, buf_str(&report), all);
	*lost |= result == EXIT_DONE && is_lost(tree);
	arena_free(&arena);
	buf_free(&report);
	mem_free(places);
	return result;
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

static int salvage_all(const struct ctl *ctl)
{
	struct store_identity identity;
	struct buf all = BUF_INIT(SALVAGE_REPORT_MAX);
	const char *directory = ctl->conf.server.directory.p;
	int err = store_folder_read(directory, &identity);
	if (err)
		return fail(ctl, ctl_exit_code(err), "corrupt", "the file %s/store, which says how many shards there are, cannot be "
		            "used: %s. Restore it from a backup", directory, err_text(err));
	bool *wanted = mem_alloc(identity.shards, sizeof *wanted), lost = false;
	int result = read_shards(ctl, identity.shards, wanted);
	json_begin_array(&all);
	for (uint16_t i = 0; i < identity.shards && result == EXIT_DONE; i++)
		if (wanted[i])
			result = salvage_one(ctl, i, identity.shards, ctl_flag(ctl, "--dry-run"), &all, &lost);
	json_end_array(&all);
	if (result == EXIT_DONE && ctl->json)
		printf("%.*s\n", STR_ARG(buf_str(&all)));
	mem_wipe(&identity, sizeof identity);
	mem_free(wanted);
	buf_free(&all);
	return result == EXIT_DONE && lost ? EXIT_FAILED : result;
}

int ctl_run_store_salvage(struct ctl *ctl, const struct ctl_command *command)
{
	const char *directory = ctl->conf.server.directory.p;
	int lock, err = store_folder_lock(directory, &lock);
	if (err == ERR_UNAVAILABLE)
		return fail(ctl, EXIT_UNAVAILABLE, "unavailable", "the store in %s is in use: stop the server first (a shard cannot be "
		            "made anew while it is served)", directory);
	if (err)
		return fail(ctl, ctl_exit_code(err), err == ERR_NOT_FOUND ? "not_found" : "io",
		            err == ERR_NOT_FOUND ? "there is no store in %s: %s" : "cannot lock the store in %s: %s", directory,
		            err_text(err));
	int result = salvage_all(ctl);
	close(lock);
	return result;
}
