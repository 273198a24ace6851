/* ticket.c: seals and opens tickets: the encoded fields, then HMAC-SHA-256 (RFC 2104) over them. Pure. */
#include "ipc/ticket.h"

#include "base/mem.h"
#include "ipc/codec.h"

#define TICKET_USER_MAX 320

static void put_policy(const struct pop3_policy *m, struct buf *out)
{
	wire_put_u8(out, (uint8_t)m->mode);
	wire_put_u16(out, m->days);
	codec_put_bool(out, m->trash);
	codec_put_bool(out, m->seen);
	wire_put_short(out, str_first(m->mailbox, POP3_MAILBOX_MAX));
}

static struct pop3_policy get_policy(struct wire_reader *r, uint64_t login)
{
	struct pop3_policy m = { .login = login };
	m.mode = (enum pop3_mode)codec_get_enum(r, POP3_MODE_COUNT);
	m.days = wire_get_u16(r);
	m.trash = wire_get_bool(r);
	m.seen = wire_get_bool(r);
	m.mailbox = wire_get_short(r, POP3_MAILBOX_MAX);
	return m;
}

void ticket_seal(const struct ticket *ticket, struct mac *key, struct buf *out)
{
	unsigned char mac[MAC_SIZE];
	size_t start = out->n;
	codec_put_account(out, &ticket->account);
	wire_put_u16(out, ticket->shard);
	wire_put_u32(out, ticket->rights);
	wire_put_u64(out, ticket->session);
	wire_put_u64(out, (uint64_t)ticket->expires);
	wire_put_short(out, str_first(ticket->user, TICKET_USER_MAX));
	wire_put_u64(out, ticket->login);
	if (ticket->rights & TICKET_POP3)
		put_policy(&ticket->pop3, out);
	if (out->failed)
		return;
	mac_of(key, str_from(buf_str(out), start), mac);
	codec_put_bytes(out, mac, MAC_SIZE);
}

int ticket_open(struct str bytes, struct mac *key, int64_t now, struct ticket *out)
{
	if (bytes.n <= MAC_SIZE || bytes.n > TICKET_SIZE_MAX)
		return ERR_CORRUPT;
	struct str fields = str_first(bytes, bytes.n - MAC_SIZE);
	unsigned char mac[MAC_SIZE];
	mac_of(key, fields, mac);
	if (!mem_equal_secret(mac, bytes.p + fields.n, MAC_SIZE))
		return ERR_DENIED;
	struct wire_reader r = wire_reader(fields);
	struct ticket m = { 0 };
	m.account = codec_get_account(&r);
	m.shard = wire_get_u16(&r);
	m.rights = wire_get_u32(&r);
	m.session = wire_get_u64(&r);
	m.expires = (int64_t)wire_get_u64(&r);
	m.user = wire_get_short(&r, TICKET_USER_MAX);
	m.login = wire_get_u64(&r);
	if (m.rights & TICKET_POP3)
		m.pop3 = get_policy(&r, m.login);
	int err = wire_finish(&r);
	if (err != 0)
		return err;
	if (now >= m.expires)
		return ERR_DENIED;
	*out = m;
	return 0;
}
