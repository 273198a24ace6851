/* floor_loop.c: one epoll a process. What is forgotten in a turn is freed at its end, as a later event of the same turn
 * may still name it. */
#include "floor.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/epoll.h>

static int poll_fd = -1;
static struct watched *gone;

void loop_begin(void)
{
	if ((poll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("epoll_create1");
}

void loop_watch(struct watched *watched, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watched };
	if (epoll_ctl(poll_fd, operation, watched->fd, &event) < 0)
		die("epoll_ctl");
}

void loop_forget(struct watched *watched)
{
	watched->gone = true;
	watched->next_gone = gone;
	gone = watched;
}

static void free_gone(void)
{
	while (gone) {
		struct watched *next = gone->next_gone;
		mem_free(gone);
		gone = next;
	}
}

_Noreturn void loop_run(int (*end_of_turn)(void))
{
	struct epoll_event events[EVENTS];
	for (int patience = -1;; patience = end_of_turn()) {
		free_gone();
		int n = epoll_wait(poll_fd, events, EVENTS, patience);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct watched *watched = events[i].data.ptr;
			if (!watched->gone)
				watched->ready(watched, events[i].events);
		}
	}
}
