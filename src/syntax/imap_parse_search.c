/* imap_parse_search.c: the arguments of SEARCH (RFC 3501, 6.4.4) as a tree of keys. Depth and number of keys are
 * bounded by the limits; the recursion is no deeper than limits->search_depth. */
#include "syntax/imap_cursor.h"

#include "base/checked.h"

/* What follows a key's name. */
enum argument {
	NOTHING, FLAG_SET, FLAG_UNSET, NEW, KEYWORD, UNKEYWORD, TEXT, FIELD, DAY, SIZE, INTERVAL, MODSEQ, OBJECT_ID, UIDS, ONE_KEY, TWO_KEYS,
};

static const struct search_word {
	struct str name;
	enum argument argument;
	enum imap_search_kind kind;
	enum imap_flag flag; /* of FLAG_SET and FLAG_UNSET */
} words[] = {
	{ STR_INIT("ALL"), NOTHING, IMAP_SEARCH_ALL, 0 },
	{ STR_INIT("ANSWERED"), FLAG_SET, IMAP_SEARCH_FLAG, IMAP_FLAG_ANSWERED },
	{ STR_INIT("BCC"), TEXT, IMAP_SEARCH_BCC, 0 },
	{ STR_INIT("BEFORE"), DAY, IMAP_SEARCH_BEFORE, 0 },
	{ STR_INIT("BODY"), TEXT, IMAP_SEARCH_BODY, 0 },
	{ STR_INIT("CC"), TEXT, IMAP_SEARCH_CC, 0 },
	{ STR_INIT("DELETED"), FLAG_SET, IMAP_SEARCH_FLAG, IMAP_FLAG_DELETED },
	{ STR_INIT("DRAFT"), FLAG_SET, IMAP_SEARCH_FLAG, IMAP_FLAG_DRAFT },
	{ STR_INIT("EMAILID"), OBJECT_ID, IMAP_SEARCH_EMAILID, 0 },
	{ STR_INIT("FLAGGED"), FLAG_SET, IMAP_SEARCH_FLAG, IMAP_FLAG_FLAGGED },
	{ STR_INIT("FROM"), TEXT, IMAP_SEARCH_FROM, 0 },
	{ STR_INIT("HEADER"), FIELD, IMAP_SEARCH_HEADER, 0 },
	{ STR_INIT("KEYWORD"), KEYWORD, IMAP_SEARCH_KEYWORD, 0 },
	{ STR_INIT("LARGER"), SIZE, IMAP_SEARCH_LARGER, 0 },
	{ STR_INIT("MODSEQ"), MODSEQ, IMAP_SEARCH_MODSEQ, 0 },
	{ STR_INIT("NEW"), NEW, IMAP_SEARCH_AND, 0 },
	{ STR_INIT("NOT"), ONE_KEY, IMAP_SEARCH_NOT, 0 },
	{ STR_INIT("OLD"), FLAG_UNSET, IMAP_SEARCH_FLAG, IMAP_FLAG_RECENT },
	{ STR_INIT("OLDER"), INTERVAL, IMAP_SEARCH_OLDER, 0 },
	{ STR_INIT("ON"), DAY, IMAP_SEARCH_ON, 0 },
	{ STR_INIT("OR"), TWO_KEYS, IMAP_SEARCH_OR, 0 },
	{ STR_INIT("RECENT"), FLAG_SET, IMAP_SEARCH_FLAG, IMAP_FLAG_RECENT },
	{ STR_INIT("SAVEDATESUPPORTED"), NOTHING, IMAP_SEARCH_ALL, 0 }, /* RFC 8514, 4.3: everywhere here */
	{ STR_INIT("SAVEDBEFORE"), DAY, IMAP_SEARCH_SAVEDBEFORE, 0 },
	{ STR_INIT("SAVEDON"), DAY, IMAP_SEARCH_SAVEDON, 0 },
	{ STR_INIT("SAVEDSINCE"), DAY, IMAP_SEARCH_SAVEDSINCE, 0 },
	{ STR_INIT("SEEN"), FLAG_SET, IMAP_SEARCH_FLAG, IMAP_FLAG_SEEN },
	{ STR_INIT("SENTBEFORE"), DAY, IMAP_SEARCH_SENTBEFORE, 0 },
	{ STR_INIT("SENTON"), DAY, IMAP_SEARCH_SENTON, 0 },
	{ STR_INIT("SENTSINCE"), DAY, IMAP_SEARCH_SENTSINCE, 0 },
	{ STR_INIT("SINCE"), DAY, IMAP_SEARCH_SINCE, 0 },
	{ STR_INIT("SMALLER"), SIZE, IMAP_SEARCH_SMALLER, 0 },
	{ STR_INIT("SUBJECT"), TEXT, IMAP_SEARCH_SUBJECT, 0 },
	{ STR_INIT("TEXT"), TEXT, IMAP_SEARCH_TEXT, 0 },
	{ STR_INIT("THREADID"), OBJECT_ID, IMAP_SEARCH_THREADID, 0 },
	{ STR_INIT("TO"), TEXT, IMAP_SEARCH_TO, 0 },
	{ STR_INIT("UID"), UIDS, IMAP_SEARCH_UID, 0 },
	{ STR_INIT("UNANSWERED"), FLAG_UNSET, IMAP_SEARCH_FLAG, IMAP_FLAG_ANSWERED },
	{ STR_INIT("UNDELETED"), FLAG_UNSET, IMAP_SEARCH_FLAG, IMAP_FLAG_DELETED },
	{ STR_INIT("UNDRAFT"), FLAG_UNSET, IMAP_SEARCH_FLAG, IMAP_FLAG_DRAFT },
	{ STR_INIT("UNFLAGGED"), FLAG_UNSET, IMAP_SEARCH_FLAG, IMAP_FLAG_FLAGGED },
	{ STR_INIT("UNKEYWORD"), UNKEYWORD, IMAP_SEARCH_KEYWORD, 0 },
	{ STR_INIT("UNSEEN"), FLAG_UNSET, IMAP_SEARCH_FLAG, IMAP_FLAG_SEEN },
	{ STR_INIT("YOUNGER"), INTERVAL, IMAP_SEARCH_YOUNGER, 0 },
};

