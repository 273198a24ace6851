/* cmd_select.c: SELECT and EXAMINE (RFC 3501, 6.3.1 and 6.3.2) and UNSELECT (RFC 3691). The selected
 * mailbox is held open until it is deselected. Its entries are read in slices, where they are not in memory; the task is
 * the mailbox, held from the begin on. */
#include "proto/imap/session_private.h"

void imap_deselect(struct imap_session *s)
{
	struct selected *selected = &s->selected;
	if (!selected->mailbox)
		return;
	mailbox_close(selected->mailbox);
	set_free(&selected->known.uids);
	set_free(&selected->gone);
	set_free(&selected->flagged);
	set_free(&selected->recent);
	*selected = (struct selected){ 0 };
}

static void tell_facts(struct imap_session *s, const struct mailbox_counts *counts)
{
	struct selected *selected = &s->selected;
	struct outq *out = imap_output(s);
	imap_tell_keywords(s, true);
	imap_tell_counts(s);
	if (counts->first_unseen_uid)
		outq_addf(out, "* OK [UNSEEN %llu] The first message not seen.\r\n",
		          (unsigned long long)set_count_below(&selected->known.uids, counts->first_unseen_uid) + 1);
	outq_addf(out, "* OK [UIDVALIDITY %u] UIDs are valid.\r\n", mailbox_facts(selected->mailbox)->uidvalidity);
	outq_addf(out, "* OK [UIDNEXT %u] The next UID.\r\n", mailbox_uidnext(selected->mailbox));
}

/* The mailbox is open: the session takes it over from the task. */
static void enter(struct imap_session *s, struct mailbox *mailbox)
{
	struct mailbox_counts counts;
	s->task = NULL;
	s->selected.mailbox = mailbox;
	s->selected.read_only = imap_command_of(s)->kind == IMAP_COMMAND_EXAMINE;
	mailbox_counts(mailbox, &counts);
	mailbox_know_all(mailbox, &s->selected.known);
	imap_learn_recent(&s->selected, &s->selected.known.uids);
	tell_facts(s, &counts);
	if (s->selected.read_only)
		imap_ok(s, "READ-ONLY", "EXAMINE completed.");
	else
		imap_ok(s, "READ-WRITE", "SELECT completed.");
}

void imap_select_end(struct imap_session *s)
{
	mailbox_close(s->task);
	s->task = NULL;
}

enum imap_step imap_select_step(struct imap_session *s)
{
	struct mailbox *mailbox = s->task;
	bool done = false;
	int err = mailbox_is_gone(mailbox) ? ERR_NOT_FOUND : mailbox_open_step(mailbox, &done);
	if (err == 0 && !done)
		return IMAP_STEP_AGAIN;
	if (err < 0)
		imap_no_error(s, err);
	else
		enter(s, mailbox);
	return IMAP_STEP_DONE;
}

enum imap_step imap_cmd_select(struct imap_session *s)
{
	if (imap_refuse_params(s))
		return IMAP_STEP_DONE;
	imap_deselect(s); /* also where the new one cannot be selected */
	struct mailbox *mailbox = imap_find_mailbox(s, imap_command_of(s)->mailbox, "NONEXISTENT");
	if (!mailbox)
		return IMAP_STEP_DONE;
	int err = mailbox_open_begin(mailbox);
	if (err < 0) {
		imap_no_error(s, err);
		return IMAP_STEP_DONE;
	}
	s->task = mailbox;
	return imap_select_step(s);
}

enum imap_step imap_cmd_unselect(struct imap_session *s)
{
	imap_deselect(s);
	imap_ok(s, NULL, "UNSELECT completed.");
	return IMAP_STEP_DONE;
}
