/* passwords.c: tasks for authwork. A task waits its turn (fair queue), is worked on by one authwork process, and ends
 * by calling done once. Owned here from passwords_ask to done; its password is wiped when it goes.
 *
 *     queue ──passwords_dispatch──▶ authwork ──passwords_message──▶ done
 *       ▲───passwords_peer_lost────────┘ (once)
 */
#include "proc/auth/auth.h"

#include "auth/password.h"
#include "base/checked.h"
#include "base/mem.h"
#include "base/random.h"
#include "ipc/auth_authwork.h"

/* What ends this many processes is not tried again: it would end the next one too. */
#define DEATHS_MAX 2

struct password_task {
	uint64_t number; /* the request that authwork sees */
	uint64_t client;
	bool trusted;
	unsigned deaths; /* of processes that worked on it */
	char *password;
	size_t password_n;
	char hash[PASSWORD_HASH_MAX];
	size_t hash_n;
	password_done_fn *done;
	void *owner;
};

static void free_task(struct password_task *task)
{
	mem_wipe(task->password, task->password_n);
	mem_free(task->password);
	mem_free(task);
}

static void end_task(struct auth *auth, struct password_task *task, enum password_result result, struct str hash)
{
	task->done(auth, task->owner, result, hash);
	free_task(task);
}

static struct password_task *new_task(const struct password_order *order)
{
	struct password_task *task = mem_alloc(1, sizeof *task);
	task->number = random_u64();
	task->client = order->client;
	task->trusted = order->trusted;
	task->password = mem_copy(order->password);
	task->password_n = order->password.n;
	task->hash_n = MIN(order->hash.n, sizeof task->hash);
	if (task->hash_n)
		memcpy(task->hash, order->hash.p, task->hash_n);
	task->done = order->done;
	task->owner = order->owner;
	return task;
}

static int enqueue(struct auth *auth, struct password_task *task)
{
	void *gave_way;
	int err = fair_queue_push(auth->queue, task->client, task->trusted, task, &gave_way);
	if (err == 0 && gave_way)
		end_task(auth, gave_way, PASSWORD_UNCHECKED, STR(""));
	return err;
}

int passwords_ask(struct auth *auth, const struct password_order *order)
{
	struct password_task *task = new_task(order);
	int err = enqueue(auth, task);
	if (err)
		free_task(task);
	else
		passwords_dispatch(auth);
	return err;
}

void passwords_stop(struct auth *auth)
{
	struct password_task *task;
	for (size_t i = 0; i < AUTH_PEERS_MAX; i++) {
		task = auth->authwork[i].task;
		auth->authwork[i].task = NULL;
		if (task)
			end_task(auth, task, PASSWORD_UNCHECKED, STR(""));
	}
	while ((task = fair_queue_pop(auth->queue)))
		end_task(auth, task, PASSWORD_UNCHECKED, STR(""));
}

static int send_task(struct auth_peer *peer, struct password_task *task)
{
	struct password_job job = {
		.request = task->number,
		.password = str_of(task->password, task->password_n),
		.hash = str_of(task->hash, task->hash_n),
	};
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	password_job_encode(&job, &body);
	int err = buf_error(&body);
	if (!err)
		err = ipc_send(peer->channel, task->hash_n ? AUTH_AUTHWORK_VERIFY : AUTH_AUTHWORK_HASH, buf_str(&body), -1);
	mem_wipe(body.p, body.n);
	buf_free(&body);
	return err;
}

void passwords_dispatch(struct auth *auth)
{
	for (size_t i = 0; i < AUTH_PEERS_MAX; i++) {
		struct auth_peer *peer = &auth->authwork[i];
		if (!peer->channel || peer->task)
			continue;
		struct password_task *task = fair_queue_pop(auth->queue);
		if (!task)
			return;
		if (send_task(peer, task) < 0)
			end_task(auth, task, PASSWORD_UNCHECKED, STR(""));
		else
			peer->task = task;
	}
}

void passwords_peer_lost(struct auth *auth, struct auth_peer *peer)
{
	struct password_task *task = peer->task;
	peer->task = NULL;
	if (task && ++task->deaths >= DEATHS_MAX)
		end_task(auth, task, PASSWORD_DEADLY, STR(""));
	else if (task && enqueue(auth, task) < 0)
		end_task(auth, task, PASSWORD_UNCHECKED, STR(""));
	passwords_dispatch(auth);
}

int passwords_message(struct auth_peer *peer, uint16_t type, struct str body)
{
	struct password_reply reply;
	if (type != AUTHWORK_AUTH_REPLY)
		return ERR_STATE;
	int err = password_reply_decode(body, &reply);
	if (err)
		return err;
	struct password_task *task = peer->task;
	if (!task || reply.request != task->number)
		return ERR_STATE;
	peer->task = NULL;
	bool ok = reply.ok && (task->hash_n || reply.hash.n);
	end_task(peer->auth, task, ok ? PASSWORD_GOOD : PASSWORD_BAD, reply.hash);
	passwords_dispatch(peer->auth);
	return 0;
}
