/* mix.c: a client of the mixed stress: sessions of many different commands. Which ones, and how often each, is what
 * ImapTest documents as its defaults; its COPY needs a mailbox to copy to, which by default is none. Every answer is
 * awaited, and several messages are appended by a command each: both are the same work for every server. The caller
 * owns the client; wire.c says what ends the program. */
#include "bench.h"

#include "base/checked.h"

#define MESSAGES_KEPT   30 /* a mailbox grows to this size and stays around it: ImapTest's default */
#define FETCHED_AT_ONCE 100

static uint64_t below(struct mix *mix, uint64_t limit)
{
	return bench_random(&mix->random) % limit;
}

static bool chance(struct mix *mix, unsigned percent)
{
	return below(mix, 100) < percent;
}

/* Some of the words, one at least, with spaces between them. */
static void add_some(struct mix *mix, const char *const *words, size_t count, struct buf *out)
{
	uint64_t chosen = 1 + below(mix, (UINT64_C(1) << count) - 1);
	for (size_t i = 0; i < count; i++) {
		if (!(chosen >> i & 1))
			continue;
		buf_addf(out, "%s", words[i]);
		if (chosen >> (i + 1))
			buf_add(out, STR(" "));
	}
}

/* What an untagged reply says of the mailbox. True when it tells of a message. */
static bool take_note(struct mix *mix, struct str line)
{
	uint64_t number;
	struct str rest = line;
	str_cut(&rest, ' ');
	if (!str_starts(line, STR("* ")) || str_to_u64(str_cut(&rest, ' '), UINT32_MAX, &number) < 0)
		return false;
	if (str_eq(rest, STR("EXISTS")))
		mix->exists = number;
	if (str_eq(rest, STR("EXPUNGE")) && mix->exists > 0)
		mix->exists--;
	return str_starts(rest, STR("FETCH "));
}

/* Reads up to the tagged reply. `told`: how many messages must be told of at least. False when the command failed. */
static bool succeeds(struct mix *mix, const char *what, uint64_t told)
{
	for (;;) {
		struct str line = wire_line(&mix->wire);
		mix->bytes += line.n + 2;
		if (str_starts(line, STR("m "))) {
			if (str_starts(line, STR("m OK")) && told == 0)
				return true;
			if (mix->refused++ == 0)
				snprintf(mix->complaint, sizeof mix->complaint, "%s: %.*s%s", what, STR_ARG(str_first(line, 200)),
				         told > 0 ? ", and messages are missing" : "");
			return false;
		}
		told -= take_note(mix, line) && told > 0;
		uint64_t literal = wire_literal(line);
		wire_skip(&mix->wire, literal);
		mix->bytes += literal;
	}
}

/* --- the commands --- */

static void login(struct mix *mix)
{
	const struct mix_settings *settings = mix->settings;
	char user[256];
	settings->user_name(below(mix, settings->users), user, sizeof user);
	wire_open(&mix->wire, settings->host, settings->port, settings->tls);
	wire_expect(&mix->wire, STR("* OK"));
	wire_sendf(&mix->wire, "m LOGIN %s %s\r\n", user, settings->password);
	if (!succeeds(mix, "LOGIN", 0))
		bench_die("refused", str_from_c(mix->complaint));
	mix->logged_in = true;
	mix->exists = 0;
}

static void list(struct mix *mix)
{
	wire_sendf(&mix->wire, "m LIST \"\" *\r\n");
	succeeds(mix, "LIST", 0);
}

static void status(struct mix *mix)
{
	wire_sendf(&mix->wire, "m STATUS %s (MESSAGES UNSEEN RECENT)\r\n", mix->settings->mailbox);
	succeeds(mix, "STATUS", 0);
}

static void select_mailbox(struct mix *mix)
{
	wire_sendf(&mix->wire, "m SELECT %s\r\n", mix->settings->mailbox);
	if (!succeeds(mix, "SELECT", 0))
		bench_die("refused", str_from_c(mix->complaint));
}

static void fetch_fields(struct mix *mix)
{
	static const char *const fields[] = { "UID",  "FLAGS",         "ENVELOPE", "INTERNALDATE",
		                                  "BODY", "BODYSTRUCTURE", "HEADER" };
	static const char *const headers[] = { "From",       "To",          "Cc",         "Subject",
		                                   "Message-ID", "In-Reply-To", "References", "Delivered-To" };
	struct buf line = BUF_INIT(2048);
	uint64_t n = MIN(mix->exists, (uint64_t)FETCHED_AT_ONCE), first = 1 + below(mix, mix->exists - n + 1);
	uint64_t chosen = 1 + below(mix, (UINT64_C(1) << COUNT_OF(fields)) - 1);
	buf_addf(&line, "m FETCH %llu:%llu (", (unsigned long long)first, (unsigned long long)(first + n - 1));
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		if (!(chosen >> i & 1))
			continue;
		if (i + 1 < COUNT_OF(fields)) {
			buf_addf(&line, "%s", fields[i]);
		} else {
			buf_add(&line, STR("BODY.PEEK[HEADER.FIELDS ("));
			add_some(mix, headers, COUNT_OF(headers), &line);
			buf_add(&line, STR(")]"));
		}
		if (chosen >> (i + 1))
			buf_add(&line, STR(" "));
	}
	buf_add(&line, STR(")\r\n"));
	wire_send(&mix->wire, buf_str(&line));
	buf_free(&line);
	succeeds(mix, "FETCH", n);
}

