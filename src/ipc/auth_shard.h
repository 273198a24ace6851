/* auth_shard.h: auth, who owns the directory, tells a shard which accounts begin and end there. The directory keeps
 * each order until the shard says it is durable, and repeats it after a restart; orders are idempotent. */
#ifndef IPC_AUTH_SHARD_H
#define IPC_AUTH_SHARD_H

#include "base/account_id.h"

enum { AUTH_SHARD_ORDER = 1, SHARD_AUTH_ORDER_REPLY = 2 };

enum account_order_kind { ACCOUNT_CREATE, ACCOUNT_DESTROY, ACCOUNT_USAGE, ACCOUNT_ORDER_COUNT };

struct account_order {
	uint64_t request;
	enum account_order_kind kind;
	struct account_id account;
};

struct account_order_reply {
	uint64_t request;
	int32_t result;    /* 0 or negative enum err */
	uint64_t messages; /* ACCOUNT_USAGE (and DESTROY): what is or was there */
	uint64_t bytes;
};

void account_order_encode(const struct account_order *m, struct buf *out);
int account_order_decode(struct str body, struct account_order *out) MUST_CHECK;
void account_order_reply_encode(const struct account_order_reply *m, struct buf *out);
int account_order_reply_decode(struct str body, struct account_order_reply *out) MUST_CHECK;

#endif
