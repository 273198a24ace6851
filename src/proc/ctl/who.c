/* who.c: who is connected, and `mansio kick`. Each process that has connections is asked by itself, page by page
 * (proc/who.h), so that many thousands of connections are a matter of many small answers. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/json.h"

#include <arpa/inet.h>

#define ANSWER_ARENA ((size_t)64 * 1024 * 1024)
#define TREE_MAX     ((size_t)1024 * 1024 * 1024)
#define SILENT_MAX   ((size_t)65536)
#define SESSION_HEX  16

/* Called for each process that has connections; another result than EXIT_DONE ends the round, unless the process is
 * silent: that costs only what it would have told or done. */
typedef int each_process_fn(struct ctl *ctl, struct str process, void *owner, bool *silent);

static bool has_connections(const struct json_value *process)
{
	struct str role = json_string(json_member(process, "role"));
	return (str_eq(role, STR("access")) || str_eq(role, STR("smtp")) || str_eq(role, STR("shard"))) &&
	       json_is_true(json_member(process, "ready"));
}

/* Those that answered when the server was asked for its status, or those that did not; silent: names, a space behind each. */
static int each_process_that(struct ctl *ctl, const struct json_value *processes, bool answered, each_process_fn *fn,
                             void *owner, struct buf *silent)
{
	int result = EXIT_DONE;
	for (const struct json_value *p = processes->first; p && result == EXIT_DONE; p = p->next) {
		char name[64];
		bool is_silent = false;
		if (!has_connections(p) || json_is_true(json_member(p, "answered")) != answered)
			continue;
		ctl_name_process(p, name);
		result = fn(ctl, str_from_c(name), owner, &is_silent);
		if (!is_silent)
			continue;
		buf_addf(silent, "%s ", name);
		result = EXIT_DONE;
	}
	return result;
}

