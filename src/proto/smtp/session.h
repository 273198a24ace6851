/* session.h: the engine of one SMTP or LMTP session, as the receiver (RFC 5321; 2033 LMTP; 1870, 2034, 2920, 3207,
 * 6152, 6531), and of message submission (RFC 6409; 4954 AUTH). LMTP is a dialect of the same session: LHLO instead of
 * EHLO, and one answer for each recipient after the data. So it has no folder of its own.
 *
 * Submission is SMTP from users: nothing is taken before a login, the sender must be an address of the account that
 * logged in, and the message gets what a writer's program forgot: a Date and a Message-ID, above its own header; Bcc is
 * taken out (RFC 6409, 8; RFC 5322, 3.6.3). Mail to other servers is refused.
 *
 * The sender that is checked is the one of the envelope, not From of the header: that is who answers for the message
 * and gets it back; From may name somebody else rightly (a secretary, a mailing list, mail passed on), and what people
 * use (Postfix's reject_sender_login_mismatch) looks at the envelope too. An address is the account's when mail to it
 * would reach this account and no other: its own addresses, with or without a detail, and aliases that lead to it
 * alone. Whoever writes as an alias of several would speak for the others. The null sender is everybody's: answers that
 * must not be answered have it (RFC 8098, 2.1).
 *
 * No I/O: bytes come in, replies go into an outq, and what is needed from the world is asked through a table of
 * functions. While the session waits for an answer it takes no input; pipelined commands stay where they are. */
#ifndef PROTO_SMTP_SESSION_H
#define PROTO_SMTP_SESSION_H

#include "proto/login.h"

#define SMTP_ACCOUNT_SIZE 16
/* Distinct accounts that one message may go to; more recipients get 452 4.5.3. */
#define SMTP_TARGETS_MAX  10000
/* The largest max_recipients of a configuration: each may be an account of its own. */
#define SMTP_RECIPIENTS_MAX SMTP_TARGETS_MAX
/* Replies of a session wait in an outq of this maximum (a pipelining client that reads none is closed before); for LMTP
 * see smtp_output_max. */
#define SMTP_OUTPUT_MAX   (1024 * 1024)

enum smtp_dialect { SMTP_DIALECT_SMTP, SMTP_DIALECT_LMTP };

/* What is the same for all sessions; borrowed, outlives them. */
struct smtp_config {
	struct str hostname;
	uint64_t max_message_size;
	uint32_t max_recipients;
	uint32_t max_refused_recipients;
	uint32_t max_transactions;     /* with a message */
	uint32_t max_bad_commands;
	uint32_t max_line;             /* bytes without CRLF */
	uint32_t max_received_headers;
	uint64_t command_timeout_ms, data_timeout_ms, handshake_timeout_ms;
	uint64_t message_timeout_ms; /* without a message, whatever else is said; not for LMTP and who has logged in */
	uint64_t *commands; /* counted here, by enum smtp_verb; NULL: nowhere */
	/* Submission: */
	uint32_t max_failures;     /* failed logins after which a session ends */
	uint64_t failure_delay_ms; /* before a failed login is answered */
};

/* Who is at the other end. The text is copied. */
struct smtp_client {
	enum smtp_dialect dialect;
	uint64_t session;   /* id in logs and trace headers */
	struct str address; /* "192.0.2.1", "2001:db8::1" or "unix"; at most 63 bytes */
	bool offer_tls;
	bool submission;    /* SMTP only */
	bool plain_allowed; /* submission: passwords may cross this connection without TLS */
	bool tls_first;     /* the handshake is under way already: nothing is said before smtp_session_tls_started */
};

#define SMTP_RESOLUTION_LIST(X)                                                                                        \
	X(SMTP_RESOLVED, 250, "2.1.5", "recipient ok")                                                                     \
	X(SMTP_NOT_LOCAL, 550, "5.7.1", "relaying denied")                                                                 \
	X(SMTP_NO_SUCH_USER, 550, "5.1.1", "no such user here")                                                            \
	X(SMTP_ALIAS_LOOP, 550, "5.4.6", "aliases of this address lead in circles")                                        \
	X(SMTP_RESOLVE_UNAVAILABLE, 451, "4.3.0", "addresses cannot be looked up now, try again later")

