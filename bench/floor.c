/* floor.c: what the kernel, loopback and the disk cost for the same load: answers load.c with bytes made before, and
 * does of a mail server's work only what none can do without: it takes the bytes, makes them durable before it says so,
 * and sends as many as ours would. A measuring device, not a server: one process, no accounts, no rights, no answer to
 * anything that load.c does not send; the first surprise ends it. The process owns all, until it is killed.
 *
 * A floor is of a machine and an hour. On a virtual machine whose memory the host backs lazily, writing into pages that
 * are new in the page cache was seen to be most of what a delivery costs: copy_folio_from_iter_atomic alone had 28 % of
 * all CPU during LMTP deliveries. So bench/compare measures it in turn with the servers. */
#include "bench.h"

#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX     (4 * 1024 * 1024)
#define MESSAGES_MAX    1000000
#define GENERATED       2048          /* messages, written round and round until there are enough, as load.c sends them */
#define EVENTS          256           /* of one turn, and so deliveries of one sync */
#define RECEIVE_SIZE    (256 * 1024)
#define OUT_MAX         (128 * 1024)  /* of answers not sent yet, a connection */
#define GATHERED        (64 * 1024)   /* small bodies of a FETCH are sent together, so many bytes */
#define SMALL           (16 * 1024)   /* a body below it is read and sent with its frame, a larger one by sendfile */
#define USER_MESSAGES   20
#define RECORD_SIZE     512           /* what is noted of a delivery */
#define LINE_BYTES_MAX  256
#define LOGIN_BYTES     350           /* padding, so that answers are as long as ours: the capabilities, */
#define SELECT_BYTES    330           /* what SELECT tells beside EXISTS, */
#define ENVELOPE_BYTES  400           /* and each message of FETCH (UID FLAGS ENVELOPE) */
#define ROOM            (256 * 1024)  /* db/ahead.h: zeros that make a log longer, so that the sync of a small write */
#define ROOM_MAKING_MAX (64 * 1024)   /* has no new size of the file to make durable */

enum protocol { IMAP, POP3, LMTP, PROTOCOLS };

struct connection {
	int fd;
	enum protocol protocol;
	bool listens, in_data, appending, fetching, owes_bracket, waits_writable, leaves;
	bool whole_mailbox;    /* an account without a number has all messages, the others have 20 each */
	char tag;              /* of the IMAP command: load.c uses one letter */
	uint64_t account, literal_left;
	uint64_t next;         /* message of the FETCH that goes on */
	off_t range;           /* of the mailbox file: to be sent after `out` */
	size_t range_left;
	struct buf out;        /* freed when it is sent: an idle connection has none */
	char end[5];           /* the last bytes of DATA */
	size_t line_n;
	char line[LINE_BYTES_MAX];
};

struct message {
	off_t at;
	uint32_t size; /* without the dot line that stands behind it in the file */
};

struct log {
	int fd;
	uint64_t end, synced, size; /* size: with the zeros behind the end */
};

static struct message *messages;
static uint64_t messages_count = 1000;
static int mailbox, poll_fd;
static struct log bodies, records;
static struct connection *finished[EVENTS]; /* took a message in this turn, and answer after its sync */
static size_t finished_n;
static char received[RECEIVE_SIZE], padding[MAX(LOGIN_BYTES, MAX(SELECT_BYTES, ENVELOPE_BYTES))];

static _Noreturn void die(const char *what)
{
	bench_die(what, str_from_c(strerror(errno)));
}

/* --- files --- */

static int open_file(const char *folder, const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die("cannot make a file");
	return fd;
}

static void write_at(int fd, struct str bytes, uint64_t at)
{
	while (bytes.n > 0) {
		ssize_t written = pwrite(fd, bytes.p, bytes.n, (off_t)at);
		if (written <= 0)
			die("cannot write");
		bytes = str_from(bytes, (size_t)written);
		at += (uint64_t)written;
	}
}

/* Pieces of messages that arrive at once are mixed in the log: nobody reads it. */
static void log_add(struct log *log, struct str bytes)
{
	write_at(log->fd, bytes, log->end);
	log->end += bytes.n;
}

