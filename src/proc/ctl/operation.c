/* operation.c: commands that concern the running server itself. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"

#define ANSWER_ARENA ((size_t)64 * 1024 * 1024)

/* With --json the answer as it is. */
static int ask_and_print(struct ctl *ctl, enum control_command command, const struct str *arguments, uint32_t n,
                         void (*print)(const struct json_value *answer))
{
	struct arena arena = ARENA_INIT(ANSWER_ARENA);
	struct ctl_reply reply;
	struct json_value *answer;
	ctl_reply_init(&reply);
	int result = ctl_ask(ctl, command, arguments, n, &reply, &arena, &answer);
	if (result == EXIT_DONE && ctl->json)
		printf("%.*s\n", STR_ARG(buf_str(&reply.json)));
	else if (result == EXIT_DONE)
		print(answer);
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

/* --- reload --- */

/* A string with its quotes, a number as it is: as in the file. */
static void print_value(const struct json_value *value)
{
	struct buf text = BUF_INIT(64 * 1024);
	if (value)
		json_print(value, &text);
	printf("%.*s", STR_ARG(buf_str(&text)));
	buf_free(&text);
}

static void print_changes(const struct json_value *list, const char *heading)
{
	if (!list || !list->first)
		return;
	puts(heading);
	for (const struct json_value *change = list->first; change; change = change->next) {
		printf("  %.*s = ", STR_ARG(json_string(json_member(change, "setting"))));
		print_value(json_member(change, "after"));
		fputs("   # in place of ", stdout);
		print_value(json_member(change, "before"));
		putchar('\n');
	}
}

static void print_reloaded(const struct json_value *answer)
{
	const struct json_value *changed = json_member(answer, "changed"), *waiting = json_member(answer, "needs_restart");
	const struct json_value *unused = json_member(answer, "for_new_store");
	uint64_t set = json_u64(json_member(answer, "log_level_set"));
	struct str warning = json_string(json_member(answer, "warning"));
	bool nothing = (!changed || !changed->first) && (!waiting || !waiting->first) && (!unused || !unused->first);
	const char *keys = json_is_true(json_member(answer, "tls")) ? "; certificate and key were read again" : "";
	printf("%s%s\n", nothing ? "reloaded: no setting has changed" : "reloaded", keys);
	print_changes(changed, "in force now:");
	if (set > 0)
		printf("  but %llu process%s the level that mansio log level gave %s: mansio log level default takes it back\n",
		       (unsigned long long)set, set == 1 ? " keeps" : "es keep", set == 1 ? "it" : "them");
	print_changes(waiting, "in the file, in force after a restart:");
	print_changes(unused, "in the file, of no effect on a store that is there:");
	if (warning.n > 0)
		printf("warning: %.*s\n", STR_ARG(warning));
}

int ctl_run_reload(struct ctl *ctl, const struct ctl_command *command)
{
	return ask_and_print(ctl, command->control, NULL, 0, print_reloaded);
}

/* --- metrics --- */

static void print_metrics(const struct json_value *answer)
{
	struct str text = json_string(answer);
	fwrite(text.p, 1, text.n, stdout);
}

/* With --json too: the text is one string then, as other answers that are no table. */
int ctl_run_metrics(struct ctl *ctl, const struct ctl_command *command)
{
	return ask_and_print(ctl, command->control, NULL, 0, print_metrics);
}

/* --- log level --- */

static void print_levels(const struct json_value *list)
{
	for (const struct json_value *one = list->first; one; one = one->next) {
		ctl_print_padded(json_string(json_member(one, "process")), 14);
		printf("%.*s%s\n", STR_ARG(json_string(json_member(one, "level"))),
		       json_is_true(json_member(one, "configured")) ? "" : "  (until the server ends; default takes it back)");
	}
}

int ctl_run_log_level(struct ctl *ctl, const struct ctl_command *command)
{
	struct str arguments[] = { STR("all"), STR("") };
	if (ctl->n_arguments > 0)
		arguments[1] = ctl->arguments[ctl->n_arguments - 1];
	if (ctl->n_arguments == 2)
		arguments[0] = ctl->arguments[0];
	return ask_and_print(ctl, command->control, arguments, ctl->n_arguments > 0 ? 2 : 0, print_levels);
}
