/* role_test_world.h: the whole role in one process for role_test.c: real sockets and channels, with auth and two shards
 * played by the test. role.c is played too: it hands us the role's table. */
#ifndef PROC_SMTP_ROLE_TEST_WORLD_H
#define PROC_SMTP_ROLE_TEST_WORLD_H

#include "base/checked.h"
#include "base/mem.h"
#include "base/test_folder.h"
#include "ipc/channel.h"
#include "ipc/smtp_auth.h"
#include "ipc/smtp_shard.h"
#include "loop/listener.h"
#include "loop/stream.h"
#include "proc/roles.h"
#include "proc/test_role.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SHARDS       2
#define RECEIVED_MAX (1024 * 1024)
#define PATIENCE_MS  20000

struct shard {
	struct fixture *fixture;
	struct ipc_channel *channel;
	enum deliver_result result;
	bool silent; /* stops the loop when it has a delivery, and says nothing; what it would have said: */
	struct buf answer;
	struct buf body, head;
	struct delivery_key key;
	uint64_t request; /* the last one */
	unsigned deliveries, recipients, confirmed, doubted, left;
	bool by_file;
};

struct fixture {
	struct role_process process;
	struct ipc_channel *auth;
	unsigned asked; /* auth, where an address leads */
	bool all_are_gone; /* it leads nowhere any more */
	struct shard shards[SHARDS];
	uint16_t ports[SERVICE_COUNT];
	bool auth_is_silent; /* stops the loop at questions about logins and senders, and says nothing */
	struct buf login_answer; /* the last one, said or not */
	bool auth_is_confused; /* answers each question with the answers to others first */
	struct stream *client;
	struct buf received;
	const char *wanted;  /* the loop stops when this was received */
	unsigned wanted_confirmations;
	struct loop_timer *drip;
	bool client_closed, ready, stopped, timed_out;
};

static struct fixture *current; /* for the functions of role.h below */

/* --- role.h, played --- */

void role_control_reply(struct role_process *process, uint64_t request, struct str body)
{
}

void role_ready(struct role_process *process)
{
	current->ready = true;
}

void role_stopped(struct role_process *process)
{
	current->stopped = true;
	loop_stop(process->loop);
}

/* --- auth and shards --- */

static inline void auth_answers(struct fixture *fixture, uint16_t type, const struct buf *answer)
{
	assert_int_equal(ipc_send(fixture->auth, type, buf_str(answer), -1), 0);
}

/* The answers that do not belong to a question of this type. */
static inline void auth_confuses(struct fixture *fixture, uint16_t type, uint64_t request)
{
	struct buf out = BUF_INIT(4096);
	if (type != SMTP_AUTH_LOGIN) {
		struct smtp_login_reply yes = { .request = request, .result = LOGIN_OK, .user = STR("x@y") };
		smtp_login_reply_encode(&yes, &out);
		auth_answers(fixture, AUTH_SMTP_LOGIN_REPLY, &out);
		buf_clear(&out);
	}
	if (type != SMTP_AUTH_SENDER) {
		sender_reply_encode(&(struct sender_reply){ request, SENDER_OWN }, &out);
		auth_answers(fixture, AUTH_SMTP_SENDER_REPLY, &out);
		buf_clear(&out);
	}
	if (type != SMTP_AUTH_RESOLVE) {
		resolve_reply_encode(&(struct resolve_reply){ .request = request, .result = RESOLVE_LOOP }, &out);
		auth_answers(fixture, AUTH_SMTP_RESOLVE_REPLY, &out);
	}
	buf_free(&out);
}

