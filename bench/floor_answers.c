/* floor_answers.c: connections, and the answers made before to what load.c sends: no accounts, no rights. What a house
 * of rooms does elsewhere goes through `part`. A connection is the loop's from connection_new to connection_drop. The
 * first surprise ends the process. */
#include "floor.h"

#include "base/checked.h"
#include "base/mem.h"
#include "loop/tls_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_SIZE   (256 * 1024)
#define OUT_MAX        (128 * 1024)  /* of answers not sent yet, a connection */
#define GATHERED       (64 * 1024)   /* small bodies of a FETCH are sent together, so many bytes */
#define SMALL          (16 * 1024)   /* a body below it is read and sent with its frame, a larger one by sendfile */
#define USER_MESSAGES  20
#define LOGIN_BYTES    350           /* padding, so that answers are as long as ours: the capabilities, */
#define SELECT_BYTES   330           /* what SELECT tells beside EXISTS, */
#define ENVELOPE_BYTES 400           /* and each message of FETCH (UID FLAGS ENVELOPE) */

struct listener {
	struct watched watched;
	enum protocol protocol;
	struct tls_context *tls;
};

struct waiting {
	void (*durable)(void *owner, uint64_t number);
	void *owner;
	uint64_t number;
};

static const struct part *part;
static struct waiting batch[EVENTS];
static size_t batch_n;
static char received[RECEIVE_SIZE], padding[MAX(LOGIN_BYTES, MAX(SELECT_BYTES, ENVELOPE_BYTES))];

/* --- the socket --- */

/* As read() and write() would say it. */
static ssize_t tls_result(SSL *tls, int result)
{
	int reason = SSL_get_error(tls, result);
	errno = reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
	return -1;
}

ssize_t connection_read(struct connection *connection, char *to, size_t n)
{
	size_t done = 0;
	if (!connection->tls)
		return recv(connection->watched.fd, to, n, 0);
	do { /* what OpenSSL has read already no descriptor tells */
		ERR_clear_error();
		int got = SSL_read(connection->tls, to + done, (int)(n - done));
		if (got <= 0 && done == 0 && tls_result(connection->tls, got) < 0)
			return errno == EAGAIN ? -1 : 0;
		done += (size_t)MAX(got, 0);
	} while (done < n && SSL_has_pending(connection->tls));
	return (ssize_t)done;
}

ssize_t connection_write(struct connection *connection, struct str bytes, int flags)
{
	if (!connection->tls)
		return send(connection->watched.fd, bytes.p, bytes.n, MSG_NOSIGNAL | flags);
	ERR_clear_error();
	int sent = SSL_write(connection->tls, bytes.p, (int)bytes.n);
	return sent > 0 ? sent : tls_result(connection->tls, sent);
}

static void end(struct connection *connection)
{
	SSL_free(connection->tls);
	buf_free(&connection->out);
	loop_forget(&connection->watched);
}

void connection_drop(struct connection *connection)
{
	if (part->ended)
		part->ended(connection);
	if (connection->tls) {
		ERR_clear_error();
		(void)SSL_shutdown(connection->tls);
	}
	close(connection->watched.fd);
	end(connection);
}

int connection_take_fd(struct connection *connection)
{
	loop_watch(&connection->watched, EPOLL_CTL_DEL, 0);
	end(connection);
	return connection->watched.fd;
}

/* --- sending --- */

static uint64_t exists(const struct connection *connection)
{
	return connection->whole_mailbox ? mailbox_count() : MIN(mailbox_count(), (uint64_t)USER_MESSAGES);
}

/* Message `number` of the account, from 0: other ones for each account. */
static const struct message *message_of(const struct connection *connection, uint64_t number)
{
	uint64_t first = connection->whole_mailbox ? 0 : connection->account * USER_MESSAGES;
	return mailbox_message(first + number);
}

