/* mac.h: HMAC-SHA-256 (RFC 2104) under a key that is prepared once: a login needs three, and preparing costs five times
 * as much as using. */
#ifndef BASE_MAC_H
#define BASE_MAC_H

#include "base/str.h"

#define MAC_SIZE 32

struct mac;

struct mac *mac_new(struct str key) __attribute__((returns_nonnull));
void mac_free(struct mac **mac);

/* Ends the process when memory is short. */
void mac_of(struct mac *mac, struct str bytes, unsigned char out[MAC_SIZE]);

#endif
