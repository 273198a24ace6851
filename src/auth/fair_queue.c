/* fair_queue.c: clients are spread over lanes by their hash; lanes that hold something are served round robin. Two
 * clients on one lane share its turn, and count as one where somebody has to give way, which is as fair as a fixed
 * table can be. Owned by who made it. */
#include "auth/fair_queue.h"

#include "base/mem.h"

#define LANES 256

struct node {
	struct node *next;
	uint64_t client;
	void *item;
};

struct lane {
	struct node *first, *last;
	uint32_t n;
};

/* The clients that are trusted, or those that are not. */
struct crowd {
	uint32_t n;
	uint32_t turn; /* the lane that is looked at next */
	struct lane lanes[LANES];
};

struct fair_queue {
	uint32_t max, max_per_client;
	bool trusted_next;
	struct crowd crowds[2]; /* [1]: trusted */
};

struct fair_queue *fair_queue_new(uint32_t max, uint32_t max_per_client)
{
	struct fair_queue *queue = mem_alloc(1, sizeof *queue);
	queue->trusted_next = true;
	fair_queue_set_limits(queue, max, max_per_client);
	return queue;
}

void fair_queue_free(struct fair_queue **queue)
{
	if (!*queue)
		return;
	while (fair_queue_pop(*queue))
		;
	mem_free(*queue);
	*queue = NULL;
}

void fair_queue_set_limits(struct fair_queue *queue, uint32_t max, uint32_t max_per_client)
{
	queue->max = max;
	queue->max_per_client = max_per_client;
}

static struct lane *fullest(struct crowd *crowd)
{
	struct lane *lane = crowd->lanes;
	for (size_t i = 1; i < LANES; i++)
		if (crowd->lanes[i].n > lane->n)
			lane = &crowd->lanes[i];
	return lane;
}

static void *take_last(struct crowd *crowd, struct lane *lane)
{
	struct node **at = &lane->first, *before = NULL;
	while ((*at)->next) {
		before = *at;
		at = &before->next;
	}
	void *item = (*at)->item;
	mem_free(*at);
	*at = NULL;
	lane->last = before;
	lane->n--;
	crowd->n--;
	return item;
}

/* Who has one more than the newcomer would have gains nothing by staying; who is not trusted goes for one who is. */
static void *make_place(struct fair_queue *queue, const struct lane *newcomer, bool trusted)
{
	struct lane *lane = fullest(&queue->crowds[false]);
	if (lane->n > 0 && (trusted || lane->n > newcomer->n + 1))
		return take_last(&queue->crowds[false], lane);
	lane = fullest(&queue->crowds[true]);
	return trusted && lane->n > newcomer->n + 1 ? take_last(&queue->crowds[true], lane) : NULL;
}

int fair_queue_push(struct fair_queue *queue, uint64_t client, bool trusted, void *item, void **gave_way)
{
	struct crowd *crowd = &queue->crowds[trusted];
	struct lane *lane = &crowd->lanes[client % LANES];
	void *other = NULL;
	uint32_t of_client = 0;
	for (const struct node *node = lane->first; node; node = node->next)
		of_client += node->client == client;
	if (of_client >= queue->max_per_client)
		return ERR_LIMIT;
	if (fair_queue_count(queue) >= queue->max && !(other = make_place(queue, lane, trusted)))
		return ERR_LIMIT;
	struct node *node = mem_alloc(1, sizeof *node);
	node->client = client;
	node->item = item;
	if (lane->last)
		lane->last->next = node;
	else
		lane->first = node;
	lane->last = node;
	lane->n++;
	crowd->n++;
	*gave_way = other;
	return 0;
}

void *fair_queue_pop(struct fair_queue *queue)
{
	if (fair_queue_count(queue) == 0)
		return NULL;
	bool trusted = queue->crowds[queue->trusted_next].n ? queue->trusted_next : !queue->trusted_next;
	struct crowd *crowd = &queue->crowds[trusted];
	queue->trusted_next = !trusted;
	while (!crowd->lanes[crowd->turn].first)
		crowd->turn = (crowd->turn + 1) % LANES;
	struct lane *lane = &crowd->lanes[crowd->turn];
	crowd->turn = (crowd->turn + 1) % LANES;
	struct node *node = lane->first;
	lane->first = node->next;
	if (!lane->first)
		lane->last = NULL;
	void *item = node->item;
	mem_free(node);
	lane->n--;
	crowd->n--;
	return item;
}

uint32_t fair_queue_count(const struct fair_queue *queue)
{
	return queue->crowds[false].n + queue->crowds[true].n;
}
