/* journal.c: what a server does to its files, written to a side file in the order in which it was done. Loaded
 * (LD_PRELOAD) into every process of a server under test, before the sandbox is entered; disk.py reads the journal and
 * makes of it what a disk may hold after a power cut. Without MANSIO_JOURNAL every call just passes.
 *
 * A write is journaled when it was done, a sync when it begins and when it was done: what a sync covers stands before
 * its beginning. So a record is never too early, and a process that is killed in between leaves one too few, which is
 * what a power cut at that moment would leave. Each record is one write to a file in append mode: whole, and in one
 * order for all threads and processes. Files without a name and what is no file are left out.
 *
 * Calls that change or sync files in a way that disk.py does not know are journaled by name and end the process: a
 * journal without them would excuse the server. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* As in disk.py. */
enum kind { WRITE = 1, TRUNCATE, SYNC_BEGIN, SYNC_END, CREATE, MAKE_FOLDER, UNLINK, RENAME, HOLE, UNKNOWN };

#define MAGIC      0x4c4e524au
#define PIECES_MAX 64
#define SYNC_NS    1500000

struct record {
	uint32_t magic, kind;
	uint64_t inode;  /* of the file; of UNLINK and RENAME, the folder */
	uint64_t number; /* offset, size, the sync's number, or the (new) folder's inode */
	uint64_t length; /* of what follows: bytes written, or names, each with a NUL */
};

static int journal = -1; /* written once, before main */
static _Atomic uint64_t syncs;

__attribute__((constructor)) static void open_journal(void)
{
	const char *path = getenv("MANSIO_JOURNAL");
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
	/* Away from the numbers that the server expects for what it was given. */
	if (fd >= 0) {
		journal = fcntl(fd, F_DUPFD_CLOEXEC, 900);
		close(fd);
	}
}

