/* requests.c: what smtp and auth ask of the shard. A request that writes runs when the gate is open, in the order it
 * came; its answer (a promise) leaves when its batch is durable, or says "try again" when the batch was voided.
 * Owned by the shard. Malformed requests close the channel. */
#include "proc/shard/shard.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/auth_shard.h"
#include "ipc/smtp_shard.h"

#include <unistd.h>

#define DECODE_ARENA_MAX  (256 * 1024) /* recipients of one delivery */
#define REQUEST_FILES_MAX 256          /* waiting requests with a descriptor; further ones are refused for now */
#define RUN_SLICE_US      10000        /* sessions wait no longer for requests that waited */

/* Waits for the gate. */
struct request {
	struct request *next;
	struct peer *peer;
	uint32_t generation;
	int fd; /* -1 or a message's bytes */
	size_t n;
	char body[];
};

/* An answer that waits for its batch. */
struct promise {
	struct promise *next;
	struct peer *peer;
	uint32_t generation;
	uint64_t batch;
	uint64_t request;
	struct account_order_reply order; /* to auth */
	uint32_t n_results;               /* to smtp */
	unsigned char results[];
};

/* --- promises --- */

static void send_promise(struct promise *promise)
{
	struct peer *peer = promise->peer;
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	uint16_t type = SHARD_AUTH_ORDER_REPLY;
	if (peer->role == ROLE_SMTP) {
		type = SHARD_SMTP_DELIVER_REPLY;
		deliver_reply_encode(&(struct deliver_reply){ promise->request, promise->results, promise->n_results }, &body);
	} else {
		account_order_reply_encode(&promise->order, &body);
	}
	if (peer->channel && peer->generation == promise->generation &&
	    ipc_send(peer->channel, type, buf_str(&body), -1) < 0)
		log_warning("answer-not-sent", LOG_S("peer", role_name(peer->role)), LOG_U("request", promise->request));
	buf_free(&body);
	mem_free(promise);
}

static void keep_promise(struct shard *shard, struct promise *promise)
{
	/* A batch that was voided, or that nothing was written in, never becomes durable by itself. */
	promise->batch = MIN(promise->batch, store_last_batch(shard->store));
	if (promise->batch <= store_durable(shard->store)) {
		send_promise(promise);
		return;
	}
	promise->next = NULL;
	*shard->promises_end = promise;
	shard->promises_end = &promise->next;
}

static struct promise *take_first(struct shard *shard)
{
	struct promise *promise = shard->promises;
	shard->promises = promise->next;
	if (!shard->promises)
		shard->promises_end = &shard->promises;
	return promise;
}

/* Batches become durable in order, and promises stand in the order of their batches. */
void promises_durable(struct shard *shard, uint64_t batch)
{
	while (shard->promises && shard->promises->batch <= batch)
		send_promise(take_first(shard));
}

unsigned promises_waiting(const struct shard *shard)
{
	return !shard->promises ? 0 : !shard->promises->next ? 1 : 2;
}

static unsigned char result_of(int err)
{
	switch (err) {
	case 0:
		return DELIVER_OK;
	case ERR_NOT_FOUND:
		return DELIVER_NO_ACCOUNT;
	case ERR_NO_SPACE:
		return DELIVER_NO_SPACE;
	case ERR_SYNTAX:
	case ERR_LIMIT:
		return DELIVER_REFUSED;
	}
	return DELIVER_UNAVAILABLE;
}

static void fail_promise(struct promise *promise, int err)
{
	for (uint32_t i = 0; i < promise->n_results; i++)
		if (promise->results[i] == DELIVER_OK)
			promise->results[i] = err == ERR_NO_SPACE ? DELIVER_NO_SPACE : DELIVER_UNAVAILABLE;
	promise->order.result = ERR_UNAVAILABLE;
	send_promise(promise);
}

/* Those of an earlier batch, whose sync is still under way, stay where they are: it will be durable. */
void promises_voided(struct shard *shard, uint64_t batch, int err)
{
	struct promise **at = &shard->promises;
	while (*at && (*at)->batch < batch)
		at = &(*at)->next;
	struct promise *voided = *at;
	*at = NULL;
	shard->promises_end = at;
	for (struct promise *next; voided; voided = next) {
		next = voided->next;
		fail_promise(voided, err);
	}
}

