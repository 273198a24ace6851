/* imap_parse_test.c: every IMAP command, good and bad, from its text to its struct. */
#include "syntax/imap_test_parse.h"

#include "base/checked.h"

static void test_commands_without_arguments(void **state)
{
	static const char *const names[] = { "CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "NAMESPACE", "IDLE", "CHECK",
		"CLOSE", "UNSELECT", "EXPUNGE" };
	char text[64];
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(text, sizeof text, "a1 %s", names[i]);
		same(text);
		snprintf(text, sizeof text, "a1 %s x", names[i]);
		struct parsed p = parse_with(str_from_c(text), &test_limits);
		assert_int_equal(p.err, ERR_SYNTAX);
		assert_str(p.error.tag, STR("a1"));
		done(&p);
	}
	prints("a nOoP", "a NOOP");
	prints("a NOOP  ", "a NOOP");
}

static void test_tags(void **state)
{
	same("A.]#1 NOOP");
	bad("", "expected a tag at column 1");
	bad(" NOOP", "expected a tag at column 1");
	bad("+ NOOP", "expected a tag at column 1");
	bad("a", "expected a space behind the tag at column 2");
	bad("a ", "expected a command at column 3");
	bad("a\x80 NOOP", "expected a space behind the tag at column 2");
	bad("a XYZZY", "unknown command at column 3");
	bad("a  NOOP", "expected a command at column 3");
	bad("a UID", "expected an argument at column 6");
	bad("a UID NOOP", "this command cannot follow UID at column 11");
	bad("a UIDX", "unknown command at column 3");
}

static void test_states_of_commands(void **state)
{
	assert_int_equal(imap_command_states(IMAP_COMMAND_NOOP), IMAP_STATE_ANY);
	assert_int_equal(imap_command_states(IMAP_COMMAND_LOGIN), IMAP_STATE_NOT_AUTHENTICATED);
	assert_int_equal(imap_command_states(IMAP_COMMAND_LIST), IMAP_STATE_LOGGED_IN);
	assert_int_equal(imap_command_states(IMAP_COMMAND_FETCH), IMAP_STATE_SELECTED);
	assert_str(imap_command_name(IMAP_COMMAND_LIST), STR("LIST"));
}

static void test_login(void **state)
{
	struct parsed p;
	struct imap_command *c = good(&p, "a LOGIN alice \"se\\\"cr\\\\et\"");
	assert_str(c->login.user, STR("alice"));
	assert_str(c->login.password, STR("se\"cr\\et"));
	done(&p);
	c = good(&p, "a LOGIN {5}\r\nalice {4+}\r\na\r\nb");
	assert_str(c->login.user, STR("alice"));
	assert_str(c->login.password, STR("a\r\nb"));
	done(&p);
	c = good(&p, "a LOGIN a \"\"");
	assert_int_equal(c->login.password.n, 0);
	done(&p);
	bad("a LOGIN", "expected an argument at column 8");
	bad("a LOGIN alice", "expected an argument at column 14");
	bad("a LOGIN alice ", "expected a password at column 15");
	bad("a LOGIN alice \"x", "quoted string does not end at column 17");
	bad("a LOGIN alice \"\\x\"", "only \\\" and \\\\ may be escaped at column 17");
	bad("a LOGIN (a) b", "expected a user name at column 9");
	bad("a LOGIN {9}\r\nali b", "literal is cut off at column 14");
	bad("a LOGIN {5} alice b", "expected a line end behind '}' at column 12");
	bad("a LOGIN {99999999999999999999}\r\n", "number is too large at column 10");
	bad("a LOGIN a b c", "unexpected argument at column 12");
}

static void test_nul_in_literal_is_refused(void **state)
{
	struct parsed p = parse_with(STR("a LOGIN a {3}\r\nx\0y"), &test_limits);
	assert_int_equal(p.err, ERR_SYNTAX);
	done(&p);
}

