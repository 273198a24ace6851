/* thread.c: trees of messages from parents, subjects and dates (RFC 5256). Children are put under their parents in the
 * order of dates, so each set of siblings is sorted as it is made (steps 4 and 6); merging by subject (step 5) only
 * changes parents, and the lists are made anew. The work is a row of phases, each of which does something for each of so
 * many items, some at a time; no recursion. */
#include "proto/imap/thread.h"

#include "base/checked.h"
#include "base/mem.h"

#include <xxhash.h>

#define STEP_ITEMS 256
#define STEP_LINKS 4096 /* a message may follow a thousand or two */

/* Nodes by subject: open addressing. */
struct subjects {
	uint32_t *nodes;    /* what stands for the subject; THREAD_NONE: nothing */
	uint32_t *messages; /* whose subject it is */
	uint32_t size;      /* a power of two, more than twice the messages */
};

struct thread_work {
	struct thread_facts facts;
	struct thread_ids *ids;
	struct thread_tree tree;
	struct subjects subjects;
	uint32_t *dummies; /* by node of ids: messages below it; then its node here, or THREAD_NONE */
	uint32_t *roots, n_roots;
	uint32_t phase, at;
};

struct thread_work *thread_work_new(const struct thread_facts *facts, struct thread_ids *ids)
{
	struct thread_work *w = mem_alloc(1, sizeof *w);
	size_t nodes = 2 * (size_t)facts->n + 1; /* each dummy has two children or more of its own */
	struct thread_tree *tree = &w->tree;
	w->facts = *facts;
	w->ids = ids;
	*tree = (struct thread_tree){ .n = facts->n, .n_nodes = facts->n,
		                          .first_root = THREAD_NONE, .last_root = THREAD_NONE };
	tree->parent = mem_alloc(nodes, sizeof *tree->parent);
	tree->first_child = mem_alloc(nodes, sizeof *tree->first_child);
	tree->last_child = mem_alloc(nodes, sizeof *tree->last_child);
	tree->next = mem_alloc(nodes, sizeof *tree->next);
	w->roots = mem_alloc(nodes, sizeof *w->roots);
	if (ids)
		w->dummies = mem_alloc(thread_ids_count(ids) + 1, sizeof *w->dummies);
	w->subjects.size = 64;
	while (w->subjects.size / 2 <= facts->n)
		w->subjects.size *= 2;
	w->subjects.nodes = mem_alloc(w->subjects.size, sizeof *w->subjects.nodes);
	w->subjects.messages = mem_alloc(w->subjects.size, sizeof *w->subjects.messages);
	return w;
}

void thread_work_free(struct thread_work **work)
{
	struct thread_work *w = *work;
	*work = NULL;
	if (!w)
		return;
	mem_free(w->tree.parent);
	mem_free(w->tree.first_child);
	mem_free(w->tree.last_child);
	mem_free(w->tree.next);
	mem_free(w->roots);
	mem_free(w->dummies);
	mem_free(w->subjects.nodes);
	mem_free(w->subjects.messages);
	mem_free(w);
}

const struct thread_tree *thread_work_tree(const struct thread_work *w)
{
	return &w->tree;
}

/* --- parents by ids: steps 2 and 3 --- */

static void count_below(struct thread_work *w, uint32_t message)
{
	bool is_dummy;
	uint32_t parent = thread_ids_above(w->ids, message, &is_dummy);
	if (is_dummy)
		w->dummies[parent]++;
}

/* A dummy stays where it has two messages or more below it and none above: others are spliced out. */
static void number_dummy(struct thread_work *w, uint32_t node)
{
	bool stays = w->dummies[node] >= 2;
	w->dummies[node] = stays ? w->tree.n_nodes : THREAD_NONE;
	if (stays)
		w->tree.parent[w->tree.n_nodes++] = THREAD_NONE;
}

static void find_parent(struct thread_work *w, uint32_t message)
{
	bool is_dummy;
	uint32_t parent = thread_ids_above(w->ids, message, &is_dummy);
	w->tree.parent[message] = is_dummy ? w->dummies[parent] : parent;
}

