/* tls_test.c: streams with TLS against an OpenSSL client in the same process, with a certificate made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/checked.h"
#include "base/random.h"
#include "loop/stream.h"
#include "loop/test_certificate.h"
#include "loop/test_support.h"
#include "loop/tls.h"

#include <openssl/ssl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUTPUT_MAX (8 * 1024 * 1024)

/* OpenSSL's own, which from 3.2 on does not count what was read along with the end of a handshake. */
int __real_SSL_has_pending(const SSL *ssl);
int __wrap_SSL_has_pending(const SSL *ssl);
static bool pending_is_hidden;

int __wrap_SSL_has_pending(const SSL *ssl)
{
	return pending_is_hidden ? 0 : __real_SSL_has_pending(ssl);
}

struct secure {
	struct loop *loop;
	struct stream *stream;
	struct tls_context *context;
	SSL_CTX *client_ctx;
	SSL *client;
	int fd;
	int server_fd; /* the stream's own, for the test to use too */
	struct buf got;
	int done, drains, closes, closed_with;
	bool start_tls_on_input, pause_on_input;
	size_t take;
};

static void on_tls_done(void *owner)
{
	struct secure *s = owner;
	s->done++;
}

static size_t on_input(void *owner, struct str bytes)
{
	struct secure *s = owner;
	struct str taken = str_first(bytes, s->take);
	buf_add(&s->got, taken);
	if (s->start_tls_on_input) {
		s->start_tls_on_input = false;
		outq_add(stream_output(s->stream), STR("220 go ahead\r\n"));
		stream_flush(s->stream);
		assert_int_equal(stream_start_tls(s->stream, s->context, on_tls_done), 0);
	}
	if (s->pause_on_input)
		stream_pause(s->stream, true);
	return taken.n;
}

static void on_drained(void *owner)
{
	struct secure *s = owner;
	s->drains++;
}

static void on_closed(void *owner, int err)
{
	struct secure *s = owner;
	s->closes++;
	s->closed_with = err;
}

static const struct stream_events events = { on_input, on_drained, on_closed };

static void begin(struct secure *s)
{
	struct buf certificate, key;
	int pair[2];
	*s = (struct secure){ .loop = loop_new(), .take = SIZE_MAX };
	s->got = BUF_INIT(64 * 1024 * 1024);
	test_certificate(&certificate, &key);
	assert_int_equal(tls_context_new(buf_str(&certificate), buf_str(&key), 0x0303, &s->context), 0);
	buf_free(&certificate);
	buf_free(&key);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	s->fd = pair[1];
	s->server_fd = dup(pair[0]);
	s->stream = stream_new(s->loop, pair[0], (struct stream_limits){ 1000, OUTPUT_MAX }, &events, s);
	s->client_ctx = SSL_CTX_new(TLS_client_method());
	s->client = SSL_new(s->client_ctx);
	SSL_set_fd(s->client, s->fd);
}

static void end(struct secure *s)
{
	stream_free(&s->stream);
	tls_context_free(&s->context);
	SSL_free(s->client);
	SSL_CTX_free(s->client_ctx);
	close(s->fd);
	close(s->server_fd);
	buf_free(&s->got);
	loop_free(&s->loop);
}

static bool client_shakes_hands(struct secure *s)
{
	ERR_clear_error();
	return SSL_connect(s->client) == 1;
}

static void client_writes(struct secure *s, const char *bytes, size_t n)
{
	uint64_t began = loop_now_ms(s->loop);
	for (size_t done = 0; done < n && loop_now_ms(s->loop) - began < TEST_PATIENCE_MS;) {
		ERR_clear_error();
		int sent = SSL_write(s->client, bytes + done, (int)MIN(n - done, (size_t)16000));
		if (sent > 0)
			done += (size_t)sent;
		else
			test_run(s->loop, 1);
	}
}

static void client_reads(struct secure *s, struct buf *into, size_t n)
{
	uint64_t began = loop_now_ms(s->loop);
	while (into->n < n && loop_now_ms(s->loop) - began < TEST_PATIENCE_MS) {
		char bytes[20000];
		ERR_clear_error();
		int got = SSL_read(s->client, bytes, (int)MIN(sizeof bytes, n - into->n));
		if (got > 0)
			buf_add(into, str_of(bytes, (size_t)got));
		else
			test_run(s->loop, 1);
	}
}