enum smtp_resolution {
#define SMTP_RESOLUTION_ENUM(name, code, enhanced, text) name,
	SMTP_RESOLUTION_LIST(SMTP_RESOLUTION_ENUM)
#undef SMTP_RESOLUTION_ENUM
};

#define SMTP_SENDER_LIST(X)                                                                                            \
	X(SMTP_SENDER_OWN, 250, "2.1.0", "sender ok")                                                                      \
	X(SMTP_SENDER_OTHER, 553, "5.7.1", "this is no address of yours: send as one that mail to you alone goes to")      \
	X(SMTP_SENDER_LOGGED_OUT, 421, "4.7.0", "this login has ended, closing")                                           \
	X(SMTP_SENDER_UNAVAILABLE, 451, "4.3.0", "addresses cannot be looked up now, try again later")

enum smtp_sender {
#define SMTP_SENDER_ENUM(name, code, enhanced, text) name,
	SMTP_SENDER_LIST(SMTP_SENDER_ENUM)
#undef SMTP_SENDER_ENUM
};

#define SMTP_RESULT_LIST(X)                                                                                            \
	X(SMTP_DELIVERED, 250, "2.0.0", "delivered")                                                                       \
	X(SMTP_NO_ACCOUNT, 550, "5.1.1", "no such user here")                                                              \
	X(SMTP_NO_SPACE, 452, "4.3.1", "no space for mail now, try again later")                                           \
	X(SMTP_OVER_QUOTA, 452, "4.2.2", "mailbox full, try again later")                                                  \
	X(SMTP_FULL, 552, "5.2.2", "mailbox full")                                                                         \
	X(SMTP_REFUSED, 554, "5.6.0", "message not acceptable")                                                            \
	X(SMTP_UNAVAILABLE, 451, "4.3.0", "not possible now, try again later")

enum smtp_result {
#define SMTP_RESULT_ENUM(name, code, enhanced, text) name,
	SMTP_RESULT_LIST(SMTP_RESULT_ENUM)
#undef SMTP_RESULT_ENUM
};

/* An account, which is opaque here, and what becomes of its copy of the message. */
struct smtp_target {
	unsigned char account[SMTP_ACCOUNT_SIZE];
	uint16_t shard;
	struct str address;      /* as it was asked, of the only one that did; empty: several did, or that was quoted or leads
	                          * to others too */
	enum smtp_result result; /* set by the world before smtp_session_delivered */
	bool settled;            /* for answered(): every recipient that led here is told 250 */
};

/* A message that is complete; its body is what body_add was given. Valid until answered() returned or the session is
 * freed. */
struct smtp_delivery {
	struct str sender; /* reverse-path as written, without <>; empty for the null path */
	struct str head;   /* trace header to stand before the body */
	struct smtp_target *targets;
	uint32_t n_targets; /* no account twice */
	uint32_t n_recipients;
};

