/* commands.c: the command line's commands, as they come through the supervisor. Passwords are hashed by authwork
 * first; account add and remove answer when the shard has carried out its order, or say that it is pending; account
 * show asks the shard how much there is. A command is owned by auth->commands until it has answered, which it does
 * exactly once.
 *
 *     (account add, password)  HASHING ──▶ execute ──▶ (add, remove) ORDERED ──▶ answer
 *     (account show, remove)   COUNTING ──▶ execute ──▶ ...
 *     (account quota)          execute ──▶ COUNTING ──▶ answer
 */
#include "proc/auth/auth.h"

#include "base/mem.h"
#include "ipc/auth_shard.h"
#include "loop/turns.h"
#include "proc/auth/control.h"

#define COMMANDS_MAX       64
#define COUNT_TIMEOUT_MS   5000
#define ORDER_WAIT_MS      10000
#define COMMAND_CLIENT     1 /* all commands are one client of the password queue */

struct command {
	struct command *next;
	struct auth *auth;
	uint64_t number;              /* the supervisor's */
	char *body;                   /* the encoded request, to which its slices point */
	size_t body_n;
	struct control_request request;
	struct control_usage usage;
	struct control_answer answer;
	bool ordered;                 /* executed; waits for the shard */
	struct loop_timer *timer;     /* until it answers "pending" */
};

static void free_command(struct command *command)
{
	struct auth *auth = command->auth;
	for (struct command **at = &auth->commands; *at; at = &(*at)->next)
		if (*at == command) {
			*at = command->next;
			break;
		}
	auth->n_commands--;
	loop_timer_free(&command->timer);
	control_answer_free(&command->answer);
	mem_wipe(command->body, command->body_n);
	mem_free(command->body);
	mem_free(command);
}

static void send_answer(struct role_process *process, uint64_t number, const struct control_answer *answer)
{
	struct control_reply reply = { answer->result, buf_str(&answer->message), buf_str(&answer->json) };
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	control_reply_encode(&reply, &body);
	role_control_reply(process, number, buf_str(&body));
	buf_free(&body);
}

/* The end of every command. */
static void finish(struct command *command)
{
	const char *text[] = {
#define COMMAND_TEXT(name, words) words,
		CONTROL_COMMAND_LIST(COMMAND_TEXT)
#undef COMMAND_TEXT
	};
	struct str what = command->request.n_arguments ? command->request.arguments[0] : STR("");
	/* how far a move is, is asked often */
	if (command->request.command != CONTROL_ACCOUNT_MOVE || command->request.n_arguments != 1)
		log_info("command", LOG_C("command", text[command->request.command]), LOG_S("what", what),
			 LOG_C("result", err_name(command->answer.result)));
	send_answer(command->auth->process, command->number, &command->answer);
	free_command(command);
}

static void waited_long_enough(void *owner)
{
	finish(owner); /* its JSON says that it is pending */
}

/* May what is said of POP3 be something else afterwards? */
static bool changes_pop3(enum control_command command)
{
	return command == CONTROL_ACCOUNT_POP3 || command == CONTROL_DOMAIN_POP3 ||
	       command == CONTROL_APP_PASSWORD_REMOVE || command == CONTROL_ACCOUNT_REMOVE ||
	       command == CONTROL_DOMAIN_REMOVE;
}

/* Executes; what the shard has to carry out is waited for, unless it is away. */
static void execute(struct command *command)
{
	struct auth *auth = command->auth;
	if (command->request.command == CONTROL_APP_PASSWORD_LIST)
		app_logins_write(auth);
	control_execute(auth->directory, &auth->process->conf, &command->request, &command->usage, &command->answer);
	loop_did(auth->process->loop, STR("command of the command line"));
	if (changes_pop3(command->request.command))
		pop3_tell_expire(auth, NULL);
	if (command->request.command == CONTROL_APP_PASSWORD_REMOVE)
		orders_send_all(auth);
	if (!command->answer.has_account) {
		finish(command);
		return;
	}
	struct auth_peer *shard = &auth->shards[command->answer.account.shard % AUTH_PEERS_MAX];
	if (!shard->channel) {
		finish(command);
		return;
	}
	command->ordered = true;
	command->timer = loop_timer_new(auth->process->loop, waited_long_enough, command);
	loop_timer_start(command->timer, ORDER_WAIT_MS);
	orders_send(auth, shard);
}

void commands_order_done(struct auth *auth, const struct directory_order *order, int result, uint64_t messages,
			 uint64_t bytes)
{
	bool creates = order->kind == DIRECTORY_CREATE;
	if (order->kind == DIRECTORY_FORGET_LOGIN)
		return; /* its command was answered: the password is void already */
	if (order->kind == DIRECTORY_QUOTA)
		return; /* its command does not wait for it, but for the count that follows */
	for (struct command *command = auth->commands; command; command = command->next) {
		bool adds = command->request.command == CONTROL_ACCOUNT_ADD;
		if (!command->ordered || adds != creates ||
		    memcmp(command->answer.account.id.bytes, order->account.bytes, ACCOUNT_ID_SIZE) != 0)
			continue;
		if (creates)
			control_print_added(&command->answer, result == 0);
		else if (result == 0)
			control_print_removed(&command->answer, true, &(struct control_usage){ true, messages, bytes });
		finish(command);
		return;
	}
}

void commands_stop(struct auth *auth)
{
	while (auth->commands)
		finish(auth->commands);
}

static void counted(void *owner, int result, const void *message)
{
	struct command *command = owner;
	const struct account_order_reply *reply = message;
	if (result == 0 && reply->result == 0)
		command->usage = (struct control_usage){ true, reply->messages, reply->bytes };
	execute(command);
}

