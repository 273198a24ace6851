/* smtp_shard.c: encodes and decodes the messages of smtp_shard.h. Pure; decoded slices point into the body, lists
 * lie in the arena. */
#include "ipc/smtp_shard.h"

#include "base/arena.h"
#include "ipc/codec.h"

#define SENDER_MAX      1024
#define TRACE_HEAD_MAX  65536
#define BODY_LENGTH_MAX (UINT64_C(1) << 40)

void deliver_encode_head(const struct deliver *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u64(out, m->session);
	wire_put_short(out, m->sender);
	wire_put_u32(out, m->n_recipients);
	for (uint32_t i = 0; i < m->n_recipients; i++) {
		codec_put_account(out, &m->recipients[i].account);
		codec_put_bytes(out, m->recipients[i].key.bytes, DELIVERY_KEY_SIZE);
	}
	wire_put_u64(out, m->body_length);
	wire_put_str(out, m->head);
}

int deliver_decode(struct str body, bool has_descriptor, struct arena *arena, struct deliver *out)
{
	struct wire_reader r = wire_reader(body);
	struct deliver m = { 0 };
	m.request = wire_get_u64(&r);
	m.session = wire_get_u64(&r);
	m.sender = wire_get_short(&r, SENDER_MAX);
	m.n_recipients = wire_get_u32(&r);
	if (r.failed || m.n_recipients == 0 || m.n_recipients > DELIVER_RECIPIENTS_MAX)
		return ERR_CORRUPT;
	m.recipients = arena_alloc(arena, m.n_recipients, sizeof *m.recipients);
	if (!m.recipients)
		return ERR_LIMIT;
	for (uint32_t i = 0; i < m.n_recipients; i++) {
		m.recipients[i].account = codec_get_account(&r);
		wire_get_copy(&r, m.recipients[i].key.bytes, DELIVERY_KEY_SIZE);
	}
	m.body_length = wire_get_u64(&r);
	m.head = wire_get_str(&r, TRACE_HEAD_MAX);
	if (m.body_length > (has_descriptor ? BODY_LENGTH_MAX : DELIVER_INLINE_MAX))
		return ERR_CORRUPT;
	if (!has_descriptor)
		m.body = wire_get_bytes(&r, (size_t)m.body_length);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}

void deliver_reply_encode(const struct deliver_reply *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u32(out, m->n_results);
	codec_put_bytes(out, m->results, m->n_results);
}

int deliver_reply_decode(struct str body, struct deliver_reply *out)
{
	struct wire_reader r = wire_reader(body);
	struct deliver_reply m;
	m.request = wire_get_u64(&r);
	m.n_results = wire_get_u32(&r);
	if (r.failed || m.n_results == 0 || m.n_results > DELIVER_RECIPIENTS_MAX)
		return ERR_CORRUPT;
	m.results = (const unsigned char *)wire_get_bytes(&r, m.n_results).p;
	int err = wire_finish(&r);
	if (err != 0)
		return err;
	for (uint32_t i = 0; i < m.n_results; i++) {
		if (m.results[i] >= DELIVER_RESULT_COUNT)
			return ERR_CORRUPT;
	}
	*out = m;
	return 0;
}

void deliver_ends_encode(const struct deliver_ends *m, struct buf *out)
{
	wire_put_u32(out, m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		wire_put_u64(out, m->list[i].request);
		wire_put_u32(out, m->list[i].recipient);
		wire_put_u8(out, m->list[i].outcome);
	}
}

int deliver_ends_decode(struct str body, struct deliver_ends *out)
{
	struct wire_reader r = wire_reader(body);
	struct deliver_ends m = { .n = wire_get_u32(&r) };
	if (r.failed || m.n == 0 || m.n > DELIVER_ENDS_MAX)
		return ERR_CORRUPT;
	for (uint32_t i = 0; i < m.n; i++) {
		m.list[i].request = wire_get_u64(&r);
		m.list[i].recipient = wire_get_u32(&r);
		uint8_t outcome = wire_get_u8(&r);
		if (outcome >= DELIVER_OUTCOME_COUNT)
			return ERR_CORRUPT;
		m.list[i].outcome = outcome;
	}
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}
