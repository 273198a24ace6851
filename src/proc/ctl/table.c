/* table.c: answers as people like to read them. What comes in is the answer's JSON as a tree; what it lacks is left
 * out. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"

#define INDENT 12

/* Columns on a terminal, good enough for names: one for each character that is no continuation byte. */
static size_t width_of(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* Bytes of a character that would steer the terminal: controls (C0, DEL, C1), and those that turn the direction of writing
 * (U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069). 0: it begins with none. */
static size_t steers(struct str s)
{
	unsigned char a = (unsigned char)s.p[0];
	unsigned char b = s.n > 1 ? (unsigned char)s.p[1] : 0, c = s.n > 2 ? (unsigned char)s.p[2] : 0;
	if (a < ' ' || a == 0x7f)
		return 1;
	if (a == 0xc2 && b >= 0x80 && b < 0xa0)
		return 2;
	if (a == 0xd8 && b == 0x9c) /* U+061C turns the direction of text too */
		return 2;
	bool turns = (b == 0x80 && (c == 0x8e || c == 0x8f || (c >= 0xaa && c <= 0xae))) || (b == 0x81 && c >= 0xa6 && c <= 0xa9);
	return a == 0xe2 && turns ? 3 : 0;
}

void ctl_print_text_to(FILE *to, struct str s)
{
	while (s.n > 0) {
		size_t n = steers(s);
		putc(n > 0 ? '?' : s.p[0], to);
		s = str_from(s, MAX(n, (size_t)1));
	}
}

void ctl_print_text(struct str s)
{
	ctl_print_text_to(stdout, s);
}

void ctl_print_padded(struct str s, size_t width)
{
	ctl_print_text(s);
	for (size_t n = width_of(s); n < width; n++)
		putchar(' ');
}

/* The widest of a member's texts, and of the heading. */
size_t ctl_widest(const struct json_value *list, const char *key, size_t at_least)
{
	size_t width = at_least;
	for (const struct json_value *item = list->first; item; item = item->next)
		width = MAX(width, width_of(json_string(json_member(item, key))));
	return width;
}

void ctl_print_bytes(uint64_t bytes, char *out, size_t size)
{
	static const char *const UNITS[] = { "bytes", "KB", "MB", "GB", "TB", "PB" };
	size_t unit = 0;
	double value = (double)bytes;
	while (value >= 1024 && unit + 1 < COUNT_OF(UNITS)) {
		value /= 1024;
		unit++;
	}
	snprintf(out, size, unit ? "%.1f %s" : "%.0f %s", value, UNITS[unit]);
}

void ctl_print_size(uint64_t messages, uint64_t bytes, char out[64])
{
	char text[32];
	ctl_print_bytes(bytes, text, sizeof text);
	snprintf(out, 64, "%llu message%s, %s", (unsigned long long)messages, messages == 1 ? "" : "s", text);
}

void ctl_print_time(uint64_t seconds, char *out, size_t size)
{
	time_t when = (time_t)seconds;
	struct tm parts;
	if (!gmtime_r(&when, &parts) || strftime(out, size, "%Y-%m-%d %H:%M UTC", &parts) == 0)
		snprintf(out, size, "?");
}

/* "3d 4h", "12m 5s" */
void ctl_print_duration(uint64_t seconds, char *out, size_t size)
{
	unsigned long long s = seconds;
	if (s >= 86400)
		snprintf(out, size, "%llud %lluh", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		snprintf(out, size, "%lluh %llum", s / 3600, s / 60 % 60);
	else if (s >= 60)
		snprintf(out, size, "%llum %llus", s / 60, s % 60);
	else
		snprintf(out, size, "%llus", s);
}

static const char *state_of(const struct json_value *account)
{
	if (json_member(account, "moving_to"))
		return "being moved";
	if (!json_is_true(json_member(account, "made")))
		return "being made";
	return json_is_true(json_member(account, "enabled")) ? "active" : "disabled";
}

static void print_line(const char *name, struct str value)
{
	printf("%-*s%.*s\n", INDENT, name, STR_ARG(value));
}

void ctl_print_account(const struct json_value *account)
{
	const struct json_value *messages = json_member(account, "messages"), *aliases = json_member(account, "aliases");
	char text[64];
	print_line("address", json_string(json_member(account, "address")));
	print_line("id", json_string(json_member(account, "id")));
	printf("%-*s%llu\n", INDENT, "shard", (unsigned long long)json_u64(json_member(account, "shard")));
	ctl_print_time(json_u64(json_member(account, "created")), text, sizeof text);
	print_line("created", str_from_c(text));
	print_line("state", str_from_c(state_of(account)));
	if (messages && messages->kind == JSON_NUMBER)
		ctl_print_size(json_u64(messages), json_u64(json_member(account, "bytes")), text);
	else
		snprintf(text, sizeof text, "not known while %s",
		         json_member(account, "moving_to") ? "it is being moved" : "the server or its shard is down");
	print_line("mail", str_from_c(text));
	for (const struct json_value *alias = aliases ? aliases->first : NULL; alias; alias = alias->next)
		print_line("alias", json_string(alias));
	const struct json_value *said = json_member(account, "pop3"), *passwords = json_member(account, "pop3_app_passwords");
	if (said && said->first) {
		printf("%-*s", INDENT, "pop3");
		ctl_print_pop3_said(said);
		puts("");
	}
	for (const struct json_value *name = passwords ? passwords->first : NULL; name; name = name->next) {
		printf("%-*sof the app password ", INDENT, "pop3");
		ctl_print_text(json_string(name));
		puts(": see mansio account app-password list");
	}
}

void ctl_print_accounts(const struct json_value *list)
{
	size_t width = ctl_widest(list, "address", sizeof "ADDRESS" - 1);
	if (!list->first) {
		puts("There are no accounts here. Make one with: mansio account add NAME@DOMAIN");
		return;
	}
	ctl_print_padded(STR("ADDRESS"), width);
	puts("  SHARD  CREATED               STATE");
	for (const struct json_value *account = list->first; account; account = account->next) {
		char created[32];
		ctl_print_time(json_u64(json_member(account, "created")), created, sizeof created);
		ctl_print_padded(json_string(json_member(account, "address")), width);
		printf("  %5llu  %-20s  %s\n", (unsigned long long)json_u64(json_member(account, "shard")), created,
		       state_of(account));
	}
}

void ctl_print_domains(const struct json_value *list)
{
	if (!list->first)
		puts("There are no domains. Make one with: mansio domain add DOMAIN");
	for (const struct json_value *domain = list->first; domain; domain = domain->next)
		printf("%.*s\n", STR_ARG(json_string(json_member(domain, "domain"))));
}

void ctl_print_aliases(const struct json_value *list)
{
	size_t width = ctl_widest(list, "address", sizeof "ALIAS" - 1);
	if (!list->first) {
		puts("There are no aliases. Make one with: mansio alias add NAME@DOMAIN ADDRESS");
		return;
	}
	ctl_print_padded(STR("ALIAS"), width);
	puts("  LEADS TO");
	for (const struct json_value *alias = list->first; alias; alias = alias->next) {
		const struct json_value *targets = json_member(alias, "targets");
		const char *before = "  ";
		ctl_print_padded(json_string(json_member(alias, "address")), width);
		for (const struct json_value *target = targets ? targets->first : NULL; target; target = target->next) {
			printf("%s%.*s", before, STR_ARG(json_string(target)));
			before = ", ";
		}
		putchar('\n');
	}
}

/* --- undelete and store --- */

void ctl_print_expunged(const struct json_value *list)
{
	if (!list->first) {
		puts("There is nothing to put back.");
		return;
	}
	size_t width = MIN(ctl_widest(list, "mailbox", sizeof "MAILBOX" - 1), (size_t)30);
	printf("%-10s  %-20s  ", "ID", "EXPUNGED");
	ctl_print_padded(STR("MAILBOX"), width);
	puts("  SUBJECT");
	for (const struct json_value *item = list->first; item; item = item->next) {
		char when[32];
		struct str mailbox = json_string(json_member(item, "mailbox"));
		ctl_print_time(json_u64(json_member(item, "expunged")), when, sizeof when);
		printf("%-10.*s  %-20s  ", STR_ARG(json_string(json_member(item, "id"))), when);
		ctl_print_padded(mailbox.n ? mailbox : STR("(gone)"), width);
		fputs("  ", stdout);
		ctl_print_text(json_string(json_member(item, "subject")));
		putchar('\n');
	}
}

/* " (shards/00/body/000001.seg, offset 1234, message 17)", " (shards/00/index.db, table page, key = 5)" */
static void print_place(const struct json_value *item)
{
	struct str table = json_string(json_member(item, "table")), row = json_string(json_member(item, "row"));
	uint64_t offset = json_u64(json_member(item, "offset")), segment = json_u64(json_member(item, "segment"));
	uint64_t message = json_u64(json_member(item, "message"));
	printf(" (%.*s", STR_ARG(json_string(json_member(item, "file"))));
	if (offset || segment)
		printf(", offset %llu", (unsigned long long)offset);
	if (table.n && !segment)
		printf(", table %.*s", STR_ARG(table));
	if (row.n && !segment)
		printf(", %.*s", STR_ARG(row));
	if (message)
		printf(", message %llu", (unsigned long long)message);
	putchar(')');
}

/* "alice@example.test, Archive, uid 5: its bytes ..." and the place. What is said of no account begins with the problem. */
static void print_damage(const struct json_value *item)
{
	const struct json_value *address = json_member(item, "address");
	struct str mailbox = json_string(json_member(item, "mailbox"));
	struct str who = json_string(address ? address : json_member(item, "account"));
	uint64_t uid = json_u64(json_member(item, "uid"));
	if (json_is_true(json_member(item, "note")))
		printf("note: ");
	ctl_print_text(who);
	if (mailbox.n) {
		printf("%s", who.n ? ", " : "");
		ctl_print_text(mailbox);
	}
	if (uid)
		printf(", uid %llu", (unsigned long long)uid);
	printf("%s", who.n || mailbox.n ? ": " : "");
	ctl_print_text(json_string(json_member(item, "problem")));
	print_place(item);
	putchar('\n');
}

void ctl_print_checked(const struct json_value *checked)
{
	char size[64];
	const struct json_value *list = json_member(checked, "damage");
	uint64_t damaged = json_u64(json_member(checked, "damaged")), notes = json_u64(json_member(checked, "notes"));
	ctl_print_size(json_u64(json_member(checked, "messages")), json_u64(json_member(checked, "bytes")), size);
	printf("checked: %s\n", size);
	for (const struct json_value *item = list ? list->first : NULL; item; item = item->next)
		print_damage(item);
	if (notes)
		printf("%llu note%s: that may be right, and is no damage\n", (unsigned long long)notes, notes == 1 ? "" : "s");
	if (damaged)
		printf("%llu damaged; all else goes on. What is lost for good: restore it from a backup\n",
		       (unsigned long long)damaged);
	struct str not_checked = json_string(json_member(checked, "not_checked"));
	if (not_checked.n)
		printf("%.*s\n", STR_ARG(not_checked));
	if (!damaged)
		puts(not_checked.n ? "What was read is as it came in." : "All is as it came in.");
}

void ctl_print_space(const struct json_value *shards)
{
	printf("%5s  %8s  %10s  %10s  %10s\n", "SHARD", "SEGMENTS", "SIZE", "DEAD", "FREED");
	for (const struct json_value *shard = shards->first; shard; shard = shard->next) {
		char size[32], dead[32], freed[32];
		ctl_print_bytes(json_u64(json_member(shard, "body_bytes")), size, sizeof size);
		ctl_print_bytes(json_u64(json_member(shard, "dead_bytes")), dead, sizeof dead);
		ctl_print_bytes(json_u64(json_member(shard, "freed_bytes")), freed, sizeof freed);
		printf("%5llu  %8llu  %10s  %10s  %10s\n", (unsigned long long)json_u64(json_member(shard, "shard")),
		       (unsigned long long)json_u64(json_member(shard, "segments")), size, dead, freed);
		uint64_t damaged = json_u64(json_member(shard, "segments_damaged"));
		if (damaged)
			printf("       %llu of them hold damage and were left as they are\n", (unsigned long long)damaged);
	}
}
