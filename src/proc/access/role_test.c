/* The whole role in one process: real sockets, TLS and channels, with auth, two shards and the clients played by the
 * test. role.c is played too: it hands us the role's table. */
#include "base/openssl.h"
#include "ipc/access_auth.h"
#include "ipc/access_shard.h"
#include "ipc/channel.h"
#include "loop/tls.h"
#include "proc/roles.h"
#include "proc/test_role.h"

#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/test_certificate.h"
#include "loop/test_support.h"

#include <openssl/ssl.h>

#define SHARDS   2
#define TEXT_MAX (16 * 1024 * 1024)

struct client {
	int fd; /* -1: none */
	SSL *ssl;
	struct buf received;
	bool ended;
};

struct shard {
	struct ipc_channel *channel;
	unsigned handovers;
	uint64_t session;
	enum handover_protocol protocol;
	bool tls;
	struct buf ticket, tag, unread, version, received;
	int fd; /* of the last hand-over */
	bool ended;
};

struct fixture {
	struct role_process process;
	struct ipc_channel *auth;
	struct shard shards[SHARDS];
	uint16_t ports[SERVICE_COUNT];
	struct client client;
	SSL_CTX *client_context;
	unsigned questions, unused;
	uint64_t asked_request;
	uint64_t asked_session;
	uint32_t asked_right;
	bool asked_tls;
	struct buf password;
	bool auth_silent, stopped;
};

static struct fixture *current; /* for the functions of role.h below */

/* --- role.h, played --- */

void role_ask_metrics(struct role_process *process)
{
}

void role_control_reply(struct role_process *process, uint64_t request, struct str body)
{
}

void role_ready(struct role_process *process)
{
	(void)process;
}

void role_stopped(struct role_process *process)
{
	(void)process;
	assert_false(current->stopped);
	current->stopped = true;
}

static bool has_status(struct fixture *f, const char *line, bool must)
{
	struct buf status = BUF_INIT(4096);
	definitions[ROLE_ACCESS]->status(&f->process, &status);
	bool has = str_find(buf_str(&status), str_from_c(line)) >= 0;
	if (must && !has)
		fail_msg("wanted %s, got:\n%.*s", line, STR_ARG(buf_str(&status)));
	buf_free(&status);
	return has;
}

static void assert_status(struct fixture *f, const char *line)
{
	has_status(f, line, true);
}

static void wait_status(struct fixture *f, const char *line)
{
	uint64_t start = loop_now_ms(f->process.loop);
	while (!has_status(f, line, loop_now_ms(f->process.loop) - start > TEST_PATIENCE_MS))
		test_run(f->process.loop, 1);
}

/* --- auth and shards --- */

static void auth_answers(struct fixture *f, const struct login_reply *reply)
{
	struct buf out = BUF_INIT(4096);
	login_reply_encode(reply, &out);
	assert_int_equal(ipc_send(f->auth, AUTH_ACCESS_LOGIN_REPLY, buf_str(&out), -1), 0);
	buf_free(&out);
}

/* alice is in shard 0, bob in shard 1, with any password but "wrong"; others are not there. */
static int auth_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct fixture *f = owner;
	struct login_request request;
	(void)fd;
	if (type == ACCESS_AUTH_TICKET_UNUSED) {
		assert_true(str_eq(body, STR("a ticket")));
		f->unused++;
		return 0;
	}
	assert_int_equal(type, ACCESS_AUTH_LOGIN);
	assert_int_equal(login_request_decode(body, &request), 0);
	f->questions++;
	f->asked_request = request.request;
	f->asked_session = request.session;
	f->asked_right = request.right;
	f->asked_tls = request.tls;
	buf_clear(&f->password);
	buf_add(&f->password, request.password);
	assert_true(str_eq(request.peer, STR("127.0.0.1")));
	if (f->auth_silent)
		return 0;
	bool alice = str_eq(request.user, STR("alice")), bob = str_eq(request.user, STR("bob"));
	struct login_reply reply = { .request = request.request, .result = LOGIN_DENIED };
	if ((alice || bob) && !str_eq(request.password, STR("wrong")))
		reply = (struct login_reply){ request.request, LOGIN_OK, bob, STR("a ticket") };
	auth_answers(f, &reply);
	return 0;
}

