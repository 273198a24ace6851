/* smtp_auth.c: encodes and decodes the messages of smtp_auth.h. Pure; decoded slices point into the body, lists lie
 * in the arena. */
#include "ipc/smtp_auth.h"

#include "base/arena.h"
#include "ipc/codec.h"

void resolve_request_encode(const struct resolve_request *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u64(out, m->session);
	wire_put_short(out, m->address);
}

int resolve_request_decode(struct str body, struct resolve_request *out)
{
	struct wire_reader r = wire_reader(body);
	struct resolve_request m;
	m.request = wire_get_u64(&r);
	m.session = wire_get_u64(&r);
	m.address = wire_get_short(&r, RESOLVE_ADDRESS_MAX);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}

void resolve_reply_encode(const struct resolve_reply *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u8(out, (uint8_t)m->result);
	wire_put_u32(out, m->n_targets);
	for (uint32_t i = 0; i < m->n_targets; i++) {
		codec_put_account(out, &m->targets[i].account);
		wire_put_u16(out, m->targets[i].shard);
	}
}

int resolve_reply_decode(struct str body, struct arena *arena, struct resolve_reply *out)
{
	struct wire_reader r = wire_reader(body);
	struct resolve_reply m = { 0 };
	m.request = wire_get_u64(&r);
	m.result = (enum resolve_result)codec_get_enum(&r, RESOLVE_RESULT_COUNT);
	m.n_targets = wire_get_u32(&r);
	if (r.failed || m.n_targets > RESOLVE_TARGETS_MAX || (m.result == RESOLVE_OK) != (m.n_targets > 0))
		return ERR_CORRUPT;
	if (m.n_targets > 0) {
		m.targets = arena_alloc(arena, m.n_targets, sizeof *m.targets);
		if (!m.targets)
			return ERR_LIMIT;
	}
	for (uint32_t i = 0; i < m.n_targets; i++) {
		m.targets[i].account = codec_get_account(&r);
		m.targets[i].shard = wire_get_u16(&r);
	}
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}

void smtp_login_reply_encode(const struct smtp_login_reply *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u8(out, (uint8_t)m->result);
	codec_put_account(out, &m->account);
	wire_put_u64(out, m->app_password);
	wire_put_short(out, m->user);
}

int smtp_login_reply_decode(struct str body, struct smtp_login_reply *out)
{
	static const struct account_id nobody;
	struct wire_reader r = wire_reader(body);
	struct smtp_login_reply m;
	m.request = wire_get_u64(&r);
	m.result = (enum login_result)codec_get_enum(&r, LOGIN_RESULT_COUNT);
	m.account = codec_get_account(&r);
	m.app_password = wire_get_u64(&r);
	m.user = wire_get_short(&r, LOGIN_USER_MAX);
	int err = wire_finish(&r);
	if (err != 0)
		return err;
	if ((m.result == LOGIN_OK) != (m.user.n > 0))
		return ERR_CORRUPT;
	if (m.result != LOGIN_OK && (memcmp(&m.account, &nobody, sizeof nobody) != 0 || m.app_password != 0))
		return ERR_CORRUPT;
	*out = m;
	return 0;
}

void sender_request_encode(const struct sender_request *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u64(out, m->session);
	codec_put_account(out, &m->account);
	wire_put_u64(out, m->app_password);
	wire_put_short(out, m->address);
}

int sender_request_decode(struct str body, struct sender_request *out)
{
	struct wire_reader r = wire_reader(body);
	struct sender_request m;
	m.request = wire_get_u64(&r);
	m.session = wire_get_u64(&r);
	m.account = codec_get_account(&r);
	m.app_password = wire_get_u64(&r);
	m.address = wire_get_short(&r, RESOLVE_ADDRESS_MAX);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}

void sender_reply_encode(const struct sender_reply *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u8(out, (uint8_t)m->result);
}

int sender_reply_decode(struct str body, struct sender_reply *out)
{
	struct wire_reader r = wire_reader(body);
	struct sender_reply m;
	m.request = wire_get_u64(&r);
	m.result = (enum sender_result)codec_get_enum(&r, SENDER_RESULT_COUNT);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}
