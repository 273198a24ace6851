/* delivery.c: groups, sends, gathers. A delivery is owned by its connection and freed after the session has
 * answered, or when the connection is gone (the shards finish alone then, and their keys keep the retry from
 * doubling). Every batch that was sent ends: by a confirmation that its connection takes over, or as left.
 *
 * Items are the targets sorted by shard; a batch is a run of items that one DELIVER carries. */
#include "proc/smtp/delivery.h"

#include "base/checked.h"
#include "base/log.h"
#include "base/mem.h"

#include <unistd.h>

struct item {
	uint32_t target;
	uint16_t shard;
};

struct batch {
	struct delivery *delivery;
	uint32_t first, n; /* of items */
	uint64_t call;     /* 0: over */
	uint64_t request;  /* 0: not sent, or somebody else tells how it ended */
};

struct delivery {
	struct smtp_role *role;
	uint64_t session;
	struct smtp_delivery *message;
	delivery_done_fn *done;
	void *owner;
	struct item *items; /* one for each target */
	struct batch *batches;
	uint32_t n_batches, outstanding;
	int file;             /* of the body, which the shards read; -1: none */
	uint64_t body_length;
	bool unanswered;      /* a shard may read it still */
};

/* --- what the shards are told of the answers --- */

static void flush_ends(struct smtp_role *role, uint16_t shard)
{
	struct deliver_ends *ends = &role->ends[shard];
	bool any = ends->n > 0 && peers_channel(role->peers, PEER_SHARD(shard));
	if (any) {
		buf_clear(&role->scratch);
		deliver_ends_encode(ends, &role->scratch);
	}
	ends->n = 0;
	if (any && peers_send(role->peers, PEER_SHARD(shard), SMTP_SHARD_ENDS, &role->scratch) != 0)
		log_warning("ends-not-sent", LOG_U("shard", shard));
}

void ends_due(void *owner)
{
	struct smtp_role *role = owner;
	role->ends_wait = false;
	for (uint16_t shard = 0; shard < role->process->setup.shards; shard++)
		flush_ends(role, shard);
}

/* At once but for confirmations, which nobody waits for. */
static void tell_end(struct smtp_role *role, uint16_t shard, uint64_t request, uint32_t recipient,
                     enum deliver_outcome outcome)
{
	if (shard >= role->process->setup.shards)
		return;
	struct deliver_ends *ends = &role->ends[shard];
	ends->list[ends->n++] = (struct deliver_end){ request, recipient, outcome };
	if (ends->n == DELIVER_ENDS_MAX || outcome != DELIVER_CONFIRMED) {
		flush_ends(role, shard);
	} else if (!role->ends_wait) {
		role->ends_wait = true;
		loop_timer_start(role->ends_timer, ENDS_WAIT_MS);
	}
}

void answer_ended(struct smtp_role *role, const struct unended *list, size_t n, enum deliver_outcome outcome)
{
	for (size_t i = 0; i < n; i++)
		tell_end(role, list[i].shard, list[i].request, DELIVER_ALL, outcome);
}

/* --- life --- */

static int compare_items(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	if (x->shard != y->shard)
		return x->shard < y->shard ? -1 : 1;
	return x->target < y->target ? -1 : x->target > y->target;
}

struct delivery *delivery_new(struct smtp_role *role, uint64_t session, struct smtp_delivery *message,
                              delivery_done_fn *done, void *owner)
{
	struct delivery *delivery = mem_alloc(1, sizeof *delivery);
	*delivery = (struct delivery){ .role = role, .session = session, .message = message, .done = done, .owner = owner,
		                          .file = -1 };
	delivery->items = mem_alloc(message->n_targets, sizeof *delivery->items);
	for (uint32_t i = 0; i < message->n_targets; i++) {
		message->targets[i].result = SMTP_UNAVAILABLE;
		delivery->items[i] = (struct item){ .target = i, .shard = message->targets[i].shard };
	}
	qsort(delivery->items, message->n_targets, sizeof *delivery->items, compare_items);
	return delivery;
}

