/* session.h: IMAP after login (RFC 3501 and the extensions of capability.h) for one connection, on the store.
 *
 * Does no I/O: bytes in, bytes out, and a table of functions for the rest (proto/session.h). */
#ifndef PROTO_IMAP_SESSION_H
#define PROTO_IMAP_SESSION_H

#include "mail/mail.h"
#include "proto/session.h"
#include "syntax/imap.h"
#include "text/charset.h"

struct imap_session;

/* Shared by all sessions; lives as long as they do. */
struct imap_settings {
	struct imap_limits limits;  /* of one command */
	struct mail_settings mail;  /* of APPEND; max_keywords of each mailbox */
	struct charsets *charsets;  /* SEARCH in headers; used by one at a time */
	uint32_t max_bad_commands;  /* this many bad commands in a row close the session */
	uint32_t max_mailboxes;     /* of an account */
	uint32_t max_mailbox_depth; /* levels */
	size_t max_mailbox_name;    /* bytes */
	size_t max_keyword_length;  /* bytes */
	uint64_t output_pause;      /* bytes waiting (file ranges too) at which commands and input pause */
	size_t spool_threshold;     /* bytes of an APPEND kept in memory; larger ones go to a file */
	struct str spool_directory;
	uint64_t *commands; /* counted here, by enum imap_command_kind; NULL: nowhere */
};

/* A session of an account that is logged in. Queues "tag OK [CAPABILITY ...]" as the answer to the login, unless the
 * tag is empty. `id` is the session's name in the log and the origin of its changes in the store. */
struct imap_session *imap_session_new(const struct session_world *world, void *owner,
                                      const struct imap_settings *settings, struct account *account, uint64_t id,
                                      struct str tag) __attribute__((returns_nonnull));
void imap_session_free(struct imap_session **session);

/* Bytes from the client; returns how many were taken. Fewer than all: the session is busy, its output is full, or its
 * slice of time is over; it has asked for a resume. After that resume, when imap_session_wants_input says so, give the
 * rest again, with what came meanwhile. A session that is over takes all, unread. */
size_t imap_session_input(struct imap_session *session, struct str bytes);
bool imap_session_wants_input(const struct imap_session *session);

/* After the input that ended the session: its client said LOGOUT, and nothing came behind that. A client that still sends
 * would lose the last answer to the reset that a close brings. */
bool imap_session_left(const struct imap_session *session);

/* Goes on with what waited (see enum session_resume). */
void imap_session_resume(struct imap_session *session);

/* True in IDLE, where a client may be silent for long (the owner may want other time-outs). */
bool imap_session_is_idling(const struct imap_session *session);

/* The name of the command that the session worked on last; valid for ever. */
struct str imap_session_doing(const struct imap_session *session);

/* The name of the selected mailbox; empty: none. Valid until the next call. */
struct str imap_session_mailbox(const struct imap_session *session);

/* Bytes of the heap that the session holds now, its output and the mailbox's entries aside. For statistics and
 * tests. */
size_t imap_session_memory(const struct imap_session *session);

/* The owner ends the session (time ran out, the server stops): BYE with this text, then world.close. */
void imap_session_bye(struct imap_session *session, struct str text);

#endif
