/* search_plan.c: SEARCH keys made ready once, before any message is looked at. The plan is owned by the command's task.
 */
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proto/imap/search.h"
#include "proto/imap/uids.h"
#include "text/fold.h"

#define LOOKS_AT_ONCE 16384 /* at nodes: a fraction of a millisecond */

static void free_nodes(struct search_node **root)
{
	struct search_node *node = *root;
	while (node) {
		struct search_node *next = node->next;
		free_nodes(&node->child);
		set_free(&node->own);
		buf_free(&node->text);
		buf_free(&node->field);
		mem_free(node);
		node = next;
	}
	*root = NULL;
}

void search_plan_free(struct search_plan **pointer)
{
	if (*pointer)
		free_nodes(&(*pointer)->root);
	mem_free(*pointer);
	*pointer = NULL;
}

unsigned search_plan_at_once(const struct search_plan *plan, unsigned most)
{
	return MIN(most, MAX(LOOKS_AT_ONCE / plan->nodes, 1u));
}

/* An empty text is in every body; a header field has to be there for it. */
static bool is_in_all(enum imap_search_kind kind)
{
	return kind == IMAP_SEARCH_BODY || kind == IMAP_SEARCH_TEXT;
}

static enum imap_search_kind kind_of(const struct imap_search_key *key)
{
	return key->text.n == 0 && is_in_all(key->kind) ? IMAP_SEARCH_ALL : key->kind;
}

static enum search_cost cost_of(enum imap_search_kind kind, struct str field)
{
	enum text_fields_column column;
	switch (kind) {
	case IMAP_SEARCH_ALL:
	case IMAP_SEARCH_AND:
	case IMAP_SEARCH_OR:
	case IMAP_SEARCH_NOT:
	case IMAP_SEARCH_FLAG:
	case IMAP_SEARCH_KEYWORD:
	case IMAP_SEARCH_SEQUENCE:
	case IMAP_SEARCH_UID:
	case IMAP_SEARCH_LARGER:
	case IMAP_SEARCH_SMALLER:
	case IMAP_SEARCH_MODSEQ:
	case IMAP_SEARCH_SAVEDBEFORE:
	case IMAP_SEARCH_SAVEDON:
	case IMAP_SEARCH_SAVEDSINCE:
	case IMAP_SEARCH_EMAILID:
	case IMAP_SEARCH_THREADID:
		return SEARCH_COST_ENTRY;
	case IMAP_SEARCH_BEFORE:
	case IMAP_SEARCH_ON:
	case IMAP_SEARCH_SINCE:
	case IMAP_SEARCH_OLDER:
	case IMAP_SEARCH_YOUNGER:
	case IMAP_SEARCH_SENTBEFORE:
	case IMAP_SEARCH_SENTON:
	case IMAP_SEARCH_SENTSINCE:
		return SEARCH_COST_ROW;
	case IMAP_SEARCH_FROM:
	case IMAP_SEARCH_TO:
	case IMAP_SEARCH_CC:
	case IMAP_SEARCH_BCC:
	case IMAP_SEARCH_SUBJECT:
	case IMAP_SEARCH_HEADER:
		return search_text_column(field, &column) ? SEARCH_COST_FIELDS : SEARCH_COST_HEADER;
	case IMAP_SEARCH_BODY:
	case IMAP_SEARCH_TEXT:
		return SEARCH_COST_BODY;
	}
	return SEARCH_COST_BODY;
}

static struct str field_of(const struct imap_search_key *key)
{
	switch ((unsigned)key->kind) {
	case IMAP_SEARCH_FROM:
		return STR("From");
	case IMAP_SEARCH_TO:
		return STR("To");
	case IMAP_SEARCH_CC:
		return STR("Cc");
	case IMAP_SEARCH_BCC:
		return STR("Bcc");
	case IMAP_SEARCH_SUBJECT:
		return STR("Subject");
	default:
		return key->field;
	}
}

/* Children as they come: a list for each cost, to be joined. */
struct children {
	struct search_node *first[SEARCH_COSTS], *last[SEARCH_COSTS];
};

