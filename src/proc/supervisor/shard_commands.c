/* shard_commands.c: commands of the control socket that shards carry out, sent to one or to all, or another process;
 * their answers gathered. One answer is passed on as it is; those of all shards become one JSON array, in order of the
 * shards, and the first that fails is the failure of all. A process answers in time: what takes longer it does in steps
 * that the command line asks for (proc/shard/control.c). Owned by the control connection that asked; freed when done or
 * cancelled. */
#include "proc/supervisor/supervisor_private.h"

#include "base/json.h"
#include "base/mem.h"
#include "ipc/control.h"

#define SHARD_WAIT_MS   45000 /* a write waits for its batch, on a slow disk too */
#define PROCESS_WAIT_MS 5000  /* what needs no disk: of a process that is silent, the others can be asked */

struct part {
	struct shard_command *command;
	struct child *child;
	uint64_t call; /* 0: answered or never asked */
	int result;    /* of the call: 0 when there is an answer */
	struct buf answer;
};

struct shard_command {
	struct supervisor *supervisor;
	shard_command_done_fn *done;
	void *owner;
	struct loop_later later; /* nobody could be asked */
	uint16_t n;
	bool merged; /* all shards, in an array */
	bool is_check;
	bool is_backup; /* what the other shards have is saved all the same */
	struct part *parts;
	uint16_t waiting;
};

static void fail(struct buf *out, int result, const struct child *child, const char *what)
{
	char text[128];
	int n = snprintf(text, sizeof text, "%.*s %u %s", STR_ARG(role_name(child->role)), child->index, what);
	control_reply_encode(&(struct control_reply){ .result = result, .message = str_of(text, (size_t)n) }, out);
}

/* Everything that came, as one answer. */
static void merge(const struct shard_command *command, struct buf *out)
{
	struct buf json = BUF_INIT(IPC_BODY_MAX - 4096);
	struct control_reply reply = { 0 };
	json_begin_array(&json);
	for (uint16_t i = 0; i < command->n && reply.result == 0 && out->n == 0; i++) {
		const struct part *part = &command->parts[i];
		if (part->result != 0 && command->is_backup) {
			json_begin_object(&json);
			json_field_u64(&json, "shard", part->child->index);
			json_field_bool(&json, "done", true);
			json_field_bool(&json, "absent", true);
			json_end_object(&json);
		} else if (part->result != 0) {
			fail(out, ERR_UNAVAILABLE, part->child, "does not answer now; try again, and if it stays so, see the server's log");
		} else if (control_reply_decode(buf_str(&part->answer), &reply) != 0) {
			fail(out, ERR_CORRUPT, part->child, "gave a malformed answer");
		} else if (reply.result != 0 || !command->merged) {
			buf_add(out, buf_str(&part->answer));
		} else {
			json_put_raw(&json, reply.json);
		}
	}
	json_end_array(&json);
	if (out->n == 0 && buf_error(&json) == 0)
		control_reply_encode(&(struct control_reply){ .json = buf_str(&json) }, out);
	else if (out->n == 0)
		control_reply_encode(&(struct control_reply){ ERR_LIMIT, STR("the answer is too long"), STR("") }, out);
	buf_free(&json);
}

static void finish(void *owner)
{
	struct shard_command *command = owner;
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	shard_command_done_fn *done = command->done;
	void *client = command->owner;
	merge(command, &body);
	shard_command_cancel(&command);
	done(client, buf_str(&body));
	buf_free(&body);
}

static void on_answer(void *owner, int result, const void *reply)
{
	struct part *part = owner;
	const struct str *body = reply;
	part->call = 0;
	part->result = result;
	if (result == 0)
		buf_add(&part->answer, *body);
	if (--part->command->waiting == 0)
		loop_later(part->command->supervisor->loop, &part->command->later);
}

static void ask(struct part *part, uint64_t wait_ms, struct str request, int fd)
{
	struct supervisor *s = part->command->supervisor;
	struct child *child = part->child;
	struct buf head = BUF_INIT(16);
	part->result = ERR_UNAVAILABLE;
	if (!child->channel || !child->ready ||
	    ipc_call_begin(s->calls, child_number(child), wait_ms, on_answer, part, &part->call) != 0)
		return;
	wire_put_u64(&head, part->call);
	if (ipc_send2(child->channel, SUPERVISOR_CONTROL, buf_str(&head), request, fd) == 0) {
		part->command->waiting++;
	} else {
		ipc_call_cancel(s->calls, part->call);
		part->call = 0;
	}
	buf_free(&head);
}

struct shard_command *shard_command_begin(struct supervisor *s, const struct control_request *request,
                                          struct child *only, int fd, shard_command_done_fn *done, void *owner)
{
	struct shard_command *command = mem_alloc(1, sizeof *command);
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	uint64_t wait_ms = control_reach(request->command) == CONTROL_BY_PROCESS ? PROCESS_WAIT_MS : SHARD_WAIT_MS;
	*command = (struct shard_command){ .supervisor = s, .done = done, .owner = owner, .merged = !only,
	                                   .is_check = request->command == CONTROL_STORE_CHECK,
	                                   .is_backup = request->command == CONTROL_BACKUP };
	command->later = (struct loop_later){ .fn = finish, .owner = command };
	command->n = only ? 1 : s->store.shards;
	command->parts = mem_alloc(command->n, sizeof *command->parts);
	control_request_encode(request, &body);
	for (uint16_t i = 0; i < command->n; i++) {
		struct child *child = only ? only : child_of(s, ROLE_SHARD, i);
		command->parts[i] = (struct part){ .command = command, .child = child, .answer = BUF_INIT(IPC_BODY_MAX) };
		ask(&command->parts[i], wait_ms, buf_str(&body), fd);
	}
	buf_free(&body);
	if (command->waiting == 0)
		loop_later(s->loop, &command->later);
	return command;
}

/* A shard checks for one at a time: the next one need not wait for what a client that is gone asked for. */
static void stop_check(const struct part *part)
{
	const struct control_request request = { .command = CONTROL_STORE_CHECK, .n_arguments = 1,
		                                 .arguments = { STR_INIT("stop") } };
	struct buf head = BUF_INIT(16), body = BUF_INIT(IPC_BODY_MAX);
	wire_put_u64(&head, part->call);
	control_request_encode(&request, &body);
	if (part->child->channel)
		(void)!ipc_send2(part->child->channel, SUPERVISOR_CONTROL, buf_str(&head), buf_str(&body), -1);
	buf_free(&head);
	buf_free(&body);
}

void shard_command_cancel(struct shard_command **pointer)
{
	struct shard_command *command = *pointer;
	*pointer = NULL;
	if (!command)
		return;
	loop_later_cancel(command->supervisor->loop, &command->later);
	for (uint16_t i = 0; i < command->n; i++) {
		if (command->is_check && command->parts[i].call)
			stop_check(&command->parts[i]);
		ipc_call_cancel(command->supervisor->calls, command->parts[i].call);
		buf_free(&command->parts[i].answer);
	}
	mem_free(command->parts);
	mem_free(command);
}
