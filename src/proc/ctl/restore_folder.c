/* restore_folder.c: the folder that a whole store is restored into. The mark STORE_FOLDER_UNFINISHED stands in it from
 * before the first file of the restore until the file "store" is there: with the mark alone, what else is there is of a
 * restore that did not end, and goes before the next one begins, for no byte of it may be taken for one of another
 * backup. With "store" the folder is a store, mark or none, and nothing in it is touched. */
#include "proc/ctl/restore.h"

#include "auth/directory.h"
#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Two walks: one that only looks, so that nothing goes where something is that no restore made. */
struct walk {
	const char *directory;
	bool begun_before; /* the mark is there */
	bool removes;
	struct buf *problem;
};

static int refuse(const struct walk *walk, const char *name)
{
	return backup_fail(walk->problem, ERR_EXISTS,
	                   "%s is not empty (%s is in it): a whole store is only restored into an empty folder; move it "
	                   "away, or use --account to restore into the running server",
	                   walk->directory, name);
}

static int remove_it(const struct walk *walk, int folder, const char *name, int flags)
{
	return walk->removes && unlinkat(folder, name, flags) < 0 ? err_from_errno(errno) : 0;
}

static int each_and_itself(struct walk *walk, int parent, const char *name,
                           int (*each)(void *owner, int folder, const char *name))
{
	int result = folder_each(parent, name, each, walk);
	return result == 0 ? remove_it(walk, parent, name, AT_REMOVEDIR) : result;
}

/* What a restore makes, and SQLite beside it. */
static bool is_database(const char *name, struct str file)
{
	struct str text = str_from_c(name), rest = str_from(text, MIN(file.n, text.n));
	return str_starts(text, file) && (rest.n == 0 || str_eq(rest, STR("-wal")) || str_eq(rest, STR("-shm")) ||
	                                  str_eq(rest, STR("-journal")));
}

static bool is_number(struct str text)
{
	uint64_t number;
	return str_to_u64(text, UINT32_MAX, &number) == 0;
}

static int in_body(void *owner, int folder, const char *name)
{
	struct str text = str_from_c(name);
	if (!str_ends(text, STR(".seg")) || !is_number(str_first(text, text.n - 4)))
		return refuse(owner, name);
	return remove_it(owner, folder, name, 0);
}

static int in_shard(void *owner, int folder, const char *name)
{
	if (strcmp(name, "body") == 0)
		return each_and_itself(owner, folder, name, in_body);
	return is_database(name, STR("index.db")) ? remove_it(owner, folder, name, 0) : refuse(owner, name);
}

static int in_shards(void *owner, int folder, const char *name)
{
	return is_number(str_from_c(name)) ? each_and_itself(owner, folder, name, in_shard) : refuse(owner, name);
}

static int in_auth(void *owner, int folder, const char *name)
{
	return is_database(name, STR(DIRECTORY_FILE)) ? remove_it(owner, folder, name, 0) : refuse(owner, name);
}

/* What a folder without a store may have in it. */
static bool is_harmless(const char *name)
{
	static const char *const NAMES[] = { "lock", "lost+found", STORE_FOLDER_RUN, STORE_FOLDER_SPOOL,
		                                 STORE_FOLDER_UNFINISHED };
	for (size_t i = 0; i < COUNT_OF(NAMES); i++)
		if (strcmp(name, NAMES[i]) == 0)
			return true;
	return false;
}

static int in_folder(void *owner, int folder, const char *name)
{
	const struct walk *walk = owner;
	if (is_harmless(name))
		return 0;
	if (walk->begun_before && strcmp(name, STORE_FOLDER_AUTH) == 0)
		return each_and_itself(owner, folder, name, in_auth);
	if (walk->begun_before && strcmp(name, STORE_FOLDER_SHARDS) == 0)
		return each_and_itself(owner, folder, name, in_shards);
	if (walk->begun_before && strcmp(name, RESTORE_STORE_NEW) == 0)
		return remove_it(walk, folder, name, 0);
	return refuse(walk, name);
}

static int clear(struct walk *walk, int folder)
{
	int result = folder_each(folder, ".", in_folder, walk);
	walk->removes = walk->begun_before;
	if (result == 0 && walk->removes)
		result = folder_each(folder, ".", in_folder, walk);
	return result < 0 && walk->problem->n == 0
	           ? backup_fail(walk->problem, result, "cannot remove in %s what a restore that was interrupted left: %s",
	                         walk->directory, err_text(result))
	           : result;
}

int restore_folder_begin(const char *directory, int folder, struct buf *problem)
{
	struct walk walk = { .directory = directory, .problem = problem };
	walk.begun_before = faccessat(folder, STORE_FOLDER_UNFINISHED, F_OK, 0) == 0;
	if (faccessat(folder, "store", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!walk.begun_before)
			return refuse(&walk, "store");
		if (unlinkat(folder, STORE_FOLDER_UNFINISHED, 0) < 0 || fsync(folder) < 0)
			return backup_fail(problem, ERR_IO, "cannot write in %s: %m", directory);
		return backup_fail(problem, ERR_EXISTS,
		                   "%s is not empty: the restore that began there before was finished, and the server may be "
		                   "started; nothing was restored now",
		                   directory);
	}
	int result = clear(&walk, folder);
	if (result < 0)
		return result;
	int mark = openat(folder, STORE_FOLDER_UNFINISHED, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (mark < 0 || fsync(folder) < 0)
		result = backup_fail(problem, ERR_IO, "cannot write in %s: %m", directory);
	if (mark >= 0)
		close(mark);
	return result;
}

int restore_folder_end(int folder)
{
	if (fsync(folder) < 0 || renameat(folder, RESTORE_STORE_NEW, folder, "store") < 0 || fsync(folder) < 0 ||
	    unlinkat(folder, STORE_FOLDER_UNFINISHED, 0) < 0 || fsync(folder) < 0)
		return ERR_IO;
	return 0;
}