static void test_authenticate(void **state)
{
	struct parsed p;
	struct imap_command *c = good(&p, "a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==");
	assert_str(c->authenticate.mechanism, STR("PLAIN"));
	assert_true(c->authenticate.has_initial);
	assert_str(c->authenticate.initial, STR("\0alice\0secret"));
	done(&p);
	c = good(&p, "a AUTHENTICATE EXTERNAL =");
	assert_true(c->authenticate.has_initial);
	assert_int_equal(c->authenticate.initial.n, 0);
	done(&p);
	assert_false(good(&p, "a AUTHENTICATE PLAIN")->authenticate.has_initial);
	done(&p);
	same("a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==");
	same("a AUTHENTICATE EXTERNAL =");
	bad("a AUTHENTICATE PLAIN ???", "initial response is not base64 at column 22");
	bad("a AUTHENTICATE PLAIN AG=", "initial response is not base64 at column 22");
	bad("a AUTHENTICATE", "expected an argument at column 15");
}

static void test_mailbox_commands(void **state)
{
	same("a SELECT INBOX");
	prints("a select inBox", "a SELECT INBOX");
	prints("a SELECT inbox/Work", "a SELECT INBOX/Work");
	prints("a SELECT inboxes", "a SELECT inboxes");
	same("a EXAMINE \"two words\"");
	same("a SELECT a (CONDSTORE)");
	prints("a SELECT a (QRESYNC (67890007 20050715194045000 41,43:211,214:541) CONDSTORE)",
		"a SELECT a (CONDSTORE QRESYNC (67890007 20050715194045000 41,43:211,214:541))");
	same("a DELETE x");
	same("a SUBSCRIBE &AOQ-");
	same("a UNSUBSCRIBE x");
	same("a RENAME a b/c");
	same("a COPY 1:3,5 x");
	same("a UID MOVE 1:* Trash");
	struct parsed p;
	assert_str(good(&p, "a DELETE &AOQ-rger")->mailbox, STR("ärger"));
	done(&p);
	bad("a SELECT", "expected an argument at column 9");
	bad("a SELECT a b", "unexpected argument at column 11");
	bad("a SELECT a (", "expected a parameter at column 13");
	bad("a RENAME a", "expected an argument at column 11");
	bad("a DELETE a*", "unexpected argument at column 11");
	bad("a COPY 0 x", "expected a number from 1 on at column 8");
}

static void test_wrong_mailbox_name_is_no_syntax_error(void **state)
{
	struct parsed p = parse_with(STR("a SELECT &AOQ"), &test_limits);
	assert_int_equal(p.err, ERR_SYNTAX);
	assert_int_equal(p.error.answer, IMAP_ANSWER_NO);
	assert_str(p.error.tag, STR("a"));
	done(&p);
}

static void test_create(void **state)
{
	struct parsed p;
	assert_str(good(&p, "a CREATE a/b/")->create.mailbox, STR("a/b"));
	done(&p);
	struct imap_command *c = good(&p, "a CREATE x (USE (\\Sent \\trash) OTHER)");
	assert_int_equal(c->create.use, IMAP_USE_SENT | IMAP_USE_TRASH);
	assert_false(c->create.unknown_use);
	assert_int_equal(c->params.n, 1);
	assert_str(c->params.items[0].name, STR("OTHER"));
	done(&p);
	assert_true(good(&p, "a CREATE x (USE (\\Foo))")->create.unknown_use);
	done(&p);
	same("a CREATE x (USE (\\Sent \\Trash))");
	bad("a CREATE x (USE)", "expected special-use attributes behind USE at column 17");
	bad("a CREATE x (USE (Sent))", "expected a special-use attribute at column 18");
}

static void test_quota(void **state)
{
	struct parsed p;
	struct imap_command *c = good(&p, "a GETQUOTA \"\"");
	assert_int_equal(c->kind, IMAP_COMMAND_GETQUOTA);
	assert_int_equal(c->quota_root.n, 0);
	done(&p);
	c = good(&p, "a GETQUOTAROOT inbox/&AOQ-");
	assert_int_equal(c->kind, IMAP_COMMAND_GETQUOTAROOT);
	assert_str(c->mailbox, STR("INBOX/\xc3\xa4"));
	done(&p);
	prints("a getquota #user/x", "a GETQUOTA #user/x");
	same("a GETQUOTAROOT INBOX");
	same("a STATUS INBOX (SIZE DELETED DELETED-STORAGE)");
	bad("a GETQUOTA", "expected an argument at column 11");
	bad("a GETQUOTA x y", "unexpected argument at column 13");
	bad("a SETQUOTA \"\" (STORAGE 5)", "unknown command at column 3");
}

