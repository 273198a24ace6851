/* codec.h: what the encoders and decoders of ipc/ share. Private to the room. */
#ifndef IPC_CODEC_H
#define IPC_CODEC_H

#include "base/wire.h"
#include "base/account_id.h"

#define CODEC_PEER_MAX 64 /* an address as text */

static inline void codec_put_bool(struct buf *out, bool value)
{
	wire_put_u8(out, value ? 1 : 0);
}

static inline void codec_put_bytes(struct buf *out, const void *bytes, size_t n)
{
	buf_add(out, str_of(bytes, n));
}

static inline void codec_put_account(struct buf *out, const struct account_id *account)
{
	codec_put_bytes(out, account->bytes, ACCOUNT_ID_SIZE);
}

static inline struct account_id codec_get_account(struct wire_reader *r)
{
	struct account_id account;
	wire_get_copy(r, account.bytes, ACCOUNT_ID_SIZE);
	return account;
}

/* One byte below `count`, as closed enums travel; anything else fails the reader. */
static inline unsigned codec_get_enum(struct wire_reader *r, unsigned count)
{
	unsigned value = wire_get_u8(r);
	if (value >= count) {
		r->failed = true;
		return 0;
	}
	return value;
}

#endif
