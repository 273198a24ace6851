/* cpu.c: CPU time and memory of the server, from /proc: the supervisor and its children. */
#include "bench.h"

#include <dirent.h>
#include <unistd.h>

#define PROCESSES_MAX 256

struct usage {
	int parent;
	double seconds; /* own, and of children that ended and were waited for */
};

static bool read_usage(int pid, struct usage *out)
{
	char path[64], line[1024];
	unsigned long user, system, dead_user, dead_system;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *file = fopen(path, "r");
	bool ok = file && fgets(line, sizeof line, file);
	if (file)
		fclose(file);
	const char *end = ok ? strrchr(line, ')') : NULL;
	if (!end || sscanf(end + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", &out->parent, &user, &system, &dead_user, &dead_system) != 5)
		return false;
	out->seconds = (double)(user + system + dead_user + dead_system) / (double)sysconf(_SC_CLK_TCK);
	return true;
}

/* Finer than /proc/PID/stat's ticks: nanoseconds on the CPU of a process's threads. */
static double precise_seconds(int pid)
{
	char path[64];
	double seconds = 0;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
		char name[320];
		unsigned long long nanoseconds;
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof name, "/proc/%d/task/%s/schedstat", pid, entry->d_name);
		FILE *file = fopen(name, "r");
		if (file && fscanf(file, "%llu", &nanoseconds) == 1)
			seconds += (double)nanoseconds / 1e9;
		if (file)
			fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return seconds;
}

/* The process and its children. */
static size_t family(int pid, int *out)
{
	size_t n = 0;
	DIR *proc = opendir("/proc");
	for (struct dirent *entry; proc && (entry = readdir(proc)) && n < PROCESSES_MAX;) {
		uint64_t number;
		struct usage usage;
		if (str_to_u64(str_from_c(entry->d_name), INT32_MAX, &number) == 0 && read_usage((int)number, &usage) &&
		    ((int)number == pid || usage.parent == pid))
			out[n++] = (int)number;
	}
	if (proc)
		closedir(proc);
	return n;
}

double cpu_seconds(int pid)
{
	int pids[PROCESSES_MAX];
	double seconds = 0;
	size_t n = pid ? family(pid, pids) : 0;
	for (size_t i = 0; i < n; i++)
		seconds += precise_seconds(pids[i]);
	return seconds;
}

uint64_t memory_bytes(int pid)
{
	int pids[PROCESSES_MAX];
	uint64_t bytes = 0;
	size_t n = pid ? family(pid, pids) : 0;
	for (size_t i = 0; i < n; i++) {
		char path[64], line[256];
		unsigned long kilobytes;
		snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pids[i]);
		FILE *file = fopen(path, "r");
		while (file && fgets(line, sizeof line, file))
			if (sscanf(line, "Pss: %lu kB", &kilobytes) == 1)
				bytes += (uint64_t)kilobytes * 1024;
		if (file)
			fclose(file);
	}
	return bytes;
}
