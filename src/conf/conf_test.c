/* conf_test.c: what a configuration file may say, what each mistake is answered with, and that what is printed as in
 * force reads back the same. */
#include "base/checked.h"
#include "conf/table.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OUTPUT_MAX (64 * 1024)

static void parse_ok(const char *text, struct conf *conf)
{
	struct conf_errors errors;
	struct buf out = BUF_INIT(OUTPUT_MAX);
	if (conf_parse(str_from_c(text), STR("t"), conf, &errors) < 0) {
		conf_errors_print(&errors, &out);
		fail_msg("not read: %.*s", STR_ARG(buf_str(&out)));
	}
	assert_int_equal(errors.n, 0);
	conf_errors_free(&errors);
}

/* `expected` is all error lines. */
static void parse_bad(const char *text, const char *expected)
{
	struct conf conf;
	struct conf_errors errors;
	struct buf out = BUF_INIT(OUTPUT_MAX);
	assert_int_equal(conf_parse(str_from_c(text), STR("t"), &conf, &errors), ERR_SYNTAX);
	conf_errors_print(&errors, &out);
	buf_add_byte(&out, '\0');
	assert_string_equal(out.p, expected);
	buf_free(&out);
	conf_errors_free(&errors);
}

/* A line of the effective configuration: the setting in 48 columns, then where it comes from. */
static void assert_line(const struct buf *printed, const char *setting, const char *origin)
{
	char line[256];
	int n = snprintf(line, sizeof line, "\n%-48s# %s\n", setting, origin);
	assert_true(str_find(buf_str(printed), str_of(line, (size_t)n)) >= 0);
}

static void assert_str(struct str s, const char *expected)
{
	assert_string_equal(s.p, expected); /* also that a NUL follows */
	assert_int_equal(s.n, strlen(expected));
}

static void defaults_are_those_of_an_empty_file(void **state)
{
	struct conf conf;
	conf_defaults(&conf);
	assert_str(conf.server.directory, "/var/lib/mansio");
	assert_str(conf.server.hostname, "");
	assert_str(conf.server.control_socket, "/var/lib/mansio/run/control.sock");
	assert_int_equal(conf.server.log_level, LOG_INFO);
	assert_true(conf.server.sandbox);
	assert_int_equal(conf.imap.idle_timeout_ms, 30 * 60 * 1000);
	assert_int_equal(conf.smtp.max_message_size, 50 * 1024 * 1024);
	assert_int_equal(conf.login.password_memory, 19456 * 1024);
	assert_int_equal(conf.login.allow_plain_without_tls, CONF_PLAIN_NEVER);
	assert_int_equal(conf.tls.minimum_version, 0x0303);
	assert_str(conf.smtp.recipient_delimiter, "+");
	assert_int_equal(conf.listen.imap.n, 1);
	assert_int_equal(conf.listen.imap.list[0].port, 143);
	assert_int_equal(conf.listen.imap.list[0].family, CONF_FAMILY_BOTH);
	for (size_t i = 0; i < CONF_SETTINGS; i++)
		assert_int_equal(conf.lines[i], CONF_LINE_DEFAULT);
	conf_free(&conf);
}

static void every_default_is_within_its_bounds(void **state)
{
	struct conf conf;
	struct buf text = BUF_INIT(OUTPUT_MAX);
	for (size_t i = 0; i < CONF_SETTINGS; i++)
		if (i != CONF_listen_imaps && i != CONF_listen_pop3s && i != CONF_listen_submission &&
		    i != CONF_listen_submissions) /* these need a certificate */
			buf_addf(&text, "%.*s = %.*s\n", STR_ARG(conf_table[i].path), STR_ARG(conf_table[i].default_text));
	buf_add_byte(&text, '\0');
	parse_ok(text.p, &conf);
	conf_free(&conf);
	buf_free(&text);
}