static void add_child(struct children *children, struct search_node *child)
{
	struct search_node **last = &children->last[child->cost];
	if (*last)
		(*last)->next = child;
	else
		children->first[child->cost] = child;
	*last = child;
}

static void join_children(const struct children *children, struct search_node *parent)
{
	struct search_node **end = &parent->child;
	for (enum search_cost cost = 0; cost < SEARCH_COSTS; cost++) {
		if (!children->first[cost])
			continue;
		*end = children->first[cost];
		end = &children->last[cost]->next;
		parent->cost = MAX(parent->cost, cost);
	}
}

/* --- texts --- */

static bool take_bit(struct imap_session *s, struct search_plan *plan, uint64_t *bit)
{
	if (plan->bits == SEARCH_BITS) {
		imap_no(s, "LIMIT", "Too many keys that look into messages.");
		return false;
	}
	*bit = UINT64_C(1) << plan->bits++;
	return true;
}

static void refuse_charset(struct imap_session *s)
{
	struct buf code = BUF_INIT(4096);
	buf_add(&code, STR("BADCHARSET ("));
	charset_names(&code);
	buf_add(&code, STR(")\0"));
	imap_no(s, code.p, "Texts cannot be read in that charset.");
	buf_free(&code);
}

/* The key's text in UTF-8. */
static bool read_text(struct imap_session *s, struct str charset, struct str text, struct buf *out)
{
	if (!charset.p || charset_is_utf8(charset)) {
		buf_add(out, text);
		if (str_is_utf8(text))
			return true;
		imap_bad(s, "The text is not UTF-8.");
		return false;
	}
	return charset_to_utf8(s->settings->charsets, charset, text, out) == 0;
}

static void add_query(struct search_plan *plan, const struct search_node *node, enum text_kind kind, uint32_t column,
                      uint64_t bit)
{
	struct text_query *query = &plan->queries[plan->n_queries++];
	*query = (struct text_query){ .kind = kind, .column = column, .bit = bit, .field = buf_str(&node->field),
		                      .any = node->text.n == 0 && node->field.n == 0 };
	finder_init(&query->finder, node->text.n ? buf_str(&node->text) : query->field);
}

static bool make_text(struct imap_session *s, struct search_plan *plan, const struct imap_search *search,
                      const struct imap_search_key *key, struct search_node *node)
{
	struct buf text = BUF_INIT(4 * key->text.n + 64);
	enum text_fields_column column = TEXT_OTHER_FIELDS;
	struct str field = field_of(key);
	bool fine = read_text(s, search->charset, key->text, &text);
	if (fine && buf_error(&text) < 0) {
		imap_no(s, "LIMIT", "The text is too long.");
		fine = false;
	}
	node->text = BUF_INIT(FOLDED_MAX(text.n));
	node->field = BUF_INIT(FOLDED_MAX(field.n) + 1);
	fold_text(buf_str(&text), &node->text);
	buf_free(&text);
	if (fine && node->text.n == 0 && is_in_all(node->kind)) { /* of a charset's shift sequences */
		node->kind = IMAP_SEARCH_ALL;
		node->cost = SEARCH_COST_ENTRY;
		return true;
	}
	if (!fine || !take_bit(s, plan, &node->bit))
		return false;
	if (node->kind == IMAP_SEARCH_BODY || node->kind == IMAP_SEARCH_TEXT) {
		add_query(plan, node, TEXT_BODY, 0, node->bit);
		if (node->kind == IMAP_SEARCH_BODY)
			return true;
		if (!take_bit(s, plan, &node->late_bit))
			return false;
		add_query(plan, node, TEXT_HEADER, 0, node->late_bit);
		return true;
	}
	bool kept = search_text_column(field, &column);
	if (column == TEXT_OTHER_FIELDS) {
		fold_text(field, &node->field);
		buf_add_byte(&node->field, ':');
	}
	add_query(plan, node, kept ? TEXT_FIELDS : TEXT_HEADER, kept ? column : 0, node->bit);
	return true;
}

