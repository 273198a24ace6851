/* import_scan.c: the folders and messages that there are to import, sorted by folder and name. Links are not
 * followed. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/mem.h"
#include "mail/folder_name.h"
#include "mail/maildir.h"
#include "mail/mbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX  40
#define PROBE_SIZE 512

void import_add_file(struct import_scan *scan, const struct import_file *file)
{
	if ((scan->n_files & (scan->n_files - 1)) == 0)
		scan->files = mem_resize(scan->files, scan->n_files ? scan->n_files * 2 : 1, sizeof *scan->files);
	scan->files[scan->n_files++] = *file;
	scan->bytes += file->size;
	scan->messages += file->name[0] != '\0';
}

static uint32_t add_folder(struct import *x, const char *path, struct str name)
{
	struct import_scan *scan = &x->scan;
	if ((scan->n_folders & (scan->n_folders - 1)) == 0)
		scan->folders = mem_resize(scan->folders, scan->n_folders ? (size_t)scan->n_folders * 2 : 1, sizeof *scan->folders);
	struct import_folder *folder = &scan->folders[scan->n_folders];
	*folder = (struct import_folder){ mem_copy(str_from_c(path)), BUF_INIT(MAILBOX_NAME_MAX) };
	import_mailbox_name(x, name, &folder->mailbox);
	import_add_file(scan, &(struct import_file){ .folder = scan->n_folders, .name = mem_copy(STR("")) });
	return scan->n_folders++;
}

static bool fits_the_list(struct str name)
{
	return str_find_byte(name, '\n') < 0 && str_find_byte(name, '\t') < 0;
}

static DIR *open_folder(int parent, const char *path)
{
	int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

static bool is_folder(int parent, const char *path)
{
	struct stat about;
	return fstatat(parent, path, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode);
}

static bool is_maildir(int parent, const char *path)
{
	char cur[IMPORT_PATH_MAX + 8];
	snprintf(cur, sizeof cur, "%s/cur", path);
	return is_folder(parent, cur);
}

/* --- Maildir --- */

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

static int list_messages(struct import *x, uint32_t folder, const char *path, bool is_new)
{
	char inside[IMPORT_PATH_MAX + 8];
	snprintf(inside, sizeof inside, "%s/%s", path, is_new ? "new" : "cur");
	DIR *dir = open_folder(x->source_fd, inside);
	if (!dir)
		return errno == ENOENT ? 0 : import_fail(x, ERR_IO, "cannot read %s/%s: %m", x->source, inside);
	for (struct dirent *item; (item = readdir(dir));) {
		struct maildir_name name;
		if (maildir_name_parse(str_from_c(item->d_name), &name) < 0)
			continue;
		if (!fits_the_list(name.unique)) {
			x->scan.unreadable++;
			continue;
		}
		struct import_file file = { .folder = folder, .is_new = is_new, .name = mem_copy(str_from_c(item->d_name)),
			                        .size = size_of(dirfd(dir), item->d_name) };
		import_add_file(&x->scan, &file);
	}
	closedir(dir);
	return 0;
}

static int add_maildir(struct import *x, const char *path)
{
	struct buf name = BUF_INIT(64 * 1024);
	bool is_plus = path[0] == '.' && !strchr(path, '/');
	if (strcmp(path, ".") == 0)
		buf_add(&name, STR("INBOX"));
	else
		folder_name_read(str_from_c(path), is_plus ? FOLDER_MAILDIR_PLUS : FOLDER_NESTED, &name);
	uint32_t folder = add_folder(x, path, buf_str(&name));
	buf_free(&name);
	int err = list_messages(x, folder, path, false);
	return err ? err : list_messages(x, folder, path, true);
}

static bool is_part_of_maildir(const char *name)
{
	return strcmp(name, "cur") == 0 || strcmp(name, "new") == 0 || strcmp(name, "tmp") == 0;
}

