/* pop3_policy.h: what becomes of messages that a POP3 client retrieves and deletes. Auth decides it for each login
 * (auth/pop3_settings.h), the ticket carries it (ipc/ticket.h), the session does it (proto/pop3/session.h). */
#ifndef BASE_POP3_POLICY_H
#define BASE_POP3_POLICY_H

#include "base/str.h"

/* name, word in settings and on the command line */
#define POP3_MODE_LIST(X)                                                                                              \
	X(POP3_MODE_CLIENT, "client") /* DELE deletes */                                                                   \
	X(POP3_MODE_DELETE, "delete") /* so does RETR */                                                                   \
	X(POP3_MODE_KEEP, "keep")     /* DELE hides a message from this login, and nothing else */                         \
	X(POP3_MODE_DAYS, "days")     /* the same; what was retrieved or hidden is deleted by the server, `days` later */

enum pop3_mode {
#define POP3_MODE_ENUM(name, word) name,
	POP3_MODE_LIST(POP3_MODE_ENUM)
#undef POP3_MODE_ENUM
	POP3_MODE_COUNT
};

#define POP3_DAYS_MAX    3650
#define POP3_MAILBOX_MAX 255 /* bytes of the name of a mailbox that POP3 shows */

#define POP3_UIDL_MAX    70  /* bytes of a unique id (RFC 1939, 7) */

#define POP3_EXPIRE_NEVER UINT32_MAX

struct pop3_policy {
	enum pop3_mode mode;
	uint16_t days;      /* 1 to POP3_DAYS_MAX */
	bool trash;         /* what is deleted goes to the mailbox \Trash; else it is gone, within the undelete window */
	bool seen;          /* what was retrieved gets \Seen */
	struct str mailbox; /* that is shown: UTF-8, as the store has it */
	uint64_t login;     /* whose hidden messages: 0, the password of the account; else the number of an app password */
};

/* As an account has it of which nothing was said. */
#define POP3_POLICY_DEFAULT                                                                                            \
	((struct pop3_policy){ .mode = POP3_MODE_CLIENT, .days = 30, .mailbox = STR("INBOX") })

/* EXPIRE (RFC 2449, 6.7): how many days a message stays at least, whatever is done to it but DELE; 0: RETR deletes. */
static inline uint32_t pop3_policy_expire(enum pop3_mode mode, uint16_t days)
{
	switch (mode) {
	case POP3_MODE_DELETE:
		return 0;
	case POP3_MODE_DAYS:
		return days;
	case POP3_MODE_CLIENT:
	case POP3_MODE_KEEP:
	case POP3_MODE_COUNT:
		break;
	}
	return POP3_EXPIRE_NEVER;
}

#endif
