/* restore_temporary.c: a folder under $TMPDIR (or /var/tmp) that is gone when the command is, however it ends. A child
 * waits for the end of this process, which closes a pipe, and removes the folder: so a signal, or a crash in the middle of
 * SQLite's work, leaves nothing. What a kill of both, or a power cut, left is removed by the next run: the folder is
 * locked (flock) as long as one of the two lives. Owned by the command; one at a time. */
#include "proc/ctl/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREFIX    "mansio-restore-"
#define DEPTH     2  /* folders in it */
#define TRIES_MAX 10 /* to make one while another run sweeps */

/* --- removing --- */

static int remove_any(void *owner, int folder, const char *name)
{
	int depth = *(const int *)owner - 1;
	if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR || depth < 0)
		return err_from_errno(errno);
	int result = folder_each(folder, name, remove_any, &depth);
	if (result == 0 && unlinkat(folder, name, AT_REMOVEDIR) < 0)
		result = err_from_errno(errno);
	return result;
}

/* Of this user, and nobody holds it. */
static int sweep_one(void *owner, int folder, const char *name)
{
	int depth = DEPTH;
	struct stat st;
	if (!str_starts(str_from_c(name), STR(PREFIX)))
		return 0;
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)remove_any(&depth, folder, name); /* or the next run does */
	if (fd >= 0)
		close(fd);
	return 0;
}

static void sweep(const char *parent)
{
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* it may be a link */
	if (fd < 0)
		return;
	int result = folder_each(fd, ".", sweep_one, NULL);
	(void)result; /* what stays, the next run tries again */
	close(fd);
}

/* --- the child --- */

static void close_all_but(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);
	if (low > 0)
		(void)close_range(0, low - 1, 0);
	if (high > low + 1)
		(void)close_range(low + 1, high - 1, 0);
	(void)close_range(high + 1, ~0U, 0);
}

/* `life` ends with the process whose folder it is. The lock goes with this one. */
static void __attribute__((noreturn)) wait_and_remove(const struct temporary_folder *folder, int life)
{
	static const int ENDINGS[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	int depth = DEPTH;
	char byte;
	for (size_t i = 0; i < COUNT_OF(ENDINGS); i++)
		signal(ENDINGS[i], SIG_IGN);
	(void)setsid(); /* what ends a whole group ends not this */
	close_all_but(life, folder->lock);
	while (read(life, &byte, 1) < 0 && errno == EINTR)
		;
	(void)remove_any(&depth, AT_FDCWD, folder->path);
	_exit(0);
}

static int begin_guardian(struct temporary_folder *folder)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	folder->guardian = fork();
	if (folder->guardian == 0) {
		close(ends[1]);
		wait_and_remove(folder, ends[0]);
	}
	close(ends[0]);
	folder->life = ends[1];
	if (folder->guardian > 0)
		return 0;
	close(folder->life);
	return -1;
}

/* --- life --- */

/* Another run may have taken it for one that was left, before it was locked. */
static bool lock_it(struct temporary_folder *folder)
{
	struct stat here, named;
	folder->lock = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (folder->lock < 0)
		return false;
	while (flock(folder->lock, LOCK_EX) < 0 && errno == EINTR)
		;
	if (fstat(folder->lock, &here) == 0 && lstat(folder->path, &named) == 0 && here.st_ino == named.st_ino &&
	    here.st_dev == named.st_dev)
		return true;
	close(folder->lock);
	return false;
}

int temporary_begin(struct temporary_folder *out, struct buf *problem)
{
	const char *given = getenv("TMPDIR");
	const char *parent = given && given[0] == '/' ? given : "/var/tmp";
	bool locked = false;
	*out = (struct temporary_folder){ .lock = -1, .life = -1, .guardian = -1 };
	sweep(parent);
	for (int i = 0; i < TRIES_MAX && !locked; i++) {
		snprintf(out->path, sizeof out->path, "%.2000s/" PREFIX "XXXXXX", parent);
		if (!mkdtemp(out->path))
			break;
		locked = lock_it(out);
	}
	if (locked && begin_guardian(out) == 0)
		return 0;
	int result = backup_fail(problem, ERR_IO, "cannot make the folder %s: %m", out->path);
	if (locked) {
		rmdir(out->path);
		close(out->lock);
	}
	out->path[0] = '\0';
	return result;
}

void temporary_end(struct temporary_folder *folder)
{
	if (!folder->path[0])
		return;
	close(folder->life);
	while (waitpid(folder->guardian, NULL, 0) < 0 && errno == EINTR)
		;
	close(folder->lock);
	folder->path[0] = '\0';
}
