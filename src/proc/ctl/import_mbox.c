/* import_mbox.c: mbox files into messages, twice: a first reading says which there are, each by a digest of its bytes,
 * so that the file may be rewritten between two runs; those that are to be imported are read again, one by one. What
 * has changed in between is left for the next run. The reader (mail/mbox.h) tells of a message in pieces; whatever goes
 * wrong meanwhile is kept and ends the file. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "mail/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK  65536
#define NAME_BYTES  16 /* of the digest: two messages that differ never have the same */
#define NO_FOLDER   UINT32_MAX

struct mbox_import {
	struct import *x;
	struct mbox_reader *reader;
	struct digest *digest; /* of the message; nobody who sends mail can make two that pass for one */
	bool scans;
	uint32_t folder;    /* the file that is open */
	int fd;
	int64_t file_time;
	bool is_first, is_sent; /* of the message that is to be imported */
	bool has_failed; /* the file could not be read further, as errno says */
	int err;
};

static void on_begin(void *owner)
{
	struct mbox_import *m = owner;
	digest_begin(m->digest);
	if (!m->scans && m->is_first)
		import_message_begin(m->x);
}

static void on_body(void *owner, struct str bytes)
{
	struct mbox_import *m = owner;
	if (m->err)
		return;
	if (!mbox_reader_in_note(m->reader))
		digest_add(m->digest, bytes);
	if (!m->scans && m->is_first)
		m->err = import_message_add(m->x, bytes);
}

static void add_to_scan(struct mbox_import *m, const struct mbox_message *message, struct str name)
{
	struct import *x = m->x;
	x->deleted += message->refuse == MBOX_DELETED;
	if (message->refuse != MBOX_WANTED)
		return;
	import_add_file(&x->scan, &(struct import_file){ .folder = m->folder, .name = mem_copy(name), .offset = message->start,
	                                                 .size = message->end - message->start });
	progress_set(&x->progress, x->scan.bytes, x->scan.messages);
}

static void send_message(struct mbox_import *m, const struct mbox_message *message, struct str name)
{
	struct import *x = m->x;
	bool is_it = m->is_first && message->refuse == MBOX_WANTED && str_eq(name, str_from_c(x->file->name));
	m->is_first = false;
	if (!is_it)
		return;
	const struct import_facts facts = {
		.mailbox = buf_str(&x->scan.folders[m->folder].mailbox),
		.flags = message->flags,
		.keywords = message->keywords,
		.n_keywords = message->n_keywords,
		.keywords_left_out = message->keywords_left_out,
		.date = message->has_date ? message->date : (struct date){ m->file_time, 0 },
		.uidl = import_uidl_of_field(x, message->uidl),
	};
	m->is_sent = true;
	m->err = import_message_send(x, &facts);
}

static void on_end(void *owner, const struct mbox_message *message)
{
	struct mbox_import *m = owner;
	unsigned char digest[DIGEST_SIZE];
	struct buf name = BUF_INIT(2 * NAME_BYTES);
	if (m->err)
		return;
	digest_end(m->digest, digest);
	buf_add_hex(&name, str_of((const char *)digest, NAME_BYTES));
	if (m->scans)
		add_to_scan(m, message, buf_str(&name));
	else
		send_message(m, message, buf_str(&name));
	buf_free(&name);
}

/* Reads the file that is open from an offset, at most so many bytes. */
static int read_part(struct mbox_import *m, uint64_t at, uint64_t size)
{
	static const struct mbox_events EVENTS = { on_begin, on_body, on_end };
	char chunk[READ_CHUNK];
	size_t got = 0;
	int err = 0;
	m->has_failed = false;
	m->reader = mbox_reader_new(at, &EVENTS, m);
	while (!m->err && size > 0) {
		err = file_read_at(m->fd, at, chunk, (size_t)MIN(size, (uint64_t)sizeof chunk), &got);
		if (err < 0 || got == 0)
			break;
		mbox_reader_feed(m->reader, str_of(chunk, got));
		at += got;
		size -= got;
	}
	m->has_failed = !m->err && err < 0;
	if (!m->err && !m->has_failed)
		mbox_reader_finish(m->reader);
	mbox_reader_free(&m->reader);
	return m->err;
}

/* The file becomes the one that is open. Negative: it cannot be; as errno says. */
static int enter_file(struct mbox_import *m, uint32_t folder)
{
	struct stat about;
	if (m->folder == folder)
		return 0;
	if (m->fd >= 0)
		close(m->fd);
	m->folder = NO_FOLDER;
	m->fd = openat(m->x->source_fd, m->x->scan.folders[folder].path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (m->fd < 0 || fstat(m->fd, &about) < 0)
		return ERR_IO;
	m->file_time = about.st_mtime;
	m->folder = folder;
	return 0;
}

static struct mbox_import start(struct import *x, bool scans)
{
	return (struct mbox_import){ .x = x, .digest = digest_new(), .scans = scans, .folder = NO_FOLDER, .fd = -1 };
}

static int finish(struct mbox_import *m, int err)
{
	digest_free(&m->digest);
	if (m->fd >= 0)
		close(m->fd);
	return err;
}

int import_mbox_scan(struct import *x, uint32_t folder)
{
	struct mbox_import m = start(x, true);
	m.has_failed = enter_file(&m, folder) < 0;
	int err = m.has_failed ? 0 : read_part(&m, 0, UINT64_MAX);
	if (m.has_failed)
		import_leave_folder(x, &x->scan, x->scan.folders[folder].path, NULL);
	return finish(&m, err);
}

static int import_one(struct mbox_import *m, const struct import_file *file)
{
	struct import *x = m->x;
	if (enter_file(m, file->folder) < 0) {
		bool gone = errno == ENOENT;
		if (gone)
			import_missed(x);
		x->unreadable += !gone;
		import_leave(x, gone ? NULL : "cannot be read");
		return 0;
	}
	m->is_first = true;
	m->is_sent = false;
	int err = read_part(m, file->offset, file->size);
	if (m->has_failed && !m->is_sent) {
		x->unreadable++;
		import_leave(x, "cannot be read");
		return 0;
	}
	if (err || m->is_sent)
		return err;
	import_missed(x);
	import_leave(x, NULL);
	return 0;
}

int import_mbox(struct import *x)
{
	struct mbox_import m = start(x, false);
	const struct import_file *file;
	int err = 0;
	while ((file = import_next(x, &err)))
		err = import_one(&m, file);
	return finish(&m, err);
}
