/* cold_read_test.c: streams that send files which are not in the page cache. Where the file system cannot tell, the
 * same bytes must leave, and what is said of the helper is skipped. The files lie in the current directory, which is
 * on a disk more often than /tmp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/checked.h"
#include "base/random.h"
#include "loop/cold_read.h"
#include "loop/helper.h"
#include "loop/stream.h"
#include "loop/test_certificate.h"
#include "loop/test_support.h"
#include "loop/tls.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_SIZE  (3 * 1024 * 1024)
#define OUTPUT_MAX (1024 * 1024)
#define WARM_TRIES 20

struct fixture {
	struct loop *loop;
	struct loop_helper *helper;
	char *bytes; /* of the file */
	int fd;
	bool tells;  /* the file system tells what is cold, and the kernel has dropped the file */
	struct loop_job block; /* keeps the helper busy until somebody writes into the pipe */
	int pipe[2];
	int blocks;            /* such jobs that are over */
};

struct connection {
	struct fixture *f;
	struct stream *stream;
	int client; /* the other side */
	SSL *ssl;   /* the client's; NULL: plain */
	struct buf wanted, got;
	int closed_with;
};

static size_t on_input(void *owner, struct str bytes)
{
	(void)owner;
	return bytes.n;
}

static void on_closed(void *owner, int err)
{
	struct connection *c = owner;
	c->closed_with = err;
}

static void connect_one(struct fixture *f, struct connection *c)
{
	static const struct stream_events events = { .input = on_input, .closed = on_closed };
	int pair[2];
	*c = (struct connection){ .f = f, .wanted = BUF_INIT(2 * FILE_SIZE), .got = BUF_INIT(2 * FILE_SIZE) };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	c->client = pair[1];
	c->stream = stream_new(f->loop, pair[0], (struct stream_limits){ 1000, OUTPUT_MAX }, &events, c);
}

static void disconnect(struct connection *c)
{
	stream_free(&c->stream);
	SSL_free(c->ssl);
	close(c->client);
	buf_free(&c->wanted);
	buf_free(&c->got);
}