static bool search_key(struct imap_cursor *c, struct imap_search_key **out);

static bool new_key(struct imap_cursor *c, enum imap_search_kind kind, struct imap_search_key **out)
{
	if (c->keys >= c->limits->list_items)
		return imap_fail_limit(c, "too many search keys");
	struct imap_search_key *key = arena_alloc(c->arena, 1, sizeof *key);
	if (!key)
		return imap_fail_limit(c, "command needs too much memory");
	c->keys++;
	key->kind = kind;
	*out = key;
	return true;
}

static bool new_flag(struct imap_cursor *c, enum imap_flag flag, bool wanted, struct imap_search_key **out)
{
	if (!new_key(c, IMAP_SEARCH_FLAG, out))
		return false;
	(*out)->flag = flag;
	(*out)->wanted = wanted;
	return true;
}

static const struct search_word *find_word(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (words[i].name.n == name.n && str_ieq(words[i].name, name))
			return &words[i];
	return NULL;
}

static bool size_argument(struct imap_cursor *c, uint64_t *out)
{
	return imap_space(c) && imap_number(c, INT64_MAX, out);
}

/* SP objectid (RFC 8474, 7) = 1*255(ALPHA / DIGIT / "_" / "-") */
static bool object_id(struct imap_cursor *c, struct str *out)
{
	if (!imap_space(c))
		return false;
	const char *from = c->p;
	while (c->p < c->end && (ascii_is_alpha(*c->p) || ascii_is_digit(*c->p) || *c->p == '_' || *c->p == '-'))
		c->p++;
	*out = str_of(from, (size_t)(c->p - from));
	return (out->n >= 1 && out->n <= 255) || imap_fail(c, "expected an object id");
}

/* [SP entry-name SP entry-type-req] SP mod-sequence-valzer (RFC 7162, 7). There is one modseq for all metadata of a
 * message, so the entry's name does not matter (3.1.5). */
static bool modseq_argument(struct imap_cursor *c, uint64_t *out)
{
	struct str name;
	if (!imap_space(c))
		return false;
	if (imap_at(c, '"')) {
		if (!imap_string(c, "expected an entry name", &name) || !imap_space(c))
			return false;
		if (!str_starts(name, STR("/flags/")))
			return imap_fail(c, "expected an entry name like \"/flags/$x\"");
		if (!imap_try_word(c, STR("priv")) && !imap_try_word(c, STR("shared")) && !imap_try_word(c, STR("all")))
			return imap_fail(c, "expected priv, shared or all");
		if (!imap_space(c))
			return false;
	}
	return imap_number(c, INT64_MAX, out);
}

static bool key_argument(struct imap_cursor *c, struct imap_search_key **out)
{
	return imap_space(c) && search_key(c, out);
}

