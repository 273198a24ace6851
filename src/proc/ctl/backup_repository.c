/* backup_repository.c: the folder of backups. A generation is a folder that got its name by a rename after everything
 * in it was on disk; what is in generations/.new is of a run that did not end. Segment files are only appended to, and
 * only behind what a generation knows of them; so an interrupted run harms none. One writer, or many readers, by flock.
 */
#include "proc/ctl/backup.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_SECONDS 86400

int backup_fail(struct buf *problem, int err, const char *format, ...)
{
	char text[BACKUP_PATH_MAX + 512];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	buf_clear(problem);
	buf_add(problem, str_of(text, MIN((size_t)MAX(n, 0), sizeof text - 1)));
	return err;
}

void segment_path(const struct backup_segment *segment, char out[BACKUP_NAME_MAX * 2])
{
	if (segment->variant)
		snprintf(out, BACKUP_NAME_MAX * 2, BACKUP_SEGMENTS "/%02u/%06u.%u.seg", segment->shard, segment->number,
		         segment->variant);
	else
		snprintf(out, BACKUP_NAME_MAX * 2, BACKUP_SEGMENTS "/%02u/%06u.seg", segment->shard, segment->number);
}

void generation_path(const char *name, const char *file, char out[BACKUP_NAME_MAX * 4])
{
	snprintf(out, BACKUP_NAME_MAX * 4, BACKUP_GENERATIONS "/%s%s%s", name, file[0] ? "/" : "", file);
}

static int write_file(int folder, const char *name, struct str text)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	int result = file_write(fd, text);
	if (result == 0 && fsync(fd) < 0)
		result = ERR_IO;
	close(fd);
	return result;
}

static int make_folder(int folder, const char *name)
{
	return mkdirat(folder, name, 0700) < 0 && errno != EEXIST ? err_from_errno(errno) : 0;
}

int folder_each(int parent, const char *name, int (*each)(void *owner, int folder, const char *name), void *owner)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), result = 0;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	if (!list) {
		result = err_from_errno(errno);
		if (fd >= 0)
			close(fd);
		return result;
	}
	for (struct dirent *item; result == 0 && (item = readdir(list));)
		if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
			result = each(owner, fd, item->d_name);
	closedir(list);
	return result;
}

/* --- opening --- */

#define MARK_NEW BACKUP_MARK ".new"

static int is_there(void *owner, int folder, const char *name)
{
	return strcmp(name, MARK_NEW) == 0 ? 0 : ERR_EXISTS;
}

static int make_mark(struct repository *repository, const char *store, struct buf *problem)
{
	char text[256];
	if (folder_each(repository->folder, ".", is_there, NULL) == ERR_EXISTS)
		return backup_fail(problem, ERR_EXISTS, "%s is not empty, and no folder of backups; name another, or a new one",
		                   repository->path);
	int n = snprintf(text, sizeof text,
	                 "# A folder of backups, made by mansio backup. Do not edit.\nformat = %d\nstore = %s\n",
	                 BACKUP_FORMAT, store);
	/* Whole or not there: a mark that could not be written would stand in the way of the next try. */
	int result = write_file(repository->folder, MARK_NEW, str_of(text, (size_t)n));
	if (result == 0 && renameat(repository->folder, MARK_NEW, repository->folder, BACKUP_MARK) < 0)
		result = err_from_errno(errno);
	if (result == 0 && fsync(repository->folder) < 0)
		result = ERR_IO;
	return result < 0 ? backup_fail(problem, result, "cannot write in %s: %m", repository->path) : 0;
}

static int read_mark(struct repository *repository, struct buf *problem)
{
	struct buf text = BUF_INIT(BACKUP_TEXT_MAX);
	int result = file_read(repository->folder, BACKUP_MARK, O_NOFOLLOW, &text);
	struct str rest = buf_str(&text), format = STR(""), store = STR("");
	while (result == 0 && rest.p && rest.n > 0) {
		struct str line = str_cut(&rest, '\n'), name = str_trim(str_cut(&line, '='));
		if (str_eq(name, STR("format")))
			format = str_trim(line);
		else if (str_eq(name, STR("store")))
			store = str_trim(line);
	}
	if (result == 0 && (!str_eq(format, STR("1")) || store.n != BACKUP_ID_HEX))
		result = ERR_CORRUPT;
	if (result == 0)
		memcpy(repository->store, store.p, store.n);
	buf_free(&text);
	if (result == ERR_CORRUPT)
		return backup_fail(problem, result, "%s/" BACKUP_MARK " is damaged, or made by a newer version",
		                   repository->path);
	if (result == ERR_FILE_TYPE)
		return backup_fail(problem, result, "cannot read %s/" BACKUP_MARK ": %s", repository->path, err_text(result));
	return result < 0 ? backup_fail(problem, result, "cannot read %s/" BACKUP_MARK ": %m", repository->path) : 0;
}