void delivery_free(struct delivery **delivery)
{
	struct delivery *d = *delivery;
	*delivery = NULL;
	if (!d)
		return;
	for (uint32_t i = 0; i < d->n_batches; i++) {
		struct batch *batch = &d->batches[i];
		ipc_call_cancel(d->role->calls[QUESTION_DELIVER], batch->call);
		if (batch->request != 0)
			tell_end(d->role, d->items[batch->first].shard, batch->request, DELIVER_ALL, DELIVER_LEFT);
	}
	if (d->file >= 0 && (d->unanswered || d->outstanding > 0))
		close(d->file);
	else
		body_give_file(&d->role->bodies, d->file, d->body_length);
	mem_free(d->items);
	mem_free(d->batches);
	mem_free(d);
}

static enum smtp_result result_of(enum deliver_result result, enum conf_full_answer full)
{
	switch (result) {
	case DELIVER_OK:
		return SMTP_DELIVERED;
	case DELIVER_NO_ACCOUNT:
		return SMTP_NO_ACCOUNT;
	case DELIVER_NO_SPACE:
		return SMTP_NO_SPACE;
	case DELIVER_QUOTA:
		return full == CONF_FULL_TEMPORARY ? SMTP_OVER_QUOTA : SMTP_FULL;
	case DELIVER_REFUSED:
		return SMTP_REFUSED;
	case DELIVER_UNAVAILABLE:
	case DELIVER_RESULT_COUNT:
		break;
	}
	return SMTP_UNAVAILABLE;
}

/* A shard has answered, or will not. */
static void on_reply(void *owner, int result, const void *message)
{
	struct batch *batch = owner;
	struct delivery *delivery = batch->delivery;
	enum conf_full_answer full = delivery->role->process->conf.quota.full_answer;
	const struct deliver_reply *reply = message;
	batch->call = 0;
	if (result == 0 && reply->n_results == batch->n) {
		for (uint32_t i = 0; i < batch->n; i++) {
			uint32_t target = delivery->items[batch->first + i].target;
			delivery->message->targets[target].result = result_of((enum deliver_result)reply->results[i], full);
		}
	} else {
		delivery->unanswered = true;
		log_warning("delivery-unanswered", LOG_ID(delivery->session),
		            LOG_U("shard", delivery->items[batch->first].shard), LOG_ERR(result ? result : ERR_CORRUPT));
	}
	if (--delivery->outstanding == 0)
		delivery->done(delivery->owner);
}

static int encode(struct delivery *delivery, const struct batch *batch, const struct body *body, struct buf *out)
{
	struct deliver_recipient *recipients = mem_alloc(batch->n, sizeof *recipients);
	for (uint32_t i = 0; i < batch->n; i++) {
		struct item *item = &delivery->items[batch->first + i];
		const struct smtp_target *target = &delivery->message->targets[item->target];
		memcpy(recipients[i].account.bytes, target->account, ACCOUNT_ID_SIZE);
		recipients[i].key = body_delivery_key(body, delivery->message->sender, &recipients[i].account);
	}
	struct deliver message = {
		.request = batch->call,
		.session = delivery->session,
		.sender = delivery->message->sender,
		.recipients = recipients,
		.n_recipients = batch->n,
		.body_length = body_length(body),
		.head = delivery->message->head,
	};
	buf_clear(out);
	deliver_encode_head(&message, out);
	mem_free(recipients);
	return buf_error(out);
}

