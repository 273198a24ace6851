/* sandbox.h: what a role may still do. Called in plain sight from each role's main, before threads start. */
#ifndef LOOP_SANDBOX_H
#define LOOP_SANDBOX_H

#include "base/err.h"
#include "base/str.h"

/* Groups of system calls; every role gets the basics (memory, its open descriptors, clock, exit, signals). */
enum {
	SANDBOX_SOCKETS = 1,     /* accept4, with SOCK_NONBLOCK, on what it has; no socket(), bind(), connect() */
	SANDBOX_SOCKETPAIR = 2,  /* socketpair(AF_UNIX), with SOCK_NONBLOCK: relays of TLS connections */
	SANDBOX_FILES = 4,       /* open and change files below the allowed folders (Landlock) */
	SANDBOX_THREADS = 8,     /* clone for threads only */
};

struct sandbox_path {
	struct str path; /* folder; everything below it */
	bool writable;
};

/* Non-dumpable, no new privileges, then user and group (numeric; skipped when not root), then Landlock over `paths`
 * (none: no file at all), then seccomp. A kernel without Landlock is a warning (returned in *landlock_missing).
 * ERR_UNSUPPORTED when seccomp is not there. A forbidden call kills the process (SIGSYS). No descriptor can be
 * made blocking, or be told to send signals. */
struct sandbox_rules {
	uint32_t allow; /* SANDBOX_* */
	const struct sandbox_path *paths;
	size_t n_paths;
	uint32_t user, group; /* 0: stay */
};
int sandbox_drop_user(uint32_t user, uint32_t group) MUST_CHECK; /* no-op when not root or both 0 */
int sandbox_enter(const struct sandbox_rules *rules, bool *landlock_missing) MUST_CHECK;

#endif
