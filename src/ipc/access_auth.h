/* access_auth.h: access asks who may come in; auth answers. smtp asks in the same words (ipc/smtp_auth.h). */
#ifndef IPC_ACCESS_AUTH_H
#define IPC_ACCESS_AUTH_H

#include "ipc/ticket.h"

#define LOGIN_USER_MAX     320
#define LOGIN_PASSWORD_MAX 1024

/* TICKET_UNUSED: the body is the sealed ticket of a login that became no session, and does not count for LOGIN_TOO_SOON.
 * Told where pop3.login_delay is set. */
enum { ACCESS_AUTH_LOGIN = 1, AUTH_ACCESS_LOGIN_REPLY = 2, AUTH_ACCESS_EXPIRE = 3, ACCESS_AUTH_TICKET_UNUSED = 4 };

struct login_request {
	uint64_t request;  /* chosen by who asks, comes back in the reply */
	uint64_t session;
	uint32_t right;    /* one enum ticket_right: TICKET_SMTP from smtp, the others from access */
	bool tls;
	struct str user, password, peer; /* peer: address text, for throttling and the log */
};

enum login_result {
	LOGIN_OK,
	LOGIN_DENIED,
	LOGIN_UNAVAILABLE,
	LOGIN_TOO_SOON, /* TICKET_POP3: a right password, within pop3.login_delay of the last login */
	LOGIN_PUT_OFF,  /* nobody has looked, for too many others wait, or too many have failed (auth/throttle.h) */
	LOGIN_RESULT_COUNT,
};

struct login_reply {
	uint64_t request;
	enum login_result result;
	uint16_t shard;
	struct str ticket; /* sealed; empty unless LOGIN_OK */
};

/* What EXPIRE of POP3 says before login (RFC 2449, 6.7): told when access comes, and when it changes. */
struct expire_news {
	uint32_t days; /* POP3_EXPIRE_NEVER: never */
	bool differs;  /* somebody's value may be another: USER */
};

void login_request_encode(const struct login_request *m, struct buf *out);
int login_request_decode(struct str body, struct login_request *out) MUST_CHECK;
void login_reply_encode(const struct login_reply *m, struct buf *out);
int login_reply_decode(struct str body, struct login_reply *out) MUST_CHECK;
void expire_news_encode(const struct expire_news *m, struct buf *out);
int expire_news_decode(struct str body, struct expire_news *out) MUST_CHECK;

#endif
