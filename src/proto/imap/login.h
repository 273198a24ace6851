/* login.h: IMAP before login (RFC 3501, 6.1 and 6.2): greeting, STARTTLS, LOGIN, AUTHENTICATE. What it has in
 * common with POP3, and what it asks of its owner, stands in proto/login.h. */
#ifndef PROTO_IMAP_LOGIN_H
#define PROTO_IMAP_LOGIN_H

#include "proto/login.h"

#define IMAP_LOGIN_TAG_MAX 256 /* bytes */

struct imap_login_session;

/* Queues the greeting. Settings and world are borrowed. */
struct imap_login_session *imap_login_new(const struct login_world *world, void *owner,
                                          const struct login_settings *settings,
                                          const struct login_facts *facts) __attribute__((returns_nonnull));
void imap_login_free(struct imap_login_session **login);

/* Bytes from the client; returns how many were taken. Fewer than all: a command waits (or the connection is handed
 * over); give the rest again when imap_login_wants_input says so. */
size_t imap_login_input(struct imap_login_session *login, struct str bytes);
bool imap_login_wants_input(const struct imap_login_session *login);

/* The answer to world.authenticate. */
void imap_login_answer(struct imap_login_session *login, enum login_verdict result);

/* The timer of world.start_timer rang. */
void imap_login_timer(struct imap_login_session *login);

/* The handshake after STARTTLS is done: the session begins anew, without a greeting. */
void imap_login_tls_started(struct imap_login_session *login);

/* The owner ends the session (time ran out, the server stops): BYE with this text (nothing behind STARTTLS), then
 * world.close. */
void imap_login_bye(struct imap_login_session *login, struct str text);

#endif
