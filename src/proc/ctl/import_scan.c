/* import_scan.c: the folders and messages that there are to import, sorted by folder and name. Links are not followed.
 * What cannot be read is told and counted, and all else goes on. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "mail/folder_name.h"
#include "mail/maildir.h"
#include "mail/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX  40
#define PROBE_SIZE 512 /* bytes that tell an mbox */

void import_add_file(struct import_scan *scan, const struct import_file *file)
{
	if ((scan->n_files & (scan->n_files - 1)) == 0)
		scan->files = mem_resize(scan->files, scan->n_files ? scan->n_files * 2 : 1, sizeof *scan->files);
	scan->files[scan->n_files++] = *file;
	scan->bytes += file->size;
	scan->messages += file->name[0] != '\0';
}

/* Nothing is left out, but nobody would find it. */
static void tell_renamed(struct import *x, const struct import_folder *folder)
{
	struct buf why = BUF_INIT(MAILBOX_NAME_MAX + 100);
	buf_addf(&why, "goes to the mailbox \"%.*s\", since none can have its name", STR_ARG(buf_str(&folder->mailbox)));
	buf_add_byte(&why, '\0');
	x->scan.renamed++;
	import_tell(x, folder->path, why.p);
	buf_free(&why);
}

static uint32_t add_folder(struct import *x, const char *path, struct str name)
{
	struct import_scan *scan = &x->scan;
	if ((scan->n_folders & (scan->n_folders - 1)) == 0)
		scan->folders = mem_resize(scan->folders, scan->n_folders ? (size_t)scan->n_folders * 2 : 1, sizeof *scan->folders);
	struct import_folder *folder = &scan->folders[scan->n_folders];
	*folder = (struct import_folder){ mem_copy(str_from_c(path)), BUF_INIT(MAILBOX_NAME_MAX) };
	if (!import_mailbox_name(x, name, &folder->mailbox))
		tell_renamed(x, folder);
	import_add_file(scan, &(struct import_file){ .folder = scan->n_folders, .name = mem_copy(STR("")) });
	return scan->n_folders++;
}

bool import_fits_the_list(struct str name)
{
	return str_find_byte(name, '\n') < 0 && str_find_byte(name, '\t') < 0;
}

