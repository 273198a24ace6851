/* Pages of `mansio who` and `mansio kick` while connections come and go between them. */
#include "proc/who.h"

#include "ipc/channel.h"
#include "ipc/control.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CONNECTIONS 3000
#define PRIME       7919 /* sessions in no order: places times this */

struct connection {
	uint64_t session;
	unsigned listed, kicked;
	bool open;
};

struct fixture {
	struct role_process process;
	struct connection list[CONNECTIONS];
	struct str account; /* of all but every third */
	char next[32];      /* of the last answer; empty: none */
	struct buf json;
	int result;
};

static struct fixture f;

/* --- the role --- */

static void *next(void *owner, void *at)
{
	struct connection *c = at ? (struct connection *)at + 1 : f.list;
	while (c < f.list + CONNECTIONS && !c->open)
		c++;
	return c < f.list + CONNECTIONS ? c : NULL;
}

static uint64_t id(const void *connection)
{
	return ((const struct connection *)connection)->session;
}

static void describe(void *owner, void *connection, struct who *out)
{
	const struct connection *c = connection;
	*out = (struct who){ .session = c->session, .account = (c - f.list) % 3 ? f.account : STR(""), .protocol = STR("imap"),
		             .peer = STR("192.0.2.1") };
}

/* Stays open, as one whose command is under way. */
static void kick(void *owner, void *connection)
{
	((struct connection *)connection)->kicked++;
}

void role_control_reply(struct role_process *process, uint64_t request, struct str body)
{
	struct control_reply reply;
	assert_int_equal(control_reply_decode(body, &reply), 0);
	f.result = reply.result;
	buf_clear(&f.json);
	buf_add(&f.json, reply.json);
	buf_add_byte(&f.json, '\0');
}

static void ask(enum control_command command, const char *const *arguments)
{
	static const struct who_source source = { .next = next, .id = id, .describe = describe, .kick = kick };
	struct control_request request = { .command = command };
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	for (; arguments[request.n_arguments]; request.n_arguments++)
		request.arguments[request.n_arguments] = str_from_c(arguments[request.n_arguments]);
	control_request_encode(&request, &body);
	assert_true(who_command(&f.process, &source, NULL, 1, buf_str(&body)));
	buf_free(&body);
	const char *at = strstr(f.json.p, "\"next\":\"");
	snprintf(f.next, sizeof f.next, "%.16s", at ? at + 8 : "");
}

static void count_listed(void)
{
	for (size_t i = 0; i < CONNECTIONS; i++) {
		char session[32];
		snprintf(session, sizeof session, "\"%016llx\"", (unsigned long long)f.list[i].session);
		const char *at = strstr(f.json.p, session), *end = strstr(f.json.p, "\"next\"");
		f.list[i].listed += at && (!end || at < end);
	}
}

static int set_up(void **state)
{
	f = (struct fixture){ .process.loop = loop_new(), .json = BUF_INIT(IPC_BODY_MAX) };
	f.account = STR("alice@example.test");
	for (size_t i = 0; i < CONNECTIONS; i++)
		f.list[i] = (struct connection){ .session = (uint64_t)(i + 1) * PRIME % (CONNECTIONS * 4 + 1), .open = true };
	return 0;
}

static int tear_down(void **state)
{
	buf_free(&f.json);
	loop_free(&f.process.loop);
	return 0;
}

/* --- tests --- */

static void who_stays_is_listed_once_whoever_comes_and_goes(void **state)
{
	unsigned pages = 0;
	for (size_t i = 0; i < CONNECTIONS; i += 10)
		f.list[i].open = false; /* comes in the middle */
	do {
		ask(CONTROL_WHO, (const char *const[]){ "shard.0", f.next, NULL });
		count_listed();
		pages++;
		for (size_t i = 0; pages == 2 && i < CONNECTIONS; i++)
			f.list[i].open = i % 10 != 1; /* goes in the middle */
	} while (f.next[0]);
	assert_true(pages > 3);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		if (i % 10 <= 1)
			assert_in_range(f.list[i].listed, 0, 1);
		else
			assert_int_equal(f.list[i].listed, 1);
	}
}

static void thousands_are_kicked_a_part_at_a_time_and_once(void **state)
{
	unsigned pages = 0;
	do {
		unsigned before = 0, after = 0;
		for (size_t i = 0; i < CONNECTIONS; i++)
			before += f.list[i].kicked;
		ask(CONTROL_KICK, (const char *const[]){ "shard.0", "account", "ALICE@example.test", f.next, NULL });
		for (size_t i = 0; i < CONNECTIONS; i++)
			after += f.list[i].kicked;
		assert_in_range(after - before, 1, 512);
		pages++;
	} while (f.next[0]);
	assert_int_equal(pages, 4);
	for (size_t i = 0; i < CONNECTIONS; i++)
		assert_int_equal(f.list[i].kicked, i % 3 != 0);
}

static void one_is_kicked_by_its_session(void **state)
{
	char session[32];
	snprintf(session, sizeof session, "%016llx", (unsigned long long)f.list[7].session);
	ask(CONTROL_KICK, (const char *const[]){ "shard.0", "session", session, "", NULL });
	assert_string_equal(f.json.p, "{\"kicked\":1}");
	assert_int_equal(f.list[7].kicked, 1);
}

static void what_is_malformed_kicks_nobody(void **state)
{
	static const char *const WRONG[][5] = {
		{ "shard.0", "session", "not-hexadecimal", "" }, { "shard.0", "session", "00112233445566778", "" },
		{ "shard.0", "everybody", "x", "" },             { "shard.0", "account", "", "" },
		{ "shard.0", "account", "alice@example.test" },  { "shard.0", "account", "alice@example.test", "g" },
	};
	for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
		ask(CONTROL_KICK, WRONG[i]);
		assert_int_equal(f.result, ERR_SYNTAX);
	}
	for (size_t i = 0; i < CONNECTIONS; i++)
		assert_int_equal(f.list[i].kicked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_stays_is_listed_once_whoever_comes_and_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(thousands_are_kicked_a_part_at_a_time_and_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_is_kicked_by_its_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_malformed_kicks_nobody, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
