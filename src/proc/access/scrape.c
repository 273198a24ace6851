/* scrape.c: connections of those who fetch the metrics: one request each, then the end. While the supervisor gathers
 * the numbers they wait, and who comes meanwhile gets the same answer. Owned by the role; each is freed when its stream
 * has closed. */
#include "proc/access/scrape.h"

#include "base/log.h"
#include "base/mem.h"
#include "ipc/channel.h"
#include "loop/stream.h"
#include "loop/timeout.h"
#include "syntax/http.h"

#include <unistd.h>

#define SCRAPES_MAX 16
#define LINGER_MS   2000
#define OUTPUT_MAX  (IPC_BODY_MAX + 4096)

struct scrape {
	struct scrapes *scrapes;
	struct stream *stream; /* NULL: a free place */
	struct loop_timeout deadline; /* until the answer; then the stream has its own */
	bool waits; /* for the numbers */
	bool closing;
};

struct scrapes {
	struct role_process *process;
	uint64_t patience_ms;
	bool asked;
	struct scrape list[SCRAPES_MAX];
};

static void end(struct scrape *scrape)
{
	loop_timeout_set(scrape->scrapes->process->loop, &scrape->deadline, 0);
	stream_free(&scrape->stream);
	*scrape = (struct scrape){ .scrapes = scrape->scrapes };
}

/* RFC 9112, 9.6: each answer is the last of its connection. */
static void answer(struct scrape *scrape, const char *status, const char *more, struct str text)
{
	struct outq *out = stream_output(scrape->stream);
	outq_addf(out,
	          "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\n"
	          "Cache-Control: no-store\r\nConnection: close\r\n%s\r\n",
	          status, text.n, more);
	outq_add(out, text);
	loop_timeout_set(scrape->scrapes->process->loop, &scrape->deadline, 0);
	scrape->waits = false;
	scrape->closing = true;
	stream_finish(scrape->stream, LINGER_MS);
}

static void refuse(struct scrape *scrape, int err)
{
	if (err == ERR_LIMIT)
		answer(scrape, "431 Request Header Fields Too Large", "", STR("The request is too long.\n"));
	else if (err == ERR_UNSUPPORTED)
		answer(scrape, "505 HTTP Version Not Supported", "", STR("This is HTTP/1.1.\n"));
	else
		answer(scrape, "400 Bad Request", "", STR("This is no HTTP request.\n"));
}

static void take(struct scrape *scrape, const struct http_request *request)
{
	struct scrapes *scrapes = scrape->scrapes;
	if (!str_eq(request->target, STR("/metrics"))) {
		answer(scrape, "404 Not Found", "", STR("There is only /metrics here.\n"));
	} else if (!str_eq(request->method, STR("GET"))) {
		answer(scrape, "405 Method Not Allowed", "Allow: GET\r\n", STR("There is only GET here.\n"));
	} else {
		scrape->waits = true;
		stream_pause(scrape->stream, true);
		if (!scrapes->asked)
			role_ask_metrics(scrapes->process);
		scrapes->asked = true;
	}
}

static size_t on_input(void *owner, struct str bytes)
{
	struct scrape *scrape = owner;
	struct http_request request;
	if (scrape->waits || scrape->closing)
		return bytes.n;
	int err = http_parse_request(bytes, &request);
	if (err == ERR_INCOMPLETE)
		return 0;
	if (err != 0)
		refuse(scrape, err);
	else
		take(scrape, &request);
	return bytes.n;
}

static void on_drained(void *owner)
{
}

static void on_closed(void *owner, int err)
{
	end(owner);
}

static void on_deadline(void *owner)
{
	end(owner);
}

struct scrapes *scrapes_new(struct role_process *process, uint64_t patience_ms)
{
	struct scrapes *scrapes = mem_alloc(1, sizeof *scrapes);
	scrapes->process = process;
	scrapes->patience_ms = patience_ms;
	for (size_t i = 0; i < SCRAPES_MAX; i++)
		scrapes->list[i].scrapes = scrapes;
	return scrapes;
}

void scrapes_free(struct scrapes **pointer)
{
	struct scrapes *scrapes = *pointer;
	*pointer = NULL;
	if (!scrapes)
		return;
	for (size_t i = 0; i < SCRAPES_MAX; i++)
		end(&scrapes->list[i]);
	mem_free(scrapes);
}

void scrapes_accept(struct scrapes *scrapes, int fd)
{
	static const struct stream_events events = { .input = on_input, .drained = on_drained, .closed = on_closed };
	for (size_t i = 0; i < SCRAPES_MAX; i++) {
		struct scrape *scrape = &scrapes->list[i];
		if (scrape->stream)
			continue;
		scrape->stream = stream_new(scrapes->process->loop, fd, (struct stream_limits){ HTTP_HEAD_MAX, OUTPUT_MAX },
		                            &events, scrape);
		scrape->deadline = (struct loop_timeout){ .fire = on_deadline, .owner = scrape };
		loop_timeout_set(scrapes->process->loop, &scrape->deadline, scrapes->patience_ms);
		return;
	}
	log_warning("scrape-refused", LOG_U("connections", SCRAPES_MAX));
	close(fd);
}

void scrapes_answer(struct scrapes *scrapes, struct str text)
{
	scrapes->asked = false;
	for (size_t i = 0; i < SCRAPES_MAX; i++) {
		struct scrape *scrape = &scrapes->list[i];
		if (!scrape->waits)
			continue;
		stream_pause(scrape->stream, false);
		if (text.n > 0)
			answer(scrape, "200 OK", "", text);
		else
			answer(scrape, "503 Service Unavailable", "", STR("The numbers cannot be gathered now.\n"));
	}
}
