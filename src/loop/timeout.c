/* timeout.c: a wheel of WHEEL_SLOTS lists, one for each tick. A timeout lies in the slot of the tick when it would
 * be over as of when it was put there; if it was touched since, or is further away than one turn of the wheel, it is
 * put in again. One timer stands at the next slot that has anything in it, so an idle process sleeps. Owned by the
 * loop. */
#include "loop/timeout.h"

#include "base/checked.h"
#include "base/mem.h"
#include "loop/loop_private.h"

#define WHEEL_SLOTS 1024 /* times TIMEOUT_TICK_MS: one turn is 65 s */

struct loop_wheel {
	struct loop *loop;
	struct loop_timer *timer;
	uint64_t tick;    /* slots up to this one were served */
	uint64_t wake_at; /* tick that the timer stands at; 0: not running */
	size_t n;
	struct loop_timeout *slots[WHEEL_SLOTS];
};

static void wake(struct loop_wheel *wheel, uint64_t tick)
{
	if (wheel->wake_at != 0 && wheel->wake_at <= tick)
		return;
	uint64_t now = loop_now_ms(wheel->loop), due = tick * TIMEOUT_TICK_MS;
	wheel->wake_at = tick;
	loop_timer_start(wheel->timer, due > now ? due - now : 0);
}

static void link_in(struct loop_wheel *wheel, struct loop_timeout *timeout)
{
	uint64_t over = (timeout->touched + timeout->after + TIMEOUT_TICK_MS - 1) / TIMEOUT_TICK_MS;
	uint64_t tick = MIN(MAX(over, wheel->tick + 1), wheel->tick + WHEEL_SLOTS - 1);
	struct loop_timeout **slot = &wheel->slots[tick % WHEEL_SLOTS];
	timeout->next = *slot;
	timeout->at = slot;
	if (timeout->next)
		timeout->next->at = &timeout->next;
	*slot = timeout;
	wheel->n++;
	wake(wheel, tick);
}

static void unlink_from(struct loop_wheel *wheel, struct loop_timeout *timeout)
{
	*timeout->at = timeout->next;
	if (timeout->next)
		timeout->next->at = timeout->at;
	timeout->next = NULL;
	timeout->at = NULL;
	wheel->n--;
}

static void serve_slot(struct loop_wheel *wheel, struct loop_timeout **slot, uint64_t now)
{
	/* Firing may stop and start any timeout, so the rest of the slot is kept in a list that unlinking can work on. */
	struct loop_timeout *due = *slot;
	*slot = NULL;
	if (due)
		due->at = &due;
	while (due) {
		struct loop_timeout *timeout = due;
		unlink_from(wheel, timeout);
		if (timeout->touched + timeout->after <= now) {
			timeout->after = 0;
			timeout->fire(timeout->owner);
		} else {
			link_in(wheel, timeout);
		}
	}
}

static void turn(void *owner)
{
	struct loop_wheel *wheel = owner;
	uint64_t now = loop_now_ms(wheel->loop), last = now / TIMEOUT_TICK_MS;
	wheel->wake_at = 0;
	/* After a long sleep every slot is served once, not every tick. */
	if (last > wheel->tick + WHEEL_SLOTS)
		wheel->tick = last - WHEEL_SLOTS;
	while (wheel->tick < last) {
		wheel->tick++;
		serve_slot(wheel, &wheel->slots[wheel->tick % WHEEL_SLOTS], now);
	}
	for (uint64_t i = 1; wheel->n > 0 && i <= WHEEL_SLOTS; i++) {
		if (wheel->slots[(wheel->tick + i) % WHEEL_SLOTS]) {
			wake(wheel, wheel->tick + i);
			break;
		}
	}
}

struct loop_wheel *loop_wheel_new(struct loop *loop)
{
	struct loop_wheel *wheel = mem_alloc(1, sizeof *wheel);
	wheel->loop = loop;
	wheel->tick = loop_now_ms(loop) / TIMEOUT_TICK_MS;
	wheel->timer = loop_timer_new(loop, turn, wheel);
	return wheel;
}

void loop_wheel_free(struct loop_wheel **wheel)
{
	if (!*wheel)
		return;
	loop_timer_free(&(*wheel)->timer);
	mem_free(*wheel);
	*wheel = NULL;
}

void loop_timeout_set(struct loop *loop, struct loop_timeout *timeout, uint64_t milliseconds)
{
	struct loop_wheel *wheel = loop_wheel(loop);
	if (timeout->at)
		unlink_from(wheel, timeout);
	timeout->after = milliseconds;
	if (milliseconds == 0)
		return;
	timeout->touched = loop_now_ms(loop);
	/* A wheel that stood still while empty catches up first. */
	if (wheel->n == 0)
		wheel->tick = MAX(wheel->tick, timeout->touched / TIMEOUT_TICK_MS);
	link_in(wheel, timeout);
	/* A clock that was put forward (tests do) makes the hand late; the kernel's timer does not know. */
	if (wheel->wake_at < timeout->touched / TIMEOUT_TICK_MS)
		loop_timer_start(wheel->timer, 0);
}
