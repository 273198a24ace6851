/* smtp_auth.h: smtp asks where an address leads; auth answers with local accounts (aliases expanded, bounded). What
 * leads to one account smtp may remember, until auth says that the directory has changed. And it asks who may submit mail, with a login_request of ipc/access_auth.h; the answer names the account. With each message
 * it asks whether that login may send as this sender. */
#ifndef IPC_SMTP_AUTH_H
#define IPC_SMTP_AUTH_H

#include "base/account_id.h"
#include "ipc/access_auth.h"

#define RESOLVE_ADDRESS_MAX 512
#define RESOLVE_TARGETS_MAX 1000

enum {
	SMTP_AUTH_RESOLVE = 1,
	AUTH_SMTP_RESOLVE_REPLY = 2,
	SMTP_AUTH_LOGIN = 3,
	AUTH_SMTP_LOGIN_REPLY = 4,
	SMTP_AUTH_SENDER = 5,
	AUTH_SMTP_SENDER_REPLY = 6,
	AUTH_SMTP_CHANGED = 7, /* no body */
};

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

struct smtp_login_reply {
	uint64_t request;
	enum login_result result;
	struct account_id account; /* with LOGIN_OK; else zeros */
	uint64_t app_password;     /* which one it was; 0: the account's own */
	struct str user;           /* with LOGIN_OK the account's address, however it was typed; else empty */
};

struct sender_request {
	uint64_t request;
	uint64_t session;
	struct account_id account; /* as the login's answer had it, and: */
	uint64_t app_password;
	struct str address; /* local@domain, unquoted UTF-8; empty: the null sender */
};

enum sender_result {
	SENDER_OWN,        /* mail to it reaches this account and no other; or it is the null sender */
	SENDER_OTHER,
	SENDER_LOGGED_OUT, /* the account or its app password is gone */
	SENDER_UNAVAILABLE,
	SENDER_RESULT_COUNT,
};

struct sender_reply {
	uint64_t request;
	enum sender_result result;
};

struct arena;
void resolve_request_encode(const struct resolve_request *m, struct buf *out);
int resolve_request_decode(struct str body, struct resolve_request *out) MUST_CHECK;
void resolve_reply_encode(const struct resolve_reply *m, struct buf *out);
int resolve_reply_decode(struct str body, struct arena *arena, struct resolve_reply *out) MUST_CHECK;
void smtp_login_reply_encode(const struct smtp_login_reply *m, struct buf *out);
int smtp_login_reply_decode(struct str body, struct smtp_login_reply *out) MUST_CHECK;
void sender_request_encode(const struct sender_request *m, struct buf *out);
int sender_request_decode(struct str body, struct sender_request *out) MUST_CHECK;
void sender_reply_encode(const struct sender_reply *m, struct buf *out);
int sender_reply_decode(struct str body, struct sender_reply *out) MUST_CHECK;

#endif