static void test_list(void **state)
{
	struct parsed p;
	struct imap_command *c = good(&p, "a LIST \"\" *");
	assert_false(c->list.extended);
	assert_int_equal(c->list.reference.n, 0);
	assert_int_equal(c->list.patterns.n, 1);
	assert_str(c->list.patterns.items[0], STR("*"));
	done(&p);
	prints("a LIST \"\" %", "a LIST \"\" \"%\"");
	same("a LIST \"\" \"\"");
	same("a LSUB \"\" \"a/%\"");
	c = good(&p, "a LIST (SUBSCRIBED RECURSIVEMATCH SPECIAL-USE) x (\"INBOX\" Sent/%) "
				 "RETURN (CHILDREN STATUS (MESSAGES UNSEEN) SUBSCRIBED SPECIAL-USE)");
	assert_true(c->list.extended);
	assert_int_equal(c->list.select,
		IMAP_LIST_SELECT_SUBSCRIBED | IMAP_LIST_SELECT_RECURSIVEMATCH | IMAP_LIST_SELECT_SPECIAL_USE);
	assert_int_equal(c->list.returns, IMAP_LIST_RETURN_CHILDREN | IMAP_LIST_RETURN_STATUS |
		IMAP_LIST_RETURN_SUBSCRIBED | IMAP_LIST_RETURN_SPECIAL_USE);
	assert_int_equal(c->list.status_items, IMAP_STATUS_MESSAGES | IMAP_STATUS_UNSEEN);
	assert_int_equal(c->list.patterns.n, 2);
	assert_str(c->list.patterns.items[1], STR("Sent/%"));
	done(&p);
	prints("a LIST () \"\" (a b) RETURN ()", "a LIST () \"\" (\"a\" \"b\")");
	prints("a LIST \"\" &AOQ-*", "a LIST \"\" \"&AOQ-*\"");
	prints("a LIST \"\" &AO*", "a LIST \"\" \"&-AO*\"");
	bad("a LIST (RECURSIVEMATCH) \"\" *", "RECURSIVEMATCH needs SUBSCRIBED at column 24");
	bad("a LIST (RECURSIVEMATCH SPECIAL-USE) \"\" *", "RECURSIVEMATCH needs SUBSCRIBED at column 36");
	bad("a LIST (FOO) \"\" *", "unknown selection option at column 9");
	bad("a LIST \"\"", "expected an argument at column 10");
	bad("a LIST \"\" * RETURN", "expected an argument at column 19");
	bad("a LIST \"\" * RETURN (FOO)", "unknown return option at column 21");
	bad("a LIST \"\" * FOO ()", "expected RETURN at column 13");
	bad("a LIST \"\" ()", "expected a mailbox pattern at column 12");
	bad("a LSUB (SUBSCRIBED) \"\" *", "expected a mailbox name at column 8");
	bad("a LSUB \"\" * RETURN (CHILDREN)", "unexpected argument at column 12");
	bad("a LIST \"\" * RETURN (STATUS)", "expected a space at column 27");
}

static void test_status(void **state)
{
	same("a STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)");
	bad("a STATUS INBOX ()", "unknown status item at column 17");
	bad("a STATUS INBOX (MESSAGES HIGHESTMODSEQ FOO)", "unknown status item at column 40");
	bad("a STATUS INBOX MESSAGES", "expected '(' at column 16");
	bad("a STATUS INBOX (MESSAGES", "expected a space or ')' at column 25");
}

static void test_append_announcement(void **state)
{
	struct parsed p;
	struct imap_command *c =
		good(&p, "a APPEND saved-messages (\\Seen foo FOO) \"17-Jul-1996 02:44:25 -0700\" {310}");
	struct imap_append_message *m = &c->append.message;
	assert_int_equal(m->flags.system, IMAP_FLAG_SEEN);
	assert_int_equal(m->flags.keywords.n, 1);
	assert_true(m->has_date && m->synchronising);
	assert_int_equal(m->date, 837596665);
	assert_int_equal(m->zone_minutes, -420);
	assert_int_equal(m->size, 310);
	done(&p);
	c = good(&p, "a APPEND {5+}\r\ninbox {0+}");
	assert_str(c->append.mailbox, STR("INBOX"));
	assert_false(c->append.message.has_date || c->append.message.synchronising);
	done(&p);
	same("a APPEND x (\\Seen) \" 7-Jul-1996 02:44:25 -0700\" {310+}");
	bad("a APPEND x", "expected an argument at column 11");
	bad("a APPEND x (\\Recent) {1}", "\\Recent cannot be changed at column 13");
	bad("a APPEND x \"17-Foo-1996 02:44:25 -0700\" {1}",
		"expected a date like \"17-Jul-1996 02:44:25 -0700\" at column 12");
	bad("a APPEND x {1} ", "expected a line end behind '}' at column 15");
	bad("a APPEND x ~{1}", "expected a literal at column 12");
}

