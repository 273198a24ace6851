/* load.c: puts load on a mail server and prints rate, latency and the server's CPU time per operation. Speaks LMTP,
 * IMAP and POP3 to any server on an IPv4 address, IMAP and POP3 over TLS as well. One thread a connection; the first
 * wrong answer ends it. What is measured begins when all connections are ready, and ends with the last logout; a
 * work that prepares a mailbox for each operation measures the operations alone. */
#include "bench.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define MESSAGE_MAX     (4 * 1024 * 1024)
#define POOL            2048  /* messages made before the clock starts, sent round and round */
#define RARE_WORD       "quarterly" /* bench_message never writes it */
#define RARE_SIZE       4000        /* of a message with it */
#define SETTLE_US       30000 /* what a server does right after its answer belongs to the operation */

struct options {
	const char *host, *password, *pattern, *mailbox, *cpu_file;
	int port, pid;
	uint64_t count, connections, users, size, first, rare;
	bool json, tls, hold;
};

struct task {
	pthread_t thread;
	struct wire wire;
	struct wire other; /* a second session of the same account, where a work needs one */
	uint64_t number;
	uint64_t exists;   /* messages in the mailbox, as SELECT told */
	uint64_t uidvalidity, modseq; /* of the second session, the same */
	struct mix mix;
};

static struct options options = { .host = "127.0.0.1",
	                              .password = "secret",
	                              .pattern = "user%04u@example.test",
	                              .mailbox = "INBOX",
	                              .count = 1000,
	                              .connections = 1,
	                              .users = 1 };
static struct buf pool[POOL];
static struct buf rare_message; /* of plain text, with the rare word at its end */
static atomic_uint_fast64_t taken, moved; /* operations begun; bytes of answers */
static uint32_t *latencies;               /* microseconds, by operation */
static pthread_barrier_t ready;           /* all connections and main: before the first operation */
static double prepared_cpu;               /* of the operations alone; one thread writes it */
static SSL_CTX *tls;
static struct mix_settings mix_settings;
static atomic_uint_fast64_t refused; /* commands of the mix that failed */

static void user_name(uint64_t number, char *out, size_t size)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(out, size, options.pattern, (unsigned)(number % options.users));
#pragma GCC diagnostic pop
}

/* The next operation's number; false when all are taken. */
static bool take(uint64_t *number)
{
	*number = atomic_fetch_add(&taken, 1);
	return *number < options.count;
}

/* --- works: each gets a task and the number of the operation --- */

struct work {
	const char *name, *unit, *help;
	void (*begin)(struct task *task);
	void (*prepare)(struct task *task); /* before each operation, not measured; only with one connection */
	void (*once)(struct task *task, uint64_t number);
	void (*restore)(struct task *task); /* after each operation, not measured */
	void (*end)(struct task *task);
	bool sends; /* needs the pool of messages */
};

static void lmtp_begin(struct task *task)
{
	wire_open(&task->wire, options.host, options.port, tls);
	wire_expect(&task->wire, STR("220"));
	wire_sendf(&task->wire, "LHLO bench.example.net\r\n");
	while (!str_starts(wire_line(&task->wire), STR("250 ")))
		;
}

static void lmtp_once(struct task *task, uint64_t number)
{
	char user[256];
	user_name(number, user, sizeof user);
	wire_sendf(&task->wire, "MAIL FROM:<sender@example.net>\r\nRCPT TO:<%s>\r\nDATA\r\n", user);
	wire_expect(&task->wire, STR("250"));
	wire_expect(&task->wire, STR("250"));
	wire_expect(&task->wire, STR("354"));
	char line[64];
	uint64_t of_all = options.first + number;
	bool rare = options.rare > 0 && of_all % options.rare == options.rare / 2;
	int n = snprintf(line, sizeof line, "X-Number: %llu\r\n", (unsigned long long)of_all);
	wire_send_more(&task->wire, str_of(line, (size_t)n));
	wire_send_more(&task->wire, buf_str(rare ? &rare_message : &pool[number % POOL]));
	wire_send(&task->wire, STR(".\r\n"));
	wire_expect(&task->wire, STR("250"));
}

static void lmtp_end(struct task *task)
{
	wire_sendf(&task->wire, "QUIT\r\n");
	wire_expect(&task->wire, STR("221"));
	wire_close(&task->wire);
}

