/* smtp_trace.h: the trace header that final delivery puts on top of a message (RFC 5321, 4.4; RFC 3848). */
#ifndef SYNTAX_SMTP_TRACE_H
#define SYNTAX_SMTP_TRACE_H

#include "base/buf.h"

/* More than any trace header takes. */
#define SMTP_TRACE_MAX 4096

struct smtp_trace {
	struct str sender;    /* smtp_path.written; empty for the null path */
	struct str helo;      /* as the client gave it; what has no place in a header becomes '?' */
	struct str peer;      /* client's address "192.0.2.1" or "2001:db8::1"; other text ("unix") is left out */
	struct str host;      /* our name */
	struct str protocol;  /* "ESMTPS" and so on */
	struct str tls_version, tls_cipher; /* empty when plain */
	uint64_t session;     /* with the number of the transaction it makes the id */
	uint32_t transaction;
	struct str recipient; /* smtp_path.written of the only recipient; empty when there are several */
	int64_t seconds;      /* since 1970: when the message came */
};

/* Return-Path and Received, each with its CRLF, appended. */
void smtp_trace_print(const struct smtp_trace *trace, struct buf *out);

#endif