static void test_store(void **state)
{
	struct parsed p;
	struct imap_command *c = good(&p, "a STORE 2:4 +FLAGS (\\Deleted)");
	assert_int_equal(c->store.mode, IMAP_STORE_ADD);
	assert_false(c->store.silent);
	assert_int_equal(c->store.flags.system, IMAP_FLAG_DELETED);
	done(&p);
	same("a STORE 2:4 FLAGS ()");
	same("a UID STORE 2:4,* -FLAGS.SILENT (\\Seen \\Draft $Forwarded)");
	prints("a STORE 1 flags.silent \\seen $X", "a STORE 1 FLAGS.SILENT (\\Seen $X)");
	same("a STORE 1 (UNCHANGEDSINCE 12345) +FLAGS (\\Seen)");
	bad("a STORE 1 FLAGS", "expected an argument at column 16");
	bad("a STORE 1 FLAGS \\Recent", "\\Recent cannot be changed at column 17");
	bad("a STORE 1 FLAGS (\\Foo)", "unknown system flag at column 18");
	bad("a STORE 1 FLAGS (a b", "expected a space or ')' at column 21");
	bad("a STORE 1 +FLAG \\Seen", "expected FLAGS, +FLAGS or -FLAGS at column 12");
}

/* RFC 7162, 7 */
static void test_parameters_of_condstore_and_qresync(void **state)
{
	struct parsed p;
	struct imap_command *c = good(&p, "a SELECT x (qresync (7 5 1:3 (1,5:6 2,8:9)) OTHER 1)");
	assert_non_null(c->select.qresync);
	assert_int_equal(c->select.qresync->uidvalidity, 7);
	assert_int_equal(c->select.qresync->modseq, 5);
	assert_int_equal(c->select.qresync->known.n, 1);
	assert_int_equal(c->select.qresync->match_uids.n, 2);
	assert_false(c->select.condstore);
	assert_int_equal(c->params.n, 1);
	assert_str(c->params.items[0].name, STR("OTHER"));
	done(&p);
	same("a EXAMINE x (QRESYNC (7 9223372036854775807))");
	same("a EXAMINE x (QRESYNC (7 1 (1 1)))");
	bad("a SELECT x (QRESYNC)", "a parameter lacks its value at column 21");
	bad("a SELECT x (QRESYNC (7 0))", "expected a number from 1 on at column 24");
	bad("a SELECT x (QRESYNC (7 9223372036854775808))", "number is too large at column 24");
	bad("a SELECT x (QRESYNC (7 5 1:*))", "'*' cannot stand here at column 29");
	bad("a SELECT x (QRESYNC (7 5 (1,3:4 2,8)))", "as many numbers as uids have to stand here at column 36");
	bad("a SELECT x (QRESYNC (7 5 (3,1 2,8)))", "numbers have to ascend here at column 34");
	bad("a SELECT x (CONDSTORE CONDSTORE)", "a parameter is given twice at column 33");
	bad("a SELECT x (CONDSTORE 5)", "this parameter has no value at column 25");
	prints("a FETCH 1 FLAGS (CHANGEDSINCE 12)", "a FETCH 1 (FLAGS MODSEQ) (CHANGEDSINCE 12)");
	same("a UID FETCH 1:* (UID MODSEQ) (CHANGEDSINCE 0 VANISHED)");
	bad("a FETCH 1 FLAGS (CHANGEDSINCE 12 VANISHED)", "VANISHED is for UID FETCH only at column 43");
	bad("a UID FETCH 1 FLAGS (VANISHED)", "VANISHED needs CHANGEDSINCE at column 31");
	c = good(&p, "a STORE 1 (UNCHANGEDSINCE 0) FLAGS ()");
	assert_true(c->store.has_unchanged_since);
	assert_int_equal(c->store.unchanged_since, 0);
	assert_int_equal(c->params.n, 0);
	done(&p);
	bad("a STORE 1 (UNCHANGEDSINCE x) FLAGS ()", "a parameter lacks its value at column 29");
}

