/* account_id.h: the immutable random name of an account; addresses point to it, and a removed account's id never
 * returns. */
#ifndef BASE_ACCOUNT_ID_H
#define BASE_ACCOUNT_ID_H

#include "base/wire.h"

#define ACCOUNT_ID_SIZE 16
struct account_id {
	unsigned char bytes[ACCOUNT_ID_SIZE];
};

#define ACCOUNT_ID_TEXT_SIZE (2 * ACCOUNT_ID_SIZE + 1)

/* In hexadecimal, with a NUL. */
static inline void account_id_print(const struct account_id *id, char out[ACCOUNT_ID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < ACCOUNT_ID_SIZE; i++) {
		out[2 * i] = digits[id->bytes[i] >> 4];
		out[2 * i + 1] = digits[id->bytes[i] & 15];
	}
	out[2 * ACCOUNT_ID_SIZE] = '\0';
}

#endif
