/* control.h: carries out the commands of the command line on a directory: the same code in the running server (role
 * auth) and in `mansio` itself while the server is down.
 *
 * Arguments by command ("…" any number):
 *     account add        address, password (here: its encoded hash)     → object of the account
 *     account list       domain (empty: all), after (address or empty)  → array, one page; an empty one ends the list
 *     account show       address                                        → object with aliases, messages, bytes
 *     account password   address, password (here: its encoded hash)     → object
 *     account move       address, shard (begins), or address             → object: shard, done, messages, bytes, total_bytes
 *     account remove     address                                        → object
 *     account quota      address, messages, bytes (each a number,       → object with limits, messages, bytes
 *                        "default", "none" or "keep")
 *     account app-password add     address, name, protocols ("imap pop3 smtp"), password → object
 *     account app-password list    address                               → array
 *     account app-password remove  address, name                         → object
 *     account pop3       address, app password's name or "", mode, days, deleted, seen, mailbox (each "" to leave it,
 *                        "inherit", or a value)                          → object: what holds, and where it comes from
 *     domain pop3        domain, "", the same                            → object
 *     domain add|remove  domain                                         → object
 *     domain list        after (domain or empty)                        → array, one page
 *     alias add|remove   address, target…  (remove without: all)        → object
 *     alias list         domain (empty: all), after (address or empty)  → array, one page
 *     undelete …         address, …                                     → encoded control_place: the shard does the rest
 * */
#ifndef PROC_AUTH_CONTROL_H
#define PROC_AUTH_CONTROL_H

#include "auth/directory.h"
#include "auth/pop3_settings.h"
#include "base/buf.h"
#include "conf/conf.h"
#include "ipc/control.h"

#define CONTROL_MESSAGE_MAX 4096
#define CONTROL_JSON_MAX    (960 * 1024) /* below IPC_BODY_MAX */

/* What a shard says of an account; unknown while the server is down or the shard away. */
struct control_usage {
	bool known;
	uint64_t messages, bytes;
	uint64_t limit_messages, limit_bytes; /* that hold; 0: none */
};

struct control_answer {
	int result;         /* 0 or negative enum err */
	struct buf message; /* for people: what was wrong and what to do */
	struct buf json;
	bool has_account;   /* account add, remove and quota: it is this one, and its shard may have an order */
	struct directory_account account;
};

void control_answer_init(struct control_answer *answer);
void control_answer_free(struct control_answer *answer);
/* Another error in its place. */
void control_answer_fail(struct control_answer *answer, int result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Not CONTROL_STATUS, which the supervisor answers: ERR_UNSUPPORTED. `answer` is initialised and empty. */
void control_execute(struct directory *directory, const struct conf *conf, const struct control_request *request,
		     const struct control_usage *usage, struct control_answer *answer);

/* The right number of arguments? Else the answer is an error. */
bool control_check_arguments(const struct control_request *request, struct control_answer *answer);

/* The JSON of account add and remove, printed anew when the shard has answered: `done` says that it has carried it
 * out. */
void control_print_added(struct control_answer *answer, bool done);
void control_print_removed(struct control_answer *answer, bool done, const struct control_usage *usage);
/* And that of account quota, when the shard has said what there is. */
void control_print_quota(struct control_answer *answer, const struct control_usage *usage);

/* What the configuration says of POP3. */
void control_pop3_defaults(const struct conf *conf, struct pop3_choice *out);

/* --- between control.c and control_pop3.c, moves.c --- */

/* An error that is the same wherever it happens. `what` is the address or domain that was given. */
void control_fail_commonly(struct control_answer *answer, int err, struct str what);
/* Where it is an alias, that is said. */
void control_fail_no_account(struct directory *directory, struct control_answer *answer, struct str address);
/* The account, or the answer that says why there is none. */
bool control_find_account(struct directory *directory, struct str address, struct directory_account *out,
			  struct control_answer *answer);
void control_app_password_add(struct directory *directory, const struct control_request *request,
			      const struct control_usage *usage, struct control_answer *answer);
void control_app_password_list(struct directory *directory, const struct control_request *request,
			       const struct control_usage *usage, struct control_answer *answer);
void control_app_password_remove(struct directory *directory, const struct control_request *request,
				 const struct control_usage *usage, struct control_answer *answer);
/* What an account says itself of POP3, and which of its app passwords do: two members of an object. */
int control_print_pop3(struct directory *directory, const struct directory_account *account, struct buf *out) MUST_CHECK;
void control_pop3(struct directory *directory, const struct conf *conf, const struct control_request *request,
		  struct control_answer *answer);

#endif