static void cool_down(struct fixture *f)
{
	assert_int_equal(posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	/* At the very end, which no test needs cold: asking begins to read ahead. */
	f->tells = cold_read_needed(f->fd, FILE_SIZE - 1, 1);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	char name[] = "cold_read_test.XXXXXX";
	*state = f;
	f->loop = loop_new();
	if (pipe2(f->pipe, O_CLOEXEC) != 0)
		return -1;
	f->helper = loop_helper_new(f->loop);
	loop_set_read_helper(f->loop, f->helper);
	f->bytes = malloc(FILE_SIZE);
	random_bytes(f->bytes, FILE_SIZE);
	f->fd = mkstemp(name);
	if (f->fd < 0 || unlink(name) != 0 || write(f->fd, f->bytes, FILE_SIZE) != FILE_SIZE || fdatasync(f->fd) != 0)
		return -1;
	cool_down(f);
	if (!f->tells)
		print_message("(nothing is known about the page cache here: only the bytes are compared)\n");
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	loop_set_read_helper(f->loop, NULL);
	loop_helper_free(&f->helper);
	loop_free(&f->loop);
	close(f->pipe[0]);
	close(f->pipe[1]);
	close(f->fd);
	free(f->bytes);
	free(f);
	return 0;
}

static void queue_range(struct connection *c, size_t offset, size_t n)
{
	outq_addf(stream_output(c->stream), "{%zu}\r\n", n);
	buf_addf(&c->wanted, "{%zu}\r\n", n);
	outq_add_file(stream_output(c->stream), c->f->fd, offset, n);
	buf_add(&c->wanted, str_of(c->f->bytes + offset, n));
}

/* Ranges of all sizes, neighbouring and far apart, in and out of order. */
static void queue_much(struct connection *c)
{
	const size_t ranges[][2] = { { 2900000, 9000 }, { 0, 1500000 }, { 1800000, 100 }, { 1700000, 15000 }, { 1715000, 15000 },
		                     { 2000000, 40000 }, { 2600000, 1 }, { 2500000, 16384 } };
	for (size_t i = 0; i < COUNT_OF(ranges); i++)
		queue_range(c, ranges[i][0], ranges[i][1]);
	stream_flush(c->stream);
}

static ssize_t receive(struct connection *c, char *to, size_t n)
{
	ERR_clear_error();
	return c->ssl ? SSL_read(c->ssl, to, (int)n) : read(c->client, to, n);
}

static void assert_all_comes(struct connection *c)
{
	uint64_t began = loop_now_ms(c->f->loop);
	while (c->got.n < c->wanted.n && c->closed_with == 0 && loop_now_ms(c->f->loop) - began < TEST_PATIENCE_MS) {
		char bytes[30000];
		ssize_t got = receive(c, bytes, sizeof bytes);
		if (got > 0)
			buf_add(&c->got, str_of(bytes, (size_t)got));
		else
			test_run(c->f->loop, 1);
	}
	assert_true(str_eq(buf_str(&c->got), buf_str(&c->wanted)));
	buf_clear(&c->got);
	buf_clear(&c->wanted);
}

static int wait_for_word(struct loop_job *job)
{
	const struct fixture *f = job->owner;
	char byte;
	return read(f->pipe[0], &byte, 1) == 1 ? 0 : ERR_IO;
}

static void block_over(struct loop_job *job, int result)
{
	struct fixture *f = job->owner;
	(void)result;
	f->blocks++;
}

static void block_helper(struct fixture *f)
{
	f->block = (struct loop_job){ .work = wait_for_word, .done = block_over, .owner = f };
	loop_helper_submit(f->helper, &f->block);
}

static void let_helper_go(struct fixture *f)
{
	assert_int_equal(write(f->pipe[1], "x", 1), 1);
}

/* --- the tests --- */

static void a_cold_file_is_read_by_the_helper_and_leaves_in_order(void **state)
{
	struct fixture *f = *state;
	struct connection c;
	connect_one(f, &c);
	queue_much(&c);
	assert_all_comes(&c);
	assert_true(!f->tells || loop_cold_reads(f->loop) > 0);
	/* Now it is warm, and needs no helper; a kernel that is short of memory makes it cold again now and then. */
	uint64_t reads;
	int tries = 0;
	do {
		reads = loop_cold_reads(f->loop);
		queue_range(&c, 0, 1500000);
		stream_flush(c.stream);
		assert_all_comes(&c);
	} while (loop_cold_reads(f->loop) != reads && ++tries < WARM_TRIES);
	assert_int_equal(loop_cold_reads(f->loop), reads);
	disconnect(&c);
}

static void a_cold_file_leaves_over_tls(void **state)
{
	struct fixture *f = *state;
	struct connection c;
	struct buf certificate, key;
	struct tls_context *context;
	SSL_CTX *client = SSL_CTX_new(TLS_client_method());
	test_certificate(&certificate, &key);
	assert_int_equal(tls_context_new(buf_str(&certificate), buf_str(&key), 0x0303, &context), 0);
	connect_one(f, &c);
	assert_int_equal(stream_start_tls(c.stream, context, NULL), 0);
	c.ssl = SSL_new(client);
	SSL_set_fd(c.ssl, c.client);
	TEST_UNTIL(f->loop, SSL_connect(c.ssl) == 1);
	/* The client reads nothing at first, so that writes are tried again while the file is cold once more. */
	queue_much(&c);
	TEST_UNTIL(f->loop, stream_output(c.stream)->total < c.wanted.n - 50000);
	test_run(f->loop, 50);
	cool_down(f);
	assert_all_comes(&c);
	assert_true(!f->tells || loop_cold_reads(f->loop) > 0);
	disconnect(&c);
	SSL_CTX_free(client);
	tls_context_free(&context);
	buf_free(&certificate);
	buf_free(&key);
}

static void other_streams_go_on_while_a_file_is_read(void **state)
{
	struct fixture *f = *state;
	struct connection waits, quick;
	connect_one(f, &waits);
	connect_one(f, &quick);
	block_helper(f);
	queue_range(&waits, 0, 1000);
	stream_flush(waits.stream);
	outq_add(stream_output(quick.stream), STR("quick"));
	buf_add(&quick.wanted, STR("quick"));
	stream_flush(quick.stream);
	assert_all_comes(&quick);
	assert_int_equal(!outq_empty(stream_output(waits.stream)), loop_cold_reads(f->loop) > 0);
	let_helper_go(f);
	assert_all_comes(&waits);
	disconnect(&waits);
	disconnect(&quick);
}

static void a_stream_may_go_while_its_file_is_read(void **state)
{
	struct fixture *f = *state;
	struct connection c;
	connect_one(f, &c);
	block_helper(f);
	queue_range(&c, 0, 1000);
	stream_flush(c.stream);
	test_run(f->loop, 5);
	disconnect(&c);
	let_helper_go(f);
	TEST_UNTIL(f->loop, f->blocks == 1);
	test_run(f->loop, 50);
}

/* Whoever goes first, the stream or the helper. */
static void reads_that_never_came_back_leave_nothing_behind(void **state)
{
	struct fixture *f = *state;
	struct connection before, after;
	connect_one(f, &before);
	connect_one(f, &after);
	block_helper(f);
	queue_range(&before, 0, 1000);
	queue_range(&after, 2000000, 100000);
	stream_flush(before.stream);
	stream_flush(after.stream);
	test_run(f->loop, 5);
	disconnect(&before);
	let_helper_go(f);
	loop_set_read_helper(f->loop, NULL);
	loop_helper_free(&f->helper);
	disconnect(&after);
}

static void a_file_that_cannot_tell_is_read_at_once(void **state)
{
	struct fixture *f = *state;
	struct connection c;
	int disk = f->fd;
	connect_one(f, &c);
	f->fd = memfd_create("bodies", MFD_CLOEXEC);
	assert_int_equal(write(f->fd, f->bytes, FILE_SIZE), FILE_SIZE);
	queue_much(&c);
	assert_all_comes(&c);
	assert_int_equal(loop_cold_reads(f->loop), 0);
	disconnect(&c);
	close(f->fd);
	f->fd = disk;
}

static void a_cold_file_that_is_too_short_ends_the_session(void **state)
{
	struct fixture *f = *state;
	for (size_t n = 20000; n <= 200000; n *= 10) {
		struct connection c;
		connect_one(f, &c);
		outq_add_file(stream_output(c.stream), f->fd, FILE_SIZE - 10, n);
		stream_flush(c.stream);
		TEST_UNTIL(f->loop, c.closed_with != 0);
		assert_int_equal(c.closed_with, ERR_IO);
		disconnect(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_cold_file_is_read_by_the_helper_and_leaves_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cold_file_leaves_over_tls, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_streams_go_on_while_a_file_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stream_may_go_while_its_file_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reads_that_never_came_back_leave_nothing_behind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_that_cannot_tell_is_read_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cold_file_that_is_too_short_ends_the_session, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
