/* ticket.h: auth's word that a login was right: names account, shard, rights, session and expiry under a MAC
 * (HMAC-SHA-256) whose key only auth and the shards have. A shard opens no session without it, so a taken-over
 * access can name no account. */
#ifndef IPC_TICKET_H
#define IPC_TICKET_H

#include "base/account_id.h"
#include "base/mac.h"
#include "base/pop3_policy.h"

#define TICKET_KEY_SIZE 32
#define TICKET_SIZE_MAX 1024
#define TICKET_LIFETIME_SECONDS 30

/* What a login is for. For SMTP no ticket is made: no shard is handed such a connection. */
enum ticket_right { TICKET_IMAP = 1, TICKET_POP3 = 2, TICKET_SMTP = 4 };

struct ticket {
	struct account_id account;
	uint16_t shard;
	uint32_t rights;      /* of enum ticket_right */
	uint64_t session;     /* id that follows the connection through the logs */
	int64_t expires;      /* seconds since 1970 */
	struct str user;      /* login name, for the log; at most 320 bytes */
	uint64_t login;       /* which password it was: 0, the account's; else the number of an app password */
	struct pop3_policy pop3; /* with TICKET_POP3: what its commands do (its `login` is the one above); else zero */
};

/* Appends the encoded ticket with its MAC; key: of TICKET_KEY_SIZE bytes. */
void ticket_seal(const struct ticket *ticket, struct mac *key, struct buf *out);

/* Checks MAC and expiry, then decodes (slices point into `bytes`). ERR_DENIED: forged or expired; ERR_CORRUPT: not a
 * ticket. */
int ticket_open(struct str bytes, struct mac *key, int64_t now, struct ticket *out) MUST_CHECK;

#endif
