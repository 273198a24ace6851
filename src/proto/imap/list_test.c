/* list_test.c: mailboxes: CREATE, DELETE, RENAME, CLOSE, subscriptions, and what LIST, LSUB and STATUS say of them. */
#include "proto/imap/session_test_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_a_new_account_has_its_mailboxes(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a LIST \"\" *\r\n");
	test_expect(
	    &c,
	    "* LIST (\\HasNoChildren \\Archive) \"/\" Archive\r\n* LIST (\\HasNoChildren \\Drafts) \"/\" Drafts\r\n"
	    "* LIST (\\HasNoChildren) \"/\" INBOX\r\n* LIST (\\HasNoChildren \\Junk) \"/\" Junk\r\n"
	    "* LIST (\\HasNoChildren \\Sent) \"/\" Sent\r\n* LIST (\\HasNoChildren \\Trash) \"/\" Trash\r\na OK LIST completed.\r\n");
	test_say(&c, "b LIST \"\" \"\"\r\n");
	test_expect(&c, "* LIST (\\Noselect) \"/\" \"\"\r\nb OK Completed.\r\n");
	test_say(&c, "c LIST (SPECIAL-USE) \"\" *t* RETURN (STATUS (MESSAGES))\r\n");
	test_expect(&c,
	            "* LIST (\\HasNoChildren \\Drafts) \"/\" Drafts\r\n* STATUS Drafts (MESSAGES 0)\r\n"
	            "* LIST (\\HasNoChildren \\Sent) \"/\" Sent\r\n* STATUS Sent (MESSAGES 0)\r\nc OK LIST completed.\r\n");
	test_client_end(&c);
}

static void test_create_makes_parents_and_refuses(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a CREATE work/2003/\r\n");
	test_expect_part(&c, "a OK [MAILBOXID (F");
	test_say(&c, "b LIST \"\" work*\r\n");
	test_expect(&c, "* LIST (\\HasChildren) \"/\" work\r\n* LIST (\\HasNoChildren) \"/\" work/2003\r\nb OK LIST completed.\r\n");
	test_say(
	    &c,
	    "c CREATE work\r\nd CREATE inbox\r\ne CREATE a//b\r\nf CREATE x (USE (\\Trash))\r\ng CREATE y (USE (\\All))\r\n");
	test_expect_part(&c, "c NO [ALREADYEXISTS]");
	test_expect_part(&c, "d NO [ALREADYEXISTS]");
	test_expect_part(&c, "e NO [CANNOT]");
	test_expect_part(&c, "f NO [USEATTR]");
	test_expect_part(&c, "g NO [USEATTR]");
	test_say(&c, "h DELETE Trash\r\ni CREATE Bin (USE (\\Trash))\r\nj LIST \"\" Bin\r\n");
	test_expect_part(&c, "* LIST (\\HasNoChildren \\Trash) \"/\" Bin\r\n");
	test_say(&c, "k CREATE &AOk-t&AOk-\r\nl LIST \"\" \"&AOk-%\"\r\nm CREATE &Jjo\r\n");
	test_expect_part(&c, "* LIST (\\HasNoChildren) \"/\" &AOk-t&AOk-\r\n");
	test_expect_part(&c, "m NO [CANNOT]");
	test_client_end(&c);
}

static void test_a_missing_parent_is_shown(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(
	    &c,
	    "a CREATE up/down\r\nb DELETE up\r\nc LIST \"\" u%\r\nd LIST \"\" (u%)\r\ne LIST \"up/\" %\r\nf SELECT up\r\n");
	test_expect_part(&c, "* LIST (\\Noselect \\HasChildren) \"/\" up\r\nc OK ");
	test_expect_part(&c, "* LIST (\\NonExistent \\HasChildren) \"/\" up\r\nd OK ");
	test_expect_part(&c, "* LIST (\\HasNoChildren) \"/\" up/down\r\ne OK ");
	test_expect_part(&c, "f NO [NONEXISTENT]");
	test_say(&c, "g DELETE up\r\nh DELETE INBOX\r\n");
	test_expect_part(&c, "g NO [NONEXISTENT]");
	test_expect_part(&c, "h NO [CANNOT]");
	test_client_end(&c);
}

