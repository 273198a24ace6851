/* cmd_select.c: SELECT and EXAMINE (RFC 3501, 6.3.1 and 6.3.2; RFC 7162, 3.1.8 and 3.2.5) and UNSELECT (RFC 3691).
 * The selected mailbox is held open until it is deselected. Its entries are read in slices, where they are not in
 * memory; the task is the mailbox, held from the begin on. */
#include "proto/imap/print.h"
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
	set_free(&selected->saved);
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
	imap_tell_modseq(s, mailbox_modseq(selected->mailbox));
	outq_addf(out, "* OK [MAILBOXID (" IMAP_MAILBOX_ID ")] The mailbox, whatever its name.\r\n",
	          mailbox_facts(selected->mailbox)->uidvalidity);
}

/* What the client missed, before the tagged reply (RFC 7162, 3.2.5). Another UIDVALIDITY: the client sees it. */
static enum imap_step resynchronise(struct imap_session *s, const struct imap_qresync *qresync, const char *code)
{
	struct selected *selected = &s->selected;
	struct imap_fetch_answer answer = { .handler = &imap_select_answer,
		                                .parts = PRINT_UID | PRINT_FLAGS | PRINT_MODSEQ,
		                                .code = BUF_INIT(64),
		                                .done = "SELECT completed." };
	struct set asked = SET_INIT;
	uint32_t uidnext = mailbox_uidnext(selected->mailbox);
	if (qresync->known.n)
		imap_sequence_resolve(&qresync->known, UINT32_MAX, &asked);
	else if (uidnext > 1)
		set_add(&asked, 1, uidnext - 1);
	int err = imap_changes_since(s, qresync->modseq, &asked, &answer.uids, &answer.vanished);
	set_free(&asked);
	if (err < 0) {
		imap_deselect(s);
		imap_no_error(s, err);
		return IMAP_STEP_DONE;
	}
	uint32_t matched = imap_match_known(&selected->known.uids, &qresync->match_numbers, &qresync->match_uids);
	if (matched)
		set_remove(&answer.vanished, 1, matched);
	buf_add(&answer.code, str_from_c(code));
	buf_add_byte(&answer.code, '\0');
	return imap_fetch_answer(s, &answer);
}

/* The mailbox is open: the session takes it over from the task. */
static enum imap_step enter(struct imap_session *s, struct mailbox *mailbox)
{
	const struct imap_select *select = &imap_command_of(s)->select;
	struct mailbox_counts counts;
	s->task = NULL;
	s->selected.mailbox = mailbox;
	s->selected.read_only = imap_command_of(s)->kind == IMAP_COMMAND_EXAMINE;
	mailbox_counts(mailbox, &counts);
	mailbox_know_all(mailbox, &s->selected.known);
	imap_learn_recent(&s->selected, &s->selected.known.uids);
	tell_facts(s, &counts);
	const char *code = s->selected.read_only ? "READ-ONLY" : "READ-WRITE";
	if (select->qresync && select->qresync->uidvalidity == mailbox_facts(mailbox)->uidvalidity)
		return resynchronise(s, select->qresync, code);
	imap_ok(s, code, s->selected.read_only ? "EXAMINE completed." : "SELECT completed.");
	return IMAP_STEP_DONE;
}

enum imap_step imap_select_step(struct imap_session *s)
{
	enum imap_step step;
	return imap_task_is_open(s, &step) ? enter(s, s->task) : step;
}

enum imap_step imap_cmd_select(struct imap_session *s)
{
	const struct imap_select *select = &imap_command_of(s)->select;
	if (imap_refuse_params(s))
		return IMAP_STEP_DONE;
	if (select->qresync && !s->qresync) {
		imap_bad(s, "QRESYNC needs ENABLE QRESYNC first.");
		return IMAP_STEP_DONE;
	}
	if (s->selected.mailbox) /* what comes is of the new one (RFC 7162, 3.2.11) */
		outq_add(imap_output(s), STR("* OK [CLOSED] The mailbox before is closed.\r\n"));
	imap_deselect(s); /* also where the new one cannot be selected */
	s->condstore = s->condstore || select->condstore;
	struct mailbox *mailbox = imap_find_mailbox(s, select->mailbox, "NONEXISTENT");
	return mailbox && imap_open_task(s, mailbox) ? imap_select_step(s) : IMAP_STEP_DONE;
}

enum imap_step imap_cmd_unselect(struct imap_session *s)
{
	imap_deselect(s);
	imap_ok(s, NULL, "UNSELECT completed.");
	return IMAP_STEP_DONE;
}