static void set(struct buf *to, struct str s)
{
	buf_clear(to);
	buf_add(to, s);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int shard_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct shard *shard = owner;
	struct handover handover;
	assert_int_equal(type, ACCESS_SHARD_HANDOVER);
	assert_int_equal(handover_decode(body, &handover), 0);
	assert_true(*fd >= 0);
	close_fd(&shard->fd);
	shard->fd = *fd;
	*fd = -1;
	fcntl(shard->fd, F_SETFL, O_NONBLOCK);
	shard->handovers++;
	shard->session = handover.session;
	shard->protocol = handover.protocol;
	shard->tls = handover.tls;
	shard->ended = false;
	set(&shard->ticket, handover.ticket);
	set(&shard->tag, handover.tag);
	set(&shard->unread, handover.unread);
	set(&shard->version, handover.tls_version);
	buf_clear(&shard->received);
	return 0;
}

static void ignore_close(void *owner)
{
	(void)owner;
}

static struct ipc_channel *connect_peer(struct fixture *f, enum role role, uint16_t index, ipc_message_fn *message,
                                        void *owner)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	definitions[ROLE_ACCESS]->peer(&f->process, role, index, ends[0]);
	return ipc_channel_new(f->process.loop, ends[1], message, ignore_close, owner);
}

static void tell_closed(struct shard *shard)
{
	struct session_closed closed = { shard->session };
	struct buf out = BUF_INIT(100);
	session_closed_encode(&closed, &out);
	assert_int_equal(ipc_send(shard->channel, SHARD_ACCESS_CLOSED, buf_str(&out), -1), 0);
	buf_free(&out);
}

static void shard_says(struct shard *shard, struct str text)
{
	assert_int_equal(send(shard->fd, text.p, text.n, MSG_NOSIGNAL), text.n);
}

static void pull(int fd, struct buf *into, bool *ended)
{
	char piece[16384];
	ssize_t got;
	while ((got = recv(fd, piece, sizeof piece, 0)) > 0)
		buf_add(into, str_of(piece, (size_t)got));
	*ended = *ended || got == 0 || errno == ECONNRESET;
}

static bool shard_has(struct shard *shard, const char *text)
{
	if (shard->fd >= 0)
		pull(shard->fd, &shard->received, &shard->ended);
	return str_find(buf_str(&shard->received), str_from_c(text)) >= 0;
}

static bool shard_ended(struct shard *shard)
{
	pull(shard->fd, &shard->received, &shard->ended);
	return shard->ended;
}

/* --- the client --- */

static void client_close(struct client *client)
{
	SSL_free(client->ssl);
	client->ssl = NULL;
	close_fd(&client->fd);
	buf_clear(&client->received);
	client->ended = false;
}

static void client_connect(struct fixture *f, enum service service)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(f->ports[service]),
	                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	client_close(&f->client);
	f->client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->client.fd, (struct sockaddr *)&address, sizeof address), 0);
	fcntl(f->client.fd, F_SETFL, O_NONBLOCK);
}

static void client_pull(struct client *client)
{
	char piece[16384];
	int got;
	if (!client->ssl) {
		pull(client->fd, &client->received, &client->ended);
		return;
	}
	ERR_clear_error();
	while ((got = SSL_read(client->ssl, piece, sizeof piece)) > 0)
		buf_add(&client->received, str_of(piece, (size_t)got));
	int reason = SSL_get_error(client->ssl, got);
	client->ended = client->ended || (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE);
}

