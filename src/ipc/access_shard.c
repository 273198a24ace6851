/* access_shard.c: encodes and decodes the messages of access_shard.h. Pure; decoded slices point into the body. */
#include "ipc/access_shard.h"

#include "ipc/codec.h"

#define TLS_VERSION_MAX 32
#define TLS_CIPHER_MAX  128

void handover_encode(const struct handover *m, struct buf *out)
{
	wire_put_u64(out, m->session);
	wire_put_u8(out, (uint8_t)m->protocol);
	codec_put_bool(out, m->tls);
	wire_put_short(out, m->ticket);
	wire_put_short(out, m->tag);
	wire_put_short(out, m->peer);
	wire_put_short(out, m->tls_version);
	wire_put_short(out, m->tls_cipher);
	wire_put_str(out, m->unread);
}

int handover_decode(struct str body, struct handover *out)
{
	struct wire_reader r = wire_reader(body);
	struct handover m;
	m.session = wire_get_u64(&r);
	m.protocol = (enum handover_protocol)codec_get_enum(&r, HANDOVER_PROTOCOL_COUNT);
	m.tls = wire_get_bool(&r);
	m.ticket = wire_get_short(&r, TICKET_SIZE_MAX);
	m.tag = wire_get_short(&r, HANDOVER_TAG_MAX);
	m.peer = wire_get_short(&r, CODEC_PEER_MAX);
	m.tls_version = wire_get_short(&r, TLS_VERSION_MAX);
	m.tls_cipher = wire_get_short(&r, TLS_CIPHER_MAX);
	m.unread = wire_get_str(&r, HANDOVER_UNREAD_MAX);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}

void session_closed_encode(const struct session_closed *m, struct buf *out)
{
	wire_put_u64(out, m->session);
}

int session_closed_decode(struct str body, struct session_closed *out)
{
	struct wire_reader r = wire_reader(body);
	struct session_closed m = { wire_get_u64(&r) };
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}
