/* commands.c: one function a command: asks people what is missing, sends the request, prints the answer. The result
 * is the exit code. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"

#define TREE_MAX ((size_t)1024 * 1024 * 1024) /* a list as a tree in memory */

/* The reply's JSON as a tree; NULL when it is none (a server of another version). */
static const struct json_value *parse(const struct ctl_reply *reply, struct arena *arena)
{
	struct json_value *value;
	return json_parse(buf_str(&reply->json), arena, &value) == 0 ? value : NULL;
}

static void print_json(struct str json)
{
	fwrite(json.p, 1, json.n, stdout);
	putchar('\n');
}

static int fail_parse(const struct ctl *ctl)
{
	return ctl_fail(ctl, EXIT_FAILED, "corrupt", STR("the server's answer cannot be read; is it of another version?"));
}

/* --- lists, page by page --- */

/* Adds a page's items to the array in `all`; *last: the name to go on after. False: not an array. */
static bool add_page(struct str page, struct buf *all, struct buf *last, bool *is_empty)
{
	struct arena arena = ARENA_INIT(64 * 1024 * 1024);
	struct json_value *array;
	bool good = json_parse(page, &arena, &array) == 0 && array->kind == JSON_ARRAY;
	*is_empty = !good || !array->first;
	for (const struct json_value *item = good ? array->first : NULL; item; item = item->next) {
		const struct json_value *name = json_member(item, "address");
		json_print(item, all);
		if (!item->next) {
			buf_clear(last);
			buf_add(last, json_string(name ? name : json_member(item, "domain")));
		}
	}
	arena_free(&arena);
	return good && !buf_error(all);
}

/* All pages in reply->json as one array. */
static void request_list(struct ctl *ctl, enum control_command command, struct ctl_reply *reply)
{
	struct str domain = ctl->n_arguments ? ctl->arguments[0] : STR("");
	struct buf all = BUF_INIT(CTL_REPLY_MAX), last = BUF_INIT(CONTROL_ARGUMENT_MAX);
	bool is_empty = false;
	json_begin_array(&all);
	while (!is_empty) {
		struct str with_domain[] = { domain, buf_str(&last) }, without[] = { buf_str(&last) };
		bool is_domains = command == CONTROL_DOMAIN_LIST;
		ctl_request(ctl, command, is_domains ? without : with_domain, is_domains ? 1 : 2, reply);
		if (reply->result)
			break;
		if (!add_page(buf_str(&reply->json), &all, &last, &is_empty)) {
			ctl_reply_fail(reply, ERR_CORRUPT, "the server's answer cannot be read, or is too long");
			break;
		}
	}
	json_end_array(&all);
	buf_free(&last);
	if (reply->result) {
		buf_free(&all);
		return;
	}
	buf_free(&reply->json);
	reply->json = all;
}

