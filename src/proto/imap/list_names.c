/* list_names.c: gathers, sorts and marks names. Owned by the LIST command that asked. Work: n log n in the number of
 * names and their levels, and matching. */
#include "proto/imap/list_names.h"

#include "base/mem.h"
#include "syntax/imap_name.h"

/* Longer patterns match nothing. */
#define PATTERN_MAX (4u * MAILBOX_NAME_MAX)

void list_names_free(struct list_names *names)
{
	arena_free(&names->arena);
	buf_free(&names->pattern);
	mem_free(names->list);
	names->list = NULL;
	names->n = names->size = 0;
}

static struct list_name *add(struct list_names *names, struct str name)
{
	if (names->n == names->size) {
		names->size = names->size ? names->size * 2 : 64;
		names->list = mem_resize(names->list, names->size, sizeof *names->list);
	}
	struct list_name *added = &names->list[names->n++];
	*added = (struct list_name){ .name = name };
	return added;
}

/* The name above; false at the top. */
static bool parent_of(struct str name, struct str *parent)
{
	for (size_t n = name.n; n > 0; n--) {
		if (name.p[n - 1] == IMAP_SEPARATOR) {
			*parent = str_first(name, n - 1);
			return true;
		}
	}
	return false;
}

/* The name and all above it. NULL: no room. */
static struct list_name *add_with_parents(struct list_names *names, struct str name)
{
	struct str copy, parent;
	if (arena_copy(&names->arena, name, &copy) < 0)
		return NULL;
	for (struct str at = copy; parent_of(at, &parent); at = parent)
		add(names, parent);
	return add(names, copy);
}

static int compare(const void *a, const void *b)
{
	return str_cmp(((const struct list_name *)a)->name, ((const struct list_name *)b)->name);
}

static void sort_and_merge(struct list_names *names)
{
	size_t kept = 0;
	if (names->n)
		qsort(names->list, names->n, sizeof *names->list, compare);
	for (size_t i = 0; i < names->n; i++) {
		struct list_name *from = &names->list[i], *to = kept ? &names->list[kept - 1] : NULL;
		if (!to || !str_eq(to->name, from->name)) {
			names->list[kept++] = *from;
			continue;
		}
		to->exists = to->exists || from->exists;
		to->subscribed = to->subscribed || from->subscribed;
		if (from->use != SPECIAL_USE_NONE)
			to->use = from->use;
	}
	names->n = kept;
}

/* Tells all names above this one what it is. Stops where they know already. */
static void mark_parents(struct list_names *names, const struct list_name *of)
{
	bool unmatched = of->subscribed && !of->matches;
	struct list_name key;
	for (struct str at = of->name; parent_of(at, &key.name); at = key.name) {
		struct list_name *parent = bsearch(&key, names->list, names->n, sizeof *names->list, compare);
		bool news = (of->exists && !parent->has_children) || (of->subscribed && !parent->subscribed_below) ||
		            (unmatched && !parent->unmatched_below);
		if (!news)
			return;
		parent->has_children = parent->has_children || of->exists;
		parent->subscribed_below = parent->subscribed_below || of->subscribed;
		parent->unmatched_below = parent->unmatched_below || unmatched;
	}
}

bool list_names_match(struct list_names *names, struct str reference, const struct imap_strings *patterns)
{
	if (names->next_name == names->n) {
		names->next_name = 0;
		names->next_pattern++;
	}
	if (names->next_pattern >= patterns->n || names->n == 0) {
		for (size_t i = 0; i < names->n; i++)
			mark_parents(names, &names->list[i]);
		return false;
	}
	struct str pattern = patterns->items[names->next_pattern];
	if (names->next_name == 0) {
		buf_clear(&names->pattern);
		buf_add(&names->pattern, reference);
		buf_add(&names->pattern, pattern);
	}
	struct list_name *name = &names->list[names->next_name++];
	if (buf_error(&names->pattern) < 0 || pattern.n == 0)
		names->next_name = names->n; /* longer than any name, or none */
	else if (!name->matches)
		name->matches = imap_list_match(buf_str(&names->pattern), name->name);
	return true;
}

int list_names_gather(struct account *account, struct list_names *out)
{
	struct list_names names = { .arena = ARENA_INIT(LIST_NAMES_BYTES_MAX), .pattern = BUF_INIT(PATTERN_MAX) };
	struct mailbox *const *mailboxes;
	const struct str *subscriptions;
	struct list_name *added = NULL;
	size_t n = account_mailboxes(account, &mailboxes), m = account_subscriptions(account, &subscriptions);
	for (size_t i = 0; i < n; i++) {
		const struct mailbox_facts *facts = mailbox_facts(mailboxes[i]);
		if (!(added = add_with_parents(&names, facts->name)))
			break;
		added->exists = true;
		added->use = facts->special_use;
	}
	for (size_t i = 0; i < m && (added || n == 0); i++) {
		if (!(added = add_with_parents(&names, subscriptions[i])))
			break;
		added->subscribed = true;
	}
	if (!added && n + m > 0) {
		list_names_free(&names);
		return ERR_LIMIT;
	}
	sort_and_merge(&names);
	*out = names;
	return 0;
}
