/* Tests of the MAC: the published answers, and a key that is used again and again. */
#include "base/mac.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* RFC 4231, sections 4.3 and 4.7: a short key, and one longer than a block. */
static void known_answers(void **state)
{
	static const unsigned char jefe[MAC_SIZE] = "\x5b\xdc\xc1\x46\xbf\x60\x75\x4e\x6a\x04\x24\x26\x08\x95\x75\xc7"
												"\x5a\x00\x3f\x08\x9d\x27\x39\x83\x9d\xec\x58\xb9\x64\xec\x38\x43";
	static const unsigned char large[MAC_SIZE] = "\x60\xe4\x31\x59\x1e\xe0\xb6\x7f\x0d\x8a\x26\xaa\xcb\xf5\xb7\x7f"
												 "\x8e\x0b\xc6\x21\x37\x28\xc5\x14\x05\x46\x04\x0f\x0e\xe3\x7f\x54";
	char key[131];
	unsigned char out[MAC_SIZE];
	struct mac *mac = mac_new(STR("Jefe"));
	for (int i = 0; i < 3; i++) {
		mac_of(mac, STR("what do ya want for nothing?"), out);
		assert_memory_equal(out, jefe, MAC_SIZE);
		mac_of(mac, STR("something else"), out);
		assert_memory_not_equal(out, jefe, MAC_SIZE);
	}
	mac_free(&mac);
	assert_null(mac);
	mac_free(&mac);
	memset(key, 0xaa, sizeof key);
	mac = mac_new(str_of(key, sizeof key));
	mac_of(mac, STR("Test Using Larger Than Block-Size Key - Hash Key First"), out);
	assert_memory_equal(out, large, MAC_SIZE);
	mac_free(&mac);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(known_answers) };
	return cmocka_run_group_tests_name("mac", tests, NULL, NULL);
}
