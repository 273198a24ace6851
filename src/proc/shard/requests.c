/* requests.c: what smtp and auth ask of the shard. A request that writes runs when the gate is open, in the order it
 * came; its answer (a promise) leaves when its batch is durable, or says "try again" when the batch was voided.
 * A delivery to many recipients runs some milliseconds at a time, at the head of the queue, in several batches; it has
 * one answer, in the end. Those of large messages have a queue of their own, so that no other waits until one is read
 * and copied; one of them is under way at a time. Owned by the shard. Malformed requests close the channel. */
#include "proc/shard/shard.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/auth_shard.h"
#include "ipc/smtp_shard.h"
#include "loop/turns.h"
#include "store/delivery.h"
#include "store/pop3.h"

#include <unistd.h>

#define DECODE_ARENA_MAX  (256 * 1024) /* recipients of one delivery */
#define REQUEST_FILES_MAX 256          /* waiting requests with a descriptor; further ones are refused for now */
#define RUN_SLICE_US      5000         /* sessions wait no longer for requests that waited, */
#define DELIVER_SLICE_US  4000         /* nor for the recipients of one, */
#define LARGE_SLICE_US    3000         /* nor, after these, for a large message */

/* How far a delivery is. */
struct progress {
	struct delivery *delivery; /* its promise's, once that is there; NULL: an order */
	struct promise *promise; /* NULL: not begun */
	uint32_t next;           /* recipient */
	uint64_t voids;          /* shard's, when it began */
	int worst;               /* error so far */
	bool large;                 /* belongs to the queue of large messages */
	struct mail_intake *intake; /* of a large message */
};

/* Waits for the gate, or for its next slice. */
struct request {
	struct request *next;
	struct peer *peer;
	uint32_t generation;
	int fd; /* -1 or a message's bytes */
	struct progress progress;
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
	struct delivery *delivery;        /* to smtp */
	uint32_t n_results;
	unsigned char results[];
};

/* --- deliveries that are under way --- */

/* A process, in one of its lives. */
static uint64_t process_number(const struct peer *peer)
{
	return (uint64_t)peer->index << 32 | peer->generation;
}

/* From now on its end may be told. What is malformed is found later. */
static struct delivery *expect_delivery(struct peer *peer, struct str body)
{
	struct wire_reader r = wire_reader(body);
	uint64_t request = wire_get_u64(&r), session = wire_get_u64(&r);
	return delivery_begin(peer->shard->store, process_number(peer), request, session);
}

static int end_deliveries(struct peer *peer, struct str body)
{
	static const enum delivery_end meaning[DELIVER_OUTCOME_COUNT] = {
		[DELIVER_CONFIRMED] = DELIVERY_CONFIRMED, [DELIVER_DOUBTFUL] = DELIVERY_DOUBTFUL, [DELIVER_LEFT] = DELIVERY_LEFT,
	};
	struct shard *shard = peer->shard;
	struct deliver_ends ends;
	int result = deliver_ends_decode(body, &ends);
	for (uint32_t i = 0; result == 0 && i < ends.n; i++)
		delivery_end(shard->store, process_number(peer), ends.list[i].request, ends.list[i].recipient,
		             meaning[ends.list[i].outcome]);
	if (result == 0 && !shard->forgets) {
		shard->forgets = true;
		loop_timer_start(shard->forget, FORGET_WAIT_MS);
	}
	return result;
}

void requests_forget(void *owner)
{
	struct shard *shard = owner;
	shard->forgets = !store_writable(shard->store);
	if (shard->forgets)
		loop_timer_start(shard->forget, FORGET_WAIT_MS);
	else if (delivery_forget_confirmed(shard->store))
		shard_turn(shard);
}

void requests_peer_gone(struct peer *peer)
{
	if (peer->role == ROLE_SMTP && peer->shard)
		delivery_process_gone(peer->shard->store, process_number(peer));
}

/* --- promises --- */

static void free_promise(struct promise *promise)
{
	delivery_answered(promise->peer->shard->store, &promise->delivery, promise->results, promise->n_results);
	mem_free(promise);
}

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
	free_promise(promise);
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
	shard->n_promises++;
}

