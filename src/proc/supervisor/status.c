/* status.c: the answer to `mansio status`, and to whoever wants metrics: asks all children for their counters and prints
 * what the supervisor knows together with what came within the deadline. Owned by the control connection, or the child,
 * that asked; freed when done or cancelled. */
#include "proc/supervisor/supervisor_private.h"

#include "base/json.h"
#include "base/mem.h"

#define CHILD_WAIT_MS 1000
#define COUNTERS_SIZE 65536
#define ANSWER_MAX    (IPC_BODY_MAX - 4096)

struct question {
	struct status_request *request;
	uint64_t call; /* 0: answered or never asked */
	bool answered;
	struct buf counters; /* as counters_take left them */
};

struct status_request {
	struct supervisor *supervisor;
	enum status_form form;
	status_done_fn *done;
	void *owner;
	struct loop_later later; /* nobody could be asked */
	struct question *questions; /* one for each child */
	size_t waiting;
};

static void print_listeners(const struct supervisor *s, struct buf *out)
{
	for (size_t i = 0; i < s->n_listening; i++) {
		const struct listening *l = &s->listening[i];
		json_begin_object(out);
		json_field_string(out, "service", service_name(l->service));
		json_field_string(out, "address", l->path.n > 0 ? l->path : str_from_c(l->address.text));
		if (l->path.n == 0)
			json_field_u64(out, "port", l->address.port);
		json_end_object(out);
	}
}

static void print_counters(struct str counters, struct buf *out)
{
	struct wire_reader r = wire_reader(counters);
	struct str key;
	uint64_t value;
	while (counters_next(&r, &key, &value)) {
		json_key_str(out, key);
		json_put_u64(out, value);
	}
}

/* What the supervisor knows of a process; open for its counters. */
static void begin_process(struct buf *out, enum role role, uint16_t index, pid_t pid, uint64_t restarts,
                          uint64_t uptime_ms, bool ready, bool answered, enum log_level level)
{
	json_begin_object(out);
	json_field_string(out, "role", role_name(role));
	json_field_u64(out, "index", index);
	json_field_u64(out, "pid", (uint64_t)pid);
	json_field_u64(out, "restarts", restarts);
	json_field_u64(out, "uptime_seconds", uptime_ms / 1000);
	json_field_bool(out, "ready", ready);
	json_field_bool(out, "answered", answered);
	json_field_string(out, "log_level", log_level_name(level));
}

static void print_processes(const struct status_request *request, struct buf *out)
{
	const struct supervisor *s = request->supervisor;
	uint64_t now = loop_now_ms(s->loop);
	begin_process(out, ROLE_SUPERVISOR, 0, s->pid, 0, now - s->started_ms, s->announced, true,
	              log_level_of(s, s->log_level));
	json_end_object(out);
	for (size_t i = 0; i < s->n_children; i++) {
		const struct child *child = &s->children[i];
		begin_process(out, child->role, child->index, child->pid, child->restarts,
		              child->pid ? now - child->started_ms : 0, child->ready, request->questions[i].answered,
		              log_level_of(s, child->log_level));
		print_counters(buf_str(&request->questions[i].counters), out);
		json_end_object(out);
	}
}

static void print_certificate(const struct supervisor *s, struct buf *out)
{
	struct buf warning = BUF_INIT(KEY_PAIR_TEXT_MAX);
	if (s->keys.certificate.n == 0)
		return;
	json_key(out, "certificate");
	json_begin_object(out);
	json_field_string(out, "file", s->conf.tls.certificate);
	json_key(out, "not_before");
	json_put_i64(out, s->keys.not_before);
	json_key(out, "not_after");
	json_put_i64(out, s->keys.not_after);
	if (start_certificate_warning(s, &warning))
		json_field_string(out, "warning", buf_str(&warning));
	json_end_object(out);
	buf_free(&warning);
}

static void print_status(const struct status_request *request, struct buf *out)
{
	const struct supervisor *s = request->supervisor;
	json_begin_object(out);
	json_field_string(out, "version", STR(MANSIO_VERSION));
	json_field_u64(out, "uptime_seconds", (loop_now_ms(s->loop) - s->started_ms) / 1000);
	json_field_string(out, "directory", str_from_c(s->directory));
	json_key(out, "listeners");
	json_begin_array(out);
	print_listeners(s, out);
	json_end_array(out);
	print_certificate(s, out);
	json_key(out, "processes");
	json_begin_array(out);
	print_processes(request, out);
	json_end_array(out);
	json_end_object(out);
}

struct str status_counters(const struct status_request *request, size_t child)
{
	return buf_str(&request->questions[child].counters);
}

bool status_answered(const struct status_request *request, size_t child)
{
	return request->questions[child].answered;
}

static void finish(struct status_request *request)
{
	struct buf text = BUF_INIT(ANSWER_MAX);
	if (request->form == STATUS_JSON)
		print_status(request, &text);
	else
		metrics_print(request, request->supervisor, &text);
	status_done_fn *done = request->done;
	void *owner = request->owner;
	status_cancel(&request);
	done(owner, buf_error(&text), buf_str(&text));
	buf_free(&text);
}

static void on_answer(void *owner, int result, const void *reply)
{
	struct question *question = owner;
	const struct str *counters = reply;
	question->call = 0;
	question->answered = result == 0;
	if (result == 0)
		counters_take(*counters, &question->counters);
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
	if (!child->channel ||
	    ipc_call_begin(s->calls, child_number(child), CHILD_WAIT_MS, on_answer, question, &question->call) != 0)
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

struct status_request *status_begin(struct supervisor *s, enum status_form form, status_done_fn *done, void *owner)
{
	struct status_request *request = mem_alloc(1, sizeof *request);
	*request = (struct status_request){ .supervisor = s, .form = form, .done = done, .owner = owner };
	request->later = (struct loop_later){ .fn = on_nobody, .owner = request };
	request->questions = mem_alloc(s->n_children, sizeof *request->questions);
	for (size_t i = 0; i < s->n_children; i++) {
		request->questions[i].request = request;
		request->questions[i].counters = BUF_INIT(COUNTERS_SIZE);
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
