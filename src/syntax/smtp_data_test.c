/* The message ends at CRLF.CRLF and at nothing else, however the bytes are cut; what could be a line end for somebody
 * else is a flaw. */
#include "syntax/smtp_data.h"

#include "base/buf.h"
#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct outcome {
	bool ended;
	unsigned flaws;
	uint32_t received;
	size_t used; /* bytes of the input up to and with the end */
};

/* Feeds the input in pieces: first of `first` bytes, then of `step`. */
static struct outcome decode(struct str input, size_t first, size_t step, struct buf *message)
{
	struct smtp_data data = SMTP_DATA_INIT;
	struct str rest = input;
	bool ended = false;
	buf_clear(message);
	for (size_t n = first; rest.n > 0 && !ended; n = step) {
		struct str chunk = str_first(rest, n), piece;
		enum smtp_data_event event;
		while ((event = smtp_data_next(&data, &chunk, &piece)) == SMTP_DATA_TEXT)
			buf_add(message, piece);
		ended = event == SMTP_DATA_END;
		rest = str_from(rest, MIN(n, rest.n) - chunk.n);
	}
	assert_int_equal(data.size, message->n);
	return (struct outcome){ ended, data.flaws, data.received, input.n - rest.n };
}

/* Every cut in two, and all pieces of one, two and three bytes. `message` counts only for a flawless input. */
static void decodes(struct str input, struct outcome expected, struct str message)
{
	struct buf out = BUF_INIT(65536);
	for (size_t cut = 1; cut <= input.n + 3; cut++) {
		size_t step = cut > input.n ? cut - input.n : SIZE_MAX;
		struct outcome is = decode(input, step == SIZE_MAX ? cut : step, step, &out);
		assert_int_equal(is.ended, expected.ended);
		assert_int_equal(is.flaws, expected.flaws);
		assert_int_equal(is.received, expected.received);
		assert_int_equal(is.used, expected.used);
		if (!expected.flaws) {
			assert_int_equal(out.n, message.n);
			assert_memory_equal(out.p ? out.p : "", message.p, message.n);
		}
	}
	buf_free(&out);
}

#define ENDS(input, left, message)                                                                                     \
	decodes(STR(input left), (struct outcome){ true, 0, 0, sizeof(input) - 1 }, STR(message))
#define FLAWED(input, left, found)                                                                                     \
	decodes(STR(input left), (struct outcome){ true, found, 0, sizeof(input) - 1 }, STR(""))
#define OPEN(input, found)                                                                                             \
	decodes(STR(input), (struct outcome){ false, found, 0, sizeof(input) - 1 }, STR(""))

static void messages_end_at_the_dot(void **state)
{
	ENDS(".\r\n", "", "");
	ENDS("\r\n.\r\n", "", "\r\n");
	ENDS("a\r\n.\r\n", "QUIT\r\n", "a\r\n");
	ENDS("a\r\n\r\nb\r\n.\r\n", ".\r\n", "a\r\n\r\nb\r\n");
}

static void dots_that_begin_a_line_are_taken_off(void **state)
{
	ENDS("..\r\n.\r\n", "", ".\r\n");
	ENDS("...\r\n.\r\n", "", "..\r\n");
	ENDS(".a\r\n..b\r\nc.\r\n.\r\n", "", "a\r\n.b\r\nc.\r\n");
	ENDS("a.b\r\n.. \r\n.\r\n", "", "a.b\r\n. \r\n");
}

