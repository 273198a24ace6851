/* test_folder.h: test support: a new folder where temporary files go (TMPDIR, else the system's). Whoever makes it
 * removes it. */
#ifndef BASE_TEST_FOLDER_H
#define BASE_TEST_FOLDER_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define TEST_FOLDER_SIZE 64

/* Writes the folder's name, which begins with `what`; false when it cannot be made. */
static inline bool test_folder_make(char folder[TEST_FOLDER_SIZE], const char *what)
{
	const char *place = getenv("TMPDIR");
	int n = snprintf(folder, TEST_FOLDER_SIZE, "%s/mansio-%s-XXXXXX", place && *place ? place : P_tmpdir, what);
	return n > 0 && n < TEST_FOLDER_SIZE && mkdtemp(folder);
}

#endif