static void shake_hands(struct secure *s)
{
	assert_int_equal(stream_start_tls(s->stream, s->context, on_tls_done), 0);
	TEST_UNTIL(s->loop, client_shakes_hands(s));
	TEST_UNTIL(s->loop, s->done == 1);
}

static void handshake_tells_version_and_cipher(void **state)
{
	(void)state;
	struct secure s;
	begin(&s);
	assert_false(stream_is_tls(s.stream));
	assert_int_equal(stream_tls_version(s.stream).n, 0);
	shake_hands(&s);
	assert_true(stream_is_tls(s.stream));
	assert_true(str_eq(stream_tls_version(s.stream), STR("TLSv1.3")));
	assert_true(str_starts(stream_tls_cipher(s.stream), STR("TLS_")));
	assert_int_equal(stream_start_tls(s.stream, s.context, NULL), ERR_STATE);
	end(&s);
}

static void much_data_goes_both_ways_with_file_ranges(void **state)
{
	(void)state;
	struct secure s;
	size_t n = 1500000;
	char *bytes = malloc(n);
	struct buf wanted = BUF_INIT(OUTPUT_MAX), answer = BUF_INIT(OUTPUT_MAX);
	begin(&s);
	shake_hands(&s);
	random_bytes(bytes, n);
	client_writes(&s, bytes, n);
	TEST_UNTIL(s.loop, s.got.n == n);
	assert_memory_equal(s.got.p, bytes, n);
	int fd = memfd_create("bodies", MFD_CLOEXEC);
	assert_int_equal(write(fd, bytes, n), n);
	const size_t lengths[] = { 10, 16384, 16385, 200000, 1, 700000, 30 };
	size_t at = 0;
	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		outq_addf(stream_output(s.stream), "part %zu\r\n", i);
		buf_addf(&wanted, "part %zu\r\n", i);
		outq_add_file(stream_output(s.stream), fd, at, lengths[i]);
		buf_add(&wanted, str_of(bytes + at, lengths[i]));
		at += lengths[i];
	}
	outq_add(stream_output(s.stream), str_of(bytes, 100000));
	buf_add(&wanted, str_of(bytes, 100000));
	stream_flush(s.stream);
	client_reads(&s, &answer, wanted.n);
	assert_true(str_eq(buf_str(&answer), buf_str(&wanted)));
	TEST_UNTIL(s.loop, s.drains == 1);
	close(fd);
	free(bytes);
	buf_free(&wanted);
	buf_free(&answer);
	end(&s);
}

static void a_blocked_record_may_be_followed_by_more_output(void **state)
{
	(void)state;
	struct secure s;
	struct buf wanted = BUF_INIT(OUTPUT_MAX), answer = BUF_INIT(OUTPUT_MAX);
	begin(&s);
	shake_hands(&s);
	/* Nobody reads: the socket fills up in the middle of a record; then small pieces are added turn by turn. */
	for (int i = 0; i < 60; i++) {
		char bytes[20011];
		random_bytes(bytes, sizeof bytes);
		outq_add(stream_output(s.stream), str_of(bytes, sizeof bytes));
		buf_add(&wanted, str_of(bytes, sizeof bytes));
		stream_flush(s.stream);
		test_run(s.loop, 1);
	}
	client_reads(&s, &answer, wanted.n);
	assert_true(str_eq(buf_str(&answer), buf_str(&wanted)));
	buf_free(&wanted);
	buf_free(&answer);
	end(&s);
}

static void plaintext_sent_before_the_handshake_never_counts(void **state)
{
	(void)state;
	struct secure s;
	char answer[14];
	begin(&s);
	s.start_tls_on_input = true;
	s.take = 10; /* "STARTTLS\r\n", and what was injected behind it stays untaken */
	assert_int_equal(write(s.fd, "STARTTLS\r\nMAIL FROM:<x>\r\n", 25), 25);
	TEST_UNTIL(s.loop, s.got.n == 10);
	TEST_UNTIL(s.loop, recv(s.fd, answer, sizeof answer, MSG_PEEK) == sizeof answer);
	assert_int_equal(read(s.fd, answer, sizeof answer), sizeof answer);
	assert_memory_equal(answer, "220 go ahead\r\n", sizeof answer);
	TEST_UNTIL(s.loop, client_shakes_hands(&s));
	TEST_UNTIL(s.loop, s.done == 1);
	client_writes(&s, "EHLO me\r\n", 9);
	s.take = SIZE_MAX;
	TEST_UNTIL(s.loop, s.got.n == 19);
	assert_true(str_eq(buf_str(&s.got), STR("STARTTLS\r\nEHLO me\r\n")));
	end(&s);
}

