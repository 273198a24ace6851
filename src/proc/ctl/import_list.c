/* import_list.c: the messages of one folder of a Maildir. Other programs move them meanwhile (from new to cur, and under
 * another name when their flags change), so a folder is listed again while it changes, and of what was seen twice one
 * is kept. No state; what cannot be read is told and counted, and all else goes on. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "mail/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define TICK_US    20000 /* times of folders are no finer than this */
#define ROUNDS_MAX 4     /* of a folder that never rests; what they miss, another import finds */

static const char *const PARTS[] = { "new", "cur" }; /* mail moves from new to cur: in this order it is seen */

/* --- listing --- */

/* "…,S=1234,…" where the name has it, else of the file. */
static uint64_t size_of(int folder, const char *name)
{
	struct str rest = str_from_c(name), unique = str_cut(&rest, ':');
	struct stat about;
	uint64_t size;
	while (unique.p) {
		struct str part = str_cut(&unique, ',');
		if (str_starts(part, STR("S=")) && str_to_u64(str_from(part, 2), INT64_MAX, &size) == 0)
			return size;
	}
	return fstatat(folder, name, &about, 0) == 0 ? (uint64_t)about.st_size : 0;
}

static void inside(const struct import *x, uint32_t folder, const char *part, char path[IMPORT_PATH_MAX + 8])
{
	snprintf(path, IMPORT_PATH_MAX + 8, "%s/%s", x->scan.folders[folder].path, part);
}

/* errno of what could not be read, or 0. */
static int list_part(struct import *x, uint32_t folder, size_t part, struct import_scan *to)
{
	char path[IMPORT_PATH_MAX + 8];
	inside(x, folder, PARTS[part], path);
	DIR *dir = import_open_folder(x->source_fd, path);
	if (!dir)
		return errno == ENOENT ? 0 : errno;
	struct dirent *item;
	for (errno = 0; (item = readdir(dir)); errno = 0) {
		struct maildir_name name;
		if (maildir_name_parse(str_from_c(item->d_name), &name) < 0)
			continue;
		if (!import_fits_the_list(name.unique)) {
			to->unreadable++;
			continue;
		}
		const struct import_file file = { .folder = folder, .is_new = part == 0,
			                              .name = mem_copy(str_from_c(item->d_name)),
			                              .size = to == &x->scan ? size_of(dirfd(dir), item->d_name) : 0 };
		import_add_file(to, &file);
	}
	int failed = errno;
	closedir(dir);
	return failed;
}

/* When something was last renamed, added or removed there. */
static void read_times(const struct import *x, uint32_t folder, struct timespec times[COUNT_OF(PARTS)])
{
	for (size_t i = 0; i < COUNT_OF(PARTS); i++) {
		char path[IMPORT_PATH_MAX + 8];
		struct stat about;
		inside(x, folder, PARTS[i], path);
		times[i] = (struct timespec){ 0 };
		if (fstatat(x->source_fd, path, &about, AT_SYMLINK_NOFOLLOW) == 0)
			times[i] = about.st_mtim;
	}
}

/* Nothing has changed between the two: the times are the same, and so old that a later change would have another one. */
static bool has_rested(const struct timespec before[COUNT_OF(PARTS)], const struct timespec after[COUNT_OF(PARTS)],
                       int64_t begun_us)
{
	for (size_t i = 0; i < COUNT_OF(PARTS); i++) {
		int64_t age = begun_us - (int64_t)after[i].tv_sec * 1000000 - after[i].tv_nsec / 1000;
		if (before[i].tv_sec != after[i].tv_sec || before[i].tv_nsec != after[i].tv_nsec || (age >= 0 && age < TICK_US))
			return false;
	}
	return true;
}

void import_list(struct import *x, uint32_t folder, struct import_scan *to)
{
	struct timespec before[COUNT_OF(PARTS)], after[COUNT_OF(PARTS)];
	uint64_t unreadable = to->unreadable;
	int failed[COUNT_OF(PARTS)];
	char path[IMPORT_PATH_MAX + 8];
	int64_t now = clock_wall_microseconds();
	read_times(x, folder, after);
	for (int round = 0; round < ROUNDS_MAX; round++) {
		int64_t begun = now;
		memcpy(before, after, sizeof before);
		to->unreadable = unreadable;
		for (size_t i = 0; i < COUNT_OF(PARTS); i++)
			failed[i] = list_part(x, folder, i, to);
		now = clock_wall_microseconds();
		read_times(x, folder, after);
		if (has_rested(before, after, begun))
			break;
	}
	for (size_t i = 0; i < COUNT_OF(PARTS); i++) {
		inside(x, folder, PARTS[i], path);
		errno = failed[i];
		if (failed[i])
			import_leave_folder(x, to, path, NULL);
	}
	if (to->unreadable > unreadable)
		import_tell(x, x->scan.folders[folder].path, "has messages whose names have a tab or a line end; left out");
}