/* A body's bytes behind what stands in `out`; true when they are in it, false when sendfile will send them. */
static bool add_body(struct connection *connection, const struct message *message, size_t n)
{
	if (n < SMALL || connection->tls) {
		mailbox_read(message->at, n, &connection->out);
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
		ssize_t sent = connection_write(connection, buf_str(out), more ? MSG_MORE : 0);
		if (sent < 0)
			return cannot_send(connection);
		buf_consume(out, (size_t)sent);
	}
	while (connection->range_left > 0) {
		ssize_t sent = sendfile(connection->watched.fd, mailbox_file(), &connection->range, connection->range_left);
		if (sent < 0)
			return cannot_send(connection);
		connection->range_left -= (size_t)sent;
	}
	return true;
}

void connection_pump(struct connection *connection)
{
	bool sent;
	while ((sent = send_out(connection)) && connection->fetching)
		add_bodies(connection);
	if (buf_error(&connection->out) < 0)
		bench_die("an answer is too long", STR(""));
	if (sent != !connection->waits_writable) {
		connection->waits_writable = !sent;
		loop_watch(&connection->watched, EPOLL_CTL_MOD, sent ? EPOLLIN : EPOLLOUT);
	}
	if (!sent)
		return;
	buf_free(&connection->out);
	if (connection->leaves)
		connection_drop(connection);
}

/* --- what a house shares out --- */

void answer_login(struct connection *connection)
{
	if (connection->protocol == IMAP)
		buf_addf(&connection->out, "%c OK %.*s\r\n", connection->tag, LOGIN_BYTES, padding);
	else
		buf_add(&connection->out, STR("+OK\r\n"));
}

void answer_taken(struct connection *connection)
{
	if (connection->protocol == IMAP)
		buf_addf(&connection->out, "%c OK [APPENDUID 1795365441 21] APPEND completed.\r\n", connection->tag);
	else
		buf_add(&connection->out, STR("250 2.0.0 Delivered.\r\n"));
	connection_pump(connection);
}

static void durable(void *owner, uint64_t number)
{
	struct connection *connection = owner;
	if (!connection->watched.gone)
		answer_taken(connection);
}

/* It has taken a message, and is answered after the next sync. */
static void wait_for_sync(struct connection *connection)
{
	batch_add(durable, connection, 0);
}

static void log_body(struct connection *connection, struct str bytes)
{
	logs_add_body(bytes);
}

const struct part floor_part = { .log_in = answer_login, .take = log_body, .taken = wait_for_sync };

void batch_add(void (*durable_fn)(void *owner, uint64_t number), void *owner, uint64_t number)
{
	if (batch_n == COUNT_OF(batch))
		bench_die("a client did not wait for its answer", STR(""));
	batch[batch_n++] = (struct waiting){ durable_fn, owner, number };
}

void batch_commit(void)
{
	if (batch_n == 0)
		return;
	logs_commit(batch_n);
	for (size_t i = 0; i < batch_n; i++)
		batch[i].durable(batch[i].owner, batch[i].number);
	batch_n = 0;
}

/* --- the commands that load.c sends --- */

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
		wait_for_sync(connection);
		return;
	}
	if (str_starts(command, STR("LOGIN "))) {
		take_account(connection, str_from(command, 6));
		part->log_in(connection);
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
	if (str_starts(command, STR("SELECT")))
		buf_addf(out, "* FLAGS (\\Seen)\r\n* %llu EXISTS\r\n* OK %.*s\r\n",
		         (unsigned long long)exists(connection), SELECT_BYTES, padding);
	if (str_starts(command, STR("FETCH")))
		add_envelopes(connection);
	connection->leaves = str_starts(command, STR("LOGOUT"));
	if (connection->leaves)
		buf_add(out, STR("* BYE\r\n"));
	buf_addf(out, "%c OK %.*s\r\n", connection->tag, 12, padding);
}

static void pop3_command(struct connection *connection, struct str line)
{
	uint64_t number;
	struct buf *out = &connection->out;
	if (str_starts(line, STR("PASS "))) {
		part->log_in(connection);
		return;
	}
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
	if (str_starts(line, STR("RCPT TO:<")))
		take_account(connection, str_from(line, 9));
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
	part->take(connection, bytes);
	memcpy(joined, connection->end, sizeof connection->end);
	memcpy(joined + sizeof connection->end, bytes.p + bytes.n - n, n);
	memcpy(connection->end, joined + n, sizeof connection->end);
	if (!str_eq(str_of(connection->end, sizeof connection->end), STR("\r\n.\r\n")))
		return bytes.n;
	connection->in_data = false;
	part->taken(connection);
	return bytes.n;
}

