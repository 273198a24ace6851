/* Trace headers are those of RFC 5321, and nothing that a client said can break them. */
#include "syntax/smtp_trace.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void prints(const struct smtp_trace *trace, struct str expected)
{
	struct buf out = BUF_INIT(SMTP_TRACE_MAX);
	smtp_trace_print(trace, &out);
	assert_int_equal(buf_error(&out), 0);
	if (!str_eq(buf_str(&out), expected))
		fail_msg("printed: %.*s", STR_ARG(buf_str(&out)));
	buf_free(&out);
}

static void one_recipient_over_tls(void **state)
{
	prints(&(struct smtp_trace){ .sender = STR("a@b.example"), .helo = STR("client.example"), .peer = STR("192.0.2.1"),
	                             .host = STR("mail.example"), .protocol = STR("ESMTPS"), .tls_version = STR("TLSv1.3"),
	                             .tls_cipher = STR("TLS_AES_256_GCM_SHA384"), .session = 0x9f3a, .transaction = 2,
	                             .recipient = STR("joe@example.test"), .seconds = 0 },
	       STR("Return-Path: <a@b.example>\r\n"
	           "Received: from client.example ([192.0.2.1])\r\n"
	           "\tby mail.example with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
	           "\tid 0000000000009f3a-2\r\n"
	           "\tfor <joe@example.test>;\r\n"
	           "\tThu, 1 Jan 1970 00:00:00 +0000\r\n"));
}

static void what_has_no_place_in_a_header_is_replaced(void **state)
{
	prints(&(struct smtp_trace){ .helo = STR("a (b)\\;\x01\xc3<>"), .peer = STR("2001:db8::1"), .host = STR("h"),
	                             .protocol = STR("LMTP"), .seconds = 86399 },
	       STR("Return-Path: <>\r\n"
	           "Received: from a??b?????\?\? ([IPv6:2001:db8::1])\r\n"
	           "\tby h with LMTP\r\n"
	           "\tid 0000000000000000-0;\r\n"
	           "\tThu, 1 Jan 1970 23:59:59 +0000\r\n"));
}

static void a_unix_socket_has_no_address(void **state)
{
	prints(&(struct smtp_trace){ .helo = STR("x"), .peer = STR("unix"), .host = STR("h"), .protocol = STR("LMTP") },
	       STR("Return-Path: <>\r\n"
	           "Received: from x\r\n"
	           "\tby h with LMTP\r\n"
	           "\tid 0000000000000000-0;\r\n"
	           "\tThu, 1 Jan 1970 00:00:00 +0000\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_recipient_over_tls),
		cmocka_unit_test(what_has_no_place_in_a_header_is_replaced),
		cmocka_unit_test(a_unix_socket_has_no_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