static bool client_has(struct client *client, const char *text)
{
	client_pull(client);
	return str_find(buf_str(&client->received), str_from_c(text)) >= 0;
}

static bool client_ended(struct client *client)
{
	client_pull(client);
	return client->ended;
}

static bool client_shakes_hands(struct client *client)
{
	ERR_clear_error();
	return SSL_connect(client->ssl) == 1;
}

static void client_start_tls(struct fixture *f)
{
	f->client.ssl = SSL_new(f->client_context);
	SSL_set_fd(f->client.ssl, f->client.fd);
	TEST_UNTIL(f->process.loop, client_shakes_hands(&f->client));
}

static void say(struct fixture *f, const char *text)
{
	size_t n = strlen(text);
	buf_clear(&f->client.received);
	if (f->client.ssl) {
		ERR_clear_error();
		assert_int_equal(SSL_write(f->client.ssl, text, (int)n), n);
	} else {
		assert_int_equal(send(f->client.fd, text, n, MSG_NOSIGNAL), n);
	}
}

static void wait_for(struct fixture *f, const char *text)
{
	uint64_t start = loop_now_ms(f->process.loop);
	while (!client_has(&f->client, text)) {
		if (loop_now_ms(f->process.loop) - start > TEST_PATIENCE_MS)
			fail_msg("wanted: %s\nreceived: %.*s", text, STR_ARG(buf_str(&f->client.received)));
		test_run(f->process.loop, 1);
	}
}

static void talk(struct fixture *f, const char *text, const char *wanted)
{
	say(f, text);
	wait_for(f, wanted);
}

static void wait_handovers(struct fixture *f, unsigned shard, unsigned n)
{
	TEST_UNTIL(f->process.loop, f->shards[shard].handovers == n);
}

/* --- fixture --- */

static void add_listener(struct fixture *f, enum service service)
{
	definitions[ROLE_ACCESS]->listener(&f->process, service, test_listen(&f->ports[service]));
}

static struct tls_context *make_tls(void)
{
	struct buf certificate, key;
	struct tls_context *tls;
	test_certificate(&certificate, &key);
	assert_int_equal(tls_context_new(buf_str(&certificate), buf_str(&key), 0x0303, &tls), 0);
	buf_free(&certificate);
	buf_free(&key);
	return tls;
}

static void connect_shard(struct fixture *f, uint16_t index)
{
	f->shards[index].channel = connect_peer(f, ROLE_SHARD, index, shard_message, &f->shards[index]);
}

static void make_shard(struct shard *shard)
{
	shard->fd = -1;
	shard->ticket = shard->tag = shard->version = BUF_INIT(1000);
	shard->unread = BUF_INIT(HANDOVER_UNREAD_MAX);
	shard->received = BUF_INIT(TEXT_MAX);
}

static int set_up(void **state)
{
	struct fixture *f = mem_alloc(1, sizeof *f);
	if (access_main() != 0)
		return -1;
	current = f;
	f->client = (struct client){ .fd = -1, .received = BUF_INIT(TEXT_MAX) };
	f->password = BUF_INIT(2000);
	f->client_context = SSL_CTX_new(TLS_client_method());
	f->process.loop = loop_new();
	f->process.tls = make_tls();
	f->process.setup = (struct setup){ .role = ROLE_ACCESS, .count = 1, .shards = SHARDS };
	conf_defaults(&f->process.conf);
	f->process.conf.login.allow_plain_without_tls = CONF_PLAIN_LOOPBACK;
	f->process.conf.login.max_connections_per_address = 3;
	f->process.conf.login.failure_delay_ms = 150;
	f->process.conf.login.max_failures = 2;
	assert_int_equal(definitions[ROLE_ACCESS]->prepare(&f->process), 0);
	for (unsigned service = SERVICE_IMAP; service <= SERVICE_POP3S; service++)
		add_listener(f, (enum service)service);
	f->auth = connect_peer(f, ROLE_AUTH, 0, auth_message, f);
	for (uint16_t i = 0; i < SHARDS; i++) {
		make_shard(&f->shards[i]);
		connect_shard(f, i);
	}
	definitions[ROLE_ACCESS]->start(&f->process);
	*state = f;
	return 0;
}

