/* test_directory.c: see test_directory.h. Owns nothing; a folder that holds other files stays. */
#include "auth/test_directory.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

void test_directory_remove(struct directory **directory, const char *folder)
{
	static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
	directory_free(directory);
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		char path[128];
		snprintf(path, sizeof path, "%s/" DIRECTORY_FILE "%s", folder, ends[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(folder), 0);
}
