/* export_maildir.c: entries into a Maildir, as Dovecot and mutt have it: lines end in LF, the time of a file is the
 * internal date, flags are in its name, names of keywords in a file beside. INBOX is the folder itself (Maildir++) or
 * "INBOX" in it (nested).
 *
 * A file's name begins with the internal date, the entry's id and the account's: it is the same in every run, so one
 * that was interrupted goes on where it was, and a later one adds what is new. A file comes from tmp/ into cur/ when
 * it is whole. */
#include "proc/ctl/export.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "mail/folder_name.h"
#include "mail/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_ROOM (FOLDER_PATH_MAX + 2 * MAILDIR_NAME_MAX)
#define KEYWORDS_TEXT 65536 /* as much as import reads */
#define LOCK_TRIES    30
#define LOCK_PAUSE_NS 100000000
#define OUT_CHUNK 65536
#define OUT_MAX   (4 * OUT_CHUNK) /* more than the largest piece that comes at once */

/* CRLF becomes LF on its way into the file. */
struct maildir_file {
	int fd;
	struct buf out;
	bool held_cr;
	char last; /* byte written */
	uint64_t size, virtual_size; /* bytes; as many with CRLF again (Dovecot's W) */
	int err;
};

static void flush_file(struct maildir_file *file)
{
	if (!file->err)
		file->err = file_write(file->fd, buf_str(&file->out));
	buf_clear(&file->out);
}

static void put(struct maildir_file *file, struct str bytes)
{
	if (bytes.n == 0)
		return;
	if (file->out.n + bytes.n > OUT_MAX)
		flush_file(file);
	file->size += bytes.n;
	file->virtual_size += bytes.n + (bytes.p[0] == '\n' && file->last != '\r');
	file->last = bytes.p[bytes.n - 1];
	buf_add(&file->out, bytes);
}

static void take_bytes(void *owner, struct str bytes)
{
	struct maildir_file *file = owner;
	while (bytes.n > 0) {
		ptrdiff_t end = str_find_byte(bytes, '\n');
		struct str line = end < 0 ? bytes : str_first(bytes, (size_t)end);
		bytes = str_from(bytes, line.n + (end >= 0));
		if (file->held_cr && line.n > 0)
			put(file, STR("\r"));
		file->held_cr = line.n > 0 && line.p[line.n - 1] == '\r';
		put(file, str_first(line, line.n - file->held_cr));
		if (end >= 0) {
			put(file, STR("\n"));
			file->held_cr = false;
		}
	}
}

static int end_bytes(struct maildir_file *file)
{
	if (file->held_cr)
		put(file, STR("\r"));
	flush_file(file);
	return file->err;
}

/* --- what an earlier run left --- */

/* What stays of a name: up to the sizes and flags. */
static struct str stem_of(struct str name)
{
	struct str rest = name, unique = str_cut(&rest, ':');
	return str_cut(&unique, ',');
}

static int compare_stems(const void *a, const void *b)
{
	return str_cmp(stem_of(*(const struct str *)a), stem_of(*(const struct str *)b));
}

static const struct str *find_there(const struct export_mailbox *mailbox, struct str stem)
{
	return mailbox->n_there ? bsearch(&stem, mailbox->there, mailbox->n_there, sizeof stem, compare_stems) : NULL;
}

static int list_there(struct export *x, struct export_mailbox *mailbox)
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/cur", mailbox->path);
	int fd = openat(x->folder_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return err_from_errno(errno);
	for (struct dirent *item; (item = readdir(dir));) {
		if (item->d_name[0] == '.')
			continue;
		if ((mailbox->n_there & (mailbox->n_there - 1)) == 0)
			mailbox->there = mem_resize(mailbox->there, mailbox->n_there ? mailbox->n_there * 2 : 1, sizeof(struct str));
		struct str name = str_from_c(item->d_name);
		mailbox->there[mailbox->n_there++] = str_of(mem_copy(name), name.n);
	}
	closedir(dir);
	if (mailbox->n_there)
		qsort(mailbox->there, mailbox->n_there, sizeof *mailbox->there, compare_stems);
	return 0;
}

