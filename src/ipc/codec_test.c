/* codec_test.c: every message: what was encoded decodes to the same, everything cut short or too long is refused,
 * noise never hurts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/checked.h"
#include "base/random.h"
#include "ipc/channel.h"
#include "ipc/test_recode.h"

#define NOISE_ROUNDS 2000

static const struct account_id account_a = { "aaaaaaaaaaaaaaa" }, account_b = { "bbbbbbbbbbbbbbb" };

static void sample_login_request(struct buf *out)
{
	struct login_request m = { 7, 8, TICKET_IMAP, true, STR("alice@example.test"), STR("secret"), STR("192.0.2.1") };
	login_request_encode(&m, out);
}

static void sample_login_reply(struct buf *out)
{
	struct login_reply m = { 7, LOGIN_OK, 3, STR("ticket") };
	login_reply_encode(&m, out);
}

static void sample_handover(struct buf *out)
{
	struct handover m = { 9,           HANDOVER_POP3,  true,           STR("ticket"), STR("a1"),
		              STR("::1"),  STR("TLSv1.3"), STR("TLS_AES"), STR("unread bytes\r\n") };
	handover_encode(&m, out);
}

static void sample_session_closed(struct buf *out)
{
	struct session_closed m = { 77 };
	session_closed_encode(&m, out);
}

static void sample_password_job(struct buf *out)
{
	struct password_job m = { 5, STR("secret"), STR("$argon2id$...") };
	password_job_encode(&m, out);
}

static void sample_password_reply(struct buf *out)
{
	struct password_reply m = { 5, true, STR("$argon2id$...") };
	password_reply_encode(&m, out);
}

static void sample_account_order(struct buf *out)
{
	struct account_order m = { 11, ACCOUNT_QUOTA, account_a, ORDER_QUOTA_DEFAULT, 5000 };
	account_order_encode(&m, out);
}

static void sample_expire_news(struct buf *out)
{
	struct expire_news m = { 30, true };
	expire_news_encode(&m, out);
}

static void sample_account_order_reply(struct buf *out)
{
	struct account_order_reply m = { .request = 11, .result = ERR_NOT_FOUND, .messages = 100, .bytes = 20000,
		                        .limit_messages = 3000, .limit_bytes = 400000 };
	account_order_reply_encode(&m, out);
}

static void sample_control_place(struct buf *out)
{
	struct control_place m = { account_a, 3 };
	control_place_encode(&m, out);
}

static void sample_control_request(struct buf *out)
{
	struct control_request m = { CONTROL_ACCOUNT_ADD, 2, { STR("alice@example.test"), STR("secret") } };
	control_request_encode(&m, out);
}

static void sample_control_reply(struct buf *out)
{
	struct control_reply m = { ERR_EXISTS, STR("exists already"), STR("{}") };
	control_reply_encode(&m, out);
}

static void sample_resolve_request(struct buf *out)
{
	struct resolve_request m = { 12, 13, STR("sales@example.test") };
	resolve_request_encode(&m, out);
}

static void sample_resolve_reply(struct buf *out)
{
	struct resolve_target targets[] = { { account_a, 0 }, { account_b, 1 } };
	struct resolve_reply m = { 12, RESOLVE_OK, targets, 2 };
	resolve_reply_encode(&m, out);
}

static void sample_smtp_login_reply(struct buf *out)
{
	struct smtp_login_reply m = { 21, LOGIN_OK, account_a, 22, STR("alice@example.test") };
	smtp_login_reply_encode(&m, out);
}

static void sample_sender_request(struct buf *out)
{
	struct sender_request m = { 23, 24, account_a, 25, STR("alice@example.test") };
	sender_request_encode(&m, out);
}

static void sample_sender_reply(struct buf *out)
{
	struct sender_reply m = { 23, SENDER_OTHER };
	sender_reply_encode(&m, out);
}

static void sample_deliver(struct buf *out)
{
	struct deliver_recipient recipients[] = { { account_a, { "key one 1234567" } },
		                                  { account_b, { "key two 1234567" } } };
	struct deliver m = { .request = 14, .session = 15, .sender = STR("bob@example.test"), .recipients = recipients, .n_recipients = 2,
		             .body_length = 12, .head = STR("Received: x\r\n") };
	deliver_encode_head(&m, out);
	buf_add(out, STR("Subject: x\r\n"));
}

static void sample_deliver_descriptor(struct buf *out)
{
	struct deliver_recipient recipient = { account_a, { "key one 1234567" } };
	struct deliver m = { .request = 14, .recipients = &recipient, .n_recipients = 1, .body_length = 50000000 };
	deliver_encode_head(&m, out);
}

static void sample_deliver_reply(struct buf *out)
{
	const unsigned char results[] = { DELIVER_OK, DELIVER_QUOTA };
	struct deliver_reply m = { 14, results, 2 };
	deliver_reply_encode(&m, out);
}

static void sample_deliver_ends(struct buf *out)
{
	struct deliver_ends m = { { { 7, DELIVER_ALL, DELIVER_CONFIRMED }, { 8, 3, DELIVER_LEFT } }, 2 };
	deliver_ends_encode(&m, out);
}

static void sample_setup(struct buf *out)
{
	struct setup m = { .role = ROLE_SHARD, .index = 1, .count = 2, .shards = 2, .sandbox = true, .user = 10, .group = 11,
		           .hostname = STR("mx.example.test"), .directory = STR("/var/lib/mansio"), .config = STR("[server]\n"),
		           .config_name = STR("mansio.toml"), .ticket_key = "ticket key", .store_secret = "store secret" };
	setup_encode(&m, out);
}

static void sample_keys(struct buf *out)
{
	struct keys m = { STR("certificate"), STR("key") };
	keys_encode(&m, out);
}

/* In the order of test_recoders. */
static void (*const samples[])(struct buf *out) = {
	sample_login_request,   sample_login_reply,    sample_handover,        sample_session_closed,
	sample_password_job,    sample_password_reply, sample_account_order,   sample_account_order_reply,
	sample_control_request, sample_control_reply,  sample_resolve_request, sample_resolve_reply,
	sample_deliver,         sample_deliver_reply,  sample_deliver_ends, sample_setup,
	sample_keys,            sample_deliver_descriptor, sample_control_place,
	sample_smtp_login_reply, sample_expire_news,
	sample_sender_request,  sample_sender_reply,
};