/* The password is "secret"; an account is that of its first letter. */
static inline int auth_login(struct fixture *fixture, struct str body)
{
	struct login_request request;
	assert_int_equal(login_request_decode(body, &request), 0);
	assert_int_equal(request.right, TICKET_SMTP);
	assert_false(request.tls);
	assert_true(str_eq(request.peer, STR("127.0.0.1")));
	bool right = str_eq(request.password, STR("secret"));
	struct smtp_login_reply reply = { .request = request.request, .result = right ? LOGIN_OK : LOGIN_DENIED };
	if (right)
		reply.account.bytes[0] = (unsigned char)request.user.p[0], reply.app_password = 7, reply.user = request.user;
	buf_clear(&fixture->login_answer);
	smtp_login_reply_encode(&reply, &fixture->login_answer);
	if (fixture->auth_is_confused)
		auth_confuses(fixture, SMTP_AUTH_LOGIN, request.request);
	if (fixture->auth_is_silent)
		loop_stop(fixture->process.loop);
	else
		auth_answers(fixture, AUTH_SMTP_LOGIN_REPLY, &fixture->login_answer);
	return 0;
}

static inline int auth_sender(struct fixture *fixture, struct str body)
{
	struct sender_request request;
	assert_int_equal(sender_request_decode(body, &request), 0);
	char first = request.address.n > 0 ? request.address.p[0] : (char)request.account.bytes[0];
	assert_int_equal(request.app_password, 7);
	struct sender_reply reply = { request.request, first == 'g'                             ? SENDER_LOGGED_OUT
		                                           : first == (char)request.account.bytes[0] ? SENDER_OWN
		                                                                                     : SENDER_OTHER };
	struct buf out = BUF_INIT(4096);
	sender_reply_encode(&reply, &out);
	if (fixture->auth_is_confused)
		auth_confuses(fixture, SMTP_AUTH_SENDER, request.request);
	if (fixture->auth_is_silent)
		loop_stop(fixture->process.loop);
	else
		auth_answers(fixture, AUTH_SMTP_SENDER_REPLY, &out);
	buf_free(&out);
	return 0;
}

/* a@ is an account of shard 0, b@ of shard 1; others are not there. */
static inline int auth_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct fixture *fixture = owner;
	struct resolve_request request;
	if (type == SMTP_AUTH_LOGIN)
		return auth_login(fixture, body);
	if (type == SMTP_AUTH_SENDER)
		return auth_sender(fixture, body);
	assert_int_equal(type, SMTP_AUTH_RESOLVE);
	assert_int_equal(resolve_request_decode(body, &request), 0);
	fixture->asked++;
	unsigned char first = (unsigned char)request.address.p[0];
	struct resolve_target target = { { { first } }, (uint16_t)(first - 'a') };
	bool known = target.shard < SHARDS && !fixture->all_are_gone;
	struct resolve_reply reply = { .request = request.request,
		                           .result = known ? RESOLVE_OK : RESOLVE_NO_SUCH_USER,
		                           .targets = known ? &target : NULL,
		                           .n_targets = known };
	struct buf out = BUF_INIT(4096);
	resolve_reply_encode(&reply, &out);
	if (fixture->auth_is_confused)
		auth_confuses(fixture, SMTP_AUTH_RESOLVE, request.request);
	auth_answers(fixture, AUTH_SMTP_RESOLVE_REPLY, &out);
	buf_free(&out);
	return 0;
}

static inline void shard_answers(struct shard *shard)
{
	assert_int_equal(ipc_send(shard->channel, SHARD_SMTP_DELIVER_REPLY, buf_str(&shard->answer), -1), 0);
}

static inline void shard_delivers(struct shard *shard, const struct deliver *message, int fd)
{
	unsigned char results[10];
	buf_clear(&shard->body);
	buf_clear(&shard->head);
	buf_add(&shard->head, message->head);
	buf_add(&shard->body, message->body);
	shard->by_file = fd >= 0;
	if (fd >= 0) {
		char *to = buf_reserve(&shard->body, message->body_length);
		assert_int_equal(pread(fd, to, message->body_length, 0), message->body_length);
		buf_commit(&shard->body, message->body_length);
	}
	shard->deliveries++;
	shard->recipients = message->n_recipients;
	shard->key = message->recipients[0].key;
	shard->request = message->request;
	memset(results, (int)shard->result, sizeof results);
	struct deliver_reply reply = { message->request, results, message->n_recipients };
	buf_clear(&shard->answer);
	deliver_reply_encode(&reply, &shard->answer);
	if (shard->silent)
		loop_stop(shard->fixture->process.loop);
	else
		shard_answers(shard);
}

