/* turns.h: how long the turns of a loop take, and with what: while one lasts, nobody else of the process is served.
 * Costs two looks at the clock a turn, one each loop_did. */
#ifndef LOOP_TURNS_H
#define LOOP_TURNS_H

#include "base/str.h"
#include "loop/loop.h"

/* A turn. The machine may make one long: what the process itself did in it is its CPU time, and the time it slept. */
struct loop_turn {
	uint64_t us;
	uint64_t cpu_us;      /* of the thread; more than it was by at most LOOP_CPU_SAMPLE_US, never more than us */
	uint64_t sleeps;      /* times that the thread waited: for a disk, a lock */
	uint64_t preemptions; /* times that it was put off the processor */
	struct str longest;   /* what took longest of what loop_did named; empty: nothing was named */
	uint64_t longest_us;
};

/* The CPU clock costs a system call, so it is not read in every short turn. */
#define LOOP_CPU_SAMPLE_US 1000

/* The time in this turn since the last call (or the turn's begin) went into `what`, which must stay valid. */
void loop_did(struct loop *loop, struct str what);

/* Neither this turn nor those before it count: nobody waited for them, as at a start. */
void loop_did_not_serve(struct loop *loop);

/* From now on, at the end of each turn of threshold_us or more, `slow` is called. */
typedef void loop_slow_fn(void *owner, const struct loop_turn *turn);
void loop_on_slow_turn(struct loop *loop, uint64_t threshold_us, loop_slow_fn *slow, void *owner);

struct loop_turns {
	uint64_t longest_us, longest_cpu_us;
	uint64_t slow, slow_cpu; /* turns of threshold_us or more, and those with as much CPU time; 0 without a threshold */
};
struct loop_turns loop_turns(const struct loop *loop);

#endif
