/* limits.c: what this machine can do at best, as the baseline states it of its own: a round trip between two processes,
 * sendfile and pread with write over loopback, fdatasync of 8 KB appended, pages new in the page cache. Goals in CPU
 * time mean as much as these figures resemble each other. What wakes another process is measured with that on the same
 * processor and on another one: to wake an idle processor of a virtual machine costs its waker more than all the rest.
 * Prints one JSON object. The files are nameless, in the folder that is named; a failure ends it. */
#include "bench.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_BYTES  (256 * 1024 * 1024)
#define PIECE       (64 * 1024)
#define ROUND_TRIPS 20000
#define SYNCS       300
#define SYNC_BYTES  8192
#define GIGABYTE    1e9

static char piece[PIECE];

static _Noreturn void die(const char *what)
{
	bench_die(what, str_from_c(strerror(errno)));
}

static double seconds(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct cost {
	double cpu, wall; /* seconds, of this process */
};

static struct cost cost_now(void)
{
	return (struct cost){ seconds(CLOCK_PROCESS_CPUTIME_ID), seconds(CLOCK_MONOTONIC) };
}

static struct cost cost_since(struct cost start)
{
	struct cost now = cost_now();
	return (struct cost){ now.cpu - start.cpu, now.wall - start.wall };
}

/* Both ends of a TCP connection over loopback. */
static void connect_ends(int ends[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof address;
	int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, n) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &n) < 0)
		die("cannot listen");
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (ends[0] < 0 || connect(ends[0], (struct sockaddr *)&address, n) < 0 || (ends[1] = accept(listener, NULL, NULL)) < 0)
		die("cannot connect");
	for (int i = 0; i < 2; i++)
		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	close(listener);
}

static void stay_on(size_t processor)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	if (sched_setaffinity(0, sizeof set, &set) < 0)
		die("cannot choose the processor");
}

/* Another process, on that processor, at the far end; returns the near one. */
static int with_peer(void (*peer)(int fd), size_t processor, pid_t *pid)
{
	int ends[2];
	connect_ends(ends);
	*pid = fork();
	if (*pid < 0)
		die("cannot fork");
	if (*pid == 0) {
		stay_on(processor);
		close(ends[1]);
		peer(ends[0]);
		_exit(0);
	}
	close(ends[0]);
	return ends[1];
}

static void end_peer(int fd, pid_t pid)
{
	close(fd);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void swallow(int fd)
{
	static char room[4 * PIECE];
	while (read(fd, room, sizeof room) > 0)
		;
}

static void echo(int fd)
{
	char byte;
	while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
		;
}

static int nameless_file(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		die("cannot make a file");
	return fd;
}

static struct cost fill(int file)
{
	struct cost start = cost_now();
	for (off_t at = 0; at < FILE_BYTES; at += PIECE) {
		if (pwrite(file, piece, PIECE, at) != PIECE)
			die("cannot write");
	}
	struct cost cost = cost_since(start);
	if (fdatasync(file) < 0)
		die("cannot sync");
	return cost;
}

static struct cost send_file(int file, int to)
{
	struct cost start = cost_now();
	for (off_t at = 0; at < FILE_BYTES;) {
		if (sendfile(to, file, &at, (size_t)(FILE_BYTES - at)) <= 0)
			die("cannot send");
	}
	return cost_since(start);
}

static struct cost read_and_write(int file, int to)
{
	struct cost start = cost_now();
	for (off_t at = 0; at < FILE_BYTES; at += PIECE) {
		if (pread(file, piece, PIECE, at) != PIECE)
			die("cannot read");
		for (ssize_t done = 0, n; done < PIECE; done += n) {
			if ((n = write(to, piece + done, (size_t)(PIECE - done))) <= 0)
				die("cannot send");
		}
	}
	return cost_since(start);
}

static struct cost round_trips(int fd)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("cannot wait");
	struct cost start = cost_now();
	for (int i = 0; i < ROUND_TRIPS; i++) {
		char byte = 0;
		if (write(fd, &byte, 1) != 1 || epoll_wait(epoll, &event, 1, -1) != 1 || read(fd, &byte, 1) != 1)
			die("no round trip");
	}
	struct cost cost = cost_since(start);
	close(epoll);
	return cost;
}

static struct cost syncs(int file)
{
	struct cost start = cost_now();
	for (int i = 0; i < SYNCS; i++) {
		if (pwrite(file, piece, SYNC_BYTES, (off_t)i * SYNC_BYTES) != SYNC_BYTES || fdatasync(file) < 0)
			die("cannot sync");
	}
	return cost_since(start);
}

/* What is done with a peer on that processor. */
static void print_with_peer(int file, size_t processor, const char *where)
{
	pid_t pid;
	int fd = with_peer(swallow, processor, &pid);
	struct cost sent = send_file(file, fd), copied = read_and_write(file, fd);
	end_peer(fd, pid);
	fd = with_peer(echo, processor, &pid);
	struct cost tripped = round_trips(fd);
	end_peer(fd, pid);
	printf("\"round_trip_us_%s\": %.1f, \"sendfile_s_gb_%s\": %.3f, \"pread_write_s_gb_%s\": %.3f, ", where,
	       tripped.cpu * 1e6 / ROUND_TRIPS, where, sent.cpu / FILE_BYTES * GIGABYTE, where,
	       copied.cpu / FILE_BYTES * GIGABYTE);
}

int main(int argc, char **argv)
{
	cpu_set_t allowed;
	if (argc != 2)
		bench_die("which folder?", STR("example: limits /var/tmp"));
	memset(piece, 'x', sizeof piece);
	if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
		die("cannot ask for the processors");
	int file = nameless_file(argv[1]), small = nameless_file(argv[1]), here = sched_getcpu();
	if (here < 0)
		die("cannot ask for the processor");
	stay_on((size_t)here);
	struct cost filled = fill(file), synced = syncs(small);
	printf("{");
	print_with_peer(file, (size_t)here, "same");
	for (size_t other = 0; other < CPU_SETSIZE; other++) {
		if (CPU_ISSET(other, &allowed) && other != (size_t)here) {
			print_with_peer(file, other, "other");
			break;
		}
	}
	printf("\"sync_us\": %.0f, \"sync_wall_us\": %.0f, \"new_pages_s_gb\": %.3f}\n", synced.cpu * 1e6 / SYNCS,
	       synced.wall * 1e6 / SYNCS, filled.cpu / FILE_BYTES * GIGABYTE);
	return 0;
}