static void every_message_comes_out_as_it_went_in(void **state)
{
	(void)state;
	assert_int_equal(COUNT_OF(samples), COUNT_OF(test_recoders));
	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		struct buf in = BUF_INIT(65536), out = BUF_INIT(65536);
		samples[i](&in);
		assert_int_equal(test_recoders[i](buf_str(&in), &out), 0);
		assert_true(str_eq(buf_str(&in), buf_str(&out)));
		buf_free(&in);
		buf_free(&out);
	}
}

/* The slice lies alone in memory of its own size, so that a sanitizer sees a read behind it. */
static int recode_exactly(size_t which, struct str body, struct buf *out)
{
	char *copy = malloc(body.n ? body.n : 1);
	memcpy(copy, body.p, body.n);
	int err = test_recoders[which](str_of(copy, body.n), out);
	free(copy);
	return err;
}

static void what_is_cut_short_or_too_long_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		struct buf in = BUF_INIT(65536), out = BUF_INIT(65536);
		samples[i](&in);
		for (size_t n = 0; n < in.n; n++)
			assert_int_not_equal(recode_exactly(i, str_first(buf_str(&in), n), &out), 0);
		buf_add_byte(&in, '\0');
		assert_int_not_equal(recode_exactly(i, buf_str(&in), &out), 0);
		buf_free(&in);
		buf_free(&out);
	}
}

static void noise_never_hurts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		for (int round = 0; round < NOISE_ROUNDS; round++) {
			struct buf in = BUF_INIT(65536), out = BUF_INIT(65536);
			uint64_t dice = random_u64();
			samples[i](&in);
			for (unsigned k = 0; k <= dice % 4; k++)
				in.p[random_u64() % in.n] = (char)random_u64();
			if (recode_exactly(i, buf_str(&in), &out) == 0)
				assert_true(out.n <= in.n);
			buf_free(&in);
			buf_free(&out);
		}
	}
}

static void fields_arrive(void **state)
{
	(void)state;
	struct buf in = BUF_INIT(65536);
	struct arena arena = ARENA_INIT(TEST_ARENA_MAX);
	struct deliver deliver;
	sample_deliver(&in);
	assert_int_equal(deliver_decode(buf_str(&in), false, &arena, &deliver), 0);
	assert_int_equal(deliver.n_recipients, 2);
	assert_memory_equal(&deliver.recipients[1].account, &account_b, sizeof account_b);
	assert_true(str_eq(deliver.body, STR("Subject: x\r\n")));
	assert_true(str_eq(deliver.head, STR("Received: x\r\n")));
	/* With a descriptor there is no inline body, and the other way round. */
	assert_int_equal(deliver_decode(buf_str(&in), true, &arena, &deliver), ERR_CORRUPT);
	buf_clear(&in);
	sample_deliver_descriptor(&in);
	assert_int_equal(deliver_decode(buf_str(&in), false, &arena, &deliver), ERR_CORRUPT);
	struct setup setup;
	buf_clear(&in);
	sample_setup(&in);
	assert_int_equal(setup_decode(buf_str(&in), &setup), 0);
	assert_int_equal(setup.role, ROLE_SHARD);
	assert_true(str_eq(setup.directory, STR("/var/lib/mansio")));
	assert_memory_equal(setup.ticket_key, "ticket key", 11);
	assert_true(str_eq(role_name(setup.role), STR("shard")));
	assert_true(str_eq(service_name(SERVICE_LMTP), STR("lmtp")));
	buf_free(&in);
	arena_free(&arena);
}

