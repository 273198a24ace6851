/* loop.c: libuv behind loop.h. One struct loop a process, made by its main. Watches, timers and signal handlers are closed by libuv
 * at the end of a turn, so their memory is freed in its close callback. The work put off to the end of a turn runs in a
 * uv_check, which libuv calls right after the ready descriptors of a turn were served. Running out of kernel objects while
 * making one of these (epoll limits) ends the process, like memory. */
#include "loop/loop.h"

#include "base/clock.h"
#include "base/mem.h"
#include "loop/loop_private.h"
#include "loop/timeout.h"

#include <signal.h>
#include <uv.h>

#define SIGNALS_MAX 8

struct signal_handler {
	uv_signal_t handle;
	loop_signal_fn *fn;
	void *owner;
};

struct loop {
	uv_loop_t uv;
	uv_check_t check; /* end of turn */
	uv_idle_t idle;   /* runs while something is put off: keeps the turn from waiting for events */
	struct loop_later *later_first, **later_end;
	struct signal_handler *signals[SIGNALS_MAX];
	size_t n_signals;
	struct loop_wheel *wheel; /* NULL until the first timeout */
	char *scratch;            /* NULL until the first read */
	struct loop_helper *read_helper;
	uint64_t cold_reads;
};

struct loop_watch {
	uv_poll_t poll;
	loop_ready_fn *ready;
	void *owner;
	int events;
};

struct loop_timer {
	uv_timer_t timer;
	loop_timer_fn *fire;
	void *owner;
};

static void run_later(uv_check_t *check)
{
	struct loop *loop = check->data;
	struct loop_later *list = loop->later_first;
	if (!list)
		return;
	/* What asks again while this list runs comes in the next turn, so that a stream of such work cannot starve descriptors. The
	 * list stays reachable through later_first for loop_later_cancel; the mark tells where it ends. */
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
	if (!loop->later_first) {
		loop->later_end = &loop->later_first;
		uv_idle_stop(&loop->idle);
	}
}

static void idle_tick(uv_idle_t *idle)
{
	(void)idle;
}

struct loop *loop_new(void)
{
	struct loop *loop = mem_alloc(1, sizeof *loop);
	if (uv_loop_init(&loop->uv) != 0)
		abort();
	loop->uv.data = loop;
	loop->later_end = &loop->later_first;
	uv_check_init(&loop->uv, &loop->check);
	uv_idle_init(&loop->uv, &loop->idle);
	loop->check.data = loop;
	uv_check_start(&loop->check, run_later);
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
	for (size_t i = 0; i < l->n_signals; i++)
		mem_free(l->signals[i]);
	mem_free(l->scratch);
	mem_free(l);
}

void loop_run(struct loop *loop)
{
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
	uv_stop(&loop->uv);
}

uint64_t loop_now_ms(struct loop *loop)
{
	(void)loop;
	return clock_monotonic_ms();
}

uv_loop_t *loop_uv(struct loop *loop)
{
	return &loop->uv;
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

struct loop_wheel *loop_wheel(struct loop *loop)
{
	if (!loop->wheel)
		loop->wheel = loop_wheel_new(loop);
	return loop->wheel;
}

/* --- descriptors --- */

static void free_handle(uv_handle_t *handle)
{
	mem_free(handle->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct loop_watch *watch = poll->data;
	if (status < 0) {
		/* libuv has stopped the poll: the owner learns the error from its next read or write. */
		watch->events = 0;
		watch->ready(watch->owner, LOOP_READ | LOOP_WRITE);
		return;
	}
	int ready = 0;
	if (events & (UV_READABLE | UV_DISCONNECT))
		ready |= LOOP_READ;
	if (events & UV_WRITABLE)
		ready |= LOOP_WRITE;
	watch->ready(watch->owner, ready);
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_ready_fn *ready, void *owner)
{
	struct loop_watch *watch = mem_alloc(1, sizeof *watch);
	watch->ready = ready;
	watch->owner = owner;
	if (uv_poll_init(&loop->uv, &watch->poll, fd) != 0)
		abort();
	watch->poll.data = watch;
	return watch;
}

void loop_watch_set(struct loop_watch *watch, int events)
{
	if (events == watch->events)
		return;
	watch->events = events;
	if (events == 0)
		uv_poll_stop(&watch->poll);
	else
		uv_poll_start(&watch->poll, (events & LOOP_READ ? UV_READABLE : 0) | (events & LOOP_WRITE ? UV_WRITABLE : 0), on_poll);
}

void loop_watch_free(struct loop_watch **watch)
{
	if (!*watch)
		return;
	uv_close((uv_handle_t *)&(*watch)->poll, free_handle);
	*watch = NULL;
}

/* --- timers --- */

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
	if (!uv_is_active((uv_handle_t *)&loop->idle))
		uv_idle_start(&loop->idle, idle_tick);
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