static int lock(struct repository *repository, bool writes, struct buf *problem)
{
	repository->mark = openat(repository->folder, BACKUP_MARK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (repository->mark < 0)
		return backup_fail(problem, err_from_errno(errno), "%s is no folder of backups: it has no file " BACKUP_MARK,
		                   repository->path);
	if (flock(repository->mark, (writes ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
		return 0;
	return backup_fail(problem, ERR_UNAVAILABLE, "%s is in use by another mansio backup, verify or restore",
	                   repository->path);
}

static int by_age(const void *a, const void *b)
{
	const struct backup_manifest *one = *(struct backup_manifest *const *)a, *other = *(struct backup_manifest *const *)b;
	if (one->sequence != other->sequence)
		return one->sequence < other->sequence ? -1 : 1;
	return strcmp(one->name, other->name);
}

static int read_generation(void *owner, int folder, const char *name)
{
	struct repository *repository = owner;
	char path[BACKUP_NAME_MAX * 2];
	struct backup_manifest *manifest;
	if (name[0] == '.' || strlen(name) >= BACKUP_NAME_MAX)
		return 0;
	if (repository->n_generations + repository->n_unreadable >= BACKUP_GENERATIONS_MAX)
		return ERR_LIMIT;
	snprintf(path, sizeof path, "%s/" BACKUP_MANIFEST, name);
	struct buf text = BUF_INIT(BACKUP_MANIFEST_MAX);
	int result = file_read(folder, path, O_NOFOLLOW, &text);
	if (result == 0)
		result = manifest_parse(buf_str(&text), &manifest);
	buf_free(&text);
	if (result == 0 && strcmp(manifest->name, name) != 0) {
		manifest_free(&manifest);
		result = ERR_CORRUPT;
	}
	if (result == 0) {
		repository->generations = mem_resize(repository->generations, repository->n_generations + 1, sizeof manifest);
		repository->generations[repository->n_generations++] = manifest;
		return 0;
	}
	size_t n = repository->n_unreadable++;
	repository->unreadable = mem_resize(repository->unreadable, n + 1, sizeof *repository->unreadable);
	snprintf(repository->unreadable[n], BACKUP_NAME_MAX, "%s", name);
	return 0;
}

static int load(struct repository *repository, struct buf *problem)
{
	int result = folder_each(repository->folder, BACKUP_GENERATIONS, read_generation, repository);
	if (result == ERR_NOT_FOUND)
		result = 0;
	if (result < 0)
		return backup_fail(problem, result, "cannot read %s/" BACKUP_GENERATIONS ": %s", repository->path,
		                   err_text(result));
	if (repository->n_generations > 1)
		qsort(repository->generations, repository->n_generations, sizeof *repository->generations, by_age);
	return 0;
}

static int open_for_writing(struct repository *repository, const char *store, struct buf *problem)
{
	if (faccessat(repository->folder, BACKUP_MARK, F_OK, 0) != 0) {
		int result = make_mark(repository, store, problem);
		if (result < 0)
			return result;
	}
	int result = lock(repository, true, problem);
	if (result == 0)
		result = read_mark(repository, problem);
	if (result < 0)
		return result;
	if (strcmp(store, repository->store) != 0)
		return backup_fail(problem, ERR_STATE, "%s holds backups of another store; name another folder",
		                   repository->path);
	result = make_folder(repository->folder, BACKUP_GENERATIONS);
	if (result == 0)
		result = make_folder(repository->folder, BACKUP_SEGMENTS);
	return result < 0 ? backup_fail(problem, result, "cannot make a folder in %s: %m", repository->path) : 0;
}

int repository_open(const char *path, const char *store, struct repository *out, struct buf *problem)
{
	*out = (struct repository){ .folder = -1, .mark = -1 };
	char *absolute = NULL;
	if (store && mkdir(path, 0700) < 0 && errno != EEXIST)
		return backup_fail(problem, err_from_errno(errno), "cannot make the folder %s: %m", path);
	absolute = realpath(path, NULL);
	if (!absolute || strlen(absolute) >= sizeof out->path / 2) {
		int result =
			backup_fail(problem, absolute ? ERR_LIMIT : err_from_errno(errno), "cannot open the folder %s: %m", path);
		free(absolute);
		return result;
	}
	snprintf(out->path, sizeof out->path, "%s", absolute);
	free(absolute);
	out->folder = open(out->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->folder < 0)
		return backup_fail(problem, err_from_errno(errno), "cannot open the folder %s: %m", path);
	int result = store ? open_for_writing(out, store, problem) : lock(out, false, problem);
	if (result == 0 && !store)
		result = read_mark(out, problem);
	if (result == 0)
		result = load(out, problem);
	if (result < 0)
		repository_close(out);
	return result;
}

void repository_close(struct repository *repository)
{
	for (size_t i = 0; i < repository->n_generations; i++)
		manifest_free(&repository->generations[i]);
	mem_free(repository->generations);
	mem_free(repository->unreadable);
	if (repository->mark >= 0)
		close(repository->mark);
	if (repository->folder >= 0)
		close(repository->folder);
	*repository = (struct repository){ .folder = -1, .mark = -1 };
}

/* --- finding --- */

bool repository_has(const struct repository *repository, const char *name)
{
	for (size_t i = 0; i < repository->n_generations; i++)
		if (strcmp(repository->generations[i]->name, name) == 0)
			return true;
	for (size_t i = 0; i < repository->n_unreadable; i++)
		if (strcmp(repository->unreadable[i], name) == 0)
			return true;
	return false;
}

const struct backup_manifest *repository_ahead(const struct repository *repository, int64_t now)
{
	const struct backup_manifest *latest = NULL;
	for (size_t i = 0; i < repository->n_generations; i++)
		if (!latest || repository->generations[i]->time > latest->time)
			latest = repository->generations[i];
	return latest && latest->time - now > DAY_SECONDS ? latest : NULL;
}

/* A moment (ctl_read_moment) as the beginning of a generation's name. */
static int read_time(struct str at, char out[BACKUP_NAME_MAX])
{
	int64_t seconds;
	int result = ctl_read_moment(at, &seconds);
	if (result < 0)
		return result;
	for (size_t i = 0; i < at.n; i++)
		out[i] = ascii_is_digit(at.p[i]) ? at.p[i] : i == 10 ? 'T' : '-';
	out[at.n] = '~'; /* behind every name that begins so: the whole day, or minute */
	out[at.n + 1] = '\0';
	return 0;
}

/* A moment with a zone behind it: Z, +01:00 or +0100. */
static bool has_zone(struct str at)
{
	int64_t seconds;
	size_t n = str_ends(at, STR("Z")) || str_ends(at, STR("z")) ? 1
	           : at.n > 6 && (at.p[at.n - 6] == '+' || at.p[at.n - 6] == '-') && at.p[at.n - 3] == ':' ? 6
	           : at.n > 5 && (at.p[at.n - 5] == '+' || at.p[at.n - 5] == '-')                          ? 5
	                                                                                                   : 0;
	return n > 0 && str_find_byte(at, ':') >= 0 && ctl_read_moment(str_first(at, at.n - n), &seconds) == 0;
}

/* Is the generation `name` what `at` (a name), or the newest up to `until` (NULL: whenever), may mean? */
static bool is_meant(const char *name, struct str at, const char *until)
{
	return at.n > 0 ? str_eq(at, str_from_c(name)) : !until || strcmp(name, until) <= 0;
}

/* Only its name tells how old it is. */
static void warn_passed_over(const struct repository *repository, const char *found, const char *until, struct buf *warning)
{
	for (size_t i = 0; i < repository->n_unreadable && warning->n == 0; i++)
		if (strcmp(repository->unreadable[i], found) > 0 && is_meant(repository->unreadable[i], STR(""), until))
			(void)backup_fail(warning, ERR_CORRUPT,
			                  "the manifest of %s/" BACKUP_GENERATIONS "/%s cannot be read; the newest that can be is %s",
			                  repository->path, repository->unreadable[i], found);
}

int repository_find(const struct repository *repository, struct str at, const struct backup_manifest **out,
                    struct buf *warning, struct buf *problem)
{
	char time[BACKUP_NAME_MAX];
	size_t n = repository->n_generations;
	bool latest = at.n == 0 || str_eq(at, STR("latest"));
	int result = latest ? 0 : read_time(at, time);
	if (result == ERR_OVERFLOW)
		return backup_fail(problem, ERR_SYNTAX, "--at: \"%.*s\" is no day or time that there is", STR_ARG(at));
	if (result < 0 && has_zone(at))
		return backup_fail(problem, ERR_SYNTAX, "--at takes times in UTC, without a zone, not \"%.*s\"", STR_ARG(at));
	const char *until = latest || result < 0 ? NULL : time;
	struct str wanted = result < 0 ? at : STR("");
	for (size_t i = n; i-- > 0;) {
		const struct backup_manifest *generation = repository->generations[i];
		if (is_meant(generation->name, wanted, until)) {
			*out = generation;
			if (wanted.n == 0)
				warn_passed_over(repository, generation->name, until, warning);
			return 0;
		}
	}
	for (size_t i = 0; i < repository->n_unreadable; i++)
		if (is_meant(repository->unreadable[i], wanted, until))
			return backup_fail(problem, ERR_CORRUPT, "the manifest of %s/" BACKUP_GENERATIONS "/%s cannot be read",
			                   repository->path, repository->unreadable[i]);
	if (n == 0)
		return backup_fail(problem, ERR_NOT_FOUND, "there is no backup in %s", repository->path);
	if (result < 0)
		return backup_fail(problem, ERR_NOT_FOUND, "there is no backup \"%.*s\" in %s (see mansio backup list)",
		                   STR_ARG(at), repository->path);
	const char *first = repository->generations[0]->name;
	for (size_t i = 1; i < n; i++)
		if (strcmp(repository->generations[i]->name, first) < 0)
			first = repository->generations[i]->name;
	return backup_fail(problem, ERR_NOT_FOUND, "no backup in %s is that old; the oldest is %s", repository->path, first);
}

/* --- a new generation --- */

static int remove_one(void *owner, int folder, const char *name)
{
	return unlinkat(folder, name, 0) < 0 && errno != ENOENT ? err_from_errno(errno) : 0;
}

/* A generation is a flat folder; the manifest goes first, so that half of one is none. */
static int remove_generation(const struct repository *repository, const char *name)
{
	char path[BACKUP_NAME_MAX * 4], manifest[BACKUP_NAME_MAX * 4];
	generation_path(name, "", path);
	generation_path(name, BACKUP_MANIFEST, manifest);
	if (unlinkat(repository->folder, manifest, 0) < 0 && errno != ENOENT)
		return err_from_errno(errno);
	int result = folder_each(repository->folder, path, remove_one, NULL);
	if (result == ERR_NOT_FOUND)
		return 0;
	if (result == 0 && unlinkat(repository->folder, path, AT_REMOVEDIR) < 0)
		result = err_from_errno(errno);
	return result;
}

int repository_begin(const struct repository *repository, struct buf *problem)
{
	int result = remove_generation(repository, BACKUP_NEW);
	if (result == 0)
		result = make_folder(repository->folder, BACKUP_GENERATIONS "/" BACKUP_NEW);
	return result < 0 ? backup_fail(problem, result, "cannot make %s/" BACKUP_GENERATIONS "/" BACKUP_NEW ": %m",
	                                repository->path)
	                  : 0;
}

/* Everything that the manifest names is on disk before its folder gets a name. */
int repository_commit(struct repository *repository, struct backup_manifest **manifest, struct buf *problem)
{
	struct buf text = BUF_INIT(BACKUP_MANIFEST_MAX);
	char path[BACKUP_NAME_MAX * 4], shard[BACKUP_NAME_MAX];
	manifest_print(*manifest, &text);
	int result = buf_error(&text);
	if (result == 0)
		result = write_file(repository->folder, BACKUP_GENERATIONS "/" BACKUP_NEW "/" BACKUP_MANIFEST, buf_str(&text));
	buf_free(&text);
	for (uint16_t i = 0; i < (*manifest)->shards && result == 0; i++) {
		snprintf(shard, sizeof shard, BACKUP_SEGMENTS "/%02u", i);
		result = file_sync_folder(repository->folder, shard);
	}
	if (result == 0)
		result = file_sync_folder(repository->folder, BACKUP_SEGMENTS);
	if (result == 0)
		result = file_sync_folder(repository->folder, BACKUP_GENERATIONS "/" BACKUP_NEW);
	generation_path((*manifest)->name, "", path);
	if (result == 0 && renameat(repository->folder, BACKUP_GENERATIONS "/" BACKUP_NEW, repository->folder, path) < 0)
		result = err_from_errno(errno);
	if (result == 0)
		result = file_sync_folder(repository->folder, BACKUP_GENERATIONS);
	if (result == 0 && fsync(repository->folder) < 0)
		result = ERR_IO;
	if (result < 0)
		return backup_fail(problem, result, "cannot finish the backup in %s: %s", repository->path, err_text(result));
	repository->generations = mem_resize(repository->generations, repository->n_generations + 1, sizeof *manifest);
	repository->generations[repository->n_generations++] = *manifest;
	*manifest = NULL;
	return 0;
}

/* --- removing --- */

struct sweep {
	const struct repository *repository;
	uint16_t shard;
};

/* "000001.seg" or "000001.2.seg"; other files in that folder are not ours. */
static bool read_segment_name(const char *name, uint64_t *number, uint64_t *variant)
{
	struct str rest = str_from_c(name);
	*variant = 0;
	if (str_to_u64(str_cut(&rest, '.'), UINT32_MAX, number) < 0)
		return false;
	return str_eq(rest, STR("seg")) ||
	       (str_to_u64(str_cut(&rest, '.'), UINT32_MAX, variant) == 0 && *variant > 0 && str_eq(rest, STR("seg")));
}

static int sweep_segment(void *owner, int folder, const char *name)
{
	const struct sweep *sweep = owner;
	uint64_t number, variant;
	if (!read_segment_name(name, &number, &variant))
		return 0;
	for (size_t i = 0; i < sweep->repository->n_generations; i++) {
		const struct backup_segment *known =
			manifest_segment(sweep->repository->generations[i], sweep->shard, (uint32_t)number);
		if (known && known->variant == variant)
			return 0;
	}
	return remove_one(NULL, folder, name);
}

static int sweep_shard(void *owner, int folder, const char *name)
{
	uint64_t shard;
	if (str_to_u64(str_from_c(name), UINT16_MAX, &shard) < 0)
		return 0;
	return folder_each(folder, name, sweep_segment, &(struct sweep){ owner, (uint16_t)shard });
}

int repository_prune(struct repository *repository, uint64_t keep, uint64_t *removed, struct buf *problem)
{
	size_t n = repository->n_generations > keep ? repository->n_generations - (size_t)keep : 0;
	int result = 0;
	*removed = 0;
	if (repository->n_unreadable > 0)
		return backup_fail(problem, ERR_CORRUPT,
		                   "nothing old is removed, because the manifest of %s/" BACKUP_GENERATIONS
		                   "/%s cannot be read: move that folder away",
		                   repository->path, repository->unreadable[0]);
	for (; *removed < n && result == 0; ++*removed)
		result = remove_generation(repository, repository->generations[*removed]->name);
	if (result == 0 && n > 0) {
		for (size_t i = 0; i < n; i++)
			manifest_free(&repository->generations[i]);
		memmove(repository->generations, repository->generations + n,
		        (repository->n_generations - n) * sizeof *repository->generations);
		repository->n_generations -= n;
		result = file_sync_folder(repository->folder, BACKUP_GENERATIONS);
	}
	if (result == 0)
		result = folder_each(repository->folder, BACKUP_SEGMENTS, sweep_shard, repository);
	return result < 0
	           ? backup_fail(problem, result, "cannot remove what is old in %s: %s", repository->path, err_text(result))
	           : 0;
}
