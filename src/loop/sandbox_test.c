/* sandbox_test.c: each test confines a forked child and looks at how it ends. Sanitizers need what the sandbox
 * forbids, so the tests are skipped where MANSIO_SANDBOX=off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/checked.h"
#include "base/test_folder.h"
#include "loop/helper.h"
#include "loop/sandbox.h"
#include "loop/stream.h"
#include "loop/test_certificate.h"
#include "loop/test_support.h"
#include "loop/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED (1000 + SIGSYS)

/* What `act` ended with in a child confined by the rules: its exit code, or 1000 + the signal. 99: no sandbox; 98:
 * no Landlock. */
static int confined(const struct sandbox_rules *rules, int (*act)(void *data), void *data, bool needs_landlock)
{
	pid_t pid = fork();
	if (pid == 0) {
		bool landlock_missing = false;
		if (sandbox_enter(rules, &landlock_missing) != 0)
			_exit(99);
		if (landlock_missing && needs_landlock)
			_exit(98);
		_exit(act(data));
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int skip_without_sandbox(void **state)
{
	const char *setting = getenv("MANSIO_SANDBOX");
	*state = setting && strcmp(setting, "off") == 0 ? state : NULL;
	return 0;
}

#define NEEDS_SANDBOX(state)                                                                                           \
	do {                                                                                                           \
		if (*(state)) {                                                                                        \
			print_message("skipped: MANSIO_SANDBOX=off\n");                                                \
			skip();                                                                                        \
		}                                                                                                      \
	} while (0)

static int open_file(void *data)
{
	return open(data, O_RDONLY) >= 0 ? 0 : 1;
}

static int make_socket(void *data)
{
	(void)data;
	return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : 1;
}

static int make_pair(void *data)
{
	const int *type = data;
	int pair[2];
	return socketpair(AF_UNIX, *type, 0, pair);
}

static int run_shell(void *data)
{
	(void)data;
	return execl("/bin/true", "true", (char *)NULL);
}

static int map_code(void *data)
{
	(void)data;
	long page = sysconf(_SC_PAGESIZE);
	char *p = aligned_alloc((size_t)page, (size_t)page);
	return mprotect(p, (size_t)page, PROT_EXEC | PROT_READ);
}

static int fork_again(void *data)
{
	(void)data;
	return fork() >= 0 ? 0 : 1;
}

/* What fcntl is to do. */
struct control {
	int fd, command;
	long argument;
};

static int control_descriptor(void *data)
{
	const struct control *control = data;
	return fcntl(control->fd, control->command, control->argument) >= 0 ? 0 : 1;
}

static int block_by_ioctl(void *data)
{
	const int *fd = data;
	int off = 0;
	return ioctl(*fd, FIONBIO, &off);
}

static int accept_one(void *data)
{
	const int *flags = data;
	return accept4(-1, NULL, NULL, *flags) < 0 && errno == EBADF ? 0 : 1;
}

/* A connection that was handed on keeps its flags with whoever handed it: were it made blocking, or sending signals,
 * that would stop or end the process that has it now. */
static void descriptors_stay_non_blocking_and_send_no_signals(void **state)
{
	NEEDS_SANDBOX(state);
	const struct sandbox_rules nothing = { 0 }, sockets = { .allow = SANDBOX_SOCKETS };
	const struct sandbox_rules pairs = { .allow = SANDBOX_SOCKETPAIR };
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	struct control allowed[] = {
		{ pair[0], F_GETFL, 0 }, { pair[0], F_SETFL, O_NONBLOCK }, { pair[0], F_SETFL, O_NONBLOCK | O_APPEND },
		{ pair[0], F_GETFD, 0 }, { pair[0], F_SETFD, FD_CLOEXEC }, { pair[0], F_DUPFD_CLOEXEC, 3 },
	};
	struct control forbidden[] = {
		{ pair[0], F_SETFL, 0 }, { pair[0], F_SETFL, O_NONBLOCK | O_ASYNC }, { pair[0], F_SETOWN, getpid() },
		{ pair[0], F_SETSIG, SIGKILL }, { pair[0], F_NOTIFY, 0 }, { pair[0], F_SETLEASE, F_RDLCK },
	};
	int blocking = SOCK_STREAM | SOCK_CLOEXEC, not_blocking = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int blocking_flags = SOCK_CLOEXEC, flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
	for (size_t i = 0; i < COUNT_OF(allowed); i++)
		assert_int_equal(confined(&nothing, control_descriptor, &allowed[i], false), 0);
	for (size_t i = 0; i < COUNT_OF(forbidden); i++)
		assert_int_equal(confined(&nothing, control_descriptor, &forbidden[i], false), KILLED);
	assert_int_equal(confined(&nothing, block_by_ioctl, &pair[0], false), KILLED);
	assert_int_equal(confined(&pairs, make_pair, &not_blocking, false), 0);
	assert_int_equal(confined(&pairs, make_pair, &blocking, false), KILLED);
	assert_int_equal(confined(&sockets, accept_one, &flags, false), 0);
	assert_int_equal(confined(&sockets, accept_one, &blocking_flags, false), KILLED);
	close(pair[0]);
	close(pair[1]);
}

static void a_forbidden_call_kills(void **state)
{
	NEEDS_SANDBOX(state);
	char file[] = "/etc/passwd";
	int pair_type = SOCK_STREAM | SOCK_NONBLOCK;
	const struct sandbox_rules nothing = { 0 }, sockets = { .allow = SANDBOX_SOCKETS };
	const struct sandbox_rules threads = { .allow = SANDBOX_THREADS };
	assert_int_equal(confined(&nothing, open_file, file, false), KILLED);
	assert_int_equal(confined(&nothing, make_socket, NULL, false), KILLED);
	assert_int_equal(confined(&sockets, make_socket, NULL, false), KILLED);
	assert_int_equal(confined(&sockets, make_pair, &pair_type, false), KILLED);
	assert_int_equal(confined(&nothing, run_shell, NULL, false), KILLED);
	assert_int_equal(confined(&nothing, map_code, NULL, false), KILLED);
	assert_int_equal(confined(&nothing, fork_again, NULL, false), KILLED);
	assert_int_equal(confined(&threads, fork_again, NULL, false), KILLED);
}

struct files {
	char folder[TEST_FOLDER_SIZE];
};

static int use_folder(void *data)
{
	struct files *files = data;
	char path[96];
	snprintf(path, sizeof path, "%s/new", files->folder);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || fdatasync(fd) != 0 || ftruncate(fd, 0) != 0 || unlink(path) != 0)
		return 1;
	int nameless = open(files->folder, O_RDWR | O_TMPFILE, 0600);
	if (nameless < 0 && errno != EOPNOTSUPP)
		return 2;
	if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
		return 3;
	return 0;
}

static void only_the_allowed_folders_are_open(void **state)
{
	NEEDS_SANDBOX(state);
	struct files files;
	assert_true(test_folder_make(files.folder, "sandbox-test"));
	const struct sandbox_path path = { str_from_c(files.folder), true };
	const struct sandbox_rules rules = { .allow = SANDBOX_FILES, .paths = &path, .n_paths = 1 };
	int code = confined(&rules, use_folder, &files, true);
	rmdir(files.folder);
	if (code == 98) {
		print_message("skipped: this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(code, 0);
}

/* What a role does all day, inside its sandbox: loop, TLS stream, memory, helper thread. */
struct day {
	struct loop *loop;
	struct stream *stream;
	struct tls_context *context;
	int fd;
	bool closed, done; /* the day is over when both are so, whichever comes first */
	int synced;
};

static void end_of(struct day *day)
{
	if (day->closed && day->done)
		loop_stop(day->loop);
}

static size_t on_input(void *owner, struct str bytes)
{
	struct day *day = owner;
	outq_add(stream_output(day->stream), bytes);
	stream_flush(day->stream);
	return bytes.n;
}

static void on_closed(void *owner, int err)
{
	struct day *day = owner;
	(void)err;
	stream_free(&day->stream);
	day->closed = true;
	end_of(day);
}

static const struct stream_events events = { on_input, NULL, on_closed };

static int sync_job(struct loop_job *job)
{
	struct day *day = job->owner;
	return fdatasync(day->fd) == 0 ? 0 : ERR_IO;
}

static void sync_done(struct loop_job *job, int result)
{
	struct day *day = job->owner;
	day->synced = result;
	day->done = true;
	end_of(day);
}

static int serve(void *data)
{
	struct day *day = data;
	struct loop_job job = { .work = sync_job, .done = sync_done, .owner = day };
	struct loop_helper *helper = loop_helper_new(day->loop);
	loop_helper_submit(helper, &job);
	loop_run(day->loop);
	loop_helper_free(&helper);
	loop_free(&day->loop);
	return day->synced == 0 ? 0 : 1;
}

static void client_of(int fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	char echo[64] = "";
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1 || SSL_write(ssl, "hello", 5) != 5 || SSL_read(ssl, echo, sizeof echo) != 5)
		_exit(1);
	SSL_shutdown(ssl);
	_exit(0);
}

static void the_work_of_a_role_is_possible_inside(void **state)
{
	NEEDS_SANDBOX(state);
	struct day day = { .loop = loop_new() };
	struct buf certificate, key;
	char name[] = "/tmp/mansio-sandbox-test-XXXXXX";
	int pair[2];
	day.fd = mkstemp(name);
	unlink(name);
	test_certificate(&certificate, &key);
	assert_int_equal(tls_context_new(buf_str(&certificate), buf_str(&key), 0x0303, &day.context), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid_t client = fork();
	if (client == 0) {
		close(pair[0]);
		client_of(pair[1]);
	}
	close(pair[1]);
	const struct sandbox_path path = { STR("/tmp"), true };
	const struct sandbox_rules rules = { .allow = SANDBOX_SOCKETS | SANDBOX_FILES | SANDBOX_THREADS, .paths = &path, .n_paths = 1 };
	/* The stream is made before, the handshake done inside. */
	day.stream = stream_new(day.loop, pair[0], (struct stream_limits){ 1000, 100000 }, &events, &day);
	assert_int_equal(stream_start_tls(day.stream, day.context, NULL), 0);
	int code = confined(&rules, serve, &day, false);
	int status;
	waitpid(client, &status, 0);
	assert_int_equal(code, 0);
	assert_int_equal(status, 0);
	stream_free(&day.stream);
	tls_context_free(&day.context);
	loop_free(&day.loop);
	buf_free(&certificate);
	buf_free(&key);
	close(day.fd);
}

static int who_am_i(void *data)
{
	(void)data;
	return getuid() == 59025 && getegid() == 59025 ? 0 : 1;
}

static void the_user_is_dropped(void **state)
{
	NEEDS_SANDBOX(state);
	if (geteuid() != 0) {
		print_message("skipped: not root\n");
		skip();
	}
	const struct sandbox_rules rules = { .user = 59025, .group = 59025 };
	assert_int_equal(confined(&rules, who_am_i, NULL, false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_forbidden_call_kills, skip_without_sandbox),
		cmocka_unit_test_setup(descriptors_stay_non_blocking_and_send_no_signals, skip_without_sandbox),
		cmocka_unit_test_setup(only_the_allowed_folders_are_open, skip_without_sandbox),
		cmocka_unit_test_setup(the_work_of_a_role_is_possible_inside, skip_without_sandbox),
		cmocka_unit_test_setup(the_user_is_dropped, skip_without_sandbox),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