static void imap_login(struct task *task, uint64_t number)
{
	char user[256];
	user_name(number, user, sizeof user);
	wire_open(&task->wire, options.host, options.port, tls);
	wire_expect(&task->wire, STR("* OK"));
	wire_sendf(&task->wire, "l LOGIN %s %s\r\n", user, options.password);
	wire_until(&task->wire, STR("l "), STR("OK"));
}

static void imap_logout(struct task *task)
{
	wire_sendf(&task->wire, "o LOGOUT\r\n");
	wire_until(&task->wire, STR("o "), STR("OK"));
	wire_close(&task->wire);
}

static void select_mailbox(struct task *task, const char *name)
{
	wire_sendf(&task->wire, "s SELECT %s\r\n", name);
	for (;;) {
		struct str line = wire_line(&task->wire), rest = line;
		if (str_starts(line, STR("s ")) && !str_starts(line, STR("s OK")))
			bench_die("unexpected answer", line);
		if (str_starts(line, STR("s ")))
			return;
		str_cut(&rest, ' ');
		if (str_ends(line, STR(" EXISTS")) && str_to_u64(str_cut(&rest, ' '), UINT32_MAX, &task->exists) < 0)
			bench_die("unexpected answer", line);
	}
}

static void newest_once(struct task *task, uint64_t number)
{
	if (task->exists == 0)
		return;
	wire_sendf(&task->wire, "f FETCH %llu:* (UID FLAGS ENVELOPE)\r\n",
	           (unsigned long long)(task->exists > 10 ? task->exists - 9 : 1));
	wire_until(&task->wire, STR("f "), STR("OK"));
}

static void session_once(struct task *task, uint64_t number)
{
	imap_login(task, number);
	select_mailbox(task, options.mailbox);
	newest_once(task, number);
	imap_logout(task);
}

static void login_once(struct task *task, uint64_t number)
{
	imap_login(task, number);
	imap_logout(task);
}

static void selected_begin(struct task *task)
{
	imap_login(task, task->number);
	select_mailbox(task, options.mailbox);
}

static void fetch(struct task *task, const char *what)
{
	wire_sendf(&task->wire, "f FETCH 1:* %s\r\n", what);
	atomic_fetch_add(&moved, wire_until(&task->wire, STR("f "), STR("OK")));
}

static void flags_once(struct task *task, uint64_t number)
{
	fetch(task, "(UID FLAGS)");
}

static void envelope_once(struct task *task, uint64_t number)
{
	fetch(task, "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)");
}

static void body_once(struct task *task, uint64_t number)
{
	fetch(task, "(UID BODY.PEEK[])");
}

static void store_once(struct task *task, uint64_t number)
{
	wire_sendf(&task->wire, "f STORE 1:* %cFLAGS.SILENT (\\Seen)\r\n", number % 2 ? '-' : '+');
	wire_until(&task->wire, STR("f "), STR("OK"));
}

static void noop_once(struct task *task, uint64_t number)
{
	wire_sendf(&task->wire, "n NOOP\r\n");
	wire_until(&task->wire, STR("n "), STR("OK"));
}

static void command(struct task *task, const char *text)
{
	wire_sendf(&task->wire, "c %s\r\n", text);
	wire_until(&task->wire, STR("c "), STR("OK"));
}

static void logged_in_begin(struct task *task)
{
	imap_login(task, task->number);
}

static void select_once(struct task *task, uint64_t number)
{
	select_mailbox(task, options.mailbox);
}

#define STRIDE 7919 /* a prime: one message after another that are far apart */

static void flag_once(struct task *task, uint64_t number)
{
	wire_sendf(&task->wire, "f STORE %llu %cFLAGS.SILENT (\\Flagged)\r\n",
	           (unsigned long long)(1 + number / 2 * STRIDE % task->exists), number % 2 ? '-' : '+');
	wire_until(&task->wire, STR("f "), STR("OK"));
}

static void resync_begin(struct task *task)
{
	selected_begin(task);
	struct wire first = task->wire;
	task->wire = (struct wire){ 0 };
	selected_begin(task);
	task->other = first;
}

