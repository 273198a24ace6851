/* thread_ids.c: message ids and the links between them (RFC 5256, REFERENCES, steps 1 to 3). An id is a node; one that no
 * message has is a dummy. Ids come from strangers: the table's hash has a seed; no chain is longer than DEPTH_MAX links,
 * wherever it grows, for a node knows how deep it is below it (at least: links that are cut later still count); and links
 * are followed for one message's references LINKS_MAX times, or so. The table has its size from the begin, as making it
 * anew would hold the shard: there is place for so many ids that only references know; more of them are passed over. */
#include "base/checked.h"
#include "base/mem.h"
#include "proto/imap/thread.h"

#include <xxhash.h>

#define DEPTH_MAX      1000
#define LINKS_MAX      32768 /* real references come in rows, of which the first one's place is looked for */
#define IDS_MAX        (128u * 1024 * 1024) /* bytes of all ids, half of them foreign: enough for a million messages */
#define ID_MAX         1000
#define REFERENCES_MAX 1000 /* of one message: the last ones */
#define FOREIGN_MAX    (2u * 1024 * 1024) /* ids that only references know; with few messages: */
#define FOREIGN_FEW    16384
#define FOREIGN_EACH   8 /* and so many more for each message */

struct id_node {
	uint32_t start; /* of ids->texts */
	uint16_t length;
	uint16_t below; /* links to the deepest node below, or more */
	uint32_t parent;
	uint32_t message;
};

struct thread_ids {
	uint64_t seed;
	struct buf texts;
	struct id_node *nodes;
	uint32_t n, size;
	uint32_t *slots; /* node + 1; 0: free */
	uint32_t n_slots; /* a power of two, at least twice as many as nodes there may be */
	uint32_t foreign_left;
	uint32_t *of_message; /* node */
	uint32_t n_messages, size_messages;
	uint64_t steps;     /* links followed */
	uint64_t steps_max; /* when so many are, no more references of this message are linked */
};

struct thread_ids *thread_ids_new(uint64_t seed, uint32_t messages)
{
	struct thread_ids *ids = mem_alloc(1, sizeof *ids);
	ids->seed = seed;
	ids->texts = BUF_INIT(IDS_MAX);
	ids->foreign_left = (uint32_t)MIN(FOREIGN_FEW + (uint64_t)messages * FOREIGN_EACH, (uint64_t)FOREIGN_MAX);
	ids->n_slots = 1024;
	while (ids->n_slots / 2 < (uint64_t)messages + ids->foreign_left && ids->n_slots <= UINT32_MAX / 4)
		ids->n_slots *= 2;
	ids->slots = mem_alloc(ids->n_slots, sizeof *ids->slots);
	return ids;
}

void thread_ids_free(struct thread_ids **pointer)
{
	struct thread_ids *ids = *pointer;
	*pointer = NULL;
	if (!ids)
		return;
	buf_free(&ids->texts);
	mem_free(ids->nodes);
	mem_free(ids->slots);
	mem_free(ids->of_message);
	mem_free(ids);
}

/* --- reading ids --- */

/* The next "<...>" without quoting and blanks (so that <"a"@b> is <a@b>); false at the end. */
static bool next_id(struct str *rest, struct buf *out)
{
	for (;;) {
		ptrdiff_t open = str_find_byte(*rest, '<');
		if (open < 0)
			return false;
		*rest = str_from(*rest, (size_t)open + 1);
		ptrdiff_t close = str_find_byte(*rest, '>');
		if (close < 0)
			return false;
		struct str id = str_first(*rest, (size_t)close);
		*rest = str_from(*rest, (size_t)close + 1);
		buf_clear(out);
		for (size_t i = 0; i < id.n; i++) {
			if (id.p[i] == '\\' && i + 1 < id.n)
				i++;
			else if (strchr("\" \t\r\n", id.p[i]))
				continue;
			buf_add_byte(out, id.p[i]);
		}
		if (buf_error(out) == 0 && str_find_byte(buf_str(out), '@') > 0)
			return true;
	}
}

