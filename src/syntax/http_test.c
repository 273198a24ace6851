/* http_test.c: requests that scrapers, browsers and strangers send. */
#include "syntax/http.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_request(const char *text, const char *method, const char *target)
{
	struct http_request request;
	assert_int_equal(http_parse_request(str_from_c(text), &request), 0);
	assert_true(str_eq(request.method, str_from_c(method)));
	assert_true(str_eq(request.target, str_from_c(target)));
}

static void assert_refused(const char *text, int err)
{
	struct http_request request = { .method = STR("untouched") };
	assert_int_equal(http_parse_request(str_from_c(text), &request), err);
	assert_true(str_eq(request.method, STR("untouched")));
}

static void requests_are_read(void **state)
{
	assert_request("GET /metrics HTTP/1.1\r\nHost: localhost:9090\r\nUser-Agent: Prometheus/2.42.0\r\n\r\n", "GET", "/metrics");
	assert_request("GET / HTTP/1.0\r\n\r\n", "GET", "/");
	assert_request("HEAD /metrics?a=b&c HTTP/1.1\r\nHost:\r\n\r\nrest", "HEAD", "/metrics");
	assert_request("GET http://127.0.0.1:9090/metrics?x HTTP/1.1\r\nX:\ty\r\nhost: a\r\n\r\n", "GET", "/metrics");
	assert_request("GET HTTP://host HTTP/1.0\r\n\r\n", "GET", "/");
}

static void what_is_not_whole_waits(void **state)
{
	assert_refused("", ERR_INCOMPLETE);
	assert_refused("GET /metrics HTTP/1.1\r\nHost: x\r\n", ERR_INCOMPLETE);
	assert_refused("GET /metrics HTTP/1.1\r\n\r", ERR_INCOMPLETE);
}

static void what_is_malformed_is_refused(void **state)
{
	assert_refused("GET  /metrics HTTP/1.0\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET metrics HTTP/1.0\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET * HTTP/1.0\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /metrics\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /met\x01rics HTTP/1.0\r\n\r\n", ERR_SYNTAX);
	assert_refused("G(T /metrics HTTP/1.0\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /metrics HTTP/1.1 \r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /metrics HTTP/11\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /metrics HTTP/1.0\r\nno field\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /metrics HTTP/1.0\r\nA : b\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /metrics HTTP/1.0\r\nA: b\r\n c\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /metrics HTTP/1.0\r\nA: \x7f\r\n\r\n", ERR_SYNTAX);
	assert_refused("\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /metrics HTTP/1.1\r\nX-Host: a\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /metrics HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", ERR_SYNTAX);
	assert_refused("GET /metrics HTTP/2.0\r\n\r\n", ERR_UNSUPPORTED);
}

static void a_head_has_a_maximum(void **state)
{
	static char text[HTTP_HEAD_MAX + 100];
	struct http_request request;
	int n = snprintf(text, sizeof text, "GET /metrics HTTP/1.0\r\nX: ");
	memset(text + n, 'y', sizeof text - (size_t)n);
	assert_int_equal(http_parse_request(str_of(text, HTTP_HEAD_MAX - 1), &request), ERR_INCOMPLETE);
	assert_int_equal(http_parse_request(str_of(text, HTTP_HEAD_MAX), &request), ERR_LIMIT);
	memcpy(text + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(http_parse_request(str_of(text, HTTP_HEAD_MAX), &request), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_read),
		cmocka_unit_test(what_is_not_whole_waits),
		cmocka_unit_test(what_is_malformed_is_refused),
		cmocka_unit_test(a_head_has_a_maximum),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