static void a_whole_file_is_read(void **state)
{
	struct conf conf;
	parse_ok("# all kinds\n"
		 "[server]\n"
		 "hostname = \"mail.example.test\"\n"
		 "log_level = 'debug'\n"
		 "sandbox = false\n"
		 "shards = 0x10\n"
		 "[listen]\n"
		 "imap = [\n  \"127.0.0.1:0\", # any port\n  \"[::1]:1143\",\n]\n"
		 "imaps = [\"*:993\"]\n"
		 "smtp = []\n"
		 "[tls]\n"
		 "certificate = \"/etc/mansio/cert.pem\"\n"
		 "key = \"/etc/mansio/key.pem\"\n"
		 "minimum_version = \"1.3\"\n"
		 "[login]\n"
		 "allow_plain_without_tls = \"loopback\"\n",
		&conf);
	assert_str(conf.server.hostname, "mail.example.test");
	assert_int_equal(conf.server.log_level, LOG_DEBUG);
	assert_false(conf.server.sandbox);
	assert_int_equal(conf.server.shards, 16);
	assert_int_equal(conf.listen.imap.n, 2);
	assert_str(conf.listen.imap.list[0].host, "127.0.0.1");
	assert_int_equal(conf.listen.imap.list[0].family, CONF_FAMILY_IPV4);
	assert_int_equal(conf.listen.imap.list[0].port, 0);
	assert_str(conf.listen.imap.list[1].host, "::1");
	assert_str(conf.listen.imap.list[1].text, "[::1]:1143");
	assert_int_equal(conf.listen.imap.list[1].family, CONF_FAMILY_IPV6);
	assert_int_equal(conf.listen.imap.list[1].port, 1143);
	assert_int_equal(conf.listen.imaps.n, 1);
	assert_int_equal(conf.listen.pop3s.n, 1);
	assert_int_equal(conf.listen.smtp.n, 0);
	assert_int_equal(conf.tls.minimum_version, CONF_TLS_1_3);
	assert_int_equal(conf.login.allow_plain_without_tls, CONF_PLAIN_LOOPBACK);
	assert_int_equal(conf.lines[CONF_server_hostname], 3);
	assert_int_equal(conf.lines[CONF_listen_imap], 8);
	assert_int_equal(conf.lines[CONF_listen_pop3], CONF_LINE_DEFAULT);
	conf_free(&conf);
}

static void sizes_and_durations_have_units(void **state)
{
	struct conf conf;
	parse_ok("imap.max_line = 65_536\nsmtp.max_message_size = \"1GB\"\nstore.view_memory = \"1TB\"\n"
		 "pop3.max_line = \"300B\"\nstore.segment_size = \"2048KB\"\nimap.output_max = \"1MB\"\n"
		 "login.timeout = 90\nlogin.failure_delay = \"1500ms\"\npop3.timeout = \"20m\"\n"
		 "imap.idle_timeout = \"2h\"\nstore.undelete_window = \"0s\"\nsmtp.data_timeout = \"45s\"\n",
		&conf);
	assert_int_equal(conf.imap.max_line, 65536);
	assert_int_equal(conf.smtp.max_message_size, 1024 * 1024 * 1024);
	assert_int_equal(conf.store.view_memory, 1024LL * 1024 * 1024 * 1024);
	assert_int_equal(conf.pop3.max_line, 300);
	assert_int_equal(conf.store.segment_size, 2 * 1024 * 1024);
	assert_int_equal(conf.login.timeout_ms, 90000);
	assert_int_equal(conf.login.failure_delay_ms, 1500);
	assert_int_equal(conf.pop3.timeout_ms, 20 * 60 * 1000);
	assert_int_equal(conf.imap.idle_timeout_ms, 2 * 3600 * 1000);
	assert_int_equal(conf.store.undelete_window_ms, 0);
	assert_int_equal(conf.smtp.data_timeout_ms, 45000);
	conf_free(&conf);
}

static void what_pop3_does_is_a_word_each(void **state)
{
	struct conf conf;
	parse_ok("", &conf);
	assert_true(conf.pop3.mode == POP3_MODE_CLIENT && conf.pop3.days == 30 && conf.pop3.deleted == CONF_DELETED_GONE &&
		    !conf.pop3.seen && str_eq(conf.pop3.mailbox, STR("INBOX")));
	conf_free(&conf);
	parse_ok("[pop3]\nmode = \"days\"\ndays = 3650\ndeleted = \"trash\"\nseen = true\nmailbox = \"A/B\"\n", &conf);
	assert_true(conf.pop3.mode == POP3_MODE_DAYS && conf.pop3.days == POP3_DAYS_MAX &&
		    conf.pop3.deleted == CONF_DELETED_TRASH && conf.pop3.seen && str_eq(conf.pop3.mailbox, STR("A/B")));
	conf_free(&conf);
}