/* --- lists from parents --- */

static void clear_node(struct thread_work *w, uint32_t node)
{
	struct thread_tree *t = &w->tree;
	t->first_child[node] = t->last_child[node] = t->next[node] = THREAD_NONE;
	t->first_root = t->last_root = THREAD_NONE;
	w->n_roots = 0;
}

static void append(uint32_t *first, uint32_t *last, uint32_t *next, uint32_t node)
{
	if (*first == THREAD_NONE)
		*first = node;
	else
		next[*last] = node;
	*last = node;
}

static void place(struct thread_work *w, uint32_t node)
{
	struct thread_tree *t = &w->tree;
	uint32_t parent = t->parent[node];
	if (parent == THREAD_NONE) {
		append(&t->first_root, &t->last_root, t->next, node);
		w->roots[w->n_roots++] = node;
	} else {
		append(&t->first_child[parent], &t->last_child[parent], t->next, node);
	}
}

/* The next by date. A dummy comes to stand where its first child would. */
static void link_message(struct thread_work *w, uint32_t i)
{
	struct thread_tree *t = &w->tree;
	uint32_t node = w->facts.order[i], parent = t->parent[node];
	if (parent != THREAD_NONE && parent >= t->n && t->first_child[parent] == THREAD_NONE)
		place(w, parent);
	place(w, node);
}

/* --- subjects --- */

static void clear_subject(struct thread_work *w, uint32_t i)
{
	w->subjects.nodes[i] = THREAD_NONE;
}

/* The node that stands for this message's subject; a free place is made to be of it. */
static uint32_t *find_subject(struct thread_work *w, uint32_t message)
{
	const struct thread_facts *facts = &w->facts;
	struct subjects *s = &w->subjects;
	struct str subject = facts->subject(facts->owner, message);
	uint32_t at = (uint32_t)XXH3_64bits_withSeed(subject.p, subject.n, facts->seed) & (s->size - 1);
	while (s->nodes[at] != THREAD_NONE && !str_eq(facts->subject(facts->owner, s->messages[at]), subject))
		at = (at + 1) & (s->size - 1);
	if (s->nodes[at] == THREAD_NONE)
		s->messages[at] = message;
	return &s->nodes[at];
}

/* ORDEREDSUBJECT: all others are children of the first. */
static void join_subject(struct thread_work *w, uint32_t i)
{
	uint32_t message = w->facts.order[i], *first = find_subject(w, message);
	w->tree.parent[message] = *first;
	if (*first == THREAD_NONE)
		*first = message;
}

/* The message whose subject a thread has. */
static uint32_t speaker(const struct thread_tree *t, uint32_t root)
{
	return root < t->n ? root : t->first_child[root];
}

static bool is_reply(const struct thread_work *w, uint32_t root)
{
	return w->facts.is_reply(w->facts.owner, speaker(&w->tree, root));
}

static bool has_subject(const struct thread_work *w, uint32_t root)
{
	return w->facts.subject(w->facts.owner, speaker(&w->tree, root)).n > 0;
}

/* Step 5.B */
static void note_root(struct thread_work *w, uint32_t i)
{
	uint32_t root = w->roots[i];
	if (!has_subject(w, root))
		return;
	uint32_t *noted = find_subject(w, speaker(&w->tree, root));
	bool better = *noted == THREAD_NONE;
	if (!better && *noted < w->tree.n)
		better = root >= w->tree.n || (is_reply(w, *noted) && !is_reply(w, root));
	if (better)
		*noted = root;
}

