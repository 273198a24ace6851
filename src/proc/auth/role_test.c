/* The roles auth and authwork in one process, with real channels; access, smtp, shard and supervisor are played by
 * the test, and so is role.c: it hands us the roles' tables. */
#include "auth/directory.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/test_folder.h"
#include "ipc/access_auth.h"
#include "ipc/auth_shard.h"
#include "ipc/channel.h"
#include "ipc/control.h"
#include "ipc/smtp_auth.h"
#include "loop/test_support.h"
#include "proc/roles.h"
#include "proc/test_role.h"
#include "proc/store_folder.h"
#include "syntax/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000
#define FIRST_REQUEST 70
#define FREE_GUESSES 3

struct fixture {
	struct loop *loop;
	struct loop_timer *patience;
	struct role_process auth, authwork;
	struct ipc_channel *access, *smtp, *shard;
	char folder[TEST_FOLDER_SIZE];
	uint64_t next_request;
	const char *peer; /* whose address logins by IMAP come from */
	bool waiting; /* the loop runs until it is false */
	bool access_closed;
	/* the last answers */
	struct login_reply login;
	struct ticket ticket;
	char user[LOGIN_USER_MAX + 1];
	int ticket_result;
	struct resolve_reply resolved;
	unsigned changes; /* that smtp was told of */
	struct smtp_login_reply submission;
	struct buf control;
	struct control_reply controlled;
	/* what access was told of EXPIRE */
	struct expire_news expire;
	unsigned expires_told;
	/* what the shard was told */
	unsigned created, destroyed;
	bool shard_is_silent;
};

static struct fixture *current; /* for the functions of role.h below */

/* --- role.h, played --- */

void role_ready(struct role_process *process)
{
}

void role_stopped(struct role_process *process)
{
}

void role_failed(struct role_process *process)
{
	fail();
}

static void got(struct fixture *f)
{
	f->waiting = false;
	loop_stop(f->loop);
}

void role_control_reply(struct role_process *process, uint64_t request, struct str body)
{
	buf_clear(&current->control);
	buf_add(&current->control, body);
	assert_int_equal(0, control_reply_decode(buf_str(&current->control), &current->controlled));
	got(current);
}

/* --- access, smtp, shard, played --- */

static int access_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct fixture *f = owner;
	if (type == AUTH_ACCESS_EXPIRE) {
		assert_int_equal(0, expire_news_decode(body, &f->expire));
		f->expires_told++;
		return 0;
	}
	assert_int_equal(AUTH_ACCESS_LOGIN_REPLY, type);
	assert_int_equal(0, login_reply_decode(body, &f->login));
	struct mac *key = mac_new(str_of((const char *)f->auth.setup.ticket_key, TICKET_KEY_SIZE));
	f->ticket_result =
		f->login.result == LOGIN_OK ? ticket_open(f->login.ticket, key, time(NULL), &f->ticket) : ERR_DENIED;
	mac_free(&key);
	if (f->ticket_result == 0)
		snprintf(f->user, sizeof f->user, "%.*s", STR_ARG(f->ticket.user));
	f->login.ticket = f->ticket.user = (struct str){ NULL, 0 };
	got(f);
	return 0;
}

static int smtp_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct fixture *f = owner;
	struct arena arena = ARENA_INIT(65536);
	if (type == AUTH_SMTP_LOGIN_REPLY) {
		assert_int_equal(0, smtp_login_reply_decode(body, &f->submission));
		got(f);
		return 0;
	}
	if (type == AUTH_SMTP_CHANGED) {
		assert_int_equal(0, body.n);
		f->changes++;
		return 0;
	}
	assert_int_equal(AUTH_SMTP_RESOLVE_REPLY, type);
	assert_int_equal(0, resolve_reply_decode(body, &arena, &f->resolved));
	f->resolved.targets = NULL;
	arena_free(&arena);
	got(f);
	return 0;
}

