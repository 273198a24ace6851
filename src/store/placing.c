/* placing.c: the bytes of a large message go into the current segment ahead of its row, so many at a time, while other
 * writes of the shard come in between. Owned by who brings the message; holds the segment (no new one begins) and
 * nothing of the account.
 *
 *     reserve (in a batch: the record's header, and the account's next number) ──▶ fill, slice by slice, whatever
 *     batch is open ──▶ the message is added: its row points there, and its batch syncs the segment
 *
 * Body before metadata holds as ever: there is no row before all bytes were written, and the batch of the row syncs
 * them first. What is left by a crash or by a client that went is a record without a row: dead bytes, that compaction
 * gives back; its number is used up. When any batch is voided the copying begins anew, since the place may be void.
 * Nothing is written while a batch is sealed, for a sync that is under way would count as having seen it.
 *
 * What comes while the segment is full waits for the batch that begins the next one, and what comes when a copy of
 * index.db waits for the end of all filling (snapshot.c), for that end: both come when the records that are being
 * filled are whole. If they do not within WAIT_MAX_US (whoever fills one is stopping, or has no space), it is copied in one
 * piece, when the message is added. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#define PIECE       ((size_t)256 * 1024)
#define WAIT_MAX_US 2000000

struct placing {
	struct store *store;
	uint64_t wait_end_us; /* 0: it does not wait */
	bool reserved;
	uint32_t account; /* what follows is of the record, once it is reserved */
	uint64_t number, voids;
	struct body_place place;
	uint64_t length, done;
	struct body_sum *sum; /* NULL: all is there, and right */
};

struct placing *placing_new(struct store *store)
{
	struct placing *p = mem_alloc(1, sizeof *p);
	p->store = store;
	return p;
}

static void forget(struct placing *p)
{
	if (p->reserved)
		bodylog_release(p->store->bodies);
	p->reserved = false;
	(void)body_sum_end(&p->sum);
}

static void end_wait(struct placing *p)
{
	if (p->wait_end_us != 0)
		p->store->placings_waiting--;
	p->wait_end_us = 0;
}

void placing_free(struct placing **pointer)
{
	struct placing *p = *pointer;
	*pointer = NULL;
	if (!p)
		return;
	end_wait(p);
	forget(p);
	mem_free(p);
}

static bool is_valid(const struct placing *p, const struct account *account)
{
	return p->reserved && p->voids == p->store->voids && p->account == account->number;
}

bool placing_place(const struct placing *p, const struct account *account, uint64_t *number, struct body_place *place)
{
	if (!is_valid(p, account) || p->sum)
		return false;
	*number = p->number;
	*place = p->place;
	return true;
}

static int fill(struct placing *p, struct str bytes)
{
	int result = bodylog_fill(p->store->bodies, &p->place, p->done, bytes);
	if (result < 0)
		return result;
	body_sum_add(p->sum, bytes);
	p->done += bytes.n;
	return 0;
}

static int reserve(struct placing *p, struct account *account, struct str mailbox,
                   const struct message_arrival *arrival)
{
	struct body_record record = { .account = account->id, .message = account->next, .length = arrival->size,
		                      .internal_date = arrival->internal_date, .zone_minutes = arrival->zone_minutes,
		                      .mailbox = mailbox, .checksum = arrival->checksum };
	int result = account->next < NUMBER_MAX ? store_begin(account, arrival->size) : ERR_LIMIT;
	if (result == 0)
		result = bodylog_reserve(p->store->bodies, &record, &p->place);
	if (result < 0)
		return result;
	p->place.checksum = arrival->checksum;
	p->number = account->next++;
	account->row_dirty = true; /* the number is in no row that load_counters looks at */
	p->account = account->number;
	p->voids = p->store->voids;
	p->length = arrival->size;
	p->done = 0;
	p->sum = body_sum_new();
	p->reserved = true;
	for (size_t i = 0; i < arrival->n_pieces && result == 0; i++)
		result = fill(p, arrival->pieces[i]);
	return result;
}

static int fill_piece(struct placing *p, const struct message_arrival *arrival, char *room)
{
	uint64_t before = arrival->size - arrival->file_length; /* the pieces */
	size_t n = (size_t)MIN(p->length - p->done, (uint64_t)PIECE);
	int result = file_read_exactly(arrival->fd, arrival->file_start + (p->done - before), room, n);
	return result == 0 ? fill(p, str_of(room, n)) : ERR_IO;
}

/* At least one piece. */
static int fill_some(struct placing *p, const struct message_arrival *arrival, uint64_t end_us)
{
	char *room = mem_alloc_unset(PIECE);
	int result;
	do {
		result = fill_piece(p, arrival, room);
	} while (result == 0 && p->done < p->length && clock_monotonic_us() < end_us);
	mem_free(room);
	return result;
}

/* Does something else come first? */
static bool waits(const struct store *store)
{
	bool begins_segment = !bodylog_is_filling(store->bodies) && !gate_has_batch(store->gate);
	return (bodylog_is_full(store->bodies) && !begins_segment) || snapshot_waits(store);
}

bool placing_waits(const struct placing *p)
{
	return p->wait_end_us != 0;
}

bool store_place_is_awaited(const struct store *store)
{
	return store->placings_waiting > 0;
}

bool store_place_is_free(const struct store *store)
{
	return store->placings_waiting > 0 && store_writable(store) && !waits(store);
}

/* True once it has waited long enough. */
static bool wait_is_over(struct placing *p)
{
	uint64_t now_us = clock_monotonic_us();
	if (p->wait_end_us == 0) {
		p->wait_end_us = now_us + WAIT_MAX_US;
		p->store->placings_waiting++;
	}
	return now_us >= p->wait_end_us;
}

int placing_step(struct placing *p, struct account *account, struct str mailbox,
                 const struct message_arrival *arrival, uint64_t end_us, bool *done)
{
	int result = 0;
	*done = false;
	if (account->gone)
		return ERR_NOT_FOUND;
	if (!store_writable(p->store))
		return 0;
	if (p->reserved && !is_valid(p, account))
		forget(p);
	if (!p->reserved && waits(p->store)) {
		*done = wait_is_over(p);
		return 0;
	}
	end_wait(p);
	if (!p->reserved)
		result = reserve(p, account, mailbox, arrival);
	if (result == 0 && p->done < p->length)
		result = fill_some(p, arrival, end_us);
	if (result == 0 && p->done == p->length && p->sum && body_sum_end(&p->sum) != arrival->checksum)
		result = ERR_SYNTAX;
	if (result < 0)
		forget(p);
	*done = result == 0 && p->done == p->length;
	return result;
}