static void malformed_quantities_are_refused(void **state)
{
	static const char *const bad[] = { "64 KB", "64kb", "KB", "", "-1KB", "1.5MB", "64KiB", "64K", "0x40KB", "30s" };
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		char text[128], expected[256];
		snprintf(text, sizeof text, "imap.max_line = \"%s\"\n", bad[i]);
		snprintf(expected, sizeof expected, "t:1:17: imap.max_line: \"%s\" is not a size such as \"25MB\" "
			"(units B, KB, MB, GB, TB) or a number of bytes\n", bad[i]);
		parse_bad(text, expected);
	}
	parse_bad("[imap]\nidle_timeout = true\n", "t:2:16: imap.idle_timeout is true or false, but must be a duration such as "
		"\"30m\" (units ms, s, m, h, d) or a number of seconds\n");
}

static void bounds_are_kept_and_named(void **state)
{
	struct conf conf;
	parse_ok("smtp.max_recipients = 100\nimap.max_line = \"8KB\"\nlogin.timeout = \"1h\"\n", &conf);
	conf_free(&conf);
	parse_bad("smtp.max_recipients = 99\n", "t:1:23: smtp.max_recipients is out of range, which is 100 to 10000\n");
	parse_bad("smtp.max_recipients = 10001\n", "t:1:23: smtp.max_recipients is out of range, which is 100 to 10000\n");
	parse_ok("limits.max_alias_targets = 1000\n", &conf);
	conf_free(&conf);
	parse_bad("limits.max_alias_targets = 1001\n",
	          "t:1:28: limits.max_alias_targets is out of range, which is 1 to 1000\n");
	parse_bad("smtp.max_recipients = -100\n", "t:1:23: smtp.max_recipients is out of range, which is 100 to 10000\n");
	parse_bad("imap.max_line = 8191\n", "t:1:17: imap.max_line is out of range, which is \"8KB\" to \"16MB\"\n");
	parse_bad("login.timeout = \"3601s\"\n", "t:1:17: login.timeout is out of range, which is \"1s\" to \"1h\"\n");
	/* numbers that would wrap around */
	parse_bad("login.timeout = \"18446744073709551615d\"\n",
		"t:1:17: login.timeout is out of range, which is \"1s\" to \"1h\"\n");
	parse_bad("login.timeout = \"99999999999999999999s\"\n",
		"t:1:17: login.timeout is out of range, which is \"1s\" to \"1h\"\n");
	parse_bad("imap.max_line = \"18014398509481985KB\"\n",
		"t:1:17: imap.max_line is out of range, which is \"8KB\" to \"16MB\"\n");
	parse_bad("login.timeout = -1\n", "t:1:17: login.timeout is out of range, which is \"1s\" to \"1h\"\n");
}

static void unknown_names_are_errors_with_the_nearest_name(void **state)
{
	parse_bad("[imap]\nidle_timout = \"30m\"\n",
		"t:2:1: unknown setting imap.idle_timout; did you mean imap.idle_timeout?\n");
	parse_bad("[imap]\nIdle_Timeout = \"30m\"\n",
		"t:2:1: unknown setting imap.Idle_Timeout; did you mean imap.idle_timeout?\n");
	parse_bad("[imapp]\nmax_line = 1\n", "t:1:2: unknown section imapp; did you mean imap?\n");
	parse_bad("[store]\nrecipient_delimiter = \"+\"\n",
		"t:2:1: unknown setting store.recipient_delimiter; did you mean smtp.recipient_delimiter?\n");
	parse_bad("[zzzzzzzz]\n", "t:1:2: unknown section zzzzzzzz\n");
	parse_bad("colour = 1\n", "t:1:1: unknown setting colour\n");
	parse_bad("hostname = \"a\"\n", "t:1:1: unknown setting hostname; did you mean server.hostname?\n");
	parse_bad("\"\\u0000\" = 1\n", "t:1:1: unknown setting \"\\u0000\"\n");
	parse_bad("[server.extra]\na = 1\n[[server.more]]\nb = 1\n",
		"t:1:9: unknown setting server.extra\nt:3:10: unknown setting server.more\n");
}

