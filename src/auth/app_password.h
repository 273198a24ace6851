/* app_password.h: app passwords: further passwords of an account, one for each program or device, made by the server,
 * limited to protocols, and removed without the others noticing. They stand in the directory (directory.h).
 *
 * A generated password has about 100 bits that nobody chose (auth/password.h): there is nothing to guess, so a slow hash
 * would protect nothing. What is stored is one HMAC-SHA-256 under the account's id, which is random: so a lookup is one
 * hash and one search of an index, costs the same whether there are such passwords or not, and needs no authwork. Only
 * generated passwords may become app passwords. */
#ifndef AUTH_APP_PASSWORD_H
#define AUTH_APP_PASSWORD_H

#include "auth/directory.h"
#include "auth/password.h"

#define APP_PASSWORD_NAME_MAX    64  /* bytes of UTF-8 */
#define APP_PASSWORDS_MAX        100 /* of an account */
#define APP_PASSWORD_USED_EVERY  3600 /* seconds: last_used is at most this much behind */

/* Bits of what it is good for: enum ticket_right has the same. */
#define APP_PASSWORD_IMAP 1u
#define APP_PASSWORD_POP3 2u
#define APP_PASSWORD_SMTP 4u
#define APP_PASSWORD_ALL  7u

struct app_password {
	uint64_t number;     /* random, never given twice; not 0 */
	struct str name;
	uint32_t protocols;
	int64_t created;
	int64_t last_used;   /* seconds since 1970, within APP_PASSWORD_USED_EVERY; 0: never */
};

/* password: as password_generate makes them. ERR_EXISTS: the account has one of that name; ERR_LIMIT: it has
 * APP_PASSWORDS_MAX; ERR_SYNTAX: no name (empty, too long, control characters, a space at
 * an end, not UTF-8). */
int app_password_add(struct directory *directory, const struct directory_account *account, struct str name,
		     uint32_t protocols, struct str password, uint64_t *number) MUST_CHECK;
/* It is void at once; its settings of POP3 go with it, and its shard gets the order to forget what it has hidden.
 * *number: which it was. ERR_NOT_FOUND. */
int app_password_remove(struct directory *directory, const struct directory_account *account, struct str name,
			uint64_t *number) MUST_CHECK;

/* Those of an account in order of their names. The slices live during the call, which must not call the directory. A
 * result other than 0 ends the list and is returned. */
typedef int app_password_fn(void *owner, const struct app_password *password);
int app_password_list(struct directory *directory, const struct account_id *account, app_password_fn *fn,
		      void *owner) MUST_CHECK;
/* The number of the one with this name. ERR_NOT_FOUND. */
int app_password_find(struct directory *directory, const struct account_id *account, struct str name,
		      uint64_t *number) MUST_CHECK;

/* Is this one of the account's app passwords, good for this protocol (one bit)? ERR_NOT_FOUND: no. *last_used as
 * above. */
int app_password_check(struct directory *directory, const struct account_id *account, struct str password,
		       uint32_t protocol, uint64_t *number, int64_t *last_used) MUST_CHECK;

/* Whether it is still there: 0 or ERR_NOT_FOUND. */
int app_password_exists(struct directory *directory, const struct account_id *account, uint64_t number) MUST_CHECK;

/* They were used, at this time. One transaction. */
int app_passwords_used(struct directory *directory, const uint64_t *numbers, uint32_t n, int64_t time) MUST_CHECK;

#endif
