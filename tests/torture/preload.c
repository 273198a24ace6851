/* preload.c: system calls and allocations that fail on order. Loaded (LD_PRELOAD) into every process of a server
 * under test, it maps a file of orders before the sandbox is entered; orders.py, which maps it too, writes them
 * while the server runs. Each role and index has a slot, each slot an order for each kind of call: let so many pass,
 * then so many fail in this way. Without MANSIO_ORDERS, and in processes without a slot, every call passes. Nothing
 * here allocates or locks.
 *
 * Only calls on storage count as writes and reads: regular files that are not the log. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* As in orders.py. */
enum kind {
	OPEN,
	SPOOL, /* open of an unnamed file */
	WRITE,
	READ,
	FSYNC,
	FSYNC_FOLDER,
	FTRUNCATE,
	UNLINK,
	MKDIR,
	FALLOCATE,
	STATFS,
	MALLOC,
	RENAME,
	STAT, /* of a name, or of an open file */
	LSEEK,
	OPENDIR,
	MMAP, /* of a file */
	KINDS = 32,
};
/* Faults that are no errno: half of the bytes; no space is free; not done, and said to be; done when the order is
 * cancelled. */
enum { SHORT = -1, FULL = -2, LIE = -3, HELD = -4 };

#define INDEXES 4

struct order {
	_Atomic int64_t wait;  /* 0: no order; else the call of this number from now is the first to fail */
	_Atomic int64_t times; /* that fail then */
	_Atomic int64_t fault; /* errno, SHORT, FULL, LIE or HELD */
	_Atomic int64_t hits;  /* calls that failed */
	_Atomic int64_t calls; /* all calls */
};

static const char *const roles[] = { "supervisor", "auth", "authwork", "access", "smtp", "shard", "command" };
#define ROLES (sizeof roles / sizeof roles[0])

static struct order *orders; /* of this process; written once, before main */

