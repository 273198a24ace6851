/* sandbox.c: user, Landlock and seccomp of a role, in that order. What it does is done for the rest of the process's
 * life; a failure half way leaves the process more confined than before and its caller ends it. */
#include "loop/sandbox.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATH_SIZE 4096

/* Bits of newer kernels that the build machine's headers may not have (ABI 2, 3). */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#define ACCESS_ABI_1 ((1ULL << 13) - 1)
#define ACCESS_READ  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_WRITE                                                                                                   \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |              \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER |                        \
	 LANDLOCK_ACCESS_FS_TRUNCATE)

int sandbox_drop_user(uint32_t user, uint32_t group)
{
	if (geteuid() != 0 || (user == 0 && group == 0))
		return 0;
	gid_t none[1] = { group };
	if (setgroups(1, none) != 0 || setresgid(group, group, group) != 0 || setresuid(user, user, user) != 0)
		return ERR_DENIED;
	/* There must be no way back. */
	return user != 0 && setuid(0) == 0 ? ERR_DENIED : 0;
}

/* --- Landlock --- */

static int allow_path(int ruleset, const struct sandbox_path *path, uint64_t handled)
{
	char name[PATH_SIZE];
	if (path->path.n >= sizeof name)
		return ERR_LIMIT;
	snprintf(name, sizeof name, "%.*s", STR_ARG(path->path));
	int fd = open(name, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return err_from_errno(errno);
	struct landlock_path_beneath_attr rule = {
		.allowed_access = handled & (path->writable ? ACCESS_READ | ACCESS_WRITE : ACCESS_READ),
		.parent_fd = fd,
	};
	long result = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(fd);
	return result == 0 ? 0 : ERR_IO;
}

static int enter_landlock(const struct sandbox_rules *rules, bool *missing)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	*missing = abi < 1;
	if (*missing)
		return 0;
	uint64_t handled = ACCESS_ABI_1;
	if (abi >= 2)
		handled |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		handled |= LANDLOCK_ACCESS_FS_TRUNCATE;
	struct landlock_ruleset_attr attr = { .handled_access_fs = handled };
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (ruleset < 0)
		return ERR_IO;
	int err = 0;
	for (size_t i = 0; i < rules->n_paths && err == 0; i++)
		err = allow_path(ruleset, &rules->paths[i], handled);
	if (err == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		err = ERR_IO;
	close(ruleset);
	return err;
}

/* --- seccomp --- */

/* What every role needs: memory, time, signals, waiting, and reading and writing what it has open. */
static const int basic_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(preadv),
	SCMP_SYS(preadv2),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(sendfile),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrusage),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* What fcntl may do, F_SETFL aside: nothing that sends signals, as kill() would. */
static const int basic_controls[] = { F_GETFL, F_GETFD, F_SETFD, F_DUPFD_CLOEXEC };
/* Of SQLite. */
static const int file_controls[] = { F_GETLK, F_SETLK };

static const int file_calls[] = {
	SCMP_SYS(open),       SCMP_SYS(openat),     SCMP_SYS(stat),
	SCMP_SYS(lstat),      SCMP_SYS(newfstatat), SCMP_SYS(statx),
	SCMP_SYS(access),     SCMP_SYS(faccessat),  SCMP_SYS(faccessat2),
	SCMP_SYS(readlink),   SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
	SCMP_SYS(getdents64), SCMP_SYS(mkdir),      SCMP_SYS(mkdirat),
	SCMP_SYS(rmdir),      SCMP_SYS(unlink),     SCMP_SYS(unlinkat),
	SCMP_SYS(rename),     SCMP_SYS(renameat),   SCMP_SYS(renameat2),
	SCMP_SYS(link),       SCMP_SYS(linkat),     SCMP_SYS(fchmod),
	SCMP_SYS(fchown),     SCMP_SYS(umask),      SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),  SCMP_SYS(fadvise64),  SCMP_SYS(flock),
	SCMP_SYS(fsync),      SCMP_SYS(fdatasync),  SCMP_SYS(sync_file_range),
	SCMP_SYS(pwritev),    SCMP_SYS(pwritev2),   SCMP_SYS(copy_file_range),
	SCMP_SYS(statfs),     SCMP_SYS(fstatfs),    SCMP_SYS(readahead),
	SCMP_SYS(msync),
};