/* --- nodes --- */

static uint32_t new_node(struct thread_ids *ids, struct str id)
{
	if (ids->n == ids->size) {
		ids->size = ids->size ? ids->size * 2 : 512;
		ids->nodes = mem_resize(ids->nodes, ids->size, sizeof *ids->nodes);
	}
	uint32_t start = (uint32_t)ids->texts.n;
	buf_add(&ids->texts, id);
	ids->nodes[ids->n] = (struct id_node){ start, (uint16_t)(ids->texts.n - start), 0, THREAD_NONE, THREAD_NONE };
	return ids->n++;
}

static struct str text_of(const struct thread_ids *ids, uint32_t node)
{
	return str_of(ids->texts.p + ids->nodes[node].start, ids->nodes[node].length);
}

static uint32_t slot_of(const struct thread_ids *ids, struct str id)
{
	uint32_t at = (uint32_t)XXH3_64bits_withSeed(id.p, id.n, ids->seed) & (ids->n_slots - 1);
	while (ids->slots[at] != 0 && !str_eq(text_of(ids, ids->slots[at] - 1), id))
		at = (at + 1) & (ids->n_slots - 1);
	return at;
}

/* The node with this id, which is made if need be; THREAD_NONE: there is no place for another foreign one. */
static uint32_t node_of(struct thread_ids *ids, struct str id, bool foreign)
{
	uint32_t at = slot_of(ids, id);
	if (ids->slots[at] == 0) {
		if (foreign && (ids->foreign_left == 0 || ids->texts.n + id.n > IDS_MAX / 2))
			return THREAD_NONE;
		uint32_t node = new_node(ids, id);
		if (buf_error(&ids->texts) < 0)
			return node; /* the caller gives up */
		ids->foreign_left -= foreign;
		ids->slots[at] = node + 1;
	}
	return ids->slots[at] - 1;
}

/* --- links --- */

/* The last node of a row, and what is above it where that was looked for. */
struct row_end {
	uint32_t node; /* THREAD_NONE: there is no row */
	uint32_t top, depth;
	bool known;
};

static void find_top(struct thread_ids *ids, struct row_end *end)
{
	*end = (struct row_end){ .node = end->node, .top = end->node, .known = true };
	for (uint32_t at; (at = ids->nodes[end->top].parent) != THREAD_NONE; end->depth++)
		end->top = at;
	ids->steps += end->depth;
}

/* The child has no parent. False where it would make a loop, or too long a chain. */
static bool may_link(struct thread_ids *ids, struct row_end *end, uint32_t child)
{
	if (!end->known)
		find_top(ids, end);
	return end->top != child && end->depth + 1 + ids->nodes[child].below <= DEPTH_MAX;
}

/* Tells those above a node how deep it is below it. */
static void tell_depth(struct thread_ids *ids, uint32_t node)
{
	struct id_node *nodes = ids->nodes;
	uint32_t below = nodes[node].below + 1u;
	for (uint32_t at = nodes[node].parent; at != THREAD_NONE && nodes[at].below < below; at = nodes[at].parent) {
		nodes[at].below = (uint16_t)below++;
		ids->steps++;
	}
}

/* Puts the child below the row's end, whose end it is now. Those above are told of it when the row is over: once for all
 * of it. */
static void link_child(struct thread_ids *ids, struct row_end *end, uint32_t child)
{
	ids->nodes[child].parent = end->node;
	end->node = child;
	end->depth++;
	if (ids->nodes[child].below > 0)
		tell_depth(ids, child);
}

static void end_row(struct thread_ids *ids, const struct row_end *end)
{
	if (end->node != THREAD_NONE)
		tell_depth(ids, end->node);
}

static struct str last_references(struct str references)
{
	size_t at = references.n;
	for (uint32_t n = 0; at > 0 && n < REFERENCES_MAX; at--)
		n += references.p[at - 1] == '<';
	return str_from(references, at);
}

