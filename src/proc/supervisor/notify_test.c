/* notify_test.c: what a service manager hears, on a datagram socket in a temporary folder or of an abstract name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/checked.h"
#include "base/str.h"
#include "base/test_folder.h"
#include "loop/test_support.h"
#include "proc/supervisor/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct manager {
	char folder[TEST_FOLDER_SIZE];
	char name[TEST_FOLDER_SIZE + 16]; /* NOTIFY_SOCKET */
	char said[256];
	int fd;
	struct loop *loop;
	struct notify *notify;
};

static void listen_at(struct manager *manager, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = strlen(name);
	memcpy(address.sun_path, name, n);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	assert_int_equal(bind(manager->fd, (const struct sockaddr *)&address, size), 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

/* The next message; empty when there is none. */
static const char *heard(struct manager *manager)
{
	ssize_t n = recv(manager->fd, manager->said, sizeof manager->said - 1, 0);
	manager->said[n > 0 ? n : 0] = '\0';
	return manager->said;
}

static int set_up(void **state)
{
	static struct manager manager;
	manager = (struct manager){ .fd = -1, .loop = loop_new() };
	assert_true(test_folder_make(manager.folder, "notify-test"));
	snprintf(manager.name, sizeof manager.name, "%s/notify", manager.folder);
	*state = &manager;
	return 0;
}

static int tear_down(void **state)
{
	struct manager *manager = *state;
	notify_free(&manager->notify);
	loop_free(&manager->loop);
	if (manager->fd >= 0)
		close(manager->fd);
	unlink(manager->name);
	rmdir(manager->folder);
	return 0;
}

static void start_reload_and_stop_are_told_in_order(void **state)
{
	struct manager *manager = *state;
	listen_at(manager, manager->name);
	manager->notify = notify_new(manager->loop);
	assert_null(getenv("NOTIFY_SOCKET"));
	notify_processes(manager->notify, 1, 2);
	assert_string_equal(heard(manager), "STATUS=1 of 2 processes are ready.\n");
	notify_processes(manager->notify, 2, 2);
	assert_string_equal(heard(manager), "READY=1\nSTATUS=All 2 processes are ready.\n");
	notify_processes(manager->notify, 1, 2);
	assert_string_equal(heard(manager), "STATUS=1 of 2 processes are ready.\n");
	notify_processes(manager->notify, 2, 2);
	assert_string_equal(heard(manager), "STATUS=All 2 processes are ready.\n");
	notify_reloading(manager->notify);
	assert_true(str_starts(str_from_c(heard(manager)), STR("RELOADING=1\nMONOTONIC_USEC=")));
	notify_reloaded(manager->notify);
	assert_string_equal(heard(manager), "READY=1\n");
	notify_stopping(manager->notify, 10000);
	assert_string_equal(heard(manager), "STOPPING=1\nSTATUS=Stopping.\nEXTEND_TIMEOUT_USEC=15000000\n");
	notify_processes(manager->notify, 1, 2);
	notify_reloading(manager->notify);
	notify_reloaded(manager->notify);
	assert_string_equal(heard(manager), "");
}

static void a_reload_before_the_server_is_ready_does_not_make_it_ready(void **state)
{
	struct manager *manager = *state;
	listen_at(manager, manager->name);
	manager->notify = notify_new(manager->loop);
	notify_reloading(manager->notify);
	notify_reloaded(manager->notify);
	assert_string_equal(heard(manager), "");
}

static void an_abstract_name_is_reached(void **state)
{
	struct manager *manager = *state;
	snprintf(manager->name, sizeof manager->name, "@mansio-notify-test-%d", (int)getpid());
	listen_at(manager, manager->name);
	manager->notify = notify_new(manager->loop);
	notify_processes(manager->notify, 3, 3);
	assert_string_equal(heard(manager), "READY=1\nSTATUS=All 3 processes are ready.\n");
}

static void the_watchdog_is_fed_while_the_loop_runs(void **state)
{
	struct manager *manager = *state;
	listen_at(manager, manager->name);
	setenv("WATCHDOG_USEC", "20000", 1);
	manager->notify = notify_new(manager->loop);
	int beats = 0;
	TEST_UNTIL(manager->loop, (beats += strcmp(heard(manager), "WATCHDOG=1\n") == 0) >= 3);
	assert_null(getenv("WATCHDOG_USEC"));
}

static void the_watchdog_of_another_process_is_not_ours(void **state)
{
	struct manager *manager = *state;
	listen_at(manager, manager->name);
	setenv("WATCHDOG_USEC", "2000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	manager->notify = notify_new(manager->loop);
	test_run(manager->loop, 50);
	assert_string_equal(heard(manager), "");
}

static void a_server_without_a_manager_or_with_a_lost_one_goes_on(void **state)
{
	struct manager *manager = *state;
	char long_name[200] = "/";
	memset(long_name + 1, 'x', sizeof long_name - 2);
	const char *const names[] = { NULL, "", "@", "vsock:2:1234", "/nowhere/at/all", long_name };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (names[i])
			setenv("NOTIFY_SOCKET", names[i], 1);
		manager->notify = notify_new(manager->loop);
		notify_processes(manager->notify, 2, 2);
		notify_stopping(manager->notify, 100);
		notify_free(&manager->notify);
	}
	notify_free(&manager->notify);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(start_reload_and_stop_are_told_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reload_before_the_server_is_ready_does_not_make_it_ready, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_abstract_name_is_reached, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_watchdog_is_fed_while_the_loop_runs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_watchdog_of_another_process_is_not_ours, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_server_without_a_manager_or_with_a_lost_one_goes_on, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
