/* bench.h: the load generator's parts: messages to send, connections to speak over, the server's CPU time to read. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "base/buf.h"

/* --- message.c --- */

/* A message made from a seed: the same seed, the same bytes. Sizes follow real mail: half below 9 KB, a few over 1 MB; multipart/alternative with
 * quoted-printable and base64, words of several languages, attachments. size > 0: a plain text message of about that many bytes instead. */
void bench_message(uint64_t seed, size_t size, struct buf *out);

/* --- wire.c --- */

/* A blocking connection with lines. Failures end the program: a benchmark that lost an answer has no result. */
struct wire {
	int fd;
	char *p;         /* unread bytes */
	size_t n, size, start;
};

void wire_open(struct wire *wire, const char *host, int port);
void wire_close(struct wire *wire);
void wire_send(struct wire *wire, struct str bytes);
void wire_sendf(struct wire *wire, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The next line without its CRLF; valid until the next call. */
struct str wire_line(struct wire *wire);
/* Reads and drops n bytes. */
void wire_skip(struct wire *wire, uint64_t n);
/* Reads replies until the line that begins with `start`; literals are skipped. Ends the program when that line does not go on with `expected`. Returns all bytes read. */
uint64_t wire_until(struct wire *wire, struct str start, struct str expected);
/* One line that must begin with `expected`. */
void wire_expect(struct wire *wire, struct str expected);
/* A POP3 multi-line answer, up to its dot. */
void wire_until_dot(struct wire *wire);
_Noreturn void bench_die(const char *what, struct str detail);

/* --- cpu.c --- */

/* CPU seconds that a process and all its children have used so far (those that ended, too); 0 when pid is 0. */
double cpu_seconds(int pid);
/* Proportional memory (PSS) of the process and its children, in bytes. */
uint64_t memory_bytes(int pid);

#endif
