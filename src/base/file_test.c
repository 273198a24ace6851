/* Whole reads and writes: at offsets, short at the end of a file, through a pipe, beyond a limit. */
#include "base/file.h"

#include "base/checked.h"
#include "base/test_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define PIPE_BYTES (1024 * 1024) /* more than a pipe holds: writes and reads are short */

static void what_is_written_is_read(void **state)
{
	(void)state;
	char text[16];
	size_t got = 99;
	int fd = memfd_create("file", MFD_CLOEXEC);
	assert_int_equal(file_write(fd, STR("hello")), 0);
	assert_int_equal(file_write_at(fd, 3, STR("p me")), 0);
	assert_int_equal(file_read_at(fd, 1, text, sizeof text, &got), 0);
	assert_true(str_eq(str_of(text, got), STR("elp me")));
	assert_int_equal(file_read_at(fd, 7, text, sizeof text, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(file_read_exactly(fd, 0, text, 7), 0);
	assert_int_equal(file_read_exactly(fd, 0, text, 8), ERR_CORRUPT);
	close(fd);
}

static void errors_are_told_and_leave_the_result_alone(void **state)
{
	(void)state;
	char text[4];
	size_t got = 99;
	struct buf out = BUF_INIT(16);
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(file_write(fd, STR("x")), ERR_NO_SPACE);
	close(fd);
	assert_true(file_read_at(-1, 0, text, sizeof text, &got) < 0);
	assert_int_equal(got, 99);
	assert_true(file_read_rest(-1, &out) < 0);
	assert_int_equal(file_read(AT_FDCWD, "/nowhere/at/all", 0, &out), ERR_NOT_FOUND);
	assert_int_equal(file_sync_folder(AT_FDCWD, "/nowhere/at/all"), ERR_NOT_FOUND);
	assert_int_equal(file_sync_folder(AT_FDCWD, "/"), 0);
	buf_free(&out);
}

static void *feed(void *end)
{
	struct buf bytes = BUF_INIT(PIPE_BYTES);
	for (size_t i = 0; i < PIPE_BYTES; i++)
		buf_add_byte(&bytes, (char)(i % 251));
	int result = file_write(*(int *)end, buf_str(&bytes));
	buf_free(&bytes);
	close(*(int *)end);
	return result == 0 ? end : NULL;
}

static void a_pipe_is_read_to_its_end(void **state)
{
	(void)state;
	int ends[2];
	pthread_t thread;
	void *fed;
	struct buf out = BUF_INIT(PIPE_BYTES);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&thread, NULL, feed, &ends[1]), 0);
	assert_int_equal(file_read_rest(ends[0], &out), 0);
	assert_int_equal(pthread_join(thread, &fed), 0);
	assert_non_null(fed);
	assert_int_equal(out.n, PIPE_BYTES);
	for (size_t i = 0; i < out.n; i++)
		assert_int_equal(out.p[i], (char)(i % 251));
	close(ends[0]);
	buf_free(&out);
}

/* A pipe that nobody writes to would be waited for, for ever: by the supervisor at a reload. */
static void only_plain_files_are_read_and_nothing_is_waited_for(void **state)
{
	(void)state;
	char folder[TEST_FOLDER_SIZE], name[TEST_FOLDER_SIZE + 16];
	struct buf out = BUF_INIT(16);
	assert_true(test_folder_make(folder, "file"));
	snprintf(name, sizeof name, "%s/pipe", folder);
	assert_int_equal(mkfifo(name, 0600), 0);
	assert_int_equal(file_read(AT_FDCWD, name, 0, &out), ERR_FILE_TYPE);
	unlink(name);
	assert_int_equal(file_read(AT_FDCWD, folder, 0, &out), ERR_FILE_TYPE);
	assert_int_equal(file_read_given(folder, &out), ERR_FILE_TYPE);
	rmdir(folder);
	assert_int_equal(file_read(AT_FDCWD, "/dev/zero", 0, &out), ERR_FILE_TYPE);
	assert_int_equal(out.n, 0);
	assert_int_equal(file_read_given("/dev/null", &out), 0);
	assert_int_equal(file_read_given("/nowhere/at/all", &out), ERR_NOT_FOUND);
	buf_free(&out);
	out = BUF_INIT(PIPE_BYTES);
	assert_int_equal(file_read(AT_FDCWD, "/proc/self/status", 0, &out), 0); /* a plain file of size 0 */
	assert_true(out.n > 0);
	buf_free(&out);
}

static void a_socket_is_no_plain_file(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(16);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char folder[TEST_FOLDER_SIZE];
	assert_true(test_folder_make(folder, "file"));
	snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(file_read(AT_FDCWD, address.sun_path, 0, &out), ERR_FILE_TYPE);
	assert_int_equal(file_read_given(address.sun_path, &out), ERR_FILE_TYPE);
	close(fd);
	unlink(address.sun_path);
	rmdir(folder);
	buf_free(&out);
}

static void files_and_folders_are_synced_and_what_is_closed_is_not(void **state)
{
	int file = memfd_create("file", MFD_CLOEXEC), folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(file >= 0 && folder >= 0);
	assert_int_equal(file_sync(file, false), 0);
	assert_int_equal(file_sync(folder, true), 0);
	close(file);
	close(folder);
	assert_int_equal(file_sync(-1, false), ERR_IO);
	assert_int_equal(file_sync(-1, true), ERR_IO);
}

static void more_than_the_buffer_may_hold_is_an_error(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(4);
	int fd = memfd_create("file", MFD_CLOEXEC);
	assert_int_equal(file_write(fd, STR("12345")), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(file_read_rest(fd, &out), ERR_LIMIT);
	close(fd);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(errors_are_told_and_leave_the_result_alone),
		cmocka_unit_test(a_pipe_is_read_to_its_end),
		cmocka_unit_test(only_plain_files_are_read_and_nothing_is_waited_for),
		cmocka_unit_test(a_socket_is_no_plain_file),
		cmocka_unit_test(more_than_the_buffer_may_hold_is_an_error),
		cmocka_unit_test(files_and_folders_are_synced_and_what_is_closed_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
