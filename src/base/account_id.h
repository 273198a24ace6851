/* account_id.h: the immutable random name of an account; addresses point to it, and a removed account's id never
 * returns. */
#ifndef BASE_ACCOUNT_ID_H
#define BASE_ACCOUNT_ID_H

#include "base/wire.h"

#define ACCOUNT_ID_SIZE 16
struct account_id {
	unsigned char bytes[ACCOUNT_ID_SIZE];
};

#endif
