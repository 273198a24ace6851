/* imap_parse_sort.c: the arguments of SORT and THREAD (RFC 5256, section 5; RFC 5957). Pure, as imap_parse.c. */
#include "syntax/imap_cursor.h"

#include "base/checked.h"

static const struct str sort_names[] = {
#define SORT_NAME(kind, name) [kind] = STR_INIT(name),
	IMAP_SORT_LIST(SORT_NAME)
#undef SORT_NAME
};

/* ["REVERSE" SP] sort-key */
static bool criterion(struct imap_cursor *c, struct imap_search *out)
{
	struct imap_sort_key key = { .reverse = imap_try_word(c, STR("REVERSE")) };
	if (key.reverse && !imap_space(c))
		return false;
	if (out->n_sort == IMAP_SORT_KEYS_MAX)
		return imap_fail_limit(c, "too many sort criteria");
	struct str name = imap_run(c, IMAP_CLASS_NAME);
	for (size_t i = 0; i < COUNT_OF(sort_names); i++) {
		if (!str_ieq(sort_names[i], name))
			continue;
		key.kind = (enum imap_sort_kind)i;
		out->sort[out->n_sort++] = key;
		return true;
	}
	c->p -= name.n;
	return imap_fail(c, "expected a sort criterion");
}

/* SP charset 1*(SP search-key) */
static bool search_criteria(struct imap_cursor *c, struct imap_search *out)
{
	return imap_space(c) && imap_astring(c, "expected a charset", &out->charset) && imap_space(c) &&
		imap_search_keys(c, out);
}

bool imap_parse_sort(struct imap_cursor *c, struct imap_command *command)
{
	struct imap_search *out = &command->search;
	if (!imap_space(c) || !imap_open(c))
		return false;
	do {
		if (!criterion(c, out))
			return false;
	} while (imap_list_goes_on(c));
	return !c->err && search_criteria(c, out);
}

bool imap_parse_thread(struct imap_cursor *c, struct imap_command *command)
{
	struct imap_search *out = &command->search;
	if (!imap_space(c))
		return false;
	if (imap_try_word(c, STR("ORDEREDSUBJECT")))
		out->thread = IMAP_THREAD_ORDEREDSUBJECT;
	else if (imap_try_word(c, STR("REFERENCES")))
		out->thread = IMAP_THREAD_REFERENCES;
	else
		return imap_fail(c, "expected ORDEREDSUBJECT or REFERENCES");
	return search_criteria(c, out);
}
