/* search_match.c: does a message match (RFC 3501, 6.4.4)? What its entry and its row tell is looked at here; what texts
 * tell comes as bits. */
#include "base/checked.h"
#include "proto/imap/search.h"
#include "syntax/date.h"
#include "syntax/header.h"

/* What is looked at of one header. */
#define HEADER_MAX (256u * 1024)

static bool need_row(struct candidate *c)
{
	if (c->asked_row)
		return c->has_row;
	c->asked_row = true;
	int err = message_cursor_get(c->rows, c->entry->message, &c->row);
	if (err < 0)
		c->error = err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
	c->has_row = err == 0;
	return c->has_row;
}

/* A block that has the Date field: the row's copy where it has one, else the header itself. */
static bool need_fields(struct candidate *c, struct str *block)
{
	if (!need_row(c))
		return false;
	*block = c->row.derived.headers;
	if (block->n)
		return true;
	size_t n = MIN((size_t)c->row.header_size, (size_t)HEADER_MAX);
	buf_clear(c->scratch);
	char *room = n ? buf_reserve(c->scratch, n) : NULL;
	int err = room ? message_read(c->s->account, &c->row, 0, n, room) : 0;
	if (err < 0)
		c->error = err;
	if (room && err == 0)
		*block = str_of(room, n);
	return err == 0;
}

/* The day of the Date field, in its own zone (6.4.4: "disregarding time and timezone"). */
static bool read_sent_day(struct candidate *c, int64_t *day)
{
	struct str block, body;
	struct date date;
	c->scratch->max = 2 * HEADER_MAX;
	if (!need_fields(c, &block) || header_find(block, STR("Date"), &body) < 0)
		return false;
	struct buf text = BUF_INIT(HEADER_MAX);
	header_unfold(body, &text);
	int err = date_parse_sent(buf_str(&text), &date);
	buf_free(&text);
	if (err == 0)
		*day = date_local_day(date);
	return err == 0;
}

/* Read once, however many keys ask for it. */
static bool sent_day(struct candidate *c, int64_t *day)
{
	if (!c->asked_sent)
		c->has_sent = read_sent_day(c, &c->sent);
	c->asked_sent = true;
	*day = c->sent;
	return c->has_sent;
}

static int64_t internal_day(const struct message_row *row)
{
	return date_local_day((struct date){ row->internal_date, row->zone_minutes });
}

static bool has_flag(const struct candidate *c, const struct search_node *node)
{
	if (node->flag == IMAP_FLAG_RECENT)
		return set_has(&c->s->selected.recent, c->entry->uid);
	return (c->entry->flags & node->flag) != 0;
}

static bool has_keyword(const struct candidate *c, const struct search_node *node)
{
	struct keyword_bits bits;
	if (node->keyword < 0)
		return false;
	entry_keywords(c->s->selected.mailbox, c->entry, &bits);
	return bits.word[node->keyword / 64] >> (node->keyword % 64) & 1;
}

static bool needs_text(const struct search_node *node)
{
	return node->cost >= SEARCH_COST_FIELDS;
}

/* Of the children that need no text: is there one of which this is the answer? */
static bool any_child(struct candidate *c, const struct search_node *node, bool wanted)
{
	for (const struct search_node *child = node->child; child && !needs_text(child); child = child->next) {
		if (search_matches(c, child) == wanted)
			return true;
	}
	return false;
}

static int64_t saved_day(const struct entry *entry)
{
	return date_local_day((struct date){ entry->saved, 0 });
}