static void free_shard(struct shard *shard)
{
	struct buf *bufs[] = { &shard->ticket, &shard->tag, &shard->unread, &shard->version, &shard->received };
	ipc_channel_free(&shard->channel);
	close_fd(&shard->fd);
	for (size_t i = 0; i < COUNT_OF(bufs); i++)
		buf_free(bufs[i]);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	client_close(&f->client);
	definitions[ROLE_ACCESS]->finish(&f->process);
	ipc_channel_free(&f->auth);
	for (unsigned i = 0; i < SHARDS; i++)
		free_shard(&f->shards[i]);
	tls_context_free(&f->process.tls);
	SSL_CTX_free(f->client_context);
	conf_free(&f->process.conf);
	loop_free(&f->process.loop);
	buf_free(&f->client.received);
	buf_free(&f->password);
	mem_free(f);
	return 0;
}

/* --- what must hold --- */

static void a_plain_login_passes_the_descriptor_and_what_was_unread(void **state)
{
	struct fixture *f = *state;
	struct shard *shard = &f->shards[0];
	client_connect(f, SERVICE_IMAP);
	wait_for(f, "* OK [CAPABILITY IMAP4rev1");
	say(f, "a CAPABILITY\r\nlogin LOGIN alice secret\r\nb NOOP\r\nc NO");
	wait_handovers(f, 0, 1);
	assert_true(str_eq(buf_str(&shard->tag), STR("login")));
	assert_true(str_eq(buf_str(&shard->ticket), STR("a ticket")));
	assert_true(str_eq(buf_str(&shard->unread), STR("b NOOP\r\nc NO")));
	assert_true(str_eq(buf_str(&f->password), STR("secret")));
	assert_int_equal(shard->session, f->asked_session);
	assert_int_equal(shard->protocol, HANDOVER_IMAP);
	assert_int_equal(f->asked_right, TICKET_IMAP);
	assert_false(shard->tls);
	wait_for(f, "a OK ");
	assert_false(client_has(&f->client, "login OK")); /* the shard says that */
	shard_says(shard, STR("login OK\r\n"));
	wait_for(f, "login OK\r\n");
	say(f, "OP\r\n");
	TEST_UNTIL(f->process.loop, shard_has(shard, "OP\r\n"));
	assert_status(f, "connections=1\nconnections_before_login=0\n");
	tell_closed(shard);
	wait_status(f, "connections=0\n");
	assert_status(f, "logins=1\n");
}

static void pop3_goes_the_same_way(void **state)
{
	struct fixture *f = *state;
	struct shard *shard = &f->shards[1];
	client_connect(f, SERVICE_POP3);
	wait_for(f, "+OK Mansio is ready.\r\n");
	talk(f, "CAPA\r\n", "STLS\r\n");
	talk(f, "USER bob\r\n", "+OK ");
	say(f, "PASS a b\r\nSTAT\r\n");
	wait_handovers(f, 1, 1);
	assert_int_equal(shard->protocol, HANDOVER_POP3);
	assert_int_equal(f->asked_right, TICKET_POP3);
	assert_int_equal(shard->tag.n, 0);
	assert_true(str_eq(buf_str(&f->password), STR("a b")));
	assert_true(str_eq(buf_str(&shard->unread), STR("STAT\r\n")));
	shard_says(shard, STR("+OK Logged in.\r\n"));
	wait_for(f, "+OK Logged in.\r\n");
}

