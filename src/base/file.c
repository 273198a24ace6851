/* file.c: see file.h. No state; failures are values. */
#include "base/file.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP 65536
#define BLOCK     4096 /* what is given up when the disk cannot read it */

int file_write(int fd, struct str bytes)
{
	while (bytes.n > 0) {
		ssize_t wrote = write(fd, bytes.p, bytes.n);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote < 0 ? err_from_errno(errno) : ERR_IO;
		bytes = str_from(bytes, (size_t)wrote);
	}
	return 0;
}

int file_write_at(int fd, uint64_t at, struct str bytes)
{
	while (bytes.n > 0) {
		ssize_t wrote = pwrite(fd, bytes.p, bytes.n, (off_t)at);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote < 0 ? err_from_errno(errno) : ERR_IO;
		bytes = str_from(bytes, (size_t)wrote);
		at += (uint64_t)wrote;
	}
	return 0;
}

int file_read_at(int fd, uint64_t at, char *to, size_t n, size_t *got)
{
	size_t have = 0;
	while (have < n) {
		ssize_t more = pread(fd, to + have, n - have, (off_t)(at + have));
		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return err_from_errno(errno);
		if (more == 0)
			break;
		have += (size_t)more;
	}
	*got = have;
	return 0;
}

int file_read_exactly(int fd, uint64_t at, char *to, size_t n)
{
	size_t got;
	int result = file_read_at(fd, at, to, n, &got);
	return result == 0 && got < n ? ERR_CORRUPT : result;
}

size_t file_read_or_zeros(int fd, uint64_t at, char *to, size_t n)
{
	size_t got = 0;
	while (got < n) {
		ssize_t more = pread(fd, to + got, n - got, (off_t)(at + got));
		if (more < 0 && errno == EINTR)
			continue;
		if (more == 0)
			break;
		if (more > 0) {
			got += (size_t)more;
			continue;
		}
		size_t lost = MIN(n - got, BLOCK - (size_t)((at + got) % BLOCK));
		ssize_t alone = pread(fd, to + got, lost, (off_t)(at + got));
		if (alone < (ssize_t)lost)
			memset(to + got, 0, lost);
		got += lost;
	}
	return got;
}

int file_read_rest(int fd, struct buf *out)
{
	for (;;) {
		char room[READ_STEP];
		ssize_t n = read(fd, room, sizeof room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_from_errno(errno);
		if (n == 0 || out->failed)
			return buf_error(out);
		buf_add(out, str_of(room, (size_t)n));
	}
}

static int read_opened(int fd, bool only_plain, struct buf *out)
{
	struct stat status;
	if (fd < 0)
		return errno == ENXIO ? ERR_FILE_TYPE : err_from_errno(errno); /* ENXIO: a socket (open(2)) */
	int result = fstat(fd, &status) < 0 ? err_from_errno(errno) : 0;
	if (result == 0 && (only_plain ? !S_ISREG(status.st_mode) : S_ISDIR(status.st_mode)))
		result = ERR_FILE_TYPE;
	if (result == 0)
		result = file_read_rest(fd, out);
	close(fd);
	return result;
}

int file_read(int folder, const char *name, int open_flags, struct buf *out)
{
	return read_opened(openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | open_flags), true, out);
}

int file_read_given(const char *name, struct buf *out)
{
	return read_opened(open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY), false, out);
}

int file_sync(int fd, bool is_folder)
{
	return (is_folder ? fsync(fd) : fdatasync(fd)) < 0 ? ERR_IO : 0;
}

int file_sync_folder(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_from_errno(errno);
	int result = file_sync(fd, true);
	close(fd);
	return result;
}