static int shard_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct fixture *f = owner;
	struct account_order order;
	struct buf out = BUF_INIT(4096);
	assert_int_equal(AUTH_SHARD_ORDER, type);
	assert_int_equal(0, account_order_decode(body, &order));
	f->created += order.kind == ACCOUNT_CREATE;
	f->destroyed += order.kind == ACCOUNT_DESTROY;
	if (f->shard_is_silent)
		return 0;
	struct account_order_reply reply = { .request = order.request, .messages = 12, .bytes = 3456 };
	account_order_reply_encode(&reply, &out);
	assert_int_equal(0, ipc_send(f->shard, SHARD_AUTH_ORDER_REPLY, buf_str(&out), -1));
	buf_free(&out);
	return 0;
}

static void access_closed(void *owner)
{
	struct fixture *f = owner;
	f->access_closed = true;
	got(f);
}

static void ignore_closed(void *owner)
{
}

static void ran_out_of_patience(void *owner)
{
	fail_msg("nothing came for %d ms", PATIENCE_MS);
}

/* Runs the loop until an answer has come. */
static void wait_answer(struct fixture *f)
{
	f->waiting = true;
	loop_timer_start(f->patience, PATIENCE_MS);
	while (f->waiting)
		loop_run(f->loop);
	loop_timer_stop(f->patience);
}

static void let_pass(void *owner)
{
	got(owner);
}

/* For what must not come; what must is waited for by TEST_UNTIL. */
static void wait_ms(struct fixture *f, uint64_t milliseconds)
{
	struct loop_timer *timer = loop_timer_new(f->loop, let_pass, f);
	loop_timer_start(timer, milliseconds);
	f->waiting = true;
	while (f->waiting)
		loop_run(f->loop);
	loop_timer_free(&timer);
}

/* A new channel between a role and the test. */
static struct ipc_channel *connect_peer(struct fixture *f, enum role role, ipc_message_fn *message,
					ipc_closed_fn *closed)
{
	int fds[2];
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
	definitions[ROLE_AUTH]->peer(&f->auth, role, 0, fds[0]);
	return ipc_channel_new(f->loop, fds[1], message, closed, f);
}

static void connect_shard(struct fixture *f)
{
	ipc_channel_free(&f->shard);
	f->shard = connect_peer(f, ROLE_SHARD, shard_message, ignore_closed);
}

static void connect_access(struct fixture *f)
{
	ipc_channel_free(&f->access);
	f->access = connect_peer(f, ROLE_ACCESS, access_message, access_closed);
}

static void connect_authwork(struct fixture *f)
{
	int fds[2];
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
	definitions[ROLE_AUTHWORK]->peer(&f->authwork, ROLE_AUTH, 0, fds[1]);
	definitions[ROLE_AUTH]->peer(&f->auth, ROLE_AUTHWORK, 0, fds[0]);
}

static void set_up_process(struct fixture *f, struct role_process *process, enum role role)
{
	process->loop = f->loop;
	process->setup.role = role;
	process->setup.shards = 1;
	process->setup.directory = str_from_c(f->folder);
	conf_defaults(&process->conf);
	process->conf.login.password_memory = 64 * 1024;
	process->conf.login.password_iterations = 1;
	process->conf.login.failure_delay_ms = 50;
	assert_int_equal(0, definitions[role]->prepare(process));
	definitions[role]->start(process);
}

static int make_fixture(void **state)
{
	struct fixture *f = current = mem_alloc(1, sizeof *f);
	char path[128];
	if (!test_folder_make(f->folder, "auth-test"))
		return -1;
	snprintf(path, sizeof path, "%s/" STORE_FOLDER_AUTH, f->folder);
	mkdir(path, 0700);
	log_set_level(LOG_ERROR);
	f->loop = loop_new();
	f->patience = loop_timer_new(f->loop, ran_out_of_patience, f);
	f->control = BUF_INIT(1024 * 1024);
	f->next_request = FIRST_REQUEST;
	f->peer = "192.0.2.1";
	if (auth_main() != 0 || authwork_main() != 0)
		return -1;
	set_up_process(f, &f->auth, ROLE_AUTH);
	set_up_process(f, &f->authwork, ROLE_AUTHWORK);
	connect_access(f);
	f->smtp = connect_peer(f, ROLE_SMTP, smtp_message, ignore_closed);
	connect_shard(f);
	connect_authwork(f);
	*state = f;
	return 0;
}

