/* spool.c: collects a message whose size is not known to be small: in memory up to the threshold, then in a file
 * without a name, which is gone when it is closed. Owned by the command that receives the message. A full disk is
 * ERR_NO_SPACE, and the spool can only be freed. */
#include "mail/mail.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void mail_spool_start(struct mail_spool *spool, struct str directory, size_t threshold)
{
	*spool = (struct mail_spool){ .directory = directory, .threshold = threshold, .memory = BUF_INIT(threshold), .fd = -1 };
}

static int open_file(struct mail_spool *spool)
{
	char *directory = mem_copy(spool->directory);
	spool->fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	mem_free(directory);
	if (spool->fd < 0)
		return err_from_errno(errno);
	int result = file_write(spool->fd, buf_str(&spool->memory));
	buf_free(&spool->memory);
	return result;
}

int mail_spool_add(struct mail_spool *spool, struct str bytes)
{
	int result = 0;
	if (spool->fd < 0 && spool->memory.n + bytes.n > spool->threshold)
		result = open_file(spool);
	if (result == 0 && spool->fd >= 0)
		result = file_write(spool->fd, bytes);
	else if (result == 0)
		buf_add(&spool->memory, bytes);
	if (result == 0)
		spool->length += bytes.n;
	return result;
}

void mail_spool_free(struct mail_spool *spool)
{
	buf_free(&spool->memory);
	if (spool->fd >= 0)
		close(spool->fd);
	spool->fd = -1;
}

struct mail_source mail_spool_source(const struct mail_spool *spool)
{
	return (struct mail_source){ .bytes = buf_str(&spool->memory), .fd = spool->fd, .length = spool->length };
}

int mail_spool_part(const struct mail_spool *spool, uint64_t start, uint64_t length, struct buf *room,
                    struct mail_source *out)
{
	if (spool->fd < 0) {
		*out = (struct mail_source){ .bytes = str_first(str_from(buf_str(&spool->memory), start), length), .fd = -1 };
		return 0;
	}
	if (length > spool->threshold) {
		*out = (struct mail_source){ .fd = spool->fd, .start = start, .length = length };
		return 0;
	}
	room->max = spool->threshold;
	buf_clear(room);
	char *to = buf_reserve(room, (size_t)length);
	if (file_read_exactly(spool->fd, start, to, (size_t)length) < 0)
		return ERR_IO;
	buf_commit(room, (size_t)length);
	*out = (struct mail_source){ .bytes = buf_str(room), .fd = -1 };
	return 0;
}
