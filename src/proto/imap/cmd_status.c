/* cmd_status.c: STATUS (RFC 3501, 6.3.10), also for LIST ... RETURN (STATUS ...) (RFC 5819). Takes nothing that is
 * recent. */
#include "proto/imap/session_private.h"
#include "syntax/imap_name.h"

static void put_value(struct outq *out, bool *first, struct str name, uint64_t value)
{
	if (!*first)
		outq_add(out, STR(" "));
	*first = false;
	outq_add(out, name);
	outq_add_u64(out, value);
}

/* RFC 9208, 4.1.4: what an EXPUNGE would free; storage in octets. */
static void put_deleted(struct outq *out, bool *first, const struct mailbox *mailbox, uint32_t items)
{
	struct account_counts deleted;
	mailbox_deleted(mailbox, &deleted);
	if (items & IMAP_STATUS_DELETED)
		put_value(out, first, STR("DELETED "), deleted.messages);
	if (items & IMAP_STATUS_DELETED_STORAGE)
		put_value(out, first, STR("DELETED-STORAGE "), deleted.bytes);
}

int imap_put_status(struct imap_session *s, struct mailbox *mailbox, uint32_t items)
{
	struct outq *out = imap_output(s);
	struct buf name = BUF_INIT(8 * MAILBOX_NAME_MAX);
	struct mailbox_counts counts;
	bool first = true;
	int err = mailbox_open(mailbox);
	if (err < 0)
		return err;
	if (items & IMAP_STATUS_HIGHESTMODSEQ)
		imap_enable_condstore(s);
	mailbox_counts(mailbox, &counts);
	imap_put_mailbox(&name, mailbox_facts(mailbox)->name);
	outq_add(out, STR("* STATUS "));
	outq_add(out, buf_str(&name));
	outq_add(out, STR(" ("));
	if (items & IMAP_STATUS_MESSAGES)
		put_value(out, &first, STR("MESSAGES "), counts.messages);
	if (items & IMAP_STATUS_RECENT)
		put_value(out, &first, STR("RECENT "), counts.recent);
	if (items & IMAP_STATUS_UIDNEXT)
		put_value(out, &first, STR("UIDNEXT "), mailbox_uidnext(mailbox));
	if (items & IMAP_STATUS_UIDVALIDITY)
		put_value(out, &first, STR("UIDVALIDITY "), mailbox_facts(mailbox)->uidvalidity);
	if (items & IMAP_STATUS_UNSEEN)
		put_value(out, &first, STR("UNSEEN "), counts.unseen);
	if (items & IMAP_STATUS_SIZE) /* RFC 8438: exactly the sum of RFC822.SIZE */
		put_value(out, &first, STR("SIZE "), counts.bytes);
	if (items & IMAP_STATUS_HIGHESTMODSEQ)
		put_value(out, &first, STR("HIGHESTMODSEQ "), mailbox_modseq(mailbox));
	if (items & IMAP_STATUS_APPENDLIMIT)
		put_value(out, &first, STR("APPENDLIMIT "), s->settings->mail.max_message_size);
	if (items & IMAP_STATUS_MAILBOXID) {
		put_value(out, &first, STR("MAILBOXID (F"), mailbox_facts(mailbox)->uidvalidity); /* IMAP_MAILBOX_ID */
		outq_add(out, STR(")"));
	}
	if (items & (IMAP_STATUS_DELETED | IMAP_STATUS_DELETED_STORAGE))
		put_deleted(out, &first, mailbox, items);
	outq_add(out, STR(")\r\n"));
	mailbox_close(mailbox);
	buf_free(&name);
	return 0;
}

enum imap_step imap_status_step(struct imap_session *s)
{
	enum imap_step step;
	if (!imap_task_is_open(s, &step))
		return step;
	int err = imap_put_status(s, s->task, imap_command_of(s)->status.items);
	if (err < 0)
		imap_no_error(s, err);
	else
		imap_ok(s, NULL, "STATUS completed.");
	return IMAP_STEP_DONE;
}

enum imap_step imap_cmd_status(struct imap_session *s)
{
	struct mailbox *mailbox = imap_find_mailbox(s, imap_command_of(s)->status.mailbox, "NONEXISTENT");
	return mailbox && imap_open_task(s, mailbox) ? imap_status_step(s) : IMAP_STEP_DONE;
}