static int remove_fixture(void **state)
{
	struct fixture *f = *state;
	definitions[ROLE_AUTH]->stop(&f->auth);
	definitions[ROLE_AUTHWORK]->stop(&f->authwork);
	ipc_channel_free(&f->access);
	ipc_channel_free(&f->smtp);
	ipc_channel_free(&f->shard);
	loop_timer_free(&f->patience);
	loop_free(&f->loop);
	conf_free(&f->auth.conf);
	conf_free(&f->authwork.conf);
	const char *ends[] = { "/" DIRECTORY_FILE, "/" DIRECTORY_FILE "-wal", "" };
	char path[192];
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		snprintf(path, sizeof path, "%s/" STORE_FOLDER_AUTH "%s", f->folder, ends[i]);
		remove(path);
	}
	int result = rmdir(f->folder);
	buf_free(&f->control);
	mem_free(f);
	return result;
}

/* --- asking --- */

static void send_login(struct fixture *f, const char *user, const char *password)
{
	struct login_request request = {
		.request = ++f->next_request,
		.session = 99,
		.right = TICKET_IMAP,
		.tls = true,
		.user = str_from_c(user),
		.password = str_from_c(password),
		.peer = str_from_c(f->peer),
	};
	struct buf out = BUF_INIT(4096);
	login_request_encode(&request, &out);
	assert_int_equal(0, ipc_send(f->access, ACCESS_AUTH_LOGIN, buf_str(&out), -1));
	buf_free(&out);
}

static enum login_result login(struct fixture *f, const char *user, const char *password)
{
	send_login(f, user, password);
	wait_answer(f);
	assert_int_equal(f->next_request, f->login.request);
	return f->login.result;
}

static enum login_result submission_login(struct fixture *f, const char *user, const char *password)
{
	struct login_request request = {
		.request = ++f->next_request, .session = 98, .right = TICKET_SMTP, .tls = true, .user = str_from_c(user),
		.password = str_from_c(password), .peer = STR("192.0.2.1"),
	};
	struct buf out = BUF_INIT(4096);
	login_request_encode(&request, &out);
	assert_int_equal(0, ipc_send(f->smtp, SMTP_AUTH_LOGIN, buf_str(&out), -1));
	buf_free(&out);
	wait_answer(f);
	assert_int_equal(f->next_request, f->submission.request);
	return f->submission.result;
}

static enum resolve_result resolve(struct fixture *f, const char *address)
{
	struct resolve_request request = { .request = 5, .address = str_from_c(address) };
	struct buf out = BUF_INIT(4096);
	resolve_request_encode(&request, &out);
	assert_int_equal(0, ipc_send(f->smtp, SMTP_AUTH_RESOLVE, buf_str(&out), -1));
	buf_free(&out);
	wait_answer(f);
	return f->resolved.result;
}

static void send_command(struct fixture *f, enum control_command command, const char *one, const char *two)
{
	struct control_request request = { .command = command, .n_arguments = two ? 2 : 1 };
	struct buf out = BUF_INIT(10000);
	request.arguments[0] = str_from_c(one);
	request.arguments[1] = str_from_c(two);
	control_request_encode(&request, &out);
	f->waiting = true;
	definitions[ROLE_AUTH]->control(&f->auth, 1, buf_str(&out));
	buf_free(&out);
}

static int command(struct fixture *f, enum control_command what, const char *one, const char *two)
{
	send_command(f, what, one, two);
	if (f->waiting)
		wait_answer(f);
	return f->controlled.result;
}

