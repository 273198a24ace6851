/* spawn.c: starts a role: fork, then exec of our own binary, so that each process has an address space of its own
 * making. */
#include "proc/supervisor/supervisor_private.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CHILD_CONTROL_FD 3
#define NUMBER_SIZE      8

/* In the child, between fork and exec. */
static void become_role(char *const arguments[], int control_fd, pid_t supervisor_pid)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != supervisor_pid)
		_exit(1); /* it died before the line above */
	if (control_fd == CHILD_CONTROL_FD)
		fcntl(control_fd, F_SETFD, 0);
	else if (dup2(control_fd, CHILD_CONTROL_FD) < 0)
		_exit(1);
	/* What our own parent left open is nobody's business. A kernel before 5.9 does not have the call. */
	(void)close_range(CHILD_CONTROL_FD + 1, ~0U, 0);
	execv("/proc/self/exe", arguments);
	_exit(1);
}

pid_t spawn_role(enum role role, uint16_t index, int control_fd, pid_t supervisor_pid)
{
	char program[] = "mansio", command[] = "role", number[NUMBER_SIZE];
	snprintf(number, sizeof number, "%u", (unsigned)index);
	char *arguments[] = { program, command, (char *)(uintptr_t)role_name(role).p, number, NULL };
	pid_t pid = fork();
	if (pid == 0)
		become_role(arguments, control_fd, supervisor_pid);
	return pid > 0 ? pid : 0;
}
