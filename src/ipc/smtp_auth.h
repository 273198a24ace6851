/* smtp_auth.h: smtp asks where an address leads; auth answers with local accounts (aliases expanded, bounded). */
#ifndef IPC_SMTP_AUTH_H
#define IPC_SMTP_AUTH_H

#include "base/account_id.h"

#define RESOLVE_ADDRESS_MAX 512
#define RESOLVE_TARGETS_MAX 1000

enum { SMTP_AUTH_RESOLVE = 1, AUTH_SMTP_RESOLVE_REPLY = 2 };

struct resolve_request {
	uint64_t request;
	uint64_t session;
	struct str address; /* local@domain, unquoted UTF-8; "postmaster" without a domain is allowed */
};

enum resolve_result {
	RESOLVE_OK,
	RESOLVE_NOT_LOCAL,    /* domain is not ours: relaying denied */
	RESOLVE_NO_SUCH_USER,
	RESOLVE_LOOP,         /* alias loop or over the bounds */
	RESOLVE_UNAVAILABLE,
	RESOLVE_RESULT_COUNT,
};

struct resolve_target {
	struct account_id account;
	uint16_t shard;
};

struct resolve_reply {
	uint64_t request;
	enum resolve_result result;
	struct resolve_target *targets; /* decode: in the arena given */
	uint32_t n_targets;             /* at most RESOLVE_TARGETS_MAX, no doubles */
};

struct arena;
void resolve_request_encode(const struct resolve_request *m, struct buf *out);
int resolve_request_decode(struct str body, struct resolve_request *out) MUST_CHECK;
void resolve_reply_encode(const struct resolve_reply *m, struct buf *out);
int resolve_reply_decode(struct str body, struct arena *arena, struct resolve_reply *out) MUST_CHECK;

#endif