static void a_failed_login_waits_and_too_many_close(void **state)
{
	struct fixture *f = *state;
	client_connect(f, SERVICE_IMAP);
	wait_for(f, "* OK ");
	uint64_t start = loop_now_ms(f->process.loop);
	talk(f, "a LOGIN alice wrong\r\nb NOOP\r\n", "a NO [AUTHENTICATIONFAILED]");
	assert_true(loop_now_ms(f->process.loop) - start >= 150);
	wait_for(f, "b OK ");
	talk(f, "c LOGIN nobody x\r\n", "* BYE Too many failed logins.\r\n");
	TEST_UNTIL(f->process.loop, client_ended(&f->client));
	assert_status(f, "login_failures_imap=2\n");
	client_close(&f->client);
	wait_status(f, "connections=0\n");
}

static void while_auth_or_a_shard_is_away_clients_try_again(void **state)
{
	struct fixture *f = *state;
	client_connect(f, SERVICE_IMAP);
	wait_for(f, "* OK ");
	ipc_channel_free(&f->shards[0].channel);
	talk(f, "a LOGIN alice secret\r\n", "a NO [UNAVAILABLE]");
	connect_shard(f, 0);
	f->auth_silent = true;
	client_connect(f, SERVICE_IMAP); /* they are counted */
	wait_for(f, "* OK ");
	say(f, "b LOGIN alice secret\r\nc NOOP\r\n");
	TEST_UNTIL(f->process.loop, f->questions == 2);
	ipc_channel_free(&f->auth);
	wait_for(f, "b NO [UNAVAILABLE]");
	wait_for(f, "c OK ");
	client_connect(f, SERVICE_IMAP);
	wait_for(f, "* OK ");
	talk(f, "d LOGIN alice secret\r\ne NOOP\r\n", "d NO [UNAVAILABLE]");
	wait_for(f, "e OK ");
	f->auth = connect_peer(f, ROLE_AUTH, 0, auth_message, f);
	f->auth_silent = false;
	say(f, "f LOGIN alice secret\r\n");
	wait_handovers(f, 0, 1);
	client_connect(f, SERVICE_POP3);
	wait_for(f, "+OK ");
	ipc_channel_free(&f->auth);
	talk(f, "USER alice\r\nPASS x\r\n", "-ERR [SYS/TEMP]");
}

static void a_login_that_becomes_no_session_is_told_to_auth(void **state)
{
	struct fixture *f = *state;
	f->process.conf.pop3.login_delay_ms = 1000;
	client_connect(f, SERVICE_POP3);
	wait_for(f, "+OK ");
	ipc_channel_free(&f->shards[0].channel);
	talk(f, "USER alice\r\nPASS x\r\n", "-ERR [SYS/TEMP]");
	TEST_UNTIL(f->process.loop, f->unused == 1);
	/* An answer that nobody waits for any more. */
	auth_answers(f, &(struct login_reply){ f->asked_request, LOGIN_OK, 1, STR("a ticket") });
	TEST_UNTIL(f->process.loop, f->unused == 2);
	say(f, "USER bob\r\nPASS x\r\n");
	wait_handovers(f, 1, 1);
	test_run(f->process.loop, 20);
	assert_int_equal(f->unused, 2);
}

static void an_address_has_so_many_connections(void **state)
{
	struct fixture *f = *state;
	struct client others[2];
	for (unsigned i = 0; i < 2; i++) {
		client_connect(f, i ? SERVICE_IMAP : SERVICE_POP3);
		wait_for(f, "OK ");
		others[i] = f->client;
		f->client = (struct client){ .fd = -1, .received = BUF_INIT(TEXT_MAX) };
	}
	client_connect(f, SERVICE_IMAP);
	wait_for(f, "* OK ");
	say(f, "a LOGIN alice x\r\n");
	wait_handovers(f, 0, 1); /* it counts on */
	client_connect(f, SERVICE_POP3);
	wait_for(f, "-ERR [SYS/TEMP] Too many connections.\r\n");
	client_connect(f, SERVICE_IMAP);
	wait_for(f, "* BYE [UNAVAILABLE] Too many connections.\r\n");
	assert_status(f, "connections_refused=2\n");
	ipc_channel_free(&f->shards[0].channel);
	wait_status(f, "connections=2\n");
	client_connect(f, SERVICE_IMAP);
	wait_for(f, "* OK ");
	for (unsigned i = 0; i < 2; i++) {
		client_close(&others[i]);
		buf_free(&others[i].received);
	}
}