static void wrong_types_are_errors(void **state)
{
	parse_bad("server.sandbox = \"yes\"\n", "t:1:18: server.sandbox is a string, but must be true or false\n");
	parse_bad("server.shards = \"2\"\n", "t:1:17: server.shards is a string, but must be an integer\n");
	parse_bad("server.user = 5\n", "t:1:15: server.user is an integer, but must be a string\n");
	parse_bad("listen.imap = \"*:143\"\n", "t:1:15: listen.imap is a string, but must be an array\n");
	parse_bad("listen.imap = [143]\n", "t:1:16: listen.imap is an integer, but must be a string\n");
	parse_bad("listen.imap = [[\"*:143\"], 5]\n", "t:1:16: listen.imap is an array, but must be a string\n");
	parse_bad("[[listen.imap]]\nport = 1\n[[listen.imap]]\n", "t:1:10: listen.imap is a table, but must be a string\n");
	parse_bad("[listen.imap]\nport = 1\n", "t:1:9: listen.imap is a table, but must be an array\n");
	parse_bad("server = 1\n", "t:1:1: server is a section, written [server] on a line of its own\n");
	parse_bad("[[server]]\nuser = \"a\"\n", "t:1:3: server is a section, written [server] on a line of its own\n");
}

static void closed_choices_name_their_words(void **state)
{
	parse_bad("login.allow_plain_without_tls = \"yes\"\n",
		"t:1:33: login.allow_plain_without_tls: \"yes\" is none of \"never\" \"loopback\" \"always\"\n");
	parse_bad("tls.minimum_version = \"1.1\"\n", "t:1:23: tls.minimum_version: \"1.1\" is none of \"1.2\" \"1.3\"\n");
	parse_bad("server.log_level = \"\"\n",
		"t:1:20: server.log_level: \"\" is none of \"debug\" \"info\" \"warning\" \"error\"\n");
}

static void bad_addresses_are_each_reported(void **state)
{
	static const char *const bad[] = { "143", ":143", "*", "*:", "*:65536", "*:-1", "localhost:143", "127.0.0.1",
		"127.0.0:143", "::1:143", "[::1]", "[::1:143", "[127.0.0.1]:143", "[]:143", "1.2.3.4\\u0000:1", "* :143" };
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		char text[128], expected[256];
		snprintf(text, sizeof text, "listen.imap = [\"*:1\",\n \"%s\"]\n", bad[i]);
		snprintf(expected, sizeof expected, "t:2:2: listen.imap: \"%s\" is no address and port, such as "
			"\"*:143\", \"127.0.0.1:143\" or \"[::1]:143\"\n", bad[i]);
		parse_bad(text, expected);
	}
	parse_bad("listen.lmtp = [\"*:1\",\"*:1\",\"*:1\",\"*:1\",\"*:1\",\"*:1\",\"*:1\",\"*:1\",\"*:1\","
		  "\"*:1\",\"*:1\",\"*:1\",\"*:1\",\"*:1\",\"*:1\",\"*:1\",\"*:1\"]\n",
		"t:1:15: listen.lmtp has more than 16 addresses\n");
}

static void text_is_checked(void **state)
{
	static const char *const hosts[] = { "-a.test", "a-.test", "a..test", ".test", "test.", "a_b.test", "m\u00e4il.test",
		"a b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b" };
	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		char text[128], expected[256], shown[80];
		snprintf(text, sizeof text, "server.hostname = \"%s\"\n", hosts[i]);
		snprintf(shown, sizeof shown, strlen(hosts[i]) > 60 ? "\"%.60s\"..." : "\"%s\"", hosts[i]);
		snprintf(expected, sizeof expected, "t:1:19: server.hostname: %s is no host name\n", shown);
		parse_bad(text, expected);
	}
	parse_bad("server.user = \"a\\r\\nb\"\n", "t:1:15: server.user: \"a\\u000D\\u000Ab\" has control characters\n");
	parse_bad("server.user = \"\"\n", "t:1:15: server.user cannot be empty\n");
	parse_bad("server.user = \"123456789012345678901234567890123\"\n", "t:1:15: server.user is longer than 32 bytes\n");
	parse_bad("tls.key = \"key.pem\"\n", "t:1:11: tls.key: \"key.pem\" is no absolute path: it must begin with /\n");
}

static void what_does_not_fit_is_said_beside_values_that_are_wrong(void **state)
{
	parse_bad("[server]\nlog_level = \"loud\"\nrestart_delay_min = \"40s\"\nrestart_delay_max = \"30s\"\n"
		"[tls]\ncertificate = \"/c\"\n[listen]\nsmtp = [\"*:25\", \"*:25\"]\n",
		"t:2:13: server.log_level: \"loud\" is none of \"debug\" \"info\" \"warning\" \"error\"\n"
		"t:3:1: server.restart_delay_min is more than server.restart_delay_max\n"
		"t:6:1: tls.certificate needs a tls.key\n"
		"t:8:1: listen.smtp: \"*:25\" is taken already, by \"*:25\" of listen.smtp\n");
}

