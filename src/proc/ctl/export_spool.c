/* export_spool.c: messages of a parcel come before the entries that say in which mailboxes they are. Until then they
 * lie in a file without a name beside what is exported; when all of them have been written, it is emptied, but for
 * what is in a mailbox that is left out. The table of all messages stays: an entry that comes later may name one
 * again, and it is read back from where it was written. */
#include "proc/ctl/export.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define READ_CHUNK 65536
#define SLOTS_MIN  1024

/* --- the table --- */

static size_t slot_of(const struct export *x, uint64_t number)
{
	return (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (x->n_slots - 1);
}

static void insert(struct export *x, uint32_t index)
{
	size_t slot = slot_of(x, x->messages[index].number);
	while (x->slots[slot])
		slot = (slot + 1) & (x->n_slots - 1);
	x->slots[slot] = index + 1;
}

static struct export_message *add(struct export *x, uint64_t number)
{
	if ((x->n_messages + 1) * 2 > x->n_slots) {
		x->n_slots = MAX(x->n_slots * 2, (size_t)SLOTS_MIN);
		mem_free(x->slots);
		x->slots = mem_alloc(x->n_slots, sizeof *x->slots);
		x->messages = mem_resize(x->messages, x->n_slots / 2, sizeof *x->messages);
		for (size_t i = 0; i < x->n_messages; i++)
			insert(x, (uint32_t)i);
	}
	struct export_message *message = &x->messages[x->n_messages++];
	*message = (struct export_message){ .number = number };
	insert(x, (uint32_t)x->n_messages - 1);
	return message;
}

struct export_message *export_find(struct export *x, uint64_t number)
{
	if (x->n_slots == 0)
		return NULL;
	for (size_t slot = slot_of(x, number); x->slots[slot]; slot = (slot + 1) & (x->n_slots - 1))
		if (x->messages[x->slots[slot] - 1].number == number)
			return &x->messages[x->slots[slot] - 1];
	return NULL;
}

/* --- the file --- */

static int open_spool(struct export *x)
{
	static const char NAME[] = ".mansio-export.tmp";
	x->spool_fd = openat(x->folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (x->spool_fd < 0) { /* not every file system can do that */
		unlinkat(x->folder_fd, NAME, 0);
		x->spool_fd = openat(x->folder_fd, NAME, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		if (x->spool_fd >= 0)
			unlinkat(x->folder_fd, NAME, 0);
	}
	return x->spool_fd < 0 ? err_from_errno(errno) : 0;
}

int export_spool_begin(struct export *x, const struct parcel_message *message)
{
	int err = x->spool_fd < 0 ? open_spool(x) : 0;
	if (err)
		return err;
	if (x->n_waiting == 0 && x->spool_end > x->spool_kept) {
		x->spool_end = x->spool_kept;
		if (ftruncate(x->spool_fd, (off_t)x->spool_end) < 0 || lseek(x->spool_fd, (off_t)x->spool_end, SEEK_SET) < 0)
			return err_from_errno(errno);
	}
	struct export_message *added = add(x, message->number);
	added->size = message->size;
	added->date = (struct date){ message->internal_date, message->zone_minutes };
	added->start = x->spool_end;
	added->end = x->spool_end + message->size;
	x->n_waiting++;
	return 0;
}

int export_spool_add(struct export *x, struct str bytes)
{
	x->spool_end += bytes.n;
	return file_write(x->spool_fd, bytes);
}

void export_spool_missing(struct export *x, const struct parcel_missing *missing)
{
	add(x, missing->number)->problem = mem_copy(missing->problem);
}

static int read_spool(struct export *x, const struct export_message *message,
                      void (*give)(void *owner, struct str bytes), void *owner)
{
	char chunk[READ_CHUNK];
	for (uint64_t at = message->start; at < message->end;) {
		struct str piece = str_of(chunk, (size_t)MIN(message->end - at, (uint64_t)sizeof chunk));
		if (file_read_exactly(x->spool_fd, at, chunk, piece.n) < 0)
			return ERR_IO;
		give(owner, piece);
		at += piece.n;
	}
	return 0;
}

int export_read(struct export *x, const struct export_message *message, void (*give)(void *owner, struct str bytes),
                void *owner)
{
	if (message->is_written)
		return x->format->read_back(x, message, give, owner);
	return read_spool(x, message, give, owner);
}

void export_written(struct export *x, struct export_message *message)
{
	if (!message->is_written && !message->is_kept)
		x->n_waiting--;
	message->is_written = true;
}

void export_keep(struct export *x, struct export_message *message)
{
	if (message->is_written || message->is_kept)
		return;
	message->is_kept = true;
	x->spool_kept = MAX(x->spool_kept, message->end);
	x->n_waiting--;
}

void export_spool_free(struct export *x)
{
	for (size_t i = 0; i < x->n_messages; i++) {
		mem_free(x->messages[i].problem);
		mem_free(x->messages[i].path);
	}
	mem_free(x->messages);
	mem_free(x->slots);
	if (x->spool_fd >= 0)
		close(x->spool_fd);
}
