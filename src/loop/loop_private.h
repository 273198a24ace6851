/* loop_private.h: what the files of loop/ share and nobody else sees. */
#ifndef LOOP_LOOP_PRIVATE_H
#define LOOP_LOOP_PRIVATE_H

#include "loop/loop.h"
#include "loop/turns.h"

/* What the thread has used of the processor, as read at some time. */
struct turn_sample {
	uint64_t at_us, cpu_us, sleeps, preemptions;
};

/* turns.c: measures the turn from turn_begin to turn_end. */
struct turn_meter {
	uint64_t began_us, marked_us;
	struct str longest;
	uint64_t longest_us;
	struct turn_sample sample;
	bool uncounted; /* this turn */
	struct loop_turns total;
	uint64_t threshold_us;
	loop_slow_fn *slow; /* NULL: nobody wants to know */
	void *owner;
};
void turn_begin(struct turn_meter *meter);
void turn_did(struct turn_meter *meter, struct str what);
void turn_end(struct turn_meter *meter);

void loop_count_cold_read(struct loop *loop);

struct loop_wheel *loop_wheel(struct loop *loop);
struct loop_wheel *loop_wheel_new(struct loop *loop);
void loop_wheel_free(struct loop_wheel **wheel);

#endif