/* One session changes a flag; what is measured is that, and what the other session hears of it. */
static void resync_once(struct task *task, uint64_t number)
{
	flag_once(task, number);
	wire_sendf(&task->other, "n NOOP\r\n");
	wire_until(&task->other, STR("* "), STR(""));
	wire_until(&task->other, STR("n "), STR("OK"));
}

static void resync_end(struct task *task)
{
	wire_close(&task->other);
	imap_logout(task);
}

/* "[NAME 12]" of a line, if it is there. */
static void number_of_code(struct str line, struct str name, uint64_t *out)
{
	ptrdiff_t at = str_find(line, name);
	struct str rest = at < 0 ? STR("") : str_from(line, (size_t)at + name.n);
	if (at >= 0 && str_to_u64(str_cut(&rest, ']'), UINT64_MAX, out) < 0)
		bench_die("unexpected answer", line);
}

/* SELECT in the second session; true when a message that changed was told. */
static bool select_again(struct task *task, const char *parameters)
{
	bool told = false;
	wire_sendf(&task->other, "s SELECT %s%s\r\n", options.mailbox, parameters);
	for (;;) {
		struct str line = wire_line(&task->other);
		if (str_starts(line, STR("s OK")))
			return told;
		if (str_starts(line, STR("s ")))
			bench_die("unexpected answer", line);
		number_of_code(line, STR("[UIDVALIDITY "), &task->uidvalidity);
		number_of_code(line, STR("[HIGHESTMODSEQ "), &task->modseq);
		told = told || str_find(line, STR(" FETCH (")) >= 0;
	}
}

static void qresync_begin(struct task *task)
{
	resync_begin(task);
	wire_sendf(&task->other, "e UNSELECT\r\ne ENABLE QRESYNC\r\n");
	wire_until(&task->other, STR("e "), STR("OK"));
	wire_until(&task->other, STR("e "), STR("OK"));
	select_again(task, "");
}

/* One session changes a flag; another one comes back, and asks what happened since it was here. */
static void qresync_once(struct task *task, uint64_t number)
{
	char parameters[96];
	flag_once(task, number);
	snprintf(parameters, sizeof parameters, " (QRESYNC (%llu %llu))", (unsigned long long)task->uidvalidity,
	         (unsigned long long)task->modseq);
	if (!select_again(task, parameters))
		bench_die("a change was not told", STR(""));
}

/* A server that finds none has not looked. */
static void text_once(struct task *task, uint64_t number)
{
	bool found = false;
	wire_sendf(&task->wire, "c SEARCH BODY " RARE_WORD "\r\n");
	for (;;) {
		struct str line = wire_line(&task->wire);
		if (str_starts(line, STR("c OK")) && found)
			return;
		if (str_starts(line, STR("c ")))
			bench_die("the rare word is in no message that was found (were they delivered with --rare?)", line);
		found = found || (str_starts(line, STR("* SEARCH ")) && str_trim(line).n > STR("* SEARCH").n);
	}
}

static void subject_once(struct task *task, uint64_t number)
{
	command(task, "SEARCH SUBJECT budget");
}

#define COPIES "BenchCopies"

static void copy_prepare(struct task *task)
{
	command(task, "CREATE " COPIES);
}

static void copy_once(struct task *task, uint64_t number)
{
	command(task, "COPY 1:* " COPIES);
}

static void copy_restore(struct task *task)
{
	command(task, "DELETE " COPIES);
}

static void expunge_prepare(struct task *task)
{
	copy_prepare(task);
	copy_once(task, 0);
	select_mailbox(task, COPIES);
	command(task, "STORE 1:* +FLAGS.SILENT (\\Deleted)");
}

static void expunge_once(struct task *task, uint64_t number)
{
	command(task, "EXPUNGE");
}

static void expunge_restore(struct task *task)
{
	select_mailbox(task, options.mailbox);
	copy_restore(task);
}

static void append_once(struct task *task, uint64_t number)
{
	struct str message = buf_str(&pool[number % POOL]);
	char line[2048];
	int n = snprintf(line, sizeof line, "a APPEND %s {%zu+}\r\n", options.mailbox, message.n);
	wire_send_more(&task->wire, str_of(line, (size_t)n));
	wire_send_more(&task->wire, message);
	wire_send(&task->wire, STR("\r\n"));
	wire_until(&task->wire, STR("a "), STR("OK"));
}

