/* turns.c: the meter of a loop's turns; part of its loop. */
#include "loop/turns.h"

#include "base/checked.h"
#include "base/clock.h"
#include "loop/loop_private.h"

#include <sys/resource.h>

static void sample(struct turn_sample *out, uint64_t now_us)
{
	struct rusage usage;
	if (getrusage(RUSAGE_THREAD, &usage) != 0)
		return;
	uint64_t seconds = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
	*out = (struct turn_sample){ .at_us = now_us,
		                         .cpu_us = seconds * 1000000 +
		                                   (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec),
		                         .sleeps = (uint64_t)usage.ru_nvcsw,
		                         .preemptions = (uint64_t)usage.ru_nivcsw };
}

void turn_begin(struct turn_meter *meter)
{
	uint64_t now = clock_monotonic_us();
	meter->began_us = meter->marked_us = now;
	meter->longest = (struct str){ NULL, 0 };
	meter->longest_us = 0;
	meter->uncounted = false;
	if (now - meter->sample.at_us >= LOOP_CPU_SAMPLE_US)
		sample(&meter->sample, now);
}

static void mark(struct turn_meter *meter, struct str what, uint64_t now)
{
	if (now - meter->marked_us > meter->longest_us) {
		meter->longest_us = now - meter->marked_us;
		meter->longest = what;
	}
	meter->marked_us = now;
}

void turn_did(struct turn_meter *meter, struct str what)
{
	mark(meter, what, clock_monotonic_us());
}

/* A turn that is no longer than the longest was, and not slow, changes nothing. */
void turn_end(struct turn_meter *meter)
{
	uint64_t now = clock_monotonic_us(), us = now - meter->began_us;
	bool slow = meter->slow && us >= meter->threshold_us;
	if (meter->uncounted || (!slow && us <= meter->total.longest_us && us <= meter->total.longest_cpu_us))
		return;
	struct turn_sample before = meter->sample;
	sample(&meter->sample, now);
	mark(meter, STR(""), now);
	struct loop_turn turn = { .us = us,
		                      .cpu_us = MIN(meter->sample.cpu_us - before.cpu_us, us),
		                      .sleeps = meter->sample.sleeps - before.sleeps,
		                      .preemptions = meter->sample.preemptions - before.preemptions,
		                      .longest = meter->longest,
		                      .longest_us = meter->longest_us };
	meter->total.longest_us = MAX(meter->total.longest_us, us);
	meter->total.longest_cpu_us = MAX(meter->total.longest_cpu_us, turn.cpu_us);
	meter->total.slow += slow;
	meter->total.slow_cpu += slow && turn.cpu_us >= meter->threshold_us;
	if (slow)
		meter->slow(meter->owner, &turn);
}
