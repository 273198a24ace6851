/* login.h: POP3 before login (RFC 1939, 4: the AUTHORIZATION state; 2449 CAPA; 2595 STLS; 5034 AUTH PLAIN; 3206
 * codes; 6856 LANG, UTF8). What it has in common with IMAP, and what it asks of its owner, stands in proto/login.h. */
#ifndef PROTO_POP3_LOGIN_H
#define PROTO_POP3_LOGIN_H

#include "proto/login.h"

struct pop3_login;

/* Queues the greeting. Settings and world are borrowed. */
struct pop3_login *pop3_login_new(const struct login_world *world, void *owner,
                                  const struct login_settings *settings, const struct login_facts *facts)
	__attribute__((returns_nonnull));
void pop3_login_free(struct pop3_login **login);

/* Bytes from the client; returns how many were taken. Fewer than all: a command waits (or the connection is handed
 * over); give the rest again when pop3_login_wants_input says so. */
size_t pop3_login_input(struct pop3_login *login, struct str bytes);
bool pop3_login_wants_input(const struct pop3_login *login);

/* The answer to world.authenticate. */
void pop3_login_answer(struct pop3_login *login, enum login_verdict result);

/* The timer of world.start_timer rang. */
void pop3_login_timer(struct pop3_login *login);

/* The handshake after STLS is done: the session begins anew, without a greeting. */
void pop3_login_tls_started(struct pop3_login *login);

/* The owner ends the session (time ran out, the server stops): world.close, with -ERR [SYS/TEMP] and this text before
 * it where the client waits for an answer. */
void pop3_login_bye(struct pop3_login *login, struct str text);

#endif
