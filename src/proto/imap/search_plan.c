/* search_plan.c: SEARCH keys made ready once, before any message is looked at. The plan is owned by the command's task.
 */
#include "base/mem.h"
#include "proto/imap/search.h"
#include "proto/imap/uids.h"
#include "text/fold.h"

/* Keys that look through the header, in one command: each costs a pass over it. */
#define HEADER_KEYS_MAX 64

void search_plan_free(struct search_node **root)
{
	struct search_node *node = *root;
	while (node) {
		struct search_node *next = node->next;
		search_plan_free(&node->child);
		set_free(&node->uids);
		buf_free(&node->text);
		mem_free(node);
		node = next;
	}
	*root = NULL;
}

static enum search_cost cost_of(enum imap_search_kind kind)
{
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
		return SEARCH_COST_ENTRY;
	case IMAP_SEARCH_BEFORE:
	case IMAP_SEARCH_ON:
	case IMAP_SEARCH_SINCE:
		return SEARCH_COST_ROW;
	case IMAP_SEARCH_SENTBEFORE:
	case IMAP_SEARCH_SENTON:
	case IMAP_SEARCH_SENTSINCE:
	case IMAP_SEARCH_FROM:
	case IMAP_SEARCH_TO:
	case IMAP_SEARCH_CC:
	case IMAP_SEARCH_BCC:
	case IMAP_SEARCH_SUBJECT:
	case IMAP_SEARCH_HEADER:
	case IMAP_SEARCH_BODY:
	case IMAP_SEARCH_TEXT:
		return SEARCH_COST_HEADER;
	}
	return SEARCH_COST_HEADER;
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
	case IMAP_SEARCH_SENTBEFORE:
	case IMAP_SEARCH_SENTON:
	case IMAP_SEARCH_SENTSINCE:
		return STR("Date");
	default:
		return key->field;
	}
}

/* Behind those that cost as much, before those that cost more. */
static void insert_child(struct search_node *parent, struct search_node *child)
{
	struct search_node **at = &parent->child;
	while (*at && (*at)->cost <= child->cost)
		at = &(*at)->next;
	child->next = *at;
	*at = child;
	if (child->cost > parent->cost)
		parent->cost = child->cost;
}

/* What of a key can be wrong: chooses the tagged reply. */
static bool make_ready(struct imap_session *s, const struct imap_search_key *key, struct search_node *node)
{
	switch ((unsigned)key->kind) {
	case IMAP_SEARCH_BODY:
	case IMAP_SEARCH_TEXT:
		imap_no(s, "CANNOT", "This server does not search in the text of messages yet; headers can be searched.");
		return false;
	case IMAP_SEARCH_KEYWORD:
		node->keyword = keyword_find(s->selected.mailbox, key->text);
		return true;
	case IMAP_SEARCH_SEQUENCE:
	case IMAP_SEARCH_UID:
		if (uids_resolve(&key->set, key->kind == IMAP_SEARCH_UID, &s->selected.known.uids, &node->uids) == 0)
			return true;
		imap_bad(s, "There is no message of that number.");
		return false;
	default:
		break;
	}
	if (key->text.n && !str_is_utf8(key->text)) {
		imap_bad(s, "The text is not UTF-8.");
		return false;
	}
	node->text = BUF_INIT(FOLDED_MAX(key->text.n));
	fold_text(key->text, &node->text);
	return true;
}

static struct search_node *make_node(struct imap_session *s, const struct imap_search_key *key, unsigned *header_keys)
{
	struct search_node *node = mem_alloc(1, sizeof *node);
	node->kind = key->kind;
	node->cost = cost_of(key->kind);
	node->wanted = key->wanted;
	node->flag = key->flag;
	node->day = key->day;
	node->size = key->size;
	node->field = field_of(key);
	bool too_many = node->cost == SEARCH_COST_HEADER && ++*header_keys > HEADER_KEYS_MAX;
	if (too_many)
		imap_no(s, "LIMIT", "Too many keys that look into headers.");
	if (too_many || !make_ready(s, key, node)) {
		search_plan_free(&node);
		return NULL;
	}
	for (const struct imap_search_key *child = key->child; child; child = child->next) {
		struct search_node *made = make_node(s, child, header_keys);
		if (!made) {
			search_plan_free(&node);
			return NULL;
		}
		insert_child(node, made);
	}
	return node;
}

struct search_node *search_plan_new(struct imap_session *s, const struct imap_search *search)
{
	struct str charset = search->charset;
	if (charset.n && !str_ieq(charset, STR("UTF-8")) && !str_ieq(charset, STR("US-ASCII"))) {
		imap_no(s, "BADCHARSET (US-ASCII UTF-8)", "Searches are in UTF-8.");
		return NULL;
	}
	unsigned header_keys = 0;
	return make_node(s, search->key, &header_keys);
}
