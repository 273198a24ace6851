/* status.c: `mansio status` for people: one screen, and what is wrong stands first. All of it is made of the answer's
 * JSON. What a process that is down or silent would have told is not known, which is not 0: it is "-", or missing in a
 * sum, and the process stands in what is wrong. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"

#define HEADING 13

struct figure {
	uint64_t value;
	bool known;
};

static struct figure figure_of(const struct json_value *process, const char *key)
{
	return (struct figure){ json_u64(json_member(process, key)), json_is_true(json_member(process, "answered")) };
}

/* Of all processes of a role that have answered. */
static struct figure sum(const struct json_value *processes, const char *role, const char *key)
{
	struct figure all = { 0, false };
	for (const struct json_value *p = processes ? processes->first : NULL; p; p = p->next) {
		struct figure one = figure_of(p, key);
		if (!one.known || !str_eq(json_string(json_member(p, "role")), str_from_c(role)))
			continue;
		all.value += one.value;
		all.known = true;
	}
	return all;
}

static struct figure plus(struct figure a, struct figure b)
{
	return (struct figure){ a.value + b.value, a.known && b.known };
}

/* 1234567 is 1,234,567; out: room for 32. */
static const char *grouped(struct figure figure, char out[32])
{
	char digits[24];
	size_t n = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)figure.value), to = 0;
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			out[to++] = ',';
		out[to++] = digits[i];
	}
	out[to] = '\0';
	return figure.known ? out : "-";
}

/* "1,234 messages", "1 message" */
static void print_count(struct figure figure, const char *what)
{
	char text[32];
	printf("%s %s%s", grouped(figure, text), what, figure.known && figure.value == 1 ? "" : "s");
}

/* before, the number, after: " (7 denied)" */
static void print_number(const char *before, struct figure figure, const char *after)
{
	char text[32];
	printf("%s%s%s", before, grouped(figure, text), after);
}

static void print_heading(const char *name)
{
	printf("%-*s", HEADING, name);
}

static void print_size(struct figure bytes, const char *after)
{
	char text[32];
	ctl_print_bytes(bytes.value, text, sizeof text);
	printf("%s%s", bytes.known ? text : "-", after);
}

static void print_microseconds(uint64_t us, char *out, size_t size)
{
	if (us >= 1000000)
		snprintf(out, size, "%.1f s", (double)us / 1e6);
	else if (us >= 1000)
		snprintf(out, size, "%.1f ms", (double)us / 1e3);
	else
		snprintf(out, size, "%llu us", (unsigned long long)us);
}

void ctl_name_process(const struct json_value *process, char out[64])
{
	snprintf(out, 64, "%.*s.%llu", STR_ARG(str_first(json_string(json_member(process, "role")), 32)),
	         (unsigned long long)json_u64(json_member(process, "index")));
}

/* --- what is wrong --- */

static bool print_problems_of(const struct json_value *process)
{
	char name[64], up[32];
	uint64_t pid = json_u64(json_member(process, "pid")), restarts = json_u64(json_member(process, "restarts"));
	uint64_t damaged = json_u64(json_member(process, "segments_damaged"));
	uint64_t voided = json_u64(json_member(process, "batches_voided"));
	bool is_short = json_u64(json_member(process, "short_of_space")) > 0;
	bool ready = json_is_true(json_member(process, "ready")), answered = json_is_true(json_member(process, "answered"));
	ctl_name_process(process, name);
	ctl_print_duration(json_u64(json_member(process, "uptime_seconds")), up, sizeof up);
	if (pid == 0)
		printf("  %s does not run; the log says why (event process-ended)\n", name);
	else if (!ready)
		printf("  %s is starting, for %s now\n", name, up);
	else if (!answered)
		printf("  %s runs, but has not answered within a second: it is busy, waits for a disk, or was stopped\n", name);
	if (restarts > 0)
		printf("  %s ended by itself and was started again, %llu time%s; it runs for %s\n", name,
		       (unsigned long long)restarts, restarts == 1 ? "" : "s", up);
	if (damaged > 0)
		printf("  %s: %llu of its files hold damage; mansio store check names what is lost\n", name,
		       (unsigned long long)damaged);
	if (voided > 0)
		printf("  %s: %llu batch%s could not be written; is there room on the disk?\n", name, (unsigned long long)voided,
		       voided == 1 ? "" : "es");
	if (is_short) {
		printf("  %s writes nothing and puts mail off: less than store.reserve_free_space is free on the disk, ", name);
		print_size(figure_of(process, "disk_free_bytes"), "; make room\n");
	}
	return pid == 0 || !ready || !answered || restarts > 0 || damaged > 0 || voided > 0 || is_short;
}

/* An empty line after what there is to say. */
static void print_problems(const struct json_value *status, const struct json_value *processes)
{
	struct str warning = json_string(json_member(json_member(status, "certificate"), "warning"));
	bool any = warning.n > 0;
	if (any)
		printf("  %.*s\n", STR_ARG(warning));
	for (const struct json_value *p = processes ? processes->first : NULL; p; p = p->next)
		any |= print_problems_of(p);
	puts(any ? "" : "  nothing is wrong\n");
}

/* --- what it does --- */

static void print_people(const struct json_value *processes)
{
	print_heading("connections");
	print_count(sum(processes, "access", "connections"), "client");
	print_number(" (", sum(processes, "access", "connections_before_login"), " before login), ");
	print_count(sum(processes, "smtp", "connections"), "sender");
	print_number("; ", plus(sum(processes, "access", "connections_refused"), sum(processes, "smtp", "connections_refused")),
	             " refused\n");
	print_heading("sessions");
	print_number("", sum(processes, "shard", "sessions_imap"), " IMAP");
	print_number(" (", sum(processes, "shard", "sessions_idling"), " in IDLE), ");
	print_number("", sum(processes, "shard", "sessions_pop3"), " POP3\n");
	print_heading("logins");
	print_count(sum(processes, "auth", "logins"), "login");
	print_number(", ", sum(processes, "auth", "login_failures"), " denied\n");
}