static int send_batch(struct delivery *delivery, struct batch *batch, const struct body *body)
{
	struct smtp_role *role = delivery->role;
	struct ipc_calls *calls = role->calls[QUESTION_DELIVER];
	uint16_t shard = delivery->items[batch->first].shard;
	struct ipc_channel *channel = peers_channel(role->peers, PEER_SHARD(shard));
	if (!channel)
		return ERR_UNAVAILABLE;
	int err = ipc_call_begin(calls, PEER_SHARD(shard), DELIVER_TIMEOUT_MS, on_reply, batch, &batch->call);
	if (err != 0)
		return err;
	flush_ends(role, shard); /* first: the shard forgets the key before it may meet it again */
	err = encode(delivery, batch, body, &role->scratch);
	if (err == 0)
		err = ipc_send2(channel, SMTP_SHARD_DELIVER, buf_str(&role->scratch), body_bytes(body), delivery->file);
	if (err != 0) {
		ipc_call_cancel(calls, batch->call);
		batch->call = 0;
	}
	batch->request = batch->call;
	return err;
}

/* Cuts the items into batches: another shard, or too many for one message, begins a new one. */
static void make_batches(struct delivery *delivery)
{
	uint32_t n = delivery->message->n_targets, made = 0;
	for (uint32_t first = 0, end; first < n; first = end, made++) {
		for (end = first + 1; end < n && end - first < DELIVER_RECIPIENTS_MAX; end++)
			if (delivery->items[end].shard != delivery->items[first].shard)
				break;
		delivery->batches = mem_resize(delivery->batches, made + 1, sizeof *delivery->batches);
		delivery->batches[made] = (struct batch){ .delivery = delivery, .first = first, .n = end - first };
	}
	delivery->n_batches = made;
}

void delivery_send(struct delivery *delivery, struct body *body)
{
	delivery->file = body_take_file(body);
	delivery->body_length = body_length(body);
	make_batches(delivery);
	delivery->outstanding = 1; /* this call itself, so that done() comes once, at the end */
	for (uint32_t i = 0; i < delivery->n_batches; i++) {
		int err = send_batch(delivery, &delivery->batches[i], body);
		if (err == 0)
			delivery->outstanding++;
		else
			log_warning("delivery-not-sent", LOG_ID(delivery->session),
			            LOG_U("shard", delivery->items[delivery->batches[i].first].shard), LOG_ERR(err));
	}
	if (--delivery->outstanding == 0)
		delivery->done(delivery->owner);
}

/* --- after the answer --- */

/* Those of the batch that the client was told to send again are left at once: he may be quick. True when he was told
 * of others that they are stored. */
static bool leave_unsettled(struct delivery *delivery, const struct batch *batch)
{
	const struct smtp_target *targets = delivery->message->targets;
	uint16_t shard = delivery->items[batch->first].shard;
	uint32_t n_settled = 0;
	for (uint32_t i = 0; i < batch->n; i++)
		n_settled += targets[delivery->items[batch->first + i].target].settled;
	for (uint32_t i = 0; i < batch->n && n_settled > 0; i++) {
		const struct smtp_target *target = &targets[delivery->items[batch->first + i].target];
		if (!target->settled && target->result == SMTP_DELIVERED)
			tell_end(delivery->role, shard, batch->request, i, DELIVER_LEFT);
	}
	return n_settled > 0;
}

size_t delivery_answered_to_client(struct delivery *delivery, struct unended *out, size_t max)
{
	size_t n = 0;
	for (uint32_t i = 0; i < delivery->n_batches; i++) {
		struct batch *batch = &delivery->batches[i];
		if (batch->request == 0 || !leave_unsettled(delivery, batch))
			continue;
		struct unended unended = { batch->request, delivery->items[batch->first].shard };
		batch->request = 0;
		if (n < max)
			out[n++] = unended;
		else
			answer_ended(delivery->role, &unended, 1, DELIVER_CONFIRMED);
	}
	return n;
}

void delivery_is_doubtful(struct delivery *delivery)
{
	for (uint32_t i = 0; i < delivery->n_batches; i++) {
		const struct batch *batch = &delivery->batches[i];
		if (batch->request != 0)
			tell_end(delivery->role, delivery->items[batch->first].shard, batch->request, DELIVER_ALL, DELIVER_DOUBTFUL);
	}
}
