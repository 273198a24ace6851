/* keywords.c: whether the keywords of a command fit into a mailbox, asked before the first is made: names are never
 * freed, so a command that is refused may use up none. Nothing is kept but the caller's list. */
#include "base/checked.h"
#include "base/mem.h"
#include "proto/imap/session_private.h"

static bool has(const struct imap_strings *list, struct str name)
{
	for (uint32_t i = 0; i < list->n; i++)
		if (str_ieq(list->items[i], name))
			return true;
	return false;
}

bool imap_keywords_fit(const struct imap_session *s, const struct mailbox *mailbox, const struct imap_strings *wanted,
                       struct imap_strings *missing)
{
	const struct str *names;
	size_t there = mailbox_keywords(mailbox, &names);
	size_t max = MIN(s->settings->mail.max_keywords, (uint32_t)KEYWORDS_MAX);
	size_t longest = MIN(s->settings->max_keyword_length, (size_t)KEYWORD_NAME_MAX);
	for (uint32_t i = 0; i < wanted->n; i++) {
		struct str name = wanted->items[i];
		if (keyword_find(mailbox, name) >= 0 || has(missing, name))
			continue;
		if (name.n > longest || there + missing->n >= max)
			return false;
		missing->items = mem_resize(missing->items, missing->n + 1, sizeof *missing->items);
		missing->items[missing->n++] = name;
	}
	return true;
}

bool imap_keywords_still_fit(const struct imap_session *s, const struct mailbox *mailbox, const struct imap_strings *wanted)
{
	struct imap_strings missing = { NULL, 0 };
	bool fit = imap_keywords_fit(s, mailbox, wanted, &missing);
	mem_free(missing.items);
	return fit;
}
