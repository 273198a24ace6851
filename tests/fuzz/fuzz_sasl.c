/* fuzz_sasl.c: any lines as the responses of a SASL exchange. The first byte chooses the mechanism, and whether
 * responses come as they are or in base64. Holds: an exchange ends within as many responses as its mechanism has; what
 * is asked for is a name and a password within their bounds, in UTF-8 and without NUL. */
#include "proto/sasl.h"

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check(struct str text, size_t max)
{
	require(text.n > 0 && text.n <= max && str_is_utf8(text) && str_find_byte(text, '\0') < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sasl sasl = { 0 };
	if (size == 0)
		return 0;
	struct str rest = str_of((const char *)data + 1, size - 1), user, password;
	unsigned responses = 0;
	enum sasl_step step = SASL_CHALLENGE;
	require(sasl_begin(&sasl, data[0] & 1 ? STR("LOGIN") : STR("PLAIN")));
	while (step == SASL_CHALLENGE && rest.p) {
		struct str line = str_cut(&rest, '\n');
		require(++responses <= (data[0] & 1 ? 2U : 1U));
		step = data[0] & 2 ? sasl_take(&sasl, line, &user, &password) : sasl_take_base64(&sasl, line, &user, &password);
	}
	if (step == SASL_ASK) {
		check(user, SASL_PLAIN_USER_MAX);
		check(password, SASL_PLAIN_PASSWORD_MAX);
	}
	sasl_end(&sasl);
	return 0;
}