/* Bytes of a line, and its command when it is whole. */
static size_t take_line(struct connection *connection, struct str bytes)
{
	ptrdiff_t line_end = str_find_byte(bytes, '\n');
	size_t n = line_end < 0 ? bytes.n : (size_t)line_end + 1;
	if (n > sizeof connection->line - connection->line_n)
		bench_die("line too long", str_first(bytes, 80));
	memcpy(connection->line + connection->line_n, bytes.p, n);
	connection->line_n += n;
	if (line_end < 0)
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
	logs_add_body(str_first(bytes, n));
	connection->literal_left -= n;
	return n;
}

static void take_all(struct connection *connection, struct str bytes)
{
	while (bytes.n > 0) {
		size_t n;
		if (connection->waits)
			bench_die("a client did not wait for its answer", str_first(bytes, 80));
		if (connection->literal_left > 0)
			n = take_literal(connection, bytes);
		else if (connection->in_data)
			n = take_data(connection, bytes);
		else
			n = take_line(connection, bytes);
		bytes = str_from(bytes, n);
	}
}

static void receive(struct connection *connection)
{
	ssize_t got = connection_read(connection, received, sizeof received);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		if (connection->waits)
			bench_die("a client did not wait for its answer", STR(""));
		connection_drop(connection);
		return;
	}
	take_all(connection, str_of(received, (size_t)got));
	if (connection->out.n > 0 || connection->fetching)
		connection_pump(connection);
}

static void on_connection(struct watched *watched, uint32_t events)
{
	struct connection *connection = (struct connection *)watched; /* its first member */
	if (events & EPOLLOUT)
		connection_pump(connection);
	else
		receive(connection);
}

/* --- the start --- */

struct connection *connection_new(int fd, enum protocol protocol)
{
	struct connection *connection = mem_alloc(1, sizeof *connection);
	*connection = (struct connection){ .watched = { .fd = fd, .ready = on_connection }, .protocol = protocol,
		                               .out = BUF_INIT(OUT_MAX) };
	loop_watch(&connection->watched, EPOLL_CTL_ADD, EPOLLIN);
	return connection;
}

static void greet(struct connection *connection)
{
	static const struct str greetings[PROTOCOLS] = { STR_INIT("* OK This is the floor of the machine.\r\n"),
		                                             STR_INIT("+OK floor\r\n"), STR_INIT("220 floor\r\n") };
	buf_add(&connection->out, greetings[connection->protocol]);
	connection_pump(connection);
}

static void on_handshake(struct watched *watched, uint32_t events)
{
	struct connection *connection = (struct connection *)watched;
	ERR_clear_error();
	int result = SSL_accept(connection->tls);
	if (result == 1) {
		watched->ready = on_connection;
		greet(connection);
	} else if (tls_result(connection->tls, result) < 0 && errno != EAGAIN) {
		connection_drop(connection);
	}
}

static void on_listener(struct watched *watched, uint32_t events)
{
	const struct listener *listener = (const struct listener *)watched;
	for (int fd; (fd = accept4(watched->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct connection *connection = connection_new(fd, listener->protocol);
		if (listener->tls) {
			connection->tls = tls_server_new(listener->tls, fd);
			connection->watched.ready = on_handshake;
		} else {
			greet(connection);
		}
	}
}

void answers_begin(const struct part *own)
{
	part = own;
	memset(padding, 'x', sizeof padding);
}

void answers_listen(enum protocol protocol, uint16_t port, struct tls_context *tls)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct listener *listener = mem_alloc(1, sizeof *listener); /* for as long as the process */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*listener = (struct listener){ .watched = { .fd = fd, .ready = on_listener }, .protocol = protocol, .tls = tls };
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* connections inherit it */
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, SOMAXCONN) < 0)
		die("cannot listen");
	loop_watch(&listener->watched, EPOLL_CTL_ADD, EPOLLIN);
}
