/* delivery.c: keys of deliveries that were stored and whose answers may be lost; see delivery.h.
 *
 * Rows of confirmed keys count as forgotten at once; they go with the next batch, and are tried again when that is
 * voided. A row that is left for good ends by its age.
 *
 * The copies of one key that have rows are 0, 1, ... without a gap: a look needs one row only. So when one below others
 * is confirmed, the last row goes instead, and who held that has the one below: identical deliveries are not told
 * apart. Only rows that are durable change hands: a confirmation waits until the copies above are answered. When its
 * process goes meanwhile there may be a gap, and the retry of what lies above it is stored twice; nothing is lost. */
#include "store/delivery.h"

#include "base/clock.h"
#include "store/internal.h"

#include <xxhash.h>

#define KEY_BUCKETS     4096
#define REQUEST_BUCKETS 1024

/* A recipient's. */
struct live_key {
	struct live_key *next;  /* of the bucket */
	struct live_key *other; /* of the delivery */
	struct delivery *delivery;
	uint32_t recipient;
	unsigned char key[DELIVERY_KEY_BYTES]; /* of copy 0 */
	uint8_t copy;
	bool has_followers; /* there is or was a copy above it */
	bool is_confirmed;  /* and waits for those */
};

struct delivery {
	struct delivery *next; /* of the bucket */
	uint64_t process, number, session;
	struct live_key *keys;
	bool is_doubtful, is_left, is_answered;
};

struct deliveries {
	struct live_key *keys[KEY_BUCKETS];
	struct delivery *requests[REQUEST_BUCKETS];
	size_t n_live, n_confirmed;
	size_t in_batch; /* the first of the confirmed, whose rows were removed in the batch that is being committed */
	struct {
		unsigned char key[DELIVERY_KEY_BYTES];
		bool again; /* the same was stored anew in the open batch: the row is the new one's, and stays */
	} confirmed[DELIVERY_KEYS_MAX];
};

static struct deliveries *deliveries_of(struct store *store)
{
	if (!store->deliveries)
		store->deliveries = mem_alloc(1, sizeof *store->deliveries);
	return store->deliveries;
}

/* --- rows --- */

static struct str key_bytes(const unsigned char key[DELIVERY_KEY_BYTES])
{
	return str_of((const char *)key, DELIVERY_KEY_BYTES);
}

/* The confirmed entry whose row is still to be removed; n_confirmed: none. */
static size_t find_confirmed(const struct deliveries *deliveries, const unsigned char key[DELIVERY_KEY_BYTES])
{
	size_t i = deliveries->in_batch;
	while (i < deliveries->n_confirmed &&
	       (deliveries->confirmed[i].again || memcmp(deliveries->confirmed[i].key, key, DELIVERY_KEY_BYTES) != 0))
		i++;
	return i;
}

static int find_row(struct store *store, const unsigned char key[DELIVERY_KEY_BYTES], bool *has_row, bool *known)
{
	const struct deliveries *deliveries = deliveries_of(store);
	DB_USING(find, store->sql.delivery_find);
	db_bind_blob(find, 1, key_bytes(key));
	int row = db_step(find);
	if (row < 0)
		return row;
	*has_row = row == DB_ROW;
	*known = *has_row && find_confirmed(deliveries, key) == deliveries->n_confirmed;
	return 0;
}

int delivery_is_known(struct store *store, const unsigned char key[DELIVERY_KEY_BYTES], bool *known)
{
	bool has_row;
	return find_row(store, key, &has_row, known);
}

int delivery_remember(struct store *store, struct account *account, const unsigned char key[DELIVERY_KEY_BYTES])
{
	sqlite3_stmt *insert = store->sql.delivery_insert;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	db_bind_blob(insert, 1, key_bytes(key));
	db_bind_int(insert, 2, clock_wall_seconds());
	result = db_run(insert);
	return result < 0 ? store_void(store, result) : 0;
}

/* Over the row of one that was confirmed, which is then not removed. */
static int write_row(struct store *store, struct account *account, const unsigned char key[DELIVERY_KEY_BYTES],
                     bool has_row)
{
	struct deliveries *deliveries = store->deliveries;
	int result = delivery_remember(store, account, key);
	size_t old = result == 0 && has_row ? find_confirmed(deliveries, key) : deliveries->n_confirmed;
	if (old < deliveries->n_confirmed)
		deliveries->confirmed[old].again = true;
	return result;
}

