/* export_mbox.c: entries into mbox files, one a mailbox: "Work/2019.mbox" below the folder, or the one file that was
 * named. A file is written as NAME.partial and gets its name when everything is in it and on disk. What an earlier
 * run left unfinished is begun anew. */
#include "proc/ctl/export.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "mail/folder_name.h"
#include "mail/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PATH_ROOM  (FOLDER_PATH_MAX + 16)
#define OUT_MAX    (1024 * 1024)
#define OUT_ENOUGH (256 * 1024)
#define NO_MAILBOX UINT32_MAX

struct mbox_writing {
	uint32_t mailbox; /* whose file is open; NO_MAILBOX: none */
	int fd;
	struct mbox_writer *writer;
	struct buf out;
	const struct mbox_message *facts; /* of the message, until it begins */
	struct buf head;                  /* its first bytes: the sender is found there */
	bool has_begun;
	int err;
};

#define HEAD_MAX 32768

/* --- one message --- */

static void flush_out(struct export *x, struct mbox_writing *w)
{
	if (!w->err)
		w->err = buf_error(&w->out);
	if (!w->err)
		w->err = file_write(w->fd, buf_str(&w->out));
	x->mailboxes[w->mailbox].written += w->out.n;
	buf_clear(&w->out);
}

struct message_writing {
	struct export *x;
	struct mbox_writing *w;
	struct mbox_message facts;
};

/* The From_ line names the sender, who stands somewhere in the header. */
static void begin_message(struct message_writing *m)
{
	struct mbox_writing *w = m->w;
	m->facts.sender = mbox_sender_of(buf_str(&w->head));
	mbox_writer_begin(w->writer, &m->facts, &w->out);
	mbox_writer_body(w->writer, buf_str(&w->head), &w->out);
	w->has_begun = true;
}

static void take_bytes(void *owner, struct str bytes)
{
	struct message_writing *m = owner;
	struct mbox_writing *w = m->w;
	if (!w->has_begun) {
		struct str part = str_first(bytes, HEAD_MAX - w->head.n);
		buf_add(&w->head, part);
		bytes = str_from(bytes, part.n);
		if (w->head.n == HEAD_MAX)
			begin_message(m);
	}
	while (bytes.n > 0) {
		struct str part = str_first(bytes, OUT_ENOUGH / 2);
		mbox_writer_body(w->writer, part, &w->out);
		bytes = str_from(bytes, part.n);
		if (w->out.n >= OUT_ENOUGH)
			flush_out(m->x, w);
	}
}

static int write_message(struct export *x, struct mbox_writing *w, struct export_entry *e)
{
	struct message_writing m = { .x = x, .w = w };
	const struct export_mailbox *mailbox = &x->mailboxes[e->mailbox];
	uint64_t start = mailbox->written + w->out.n;
	m.facts.date = e->message->date;
	m.facts.flags = e->entry->flags;
	m.facts.is_old = e->entry->uid < mailbox->recent;
	for (size_t i = 0; i < mailbox->n_keywords && m.facts.n_keywords < MBOX_KEYWORDS_MAX; i++)
		if (e->entry->keywords.word[i / 64] >> (i % 64) & 1)
			m.facts.keywords[m.facts.n_keywords++] = mailbox->keywords[i];
	buf_clear(&w->head);
	w->has_begun = false;
	int err = export_read(x, e->message, take_bytes, &m);
	if (err)
		return err;
	if (!w->has_begun)
		begin_message(&m);
	mbox_writer_end(w->writer, &w->out);
	if (w->out.n >= OUT_ENOUGH)
		flush_out(x, w);
	if (!e->message->is_written) {
		e->message->mailbox = e->mailbox;
		e->message->start = start;
		e->message->end = mailbox->written + w->out.n;
	}
	return w->err ? w->err : buf_error(&w->out);
}

/* --- files --- */

static void partial_path(const struct export_mailbox *mailbox, char path[PATH_ROOM])
{
	snprintf(path, PATH_ROOM, "%s.partial", mailbox->path);
}

static int leave_file(struct export *x, struct mbox_writing *w)
{
	if (w->mailbox == NO_MAILBOX)
		return 0;
	flush_out(x, w);
	if (close(w->fd) < 0 && !w->err)
		w->err = err_from_errno(errno);
	w->mailbox = NO_MAILBOX;
	return w->err;
}

static int enter_file(struct export *x, struct mbox_writing *w, uint32_t index, bool is_new)
{
	char path[PATH_ROOM];
	if (w->mailbox == index)
		return 0;
	int err = leave_file(x, w);
	if (err)
		return err;
	partial_path(&x->mailboxes[index], path);
	w->fd = is_new ? export_new_file(x, path, O_APPEND)
	               : openat(x->folder_fd, path, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	if (w->fd < 0)
		return err_from_errno(errno);
	w->mailbox = index;
	return 0;
}

static struct mbox_writing *writing_of(struct export *x)
{
	if (!x->writing) {
		struct mbox_writing *w = mem_alloc(1, sizeof *w);
		*w = (struct mbox_writing){ .mailbox = NO_MAILBOX, .writer = mbox_writer_new(), .out = BUF_INIT(OUT_MAX),
			                        .head = BUF_INIT(HEAD_MAX) };
		x->writing = w;
	}
	return x->writing;
}

static int make_parent(struct export *x, const char *path)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_ROOM];
	if (!slash)
		return 0;
	snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
	return export_make_folder(x, parent);
}

