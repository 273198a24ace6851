/* passwords.c: tasks for authwork. A task is put off (throttle), waits its turn (fair queue), is worked on by one
 * authwork process, and ends by calling done once. Owned here from passwords_ask to done; its password is wiped when
 * it goes.
 *
 *     waiting ──passwords_waiting_over──▶ queue ──passwords_dispatch──▶ authwork ──passwords_message──▶ done
 *                                           ▲───passwords_peer_lost────────┘
 */
#include "proc/auth/auth.h"

#include "auth/password.h"
#include "base/checked.h"
#include "base/mem.h"
#include "base/random.h"
#include "ipc/auth_authwork.h"

struct password_task {
	struct password_task *next; /* in auth->waiting */
	uint64_t number;            /* the request that authwork sees */
	uint64_t due_ms;
	uint64_t client;
	char *password;
	size_t password_n;
	char hash[PASSWORD_HASH_MAX];
	size_t hash_n;
	password_done_fn *done;
	void *owner;
};

static void end_task(struct auth *auth, struct password_task *task, bool available, bool ok, struct str hash)
{
	task->done(auth, task->owner, available, ok, hash);
	mem_wipe(task->password, task->password_n);
	mem_free(task->password);
	mem_free(task);
}

static struct password_task *new_task(const struct password_order *order)
{
	struct password_task *task = mem_alloc(1, sizeof *task);
	task->number = random_u64();
	task->client = order->client;
	task->password = mem_copy(order->password);
	task->password_n = order->password.n;
	task->hash_n = MIN(order->hash.n, sizeof task->hash);
	if (task->hash_n)
		memcpy(task->hash, order->hash.p, task->hash_n);
	task->done = order->done;
	task->owner = order->owner;
	return task;
}

/* How long until the first of those that wait is due. */
static void start_timer(struct auth *auth, uint64_t now_ms)
{
	uint64_t first = UINT64_MAX;
	for (const struct password_task *task = auth->waiting; task; task = task->next)
		first = MIN(first, task->due_ms);
	if (first == UINT64_MAX)
		loop_timer_stop(auth->waiting_timer);
	else
		loop_timer_start(auth->waiting_timer, first > now_ms ? first - now_ms : 0);
}

static int put_off(struct auth *auth, const struct password_order *order)
{
	uint32_t of_client = 0;
	for (const struct password_task *task = auth->waiting; task; task = task->next)
		of_client += task->client == order->client;
	if (auth->n_waiting >= auth->process->conf.login.password_queue ||
	    of_client >= auth->process->conf.login.password_queue_per_address)
		return ERR_LIMIT;
	uint64_t now_ms = loop_now_ms(auth->process->loop);
	struct password_task *task = new_task(order);
	task->due_ms = now_ms + order->delay_ms;
	task->next = auth->waiting;
	auth->waiting = task;
	auth->n_waiting++;
	auth->counters.logins_put_off++;
	start_timer(auth, now_ms);
	return 0;
}

int passwords_ask(struct auth *auth, const struct password_order *order)
{
	if (order->delay_ms > 0)
		return put_off(auth, order);
	struct password_task *task = new_task(order);
	int err = fair_queue_push(auth->queue, task->client, task);
	if (err) {
		mem_wipe(task->password, task->password_n);
		mem_free(task->password);
		mem_free(task);
		return err;
	}
	passwords_dispatch(auth);
	return 0;
}

void passwords_waiting_over(void *owner)
{
	struct auth *auth = owner;
	uint64_t now_ms = loop_now_ms(auth->process->loop);
	struct password_task *due = NULL;
	for (struct password_task **at = &auth->waiting; *at;) {
		struct password_task *task = *at;
		if (task->due_ms > now_ms) {
			at = &task->next;
			continue;
		}
		*at = task->next;
		auth->n_waiting--;
		task->next = due;
		due = task;
	}
	while (due) { /* apart, because done may ask again */
		struct password_task *task = due;
		due = task->next;
		if (fair_queue_push(auth->queue, task->client, task) < 0)
			end_task(auth, task, false, false, STR(""));
	}
	start_timer(auth, now_ms);
	passwords_dispatch(auth);
}

void passwords_stop(struct auth *auth)
{
	struct password_task *task;
	for (size_t i = 0; i < AUTH_PEERS_MAX; i++) {
		task = auth->authwork[i].task;
		auth->authwork[i].task = NULL;
		if (task)
			end_task(auth, task, false, false, STR(""));
	}
	while ((task = fair_queue_pop(auth->queue)))
		end_task(auth, task, false, false, STR(""));
	while ((task = auth->waiting)) {
		auth->waiting = task->next;
		end_task(auth, task, false, false, STR(""));
	}
	auth->n_waiting = 0;
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
			end_task(auth, task, false, false, STR(""));
		else
			peer->task = task;
	}
}

void passwords_peer_lost(struct auth *auth, struct auth_peer *peer)
{
	struct password_task *task = peer->task;
	peer->task = NULL;
	if (task && fair_queue_push(auth->queue, task->client, task) < 0)
		end_task(auth, task, false, false, STR(""));
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
	end_task(peer->auth, task, true, ok, reply.hash);
	passwords_dispatch(peer->auth);
	return 0;
}