static bool word_arguments(struct imap_cursor *c, const struct search_word *word, struct imap_search_key *key)
{
	switch (word->argument) {
	case NOTHING:
		return true;
	case FLAG_SET:
	case FLAG_UNSET:
		key->flag = word->flag;
		key->wanted = word->argument == FLAG_SET;
		return true;
	case NEW:
		return new_flag(c, IMAP_FLAG_RECENT, true, &key->child) &&
			new_flag(c, IMAP_FLAG_SEEN, false, &key->child->next);
	case KEYWORD:
	case UNKEYWORD:
		key->wanted = word->argument == KEYWORD;
		return imap_space(c) && imap_atom(c, "expected a keyword", &key->text);
	case FIELD:
		if (!imap_space(c) || !imap_astring(c, "expected a header field name", &key->field))
			return false;
		return imap_space(c) && imap_astring(c, "expected a string", &key->text);
	case TEXT:
		return imap_space(c) && imap_astring(c, "expected a string", &key->text);
	case DAY:
		return imap_space(c) && imap_date(c, &key->day);
	case SIZE:
		return size_argument(c, &key->size);
	case INTERVAL: /* nz-number (RFC 5032, 4) */
		if (imap_space(c) && imap_number(c, UINT32_MAX, &key->size))
			return key->size > 0 || imap_fail(c, "expected a number of seconds");
		return false;
	case OBJECT_ID:
		return object_id(c, &key->text);
	case MODSEQ:
		return modseq_argument(c, &key->size);
	case UIDS:
		return imap_space(c) && imap_sequence_set(c, &key->set);
	case ONE_KEY:
		return key_argument(c, &key->child);
	case TWO_KEYS:
		return key_argument(c, &key->child) && key_argument(c, &key->child->next);
	}
	return false;
}

static bool key_list(struct imap_cursor *c, struct imap_search_key *parent)
{
	struct imap_search_key **next = &parent->child;
	do {
		if (!search_key(c, next))
			return false;
		next = &(*next)->next;
	} while (imap_list_goes_on(c));
	return !c->err;
}

static bool search_key_at_depth(struct imap_cursor *c, struct imap_search_key **out)
{
	if (imap_try(c, '('))
		return new_key(c, IMAP_SEARCH_AND, out) && key_list(c, *out);
	if (imap_at(c, '*') || imap_at(c, '$') || (!imap_at_end(c) && ascii_is_digit(*c->p)))
		return new_key(c, IMAP_SEARCH_SEQUENCE, out) && imap_sequence_set(c, &(*out)->set);
	struct str name = imap_run(c, IMAP_CLASS_NAME);
	const struct search_word *word = find_word(name);
	if (!word) {
		c->p -= name.n;
		return imap_fail(c, name.n ? "unknown search key" : "expected a search key");
	}
	return new_key(c, word->kind, out) && word_arguments(c, word, *out);
}

static bool search_key(struct imap_cursor *c, struct imap_search_key **out)
{
	if (c->depth >= c->limits->search_depth)
		return imap_fail_limit(c, "search keys are nested too deeply");
	c->depth++;
	bool fine = search_key_at_depth(c, out);
	c->depth--;
	return fine;
}

/* "RETURN" SP "(" options ")" SP (RFC 4731) and "CHARSET" SP astring SP, in front of the keys */
static bool before_keys(struct imap_cursor *c, struct imap_command *command)
{
	struct imap_search *search = &command->search;
	search->has_return = imap_try_word(c, STR("RETURN"));
	if (search->has_return && !(imap_space(c) && imap_params(c, &command->params) && imap_space(c)))
		return false;
	if (!imap_try_word(c, STR("CHARSET")))
		return true;
	return imap_space(c) && imap_astring(c, "expected a charset", &search->charset) && imap_space(c);
}

bool imap_parse_search(struct imap_cursor *c, struct imap_command *command)
{
	return imap_space(c) && before_keys(c, command) && imap_search_keys(c, &command->search);
}

bool imap_search_keys(struct imap_cursor *c, struct imap_search *out)
{
	struct imap_search_key *first = NULL, **next = &first;
	do {
		if (!search_key(c, next))
			return false;
		next = &(*next)->next;
	} while (imap_try(c, ' ') && !imap_at_end(c));
	out->key = first;
	if (!first->next)
		return true;
	if (!new_key(c, IMAP_SEARCH_AND, &out->key))
		return false;
	out->key->child = first;
	return true;
}
