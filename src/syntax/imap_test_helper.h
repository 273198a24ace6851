/* imap_test_helper.h: shared by the tests of the IMAP parser and reader. */
#ifndef SYNTAX_IMAP_TEST_HELPER_H
#define SYNTAX_IMAP_TEST_HELPER_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "syntax/imap.h"

static const struct imap_limits test_limits = IMAP_LIMITS_DEFAULT;

#define assert_str(actual, expected)                                                                                   \
	do {                                                                                                               \
		struct str a_ = (actual), e_ = (expected);                                                                     \
		if (!str_eq(a_, e_))                                                                                           \
			fail_msg("got '%.*s', wanted '%.*s'", STR_ARG(a_), STR_ARG(e_));                                           \
	} while (0)

#endif