/* Step 5.C: only parents change; the lists are as they were. */
static void merge_root(struct thread_work *w, uint32_t i)
{
	struct thread_tree *t = &w->tree;
	uint32_t root = w->roots[i];
	uint32_t *noted = has_subject(w, root) ? find_subject(w, speaker(t, root)) : &root;
	if (*noted == root)
		return;
	if (root >= t->n) { /* so is the other, or 5.B had taken this one */
		for (uint32_t child = t->first_child[root]; child != THREAD_NONE; child = t->next[child])
			t->parent[child] = *noted;
	} else if (*noted >= t->n || (is_reply(w, root) && !is_reply(w, *noted))) {
		t->parent[root] = *noted;
	} else {
		uint32_t dummy = t->n_nodes++;
		t->parent[dummy] = THREAD_NONE;
		t->parent[root] = t->parent[*noted] = dummy;
		*noted = dummy;
	}
}

/* --- the phases --- */

enum count { OF_MESSAGES, OF_NODES, OF_IDS, OF_ROOTS, OF_SUBJECTS };

static uint32_t count_of(const struct thread_work *w, enum count count)
{
	switch (count) {
	case OF_MESSAGES:
		return w->facts.n;
	case OF_NODES:
		return w->tree.n_nodes;
	case OF_IDS:
		return thread_ids_count(w->ids);
	case OF_ROOTS:
		return w->n_roots;
	case OF_SUBJECTS:
		return w->subjects.size;
	}
	return 0;
}

struct phase {
	void (*item)(struct thread_work *w, uint32_t i);
	enum count count;
};

static const struct phase by_subject[] = {
	{ clear_subject, OF_SUBJECTS }, { join_subject, OF_MESSAGES },
	{ clear_node, OF_NODES },       { link_message, OF_MESSAGES },
};

static const struct phase by_references[] = {
	{ count_below, OF_MESSAGES }, { number_dummy, OF_IDS },     { find_parent, OF_MESSAGES }, { clear_node, OF_NODES },
	{ link_message, OF_MESSAGES }, { clear_subject, OF_SUBJECTS }, { note_root, OF_ROOTS },    { merge_root, OF_ROOTS },
	{ clear_node, OF_NODES },      { link_message, OF_MESSAGES },
};

bool thread_work_step(struct thread_work *w)
{
	const struct phase *phases = w->ids ? by_references : by_subject;
	uint32_t n_phases = w->ids ? COUNT_OF(by_references) : COUNT_OF(by_subject);
	if (w->phase == n_phases)
		return true;
	uint32_t count = count_of(w, phases[w->phase].count), end = MIN(count, w->at + STEP_ITEMS);
	uint64_t links_max = w->ids ? thread_ids_steps(w->ids) + STEP_LINKS : 0;
	while (w->at < end && (!w->ids || thread_ids_steps(w->ids) < links_max))
		phases[w->phase].item(w, w->at++);
	if (w->at >= count) {
		w->at = 0;
		w->phase++;
	}
	return w->phase == n_phases;
}

/* --- printing --- */

/* A node begins a list of its own at the top, and where it has siblings (RFC 5256, 5: thread-list). */
static bool begins_list(const struct thread_tree *t, uint32_t node)
{
	uint32_t parent = t->parent[node];
	return parent == THREAD_NONE || t->first_child[parent] != t->last_child[parent];
}

static void print_node(const struct thread_tree *t, const uint32_t *names, uint32_t node, struct buf *out)
{
	if (begins_list(t, node))
		buf_add_byte(out, '(');
	if (node >= t->n)
		return;
	buf_add_u64(out, names[node]);
	if (t->first_child[node] != THREAD_NONE)
		buf_add_byte(out, ' ');
}

void thread_print(const struct thread_tree *tree, const uint32_t *names, struct thread_walk *walk, uint32_t max,
                  struct buf *out)
{
	for (uint32_t i = 0; i < max && walk->at != THREAD_NONE; i++) {
		uint32_t node = walk->at;
		if (!walk->leaving) {
			print_node(tree, names, node, out);
			walk->leaving = tree->first_child[node] == THREAD_NONE;
			if (!walk->leaving)
				walk->at = tree->first_child[node];
			continue;
		}
		if (begins_list(tree, node))
			buf_add_byte(out, ')');
		walk->leaving = tree->next[node] == THREAD_NONE;
		walk->at = walk->leaving ? tree->parent[node] : tree->next[node];
	}
}