/* Of what could not be read nobody knows whether it would have fitted. */
static void nothing_is_said_of_how_an_unread_value_fits(void **state)
{
	parse_bad("[tls]\ncertificate = \"/c\"\nkey = 5\n", "t:3:7: tls.key is an integer, but must be a string\n");
	parse_bad("[tls]\ncertificate = \"/c\"\nkei = \"/k\"\n", "t:3:1: unknown setting tls.kei; did you mean tls.key?\n");
	parse_bad("[tls]\ncertificate = 5\n[listen]\nimaps = [\"*:993\"]\n",
		"t:2:15: tls.certificate is an integer, but must be a string\n");
	parse_bad("[server]\nrestart_delay_min = \"40s\"\nrestart_delay_max = true\n",
		"t:3:21: server.restart_delay_max is true or false, but must be a duration such as \"30m\" (units ms, s, m, h, d) or a "
		"number of seconds\n");
	parse_bad("[listen]\nimap = [5]\npop3 = [\"*:143\"]\n",
		"t:2:9: listen.imap is an integer, but must be a string\n");
	parse_bad("[login]\nallow_plain_without_tls = 5\n[listen]\nsubmission = [\"*:587\"]\n",
		"t:2:27: login.allow_plain_without_tls is an integer, but must be a string\n");
	parse_bad("[tls]\ncertificate = \"/c\"\nkey = \"/k\n", "t:3:7: a string that is not closed on its line\n");
}

static void settings_must_fit_together(void **state)
{
	struct conf conf;
	parse_bad("\ntls.certificate = \"/c\"\n", "t:2:1: tls.certificate needs a tls.key\n");
	parse_bad("\ntls.key = \"/c\"\n", "t:2:1: tls.key needs a tls.certificate\n");
	parse_bad("[listen]\nimaps = [\"*:993\"]\npop3s = [\"*:995\"]\n",
		"t:2:1: listen.imaps needs a tls.certificate\nt:3:1: listen.pop3s needs a tls.certificate\n");
	parse_bad("listen.submissions = [\"*:465\"]\nlisten.submission = [\"*:587\"]\n",
		"t:1:1: listen.submissions needs a tls.certificate\n"
		"t:2:1: listen.submission needs a tls.certificate, or login.allow_plain_without_tls\n");
	parse_bad("server.restart_delay_min = \"60s\"\n",
		"t:1:1: server.restart_delay_min is more than server.restart_delay_max\n");
	parse_bad("\nserver.restart_delay_max = \"9ms\"\n",
		"t:2:1: server.restart_delay_min is more than server.restart_delay_max\n");
	parse_bad("\nlogin.failure_delay = \"1m\"\n",
		"t:2:1: login.failure_delay is more than login.failure_delay_max\n");
	parse_bad("imap.output_pause = \"2049KB\"\npop3.output_max = \"1GB\"\n",
		"t:1:1: imap.output_pause is more than half of imap.output_max\n");
	parse_bad("imap.output_pause = \"129KB\"\npop3.output_max = \"256KB\"\n",
		"t:1:1: imap.output_pause is more than half of pop3.output_max\n");
	parse_bad("smtp.recipient_delimiter = \"@\"\n",
		"t:1:1: smtp.recipient_delimiter must be one of + - _ . = # ~\n");
	parse_ok("listen.imaps = []\nsmtp.recipient_delimiter = \"\"\n", &conf);
	assert_int_equal(conf.listen.imaps.n + conf.listen.pop3s.n, 0);
	assert_int_equal(conf.listen.submission.n + conf.listen.submissions.n, 0);
	conf_free(&conf);
	/* without a certificate it is there only where somebody asked for it, and somebody could log in */
	parse_ok("login.allow_plain_without_tls = \"loopback\"\n", &conf);
	assert_int_equal(conf.listen.submission.n, 0);
	conf_free(&conf);
	parse_ok("login.allow_plain_without_tls = \"loopback\"\nlisten.submission = [\"127.0.0.1:587\"]\n", &conf);
	assert_int_equal(conf.listen.submission.n, 1);
	conf_free(&conf);
}