static void print_mail(const struct json_value *processes)
{
	char us[32];
	struct figure syncs = sum(processes, "shard", "syncs"), aliases = sum(processes, "auth", "aliases");
	print_heading("mail in");
	print_count(sum(processes, "smtp", "messages_delivered"), "message");
	print_number(" (", sum(processes, "smtp", "messages_failed"), " failed), ");
	print_size(sum(processes, "smtp", "bytes_received"), "\n");
	print_heading("store");
	print_count(sum(processes, "shard", "messages"), "message");
	fputs(", ", stdout);
	print_size(sum(processes, "shard", "body_bytes"), ", of them ");
	print_size(sum(processes, "shard", "body_bytes_dead"), " dead\n");
	print_heading("disk");
	print_microseconds(syncs.value ? sum(processes, "shard", "sync_us").value / syncs.value : 0, us, sizeof us);
	print_number("", sum(processes, "shard", "batches"), " batches, ");
	print_count(syncs, "wait");
	printf(" of %s on average\n", syncs.known ? us : "-");
	print_heading("directory");
	print_count(sum(processes, "auth", "domains"), "domain");
	fputs(", ", stdout);
	print_count(sum(processes, "auth", "accounts"), "account");
	print_number(", ", aliases, aliases.known && aliases.value == 1 ? " alias\n" : " aliases\n");
}

static void print_listeners(const struct json_value *listeners)
{
	print_heading("listens");
	size_t column = HEADING;
	for (const struct json_value *item = listeners ? listeners->first : NULL; item; item = item->next) {
		const struct json_value *port = json_member(item, "port");
		struct str address = json_string(json_member(item, "address"));
		char text[160];
		/* the address text may name the port already */
		bool has_port = !port || str_find(address, port->text) >= 0;
		int n = snprintf(text, sizeof text, "%.*s %.*s%s%.*s%s", STR_ARG(str_first(json_string(json_member(item, "service")), 16)),
		                 STR_ARG(str_first(address, 110)), has_port ? "" : " port ",
		                 has_port ? 0 : (int)MIN(port->text.n, (size_t)8), has_port ? "" : port->text.p, item->next ? ", " : "");
		if (column > HEADING && column + (size_t)n > 100) {
			printf("\n%-*s", HEADING, "");
			column = HEADING;
		}
		fputs(text, stdout);
		column += (size_t)n;
	}
	puts("\n");
}

/* --- processes --- */

static void print_work(const struct json_value *process)
{
	struct str role = json_string(json_member(process, "role"));
	if (!json_is_true(json_member(process, "answered"))) {
		putchar('-');
	} else if (str_eq(role, STR("shard"))) {
		print_count(figure_of(process, "sessions"), "session");
		fputs(", ", stdout);
		print_count(figure_of(process, "messages"), "message");
		fputs(", ", stdout);
		print_size(figure_of(process, "body_bytes"), "");
	} else if (str_eq(role, STR("access")) || str_eq(role, STR("smtp"))) {
		print_count(figure_of(process, "connections"), "connection");
	} else if (str_eq(role, STR("auth"))) {
		print_count(figure_of(process, "passwords_queued"), "password");
		fputs(" waiting", stdout);
	} else if (str_eq(role, STR("authwork"))) {
		print_count(plus(figure_of(process, "passwords_right"), figure_of(process, "passwords_wrong")), "password");
		fputs(" compared", stdout);
	}
}

static const char *state_of(const struct json_value *process)
{
	if (json_u64(json_member(process, "pid")) == 0)
		return "down";
	if (!json_is_true(json_member(process, "ready")))
		return "starting";
	return json_is_true(json_member(process, "answered")) ? "ready" : "silent";
}

static void print_process(const struct json_value *process)
{
	char name[64], up[32], longest[32];
	ctl_name_process(process, name);
	ctl_print_duration(json_u64(json_member(process, "uptime_seconds")), up, sizeof up);
	print_microseconds(json_u64(json_member(process, "longest_turn_us")), longest, sizeof longest);
	printf("%-14s %-8s %8llu  %-8s %8llu  %8s  ", name, state_of(process),
	       (unsigned long long)json_u64(json_member(process, "pid")), up,
	       (unsigned long long)json_u64(json_member(process, "restarts")),
	       json_member(process, "longest_turn_us") ? longest : "-");
	print_work(process);
	putchar('\n');
}

void ctl_print_status(const struct json_value *status)
{
	const struct json_value *processes = json_member(status, "processes");
	char up[32];
	ctl_print_duration(json_u64(json_member(status, "uptime_seconds")), up, sizeof up);
	printf("mansio %.*s runs for %s; its store is %.*s\n", STR_ARG(json_string(json_member(status, "version"))), up,
	       STR_ARG(json_string(json_member(status, "directory"))));
	print_problems(status, processes);
	print_people(processes);
	print_mail(processes);
	print_listeners(json_member(status, "listeners"));
	printf("%-14s %-8s %8s  %-8s %8s  %8s  %s\n", "PROCESS", "STATE", "PID", "UP", "RESTARTS", "LONGEST", "WORK");
	for (const struct json_value *process = processes ? processes->first : NULL; process; process = process->next)
		print_process(process);
}
