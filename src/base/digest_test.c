/* digest_test.c: known digests (FIPS 180-4, the examples of NIST), in pieces and one after the other. */
#include "base/digest.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_digest(struct digest *digest, struct str message, size_t piece, const char *wanted)
{
	unsigned char out[DIGEST_SIZE];
	struct buf text = BUF_INIT(2 * DIGEST_SIZE);
	digest_begin(digest);
	for (size_t at = 0; at < message.n; at += piece)
		digest_add(digest, str_first(str_from(message, at), piece));
	digest_end(digest, out);
	buf_add_hex(&text, str_of((const char *)out, sizeof out));
	assert_true(str_eq(buf_str(&text), str_from_c(wanted)));
	buf_free(&text);
}

static void known_digests(void **state)
{
	static const char ABC[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	static const char EMPTY[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	struct digest *digest = digest_new();
	assert_digest(digest, STR("abc"), 3, ABC);
	assert_digest(digest, STR(""), 1, EMPTY);
	assert_digest(digest, STR("abc"), 1, ABC);
	digest_begin(digest);
	digest_add(digest, STR("of a message that has no end"));
	assert_digest(digest, STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), 7,
	              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	digest_free(&digest);
	digest_free(&digest);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(known_digests) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