/* Durable up to its end. The cheapest there is: a little that has outgrown the file makes room for what comes next. */
static void log_sync(struct log *log)
{
	static const char zeros[ROOM];
	if (log->end > log->size) {
		uint64_t room = log->end - log->synced <= ROOM_MAKING_MAX ? ROOM - log->end % ROOM : 0;
		write_at(log->fd, str_of(zeros, room), log->end);
		log->size = log->end + room;
	}
	if (fdatasync(log->fd) < 0)
		die("fdatasync");
	log->synced = log->end;
}

static void read_mailbox(off_t at, size_t n, struct buf *out)
{
	char *room = buf_reserve(out, n);
	if (!room || pread(mailbox, room, n, at) != (ssize_t)n)
		die("cannot read the mailbox");
	buf_commit(out, n);
}

static void make_mailbox(const char *folder)
{
	struct buf message = BUF_INIT(MESSAGE_MAX);
	uint64_t at = 0;
	messages = mem_alloc(messages_count, sizeof *messages);
	mailbox = open_file(folder, "mailbox");
	for (uint64_t i = 0; i < messages_count; i++) {
		buf_clear(&message);
		if (i < GENERATED)
			bench_message(i, 0, &message);
		else
			read_mailbox(messages[i - GENERATED].at, messages[i - GENERATED].size, &message);
		messages[i] = (struct message){ (off_t)at, (uint32_t)message.n };
		buf_add(&message, STR(".\r\n"));
		write_at(mailbox, buf_str(&message), at);
		at += message.n;
	}
	buf_free(&message);
}

/* --- sending --- */

static void watch(struct connection *connection, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = connection };
	if (epoll_ctl(poll_fd, operation, connection->fd, &event) < 0)
		die("epoll_ctl");
}

static void drop(struct connection *connection)
{
	close(connection->fd);
	buf_free(&connection->out);
	mem_free(connection);
}

static uint64_t exists(const struct connection *connection)
{
	return connection->whole_mailbox ? messages_count : MIN(messages_count, (uint64_t)USER_MESSAGES);
}

/* Message `number` of the account, from 0: other ones for each account. */
static const struct message *message_of(const struct connection *connection, uint64_t number)
{
	uint64_t first = connection->whole_mailbox ? 0 : connection->account * USER_MESSAGES;
	return &messages[(first + number) % messages_count];
}

/* A body's bytes behind what stands in `out`; true when they are in it, false when sendfile will send them. */
static bool add_body(struct connection *connection, const struct message *message, size_t n)
{
	if (n < SMALL) {
		read_mailbox(message->at, n, &connection->out);
		return true;
	}
	connection->range = message->at;
	connection->range_left = n;
	return false;
}

/* More of FETCH 1:* (UID BODY.PEEK[]): small bodies up to the next large one. */
static void add_bodies(struct connection *connection)
{
	struct buf *out = &connection->out;
	buf_reserve(out, GATHERED + SMALL); /* once */
	while (out->n < GATHERED) {
		if (connection->owes_bracket)
			buf_add(out, STR(")\r\n"));
		connection->owes_bracket = false;
		if (connection->next == exists(connection)) {
			buf_addf(out, "%c OK done\r\n", connection->tag);
			connection->fetching = false;
			return;
		}
		const struct message *message = message_of(connection, connection->next++);
		unsigned long long number = connection->next;
		buf_addf(out, "* %llu FETCH (UID %llu BODY[] {%u}\r\n", number, number, message->size);
		connection->owes_bracket = true;
		if (!add_body(connection, message, message->size))
			return;
	}
}

/* What to do when no more could be sent: false to wait; true, with nothing left to send, when the client is gone. */
static bool cannot_send(struct connection *connection)
{
	if (errno == EAGAIN)
		return false;
	buf_clear(&connection->out);
	connection->range_left = 0;
	connection->fetching = false;
	connection->leaves = true;
	return true;
}

