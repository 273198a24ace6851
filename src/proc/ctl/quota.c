/* quota.c: `mansio account quota`: what an account may hold, and holds. Limits are read here, so that a mistake is said
 * before anything is asked; auth gets numbers, "default", "none" or "keep". */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"

#define LIMIT_TEXT 24 /* a number of 64 bits */

/* A number, for bytes with a unit: "10G", "500MB", "1048576". False when it is none, or beyond 63 bits. */
static bool read_number(struct str text, bool is_bytes, uint64_t *out)
{
	static const struct {
		struct str name;
		unsigned shift;
	} units[] = { { STR_INIT(""), 0 },    { STR_INIT("B"), 0 },   { STR_INIT("K"), 10 }, { STR_INIT("KB"), 10 },
		      { STR_INIT("M"), 20 },  { STR_INIT("MB"), 20 }, { STR_INIT("G"), 30 }, { STR_INIT("GB"), 30 },
		      { STR_INIT("T"), 40 },  { STR_INIT("TB"), 40 } };
	size_t digits = 0;
	uint64_t number;
	while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	if (digits == 0 || str_to_u64(str_first(text, digits), INT64_MAX, &number) < 0)
		return false;
	for (size_t i = 0; i < (is_bytes ? COUNT_OF(units) : 1); i++)
		if (str_ieq(units[i].name, str_from(text, digits)) && number <= (uint64_t)INT64_MAX >> units[i].shift) {
			*out = number << units[i].shift;
			return true;
		}
	return false;
}

/* The option as auth wants it; room: for a number. EXIT_DONE, or the exit code of what was said. */
static int read_limit(struct ctl *ctl, const char *option, bool is_bytes, char room[LIMIT_TEXT], struct str *out)
{
	struct str value = ctl_option(ctl, option);
	uint64_t number;
	*out = STR("keep");
	if (!value.p)
		return EXIT_DONE;
	*out = value;
	if (str_eq(value, STR("default")) || str_eq(value, STR("none")))
		return EXIT_DONE;
	if (!read_number(value, is_bytes, &number))
		return ctl_usage(ctl, is_bytes ? "\"%.*s\" is no size (such as 500M or 5G), nor default or none" :
		                                 "\"%.*s\" is no number of messages, nor default or none", value);
	if (number == 0)
		return ctl_usage(ctl, "a limit of %.*s would let nothing in; say none for no limit", value);
	*out = str_of(room, (size_t)snprintf(room, LIMIT_TEXT, "%llu", (unsigned long long)number));
	return EXIT_DONE;
}

static void print_number(uint64_t number, bool is_bytes, char *out, size_t size)
{
	if (is_bytes)
		ctl_print_bytes(number, out, size);
	else
		snprintf(out, size, "%llu", (unsigned long long)number);
}

/* "messages    12 of 1000 (its own limit)" */
static void print_resource(const struct json_value *quota, const char *name, const char *limit_name,
                           const char *own_name, bool is_bytes)
{
	const struct json_value *used = json_member(quota, name), *limit = json_member(quota, limit_name);
	const struct json_value *own = json_member(quota, own_name);
	char used_text[32] = "?", limit_text[32] = "no limit";
	bool has_own = own && own->kind == JSON_NUMBER;
	if (used && used->kind == JSON_NUMBER)
		print_number(json_u64(used), is_bytes, used_text, sizeof used_text);
	if (!limit || limit->kind != JSON_NUMBER)
		limit = has_own ? own : NULL;
	if (!limit)
		snprintf(limit_text, sizeof limit_text, "?");
	else if (json_u64(limit) > 0)
		print_number(json_u64(limit), is_bytes, limit_text, sizeof limit_text);
	printf("%-12s%s of %s (%s)\n", name, used_text, limit_text, has_own ? "its own limit" : "the server's default");
}

static void print_quota(const struct json_value *quota)
{
	const struct json_value *used = json_member(quota, "messages");
	struct str address = json_string(json_member(quota, "address"));
	printf("%-12s%.*s\n", "address", STR_ARG(address));
	print_resource(quota, "messages", "limit_messages", "quota_messages", false);
	print_resource(quota, "bytes", "limit_bytes", "quota_bytes", true);
	if (!used || used->kind != JSON_NUMBER)
		puts("What it holds is not known while its shard is down; its shard hears of new limits when it runs.");
}

int ctl_run_account_quota(struct ctl *ctl, const struct ctl_command *command)
{
	char messages_room[LIMIT_TEXT], bytes_room[LIMIT_TEXT];
	struct str arguments[3] = { ctl->arguments[0] };
	int result = read_limit(ctl, "--messages", false, messages_room, &arguments[1]);
	if (result == EXIT_DONE)
		result = read_limit(ctl, "--bytes", true, bytes_room, &arguments[2]);
	if (result != EXIT_DONE)
		return result;
	struct ctl_reply reply;
	struct arena arena = ARENA_INIT(1024 * 1024);
	struct json_value *quota = NULL;
	ctl_reply_init(&reply);
	ctl_request(ctl, command->control, arguments, COUNT_OF(arguments), &reply);
	struct str json = buf_str(&reply.json);
	if (reply.result)
		result = ctl_fail_reply(ctl, &reply);
	else if (ctl->json)
		printf("%.*s\n", STR_ARG(json));
	else if (json_parse(json, &arena, &quota) == 0)
		print_quota(quota);
	else
		result = ctl_fail(ctl, EXIT_FAILED, "corrupt",
		                  STR("the server's answer cannot be read; is it of another version?"));
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}
