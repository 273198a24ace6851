/* move.c: `mansio account move`. The server moves the account by itself: one request begins it, others ask how far it
 * is. Waiting again for a move that is under way is no error, so an interrupted command can be given again. */
#include "proc/ctl/ctl_private.h"
#include "proc/ctl/progress.h"

#include "base/json.h"

#include <inttypes.h>
#include <time.h>

#define ANSWER_ARENA ((size_t)1024 * 1024)
#define ASK_AGAIN_NS 200000000

static void print_moved(const struct ctl *ctl, const struct json_value *state, uint64_t shard)
{
	struct str address = json_string(json_member(state, "address"));
	struct buf json = BUF_INIT(4096);
	json_begin_object(&json);
	json_field_string(&json, "address", address);
	json_field_u64(&json, "shard", shard);
	json_end_object(&json);
	if (ctl->json)
		printf("%.*s\n", STR_ARG(buf_str(&json)));
	else
		printf("account %.*s: moved to shard %" PRIu64 "\n", STR_ARG(address), shard);
	buf_free(&json);
}

/* One answer; *done: it was the last. */
static int look(struct ctl *ctl, const struct json_value *state, uint64_t shard, struct progress *progress, bool *done)
{
	*done = json_is_true(json_member(state, "done"));
	progress->total = json_u64(json_member(state, "total_bytes"));
	progress_set(progress, json_u64(json_member(state, "bytes")), json_u64(json_member(state, "messages")));
	if (!*done)
		return EXIT_DONE;
	progress_end(progress);
	if (json_u64(json_member(state, "shard")) != shard)
		return ctl_fail(ctl, EXIT_UNAVAILABLE, "unavailable",
		                STR("the account is not on that shard: the move was taken back when a process of the server was "
		                    "started anew, or was one to another shard; try again"));
	print_moved(ctl, state, shard);
	return EXIT_DONE;
}

/* The server alone can do it: nothing is ever done offline. */
static void request(struct ctl *ctl, const struct ctl_command *command, const struct str *arguments, uint32_t n,
                    struct ctl_reply *reply)
{
	struct control_request request = { .command = command->control, .n_arguments = n };
	memcpy(request.arguments, arguments, n * sizeof *arguments);
	if (ctl_request_online(ctl, &request, reply) == ERR_NOT_FOUND && reply->result == 0)
		ctl_reply_fail(reply, ERR_UNAVAILABLE, "the server must run for this, and nobody answers at %.*s",
		               STR_ARG(str_first(ctl->conf.server.control_socket, 150)));
}

/* Auth is started anew within seconds; the move itself may be over by then. */
static bool is_passing(const struct ctl_reply *reply, uint32_t *patience)
{
	return (reply->result == ERR_UNAVAILABLE || reply->result == ERR_TIMEOUT || reply->result == ERR_CLOSED) && (*patience)-- > 0 &&
	       str_find(buf_str(&reply->message), STR("stays on shard")) < 0;
}

int ctl_run_account_move(struct ctl *ctl, const struct ctl_command *command)
{
	struct str arguments[] = { ctl->arguments[0], ctl_option(ctl, "--shard") };
	struct progress progress;
	uint64_t shard = 0;
	uint32_t n = 2, patience = 50;
	bool done = false;
	int result = EXIT_DONE;
	if (!arguments[1].p || str_to_u64(arguments[1], UINT16_MAX, &shard) < 0)
		return ctl_fail(ctl, EXIT_USAGE, "usage", STR("--shard takes the number of the shard to move to (see mansio status)"));
	progress_begin(&progress, "moving", 0, "messages");
	while (!done && result == EXIT_DONE) {
		struct arena arena = ARENA_INIT(ANSWER_ARENA);
		struct ctl_reply reply;
		struct json_value *state;
		ctl_reply_init(&reply);
		request(ctl, command, arguments, n, &reply);
		if (n == 1 && is_passing(&reply, &patience)) {
			done = false;
		} else if (reply.result < 0 && !(n == 2 && reply.result == ERR_STATE)) {
			progress_end(&progress);
			result = ctl_fail_reply(ctl, &reply);
		} else if (reply.result == 0 && json_parse(buf_str(&reply.json), &arena, &state) == 0) {
			result = look(ctl, state, shard, &progress, &done);
		}
		n = 1;
		arena_free(&arena);
		ctl_reply_free(&reply);
		if (!done && result == EXIT_DONE)
			nanosleep(&(struct timespec){ .tv_nsec = ASK_AGAIN_NS }, NULL);
	}
	progress_end(&progress);
	return result;
}
