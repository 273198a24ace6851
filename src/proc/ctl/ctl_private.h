/* ctl_private.h: what the files of the command line share. One struct ctl a run of the program.
 *
 *     main.c        arguments → struct ctl, which command       commands.c   one function a command
 *     request.c     through the control socket, or offline      offline.c    on the directory itself
 *     prompt.c      passwords and yes-or-no from people         table.c      answers for people
 *     help.c        all help texts                         shard_commands.c  undelete and store: the server must run
 *     options.c     which options there are, and were given
 *     config.c      config check and show                  move.c  account move
 *     operation.c   reload, metrics, log level                  who.c   who is connected, kick
 *     moment.c      dates and times as options
 *     parcel.c      parcels between us and shards                       export.h, import.h   mail to files and from them */
#ifndef PROC_CTL_PRIVATE_H
#define PROC_CTL_PRIVATE_H

#include "auth/password.h"
#include "base/arena.h"
#include "base/buf.h"
#include "conf/conf.h"
#include "ipc/control.h"
#include "syntax/json.h"

#define CTL_ARGUMENTS_MAX CONTROL_ARGUMENTS_MAX
#define CTL_OPTIONS_MAX   64
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

/* "--mailbox", and its value; a flag's is NULL. */
struct ctl_option {
	struct str name, value;
};

struct ctl {
	const char *config_file;
	bool config_given;   /* by -c or the environment: it must be there */
	bool json, help, version;
	uint32_t n_options;
	struct ctl_option options[CTL_OPTIONS_MAX]; /* as they were given, but for those that go with every command */
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
	const char *options; /* names of its own, with a space between them: "--mailbox --since"; NULL: none */
	bool any_configuration; /* runs before the configuration is read */
	bool only_socket;       /* speaks with the server alone: runs although other settings are wrong */
};

struct ctl_group {
	const char *name, *help;
};

/* --- commands.c --- */
extern const struct ctl_command CTL_COMMANDS[];
extern const size_t CTL_N_COMMANDS;
extern const struct ctl_group CTL_GROUPS[];
extern const size_t CTL_N_GROUPS;

/* --- options.c --- */
/* Takes the option at argv[*at], moving over its value. EXIT_DONE, or the exit code of what was said. */
int ctl_read_option(struct ctl *ctl, int argc, char **argv, int *at);
/* EXIT_DONE when each option that was given goes with the command. */
int ctl_check_options(struct ctl *ctl, const struct ctl_command *command);
/* The value of an option, the last one given; p is NULL when it was not. */
struct str ctl_option(const struct ctl *ctl, const char *name);
bool ctl_flag(const struct ctl *ctl, const char *name);
/* How often it was given; the first `max` of its values, in order. */
uint32_t ctl_options(const struct ctl *ctl, const char *name, struct str *values, uint32_t max);

