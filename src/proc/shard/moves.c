/* moves.c: what auth orders of the two shards between which an account moves. SEND: nobody sees the account any more,
 * its sessions end, and once that is durable its parcel goes out. RECEIVE: the parcel comes in, and is answered when
 * all of it is on disk. PROGRESS: how far it is. Both ends wait, parked (store/transfer.h), until auth has written
 * where the account lives, and orders CREATE there and DESTROY at the other. */
#include "proc/shard/shard.h"

#include "base/log.h"
#include "base/mem.h"
#include "ipc/auth_shard.h"

#include <fcntl.h>
#include <unistd.h>

/* Who waits for the end of a transfer. */
struct mover {
	struct peer *peer;
	uint32_t generation;
	uint64_t request;
};

static void reply(const struct mover *mover, int result, const struct parcel_counts *counts, struct str problem)
{
	struct peer *peer = mover->peer;
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	struct account_order_reply answer = { .request = mover->request, .result = result, .messages = counts->messages,
		                                  .bytes = counts->bytes, .problem = str_first(problem, ORDER_PROBLEM_MAX) };
	account_order_reply_encode(&answer, &body);
	if (peer->channel && peer->generation == mover->generation &&
	    ipc_send(peer->channel, SHARD_AUTH_ORDER_REPLY, buf_str(&body), -1) < 0)
		log_warning("answer-not-sent", LOG_C("peer", "auth"), LOG_U("request", mover->request));
	buf_free(&body);
}

static void transferred(void *owner, int result, uint64_t messages, struct str problem)
{
	struct mover *mover = owner;
	reply(mover, result, &(struct parcel_counts){ .messages = messages }, problem);
	mem_free(mover);
}

static int begin(struct shard *shard, const struct account_order *order, int fd, struct mover *mover)
{
	struct parcel_filter all = { .whole = true };
	if (order->kind == ACCOUNT_RECEIVE)
		return parcel_receive(shard, &order->account, PARCEL_EXACT, fd, transferred, mover);
	int result = account_leave(shard->store, &order->account);
	if (result < 0)
		return result;
	connections_account_gone(shard, STR("this account is being moved; log in again in a moment"));
	return parcel_send(shard, &order->account, true, &all, fd, transferred, mover);
}

void move_order(struct peer *peer, const struct account_order *order, int fd)
{
	struct shard *shard = peer->shard;
	struct mover now = { peer, peer->generation, order->request };
	if (order->kind == ACCOUNT_PROGRESS) {
		struct parcel_counts counts = parcel_progress(shard, &order->account);
		reply(&now, 0, &counts, STR(""));
		return;
	}
	struct mover *mover = mem_alloc(1, sizeof *mover);
	*mover = now;
	int own = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1; /* the request's is closed with it */
	int result = own >= 0 ? begin(shard, order, own, mover) : ERR_UNAVAILABLE;
	if (result == 0)
		return;
	if (own >= 0)
		close(own);
	mem_free(mover);
	reply(&now, result, &(struct parcel_counts){ 0 }, str_from_c(err_text(result)));
}
