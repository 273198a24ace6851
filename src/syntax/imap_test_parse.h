/* imap_test_parse.h: commands parsed and printed again, for the tests of the IMAP parser. */
#ifndef SYNTAX_IMAP_TEST_PARSE_H
#define SYNTAX_IMAP_TEST_PARSE_H

#include "syntax/imap_test_helper.h"

struct parsed {
	struct arena arena;
	struct imap_command command;
	struct imap_error error;
	int err;
};

static struct parsed parse_with(struct str text, const struct imap_limits *limits)
{
	struct parsed p = { .arena = ARENA_INIT(limits->arena_bytes) };
	p.err = imap_parse(text, limits, &p.arena, &p.command, &p.error);
	return p;
}

static struct imap_command *good(struct parsed *p, const char *text)
{
	*p = parse_with(str_from_c(text), &test_limits);
	if (p->err)
		fail_msg("'%s': %s at %zu", text, p->error.message, p->error.offset);
	return &p->command;
}

static void done(struct parsed *p)
{
	arena_free(&p->arena);
}

/* The command in canonical form. */
static void prints(const char *text, const char *expected)
{
	struct parsed p;
	struct buf out = BUF_INIT(100000);
	imap_command_print(good(&p, text), &out);
	assert_int_equal(buf_error(&out), 0);
	assert_str(buf_str(&out), str_from_c(expected));
	buf_free(&out);
	done(&p);
}

static void same(const char *text)
{
	prints(text, text);
}

static void bad(const char *text, const char *message)
{
	struct parsed p = parse_with(str_from_c(text), &test_limits);
	struct buf out = BUF_INIT(1000);
	if (!p.err)
		fail_msg("'%s' was taken", text);
	imap_error_print(&p.error, &out);
	assert_str(buf_str(&out), str_from_c(message));
	buf_free(&out);
	done(&p);
}

#endif
