/* A write-ahead log as db_open and salvage look at it: whatever its bytes are, the look ends; what stands behind the last
 * whole frame changes nothing of it, nor do zeros. */
#include "base/checked.h"
#include "db/wal.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ZEROS 70000 /* more than the largest frame */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum wal_state look(const char *database, const char *log, const uint8_t *data, size_t size, size_t zeros)
{
	enum wal_state state;
	int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || ftruncate(fd, (off_t)(size + zeros)) < 0)
		abort();
	close(fd);
	if (wal_look(str_from_c(database), &state) < 0)
		abort();
	return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char database[64], log[80];
	snprintf(database, sizeof database, "%s/mansio-fuzz-wal-%ld", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
	         (long)getpid());
	snprintf(log, sizeof log, "%s-wal", database);
	enum wal_state state = look(database, log, data, size, 0);
	uint32_t page = size >= WAL_HEADER ? (uint32_t)data[8] << 24 | (uint32_t)data[9] << 16 | (uint32_t)data[10] << 8 | data[11] : 0;
	if (page < 512 || page > 65536 || (page & (page - 1)) != 0)
		page = 4096;
	size_t rest = size < WAL_HEADER ? 0 : (size - WAL_HEADER) % (page + WAL_FRAME_HEADER);
	if (look(database, log, data, size - rest, 0) != state)
		abort();
	if (size >= WAL_HEADER && look(database, log, data, size - rest, ZEROS) != state)
		abort();
	(void)unlink(log);
	return 0;
}
