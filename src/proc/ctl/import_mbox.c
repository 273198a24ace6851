/* import_mbox.c: mbox files into messages, file by file, from where the last run came to. The reader (mail/mbox.h) tells
 * of a message in pieces; whatever goes wrong meanwhile is kept and ends the file. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/file.h"
#include "mail/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK 65536

struct mbox_import {
	struct import *x;
	const struct import_folder *folder;
	int64_t file_time;
	int err;
};

static void on_begin(void *owner)
{
	struct mbox_import *m = owner;
	import_message_begin(m->x);
}

static void on_body(void *owner, struct str bytes)
{
	struct mbox_import *m = owner;
	if (!m->err)
		m->err = import_message_add(m->x, bytes);
}

static void on_end(void *owner, const struct mbox_message *message)
{
	struct mbox_import *m = owner;
	struct import *x = m->x;
	if (m->err)
		return;
	x->at.number++;
	x->at.offset = message->end;
	if (message->refuse != MBOX_WANTED) {
		x->deleted += message->refuse == MBOX_DELETED;
		return;
	}
	const struct import_facts facts = {
		.mailbox = buf_str(&m->folder->mailbox),
		.flags = message->flags,
		.keywords = message->keywords,
		.n_keywords = message->n_keywords,
		.date = message->has_date ? message->date : (struct date){ m->file_time, 0 },
		.uidl = import_uidl_of_field(x, message->uidl),
	};
	m->err = import_message_send(x, &facts);
}

static const struct mbox_events EVENTS = { on_begin, on_body, on_end };

/* The file may have grown since the last run; where that stopped, a message must begin, or the file end. */
static int check_place(struct import *x, int fd, uint64_t size, const char *path)
{
	char beginning[64];
	if (x->at.offset == 0)
		return 0;
	ssize_t n = pread(fd, beginning, sizeof beginning, (off_t)x->at.offset);
	if (x->at.offset == size || (n > 0 && mbox_is_likely(str_of(beginning, (size_t)n))))
		return 0;
	return import_fail(x, ERR_STATE, "%s/%s has changed since the import was interrupted: where it stopped no message "
	                   "begins; remove %s to begin anew", x->source, path, x->state_path);
}

static int import_file(struct import *x, const struct import_folder *folder)
{
	char chunk[READ_CHUNK];
	struct mbox_import m = { .x = x, .folder = folder };
	struct stat about;
	uint64_t before = x->bytes_done;
	size_t got = 0;
	int err = 0, fd = openat(x->source_fd, folder->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &about) < 0) {
		if (fd >= 0)
			close(fd);
		return import_fail(x, ERR_IO, "cannot read %s/%s: %m", x->source, folder->path);
	}
	m.file_time = about.st_mtime;
	m.err = check_place(x, fd, (uint64_t)about.st_size, folder->path);
	uint64_t at = x->at.offset;
	struct mbox_reader *reader = mbox_reader_new(at, &EVENTS, &m);
	while (!m.err && (err = file_read_at(fd, at, chunk, sizeof chunk, &got)) == 0 && got > 0) {
		mbox_reader_feed(reader, str_of(chunk, got));
		at += got;
		x->bytes_done = before + at;
		progress_set(&x->progress, x->bytes_done, x->at.imported);
	}
	if (!m.err && err < 0)
		m.err = import_fail(x, err, "cannot read %s/%s: %s", x->source, folder->path, err_text(err));
	if (!m.err)
		mbox_reader_finish(reader);
	mbox_reader_free(&reader);
	close(fd);
	return m.err;
}

int import_mbox(struct import *x)
{
	int err = 0;
	for (size_t i = 0; i < x->n_items && !err; i++) {
		if (x->items[i] == IMPORT_GONE)
			continue;
		const struct import_file *file = &x->scan.files[x->items[i]];
		if (i < x->at.item) {
			x->bytes_done += file->size;
			continue;
		}
		if (i > x->at.item)
			x->at.offset = 0;
		x->at.item = i;
		err = import_mailbox_send(x, buf_str(&x->scan.folders[file->folder].mailbox));
		if (!err)
			err = import_file(x, &x->scan.folders[file->folder]);
	}
	return err;
}