static void input_inside_openssl_is_not_forgotten_by_a_pause(void **state)
{
	(void)state;
	struct secure s;
	char bytes[16000];
	begin(&s);
	shake_hands(&s);
	memset(bytes, 'x', sizeof bytes);
	s.pause_on_input = true;
	s.take = 100; /* of an input maximum of 1000: much stays with OpenSSL */
	client_writes(&s, bytes, sizeof bytes);
	TEST_UNTIL(s.loop, s.got.n > 0);
	for (int i = 0; i < 500 && s.got.n < sizeof bytes; i++) {
		stream_pause(s.stream, false);
		test_run(s.loop, 1);
	}
	assert_int_equal(s.got.n, sizeof bytes);
	end(&s);
}

static void a_command_that_comes_with_the_end_of_the_handshake_is_read(void **state)
{
	(void)state;
	for (int hidden = 0; hidden < 2; hidden++) {
		struct secure s;
		begin(&s);
		assert_int_equal(stream_start_tls(s.stream, s.context, on_tls_done), 0);
		/* Once the client is through the server has all but its last message, which the command follows in one read. */
		TEST_UNTIL(s.loop, client_shakes_hands(&s));
		assert_int_equal(s.done, 0);
		client_writes(&s, "EHLO me\r\n", 9);
		pending_is_hidden = hidden;
		TEST_UNTIL(s.loop, s.got.n == 9);
		pending_is_hidden = false;
		end(&s);
	}
}

static void a_finish_in_the_middle_of_a_handshake_ends_at_once(void **state)
{
	(void)state;
	for (int begun = 0; begun < 2; begun++) {
		struct secure s;
		char byte;
		begin(&s);
		stream_set_write_timeout(s.stream, 100 * TEST_PATIENCE_MS);
		assert_int_equal(stream_start_tls(s.stream, s.context, on_tls_done), 0);
		if (begun)
			assert_false(client_shakes_hands(&s));
		test_run(s.loop, 10);
		/* Nothing can be said now. */
		outq_add(stream_output(s.stream), STR("* BYE\r\n"));
		stream_finish(s.stream, 100 * TEST_PATIENCE_MS);
		TEST_UNTIL(s.loop, s.closes == 1);
		assert_int_equal(s.closed_with, 0);
		assert_int_equal(s.done, 0);
		if (!begun)
			assert_int_equal(recv(s.fd, &byte, 1, MSG_DONTWAIT), -1); /* and nothing was */
		end(&s);
	}
}

/* How much it took. */
static size_t fill(int fd)
{
	char filler[4096] = { 0 };
	size_t n = 0;
	for (size_t piece = sizeof filler; piece > 0; piece /= 2)
		for (ssize_t sent; (sent = send(fd, filler, piece, MSG_DONTWAIT)) > 0;)
			n += (size_t)sent;
	return n;
}

static void drain(int fd, size_t n)
{
	char bytes[4096];
	while (n > 0) {
		ssize_t got = recv(fd, bytes, MIN(n, sizeof bytes), MSG_DONTWAIT);
		assert_true(got > 0);
		n -= (size_t)got;
	}
}

