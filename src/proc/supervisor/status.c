/* status.c: the answer to `mansio status`: asks all children for their counters and prints what the supervisor knows together with what
 * came within the deadline. Owned by the control connection that asked; freed when done or cancelled. */
#include "proc/supervisor/supervisor_private.h"

#include "base/mem.h"
#include "proc/role.h"

#define CHILD_WAIT_MS 1000
#define COUNTERS_MAX  65536
#define JSON_MAX      (512 * 1024)

struct question {
	struct status_request *request;
	uint64_t call; /* 0: answered or never asked */
	struct buf counters; /* pairs as role_status_add makes them */
};

struct status_request {
	struct supervisor *supervisor;
	status_done_fn *done;
	void *owner;
	struct loop_later later; /* nobody could be asked */
	struct question *questions; /* one for each child */
	size_t waiting;
};

static void json_string(struct buf *out, struct str s)
{
	buf_add_byte(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c < ' ' || c == 127)
			buf_addf(out, "\\u%04x", c);
		else
			buf_add_byte(out, (char)c);
	}
	buf_add_byte(out, '"');
}

static void json_key(struct buf *out, struct str key)
{
	json_string(out, key);
	buf_add(out, STR(": "));
}

static void print_listeners(const struct supervisor *s, struct buf *out)
{
	for (size_t i = 0; i < s->n_listening; i++) {
		const struct listening *l = &s->listening[i];
		buf_add(out, i > 0 ? STR(", {") : STR("{"));
		json_key(out, STR("service"));
		json_string(out, service_name(l->service));
		buf_add(out, STR(", "));
		json_key(out, STR("address"));
		json_string(out, l->path.n > 0 ? l->path : str_from_c(l->address.text));
		if (l->path.n == 0)
			buf_addf(out, ", \"port\": %u", (unsigned)l->address.port);
		buf_add_byte(out, '}');
	}
}

/* Keys are the child's words: checked, so that they can neither break the JSON nor hide the supervisor's own fields. */
static bool good_key(struct str key)
{
	static const struct str ours[] = { STR_INIT("role"), STR_INIT("index"), STR_INIT("pid"), STR_INIT("restarts"),
		                           STR_INIT("uptime_seconds"), STR_INIT("ready") };
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
		if (str_eq(key, ours[i]))
			return false;
	}
	return key.n > 0 && str_is_utf8(key);
}

static void print_counters(struct str counters, struct buf *out)
{
	struct wire_reader r = wire_reader(counters);
	while (!r.failed && r.p < r.end) {
		struct str key = wire_get_short(&r, ROLE_STATUS_KEY_MAX);
		uint64_t value = wire_get_u64(&r);
		if (r.failed || !good_key(key))
			continue;
		buf_add(out, STR(", "));
		json_key(out, key);
		buf_add_u64(out, value);
	}
}

static void print_processes(const struct status_request *request, struct buf *out)
{
	const struct supervisor *s = request->supervisor;
	uint64_t now = loop_now_ms(s->loop);
	buf_addf(out, "{\"role\": \"supervisor\", \"index\": 0, \"pid\": %lld, \"restarts\": 0, \"uptime_seconds\": %llu, \"ready\": %s}",
	         (long long)s->pid, (unsigned long long)((now - s->started_ms) / 1000), s->announced ? "true" : "false");
	for (size_t i = 0; i < s->n_children; i++) {
		const struct child *child = &s->children[i];
		buf_add(out, STR(", {"));
		json_key(out, STR("role"));
		json_string(out, role_name(child->role));
		buf_addf(out, ", \"index\": %u, \"pid\": %lld, \"restarts\": %u, \"uptime_seconds\": %llu, \"ready\": %s",
		         (unsigned)child->index, (long long)child->pid, (unsigned)child->restarts,
		         (unsigned long long)(child->pid ? (now - child->started_ms) / 1000 : 0), child->ready ? "true" : "false");
		print_counters(buf_str(&request->questions[i].counters), out);
		buf_add_byte(out, '}');
	}
}

static void print_status(const struct status_request *request, struct buf *out)
{
	const struct supervisor *s = request->supervisor;
	buf_add_byte(out, '{');
	json_key(out, STR("version"));
	json_string(out, STR(MANSIO_VERSION));
	buf_addf(out, ", \"uptime_seconds\": %llu, ", (unsigned long long)((loop_now_ms(s->loop) - s->started_ms) / 1000));
	json_key(out, STR("directory"));
	json_string(out, str_from_c(s->directory));
	buf_add(out, STR(", \"listeners\": ["));
	print_listeners(s, out);
	buf_add(out, STR("], \"processes\": ["));
	print_processes(request, out);
	buf_add(out, STR("]}"));
}

static void finish(struct status_request *request)
{
	struct buf json = BUF_INIT(JSON_MAX);
	print_status(request, &json);
	status_done_fn *done = request->done;
	void *owner = request->owner;
	status_cancel(&request);
	done(owner, buf_str(&json));
	buf_free(&json);
}

static void on_answer(void *owner, int result, const void *reply)
{
	struct question *question = owner;
	const struct str *counters = reply;
	question->call = 0;
	if (result == 0)
		buf_add(&question->counters, *counters);
	if (--question->request->waiting == 0)
		finish(question->request);
}

static void on_nobody(void *owner)
{
	finish(owner);
}

static void ask(struct question *question, struct child *child)
{
	struct supervisor *s = child->supervisor;
	struct buf body = BUF_INIT(16);
	if (!child->channel || ipc_call_begin(s->calls, child_number(child), CHILD_WAIT_MS, on_answer, question, &question->call) != 0)
		return;
	wire_put_u64(&body, question->call);
	if (ipc_send(child->channel, SUPERVISOR_STATUS, buf_str(&body), -1) == 0) {
		question->request->waiting++;
	} else {
		ipc_call_cancel(s->calls, question->call);
		question->call = 0;
	}
	buf_free(&body);
}

struct status_request *status_begin(struct supervisor *s, status_done_fn *done, void *owner)
{
	struct status_request *request = mem_alloc(1, sizeof *request);
	*request = (struct status_request){ .supervisor = s, .done = done, .owner = owner };
	request->later = (struct loop_later){ .fn = on_nobody, .owner = request };
	request->questions = mem_alloc(s->n_children, sizeof *request->questions);
	for (size_t i = 0; i < s->n_children; i++) {
		request->questions[i].request = request;
		request->questions[i].counters = BUF_INIT(COUNTERS_MAX);
		ask(&request->questions[i], &s->children[i]);
	}
	if (request->waiting == 0)
		loop_later(s->loop, &request->later);
	return request;
}

void status_cancel(struct status_request **request)
{
	struct status_request *r = *request;
	if (!r)
		return;
	*request = NULL;
	loop_later_cancel(r->supervisor->loop, &r->later);
	for (size_t i = 0; i < r->supervisor->n_children; i++) {
		ipc_call_cancel(r->supervisor->calls, r->questions[i].call);
		buf_free(&r->questions[i].counters);
	}
	mem_free(r->questions);
	mem_free(r);
}