/* The path of an item in a folder; false when it is too long, or its name cannot stand in the list. */
static bool join(const char *path, const char *name, char out[IMPORT_PATH_MAX])
{
	bool is_root = strcmp(path, ".") == 0;
	int n = snprintf(out, IMPORT_PATH_MAX, "%s%s%s", is_root ? "" : path, is_root ? "" : "/", name);
	return n < IMPORT_PATH_MAX && fits_the_list(str_from_c(name));
}

static int scan_maildirs(struct import *x, const char *path, unsigned depth)
{
	int err = is_maildir(x->source_fd, path) ? add_maildir(x, path) : 0;
	DIR *dir = err ? NULL : open_folder(x->source_fd, path);
	if (!err && !dir)
		return import_fail(x, ERR_IO, "cannot read %s/%s: %m", x->source, path);
	for (struct dirent *item; !err && (item = readdir(dir));) {
		char inside[IMPORT_PATH_MAX];
		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0 || is_part_of_maildir(item->d_name) ||
		    !join(path, item->d_name, inside) || !is_folder(x->source_fd, inside))
			continue;
		if (item->d_name[0] == '.' && (depth > 0 || !is_maildir(x->source_fd, inside)))
			continue;
		if (depth + 1 < DEPTH_MAX)
			err = scan_maildirs(x, inside, depth + 1);
	}
	if (dir)
		closedir(dir);
	return err;
}

static bool has_maildir(int parent, const char *path, unsigned depth)
{
	bool found = is_maildir(parent, path);
	DIR *dir = found || depth >= DEPTH_MAX ? NULL : open_folder(parent, path);
	for (struct dirent *item; dir && !found && (item = readdir(dir));) {
		char inside[IMPORT_PATH_MAX];
		if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0 && join(path, item->d_name, inside) &&
		    is_folder(parent, inside))
			found = has_maildir(parent, inside, depth + 1);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool import_looks_like_maildir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool found = fd >= 0 && has_maildir(fd, ".", 0);
	if (fd >= 0)
		close(fd);
	return found;
}

/* --- mbox --- */

static bool is_empty_mbox_name(struct str name)
{
	return str_ends(name, STR(".mbox")) || str_find_byte(name, '.') < 0;
}

/* A file that is an mbox, or an empty one by its name. */
static bool is_mbox(int parent, const char *path, const char *name)
{
	char beginning[PROBE_SIZE];
	struct stat about;
	struct str written = str_from_c(name);
	if (written.p[0] == '.' || str_ends(written, STR(".partial")) || str_ends(written, STR(".lock")))
		return false;
	int fd = openat(parent, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = -1;
	if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode))
		n = pread(fd, beginning, sizeof beginning, 0);
	close(fd);
	return n == 0 ? is_empty_mbox_name(written) : n > 0 && mbox_is_likely(str_of(beginning, (size_t)n));
}

static int scan_mboxes(struct import *x, const char *path, unsigned depth)
{
	DIR *dir = open_folder(x->source_fd, path);
	int err = 0;
	if (!dir)
		return import_fail(x, ERR_IO, "cannot read %s/%s: %m", x->source, path);
	for (struct dirent *item; !err && (item = readdir(dir));) {
		char inside[IMPORT_PATH_MAX];
		if (item->d_name[0] == '.' || !join(path, item->d_name, inside))
			continue;
		if (is_folder(x->source_fd, inside)) {
			err = depth + 1 < DEPTH_MAX ? scan_mboxes(x, inside, depth + 1) : 0;
		} else if (is_mbox(x->source_fd, inside, item->d_name)) {
			struct buf name = BUF_INIT(64 * 1024);
			folder_name_read(str_from_c(inside), FOLDER_MBOX, &name);
			err = import_mbox_scan(x, add_folder(x, inside, buf_str(&name)));
			buf_free(&name);
		}
	}
	closedir(dir);
	return err;
}

/* One file: its mailbox is the one that was asked for, or by its name; "mbox" and the account's own name (as in
 * /var/mail) are INBOX. */