/* True when the bytes are sent; false when the socket takes no more now. */
static bool send_out(struct connection *connection)
{
	struct buf *out = &connection->out;
	bool more = connection->fetching || connection->range_left > 0;
	while (out->n > 0) {
		ssize_t sent = send(connection->fd, out->p, out->n, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
		if (sent < 0)
			return cannot_send(connection);
		buf_consume(out, (size_t)sent);
	}
	while (connection->range_left > 0) {
		ssize_t sent = sendfile(connection->fd, mailbox, &connection->range, connection->range_left);
		if (sent < 0)
			return cannot_send(connection);
		connection->range_left -= (size_t)sent;
	}
	return true;
}

/* Sends what there is to send, now and when the socket takes more. May drop the connection. */
static void pump(struct connection *connection)
{
	bool sent;
	while ((sent = send_out(connection)) && connection->fetching)
		add_bodies(connection);
	if (buf_error(&connection->out) < 0)
		bench_die("an answer is too long", STR(""));
	if (sent != !connection->waits_writable) {
		connection->waits_writable = !sent;
		watch(connection, EPOLL_CTL_MOD, sent ? EPOLLIN : EPOLLOUT);
	}
	if (!sent)
		return;
	buf_free(&connection->out);
	if (connection->leaves)
		drop(connection);
}

/* --- the commands that load.c sends --- */

/* It has taken a message, and is answered after the next sync. */
static void finish(struct connection *connection)
{
	if (finished_n == COUNT_OF(finished))
		bench_die("a client did not wait for its answer", STR(""));
	finished[finished_n++] = connection;
}

/* "user0012@example.test" is the account 12; one without a number has the whole mailbox. */
static void take_account(struct connection *connection, struct str name)
{
	size_t at = 0, n = 0;
	while (at < name.n && !ascii_is_digit(name.p[at]) && name.p[at] != '@')
		at++;
	while (at + n < name.n && ascii_is_digit(name.p[at + n]))
		n++;
	connection->whole_mailbox = str_to_u64(str_of(name.p + at, n), UINT32_MAX, &connection->account) < 0;
}

static void add_envelopes(struct connection *connection)
{
	for (uint64_t i = exists(connection) - MIN(exists(connection), UINT64_C(10)) + 1; i <= exists(connection); i++)
		buf_addf(&connection->out, "* %llu FETCH (UID %llu FLAGS () ENVELOPE (%.*s))\r\n", (unsigned long long)i,
		         (unsigned long long)i, ENVELOPE_BYTES, padding);
}

static void imap_command(struct connection *connection, struct str line)
{
	struct buf *out = &connection->out;
	struct str command = str_from(line, 2);
	bool after_literal = connection->appending;
	connection->literal_left = wire_literal(line);
	connection->appending = connection->literal_left > 0;
	if (!after_literal)
		connection->tag = line.n > 0 ? line.p[0] : ' ';
	if (connection->appending)
		return;
	if (after_literal) {
		finish(connection);
		return;
	}
	if (str_starts(command, STR("IDLE"))) {
		buf_add(out, STR("+ idling\r\n"));
		return;
	}
	if (str_starts(command, STR("FETCH")) && str_ends(command, STR("BODY.PEEK[])"))) {
		connection->next = 0;
		connection->fetching = true;
		return;
	}
	if (str_starts(command, STR("LOGIN ")))
		take_account(connection, str_from(command, 6));
	if (str_starts(command, STR("SELECT")))
		buf_addf(out, "* FLAGS (\\Seen)\r\n* %llu EXISTS\r\n* OK %.*s\r\n",
		         (unsigned long long)exists(connection), SELECT_BYTES, padding);
	if (str_starts(command, STR("FETCH")))
		add_envelopes(connection);
	connection->leaves = str_starts(command, STR("LOGOUT"));
	if (connection->leaves)
		buf_add(out, STR("* BYE\r\n"));
	buf_addf(out, "%c OK %.*s\r\n", connection->tag, str_starts(command, STR("LOGIN")) ? LOGIN_BYTES : 12, padding);
}

static void pop3_command(struct connection *connection, struct str line)
{
	uint64_t number;
	struct buf *out = &connection->out;
	if (str_starts(line, STR("USER ")))
		take_account(connection, str_from(line, 5));
	connection->leaves = str_starts(line, STR("QUIT"));
	if (str_starts(line, STR("STAT")))
		buf_addf(out, "+OK %llu 1\r\n", (unsigned long long)exists(connection));
	else
		buf_add(out, STR("+OK\r\n"));
	if (!str_starts(line, STR("RETR ")))
		return;
	if (str_to_u64(str_from(line, 5), UINT32_MAX, &number) < 0 || number == 0)
		bench_die("unexpected", line);
	const struct message *message = message_of(connection, number - 1);
	add_body(connection, message, message->size + STR(".\r\n").n);
}

static void lmtp_command(struct connection *connection, struct str line)
{
	struct buf *out = &connection->out;
	connection->in_data = str_starts(line, STR("DATA"));
	memset(connection->end, 0, sizeof connection->end);
	connection->leaves = str_starts(line, STR("QUIT"));
	if (connection->in_data)
		buf_add(out, STR("354 Go on.\r\n"));
	else if (connection->leaves)
		buf_add(out, STR("221 Good-bye.\r\n"));
	else
		buf_add(out, str_starts(line, STR("LHLO")) ? STR("250-floor\r\n250 PIPELINING\r\n") : STR("250 Fine.\r\n"));
}

/* --- receiving --- */

/* Bytes of a message. Its end is where the client stops and waits: it needs no search. */
static size_t take_data(struct connection *connection, struct str bytes)
{
	char joined[2 * sizeof connection->end];
	size_t n = MIN(bytes.n, sizeof connection->end);
	log_add(&bodies, bytes);
	memcpy(joined, connection->end, sizeof connection->end);
	memcpy(joined + sizeof connection->end, bytes.p + bytes.n - n, n);
	memcpy(connection->end, joined + n, sizeof connection->end);
	if (!str_eq(str_of(connection->end, sizeof connection->end), STR("\r\n.\r\n")))
		return bytes.n;
	connection->in_data = false;
	finish(connection);
	return bytes.n;
}

/* Bytes of a line, and its command when it is whole. */
static size_t take_line(struct connection *connection, struct str bytes)
{
	ptrdiff_t end = str_find_byte(bytes, '\n');
	size_t n = end < 0 ? bytes.n : (size_t)end + 1;
	if (n > sizeof connection->line - connection->line_n)
		bench_die("line too long", str_first(bytes, 80));
	memcpy(connection->line + connection->line_n, bytes.p, n);
	connection->line_n += n;
	if (end < 0)
		return n;
	struct str line = str_trim(str_of(connection->line, connection->line_n));
	switch (connection->protocol) {
	case IMAP: imap_command(connection, line); break;
	case POP3: pop3_command(connection, line); break;
	case LMTP: lmtp_command(connection, line); break;
	case PROTOCOLS: break;
	}
	connection->line_n = 0;
	return n;
}

static size_t take_literal(struct connection *connection, struct str bytes)
{
	size_t n = MIN(bytes.n, connection->literal_left);
	log_add(&bodies, str_first(bytes, n));
	connection->literal_left -= n;
	return n;
}

static void receive(struct connection *connection)
{
	ssize_t got = recv(connection->fd, received, sizeof received, 0);
	if (got <= 0) {
		drop(connection);
		return;
	}
	for (struct str rest = str_of(received, (size_t)got); rest.n > 0;) {
		size_t n;
		if (connection->literal_left > 0)
			n = take_literal(connection, rest);
		else if (connection->in_data)
			n = take_data(connection, rest);
		else
			n = take_line(connection, rest);
		rest = str_from(rest, n);
	}
	if (connection->out.n > 0 || connection->fetching)
		pump(connection);
}

static void accept_some(const struct connection *listener)
{
	static const struct str greetings[PROTOCOLS] = { STR_INIT("* OK This is the floor of the machine.\r\n"),
		                                             STR_INIT("+OK floor\r\n"), STR_INIT("220 floor\r\n") };
	for (int fd; (fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		int on = 1;
		struct connection *connection = mem_alloc(1, sizeof *connection);
		*connection = (struct connection){ .fd = fd, .protocol = listener->protocol, .out = BUF_INIT(OUT_MAX) };
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		watch(connection, EPOLL_CTL_ADD, EPOLLIN);
		buf_add(&connection->out, greetings[listener->protocol]);
		pump(connection);
	}
}

/* Bodies first, then what is noted of them, then the answers: what all servers do that keep their promises. */
static void commit(void)
{
	static const char record[EVENTS * RECORD_SIZE];
	if (finished_n == 0)
		return;
	log_sync(&bodies);
	log_add(&records, str_of(record, finished_n * RECORD_SIZE));
	log_sync(&records);
	for (size_t i = 0; i < finished_n; i++) {
		struct connection *connection = finished[i];
		if (connection->protocol == IMAP)
			buf_addf(&connection->out, "%c OK [APPENDUID 1795365441 21] APPEND completed.\r\n", connection->tag);
		else
			buf_add(&connection->out, STR("250 2.0.0 Delivered.\r\n"));
		pump(connection);
	}
	finished_n = 0;
}

static void turn(void)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(poll_fd, events, EVENTS, -1);
	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	for (int i = 0; i < n; i++) {
		struct connection *connection = events[i].data.ptr;
		if (connection->listens)
			accept_some(connection);
		else if (events[i].events & EPOLLOUT)
			pump(connection);
		else
			receive(connection);
	}
	commit();
}

/* --- the start --- */

static void listen_on(struct connection *listener, enum protocol protocol, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*listener = (struct connection){ .fd = fd, .protocol = protocol, .listens = true };
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, SOMAXCONN) < 0)
		die("cannot listen");
	watch(listener, EPOLL_CTL_ADD, EPOLLIN);
}

