/* orders.c: tells shards which accounts begin and end there. The directory keeps each order until its shard has
 * carried it out; here is only what is on its way. Everything is sent again when a shard returns, and some time after
 * a failure: orders are idempotent. */
#include "proc/auth/auth.h"

#include "base/checked.h"
#include "base/mem.h"
#include "ipc/auth_shard.h"

#define ORDERS_WINDOW     16    /* on their way to one shard */
#define ORDER_TIMEOUT_MS  60000 /* destroying a large account takes a while */

/* One order on its way. */
struct sent_order {
	struct auth_peer *shard;
	struct directory_order order;
};

static int send_request(struct auth_peer *shard, const struct account_order *order)
{
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	account_order_encode(order, &body);
	int err = buf_error(&body);
	if (!err)
		err = ipc_send(shard->channel, AUTH_SHARD_ORDER, buf_str(&body), -1);
	buf_free(&body);
	return err;
}

/* Done before (an answer that was lost) is done. */
static bool is_done(const struct directory_order *order, int result)
{
	return result == 0 || (order->kind == DIRECTORY_CREATE && result == ERR_EXISTS) ||
	       (order->kind == DIRECTORY_DESTROY && result == ERR_NOT_FOUND);
}

static void answered(void *owner, int result, const void *message)
{
	struct sent_order *sent = owner;
	struct auth_peer *shard = sent->shard;
	struct auth *auth = shard->auth;
	const struct account_order_reply *reply = message;
	if (result == 0)
		result = reply->result;
	shard->orders_out--;
	if (is_done(&sent->order, result))
		result = directory_order_done(auth->directory, &sent->order);
	if (result) {
		log_warning("account-order-failed", LOG_U("shard", shard->index), LOG_U("order", sent->order.number),
			    LOG_ERR(result));
		loop_timer_start(auth->orders_timer, ORDERS_REPEAT_MS);
	}
	commands_order_done(auth, &sent->order, result, reply ? reply->messages : 0, reply ? reply->bytes : 0);
	mem_free(sent);
	orders_send(auth, shard);
}

static int send_order(struct auth *auth, struct auth_peer *shard, const struct directory_order *order)
{
	static const enum account_order_kind kinds[] = {
		[DIRECTORY_CREATE] = ACCOUNT_CREATE,
		[DIRECTORY_DESTROY] = ACCOUNT_DESTROY,
		[DIRECTORY_QUOTA] = ACCOUNT_QUOTA,
		[DIRECTORY_FORGET_LOGIN] = ACCOUNT_FORGET_LOGIN,
	};
	struct account_order request = {
		.kind = kinds[order->kind],
		.account = order->account,
		.quota_messages = order->quota.messages,
		.quota_bytes = order->quota.bytes,
		.login = order->login,
	};
	struct sent_order *sent = mem_alloc(1, sizeof *sent);
	*sent = (struct sent_order){ shard, *order };
	int err = ipc_call_begin(auth->shard_calls, shard->index, ORDER_TIMEOUT_MS, answered, sent, &request.request);
	if (!err) {
		err = send_request(shard, &request);
		if (err)
			ipc_call_cancel(auth->shard_calls, request.request);
	}
	if (err)
		mem_free(sent);
	return err;
}

void orders_send(struct auth *auth, struct auth_peer *shard)
{
	struct directory_order list[ORDERS_WINDOW];
	uint32_t n = 0;
	if (!shard->channel || shard->orders_out >= ORDERS_WINDOW)
		return;
	int err = directory_orders(auth->directory, shard->index, shard->last_order,
				   ORDERS_WINDOW - shard->orders_out, list, &n);
	for (uint32_t i = 0; !err && i < n; i++) {
		err = send_order(auth, shard, &list[i]);
		if (!err) {
			shard->orders_out++;
			shard->last_order = list[i].number;
		}
	}
	if (err)
		loop_timer_start(auth->orders_timer, ORDERS_REPEAT_MS);
}

void orders_send_all(struct auth *auth)
{
	for (size_t i = 0; i < AUTH_PEERS_MAX; i++)
		orders_send(auth, &auth->shards[i]);
}

/* What failed is before last_order: from the start again, once nothing is on its way. */
void orders_repeat(void *owner)
{
	struct auth *auth = owner;
	for (size_t i = 0; i < AUTH_PEERS_MAX; i++) {
		struct auth_peer *shard = &auth->shards[i];
		if (!shard->channel)
			continue;
		if (shard->orders_out) {
			loop_timer_start(auth->orders_timer, ORDERS_REPEAT_MS);
			continue;
		}
		shard->last_order = 0;
		orders_send(auth, shard);
	}
}

void orders_peer_lost(struct auth *auth, struct auth_peer *shard)
{
	ipc_calls_peer_lost(auth->shard_calls, shard->index);
	shard->last_order = 0;
}

int orders_message(struct auth_peer *peer, uint16_t type, struct str body)
{
	struct account_order_reply reply;
	if (type != SHARD_AUTH_ORDER_REPLY)
		return ERR_STATE;
	int err = account_order_reply_decode(body, &reply);
	if (err)
		return err;
	/* unknown numbers are answers that came too late */
	(void)ipc_call_end(peer->auth->shard_calls, peer->index, reply.request, &reply);
	return 0;
}

int orders_ask_usage(struct auth *auth, const struct directory_account *account, uint64_t timeout_ms,
		     ipc_reply_fn *done, void *owner)
{
	if (account->shard >= AUTH_PEERS_MAX || !auth->shards[account->shard].channel)
		return ERR_UNAVAILABLE;
	struct auth_peer *shard = &auth->shards[account->shard];
	struct account_order request = { .kind = ACCOUNT_USAGE, .account = account->id };
	int err = ipc_call_begin(auth->shard_calls, shard->index, timeout_ms, done, owner, &request.request);
	if (err)
		return err;
	err = send_request(shard, &request);
	if (err)
		ipc_call_cancel(auth->shard_calls, request.request);
	return err;
}
