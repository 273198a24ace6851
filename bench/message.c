/* message.c: mail that looks like mail, from a seed. Pure. */
#include "bench.h"

#include "base/checked.h"

#define LINE_LENGTH 76

static const char *const words[] = {
	"meeting", "the",      "and",    "report",  "Straße",   "naïve",    "budget",  "quarter",  "please",
	"find",    "attached", "with",   "regards", "tomorrow", "server",   "mail",    "delivery", "müller",
	"señor",   "données",  "always", "never",   "письмо",   "project",  "review",  "change",   "this",
	"will",    "ready",    "before", "Friday",  "noon",     "customer", "invoice", "number",   "thanks",
	"agenda",  "minutes",  "draft",  "version", "of",       "for",
};

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* splitmix64: small, and good enough */
uint64_t bench_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static const char *word(uint64_t *state)
{
	return words[bench_random(state) % COUNT_OF(words)];
}

static void add_text(struct buf *out, uint64_t *state, size_t size)
{
	size_t end = out->n + size, line = out->n;
	while (out->n < end) {
		buf_addf(out, "%s", word(state));
		bool wrap = out->n - line > LINE_LENGTH - 16;
		buf_add(out, wrap ? STR("\r\n") : STR(" "));
		if (wrap)
			line = out->n;
	}
	buf_add(out, STR("\r\n"));
}

static void add_quoted(struct buf *out, uint64_t *state, size_t size)
{
	size_t end = out->n + size, line = out->n;
	while (out->n < end) {
		for (const char *c = word(state); *c; c++)
			buf_addf(out, *c < 0 ? "=%02X" : "%c", (unsigned char)*c);
		bool wrap = out->n - line > LINE_LENGTH - 40;
		buf_add(out, wrap ? STR(" =\r\n") : STR(" "));
		if (wrap)
			line = out->n;
	}
	buf_add(out, STR("\r\n"));
}

static void add_base64(struct buf *out, uint64_t *state, size_t size)
{
	for (size_t done = 0; done < size; done += LINE_LENGTH) {
		char line[LINE_LENGTH];
		for (size_t i = 0; i < sizeof line; i++)
			line[i] = base64[bench_random(state) % 64];
		buf_add(out, str_of(line, sizeof line));
		buf_add(out, STR("\r\n"));
	}
}

static void add_header(struct buf *out, uint64_t seed, uint64_t *state)
{
	unsigned day = 1 + (unsigned)(seed % 28);
	buf_addf(out,
	         "Received: from relay%u.example.net (relay.example.net [192.0.2.%u])\r\n\tby mx.example.test with ESMTPS; "
	         "Fri, %u May 2026 12:00:00 +0000\r\n",
	         (unsigned)(seed % 10), (unsigned)(seed % 250), day);
	buf_addf(out, "Date: Fri, %u May 2026 12:%02u:%02u +0200\r\n", day, (unsigned)(seed % 60),
	         (unsigned)(seed / 60 % 60));
	buf_addf(out, "From: %s %s <%s%u@example.net>\r\n", word(state), word(state), "sender", (unsigned)(seed % 997));
	buf_addf(out, "To: =?utf-8?q?M=C3=BCller?= <user%u@example.test>, Second Person <second@example.org>\r\n",
	         (unsigned)(seed % 1000));
	buf_addf(out, "Subject: =?utf-8?b?w5xiZXJzaWNodA==?= %s %s %s\r\n", word(state), word(state), word(state));
	buf_addf(out, "Message-ID: <%016llx.%llu@bench.example.net>\r\n", (unsigned long long)bench_random(state),
	         (unsigned long long)seed);
	buf_addf(out, "References: <%016llx@bench.example.net>\r\nMIME-Version: 1.0\r\n", (unsigned long long)bench_random(state));
}

static void add_alternative(struct buf *out, uint64_t *state, size_t size, const char *boundary)
{
	buf_addf(out, "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n--%s\r\n", boundary, boundary);
	buf_add(out, STR("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"));
	add_quoted(out, state, size / 2);
	buf_addf(out, "--%s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
	         boundary);
	add_base64(out, state, size / 2);
	buf_addf(out, "--%s--\r\n", boundary);
}

void bench_message(uint64_t seed, size_t size, struct buf *out)
{
	uint64_t state = seed * 0x2545f4914f6cdd1d + 1;
	uint64_t kind = bench_random(&state) % 1000;
	size_t text = 1500 + bench_random(&state) % 11000;
	add_header(out, seed, &state);
	if (size > 0 || kind < 300) {
		buf_add(out, STR("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
		add_text(out, &state, size > 0 ? size : text);
		return;
	}
	if (kind < 850) {
		add_alternative(out, &state, text, "alternative-part");
		return;
	}
	size_t attachment = kind < 980 ? 20000 + bench_random(&state) % 150000 : 400000 + bench_random(&state) % 1200000;
	buf_add(out, STR("Content-Type: multipart/mixed; boundary=\"mixed-part\"\r\n\r\nThis is a message in "
	                 "parts.\r\n--mixed-part\r\n"));
	add_alternative(out, &state, text, "alternative-part");
	buf_add(out, STR("--mixed-part\r\nContent-Type: application/pdf; name=\"report.pdf\"\r\nContent-Transfer-Encoding: "
	                 "base64\r\n"
	                 "Content-Disposition: attachment; filename=\"report.pdf\"\r\n\r\n"));
	add_base64(out, &state, attachment);
	buf_add(out, STR("--mixed-part--\r\n"));
}
