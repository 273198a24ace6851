/* smtp_trace.c: prints Return-Path and Received. Pure; failures are the buffer's own. */
#include "syntax/smtp_trace.h"

#include "syntax/date.h"

#define HELO_PRINTED_MAX 255

/* Can stand in a domain or an address literal; all else could open a comment or end the clause. */
static char harmless(char c)
{
	bool ok = ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("-._:[]", c));
	return ok ? c : '?';
}

/* Extended-Domain: what the client calls itself, then, as TCP-info, where it really came from. */
static void print_from(const struct smtp_trace *trace, struct buf *out)
{
	struct str helo = str_first(trace->helo, HELO_PRINTED_MAX);
	buf_add(out, STR("Received: from "));
	for (size_t i = 0; i < helo.n; i++)
		buf_add_byte(out, harmless(helo.p[i]));
	if (str_find_byte(trace->peer, ':') >= 0)
		buf_addf(out, " ([IPv6:%.*s])", STR_ARG(trace->peer));
	else if (trace->peer.n > 0 && ascii_is_digit(trace->peer.p[0]))
		buf_addf(out, " ([%.*s])", STR_ARG(trace->peer));
}

void smtp_trace_print(const struct smtp_trace *trace, struct buf *out)
{
	buf_addf(out, "Return-Path: <%.*s>\r\n", STR_ARG(trace->sender));
	print_from(trace, out);
	buf_addf(out, "\r\n\tby %.*s with %.*s", STR_ARG(trace->host), STR_ARG(trace->protocol));
	if (trace->tls_version.n > 0)
		buf_addf(out, " (%.*s %.*s)", STR_ARG(trace->tls_version), STR_ARG(trace->tls_cipher));
	buf_addf(out, "\r\n\tid %016llx-%u", (unsigned long long)trace->session, trace->transaction);
	if (trace->recipient.n > 0)
		buf_addf(out, "\r\n\tfor <%.*s>", STR_ARG(trace->recipient));
	buf_add(out, STR(";\r\n\t"));
	date_print((struct date){ trace->seconds, 0 }, out);
	buf_add(out, STR("\r\n"));
}