/* --- each once --- */

/* One of several files of a folder with the same name up to the colon. */
struct twin {
	struct import_file file;
	struct stat about;
};

static void drop(struct import_scan *scan, struct import_file *file)
{
	scan->bytes -= file->size;
	scan->messages--;
	mem_free(file->name);
}

static int compare_inodes(const void *a, const void *b)
{
	const struct stat *first = &((const struct twin *)a)->about, *second = &((const struct twin *)b)->about;
	if (first->st_dev != second->st_dev)
		return first->st_dev < second->st_dev ? -1 : 1;
	return first->st_ino < second->st_ino ? -1 : first->st_ino > second->st_ino;
}

static int compare_names(const void *a, const void *b)
{
	const struct import_file *first = &((const struct twin *)a)->file, *second = &((const struct twin *)b)->file;
	return first->is_new != second->is_new ? (int)first->is_new - (int)second->is_new : strcmp(first->name, second->name);
}

/* By what a change of flags leaves as it is. */
static int compare_twins(const void *a, const void *b)
{
	const struct stat *first = &((const struct twin *)a)->about, *second = &((const struct twin *)b)->about;
	if (first->st_mtim.tv_sec != second->st_mtim.tv_sec)
		return first->st_mtim.tv_sec < second->st_mtim.tv_sec ? -1 : 1;
	if (first->st_mtim.tv_nsec != second->st_mtim.tv_nsec)
		return first->st_mtim.tv_nsec < second->st_mtim.tv_nsec ? -1 : 1;
	if (first->st_size != second->st_size)
		return first->st_size < second->st_size ? -1 : 1;
	return compare_inodes(a, b);
}

/* Of those that compare as the same the first is kept. How many are. */
static size_t keep_each_once(struct import_scan *scan, struct twin *twins, size_t n,
                             int (*compare)(const void *a, const void *b))
{
	size_t kept = 0;
	if (n > 1)
		qsort(twins, n, sizeof *twins, compare);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && compare(&twins[kept - 1], &twins[i]) == 0)
			drop(scan, &twins[i].file);
		else
			twins[kept++] = twins[i];
	}
	return kept;
}

/* Without the names that are not there any more; of none but such the last is kept. */
static size_t keep_what_is_there(struct import *x, struct import_scan *scan, struct twin *twins, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		char path[2 * IMPORT_PATH_MAX];
		import_file_path(x, &twins[i].file, path);
		if (fstatat(x->source_fd, path, &twins[i].about, AT_SYMLINK_NOFOLLOW) == 0 || (kept == 0 && i + 1 == n))
			twins[kept++] = twins[i];
		else
			drop(scan, &twins[i].file);
	}
	return kept;
}

/* Files of one name, to where they are kept: a name that is no longer there is of the same file as another, for the file
 * was renamed while its folder was listed; all of them: the file has a name that nobody saw, and is looked for in its
 * turn. How many are kept. */
static size_t settle(struct import *x, struct import_scan *scan, const struct import_file *files, size_t n,
                     struct import_file *kept)
{
	struct twin *twins = mem_alloc(n, sizeof *twins);
	for (size_t i = 0; i < n; i++)
		twins[i].file = files[i];
	n = keep_each_once(scan, twins, n, compare_names);
	n = keep_what_is_there(x, scan, twins, n);
	n = keep_each_once(scan, twins, n, compare_inodes);
	if (n > 1)
		qsort(twins, n, sizeof *twins, compare_twins);
	for (size_t i = 0; i < n; i++)
		kept[i] = twins[i].file;
	mem_free(twins);
	return n;
}

void import_settle(struct import *x, struct import_scan *scan)
{
	size_t kept = 0;
	for (size_t i = 0, end; i < scan->n_files; i = end) {
		const struct import_file *first = &scan->files[i];
		for (end = i + 1; end < scan->n_files && scan->files[end].folder == first->folder &&
		                  str_eq(import_name_of(&scan->files[end]), import_name_of(first));)
			end++;
		if (end == i + 1)
			scan->files[kept++] = *first;
		else
			kept += settle(x, scan, first, end - i, scan->files + kept);
	}
	scan->n_files = kept;
}
