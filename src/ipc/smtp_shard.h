/* smtp_shard.h: smtp gives a message to a shard for some of its accounts; the shard answers for each once it is
 * durable; smtp says what became of its own reply to the client, and then the shard forgets the delivery keys, or keeps
 * them for the client's next try. */
#ifndef IPC_SMTP_SHARD_H
#define IPC_SMTP_SHARD_H

#include "base/account_id.h"

#define DELIVER_RECIPIENTS_MAX 1000
#define DELIVER_INLINE_MAX     (512 * 1024) /* body bytes inside the message; larger ones travel as a descriptor */
#define DELIVERY_KEY_SIZE      16
#define DELIVER_ENDS_MAX       64
#define DELIVER_ALL            UINT32_MAX

enum { SMTP_SHARD_DELIVER = 1, SHARD_SMTP_DELIVER_REPLY = 2, SMTP_SHARD_ENDS = 3 };

struct delivery_key {
	unsigned char bytes[DELIVERY_KEY_SIZE];
};

struct deliver_recipient {
	struct account_id account;
	struct delivery_key key; /* hash over what came from the client, sender and recipient: names this delivery in retries */
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

enum deliver_outcome {
	DELIVER_CONFIRMED, /* the client has the answer */
	DELIVER_DOUBTFUL,  /* the client has ended its side before that, and may be gone: the outcome comes later */
	DELIVER_LEFT,      /* it may not have the answer, and come again */
	DELIVER_OUTCOME_COUNT,
};

/* What became of the answer to a delivery's client. */
struct deliver_end {
	uint64_t request;
	uint32_t recipient; /* which of the request, from 0; or DELIVER_ALL */
	enum deliver_outcome outcome;
};

/* In the order they happened. */
struct deliver_ends {
	struct deliver_end list[DELIVER_ENDS_MAX];
	uint32_t n;
};

struct arena;
/* The inline body is not encoded: give it to ipc_send2 as payload. */
void deliver_encode_head(const struct deliver *m, struct buf *out);
int deliver_decode(struct str body, bool has_descriptor, struct arena *arena, struct deliver *out) MUST_CHECK;
void deliver_reply_encode(const struct deliver_reply *m, struct buf *out);
int deliver_reply_decode(struct str body, struct deliver_reply *out) MUST_CHECK;
void deliver_ends_encode(const struct deliver_ends *m, struct buf *out);
int deliver_ends_decode(struct str body, struct deliver_ends *out) MUST_CHECK;

#endif
