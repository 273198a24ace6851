/* call.h: requests sent to another process whose answers have not come yet: number → whom to tell. Every call ends
 * exactly once: by its answer, its deadline, the loss of the peer, or a cancel (which tells nobody). */
#ifndef IPC_CALL_H
#define IPC_CALL_H

#include "base/err.h"
#include "loop/loop.h"

struct ipc_calls;

/* result 0: `reply` is the decoded answer (which struct, caller and receiver of the message know; valid during the
 * call). Else reply is NULL and result ERR_TIMEOUT or ERR_UNAVAILABLE (the peer is gone). The call is over already:
 * the number is unknown. */
typedef void ipc_reply_fn(void *owner, int result, const void *reply);

/* At most `max` calls at once. */
struct ipc_calls *ipc_calls_new(struct loop *loop, uint32_t max);
/* Drops all calls, telling nobody. */
void ipc_calls_free(struct ipc_calls **calls);
uint32_t ipc_calls_count(const struct ipc_calls *calls);

/* Begins a call to `peer` (a number of the owner's choice: index of the shard, say) that may take so many
 * milliseconds. *id is what the request carries; never 0, never used twice. ERR_LIMIT when `max` are out. */
int ipc_call_begin(struct ipc_calls *calls, uint32_t peer, uint64_t milliseconds, ipc_reply_fn *reply, void *owner,
                   uint64_t *id) MUST_CHECK;

/* The answer has come from `peer`. False (and nothing done) when that peer has no such call: too late, cancelled or
 * forged. */
bool ipc_call_end(struct ipc_calls *calls, uint32_t peer, uint64_t id, const void *reply);

/* Nobody waits for the answer any more. Unknown numbers (0 too) have no effect. */
void ipc_call_cancel(struct ipc_calls *calls, uint64_t id);

/* The channel to `peer` closed: ends its calls with ERR_UNAVAILABLE. */
void ipc_calls_peer_lost(struct ipc_calls *calls, uint32_t peer);

#endif