/* --- mailboxes --- */

/* One that is there keeps its mode, and where that is allowed its owner; it is not lost in a power cut. */
static int write_small_file(struct export *x, const char *folder, const char *name, struct str text)
{
	char path[PATH_ROOM], partial[PATH_ROOM];
	struct stat before;
	snprintf(path, sizeof path, "%s/%s", folder, name);
	snprintf(partial, sizeof partial, "%s/tmp/%s", folder, name);
	int fd = export_new_file(x, partial, 0);
	int err = fd < 0 ? err_from_errno(errno) : file_write(fd, text);
	if (!err && fstatat(x->folder_fd, path, &before, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(before.st_mode)) {
		(void)!fchown(fd, before.st_uid, before.st_gid);
		if (fchmod(fd, before.st_mode & 0666) < 0 || (text.n > 0 && fsync(fd) < 0))
			err = err_from_errno(errno);
	}
	if (fd >= 0 && close(fd) < 0 && !err)
		err = err_from_errno(errno);
	if (!err && renameat(x->folder_fd, partial, x->folder_fd, path) < 0)
		err = err_from_errno(errno);
	return err;
}

/* The keywords of mail that is there already, be it of another account or program; none: an empty text. */
static int read_keywords(struct export *x, const struct export_mailbox *mailbox, struct buf *text)
{
	char path[PATH_ROOM];
	struct stat about;
	snprintf(path, sizeof path, "%s/%s", mailbox->path, MAILDIR_KEYWORDS_FILE);
	int err = file_read(x->folder_fd, path, O_NOFOLLOW, text);
	if (err == 0 || err == ERR_NOT_FOUND)
		return 0;
	const char *why = err == ERR_LIMIT ? "it is too large" : err_text(err);
	if (fstatat(x->folder_fd, path, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(about.st_mode))
		why = "a link, which is not followed";
	snprintf(x->problem, sizeof x->problem,
	         "cannot read %.150s/%.150s/%s (%s); without it nobody knows which letters are free", x->folder,
	         mailbox->path, MAILDIR_KEYWORDS_FILE, why);
	return err;
}

static uint32_t letters_there(const struct export_mailbox *mailbox)
{
	uint32_t letters = 0;
	struct maildir_name name;
	for (size_t i = 0; i < mailbox->n_there; i++)
		if (maildir_name_parse(mailbox->there[i], &name) == 0)
			letters |= name.letters;
	return letters;
}

/* Against another export that adds keywords, for a moment. Anybody who can read the folder can lock it, and for as long as he
 * likes. File systems without locks do without. */
static int lock_folder(struct export *x)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(x->folder_fd, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR))
			return 0;
		nanosleep(&pause, NULL);
	}
	snprintf(x->problem, sizeof x->problem, "another program holds a lock on the folder %.200s, where keywords are to be added; run "
	         "the same command again when it has ended", x->folder);
	return ERR_UNAVAILABLE;
}

/* What the letters of mail that is there mean stays as it is; new keywords get free ones. */
static int add_keywords(struct export *x, struct export_mailbox *mailbox)
{
	struct buf before = BUF_INIT(KEYWORDS_TEXT / 2), after = BUF_INIT(KEYWORDS_TEXT);
	mailbox->letters = mem_alloc(MAX(mailbox->n_keywords, (size_t)1), sizeof *mailbox->letters);
	int err = lock_folder(x);
	if (err)
		return err;
	err = read_keywords(x, mailbox, &before);
	size_t without = err ? 0 : maildir_keywords_add(buf_str(&before), letters_there(mailbox), mailbox->keywords,
	                                                mailbox->n_keywords, mailbox->letters, &after);
	if (!err)
		err = buf_error(&after);
	if (!err && after.n > before.n)
		err = write_small_file(x, mailbox->path, MAILDIR_KEYWORDS_FILE, buf_str(&after));
	(void)flock(x->folder_fd, LOCK_UN);
	if (without > 0)
		fprintf(stderr, "mansio: mailbox %.*s: %zu of its %zu keywords are left out; a Maildir can have %d\n",
		        STR_ARG(mailbox->name), without, mailbox->n_keywords, MAILDIR_LETTERS_MAX);
	buf_free(&before);
	buf_free(&after);
	return err == ERR_LIMIT ? ERR_IO : err; /* ERR_LIMIT speaks of the name */
}

