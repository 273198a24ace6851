/* capability.h: what the server says it can do, before and after login (RFC 3501, 7.2.1). Only what is whole stands
 * here.
 *
 * RFC 7888 LITERAL+, 4959 SASL-IR, 2971 ID, 5161 ENABLE, 2177 IDLE, 2342 NAMESPACE, 4315 UIDPLUS, 3691 UNSELECT, 6851
 * MOVE, 3348 CHILDREN, 5258 LIST-EXTENDED, 5819 LIST-STATUS, 6154 SPECIAL-USE and CREATE-SPECIAL-USE, 8438
 * STATUS=SIZE, 3502 MULTIAPPEND, 9208 QUOTA for storage and messages (limits are set by the command line: no QUOTASET). */
#ifndef PROTO_IMAP_CAPABILITY_H
#define PROTO_IMAP_CAPABILITY_H

#include "base/str.h"

#define IMAP_CAPABILITIES_BEFORE_LOGIN "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE"
#define IMAP_CAPABILITIES                                                                                              \
	"IMAP4rev1 LITERAL+ ID ENABLE IDLE NAMESPACE UIDPLUS UNSELECT MOVE CHILDREN LIST-EXTENDED LIST-STATUS SPECIAL-USE" \
	" CREATE-SPECIAL-USE STATUS=SIZE QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE MULTIAPPEND"

/* The answer to ID (RFC 2971, 3.2): a name and nothing that helps an attacker. */
#define IMAP_ID_ANSWER "* ID (\"name\" \"Mansio\")\r\n"

#endif
