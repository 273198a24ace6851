/* access_auth.c: encodes and decodes the messages of access_auth.h. Pure; decoded slices point into the body. */
#include "ipc/access_auth.h"

#include "ipc/codec.h"

void login_request_encode(const struct login_request *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u64(out, m->session);
	wire_put_u32(out, m->right);
	codec_put_bool(out, m->tls);
	wire_put_short(out, m->user);
	wire_put_short(out, m->password);
	wire_put_short(out, m->peer);
}

int login_request_decode(struct str body, struct login_request *out)
{
	struct wire_reader r = wire_reader(body);
	struct login_request m;
	m.request = wire_get_u64(&r);
	m.session = wire_get_u64(&r);
	m.right = wire_get_u32(&r);
	m.tls = wire_get_bool(&r);
	m.user = wire_get_short(&r, LOGIN_USER_MAX);
	m.password = wire_get_short(&r, LOGIN_PASSWORD_MAX);
	m.peer = wire_get_short(&r, CODEC_PEER_MAX);
	int err = wire_finish(&r);
	if (err != 0)
		return err;
	if (m.right != TICKET_IMAP && m.right != TICKET_POP3 && m.right != TICKET_SMTP)
		return ERR_CORRUPT;
	*out = m;
	return 0;
}

void login_reply_encode(const struct login_reply *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_u8(out, (uint8_t)m->result);
	wire_put_u16(out, m->shard);
	wire_put_short(out, m->ticket);
}

int login_reply_decode(struct str body, struct login_reply *out)
{
	struct wire_reader r = wire_reader(body);
	struct login_reply m;
	m.request = wire_get_u64(&r);
	m.result = (enum login_result)codec_get_enum(&r, LOGIN_RESULT_COUNT);
	m.shard = wire_get_u16(&r);
	m.ticket = wire_get_short(&r, TICKET_SIZE_MAX);
	int err = wire_finish(&r);
	if (err != 0)
		return err;
	if ((m.result == LOGIN_OK) != (m.ticket.n > 0))
		return ERR_CORRUPT;
	*out = m;
	return 0;
}

void expire_news_encode(const struct expire_news *m, struct buf *out)
{
	wire_put_u32(out, m->days);
	codec_put_bool(out, m->differs);
}

int expire_news_decode(struct str body, struct expire_news *out)
{
	struct wire_reader r = wire_reader(body);
	struct expire_news m;
	m.days = wire_get_u32(&r);
	m.differs = wire_get_bool(&r);
	int err = wire_finish(&r);
	if (err == 0 && m.days > POP3_DAYS_MAX && m.days != POP3_EXPIRE_NEVER)
		err = ERR_CORRUPT;
	if (err == 0)
		*out = m;
	return err;
}
