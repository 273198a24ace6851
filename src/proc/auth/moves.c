/* moves.c: an account goes to another shard while the server runs.
 *
 *     begin ──▶ the directory says that it moves: no logins, mail has to be tried again
 *           ──▶ a socket between the two shards; the one sends the account's parcel, the other receives it
 *           ──▶ all of it is on disk there: one transaction of the directory says where it lives, and has durable
 *               orders for both shards (auth/directory_move.c); or it failed: the same, the other way
 *
 * Nobody needs to wait for it: a command line that goes away changes nothing. Whatever process ends, the directory
 * decides: a move that auth does not see to its end is taken back when the directory is opened, and what a shard holds
 * of an account is parked until its order comes. Moves are owned by auth->moves; one that is over stays in the list for
 * a while, for whoever asks. */
#include "proc/auth/auth.h"

#include "base/json.h"
#include "base/mem.h"
#include "ipc/auth_shard.h"
#include "proc/auth/control.h"

#include <sys/socket.h>
#include <unistd.h>

#define MOVES_MAX       8  /* under way */
#define MOVES_KEPT      64 /* in the list */
#define MOVE_TIMEOUT_MS (UINT64_C(24) * 60 * 60 * 1000) /* shards see earlier when nothing goes on */
#define ASK_TIMEOUT_MS  10000
#define RETRY_MS        2000
#define PROBLEM_MAX     400

enum move_state { MOVE_UNDER_WAY, MOVE_ENDING, MOVE_OVER };

struct move {
	struct move *next;
	struct auth *auth;
	struct directory_account account; /* as it was: with its old shard, and moving_to */
	enum move_state state;
	bool moved;          /* ENDING, OVER: it lives there now */
	uint32_t calls;      /* that shards have not answered */
	bool asking;         /* how far it is */
	uint64_t messages, bytes, total; /* have come; total: bytes in all, about */
	int result;
	char problem[PROBLEM_MAX];
};

struct moves {
	struct move *list; /* the newest first */
	uint32_t n;
	struct loop_timer *retry;
};

/* --- the end --- */

static void note_problem(struct move *move, int result, struct str problem)
{
	if (move->result < 0)
		return;
	move->result = result;
	snprintf(move->problem, sizeof move->problem, "%.*s", STR_ARG(str_first(problem, PROBLEM_MAX - 1)));
}

static void try_to_end(struct move *move)
{
	struct auth *auth = move->auth;
	int err = directory_move_end(auth->directory, &move->account, move->moved);
	if (err && err != ERR_NOT_FOUND) {
		log_error("directory-failed", LOG_C("what", "end of a move; it is tried again"), LOG_ERR(err));
		loop_timer_start(auth->moves->retry, RETRY_MS);
		return;
	}
	move->state = MOVE_OVER;
	log_info("account-move", LOG_S("account", move->account.address.whole), LOG_U("from", move->account.shard),
		 LOG_U("to", move->account.moving_to), LOG_C("result", move->moved ? "moved" : "stays"),
		 LOG_C("problem", move->problem));
	orders_send(auth, &auth->shards[move->account.shard]);
	orders_send(auth, &auth->shards[move->account.moving_to]);
}

static void end(struct move *move, bool moved)
{
	if (move->state != MOVE_UNDER_WAY)
		return;
	move->state = MOVE_ENDING;
	move->moved = moved;
	try_to_end(move);
}

static void retry(void *owner)
{
	struct moves *moves = owner;
	for (struct move *move = moves->list; move; move = move->next)
		if (move->state == MOVE_ENDING)
			try_to_end(move);
}

/* --- what shards answer --- */

static int result_of(struct move *move, int result, const struct account_order_reply *reply)
{
	if (result == 0 && reply->result < 0)
		note_problem(move, reply->result, reply->problem);
	else if (result < 0)
		note_problem(move, result, STR("a shard does not answer"));
	return result == 0 ? reply->result : result;
}