static inline int shard_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct shard *shard = owner;
	struct fixture *fixture = shard->fixture;
	if (type == SMTP_SHARD_DELIVER) {
		struct arena arena = ARENA_INIT(65536);
		struct deliver message;
		assert_int_equal(deliver_decode(body, *fd >= 0, &arena, &message), 0);
		shard_delivers(shard, &message, *fd);
		arena_free(&arena);
		return 0;
	}
	struct deliver_ends ends;
	assert_int_equal(type, SMTP_SHARD_ENDS);
	assert_int_equal(deliver_ends_decode(body, &ends), 0);
	for (uint32_t i = 0; i < ends.n; i++) {
		/* The answer was written before: nothing is forgotten that the client may not know. */
		shard->confirmed += ends.list[i].outcome == DELIVER_CONFIRMED;
		shard->doubted += ends.list[i].outcome == DELIVER_DOUBTFUL;
		shard->left += ends.list[i].outcome == DELIVER_LEFT;
		assert_true(ends.list[i].outcome != DELIVER_CONFIRMED || ends.list[i].request == shard->request);
	}
	if (fixture->wanted_confirmations && fixture->shards[0].confirmed + fixture->shards[1].confirmed ==
	                                         fixture->wanted_confirmations)
		loop_stop(fixture->process.loop);
	return 0;
}

static inline void ignore_close(void *owner)
{
}

/* Our end of a channel; the other is the role's. */
static inline struct ipc_channel *connect_peer(struct fixture *fixture, enum role role, uint16_t index,
                                        ipc_message_fn *message, void *owner)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	definitions[ROLE_SMTP]->peer(&fixture->process, role, index, ends[0]);
	return ipc_channel_new(fixture->process.loop, ends[1], message, ignore_close, owner);
}

/* --- the client --- */

static inline size_t client_input(void *owner, struct str bytes)
{
	struct fixture *fixture = owner;
	buf_add(&fixture->received, bytes);
	if (fixture->wanted && str_find(buf_str(&fixture->received), str_from_c(fixture->wanted)) >= 0)
		loop_stop(fixture->process.loop);
	return bytes.n;
}

static inline void client_closed(void *owner, int err)
{
	struct fixture *fixture = owner;
	fixture->client_closed = true;
	loop_stop(fixture->process.loop);
}

static inline void on_guard(void *owner)
{
	struct fixture *fixture = owner;
	fixture->timed_out = true;
	loop_stop(fixture->process.loop);
}

static inline void run(struct fixture *fixture)
{
	struct loop_timer *guard = loop_timer_new(fixture->process.loop, on_guard, fixture);
	loop_timer_start(guard, PATIENCE_MS);
	loop_run(fixture->process.loop);
	loop_timer_free(&guard);
	if (fixture->timed_out)
		fail_msg("nothing came; received: %.*s", STR_ARG(buf_str(&fixture->received)));
}

static inline void client_connect(struct fixture *fixture, enum service service)
{
	static const struct stream_events events = { .input = client_input, .closed = client_closed };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(fixture->ports[service]),
		                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	struct stream_limits limits = { 65536, 64 * 1024 * 1024 };
	stream_free(&fixture->client);
	fixture->client = stream_new(fixture->process.loop, fd, limits, &events, fixture);
	fixture->client_closed = false;
	buf_clear(&fixture->received);
}

static inline void say(struct fixture *fixture, struct str text)
{
	outq_add(stream_output(fixture->client), text);
	stream_flush(fixture->client);
}

/* Says it and waits for an answer with these words. */
static inline void talk(struct fixture *fixture, const char *text, const char *wanted)
{
	buf_clear(&fixture->received);
	fixture->wanted = wanted;
	say(fixture, str_from_c(text));
	run(fixture);
	if (str_find(buf_str(&fixture->received), str_from_c(wanted)) < 0)
		fail_msg("received: %.*s\nwanted: %s", STR_ARG(buf_str(&fixture->received)), wanted);
	fixture->wanted = NULL;
}

