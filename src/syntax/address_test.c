/* Address lists of RFC 5322, its obsolete forms, and what people send instead. Lists are compared in a short notation:
 * name|route|local|domain, "-" for absent, "{name" and "}" for groups, joined by spaces and ';'. */
#include "syntax/address.h"

#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

static void put(struct buf *out, struct str s)
{
	buf_add(out, s.p ? s : STR("-"));
}

static void put_address(struct buf *out, const struct address *a)
{
	switch (a->kind) {
	case ADDRESS_MAILBOX:
		put(out, a->name);
		buf_add_byte(out, '|');
		put(out, a->route);
		buf_add_byte(out, '|');
		put(out, a->local);
		buf_add_byte(out, '|');
		put(out, a->domain);
		break;
	case ADDRESS_GROUP_START:
		buf_add_byte(out, '{');
		put(out, a->name);
		break;
	case ADDRESS_GROUP_END: buf_add_byte(out, '}'); break;
	}
}

static void reads_at_most(const char *text, size_t max, const char *expected)
{
	struct arena arena = ARENA_INIT(1 << 20);
	struct buf out = BUF_INIT(1 << 16);
	struct address *list;
	size_t n;
	assert_int_equal(address_parse_list(str_from_c(text), &arena, max, &list, &n), 0);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_add(&out, STR("; "));
		put_address(&out, &list[i]);
	}
	buf_add_byte(&out, '\0');
	assert_string_equal(out.p, expected);
	buf_free(&out);
	arena_free(&arena);
}

static void reads(const char *text, const char *expected)
{
	reads_at_most(text, 100, expected);
}

static void rfc5322_examples(void **state)
{
	reads("John Doe <jdoe@machine.example>", "John Doe|-|jdoe|machine.example");
	reads("\"Joe Q. Public\" <john.q.public@example.com>", "Joe Q. Public|-|john.q.public|example.com");
	reads("Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
	      "Mary Smith|-|mary|x.test; -|-|jdoe|example.org; Who?|-|one|y.test");
	reads("<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
	      "-|-|boss|nil.test; Giant; \"Big\" Box|-|sysservices|example.net");
	reads("A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
	      "{A Group; Ed Jones|-|joe|where.test; -|-|joe|where.test; John|-|jdoe|one.test; }");
	reads("Undisclosed recipients:;", "{Undisclosed recipients; }");
	reads("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete|-|pete|silly.test");
	reads("A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n  joe@example.org,\r\n"
	      " John <jdoe@one.test> (my dear friend); (the end of the group)",
	      "{A Group; Chris Jones|-|c|public.example; -|-|joe|example.org; John|-|jdoe|one.test; }");
	reads("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", "{Hidden recipients; }");
}

static void obsolete_forms(void **state)
{
	reads("Joe Q. Public <john.q.public@example.com>", "Joe Q. Public|-|john.q.public|example.com");
	reads("Mary Smith <@node.test,@b.test:mary@example.net>, , jdoe@test  . example",
	      "Mary Smith|@node.test,@b.test|mary|example.net; -|-|jdoe|test.example");
	reads("first . last @ example . test", "-|-|first.last|example.test");
	reads(",,joe@x.test,,", "-|-|joe|x.test");
	reads("joe@x.test (Joe Public)", "Joe Public|-|joe|x.test");
	reads("(Joe \\(P\\)) joe@x.test", "Joe (P)|-|joe|x.test");
}

static void quoting_and_literals(void **state)
{
	reads("\"a b\"@x.test", "-|-|a b|x.test");
	reads("\"a\\\"b\".c@x.test", "-|-|a\"b.c|x.test");
	reads("joe@[192.0.2.1]", "-|-|joe|[192.0.2.1]");
	reads("joe@[IPv6:2001:db8::1], b@c", "-|-|joe|[IPv6:2001:db8::1]; -|-|b|c");
	reads("\"folded\r\n name\" <a@b>", "folded name|-|a|b");
	reads("=?utf-8?q?J=C3=B6rg?= <j@x.test>", "=?utf-8?q?J=C3=B6rg?=|-|j|x.test");
	reads("J\xc3\xb6rg <j\xc3\xb6rg@x.test>", "J\xc3\xb6rg|-|j\xc3\xb6rg|x.test");
	reads("\"\" <a@b>", "|-|a|b");
}

static void broken_lists_give_their_best_reading(void **state)
{
	reads("", "");
	reads(" \r\n ", "");
	reads("joe", "-|-|joe|-");
	reads("<>", "");
	reads("Joe <>", "Joe|-||-");
	reads("joe@", "-|-|joe|");
	reads("@x.test", "-|-||x.test");
	reads("joe@x.test <joe@x.test>", "joe@x.test|-|joe|x.test");
	reads("Joe <joe@x.test", "Joe|-|joe|x.test");
	reads("Joe <joe@x.test, bob@y.test", "Joe|-|joe|x.test; -|-|bob|y.test");
	reads("\"Joe <joe@x.test>, bob@y.test", "\"Joe|-|joe|x.test; -|-|bob|y.test");
	reads("joe@x.test; bob@y.test", "-|-|joe|x.test; -|-|bob|y.test");
	reads("a: b@c", "{a; -|-|b|c; }");
	reads("a: b: c@d;, e@f", "{a; -|-|c|d; }; -|-|e|f");
	reads("(never closed joe@x.test", "");
	reads("joe@x.test\\", "-|-|joe|x.test\\");
	reads("a@b@c", "-|-|a|b");
	reads("Joe <joe@x.test> trailing words, bob@y", "Joe|-|joe|x.test; -|-|bob|y");
}

static void at_most_max_entries_with_groups_closed(void **state)
{
	reads_at_most("a@b, c@d, e@f", 2, "-|-|a|b; -|-|c|d");
	reads_at_most("g: a@b, c@d, e@f;", 3, "{g; -|-|a|b; }");
	reads_at_most("g: a@b;", 1, "-|-|a|b");
	reads_at_most("a@b", 0, "");
}

static void full_arena_is_an_error(void **state)
{
	struct arena arena = ARENA_INIT(100);
	struct address *list;
	size_t n;
	assert_int_equal(address_parse_list(STR("a@b, c@d, e@f"), &arena, 100, &list, &n), ERR_LIMIT);
	arena_free(&arena);
}

/* The cost is linear: patterns that make a careless reader look at the rest again and again. */
static void hostile_lists_are_read_in_linear_time(void **state)
{
	const char *patterns[] = { "\"", "\\\"", "(", "(\\", "<@a,", "a@", "a@[\"],", "\"\\", "<", ":", "a:", ";", "[",
		                       "a@b<", "\"a\" ", "(a)", "a@(", "a,\"" };
	size_t n = 256 * 1024;
	char *text = mem_alloc(n, 1);
	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
		struct arena arena = ARENA_INIT(64 << 20);
		struct address *list;
		size_t found, length = strlen(patterns[i]);
		for (size_t at = 0; at < n; at++)
			text[at] = patterns[i][at % length];
		clock_t start = clock(); /* of the processor */
		assert_int_equal(address_parse_list(str_of(text, n), &arena, 5000, &list, &found), 0);
		assert_true(clock() - start < CLOCKS_PER_SEC);
		arena_free(&arena);
	}
	mem_free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc5322_examples),
		cmocka_unit_test(obsolete_forms),
		cmocka_unit_test(quoting_and_literals),
		cmocka_unit_test(broken_lists_give_their_best_reading),
		cmocka_unit_test(at_most_max_entries_with_groups_closed),
		cmocka_unit_test(full_arena_is_an_error),
		cmocka_unit_test(hostile_lists_are_read_in_linear_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
