/* loop.h: the one event loop of a process: readiness of our own descriptors, timers, signals, work put off to the
 * end of the turn, and disk helpers. Timers and signals are libuv's; nobody else includes uv.h. */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/err.h"

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop **loop);

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* --- descriptors --- */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop_watch; /* one descriptor, made non-blocking; not owned (the caller closes it after loop_watch_free) */
typedef void loop_ready_fn(void *owner, int events /* LOOP_READ | LOOP_WRITE; errors and hang-up show as both */);
struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_ready_fn *ready, void *owner);
void loop_watch_set(struct loop_watch *watch, int events); /* 0: watch nothing; cheap when unchanged */
void loop_watch_free(struct loop_watch **watch);           /* takes the descriptor out of epoll before it can be passed on */

/* --- timers (one shot; milliseconds) --- */
struct loop_timer;
typedef void loop_timer_fn(void *owner);
struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fire, void *owner);
void loop_timer_start(struct loop_timer *timer, uint64_t milliseconds); /* restarts when it runs already */
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer **timer);

/* --- signals --- */
typedef void loop_signal_fn(void *owner, int signum);
int loop_on_signal(struct loop *loop, int signum, loop_signal_fn *fn, void *owner) MUST_CHECK;

/* --- end of turn: called once, after all ready descriptors of this turn were served; may be asked for again --- */
typedef void loop_later_fn(void *owner);
struct loop_later {
	loop_later_fn *fn;
	void *owner;
	struct loop_later *next;
	bool queued;
};
void loop_later(struct loop *loop, struct loop_later *later); /* no effect when queued already */
void loop_later_cancel(struct loop *loop, struct loop_later *later);

/* Now (base/clock's monotonic milliseconds). */
uint64_t loop_now_ms(struct loop *loop);

/* The disk helper that streams of this loop have cold files read by; not owned. Without one (NULL, as at the
 * beginning) they read them themselves and wait for the disk. Taken away before it is freed. */
struct loop_helper;
void loop_set_read_helper(struct loop *loop, struct loop_helper *helper);
struct loop_helper *loop_read_helper(struct loop *loop);
/* How often that was needed. */
uint64_t loop_cold_reads(const struct loop *loop);

/* Room that every reader of the loop reads into, so that idle connections need no buffers. What is in it is good
 * until the callback that was given it returns to the loop. */
#define LOOP_SCRATCH_SIZE 65536
char *loop_scratch(struct loop *loop);

#endif
