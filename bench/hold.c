/* hold.c: makes the host give memory before anything is measured. The memory of a virtual machine may be backed only
 * when it is touched, and taken back when it is free: then a page that is new in the page cache costs a fault of the
 * host, 2 to 10 us, and a delivery's cost says how much memory was used before it (seen: 0.7 ms a MB written into
 * pages that were backed, 3.5 into others). Free memory is given back in blocks of 2 MB, if at all; so this touches as
 * much as it is told, frees all but one page of each such block, says "ready", and sleeps until it is killed. A
 * machine that has its memory anyway loses nothing by it. Owns its mapping, nothing else; ends with who started it. */
#include "bench.h"

#include "base/checked.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PAGE  4096
#define BLOCK (2 * 1024 * 1024)

int main(int argc, char **argv)
{
	uint64_t megabytes;
	if (argc != 2 || str_to_u64(str_from_c(argv[1]), UINT32_MAX, &megabytes) < 0)
		bench_die("how many megabytes?", STR("example: hold 4096"));
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	size_t n = megabytes << 20;
	char *memory = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || madvise(memory, n, MADV_NOHUGEPAGE) < 0)
		bench_die("no memory", str_from_c(strerror(errno)));
	for (size_t at = 0; at < n; at += PAGE)
		memory[at] = 1;
	for (size_t at = 0; at < n; at += BLOCK) {
		if (madvise(memory + at + PAGE, MIN(BLOCK, n - at) - PAGE, MADV_DONTNEED) < 0)
			bench_die("cannot free memory", str_from_c(strerror(errno)));
	}
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
