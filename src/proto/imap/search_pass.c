/* search_pass.c: messages for which a SEARCH hangs on texts: brought into the order of their numbers, in which texts lie
 * in their files; then a pass (mail/text_search.h) over each kind of text, the cheapest first, for those that are still
 * open; then brought back into the mailbox's order. Owned by the command's task. All in slices: sorting too, which takes
 * 20 ms for 200,000. */
#include "base/checked.h"
#include "base/mem.h"
#include "proto/imap/search.h"
#include "syntax/mime.h"

#define CANDIDATES_FIRST 256
#define SORT_AT_ONCE     4096 /* moves between two looks at the clock */
#define LOOK_AT_ONCE     4096 /* candidates, the same; fewer where each costs many nodes of the plan */

enum pass_state { PASS_SORTING, PASS_NEXT_KIND, PASS_CHOOSING, PASS_LOOKING, PASS_SORTING_BACK, PASS_OVER };

/* A merge sort from the bottom up that can be left after any number of moves: runs of `width` are merged in pairs. */
struct sorting {
	bool (*before)(const struct text_candidate *a, const struct text_candidate *b);
	struct text_candidate *to;
	size_t width;                               /* 0: it has not begun */
	size_t left, left_end, right, right_end, at; /* two runs, and where in `to` their next one goes */
};

struct search_pass {
	struct imap_session *s;
	const struct search_plan *plan;
	struct text_candidate *candidates;
	size_t n, size, told;
	unsigned at_once; /* candidates between two looks at the clock */
	size_t pause;     /* when so many are told: the next one */
	enum pass_state state;
	bool in_order; /* by number too, as they mostly come: nothing to sort */
	size_t chosen; /* candidates that were looked at for the next kind, */
	bool any;      /* and some need it */
	size_t n_queries;
	struct sorting sorting;
	uint64_t known; /* bits */
	unsigned kind;  /* the next one: enum text_kind */
	struct text_query queries[SEARCH_BITS]; /* of this kind */
	struct text_search_world world;
	struct search_text *maker;
	struct text_search *search;
	int error;
};

static bool is_there(void *owner, int fd, uint64_t offset, uint64_t n)
{
	const struct imap_session *s = owner;
	return !s->world->fetch || !s->world->fetch(s->owner, fd, offset, n);
}

static bool is_gone(void *owner, const struct text_candidate *candidate)
{
	const struct imap_session *s = owner;
	struct entry_cursor cursor = entry_seek(s->selected.mailbox, candidate->uid);
	const struct entry *entry = entry_next(&cursor);
	return !entry || entry->uid != candidate->uid;
}

static bool number_before(const struct text_candidate *a, const struct text_candidate *b)
{
	return a->number < b->number;
}

static bool uid_before(const struct text_candidate *a, const struct text_candidate *b)
{
	return a->uid < b->uid;
}

struct search_pass *search_pass_new(struct imap_session *s, const struct search_plan *plan)
{
	struct search_pass *p = mem_alloc(1, sizeof *p);
	*p = (struct search_pass){ .s = s, .plan = plan, .world = { is_there, is_gone, s }, .in_order = true,
	                           .at_once = search_plan_at_once(plan, LOOK_AT_ONCE) };
	p->pause = p->at_once;
	p->sorting.before = number_before;
	p->known = plan->bits == SEARCH_BITS ? UINT64_MAX : (UINT64_C(1) << plan->bits) - 1;
	for (size_t i = 0; i < plan->n_queries; i++)
		p->known &= ~plan->queries[i].bit;
	return p;
}

void search_pass_free(struct search_pass **pointer)
{
	struct search_pass *p = *pointer;
	*pointer = NULL;
	if (!p)
		return;
	text_search_free(&p->search);
	search_text_free(&p->maker);
	mem_free(p->sorting.to);
	mem_free(p->candidates);
	mem_free(p);
}

void search_pass_add(struct search_pass *p, const struct entry *entry, uint32_t sequence, uint64_t hits)
{
	if (p->n == p->size) {
		p->size = p->size ? p->size * 2 : CANDIDATES_FIRST; /* at most the mailbox's entries */
		p->candidates = mem_resize(p->candidates, p->size, sizeof *p->candidates);
	}
	p->in_order = p->in_order && (p->n == 0 || p->candidates[p->n - 1].number <= entry->message);
	p->candidates[p->n++] = (struct text_candidate){ .number = entry->message, .size = entry_size(entry), .hits = hits,
		                                         .uid = entry->uid, .sequence = sequence, .modseq = entry->modseq };
}

/* --- order --- */

static void begin_merge(struct sorting *m, size_t n, size_t from)
{
	m->left = m->at = from;
	m->left_end = m->right = MIN(from + m->width, n);
	m->right_end = MIN(from + 2 * m->width, n);
}

