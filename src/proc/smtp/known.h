/* known.h: where addresses lead, as auth has said: most mail comes for addresses that had some a moment ago, and each
 * question to auth is two messages and two wake-ups. Holds until auth says that the directory has changed. */
#ifndef PROC_SMTP_KNOWN_H
#define PROC_SMTP_KNOWN_H

#include "base/str.h"
#include "ipc/smtp_auth.h"

#define KNOWN_ADDRESSES 4096 /* at most; RESOLVE_ADDRESS_MAX bytes each and 48 */

struct known_addresses;

struct known_addresses *known_addresses_new(void) __attribute__((returns_nonnull));
void known_addresses_free(struct known_addresses **known); /* accepts NULL inside */

/* Addresses are what they were asked as, byte for byte. One that is remembered may push out another; one of more than
 * RESOLVE_ADDRESS_MAX bytes is not remembered. */
void known_addresses_add(struct known_addresses *known, struct str address, const struct resolve_target *target);
bool known_addresses_find(const struct known_addresses *known, struct str address, struct resolve_target *out);
void known_addresses_forget(struct known_addresses *known); /* all */

#endif