/* Those that may have to be waited for come last. */
static int each_process(struct ctl *ctl, each_process_fn *fn, void *owner, struct buf *silent)
{
	struct arena arena = ARENA_INIT(ANSWER_ARENA);
	struct ctl_reply reply;
	struct json_value *status;
	ctl_reply_init(&reply);
	int result = ctl_ask(ctl, CONTROL_STATUS, NULL, 0, &reply, &arena, &status);
	const struct json_value *processes = result == EXIT_DONE ? json_member(status, "processes") : NULL;
	if (processes)
		result = each_process_that(ctl, processes, true, fn, owner, silent);
	if (processes && result == EXIT_DONE)
		result = each_process_that(ctl, processes, false, fn, owner, silent);
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

/* Behind what the others said, which is good all the same. */
static int tell_silent(const struct buf *silent, const char *what)
{
	for (struct str rest = buf_str(silent); rest.n > 0;) {
		struct str name = str_cut(&rest, ' ');
		fprintf(stderr, "mansio: %.*s does not answer now: its connections %s\n", STR_ARG(name), what);
	}
	return silent->n > 0 ? EXIT_UNAVAILABLE : EXIT_DONE;
}

/* Sessions come in order: a process that goes back would keep us for ever. True: there is a next page. */
static bool go_on(const struct json_value *page, struct buf *after)
{
	struct str next = json_string(json_member(page, "next"));
	if (next.n == 0 || str_cmp(next, buf_str(after)) <= 0)
		return false;
	buf_clear(after);
	buf_add(after, next);
	return buf_error(after) == 0;
}

/* One request after the other, each for what is behind the session that the last one ended with. `after` is the last of
 * the arguments. */
static int each_page(struct ctl *ctl, enum control_command command, struct str *arguments, uint32_t n_arguments,
                     bool (*take)(void *owner, const struct json_value *page), void *owner, bool *silent)
{
	struct buf after = BUF_INIT(CONTROL_ARGUMENT_MAX);
	bool more;
	int result;
	do {
		struct arena arena = ARENA_INIT(ANSWER_ARENA);
		struct ctl_reply reply;
		struct json_value *page;
		ctl_reply_init(&reply);
		arguments[n_arguments - 1] = buf_str(&after);
		result = ctl_ask_process(ctl, command, arguments, n_arguments, &reply, &arena, &page, silent);
		more = result == EXIT_DONE && take(owner, page) && go_on(page, &after);
		arena_free(&arena);
		ctl_reply_free(&reply);
	} while (more);
	buf_free(&after);
	return result;
}

/* --- who --- */

struct list {
	struct buf json;
	bool all; /* those too that nobody has logged in on */
	uint64_t others;
	struct str process; /* that is asked now */
};

static bool add_page(void *owner, const struct json_value *page)
{
	struct list *list = owner;
	const struct json_value *connections = json_member(page, "connections");
	struct buf text = BUF_INIT(1024 * 1024);
	for (const struct json_value *c = connections ? connections->first : NULL; c; c = c->next) {
		const struct json_value *account = json_member(c, "account");
		if (!list->all && (!account || account->kind != JSON_STRING)) {
			list->others++;
			continue;
		}
		buf_clear(&text);
		json_print(c, &text);
		text.n -= text.n > 0; /* its "}" comes later */
		json_field_string(&text, "process", list->process);
		json_end_object(&text);
		json_put_raw(&list->json, buf_str(&text));
	}
	buf_free(&text);
	return buf_error(&list->json) == 0;
}

static int list_process(struct ctl *ctl, struct str process, void *owner, bool *silent)
{
	struct list *list = owner;
	struct str arguments[] = { process, STR("") };
	list->process = process;
	return each_page(ctl, CONTROL_WHO, arguments, COUNT_OF(arguments), add_page, list, silent);
}

static struct str or_dash(const struct json_value *value)
{
	struct str text = json_string(value);
	return text.n > 0 ? text : STR("-");
}

static void print_connection(const struct json_value *c, size_t account, size_t address, size_t mailbox)
{
	char since[32], idle[32];
	ctl_print_duration(json_u64(json_member(c, "seconds")), since, sizeof since);
	ctl_print_duration(json_u64(json_member(c, "idle_seconds")), idle, sizeof idle);
	ctl_print_padded(or_dash(json_member(c, "account")), account);
	fputs("  ", stdout);
	ctl_print_padded(json_string(json_member(c, "protocol")), 11);
	fputs("  ", stdout);
	ctl_print_padded(json_string(json_member(c, "address")), address);
	fputs("  ", stdout);
	ctl_print_padded(or_dash(json_member(c, "tls")), 7);
	fputs("  ", stdout);
	ctl_print_padded(or_dash(json_member(c, "mailbox")), mailbox);
	printf("  %-8s  %-8s  ", since, idle);
	ctl_print_padded(json_string(json_member(c, "session")), SESSION_HEX);
	printf("  %.*s\n", STR_ARG(json_string(json_member(c, "process"))));
}

static void print_list(const struct json_value *list, uint64_t others)
{
	size_t account = ctl_widest(list, "account", sizeof "ACCOUNT" - 1);
	size_t address = ctl_widest(list, "address", sizeof "ADDRESS" - 1);
	size_t mailbox = MIN(ctl_widest(list, "mailbox", sizeof "MAILBOX" - 1), (size_t)30);
	uint64_t n = 0;
	if (list->first) {
		ctl_print_padded(STR("ACCOUNT"), account);
		printf("  %-11s  ", "PROTOCOL");
		ctl_print_padded(STR("ADDRESS"), address);
		printf("  %-7s  ", "TLS");
		ctl_print_padded(STR("MAILBOX"), mailbox);
		printf("  %-8s  %-8s  %-16s  %s\n", "SINCE", "IDLE", "SESSION", "PROCESS");
	}
	for (const struct json_value *c = list->first; c; c = c->next, n++)
		print_connection(c, account, address, mailbox);
	printf("%llu connection%s", (unsigned long long)n, n == 1 ? "" : "s");
	if (others > 0)
		printf("; %llu without a login (--all shows them)", (unsigned long long)others);
	putchar('\n');
}

int ctl_run_who(struct ctl *ctl, const struct ctl_command *command)
{
	struct list list = { .json = BUF_INIT(CTL_REPLY_MAX), .all = ctl_flag(ctl, "--all") };
	struct arena arena = ARENA_INIT(TREE_MAX);
	struct buf silent = BUF_INIT(SILENT_MAX);
	struct json_value *tree;
	json_begin_array(&list.json);
	int result = each_process(ctl, list_process, &list, &silent);
	json_end_array(&list.json);
	if (result == EXIT_DONE && (buf_error(&list.json) || json_parse(buf_str(&list.json), &arena, &tree) != 0))
		result = ctl_fail(ctl, EXIT_FAILED, "limit", STR("the list is too long"));
	else if (result == EXIT_DONE && ctl->json)
		printf("%.*s\n", STR_ARG(buf_str(&list.json)));
	else if (result == EXIT_DONE)
		print_list(tree, list.others);
	if (result == EXIT_DONE)
		result = tell_silent(&silent, "are missing");
	arena_free(&arena);
	buf_free(&silent);
	buf_free(&list.json);
	return result;
}

/* --- kick --- */

struct kicking {
	struct str kind, value;
	uint64_t n;
};

static bool add_kicked(void *owner, const struct json_value *page)
{
	struct kicking *kicking = owner;
	kicking->n += json_u64(json_member(page, "kicked"));
	return true;
}

static int kick_process(struct ctl *ctl, struct str process, void *owner, bool *silent)
{
	struct kicking *kicking = owner;
	struct str arguments[] = { process, kicking->kind, kicking->value, STR("") };
	return each_page(ctl, CONTROL_KICK, arguments, COUNT_OF(arguments), add_kicked, kicking, silent);
}

static bool is_session(struct str text)
{
	bool good = text.n == SESSION_HEX;
	for (size_t i = 0; i < text.n && good; i++)
		good = strchr("0123456789abcdef", ascii_lower(text.p[i])) != NULL && text.p[i] != '\0';
	return good;
}

/* As the processes write it: "2001:DB8:0::1" and "2001:db8::1" are one address. False: it is none. */
static bool read_address(struct str text, char out[INET6_ADDRSTRLEN], struct str *address)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char copy[INET6_ADDRSTRLEN];
	if (str_eq(text, STR("unix"))) {
		*address = text;
		return true;
	}
	if (text.n >= sizeof copy)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	int family = str_find_byte(text, ':') >= 0 ? AF_INET6 : AF_INET;
	if (inet_pton(family, copy, bytes) != 1 || !inet_ntop(family, bytes, out, INET6_ADDRSTRLEN))
		return false;
	*address = str_from_c(out);
	return true;
}

