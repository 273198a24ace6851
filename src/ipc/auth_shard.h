/* auth_shard.h: auth, who owns the directory, tells a shard which accounts begin and end there. The directory keeps
 * each order until the shard says it is durable, and repeats it after a restart; orders are idempotent. */
#ifndef IPC_AUTH_SHARD_H
#define IPC_AUTH_SHARD_H

#include "base/account_id.h"

/* TICKET_UNUSED: as ACCESS_AUTH_TICKET_UNUSED. */
enum { AUTH_SHARD_ORDER = 1, SHARD_AUTH_ORDER_REPLY = 2, SHARD_AUTH_TICKET_UNUSED = 3 };

enum account_order_kind {
	ACCOUNT_CREATE,  /* with its limits; when it is there already, these are its limits from now on */
	ACCOUNT_DESTROY,
	ACCOUNT_USAGE,
	ACCOUNT_QUOTA,   /* new limits */
	ACCOUNT_FORGET_LOGIN, /* what this login of POP3 has hidden is shown again: nobody can log in with it any more */
	/* The move of an account: a descriptor beside it, one end of a socket between the two shards. Answered at its end. */
	ACCOUNT_SEND,    /* nobody sees it from now on, and it goes there as a parcel */
	ACCOUNT_RECEIVE, /* it comes as a parcel; 0: all of it is on disk, parked until CREATE */
	ACCOUNT_PROGRESS, /* of RECEIVE: how many messages have come */
	ACCOUNT_ORDER_COUNT,
};

#define ORDER_PROBLEM_MAX   300
#define ORDER_QUOTA_DEFAULT (-1) /* a limit: the server's default; 0: none */

struct account_order {
	uint64_t request;
	enum account_order_kind kind;
	struct account_id account;
	int64_t quota_messages, quota_bytes; /* CREATE, QUOTA */
	uint64_t login; /* FORGET_LOGIN: number of an app password */
};

struct account_order_reply {
	uint64_t request;
	int32_t result;    /* 0 or negative enum err */
	uint64_t messages; /* ACCOUNT_USAGE (and DESTROY): what is or was there */
	uint64_t bytes;
	struct str problem; /* SEND, RECEIVE: for people, with an error */
	uint64_t limit_messages, limit_bytes; /* ACCOUNT_USAGE: that hold; 0: none */
};

void account_order_encode(const struct account_order *m, struct buf *out);
int account_order_decode(struct str body, struct account_order *out) MUST_CHECK;
void account_order_reply_encode(const struct account_order_reply *m, struct buf *out);
int account_order_reply_decode(struct str body, struct account_order_reply *out) MUST_CHECK;

#endif
