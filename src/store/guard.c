/* guard.c: is there an index.db where there are segments? At its start a store cuts off what lies behind the committed end
 * of its segment, and that is right only if index.db and its log are all that there was: with an older or an empty one the
 * cut would take acknowledged mail, which salvage could still have brought back. Of the log db_open tells (db/wal.h), of
 * the rest this file; it looks, and changes nothing. */
#include "store/internal.h"

#include "base/checked.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES   4096

int guard_segments(struct str directory, uint32_t *last)
{
	char path[PATH_BYTES];
	struct stat about;
	snprintf(path, sizeof path, "%.*s/body", STR_ARG(directory));
	DIR *folder = opendir(path);
	*last = 0;
	if (!folder)
		return errno == ENOENT ? 0 : err_from_errno(errno);
	for (struct dirent *entry; (entry = readdir(folder));) {
		struct str name = str_from_c(entry->d_name);
		uint64_t number;
		if (str_ends(name, STR(".seg")) && str_to_u64(str_first(name, name.n - 4), BODYLOG_SEGMENT_MAX, &number) == 0 &&
		    fstatat(dirfd(folder), entry->d_name, &about, 0) == 0 && about.st_size > 0)
			*last = MAX(*last, (uint32_t)number);
	}
	closedir(folder);
	return 0;
}

int guard_index(struct str directory, enum guard_finding *out)
{
	char path[PATH_BYTES];
	struct stat about;
	uint32_t last = 0;
	snprintf(path, sizeof path, "%.*s/index.db", STR_ARG(directory));
	if (stat(path, &about) < 0 && errno != ENOENT)
		return err_from_errno(errno);
	bool is_there = access(path, F_OK) == 0 && about.st_size > 0;
	int result = is_there ? 0 : guard_segments(directory, &last);
	if (result == 0)
		*out = is_there ? GUARD_INDEX : last > 0 ? GUARD_NO_INDEX : GUARD_NEW;
	return result;
}