#define MULTIAPPEND 100 /* messages of one command (RFC 3502) */

static void multiappend_once(struct task *task, uint64_t number)
{
	wire_sendf(&task->wire, "a APPEND %s", options.mailbox);
	for (uint64_t i = 0; i < MULTIAPPEND; i++) {
		struct str message = buf_str(&pool[(number * MULTIAPPEND + i) % MIN(options.count, (uint64_t)POOL)]);
		wire_sendf(&task->wire, " {%zu+}\r\n", message.n);
		wire_send(&task->wire, message);
	}
	wire_send(&task->wire, STR("\r\n"));
	wire_until(&task->wire, STR("a "), STR("OK"));
}

static void pop3_once(struct task *task, uint64_t number)
{
	char user[256];
	user_name(number, user, sizeof user);
	wire_open(&task->wire, options.host, options.port, tls);
	wire_expect(&task->wire, STR("+OK"));
	wire_sendf(&task->wire, "USER %s\r\n", user);
	wire_expect(&task->wire, STR("+OK"));
	wire_sendf(&task->wire, "PASS %s\r\n", options.password);
	wire_expect(&task->wire, STR("+OK"));
	wire_sendf(&task->wire, "STAT\r\n");
	struct str line = wire_line(&task->wire);
	uint64_t messages;
	str_cut(&line, ' ');
	if (str_to_u64(str_cut(&line, ' '), UINT32_MAX, &messages) < 0)
		bench_die("unexpected answer to STAT", line);
	for (uint64_t i = 1; i <= messages; i++) {
		wire_sendf(&task->wire, "RETR %llu\r\n", (unsigned long long)i);
		wire_expect(&task->wire, STR("+OK"));
		wire_until_dot(&task->wire);
	}
	wire_sendf(&task->wire, "QUIT\r\n");
	wire_expect(&task->wire, STR("+OK"));
	wire_close(&task->wire);
}

/* Every connection logs in, selects and idles; the server's memory is what is of interest. */
static void idle_once(struct task *task, uint64_t number)
{
	task->number = number; /* whose account it is */
	selected_begin(task);
	wire_sendf(&task->wire, "i IDLE\r\n");
	wire_until(&task->wire, STR("+"), STR(""));
	struct wire left = { 0 };
	task->wire = left; /* stays open; the next one gets a connection of its own */
}

static void mixed_begin(struct task *task)
{
	mix_begin(&task->mix, &mix_settings, options.first + task->number);
}

static void mixed_once(struct task *task, uint64_t number)
{
	mix_command(&task->mix);
}

static void mixed_end(struct task *task)
{
	mix_end(&task->mix);
	atomic_fetch_add(&moved, task->mix.bytes);
	if (task->mix.refused > 0 && atomic_fetch_add(&refused, task->mix.refused) == 0)
		fprintf(stderr, "load: refused: %s\n", task->mix.complaint);
}

