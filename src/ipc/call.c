/* call.c: outstanding requests in an array of slots. A call's number is its slot (low 32 bits) and the slot's
 * generation (high 32 bits), so that looking up is one comparison and an old number never meets a new call. One
 * timer stands at or before the earliest deadline; when it fires, all slots are looked at. Owned by a role; freed
 * with it. */
#include "ipc/call.h"

#include "base/checked.h"
#include "base/mem.h"

#define FIRST_SLOTS 16
#define NO_SLOT     UINT32_MAX

struct slot {
	ipc_reply_fn *reply; /* NULL: free */
	void *owner;
	uint64_t deadline;
	uint32_t peer;
	uint32_t generation; /* from 1; of the call in it, or of the last one */
	uint32_t next_free;
};

struct ipc_calls {
	struct loop *loop;
	struct loop_timer *timer;
	uint64_t timer_at; /* 0: not running */
	struct slot *slots;
	uint32_t n_slots, n_used, max;
	uint32_t first_free;
};

static void wake_at(struct ipc_calls *calls, uint64_t deadline)
{
	if (calls->timer_at != 0 && calls->timer_at <= deadline)
		return;
	uint64_t now = loop_now_ms(calls->loop);
	calls->timer_at = deadline;
	loop_timer_start(calls->timer, deadline > now ? deadline - now : 0);
}

/* Takes the call out of the table; what was in it is returned. */
static struct slot take(struct ipc_calls *calls, uint32_t index)
{
	struct slot *slot = &calls->slots[index];
	struct slot taken = *slot;
	slot->reply = NULL;
	slot->owner = NULL;
	slot->next_free = calls->first_free;
	calls->first_free = index;
	calls->n_used--;
	return taken;
}

static void fire(void *owner)
{
	struct ipc_calls *calls = owner;
	uint64_t now = loop_now_ms(calls->loop), earliest = UINT64_MAX;
	calls->timer_at = 0;
	/* Callbacks may begin and cancel calls: the array may move, so it is walked by index. */
	for (uint32_t i = 0; i < calls->n_slots; i++) {
		if (!calls->slots[i].reply)
			continue;
		if (calls->slots[i].deadline <= now) {
			struct slot late = take(calls, i);
			late.reply(late.owner, ERR_TIMEOUT, NULL);
		} else {
			earliest = MIN(earliest, calls->slots[i].deadline);
		}
	}
	if (earliest != UINT64_MAX)
		wake_at(calls, earliest);
}

struct ipc_calls *ipc_calls_new(struct loop *loop, uint32_t max)
{
	struct ipc_calls *calls = mem_alloc(1, sizeof *calls);
	calls->loop = loop;
	calls->max = max;
	calls->first_free = NO_SLOT;
	calls->timer = loop_timer_new(loop, fire, calls);
	return calls;
}

void ipc_calls_free(struct ipc_calls **calls)
{
	if (!*calls)
		return;
	loop_timer_free(&(*calls)->timer);
	mem_free((*calls)->slots);
	mem_free(*calls);
	*calls = NULL;
}

uint32_t ipc_calls_count(const struct ipc_calls *calls)
{
	return calls->n_used;
}

static void grow(struct ipc_calls *calls)
{
	uint32_t n = calls->n_slots ? MIN(calls->n_slots * 2, calls->max) : MIN((uint32_t)FIRST_SLOTS, calls->max);
	calls->slots = mem_resize(calls->slots, n, sizeof *calls->slots);
	for (uint32_t i = n; i-- > calls->n_slots;) {
		calls->slots[i] = (struct slot){ .next_free = calls->first_free };
		calls->first_free = i;
	}
	calls->n_slots = n;
}

int ipc_call_begin(struct ipc_calls *calls, uint32_t peer, uint64_t milliseconds, ipc_reply_fn *reply, void *owner,
                   uint64_t *id)
{
	if (calls->n_used >= calls->max)
		return ERR_LIMIT;
	if (calls->first_free == NO_SLOT)
		grow(calls);
	uint32_t index = calls->first_free;
	struct slot *slot = &calls->slots[index];
	calls->first_free = slot->next_free;
	calls->n_used++;
	uint32_t generation = slot->generation == UINT32_MAX ? 1 : slot->generation + 1;
	*slot = (struct slot){ reply, owner, loop_now_ms(calls->loop) + milliseconds, peer, generation, NO_SLOT };
	wake_at(calls, slot->deadline);
	*id = (uint64_t)generation << 32 | index;
	return 0;
}

static struct slot *find(struct ipc_calls *calls, uint64_t id)
{
	uint32_t index = (uint32_t)id;
	if (index >= calls->n_slots || !calls->slots[index].reply || calls->slots[index].generation != id >> 32)
		return NULL;
	return &calls->slots[index];
}

bool ipc_call_end(struct ipc_calls *calls, uint32_t peer, uint64_t id, const void *reply)
{
	struct slot *slot = find(calls, id);
	if (!slot || slot->peer != peer)
		return false;
	struct slot taken = take(calls, (uint32_t)id);
	taken.reply(taken.owner, 0, reply);
	return true;
}

void ipc_call_cancel(struct ipc_calls *calls, uint64_t id)
{
	if (find(calls, id))
		take(calls, (uint32_t)id);
}

void ipc_calls_peer_lost(struct ipc_calls *calls, uint32_t peer)
{
	uint32_t n = calls->n_slots;
	/* Calls that the callbacks begin to the same peer (already reconnected) may take slots below n: those are newer
	 * than this loss, but ending them too early is only a retry for their owner. */
	for (uint32_t i = 0; i < n; i++) {
		if (calls->slots[i].reply && calls->slots[i].peer == peer) {
			struct slot lost = take(calls, i);
			lost.reply(lost.owner, ERR_UNAVAILABLE, NULL);
		}
	}
}