static void numbers_over_their_bounds_are_refused(void **state)
{
	(void)state;
	struct buf in = BUF_INIT(1024 * 1024);
	struct arena arena = ARENA_INIT(TEST_ARENA_MAX);
	struct resolve_reply resolve;
	struct deliver_reply deliver;
	struct login_reply login;
	wire_put_u64(&in, 1);
	wire_put_u8(&in, RESOLVE_OK);
	wire_put_u32(&in, RESOLVE_TARGETS_MAX + 1);
	assert_int_equal(resolve_reply_decode(buf_str(&in), &arena, &resolve), ERR_CORRUPT);
	buf_clear(&in);
	wire_put_u64(&in, 1);
	wire_put_u32(&in, 1);
	wire_put_u8(&in, DELIVER_RESULT_COUNT);
	assert_int_equal(deliver_reply_decode(buf_str(&in), &deliver), ERR_CORRUPT);
	/* A ticket with a denial, or none with a welcome. */
	struct login_reply odd = { 1, LOGIN_DENIED, 0, STR("ticket") };
	buf_clear(&in);
	login_reply_encode(&odd, &in);
	assert_int_equal(login_reply_decode(buf_str(&in), &login), ERR_CORRUPT);
	odd = (struct login_reply){ 1, LOGIN_OK, 0, STR("") };
	buf_clear(&in);
	login_reply_encode(&odd, &in);
	assert_int_equal(login_reply_decode(buf_str(&in), &login), ERR_CORRUPT);
	buf_free(&in);
	arena_free(&arena);
}

static void a_ticket_opens_only_with_its_key_and_in_time(void **state)
{
	(void)state;
	struct mac *key = mac_new(STR("the key")), *other = mac_new(STR("another key"));
	struct ticket ticket = { account_a, 3, TICKET_IMAP, 99, 1000, STR("alice@example.test") }, opened = { 0 };
	struct buf sealed = BUF_INIT(TICKET_SIZE_MAX);
	ticket_seal(&ticket, key, &sealed);
	assert_int_equal(ticket_open(buf_str(&sealed), key, 999, &opened), 0);
	assert_memory_equal(&opened.account, &account_a, sizeof account_a);
	assert_int_equal(opened.shard, 3);
	assert_int_equal(opened.rights, TICKET_IMAP);
	assert_int_equal(opened.session, 99);
	assert_true(str_eq(opened.user, STR("alice@example.test")));
	assert_int_equal(ticket_open(buf_str(&sealed), key, 1000, &opened), ERR_DENIED);
	assert_int_equal(ticket_open(buf_str(&sealed), other, 999, &opened), ERR_DENIED);
	for (size_t i = 0; i < sealed.n; i++) {
		sealed.p[i] ^= 1;
		assert_int_equal(ticket_open(buf_str(&sealed), key, 999, &opened), ERR_DENIED);
		sealed.p[i] ^= 1;
		assert_int_not_equal(ticket_open(str_first(buf_str(&sealed), i), key, 999, &opened), 0);
	}
	buf_free(&sealed);
	mac_free(&key);
	mac_free(&other);
}

static void a_ticket_for_pop3_brings_its_policy(void **state)
{
	(void)state;
	struct mac *key = mac_new(STR("the key"));
	char name[POP3_MAILBOX_MAX], user[320];
	memset(name, 'm', sizeof name);
	memset(user, 'u', sizeof user);
	struct ticket ticket = { account_a, 3, TICKET_POP3, 99, 1000, str_of(user, sizeof user), UINT64_MAX / 3,
				 { POP3_MODE_DAYS, 14, true, true, str_of(name, sizeof name), 0 } }, opened = { 0 };
	struct buf sealed = BUF_INIT(TICKET_SIZE_MAX);
	ticket_seal(&ticket, key, &sealed);
	assert_int_equal(buf_error(&sealed), 0);
	assert_int_equal(ticket_open(buf_str(&sealed), key, 999, &opened), 0);
	assert_int_equal(opened.login, UINT64_MAX / 3);
	assert_int_equal(opened.pop3.login, UINT64_MAX / 3);
	assert_int_equal(opened.pop3.mode, POP3_MODE_DAYS);
	assert_int_equal(opened.pop3.days, 14);
	assert_true(opened.pop3.trash && opened.pop3.seen && str_eq(opened.pop3.mailbox, str_of(name, sizeof name)));
	buf_clear(&sealed);
	ticket.pop3.mode = POP3_MODE_COUNT;
	ticket_seal(&ticket, key, &sealed);
	assert_int_equal(ticket_open(buf_str(&sealed), key, 999, &opened), ERR_CORRUPT);
	buf_free(&sealed);
	mac_free(&key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_comes_out_as_it_went_in),
		cmocka_unit_test(what_is_cut_short_or_too_long_is_refused),
		cmocka_unit_test(noise_never_hurts),
		cmocka_unit_test(fields_arrive),
		cmocka_unit_test(numbers_over_their_bounds_are_refused),
		cmocka_unit_test(a_ticket_opens_only_with_its_key_and_in_time),
		cmocka_unit_test(a_ticket_for_pop3_brings_its_policy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
