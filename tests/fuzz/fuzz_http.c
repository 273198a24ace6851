/* fuzz_http.c: what anybody on this machine may send to the page of metrics. What is taken is printed and read again. */
#include "base/buf.h"
#include "syntax/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request request, again;
	struct str bytes = str_of((const char *)data, size);
	int err = http_parse_request(bytes, &request);
	check(err != ERR_INCOMPLETE || size < HTTP_HEAD_MAX);
	if (err != 0)
		return 0;
	struct buf text = BUF_INIT(2 * HTTP_HEAD_MAX);
	buf_addf(&text, "%.*s %.*s HTTP/1.1\r\nHost:\r\n\r\n", STR_ARG(request.method), STR_ARG(request.target));
	check(http_parse_request(buf_str(&text), &again) == 0);
	check(str_eq(again.method, request.method) && str_eq(again.target, request.target));
	buf_free(&text);
	return 0;
}