/* Messages that are looked at are known, so uids and "$" need not be held against those that are. */
static bool make_numbers(struct imap_session *s, const struct search_plan *plan, const struct imap_search_key *key,
                         struct search_node *node)
{
	node->by_uid = key->kind == IMAP_SEARCH_UID || key->set.saved;
	node->numbers = key->set.saved ? &s->selected.saved : &node->own;
	uint32_t max = node->by_uid ? plan->uid_max : plan->number_max;
	if (key->set.saved || uids_asked(&key->set, node->by_uid, max, &node->own) == 0)
		return true;
	imap_bad(s, "There is no message of that number.");
	return false;
}

/* What of a key can be wrong: chooses the tagged reply. */
static bool make_ready(struct imap_session *s, struct search_plan *plan, const struct imap_search *search,
                       const struct imap_search_key *key, struct search_node *node)
{
	if (node->cost >= SEARCH_COST_FIELDS)
		return make_text(s, plan, search, key, node);
	switch ((unsigned)key->kind) {
	case IMAP_SEARCH_MODSEQ:
		plan->has_modseq = true;
		return true;
	case IMAP_SEARCH_EMAILID: /* 0: none that there is */
		node->size = 0;
		if (str_starts(key->text, STR("M")) && str_to_u64(str_from(key->text, 1), INT64_MAX, &node->size) < 0)
			node->size = 0;
		return true;
	case IMAP_SEARCH_OLDER: /* RFC 5032, 3: seconds before now */
	case IMAP_SEARCH_YOUNGER:
		node->day = clock_wall_seconds() - (int64_t)key->size;
		return true;
	case IMAP_SEARCH_KEYWORD:
		node->keyword = keyword_find(s->selected.mailbox, key->text);
		return true;
	case IMAP_SEARCH_SEQUENCE:
	case IMAP_SEARCH_UID:
		return make_numbers(s, plan, key, node);
	default:
		return true;
	}
}

/* Of an AND or OR with children of both sorts. */
static bool make_bit(struct imap_session *s, struct search_plan *plan, struct search_node *node)
{
	bool list = node->kind == IMAP_SEARCH_AND || node->kind == IMAP_SEARCH_OR;
	if (!list || node->cost < SEARCH_COST_FIELDS || node->child->cost >= SEARCH_COST_FIELDS)
		return true;
	return take_bit(s, plan, &node->bit);
}

static struct search_node *make_node(struct imap_session *s, struct search_plan *plan, const struct imap_search *search,
                                     const struct imap_search_key *key)
{
	struct search_node *node = mem_alloc(1, sizeof *node);
	node->kind = kind_of(key);
	node->cost = cost_of(node->kind, field_of(key));
	node->wanted = key->wanted;
	node->flag = key->flag;
	node->day = key->day;
	node->size = key->size;
	plan->nodes++;
	struct children children = { 0 };
	bool fine = make_ready(s, plan, search, key, node);
	for (const struct imap_search_key *child = key->child; child && fine; child = child->next) {
		struct search_node *made = make_node(s, plan, search, child);
		fine = made != NULL;
		if (made)
			add_child(&children, made);
	}
	join_children(&children, node);
	if (fine && !make_bit(s, plan, node))
		fine = false;
	if (!fine)
		free_nodes(&node);
	return node;
}

/* Queries point into nodes, which stay where they are. */
struct search_plan *search_plan_new(struct imap_session *s, const struct imap_search *search)
{
	struct buf nothing = BUF_INIT(16);
	if (search->charset.p && charset_to_utf8(s->settings->charsets, search->charset, STR(""), &nothing) < 0) {
		refuse_charset(s);
		return NULL;
	}
	buf_free(&nothing);
	struct search_plan *plan = mem_alloc(1, sizeof *plan);
	plan->uid_max = uids_last(&s->selected.known.uids);
	plan->number_max = (uint32_t)set_count(&s->selected.known.uids);
	plan->root = make_node(s, plan, search, search->key);
	if (!plan->root)
		search_plan_free(&plan);
	return plan;
}