static void smuggled_ends_are_flaws_and_do_not_end(void **state)
{
	FLAWED("a\n.\n\r\n.\r\n", "Q", SMTP_DATA_BARE_LF);
	FLAWED("a\r.\r\r\n.\r\n", "Q", SMTP_DATA_BARE_CR);
	FLAWED("a\r\n.\n\r\n.\r\n", "Q", SMTP_DATA_BARE_LF);
	FLAWED("a\n.\r\n\r\n.\r\n", "Q", SMTP_DATA_BARE_LF);
	FLAWED("a\r\n.\r\r\n.\r\n", "Q", SMTP_DATA_BARE_CR);
	FLAWED("a\r.\r\n\r\n.\r\n", "Q", SMTP_DATA_BARE_CR);
	FLAWED("a\r\r\n.\r\n", "Q", SMTP_DATA_BARE_CR);
	FLAWED("a\n\r\n.\r\n", "Q", SMTP_DATA_BARE_LF);
	FLAWED("a\r\n.\rb\r\n.\r\n", "Q", SMTP_DATA_BARE_CR);
	FLAWED("a\n.\nMAIL FROM:<x@y>\r\n.\r\n", "Q", SMTP_DATA_BARE_LF);
	FLAWED(".\n\r\n.\r\n", "", SMTP_DATA_BARE_LF);
	FLAWED(".\r\r\n.\r\n", "", SMTP_DATA_BARE_CR);
	OPEN("a\n.\n", SMTP_DATA_BARE_LF);
	OPEN("a\n.\r\n", SMTP_DATA_BARE_LF);
	OPEN("a\r.\r", SMTP_DATA_BARE_CR);
	OPEN("a\r\n.\n", SMTP_DATA_BARE_LF);
	OPEN("a\r\n.\rb", SMTP_DATA_BARE_CR);
}

static void nul_is_a_flaw(void **state)
{
	FLAWED("a\0b\r\n.\r\n", "", SMTP_DATA_NUL);
	FLAWED("\0.\r\n.\r\n", "", SMTP_DATA_NUL);
	FLAWED("a\r\n.\0\r\n.\r\n", "", SMTP_DATA_NUL);
	FLAWED("\0\n\r\r\n.\r\n", "", SMTP_DATA_NUL | SMTP_DATA_BARE_LF | SMTP_DATA_BARE_CR);
}

static void count_hops(struct str input, uint32_t expected)
{
	struct buf out = BUF_INIT(65536);
	for (size_t step = 1; step <= input.n; step++)
		assert_int_equal(decode(input, step, step, &out).received, expected);
	buf_free(&out);
}

static void received_fields_of_the_header_are_counted(void **state)
{
	count_hops(STR("Received: a\r\n\tb\r\nreceived:c\r\nX-Received: d\r\nRECEIVED: e\r\n\r\n.\r\n"), 3);
	count_hops(STR("Receive: a\r\nReceived-SPF: b\r\nReceived\r\n : c\r\n.\r\n"), 0);
	count_hops(STR("Received: a\r\n\r\nReceived: b\r\n.\r\n"), 1);
	count_hops(STR("\r\nReceived: b\r\n.\r\n"), 0);
	count_hops(STR(".Received: a\r\n.\r\n"), 1);
}

/* Long pieces are passed over in blocks, single bytes never are. */
static void blocks_are_decoded_as_bytes_are(void **state)
{
	static const char alphabets[][12] = { "\r\n.", "\r\n.a\0aaaaaa", ".aaaaaaaaaa" };
	struct buf whole = BUF_INIT(65536), bytes = BUF_INIT(65536), input = BUF_INIT(65536);
	uint64_t seed = 1;
	for (int round = 0; round < 30000; round++) {
		const char *alphabet = alphabets[round % 3];
		buf_clear(&input);
		buf_add(&input, round % 7 ? STR("a: b\r\n\r\nxy") : STR("a: b\r\n"));
		for (int i = 0; i < 100; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			unsigned n = (unsigned)(seed >> 33) % 40;
			buf_add(&input, n < 12 ? str_of(alphabet + n % (round % 3 ? 11 : 3), 1) : n < 20 ? STR("\r\n") : STR("x"));
		}
		buf_add(&input, STR("\r\n.\r\nafter"));
		struct outcome a = decode(buf_str(&input), SIZE_MAX, SIZE_MAX, &whole), b = decode(buf_str(&input), 1, 1, &bytes);
		assert_true(a.ended && b.ended);
		assert_int_equal(a.flaws, b.flaws);
		assert_int_equal(a.used, b.used);
		assert_true(a.flaws || str_eq(buf_str(&whole), buf_str(&bytes)));
	}
	buf_free(&whole);
	buf_free(&bytes);
	buf_free(&input);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_end_at_the_dot),
		cmocka_unit_test(dots_that_begin_a_line_are_taken_off),
		cmocka_unit_test(smuggled_ends_are_flaws_and_do_not_end),
		cmocka_unit_test(nul_is_a_flaw),
		cmocka_unit_test(blocks_are_decoded_as_bytes_are),
		cmocka_unit_test(received_fields_of_the_header_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