/* What the session needs. `owner` is smtp_session_new's. Answers may come inside the call or later. */
struct smtp_world {
	/* Answer with smtp_session_resolved. `address` is unquoted and valid until then. */
	void (*resolve)(void *owner, struct str address);
	/* A body begins; the client announced `size` bytes (0: it did not). ERR_NO_SPACE: no room for it; other errors:
	 * not now. */
	int (*body_begin)(void *owner, uint64_t size);
	/* The next bytes of the body, unstuffed. Errors as above; after one, body_drop follows. */
	int (*body_add)(void *owner, struct str bytes);
	/* The body is not wanted any more. */
	void (*body_drop)(void *owner);
	/* Answer with smtp_session_delivered. The body is the world's to free. */
	void (*deliver)(void *owner, struct smtp_delivery *delivery);
	/* The answers are in the outq. As soon as they were written, the delivery keys of settled targets may be
	 * forgotten. */
	void (*answered)(void *owner, const struct smtp_delivery *delivery);
	/* The reply before the handshake is in the outq: send it, drop plaintext input, begin; then
	 * smtp_session_tls_started. */
	void (*start_tls)(void *owner);
	/* Is there a certificate still, where smtp_client had one? */
	bool (*has_certificate)(void *owner);
	/* The session is over: send what is in the outq and close. Called once; no input is taken any more. */
	void (*close)(void *owner);
	/* The rest is of submission, else never called, and may be NULL. Answer with smtp_session_authenticated. The slices
	 * are wiped when this returns. */
	void (*authenticate)(void *owner, struct str user, struct str password);
	/* May who is logged in send as this address (unquoted; empty: the null sender), and does the login still hold?
	 * Answer with smtp_session_sender_checked. */
	void (*check_sender)(void *owner, struct str address);
	/* Call smtp_session_timer once after so many milliseconds, not before this returns. */
	void (*start_timer)(void *owner, uint64_t milliseconds);
};

struct smtp_session;

/* The maximum that a session's outq must have: in LMTP the answers for all recipients of a message fit. */
size_t smtp_output_max(const struct smtp_config *config, enum smtp_dialect dialect);

/* Greets at once (RFC 5321, 3.1), or after the handshake (tls_first). `out` is borrowed and outlives the session; the
 * owner sends it after each call. */
struct smtp_session *smtp_session_new(const struct smtp_config *config, const struct smtp_client *client,
                                      const struct smtp_world *world, void *owner, struct outq *out)
	__attribute__((returns_nonnull));

/* Frees it in any state; what was asked of the world is the owner's to forget. Accepts NULL inside. */
void smtp_session_free(struct smtp_session **session);

/* Takes bytes from the front and tells how many: what it leaves is to be offered again with what follows, or after
 * one of the calls below. It leaves more than a line (max_line, in a SASL exchange SASL_LINE_MAX of proto/sasl.h, and 2
 * bytes) only while it waits. Passwords in them are overwritten: they must be writable. */
size_t smtp_session_input(struct smtp_session *session, struct str bytes);

/* The answer to resolve(): targets (account and shard set) only with SMTP_RESOLVED, and then at least one. */
void smtp_session_resolved(struct smtp_session *session, enum smtp_resolution resolution,
                           const struct smtp_target *targets, uint32_t n_targets);

/* The answer to deliver(): each target's result is set. */
void smtp_session_delivered(struct smtp_session *session);

/* The answers to authenticate() and check_sender(). */
void smtp_session_authenticated(struct smtp_session *session, enum login_verdict verdict);
void smtp_session_sender_checked(struct smtp_session *session, enum smtp_sender result);

/* The time of start_timer is over. */
void smtp_session_timer(struct smtp_session *session);

/* The handshake is done. */
void smtp_session_tls_started(struct smtp_session *session, struct str version, struct str cipher);

/* The client has said nothing for too long (421 4.4.2), or the server stops (421 4.3.2; a message that waits for its
 * delivery is answered first). */
void smtp_session_timed_out(struct smtp_session *session);
void smtp_session_stop(struct smtp_session *session);
/* The same for this one client; why: static, for its reply. */
void smtp_session_end(struct smtp_session *session, const char *why);

/* Milliseconds that the client has now for the rest of a command, or for the next bytes of a message; 0: the session waits
 * for the world, not for the client. They begin anew with each progress. */
uint64_t smtp_session_patience_ms(const struct smtp_session *session);
/* Grows with each line that has come whole, and with each piece of a message; RFC 5321, 4.5.3.2.5 and 4.5.3.2.7: the times
 * are for one command and for one block of data. */
uint64_t smtp_session_progress(const struct smtp_session *session);

/* What to say instead of a session when there are too many connections. */
void smtp_refuse_connection(struct str hostname, struct outq *out);

#endif