DIR *import_open_folder(int parent, const char *path)
{
	int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

/* --- what is told --- */

void import_tell(struct import *x, const char *path, const char *why)
{
	struct buf line = BUF_INIT(4 * IMPORT_PATH_MAX);
	if (x->is_silent)
		return;
	while (str_starts(str_from_c(path), STR("./")))
		path += 2;
	buf_add(&line, str_from_c(x->source));
	if (!x->is_file && strcmp(path, ".") != 0)
		buf_addf(&line, "/%s", path);
	progress_end(&x->progress);
	fprintf(stderr, "mansio: ");
	ctl_print_text_to(stderr, buf_str(&line));
	putc(' ', stderr);
	ctl_print_text_to(stderr, str_from_c(why));
	putc('\n', stderr);
	buf_free(&line);
}

void import_leave_folder(struct import *x, struct import_scan *scan, const char *path, const char *why)
{
	char text[200];
	snprintf(text, sizeof text, "cannot be read (%m)");
	scan->unreadable_folders++;
	import_tell(x, path, why ? why : text);
}

bool import_read_beside(struct import *x, const struct import_folder *folder, const char *name, struct buf *out)
{
	char path[IMPORT_PATH_MAX + 64], why[200];
	snprintf(path, sizeof path, "%s/%s", folder->path, name);
	int err = file_read(x->source_fd, path, O_NOFOLLOW, out);
	bool is_link = err == ERR_IO && errno == ELOOP;
	snprintf(why, sizeof why, "cannot be read (%s)", is_link ? "it is a link" : err_text(err));
	if (err < 0 && err != ERR_NOT_FOUND)
		import_leave_folder(x, &x->scan, path, why);
	return err == 0;
}

/* Something that has mail and is not read by intent. */
static void pass_over(struct import *x, const char *path, const char *what, uint64_t *count)
{
	char text[64];
	snprintf(text, sizeof text, "is %s; passed over", what);
	++*count;
	import_tell(x, path, text);
}

/* --- what an item of a folder is --- */

enum item { ITEM_NONE, ITEM_FILE, ITEM_FOLDER, ITEM_LINK_TO_FOLDER, ITEM_LINK, ITEM_UNREADABLE /* as errno says */ };

static enum item look_at(int parent, const char *path)
{
	struct stat about, target;
	if (fstatat(parent, path, &about, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR ? ITEM_NONE : ITEM_UNREADABLE;
	if (!S_ISLNK(about.st_mode))
		return S_ISDIR(about.st_mode) ? ITEM_FOLDER : ITEM_FILE;
	return fstatat(parent, path, &target, 0) == 0 && S_ISDIR(target.st_mode) ? ITEM_LINK_TO_FOLDER : ITEM_LINK;
}

/* What its cur is: of a Maildir a folder. */
static enum item look_for_cur(int parent, const char *path)
{
	char cur[IMPORT_PATH_MAX + 8];
	snprintf(cur, sizeof cur, "%s/cur", path);
	return look_at(parent, cur);
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* The path of an item in a folder; false when it is too long, or its name cannot stand in the list: then it is cut, and
 * for people only. */
static bool join(const char *path, const char *name, char out[IMPORT_PATH_MAX])
{
	bool is_root = strcmp(path, ".") == 0;
	int n = snprintf(out, IMPORT_PATH_MAX, "%s%s%s", is_root ? "" : path, is_root ? "" : "/", name);
	return n < IMPORT_PATH_MAX && import_fits_the_list(str_from_c(name));
}

/* May the folder, or mbox file, be entered that join has made a path of? Otherwise it is told. */
static bool may_enter(struct import *x, const char *path, bool has_path, unsigned depth)
{
	if (!has_path)
		import_leave_folder(x, &x->scan, path, "has a path that is too long, or a tab or a line end in its name; left out");
	else if (depth >= DEPTH_MAX)
		import_leave_folder(x, &x->scan, path, "lies too deep; left out");
	return has_path && depth < DEPTH_MAX;
}

/* --- what is an mbox --- */

static bool is_empty_mbox_name(struct str name)
{
	return str_ends(name, STR(".mbox")) || str_find_byte(name, '.') < 0;
}

/* An empty file may be one by its name. Negative: it cannot be read, as errno says. */
enum { PROBE_NO_MBOX, PROBE_MBOX, PROBE_EMPTY_MBOX };

static int probe_mbox(int parent, const char *path, struct str name, int open_flags)
{
	char beginning[PROBE_SIZE];
	struct stat about;
	if (str_ends(name, STR(".partial")) || str_ends(name, STR(".lock")))
		return PROBE_NO_MBOX;
	int fd = openat(parent, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | open_flags);
	if (fd < 0)
		return errno == ENOENT || errno == ENXIO ? PROBE_NO_MBOX : ERR_IO; /* ENXIO: a socket */
	bool is_file = fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
	ssize_t n = is_file ? pread(fd, beginning, sizeof beginning, 0) : 0;
	int errnum = errno;
	close(fd);
	errno = errnum;
	if (!is_file || n < 0)
		return is_file ? ERR_IO : PROBE_NO_MBOX;
	if (n == 0)
		return is_empty_mbox_name(name) ? PROBE_EMPTY_MBOX : PROBE_NO_MBOX;
	return mbox_is_likely(str_of(beginning, (size_t)n)) ? PROBE_MBOX : PROBE_NO_MBOX;
}

/* --- Maildir --- */

/* The mailbox of a Maildir: a name with a dot in front is one of Maildir++, below whatever folder it lies. */
static void read_name(const char *path, struct buf *name)
{
	const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
	if (strcmp(path, ".") == 0) {
		buf_add(name, STR("INBOX"));
	} else if (last[0] != '.') {
		folder_name_read(str_from_c(path), FOLDER_NESTED, name);
	} else {
		if (slash) {
			folder_name_read(str_of(path, (size_t)(slash - path)), FOLDER_NESTED, name);
			buf_add_byte(name, '/');
		}
		folder_name_read(str_from_c(last), FOLDER_MAILDIR_PLUS, name);
	}
}

static void add_maildir(struct import *x, const char *path)
{
	struct buf name = BUF_INIT(64 * 1024);
	read_name(path, &name);
	uint32_t folder = add_folder(x, path, buf_str(&name));
	buf_free(&name);
	import_list(x, folder, &x->scan);
}

static bool is_part_of_maildir(const char *name)
{
	return strcmp(name, "cur") == 0 || strcmp(name, "new") == 0 || strcmp(name, "tmp") == 0;
}

static void scan_maildirs(struct import *x, const char *path, unsigned depth);

/* depth: of the item. */
static void scan_item_of_maildir(struct import *x, int parent, const char *path, const char *name, unsigned depth)
{
	char inside[IMPORT_PATH_MAX];
	enum item item = look_at(parent, name);
	bool has_path = join(path, name, inside);
	if (item == ITEM_LINK_TO_FOLDER)
		pass_over(x, inside, "a link", &x->scan.links);
	else if (item == ITEM_UNREADABLE)
		import_leave_folder(x, &x->scan, inside, NULL);
	else if (item == ITEM_FILE && name[0] != '.' && probe_mbox(parent, name, str_from_c(name), O_NOFOLLOW) == PROBE_MBOX)
		pass_over(x, inside, "an mbox file in a folder of Maildirs", &x->scan.mbox_files);
	else if (item == ITEM_FOLDER && !is_part_of_maildir(name) &&
	         (name[0] != '.' || look_for_cur(parent, name) != ITEM_NONE) && may_enter(x, inside, has_path, depth))
		scan_maildirs(x, inside, depth);
}

/* Folders whose names have a dot in front belong to other things than mail, unless they are Maildirs themselves. */
static void scan_maildirs(struct import *x, const char *path, unsigned depth)
{
	enum item cur = look_for_cur(x->source_fd, path);
	if (cur == ITEM_UNREADABLE) {
		import_leave_folder(x, &x->scan, path, NULL);
		return;
	}
	if (cur == ITEM_FOLDER)
		add_maildir(x, path);
	DIR *dir = import_open_folder(x->source_fd, path);
	struct dirent *item = NULL;
	for (errno = dir ? 0 : errno; dir && (item = readdir(dir)); errno = 0)
		if (!is_dot(item->d_name))
			scan_item_of_maildir(x, dirfd(dir), path, item->d_name, depth + 1);
	if (errno)
		import_leave_folder(x, &x->scan, path, NULL);
	if (dir)
		closedir(dir);
}

static bool has_maildir(int parent, const char *path, unsigned depth)
{
	bool found = look_for_cur(parent, path) == ITEM_FOLDER;
	DIR *dir = found || depth >= DEPTH_MAX ? NULL : import_open_folder(parent, path);
	for (struct dirent *item; dir && !found && (item = readdir(dir));) {
		char inside[IMPORT_PATH_MAX];
		if (!is_dot(item->d_name) && join(path, item->d_name, inside) && look_at(parent, inside) == ITEM_FOLDER)
			found = item->d_name[0] == '.' ? look_for_cur(parent, inside) == ITEM_FOLDER : has_maildir(parent, inside, depth + 1);
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

static int scan_mboxes(struct import *x, const char *path, unsigned depth);

static int add_mbox(struct import *x, const char *path)
{
	struct buf name = BUF_INIT(64 * 1024);
	folder_name_read(str_from_c(path), FOLDER_MBOX, &name);
	int err = import_mbox_scan(x, add_folder(x, path, buf_str(&name)));
	buf_free(&name);
	return err;
}

static int scan_item_of_mboxes(struct import *x, int parent, const char *path, const char *name, unsigned depth)
{
	char inside[IMPORT_PATH_MAX];
	bool has_path = join(path, name, inside);
	enum item item = look_at(parent, name);
	int found = item == ITEM_FILE ? probe_mbox(parent, name, str_from_c(name), O_NOFOLLOW) : 0;
	if (item == ITEM_LINK_TO_FOLDER || (item == ITEM_LINK && probe_mbox(parent, name, str_from_c(name), 0) == PROBE_MBOX))
		pass_over(x, inside, "a link", &x->scan.links);
	else if (item == ITEM_UNREADABLE || found < 0)
		import_leave_folder(x, &x->scan, inside, NULL);
	else if (item == ITEM_FOLDER && may_enter(x, inside, has_path, depth))
		return scan_mboxes(x, inside, depth);
	else if (found > 0 && may_enter(x, inside, has_path, 0))
		return add_mbox(x, inside);
	return 0;
}

static int scan_mboxes(struct import *x, const char *path, unsigned depth)
{
	DIR *dir = import_open_folder(x->source_fd, path);
	struct dirent *item = NULL;
	int err = 0;
	for (errno = dir ? 0 : errno; dir && !err && (item = readdir(dir)); errno = 0)
		if (item->d_name[0] != '.')
			err = scan_item_of_mboxes(x, dirfd(dir), path, item->d_name, depth + 1);
	if (errno)
		import_leave_folder(x, &x->scan, path, NULL);
	if (dir)
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
	int found = probe_mbox(x->source_fd, path, STR("mbox"), O_NOFOLLOW);
	if (found < 0)
		return import_fail(x, ERR_IO, "cannot read %s: %m", x->source);
	if (found == 0)
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

size_t import_count_below(const void *list, size_t n, size_t size, const void *key,
                          int (*compare)(const void *element, const void *key))
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare((const char *)list + middle * size, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
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

int import_scan(struct import *x)
{
	int err = 0;
	if (x->is_file)
		err = scan_file(x);
	else if (x->is_maildir)
		scan_maildirs(x, ".", 0);
	else
		err = scan_mboxes(x, ".", 0);
	if (!err && x->scan.n_folders == 0 && x->scan.unreadable_folders > 0)
		return import_fail(x, ERR_IO, "nothing in %s can be read", x->source);
	if (!err && x->scan.n_folders == 0)
		return import_fail(x, ERR_NOT_FOUND, "there is no mail in %s: neither a Maildir nor an mbox", x->source);
	if (!err && x->scan.n_files)
		qsort_r(x->scan.files, x->scan.n_files, sizeof *x->scan.files, compare_files, &x->scan);
	if (!err && x->is_maildir)
		import_settle(x, &x->scan);
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
