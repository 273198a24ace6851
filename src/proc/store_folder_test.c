/* store_folder_test.c: a store's folder is made once, read as it was made, refused when damaged, and held by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "proc/store_folder.h"

#include "base/test_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int make_temporary(void **state)
{
	static char folder[TEST_FOLDER_SIZE];
	*state = folder;
	return test_folder_make(folder, "store-test") ? 0 : -1;
}

static int remove_temporary(void **state)
{
	pid_t pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", (char *)*state, (char *)NULL);
		_exit(1);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static const struct store_owners owners = { 59025, 59035, 59026, 59036 };

static const char *in(const char *folder, const char *name)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static void write_store_file(const char *folder, const char *text)
{
	int fd = open(in(folder, "store"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void what_was_made_is_read_again(void **state)
{
	char path[96];
	struct store_identity made, again, read_back;
	struct stat status;
	snprintf(path, sizeof path, "%.60s/deep/er", (const char *)*state);
	assert_int_equal(store_folder_read(path, &read_back), ERR_NOT_FOUND);
	assert_int_equal(store_folder_make(path), 0);
	assert_int_equal(store_folder_read(path, &read_back), ERR_NOT_FOUND);
	assert_int_equal(store_folder_fill(path, 3, &owners, &made), 0);
	assert_int_equal(made.shards, 3);
	/* The number of shards is settled once and for all. */
	assert_int_equal(store_folder_fill(path, 7, &owners, &again), 0);
	assert_int_equal(store_folder_read(path, &read_back), 0);
	assert_memory_equal(&made, &again, sizeof made);
	assert_memory_equal(&made, &read_back, sizeof made);
	assert_int_equal(stat(in(path, "shards/02"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	assert_int_equal(status.st_uid, geteuid() == 0 ? owners.user : geteuid());
	assert_int_equal(status.st_gid, geteuid() == 0 ? owners.group : getegid());
	assert_int_equal(stat(in(path, "spool"), &status), 0);
	assert_int_equal(status.st_uid, geteuid() == 0 ? owners.network_user : geteuid());
	assert_int_equal(status.st_gid, geteuid() == 0 ? owners.network_group : getegid());
	assert_int_not_equal(stat(in(path, "shards/03"), &status), 0);
	assert_int_equal(stat(in(path, "store"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
}

static void a_damaged_or_newer_store_is_refused(void **state)
{
	const char *folder = *state;
	struct store_identity identity;
	write_store_file(folder, "");
	assert_int_equal(store_folder_read(folder, &identity), ERR_CORRUPT);
	write_store_file(folder, "format = 2\n");
	assert_int_equal(store_folder_read(folder, &identity), ERR_UNSUPPORTED);
	assert_int_equal(store_folder_fill(folder, 1, &owners, &identity), ERR_UNSUPPORTED);
	write_store_file(folder, "format = 1\nid = 00112233445566778899aabbccddeeff\nsecret = 00\nshards = 1\n");
	assert_int_equal(store_folder_read(folder, &identity), ERR_CORRUPT);
	write_store_file(folder, "format = 1\nid = 00112233445566778899aabbccddeeff\n"
	                         "secret = 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\nshards = 0\n");
	assert_int_equal(store_folder_read(folder, &identity), ERR_CORRUPT);
}

static void mail_without_a_store_file_is_never_given_a_new_identity(void **state)
{
	const char *folder = *state;
	struct store_identity identity;
	assert_int_equal(store_folder_fill(folder, 1, &owners, &identity), 0);
	int fd = open(in(folder, "shards/00/index.db"), O_WRONLY | O_CREAT, 0600);
	close(fd);
	unlink(in(folder, "store"));
	assert_int_equal(store_folder_fill(folder, 1, &owners, &identity), ERR_CORRUPT);
}

static void what_a_restore_left_is_no_store_until_it_is_whole(void **state)
{
	const char *folder = *state;
	struct store_identity identity;
	close(open(in(folder, STORE_FOLDER_UNFINISHED), O_WRONLY | O_CREAT, 0600));
	assert_int_equal(store_folder_fill(folder, 1, &owners, &identity), ERR_STATE);
	assert_int_not_equal(access(in(folder, STORE_FOLDER_AUTH), F_OK), 0);
	write_store_file(folder, "format = 1\nid = 00112233445566778899aabbccddeeff\n"
	                         "secret = 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\nshards = 1\n");
	assert_int_equal(store_folder_fill(folder, 1, &owners, &identity), 0);
	assert_int_not_equal(access(in(folder, STORE_FOLDER_UNFINISHED), F_OK), 0);
}

static void owners_that_are_not_apart_are_told(void **state)
{
	uint32_t user, group;
	assert_null(store_owners_warning(&owners));
	assert_non_null(store_owners_warning(&(struct store_owners){ 0, 0, 1, 1 }));
	assert_non_null(store_owners_warning(&(struct store_owners){ 1, 1, 0, 0 }));
	assert_non_null(store_owners_warning(&(struct store_owners){ 1, 1, 1, 2 }));
	assert_true(store_owner_find(STR("root"), 5, &user, &group));
	assert_int_equal(user, 0);
	assert_false(store_owner_find(STR("no-such-user"), 5, &user, &group));
	assert_true(user == 5 && group == 5);
}

static void one_holds_the_lock(void **state)
{
	int first, second;
	assert_int_equal(store_folder_lock(in(*state, "nowhere"), &first), ERR_NOT_FOUND);
	assert_int_equal(store_folder_lock(*state, &first), 0);
	assert_int_equal(store_folder_lock(*state, &second), ERR_UNAVAILABLE);
	close(first);
	assert_int_equal(store_folder_lock(*state, &second), 0);
	close(second);
}

/* Roles run as other users and must get through, though an administrator's shell has umask 077. */
static void a_narrow_umask_closes_no_folder(void **state)
{
	static const char *const open_to_pass[] = { "a", "a/b", "a/b/shards" };
	struct store_identity identity;
	struct stat status;
	mode_t before = umask(077);
	char store[96];
	snprintf(store, sizeof store, "%s/a/b", (const char *)*state);
	assert_int_equal(store_folder_make(store), 0);
	assert_int_equal(store_folder_fill(store, 1, &owners, &identity), 0);
	umask(before);
	for (size_t i = 0; i < sizeof open_to_pass / sizeof *open_to_pass; i++) {
		assert_int_equal(stat(in(*state, open_to_pass[i]), &status), 0);
		assert_int_equal(status.st_mode & 07777, 0711);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_made_is_read_again, make_temporary, remove_temporary),
		cmocka_unit_test_setup_teardown(a_damaged_or_newer_store_is_refused, make_temporary, remove_temporary),
		cmocka_unit_test_setup_teardown(mail_without_a_store_file_is_never_given_a_new_identity, make_temporary, remove_temporary),
		cmocka_unit_test_setup_teardown(a_narrow_umask_closes_no_folder, make_temporary, remove_temporary),
		cmocka_unit_test_setup_teardown(what_a_restore_left_is_no_store_until_it_is_whole, make_temporary, remove_temporary),
		cmocka_unit_test(owners_that_are_not_apart_are_told),
		cmocka_unit_test_setup_teardown(one_holds_the_lock, make_temporary, remove_temporary),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