static const struct work works[] = {
	{ "lmtp", "delivery", "LMTP deliveries over open connections", lmtp_begin, NULL, lmtp_once, NULL, lmtp_end, true },
	{ "append", "message", "IMAP APPEND over open connections", logged_in_begin, NULL, append_once, NULL, imap_logout,
	  true },
	{ "session", "session", "IMAP: connect, LOGIN, SELECT, FETCH of the newest 10, LOGOUT", NULL, NULL, session_once,
	  NULL, NULL, false },
	{ "multiappend", "command", "APPEND of 100 messages in one command, over open connections", logged_in_begin, NULL,
	  multiappend_once, NULL, imap_logout, true },
	{ "login", "session", "IMAP: connect, LOGIN, LOGOUT", NULL, NULL, login_once, NULL, NULL, false },
	{ "select", "select", "SELECT, in one session again and again", logged_in_begin, NULL, select_once, NULL, imap_logout,
	  false },
	{ "newest", "fetch", "FETCH of the newest 10 (UID FLAGS ENVELOPE)", selected_begin, NULL, newest_once, NULL,
	  imap_logout, false },
	{ "flag", "store", "STORE of one message, each time another one", selected_begin, NULL, flag_once, NULL, imap_logout,
	  false },
	{ "resync", "change", "STORE of one message, and NOOP in another session that hears of it", resync_begin, NULL,
	  resync_once, NULL, resync_end, false },
	{ "qresync", "change", "STORE of one message, and SELECT (QRESYNC) in another session, which is told of it", qresync_begin,
	  NULL, qresync_once, NULL, resync_end, false },
	{ "flags", "fetch", "FETCH 1:* (UID FLAGS)", selected_begin, NULL, flags_once, NULL, imap_logout, false },
	{ "envelopes", "fetch", "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)", selected_begin,
	  NULL, envelope_once, NULL, imap_logout, false },
	{ "bodies", "fetch", "FETCH 1:* (UID BODY.PEEK[])", selected_begin, NULL, body_once, NULL, imap_logout, false },
	{ "store", "store", "STORE 1:* +FLAGS and -FLAGS (\\Seen) in turn", selected_begin, NULL, store_once, NULL,
	  imap_logout, false },
	{ "copy", "copy", "COPY 1:* to a mailbox made before and deleted after", selected_begin, copy_prepare, copy_once,
	  copy_restore, imap_logout, false },
	{ "expunge", "expunge", "EXPUNGE of a copied mailbox, all of it \\Deleted", selected_begin, expunge_prepare,
	  expunge_once, expunge_restore, imap_logout, false },
	{ "subject", "search", "SEARCH SUBJECT of a word that some have", selected_begin, NULL, subject_once, NULL,
	  imap_logout, false },
	{ "text", "search", "SEARCH BODY of the word that --rare puts into a few", selected_begin, NULL, text_once, NULL,
	  imap_logout, false },
	{ "noop", "command", "NOOP", selected_begin, NULL, noop_once, NULL, imap_logout, false },
	{ "mix", "command", "sessions of ImapTest's default mix of commands, on mailboxes of about 30 messages", mixed_begin,
	  NULL, mixed_once, NULL, mixed_end, true },
	{ "pop3", "session", "POP3: login, STAT, RETR of every message, QUIT", NULL, NULL, pop3_once, NULL, NULL, false },
	{ "idle", "connection", "connections that stay in IDLE: memory of the server each", NULL, NULL, idle_once, NULL,
	  NULL, false },
};

static const struct work *work;

static double cpu_now(void)
{
	return options.cpu_file ? cpu_file_seconds(options.cpu_file) : cpu_seconds(options.pid);
}

static void run_once(struct task *task, uint64_t number)
{
	double cpu = 0;
	if (work->prepare) {
		work->prepare(task);
		usleep(SETTLE_US);
		cpu = cpu_now();
	}
	uint64_t start = clock_monotonic_us();
	work->once(task, number);
	latencies[number] = (uint32_t)(clock_monotonic_us() - start);
	if (work->prepare) {
		usleep(SETTLE_US);
		prepared_cpu += cpu_now() - cpu;
		work->restore(task);
	}
}

static void *run(void *arg)
{
	struct task *task = arg;
	uint64_t number;
	if (work->begin)
		work->begin(task);
	pthread_barrier_wait(&ready); /* all are here */
	pthread_barrier_wait(&ready); /* the meter is read */
	while (take(&number))
		run_once(task, number);
	if (work->end)
		work->end(task);
	return NULL;
}

