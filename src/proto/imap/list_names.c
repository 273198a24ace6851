/* list_names.c: gathers, sorts and marks names. Owned by the LIST command that asked. Names may be many (20,000 with
 * 20 levels each), so all is done in steps. Work: n log n in the number of names and their levels at worst, about n as
 * names mostly are in order already; and matching. */
#include "proto/imap/list_names.h"

#include "base/checked.h"
#include "base/mem.h"
#include "syntax/imap_name.h"

/* Longer patterns match nothing. */
#define PATTERN_MAX (4u * MAILBOX_NAME_MAX)
#define NAMES_STEP  256 /* copied, merged or united in one step */
#define TRIES_MAX   16  /* to copy them in steps */

void list_names_free(struct list_names *names)
{
	arena_free(&names->arena);
	buf_free(&names->pattern);
	mem_free(names->given);
	mem_free(names->list);
	mem_free(names->merged);
	mem_free(names->runs);
	*names = (struct list_names){ .n = 0 };
}

/* --- copying --- */

void list_names_begin(struct account *account, struct list_names *out)
{
	*out = (struct list_names){ .account = account, .arena = ARENA_INIT(LIST_NAMES_BYTES_MAX), .pattern = BUF_INIT(PATTERN_MAX) };
}

static int copy_one(struct list_names *names, struct mailbox *const *mailboxes, const struct str *subscriptions)
{
	size_t at = names->n_given;
	bool exists = at < names->n_mailboxes;
	const struct mailbox_facts *facts = exists ? mailbox_facts(mailboxes[at]) : NULL;
	struct list_name *given = &names->given[at];
	*given = (struct list_name){ .exists = exists, .subscribed = !exists, .use = exists ? facts->special_use : SPECIAL_USE_NONE };
	int err = arena_copy(&names->arena, exists ? facts->name : subscriptions[at - names->n_mailboxes], &given->name);
	names->n_given += err == 0;
	return err;
}

/* Some more names; from the first one on, if others changed them meanwhile, and all at once when they do so again and again. */
static int copy_some(struct list_names *names, bool *more)
{
	struct mailbox *const *mailboxes;
	const struct str *subscriptions;
	size_t n = account_mailboxes(names->account, &mailboxes), m = account_subscriptions(names->account, &subscriptions);
	uint64_t version = account_names_version(names->account);
	int err = 0;
	if (!names->given || names->version != version) {
		arena_free(&names->arena);
		mem_free(names->given);
		names->arena = ARENA_INIT(LIST_NAMES_BYTES_MAX);
		names->given = mem_alloc_unset((n + m + 1) * sizeof *names->given);
		names->n_given = 0;
		names->n_mailboxes = n;
		names->version = version;
		names->tries++;
	}
	size_t end = names->tries < TRIES_MAX ? MIN(names->n_given + NAMES_STEP, n + m) : n + m;
	while (names->n_given < end && err == 0)
		err = copy_one(names, mailboxes, subscriptions);
	*more = names->n_given < n + m;
	return err;
}

/* --- names above names --- */