static void test_rename(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a CREATE a/b/c\r\nb RENAME a x/y\r\nc LIST \"\" x*\r\n");
	test_expect_part(&c, "/\" x\r\n* LIST (\\HasChildren) \"/\" x/y\r\n* LIST (\\HasChildren) \"/\" x/y/b\r\n"
	                     "* LIST (\\HasNoChildren) \"/\" x/y/b/c\r\n");
	test_say(&c, "d RENAME x Trash\r\ne RENAME nowhere z\r\n");
	test_expect_part(&c, "d NO [ALREADYEXISTS]");
	test_expect_part(&c, "e NO [NONEXISTENT]");
	test_say(&c, "k CREATE p/y/y\r\nl DELETE p\r\nm RENAME p/y p\r\nn RENAME x p/y\r\n");
	test_expect_part(&c, "m NO [ALREADYEXISTS] A mailbox below it would get the name of another.\r\n");
	test_expect_part(&c, "n NO [ALREADYEXISTS] There is a mailbox of that name already.\r\n");
	test_append(&c, "INBOX", "one", 2);
	test_say(&c, "f RENAME INBOX old\r\ng STATUS INBOX (MESSAGES)\r\nh STATUS old (MESSAGES)\r\n");
	test_expect_part(&c, "* STATUS INBOX (MESSAGES 0)");
	test_expect_part(&c, "* STATUS old (MESSAGES 2)");
	test_client_end(&c);
}

static void unsubscribe_all(struct test_client *c)
{
	test_say(
	    c,
	    "u UNSUBSCRIBE INBOX\r\nu UNSUBSCRIBE Archive\r\nu UNSUBSCRIBE Drafts\r\nu UNSUBSCRIBE Junk\r\nu UNSUBSCRIBE Sent\r\n"
	    "u UNSUBSCRIBE Trash\r\n");
}

static void test_lsub_shows_names_above(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	unsubscribe_all(&c);
	test_say(&c, "a CREATE foo/bar\r\nb SUBSCRIBE foo/bar\r\nc SUBSCRIBE gone\r\nd LSUB \"\" *\r\n");
	test_expect_part(&c, "* LSUB () \"/\" foo/bar\r\n* LSUB () \"/\" gone\r\nd OK ");
	test_expect_none(&c, "/\" foo\r\n");
	test_say(&c, "e LSUB \"\" %\r\n");
	test_expect(&c, "* LSUB (\\Noselect) \"/\" foo\r\n* LSUB () \"/\" gone\r\ne OK LSUB completed.\r\n");
	test_say(&c, "f UNSUBSCRIBE gone\r\ng UNSUBSCRIBE never\r\nh LSUB \"\" g*\r\n");
	test_expect_none(&c, "* LSUB");
	test_client_end(&c);
}

