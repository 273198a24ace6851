/* auth_shard.c: encodes and decodes the messages of auth_shard.h. Pure. */
#include "ipc/auth_shard.h"

#include "ipc/codec.h"

void account_order_encode(const struct account_order *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u8(out, (uint8_t)m->kind);
	codec_put_account(out, &m->account);
	wire_put_u64(out, (uint64_t)m->quota_messages);
	wire_put_u64(out, (uint64_t)m->quota_bytes);
	wire_put_u64(out, m->login);
}

int account_order_decode(struct str body, struct account_order *out)
{
	struct wire_reader r = wire_reader(body);
	struct account_order m;
	m.request = wire_get_u64(&r);
	m.kind = (enum account_order_kind)codec_get_enum(&r, ACCOUNT_ORDER_COUNT);
	m.account = codec_get_account(&r);
	m.quota_messages = (int64_t)wire_get_u64(&r);
	m.quota_bytes = (int64_t)wire_get_u64(&r);
	m.login = wire_get_u64(&r);
	int err = wire_finish(&r);
	if (err == 0 && (m.quota_messages < ORDER_QUOTA_DEFAULT || m.quota_bytes < ORDER_QUOTA_DEFAULT))
		err = ERR_CORRUPT;
	if (err == 0)
		*out = m;
	return err;
}

void account_order_reply_encode(const struct account_order_reply *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u32(out, (uint32_t)m->result);
	wire_put_u64(out, m->messages);
	wire_put_u64(out, m->bytes);
	wire_put_u64(out, m->limit_messages);
	wire_put_u64(out, m->limit_bytes);
	wire_put_short(out, m->problem);
}

int account_order_reply_decode(struct str body, struct account_order_reply *out)
{
	struct wire_reader r = wire_reader(body);
	struct account_order_reply m;
	m.request = wire_get_u64(&r);
	m.result = (int32_t)wire_get_u32(&r);
	m.messages = wire_get_u64(&r);
	m.bytes = wire_get_u64(&r);
	m.limit_messages = wire_get_u64(&r);
	m.limit_bytes = wire_get_u64(&r);
	m.problem = wire_get_short(&r, ORDER_PROBLEM_MAX);
	int err = wire_finish(&r);
	if (err != 0)
		return err;
	if (m.result > 0)
		return ERR_CORRUPT;
	*out = m;
	return 0;
}