static void add(struct list_names *names, const struct list_name *name, bool begins_run)
{
	if (names->n == names->size) {
		names->size = names->size ? names->size * 2 : 64;
		names->list = mem_resize(names->list, names->size, sizeof *names->list);
	}
	if (begins_run && (names->n_runs & (names->n_runs - 1)) == 0)
		names->runs = mem_resize(names->runs, names->n_runs ? names->n_runs * 2 : 1, sizeof *names->runs);
	if (begins_run)
		names->runs[names->n_runs++] = names->n;
	names->list[names->n++] = *name;
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

static size_t common_length(struct str a, struct str b)
{
	size_t n = 0, max = MIN(a.n, b.n);
	while (n + 16 <= max && memcmp(a.p + n, b.p + n, 16) == 0)
		n += 16;
	while (n < max && a.p[n] == b.p[n])
		n++;
	return n;
}

/* The next name, and all above it that the one before it, which is smaller, neither is nor has above it. Such a parent is out
 * of order where the one before begins with it and goes on with less than a separator: "a", "a b", and now "a/c". */
static void add_with_parents(struct list_names *names)
{
	const struct list_name *given = &names->given[names->next];
	bool first = names->next == 0 || names->next == names->n_mailboxes;
	struct str name = given->name, before = first ? STR("") : given[-1].name;
	size_t same = common_length(name, before);
	bool begins_run = first;
	for (size_t n = 0; n < name.n; n++) {
		const char *separator = memchr(name.p + n, IMAP_SEPARATOR, name.n - n);
		if (!separator)
			break;
		n = (size_t)(separator - name.p);
		if (!first && (same > n || (same == n && before.n == n)))
			continue;
		begins_run |= !first && same == n;
		add(names, &(struct list_name){ .name = str_first(name, n) }, begins_run);
		begins_run = false;
	}
	add(names, given, begins_run);
}

/* --- order --- */

/* The next two runs are merged from `list` to `merged`; after the last of them, those are the list. */
static bool begin_merge(struct list_names *names)
{
	size_t run = names->run;
	if (run >= names->n_runs) {
		struct list_name *merged = names->merged;
		names->merged = names->list;
		names->list = merged;
		names->n_runs = (names->n_runs + 1) / 2;
		names->run = run = 0;
	}
	if (names->n_runs <= 1)
		return false;
	names->left = names->next = names->runs[run];
	names->left_end = names->right = run + 1 < names->n_runs ? names->runs[run + 1] : names->n;
	names->right_end = run + 2 < names->n_runs ? names->runs[run + 2] : names->n;
	names->runs[run / 2] = names->left;
	names->run = run + 2;
	return true;
}

static bool sort_some(struct list_names *names)
{
	if (!names->merged && names->n_runs > 1) {
		names->merged = mem_resize(NULL, names->n, sizeof *names->merged);
		names->size = names->n;
	}
	if (names->left == names->left_end && names->right == names->right_end && !begin_merge(names))
		return false;
	for (size_t i = 0; i < NAMES_STEP; i++) {
		bool left = names->left < names->left_end, right = names->right < names->right_end;
		if (!left && !right)
			break;
		left = left && (!right || str_cmp(names->list[names->left].name, names->list[names->right].name) <= 0);
		names->merged[names->next++] = names->list[left ? names->left++ : names->right++];
	}
	return true;
}

static void unite(struct list_names *names)
{
	struct list_name *from = &names->list[names->next], *to = names->kept ? &names->list[names->kept - 1] : NULL;
	if (!to || !str_eq(to->name, from->name)) {
		names->list[names->kept++] = *from;
		return;
	}
	to->exists = to->exists || from->exists;
	to->subscribed = to->subscribed || from->subscribed;
	if (from->use != SPECIAL_USE_NONE)
		to->use = from->use;
}

/* --- matching --- */

/* Wildcards that follow each other are one: what costs is each of them. */
static void unite_wildcards(struct buf *pattern)
{
	size_t kept = 0;
	for (size_t i = 0; i < pattern->n; i++) {
		char c = pattern->p[i];
		bool again = kept > 0 && (c == '*' || c == '%') && (pattern->p[kept - 1] == '*' || pattern->p[kept - 1] == '%');
		if (!again)
			pattern->p[kept++] = c;
		else if (c == '*')
			pattern->p[kept - 1] = c;
	}
	pattern->n = kept;
}

static bool match_one(struct list_names *names, struct str reference, const struct imap_strings *patterns)
{
	if (names->next == names->n) {
		names->next = 0;
		names->next_pattern++;
	}
	if (names->next_pattern >= patterns->n || names->n == 0)
		return false;
	struct str pattern = patterns->items[names->next_pattern];
	if (names->next == 0) {
		buf_clear(&names->pattern);
		buf_add(&names->pattern, reference);
		buf_add(&names->pattern, pattern);
		unite_wildcards(&names->pattern);
	}
	struct list_name *name = &names->list[names->next++];
	if (buf_error(&names->pattern) < 0 || pattern.n == 0)
		names->next = names->n; /* longer than any name, or none */
	else if (!name->matches)
		name->matches = imap_list_match(buf_str(&names->pattern), name->name);
	return true;
}

static int compare(const void *a, const void *b)
{
	return str_cmp(((const struct list_name *)a)->name, ((const struct list_name *)b)->name);
}

/* Tells all names above this one what it is. Stops where they know already. */
static void mark_parents(struct list_names *names, const struct list_name *of)
{
	bool subscribed = of->subscribed && (!names->of_special_use || of->use != SPECIAL_USE_NONE);
	bool unmatched = subscribed && !of->matches;
	struct list_name key;
	for (struct str at = of->name; parent_of(at, &key.name); at = key.name) {
		struct list_name *parent = bsearch(&key, names->list, names->n, sizeof *names->list, compare);
		bool news = (of->exists && !parent->has_children) || (subscribed && !parent->subscribed_below) ||
		            (unmatched && !parent->unmatched_below);
		if (!news)
			return;
		parent->has_children = parent->has_children || of->exists;
		parent->subscribed_below = parent->subscribed_below || subscribed;
		parent->unmatched_below = parent->unmatched_below || unmatched;
	}
}

/* --- one after the other --- */

int list_names_step(struct list_names *names, struct str reference, const struct imap_strings *patterns, bool *done)
{
	bool more = false;
	int err = 0;
	switch (names->work) {
	case LIST_WORK_COPY:
		err = copy_some(names, &more);
		break;
	case LIST_WORK_PARENTS:
		if ((more = names->next < names->n_given))
			add_with_parents(names);
		names->next++;
		break;
	case LIST_WORK_SORT:
		more = sort_some(names);
		break;
	case LIST_WORK_UNITE:
		for (size_t i = 0; i < NAMES_STEP && names->next < names->n; i++, names->next++)
			unite(names);
		if (!(more = names->next < names->n))
			names->n = names->kept;
		break;
	case LIST_WORK_MATCH:
		more = match_one(names, reference, patterns);
		break;
	case LIST_WORK_MARK:
		if ((more = names->next < names->n))
			mark_parents(names, &names->list[names->next++]);
		break;
	case LIST_WORK_DONE:
		break;
	}
	if (err == 0 && !more && names->work != LIST_WORK_DONE) {
		names->work++;
		names->next = 0;
	}
	*done = names->work == LIST_WORK_DONE;
	return err;
}
