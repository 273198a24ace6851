/* internal.h: the inside of a session, for the files of this folder only. */
#ifndef PROTO_SMTP_INTERNAL_H
#define PROTO_SMTP_INTERNAL_H

#include "base/arena.h"
#include "proto/sasl.h"
#include "proto/smtp/session.h"
#include "syntax/smtp.h"
#include "syntax/smtp_data.h"
#include "syntax/smtp_trace.h"
#include "syntax/submission_header.h"

#define SMTP_HELO_MAX    255
#define SMTP_ADDRESS_MAX 63
#define SMTP_TLS_MAX     63
/* Memory for the texts of one transaction: so much, and so much for each of max_recipients; beyond it 452 4.5.3. */
#define SMTP_TRANSACTION_ARENA   (32 * 1024)
#define SMTP_ARENA_PER_RECIPIENT 256
/* Bytes of LMTP's answer for one recipient, without the address. */
#define SMTP_ANSWER_MAX          128
/* Pairs of recipient and target in one transaction. */
#define SMTP_LINKS_MAX   (2 * SMTP_TARGETS_MAX)

#define SMTP_STATE_LIST(X)                                                                                             \
	X(SMTP_START, "start")                                                                                             \
	X(SMTP_READY, "ready")                                                                                             \
	X(SMTP_TRANSACTION, "transaction")                                                                                 \
	X(SMTP_RESOLVING, "resolving")                                                                                     \
	X(SMTP_RECEIVING, "receiving")                                                                                     \
	X(SMTP_DELIVERING, "delivering")                                                                                   \
	X(SMTP_HANDSHAKE, "handshake")                                                                                     \
	X(SMTP_RESPONSE, "response")                                                                                       \
	X(SMTP_ASKING, "asking")                                                                                           \
	X(SMTP_DELAYED, "delayed")                                                                                         \
	X(SMTP_CLOSED, "closed")

enum smtp_state {
#define SMTP_STATE_ENUM(name, text) name,
	SMTP_STATE_LIST(SMTP_STATE_ENUM)
#undef SMTP_STATE_ENUM
};

/* An accepted RCPT. Its targets are named by links[first_link] to links[first_link + n_links - 1]. */
struct smtp_recipient {
	struct str written;
	uint32_t first_link, n_links;
};

/* From MAIL to the answer after DATA. */
struct smtp_transaction {
	struct arena arena;
	struct str sender;    /* as written */
	uint64_t announced;   /* SIZE=, or 0 */
	bool utf8;            /* SMTPUTF8 */
	bool begun;           /* its first byte has come, */
	bool headless;        /* and is a blank: no header can begin so */
	bool checking_sender; /* in RESOLVING: the question is about the sender */
	struct smtp_recipient *recipients;
	struct smtp_target *targets;
	uint32_t *links; /* indexes into targets */
	uint32_t n_recipients, size_recipients;
	uint32_t n_targets, size_targets;
	uint32_t n_links, size_links;
	uint32_t n_refused;
	struct smtp_data data;
	struct submission_header header; /* submission */
	const struct smtp_complaint *refusal; /* why the body is thrown away; NULL while all is well */
	struct buf head;
	struct smtp_delivery delivery;
	uint64_t delivering_since_ms;
};

struct smtp_session {
	const struct smtp_config *config;
	const struct smtp_world *world;
	void *owner;
	struct outq *out;
	enum smtp_dialect dialect;
	enum smtp_state state;
	uint64_t id;
	char address[SMTP_ADDRESS_MAX + 1], helo[SMTP_HELO_MAX + 1];
	char tls_version[SMTP_TLS_MAX + 1], tls_cipher[SMTP_TLS_MAX + 1];
	bool offer_tls, tls;
	bool submission, plain_allowed;
	bool greeted;
	bool authenticated;
	enum login_verdict verdict; /* SMTP_DELAYED: what the answer will be */
	struct sasl sasl; /* from AUTH to the question, or to its failure */
	uint32_t failures;
	bool extended;   /* greeted with EHLO or LHLO */
	bool discarding; /* the line that is coming was refused: skip to its CRLF */
	const char *farewell; /* when stopping is for a reason of its own */
	bool stopping;
	uint32_t bad_commands, refused_recipients;
	uint32_t messages;   /* that were begun */
	uint64_t idle_since; /* milliseconds: when the last one ended, or the session began */
	uint64_t progress;
	struct arena command_arena;
	struct smtp_command command; /* in work; slices point into command_arena or the input of this call */
	struct smtp_transaction transaction;
};

/* session.c */
void smtp_enter_state(struct smtp_session *session, enum smtp_state state);
void smtp_reply(struct smtp_session *session, unsigned code, const char *enhanced, const char *text);
void smtp_reply_complaint(struct smtp_session *session, struct smtp_complaint complaint);
/* A bad command: replies, and closes when there were too many. */
void smtp_complain(struct smtp_session *session, unsigned code, const char *enhanced, const char *text);
void smtp_close(struct smtp_session *session);
/* Submission: a password may be sent. */
static inline bool smtp_may_log_in(const struct smtp_session *session)
{
	return session->submission && (session->tls || session->plain_allowed);
}

/* auth.c */
void smtp_command_auth(struct smtp_session *session);
/* In RESPONSE: a line, without its CRLF. */
void smtp_take_response(struct smtp_session *session, struct str line);

/* commands.c: runs session->command. */
void smtp_run_command(struct smtp_session *session);

/* envelope.c */
void smtp_transaction_reset(struct smtp_session *session);
void smtp_command_mail(struct smtp_session *session);
void smtp_command_rcpt(struct smtp_session *session);

/* message.c */
void smtp_command_data(struct smtp_session *session);
/* Takes the message's bytes from the front of *in. */
void smtp_receive(struct smtp_session *session, struct str *in);

#endif