static void quota_counted(void *owner, int result, const void *message)
{
	struct command *command = owner;
	const struct account_order_reply *reply = message;
	if (result == 0 && reply->result == 0)
		command->usage = (struct control_usage){ true, reply->messages, reply->bytes, reply->limit_messages,
							 reply->limit_bytes };
	control_print_quota(&command->answer, &command->usage);
	finish(command);
}

/* The shard carries out in order what it is sent: it counts, and answers, under the new limits. */
static void quota(struct command *command)
{
	struct auth *auth = command->auth;
	control_execute(auth->directory, &auth->process->conf, &command->request, NULL, &command->answer);
	if (command->answer.result == 0) {
		orders_send(auth, &auth->shards[command->answer.account.shard % AUTH_PEERS_MAX]);
		if (orders_ask_usage(auth, &command->answer.account, COUNT_TIMEOUT_MS, quota_counted, command) == 0)
			return;
	}
	finish(command);
}

static void count(struct command *command)
{
	struct directory_account account;
	int err = directory_account_find(command->auth->directory, command->request.arguments[0], &account);
	if (!err)
		err = orders_ask_usage(command->auth, &account, COUNT_TIMEOUT_MS, counted, command);
	if (err)
		execute(command); /* says what is wrong, or does without the numbers */
}

static void hashed(struct auth *auth, void *owner, enum password_result result, struct str hash)
{
	static const char *const failures[] = {
		[PASSWORD_BAD] = "this password cannot be hashed",
		[PASSWORD_UNCHECKED] = "the server is too busy; try again",
		[PASSWORD_DEADLY] = "the processes that hash passwords end over it; see the log, and login.password_memory",
	};
	struct command *command = owner;
	if (result != PASSWORD_GOOD) {
		control_answer_fail(&command->answer, result == PASSWORD_BAD ? ERR_LIMIT : ERR_UNAVAILABLE, failures[result]);
		finish(command);
		return;
	}
	command->request.arguments[1] = hash; /* valid during this call, and execute copies */
	execute(command);
	/* execute may have kept the command waiting for its shard, but nobody looks at the password again */
}

static void hash(struct command *command)
{
	struct password_order order = {
		.password = command->request.arguments[1],
		.client = COMMAND_CLIENT,
		.trusted = true,
		.done = hashed,
		.owner = command,
	};
	if (passwords_ask(command->auth, &order) < 0) {
		control_answer_fail(&command->answer, ERR_UNAVAILABLE, "the server is too busy; try again");
		finish(command);
	}
}

static void begin(struct command *command)
{
	switch (command->request.command) {
	case CONTROL_ACCOUNT_ADD:
	case CONTROL_ACCOUNT_PASSWORD:
		hash(command);
		return;
	case CONTROL_ACCOUNT_SHOW:
		count(command);
		return;
	case CONTROL_ACCOUNT_QUOTA:
		quota(command);
		return;
	case CONTROL_ACCOUNT_MOVE:
		moves_command(command->auth, &command->request, &command->answer);
		finish(command);
		return;
	case CONTROL_STATUS:
	case CONTROL_RELOAD:
	case CONTROL_LOG_LEVEL:
	case CONTROL_METRICS:
	case CONTROL_WHO:
	case CONTROL_KICK:
	case CONTROL_ACCOUNT_LIST:
	case CONTROL_ACCOUNT_REMOVE:
	case CONTROL_DOMAIN_ADD:
	case CONTROL_DOMAIN_LIST:
	case CONTROL_DOMAIN_REMOVE:
	case CONTROL_ALIAS_ADD:
	case CONTROL_ALIAS_LIST:
	case CONTROL_ALIAS_REMOVE:
	case CONTROL_APP_PASSWORD_ADD:
	case CONTROL_APP_PASSWORD_LIST:
	case CONTROL_APP_PASSWORD_REMOVE:
	case CONTROL_ACCOUNT_POP3:
	case CONTROL_DOMAIN_POP3:
	case CONTROL_UNDELETE_LIST:
	case CONTROL_UNDELETE_RESTORE:
	case CONTROL_STORE_CHECK:
	case CONTROL_STORE_COMPACT:
	case CONTROL_BACKUP:
	case CONTROL_BACKUP_DIRECTORY:
	case CONTROL_PARCEL_READ:
	case CONTROL_PARCEL_WRITE:
	case CONTROL_COMMAND_COUNT:
		execute(command);
		return;
	}
}

static struct command *new_command(struct auth *auth, uint64_t number, struct str body)
{
	struct command *command = mem_alloc(1, sizeof *command);
	command->auth = auth;
	command->number = number;
	command->body = mem_copy(body);
	command->body_n = body.n;
	control_answer_init(&command->answer);
	command->next = auth->commands;
	auth->commands = command;
	auth->n_commands++;
	return command;
}

void commands_run(struct role_process *process, uint64_t request, struct str body)
{
	struct auth *auth = process->state;
	struct control_answer refused;
	if (!auth || auth->n_commands >= COMMANDS_MAX) {
		control_answer_init(&refused);
		control_answer_fail(&refused, ERR_UNAVAILABLE, "the server is %s; try again", auth ? "too busy" : "stopping");
		send_answer(process, request, &refused);
		control_answer_free(&refused);
		return;
	}
	struct command *command = new_command(auth, request, body);
	if (control_request_decode(str_of(command->body, command->body_n), &command->request) < 0) {
		control_answer_fail(&command->answer, ERR_SYNTAX, "malformed request");
	} else if (command->request.command == CONTROL_BACKUP_DIRECTORY) {
		auth_backup_command(auth, request, &command->request);
		free_command(command);
		return;
	} else {
		(void)control_check_arguments(&command->request, &command->answer);
	}
	if (command->answer.result)
		finish(command);
	else
		begin(command);
}
