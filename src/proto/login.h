/* login.h: what the engines before login (proto/imap/login.h, proto/pop3/login.h) have in common: what they are told,
 * what they ask of their owner, and their states; verdicts and bounds are those of submission too (proto/smtp). They
 * run in a process that holds no mail: a right password ends in a hand-over to the account's shard, which answers the
 * command.
 *
 * Engines do no I/O. One engine serves one connection; it is freed by its owner, never from within a function of the
 * world. */
#ifndef PROTO_LOGIN_H
#define PROTO_LOGIN_H

#include "base/outq.h"
#include "syntax/sasl_plain.h"

/* Bytes; longer names and passwords are denied without asking anybody. One bound, whatever command brings them. */
#define LOGIN_ENGINE_USER_MAX     SASL_PLAIN_USER_MAX
#define LOGIN_ENGINE_PASSWORD_MAX SASL_PLAIN_PASSWORD_MAX

/* Lives as long as the engines that use it. */
struct login_settings {
	size_t max_line;           /* bytes of a command, and of its literals together, and of a SASL response */
	uint32_t max_bad_commands; /* this many bad commands close the connection */
	uint32_t max_failures;     /* this many failed logins, whatever they failed from */
	uint64_t failure_delay_ms; /* before one is answered */
	/* POP3 only: */
	bool pop3_utf8;               /* the command UTF8 is there */
	uint32_t pop3_expire_days;    /* for CAPA, POP3_EXPIRE_NEVER: never (base/pop3_policy.h); */
	bool pop3_expire_differs;     /* and whether some account's is another */
	uint64_t pop3_login_delay_ms; /* between two logins of an account, for CAPA; whoever authenticates enforces it */
	uint64_t *imap_commands;      /* commands are counted here, by enum imap_command_kind; NULL: nowhere */
	uint64_t *pop3_commands;      /* the same by enum pop3_verb */
};

struct login_facts {
	uint64_t session;   /* for the log, and the same in the shard */
	bool tls;           /* the connection is encrypted already */
	bool can_start_tls; /* there is a certificate at the beginning: offer STARTTLS (STLS) while it is not */
	bool plain_allowed; /* passwords may cross this connection without TLS */
};

/* All but OK are failed logins: answered after a delay, and counted, but for TOO_SOON, whose password was right.
 * Otherwise who is put off could ask again as fast as he can write. */
enum login_verdict {
	LOGIN_VERDICT_OK,
	LOGIN_VERDICT_DENIED,
	LOGIN_VERDICT_UNAVAILABLE,
	LOGIN_VERDICT_TOO_SOON, /* right, but the last login was less than pop3_login_delay_ms ago */
};

struct login_world {
	/* Where replies go; the same queue each time. */
	struct outq *(*output)(void *owner);
	/* The queue holds OK for STARTTLS: when it is written, do the handshake, then call the engine's tls_started. Every
	 * byte read in plain text before it is thrown away (RFC 3501, 6.2.1; RFC 2595, 4). */
	void (*start_tls)(void *owner);
	/* Is there a certificate still, where login_facts had one? */
	bool (*has_certificate)(void *owner);
	/* Ask who this is; the engine's answer function brings the verdict, later. The slices are wiped when this
	 * returns. */
	void (*authenticate)(void *owner, struct str user, struct str password);
	/* Call the engine's timer once after this many milliseconds. */
	void (*start_timer)(void *owner, uint64_t milliseconds);
	/* Logged in: give the connection to the shard, which answers `tag` (POP3: what it is to know,
	 * POP3_HANDED_UTF8 of pop3/capability.h or nothing). Unread are the bytes that the engine's input did not take. */
	void (*hand_over)(void *owner, struct str tag);
	/* The queue ends with the last reply: close when it is written. */
	void (*close)(void *owner);
};

/* --- for the engines --- */

/*             greeting
 *                │             STARTTLS                 the handshake is done
 *             COMMAND ───────────────────▶ TLS ───────────────────────────▶ COMMAND
 *              │  ▲ │ AUTHENTICATE without initial response
 *              │  │ └──────────▶ RESPONSE ──┐ the client's line
 *              │  └─────────────────────────┤ (cancelled, malformed)
 *     password │                            │
 *              └────────▶ ASKING ◀──────────┘
 *                          │  │ any other verdict               the timer
 *                 verdict: │  └───────────────▶ DELAYED ───────────────────▶ COMMAND
 *                 OK       ▼
 *                        HANDED_OVER                    any ──▶ CLOSED (good-bye, limits, the owner's bye)
 */
enum login_state {
	LOGIN_COMMAND,
	LOGIN_RESPONSE,
	LOGIN_ASKING,
	LOGIN_DELAYED,
	LOGIN_TLS,
	LOGIN_HANDED_OVER,
	LOGIN_CLOSED,
};

/* Logs the change under the session's id and aborts when the diagram does not have it. */
void login_enter_state(enum login_state *state, enum login_state to, uint64_t session);

/* False when name or password can belong to nobody: deny without asking. */
bool login_is_possible(struct str user, struct str password);

static inline bool login_may_send_password(const struct login_facts *facts)
{
	return facts->tls || facts->plain_allowed;
}

static inline bool login_may_start_tls(const struct login_facts *facts)
{
	return !facts->tls && facts->can_start_tls;
}

#endif
