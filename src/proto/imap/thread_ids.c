/* thread_ids.c: message ids and the links between them (RFC 5256, REFERENCES, steps 1 to 3). An id is a node; one that no
 * message has is a dummy. Ids come from strangers: the table's hash has a seed, and no chain gets longer than DEPTH_MAX,
 * which is also what looking for loops costs at most. The table has its size from the begin, as making it anew would hold
 * the shard: there is place for so many ids that only references know; more of them are passed over. */
#include "base/checked.h"
#include "base/mem.h"
#include "proto/imap/thread.h"

#include <xxhash.h>

#define DEPTH_MAX      1000
#define IDS_MAX        (128u * 1024 * 1024) /* bytes of all ids, half of them foreign: enough for a million messages */
#define ID_MAX         1000
#define REFERENCES_MAX 1000 /* of one message: the last ones */
#define FOREIGN_MAX    (2u * 1024 * 1024) /* ids that only references know; with few messages: */
#define FOREIGN_FEW    16384
#define FOREIGN_EACH   8 /* and so many more for each message */

struct id_node {
	uint32_t start, length; /* of ids->texts */
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
	ids->nodes[ids->n] = (struct id_node){ start, (uint32_t)ids->texts.n - start, THREAD_NONE, THREAD_NONE };
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

/* False where it would make a loop (or so long a chain that nobody can tell). */
static bool may_link(const struct thread_ids *ids, uint32_t parent, uint32_t child)
{
	uint32_t depth = 0;
	for (uint32_t at = parent; at != THREAD_NONE; at = ids->nodes[at].parent)
		if (at == child || ++depth > DEPTH_MAX)
			return false;
	return true;
}

static struct str last_references(struct str references)
{
	size_t at = references.n;
	for (uint32_t n = 0; at > 0 && n < REFERENCES_MAX; at--)
		n += references.p[at - 1] == '<';
	return str_from(references, at);
}

/* Step 1.A; the last of them, or THREAD_NONE. */
static uint32_t link_references(struct thread_ids *ids, struct str references, size_t max, struct buf *room)
{
	uint32_t last = THREAD_NONE;
	for (size_t i = 0; i < max && next_id(&references, room); i++) {
		uint32_t node = node_of(ids, buf_str(room), true);
		if (buf_error(&ids->texts) < 0)
			return THREAD_NONE;
		if (node == THREAD_NONE)
			continue;
		if (last != THREAD_NONE && ids->nodes[node].parent == THREAD_NONE && may_link(ids, last, node))
			ids->nodes[node].parent = last;
		last = node;
	}
	return last;
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

int thread_ids_add(struct thread_ids *ids, struct str message_id, struct str references, struct str in_reply_to)
{
	struct buf room = BUF_INIT(ID_MAX);
	if (ids->n_messages == ids->size_messages) {
		ids->size_messages = ids->size_messages ? ids->size_messages * 2 : 256;
		ids->of_message = mem_resize(ids->of_message, ids->size_messages, sizeof *ids->of_message);
	}
	uint32_t node = node_of_message(ids, message_id, &room);
	uint32_t parent = link_references(ids, last_references(references), REFERENCES_MAX, &room);
	if (parent == THREAD_NONE)
		parent = link_references(ids, in_reply_to, 1, &room);
	ids->nodes[node].message = ids->n_messages;
	ids->of_message[ids->n_messages++] = node;
	/* step 1.B */
	ids->nodes[node].parent = THREAD_NONE;
	if (parent != THREAD_NONE && may_link(ids, parent, node))
		ids->nodes[node].parent = parent;
	buf_free(&room);
	return buf_error(&ids->texts);
}

/* --- steps 2 and 3 --- */

uint32_t thread_ids_count(const struct thread_ids *ids)
{
	return ids->n;
}

uint32_t thread_ids_above(const struct thread_ids *ids, uint32_t message, bool *is_dummy)
{
	uint32_t top = THREAD_NONE;
	*is_dummy = false;
	for (uint32_t at = ids->nodes[ids->of_message[message]].parent; at != THREAD_NONE; at = ids->nodes[at].parent) {
		if (ids->nodes[at].message != THREAD_NONE)
			return ids->nodes[at].message;
		top = at;
	}
	*is_dummy = top != THREAD_NONE;
	return top;
}