/* --- results --- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void report(double seconds, double cpu, double memory)
{
	double n = (double)options.count, mb = (double)atomic_load(&moved) / 1e6, alone = 0;
	for (uint64_t i = 0; i < options.count; i++)
		alone += latencies[i] / 1e6;
	if (work->prepare)
		seconds = alone;
	qsort(latencies, options.count, sizeof *latencies, by_value);
	double p50 = latencies[options.count / 2] / 1e3, p99 = latencies[options.count * 99 / 100] / 1e3,
		   max = latencies[options.count - 1] / 1e3;
	if (options.json) {
		printf("{\"work\":\"%s\",\"count\":%llu,\"connections\":%llu,\"seconds\":%.3f,\"rate\":%.1f,\"p50_ms\":%.3f,"
		       "\"p99_ms\":%.3f,"
		       "\"max_ms\":%.3f,\"cpu_ms\":%.4f,\"megabytes\":%.1f,\"memory_bytes_each\":%.0f,\"refused\":%llu}\n",
		       work->name, (unsigned long long)options.count, (unsigned long long)options.connections, seconds,
		       n / seconds, p50, p99, max, cpu * 1e3 / n, mb, memory / n,
		       (unsigned long long)atomic_load(&refused));
		return;
	}
	printf("%-10s %8llu  %9.1f/s  p50 %8.3f ms  p99 %8.3f ms  max %8.3f ms", work->name,
	       (unsigned long long)options.count, n / seconds, p50, p99, max);
	if (options.pid || options.cpu_file)
		printf("  server CPU %8.4f ms a %s", cpu * 1e3 / n, work->unit);
	if ((options.pid || options.cpu_file) && mb > 0)
		printf(" (%.2f s/GB)", cpu / mb * 1e3);
	if (work->once == idle_once)
		printf("  memory %.1f KB each", memory / n / 1024);
	if (work->once == mixed_once)
		printf("  refused %llu", (unsigned long long)atomic_load(&refused));
	printf("\n");
}

/* What the generator makes, by size: printed so that a reader can compare it with real mail. */
static void report_corpus(void)
{
	struct buf message = BUF_INIT(MESSAGE_MAX);
	uint32_t *sizes = mem_alloc(options.count, sizeof *sizes);
	double sum = 0;
	uint64_t large = 0;
	for (uint64_t i = 0; i < options.count; i++) {
		buf_clear(&message);
		bench_message(options.first + i, options.size, &message);
		sizes[i] = (uint32_t)message.n;
		sum += (double)message.n;
		large += message.n >= 1000000;
	}
	qsort(sizes, options.count, sizeof *sizes, by_value);
	printf("{\"work\":\"corpus\",\"count\":%llu,\"median_bytes\":%u,\"mean_bytes\":%.0f,\"max_bytes\":%u,\"megabyte_"
	       "messages\":%llu}\n",
	       (unsigned long long)options.count, sizes[options.count / 2], sum / (double)options.count,
	       sizes[options.count - 1], (unsigned long long)large);
}

static void usage(FILE *to)
{
	fprintf(to, "usage: load WORK [options]\n\nPuts load on a mail server and prints rate, latency and server CPU per "
	            "operation. Works:\n");
	for (size_t i = 0; i < COUNT_OF(works); i++)
		fprintf(to, "  %-10s %s\n", works[i].name, works[i].help);
	fprintf(to, "  %-10s %s\n", "corpus", "no load: sizes of the first --count messages that the generator makes");
	fprintf(
		to,
		"\nOptions:\n"
		"  --host ADDRESS      IPv4 address (127.0.0.1)\n  --port PORT         of the protocol that the work speaks\n"
		"  --count N           operations in all (1000)\n  --connections N     in parallel (1)\n"
		"  --users N           accounts to spread over (1)\n  --pattern FORMAT    their names "
		"(user%%04u@example.test)\n"
		"  --password WORD     of all of them (secret)\n  --mailbox NAME      (INBOX)\n  --size BYTES        of each "
		"message (0: as real mail)\n"
		"  --first N           number of the first message, so that runs differ (0)\n"
		"  --rare N            one of N deliveries has a word in its text that no other has (0: none)\n"
		"  --pid PID           the server's supervisor, for CPU and memory\n"
		"  --cpu-file FILE     cpu.stat or cpuacct.usage of the server's control group, instead of the processes' own "
		"figures\n"
		"  --tls               TLS from the first byte, a full handshake each, the certificate unchecked\n"
		"  --hold              keep what is open until the end of standard input\n"
		"  --json              one JSON object instead of a line\n\nExample: load lmtp --port 2424 --connections 32 "
		"--count 20000 --users 1000\n");
}

static uint64_t number_option(const char *text)
{
	uint64_t value;
	if (str_to_u64(str_from_c(text), UINT32_MAX, &value) < 0)
		bench_die("not a number", str_from_c(text));
	return value;
}