static bool answer_has(const struct fixture *f, const char *text)
{
	return str_find(f->controlled.json, str_from_c(text)) >= 0;
}

static struct fixture *with_alice(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(0, command(f, CONTROL_DOMAIN_ADD, "example.test", NULL));
	assert_int_equal(0, command(f, CONTROL_ACCOUNT_ADD, "alice@example.test", "right"));
	return f;
}

static uint64_t counter(struct fixture *f, const char *name)
{
	struct buf out = BUF_INIT(10000);
	definitions[ROLE_AUTH]->status(&f->auth, &out);
	struct str rest = buf_str(&out), line;
	uint64_t value = UINT64_MAX;
	while ((line = str_cut(&rest, '\n')).n) {
		struct str key = str_cut(&line, '=');
		if (str_eq(key, str_from_c(name)))
			assert_int_equal(0, str_to_u64(line, UINT64_MAX, &value));
	}
	buf_free(&out);
	return value;
}

/* --- tests --- */

static void an_account_is_made_and_its_password_opens_it(void **state)
{
	struct fixture *f = with_alice(state);
	assert_int_equal(1, f->created);
	assert_true(answer_has(f, "\"made\":true"));
	assert_int_equal(LOGIN_OK, login(f, "Alice@example.test", "right"));
	assert_int_equal(0, f->ticket_result);
	assert_string_equal("alice@example.test", f->user);
	assert_int_equal(99, f->ticket.session);
	assert_int_equal(TICKET_IMAP, f->ticket.rights);
	assert_int_equal(LOGIN_DENIED, login(f, "alice@example.test", "wrong"));
	assert_int_equal(LOGIN_DENIED, login(f, "nobody@example.test", "right"));
	assert_int_equal(LOGIN_DENIED, login(f, "\xff", "right"));
	assert_int_equal(RESOLVE_OK, resolve(f, "alice+x@example.test"));
	assert_int_equal(1, f->resolved.n_targets);
	assert_int_equal(RESOLVE_NO_SUCH_USER, resolve(f, "nobody@example.test"));
	assert_int_equal(RESOLVE_NOT_LOCAL, resolve(f, "alice@elsewhere.test"));
}

static void an_account_whose_shard_is_away_is_pending(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(0, command(f, CONTROL_DOMAIN_ADD, "example.test", NULL));
	ipc_channel_free(&f->shard);
	wait_ms(f, 20);
	assert_int_equal(0, command(f, CONTROL_ACCOUNT_ADD, "alice@example.test", "right"));
	assert_true(answer_has(f, "\"made\":false"));
	assert_int_equal(LOGIN_UNAVAILABLE, login(f, "alice@example.test", "right"));
	assert_int_equal(LOGIN_DENIED, login(f, "alice@example.test", "wrong"));
	assert_int_equal(RESOLVE_UNAVAILABLE, resolve(f, "alice@example.test"));
	connect_shard(f);
	TEST_UNTIL(f->loop, counter(f, "orders_pending") == 0);
	assert_int_equal(1, f->created);
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "right"));
}

static void orders_are_repeated_when_the_shard_returns(void **state)
{
	struct fixture *f = *state;
	f->shard_is_silent = true;
	assert_int_equal(0, command(f, CONTROL_DOMAIN_ADD, "example.test", NULL));
	send_command(f, CONTROL_ACCOUNT_ADD, "alice@example.test", "right");
	TEST_UNTIL(f->loop, f->created == 1);
	ipc_channel_free(&f->shard);
	wait_answer(f); /* it is pending */
	assert_true(answer_has(f, "\"made\":false"));
	f->shard_is_silent = false;
	connect_shard(f);
	TEST_UNTIL(f->loop, counter(f, "orders_pending") == 0);
	assert_int_equal(2, f->created);
}

static void a_right_password_is_cached_until_it_changes(void **state)
{
	struct fixture *f = with_alice(state);
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "right"));
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "right"));
	assert_int_equal(1, counter(f, "logins_cached"));
	assert_int_equal(0, command(f, CONTROL_ACCOUNT_PASSWORD, "alice@example.test", "other"));
	assert_int_equal(LOGIN_DENIED, login(f, "alice@example.test", "right"));
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "other"));
}

