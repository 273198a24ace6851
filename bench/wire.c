/* wire.c: the client's side of a connection, blocking, one thread each. */
#include "bench.h"

#include "base/checked.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <unistd.h>

#define WIRE_BUFFER (256 * 1024)

_Noreturn void bench_die(const char *what, struct str detail)
{
	fprintf(stderr, "%s: %s: %.*s\n", program_invocation_short_name, what, STR_ARG(detail));
	exit(1);
}

SSL_CTX *wire_tls_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	if (!context)
		bench_die("no TLS", STR(""));
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	return context;
}

void wire_open(struct wire *wire, const char *host, int port, SSL_CTX *tls)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int on = 1;
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		bench_die("not an IPv4 address", str_from_c(host));
	wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (wire->fd < 0 || connect(wire->fd, (struct sockaddr *)&address, sizeof address) < 0)
		bench_die("cannot connect", str_from_c(strerror(errno)));
	setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (tls && (!(wire->tls = SSL_new(tls)) || SSL_set_fd(wire->tls, wire->fd) != 1 || SSL_connect(wire->tls) != 1))
		bench_die("TLS handshake failed", STR(""));
	if (!wire->p)
		wire->p = mem_alloc(1, wire->size = WIRE_BUFFER);
	wire->n = wire->start = 0;
}

void wire_close(struct wire *wire)
{
	if (wire->tls)
		SSL_shutdown(wire->tls);
	SSL_free(wire->tls);
	wire->tls = NULL;
	close(wire->fd);
}

static void send_all(struct wire *wire, struct str bytes, int flags)
{
	while (bytes.n > 0) {
		ssize_t sent = wire->tls ? SSL_write(wire->tls, bytes.p, (int)MIN(bytes.n, (size_t)INT32_MAX))
		                         : send(wire->fd, bytes.p, bytes.n, MSG_NOSIGNAL | flags);
		if (sent <= 0)
			bench_die("send failed", str_from_c(strerror(errno)));
		bytes = str_from(bytes, (size_t)sent);
	}
}

void wire_send(struct wire *wire, struct str bytes)
{
	send_all(wire, bytes, 0);
}

void wire_send_more(struct wire *wire, struct str bytes)
{
	send_all(wire, bytes, MSG_MORE);
}

void wire_sendf(struct wire *wire, const char *format, ...)
{
	char line[2048];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	wire_send(wire, str_of(line, (size_t)n));
}

static void fill(struct wire *wire)
{
	if (wire->start > 0) {
		memmove(wire->p, wire->p + wire->start, wire->n - wire->start);
		wire->n -= wire->start;
		wire->start = 0;
	}
	if (wire->n == wire->size)
		bench_die("line too long", str_first(str_of(wire->p, wire->n), 80));
	ssize_t got = wire->tls ? SSL_read(wire->tls, wire->p + wire->n, (int)(wire->size - wire->n))
	                        : recv(wire->fd, wire->p + wire->n, wire->size - wire->n, 0);
	if (got <= 0)
		bench_die("connection closed by the server", str_of(wire->p, MIN(wire->n, (size_t)80)));
	wire->n += (size_t)got;
}

struct str wire_line(struct wire *wire)
{
	size_t looked = 0;
	for (;;) {
		char *start = wire->p + wire->start;
		char *end = memchr(start + looked, '\n', wire->n - wire->start - looked);
		if (end) {
			wire->start = (size_t)(end + 1 - wire->p);
			return str_of(start, (size_t)(end - start) - (end > start && end[-1] == '\r'));
		}
		looked = wire->n - wire->start;
		fill(wire);
	}
}

void wire_skip(struct wire *wire, uint64_t n)
{
	while (n > 0) {
		uint64_t take = MIN(n, (uint64_t)(wire->n - wire->start));
		wire->start += take;
		n -= take;
		if (n > 0)
			fill(wire);
	}
}

uint64_t wire_literal(struct str line)
{
	uint64_t n = 0;
	size_t at = line.n;
	if (at < 3 || line.p[at - 1] != '}')
		return 0;
	while (at > 0 && line.p[at - 1] != '{')
		at--;
	struct str digits = str_of(line.p + at, line.n - at - 1);
	digits.n -= str_ends(digits, STR("+"));
	return str_to_u64(digits, UINT32_MAX, &n) == 0 ? n : 0;
}

uint64_t wire_until(struct wire *wire, struct str start, struct str expected)
{
	uint64_t bytes = 0;
	for (;;) {
		struct str line = wire_line(wire);
		bytes += line.n + 2;
		if (str_starts(line, start)) {
			if (!str_starts(str_from(line, start.n), expected))
				bench_die("unexpected answer", line);
			return bytes;
		}
		uint64_t literal = wire_literal(line);
		wire_skip(wire, literal);
		bytes += literal;
	}
}

void wire_expect(struct wire *wire, struct str expected)
{
	struct str line = wire_line(wire);
	if (!str_starts(line, expected))
		bench_die("unexpected answer", line);
}

void wire_until_dot(struct wire *wire)
{
	while (!str_eq(wire_line(wire), STR(".")))
		;
}