static void an_address_is_taken_once(void **state)
{
	struct conf conf;
	parse_bad("[listen]\nimap = [\"127.0.0.1:1143\"]\npop3 = [\"127.0.0.1:1143\"]\n",
		"t:3:1: listen.pop3: \"127.0.0.1:1143\" is taken already, by \"127.0.0.1:1143\" of listen.imap\n");
	parse_bad("\nlisten.imap = [\"[::1]:9\", \"127.0.0.1:9\", \"[0::1]:9\"]\n",
		"t:2:1: listen.imap: \"[0::1]:9\" is taken already, by \"[::1]:9\" of listen.imap\n");
	parse_bad("listen.imap = [\"*:143\", \"127.0.0.1:143\"]\n",
		"t:1:1: listen.imap: \"127.0.0.1:143\" is taken already, by \"*:143\" of listen.imap\n");
	parse_bad("listen.lmtp = [\"[::]:24\"]\nlisten.smtp = [\"[::1]:24\"]\n",
		"t:1:1: listen.lmtp: \"[::]:24\" is taken already, by \"[::1]:24\" of listen.smtp\n");
	parse_bad("listen.lmtp_socket = \"/x/\"\n",
		"t:1:1: listen.lmtp_socket: \"/x/\" is a folder: name the socket in it\n");
	parse_bad("listen.lmtp_socket = \"/x/..\"\nserver.control_socket = \"/y/.\"\n",
		"t:1:1: listen.lmtp_socket: \"/x/..\" is a folder: name the socket in it\n"
		"t:2:1: server.control_socket: \"/y/.\" is a folder: name the socket in it\n");
	parse_bad("listen.imap = [\"[::ffff:127.0.0.1]:143\"]\n",
		"t:1:16: listen.imap: \"[::ffff:127.0.0.1]:143\" is IPv4 written as IPv6: write it as IPv4, such as \"127.0.0.1:143\"\n");
	parse_bad("listen.smtp = [\"*:26\", \"[fe80::1]:25\"]\n",
		"t:1:24: listen.smtp: \"[fe80::1]:25\" belongs to one link, and there is no way to say which\n");
	parse_ok("listen.lmtp_socket = \"/x/...\"\n", &conf);
	conf_free(&conf);
	parse_bad("server.directory = \"/a\"\nlisten.lmtp_socket = \"/a/run/control.sock\"\n",
		"t:2:1: listen.lmtp_socket is the control socket's path\n");
	/* with a default: at the line that stands in the file */
	parse_bad("\nlisten.imap = [\"127.0.0.1:110\"]\n",
		"t:2:1: listen.pop3: \"*:110\" is taken already, by \"127.0.0.1:110\" of listen.imap\n");
	parse_bad("metrics.listen = [\"127.0.0.1:25\"]\n",
		"t:1:1: metrics.listen: \"127.0.0.1:25\" is taken already, by \"*:25\" of listen.smtp\n");
	parse_ok("listen.imap = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nlisten.pop3 = [\"*:0\"]\n", &conf);
	conf_free(&conf);
	parse_ok("listen.imap = [\"127.0.0.1:1\", \"[::1]:1\", \"127.0.0.2:1\", \"[::2]:1\", \"0.0.0.0:2\", \"[::]:2\"]\n",
		&conf);
	conf_free(&conf);
}

static void the_mailbox_of_pop3_is_one_that_there_can_be(void **state)
{
	struct conf conf;
	parse_bad("\npop3.mailbox = \"/a//b/\"\n",
		"t:2:1: pop3.mailbox: there can be no such mailbox: mailbox name has an empty level\n");
	parse_ok("pop3.mailbox = \"inbox\"\n", &conf);
	conf_free(&conf);
	parse_ok("pop3.mailbox = \"Archive/2026/\u00e4\"\n", &conf);
	conf_free(&conf);
}

