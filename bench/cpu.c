/* cpu.c: CPU time and memory of the server: from its control group, or from /proc of the process that was started
 * and its descendants. */
#include "bench.h"

#include "base/checked.h"
#include "base/mem.h"

#include <dirent.h>
#include <unistd.h>

#define PROCESSES_MAX 16384

struct process {
	int pid, parent;
	double ended_seconds; /* of children that ended and were waited for */
};

static bool read_process(int pid, struct process *out)
{
	char path[64], line[1024];
	unsigned long user, system;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *file = fopen(path, "r");
	bool ok = file && fgets(line, sizeof line, file);
	if (file)
		fclose(file);
	const char *end = ok ? strrchr(line, ')') : NULL;
	if (!end || sscanf(end + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lu %lu", &out->parent, &user,
	                   &system) != 3)
		return false;
	out->pid = pid;
	out->ended_seconds = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
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

/* The process and its descendants come to the front of `out`; gives their number. Linear passes until none is added:
 * trees of servers are flat. */
static size_t family(int pid, struct process *out)
{
	size_t n = 0, wanted = 0;
	DIR *proc = opendir("/proc");
	for (struct dirent *entry; proc && (entry = readdir(proc)) && n < PROCESSES_MAX;) {
		uint64_t number;
		if (str_to_u64(str_from_c(entry->d_name), INT32_MAX, &number) == 0 && read_process((int)number, &out[n]))
			n++;
	}
	if (proc)
		closedir(proc);
	for (size_t before = SIZE_MAX; before != wanted;) {
		before = wanted;
		for (size_t i = wanted; i < n; i++) {
			bool found = out[i].pid == pid;
			for (size_t k = 0; k < wanted && !found; k++)
				found = out[i].parent == out[k].pid;
			if (!found)
				continue;
			struct process moved = out[i];
			out[i] = out[wanted];
			out[wanted++] = moved;
		}
	}
	return wanted;
}

double cpu_seconds(int pid)
{
	double seconds = 0;
	struct process *processes = mem_alloc(PROCESSES_MAX, sizeof *processes);
	size_t n = pid ? family(pid, processes) : 0;
	for (size_t i = 0; i < n; i++)
		seconds += precise_seconds(processes[i].pid) + processes[i].ended_seconds;
	mem_free(processes);
	return seconds;
}

double cpu_file_seconds(const char *path)
{
	double count = -1;
	char first[32] = "";
	FILE *file = fopen(path, "r");
	if (!file || fscanf(file, "%31s %lf", first, &count) < 1)
		bench_die("cannot read the CPU time of the control group", str_from_c(path));
	fclose(file);
	uint64_t nanoseconds = 0;
	if (str_eq(str_from_c(first), STR("usage_usec")))
		return count / 1e6;
	if (str_to_u64(str_from_c(first), UINT64_MAX, &nanoseconds) < 0)
		bench_die("no CPU time in", str_from_c(path));
	return (double)nanoseconds / 1e9;
}

uint64_t memory_bytes(int pid)
{
	uint64_t bytes = 0;
	struct process *processes = mem_alloc(PROCESSES_MAX, sizeof *processes);
	size_t n = pid ? family(pid, processes) : 0;
	for (size_t i = 0; i < n; i++) {
		char path[64], line[256];
		unsigned long kilobytes;
		snprintf(path, sizeof path, "/proc/%d/smaps_rollup", processes[i].pid);
		FILE *file = fopen(path, "r");
		while (file && fgets(line, sizeof line, file))
			if (sscanf(line, "Pss: %lu kB", &kilobytes) == 1)
				bytes += (uint64_t)kilobytes * 1024;
		if (file)
			fclose(file);
	}
	mem_free(processes);
	return bytes;
}