static int run_list(struct ctl *ctl, const struct ctl_command *command)
{
	struct ctl_reply reply;
	struct arena arena = ARENA_INIT(TREE_MAX);
	const struct json_value *list = NULL;
	ctl_reply_init(&reply);
	request_list(ctl, command->control, &reply);
	int result = EXIT_DONE;
	if (reply.result)
		result = ctl_fail_reply(ctl, &reply);
	else if (ctl->json)
		print_json(buf_str(&reply.json));
	else if (!(list = parse(&reply, &arena)))
		result = fail_parse(ctl);
	else if (command->control == CONTROL_ACCOUNT_LIST)
		ctl_print_accounts(list);
	else if (command->control == CONTROL_DOMAIN_LIST)
		ctl_print_domains(list);
	else
		ctl_print_aliases(list);
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

/* --- changes that only say that they were done --- */

static void print_targets_removed(const struct ctl *ctl)
{
	printf("alias %.*s: no longer leads to ", STR_ARG(ctl->arguments[0]));
	for (uint32_t i = 1; i < ctl->n_arguments; i++)
		printf("%s%.*s", i > 1 ? ", " : "", STR_ARG(ctl->arguments[i]));
	putchar('\n');
}

static int run_change(struct ctl *ctl, const struct ctl_command *command)
{
	struct ctl_reply reply;
	ctl_reply_init(&reply);
	ctl_request(ctl, command->control, ctl->arguments, ctl->n_arguments, &reply);
	int result = EXIT_DONE;
	if (reply.result)
		result = ctl_fail_reply(ctl, &reply);
	else if (ctl->json)
		print_json(buf_str(&reply.json));
	else if (command->control == CONTROL_ALIAS_REMOVE && ctl->n_arguments > 1)
		print_targets_removed(ctl);
	else
		printf("%s %.*s: %s\n", command->group, STR_ARG(ctl->arguments[0]),
		       str_eq(str_from_c(command->verb), STR("remove")) ? "removed" : "added");
	ctl_reply_free(&reply);
	return result;
}

/* --- accounts --- */

/* The object of the answer, with the password that was generated: it is said here and nowhere else. */
static void print_with_password(const struct ctl *ctl, struct str object)
{
	struct buf out = BUF_INIT(1024 * 1024);
	buf_add(&out, str_first(object, object.n ? object.n - 1 : 0)); /* its "}" comes later */
	if (ctl_flag(ctl, "--generate-password"))
		json_field_string(&out, "password", str_of(ctl->password, ctl->password_n));
	json_end_object(&out);
	print_json(buf_str(&out));
	mem_wipe(out.p, out.n);
	buf_free(&out);
}

static int print_added(struct ctl *ctl, const struct ctl_reply *reply)
{
	struct arena arena = ARENA_INIT(1024 * 1024);
	const struct json_value *account = parse(reply, &arena);
	struct str password = str_of(ctl->password, ctl->password_n);
	if (!account) {
		arena_free(&arena);
		return fail_parse(ctl);
	}
	if (ctl->json) {
		print_with_password(ctl, buf_str(&reply->json));
	} else {
		printf("account %.*s: added\n", STR_ARG(json_string(json_member(account, "address"))));
		if (ctl_flag(ctl, "--generate-password"))
			printf("password: %.*s\n", STR_ARG(password));
		if (!json_is_true(json_member(account, "made")))
			puts("It can be used once its shard has made it, which is done as soon as that runs and has space.");
	}
	arena_free(&arena);
	return EXIT_DONE;
}

static int read_password(struct ctl *ctl)
{
	struct buf problem = BUF_INIT(CONTROL_ARGUMENT_MAX);
	int result = ctl_read_password(ctl, &problem) < 0 ? ctl_fail(ctl, EXIT_USAGE, "usage", buf_str(&problem)) : EXIT_DONE;
	buf_free(&problem);
	return result;
}

static int run_account_add(struct ctl *ctl, const struct ctl_command *command)
{
	struct str list = ctl_option(ctl, "--from");
	if (list.n > 0 && ctl->n_arguments == 0 && ctl->n_options == 1)
		return ctl_add_accounts(ctl, list);
	if (list.n > 0)
		return ctl_usage(ctl, "with --from, addresses and passwords come from %.*s alone", list);
	if (ctl->n_arguments == 0)
		return ctl_usage(ctl, "an argument is missing%.*s (add --help to see what is needed)", STR(""));
	int result = read_password(ctl);
	if (result != EXIT_DONE)
		return result;
	struct str arguments[] = { ctl->arguments[0], str_of(ctl->password, ctl->password_n) };
	struct ctl_reply reply;
	ctl_reply_init(&reply);
	ctl_request(ctl, command->control, arguments, 2, &reply);
	result = reply.result ? ctl_fail_reply(ctl, &reply) : print_added(ctl, &reply);
	ctl_reply_free(&reply);
	return result;
}

static int run_account_password(struct ctl *ctl, const struct ctl_command *command)
{
	int result = read_password(ctl);
	if (result != EXIT_DONE)
		return result;
	struct str password = str_of(ctl->password, ctl->password_n);
	struct str arguments[] = { ctl->arguments[0], password };
	struct ctl_reply reply;
	ctl_reply_init(&reply);
	ctl_request(ctl, command->control, arguments, 2, &reply);
	if (reply.result) {
		result = ctl_fail_reply(ctl, &reply);
	} else if (ctl->json) {
		print_with_password(ctl, buf_str(&reply.json));
	} else {
		printf("account %.*s: password changed\n", STR_ARG(ctl->arguments[0]));
		if (ctl_flag(ctl, "--generate-password"))
			printf("password: %.*s\n", STR_ARG(password));
	}
	ctl_reply_free(&reply);
	return result;
}

static int run_account_show(struct ctl *ctl, const struct ctl_command *command)
{
	struct ctl_reply reply;
	struct arena arena = ARENA_INIT(64 * 1024 * 1024);
	const struct json_value *account = NULL;
	ctl_reply_init(&reply);
	ctl_request(ctl, command->control, ctl->arguments, 1, &reply);
	int result = EXIT_DONE;
	if (reply.result)
		result = ctl_fail_reply(ctl, &reply);
	else if (ctl->json)
		print_json(buf_str(&reply.json));
	else if ((account = parse(&reply, &arena)))
		ctl_print_account(account);
	else
		result = fail_parse(ctl);
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

/* What will be destroyed, on stderr: stdout is for the answer. */
static void announce_removal(const struct json_value *account)
{
	const struct json_value *messages = json_member(account, "messages"), *aliases = json_member(account, "aliases");
	char size[64] = "how much mail it holds is not known while the server is down";
	if (messages && messages->kind == JSON_NUMBER)
		ctl_print_size(json_u64(messages), json_u64(json_member(account, "bytes")), size);
	fprintf(stderr, "This destroys the account %.*s with all its mail (%s).\n",
		STR_ARG(json_string(json_member(account, "address"))), size);
	for (const struct json_value *alias = aliases ? aliases->first : NULL; alias; alias = alias->next)
		fprintf(stderr, "The alias %.*s will no longer lead to it.\n", STR_ARG(json_string(alias)));
}

/* EXIT_DONE: go on. */
static int confirm_removal(struct ctl *ctl)
{
	struct ctl_reply reply;
	struct arena arena = ARENA_INIT(64 * 1024 * 1024);
	int result = EXIT_DONE;
	ctl_reply_init(&reply);
	ctl_request(ctl, CONTROL_ACCOUNT_SHOW, ctl->arguments, 1, &reply);
	const struct json_value *account = reply.result ? NULL : parse(&reply, &arena);
	if (reply.result) {
		result = ctl_fail_reply(ctl, &reply);
	} else if (!account) {
		result = fail_parse(ctl);
	} else {
		announce_removal(account);
		int answer = ctl_confirm("It cannot be brought back. Type yes to go on: ", "yes");
		if (answer == ERR_UNAVAILABLE)
			result = ctl_fail(ctl, EXIT_USAGE, "usage", STR("there is no terminal to ask on; say --yes to remove it"));
		else if (answer)
			result = ctl_fail(ctl, EXIT_FAILED, "denied", STR("not removed"));
	}
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

static void print_removed(const struct json_value *account)
{
	char size[64] = "";
	const struct json_value *messages = json_member(account, "messages");
	printf("account %.*s: removed\n", STR_ARG(json_string(json_member(account, "address"))));
	if (!json_is_true(json_member(account, "destroyed"))) {
		puts("Its mail is destroyed as soon as its shard runs.");
	} else if (messages && messages->kind == JSON_NUMBER) {
		ctl_print_size(json_u64(messages), json_u64(json_member(account, "bytes")), size);
		printf("destroyed: %s\n", size);
	}
}

static int run_account_remove(struct ctl *ctl, const struct ctl_command *command)
{
	int result = ctl_flag(ctl, "--yes") ? EXIT_DONE : confirm_removal(ctl);
	if (result)
		return result;
	struct ctl_reply reply;
	struct arena arena = ARENA_INIT(1024 * 1024);
	const struct json_value *account = NULL;
	ctl_reply_init(&reply);
	ctl_request(ctl, command->control, ctl->arguments, 1, &reply);
	if (reply.result)
		result = ctl_fail_reply(ctl, &reply);
	else if (ctl->json)
		print_json(buf_str(&reply.json));
	else if ((account = parse(&reply, &arena)))
		print_removed(account);
	else
		result = fail_parse(ctl);
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

/* --- status --- */

static int say_not_running(const struct ctl *ctl)
{
	struct str path = ctl->conf.server.control_socket;
	struct buf text = BUF_INIT(1024), out = BUF_INIT(4096);
	buf_addf(&text, "nobody answers at %.*s: mansio is not running, or was started with another configuration", STR_ARG(path));
	json_begin_object(&out);
	json_field_bool(&out, "running", false);
	json_key(&out, "error");
	json_begin_object(&out);
	json_field_string(&out, "code", STR("unavailable"));
	json_field_string(&out, "message", buf_str(&text));
	json_end_object(&out);
	json_end_object(&out);
	printf("%.*s\n", STR_ARG(ctl->json ? buf_str(&out) : buf_str(&text)));
	buf_free(&text);
	buf_free(&out);
	return EXIT_UNAVAILABLE;
}

static int run_status(struct ctl *ctl, const struct ctl_command *command)
{
	struct control_request request = { .command = CONTROL_STATUS };
	struct ctl_reply reply;
	struct arena arena = ARENA_INIT(64 * 1024 * 1024);
	const struct json_value *status = NULL;
	ctl_reply_init(&reply);
	int result = EXIT_DONE;
	if (ctl_request_online(ctl, &request, &reply) == ERR_NOT_FOUND)
		result = say_not_running(ctl);
	else if (reply.result)
		result = ctl_fail_reply(ctl, &reply);
	else if (ctl->json)
		print_json(buf_str(&reply.json));
	else if ((status = parse(&reply, &arena)))
		ctl_print_status(status);
	else
		result = fail_parse(ctl);
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

/* --- the table --- */

const struct ctl_command CTL_COMMANDS[] = {
	{ "account", "add", CONTROL_ACCOUNT_ADD, 0, 1, run_account_add, CTL_HELP_ACCOUNT_ADD,
	  "--password-file --generate-password --from" },
	{ "account", "list", CONTROL_ACCOUNT_LIST, 0, 1, run_list, CTL_HELP_ACCOUNT_LIST },
	{ "account", "show", CONTROL_ACCOUNT_SHOW, 1, 1, run_account_show, CTL_HELP_ACCOUNT_SHOW },
	{ "account", "password", CONTROL_ACCOUNT_PASSWORD, 1, 1, run_account_password, CTL_HELP_ACCOUNT_PASSWORD,
	  "--password-file --generate-password" },
	{ "account", "move", CONTROL_ACCOUNT_MOVE, 1, 1, ctl_run_account_move, CTL_HELP_ACCOUNT_MOVE, "--shard" },
	{ "account", "quota", CONTROL_ACCOUNT_QUOTA, 1, 1, ctl_run_account_quota, CTL_HELP_ACCOUNT_QUOTA,
	  "--bytes --messages" },
	{ "account", "pop3", CONTROL_ACCOUNT_POP3, 1, 1, ctl_run_pop3, CTL_HELP_ACCOUNT_POP3,
	  "--mode --days --deleted --seen --mailbox --app-password" },
	{ "account", "app-password", CONTROL_APP_PASSWORD_LIST, 1, 3, ctl_run_app_password, CTL_HELP_APP_PASSWORD,
	  "--protocols" },
	{ "account", "remove", CONTROL_ACCOUNT_REMOVE, 1, 1, run_account_remove, CTL_HELP_ACCOUNT_REMOVE },
	{ "domain", "add", CONTROL_DOMAIN_ADD, 1, 1, run_change, CTL_HELP_DOMAIN_ADD },
	{ "domain", "list", CONTROL_DOMAIN_LIST, 0, 0, run_list, CTL_HELP_DOMAIN_LIST },
	{ "domain", "pop3", CONTROL_DOMAIN_POP3, 1, 1, ctl_run_pop3, CTL_HELP_DOMAIN_POP3,
	  "--mode --days --deleted --seen --mailbox" },
	{ "domain", "remove", CONTROL_DOMAIN_REMOVE, 1, 1, run_change, CTL_HELP_DOMAIN_REMOVE },
	{ "alias", "add", CONTROL_ALIAS_ADD, 2, CTL_ARGUMENTS_MAX, run_change, CTL_HELP_ALIAS_ADD },
	{ "alias", "list", CONTROL_ALIAS_LIST, 0, 1, run_list, CTL_HELP_ALIAS_LIST },
	{ "alias", "remove", CONTROL_ALIAS_REMOVE, 1, CTL_ARGUMENTS_MAX, run_change, CTL_HELP_ALIAS_REMOVE },
	{ "undelete", "list", CONTROL_UNDELETE_LIST, 1, 1, ctl_run_undelete_list, CTL_HELP_UNDELETE_LIST,
	  "--mailbox" },
	{ "undelete", "restore", CONTROL_UNDELETE_RESTORE, 1, 1, ctl_run_undelete_restore, CTL_HELP_UNDELETE_RESTORE,
	  "--mailbox --since --id" },
	{ "export", NULL, CONTROL_PARCEL_READ, 1, 1, ctl_run_export, CTL_HELP_EXPORT, "--to --format --layout --mailbox" },
	{ "import", NULL, CONTROL_PARCEL_WRITE, 2, 2, ctl_run_import, CTL_HELP_IMPORT,
	  "--again --format --mailbox --state --uidl --uidl-file" },
	{ "store", "check", CONTROL_STORE_CHECK, 0, 0, ctl_run_store_check, CTL_HELP_STORE_CHECK },
	{ "store", "compact", CONTROL_STORE_COMPACT, 0, 0, ctl_run_store_compact, CTL_HELP_STORE_COMPACT },
	{ "store", "salvage", CONTROL_STATUS, 0, CTL_ARGUMENTS_MAX, ctl_run_store_salvage, CTL_HELP_STORE_SALVAGE,
	  "--dry-run --leave-out" },
	{ "backup", "list", CONTROL_STATUS, 1, 1, ctl_run_backup_list, CTL_HELP_BACKUP_LIST },
	{ "backup", "verify", CONTROL_STATUS, 1, 1, ctl_run_backup_verify, CTL_HELP_BACKUP_VERIFY, "--at" },
	{ "backup", NULL, CONTROL_BACKUP, 1, 1, ctl_run_backup, CTL_HELP_BACKUP, "--keep" },
	{ "restore", NULL, CONTROL_STATUS, 1, 1, ctl_run_restore, CTL_HELP_RESTORE,
	  "--account --mailbox --message --at" },
	{ "config", "check", CONTROL_STATUS, 0, 1, ctl_run_config_check, CTL_HELP_CONFIG_CHECK, NULL, true },
	{ "config", "show", CONTROL_STATUS, 0, 0, ctl_run_config_show, CTL_HELP_CONFIG_SHOW },
	{ "status", NULL, CONTROL_STATUS, 0, 0, run_status, CTL_HELP_STATUS, .only_socket = true },
	{ "reload", NULL, CONTROL_RELOAD, 0, 0, ctl_run_reload, CTL_HELP_RELOAD },
	{ "metrics", NULL, CONTROL_METRICS, 0, 0, ctl_run_metrics, CTL_HELP_METRICS, .only_socket = true },
	{ "log", "level", CONTROL_LOG_LEVEL, 0, 2, ctl_run_log_level, CTL_HELP_LOG_LEVEL, .only_socket = true },
	{ "who", NULL, CONTROL_WHO, 0, 0, ctl_run_who, CTL_HELP_WHO, "--all", .only_socket = true },
	{ "kick", NULL, CONTROL_KICK, 0, 1, ctl_run_kick, CTL_HELP_KICK, "--address", .only_socket = true },
};
const size_t CTL_N_COMMANDS = COUNT_OF(CTL_COMMANDS);

const struct ctl_group CTL_GROUPS[] = {
	{ "account", CTL_HELP_ACCOUNT },   { "domain", CTL_HELP_DOMAIN }, { "alias", CTL_HELP_ALIAS },
	{ "undelete", CTL_HELP_UNDELETE }, { "store", CTL_HELP_STORE },
	{ "config", CTL_HELP_CONFIG }, { "log", CTL_HELP_LOG },
};
const size_t CTL_N_GROUPS = COUNT_OF(CTL_GROUPS);
