/* cold_read.c: a range of a file brought into the page cache by the loop's read helper. The job reads the bytes and
 * throws them away: only read() is sure to return when they are there. Each is a piece of memory of its own, so that
 * its owner may go while the helper is at it: it is freed by whoever comes last, the owner (cold_read_forget) or the
 * job (done, dropped). */
#include "loop/cold_read.h"

#include "base/checked.h"
#include "base/mem.h"
#include "loop/helper.h"
#include "loop/loop_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#define SAMPLE_STEP     (128 * 1024)  /* the kernel's usual read-ahead; samples of 64 KB took 9 % of a FETCH of bodies */
#define READ_AT_ONCE    (32 * 1024)   /* on the helper's stack */
#define READ_AHEAD      (1024 * 1024) /* asked for without waiting: the next job finds it under way */

struct cold_read {
	struct loop_job job;
	int fd;
	uint64_t offset, n;
	void (*done)(void *owner);
	void *owner;
	bool forgotten; /* by its owner */
	bool over;      /* the helper is through with it */
};

ssize_t cold_read_try(int fd, uint64_t offset, char *to, size_t n)
{
	struct iovec iov = { to, n };
	for (int flags = RWF_NOWAIT;;) {
		ssize_t got = preadv2(fd, &iov, 1, (off_t)offset, flags);
		if (got >= 0)
			return got;
		if (flags && errno == EAGAIN)
			return ERR_INCOMPLETE;
		if (flags && errno == EOPNOTSUPP)
			flags = 0;
		else if (errno != EINTR)
			return ERR_IO;
	}
}

/* An end of the file or an error is for the real read to find. */
static bool byte_is_cold(int fd, uint64_t offset)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	return preadv2(fd, &iov, 1, (off_t)offset, RWF_NOWAIT) < 0 && errno == EAGAIN;
}

bool cold_read_needed(int fd, uint64_t offset, uint64_t n)
{
	for (uint64_t at = 0; at < n; at += SAMPLE_STEP) {
		if (byte_is_cold(fd, offset + at))
			return true;
	}
	return n > 0 && byte_is_cold(fd, offset + n - 1);
}

/* --- the job --- */

static int work(struct loop_job *job)
{
	const struct cold_read *read = job->owner;
	char bytes[READ_AT_ONCE];
	(void)posix_fadvise(read->fd, (off_t)read->offset, READ_AHEAD, POSIX_FADV_WILLNEED);
	for (uint64_t at = 0; at < read->n;) {
		ssize_t got =
			pread(read->fd, bytes, (size_t)MIN(read->n - at, (uint64_t)sizeof bytes), (off_t)(read->offset + at));
		if (got <= 0)
			break;
		at += (uint64_t)got;
	}
	return 0;
}

static void work_done(struct loop_job *job, int result)
{
	struct cold_read *read = job->owner;
	(void)result;
	if (!read->forgotten)
		read->done(read->owner);
	mem_free(read);
}

static void work_dropped(struct loop_job *job)
{
	struct cold_read *read = job->owner;
	read->over = true;
	if (read->forgotten)
		mem_free(read);
}

struct cold_read *cold_read_begin(struct loop *loop, int fd, uint64_t offset, uint64_t n, void (*done)(void *owner),
                                  void *owner)
{
	struct cold_read *read = mem_alloc(1, sizeof *read);
	*read = (struct cold_read){ .fd = fd, .offset = offset, .n = MIN(n, (uint64_t)COLD_READ_MAX), .done = done, .owner = owner };
	read->job = (struct loop_job){ .work = work, .done = work_done, .dropped = work_dropped, .owner = read };
	loop_count_cold_read(loop);
	loop_helper_submit(loop_read_helper(loop), &read->job);
	return read;
}

void cold_read_forget(struct cold_read **read)
{
	struct cold_read *r = *read;
	*read = NULL;
	if (!r)
		return;
	r->forgotten = true;
	if (r->over)
		mem_free(r);
}
