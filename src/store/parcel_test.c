/* Tests of the codec of parcels: what is put comes back, and every kind of damage is a value. */
#include "store/parcel.h"

#include "base/checked.h"
#include "base/mem.h"
#include "db/bodylog.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAKER_MAX (4 * 1024 * 1024)

static uint64_t sum_of(struct str bytes)
{
	struct body_sum *sum = body_sum_new();
	body_sum_add(sum, bytes);
	return body_sum_end(&sum);
}

static void put_sample_message(struct parcel_maker *maker, uint64_t number, struct str bytes, uint64_t checksum)
{
	struct parcel_message message = { .number = number, .size = bytes.n, .internal_date = 1700000000, .zone_minutes = -90,
		                              .checksum = checksum };
	parcel_put_message(maker, &message);
	for (; bytes.n > 0; bytes = str_from(bytes, MIN(bytes.n, (size_t)7)))
		parcel_put_body(maker, str_first(bytes, 7));
}

static void put_sample_entries(struct parcel_maker *maker, bool expunged)
{
	struct parcel_entries *entries = mem_alloc(1, sizeof *entries);
	*entries = (struct parcel_entries){ .mailbox = 1, .n = 2, .modseq = 30, .time = 1700000100 };
	for (uint32_t i = 0; i < 2; i++)
		entries->list[i] = (struct parcel_entry){ .uid = 5 + i, .saved = 1700000001, .modseq = 9, .id = 12 + i,
			                                      .message = 11, .flags = FLAG_SEEN };
	entries->list[1].keywords.word[3] = UINT64_C(1) << 63;
	entries->list[1].uidl = STR("an-id/of.others");
	if (expunged)
		parcel_put_expunged(maker, entries);
	else
		parcel_put_entries(maker, entries);
	mem_free(entries);
}

static void put_sample_mailbox(struct parcel_maker *maker)
{
	struct parcel_mailbox *mailbox = mem_alloc(1, sizeof *mailbox);
	*mailbox = (struct parcel_mailbox){ .number = 1, .name = STR("INBOX"), .uidvalidity = 7, .uidnext = 9, .recent = 8,
		                                .modseq = 30, .n_keywords = 1, .keywords = { STR("$Later") } };
	parcel_put_mailbox(maker, mailbox);
	mem_free(mailbox);
}

static void put_sample(struct parcel_maker *maker, uint64_t checksum_change)
{
	struct set uids = SET_INIT;
	struct buf encoded = BUF_INIT(100);
	struct parcel_begin begin = { .created = 1600000000, .uidvalidity = 7, .modseq = 40, .next = 99, .messages = 2 };
	memset(begin.account.bytes, 'a', sizeof begin.account.bytes);
	parcel_put_begin(maker, &begin);
	put_sample_mailbox(maker);
	parcel_put_subscription(maker, STR("Other"));
	struct str bytes = STR("Subject: hello\r\n\r\nYes.\r\n");
	put_sample_message(maker, 11, bytes, sum_of(bytes) + checksum_change);
	put_sample_message(maker, 13, STR(""), sum_of(STR("")));
	parcel_put_missing(maker, &(struct parcel_missing){ 14, STR("its bytes are damaged") });
	put_sample_entries(maker, false);
	put_sample_entries(maker, true);
	set_add(&uids, 3, 4);
	set_encode(&uids, &encoded);
	parcel_put_change(maker, &(struct parcel_change){ 1, 30, CHANGE_EXPUNGE, 1700000100, false, buf_str(&encoded) });
	parcel_put_pop3(maker, PARCEL_HIDDEN, &(struct parcel_pop3){ 1, 77, 0, false, buf_str(&encoded) });
	parcel_put_pop3(maker, PARCEL_DUE, &(struct parcel_pop3){ 1, 0, 1700003600, true, buf_str(&encoded) });
	parcel_put_sources(maker, &(struct parcel_sources){ 0xfedcba9876543210, 2, { { 1, 1700000000 }, { PARCEL_NUMBER_MAX, 1700000001 } } });
	parcel_put_end(maker);
	set_free(&uids);
	buf_free(&encoded);
}

