/* supervisor_test.c: runs the real supervisor with roles that only count (test_roles.c), and speaks to it by signals
 * and control socket: does everybody get their channels, also after a crash; is the stop clean; is the sandbox
 * there; is the store locked. MANSIO_TEST_SERVER names the executable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/checked.h"
#include "base/test_folder.h"
#include "ipc/channel.h"
#include "ipc/control.h"
#include "loop/test_certificate.h"
#include "proc/store_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_TRIES 1500 /* of 20 ms */

struct server {
	char folder[TEST_FOLDER_SIZE], file[80], store[80], control[104], log[80];
	pid_t pid;
};

static void pause_20ms(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

static void write_configuration(struct server *server, const char *more)
{
	char text[1024];
	int n = snprintf(text, sizeof text,
	                 "[server]\nhostname = \"mx.example.test\"\ndirectory = \"%s\"\nshards = 2\nrestart_delay_min = \"10ms\"\n"
	                 "stop_timeout = \"10m\"\n" /* a stop that needs it takes too long */
	                 "[listen]\nimap = [\"127.0.0.1:0\"]\npop3 = []\nsmtp = [\"*:0\"]\nlmtp_socket = \"%s/lmtp\"\n%s",
	                 server->store, server->folder, more);
	int fd = open(server->file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0 && write(fd, text, (size_t)n) == n);
	close(fd);
}

static pid_t launch(const struct server *server)
{
	const char *program = getenv("MANSIO_TEST_SERVER");
	assert_non_null(program);
	pid_t pid = fork();
	if (pid == 0) {
		int log = open(server->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		dup2(log, STDERR_FILENO);
		execl(program, "mansio", "serve", "-c", server->file, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static int connect_control(const struct server *server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s", server->control);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

static void read_all(int fd, void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = read(fd, (char *)to + done, n - done);
		assert_true(got > 0);
		done += (size_t)got;
	}
}

/* One request and its answer, whose slices lie in *room. */
static struct control_reply ask(const struct server *server, enum control_command command, struct buf *room)
{
	struct control_request request = { .command = command };
	struct control_reply reply;
	struct buf body = BUF_INIT(4096), frame = BUF_INIT(4096);
	control_request_encode(&request, &body);
	wire_put_u32(&frame, (uint32_t)body.n);
	wire_put_u16(&frame, CONTROL_REQUEST);
	wire_put_u16(&frame, 0);
	buf_add(&frame, buf_str(&body));
	int fd = connect_control(server);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, frame.p, frame.n), frame.n);
	char header[8];
	read_all(fd, header, sizeof header);
	struct wire_reader r = wire_reader(str_of(header, sizeof header));
	uint32_t n = wire_get_u32(&r);
	assert_true(n <= IPC_BODY_MAX);
	buf_clear(room);
	read_all(fd, buf_reserve(room, n + 1), n);
	buf_commit(room, n);
	room->p[n] = '\0';
	close(fd);
	assert_int_equal(control_reply_decode(buf_str(room), &reply), 0);
	buf_free(&body);
	buf_free(&frame);
	return reply;
}

/* A number behind "key": of the process in whose JSON `after` stands first; -1 when there is none. */
static long number_in(struct str json, const char *after, const char *key)
{
	char name[64];
	snprintf(name, sizeof name, "\"%s\":", key);
	const char *at = strstr(json.p, after);
	const char *next = at ? strstr(at + strlen(after), "\"role\":") : NULL;
	at = at ? strstr(at, name) : NULL;
	if (at && next && at > next)
		at = NULL;
	return at ? strtol(at + strlen(name), NULL, 10) : -1;
}

/* A process that does not answer just now has no numbers but the supervisor's own. */
static long status_number(const struct server *server, const char *after, const char *key)
{
	struct buf room = BUF_INIT(IPC_BODY_MAX + 1);
	struct control_reply reply = ask(server, CONTROL_STATUS, &room);
	assert_int_equal(reply.result, 0);
	assert_int_equal(reply.message.n, 0);
	long value = number_in(reply.json, after, key);
	buf_free(&room);
	return value;
}

static void wait_for_range(const struct server *server, const char *after, const char *key, long least, long most)
{
	long value = -1;
	for (int i = 0; i < WAIT_TRIES && (value < least || value > most); i++) {
		pause_20ms();
		value = status_number(server, after, key);
	}
	if (value < least || value > most)
		fail_msg("%s of %s: %ld, not %ld to %ld", key, after, value, least, most);
}

static void wait_for_number(const struct server *server, const char *after, const char *key, long wanted)
{
	wait_for_range(server, after, key, wanted, wanted);
}

static void wait_for_at_least(const struct server *server, const char *after, const char *key, long wanted)
{
	wait_for_range(server, after, key, wanted, LONG_MAX);
}

static void start(struct server *server, const char *more)
{
	write_configuration(server, more);
	server->pid = launch(server);
	for (int i = 0; i < WAIT_TRIES; i++) {
		int fd = connect_control(server);
		if (fd >= 0) {
			close(fd);
			return;
		}
		pause_20ms();
	}
	fail_msg("the server did not start");
}

static int wait_for_end(pid_t pid)
{
	int status = 0;
	for (int i = 0; i < WAIT_TRIES; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
		pause_20ms();
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

static bool log_says(const struct server *server, const char *words)
{
	static char text[65536];
	int fd = open(server->log, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, words) != NULL;
}

static int make_folder(void **state)
{
	static struct server server;
	server = (struct server){ 0 };
	assert_true(test_folder_make(server.folder, "supervisor-test"));
	chmod(server.folder, 0711);
	snprintf(server.file, sizeof server.file, "%s/mansio.toml", server.folder);
	snprintf(server.store, sizeof server.store, "%s/store", server.folder);
	snprintf(server.control, sizeof server.control, "%s/run/control.sock", server.store);
	snprintf(server.log, sizeof server.log, "%s/log", server.folder);
	*state = &server;
	return 0;
}

static int remove_folder(void **state)
{
	struct server *server = *state;
	if (server->pid > 0 && waitpid(server->pid, NULL, WNOHANG) == 0) {
		kill(server->pid, SIGKILL); /* the test failed */
		waitpid(server->pid, NULL, 0);
	}
	pid_t pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", server->folder, (char *)NULL);
		_exit(1);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static void stop(struct server *server)
{
	kill(server->pid, SIGTERM);
	assert_int_equal(wait_for_end(server->pid), 0);
}

static void every_process_hears_its_peers_and_the_stop_is_clean(void **state)
{
	struct server *server = *state;
	start(server, "");
	/* auth: authwork, two shards, access, smtp */
	wait_for_number(server, "\"role\":\"auth\"", "hellos", 5);
	wait_for_number(server, "\"role\":\"authwork\"", "hellos", 1);
	wait_for_number(server, "\"role\":\"shard\"", "hellos", 3);
	wait_for_number(server, "\"role\":\"access\"", "hellos", 3);
	wait_for_number(server, "\"role\":\"smtp\"", "hellos", 3);
	wait_for_number(server, "\"role\":\"access\"", "listening", 1);
	wait_for_at_least(server, "\"role\":\"smtp\"", "listening", 2);
	wait_for_number(server, "\"role\":\"access\"", "keys", 0);
	stop(server);
	assert_true(access(server->control, F_OK) != 0);
	assert_true(log_says(server, "event=ready"));
	assert_true(log_says(server, "event=listening service=imap address=127.0.0.1 port="));
	assert_false(log_says(server, "signal=KILL"));
}

static void a_killed_process_is_replaced_and_hears_its_peers_again(void **state)
{
	struct server *server = *state;
	start(server, "");
	wait_for_number(server, "\"role\":\"shard\"", "hellos", 3);
	wait_for_number(server, "\"role\":\"auth\"", "hellos", 5);
	kill((pid_t)status_number(server, "\"role\":\"shard\"", "pid"), SIGKILL);
	wait_for_number(server, "\"role\":\"shard\"", "restarts", 1);
	wait_for_number(server, "\"role\":\"shard\"", "hellos", 3);
	wait_for_number(server, "\"role\":\"auth\"", "hellos", 6);
	assert_int_equal(status_number(server, "\"role\":\"auth\"", "restarts"), 0);
	kill((pid_t)status_number(server, "\"role\":\"auth\"", "pid"), SIGKILL);
	wait_for_number(server, "\"role\":\"auth\"", "hellos", 5);
	stop(server);
	assert_true(log_says(server, "event=process-ended of=shard index=0"));
}

static void a_lost_channel_is_made_anew_also_where_the_one_before_the_restart_was_lost(void **state)
{
	struct server *server = *state;
	struct buf room = BUF_INIT(IPC_BODY_MAX + 1);
	start(server, "");
	wait_for_number(server, "\"role\":\"shard\"", "hellos", 3);
	wait_for_number(server, "\"role\":\"auth\"", "hellos", 5);
	assert_int_equal(ask(server, CONTROL_ALIAS_REMOVE, &room).result, 0);
	kill((pid_t)status_number(server, "\"role\":\"shard\"", "pid"), SIGKILL);
	wait_for_number(server, "\"role\":\"shard\"", "restarts", 1);
	wait_for_number(server, "\"role\":\"shard\"", "hellos", 3);
	assert_int_equal(ask(server, CONTROL_ALIAS_REMOVE, &room).result, 0);
	wait_for_number(server, "\"role\":\"shard\"", "hellos", 4);
	stop(server);
	buf_free(&room);
}

static void metrics_are_gathered_once_a_second_however_often_they_are_asked_for(void **state)
{
	struct server *server = *state;
	start(server, "");
	wait_for_at_least(server, "\"role\":\"access\"", "metrics", 2);
	long gathered = status_number(server, "\"role\":\"access\"", "metrics");
	assert_true(gathered <= status_number(server, "\"role\":\"access\"", "uptime_seconds") + 2);
	stop(server);
}

static void commands_are_answered_by_auth(void **state)
{
	struct server *server = *state;
	struct buf room = BUF_INIT(IPC_BODY_MAX + 1);
	start(server, "");
	struct control_reply reply = { .result = ERR_UNAVAILABLE };
	for (int i = 0; i < WAIT_TRIES && reply.result == ERR_UNAVAILABLE; i++) {
		reply = ask(server, CONTROL_DOMAIN_LIST, &room);
		pause_20ms();
	}
	assert_int_equal(reply.result, 0);
	assert_true(str_eq(reply.json, STR("[]")));
	stop(server);
	buf_free(&room);
}

static void a_forbidden_system_call_kills_the_process_and_the_log_says_so(void **state)
{
	struct server *server = *state;
	struct buf room = BUF_INIT(IPC_BODY_MAX + 1);
	const char *sandbox = getenv("MANSIO_SANDBOX");
	if (sandbox && strcmp(sandbox, "off") == 0) {
		print_message("skipped: MANSIO_SANDBOX=off\n");
		skip();
	}
	start(server, "");
	wait_for_number(server, "\"role\":\"auth\"", "hellos", 5);
	struct control_reply reply = ask(server, CONTROL_DOMAIN_ADD, &room);
	assert_int_equal(reply.result, ERR_UNAVAILABLE);
	wait_for_number(server, "\"role\":\"auth\"", "restarts", 1);
	stop(server);
	assert_true(log_says(server, "signal=SYS"));
	buf_free(&room);
}

static void a_process_that_hears_nothing_does_not_hold_up_the_stop(void **state)
{
	struct server *server = *state;
	struct buf room = BUF_INIT(IPC_BODY_MAX + 1);
	start(server, "");
	wait_for_number(server, "\"role\":\"auth\"", "hellos", 5);
	struct control_reply reply = ask(server, CONTROL_DOMAIN_REMOVE, &room);
	assert_int_equal(reply.result, 0);
	stop(server);
	buf_free(&room);
}

static void write_file(const struct server *server, const char *name, struct str text)
{
	char path[96];
	snprintf(path, sizeof path, "%s/%s", server->folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
	close(fd);
}

static void wait_for_log(const struct server *server, const char *words)
{
	for (int i = 0; i < WAIT_TRIES && !log_says(server, words); i++)
		pause_20ms();
	assert_true(log_says(server, words));
}

static void sighup_passes_new_keys_on_and_keeps_the_old_when_they_are_bad(void **state)
{
	struct server *server = *state;
	struct buf certificate, key;
	char more[512];
	test_certificate(&certificate, &key);
	write_file(server, "certificate.pem", buf_str(&certificate));
	write_file(server, "key.pem", buf_str(&key));
	snprintf(more, sizeof more, "imaps = [\"127.0.0.1:0\"]\npop3s = []\nsubmission = []\nsubmissions = []\n[tls]\ncertificate = \"%s/certificate.pem\"\nkey = \"%s/key.pem\"\n",
	         server->folder, server->folder);
	start(server, more);
	wait_for_number(server, "\"role\":\"access\"", "keys", 1);
	wait_for_number(server, "\"role\":\"access\"", "listening", 2);
	wait_for_number(server, "\"role\":\"shard\"", "keys", 0);
	kill(server->pid, SIGHUP);
	wait_for_number(server, "\"role\":\"access\"", "keys", 2);
	wait_for_number(server, "\"role\":\"smtp\"", "keys", 2);
	write_file(server, "key.pem", STR("no key\n"));
	kill(server->pid, SIGHUP);
	wait_for_log(server, "event=reload-refused problem=");
	wait_for_number(server, "\"role\":\"access\"", "keys", 2);
	/* A process that starts now gets the good ones. */
	kill((pid_t)status_number(server, "\"role\":\"access\"", "pid"), SIGKILL);
	wait_for_number(server, "\"role\":\"access\"", "restarts", 1);
	wait_for_number(server, "\"role\":\"access\"", "keys", 1);
	stop(server);
	/* But a start with bad ones fails. */
	assert_int_equal(wait_for_end(launch(server)), 1);
	buf_free(&certificate);
	buf_free(&key);
}

/* What the service manager hears, until these words are in a message. */
static void wait_for_notice(int manager, const char *words)
{
	char text[256] = "";
	for (int i = 0; i < WAIT_TRIES && !strstr(text, words); i++) {
		ssize_t n = recv(manager, text, sizeof text - 1, MSG_DONTWAIT);
		text[n > 0 ? n : 0] = '\0';
		if (n <= 0)
			pause_20ms();
	}
	if (!strstr(text, words))
		fail_msg("the service manager did not hear %s", words);
}

static void the_service_manager_hears_of_start_reload_crash_and_stop(void **state)
{
	struct server *server = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", server->folder);
	int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(manager, (const struct sockaddr *)&address, sizeof address), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	start(server, "");
	unsetenv("NOTIFY_SOCKET");
	wait_for_notice(manager, "READY=1\nSTATUS=All 6 processes are ready.");
	kill(server->pid, SIGHUP);
	wait_for_notice(manager, "RELOADING=1");
	wait_for_notice(manager, "READY=1");
	kill((pid_t)status_number(server, "\"role\":\"shard\"", "pid"), SIGKILL);
	wait_for_notice(manager, "STATUS=5 of 6 processes are ready.");
	wait_for_notice(manager, "STATUS=All 6 processes are ready.");
	stop(server);
	wait_for_notice(manager, "STOPPING=1");
	close(manager);
}

static void two_servers_never_run_on_one_store(void **state)
{
	struct server *server = *state;
	struct server second = *(struct server *)*state;
	start(server, "");
	second.pid = launch(&second);
	assert_int_equal(wait_for_end(second.pid), 1);
	assert_true(log_says(server, "event=store-in-use"));
	wait_for_number(server, "\"role\":\"auth\"", "hellos", 5);
	stop(server);
}

static void a_wrong_configuration_has_its_own_exit_code(void **state)
{
	struct server *server = *state;
	write_configuration(server, "colour = \"green\"\n");
	assert_int_equal(wait_for_end(launch(server)), 78);
	assert_true(log_says(server, "mansio.toml:"));
}

static void the_children_die_with_the_supervisor(void **state)
{
	struct server *server = *state;
	start(server, "");
	wait_for_number(server, "\"role\":\"auth\"", "hellos", 5);
	pid_t shard = (pid_t)status_number(server, "\"role\":\"shard\"", "pid");
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	bool gone = false;
	for (int i = 0; i < WAIT_TRIES && !gone; i++) {
		/* In a container nobody may reap it: a zombie is gone too. */
		char path[64], text[256] = "";
		snprintf(path, sizeof path, "/proc/%d/stat", (int)shard);
		int fd = open(path, O_RDONLY);
		gone = fd < 0 || read(fd, text, sizeof text - 1) <= 0 || strstr(text, ") Z ") != NULL;
		if (fd >= 0)
			close(fd);
		pause_20ms();
	}
	assert_true(gone);
	/* And the store can be served again, with the same identity. */
	struct store_identity before, after;
	assert_int_equal(store_folder_read(server->store, &before), 0);
	start(server, "");
	stop(server);
	assert_int_equal(store_folder_read(server->store, &after), 0);
	assert_memory_equal(&before, &after, sizeof before);
	assert_int_equal(after.shards, 2);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_process_hears_its_peers_and_the_stop_is_clean, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(a_killed_process_is_replaced_and_hears_its_peers_again, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(a_lost_channel_is_made_anew_also_where_the_one_before_the_restart_was_lost, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(metrics_are_gathered_once_a_second_however_often_they_are_asked_for, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(commands_are_answered_by_auth, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(a_forbidden_system_call_kills_the_process_and_the_log_says_so, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(a_process_that_hears_nothing_does_not_hold_up_the_stop, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(sighup_passes_new_keys_on_and_keeps_the_old_when_they_are_bad, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(the_service_manager_hears_of_start_reload_crash_and_stop, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(two_servers_never_run_on_one_store, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(a_wrong_configuration_has_its_own_exit_code, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(the_children_die_with_the_supervisor, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
