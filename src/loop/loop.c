/* loop.c: an epoll of ours for descriptors, libuv for timers and signals. One struct loop a process, made by its
 * main. libuv's own epoll descriptor stands in ours, so it gets a turn only when a signal came or a timer is due.
 * (uv_poll would take a descriptor out of epoll and put it in again at each change: 6 epoll_ctl for a connection
 * that only logs in, of which 2 are left.) What is freed while the ready descriptors of a turn are served stays in
 * memory until they are. Running out of kernel objects while making one of these (epoll limits) ends the process,
 * like memory. */
#include "loop/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop_private.h"
#include "loop/timeout.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

#define SIGNALS_MAX 8
#define EVENTS_MAX  256 /* ready descriptors taken at once */
#define LOG_AGAIN_MS 1000 /* log lines that found no room are tried again after */

struct signal_handler {
	uv_signal_t handle;
	loop_signal_fn *fn;
	void *owner;
};

struct loop {
	uv_loop_t uv;
	int epoll;
	bool uv_due;   /* libuv has a handle that it has not begun to wait for */
	bool stopping;
	struct loop_watch *freed; /* in this turn */
	struct loop_later *later_first, **later_end;
	struct signal_handler *signals[SIGNALS_MAX];
	size_t n_signals;
	struct loop_wheel *wheel; /* NULL until the first timeout */
	char *scratch;            /* NULL until the first read */
	struct loop_helper *read_helper;
	uint64_t cold_reads;
	struct turn_meter meter;
};

struct loop_watch {
	struct loop *loop;
	loop_ready_fn *ready;
	void *owner;
	int fd;
	int events;     /* that the owner waits for */
	int registered; /* that epoll knows of: 0, or at least those */
	bool dead;
	struct loop_watch *next; /* in loop->freed */
};

struct loop_timer {
	uv_timer_t timer;
	loop_timer_fn *fire;
	void *owner;
};

/* --- descriptors --- */

struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_ready_fn *ready, void *owner)
{
	struct loop_watch *watch = mem_alloc(1, sizeof *watch);
	*watch = (struct loop_watch){ .loop = loop, .fd = fd, .ready = ready, .owner = owner };
	int flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && !(flags & O_NONBLOCK))
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	return watch;
}

static void register_events(struct loop_watch *watch, int events)
{
	struct epoll_event event = { .events = (events & LOOP_READ ? EPOLLIN : 0) | (events & LOOP_WRITE ? EPOLLOUT : 0),
		                         .data.ptr = watch };
	if (epoll_ctl(watch->loop->epoll, watch->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event) != 0)
		abort();
	watch->registered = events;
}

static void unregister(struct loop_watch *watch)
{
	if (watch->registered)
		(void)epoll_ctl(watch->loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->registered = 0;
}

static void tell_epoll(struct loop_watch *watch)
{
	if (watch->events == 0)
		unregister(watch);
	else if (watch->registered != watch->events)
		register_events(watch, watch->events);
}

/* Who stops reading mostly reads again before anything comes, so epoll hears of that only when something does. A
 * socket is mostly ready to be written, so that is told at once. */
void loop_watch_set(struct loop_watch *watch, int events)
{
	watch->events = events;
	if ((events & ~watch->registered) || (watch->registered & ~events & LOOP_WRITE))
		tell_epoll(watch);
}

void loop_watch_free(struct loop_watch **watch)
{
	struct loop_watch *w = *watch;
	if (!w)
		return;
	*watch = NULL;
	unregister(w);
	w->dead = true;
	w->next = w->loop->freed;
	w->loop->freed = w;
}

static void free_dead_watches(struct loop *loop)
{
	while (loop->freed) {
		struct loop_watch *next = loop->freed->next;
		mem_free(loop->freed);
		loop->freed = next;
	}
}

/* --- turns --- */

static void run_later(struct loop *loop)
{
	if (!loop->later_first)
		return;
	/* What asks again while this list runs comes in the next turn, so that a stream of such work cannot starve
	 * descriptors. The list stays reachable through later_first for loop_later_cancel; the mark tells where it ends. */
	struct loop_later mark = { .queued = true };
	*loop->later_end = &mark;
	loop->later_end = &mark.next;
	while (loop->later_first != &mark) {
		struct loop_later *later = loop->later_first;
		loop->later_first = later->next;
		later->next = NULL;
		later->queued = false;
		later->fn(later->owner);
	}
	loop->later_first = mark.next;
	if (!loop->later_first)
		loop->later_end = &loop->later_first;
}

struct loop *loop_new(void)
{
	struct loop *loop = mem_alloc(1, sizeof *loop);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0 || uv_loop_init(&loop->uv) != 0)
		abort();
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, uv_backend_fd(&loop->uv), &event) != 0)
		abort();
	loop->uv.data = loop;
	loop->later_end = &loop->later_first;
	signal(SIGPIPE, SIG_IGN);
	return loop;
}