/* Room is there: a key takes its place here while it is live. */
static void forget_row(struct deliveries *deliveries, const unsigned char key[DELIVERY_KEY_BYTES])
{
	if (deliveries->n_confirmed == DELIVERY_KEYS_MAX)
		return;
	memcpy(deliveries->confirmed[deliveries->n_confirmed].key, key, DELIVERY_KEY_BYTES);
	deliveries->confirmed[deliveries->n_confirmed++].again = false;
}

bool delivery_forget_confirmed(struct store *store)
{
	const struct deliveries *deliveries = store->deliveries;
	uint64_t batch;
	return deliveries && deliveries->n_confirmed > deliveries->in_batch && store_writable(store) &&
	       gate_begin(store->gate, 0, &batch) == 0;
}

int deliveries_forget(struct store *store)
{
	struct deliveries *deliveries = store->deliveries;
	int result = 0;
	for (; deliveries && deliveries->in_batch < deliveries->n_confirmed && result == 0; deliveries->in_batch++) {
		if (deliveries->confirmed[deliveries->in_batch].again)
			continue;
		db_bind_blob(store->sql.delivery_remove, 1, key_bytes(deliveries->confirmed[deliveries->in_batch].key));
		result = db_run(store->sql.delivery_remove);
	}
	return result;
}

void deliveries_forgotten(struct store *store, bool committed)
{
	struct deliveries *deliveries = store->deliveries;
	if (!deliveries)
		return;
	if (committed) {
		deliveries->n_confirmed -= deliveries->in_batch;
		memmove(deliveries->confirmed, deliveries->confirmed + deliveries->in_batch,
		        deliveries->n_confirmed * sizeof deliveries->confirmed[0]);
	}
	if (committed || store->committed <= store_durable(store)) /* else they went with the batch before, whose sync is awaited */
		deliveries->in_batch = 0;
	for (size_t i = deliveries->in_batch; i < deliveries->n_confirmed && !committed; i++)
		deliveries->confirmed[i].again = false;
}

/* --- live keys --- */

/* The keys are hashes: those of copies differ from all others as those do from each other. */
static void key_of_copy(const unsigned char key[DELIVERY_KEY_BYTES], uint32_t copy,
                        unsigned char out[DELIVERY_KEY_BYTES])
{
	memcpy(out, key, DELIVERY_KEY_BYTES);
	out[DELIVERY_KEY_BYTES - 1] ^= (unsigned char)copy;
}

static void forget_copy(struct deliveries *deliveries, const unsigned char key[DELIVERY_KEY_BYTES], uint32_t copy)
{
	unsigned char own[DELIVERY_KEY_BYTES];
	key_of_copy(key, copy, own);
	forget_row(deliveries, own);
}

static struct live_key **bucket_of(struct deliveries *deliveries, const unsigned char key[DELIVERY_KEY_BYTES])
{
	return &deliveries->keys[XXH3_64bits(key, DELIVERY_KEY_BYTES) % KEY_BUCKETS];
}

static struct live_key *find_live(struct deliveries *deliveries, const unsigned char key[DELIVERY_KEY_BYTES],
                                  uint32_t copy)
{
	struct live_key *live = *bucket_of(deliveries, key);
	while (live && (live->copy != copy || memcmp(live->key, key, DELIVERY_KEY_BYTES) != 0))
		live = live->next;
	return live;
}

/* Nobody waits for its end any more. `place`: in the list of its delivery. */
static void drop_at(struct deliveries *deliveries, struct live_key **place)
{
	struct live_key *live = *place, **at = bucket_of(deliveries, live->key);
	while (*at != live)
		at = &(*at)->next;
	*at = live->next;
	*place = live->other;
	deliveries->n_live--;
	if (live->is_confirmed)
		forget_copy(deliveries, live->key, live->copy);
	mem_free(live);
}

static void drop(struct deliveries *deliveries, struct live_key *live)
{
	struct live_key **place = &live->delivery->keys;
	while (*place != live)
		place = &(*place)->other;
	drop_at(deliveries, place);
}

static void add_live(struct deliveries *deliveries, const struct delivery_claim *claim, uint32_t copy)
{
	struct live_key *live = mem_alloc(1, sizeof *live), **bucket = bucket_of(deliveries, claim->key);
	*live = (struct live_key){ .next = *bucket, .other = claim->delivery->keys, .delivery = claim->delivery,
		                       .recipient = claim->recipient, .copy = (uint8_t)copy };
	memcpy(live->key, claim->key, DELIVERY_KEY_BYTES);
	*bucket = claim->delivery->keys = live;
	deliveries->n_live++;
}

