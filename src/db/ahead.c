/* ahead.c: see ahead.h. */
#include "db/ahead.h"

const char ahead_zeros[AHEAD_ROOM];