static void received(void *owner, int result, const void *message)
{
	struct move *move = owner;
	move->calls--;
	end(move, result_of(move, result, message) == 0);
}

/* When it fails, the one that receives says so too: the stream ends. */
static void sent(void *owner, int result, const void *message)
{
	struct move *move = owner;
	move->calls--;
	(void)result_of(move, result, message);
}

static void counted(void *owner, int result, const void *message)
{
	struct move *move = owner;
	const struct account_order_reply *reply = message;
	move->calls--;
	if (result == 0 && reply->result == 0)
		move->total = reply->bytes;
}

static void progressed(void *owner, int result, const void *message)
{
	struct move *move = owner;
	const struct account_order_reply *reply = message;
	move->calls--;
	move->asking = false;
	if (result == 0 && reply->messages > move->messages) {
		move->messages = reply->messages;
		move->bytes = reply->bytes;
	}
}

static int ask(struct move *move, uint16_t shard, enum account_order_kind kind, int fd, ipc_reply_fn *done)
{
	struct auth *auth = move->auth;
	struct auth_peer *peer = &auth->shards[shard];
	struct account_order order = { .kind = kind, .account = move->account.id };
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	int err = peer->channel ? 0 : ERR_UNAVAILABLE;
	if (!err)
		err = ipc_call_begin(auth->shard_calls, shard, fd >= 0 ? MOVE_TIMEOUT_MS : ASK_TIMEOUT_MS, done, move,
				     &order.request);
	if (err)
		return err;
	account_order_encode(&order, &body);
	err = ipc_send(peer->channel, AUTH_SHARD_ORDER, buf_str(&body), fd);
	buf_free(&body);
	if (err)
		ipc_call_cancel(auth->shard_calls, order.request);
	else
		move->calls++;
	return err;
}

/* --- the beginning --- */

static int connect_shards(struct move *move)
{
	uint16_t from = move->account.shard, to = (uint16_t)move->account.moving_to;
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return ERR_UNAVAILABLE;
	(void)ask(move, from, ACCOUNT_USAGE, -1, counted);
	int err = ask(move, to, ACCOUNT_RECEIVE, ends[1], received);
	if (!err)
		err = ask(move, from, ACCOUNT_SEND, ends[0], sent); /* else the stream ends, and received() hears of it */
	close(ends[0]);
	close(ends[1]);
	return err;
}

static struct move *find(struct auth *auth, const struct account_id *id)
{
	for (struct move *move = auth->moves->list; move; move = move->next)
		if (memcmp(&move->account.id, id, sizeof *id) == 0)
			return move;
	return NULL;
}

/* Those that are over and that nobody answers any more go, when there are too many. */
static void forget_old(struct moves *moves)
{
	uint32_t kept = 0;
	for (struct move **at = &moves->list, *move; (move = *at);) {
		if (++kept <= MOVES_KEPT / 2 || move->state != MOVE_OVER || move->calls > 0) {
			at = &move->next;
			continue;
		}
		*at = move->next;
		moves->n--;
		mem_free(move);
	}
}

static uint32_t count_under_way(const struct moves *moves)
{
	uint32_t n = 0;
	for (const struct move *move = moves->list; move; move = move->next)
		n += move->state != MOVE_OVER;
	return n;
}

static struct move *new_move(struct auth *auth, const struct directory_account *account)
{
	struct move *move = mem_alloc(1, sizeof *move);
	move->auth = auth;
	move->account = *account;
	address_copy(&move->account.address, &account->address);
	move->next = auth->moves->list;
	auth->moves->list = move;
	if (++auth->moves->n > MOVES_KEPT)
		forget_old(auth->moves);
	return move;
}

