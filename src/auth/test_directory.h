/* test_directory.h: the end of a directory under test. A test makes a folder (test_folder_make), opens a directory in
 * it (directory_open), and removes both. */
#ifndef AUTH_TEST_DIRECTORY_H
#define AUTH_TEST_DIRECTORY_H

#include "auth/directory.h"
#include "base/test_folder.h"

/* Closes the directory, and removes its files and the folder. */
void test_directory_remove(struct directory **directory, const char *folder);

#endif