static void the_socket_is_found_where_other_settings_are_wrong(void **state)
{
	static const char *const found[] = {
		"[imap]\nidle_timeout = \"soon\"\n[server]\ncontrol_socket = \"/run/c\"\n",
		"[imap]\nidle_timout = \"30m\"\n[server]\ncontrol_socket = \"/run/c\"\nshards = \"two\"\nlog_level = 5\n",
		"[server]\ncontrol_socket = \"/run/c\"\n[tls]\ncertificate = \"/c\"\n[listen]\nimap = [[\"*:1\"], 5]\n",
		"[[listen.imap]]\nport = 1\n[server]\ncontrol_socket = \"/run/c\"\n",
	};
	static const char *const unknown[] = {
		"[server\ncontrol_socket = \"/run/c\"\n",
		"[server]\ncontrol_sokcet = \"/run/c\"\n",
		"[sever]\ncontrol_socket = \"/run/c\"\n",
		"[server]\ncontrol_socket = \"run/c\"\n",
		"[server]\ndirectory = 5\n",
		"[server]\ndirectory = \"/a\"\ndirectory = \"/b\"\n",
		"server = 5\n",
		"control_socket = \"/run/c\"\n",
	};
	struct conf conf;
	for (size_t i = 0; i < COUNT_OF(found); i++) {
		assert_int_equal(conf_parse_socket(str_from_c(found[i]), &conf), 0);
		assert_str(conf.server.control_socket, "/run/c");
		conf_free(&conf);
	}
	assert_int_equal(conf_parse_socket(STR("imap.max_line = 1\nserver.directory = \"/a\"\n"), &conf), 0);
	assert_str(conf.server.control_socket, "/a/run/control.sock");
	conf_free(&conf);
	for (size_t i = 0; i < COUNT_OF(unknown); i++)
		assert_int_equal(conf_parse_socket(str_from_c(unknown[i]), &conf), ERR_SYNTAX);
}

static void control_socket_must_fit_into_a_socket_address(void **state)
{
	struct conf conf;
	char text[256];
	snprintf(text, sizeof text, "server.directory = \"/%089d\"\n", 0); /* 90 + 17 = 107 bytes */
	parse_ok(text, &conf);
	assert_int_equal(conf.server.control_socket.n, CONF_SOCKET_PATH_MAX);
	conf_free(&conf);
	snprintf(text, sizeof text, "server.directory = \"/%090d\"\n", 0);
	parse_bad(text, "t:1:1: server.directory is too long for a unix socket in it: set server.control_socket\n");
	snprintf(text, sizeof text, "server.directory = \"/%0150d\"\nserver.control_socket = \"/run/c\"\n", 0);
	parse_ok(text, &conf);
	assert_str(conf.server.control_socket, "/run/c");
	conf_free(&conf);
}

static void all_errors_are_told_at_once_in_order(void **state)
{
	parse_bad("[server]\n"
		  "shards = 300\n"
		  "user = mansio\n"
		  "[imap]\n"
		  "max_line = \"64KB\"\n"
		  "max_line = \"64KB\"\n"
		  "idle_timeout = 2.5\n"
		  "[tls\n"
		  "key = \"/ignored after a broken header\"\n"
		  "[smtp]\n"
		  "max_lines = 5\n",
		"t:2:10: server.shards is out of range, which is 0 to 256\n"
		"t:3:8: mansio is no value; a string needs \"quotes\"\n"
		"t:6:1: imap.max_line is defined already, in line 5\n"
		"t:7:16: numbers with a fraction or exponent are not supported\n"
		"t:8:5: expected ] after the name of the table\n"
		"t:11:1: unknown setting smtp.max_lines; did you mean smtp.max_line?\n");
}

static void errors_have_a_maximum_and_the_rest_is_counted(void **state)
{
	struct conf conf;
	struct conf_errors errors;
	struct buf text = BUF_INIT(OUTPUT_MAX), out = BUF_INIT(OUTPUT_MAX);
	for (int i = 0; i < CONF_ERRORS_MAX + 7; i++)
		buf_addf(&text, "unknown%d = 1\n", i);
	assert_int_equal(conf_parse(buf_str(&text), STR("t"), &conf, &errors), ERR_SYNTAX);
	assert_int_equal(errors.n, CONF_ERRORS_MAX);
	assert_int_equal(errors.omitted, 7);
	conf_errors_print(&errors, &out);
	assert_true(str_ends(buf_str(&out), STR("\nand 7 more errors\n")));
	conf_errors_free(&errors);
	buf_free(&text);
	buf_free(&out);
}

static void a_failed_parse_leaves_the_output_untouched(void **state)
{
	struct conf conf;
	struct conf_errors errors;
	memset(&conf, 0x5A, sizeof conf);
	struct conf before = conf;
	assert_int_equal(conf_parse(STR("x = 1"), STR("t"), &conf, &errors), ERR_SYNTAX);
	assert_memory_equal(&conf, &before, sizeof conf);
	conf_errors_free(&errors);
}

