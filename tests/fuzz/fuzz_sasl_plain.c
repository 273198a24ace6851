/* SASL PLAIN: what was read, printed and read again is the same. */
#include "syntax/sasl_plain.h"

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sasl_plain plain, again;
	if (sasl_plain_parse(str_of((const char *)data, size), &plain) < 0)
		return 0;
	struct buf out = BUF_INIT(SASL_PLAIN_MAX);
	sasl_plain_print(&plain, &out);
	if (buf_error(&out) || sasl_plain_parse(buf_str(&out), &again) < 0 || !str_eq(plain.user, again.user) ||
	    !str_eq(plain.password, again.password))
		abort();
	buf_free(&out);
	return 0;
}
