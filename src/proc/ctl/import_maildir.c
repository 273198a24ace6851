/* import_maildir.c: the files of a Maildir into messages. Flags are in a file's name, keywords in dovecot-keywords
 * beside the folder, the internal date is the file's time. A file that has moved since the scan is looked for in its
 * folder; one that is not there is left for the next run (import_moved.c). */
#include "proc/ctl/import.h"

#include "mail/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK    65536
#define KEYWORDS_TEXT (64 * 1024)
#define NO_FOLDER     UINT32_MAX
#define MOVES_MAX     100 /* of a message, while it is opened */

struct maildir_import {
	struct import *x;
	uint32_t folder; /* whose keywords these are */
	struct buf text;
	struct str names[MAILDIR_LETTERS_MAX];
};

static void enter_folder(struct maildir_import *m, uint32_t index)
{
	struct import *x = m->x;
	const struct import_folder *folder = &x->scan.folders[index];
	if (m->folder == index)
		return;
	buf_clear(&m->text);
	(void)import_read_beside(x, folder, MAILDIR_KEYWORDS_FILE, &m->text); /* most folders have none */
	maildir_keywords_read(buf_str(&m->text), m->names);
	import_uidl_enter(x, folder);
	m->folder = index;
}

static int open_message(struct import *x, const struct import_file *file, struct stat *about)
{
	char path[2 * IMPORT_PATH_MAX];
	import_file_path(x, file, path);
	int fd = openat(x->source_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, about) == 0 && S_ISREG(about->st_mode))
		return fd;
	if (fd >= 0) {
		close(fd);
		errno = EINVAL;
	}
	return -1; /* ELOOP: a link; ENXIO: a socket */
}

static int read_message(struct import *x, int fd)
{
	char chunk[READ_CHUNK];
	ssize_t got = 0;
	int err = 0;
	import_message_begin(x);
	while (!err && (got = read(fd, chunk, sizeof chunk)) > 0)
		err = import_message_add(x, str_of(chunk, (size_t)got));
	return err ? err : got < 0 ? ERR_IO : 0;
}

static int send_message(struct maildir_import *m, const struct import_file *file, const struct stat *about)
{
	struct import *x = m->x;
	struct str keywords[MAILDIR_LETTERS_MAX + 1];
	struct maildir_name name = { .flags = 0 };
	size_t n = 0;
	struct str unique = str_from_c(file->name), rest = unique;
	if (!file->is_new && maildir_name_parse(str_from_c(file->name), &name) < 0)
		return 0;
	unique = str_cut(&rest, ':');
	if (name.is_forwarded)
		keywords[n++] = STR("$Forwarded");
	for (int i = 0; i < MAILDIR_LETTERS_MAX; i++)
		if (name.letters >> i & 1 && m->names[i].n > 0 && !(n > 0 && str_ieq(m->names[i], keywords[0])))
			keywords[n++] = m->names[i];
	const struct import_facts facts = {
		.mailbox = buf_str(&x->scan.folders[file->folder].mailbox),
		.flags = name.flags,
		.keywords = keywords,
		.n_keywords = n,
		.date = { about->st_mtime, 0 },
		.uidl = import_uidl_find(x, &x->scan.folders[file->folder], unique),
	};
	return import_message_send(x, &facts);
}

static void leave_unreadable(struct import *x)
{
	char why[200];
	snprintf(why, sizeof why, "cannot be read (%m)");
	x->unreadable++;
	import_leave(x, errno == ELOOP ? "is a link" : errno == EINVAL || errno == ENXIO ? "is no file" : why);
}

static int import_one(struct maildir_import *m)
{
	struct import *x = m->x;
	const struct import_file *file = x->file;
	struct stat about;
	int fd = open_message(x, file, &about);
	for (int i = 0; fd < 0 && errno == ENOENT; i++) {
		if (i == MOVES_MAX || !import_find_moved(x)) {
			import_missed(x);
			import_leave(x, NULL);
			return 0;
		}
		fd = open_message(x, file, &about);
	}
	if (fd < 0) {
		leave_unreadable(x);
		return 0;
	}
	enter_folder(m, file->folder);
	int err = read_message(x, fd);
	bool failed = err == ERR_IO && x->problem.n == 0; /* this one cannot be read: the others go on */
	if (failed) {
		leave_unreadable(x);
		err = 0;
	} else if (!err) {
		err = send_message(m, file, &about);
	}
	close(fd);
	return err;
}

int import_maildir(struct import *x)
{
	struct maildir_import m = { .x = x, .folder = NO_FOLDER, .text = BUF_INIT(KEYWORDS_TEXT) };
	int err = 0;
	while (import_next(x, &err))
		err = import_one(&m);
	buf_free(&m.text);
	return err;
}