static void a_removed_account_is_destroyed_in_its_shard(void **state)
{
	struct fixture *f = with_alice(state);
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "right"));
	assert_int_equal(0, command(f, CONTROL_ACCOUNT_SHOW, "alice@example.test", NULL));
	assert_true(answer_has(f, "\"messages\":12,\"bytes\":3456"));
	assert_int_equal(0, command(f, CONTROL_ACCOUNT_REMOVE, "alice@example.test", NULL));
	assert_true(answer_has(f, "\"destroyed\":true"));
	assert_int_equal(1, f->destroyed);
	assert_int_equal(LOGIN_DENIED, login(f, "alice@example.test", "right"));
	assert_int_equal(RESOLVE_NO_SUCH_USER, resolve(f, "alice@example.test"));
	assert_int_equal(ERR_NOT_FOUND, command(f, CONTROL_ACCOUNT_SHOW, "alice@example.test", NULL));
}

static void who_guesses_is_slowed_down(void **state)
{
	struct fixture *f = with_alice(state);
	clock_hold(clock_monotonic_us()); /* no pause ends */
	for (int i = 0; i < FREE_GUESSES; i++)
		assert_int_equal(LOGIN_DENIED, login(f, "alice@example.test", "wrong"));
	assert_int_equal(0, counter(f, "logins_put_off"));
	send_login(f, "alice@example.test", "wrong");
	TEST_UNTIL(f->loop, counter(f, "logins_put_off") == 1);
	clock_hold(0);
	wait_answer(f);
	assert_int_equal(LOGIN_DENIED, f->login.result);
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "right"));
	assert_int_equal(FREE_GUESSES + 1, counter(f, "login_failures"));
}

/* However it is spelled, three wrong passwords are enough; from another address each, so that only the account counts. */
static void all_spellings_of_an_account_are_slowed_down_together(void **state)
{
	static const char *const spellings[] = { "alice", "Alice@example.test", "alice@EXAMPLE.test" };
	static const char *const peers[] = { "192.0.2.11", "192.0.2.12", "192.0.2.13" };
	struct fixture *f = with_alice(state);
	f->peer = "192.0.2.14";
	assert_int_equal(LOGIN_DENIED, login(f, "nobody@example.test", "wrong"));
	clock_hold(clock_monotonic_us()); /* the pause after them does not end */
	for (size_t i = 0; i < COUNT_OF(spellings); i++) {
		f->peer = peers[i];
		assert_int_equal(LOGIN_DENIED, login(f, spellings[i], "wrong"));
	}
	assert_int_equal(0, counter(f, "logins_put_off"));
	f->peer = "192.0.2.14";
	send_login(f, "alice", "right");
	f->peer = "192.0.2.15"; /* no failures, so no pause */
	f->next_request = FIRST_REQUEST;
	send_login(f, "alice", "right");
	wait_answer(f);
	assert_int_equal(LOGIN_OK, f->login.result);
	assert_int_equal(FIRST_REQUEST + 1, f->login.request);
	assert_int_equal(1, counter(f, "logins_put_off"));
	clock_hold(0);
	wait_answer(f);
	assert_int_equal(LOGIN_OK, f->login.result);
}

/* An authwork where nobody works: its other end. */
static int connect_dead_authwork(struct fixture *f)
{
	int fds[2];
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
	definitions[ROLE_AUTH]->peer(&f->auth, ROLE_AUTHWORK, 0, fds[0]);
	return fds[1];
}