/* Logs in by STARTTLS: afterwards the connection is relayed. */
static void log_in_with_tls(struct fixture *f)
{
	client_connect(f, SERVICE_IMAP);
	wait_for(f, " STARTTLS");
	talk(f, "a STARTTLS\r\nevil NOOP\r\n", "a OK ");
	client_start_tls(f);
	talk(f, "b CAPABILITY\r\n", "b OK ");
	assert_false(client_has(&f->client, "evil"));
	assert_false(client_has(&f->client, "STARTTLS"));
	say(f, "c LOGIN alice secret\r\nd NOOP\r\n");
	wait_handovers(f, 0, 1);
	assert_true(f->asked_tls);
	assert_true(f->shards[0].tls);
	assert_true(str_eq(buf_str(&f->shards[0].version), STR("TLSv1.3")));
	TEST_UNTIL(f->process.loop, shard_has(&f->shards[0], "d NOOP\r\n"));
}

/* A right login hears that it is to come again, as one without TLS does. */
static void without_descriptors_a_tls_login_is_put_off(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, none;
	client_connect(f, SERVICE_IMAPS);
	client_start_tls(f);
	wait_for(f, "* OK ");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	say(f, "a LOGIN alice secret\r\n");
	TEST_UNTIL(f->process.loop, client_has(&f->client, "a NO [UNAVAILABLE]") || client_ended(&f->client));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(client_has(&f->client, "a NO [UNAVAILABLE]"));
	assert_int_equal(f->shards[0].handovers, 0);
	say(f, "b LOGIN alice secret\r\n");
	wait_handovers(f, 0, 1);
	assert_true(f->shards[0].tls);
}

static void tls_is_relayed_both_ways(void **state)
{
	struct fixture *f = *state;
	struct shard *shard = &f->shards[0];
	log_in_with_tls(f);
	assert_status(f, "relays=1\n");
	shard_says(shard, STR("c OK\r\n"));
	wait_for(f, "c OK\r\n");
	struct buf large = BUF_INIT(TEXT_MAX);
	for (unsigned i = 0; i < 200000; i++)
		buf_addf(&large, "%u ", i);
	size_t sent = 0;
	buf_clear(&f->client.received);
	uint64_t start = loop_now_ms(f->process.loop);
	while (f->client.received.n < large.n && loop_now_ms(f->process.loop) - start < TEST_PATIENCE_MS) {
		ssize_t n = sent < large.n ? send(shard->fd, large.p + sent, large.n - sent, MSG_NOSIGNAL) : 0;
		sent += n > 0 ? (size_t)n : 0;
		test_run(f->process.loop, 1);
		client_pull(&f->client);
	}
	assert_true(str_eq(buf_str(&f->client.received), buf_str(&large)));
	buf_free(&large);
	/* The shard ends the session. */
	shard_says(shard, STR("* BYE\r\n"));
	close_fd(&shard->fd);
	wait_for(f, "* BYE\r\n");
	TEST_UNTIL(f->process.loop, client_ended(&f->client));
	client_close(&f->client);
	wait_status(f, "connections=0\n");
	wait_status(f, "relays=0\n");
}

static void a_tls_client_may_end_its_side_first(void **state)
{
	struct fixture *f = *state;
	struct shard *shard = &f->shards[0];
	log_in_with_tls(f);
	say(f, "e LOGOUT\r\n");
	SSL_shutdown(f->client.ssl);
	TEST_UNTIL(f->process.loop, shard_ended(shard));
	assert_true(shard_has(shard, "e LOGOUT\r\n"));
	shard_says(shard, STR("* BYE\r\ne OK\r\n"));
	close_fd(&shard->fd);
	wait_for(f, "e OK\r\n");
	TEST_UNTIL(f->process.loop, client_ended(&f->client));
}

