/* pop3.c: `mansio account app-password`, and what POP3 does: `mansio account pop3` and `mansio domain pop3`. Auth carries
 * them out; here are words into arguments, and answers into lines. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"

#define PROTOCOLS_MAX 64

/* The request and its answer as a tree. EXIT_DONE, or the exit code of what was said. */
static int ask(struct ctl *ctl, enum control_command command, const struct str *arguments, uint32_t n,
               struct ctl_reply *reply, struct arena *arena, struct json_value **out)
{
	ctl_request(ctl, command, arguments, n, reply);
	if (reply->result)
		return ctl_fail_reply(ctl, reply);
	if (json_parse(buf_str(&reply->json), arena, out) == 0)
		return EXIT_DONE;
	return ctl_fail(ctl, EXIT_FAILED, "corrupt", STR("the server's answer cannot be read; is it of another version?"));
}

static void print_raw(const struct ctl_reply *reply)
{
	printf("%.*s\n", STR_ARG(buf_str(&reply->json)));
}

/* --- app passwords --- */

/* "imap,pop3" or "imap pop3" becomes "imap pop3". False: too long. */
static bool read_protocols(struct str given, char room[PROTOCOLS_MAX], struct str *out)
{
	if (!given.p)
		given = STR("imap pop3 smtp");
	if (given.n > PROTOCOLS_MAX)
		return false;
	for (size_t i = 0; i < given.n; i++)
		room[i] = given.p[i] == ',' ? ' ' : given.p[i];
	*out = str_of(room, given.n);
	return true;
}

/* The object with the password, which is said here and nowhere else. */
static void print_with_password(struct str object, struct str password)
{
	struct buf out = BUF_INIT(64 * 1024);
	buf_add(&out, str_first(object, object.n ? object.n - 1 : 0)); /* its "}" comes later */
	json_field_string(&out, "password", password);
	json_end_object(&out);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	mem_wipe(out.p, out.n);
	buf_free(&out);
}

static int add(struct ctl *ctl, struct ctl_reply *reply, struct arena *arena)
{
	char room[PROTOCOLS_MAX], password[PASSWORD_GENERATED_SIZE];
	struct str arguments[4] = { ctl->arguments[1], ctl->arguments[2] };
	struct json_value *answer;
	if (!read_protocols(ctl_option(ctl, "--protocols"), room, &arguments[2]))
		return ctl_usage(ctl, "\"%.*s\" are no protocols: some of imap, pop3 and smtp", ctl_option(ctl, "--protocols"));
	password_generate(password);
	arguments[3] = str_of(password, sizeof password);
	int result = ask(ctl, CONTROL_APP_PASSWORD_ADD, arguments, COUNT_OF(arguments), reply, arena, &answer);
	if (result == EXIT_DONE && ctl->json)
		print_with_password(buf_str(&reply->json), arguments[3]);
	else if (result == EXIT_DONE)
		printf("app password \"%.*s\" of %.*s: added\npassword: %.*s\nIt is not shown again.\n", STR_ARG(arguments[1]),
		       STR_ARG(arguments[0]), STR_ARG(arguments[3]));
	mem_wipe(password, sizeof password);
	return result;
}

void ctl_print_pop3_said(const struct json_value *said)
{
	const char *before = "";
	for (const struct json_value *member = said ? said->first : NULL; member; member = member->next) {
		printf("%s%.*s ", before, STR_ARG(member->key));
		if (member->kind == JSON_STRING)
			ctl_print_text(json_string(member));
		else if (member->kind == JSON_NUMBER)
			printf("%llu", (unsigned long long)json_u64(member));
		else
			printf("%s", json_is_true(member) ? "yes" : "no");
		before = ", ";
	}
}

static void print_list(const struct json_value *list)
{
	if (!list->first)
		puts("no app passwords");
	for (const struct json_value *item = list->first; item; item = item->next) {
		const struct json_value *used = json_member(item, "last_used"), *protocols = json_member(item, "protocols");
		char created[32], last[32] = "never";
		ctl_print_time(json_u64(json_member(item, "created")), created, sizeof created);
		if (used && used->kind == JSON_NUMBER)
			ctl_print_time(json_u64(used), last, sizeof last);
		printf("%-24.*s ", STR_ARG(json_string(json_member(item, "name"))));
		for (const struct json_value *word = protocols ? protocols->first : NULL; word; word = word->next)
			printf("%.*s%s", STR_ARG(json_string(word)), word->next ? "," : "");
		printf("  made %s  used %s", created, last);
		const struct json_value *said = json_member(item, "pop3");
		if (said && said->first) {
			printf("  pop3: ");
			ctl_print_pop3_said(said);
		}
		puts("");
	}
}

