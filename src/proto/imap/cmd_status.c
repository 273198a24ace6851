/* cmd_status.c: STATUS (RFC 3501, 6.3.10), also for LIST ... RETURN (STATUS ...) (RFC 5819). Takes nothing that is
 * recent. */
#include "proto/imap/session_private.h"
#include "syntax/imap_name.h"

static void put_value(struct outq *out, bool *first, struct str name, uint32_t value)
{
	if (!*first)
		outq_add(out, STR(" "));
	*first = false;
	outq_add(out, name);
	outq_add_u64(out, value);
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
	outq_add(out, STR(")\r\n"));
	mailbox_close(mailbox);
	buf_free(&name);
	return 0;
}

enum imap_step imap_cmd_status(struct imap_session *s)
{
	const struct imap_status *status = &imap_command_of(s)->status;
	struct mailbox *mailbox = imap_find_mailbox(s, status->mailbox, "NONEXISTENT");
	int err = mailbox ? imap_put_status(s, mailbox, status->items) : 0;
	if (err < 0)
		imap_no_error(s, err);
	else if (mailbox)
		imap_ok(s, NULL, "STATUS completed.");
	return IMAP_STEP_DONE;
}