/* --- deliveries --- */

static int deliver_one(struct shard *shard, const struct deliver_recipient *recipient, const struct mail_source *source,
                       uint64_t *batch)
{
	struct mail_facts facts = { .internal_date = clock_wall_seconds() };
	struct account *account;
	int result = account_open(shard->store, &recipient->account, &account);
	if (result < 0)
		return result == ERR_NOT_FOUND ? ERR_UNAVAILABLE : result; /* auth knows it: it is being made */
	result = mail_deliver(account, &shard->mail, source, &facts, recipient->key.bytes);
	*batch = MAX(*batch, account_batch(account));
	account_close(&account);
	return result;
}

static void deliver_all(struct shard *shard, const struct deliver *deliver, const struct mail_source *source,
                        struct promise *promise)
{
	uint64_t voids = shard->voids;
	int worst = 0;
	for (uint32_t i = 0; i < deliver->n_recipients; i++) {
		int result = deliver_one(shard, &deliver->recipients[i], source, &promise->batch);
		promise->results[i] = result_of(result);
		worst = MIN(worst, result);
		*(result == 0 ? &shard->count.deliveries : &shard->count.refused) += 1;
	}
	/* A batch that was rolled back takes those with it that were delivered before in the same request. */
	for (uint32_t i = 0; i < deliver->n_recipients && voids != shard->voids; i++)
		promise->results[i] = result_of(worst == ERR_NO_SPACE ? ERR_NO_SPACE : ERR_UNAVAILABLE);
	log_debug("delivery", LOG_ID(deliver->session), LOG_S("sender", deliver->sender),
	          LOG_U("recipients", deliver->n_recipients), LOG_U("size", deliver->head.n + deliver->body_length),
	          LOG_C("result", worst == 0 ? "ok" : err_text(worst)));
}

/* fd: -1, a file with the body, or IPC_FD_LOST. Without `room`, or without its file, all recipients are to be tried
 * again. */
static int run_delivery(struct peer *peer, struct str body, int fd, bool room)
{
	struct arena arena = ARENA_INIT(DECODE_ARENA_MAX);
	struct deliver deliver;
	int result = deliver_decode(body, fd != -1, &arena, &deliver);
	if (result == 0) {
		struct mail_source source = {
			.head = deliver.head, .bytes = deliver.body, .fd = fd, .length = deliver.body_length
		};
		struct promise *promise = mem_alloc(1, sizeof *promise + deliver.n_recipients);
		*promise = (struct promise){ .peer = peer, .generation = peer->generation, .request = deliver.request, .n_results = deliver.n_recipients };
		if (room && fd != IPC_FD_LOST)
			deliver_all(peer->shard, &deliver, &source, promise);
		else
			memset(promise->results, DELIVER_UNAVAILABLE, deliver.n_recipients);
		keep_promise(peer->shard, promise);
	}
	arena_free(&arena);
	return result;
}

static int confirm(struct shard *shard, struct str body)
{
	struct deliver_confirm confirmed;
	int result = deliver_confirm_decode(body, &confirmed);
	for (uint32_t i = 0; result == 0 && i < confirmed.n_keys; i++)
		delivery_confirm(shard->store, confirmed.keys[i].bytes);
	return result;
}

/* --- orders of auth --- */

static int run_order(struct peer *peer, struct str body)
{
	struct shard *shard = peer->shard;
	struct account_order order;
	struct account *account;
	int result = account_order_decode(body, &order);
	if (result < 0)
		return result;
	struct promise *promise = mem_alloc(1, sizeof *promise);
	*promise = (struct promise){ .peer = peer, .generation = peer->generation, .request = order.request, .order = { .request = order.request } };
	switch (order.kind) {
	case ACCOUNT_CREATE:
		promise->order.result = account_create(shard->store, &order.account);
		break;
	case ACCOUNT_DESTROY:
		promise->order.result =
			account_destroy(shard->store, &order.account, &promise->order.messages, &promise->order.bytes);
		connections_account_gone(shard);
		loop_timer_start(shard->idle_work, IDLE_WORK_PACE_MS);
		break;
	case ACCOUNT_USAGE:
		promise->order.result =
			account_usage(shard->store, &order.account, &promise->order.messages, &promise->order.bytes);
		break;
	case ACCOUNT_ORDER_COUNT:
		break;
	}
	promise->batch = UINT64_MAX; /* all that is written by now, when the account is gone */
	if (account_open(shard->store, &order.account, &account) == 0) {
		promise->batch = account_batch(account);
		account_close(&account);
	}
	keep_promise(shard, promise);
	return 0;
}

