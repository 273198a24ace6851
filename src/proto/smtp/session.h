/* session.h: the engine of one SMTP or LMTP session, as the receiver (RFC 5321; 2033 LMTP; 1870, 2034, 2920, 3207,
 * 6152). LMTP is a dialect of the same session: LHLO instead of EHLO, and one answer for each recipient after the
 * data. So it has no folder of its own.
 *
 * No I/O: bytes come in, replies go into an outq, and what is needed from the world is asked through a table of
 * functions. While the session waits for an answer it takes no input; pipelined commands stay where they are. */
#ifndef PROTO_SMTP_SESSION_H
#define PROTO_SMTP_SESSION_H

#include "base/outq.h"

#define SMTP_ACCOUNT_SIZE 16
/* Distinct accounts that one message may go to; more recipients get 452 4.5.3. */
#define SMTP_TARGETS_MAX  10000
/* Replies of a session wait in an outq of this maximum (a pipelining client that reads none is closed before). */
#define SMTP_OUTPUT_MAX   (1024 * 1024)

enum smtp_dialect { SMTP_DIALECT_SMTP, SMTP_DIALECT_LMTP };

/* What is the same for all sessions; borrowed, outlives them. */
struct smtp_config {
	struct str hostname;
	uint64_t max_message_size;
	uint32_t max_recipients;
	uint32_t max_refused_recipients;
	uint32_t max_transactions;
	uint32_t max_bad_commands;
	uint32_t max_line;             /* bytes without CRLF */
	uint32_t max_received_headers;
	struct str recipient_delimiter; /* of user+detail: one byte, or empty */
	uint64_t command_timeout_ms, data_timeout_ms, handshake_timeout_ms;
};

/* Who is at the other end. The text is copied. */
struct smtp_client {
	enum smtp_dialect dialect;
	uint64_t session;   /* id in logs and trace headers */
	struct str address; /* "192.0.2.1", "2001:db8::1" or "unix"; at most 63 bytes */
	bool offer_tls;
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
	struct str detail;       /* of the first recipient that led here */
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
	/* The session is over: send what is in the outq and close. Called once; no input is taken any more. */
	void (*close)(void *owner);
};

struct smtp_session;

/* Greets at once (RFC 5321, 3.1). `out` is borrowed and outlives the session; the owner sends it after each call. */
struct smtp_session *smtp_session_new(const struct smtp_config *config, const struct smtp_client *client,
                                      const struct smtp_world *world, void *owner, struct outq *out)
	__attribute__((returns_nonnull));

/* Frees it in any state; what was asked of the world is the owner's to forget. Accepts NULL inside. */
void smtp_session_free(struct smtp_session **session);

/* Takes bytes from the front and tells how many: what it leaves is to be offered again with what follows, or after
 * one of the calls below. It leaves more than max_line + 2 bytes only while it waits. */
size_t smtp_session_input(struct smtp_session *session, struct str bytes);

/* The answer to resolve(): targets (account and shard set) only with SMTP_RESOLVED, and then at least one. */
void smtp_session_resolved(struct smtp_session *session, enum smtp_resolution resolution,
                           const struct smtp_target *targets, uint32_t n_targets);

/* The answer to deliver(): each target's result is set. */
void smtp_session_delivered(struct smtp_session *session);

/* The handshake is done. */
void smtp_session_tls_started(struct smtp_session *session, struct str version, struct str cipher);

/* The client has said nothing for too long (421 4.4.2), or the server stops (421 4.3.2; a message that waits for its
 * delivery is answered first). */
void smtp_session_timed_out(struct smtp_session *session);
void smtp_session_stop(struct smtp_session *session);

/* Milliseconds that the client has now for its next bytes; 0: the session waits for the world, not for the client. */
uint64_t smtp_session_patience_ms(const struct smtp_session *session);

/* What to say instead of a session when there are too many connections. */
void smtp_refuse_connection(struct str hostname, struct outq *out);

#endif
