/* connection.h: one client of the smtp role, for connection.c and the files that do a part of its work. */
#ifndef PROC_SMTP_CONNECTION_H
#define PROC_SMTP_CONNECTION_H

#include "loop/stream.h"
#include "loop/timeout.h"
#include "proc/smtp/delivery.h"
#include "proc/smtp/login.h"

struct connection {
	struct connection *next, **at; /* the role's list */
	struct smtp_role *role;
	enum service service;
	struct peer_address peer;
	uint64_t id;
	struct stream *stream;
	struct smtp_session *session;
	struct loop_timeout patience; /* with the client */
	uint64_t patience_ms;
	uint64_t progress; /* of the session, when that began anew */
	uint64_t accepted_ms;
	struct body *body;
	uint64_t resolve_call; /* 0: none; else what is asked, the session's: */
	struct str resolving;
	struct login login;
	struct delivery *delivery;
	struct smtp_delivery *message; /* of the delivery; the session's */
	uint32_t looked_at;            /* of its targets: whether their accounts are gone */
	struct unended *unended; /* answers on their way to the client */
	size_t n_unended;
	bool doubtful;              /* it has ended its side while one was */
	struct loop_timer *receipt; /* the stream is over, and it is to be seen whether they arrived; or NULL */
	uint64_t receipt_wait_ms, receipt_until_ms;
	bool closing;
};

/* After a call into the engine that ended its waiting: does what follows, and what it left of the input is offered
 * again. */
void connection_go_on(struct connection *connection);

#endif
