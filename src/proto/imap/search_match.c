/* search_match.c: does a message match (RFC 3501, 6.4.4)? Header text is compared as people read it: encoded words
 * decoded, case and composition folded (text/fold.h). A field that is not there matches nothing; each of several equal
 * fields may match. */
#include "base/checked.h"
#include "proto/imap/search.h"
#include "syntax/date.h"
#include "syntax/header.h"
#include "text/fold.h"

/* What is looked at of one header, and of one field's decoded text. */
#define HEADER_MAX (256u * 1024)

static bool need_row(struct candidate *c)
{
	if (c->has_row)
		return true;
	int err = message_cursor_get(c->rows, c->entry->message, &c->row);
	if (err < 0)
		c->error = err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
	c->has_row = err == 0;
	return c->has_row;
}

/* A block that has all fields of this name: the row's copy where that is enough, else the header itself. */
static bool need_fields(struct candidate *c, struct str name, struct str *block)
{
	if (!need_row(c))
		return false;
	if (c->row.derived.headers.n && mail_headers_are_kept(&name, 1)) {
		*block = c->row.derived.headers;
		return true;
	}
	if (!c->has_header) {
		size_t n = MIN((size_t)c->row.header_size, (size_t)HEADER_MAX);
		c->header->max = HEADER_MAX;
		buf_clear(c->header);
		char *room = buf_reserve(c->header, n);
		int err = room ? message_read(c->s->account, &c->row, 0, n, room) : ERR_LIMIT;
		if (err < 0) {
			c->error = err;
			return false;
		}
		buf_commit(c->header, n);
		c->has_header = true;
	}
	*block = buf_str(c->header);
	return true;
}

/* Folds in place what is its own decoded text: ASCII without encoded words, which most fields are. */
static bool fold_plain(struct buf *text)
{
	unsigned char all = 0;
	for (size_t i = 0; i < text->n; i++)
		all |= (unsigned char)text->p[i];
	if (all >= 0x80 || str_find(buf_str(text), STR("=?")) >= 0)
		return false;
	for (size_t i = 0; i < text->n; i++)
		text->p[i] = ascii_upper(text->p[i]);
	return true;
}

static bool field_contains(struct candidate *c, struct str body, struct str folded_needle)
{
	c->scratch->max = FOLDED_MAX((size_t)HEADER_MAX);
	buf_clear(c->scratch);
	header_unfold(body, c->scratch);
	if (!fold_plain(c->scratch)) {
		struct buf decoded = BUF_INIT(HEADER_MAX);
		header_decode_text(body, c->s->settings->charsets, &decoded);
		buf_clear(c->scratch);
		fold_text(buf_str(&decoded), c->scratch);
		buf_free(&decoded);
	}
	return str_find(buf_str(c->scratch), folded_needle) >= 0;
}

static bool matches_field(struct candidate *c, const struct search_node *node)
{
	struct str block;
	struct header_field field;
	if (!need_fields(c, node->field, &block))
		return false;
	while (header_next(&block, &field)) {
		if (!str_ieq(field.name, node->field))
			continue;
		if (node->text.n == 0 || field_contains(c, field.body, buf_str(&node->text)))
			return true;
	}
	return false;
}

/* The day of the Date field, in its own zone (6.4.4: "disregarding time and timezone"). */
static bool sent_day(struct candidate *c, const struct search_node *node, int64_t *day)
{
	struct str block, body;
	struct date date;
	if (!need_fields(c, node->field, &block) || header_find(block, node->field, &body) < 0)
		return false;
	c->scratch->max = FOLDED_MAX((size_t)HEADER_MAX);
	buf_clear(c->scratch);
	header_unfold(body, c->scratch);
	if (date_parse(buf_str(c->scratch), &date) < 0)
		return false;
	*day = date_local_day(date);
	return true;
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

static bool any_child(struct candidate *c, const struct search_node *node, bool wanted)
{
	for (const struct search_node *child = node->child; child; child = child->next) {
		if (search_matches(c, child) == wanted)
			return true;
	}
	return false;
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
		return set_has(&node->uids, c->entry->uid);
	case IMAP_SEARCH_BEFORE:
		return need_row(c) && internal_day(&c->row) < node->day;
	case IMAP_SEARCH_ON:
		return need_row(c) && internal_day(&c->row) == node->day;
	case IMAP_SEARCH_SINCE:
		return need_row(c) && internal_day(&c->row) >= node->day;
	case IMAP_SEARCH_SENTBEFORE:
		return sent_day(c, node, &day) && day < node->day;
	case IMAP_SEARCH_SENTON:
		return sent_day(c, node, &day) && day == node->day;
	case IMAP_SEARCH_SENTSINCE:
		return sent_day(c, node, &day) && day >= node->day;
	case IMAP_SEARCH_LARGER:
		return entry_size(c->entry) > node->size;
	case IMAP_SEARCH_SMALLER:
		return entry_size(c->entry) < node->size;
	case IMAP_SEARCH_FROM:
	case IMAP_SEARCH_TO:
	case IMAP_SEARCH_CC:
	case IMAP_SEARCH_BCC:
	case IMAP_SEARCH_SUBJECT:
	case IMAP_SEARCH_HEADER:
		return matches_field(c, node);
	case IMAP_SEARCH_BODY:
	case IMAP_SEARCH_TEXT:
		return false; /* refused before */
	}
	return false;
}