static void fetch_body(struct mix *mix)
{
	wire_sendf(&mix->wire, "m FETCH %llu (BODY.PEEK[])\r\n", (unsigned long long)(1 + below(mix, mix->exists)));
	succeeds(mix, "FETCH BODY.PEEK[]", 1);
}

static void store(struct mix *mix)
{
	static const char *const flags[] = { "\\Answered", "\\Flagged", "\\Seen",   "\\Draft", "$Label1",
		                                 "$Label2",    "$Label3",   "$Label4", "$Label5" };
	static const char *const signs[] = { "", "+", "-" };
	struct buf line = BUF_INIT(2048);
	uint64_t first = 1 + below(mix, mix->exists), last = first + below(mix, mix->exists - first + 1);
	buf_addf(&line, "m STORE %llu:%llu %sFLAGS.SILENT (", (unsigned long long)first, (unsigned long long)last,
	         signs[below(mix, COUNT_OF(signs))]);
	add_some(mix, flags, COUNT_OF(flags), &line);
	buf_add(&line, STR(")\r\n"));
	wire_send(&mix->wire, buf_str(&line));
	buf_free(&line);
	succeeds(mix, "STORE", 0);
}

/* One message, or more the more there are too many: each session appends about one. */
static void mark_deleted(struct mix *mix)
{
	uint64_t n = MIN(1 + below(mix, 2 * (mix->exists - MESSAGES_KEPT) + 1), mix->exists);
	uint64_t first = 1 + below(mix, mix->exists - n + 1);
	wire_sendf(&mix->wire, "m STORE %llu:%llu +FLAGS.SILENT (\\Deleted)\r\n", (unsigned long long)first,
	           (unsigned long long)(first + n - 1));
	succeeds(mix, "STORE \\Deleted", 0);
}

static void expunge(struct mix *mix)
{
	wire_sendf(&mix->wire, "m EXPUNGE\r\n");
	succeeds(mix, "EXPUNGE", 0);
}

static void append(struct mix *mix)
{
	struct str message = buf_str(&mix->settings->messages[mix->appended++ % mix->settings->messages_count]);
	wire_sendf(&mix->wire, "m APPEND %s {%zu+}\r\n", mix->settings->mailbox, message.n);
	wire_send(&mix->wire, message);
	wire_send(&mix->wire, STR("\r\n"));
	succeeds(mix, "APPEND", 0);
}

static void logout(struct mix *mix)
{
	wire_sendf(&mix->wire, "m LOGOUT\r\n");
	succeeds(mix, "LOGOUT", 0);
	wire_close(&mix->wire);
	mix->logged_in = false;
}

/* A session: each command has its chance in turn, and after it another chance of being sent again. */
static const struct {
	void (*send)(struct mix *mix);
	unsigned percent, again_percent;
	uint64_t messages; /* not sent while the mailbox has fewer */
} steps[] = {
	{ login, 100, 0, 0 },
	{ list, 50, 0, 0 },
	{ status, 50, 0, 0 },
	{ select_mailbox, 100, 0, 0 },
	{ fetch_fields, 100, 0, 1 },
	{ fetch_body, 100, 30, 1 },
	{ store, 50, 0, 1 },
	{ mark_deleted, 100, 0, MESSAGES_KEPT },
	{ expunge, 100, 0, 0 },
	{ append, 100, 5, 0 },
	{ logout, 100, 0, 0 },
};

void mix_begin(struct mix *mix, const struct mix_settings *settings, uint64_t seed)
{
	*mix = (struct mix){ .settings = settings, .random = seed };
	mix->random = bench_random(&mix->random); /* seeds next to each other begin far apart */
	mix->appended = below(mix, settings->messages_count);
}

void mix_command(struct mix *mix)
{
	steps[mix->step].send(mix);
	if (chance(mix, steps[mix->step].again_percent) && mix->exists >= steps[mix->step].messages)
		return;
	do
		mix->step = (mix->step + 1) % COUNT_OF(steps);
	while (!chance(mix, steps[mix->step].percent) || mix->exists < steps[mix->step].messages);
}

void mix_end(struct mix *mix)
{
	if (mix->logged_in)
		logout(mix);
}