int delivery_look(struct store *store, const struct delivery_claim *claim, struct delivery_look *look)
{
	struct deliveries *deliveries = deliveries_of(store);
	bool full = deliveries->n_live + deliveries->n_confirmed >= DELIVERY_KEYS_MAX;
	bool doubtful = false, known = false, has_row = false;
	uint64_t taken = 0;
	unsigned char key[DELIVERY_KEY_BYTES];
	for (const struct live_key *live = *bucket_of(deliveries, claim->key); live; live = live->next) {
		const struct delivery *other = live->delivery;
		if (other->is_left || memcmp(live->key, claim->key, DELIVERY_KEY_BYTES) != 0)
			continue;
		taken |= UINT64_C(1) << live->copy;
		doubtful |= other->is_doubtful && !(claim->delivery && claim->delivery->session == other->session);
	}
	uint32_t copy = ~taken ? (uint32_t)__builtin_ctzll(~taken) : DELIVERY_COPIES_MAX;
	if (copy < DELIVERY_COPIES_MAX) {
		key_of_copy(claim->key, copy, key);
		int result = find_row(store, key, &has_row, &known);
		if (result < 0)
			return result;
	}
	if (known ? full : doubtful)
		return ERR_UNAVAILABLE;
	*look = (struct delivery_look){ .is_retry = known, .has_row = has_row, .copy = full ? DELIVERY_COPIES_MAX : copy };
	return 0;
}

/* Those below it have a follower now; so has it, when there are more above. */
static int tell_followers(struct store *store, const struct delivery_claim *claim, uint32_t copy)
{
	struct deliveries *deliveries = store->deliveries;
	struct live_key *own = find_live(deliveries, claim->key, copy);
	unsigned char key[DELIVERY_KEY_BYTES];
	for (uint32_t i = 0; i < copy; i++) {
		struct live_key *live = find_live(deliveries, claim->key, i);
		if (live)
			live->has_followers = true;
	}
	if (!own || copy + 1 == DELIVERY_COPIES_MAX)
		return 0;
	key_of_copy(claim->key, copy + 1, key);
	return delivery_is_known(store, key, &own->has_followers);
}

int delivery_take(struct store *store, struct account *account, const struct delivery_claim *claim,
                  const struct delivery_look *look)
{
	struct deliveries *deliveries = deliveries_of(store);
	struct delivery *delivery = claim->delivery;
	unsigned char key[DELIVERY_KEY_BYTES];
	if (look->copy == DELIVERY_COPIES_MAX)
		return 0;
	if (!look->is_retry) {
		key_of_copy(claim->key, look->copy, key);
		int result = write_row(store, account, key, look->has_row);
		if (result < 0)
			return result;
	}
	if (!delivery)
		return 0;
	struct live_key *before = find_live(deliveries, claim->key, look->copy);
	if (before) /* left, its answer not sent yet */
		drop(deliveries, before);
	add_live(deliveries, claim, look->copy);
	return look->is_retry || look->copy > 0 ? tell_followers(store, claim, look->copy) : 0;
}

/* The last copy that has a row; *settled: none on the way to it is still to be answered. */
static uint32_t last_copy(struct store *store, const struct live_key *live, bool *settled)
{
	uint32_t last = live->copy;
	bool known = live->has_followers;
	unsigned char key[DELIVERY_KEY_BYTES];
	*settled = true;
	while (known && *settled && last + 1 < DELIVERY_COPIES_MAX) {
		const struct live_key *next = find_live(store->deliveries, live->key, last + 1);
		key_of_copy(live->key, last + 1, key);
		*settled = !next || next->delivery->is_answered;
		known = *settled && delivery_is_known(store, key, &known) == 0 && known;
		last += known;
	}
	return last;
}

/* The answer of one of the copies has arrived: the last of them goes. False: when those above are answered. */
static bool confirm(struct store *store, struct live_key **place)
{
	struct deliveries *deliveries = store->deliveries;
	struct live_key *live = *place;
	bool settled;
	uint32_t last = last_copy(store, live, &settled);
	live->is_confirmed = true;
	if (!settled)
		return false;
	struct live_key *moves = last > live->copy ? find_live(deliveries, live->key, last) : NULL;
	if (moves) {
		moves->copy = live->copy;
		moves->has_followers = true;
	}
	live->copy = (uint8_t)last;
	drop_at(deliveries, place);
	return true;
}