bool search_matches(struct candidate *c, const struct search_node *node)
{
	int64_t day;
	switch (node->kind) {
	case IMAP_SEARCH_ALL:
		return true;
	case IMAP_SEARCH_AND:
		return !any_child(c, node, false);
	case IMAP_SEARCH_OR:
		return any_child(c, node, true);
	case IMAP_SEARCH_NOT:
		return !search_matches(c, node->child);
	case IMAP_SEARCH_FLAG:
		return has_flag(c, node) == node->wanted;
	case IMAP_SEARCH_KEYWORD:
		return has_keyword(c, node) == node->wanted;
	case IMAP_SEARCH_SEQUENCE:
	case IMAP_SEARCH_UID:
		return set_has(node->numbers, node->by_uid ? c->entry->uid : c->number);
	case IMAP_SEARCH_BEFORE:
		return need_row(c) && internal_day(&c->row) < node->day;
	case IMAP_SEARCH_ON:
		return need_row(c) && internal_day(&c->row) == node->day;
	case IMAP_SEARCH_SINCE:
		return need_row(c) && internal_day(&c->row) >= node->day;
	case IMAP_SEARCH_OLDER:
		return need_row(c) && c->row.internal_date <= node->day;
	case IMAP_SEARCH_YOUNGER:
		return need_row(c) && c->row.internal_date >= node->day;
	case IMAP_SEARCH_SENTBEFORE:
		return sent_day(c, &day) && day < node->day;
	case IMAP_SEARCH_SENTON:
		return sent_day(c, &day) && day == node->day;
	case IMAP_SEARCH_SENTSINCE:
		return sent_day(c, &day) && day >= node->day;
	case IMAP_SEARCH_LARGER:
		return entry_size(c->entry) > node->size;
	case IMAP_SEARCH_SMALLER:
		return entry_size(c->entry) < node->size;
	case IMAP_SEARCH_MODSEQ:
		return c->entry->modseq >= node->size;
	case IMAP_SEARCH_SAVEDBEFORE: /* RFC 8514; days of UTC, as SAVEDATE is told */
		return saved_day(c->entry) < node->day;
	case IMAP_SEARCH_SAVEDON:
		return saved_day(c->entry) == node->day;
	case IMAP_SEARCH_SAVEDSINCE:
		return saved_day(c->entry) >= node->day;
	case IMAP_SEARCH_EMAILID: /* RFC 8474 */
		return node->size != 0 && c->entry->message == node->size;
	case IMAP_SEARCH_THREADID:
		return false; /* there are none: 5.2 */
	case IMAP_SEARCH_FROM:
	case IMAP_SEARCH_TO:
	case IMAP_SEARCH_CC:
	case IMAP_SEARCH_BCC:
	case IMAP_SEARCH_SUBJECT:
	case IMAP_SEARCH_HEADER:
	case IMAP_SEARCH_BODY:
	case IMAP_SEARCH_TEXT:
		return false; /* told by bits */
	}
	return false;
}

void search_set_bits(struct candidate *c, const struct search_node *node, uint64_t *hits)
{
	if (node->kind == IMAP_SEARCH_AND && node->bit && any_child(c, node, false))
		return; /* what the others say does not matter */
	if (node->kind == IMAP_SEARCH_AND || (node->kind == IMAP_SEARCH_OR && node->bit && any_child(c, node, true)))
		*hits |= node->bit;
	if (node->kind != IMAP_SEARCH_AND && node->kind != IMAP_SEARCH_OR && node->kind != IMAP_SEARCH_NOT)
		return;
	for (const struct search_node *child = node->child; child; child = child->next) {
		if (needs_text(child))
			search_set_bits(c, child, hits);
	}
}

static enum search_verdict verdict_of_list(const struct search_node *node, uint64_t hits, uint64_t known)
{
	/* AND is over at the first NO, OR at the first YES */
	enum search_verdict last = node->kind == IMAP_SEARCH_AND ? SEARCH_NO : SEARCH_YES;
	enum search_verdict verdict = node->kind == IMAP_SEARCH_AND ? SEARCH_YES : SEARCH_NO;
	if (node->bit && ((hits & node->bit) ? SEARCH_YES : SEARCH_NO) == last)
		return last;
	for (const struct search_node *child = node->child; child; child = child->next) {
		enum search_verdict one = needs_text(child) ? search_verdict_of(child, hits, known) : verdict;
		if (one == last)
			return last;
		if (one == SEARCH_UNKNOWN)
			verdict = SEARCH_UNKNOWN;
	}
	return verdict;
}

enum search_verdict search_verdict_of(const struct search_node *node, uint64_t hits, uint64_t known)
{
	uint64_t bits = node->bit | node->late_bit;
	if (node->kind == IMAP_SEARCH_AND || node->kind == IMAP_SEARCH_OR)
		return verdict_of_list(node, hits, known);
	if (node->kind == IMAP_SEARCH_NOT) {
		enum search_verdict verdict = search_verdict_of(node->child, hits, known);
		return verdict == SEARCH_UNKNOWN ? verdict : verdict == SEARCH_YES ? SEARCH_NO : SEARCH_YES;
	}
	if (hits & bits)
		return SEARCH_YES;
	return (known & bits) == bits ? SEARCH_NO : SEARCH_UNKNOWN;
}