static bool was_asked(int dead_authwork)
{
	char byte;
	return recv(dead_authwork, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static void a_lost_authwork_loses_no_login(void **state)
{
	struct fixture *f = with_alice(state);
	int end = connect_dead_authwork(f);
	send_login(f, "alice@example.test", "right");
	TEST_UNTIL(f->loop, was_asked(end));
	close(end);
	connect_authwork(f);
	wait_answer(f);
	assert_int_equal(LOGIN_OK, f->login.result);
}

static void what_ends_two_authworks_is_not_tried_again(void **state)
{
	struct fixture *f = with_alice(state);
	int end = connect_dead_authwork(f);
	f->login.request = 0;
	send_login(f, "alice@example.test", "right");
	for (int i = 0; i < 2; i++) {
		TEST_UNTIL(f->loop, was_asked(end));
		close(end);
		wait_ms(f, 20);
		end = connect_dead_authwork(f);
	}
	close(end);
	connect_authwork(f);
	if (f->login.request == 0)
		wait_answer(f);
	assert_int_equal(LOGIN_UNAVAILABLE, f->login.result);
	f->peer = "192.0.2.2";
	assert_int_equal(LOGIN_DENIED, login(f, "nobody@example.test", "wrong"));
	assert_int_equal(1, counter(f, "login_failures"));
}

static void a_restarted_access_gets_no_answer_meant_for_the_one_before(void **state)
{
	struct fixture *f = with_alice(state);
	struct login_request request = { .request = FIRST_REQUEST + 1, .right = TICKET_IMAP,
		.user = STR("alice@example.test"), .password = STR("wrong"), .peer = STR("192.0.2.1") };
	struct buf out = BUF_INIT(4096);
	login_request_encode(&request, &out);
	int end = connect_dead_authwork(f);
	assert_int_equal(0, ipc_send(f->access, ACCESS_AUTH_LOGIN, buf_str(&out), -1));
	buf_free(&out);
	TEST_UNTIL(f->loop, was_asked(end));
	connect_access(f);
	close(end);
	connect_authwork(f);
	f->login.request = 0;
	wait_ms(f, 100);
	assert_int_equal(0, f->login.request);
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "right"));
}

/* The same passwords, throttle and cache as for access; the answer names the account, and no shard. */
static void smtp_asks_in_the_same_words(void **state)
{
	static const struct account_id nobody;
	struct fixture *f = with_alice(state);
	assert_int_equal(LOGIN_DENIED, submission_login(f, "alice@example.test", "wrong"));
	assert_memory_equal(&f->submission.account, &nobody, sizeof nobody);
	assert_int_equal(LOGIN_OK, submission_login(f, "ALICE@example.test", "right"));
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "right"));
	assert_memory_equal(&f->submission.account, &f->ticket.account, sizeof nobody);
	assert_int_equal(1, counter(f, "logins_cached"));
	assert_int_equal(RESOLVE_OK, resolve(f, "alice+x@example.test"));
}

/* A ticket for a shard is not what smtp may ask for, nor a submission what access may. */
static void nobody_asks_for_what_is_not_his(void **state)
{
	struct fixture *f = with_alice(state);
	struct login_request request = { .request = 1, .right = TICKET_SMTP, .user = STR("a"), .password = STR("b") };
	struct buf out = BUF_INIT(4096);
	login_request_encode(&request, &out);
	assert_int_equal(0, ipc_send(f->access, ACCESS_AUTH_LOGIN, buf_str(&out), -1));
	wait_answer(f);
	assert_true(f->access_closed);
	buf_free(&out);
}

static void a_peer_that_talks_nonsense_is_dropped(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(0, ipc_send(f->access, ACCESS_AUTH_LOGIN, STR("nonsense"), -1));
	wait_answer(f);
	assert_true(f->access_closed);
	connect_access(f);
	assert_int_equal(LOGIN_DENIED, login(f, "x", "y"));
}

