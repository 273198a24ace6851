/* pop3_settings.h: what is said of POP3 (base/pop3_policy.h) for a domain, an account, an app password; for the server
 * the configuration says it. Each thing by itself comes from the nearest place that says anything of it. */
#ifndef AUTH_POP3_SETTINGS_H
#define AUTH_POP3_SETTINGS_H

#include "auth/directory.h"
#include "base/pop3_policy.h"

/* From far to near. */
enum pop3_level { POP3_SERVER, POP3_DOMAIN, POP3_ACCOUNT, POP3_APP_PASSWORD, POP3_LEVEL_COUNT };

#define POP3_UNSET (-1)

/* What one place says. */
struct pop3_choice {
	int mode;         /* enum pop3_mode; this and the next three: or POP3_UNSET */
	int days;         /* 1 to POP3_DAYS_MAX */
	int trash, seen;  /* 0 or 1 */
	size_t mailbox_n; /* 0: unset */
	char mailbox[POP3_MAILBOX_MAX];
};

struct pop3_choices {
	struct pop3_choice at[POP3_LEVEL_COUNT];
};

/* Nothing is said anywhere. */
void pop3_choices_clear(struct pop3_choices *choices);
/* UTF-8 without control characters, 1 to POP3_MAILBOX_MAX bytes; INBOX in capitals, also before a '/'. ERR_SYNTAX. */
int pop3_choice_set_mailbox(struct pop3_choice *choice, struct str name) MUST_CHECK;

/* What holds, and where each of it comes from: mode, days, trash, seen, mailbox. The server's level must say all.
 * policy->mailbox points into `choices`. */
enum { POP3_FROM_MODE, POP3_FROM_DAYS, POP3_FROM_TRASH, POP3_FROM_SEEN, POP3_FROM_MAILBOX, POP3_FROM_COUNT };
void pop3_choices_resolve(const struct pop3_choices *choices, struct pop3_policy *policy,
			  enum pop3_level from[POP3_FROM_COUNT]);

/* Whose. */
struct pop3_place {
	enum pop3_level level;            /* DOMAIN, ACCOUNT, APP_PASSWORD */
	struct str domain;                /* folded */
	const struct account_id *account; /* NULL: DOMAIN */
	uint64_t app_password;            /* 0: none */
};

/* All levels up to the place's; the server's is left as it is. */
int pop3_settings_read(struct directory *directory, const struct pop3_place *place, struct pop3_choices *out) MUST_CHECK;
/* In place of what the place has said; durable when it returns. All unset: it says nothing any more. */
int pop3_settings_write(struct directory *directory, const struct pop3_place *place,
			const struct pop3_choice *choice) MUST_CHECK;

/* For EXPIRE before login (RFC 2449, 6.7: the smallest value that could be any user's). differs: somebody's may be
 * another than the server's own. */
struct pop3_expire {
	uint32_t days; /* POP3_EXPIRE_NEVER: never */
	bool differs;
};
int pop3_settings_expire(struct directory *directory, enum pop3_mode mode, uint16_t days,
			 struct pop3_expire *out) MUST_CHECK;

#endif