static inline void assert_status(struct fixture *fixture, const char *line)
{
	struct buf status = BUF_INIT(4096);
	definitions[ROLE_SMTP]->status(&fixture->process, &status);
	if (str_find(buf_str(&status), str_from_c(line)) < 0)
		fail_msg("wanted %s, got:\n%.*s", line, STR_ARG(buf_str(&status)));
	buf_free(&status);
}

static inline void wait_confirmations(struct fixture *fixture, unsigned n)
{
	fixture->wanted_confirmations = n;
	while (fixture->shards[0].confirmed + fixture->shards[1].confirmed < n)
		run(fixture); /* which also ends when the client closes */
	assert_int_equal(fixture->shards[0].confirmed + fixture->shards[1].confirmed, n);
	fixture->wanted_confirmations = 0;
}

/* --- fixture --- */

static inline void add_listener(struct fixture *fixture, enum service service)
{
	definitions[ROLE_SMTP]->listener(&fixture->process, service, test_listen(&fixture->ports[service]));
}

static inline int set_up(void **state)
{
	struct fixture *fixture = mem_alloc(1, sizeof *fixture);
	char *path = mem_alloc(TEST_FOLDER_SIZE, 1);
	if (!test_folder_make(path, "smtp-test") || smtp_main() != 0)
		return -1;
	current = fixture;
	fixture->received = BUF_INIT(RECEIVED_MAX);
	fixture->login_answer = BUF_INIT(4096);
	fixture->process.loop = loop_new();
	fixture->process.setup = (struct setup){ .role = ROLE_SMTP, .count = 1, .shards = SHARDS,
		                                     .hostname = STR("mail.example"), .directory = str_from_c(path) };
	conf_defaults(&fixture->process.conf);
	fixture->process.conf.smtp.max_connections_per_address = 2;
	fixture->process.conf.smtp.max_connections = 16;
	fixture->process.conf.store.reserve_free_space = 0;
	fixture->process.conf.login.allow_plain_without_tls = CONF_PLAIN_LOOPBACK;
	fixture->process.conf.login.failure_delay_ms = 1;
	assert_int_equal(definitions[ROLE_SMTP]->prepare(&fixture->process), 0);
	add_listener(fixture, SERVICE_SMTP);
	add_listener(fixture, SERVICE_LMTP);
	add_listener(fixture, SERVICE_SUBMISSION);
	add_listener(fixture, SERVICE_SUBMISSIONS);
	fixture->auth = connect_peer(fixture, ROLE_AUTH, 0, auth_message, fixture);
	for (uint16_t i = 0; i < SHARDS; i++) {
		fixture->shards[i].fixture = fixture;
		fixture->shards[i].body = fixture->shards[i].head = fixture->shards[i].answer = BUF_INIT(10 * 1024 * 1024);
		fixture->shards[i].channel = connect_peer(fixture, ROLE_SHARD, i, shard_message, &fixture->shards[i]);
	}
	definitions[ROLE_SMTP]->start(&fixture->process);
	assert_true(fixture->ready);
	*state = fixture;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char path[200];
	snprintf(path, sizeof path, "%.*s", STR_ARG(fixture->process.setup.directory));
	stream_free(&fixture->client);
	definitions[ROLE_SMTP]->finish(&fixture->process);
	ipc_channel_free(&fixture->auth);
	for (uint16_t i = 0; i < SHARDS; i++) {
		ipc_channel_free(&fixture->shards[i].channel);
		buf_free(&fixture->shards[i].body);
		buf_free(&fixture->shards[i].head);
		buf_free(&fixture->shards[i].answer);
	}
	mem_free((void *)(uintptr_t)fixture->process.setup.directory.p);
	conf_free(&fixture->process.conf);
	loop_free(&fixture->process.loop);
	buf_free(&fixture->received);
	buf_free(&fixture->login_answer);
	mem_free(fixture);
	char spool[220];
	snprintf(spool, sizeof spool, "%s/spool", path);
	return rmdir(spool) != 0 || rmdir(path) != 0; /* nothing may be left in them */
}

#endif