static void mistaken_commands_are_explained(void **state)
{
	struct fixture *f = with_alice(state);
	assert_int_equal(ERR_NOT_FOUND, command(f, CONTROL_ACCOUNT_ADD, "bob@other.test", "x"));
	assert_true(str_find(f->controlled.message, STR("mansio domain add other.test")) >= 0);
	assert_int_equal(ERR_EXISTS, command(f, CONTROL_ACCOUNT_ADD, "alice@example.test", "x"));
	assert_int_equal(ERR_SYNTAX, command(f, CONTROL_ACCOUNT_ADD, "alice", "x"));
	assert_int_equal(ERR_LIMIT, command(f, CONTROL_ACCOUNT_ADD, "bob@example.test", ""));
	assert_int_equal(ERR_SYNTAX, command(f, CONTROL_ACCOUNT_ADD, "bob@example.test", NULL));
	assert_int_equal(ERR_STATE, command(f, CONTROL_DOMAIN_REMOVE, "example.test", NULL));
	assert_int_equal(ERR_UNSUPPORTED, command(f, CONTROL_STATUS, "", NULL));
	assert_int_equal(ERR_STATE, command(f, CONTROL_ALIAS_ADD, "a@example.test", "a@example.test"));
	assert_int_equal(ERR_EXISTS, command(f, CONTROL_ALIAS_ADD, "alice@example.test", "alice@example.test"));
	assert_int_equal(0, command(f, CONTROL_ALIAS_ADD, "a@example.test", "alice@example.test"));
	assert_int_equal(ERR_EXISTS, command(f, CONTROL_ALIAS_ADD, "a@example.test", "alice@example.test"));
	assert_int_equal(0, command(f, CONTROL_ALIAS_LIST, "", ""));
	assert_true(str_eq(f->controlled.json, 
		STR("[{\"address\":\"a@example.test\",\"targets\":[\"alice@example.test\"]}]")));
	assert_int_equal(0, command(f, CONTROL_ALIAS_LIST, "", "a@example.test"));
	assert_true(str_eq(f->controlled.json, STR("[]")));
}

/* --- app passwords and POP3 --- */

static int run(struct fixture *f, enum control_command what, const char *const *arguments, uint32_t n)
{
	struct control_request request = { .command = what, .n_arguments = n };
	struct buf out = BUF_INIT(10000);
	for (uint32_t i = 0; i < n; i++)
		request.arguments[i] = str_from_c(arguments[i]);
	control_request_encode(&request, &out);
	f->waiting = true;
	definitions[ROLE_AUTH]->control(&f->auth, 1, buf_str(&out));
	buf_free(&out);
	if (f->waiting)
		wait_answer(f);
	return f->controlled.result;
}

#define RUN(f, what, ...)                                                                                              \
	run(f, what, (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* Told once, before the next answer, when it may remember something; not for what leads nowhere. */
static void smtp_is_told_of_changes(void **state)
{
	struct fixture *f = with_alice(state);
	assert_int_equal(RESOLVE_NO_SUCH_USER, resolve(f, "list@example.test"));
	assert_int_equal(0, RUN(f, CONTROL_ALIAS_ADD, "list@example.test", "alice@example.test"));
	assert_int_equal(RESOLVE_OK, resolve(f, "list@example.test"));
	assert_int_equal(0, f->changes);
	assert_int_equal(0, RUN(f, CONTROL_ALIAS_REMOVE, "list@example.test", "alice@example.test"));
	assert_int_equal(0, RUN(f, CONTROL_ALIAS_ADD, "other@example.test", "alice@example.test"));
	assert_int_equal(RESOLVE_NO_SUCH_USER, resolve(f, "list@example.test"));
	assert_int_equal(1, f->changes);
	assert_int_equal(RESOLVE_OK, resolve(f, "alice@example.test"));
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "right"));
	assert_int_equal(RESOLVE_OK, resolve(f, "alice@example.test"));
	assert_int_equal(1, f->changes);
}