/* --- shard_commands.c --- */
int ctl_run_undelete_list(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_undelete_restore(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_store_check(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_store_compact(struct ctl *ctl, const struct ctl_command *command);

/* --- account_list.c --- */
/* `account add` of each line of that file ("-": standard input). */
int ctl_add_accounts(struct ctl *ctl, struct str file);

/* --- operation.c --- */
int ctl_run_reload(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_metrics(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_log_level(struct ctl *ctl, const struct ctl_command *command);
/* --- who.c --- */
int ctl_run_who(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_kick(struct ctl *ctl, const struct ctl_command *command);
/* --- help_operation.c --- */
extern const char CTL_HELP_RELOAD[], CTL_HELP_METRICS[], CTL_HELP_LOG[], CTL_HELP_LOG_LEVEL[], CTL_HELP_WHO[], CTL_HELP_KICK[];

/* --- moment.c --- */
/* "2026-01-31", "2026-01-31T12:00" or "2026-01-31 12:00:30", in UTC ("-" for ":" as in names of backups), to seconds since
 * 1970. ERR_SYNTAX: not of that form; ERR_OVERFLOW: the calendar or the clock has no such day or time. */
int ctl_read_moment(struct str text, int64_t *seconds) MUST_CHECK;

/* --- move.c --- */
int ctl_run_account_move(struct ctl *ctl, const struct ctl_command *command);

/* --- quota.c --- */
int ctl_run_account_quota(struct ctl *ctl, const struct ctl_command *command);

/* --- pop3.c; help_pop3.c --- */
int ctl_run_app_password(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_pop3(struct ctl *ctl, const struct ctl_command *command);
extern const char CTL_HELP_APP_PASSWORD[], CTL_HELP_ACCOUNT_POP3[], CTL_HELP_DOMAIN_POP3[];

/* --- export.c, import.c --- */
int ctl_run_export(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_import(struct ctl *ctl, const struct ctl_command *command);

/* --- backup.c, restore_command.c; help_backup.c --- */
int ctl_run_backup(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_backup_list(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_backup_verify(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_restore(struct ctl *ctl, const struct ctl_command *command);
extern const char CTL_HELP_BACKUP[], CTL_HELP_BACKUP_LIST[], CTL_HELP_BACKUP_VERIFY[], CTL_HELP_RESTORE[];

/* --- config.c --- */
int ctl_run_config_check(struct ctl *ctl, const struct ctl_command *command);
int ctl_run_config_show(struct ctl *ctl, const struct ctl_command *command);

/* --- help.c --- */
extern const char CTL_HELP[], CTL_HELP_ACCOUNT[], CTL_HELP_DOMAIN[], CTL_HELP_ALIAS[];
extern const char CTL_HELP_ACCOUNT_ADD[], CTL_HELP_ACCOUNT_LIST[], CTL_HELP_ACCOUNT_SHOW[], CTL_HELP_ACCOUNT_PASSWORD[],
	CTL_HELP_ACCOUNT_MOVE[], CTL_HELP_ACCOUNT_QUOTA[], CTL_HELP_ACCOUNT_REMOVE[],
	CTL_HELP_DOMAIN_ADD[], CTL_HELP_DOMAIN_LIST[], CTL_HELP_DOMAIN_REMOVE[],
	CTL_HELP_ALIAS_ADD[], CTL_HELP_ALIAS_LIST[], CTL_HELP_ALIAS_REMOVE[], CTL_HELP_STATUS[];
extern const char CTL_HELP_UNDELETE[], CTL_HELP_UNDELETE_LIST[], CTL_HELP_UNDELETE_RESTORE[], CTL_HELP_STORE[],
	CTL_HELP_STORE_CHECK[], CTL_HELP_STORE_COMPACT[], CTL_HELP_STORE_SALVAGE[];
extern const char CTL_HELP_EXPORT[], CTL_HELP_IMPORT[];
extern const char CTL_HELP_CONFIG[], CTL_HELP_CONFIG_CHECK[], CTL_HELP_CONFIG_SHOW[];

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
/* The same with a descriptor beside it (control_takes_descriptor), which stays the caller's. */
int ctl_request_with(struct ctl *ctl, const struct control_request *request, int descriptor,
                     struct ctl_reply *reply) MUST_CHECK;
/* The same for commands that need the server: whatever goes wrong is said. EXIT_DONE and the answer as a tree in the
 * arena, or the exit code. */
int ctl_ask(struct ctl *ctl, enum control_command command, const struct str *arguments, uint32_t n,
            struct ctl_reply *reply, struct arena *arena, struct json_value **out);
/* The same of one process: when that alone does not answer, nothing is said, *silent is set, and EXIT_UNAVAILABLE given. */
int ctl_ask_process(struct ctl *ctl, enum control_command command, const struct str *arguments, uint32_t n,
                    struct ctl_reply *reply, struct arena *arena, struct json_value **out, bool *silent);

/* --- offline.c: takes the store's lock, and keeps it until it is closed --- */
void ctl_request_offline(struct ctl *ctl, const struct control_request *request, struct ctl_reply *reply);
void ctl_offline_close(struct ctl *ctl);
/* Root becomes the user and group that the folder belongs to, for good; others stay who they are. ERR_NOT_FOUND,
 * ERR_DENIED. */
int ctl_become_owner(const char *folder) MUST_CHECK;

/* --- damage.c --- */
/* Gives each object of the array, as store check found them, the address of its account. EXIT_DONE, or the exit code of
 * what was said. */
int ctl_name_damage(struct ctl *ctl, struct buf *damage);

/* --- check_index.c --- */
/* Checks the indexes of all shards and the directory, on snapshots: appends what is wrong to the array `damage`, which is
 * open, unless a shard has told the same already; *damaged and *notes grow. What keeps it from checking (no space for a
 * snapshot, say) is no damage: not_checked, which is empty, says it. */
void ctl_check_indexes(struct ctl *ctl, struct buf *damage, uint64_t *damaged, uint64_t *notes,
                       struct buf *not_checked);

/* --- salvage.c --- */
int ctl_run_store_salvage(struct ctl *ctl, const struct ctl_command *command);

/* --- prompt.c: 0 or ERR_*, with a sentence for people in *problem --- */
/* From --password-file, --generate-password, or asked for twice; into ctl->password. */
int ctl_read_password(struct ctl *ctl, struct buf *problem) MUST_CHECK;
/* Asks on the terminal. ERR_DENIED: no; ERR_UNAVAILABLE: there is no terminal. */
int ctl_confirm(const char *question, const char *wanted) MUST_CHECK;

/* --- status.c --- */
void ctl_print_status(const struct json_value *status);
/* "shard.0", of one of status's processes. */
void ctl_name_process(const struct json_value *process, char out[64]);

/* --- table.c --- */
void ctl_print_account(const struct json_value *account);
void ctl_print_pop3_said(const struct json_value *said); /* "mode keep, days 14" (pop3.c) */
void ctl_print_accounts(const struct json_value *list);
void ctl_print_domains(const struct json_value *list);
void ctl_print_aliases(const struct json_value *list);
void ctl_print_expunged(const struct json_value *list);
void ctl_print_checked(const struct json_value *checked); /* what store check found */
void ctl_print_space(const struct json_value *shards); /* what store compact says */
/* "2026-01-31 12:00 UTC" */
void ctl_print_time(uint64_t seconds, char *out, size_t size);
/* Text that others wrote: what would steer the terminal is shown as "?". */
void ctl_print_text(struct str s);
void ctl_print_text_to(FILE *to, struct str s);
/* The same, padded with spaces to so many columns. */
void ctl_print_padded(struct str s, size_t width);
/* The columns of the widest of a member's texts, at least so many. */
size_t ctl_widest(const struct json_value *list, const char *key, size_t at_least);
/* "3d 4h", "12m 5s" */
void ctl_print_duration(uint64_t seconds, char *out, size_t size);
/* "3.4 MB" */
void ctl_print_bytes(uint64_t bytes, char *out, size_t size);
/* "12 messages, 3.4 MB"; out: room for 64. */
void ctl_print_size(uint64_t messages, uint64_t bytes, char out[64]);

/* --- main.c --- */
/* The whole file; false when it cannot be read, or is too long for the buffer. `name` is followed by a NUL. */
bool ctl_read_file(const char *name, struct buf *out);
/* Its text into ctl->conf_text; EXIT_DONE, or the exit code of what was said. */
int ctl_read_configuration(struct ctl *ctl);
/* Says what went wrong, as JSON on stdout or a line on stderr, and gives the exit code. code: "not_found". */
int ctl_fail(const struct ctl *ctl, int exit_code, const char *code, struct str message);
int ctl_fail_reply(const struct ctl *ctl, const struct ctl_reply *reply);
int ctl_exit_code(int err);
/* The same for a wrong command line; `format` has one %.*s, for `what`. */
int ctl_usage(const struct ctl *ctl, const char *format, struct str what);

#endif