static int allow_calls(scmp_filter_ctx filter, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* Calls that this processor's kernel does not have are negative numbers. */
		if (calls[i] >= 0 && seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) != 0)
			return ERR_UNSUPPORTED;
	}
	return 0;
}

static int allow_controls(scmp_filter_ctx filter, const int *commands, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
		                     SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i])) != 0)
			return ERR_UNSUPPORTED;
	}
	return 0;
}

/* Calls that are allowed with some arguments only. */
static int allow_basics(scmp_filter_ctx filter)
{
	int err = allow_calls(filter, basic_calls, COUNT_OF(basic_calls));
	int failed = 0;
	/* No new code in memory. */
	failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	failed |=
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* Who has handed a connection on shares its flags still, and sendfile heeds nothing else: that no descriptor can be made
	 * blocking again (nor begins so: allow_groups) keeps one role from stopping another. */
	failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 2, SCMP_A1(SCMP_CMP_EQ, F_SETFL),
	                           SCMP_A2(SCMP_CMP_MASKED_EQ, O_NONBLOCK | O_ASYNC, O_NONBLOCK));
	err = err != 0 ? err : allow_controls(filter, basic_controls, COUNT_OF(basic_controls));
	/* stdio asks terminals for TCGETS */
	failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD));
	failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, SIOCOUTQ));
	failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, TCGETS));
	/* abort() */
	failed |=
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	return err != 0 ? err : failed ? ERR_UNSUPPORTED : 0;
}

static int allow_groups(scmp_filter_ctx filter, uint32_t allow)
{
	int err = 0, failed = 0;
	if (allow & SANDBOX_SOCKETS) {
		failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(accept4), 1,
		                           SCMP_A3(SCMP_CMP_MASKED_EQ, SOCK_NONBLOCK, SOCK_NONBLOCK));
	}
	if (allow & SANDBOX_SOCKETPAIR)
		failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 2, SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
		                           SCMP_A1(SCMP_CMP_MASKED_EQ, SOCK_NONBLOCK, SOCK_NONBLOCK));
	if (allow & SANDBOX_FILES) {
		err = allow_calls(filter, file_calls, COUNT_OF(file_calls));
		err = err != 0 ? err : allow_controls(filter, file_controls, COUNT_OF(file_controls));
	} else {
		/* fstat(3) of glibc */
		failed |=
			seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH));
	}
	if (allow & SANDBOX_THREADS) {
		failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		                           SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
		/* Its flags lie in memory where a filter cannot see them; glibc falls back to clone. */
		failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
		failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0));
		/* a helper wakes its loop */
		failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(eventfd2), 0);
	}
	return err != 0 ? err : failed ? ERR_UNSUPPORTED : 0;
}

static int enter_seccomp(uint32_t allow)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return ERR_UNSUPPORTED;
	int err = allow_basics(filter);
	if (err == 0)
		err = allow_groups(filter, allow);
	if (err == 0 && seccomp_load(filter) != 0)
		err = ERR_UNSUPPORTED;
	seccomp_release(filter);
	return err;
}

int sandbox_enter(const struct sandbox_rules *rules, bool *landlock_missing)
{
	bool missing;
	int err = sandbox_drop_user(rules->user, rules->group);
	if (err != 0)
		return err;
	/* After the change of user, which may set it again. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return ERR_UNSUPPORTED;
	err = enter_landlock(rules, &missing);
	if (err == 0)
		err = enter_seccomp(rules->allow);
	if (err == 0)
		*landlock_missing = missing;
	return err;
}