static void an_app_password_opens_its_protocols_and_is_void_when_it_is_removed(void **state)
{
	struct fixture *f = with_alice(state);
	assert_int_equal(0, RUN(f, CONTROL_APP_PASSWORD_ADD, "alice@example.test", "phone", "imap smtp", "aaaa-bbbb"));
	assert_int_equal(0, RUN(f, CONTROL_APP_PASSWORD_ADD, "alice@example.test", "office", "pop3", "cccc-dddd"));
	uint64_t queued = counter(f, "passwords_queued");
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "aaaa-bbbb"));
	assert_int_equal(0, f->ticket_result);
	assert_true(f->ticket.login != 0);
	assert_int_equal(queued, counter(f, "passwords_queued")); /* no work for authwork */
	assert_int_equal(LOGIN_DENIED, login(f, "alice@example.test", "cccc-dddd"));
	assert_int_equal(LOGIN_DENIED, login(f, "nobody@example.test", "aaaa-bbbb"));
	assert_int_equal(LOGIN_OK, login(f, "alice@example.test", "right"));
	assert_true(f->ticket.login == 0);
	assert_int_equal(0, RUN(f, CONTROL_APP_PASSWORD_REMOVE, "alice@example.test", "phone"));
	assert_int_equal(LOGIN_DENIED, login(f, "alice@example.test", "aaaa-bbbb"));
	assert_int_equal(ERR_NOT_FOUND, RUN(f, CONTROL_APP_PASSWORD_REMOVE, "alice@example.test", "phone"));
}

static void access_hears_what_expire_says(void **state)
{
	struct fixture *f = with_alice(state);
	TEST_UNTIL(f->loop, f->expires_told == 1);
	assert_true(f->expire.days == POP3_EXPIRE_NEVER && !f->expire.differs);
	assert_int_equal(0, RUN(f, CONTROL_ACCOUNT_POP3, "alice@example.test", "", "days", "7", "", "", ""));
	assert_true(answer_has(f, "\"mode\":{\"value\":\"days\",\"from\":\"account\"}"));
	TEST_UNTIL(f->loop, f->expires_told == 2);
	assert_true(f->expire.days == 7 && f->expire.differs);
	assert_int_equal(0, RUN(f, CONTROL_ACCOUNT_POP3, "alice@example.test", "", "", "", "trash", "yes", ""));
	wait_ms(f, 20);
	assert_int_equal(2, f->expires_told); /* nothing new */
	connect_access(f);
	TEST_UNTIL(f->loop, f->expires_told == 3);
	assert_int_equal(ERR_SYNTAX, RUN(f, CONTROL_ACCOUNT_POP3, "alice@example.test", "", "x", "", "", "", ""));
	assert_int_equal(ERR_NOT_FOUND, RUN(f, CONTROL_DOMAIN_POP3, "elsewhere.test", "", "keep", "", "", "", ""));
}

int main(void)
{
#define WITH_ROLE(test) cmocka_unit_test_setup_teardown(test, make_fixture, remove_fixture)
	const struct CMUnitTest tests[] = {
		WITH_ROLE(an_account_is_made_and_its_password_opens_it),
		WITH_ROLE(an_account_whose_shard_is_away_is_pending),
		WITH_ROLE(orders_are_repeated_when_the_shard_returns),
		WITH_ROLE(a_right_password_is_cached_until_it_changes),
		WITH_ROLE(a_removed_account_is_destroyed_in_its_shard),
		WITH_ROLE(who_guesses_is_slowed_down),
		WITH_ROLE(all_spellings_of_an_account_are_slowed_down_together),
		WITH_ROLE(a_lost_authwork_loses_no_login),
		WITH_ROLE(what_ends_two_authworks_is_not_tried_again),
		WITH_ROLE(a_restarted_access_gets_no_answer_meant_for_the_one_before),
		WITH_ROLE(smtp_asks_in_the_same_words),
		WITH_ROLE(smtp_is_told_of_changes),
		WITH_ROLE(nobody_asks_for_what_is_not_his),
		WITH_ROLE(a_peer_that_talks_nonsense_is_dropped),
		WITH_ROLE(mistaken_commands_are_explained),
		WITH_ROLE(an_app_password_opens_its_protocols_and_is_void_when_it_is_removed),
		WITH_ROLE(access_hears_what_expire_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
