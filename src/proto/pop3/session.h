/* session.h: POP3 after login (RFC 1939, 5 and 6: the TRANSACTION and UPDATE states, with TOP and UIDL; 2449 CAPA;
 * 6856 LANG, UTF8) for one connection, on one mailbox of an account (its INBOX, unless the policy says another).
 *
 * The session sees the mailbox as it was at the login: numbers, sizes and unique ids never change (RFC 1939, 5). What
 * others expunge meanwhile is still counted and listed, and is sent for as long as the store can read it; then RETR and
 * TOP answer -ERR. Messages are removed, hidden and marked as read by QUIT and by nothing else
 * (base/pop3_policy.h). The unique id of a message is its entry id in hexadecimal digits, or what it came with when it
 * was imported.
 *
 * Does no I/O: bytes in, bytes out, and a table of functions for the rest (proto/session.h). The owner holds output
 * back until it is durable, so that QUIT's +OK leaves when what it promises is on disk. */
#ifndef PROTO_POP3_SESSION_H
#define PROTO_POP3_SESSION_H

#include "base/pop3_policy.h"
#include "proto/session.h"
#include "store/store.h"

struct pop3_session;

/* Shared by all sessions; lives as long as they do. */
struct pop3_settings {
	size_t max_line;           /* bytes of a command with its line end */
	uint32_t max_bad_commands; /* this many bad commands close the session */
	uint64_t output_pause;     /* bytes waiting (file ranges too) at which commands and input pause */
	bool utf8;                 /* the command UTF8 is there before login: without it a message with a header that is not
	                            * ASCII is refused (RFC 6856, 2.1 and 5) */
	uint64_t login_delay_ms;   /* for CAPA; 0: none */
	uint64_t *commands;        /* counted here, by enum pop3_verb; NULL: nowhere */
};

/* A session of an account that is logged in. Queues +OK as the answer to the login; or -ERR and world.close (inside
 * this call) when the mailbox cannot be opened. The policy (it is copied) says which mailbox is shown, and what QUIT
 * does: removes, hides, or plans to remove what was marked or retrieved. utf8: the client has said UTF8. `id` is the
 * session's name in the log. */
struct pop3_session *pop3_session_new(const struct session_world *world, void *owner,
                                      const struct pop3_settings *settings, struct account *account,
                                      const struct pop3_policy *policy, bool utf8, uint64_t id)
	__attribute__((returns_nonnull));
/* Deletes nothing. */
void pop3_session_free(struct pop3_session **session);

/* Bytes from the client; returns how many were taken. Fewer than all: the session is busy or its output is full;
 * keep the rest and give it again, with what came meanwhile, when pop3_session_wants_input says so (after
 * pop3_session_resume). A session that is over takes all, unread. */
size_t pop3_session_input(struct pop3_session *session, struct str bytes);
bool pop3_session_wants_input(const struct pop3_session *session);

/* After the input that ended the session: its client said QUIT, and nothing came behind that. */
bool pop3_session_left(const struct pop3_session *session);

/* Goes on with what waited (see enum session_resume). */
void pop3_session_resume(struct pop3_session *session);

/* The name of the command that the session worked on last; valid for ever. */
struct str pop3_session_doing(const struct pop3_session *session);
/* The name of the mailbox that it shows; empty: it could not be opened. Valid until the next call. */
struct str pop3_session_mailbox(const struct pop3_session *session);

/* The owner ends the session (time ran out, the server stops): world.close, without a word to the client and without
 * removing anything (RFC 1939, 3). The text is for the log. */
void pop3_session_bye(struct pop3_session *session, struct str text);

#endif