/* RFC 5258, section 5, example 9. */
static void test_recursive_match(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	unsubscribe_all(&c);
	test_say(
	    &c,
	    "a CREATE foo2/bar1\r\na CREATE foo2/bar2\r\na CREATE baz2/bar2\r\na CREATE baz2/bar22\r\na CREATE baz2/bar222\r\n"
	    "a CREATE eps2/mamba\r\na CREATE qux2/bar2\r\na DELETE qux2\r\n");
	test_say(&c, "b SUBSCRIBE foo2/bar1\r\nb SUBSCRIBE foo2/bar2\r\nb SUBSCRIBE baz2/bar2\r\nb SUBSCRIBE baz2/bar22\r\n"
	             "b SUBSCRIBE baz2/bar222\r\nb SUBSCRIBE eps2\r\nb SUBSCRIBE eps2/mamba\r\nb SUBSCRIBE qux2/bar2\r\n");
	test_say(&c, "c LIST (RECURSIVEMATCH SUBSCRIBED) \"\" \"*2\"\r\n");
	test_expect(
	    &c,
	    "* LIST (\\HasNoChildren \\Subscribed) \"/\" baz2/bar2\r\n* LIST (\\HasNoChildren \\Subscribed) \"/\" baz2/bar22\r\n"
	    "* LIST (\\HasNoChildren \\Subscribed) \"/\" baz2/bar222\r\n"
	    "* LIST (\\HasChildren \\Subscribed) \"/\" eps2 (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
	    "* LIST (\\HasChildren) \"/\" foo2 (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
	    "* LIST (\\HasNoChildren \\Subscribed) \"/\" foo2/bar2\r\n* LIST (\\HasNoChildren \\Subscribed) \"/\" qux2/bar2\r\n"
	    "c OK LIST completed.\r\n");
	test_say(&c, "d LIST (SUBSCRIBED) \"\" \"eps%\" RETURN (CHILDREN)\r\ne LIST (RECURSIVEMATCH) \"\" *\r\n");
	test_expect_part(&c, "* LIST (\\HasChildren \\Subscribed) \"/\" eps2\r\nd OK ");
	test_expect_part(&c, "e BAD ");
	test_say(&c, "f LIST \"\" (\"\" eps2) RETURN (SUBSCRIBED)\r\n");
	test_expect(&c, "* LIST (\\HasChildren \\Subscribed) \"/\" eps2\r\nf OK LIST completed.\r\n");
	test_client_end(&c);
}

/* RFC 5258, 3.5: a child counts that meets all of the criteria. */
static void test_recursive_match_of_special_use(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	unsubscribe_all(&c);
	test_say(&c, "a CREATE fruit/apple\r\nb SUBSCRIBE fruit/apple\r\nc RENAME Trash bins/Trash\r\nd SUBSCRIBE bins/Trash\r\n");
	test_say(&c, "e LIST (SUBSCRIBED SPECIAL-USE RECURSIVEMATCH) \"\" %\r\n");
	test_expect(&c, "* LIST (\\HasChildren) \"/\" bins (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\ne OK LIST completed.\r\n");
	test_client_end(&c);
}

/* RFC 3501, 6.4.2: CLOSE knows no NO. What is not removed keeps its \Deleted. */
static void test_close_on_a_full_disk_closes(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 2);
	test_say(&c, "a SELECT INBOX\r\nb STORE 1 +FLAGS (\\Deleted)\r\n");
	test_store_fill_disk();
	test_say(&c, "c CLOSE\r\nd FETCH 1 FLAGS\r\ne STATUS INBOX (MESSAGES DELETED)\r\n");
	test_expect_part(&c, "* NO [UNAVAILABLE] The server's disk is full");
	test_expect_part(&c, "c OK CLOSE completed.\r\nd BAD ");
	test_expect_part(&c, "(MESSAGES 2 DELETED 1)");
	test_client_end(&c);
}

static void test_long_lists_pause(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	w->settings.output_pause = 2048;
	test_client_begin(&c, w, 1);
	for (int i = 0; i < 300; i++) {
		char command[64];
		snprintf(command, sizeof command, "a CREATE box/%03d\r\n", i);
		test_say(&c, command);
	}
	c.resumes = 0;
	test_say(&c, "b LIST \"\" * RETURN (STATUS (MESSAGES UIDVALIDITY))\r\n");
	test_expect_part(&c, "/\" box/000\r\n");
	test_expect_part(&c, "/\" box/299\r\n");
	test_expect_part(&c, "b OK LIST completed.\r\n");
	assert_true(c.resumes > 5);
	test_client_end(&c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_store_set_up, test_store_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_new_account_has_its_mailboxes),
		TEST(test_create_makes_parents_and_refuses),
		TEST(test_a_missing_parent_is_shown),
		TEST(test_rename),
		TEST(test_lsub_shows_names_above),
		TEST(test_recursive_match),
		TEST(test_recursive_match_of_special_use),
		TEST(test_close_on_a_full_disk_closes),
		TEST(test_long_lists_pause),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