/* --- the queue before the gate --- */

static int run(struct peer *peer, struct str body, int fd)
{
	shard_turn(peer->shard);
	return peer->role == ROLE_SMTP ? run_delivery(peer, body, fd, true) : run_order(peer, body);
}

/* No room to wait. Auth has few orders out, so its channel closes over it. */
static int refuse(struct peer *peer, struct str body, int fd)
{
	log_warning("requests-full", LOG_S("peer", role_name(peer->role)), LOG_U("bytes", peer->shard->requests_bytes));
	return peer->role == ROLE_SMTP ? run_delivery(peer, body, fd, false) : ERR_LIMIT;
}

static int queue(struct peer *peer, struct str body, int *fd)
{
	struct shard *shard = peer->shard;
	size_t cost = sizeof(struct request) + body.n;
	if (shard->requests_bytes + cost > REQUESTS_MAX || (*fd >= 0 && shard->requests_files == REQUEST_FILES_MAX))
		return refuse(peer, body, *fd);
	struct request *request = mem_alloc_unset(sizeof *request + body.n);
	*request = (struct request){ .peer = peer, .generation = peer->generation, .fd = *fd, .n = body.n };
	memcpy(request->body, body.p, body.n);
	shard->requests_files += *fd >= 0;
	*fd = -1;
	*shard->requests_end = request;
	shard->requests_end = &request->next;
	shard->requests_bytes += cost;
	return 0;
}

static int run_or_queue(struct peer *peer, struct str body, int *fd)
{
	struct shard *shard = peer->shard;
	if (store_writable(shard->store) && !shard->requests)
		return run(peer, body, *fd);
	return queue(peer, body, fd);
}

int request_from_smtp(struct peer *peer, uint16_t type, struct str body, int *fd)
{
	switch (type) {
	case SMTP_SHARD_DELIVER:
		return run_or_queue(peer, body, fd);
	case SMTP_SHARD_CONFIRM:
		return *fd == -1 ? confirm(peer->shard, body) : ERR_SYNTAX;
	}
	return ERR_SYNTAX;
}

int request_from_auth(struct peer *peer, uint16_t type, struct str body, int *fd)
{
	return type == AUTH_SHARD_ORDER && *fd == -1 ? run_or_queue(peer, body, fd) : ERR_SYNTAX;
}

static void free_first(struct shard *shard)
{
	struct request *request = shard->requests;
	shard->requests = request->next;
	if (!shard->requests)
		shard->requests_end = &shard->requests;
	shard->requests_bytes -= sizeof *request + request->n;
	shard->requests_files -= request->fd >= 0;
	if (request->fd >= 0)
		close(request->fd);
	mem_free(request);
}

void requests_run(struct shard *shard)
{
	uint64_t end_us = clock_monotonic_us() + RUN_SLICE_US;
	while (shard->requests && store_writable(shard->store)) {
		if (clock_monotonic_us() >= end_us) {
			loop_later(shard->process->loop, &shard->work);
			return;
		}
		struct request *request = shard->requests;
		struct peer *peer = request->peer;
		/* What a process asked that is gone since is not done: nobody waits for it, and the sender will come again. */
		if (peer->channel && peer->generation == request->generation &&
		    run(peer, str_of(request->body, request->n), request->fd) < 0) {
			log_error("malformed-request", LOG_S("peer", role_name(peer->role)), LOG_U("index", peer->index));
			shard_drop_peer(peer);
		}
		free_first(shard);
	}
}

void requests_free(struct shard *shard)
{
	while (shard->requests)
		free_first(shard);
	while (shard->promises)
		mem_free(take_first(shard));
}
