/* cmd_rename.c: RENAME (RFC 3501, 6.3.5; RFC 9051, 6.3.6), when cmd_mailbox.c has looked at the names.
 * Of a mailbox with all below it: all names change at once, for everybody; rows of many follow in slices, a batch for each
 * (account_rename_step). Should the session end in between, the next CREATE or RENAME goes on.
 * Of INBOX: its messages move to a new mailbox, INBOX stays and is empty. Its entries are read in slices; few messages
 * move at once, many as MOVE's do, a slice to a batch: should it fail or end in between, each message is in one of the
 * two. What is delivered meanwhile stays in INBOX. The task holds both mailboxes. */
#include "base/mem.h"
#include "proto/imap/session_private.h"

#define SLICE 8192

struct rename_task {
	bool renamed;               /* not INBOX: all have their new names */
	struct mailbox *inbox, *to; /* held; inbox NULL: another is renamed; `to` is NULL until it was made */
	struct set uids;            /* of INBOX, when `to` was made */
	uint32_t from;              /* those below have moved */
};

void imap_rename_end(struct imap_session *s)
{
	struct rename_task *t = s->task;
	set_free(&t->uids);
	if (t->to)
		mailbox_close(t->to);
	if (t->inbox)
		mailbox_close(t->inbox);
	mem_free(t);
	s->task = NULL;
}

/* The new mailbox, and it alone, is taken back, if nobody has put anything into it. */
static enum imap_step give_up(struct imap_session *s, int err)
{
	struct rename_task *t = s->task;
	struct mailbox *to = t->to;
	imap_no_error(s, err);
	if (!to || account_is_gone(s->account) || mailbox_is_gone(to))
		return IMAP_STEP_DONE;
	bool empty = mailbox_uidnext(to) == 1;
	mailbox_close(to);
	t->to = NULL;
	if (!empty)
		outq_add(imap_output(s), STR("* NO Some messages are in the new mailbox already; MOVE takes the others there.\r\n"));
	else if (store_writable(account_store(s->account)) && (err = mailbox_delete(to)) < 0)
		imap_no_error(s, err);
	return IMAP_STEP_DONE;
}

/* Few: at once, the new mailbox with them. Many: the new mailbox is made. */
static int begin(struct imap_session *s, struct rename_task *t, bool *done)
{
	const struct imap_rename *rename = &imap_command_of(s)->rename;
	struct mailbox *to;
	*done = mailbox_count(t->inbox) <= COPY_AT_ONCE_MAX;
	if (*done)
		return mailbox_rename(s->account, rename->from, rename->to, s->settings->max_mailboxes);
	int err = mailbox_create(s->account, rename->to, SPECIAL_USE_NONE, s->settings->max_mailboxes, &to);
	if (err == 0)
		err = mailbox_open(to);
	if (err < 0)
		return err;
	t->to = to;
	set_add(&t->uids, 1, mailbox_uidnext(t->inbox) - 1);
	return 0;
}

static int move_slice(struct rename_task *t, bool *done)
{
	struct set slice = SET_INIT, source = SET_INIT, target = SET_INIT;
	bool more = false;
	int err = mailbox_is_gone(t->to) ? ERR_NOT_FOUND : mailbox_slice(t->inbox, &t->uids, SLICE, &t->from, &slice, &more);
	if (err == 0)
		err = mailbox_copy(t->inbox, &slice, t->to, true, KEYWORDS_MAX, &source, &target);
	*done = !more;
	set_free(&slice);
	set_free(&source);
	set_free(&target);
	return err;
}

static enum imap_step inbox_step(struct imap_session *s, struct rename_task *t)
{
	bool open = t->to != NULL, done = false;
	enum imap_step step = imap_end_renaming(s);
	if (step != IMAP_STEP_DONE)
		return step;
	if (!account_may_write_slice(s->account, mailbox_count(t->inbox), &s->refusals))
		return IMAP_STEP_DURABLE;
	int err = open ? 0 : mailbox_open_step(t->inbox, &open);
	if (err == 0 && !open)
		return IMAP_STEP_AGAIN;
	if (err == 0)
		err = t->to ? move_slice(t, &done) : begin(s, t, &done);
	if (err < 0)
		return give_up(s, err);
	if (!done)
		return IMAP_STEP_DURABLE;
	imap_ok(s, NULL, "RENAME completed.");
	return IMAP_STEP_DONE;
}

enum imap_step imap_rename_inbox(struct imap_session *s)
{
	const struct imap_rename *rename = &imap_command_of(s)->rename;
	struct mailbox *inbox = imap_find_mailbox(s, rename->from, "NONEXISTENT");
	if (!inbox)
		return IMAP_STEP_DONE;
	int err = account_mailbox(s->account, rename->to) ? ERR_EXISTS : mailbox_open_begin(inbox);
	if (err < 0) {
		imap_no_error(s, err);
		return IMAP_STEP_DONE;
	}
	struct rename_task *t = mem_alloc(1, sizeof *t);
	t->inbox = inbox;
	s->task = t;
	return inbox_step(s, t);
}

/* --- any other mailbox --- */

enum imap_step imap_end_renaming(struct imap_session *s)
{
	if (account_is_gone(s->account))
		return IMAP_STEP_DONE;
	if (!store_writable(account_store(s->account)))
		return IMAP_STEP_WRITABLE;
	if (!account_is_renaming(s->account))
		return IMAP_STEP_DONE;
	if (!account_may_write_slice(s->account, UINT64_MAX, &s->refusals))
		return IMAP_STEP_DURABLE;
	/* what cannot be written now is left to the next one: names are what they are without it */
	return account_rename_step(s->account) < 0 ? IMAP_STEP_DONE : IMAP_STEP_DURABLE;
}

static enum imap_step tree_step(struct imap_session *s, struct rename_task *t)
{
	const struct imap_rename *rename = &imap_command_of(s)->rename;
	enum imap_step step = imap_end_renaming(s);
	if (step != IMAP_STEP_DONE)
		return step;
	if (!t->renamed) {
		int err = mailbox_rename(s->account, rename->from, rename->to, s->settings->max_mailboxes);
		if (err == ERR_EXISTS && !account_mailbox(s->account, rename->to))
			imap_no(s, "ALREADYEXISTS", "A mailbox below it would get the name of another.");
		else if (err < 0)
			imap_no_error(s, err);
		if (err < 0)
			return IMAP_STEP_DONE;
		t->renamed = true;
		if (account_is_renaming(s->account))
			return IMAP_STEP_DURABLE;
	}
	imap_ok(s, NULL, "RENAME completed.");
	return IMAP_STEP_DONE;
}

enum imap_step imap_rename_tree(struct imap_session *s)
{
	struct rename_task *t = mem_alloc(1, sizeof *t);
	s->task = t;
	return tree_step(s, t);
}

enum imap_step imap_rename_step(struct imap_session *s)
{
	struct rename_task *t = s->task;
	return t->inbox ? inbox_step(s, t) : tree_step(s, t);
}