static void the_end_of_tls_waits_for_room_in_the_socket(void **state)
{
	(void)state;
	for (int finished = 0; finished < 2; finished++) {
		struct secure s;
		char byte;
		begin(&s);
		shake_hands(&s);
		client_writes(&s, "QUIT", 4); /* by when the client has read its ticket */
		TEST_UNTIL(s.loop, s.got.n == 4);
		(void)SSL_read(s.client, &byte, 1);
		size_t filler = fill(s.server_fd);
		if (finished) {
			stream_no_linger(s.stream);
			stream_finish(s.stream, 2 * TEST_PATIENCE_MS);
		} else {
			stream_end_output(s.stream);
		}
		test_run(s.loop, 10);
		assert_int_equal(s.closes, 0);
		drain(s.fd, filler);
		TEST_UNTIL(s.loop, SSL_read(s.client, &byte, 1) <= 0 && SSL_get_shutdown(s.client) == SSL_RECEIVED_SHUTDOWN);
		if (finished)
			TEST_UNTIL(s.loop, s.closes == 1);
		end(&s);
	}
	/* But not for longer than told. */
	struct secure s;
	begin(&s);
	shake_hands(&s);
	stream_set_write_timeout(s.stream, 100 * TEST_PATIENCE_MS);
	(void)fill(s.server_fd);
	stream_finish(s.stream, 100);
	TEST_UNTIL(s.loop, s.closes == 1);
	end(&s);
}

static void ends_and_garbage_close(void **state)
{
	(void)state;
	struct secure s;
	begin(&s);
	shake_hands(&s);
	SSL_shutdown(s.client);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	end(&s);
	begin(&s);
	assert_int_equal(stream_start_tls(s.stream, s.context, on_tls_done), 0);
	assert_int_equal(write(s.fd, "EHLO plain\r\n", 12), 12);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, ERR_CLOSED);
	assert_int_equal(s.done, 0);
	end(&s);
	begin(&s);
	shake_hands(&s);
	outq_add(stream_output(s.stream), STR("bye"));
	stream_finish(s.stream, 2 * TEST_PATIENCE_MS);
	struct buf answer = BUF_INIT(10);
	client_reads(&s, &answer, 3);
	assert_true(str_eq(buf_str(&answer), STR("bye")));
	char byte;
	TEST_UNTIL(s.loop, SSL_read(s.client, &byte, 1) <= 0 && SSL_get_shutdown(s.client) == SSL_RECEIVED_SHUTDOWN);
	shutdown(s.fd, SHUT_WR);
	TEST_UNTIL(s.loop, s.closes == 1);
	assert_int_equal(s.closed_with, 0);
	buf_free(&answer);
	end(&s);
}

static void a_wrong_pair_or_text_is_refused(void **state)
{
	(void)state;
	struct buf one, one_key, two, two_key;
	struct tls_context *context = NULL;
	test_certificate(&one, &one_key);
	test_certificate(&two, &two_key);
	assert_int_equal(tls_context_new(buf_str(&one), buf_str(&two_key), 0x0303, &context), ERR_SYNTAX);
	assert_int_equal(tls_context_new(STR("no PEM"), buf_str(&one_key), 0x0303, &context), ERR_SYNTAX);
	assert_int_equal(tls_context_new(buf_str(&one), STR(""), 0x0303, &context), ERR_SYNTAX);
	assert_null(context);
	/* A chain behind the certificate is fine; damage in it is not. */
	buf_add(&one, buf_str(&two));
	assert_int_equal(tls_context_new(buf_str(&one), buf_str(&one_key), 0x0304, &context), 0);
	tls_context_free(&context);
	tls_context_free(&context);
	buf_add(&one, str_first(buf_str(&two), two.n / 2));
	assert_int_equal(tls_context_new(buf_str(&one), buf_str(&one_key), 0x0304, &context), ERR_SYNTAX);
	buf_free(&one);
	buf_free(&one_key);
	buf_free(&two);
	buf_free(&two_key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_tells_version_and_cipher),
		cmocka_unit_test(much_data_goes_both_ways_with_file_ranges),
		cmocka_unit_test(a_blocked_record_may_be_followed_by_more_output),
		cmocka_unit_test(plaintext_sent_before_the_handshake_never_counts),
		cmocka_unit_test(input_inside_openssl_is_not_forgotten_by_a_pause),
		cmocka_unit_test(a_command_that_comes_with_the_end_of_the_handshake_is_read),
		cmocka_unit_test(a_finish_in_the_middle_of_a_handshake_ends_at_once),
		cmocka_unit_test(the_end_of_tls_waits_for_room_in_the_socket),
		cmocka_unit_test(ends_and_garbage_close),
		cmocka_unit_test(a_wrong_pair_or_text_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