/* The next two runs; false: those were the last two of all. */
static bool next_merge(struct search_pass *p)
{
	struct sorting *m = &p->sorting;
	if (m->right_end < p->n) {
		begin_merge(m, p->n, m->right_end);
		return true;
	}
	struct text_candidate *sorted = m->to;
	m->to = p->candidates;
	p->candidates = sorted;
	p->size = p->n;
	m->width *= 2;
	if (m->width >= p->n)
		return false;
	begin_merge(m, p->n, 0);
	return true;
}

/* Some moves. True when all is sorted. */
static bool sort_some(struct search_pass *p)
{
	struct sorting *m = &p->sorting;
	if (p->in_order)
		return true;
	if (m->width == 0) {
		mem_free(m->to);
		m->to = mem_alloc_unset(p->n * sizeof *m->to);
		m->width = 1;
		begin_merge(m, p->n, 0);
	}
	for (size_t moves = 0; moves < SORT_AT_ONCE; moves++) {
		if (m->left == m->left_end && m->right == m->right_end && !next_merge(p))
			return true;
		bool right = m->left == m->left_end ||
		             (m->right < m->right_end && m->before(&p->candidates[m->right], &p->candidates[m->left]));
		m->to[m->at++] = p->candidates[right ? m->right++ : m->left++];
	}
	return false;
}

/* --- passes --- */

/* Those of a kind that some message still needs; none: 0. */
static size_t choose_queries(struct search_pass *p, enum text_kind kind)
{
	size_t n = 0;
	for (size_t i = 0; i < p->plan->n_queries; i++)
		if (p->plan->queries[i].kind == kind)
			p->queries[n++] = p->plan->queries[i];
	return n;
}

/* Some of them. True when all were looked at. */
static bool choose_candidates(struct search_pass *p)
{
	size_t end = MIN(p->n, p->chosen + p->at_once);
	for (; p->chosen < end; p->chosen++) {
		struct text_candidate *c = &p->candidates[p->chosen];
		c->wanted = search_verdict_of(p->plan->root, c->hits, p->known) == SEARCH_UNKNOWN;
		c->looked = !c->wanted;
		p->any = p->any || c->wanted;
	}
	return p->chosen == p->n;
}

static void next_kind(struct search_pass *p)
{
	if (p->kind == TEXT_KINDS) {
		p->sorting.before = uid_before;
		p->sorting.width = 0;
		p->state = PASS_SORTING_BACK;
		return;
	}
	p->n_queries = choose_queries(p, (enum text_kind)p->kind++);
	p->chosen = 0;
	p->any = false;
	if (p->n_queries > 0)
		p->state = PASS_CHOOSING;
}

static void begin_looking(struct search_pass *p)
{
	p->state = PASS_NEXT_KIND;
	if (!p->any)
		return;
	for (size_t i = 0; i < p->n_queries; i++)
		p->known |= p->queries[i].bit; /* once the pass is over; who is not looked at is decided already */
	if (!p->maker) {
		const struct mime_limits limits = MIME_LIMITS_DEFAULT;
		p->maker = search_text_new(&limits, p->s->settings->charsets);
	}
	p->search = text_search_new(p->s->account, p->maker, &p->world, p->queries, p->n_queries, p->candidates, p->n);
	p->state = PASS_LOOKING;
}

static enum text_search_progress look(struct search_pass *p)
{
	enum text_search_progress progress = text_search_step(p->search);
	if (progress != TEXT_SEARCH_DONE)
		return progress;
	int err = text_search_error(p->search);
	if (err < 0)
		p->error = err;
	text_search_free(&p->search);
	p->state = PASS_NEXT_KIND;
	return TEXT_SEARCH_MORE;
}

enum imap_step search_pass_step(struct search_pass *p, uint64_t end)
{
	do {
		switch (p->state) {
		case PASS_SORTING:
			if (sort_some(p))
				p->state = PASS_NEXT_KIND;
			break;
		case PASS_NEXT_KIND:
			next_kind(p);
			break;
		case PASS_CHOOSING:
			if (choose_candidates(p))
				begin_looking(p);
			break;
		case PASS_LOOKING:
			if (look(p) == TEXT_SEARCH_WAITS)
				return IMAP_STEP_FETCHING;
			break;
		case PASS_SORTING_BACK:
			if (sort_some(p))
				p->state = PASS_OVER;
			break;
		case PASS_OVER:
			return IMAP_STEP_DONE;
		}
	} while (p->s->world->microseconds(p->s->owner) < end);
	return IMAP_STEP_AGAIN;
}

enum search_next search_pass_next(struct search_pass *p, struct text_candidate *out)
{
	while (p->told < p->n) {
		if (p->told == p->pause) {
			p->pause += p->at_once;
			return SEARCH_NEXT_LATER;
		}
		const struct text_candidate *candidate = &p->candidates[p->told++];
		if (search_verdict_of(p->plan->root, candidate->hits, p->known) == SEARCH_YES) {
			*out = *candidate;
			return SEARCH_NEXT_FOUND;
		}
	}
	return SEARCH_NEXT_NONE;
}

int search_pass_error(const struct search_pass *pass)
{
	return pass->error;
}
