/* access_shard.h: access hands a logged-in connection to its shard. The descriptor travels beside the message: the
 * client's socket (plain) or our end of a socketpair through which access relays plaintext (TLS). The shard answers
 * the login. */
#ifndef IPC_ACCESS_SHARD_H
#define IPC_ACCESS_SHARD_H

#include "ipc/ticket.h"

#define HANDOVER_UNREAD_MAX 65536
#define HANDOVER_TAG_MAX    256

enum { ACCESS_SHARD_HANDOVER = 1, SHARD_ACCESS_CLOSED = 2 };

enum handover_protocol { HANDOVER_IMAP, HANDOVER_POP3, HANDOVER_PROTOCOL_COUNT };

struct handover {
	uint64_t session;      /* must equal the ticket's */
	enum handover_protocol protocol;
	bool tls;
	struct str ticket;
	struct str tag;        /* IMAP: tag of the login command, which the shard answers; POP3: see login_world */
	struct str peer;       /* client's address text */
	struct str tls_version, tls_cipher; /* empty when plain */
	struct str unread;     /* what the client sent after its login command */
};

/* The shard's session ended (so that per-address counts hold). */
struct session_closed {
	uint64_t session;
};

void handover_encode(const struct handover *m, struct buf *out);
int handover_decode(struct str body, struct handover *out) MUST_CHECK;
void session_closed_encode(const struct session_closed *m, struct buf *out);
int session_closed_decode(struct str body, struct session_closed *out) MUST_CHECK;

#endif
