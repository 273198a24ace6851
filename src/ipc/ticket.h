/* ticket.h: auth's word that a login was right: names account, shard, rights, session and expiry under a MAC
 * (HMAC-SHA-256) whose key only auth and the shards have. A shard opens no session without it, so a taken-over
 * access can name no account. */
#ifndef IPC_TICKET_H
#define IPC_TICKET_H

#include "base/account_id.h"

#define TICKET_KEY_SIZE 32
#define TICKET_SIZE_MAX 512
#define TICKET_LIFETIME_SECONDS 30

enum ticket_right { TICKET_IMAP = 1, TICKET_POP3 = 2 };

struct ticket {
	struct account_id account;
	uint16_t shard;
	uint32_t rights;      /* of enum ticket_right */
	uint64_t session;     /* id that follows the connection through the logs */
	int64_t expires;      /* seconds since 1970 */
	struct str user;      /* login name, for the log; at most 320 bytes */
};

/* Appends the encoded ticket with its MAC. */
void ticket_seal(const struct ticket *ticket, const unsigned char key[TICKET_KEY_SIZE], struct buf *out);

/* Checks MAC and expiry, then decodes (user points into `bytes`). ERR_DENIED: forged or expired; ERR_CORRUPT: not a
 * ticket. */
int ticket_open(struct str bytes, const unsigned char key[TICKET_KEY_SIZE], int64_t now, struct ticket *out) MUST_CHECK;

#endif