/* Also what its owner forgot: the memory then stays, for a leak checker to find. */
static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void loop_free(struct loop **loop)
{
	if (!*loop)
		return;
	struct loop *l = *loop;
	*loop = NULL;
	loop_wheel_free(&l->wheel);
	uv_walk(&l->uv, close_handle, NULL);
	while (uv_run(&l->uv, UV_RUN_NOWAIT) != 0)
		;
	uv_loop_close(&l->uv);
	close(l->epoll);
	free_dead_watches(l);
	for (size_t i = 0; i < l->n_signals; i++)
		mem_free(l->signals[i]);
	mem_free(l->scratch);
	mem_free(l);
}

/* Milliseconds until libuv has something to do; -1: nothing. */
static int uv_rests(struct loop *loop)
{
	if (loop->uv_due)
		return 0;
	uv_update_time(&loop->uv);
	return uv_loop_alive(&loop->uv) ? uv_backend_timeout(&loop->uv) : -1;
}

static void serve(struct loop_watch *watch, uint32_t epoll_events)
{
	int ready = 0;
	if (watch->dead)
		return;
	if ((epoll_events & EPOLLERR) && watch->events) {
		/* The owner learns the error from its next read or write, and is told once only. */
		watch->events = 0;
		unregister(watch);
		watch->ready(watch->owner, LOOP_READ | LOOP_WRITE);
		return;
	}
	if (epoll_events & (EPOLLIN | EPOLLHUP))
		ready |= LOOP_READ;
	if (epoll_events & (EPOLLOUT | EPOLLHUP))
		ready |= LOOP_WRITE;
	if (ready & watch->events)
		watch->ready(watch->owner, ready & watch->events);
	else
		tell_epoll(watch); /* what came is not waited for any more */
}

/* Milliseconds; -1: for ever. */
static int may_sleep(struct loop *loop)
{
	int rest = loop->later_first ? 0 : uv_rests(loop);
	return log_waits() && (rest < 0 || rest > LOG_AGAIN_MS) ? LOG_AGAIN_MS : rest;
}

static void turn(struct loop *loop)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(loop->epoll, events, EVENTS_MAX, may_sleep(loop));
	bool uv_ready = false;
	turn_begin(&loop->meter);
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			serve(events[i].data.ptr, events[i].events);
		else
			uv_ready = true;
	}
	/* Descriptors that are always ready must not keep timers from their time. */
	if (uv_ready || uv_rests(loop) == 0) {
		loop->uv_due = false;
		uv_run(&loop->uv, UV_RUN_NOWAIT);
	}
	run_later(loop);
	free_dead_watches(loop);
	log_flush();
	turn_end(&loop->meter);
	log_flush(); /* of a turn that was slow */
}

void loop_run(struct loop *loop)
{
	while (!loop->stopping)
		turn(loop);
	loop->stopping = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}

uint64_t loop_now_ms(struct loop *loop)
{
	(void)loop;
	return clock_monotonic_ms();
}

