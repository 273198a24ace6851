/* clock.c: another time of day. Loaded (LD_PRELOAD) into every process of a server under test, it maps a file with a number
 * of seconds before the sandbox is entered; tests/harness/clock.py, which maps it too, changes it while the server runs.
 * The clock that dates come from (CLOCK_REALTIME) is that much ahead; the one of time-outs stays. Without MANSIO_CLOCK it
 * is the kernel's. With MANSIO_CLOCK_LEAP=SECONDS, for a command that is to find that much time gone at each look, the clock
 * of time-outs (CLOCK_MONOTONIC) leaps so far whenever it is read. The server itself has no such switch. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t *ahead; /* seconds; NULL: none. Written once, before main */
static int64_t leap;

__attribute__((constructor)) static void find_clock(void)
{
	const char *name = getenv("MANSIO_CLOCK"), *seconds = getenv("MANSIO_CLOCK_LEAP");
	leap = seconds ? strtoll(seconds, NULL, 10) : 0;
	int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (page != MAP_FAILED)
		ahead = page;
}

int clock_gettime(clockid_t which, struct timespec *out)
{
	static int (*real)(clockid_t which, struct timespec *out);
	static _Atomic int64_t leaped;
	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(which, out);
	if (result == 0 && ahead && which == CLOCK_REALTIME)
		out->tv_sec += *ahead;
	if (result == 0 && which == CLOCK_MONOTONIC)
		out->tv_sec += leaped += leap;
	return result;
}
