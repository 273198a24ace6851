/* floor_files.c: the mailbox that is read and the logs that are written. The process owns them until it ends; any error
 * ends it. */
#include "floor.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MESSAGE_MAX     (4 * 1024 * 1024)
#define GENERATED       2048          /* messages, round and round until there are enough, as load.c sends them */
#define RECORD_SIZE     512           /* what is noted of a delivery */
#define ROOM            (256 * 1024)  /* db/ahead.h: zeros that make a log longer, so that the sync of a small write */
#define ROOM_MAKING_MAX (64 * 1024)   /* has no new size of the file to make durable */

struct log {
	int fd;
	uint64_t end, synced, size; /* size: with the zeros behind the end */
};

static struct message *messages;
static uint64_t messages_count;
static int mailbox;
static struct log bodies, records;

_Noreturn void die(const char *what)
{
	bench_die(what, str_from_c(strerror(errno)));
}

static int open_file(const char *folder, const char *name, const char *suffix)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die("cannot make a file");
	return fd;
}

void file_put(int fd, struct str bytes, uint64_t at)
{
	if (file_write_at(fd, at, bytes) < 0)
		die("cannot write");
}

/* --- logs --- */

void logs_open(const char *folder, const char *suffix)
{
	bodies.fd = open_file(folder, "bodies", suffix);
	records.fd = open_file(folder, "records", suffix);
}

static void add(struct log *log, struct str bytes)
{
	file_put(log->fd, bytes, log->end);
	log->end += bytes.n;
}

void logs_add_body(struct str bytes)
{
	add(&bodies, bytes);
}

/* Durable up to its end. The cheapest there is: a little that has outgrown the file makes room for what comes next. */
static void sync_log(struct log *log)
{
	static const char zeros[ROOM];
	if (log->end > log->size) {
		uint64_t room = log->end - log->synced <= ROOM_MAKING_MAX ? ROOM - log->end % ROOM : 0;
		file_put(log->fd, str_of(zeros, room), log->end);
		log->size = log->end + room;
	}
	if (fdatasync(log->fd) < 0)
		die("fdatasync");
	log->synced = log->end;
}

/* Bodies first, then what is noted of them: what all servers do that keep their promises. */
void logs_commit(size_t count)
{
	static const char record[EVENTS * RECORD_SIZE];
	sync_log(&bodies);
	add(&records, str_of(record, count * RECORD_SIZE));
	sync_log(&records);
}

/* --- the mailbox --- */

uint64_t mailbox_count(void)
{
	return messages_count;
}

int mailbox_file(void)
{
	return mailbox;
}

const struct message *mailbox_message(uint64_t number)
{
	return &messages[number % messages_count];
}

void mailbox_read(off_t at, size_t n, struct buf *out)
{
	char *room = buf_reserve(out, n);
	if (!room || pread(mailbox, room, n, at) != (ssize_t)n)
		die("cannot read the mailbox");
	buf_commit(out, n);
}

void mailbox_make(const char *folder, uint64_t count)
{
	struct buf message = BUF_INIT(MESSAGE_MAX);
	uint64_t at = 0;
	messages = mem_alloc(count, sizeof *messages);
	messages_count = count;
	mailbox = open_file(folder, "mailbox", "");
	for (uint64_t i = 0; i < count; i++) {
		buf_clear(&message);
		if (i < GENERATED)
			bench_message(i, 0, &message);
		else
			mailbox_read(messages[i - GENERATED].at, messages[i - GENERATED].size, &message);
		messages[i] = (struct message){ (off_t)at, (uint32_t)message.n };
		buf_add(&message, STR(".\r\n"));
		file_put(mailbox, buf_str(&message), at);
		at += message.n;
	}
	buf_free(&message);
}