static uint64_t number_option(const char *text, uint64_t max)
{
	uint64_t value;
	if (str_to_u64(str_from_c(text), max, &value) < 0 || value == 0)
		bench_die("not a number here", str_from_c(text));
	return value;
}

static _Noreturn void usage(FILE *to, int status)
{
	fprintf(to, "usage: floor --imap PORT --pop3 PORT --lmtp PORT [--messages N] FOLDER\n\n"
	            "Answers the load generator at the lowest cost that the machine allows, until it is killed; see\n"
	            "bench/compare. FOLDER is for its files: --messages N (1000) generated ones, about 42 KB each, and\n"
	            "what it takes.\n\n"
	            "Example: floor --imap 1143 --pop3 1110 --lmtp 1124 /tmp/floor\n");
	exit(status);
}

int main(int argc, char **argv)
{
	enum { HELP = PROTOCOLS + 1, MESSAGES };
	static const struct option longs[] = { { "imap", 1, 0, IMAP }, { "pop3", 1, 0, POP3 }, { "lmtp", 1, 0, LMTP },
		                                   { "messages", 1, 0, MESSAGES }, { "help", 0, 0, HELP }, { 0, 0, 0, 0 } };
	static struct connection listeners[PROTOCOLS];
	uint16_t ports[PROTOCOLS] = { 0 };
	for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (option) {
		case IMAP:
		case POP3:
		case LMTP: ports[option] = (uint16_t)number_option(optarg, UINT16_MAX); break;
		case MESSAGES: messages_count = number_option(optarg, MESSAGES_MAX); break;
		case HELP: usage(stdout, 0);
		default: usage(stderr, 2);
		}
	}
	if (optind + 1 != argc || !ports[IMAP] || !ports[POP3] || !ports[LMTP])
		usage(stderr, 2);
	signal(SIGPIPE, SIG_IGN); /* sendfile to a client that is gone */
	memset(padding, 'x', sizeof padding);
	make_mailbox(argv[optind]);
	bodies.fd = open_file(argv[optind], "bodies");
	records.fd = open_file(argv[optind], "records");
	if ((poll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("epoll_create1");
	for (enum protocol protocol = IMAP; protocol < PROTOCOLS; protocol++)
		listen_on(&listeners[protocol], protocol, ports[protocol]);
	for (;;)
		turn();
}