static void a_tls_client_that_vanishes_ends_its_session(void **state)
{
	struct fixture *f = *state;
	log_in_with_tls(f);
	client_close(&f->client);
	TEST_UNTIL(f->process.loop, shard_ended(&f->shards[0]));
	close_fd(&f->shards[0].fd); /* as the shard does */
	wait_status(f, "connections=0\n");
}

static void tls_from_the_start_greets_after_the_handshake(void **state)
{
	struct fixture *f = *state;
	client_connect(f, SERVICE_POP3S);
	client_start_tls(f);
	wait_for(f, "+OK Mansio is ready.\r\n");
	say(f, "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
	wait_handovers(f, 0, 1);
	assert_true(f->shards[0].tls);
	assert_int_equal(f->shards[0].protocol, HANDOVER_POP3);
}

static void without_a_certificate_there_is_no_tls(void **state)
{
	struct fixture *f = *state;
	tls_context_free(&f->process.tls);
	f->process.conf.login.allow_plain_without_tls = CONF_PLAIN_NEVER;
	client_connect(f, SERVICE_IMAP);
	wait_for(f, " LOGINDISABLED]");
	talk(f, "a LOGIN alice secret\r\n", "a NO [PRIVACYREQUIRED]");
	assert_int_equal(f->questions, 0);
	client_connect(f, SERVICE_IMAPS);
	TEST_UNTIL(f->process.loop, client_ended(&f->client));
}

static void who_does_not_log_in_is_closed_in_time(void **state)
{
	struct fixture *f = *state;
	f->process.conf.login.timeout_ms = 200;
	client_connect(f, SERVICE_IMAP);
	wait_for(f, "* BYE No login came in time.\r\n");
	TEST_UNTIL(f->process.loop, client_ended(&f->client));
	client_connect(f, SERVICE_IMAPS); /* no handshake either */
	TEST_UNTIL(f->process.loop, client_ended(&f->client));
}

static void a_stop_says_good_bye_and_ends_relays(void **state)
{
	struct fixture *f = *state;
	log_in_with_tls(f);
	struct client relayed = f->client;
	f->client = (struct client){ .fd = -1, .received = BUF_INIT(TEXT_MAX) };
	client_connect(f, SERVICE_IMAP);
	wait_for(f, "* OK ");
	definitions[ROLE_ACCESS]->stop(&f->process);
	wait_for(f, "* BYE The server is stopping.\r\n");
	TEST_UNTIL(f->process.loop, client_ended(&f->client));
	client_close(&f->client);
	TEST_UNTIL(f->process.loop, f->stopped);
	TEST_UNTIL(f->process.loop, client_ended(&relayed));
	client_close(&relayed);
	buf_free(&relayed.received);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_plain_login_passes_the_descriptor_and_what_was_unread),
		TEST(pop3_goes_the_same_way),
		TEST(a_failed_login_waits_and_too_many_close),
		TEST(while_auth_or_a_shard_is_away_clients_try_again),
		TEST(a_login_that_becomes_no_session_is_told_to_auth),
		TEST(an_address_has_so_many_connections),
		TEST(without_descriptors_a_tls_login_is_put_off),
		TEST(tls_is_relayed_both_ways),
		TEST(a_tls_client_may_end_its_side_first),
		TEST(a_tls_client_that_vanishes_ends_its_session),
		TEST(tls_from_the_start_greets_after_the_handshake),
		TEST(without_a_certificate_there_is_no_tls),
		TEST(who_does_not_log_in_is_closed_in_time),
		TEST(a_stop_says_good_bye_and_ends_relays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
