/* test_recode.h: every message of ipc/ as a function that decodes it and encodes what it got, for the unit test and
 * the fuzz target: what is accepted must come out as the same bytes. */
#ifndef IPC_TEST_RECODE_H
#define IPC_TEST_RECODE_H

#include "base/arena.h"
#include "ipc/access_auth.h"
#include "ipc/access_shard.h"
#include "ipc/auth_authwork.h"
#include "ipc/auth_shard.h"
#include "ipc/control.h"
#include "ipc/smtp_auth.h"
#include "ipc/smtp_shard.h"
#include "ipc/supervisor.h"

#define TEST_ARENA_MAX (1024 * 1024)

/* recode_x(body, out): the error of x_decode; on success x_encode has appended to out. */
#define TEST_RECODE(name)                                                                                              \
	static inline int recode_##name(struct str body, struct buf *out)                                              \
	{                                                                                                              \
		struct name m;                                                                                         \
		int err = name##_decode(body, &m);                                                                     \
		if (err == 0)                                                                                          \
			name##_encode(&m, out);                                                                        \
		return err;                                                                                            \
	}

TEST_RECODE(login_request)
TEST_RECODE(login_reply)
TEST_RECODE(expire_news)
TEST_RECODE(handover)
TEST_RECODE(session_closed)
TEST_RECODE(password_job)
TEST_RECODE(password_reply)
TEST_RECODE(account_order)
TEST_RECODE(account_order_reply)
TEST_RECODE(control_place)
TEST_RECODE(control_request)
TEST_RECODE(control_reply)
TEST_RECODE(resolve_request)
TEST_RECODE(smtp_login_reply)
TEST_RECODE(sender_request)
TEST_RECODE(sender_reply)
TEST_RECODE(deliver_reply)
TEST_RECODE(deliver_ends)
TEST_RECODE(setup)
TEST_RECODE(keys)

static inline int recode_resolve_reply(struct str body, struct buf *out)
{
	struct arena arena = ARENA_INIT(TEST_ARENA_MAX);
	struct resolve_reply m;
	int err = resolve_reply_decode(body, &arena, &m);
	if (err == 0)
		resolve_reply_encode(&m, out);
	arena_free(&arena);
	return err;
}

static inline int recode_deliver_kind(struct str body, struct buf *out, bool has_descriptor)
{
	struct arena arena = ARENA_INIT(TEST_ARENA_MAX);
	struct deliver m;
	int err = deliver_decode(body, has_descriptor, &arena, &m);
	if (err == 0) {
		deliver_encode_head(&m, out);
		buf_add(out, m.body);
	}
	arena_free(&arena);
	return err;
}

static inline int recode_deliver_inline(struct str body, struct buf *out)
{
	return recode_deliver_kind(body, out, false);
}

static inline int recode_deliver_descriptor(struct str body, struct buf *out)
{
	return recode_deliver_kind(body, out, true);
}

static int (*const test_recoders[])(struct str body, struct buf *out) = {
	recode_login_request,   recode_login_reply,     recode_handover,           recode_session_closed,
	recode_password_job,    recode_password_reply,  recode_account_order,      recode_account_order_reply,
	recode_control_request, recode_control_reply,   recode_resolve_request,    recode_resolve_reply,
	recode_deliver_inline,  recode_deliver_reply,   recode_deliver_ends,    recode_setup,
	recode_keys,            recode_deliver_descriptor, recode_control_place,
	recode_smtp_login_reply, recode_expire_news,
	recode_sender_request,  recode_sender_reply,
};

#endif
