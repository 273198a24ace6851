/* login.h: IMAP before login (RFC 3501, 6.1 and 6.2): greeting, STARTTLS, LOGIN, AUTHENTICATE. Runs in a process that
 * holds no mail: a right password ends in a hand-over to the account's shard, which answers the command.
 *
 * Does no I/O. One engine serves one connection; it is freed by its owner, never from within a function of the world.
 */
#ifndef PROTO_IMAP_LOGIN_H
#define PROTO_IMAP_LOGIN_H

#include "base/outq.h"

#define IMAP_LOGIN_USER_MAX     320 /* bytes; longer names and passwords are denied without asking anybody */
#define IMAP_LOGIN_PASSWORD_MAX 1024
#define IMAP_LOGIN_TAG_MAX      256

struct imap_login_session;

/* Lives as long as the engines that use it. */
struct imap_login_settings {
	size_t max_line;           /* bytes of a command, and of its literals together */
	uint32_t max_bad_commands; /* this many bad commands close the connection */
	uint32_t max_failures;     /* this many failed logins */
	uint64_t failure_delay_ms; /* before a failed login is answered */
};

struct imap_login_facts {
	uint64_t session;   /* for the log, and the same in the shard */
	bool tls;           /* the connection is encrypted already */
	bool can_start_tls; /* there is a certificate: offer STARTTLS while it is not */
	bool plain_allowed; /* passwords may cross this connection without TLS */
};

enum imap_login_result { IMAP_LOGIN_OK, IMAP_LOGIN_DENIED, IMAP_LOGIN_UNAVAILABLE };

struct imap_login_world {
	/* Where replies go; the same queue each time. */
	struct outq *(*output)(void *owner);
	/* The queue holds OK for STARTTLS: when it is written, do the handshake, then call imap_login_tls_started. Every
	 * byte read in plain text before it is thrown away (RFC 3501, 6.2.1). */
	void (*start_tls)(void *owner);
	/* Ask who this is; imap_login_answer brings the answer, later. The slices are wiped when this returns. */
	void (*authenticate)(void *owner, struct str user, struct str password);
	/* Call imap_login_timer once after this many milliseconds. */
	void (*start_timer)(void *owner, uint64_t milliseconds);
	/* Logged in: give the connection to the shard, which answers `tag`. Unread are the bytes that imap_login_input did
	 * not take. */
	void (*hand_over)(void *owner, struct str tag);
	/* The queue ends with BYE: close when it is written. */
	void (*close)(void *owner);
};

/* Queues the greeting. Settings and world are borrowed. */
struct imap_login_session *imap_login_new(const struct imap_login_world *world, void *owner,
                                          const struct imap_login_settings *settings,
                                          const struct imap_login_facts *facts) __attribute__((returns_nonnull));
void imap_login_free(struct imap_login_session **login);

/* Bytes from the client; returns how many were taken. Fewer than all: a command waits (or the connection is handed
 * over); give the rest again when imap_login_wants_input says so. */
size_t imap_login_input(struct imap_login_session *login, struct str bytes);
bool imap_login_wants_input(const struct imap_login_session *login);

/* The answer to world.authenticate. */
void imap_login_answer(struct imap_login_session *login, enum imap_login_result result);

/* The timer of world.start_timer rang. */
void imap_login_timer(struct imap_login_session *login);

/* The handshake after STARTTLS is done: the session begins anew, without a greeting. */
void imap_login_tls_started(struct imap_login_session *login);

/* The owner ends the session (time ran out, the server stops): BYE with this text, then world.close. */
void imap_login_bye(struct imap_login_session *login, struct str text);

#endif