/* --- deliveries --- */

static struct delivery **request_bucket(struct deliveries *deliveries, uint64_t number)
{
	return &deliveries->requests[number % REQUEST_BUCKETS];
}

struct delivery *delivery_begin(struct store *store, uint64_t process, uint64_t number, uint64_t session)
{
	struct delivery *delivery = mem_alloc(1, sizeof *delivery);
	struct delivery **bucket = request_bucket(deliveries_of(store), number);
	*delivery = (struct delivery){ .next = *bucket, .process = process, .number = number, .session = session };
	*bucket = delivery;
	return delivery;
}

static void free_delivery(struct deliveries *deliveries, struct delivery *delivery)
{
	struct delivery **at = request_bucket(deliveries, delivery->number);
	while (*at != delivery)
		at = &(*at)->next;
	*at = delivery->next;
	while (delivery->keys)
		drop_at(deliveries, &delivery->keys);
	mem_free(delivery);
}

static void free_if_over(struct deliveries *deliveries, struct delivery *delivery)
{
	if (delivery->is_answered && (delivery->is_left || !delivery->keys))
		free_delivery(deliveries, delivery);
}

static bool confirm_again(struct store *store, struct live_key *live)
{
	struct delivery *delivery = live->delivery;
	struct live_key **place = &delivery->keys;
	while (*place != live)
		place = &(*place)->other;
	bool done = confirm(store, place);
	if (done)
		free_if_over(store->deliveries, delivery);
	return done;
}

/* Those whose copies above were unanswered until now; also what takes the place of one. */
static void confirm_waiting(struct store *store, const unsigned char key[DELIVERY_KEY_BYTES])
{
	for (uint32_t copy = 0; copy < DELIVERY_COPIES_MAX; copy++) {
		struct live_key *live = find_live(store->deliveries, key, copy);
		while (live && live->is_confirmed && confirm_again(store, live))
			live = find_live(store->deliveries, key, copy);
	}
}

void delivery_answered(struct store *store, struct delivery **delivery, const unsigned char *results,
                       uint32_t n_results)
{
	struct delivery *answered = *delivery;
	*delivery = NULL;
	if (!answered)
		return;
	answered->is_answered = true;
	for (struct live_key **at = &answered->keys; *at;) {
		struct live_key own = **at;
		if (own.recipient >= n_results || results[own.recipient] != 0)
			drop_at(store->deliveries, at);
		else
			at = &(*at)->other;
		if (own.copy > 0)
			confirm_waiting(store, own.key);
	}
	free_if_over(store->deliveries, answered);
}

void delivery_end(struct store *store, uint64_t process, uint64_t number, uint32_t recipient, enum delivery_end end)
{
	struct deliveries *deliveries = deliveries_of(store);
	struct delivery *delivery = *request_bucket(deliveries, number);
	while (delivery && (delivery->number != number || delivery->process != process))
		delivery = delivery->next;
	if (!delivery)
		return;
	delivery->is_doubtful |= end == DELIVERY_DOUBTFUL;
	delivery->is_left |= end == DELIVERY_LEFT && recipient == DELIVERY_ALL;
	/* What is not answered yet cannot have arrived; and until then it is known here which rows are not durable. */
	for (struct live_key **at = &delivery->keys; *at && delivery->is_answered && end != DELIVERY_DOUBTFUL;) {
		if (recipient != DELIVERY_ALL && (*at)->recipient != recipient)
			at = &(*at)->other;
		else if (end != DELIVERY_CONFIRMED)
			drop_at(deliveries, at);
		else if (!confirm(store, at))
			at = &(*at)->other;
	}
	free_if_over(deliveries, delivery);
}

void delivery_process_gone(struct store *store, uint64_t process)
{
	struct deliveries *deliveries = store->deliveries;
	for (size_t i = 0; deliveries && i < REQUEST_BUCKETS; i++) {
		for (struct delivery *delivery = deliveries->requests[i], *next; delivery; delivery = next) {
			next = delivery->next;
			if (delivery->process == process) {
				delivery->is_left = true;
				free_if_over(deliveries, delivery);
			}
		}
	}
}

void deliveries_free(struct store *store)
{
	struct deliveries *deliveries = store->deliveries;
	for (size_t i = 0; deliveries && i < REQUEST_BUCKETS; i++)
		while (deliveries->requests[i])
			free_delivery(deliveries, deliveries->requests[i]);
	mem_free(deliveries);
	store->deliveries = NULL;
}
