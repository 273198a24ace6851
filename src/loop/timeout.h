/* timeout.h: "nothing happened for so long", for tens of thousands of connections: a touch on every byte is one
 * store, and the clock hand looks at each timeout only when it may be over. Fires up to TIMEOUT_TICK_MS late. */
#ifndef LOOP_TIMEOUT_H
#define LOOP_TIMEOUT_H

#include "loop/loop.h"

#define TIMEOUT_TICK_MS 64

/* Lies inside its owner; all zero when not running. */
struct loop_timeout {
	void (*fire)(void *owner);
	void *owner;
	uint64_t touched, after; /* milliseconds; after 0: not running */
	struct loop_timeout *next, **at; /* private: the wheel's list */
};

/* Starts (or restarts) it; 0 milliseconds stops it. fire and owner are set before. After firing it is stopped. */
void loop_timeout_set(struct loop *loop, struct loop_timeout *timeout, uint64_t milliseconds);

/* Something happened: it counts from now. */
static inline void loop_timeout_touch(struct loop *loop, struct loop_timeout *timeout)
{
	timeout->touched = loop_now_ms(loop);
}

#endif