static void read_options(int argc, char **argv)
{
	enum {
		HOST = 1,
		PORT,
		COUNT,
		CONNECTIONS,
		USERS,
		PATTERN,
		PASSWORD,
		MAILBOX,
		SIZE,
		FIRST,
		RARE,
		PID,
		CPU_FILE,
		TLS,
		HOLD,
		JSON,
		HELP
	};
	static const struct option longs[] = {
		{ "host", 1, 0, HOST },         { "port", 1, 0, PORT },       { "count", 1, 0, COUNT }, { "connections", 1, 0, CONNECTIONS },
		{ "users", 1, 0, USERS },       { "pattern", 1, 0, PATTERN }, { "password", 1, 0, PASSWORD }, { "mailbox", 1, 0, MAILBOX },
		{ "size", 1, 0, SIZE },         { "first", 1, 0, FIRST },     { "pid", 1, 0, PID },     { "json", 0, 0, JSON },
		{ "help", 0, 0, HELP },         { "tls", 0, 0, TLS },         { "cpu-file", 1, 0, CPU_FILE },
		{ "hold", 0, 0, HOLD },         { "rare", 1, 0, RARE },       { 0, 0, 0, 0 },
	};
	for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (option) {
		case HOST: options.host = optarg; break;
		case PORT: options.port = (int)number_option(optarg); break;
		case COUNT: options.count = number_option(optarg); break;
		case CONNECTIONS: options.connections = MIN(number_option(optarg), (uint64_t)CONNECTIONS_MAX); break;
		case USERS: options.users = MAX(number_option(optarg), UINT64_C(1)); break;
		case PATTERN: options.pattern = optarg; break;
		case PASSWORD: options.password = optarg; break;
		case MAILBOX: options.mailbox = optarg; break;
		case SIZE: options.size = number_option(optarg); break;
		case FIRST: options.first = number_option(optarg); break;
		case RARE: options.rare = number_option(optarg); break;
		case PID: options.pid = (int)number_option(optarg); break;
		case CPU_FILE: options.cpu_file = optarg; break;
		case TLS: options.tls = true; break;
		case HOLD: options.hold = true; break;
		case JSON: options.json = true; break;
		case HELP: usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	}
	if (optind < argc && strcmp(argv[optind], "corpus") == 0) {
		report_corpus();
		exit(0);
	}
	for (size_t i = 0; i < COUNT_OF(works) && optind < argc; i++)
		if (strcmp(works[i].name, argv[optind]) == 0)
			work = &works[i];
	if (!work || options.port == 0 || options.count == 0 || options.connections == 0 ||
	    (work->prepare && options.connections != 1)) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	for (size_t i = 0; i < MIN(options.count, (uint64_t)POOL) && work->sends; i++) {
		pool[i] = BUF_INIT(MESSAGE_MAX);
		bench_message(options.first + i, options.size, &pool[i]);
	}
	rare_message = BUF_INIT(MESSAGE_MAX);
	bench_message(options.first, RARE_SIZE, &rare_message);
	buf_add(&rare_message, STR("It is " RARE_WORD ".\r\n"));
	if (options.tls)
		tls = wire_tls_context();
	mix_settings = (struct mix_settings){ .host = options.host,
		                                  .password = options.password,
		                                  .mailbox = options.mailbox,
		                                  .port = options.port,
		                                  .tls = tls,
		                                  .user_name = user_name,
		                                  .users = options.users,
		                                  .messages = pool,
		                                  .messages_count = MIN(options.count, (uint64_t)POOL) };
	latencies = mem_alloc(options.count, sizeof *latencies);
	struct task *tasks = mem_alloc(options.connections, sizeof *tasks);
	pthread_barrier_init(&ready, NULL, (unsigned)options.connections + 1);
	double memory = (double)memory_bytes(options.pid);
	for (uint64_t i = 0; i < options.connections; i++) {
		tasks[i].number = i;
		if (pthread_create(&tasks[i].thread, NULL, run, &tasks[i]) != 0)
			bench_die("cannot make a thread", str_from_c(strerror(errno)));
	}
	pthread_barrier_wait(&ready);
	double cpu = cpu_now();
	uint64_t start = clock_monotonic_us();
	pthread_barrier_wait(&ready);
	for (uint64_t i = 0; i < options.connections; i++)
		pthread_join(tasks[i].thread, NULL);
	double seconds = (double)(clock_monotonic_us() - start) / 1e6;
	usleep(SETTLE_US);
	report(seconds, work->prepare ? prepared_cpu : cpu_now() - cpu, (double)memory_bytes(options.pid) - memory);
	fflush(stdout);
	while (options.hold && getchar() != EOF)
		;
	return 0;
}