static int scan_file(struct import *x)
{
	const char *slash = strrchr(x->source, '/'), *path = slash ? slash + 1 : x->source;
	struct str address = x->account, user = str_cut(&address, '@');
	struct buf name = BUF_INIT(64 * 1024);
	if (!is_mbox(x->source_fd, path, "mbox"))
		return import_fail(x, ERR_SYNTAX, "%s is no mbox: it does not begin with a line \"From \"", x->source);
	folder_name_read(str_from_c(path), FOLDER_MBOX, &name);
	bool is_inbox = x->mailbox.n > 0 || str_ieq(buf_str(&name), STR("mbox")) || str_ieq(buf_str(&name), user);
	uint32_t folder = add_folder(x, path, is_inbox ? STR("INBOX") : buf_str(&name));
	buf_free(&name);
	return import_mbox_scan(x, folder);
}

/* --- order --- */

void import_file_path(const struct import *x, const struct import_file *file, char out[2 * IMPORT_PATH_MAX])
{
	snprintf(out, 2 * IMPORT_PATH_MAX, "%s/%s/%s", x->scan.folders[file->folder].path, file->is_new ? "new" : "cur",
	         file->name);
}

struct str import_name_of(const struct import_file *file)
{
	struct str rest = str_from_c(file->name);
	return str_cut(&rest, ':');
}

static int compare_files(const void *a, const void *b, void *owner)
{
	const struct import_scan *scan = owner;
	const struct import_file *first = a, *second = b;
	int order = str_cmp(str_from_c(scan->folders[first->folder].path), str_from_c(scan->folders[second->folder].path));
	if (order == 0)
		order = maildir_name_compare(import_name_of(first), import_name_of(second));
	return order ? order : first->offset < second->offset ? -1 : first->offset > second->offset;
}

static bool is_there(const struct import *x, const struct import_file *file)
{
	char path[2 * IMPORT_PATH_MAX];
	struct stat about;
	import_file_path(x, file, path);
	return fstatat(x->source_fd, path, &about, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A file whose flags change while its folder is read is seen under both names: the one that it has not is none. */
static void drop_renamed(struct import *x)
{
	struct import_scan *scan = &x->scan;
	size_t kept = 0;
	for (size_t i = 0; i < scan->n_files; i++) {
		bool like_last = kept > 0 && compare_files(&scan->files[kept - 1], &scan->files[i], scan) == 0;
		if (!like_last) {
			scan->files[kept++] = scan->files[i];
			continue;
		}
		bool last_is_there = is_there(x, &scan->files[kept - 1]);
		if (last_is_there && is_there(x, &scan->files[i])) {
			scan->files[kept++] = scan->files[i];
			continue;
		}
		struct import_file *none = last_is_there ? &scan->files[i] : &scan->files[kept - 1];
		scan->bytes -= none->size;
		scan->messages--;
		mem_free(none->name);
		scan->files[kept - 1] = last_is_there ? scan->files[kept - 1] : scan->files[i];
	}
	scan->n_files = kept;
}

int import_scan(struct import *x)
{
	int err;
	if (x->is_file)
		err = scan_file(x);
	else
		err = x->is_maildir ? scan_maildirs(x, ".", 0) : scan_mboxes(x, ".", 0);
	if (!err && x->scan.n_folders == 0)
		return import_fail(x, ERR_NOT_FOUND, "there is no mail in %s: neither a Maildir nor an mbox", x->source);
	if (!err && x->scan.n_files)
		qsort_r(x->scan.files, x->scan.n_files, sizeof *x->scan.files, compare_files, &x->scan);
	if (!err && x->is_maildir)
		drop_renamed(x);
	return err;
}

void import_scan_free(struct import_scan *scan)
{
	for (size_t i = 0; i < scan->n_files; i++)
		mem_free(scan->files[i].name);
	for (uint32_t i = 0; i < scan->n_folders; i++) {
		mem_free(scan->folders[i].path);
		buf_free(&scan->folders[i].mailbox);
	}
	mem_free(scan->files);
	mem_free(scan->folders);
}
