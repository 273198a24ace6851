/* password.c: Argon2id by libargon2, one lane and no threads (the sandbox allows none). Keeps nothing; failure is a
 * value. */
#include "auth/password.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/random.h"

#include <argon2.h>

#define SALT_SIZE      16
#define HASH_SIZE      32
#define MEMORY_MIN_KB  8

int password_hash(struct str password, const struct password_cost *cost, char out[PASSWORD_ENCODED_MAX], size_t *n)
{
	if (password.n == 0 || password.n > PASSWORD_MAX || cost->memory_kb < MEMORY_MIN_KB ||
	    cost->memory_kb > PASSWORD_MEMORY_MAX_KB || cost->iterations == 0 ||
	    cost->iterations > PASSWORD_ITERATIONS_MAX)
		return ERR_LIMIT;
	unsigned char salt[SALT_SIZE];
	char encoded[PASSWORD_ENCODED_MAX];
	random_bytes(salt, sizeof salt);
	int result = argon2id_hash_encoded(cost->iterations, cost->memory_kb, 1, password.p, password.n, salt,
					   sizeof salt, HASH_SIZE, encoded, sizeof encoded);
	if (result != ARGON2_OK)
		return result == ARGON2_MEMORY_ALLOCATION_ERROR ? ERR_UNAVAILABLE : ERR_LIMIT;
	*n = strlen(encoded);
	memcpy(out, encoded, *n + 1);
	return 0;
}

/* One parameter, "m=19456", at most max. */
static bool parameter_fits(struct str text, char name, uint64_t max)
{
	uint64_t value;
	return text.n > 2 && text.p[0] == name && text.p[1] == '=' && str_to_u64(str_from(text, 2), max, &value) == 0;
}

/* libargon2 would try whatever memory the text asks for. */
static bool cost_is_bounded(struct str encoded)
{
	if (!str_starts(encoded, STR("$argon2id$v=19$")))
		return false;
	struct str rest = str_from(encoded, sizeof "$argon2id$v=19$" - 1);
	struct str parameters = str_cut(&rest, '$');
	return parameter_fits(str_cut(&parameters, ','), 'm', PASSWORD_MEMORY_MAX_KB) &&
	       parameter_fits(str_cut(&parameters, ','), 't', PASSWORD_ITERATIONS_MAX) &&
	       parameter_fits(str_cut(&parameters, ','), 'p', PASSWORD_PARALLELISM_MAX);
}

int password_verify(struct str password, struct str encoded)
{
	char text[PASSWORD_ENCODED_MAX + 1];
	if (encoded.n > PASSWORD_ENCODED_MAX || !cost_is_bounded(encoded))
		return ERR_CORRUPT;
	if (password.n > PASSWORD_MAX)
		return ERR_DENIED;
	memcpy(text, encoded.p, encoded.n);
	text[encoded.n] = '\0';
	switch (argon2id_verify(text, password.n ? password.p : "", password.n)) {
	case ARGON2_OK:
		return 0;
	case ARGON2_VERIFY_MISMATCH:
		return ERR_DENIED;
	case ARGON2_MEMORY_ALLOCATION_ERROR:
		return ERR_UNAVAILABLE;
	default:
		return ERR_CORRUPT;
	}
}

void password_generate(char out[PASSWORD_GENERATED_SIZE])
{
	/* 32 letters and digits, none of which looks like another */
	static const char LETTERS[] = "abcdefghijkmnpqrstuvwxyz23456789";
	unsigned char random[20];
	random_bytes(random, sizeof random);
	size_t at = 0;
	for (size_t i = 0; i < sizeof random; i++) {
		if (i > 0 && i % 4 == 0)
			out[at++] = '-';
		out[at++] = LETTERS[random[i] % 32];
	}
	mem_wipe(random, sizeof random);
	_Static_assert(sizeof LETTERS - 1 == 32, "one letter for each value of five bits");
	_Static_assert(20 + 4 == PASSWORD_GENERATED_SIZE, "five groups of four and four hyphens");
}