/* Reads all; the result of the call that did not give a frame, and how many frames there were. */
static int read_all(struct parcel_taker *taker, struct str bytes, uint32_t *frames)
{
	const struct parcel_frame *frame;
	size_t used;
	int result;
	*frames = 0;
	while ((result = parcel_next(taker, bytes, &frame, &used)) == 0) {
		bytes = str_from(bytes, used);
		++*frames;
	}
	return result;
}

static void what_is_put_comes_back(void **state)
{
	struct parcel_maker maker;
	const struct parcel_frame *frame;
	static const enum parcel_type types[] = { PARCEL_BEGIN, PARCEL_MAILBOX, PARCEL_SUBSCRIPTION, PARCEL_MESSAGE,
		                                      PARCEL_BODY,  PARCEL_BODY,    PARCEL_BODY,         PARCEL_BODY,
		                                      PARCEL_MESSAGE, PARCEL_MISSING, PARCEL_ENTRIES,    PARCEL_EXPUNGED,
		                                      PARCEL_CHANGE, PARCEL_HIDDEN, PARCEL_DUE, PARCEL_SOURCES, PARCEL_END };
	struct parcel_taker *taker = parcel_taker_new();
	size_t used;
	parcel_maker_begin(&maker, MAKER_MAX);
	put_sample(&maker, 0);
	assert_int_equal(buf_error(&maker.out), 0);
	struct str bytes = buf_str(&maker.out);
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		assert_int_equal(parcel_next(taker, bytes, &frame, &used), 0);
		assert_int_equal(frame->type, types[i]);
		bytes = str_from(bytes, used);
		switch ((unsigned)frame->type) {
		case PARCEL_BEGIN:
			assert_int_equal(frame->begin.next, 99);
			break;
		case PARCEL_MAILBOX:
			assert_true(str_eq(frame->mailbox.name, STR("INBOX")));
			assert_int_equal(frame->mailbox.recent, 8);
			assert_true(str_eq(frame->mailbox.keywords[0], STR("$Later")));
			break;
		case PARCEL_MESSAGE:
			assert_int_equal(frame->message.zone_minutes, -90);
			assert_int_equal(frame->message_complete, frame->message.size == 0);
			break;
		case PARCEL_ENTRIES:
		case PARCEL_EXPUNGED:
			assert_int_equal(frame->entries.n, 2);
			assert_int_equal(frame->entries.list[1].uid, 6);
			assert_true(frame->entries.list[1].keywords.word[3] == UINT64_C(1) << 63);
			assert_int_equal(frame->entries.list[0].keywords.word[3], 0);
			assert_int_equal(frame->entries.list[0].uidl.n, 0);
			assert_true(str_eq(frame->entries.list[1].uidl, STR("an-id/of.others")));
			break;
		case PARCEL_HIDDEN:
			assert_true(frame->pop3.mailbox == 1 && frame->pop3.login == 77);
			break;
		case PARCEL_DUE:
			assert_true(frame->pop3.due == 1700003600 && frame->pop3.trash);
			break;
		case PARCEL_SOURCES:
			assert_true(frame->sources.mark == 0xfedcba9876543210 && frame->sources.n == 2);
			assert_true(frame->sources.list[1].number == PARCEL_NUMBER_MAX && frame->sources.list[1].time == 1700000001);
			break;
		}
	}
	assert_true(parcel_is_whole(taker));
	assert_int_equal(bytes.n, 0);
	parcel_taker_free(&taker);
	parcel_maker_free(&maker);
}

