/* ctl_private.h: what the files of the command line share. One struct ctl a run of the program.
 *
 *     main.c        arguments → struct ctl, which command       commands.c   one function a command
 *     request.c     through the control socket, or offline      offline.c    on the directory itself
 *     prompt.c      passwords and yes-or-no from people         table.c      answers for people
 *     help.c        all help texts                         shard_commands.c  undelete and store: the server must run */
#ifndef PROC_CTL_PRIVATE_H
#define PROC_CTL_PRIVATE_H

#include "auth/password.h"
#include "base/arena.h"
#include "base/buf.h"
#include "conf/conf.h"
#include "ipc/control.h"
#include "syntax/json.h"

#define CTL_ARGUMENTS_MAX CONTROL_ARGUMENTS_MAX
#define CTL_IDS_MAX       (CONTROL_ARGUMENTS_MAX - 3)
#define CTL_REPLY_MAX     (256 * 1024 * 1024) /* all pages of a list together */

/* Documented in mansio(1). */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3,
	EXIT_EXISTS = 4,
	EXIT_UNAVAILABLE = 5,
	EXIT_CONFIG = 6,
};

struct ctl {
	const char *config_file;
	bool config_given;   /* by -c or the environment: it must be there */
	bool json, yes, generate_password, help;
	struct str mailbox, since; /* of undelete; empty: not given */
	uint32_t n_ids;
	struct str ids[CTL_IDS_MAX];
	struct str password_file; /* "-": standard input; empty: ask */
	uint32_t n_arguments;
	struct str arguments[CTL_ARGUMENTS_MAX];
	struct conf conf;
	struct ctl_offline *offline; /* offline.c */
	struct buf conf_text;
	char password[PASSWORD_MAX];
	size_t password_n;
};

struct ctl_command {
	const char *group, *verb;   /* "account", "add"; verb NULL: the group is the command */
	enum control_command control;
	uint32_t min_arguments, max_arguments;
	int (*run)(struct ctl *ctl, const struct ctl_command *command);
	const char *help;
};

/* --- commands.c --- */
extern const struct ctl_command CTL_COMMANDS[];
extern const size_t CTL_N_COMMANDS;

/* --- shard_commands.c --- */
int ctl_run_undelete_list(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_undelete_restore(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_store_check(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_store_compact(struct ctl *ctl, const struct ctl_command *command);

/* --- help.c --- */
extern const char CTL_HELP[], CTL_HELP_ACCOUNT[], CTL_HELP_DOMAIN[], CTL_HELP_ALIAS[];
extern const char CTL_HELP_ACCOUNT_ADD[], CTL_HELP_ACCOUNT_LIST[], CTL_HELP_ACCOUNT_SHOW[], CTL_HELP_ACCOUNT_PASSWORD[],
	CTL_HELP_ACCOUNT_REMOVE[], CTL_HELP_DOMAIN_ADD[], CTL_HELP_DOMAIN_LIST[], CTL_HELP_DOMAIN_REMOVE[],
	CTL_HELP_ALIAS_ADD[], CTL_HELP_ALIAS_LIST[], CTL_HELP_ALIAS_REMOVE[], CTL_HELP_STATUS[];
extern const char CTL_HELP_UNDELETE[], CTL_HELP_UNDELETE_LIST[], CTL_HELP_UNDELETE_RESTORE[], CTL_HELP_STORE[],
	CTL_HELP_STORE_CHECK[], CTL_HELP_STORE_COMPACT[];

/* --- request.c --- */
struct ctl_reply {
	int result; /* 0 or negative enum err */
	struct buf message, json;
};
void ctl_reply_init(struct ctl_reply *reply);
void ctl_reply_free(struct ctl_reply *reply);
void ctl_reply_fail(struct ctl_reply *reply, int result, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* One request, by the server or offline; whatever happens is in the reply. */
void ctl_request(struct ctl *ctl, enum control_command command, const struct str *arguments, uint32_t n,
		 struct ctl_reply *reply);
/* Through the control socket only: ERR_NOT_FOUND when nobody listens there (and the reply is untouched). */
int ctl_request_online(struct ctl *ctl, const struct control_request *request, struct ctl_reply *reply) MUST_CHECK;

/* --- offline.c: takes the store's lock, and keeps it until it is closed --- */
void ctl_request_offline(struct ctl *ctl, const struct control_request *request, struct ctl_reply *reply);
void ctl_offline_close(struct ctl *ctl);

/* --- prompt.c: 0 or ERR_*, with a sentence for people in *problem --- */
/* From --password-file, --generate-password, or asked for twice; into ctl->password. */
int ctl_read_password(struct ctl *ctl, const char **problem) MUST_CHECK;
/* Asks on the terminal. ERR_DENIED: no; ERR_UNAVAILABLE: there is no terminal. */
int ctl_confirm(const char *question, const char *wanted) MUST_CHECK;

/* --- table.c --- */
void ctl_print_account(const struct json_value *account);
void ctl_print_accounts(const struct json_value *list);
void ctl_print_domains(const struct json_value *list);
void ctl_print_aliases(const struct json_value *list);
void ctl_print_status(const struct json_value *status);
void ctl_print_expunged(const struct json_value *list);
void ctl_print_checked(const struct json_value *checked); /* what store check found */
void ctl_print_space(const struct json_value *shards); /* what store compact says */
/* "3.4 MB" */
void ctl_print_bytes(uint64_t bytes, char *out, size_t size);
/* "12 messages, 3.4 MB"; out: room for 64. */
void ctl_print_size(uint64_t messages, uint64_t bytes, char out[64]);

/* --- main.c --- */
/* Says what went wrong, as JSON on stdout or a line on stderr, and gives the exit code. code: "not_found". */
int ctl_fail(const struct ctl *ctl, int exit_code, const char *code, struct str message);
int ctl_fail_reply(const struct ctl *ctl, const struct ctl_reply *reply);

#endif