static void fail_begin(struct auth *auth, struct control_answer *answer, int err, struct str address, uint64_t to)
{
	unsigned long long shard = to;
	if (err == ERR_NOT_FOUND)
		control_fail_no_account(auth->directory, answer, address);
	else if (err == ERR_LIMIT)
		control_answer_fail(answer, ERR_SYNTAX, "there is no shard %llu (mansio status lists them)", shard);
	else if (err == ERR_EXISTS)
		control_answer_fail(answer, err, "%.*s is on shard %llu already", STR_ARG(address), shard);
	else if (err == ERR_STATE)
		control_answer_fail(answer, err, "%.*s is being moved already", STR_ARG(address));
	else if (err == ERR_UNAVAILABLE)
		control_answer_fail(answer, err, "its shards are not ready for it now; try again in a moment");
	else
		control_answer_fail(answer, err, "the directory of accounts failed: %s", err_text(err));
}

/* --- commands --- */

static void print_state(struct auth *auth, const struct move *move, struct str address, struct control_answer *answer)
{
	struct directory_account account;
	int err = directory_account_find(auth->directory, address, &account);
	if (err) {
		fail_begin(auth, answer, err, address, 0);
		return;
	}
	bool over = !move || move->state == MOVE_OVER;
	if (over && move && !move->moved && account.shard == move->account.shard) {
		control_answer_fail(answer, move->result < 0 ? move->result : ERR_UNAVAILABLE,
				    "%.*s was not moved and stays on shard %u: %s", STR_ARG(address), account.shard,
				    move->problem[0] ? move->problem : "it was called off");
		return;
	}
	json_begin_object(&answer->json);
	json_field_string(&answer->json, "address", account.address.whole);
	json_field_u64(&answer->json, "shard", account.shard);
	json_field_bool(&answer->json, "done", over && account.made);
	json_field_u64(&answer->json, "messages", move ? move->messages : 0);
	json_field_u64(&answer->json, "bytes", move ? move->bytes : 0);
	json_field_u64(&answer->json, "total_bytes", move ? move->total : 0);
	json_end_object(&answer->json);
}

static struct move *begin(struct auth *auth, struct str address, struct str shard, struct control_answer *answer)
{
	struct directory_account account;
	uint64_t to = 0;
	int err = str_to_u64(shard, UINT16_MAX, &to) < 0 ? ERR_LIMIT : 0;
	if (!err && count_under_way(auth->moves) >= MOVES_MAX)
		err = ERR_UNAVAILABLE;
	if (!err)
		err = directory_move_begin(auth->directory, address, (uint16_t)to, &account);
	if (err) {
		fail_begin(auth, answer, err, address, to);
		return NULL;
	}
	struct move *move = new_move(auth, &account);
	err = connect_shards(move);
	if (err) {
		note_problem(move, err, STR("a shard is not there now; try again"));
		end(move, false);
	}
	return move;
}

void moves_command(struct auth *auth, const struct control_request *request, struct control_answer *answer)
{
	struct directory_account account;
	struct str address = request->arguments[0];
	struct move *move = NULL;
	if (request->n_arguments == 2)
		move = begin(auth, address, request->arguments[1], answer);
	else if (directory_account_find(auth->directory, address, &account) == 0)
		move = find(auth, &account.id);
	if (answer->result < 0)
		return;
	if (move && move->state == MOVE_UNDER_WAY && !move->asking)
		move->asking = ask(move, (uint16_t)move->account.moving_to, ACCOUNT_PROGRESS, -1, progressed) == 0;
	print_state(auth, move, address, answer);
}

/* --- life --- */

void moves_begin(struct auth *auth)
{
	auth->moves = mem_alloc(1, sizeof *auth->moves);
	auth->moves->retry = loop_timer_new(auth->process->loop, retry, auth->moves);
}

void moves_free(struct auth *auth)
{
	struct moves *moves = auth->moves;
	auth->moves = NULL;
	if (!moves)
		return;
	loop_timer_free(&moves->retry);
	for (struct move *move = moves->list, *next; move; move = next) {
		next = move->next;
		mem_free(move);
	}
	mem_free(moves);
}