char *loop_scratch(struct loop *loop)
{
	if (!loop->scratch)
		loop->scratch = mem_alloc(1, LOOP_SCRATCH_SIZE);
	return loop->scratch;
}

void loop_set_read_helper(struct loop *loop, struct loop_helper *helper)
{
	loop->read_helper = helper;
}

struct loop_helper *loop_read_helper(struct loop *loop)
{
	return loop->read_helper;
}

void loop_count_cold_read(struct loop *loop)
{
	loop->cold_reads++;
}

uint64_t loop_cold_reads(const struct loop *loop)
{
	return loop->cold_reads;
}

void loop_did(struct loop *loop, struct str what)
{
	turn_did(&loop->meter, what);
}

void loop_did_not_serve(struct loop *loop)
{
	loop->meter.uncounted = true;
	loop->meter.total = (struct loop_turns){ 0 };
}

void loop_on_slow_turn(struct loop *loop, uint64_t threshold_us, loop_slow_fn *slow, void *owner)
{
	loop->meter.threshold_us = threshold_us;
	loop->meter.slow = slow;
	loop->meter.owner = owner;
}

struct loop_turns loop_turns(const struct loop *loop)
{
	return loop->meter.total;
}

struct loop_wheel *loop_wheel(struct loop *loop)
{
	if (!loop->wheel)
		loop->wheel = loop_wheel_new(loop);
	return loop->wheel;
}

/* --- timers --- */

static void free_handle(uv_handle_t *handle)
{
	mem_free(handle->data);
}

static void on_timer(uv_timer_t *timer)
{
	struct loop_timer *t = timer->data;
	t->fire(t->owner);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fire, void *owner)
{
	struct loop_timer *timer = mem_alloc(1, sizeof *timer);
	timer->fire = fire;
	timer->owner = owner;
	uv_timer_init(&loop->uv, &timer->timer);
	timer->timer.data = timer;
	return timer;
}

void loop_timer_start(struct loop_timer *timer, uint64_t milliseconds)
{
	/* libuv counts from the start of the turn, which may be long ago in a turn that did much. */
	uv_update_time(timer->timer.loop);
	uv_timer_start(&timer->timer, on_timer, milliseconds, 0);
}

void loop_timer_stop(struct loop_timer *timer)
{
	uv_timer_stop(&timer->timer);
}

void loop_timer_free(struct loop_timer **timer)
{
	if (!*timer)
		return;
	uv_close((uv_handle_t *)&(*timer)->timer, free_handle);
	*timer = NULL;
}

/* --- signals --- */

static void on_signal(uv_signal_t *handle, int signum)
{
	struct signal_handler *handler = handle->data;
	handler->fn(handler->owner, signum);
}

int loop_on_signal(struct loop *loop, int signum, loop_signal_fn *fn, void *owner)
{
	if (loop->n_signals == SIGNALS_MAX)
		return ERR_LIMIT;
	struct signal_handler *handler = mem_alloc(1, sizeof *handler);
	handler->fn = fn;
	handler->owner = owner;
	uv_signal_init(&loop->uv, &handler->handle);
	handler->handle.data = handler;
	loop->signals[loop->n_signals++] = handler;
	loop->uv_due = true;
	return uv_signal_start(&handler->handle, on_signal, signum) == 0 ? 0 : ERR_IO;
}

/* --- end of turn --- */

void loop_later(struct loop *loop, struct loop_later *later)
{
	if (later->queued)
		return;
	later->queued = true;
	later->next = NULL;
	*loop->later_end = later;
	loop->later_end = &later->next;
}

void loop_later_cancel(struct loop *loop, struct loop_later *later)
{
	if (!later->queued)
		return;
	struct loop_later **at = &loop->later_first;
	while (*at != later)
		at = &(*at)->next;
	*at = later->next;
	if (loop->later_end == &later->next)
		loop->later_end = at;
	later->queued = false;
}
