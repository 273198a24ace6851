/* ticket.c: seals and opens tickets: the encoded fields, then HMAC-SHA-256 (RFC 2104) over them. Pure. */
#include "ipc/ticket.h"

#include "base/mem.h"
#include "base/openssl.h"
#include "ipc/codec.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define MAC_SIZE        32
#define TICKET_USER_MAX 320

static void sign(struct str fields, const unsigned char key[TICKET_KEY_SIZE], unsigned char mac[MAC_SIZE])
{
	unsigned n = MAC_SIZE;
	if (!HMAC(EVP_sha256(), key, TICKET_KEY_SIZE, (const unsigned char *)fields.p, fields.n, mac, &n) || n != MAC_SIZE)
		abort(); /* out of memory */
}

void ticket_seal(const struct ticket *ticket, const unsigned char key[TICKET_KEY_SIZE], struct buf *out)
{
	unsigned char mac[MAC_SIZE];
	size_t start = out->n;
	codec_put_account(out, &ticket->account);
	wire_put_u16(out, ticket->shard);
	wire_put_u32(out, ticket->rights);
	wire_put_u64(out, ticket->session);
	wire_put_u64(out, (uint64_t)ticket->expires);
	wire_put_short(out, str_first(ticket->user, TICKET_USER_MAX));
	if (out->failed)
		return;
	sign(str_from(buf_str(out), start), key, mac);
	codec_put_bytes(out, mac, MAC_SIZE);
}

int ticket_open(struct str bytes, const unsigned char key[TICKET_KEY_SIZE], int64_t now, struct ticket *out)
{
	if (bytes.n <= MAC_SIZE || bytes.n > TICKET_SIZE_MAX)
		return ERR_CORRUPT;
	struct str fields = str_first(bytes, bytes.n - MAC_SIZE);
	unsigned char mac[MAC_SIZE];
	sign(fields, key, mac);
	if (!mem_equal_secret(mac, bytes.p + fields.n, MAC_SIZE))
		return ERR_DENIED;
	struct wire_reader r = wire_reader(fields);
	struct ticket m;
	m.account = codec_get_account(&r);
	m.shard = wire_get_u16(&r);
	m.rights = wire_get_u32(&r);
	m.session = wire_get_u64(&r);
	m.expires = (int64_t)wire_get_u64(&r);
	m.user = wire_get_short(&r, TICKET_USER_MAX);
	int err = wire_finish(&r);
	if (err != 0)
		return err;
	if (now >= m.expires)
		return ERR_DENIED;
	*out = m;
	return 0;
}
