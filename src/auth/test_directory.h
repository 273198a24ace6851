/* test_directory.h: a temporary folder for a directory under test. A test makes it, opens a directory in it
 * (directory_open), and removes both in the end. */
#ifndef AUTH_TEST_DIRECTORY_H
#define AUTH_TEST_DIRECTORY_H

#include "auth/directory.h"

#define TEST_FOLDER_SIZE 64

/* Makes the folder; the test ends when that fails. */
void test_folder_make(char folder[TEST_FOLDER_SIZE]);
/* Closes the directory, and removes its files and the folder. */
void test_directory_remove(struct directory **directory, const char *folder);

#endif
