/* cmd_list.c: LIST (RFC 3501, 6.3.8; RFC 5258, 5819, 6154, 3348) and LSUB (6.3.9). The answer is written name by name
 * and pauses when the output is full or, with STATUS, when its slice is over. */
#include "base/mem.h"
#include "proto/imap/list_names.h"
#include "proto/imap/session_private.h"
#include "syntax/imap_name.h"

struct list_task {
	struct list_names names;
	bool matched; /* names are in order, and it is known of all which are meant */
	size_t next;
	struct mailbox *opening; /* held: its status comes next; NULL: a name does */
	struct buf line;
};

#define LINE_MAX_BYTES (8u * MAILBOX_NAME_MAX + 256)

static bool is_lsub(const struct imap_session *s)
{
	return imap_command_of(s)->kind == IMAP_COMMAND_LSUB;
}

/* LIST "" "": asks for the separator and the root, which has no name here. */
static bool asks_for_separator(const struct imap_list *list)
{
	return !list->extended && list->patterns.items[0].n == 0;
}

enum imap_step imap_cmd_list(struct imap_session *s)
{
	const struct imap_list *list = &imap_command_of(s)->list;
	struct list_names names;
	if (asks_for_separator(list)) {
		outq_add(imap_output(s),
		         is_lsub(s) ? STR("* LSUB (\\Noselect) \"/\" \"\"\r\n") : STR("* LIST (\\Noselect) \"/\" \"\"\r\n"));
		imap_ok(s, NULL, "Completed.");
		return IMAP_STEP_DONE;
	}
	list_names_begin(s->account, &names);
	names.of_special_use = list->select & IMAP_LIST_SELECT_SPECIAL_USE; /* RFC 5258, 3.5: all criteria are to be met */
	struct list_task *t = mem_alloc(1, sizeof *t);
	t->names = names;
	t->line = BUF_INIT(LINE_MAX_BYTES);
	s->task = t;
	return imap_list_step(s);
}

void imap_list_end(struct imap_session *s)
{
	struct list_task *t = s->task;
	if (t->opening)
		mailbox_close(t->opening);
	list_names_free(&t->names);
	buf_free(&t->line);
	mem_free(t);
	s->task = NULL;
}

/* Is this name of the answer? */
static bool is_chosen(const struct imap_list *list, bool lsub, const struct list_name *name)
{
	if (!name->matches)
		return false;
	if (lsub) /* "%" of a subscribed a/b gives a (6.3.9) */
		return name->subscribed || name->unmatched_below;
	if (list->select & IMAP_LIST_SELECT_SUBSCRIBED) {
		bool special = !(list->select & IMAP_LIST_SELECT_SPECIAL_USE) || name->use != SPECIAL_USE_NONE;
		bool recursive = (list->select & IMAP_LIST_SELECT_RECURSIVEMATCH) && name->unmatched_below;
		return (name->subscribed && special) || recursive;
	}
	if (list->select & IMAP_LIST_SELECT_SPECIAL_USE)
		return name->use != SPECIAL_USE_NONE;
	return name->exists || name->has_children;
}

static void put_attribute(struct buf *line, struct str attribute)
{
	if (line->p[line->n - 1] != '(')
		buf_add_byte(line, ' ');
	buf_add(line, attribute);
}

static void put_list_attributes(struct buf *line, const struct imap_list *list, const struct list_name *name)
{
	if (!name->exists)
		put_attribute(line, list->extended ? STR("\\NonExistent") : STR("\\Noselect"));
	put_attribute(line, name->has_children ? STR("\\HasChildren") : STR("\\HasNoChildren"));
	bool wants_subscribed = list->select & IMAP_LIST_SELECT_SUBSCRIBED || list->returns & IMAP_LIST_RETURN_SUBSCRIBED;
	if (name->subscribed && wants_subscribed)
		put_attribute(line, STR("\\Subscribed"));
	if (name->use != SPECIAL_USE_NONE)
		put_attribute(line, special_use_name(name->use));
}

static void put_name(struct imap_session *s, struct buf *line, const struct list_name *name)
{
	const struct imap_list *list = &imap_command_of(s)->list;
	buf_clear(line);
	buf_add(line, is_lsub(s) ? STR("* LSUB (") : STR("* LIST ("));
	if (!is_lsub(s))
		put_list_attributes(line, list, name);
	else if (!name->subscribed) /* all that \Noselect tells here (6.3.9): a name that is gone is subscribed still */
		put_attribute(line, STR("\\Noselect"));
	buf_add(line, STR(") \"/\" "));
	imap_put_mailbox(line, name->name);
	if (list->select & IMAP_LIST_SELECT_RECURSIVEMATCH && name->subscribed_below)
		buf_add(line, STR(" (\"CHILDINFO\" (\"SUBSCRIBED\"))"));
	buf_add(line, STR("\r\n"));
	if (buf_error(line) == 0)
		outq_add(imap_output(s), buf_str(line));
}

/* RFC 5819: its status is to follow; it is held until then. */
static void begin_status(struct imap_session *s, struct list_task *t, const struct list_name *name)
{
	const struct imap_list *list = &imap_command_of(s)->list;
	if (is_lsub(s) || !(list->returns & IMAP_LIST_RETURN_STATUS))
		return;
	struct mailbox *mailbox = account_mailbox(s->account, name->name);
	if (mailbox && mailbox_open_begin(mailbox) == 0)
		t->opening = mailbox;
}

/* A mailbox whose status cannot be had is listed without it. False: more of its entries are to be read first. */
static bool put_status(struct imap_session *s, struct list_task *t)
{
	bool done = false;
	int err = mailbox_is_gone(t->opening) ? ERR_NOT_FOUND : mailbox_open_step(t->opening, &done);
	if (err == 0 && done)
		err = imap_put_status(s, t->opening, imap_command_of(s)->list.status_items);
	if (err == 0 && !done)
		return false;
	mailbox_close(t->opening);
	t->opening = NULL;
	return true;
}

enum imap_step imap_list_step(struct imap_session *s)
{
	struct list_task *t = s->task;
	const struct imap_list *list = &imap_command_of(s)->list;
	uint64_t end = s->world->microseconds(s->owner) + IMAP_SLICE_MICROSECONDS;
	while (!t->matched) {
		int err = list_names_step(&t->names, list->reference, &list->patterns, &t->matched);
		if (err < 0) {
			imap_no_error(s, err);
			return IMAP_STEP_DONE;
		}
		if (!t->matched && s->world->microseconds(s->owner) > end)
			return IMAP_STEP_AGAIN;
	}
	while (t->opening || t->next < t->names.n) {
		if (!t->opening) {
			const struct list_name *name = &t->names.list[t->next++];
			if (!is_chosen(list, is_lsub(s), name))
				continue;
			put_name(s, &t->line, name);
			begin_status(s, t, name);
		}
		if (t->opening && !put_status(s, t) && s->world->microseconds(s->owner) <= end)
			continue;
		if (imap_output_full(s))
			return IMAP_STEP_OUTPUT;
		if (s->world->microseconds(s->owner) > end)
			return IMAP_STEP_AGAIN;
	}
	imap_ok(s, NULL, is_lsub(s) ? "LSUB completed." : "LIST completed.");
	return IMAP_STEP_DONE;
}