/* The constructor's arguments are main's: `mansio serve ...`, `mansio role NAME INDEX`, or another command. */
__attribute__((constructor)) static void find_orders(int argc, char **argv)
{
	const char *path = getenv("MANSIO_ORDERS");
	size_t role = ROLES, index = 0;
	if (path && argc > 1)
		role = strcmp(argv[1], "serve") == 0 ? 0 : ROLES - 1;
	if (path && argc > 3 && strcmp(argv[1], "role") == 0) {
		for (role = 0; role < ROLES && strcmp(argv[2], roles[role]) != 0; role++)
			;
		index = strtoul(argv[3], NULL, 10);
	}
	if (role == ROLES || index >= INDEXES)
		return;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	void *map = mmap(NULL, ROLES * INDEXES * KINDS * sizeof(struct order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		orders = (struct order *)map + (role * INDEXES + index) * KINDS;
}

/* 0, or how this call has to fail. */
static int fault_of(enum kind kind)
{
	if (!orders)
		return 0;
	struct order *order = &orders[kind];
	atomic_fetch_add(&order->calls, 1);
	int64_t wait = atomic_load(&order->wait);
	while (wait > 1) {
		if (atomic_compare_exchange_weak(&order->wait, &wait, wait - 1))
			return 0;
	}
	if (wait == 0 || atomic_fetch_sub(&order->times, 1) <= 0)
		return 0;
	atomic_fetch_add(&order->hits, 1);
	return (int)atomic_load(&order->fault);
}

/* For calls that cannot be done by halves. */
static bool fails(enum kind kind)
{
	int fault = fault_of(kind);
	if (fault > 0)
		errno = fault;
	return fault > 0;
}

static bool is_storage(int fd)
{
	struct stat status;
	int before = errno;
	bool is = fd > STDERR_FILENO && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
	errno = before;
	return is;
}

/* The call below: the next object's. */
#define NEXT(name)                                                                                                     \
	static __typeof__(name) *next;                                                                                 \
	if (!next)                                                                                                     \
		*(void **)&next = dlsym(RTLD_NEXT, #name)

/* How many of `n` bytes may be done; -1 with errno set when none. */
static ssize_t allowed(enum kind kind, int fd, size_t n)
{
	int fault = orders && is_storage(fd) ? fault_of(kind) : 0;
	if (fault > 0) {
		errno = fault;
		return -1;
	}
	return (ssize_t)(fault == SHORT && n > 1 ? n / 2 : n);
}

/* ---- opening */

static mode_t mode_of(int flags, va_list arguments)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

static enum kind kind_of_open(int flags)
{
	return (flags & O_TMPFILE) == O_TMPFILE ? SPOOL : OPEN;
}

#define DEFINE_OPEN(name)                                                                                              \
	int name(const char *path, int flags, ...)                                                                     \
	{                                                                                                              \
		va_list arguments;                                                                                     \
		va_start(arguments, flags);                                                                            \
		mode_t mode = mode_of(flags, arguments);                                                               \
		va_end(arguments);                                                                                     \
		NEXT(name);                                                                                            \
		return fails(kind_of_open(flags)) ? -1 : next(path, flags, mode);                                      \
	}

#define DEFINE_OPENAT(name)                                                                                            \
	int name(int folder, const char *path, int flags, ...)                                                         \
	{                                                                                                              \
		va_list arguments;                                                                                     \
		va_start(arguments, flags);                                                                            \
		mode_t mode = mode_of(flags, arguments);                                                               \
		va_end(arguments);                                                                                     \
		NEXT(name);                                                                                            \
		return fails(kind_of_open(flags)) ? -1 : next(folder, path, flags, mode);                              \
	}

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

int mkdir(const char *path, mode_t mode)
{
	NEXT(mkdir);
	return fails(MKDIR) ? -1 : next(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
	NEXT(mkdirat);
	return fails(MKDIR) ? -1 : next(folder, path, mode);
}

int rename(const char *old, const char *new)
{
	NEXT(rename);
	return fails(RENAME) ? -1 : next(old, new);
}

int renameat(int from, const char *old, int to, const char *new)
{
	NEXT(renameat);
	return fails(RENAME) ? -1 : next(from, old, to, new);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	NEXT(renameat2);
	return fails(RENAME) ? -1 : next(from, old, to, new, flags);
}

DIR *opendir(const char *path)
{
	NEXT(opendir);
	return fails(OPENDIR) ? NULL : next(path);
}

DIR *fdopendir(int fd)
{
	NEXT(fdopendir);
	return fails(OPENDIR) ? NULL : next(fd);
}

int unlink(const char *path)
{
	NEXT(unlink);
	return fails(UNLINK) ? -1 : next(path);
}

int unlinkat(int folder, const char *path, int flags)
{
	NEXT(unlinkat);
	return fails(UNLINK) ? -1 : next(folder, path, flags);
}

/* ---- bytes */

ssize_t write(int fd, const void *bytes, size_t n)
{
	ssize_t some = allowed(WRITE, fd, n);
	NEXT(write);
	return some < 0 ? -1 : next(fd, bytes, (size_t)some);
}

#define DEFINE_AT(kind, name, pointer, offset)                                                                         \
	ssize_t name(int fd, pointer bytes, size_t n, offset at)                                                       \
	{                                                                                                              \
		ssize_t some = allowed(kind, fd, n);                                                                   \
		NEXT(name);                                                                                            \
		return some < 0 ? -1 : next(fd, bytes, (size_t)some, at);                                              \
	}

DEFINE_AT(WRITE, pwrite, const void *, off_t)
DEFINE_AT(WRITE, pwrite64, const void *, off64_t)
DEFINE_AT(READ, pread, void *, off_t)
DEFINE_AT(READ, pread64, void *, off64_t)

ssize_t read(int fd, void *bytes, size_t n)
{
	ssize_t some = allowed(READ, fd, n);
	NEXT(read);
	return some < 0 ? -1 : next(fd, bytes, (size_t)some);
}

/* Of several pieces, half means the first one alone. */
#define DEFINE_PWRITEV(name, offset)                                                                                   \
	ssize_t name(int fd, const struct iovec *pieces, int n, offset at)                                             \
	{                                                                                                              \
		ssize_t some = allowed(WRITE, fd, (size_t)n);                                                          \
		NEXT(name);                                                                                            \
		return some < 0 ? -1 : next(fd, pieces, (int)some, at);                                                \
	}

DEFINE_PWRITEV(pwritev, off_t)
DEFINE_PWRITEV(pwritev64, off64_t)

ssize_t preadv64v2(int fd, const struct iovec *pieces, int n, off64_t at, int flags)
{
	ssize_t some = allowed(READ, fd, (size_t)n);
	NEXT(preadv64v2);
	return some < 0 ? -1 : next(fd, pieces, (int)some, at, flags);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t n)
{
	ssize_t some = allowed(READ, from, n);
	NEXT(sendfile64);
	return some < 0 ? -1 : next(to, from, at, (size_t)some);
}

off64_t lseek64(int fd, off64_t at, int whence)
{
	NEXT(lseek64);
	return orders && is_storage(fd) && fails(LSEEK) ? -1 : next(fd, at, whence);
}

void *mmap64(void *where, size_t n, int protection, int flags, int fd, off64_t at)
{
	NEXT(mmap64);
	return orders && is_storage(fd) && fails(MMAP) ? MAP_FAILED : next(where, n, protection, flags, fd, at);
}

/* ---- what is there */

int stat64(const char *path, struct stat64 *out)
{
	NEXT(stat64);
	return fails(STAT) ? -1 : next(path, out);
}

int lstat64(const char *path, struct stat64 *out)
{
	NEXT(lstat64);
	return fails(STAT) ? -1 : next(path, out);
}

int fstatat64(int folder, const char *path, struct stat64 *out, int flags)
{
	NEXT(fstatat64);
	return fails(STAT) ? -1 : next(folder, path, out, flags);
}

int fstat64(int fd, struct stat64 *out)
{
	NEXT(fstat64);
	return orders && is_storage(fd) && fails(STAT) ? -1 : next(fd, out);
}

/* ---- syncs, sizes, space */

static int not_synced(int fault)
{
	if (fault == LIE)
		return 0;
	errno = fault;
	return -1;
}

/* The same as fault_of, when the order to hold the call was cancelled. */
static int fault_of_sync(enum kind kind)
{
	int fault = fault_of(kind);
	while (fault == HELD && atomic_load(&orders[kind].wait) != 0)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	return fault == HELD ? 0 : fault;
}

int fsync(int fd)
{
	struct stat status;
	NEXT(fsync);
	bool is_folder = orders && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
	int fault = fault_of_sync(is_folder ? FSYNC_FOLDER : FSYNC);
	return fault ? not_synced(fault) : next(fd);
}

int fdatasync(int fd)
{
	NEXT(fdatasync);
	int fault = fault_of_sync(FSYNC);
	return fault ? not_synced(fault) : next(fd);
}

int syncfs(int fd)
{
	NEXT(syncfs);
	int fault = fault_of(FSYNC);
	return fault ? not_synced(fault) : next(fd);
}

int ftruncate(int fd, off_t size)
{
	NEXT(ftruncate);
	return fails(FTRUNCATE) ? -1 : next(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
	NEXT(ftruncate64);
	return fails(FTRUNCATE) ? -1 : next(fd, size);
}

int fallocate64(int fd, int mode, off64_t from, off64_t n)
{
	NEXT(fallocate64);
	return fails(FALLOCATE) ? -1 : next(fd, mode, from, n);
}

int posix_fallocate64(int fd, off64_t from, off64_t n)
{
	NEXT(posix_fallocate64);
	int fault = fault_of(FALLOCATE);
	return fault > 0 ? fault : next(fd, from, n);
}

#define DEFINE_SPACE(name, type)                                                                                       \
	int name(int fd, type *out)                                                                                    \
	{                                                                                                              \
		NEXT(name);                                                                                            \
		int fault = fault_of(STATFS), result = fault > 0 ? -1 : next(fd, out);                                 \
		if (fault > 0)                                                                                         \
			errno = fault;                                                                                 \
		else if (fault == FULL)                                                                                \
			out->f_bavail = 0;                                                                             \
		return result;                                                                                         \
	}

DEFINE_SPACE(fstatvfs, struct statvfs)
DEFINE_SPACE(fstatvfs64, struct statvfs64)
DEFINE_SPACE(fstatfs, struct statfs)
DEFINE_SPACE(fstatfs64, struct statfs64)

/* ---- memory: glibc's own names, because dlsym itself allocates */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
	return fails(MALLOC) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails(MALLOC) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
	return fails(MALLOC) ? NULL : __libc_realloc(p, size);
}
