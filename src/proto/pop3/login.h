/* login.h: POP3 before login (RFC 1939, 4: the AUTHORIZATION state; 2449 CAPA; 2595 STLS; 5034 AUTH PLAIN; 3206
 * codes). Runs in a process that holds no mail: a right password ends in a hand-over to the account's shard, which
 * answers the command.
 *
 * Does no I/O, and has the shape of proto/imap/login.h. One engine serves one connection; it is freed by its owner,
 * never from within a function of the world. */
#ifndef PROTO_POP3_LOGIN_H
#define PROTO_POP3_LOGIN_H

#include "base/outq.h"

#define POP3_LOGIN_USER_MAX     320  /* bytes; longer names and passwords are denied without asking anybody */
#define POP3_LOGIN_PASSWORD_MAX 1024

struct pop3_login;

/* Lives as long as the engines that use it. */
struct pop3_login_settings {
	size_t max_line;           /* bytes of a command with its line end, and of a SASL response */
	uint32_t max_bad_commands; /* this many bad commands close the connection */
	uint32_t max_failures;     /* this many failed logins */
	uint64_t failure_delay_ms; /* before a failed login is answered */
};

struct pop3_login_facts {
	uint64_t session;    /* for the log, and the same in the shard */
	bool tls;            /* the connection is encrypted already */
	bool can_start_tls;  /* there is a certificate: offer STLS while it is not */
	bool plain_allowed;  /* passwords may cross this connection without TLS */
};

enum pop3_login_result { POP3_LOGIN_OK, POP3_LOGIN_DENIED, POP3_LOGIN_UNAVAILABLE };

struct pop3_login_world {
	/* Where replies go; the same queue each time. */
	struct outq *(*output)(void *owner);
	/* The queue holds +OK for STLS: when it is written, do the handshake, then call pop3_login_tls_started. Every
	 * byte read in plain text before it is thrown away (RFC 2595, 4). */
	void (*start_tls)(void *owner);
	/* Ask who this is; pop3_login_answer brings the answer, later. The slices are wiped when this returns. */
	void (*authenticate)(void *owner, struct str user, struct str password);
	/* Call pop3_login_timer once after this many milliseconds. */
	void (*start_timer)(void *owner, uint64_t milliseconds);
	/* Logged in: give the connection to the shard, which answers. Unread are the bytes that pop3_login_input did not
	 * take. */
	void (*hand_over)(void *owner);
	/* The queue ends with the last reply: close when it is written. */
	void (*close)(void *owner);
};

/* Queues the greeting. Settings and world are borrowed. */
struct pop3_login *pop3_login_new(const struct pop3_login_world *world, void *owner,
                                  const struct pop3_login_settings *settings, const struct pop3_login_facts *facts)
	__attribute__((returns_nonnull));
void pop3_login_free(struct pop3_login **login);

/* Bytes from the client; returns how many were taken. Fewer than all: a command waits (or the connection is handed
 * over); give the rest again when pop3_login_wants_input says so. */
size_t pop3_login_input(struct pop3_login *login, struct str bytes);
bool pop3_login_wants_input(const struct pop3_login *login);

/* The answer to world.authenticate. */
void pop3_login_answer(struct pop3_login *login, enum pop3_login_result result);

/* The timer of world.start_timer rang. */
void pop3_login_timer(struct pop3_login *login);

/* The handshake after STLS is done: the session begins anew, without a greeting. */
void pop3_login_tls_started(struct pop3_login *login);

/* The owner ends the session (time ran out, the server stops): -ERR [SYS/TEMP] with this text, then world.close. */
void pop3_login_bye(struct pop3_login *login, struct str text);

#endif
