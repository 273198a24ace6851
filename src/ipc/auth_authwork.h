/* auth_authwork.h: auth has passwords hashed elsewhere, because Argon2id takes tens of milliseconds. */
#ifndef IPC_AUTH_AUTHWORK_H
#define IPC_AUTH_AUTHWORK_H

#include "base/wire.h"

#define PASSWORD_HASH_MAX 256

enum { AUTH_AUTHWORK_VERIFY = 1, AUTH_AUTHWORK_HASH = 2, AUTHWORK_AUTH_REPLY = 3 };

struct password_job {
	uint64_t request;
	struct str password;
	struct str hash; /* VERIFY: the encoded hash to compare with; HASH: empty */
};

struct password_reply {
	uint64_t request;
	bool ok;         /* VERIFY: it matches; HASH: it was made */
	struct str hash; /* HASH: encoded ($argon2id$…) */
};

void password_job_encode(const struct password_job *m, struct buf *out);
int password_job_decode(struct str body, struct password_job *out) MUST_CHECK;
void password_reply_encode(const struct password_reply *m, struct buf *out);
int password_reply_decode(struct str body, struct password_reply *out) MUST_CHECK;

#endif