static struct promise *take_first(struct shard *shard)
{
	struct promise *promise = shard->promises;
	shard->promises = promise->next;
	shard->n_promises--;
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

static unsigned char result_of(int err)
{
	switch (err) {
	case 0:
		return DELIVER_OK;
	case ERR_NOT_FOUND:
		return DELIVER_NO_ACCOUNT;
	case ERR_NO_SPACE:
		return DELIVER_NO_SPACE;
	case ERR_QUOTA:
		return DELIVER_QUOTA;
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
		shard->n_promises--;
		fail_promise(voided, err);
	}
}

/* --- deliveries --- */

/* *ready: false when more of its account, or of a large message, is to be read or copied before. */
static int deliver_one(struct shard *shard, const struct deliver_recipient *recipient, const struct mail_source *source,
                       struct progress *progress, bool *ready)
{
	struct mail_facts facts = { .internal_date = clock_wall_seconds() };
	struct delivery_claim claim = { .delivery = progress->promise->delivery, .recipient = progress->next };
	struct account *account;
	memcpy(claim.key, recipient->key.bytes, sizeof claim.key);
	int result = account_open_step(shard->store, &recipient->account, &account, ready);
	if (result < 0) {
		*ready = true;
		return result == ERR_NOT_FOUND ? ERR_UNAVAILABLE : result; /* auth knows it: it is being made */
	}
	if (!*ready)
		return 0;
	if (source->intake)
		result = mail_deliver_ahead(account, &shard->mail, source, &facts, &claim, LARGE_SLICE_US, ready);
	if (result == 0 && *ready)
		result = mail_deliver(account, &shard->mail, source, &facts, &claim);
	*ready |= result < 0;
	progress->promise->batch = MAX(progress->promise->batch, account_batch(account));
	account_close(&account);
	return result;
}

/* The next recipients, at least one or, of a large message, a slice for one. */
static void deliver_some(struct shard *shard, const struct deliver *deliver, const struct mail_source *source,
                         struct progress *progress)
{
	uint64_t end_us = clock_monotonic_us() + (progress->large ? LARGE_SLICE_US : DELIVER_SLICE_US);
	do {
		bool ready;
		uint32_t i = progress->next;
		int result = deliver_one(shard, &deliver->recipients[i], source, progress, &ready);
		if (!ready)
			return;
		progress->next++;
		progress->promise->results[i] = result_of(result);
		progress->worst = MIN(progress->worst, result);
		*(result == 0 ? &shard->count.deliveries : &shard->count.refused) += 1;
	} while (progress->next < deliver->n_recipients && clock_monotonic_us() < end_us);
}

/* A batch that was rolled back takes those with it that were delivered before in the same request. Those of an earlier
 * batch are told to come again as well: their keys keep them from being stored twice. */
static void end_delivery(struct shard *shard, const struct deliver *deliver, struct progress *progress)
{
	struct promise *promise = progress->promise;
	bool no_space = progress->worst == ERR_NO_SPACE;
	for (uint32_t i = 0; i < deliver->n_recipients && progress->voids != shard->voids; i++)
		promise->results[i] = result_of(no_space ? ERR_NO_SPACE : ERR_UNAVAILABLE);
	log_debug("delivery", LOG_ID(deliver->session), LOG_S("sender", deliver->sender),
	          LOG_U("recipients", deliver->n_recipients), LOG_U("size", deliver->head.n + deliver->body_length),
	          LOG_C("result", progress->worst == 0 ? "ok" : err_text(progress->worst)));
	progress->promise = NULL;
	mail_intake_free(&progress->intake);
	keep_promise(shard, promise);
}

/* Of a large message. One is read and copied at a time, for what that needs in memory: true while it is another one. */
static bool must_wait(const struct shard *shard, struct progress *progress, struct mail_source *source)
{
	bool first = !progress->large;
	progress->large = true;
	if (first && shard->large.first)
		return true;
	if (!progress->intake)
		progress->intake = mail_intake_new(&shard->mail);
	source->intake = progress->intake;
	return false;
}

static void begin_delivery(struct peer *peer, const struct deliver *deliver, struct progress *progress)
{
	struct delivery *delivery = progress->delivery;
	*progress = (struct progress){ .promise = mem_alloc(1, sizeof *progress->promise + deliver->n_recipients),
		                       .voids = peer->shard->voids };
	*progress->promise = (struct promise){ .peer = peer, .generation = peer->generation, .request = deliver->request,
		                               .delivery = delivery, .n_results = deliver->n_recipients };
}

/* A slice of it; *done: it was the last. fd: -1, a file with the body, or IPC_FD_LOST. Without `room`, or without its
 * file, the recipients that are left are to be tried again. */
static int run_delivery(struct peer *peer, struct str body, int fd, bool room, struct progress *progress, bool *done)
{
	struct arena arena = ARENA_INIT(DECODE_ARENA_MAX);
	struct deliver deliver;
	int result = deliver_decode(body, fd != -1, &arena, &deliver);
	if (result == 0) {
		struct mail_source source = {
			.head = deliver.head, .bytes = deliver.body, .fd = fd, .length = deliver.body_length
		};
		if (!progress->promise)
			begin_delivery(peer, &deliver, progress);
		if (room && fd != IPC_FD_LOST && deliver.n_recipients > 0) {
			if (!mail_is_large(&source) || !must_wait(peer->shard, progress, &source))
				deliver_some(peer->shard, &deliver, &source, progress);
		} else {
			memset(progress->promise->results + progress->next, DELIVER_UNAVAILABLE,
			       deliver.n_recipients - progress->next);
			progress->next = deliver.n_recipients;
		}
		*done = progress->next == deliver.n_recipients;
		if (*done)
			end_delivery(peer->shard, &deliver, progress);
	}
	arena_free(&arena);
	return result;
}

/* --- orders of auth --- */

static int find_usage(struct shard *shard, const struct account_id *id, struct account_order_reply *out)
{
	struct account *account;
	int result = account_open(shard->store, id, &account);
	if (result < 0)
		return result;
	struct account_counts counts = account_counts(account), limits = account_limits(account);
	out->messages = counts.messages;
	out->bytes = counts.bytes;
	out->limit_messages = limits.messages;
	out->limit_bytes = limits.bytes;
	account_close(&account);
	return 0;
}

static int run_order(struct peer *peer, struct str body, int fd)
{
	struct shard *shard = peer->shard;
	struct account_order order;
	struct account *account;
	int result = account_order_decode(body, &order);
	if (result < 0)
		return result;
	if (order.kind == ACCOUNT_SEND || order.kind == ACCOUNT_RECEIVE || order.kind == ACCOUNT_PROGRESS) {
		move_order(peer, &order, fd);
		return 0;
	}
	if (fd != -1)
		return ERR_SYNTAX;
	if (order.kind == ACCOUNT_CREATE || order.kind == ACCOUNT_DESTROY)
		parcels_cancel(shard, &order.account); /* of a move that was given up */
	struct promise *promise = mem_alloc(1, sizeof *promise);
	*promise = (struct promise){ .peer = peer, .generation = peer->generation, .request = order.request, .order = { .request = order.request } };
	struct account_quota quota = { order.quota_messages, order.quota_bytes };
	switch (order.kind) {
	case ACCOUNT_CREATE:
		promise->order.result = account_create(shard->store, &order.account);
		if (promise->order.result == 0)
			promise->order.result = account_set_quota(shard->store, &order.account, &quota);
		break;
	case ACCOUNT_QUOTA:
		promise->order.result = account_set_quota(shard->store, &order.account, &quota);
		break;
	case ACCOUNT_DESTROY:
		promise->order.result =
			account_destroy(shard->store, &order.account, &promise->order.messages, &promise->order.bytes);
		connections_account_gone(shard, STR("this account was removed"));
		loop_timer_start(shard->idle_work, IDLE_WORK_PACE_MS);
		break;
	case ACCOUNT_FORGET_LOGIN:
		promise->order.result = pop3_forget_login(shard->store, &order.account, order.login);
		connections_login_gone(shard, &order.account, order.login);
		break;
	case ACCOUNT_USAGE:
		promise->order.result = find_usage(shard, &order.account, &promise->order);
		break;
	case ACCOUNT_SEND:
	case ACCOUNT_RECEIVE:
	case ACCOUNT_PROGRESS:
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

static int run(struct peer *peer, struct str body, int fd, struct progress *progress, bool *done)
{
	bool is_delivery = peer->role == ROLE_SMTP;
	*done = true;
	shard_turn(peer->shard);
	int result = is_delivery ? run_delivery(peer, body, fd, true, progress, done) : run_order(peer, body, fd);
	loop_did(peer->shard->process->loop, is_delivery ? STR("delivery") : STR("order of auth"));
	return result;
}

/* No room to wait. Auth has few orders out, so its channel closes over it. */
static int refuse(struct peer *peer, struct str body, int fd, struct progress *progress)
{
	bool done;
	log_warning("requests-full", LOG_S("peer", role_name(peer->role)), LOG_U("bytes", peer->shard->requests_bytes));
	return peer->role == ROLE_SMTP ? run_delivery(peer, body, fd, false, progress, &done) : ERR_LIMIT;
}

static void put(struct request_queue *queue, struct request *request)
{
	request->next = NULL;
	*queue->end = request;
	queue->end = &request->next;
}

static struct request *take(struct request_queue *queue)
{
	struct request *request = queue->first;
	queue->first = request->next;
	if (!queue->first)
		queue->end = &queue->first;
	return request;
}

static int queue(struct peer *peer, struct str body, int *fd, struct progress *progress)
{
	struct shard *shard = peer->shard;
	size_t cost = sizeof(struct request) + body.n;
	if (shard->requests_bytes + cost > REQUESTS_MAX || (*fd >= 0 && shard->requests_files == REQUEST_FILES_MAX))
		return refuse(peer, body, *fd, progress);
	struct request *request = mem_alloc_unset(sizeof *request + body.n);
	*request = (struct request){ .peer = peer, .generation = peer->generation, .fd = *fd, .progress = *progress,
		                     .n = body.n };
	memcpy(request->body, body.p, body.n);
	shard->requests_files += *fd >= 0;
	*fd = -1;
	put(progress->large ? &shard->large : &shard->requests, request);
	shard->requests_bytes += cost;
	return 0;
}

static int run_or_queue(struct peer *peer, struct str body, int *fd)
{
	struct shard *shard = peer->shard;
	struct progress progress = { .delivery = peer->role == ROLE_SMTP ? expect_delivery(peer, body) : NULL };
	bool done = false;
	int result = 0;
	if (store_writable(shard->store) && !shard->requests.first) {
		result = run(peer, body, *fd, &progress, &done);
		if (result == 0 && !done)
			loop_later(shard->process->loop, &shard->work);
	}
	if (result == 0 && !done)
		result = queue(peer, body, fd, &progress);
	if (result < 0) /* malformed: no promise came of it */
		delivery_answered(shard->store, &progress.delivery, NULL, 0);
	return result;
}

int request_from_smtp(struct peer *peer, uint16_t type, struct str body, int *fd)
{
	switch (type) {
	case SMTP_SHARD_DELIVER:
		return run_or_queue(peer, body, fd);
	case SMTP_SHARD_ENDS:
		return *fd == -1 ? end_deliveries(peer, body) : ERR_SYNTAX;
	}
	return ERR_SYNTAX;
}

int request_from_auth(struct peer *peer, uint16_t type, struct str body, int *fd)
{
	return type == AUTH_SHARD_ORDER ? run_or_queue(peer, body, fd) : ERR_SYNTAX;
}

static void free_request(struct shard *shard, struct request *request)
{
	shard->requests_bytes -= sizeof *request + request->n;
	shard->requests_files -= request->fd >= 0;
	if (request->fd >= 0)
		close(request->fd);
	if (request->progress.promise)
		keep_promise(shard, request->progress.promise); /* what is written of it may be voided still */
	delivery_answered(shard->store, &request->progress.delivery, NULL, 0);
	mail_intake_free(&request->progress.intake);
	mem_free(request);
}

/* The first request, or a slice of it. */
static void run_first(struct shard *shard, struct request_queue *queue)
{
	struct request *request = queue->first;
	struct peer *peer = request->peer;
	bool done = true;
	/* What a process asked that is gone since is not done: nobody waits for it, and the sender will come again. */
	if (peer->channel && peer->generation == request->generation &&
	    run(peer, str_of(request->body, request->n), request->fd, &request->progress, &done) < 0) {
		log_error("malformed-request", LOG_S("peer", role_name(peer->role)), LOG_U("index", peer->index));
		shard_drop_peer(peer);
		done = true;
	}
	if (done)
		free_request(shard, take(queue));
	else if (request->progress.large && queue != &shard->large)
		put(&shard->large, take(queue));
}

static bool may_run(const struct shard *shard)
{
	const struct request *large = shard->large.first;
	return store_writable(shard->store) && (shard->requests.first || (large && !mail_intake_waits(large->progress.intake)));
}

void requests_run(struct shard *shard)
{
	uint64_t end_us = clock_monotonic_us() + RUN_SLICE_US;
	while (shard->requests.first && store_writable(shard->store) && clock_monotonic_us() < end_us)
		run_first(shard, &shard->requests);
	if (shard->large.first && store_writable(shard->store)) {
		run_first(shard, &shard->large);
		shard_turn(shard); /* a stop may have waited for this one, though nobody waits for it any more */
	}
	if (may_run(shard))
		loop_later(shard->process->loop, &shard->work);
}

uint64_t requests_waiting(const struct shard *shard)
{
	uint64_t n = 0;
	for (const struct request *request = shard->requests.first; request; request = request->next)
		n++;
	for (const struct request *request = shard->large.first; request; request = request->next)
		n++;
	for (const struct promise *promise = shard->promises; promise; promise = promise->next)
		n++;
	return n;
}

void requests_free(struct shard *shard)
{
	while (shard->requests.first)
		free_request(shard, take(&shard->requests));
	while (shard->large.first)
		free_request(shard, take(&shard->large));
	while (shard->promises)
		free_promise(take_first(shard));
}