static int read_whom(struct ctl *ctl, struct kicking *kicking, char room[INET6_ADDRSTRLEN])
{
	struct str address = ctl_option(ctl, "--address");
	if ((ctl->n_arguments == 1) == (address.p != NULL))
		return ctl_usage(ctl, "name an account, a session%.*s or --address (one of them)", STR(""));
	if (address.p) {
		kicking->kind = STR("address");
		return read_address(address, room, &kicking->value)
			? EXIT_DONE : ctl_usage(ctl, "\"%.*s\" is no IP address", address);
	}
	kicking->value = ctl->arguments[0];
	kicking->kind = str_find_byte(kicking->value, '@') >= 0 ? STR("account") : STR("session");
	if (str_eq(kicking->kind, STR("session")) && !is_session(kicking->value))
		return ctl_usage(ctl, "\"%.*s\" is neither an address with @ nor a session of mansio who", kicking->value);
	return EXIT_DONE;
}

int ctl_run_kick(struct ctl *ctl, const struct ctl_command *command)
{
	char room[INET6_ADDRSTRLEN];
	struct kicking kicking = { .n = 0 };
	struct buf silent = BUF_INIT(SILENT_MAX);
	int result = read_whom(ctl, &kicking, room);
	if (result == EXIT_DONE)
		result = each_process(ctl, kick_process, &kicking, &silent);
	if (result == EXIT_DONE && kicking.n == 0 && silent.n == 0)
		result = ctl_fail(ctl, EXIT_NOT_FOUND, "not_found", STR("there is no such connection"));
	if (result == EXIT_DONE && ctl->json)
		printf("{\"kicked\":%llu}\n", (unsigned long long)kicking.n);
	else if (result == EXIT_DONE)
		printf("%llu connection%s closed\n", (unsigned long long)kicking.n, kicking.n == 1 ? "" : "s");
	if (result == EXIT_DONE)
		result = tell_silent(&silent, "may be open still; try again");
	buf_free(&silent);
	return result;
}