static int mbox_open_mailbox(struct export *x, uint32_t index)
{
	struct export_mailbox *mailbox = &x->mailboxes[index];
	struct buf path = BUF_INIT(FOLDER_PATH_MAX + 1);
	int err = 0;
	if (x->is_one_file)
		buf_add(&path, str_from_c(x->target));
	else
		err = folder_name_print(mailbox->name, FOLDER_MBOX, &path) ? ERR_LIMIT : 0;
	if (!err)
		mailbox->path = mem_copy(buf_str(&path));
	buf_free(&path);
	if (err)
		return err;
	if (!x->may_replace && faccessat(x->folder_fd, mailbox->path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		snprintf(x->problem, sizeof x->problem, "%s/%.200s exists already; add --yes to have it replaced", x->folder,
		         mailbox->path);
		return ERR_EXISTS;
	}
	err = make_parent(x, mailbox->path);
	return err ? err : enter_file(x, writing_of(x), index, true);
}

static int mbox_write(struct export *x, struct export_entry *e)
{
	struct mbox_writing *w = writing_of(x);
	int err = enter_file(x, w, e->mailbox, false);
	return err ? err : write_message(x, w, e);
}

/* --- a message that was written is wanted again --- */

struct reading_back {
	void (*give)(void *owner, struct str bytes);
	void *owner;
};

static void on_begin(void *owner)
{
}

static void on_body(void *owner, struct str bytes)
{
	struct reading_back *reading = owner;
	reading->give(reading->owner, bytes);
}

static void on_end(void *owner, const struct mbox_message *message)
{
}

static int mbox_read_back(struct export *x, const struct export_message *message,
                          void (*give)(void *owner, struct str bytes), void *owner)
{
	static const struct mbox_events EVENTS = { on_begin, on_body, on_end };
	struct mbox_writing *w = writing_of(x);
	struct reading_back reading = { give, owner };
	char path[PATH_ROOM], chunk[65536];
	flush_out(x, w); /* it may be in this very file */
	partial_path(&x->mailboxes[message->mailbox], path);
	int fd = openat(x->folder_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_from_errno(errno);
	struct mbox_reader *reader = mbox_reader_new(message->start, &EVENTS, &reading);
	int err = w->err;
	for (uint64_t at = message->start; at < message->end && !err;) {
		struct str piece = str_of(chunk, (size_t)MIN(message->end - at, (uint64_t)sizeof chunk));
		if (file_read_exactly(fd, at, chunk, piece.n) < 0) {
			err = ERR_IO;
			break;
		}
		mbox_reader_feed(reader, piece);
		at += piece.n;
	}
	mbox_reader_finish(reader);
	mbox_reader_free(&reader);
	close(fd);
	return err;
}

/* --- the end --- */

static int sync_file(struct export *x, const struct export_mailbox *mailbox)
{
	char path[PATH_ROOM];
	partial_path(mailbox, path);
	int fd = openat(x->folder_fd, path, O_RDONLY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) < 0 ? err_from_errno(errno) : 0;
	if (fd >= 0)
		close(fd);
	return err;
}

/* Its name, or that of a file that is not whole again. */
static int name_file(struct export *x, const struct export_mailbox *mailbox, bool is_whole)
{
	char path[PATH_ROOM];
	if (!mailbox->path)
		return 0;
	partial_path(mailbox, path);
	const char *from = is_whole ? path : mailbox->path, *to = is_whole ? mailbox->path : path;
	return renameat(x->folder_fd, from, x->folder_fd, to) < 0 ? err_from_errno(errno) : 0;
}

/* All or none: a file that has its name would make the same command refuse to go on. */
static int name_files(struct export *x)
{
	uint32_t named = 0;
	int err = 0;
	while (named < x->n_mailboxes && !err) {
		err = name_file(x, &x->mailboxes[named], true);
		named += err == 0;
	}
	if (!err && syncfs(x->folder_fd) < 0)
		err = err_from_errno(errno);
	while (err && named-- > 0)
		(void)!name_file(x, &x->mailboxes[named], false);
	return err;
}

static int mbox_finish(struct export *x)
{
	int err = leave_file(x, writing_of(x));
	for (uint32_t i = 0; i < x->n_mailboxes && !err; i++)
		if (x->mailboxes[i].path)
			err = sync_file(x, &x->mailboxes[i]);
	return err ? err : name_files(x);
}

static void mbox_close(struct export *x)
{
	struct mbox_writing *w = x->writing;
	if (!w)
		return;
	(void)!leave_file(x, w);
	mbox_writer_free(&w->writer);
	buf_free(&w->out);
	buf_free(&w->head);
	mem_free(w);
}

const struct export_format EXPORT_MBOX = { "mbox",         mbox_open_mailbox, mbox_write,
	                                       mbox_read_back, mbox_finish,       mbox_close };