static int find_path(struct export *x, struct export_mailbox *mailbox)
{
	struct buf path = BUF_INIT(FOLDER_PATH_MAX + 1);
	enum folder_layout layout = x->is_nested ? FOLDER_NESTED : FOLDER_MAILDIR_PLUS;
	int err = 0;
	if (str_eq(mailbox->name, STR("INBOX")) && !x->is_nested)
		buf_add_byte(&path, '.');
	else
		err = folder_name_print(mailbox->name, layout, &path);
	if (!err)
		mailbox->path = mem_copy(buf_str(&path));
	buf_free(&path);
	return err ? ERR_LIMIT : 0;
}

static int maildir_open_mailbox(struct export *x, uint32_t index)
{
	static const char *const FOLDERS[] = { "cur", "new", "tmp" };
	struct export_mailbox *mailbox = &x->mailboxes[index];
	char path[PATH_ROOM];
	int err = find_path(x, mailbox);
	for (size_t i = 0; i < COUNT_OF(FOLDERS) && !err; i++) {
		snprintf(path, sizeof path, "%s/%s", mailbox->path, FOLDERS[i]);
		err = export_make_folder(x, path);
	}
	if (!err && !x->is_nested && !str_eq(mailbox->name, STR("INBOX")))
		err = write_small_file(x, mailbox->path, "maildirfolder", STR(""));
	if (!err)
		err = list_there(x, mailbox);
	return err || mailbox->n_keywords == 0 ? err : add_keywords(x, mailbox);
}

/* --- messages --- */

static void set_flags(const struct export_mailbox *mailbox, const struct parcel_entry *entry, struct maildir_name *name)
{
	name->flags = entry->flags;
	for (size_t i = 0; i < mailbox->n_keywords; i++) {
		if (!(entry->keywords.word[i / 64] >> (i % 64) & 1))
			continue;
		if (mailbox->letters[i] != MAILDIR_NO_LETTER)
			name->letters |= UINT32_C(1) << mailbox->letters[i];
		name->is_forwarded |= str_ieq(mailbox->keywords[i], STR("$Forwarded"));
	}
}

/* The name in cur/ of the file that is ready in tmp/, and there it goes. */
static int deliver(struct export *x, const struct export_entry *e, const struct maildir_file *file, const char *stem,
                   const char *partial)
{
	struct export_mailbox *mailbox = &x->mailboxes[e->mailbox];
	char unique[MAILDIR_NAME_MAX + 1];
	struct buf path = BUF_INIT(PATH_ROOM);
	snprintf(unique, sizeof unique, "%s,S=%" PRIu64 ",W=%" PRIu64, stem, file->size, file->virtual_size);
	struct maildir_name name = { .unique = str_from_c(unique) };
	set_flags(mailbox, e->entry, &name);
	buf_addf(&path, "%s/cur/", mailbox->path);
	maildir_name_print(&name, &path);
	buf_add_byte(&path, '\0');
	int err = buf_error(&path);
	if (!err && renameat(x->folder_fd, partial, x->folder_fd, path.p) < 0)
		err = err_from_errno(errno);
	if (!err && !e->message->path)
		e->message->path = mem_copy(str_first(buf_str(&path), path.n - 1));
	buf_free(&path);
	return err;
}

