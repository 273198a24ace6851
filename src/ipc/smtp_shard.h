/* smtp_shard.h: smtp gives a message to a shard for some of its accounts; the shard answers for each once it is
 * durable; smtp confirms after its own reply to the client was written, and then the shard forgets the delivery
 * keys. */
#ifndef IPC_SMTP_SHARD_H
#define IPC_SMTP_SHARD_H

#include "base/account_id.h"

#define DELIVER_RECIPIENTS_MAX 1000
#define DELIVER_INLINE_MAX     (512 * 1024) /* body bytes inside the message; larger ones travel as a descriptor */
#define DELIVERY_KEY_SIZE      16

enum { SMTP_SHARD_DELIVER = 1, SHARD_SMTP_DELIVER_REPLY = 2, SMTP_SHARD_CONFIRM = 3 };

struct delivery_key {
	unsigned char bytes[DELIVERY_KEY_SIZE];
};

struct deliver_recipient {
	struct account_id account;
	struct delivery_key key; /* hash over what came from the client, sender and recipient: names this delivery in retries */
	struct str detail;       /* of user+detail; empty if none */
};

/* The message as stored is: head (our trace headers, the same for all recipients here), then the body: inline, or
 * the first body_length bytes of the descriptor beside the message. */
struct deliver {
	uint64_t request;
	uint64_t session;
	struct str sender; /* reverse-path without <>; empty for the null path */
	struct deliver_recipient *recipients; /* decode: in the arena given */
	uint32_t n_recipients;
	uint64_t body_length;
	struct str head;
	struct str body; /* inline: body_length bytes, and last in the encoding; else empty */
};

enum deliver_result {
	DELIVER_OK,          /* durable (or an identical one already is) */
	DELIVER_NO_ACCOUNT,  /* 550 5.1.1 */
	DELIVER_NO_SPACE,    /* 452 4.3.1 */
	DELIVER_QUOTA,       /* 552 5.2.2 or 452 4.2.2, as quota.full_answer says */
	DELIVER_REFUSED,     /* 554: message not acceptable (NUL, bare CR or LF, too large) */
	DELIVER_UNAVAILABLE, /* 451 */
	DELIVER_RESULT_COUNT,
};

struct deliver_reply {
	uint64_t request;
	const unsigned char *results; /* enum deliver_result each, in the order of the recipients */
	uint32_t n_results;
};

/* Keys of deliveries whose answers the client has been sent. */
struct deliver_confirm {
	const struct delivery_key *keys; /* decode: points into the body (byte arrays have no alignment) */
	uint32_t n_keys;
};

struct arena;
/* The inline body is not encoded: give it to ipc_send2 as payload. */
void deliver_encode_head(const struct deliver *m, struct buf *out);
int deliver_decode(struct str body, bool has_descriptor, struct arena *arena, struct deliver *out) MUST_CHECK;
void deliver_reply_encode(const struct deliver_reply *m, struct buf *out);
int deliver_reply_decode(struct str body, struct deliver_reply *out) MUST_CHECK;
void deliver_confirm_encode(const struct deliver_confirm *m, struct buf *out);
int deliver_confirm_decode(struct str body, struct deliver_confirm *out) MUST_CHECK;

#endif