static void what_is_printed_reads_back_the_same(void **state)
{
	struct conf conf, again;
	struct buf first = BUF_INIT(OUTPUT_MAX), second = BUF_INIT(OUTPUT_MAX);
	parse_ok("server.directory = \"/a \\\"quoted\\\" \\\\ p\u00e4th # x\"\nlisten.imap = [\"[::1]:1\", \"*:2\"]\n"
		 "login.timeout = \"1500ms\"\nimap.max_line = 8193\nserver.sandbox = false\nstore.undelete_window = 0\n",
		&conf);
	conf_print_effective(&conf, &first);
	assert_int_equal(buf_error(&first), 0);
	assert_line(&first, "hostname = \"\"", "default");
	assert_line(&first, "imap = [\"[::1]:1\", \"*:2\"]", "line 2");
	assert_line(&first, "undelete_window = \"0ms\"", "line 6");
	assert_line(&first, "imaps = []", "default without tls.certificate");
	buf_add_byte(&first, '\0');
	parse_ok(first.p, &again);
	assert_str(again.server.directory, "/a \"quoted\" \\ p\u00e4th # x");
	assert_int_equal(again.login.timeout_ms, 1500);
	assert_int_equal(again.imap.max_line, 8193);
	assert_int_equal(again.listen.imap.n, 2);
	assert_false(again.server.sandbox);
	memset(again.lines, 0, sizeof again.lines);
	memset(conf.lines, 0, sizeof conf.lines);
	buf_clear(&first);
	conf_print_effective(&conf, &first);
	conf_print_effective(&again, &second);
	assert_true(str_eq(buf_str(&first), buf_str(&second)));
	buf_free(&first);
	buf_free(&second);
	conf_free(&conf);
	conf_free(&again);
}

static void environment_overrides_the_sandbox(void **state)
{
	struct conf conf;
	struct buf out = BUF_INIT(OUTPUT_MAX);
	conf_defaults(&conf);
	unsetenv("MANSIO_SANDBOX");
	assert_int_equal(conf_apply_environment(&conf), 0);
	assert_true(conf.server.sandbox);
	setenv("MANSIO_SANDBOX", "maybe", 1);
	assert_int_equal(conf_apply_environment(&conf), ERR_SYNTAX);
	assert_true(conf.server.sandbox);
	setenv("MANSIO_SANDBOX", "off", 1);
	assert_int_equal(conf_apply_environment(&conf), 0);
	assert_false(conf.server.sandbox);
	conf_print_effective(&conf, &out);
	assert_line(&out, "sandbox = false", "environment");
	unsetenv("MANSIO_SANDBOX");
	buf_free(&out);
	conf_free(&conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_an_empty_file),
		cmocka_unit_test(every_default_is_within_its_bounds),
		cmocka_unit_test(a_whole_file_is_read),
		cmocka_unit_test(sizes_and_durations_have_units),
		cmocka_unit_test(what_pop3_does_is_a_word_each),
		cmocka_unit_test(malformed_quantities_are_refused),
		cmocka_unit_test(bounds_are_kept_and_named),
		cmocka_unit_test(unknown_names_are_errors_with_the_nearest_name),
		cmocka_unit_test(wrong_types_are_errors),
		cmocka_unit_test(closed_choices_name_their_words),
		cmocka_unit_test(bad_addresses_are_each_reported),
		cmocka_unit_test(text_is_checked),
		cmocka_unit_test(what_does_not_fit_is_said_beside_values_that_are_wrong),
		cmocka_unit_test(nothing_is_said_of_how_an_unread_value_fits),
		cmocka_unit_test(settings_must_fit_together),
		cmocka_unit_test(an_address_is_taken_once),
		cmocka_unit_test(the_mailbox_of_pop3_is_one_that_there_can_be),
		cmocka_unit_test(the_socket_is_found_where_other_settings_are_wrong),
		cmocka_unit_test(control_socket_must_fit_into_a_socket_address),
		cmocka_unit_test(all_errors_are_told_at_once_in_order),
		cmocka_unit_test(errors_have_a_maximum_and_the_rest_is_counted),
		cmocka_unit_test(a_failed_parse_leaves_the_output_untouched),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(environment_overrides_the_sandbox),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