static int list(struct ctl *ctl, struct ctl_reply *reply, struct arena *arena)
{
	struct json_value *answer;
	int result = ask(ctl, CONTROL_APP_PASSWORD_LIST, ctl->arguments + 1, 1, reply, arena, &answer);
	if (result == EXIT_DONE && ctl->json)
		print_raw(reply);
	else if (result == EXIT_DONE)
		print_list(answer);
	return result;
}

static int remove_password(struct ctl *ctl, struct ctl_reply *reply, struct arena *arena)
{
	struct json_value *answer;
	int result = ask(ctl, CONTROL_APP_PASSWORD_REMOVE, ctl->arguments + 1, 2, reply, arena, &answer);
	if (result == EXIT_DONE && ctl->json)
		print_raw(reply);
	else if (result == EXIT_DONE)
		printf("app password \"%.*s\" of %.*s: removed\n", STR_ARG(ctl->arguments[2]), STR_ARG(ctl->arguments[1]));
	return result;
}

int ctl_run_app_password(struct ctl *ctl, const struct ctl_command *command)
{
	static const struct {
		struct str word;
		uint32_t n;
		int (*run)(struct ctl *ctl, struct ctl_reply *reply, struct arena *arena);
	} words[] = { { STR_INIT("add"), 3, add }, { STR_INIT("list"), 2, list }, { STR_INIT("remove"), 3, remove_password } };
	size_t i = 0;
	while (i < COUNT_OF(words) && !str_eq(ctl->arguments[0], words[i].word))
		i++;
	if (i == COUNT_OF(words))
		return ctl_usage(ctl, "\"%.*s\" is none of add, list and remove", ctl->arguments[0]);
	if (ctl->n_arguments != words[i].n)
		return ctl_usage(ctl, ctl->n_arguments < words[i].n ? "an argument is missing behind %.*s (add --help)"
		                                                    : "there is an argument too many behind %.*s (add --help)",
		                 ctl->arguments[0]);
	if (i != 0 && ctl->n_options > 0 && ctl_option(ctl, "--protocols").p)
		return ctl_usage(ctl, "--protocols goes with add, not with %.*s", ctl->arguments[0]);
	struct ctl_reply reply;
	struct arena arena = ARENA_INIT(1024 * 1024);
	ctl_reply_init(&reply);
	int result = words[i].run(ctl, &reply, &arena);
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

/* --- what POP3 does --- */

/* "mode        keep (of the account)" */
static void print_value(const struct json_value *answer, const char *key)
{
	static const struct {
		struct str word;
		const char *text;
	} places[] = { { STR_INIT("server"), "of the server" }, { STR_INIT("domain"), "of the domain" },
		       { STR_INIT("account"), "of the account" }, { STR_INIT("app-password"), "of the app password" } };
	const struct json_value *member = json_member(answer, key), *value = json_member(member, "value");
	struct str from = json_string(json_member(member, "from"));
	const char *where = "";
	for (size_t i = 0; i < COUNT_OF(places); i++)
		if (str_eq(from, places[i].word))
			where = places[i].text;
	printf("%-13s", key);
	if (value && value->kind == JSON_STRING)
		printf("%.*s", STR_ARG(json_string(value)));
	else if (value && value->kind == JSON_NUMBER)
		printf("%llu", (unsigned long long)json_u64(value));
	else
		printf("%s", json_is_true(value) ? "yes" : "no");
	printf(" (%s)\n", where);
}

static void print_named(const struct json_value *answer, const char *key, const char *label)
{
	const struct json_value *value = json_member(answer, key);
	if (value)
		printf("%-13s%.*s\n", label, STR_ARG(json_string(value)));
}

static void print_policy(const struct json_value *answer)
{
	static const char *const keys[] = { "mode", "days", "deleted", "seen", "mailbox" };
	print_named(answer, "domain", "domain");
	print_named(answer, "address", "address");
	print_named(answer, "app_password", "app password");
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		print_value(answer, keys[i]);
}

int ctl_run_pop3(struct ctl *ctl, const struct ctl_command *command)
{
	static const char *const options[] = { "--app-password", "--mode", "--days", "--deleted", "--seen", "--mailbox" };
	struct str arguments[1 + COUNT_OF(options)] = { ctl->arguments[0] };
	struct ctl_reply reply;
	struct arena arena = ARENA_INIT(1024 * 1024);
	struct json_value *answer;
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		struct str value = ctl_option(ctl, options[i]);
		arguments[i + 1] = value.p ? value : STR("");
	}
	ctl_reply_init(&reply);
	int result = ask(ctl, command->control, arguments, COUNT_OF(arguments), &reply, &arena, &answer);
	if (result == EXIT_DONE && ctl->json)
		print_raw(&reply);
	else if (result == EXIT_DONE)
		print_policy(answer);
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}