/* The call below: the next object's. */
#define NEXT(name)                                                                                                     \
	static __typeof__(name) *next;                                                                                 \
	if (!next)                                                                                                     \
		*(void **)&next = dlsym(RTLD_NEXT, #name)

static void add(enum kind kind, uint64_t inode, uint64_t number, const struct iovec *pieces, int n, uint64_t length)
{
	struct iovec all[PIECES_MAX + 1];
	struct record record = { MAGIC, kind, inode, number, length };
	int before = errno;
	int count = 1;
	all[0] = (struct iovec){ &record, sizeof record };
	for (int i = 0; i < n && count <= PIECES_MAX && length > 0; i++) {
		size_t some = pieces[i].iov_len < length ? pieces[i].iov_len : length;
		all[count++] = (struct iovec){ pieces[i].iov_base, some };
		length -= some;
	}
	size_t whole = sizeof record + record.length;
	/* A journal with a gap would accuse the server of what we did. */
	if (length != 0 || writev(journal, all, count) != (ssize_t)whole)
		abort();
	errno = before;
}

static bool is_file(int fd, uint64_t *inode)
{
	struct stat status;
	int before = errno;
	bool is = journal >= 0 && fd > STDERR_FILENO && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	          status.st_nlink > 0;
	errno = before;
	*inode = is ? status.st_ino : 0;
	return is;
}

static void unknown(const char *name)
{
	struct iovec text = { (void *)name, strlen(name) };
	add(UNKNOWN, 0, 0, &text, 1, text.iov_len);
	abort();
}

/* A call on a file that nobody here understands. */
static void refuse(int fd, const char *name)
{
	uint64_t inode;
	if (fd != journal && is_file(fd, &inode))
		unknown(name);
}

/* --- names --- */

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* The inode of the folder that a path's last part is in; 0 where there is none. */
static uint64_t folder_of(int folder, const char *path)
{
	char parent[4096];
	struct stat status;
	size_t n = (size_t)(last_part(path) - path);
	int before = errno, result;
	if (n >= sizeof parent)
		return 0;
	memcpy(parent, path, n);
	parent[n] = '\0';
	if (n > 0 || folder == AT_FDCWD)
		result = fstatat(folder, n > 0 ? parent : ".", &status, 0);
	else
		result = fstat(folder, &status);
	errno = before;
	return result == 0 ? status.st_ino : 0;
}

static void add_name(enum kind kind, uint64_t inode, uint64_t number, const char *name, const char *other)
{
	struct iovec pieces[2] = { { (void *)name, strlen(name) + 1 }, { (void *)other, other ? strlen(other) + 1 : 0 } };
	add(kind, inode, number, pieces, 2, pieces[0].iov_len + pieces[1].iov_len);
}

static bool is_there(int folder, const char *path)
{
	struct stat status;
	int before = errno;
	bool is = fstatat(folder, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
	errno = before;
	return is;
}

static void opened(int fd, int folder, const char *path, int flags, bool was_there)
{
	uint64_t inode;
	if (fd < 0 || !is_file(fd, &inode))
		return;
	if ((flags & O_CREAT) && !was_there)
		add_name(CREATE, inode, folder_of(folder, path), last_part(path), NULL);
	else if (flags & O_TRUNC)
		add(TRUNCATE, inode, 0, NULL, 0, 0);
}

#define OPEN_BODY(call, folder)                                                                                        \
	va_list arguments;                                                                                             \
	va_start(arguments, flags);                                                                                    \
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;                                   \
	va_end(arguments);                                                                                             \
	bool was_there = journal >= 0 && (flags & O_CREAT) && is_there(folder, path);                                  \
	int fd = call;                                                                                                 \
	if (journal >= 0 && (flags & (O_CREAT | O_TRUNC)))                                                             \
		opened(fd, folder, path, flags, was_there);                                                            \
	return fd

#define DEFINE_OPEN(name)                                                                                              \
	int name(const char *path, int flags, ...)                                                                     \
	{                                                                                                              \
		NEXT(name);                                                                                            \
		OPEN_BODY(next(path, flags, mode), AT_FDCWD);                                                          \
	}

#define DEFINE_OPENAT(name)                                                                                            \
	int name(int folder, const char *path, int flags, ...)                                                         \
	{                                                                                                              \
		NEXT(name);                                                                                            \
		OPEN_BODY(next(folder, path, flags, mode), folder);                                                    \
	}

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

static int made_folder(int result, int folder, const char *path)
{
	struct stat status;
	if (journal >= 0 && result == 0 && fstatat(folder, path, &status, 0) == 0)
		add_name(MAKE_FOLDER, status.st_ino, folder_of(folder, path), last_part(path), NULL);
	return result;
}

int mkdir(const char *path, mode_t mode)
{
	NEXT(mkdir);
	return made_folder(next(path, mode), AT_FDCWD, path);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
	NEXT(mkdirat);
	return made_folder(next(folder, path, mode), folder, path);
}

static int unlinked(int result, int folder, const char *path)
{
	if (journal >= 0 && result == 0)
		add_name(UNLINK, folder_of(folder, path), 0, last_part(path), NULL);
	return result;
}

int unlink(const char *path)
{
	NEXT(unlink);
	return unlinked(next(path), AT_FDCWD, path);
}

int unlinkat(int folder, const char *path, int flags)
{
	NEXT(unlinkat);
	return unlinked(next(folder, path, flags), folder, path);
}

static int renamed(int result, int from, const char *old, int to, const char *new)
{
	if (journal >= 0 && result == 0)
		add_name(RENAME, folder_of(from, old), folder_of(to, new), last_part(old), last_part(new));
	return result;
}

int rename(const char *old, const char *new)
{
	NEXT(rename);
	return renamed(next(old, new), AT_FDCWD, old, AT_FDCWD, new);
}

int renameat(int from, const char *old, int to, const char *new)
{
	NEXT(renameat);
	return renamed(next(from, old, to, new), from, old, to, new);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	NEXT(renameat2);
	if (journal >= 0 && flags != 0)
		unknown("renameat2");
	return renamed(next(from, old, to, new, flags), from, old, to, new);
}

/* --- bytes --- */

static ssize_t wrote(ssize_t result, int fd, const struct iovec *pieces, int n, off64_t at)
{
	uint64_t inode;
	if (result > 0 && is_file(fd, &inode))
		add(WRITE, inode, (uint64_t)at, pieces, n, (uint64_t)result);
	return result;
}

static off64_t place_before(ssize_t done, int fd)
{
	int before = errno;
	off64_t at = journal >= 0 && done > 0 ? lseek64(fd, 0, SEEK_CUR) - done : 0;
	errno = before;
	return at;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
	NEXT(write);
	ssize_t done = next(fd, bytes, n);
	return wrote(done, fd, &(struct iovec){ (void *)bytes, n }, 1, place_before(done, fd));
}

/* The side file's own writes come through here, too: is_file would be true of it, were it not for its number. */
ssize_t writev(int fd, const struct iovec *pieces, int n)
{
	NEXT(writev);
	ssize_t done = next(fd, pieces, n);
	return fd == journal ? done : wrote(done, fd, pieces, n, place_before(done, fd));
}

#define DEFINE_PWRITE(name, offset)                                                                                    \
	ssize_t name(int fd, const void *bytes, size_t n, offset at)                                                   \
	{                                                                                                              \
		NEXT(name);                                                                                            \
		return wrote(next(fd, bytes, n, at), fd, &(struct iovec){ (void *)bytes, n }, 1, at);                  \
	}

#define DEFINE_PWRITEV(name, offset)                                                                                   \
	ssize_t name(int fd, const struct iovec *pieces, int n, offset at)                                             \
	{                                                                                                              \
		NEXT(name);                                                                                            \
		return wrote(next(fd, pieces, n, at), fd, pieces, n, at);                                              \
	}

DEFINE_PWRITE(pwrite, off_t)
DEFINE_PWRITE(pwrite64, off64_t)
DEFINE_PWRITEV(pwritev, off_t)
DEFINE_PWRITEV(pwritev64, off64_t)

static int truncated(int result, int fd, off64_t size)
{
	uint64_t inode;
	if (result == 0 && is_file(fd, &inode))
		add(TRUNCATE, inode, (uint64_t)size, NULL, 0, 0);
	return result;
}

int ftruncate(int fd, off_t size)
{
	NEXT(ftruncate);
	return truncated(next(fd, size), fd, size);
}

int ftruncate64(int fd, off64_t size)
{
	NEXT(ftruncate64);
	return truncated(next(fd, size), fd, size);
}

/* A hole is as many zeros; the size stays. */
int fallocate64(int fd, int mode, off64_t from, off64_t n)
{
	uint64_t inode, length = (uint64_t)n;
	NEXT(fallocate64);
	if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		refuse(fd, "fallocate");
	int result = next(fd, mode, from, n);
	if (result == 0 && is_file(fd, &inode))
		add(HOLE, inode, (uint64_t)from, &(struct iovec){ &length, sizeof length }, 1, sizeof length);
	return result;
}

/* --- what disk.py does not know --- */

int fallocate(int fd, int mode, off_t from, off_t n)
{
	return fallocate64(fd, mode, from, n);
}

#define DEFINE_UNKNOWN(result, name, parameters, arguments, fd)                                                        \
	result name parameters                                                                                         \
	{                                                                                                              \
		NEXT(name);                                                                                            \
		refuse(fd, #name);                                                                                     \
		return next arguments;                                                                                 \
	}

DEFINE_UNKNOWN(int, posix_fallocate, (int fd, off_t from, off_t n), (fd, from, n), fd)
DEFINE_UNKNOWN(int, posix_fallocate64, (int fd, off64_t from, off64_t n), (fd, from, n), fd)
DEFINE_UNKNOWN(ssize_t, pwritev2, (int fd, const struct iovec *pieces, int n, off_t at, int flags),
               (fd, pieces, n, at, flags), fd)
DEFINE_UNKNOWN(ssize_t, pwritev64v2, (int fd, const struct iovec *pieces, int n, off64_t at, int flags),
               (fd, pieces, n, at, flags), fd)
DEFINE_UNKNOWN(ssize_t, copy_file_range, (int from, off64_t *there, int to, off64_t *here, size_t n, unsigned flags),
               (from, there, to, here, n, flags), to)
DEFINE_UNKNOWN(ssize_t, splice, (int from, off64_t *there, int to, off64_t *here, size_t n, unsigned flags),
               (from, there, to, here, n, flags), to)
DEFINE_UNKNOWN(ssize_t, sendfile, (int to, int from, off_t *at, size_t n), (to, from, at, n), to)
DEFINE_UNKNOWN(ssize_t, sendfile64, (int to, int from, off64_t *at, size_t n), (to, from, at, n), to)
DEFINE_UNKNOWN(int, sync_file_range, (int fd, off64_t from, off64_t n, unsigned flags), (fd, from, n, flags), fd)

int syncfs(int fd)
{
	NEXT(syncfs);
	if (journal >= 0)
		unknown("syncfs");
	return next(fd);
}

/* Of a mapping the writes are not seen. */
void *mmap64(void *where, size_t n, int protection, int flags, int fd, off64_t at)
{
	NEXT(mmap64);
	if ((flags & MAP_SHARED) && (protection & PROT_WRITE))
		refuse(fd, "mmap");
	return next(where, n, protection, flags, fd, at);
}

#define DEFINE_UNKNOWN_NAME(name, parameters, arguments)                                                               \
	int name parameters                                                                                            \
	{                                                                                                              \
		NEXT(name);                                                                                            \
		if (journal >= 0)                                                                                      \
			unknown(#name);                                                                                \
		return next arguments;                                                                                 \
	}

DEFINE_UNKNOWN_NAME(link, (const char *old, const char *new), (old, new))
DEFINE_UNKNOWN_NAME(linkat, (int from, const char *old, int to, const char *new, int flags),
                    (from, old, to, new, flags))
DEFINE_UNKNOWN_NAME(truncate, (const char *path, off_t size), (path, size))
DEFINE_UNKNOWN_NAME(truncate64, (const char *path, off64_t size), (path, size))

/* --- syncs --- */

static int synced(int (*call)(int fd), int fd)
{
	struct stat status;
	if (journal < 0 || fstat(fd, &status) != 0 || (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)))
		return call(fd);
	uint64_t number = (uint64_t)getpid() << 32 | atomic_fetch_add(&syncs, 1);
	add(SYNC_BEGIN, status.st_ino, number, NULL, 0, 0);
	/* A slow disk: more lies between a write and its sync when the power goes. */
	nanosleep(&(struct timespec){ .tv_nsec = SYNC_NS }, NULL);
	int result = call(fd);
	if (result == 0)
		add(SYNC_END, status.st_ino, number, NULL, 0, 0);
	return result;
}

int fsync(int fd)
{
	NEXT(fsync);
	return synced(next, fd);
}

int fdatasync(int fd)
{
	NEXT(fdatasync);
	return synced(next, fd);
}