static int write_file(struct export *x, const struct export_entry *e, const char *stem)
{
	char partial[PATH_ROOM];
	snprintf(partial, sizeof partial, "%s/tmp/%s", x->mailboxes[e->mailbox].path, stem);
	struct maildir_file file = { .out = BUF_INIT(OUT_MAX) };
	struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_sec = (time_t)e->message->date.seconds } };
	file.fd = export_new_file(x, partial, 0);
	if (file.fd < 0)
		return err_from_errno(errno);
	int err = export_read(x, e->message, take_bytes, &file);
	if (!err)
		err = end_bytes(&file);
	if (!err && futimens(file.fd, times) < 0)
		err = err_from_errno(errno);
	if (close(file.fd) < 0 && !err)
		err = err_from_errno(errno);
	if (!err)
		err = deliver(x, e, &file, stem, partial);
	if (err)
		unlinkat(x->folder_fd, partial, 0);
	buf_free(&file.out);
	return err;
}

/* A power cut may leave the name of a file and not its bytes: then it is written again. */
static bool is_whole(struct export *x, const struct export_mailbox *mailbox, struct str name)
{
	char path[PATH_ROOM];
	struct stat facts;
	ptrdiff_t at = str_find(name, STR(",S="));
	uint64_t size = 0;
	struct str rest = at < 0 ? STR("") : str_from(name, (size_t)at + 3);
	snprintf(path, sizeof path, "%s/cur/%.*s", mailbox->path, STR_ARG(name));
	if (str_to_u64(str_cut(&rest, ','), UINT64_MAX, &size) < 0 || fstatat(x->folder_fd, path, &facts, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (uint64_t)facts.st_size == size)
		return true;
	return unlinkat(x->folder_fd, path, 0) < 0;
}

static int maildir_write(struct export *x, struct export_entry *e)
{
	struct export_mailbox *mailbox = &x->mailboxes[e->mailbox];
	const unsigned char *id = x->account.bytes;
	char stem[128], path[PATH_ROOM];
	snprintf(stem, sizeof stem, "%" PRId64 ".E%" PRIu64 ".%02x%02x%02x%02x", MAX(e->message->date.seconds, INT64_C(0)),
	         e->entry->id, id[0], id[1], id[2], id[3]);
	const struct str *there = find_there(mailbox, str_from_c(stem));
	if (!there || !is_whole(x, mailbox, *there))
		return write_file(x, e, stem);
	e->was_there = true;
	if (!e->message->path) {
		snprintf(path, sizeof path, "%s/cur/%.*s", mailbox->path, STR_ARG(*there));
		e->message->path = mem_copy(str_from_c(path));
	}
	return 0;
}

/* A second entry of a message: from the file that the first one became, LF becoming CRLF again. */
static int maildir_read_back(struct export *x, const struct export_message *message,
                             void (*give)(void *owner, struct str bytes), void *owner)
{
	char chunk[OUT_CHUNK];
	char last = 0;
	ssize_t got = -1;
	int fd = openat(x->folder_fd, message->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	while (fd >= 0 && (got = read(fd, chunk, sizeof chunk)) > 0) {
		struct str rest = str_of(chunk, (size_t)got);
		while (rest.n > 0) {
			ptrdiff_t end = str_find_byte(rest, '\n');
			struct str line = end < 0 ? rest : str_first(rest, (size_t)end);
			if (line.n > 0) {
				give(owner, line);
				last = line.p[line.n - 1];
			}
			if (end >= 0) {
				give(owner, last == '\r' ? STR("\n") : STR("\r\n"));
				last = '\n';
			}
			rest = str_from(rest, line.n + (end >= 0));
		}
	}
	int err = got < 0 ? err_from_errno(errno) : 0;
	if (fd >= 0)
		close(fd);
	return err;
}

/* Everything is on disk before the export says that it is done. */
static int maildir_finish(struct export *x)
{
	return syncfs(x->folder_fd) < 0 ? err_from_errno(errno) : 0;
}

static void maildir_close(struct export *x)
{
}

const struct export_format EXPORT_MAILDIR = { "maildir",         maildir_open_mailbox, maildir_write,
	                                          maildir_read_back, maildir_finish,       maildir_close };