/* Step 1.A; the last of them, if any. */
static struct row_end link_references(struct thread_ids *ids, struct str references, size_t max, struct buf *room)
{
	struct row_end end = { .node = THREAD_NONE };
	for (size_t i = 0; i < max && next_id(&references, room); i++) {
		uint32_t node = node_of(ids, buf_str(room), true);
		if (buf_error(&ids->texts) < 0)
			break; /* the caller gives up */
		if (node == THREAD_NONE)
			continue;
		bool is_free = end.node != THREAD_NONE && ids->nodes[node].parent == THREAD_NONE;
		if (is_free && (end.known || ids->steps < ids->steps_max) && may_link(ids, &end, node)) {
			link_child(ids, &end, node);
		} else {
			end_row(ids, &end);
			end = (struct row_end){ .node = node };
		}
	}
	end_row(ids, &end);
	return end;
}

/* An id that another message has already, or none at all: a node that nobody can refer to. */
static uint32_t node_of_message(struct thread_ids *ids, struct str message_id, struct buf *room)
{
	if (next_id(&message_id, room)) {
		uint32_t node = node_of(ids, buf_str(room), false);
		if (ids->nodes[node].message == THREAD_NONE)
			return node;
	}
	return new_node(ids, STR(""));
}

/* Step 1.B: its own references are what counts. */
static void link_message(struct thread_ids *ids, struct row_end *end, uint32_t node)
{
	struct id_node *message = &ids->nodes[node];
	if (message->parent == end->node)
		return;
	end->known = end->known && message->parent == THREAD_NONE; /* else it may be cut off above the row */
	message->parent = THREAD_NONE;
	if (end->node == THREAD_NONE || !may_link(ids, end, node))
		return;
	link_child(ids, end, node);
	end_row(ids, end);
}

int thread_ids_add(struct thread_ids *ids, struct str message_id, struct str references, struct str in_reply_to)
{
	struct buf room = BUF_INIT(ID_MAX);
	if (ids->n_messages == ids->size_messages) {
		ids->size_messages = ids->size_messages ? ids->size_messages * 2 : 256;
		ids->of_message = mem_resize(ids->of_message, ids->size_messages, sizeof *ids->of_message);
	}
	uint32_t node = node_of_message(ids, message_id, &room);
	ids->steps_max = ids->steps + LINKS_MAX;
	struct row_end end = link_references(ids, last_references(references), REFERENCES_MAX, &room);
	if (end.node == THREAD_NONE)
		end = link_references(ids, in_reply_to, 1, &room);
	ids->nodes[node].message = ids->n_messages;
	ids->of_message[ids->n_messages++] = node;
	link_message(ids, &end, node);
	buf_free(&room);
	return buf_error(&ids->texts);
}

/* --- steps 2 and 3 --- */

uint32_t thread_ids_count(const struct thread_ids *ids)
{
	return ids->n;
}

uint64_t thread_ids_steps(const struct thread_ids *ids)
{
	return ids->steps;
}

/* All who were passed get the answer as their parent, so that each is passed once. */
uint32_t thread_ids_above(struct thread_ids *ids, uint32_t message, bool *is_dummy)
{
	struct id_node *nodes = ids->nodes;
	uint32_t from = ids->of_message[message], above = THREAD_NONE, next;
	for (uint32_t at = nodes[from].parent; at != THREAD_NONE; at = nodes[at].parent) {
		above = at;
		ids->steps++;
		if (nodes[at].message != THREAD_NONE)
			break;
	}
	for (uint32_t at = from; at != above && nodes[at].parent != THREAD_NONE; at = next) {
		next = nodes[at].parent;
		nodes[at].parent = above;
		ids->steps++;
	}
	*is_dummy = above != THREAD_NONE && nodes[above].message == THREAD_NONE;
	return above == THREAD_NONE || *is_dummy ? above : nodes[above].message;
}