static void a_parcel_that_is_cut_is_not_whole(void **state)
{
	struct parcel_maker maker;
	uint32_t frames;
	parcel_maker_begin(&maker, MAKER_MAX);
	put_sample(&maker, 0);
	for (size_t n = 0; n < maker.out.n; n++) {
		struct parcel_taker *taker = parcel_taker_new();
		assert_int_equal(read_all(taker, str_first(buf_str(&maker.out), n), &frames), ERR_INCOMPLETE);
		assert_false(parcel_is_whole(taker));
		parcel_taker_free(&taker);
	}
	parcel_maker_free(&maker);
}

static void a_changed_byte_is_seen(void **state)
{
	struct parcel_maker maker;
	uint32_t frames;
	parcel_maker_begin(&maker, MAKER_MAX);
	put_sample(&maker, 0);
	for (size_t i = 0; i < maker.out.n; i++) {
		struct parcel_taker *taker = parcel_taker_new();
		maker.out.p[i] = (char)(maker.out.p[i] ^ 0x10);
		int result = read_all(taker, buf_str(&maker.out), &frames);
		assert_true(result < 0);
		assert_false(parcel_is_whole(taker));
		maker.out.p[i] = (char)(maker.out.p[i] ^ 0x10);
		parcel_taker_free(&taker);
	}
	parcel_maker_free(&maker);
}

static void a_message_with_other_bytes_is_told_by_its_number(void **state)
{
	struct parcel_maker maker;
	struct parcel_taker *taker = parcel_taker_new();
	uint32_t frames;
	uint64_t offset;
	parcel_maker_begin(&maker, MAKER_MAX);
	put_sample(&maker, 1);
	assert_int_equal(read_all(taker, buf_str(&maker.out), &frames), ERR_CORRUPT);
	assert_true(str_find(parcel_problem(taker, &offset), STR("message 11")) >= 0);
	assert_true(offset > 0);
	parcel_taker_free(&taker);
	parcel_maker_free(&maker);
}

static void assert_pop3_is_refused(enum parcel_type type, const struct parcel_pop3 *frame)
{
	struct parcel_maker maker;
	struct parcel_taker *taker = parcel_taker_new();
	struct parcel_begin begin = { .created = 1600000000, .uidvalidity = 7, .modseq = 40, .next = 99 };
	uint32_t frames;
	parcel_maker_begin(&maker, MAKER_MAX);
	parcel_put_begin(&maker, &begin);
	put_sample_mailbox(&maker);
	parcel_put_pop3(&maker, type, frame);
	parcel_put_end(&maker);
	assert_int_equal(read_all(taker, buf_str(&maker.out), &frames), ERR_CORRUPT);
	parcel_taker_free(&taker);
	parcel_maker_free(&maker);
}

/* A date that is none would stand before all others for ever; a login behind the last cannot be gone through. */
static void dates_and_logins_of_pop3_that_are_none_are_refused(void **state)
{
	struct set uids = SET_INIT;
	struct buf encoded = BUF_INIT(100);
	set_add(&uids, 3, 4);
	set_encode(&uids, &encoded);
	assert_pop3_is_refused(PARCEL_DUE, &(struct parcel_pop3){ 1, 0, 0, true, buf_str(&encoded) });
	assert_pop3_is_refused(PARCEL_DUE, &(struct parcel_pop3){ 1, 0, -1, true, buf_str(&encoded) });
	assert_pop3_is_refused(PARCEL_HIDDEN, &(struct parcel_pop3){ 1, INT64_MAX, 0, false, buf_str(&encoded) });
	set_free(&uids);
	buf_free(&encoded);
}

static int read_sources(const struct parcel_sources *frame)
{
	struct parcel_maker maker;
	struct parcel_taker *taker = parcel_taker_new();
	uint32_t frames;
	parcel_maker_begin(&maker, MAKER_MAX);
	parcel_put_begin(&maker, &(struct parcel_begin){ .next = 1 });
	parcel_put_sources(&maker, frame);
	parcel_put_end(&maker);
	int result = read_all(taker, buf_str(&maker.out), &frames);
	bool whole = parcel_is_whole(taker);
	parcel_taker_free(&taker);
	parcel_maker_free(&maker);
	return whole ? 0 : result;
}

