/* bench.h: what the load generator and the floor share: messages to send; and the generator's parts: connections to
 * speak over, a client of many different commands, the server's CPU time to read. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "base/buf.h"
#include "base/openssl.h"

#include <openssl/ssl.h>

/* --- message.c --- */

/* The next number of a sequence that its first state decides. */
uint64_t bench_random(uint64_t *state);

/* A message made from a seed: the same seed, the same bytes. Sizes follow real mail: half below 9 KB, a few over 1
 * MB; multipart/alternative with quoted-printable and base64, words of several languages, attachments. size > 0: a
 * plain text message of about that many bytes instead. */
void bench_message(uint64_t seed, size_t size, struct buf *out);

/* --- wire.c --- */

/* A blocking connection with lines. Failures end the program: a benchmark that lost an answer has no result. */
struct wire {
	int fd;
	SSL *tls;        /* NULL: plain */
	char *p;         /* unread bytes */
	size_t n, size, start;
};

/* For clients that check no certificate and resume no session. */
SSL_CTX *wire_tls_context(void);
/* tls NULL: plain. */
void wire_open(struct wire *wire, const char *host, int port, SSL_CTX *tls);
void wire_close(struct wire *wire);
void wire_send(struct wire *wire, struct str bytes);
/* The same, and more of it follows at once: it goes out together with that, as of a client that buffers. */
void wire_send_more(struct wire *wire, struct str bytes);
void wire_sendf(struct wire *wire, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The next line without its CRLF; valid until the next call. */
struct str wire_line(struct wire *wire);
/* The size of the literal that a line announces at its end (RFC 9051 section 4.3), also of one that waits for no
 * continuation ({12+}); 0 if none. */
uint64_t wire_literal(struct str line);
/* Reads and drops n bytes. */
void wire_skip(struct wire *wire, uint64_t n);
/* Reads replies until the line that begins with `start`; literals are skipped. Ends the program when that line does
 * not go on with `expected`. Returns all bytes read. */
uint64_t wire_until(struct wire *wire, struct str start, struct str expected);
/* One line that must begin with `expected`. */
void wire_expect(struct wire *wire, struct str expected);
/* A POP3 multi-line answer, up to its dot. */
void wire_until_dot(struct wire *wire);
_Noreturn void bench_die(const char *what, struct str detail);

/* --- mix.c --- */

struct mix_settings {
	const char *host, *password, *mailbox;
	int port;
	SSL_CTX *tls; /* NULL: plain */
	void (*user_name)(uint64_t number, char *out, size_t size);
	uint64_t users;               /* each session takes one of so many accounts */
	const struct buf *messages;   /* to append, one after the other, round and round */
	uint64_t messages_count;
};

/* One client of the mixed stress. It goes through sessions of the commands that ImapTest documents as its default mix
 * (mix.c has the table), one at a time; what is random of them comes from a seed. */
struct mix {
	const struct mix_settings *settings;
	struct wire wire;
	uint64_t random, appended;
	uint64_t exists;      /* messages of the mailbox, as the server has told so far */
	size_t step;          /* of the table: the next command */
	bool logged_in;
	uint64_t bytes;       /* of answers */
	uint64_t refused;     /* commands that got NO or BAD, and FETCHes that told of fewer messages than asked for */
	char complaint[256];  /* the first of them and its answer */
};

/* settings must live as long as the client. */
void mix_begin(struct mix *mix, const struct mix_settings *settings, uint64_t seed);
/* Sends the next command and reads its answer. A LOGIN or SELECT that fails ends the program. */
void mix_command(struct mix *mix);
/* Logs out, if a session is open. */
void mix_end(struct mix *mix);

/* --- cpu.c --- */

/* CPU seconds that a process and all its descendants have used so far: of the living to the nanosecond, of those
 * that ended and were waited for to the clock tick; 0 when pid is 0. */
double cpu_seconds(int pid);
/* The same of a control group, from its cpu.stat (version 2) or cpuacct.usage (version 1): exact, whoever has ended. */
double cpu_file_seconds(const char *path);
/* Proportional memory (PSS) of the process and its descendants, in bytes. */
uint64_t memory_bytes(int pid);

#endif