static void test_uid_expunge_and_small_ones(void **state)
{
	same("a UID EXPUNGE 3000:3002");
	bad("a UID EXPUNGE", "expected an argument at column 14");
	same("a ENABLE CONDSTORE X-FOO");
	bad("a ENABLE", "expected an argument at column 9");
	same("a ID NIL");
	same("a ID (\"name\" \"x\" \"version\" NIL)");
	prints("a ID ()", "a ID NIL");
	bad("a ID (\"name\")", "expected a space at column 13");
	bad("a ID", "expected an argument at column 5");
}

static void test_sequence_sets(void **state)
{
	static const struct {
		const char *set;
		uint32_t max;
		const char *resolved;
	} sets[] = {
		{ "1", 9, "1" }, { "*", 9, "9" }, { "*", 0, "" }, { "5:*,2", 9, "2,5:9" }, { "20:*", 9, "9:20" },
		{ "*:3", 9, "3:9" }, { "4:2", 9, "2:4" }, { "7,3,5,4", 9, "3:5,7" }, { "1:4294967295", 9, "1:4294967295" },
		{ "1:*", 0, "" }, { "2,4:7,9,12:*", 15, "2,4:7,9,12:15" },
	};
	for (size_t i = 0; i < COUNT_OF(sets); i++) {
		struct parsed p;
		struct set set = SET_INIT;
		struct buf out = BUF_INIT(1000);
		char text[100];
		snprintf(text, sizeof text, "a UID EXPUNGE %s", sets[i].set);
		imap_sequence_resolve(&good(&p, text)->expunge, sets[i].max, &set);
		set_print(&set, &out);
		assert_str(buf_str(&out), str_from_c(sets[i].resolved));
		set_free(&set);
		buf_free(&out);
		done(&p);
	}
	bad("a UID EXPUNGE 4294967296", "number is too large at column 15");
	bad("a UID EXPUNGE 1,", "expected a number at column 17");
	bad("a UID EXPUNGE 1:", "expected a number at column 17");
	bad("a UID EXPUNGE 1:2:3", "unexpected argument at column 18");
	bad("a UID EXPUNGE 1,0", "expected a number from 1 on at column 17");
	bad("a UID EXPUNGE -1", "expected a number at column 15");
}

static void too_much(struct str text, const struct imap_limits *limits)
{
	struct parsed p = parse_with(text, limits);
	assert_int_equal(p.err, ERR_LIMIT);
	assert_int_equal(p.error.answer, IMAP_ANSWER_TOO_BIG);
	assert_str(p.error.tag, STR("a"));
	done(&p);
}

static void test_limits_of_the_parser(void **state)
{
	struct imap_limits limits = IMAP_LIMITS_DEFAULT;
	limits.set_ranges = 3;
	limits.list_items = 4;
	limits.search_depth = 3;
	limits.part_depth = 2;
	too_much(STR("a UID EXPUNGE 1,2,3,4"), &limits);
	too_much(STR("a ENABLE 1 2 3 4 5"), &limits);
	too_much(STR("a SEARCH ALL ALL ALL ALL ALL"), &limits);
	too_much(STR("a SEARCH NOT NOT NOT ALL"), &limits);
	too_much(STR("a SEARCH (((ALL)))"), &limits);
	too_much(STR("a FETCH 1 BODY[1.2.3]"), &limits);
	too_much(STR("a STORE 1 FLAGS (a b c d e)"), &limits);
	too_much(STR("a FETCH 1 (UID FLAGS ENVELOPE BODY INTERNALDATE)"), &limits);
	limits.arena_bytes = 16;
	too_much(STR("a UID EXPUNGE 1"), &limits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_commands_without_arguments),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_states_of_commands),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_nul_in_literal_is_refused),
		cmocka_unit_test(test_authenticate),
		cmocka_unit_test(test_mailbox_commands),
		cmocka_unit_test(test_wrong_mailbox_name_is_no_syntax_error),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_append_announcement),
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_parameters_of_condstore_and_qresync),
		cmocka_unit_test(test_uid_expunge_and_small_ones),
		cmocka_unit_test(test_sequence_sets),
		cmocka_unit_test(test_limits_of_the_parser),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