static void numbers_of_sources_that_cannot_be_are_refused(void **state)
{
	assert_int_equal(read_sources(&(struct parcel_sources){ 1, 2, { { 1, 5 }, { 2, 5 } } }), 0);
	assert_int_equal(read_sources(&(struct parcel_sources){ 1, 0, { { 0 } } }), ERR_CORRUPT);
	assert_int_equal(read_sources(&(struct parcel_sources){ 1, 1, { { 0, 5 } } }), ERR_CORRUPT);
	assert_int_equal(read_sources(&(struct parcel_sources){ 1, 2, { { 2, 5 }, { 2, 5 } } }), ERR_CORRUPT);
	assert_int_equal(read_sources(&(struct parcel_sources){ 1, 1, { { PARCEL_NUMBER_MAX + 1, 5 } } }), ERR_CORRUPT);
	assert_int_equal(read_sources(&(struct parcel_sources){ 1, 1, { { 1, -1 } } }), ERR_CORRUPT);
}

static void something_else_is_refused_by_its_first_bytes(void **state)
{
	struct parcel_taker *taker = parcel_taker_new();
	uint32_t frames;
	uint64_t offset;
	assert_int_equal(read_all(taker, STR("From alice@example.test Sat Jan  1 00:00:00 2026\n"), &frames), ERR_CORRUPT);
	assert_true(str_find(parcel_problem(taker, &offset), STR("not a parcel")) >= 0);
	parcel_taker_free(&taker);
}

static void answers_come_back(void **state)
{
	struct buf out = BUF_INIT(1000);
	struct parcel_answer answer;
	size_t used;
	parcel_put_answer(&out, &(struct parcel_answer){ .type = PARCEL_ACK, .messages = 77, .entries = 78 });
	parcel_put_answer(&out, &(struct parcel_answer){ .type = PARCEL_REFUSED, .number = 79 });
	parcel_put_answer(&out, &(struct parcel_answer){ PARCEL_RESULT, 80, 81, 82, 83, 84, 85, ERR_NO_SPACE, STR("the disk is full"), 0 });
	assert_int_equal(parcel_answer_next(buf_str(&out), &answer, &used), 0);
	assert_int_equal(answer.messages, 77);
	struct str rest = str_from(buf_str(&out), used);
	assert_int_equal(parcel_answer_next(rest, &answer, &used), 0);
	assert_int_equal(answer.type, PARCEL_REFUSED);
	assert_int_equal(answer.number, 79);
	rest = str_from(rest, used);
	assert_int_equal(parcel_answer_next(str_first(rest, rest.n - 1), &answer, &used), ERR_INCOMPLETE);
	assert_int_equal(parcel_answer_next(rest, &answer, &used), 0);
	assert_int_equal(answer.passed, 83);
	assert_int_equal(answer.keywords, 84);
	assert_int_equal(answer.next, 85);
	assert_int_equal(answer.result, ERR_NO_SPACE);
	assert_true(str_eq(answer.text, STR("the disk is full")));
	assert_int_equal(used, rest.n);
	assert_int_equal(parcel_answer_next(STR("HTTP/1.1 200"), &answer, &used), ERR_CORRUPT);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_comes_back),
		cmocka_unit_test(a_parcel_that_is_cut_is_not_whole),
		cmocka_unit_test(a_changed_byte_is_seen),
		cmocka_unit_test(a_message_with_other_bytes_is_told_by_its_number),
		cmocka_unit_test(dates_and_logins_of_pop3_that_are_none_are_refused),
		cmocka_unit_test(numbers_of_sources_that_cannot_be_are_refused),
		cmocka_unit_test(something_else_is_refused_by_its_first_bytes),
		cmocka_unit_test(answers_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
