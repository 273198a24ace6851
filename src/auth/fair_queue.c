/* fair_queue.c: clients are spread over lanes by their hash; lanes that hold something are served round robin. Two
 * clients on one lane share its turn, which is as fair as a fixed table can be. Owned by who made it. */
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
};

struct fair_queue {
	uint32_t n, max, max_per_client;
	uint32_t turn; /* the lane that is looked at next */
	struct lane lanes[LANES];
};

struct fair_queue *fair_queue_new(uint32_t max, uint32_t max_per_client)
{
	struct fair_queue *queue = mem_alloc(1, sizeof *queue);
	queue->max = max;
	queue->max_per_client = max_per_client;
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

int fair_queue_push(struct fair_queue *queue, uint64_t client, void *item)
{
	struct lane *lane = &queue->lanes[client % LANES];
	uint32_t of_client = 0;
	for (const struct node *node = lane->first; node; node = node->next)
		of_client += node->client == client;
	if (queue->n >= queue->max || of_client >= queue->max_per_client)
		return ERR_LIMIT;
	struct node *node = mem_alloc(1, sizeof *node);
	node->client = client;
	node->item = item;
	if (lane->last)
		lane->last->next = node;
	else
		lane->first = node;
	lane->last = node;
	queue->n++;
	return 0;
}

void *fair_queue_pop(struct fair_queue *queue)
{
	if (queue->n == 0)
		return NULL;
	while (!queue->lanes[queue->turn].first)
		queue->turn = (queue->turn + 1) % LANES;
	struct lane *lane = &queue->lanes[queue->turn];
	queue->turn = (queue->turn + 1) % LANES;
	struct node *node = lane->first;
	lane->first = node->next;
	if (!lane->first)
		lane->last = NULL;
	void *item = node->item;
	mem_free(node);
	queue->n--;
	return item;
}

uint32_t fair_queue_count(const struct fair_queue *queue)
{
	return queue->n;
}
