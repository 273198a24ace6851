/* random.h: unpredictable bytes from the kernel. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills n bytes; ends the process if the kernel has none (it always has after boot). */
void random_bytes(void *p, size_t n);
uint64_t random_u64(void);

#endif
