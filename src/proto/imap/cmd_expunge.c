/* cmd_expunge.c: EXPUNGE (RFC 3501, 6.4.3) and UID EXPUNGE (RFC 4315, 2.1). The EXPUNGE responses are the session's
 * notices. */
#include "proto/imap/session_private.h"
#include "proto/imap/uids.h"

enum imap_step imap_cmd_expunge(struct imap_session *s)
{
	const struct imap_command *command = imap_command_of(s);
	struct set uids = SET_INIT, expunged = SET_INIT;
	if (imap_refuse_read_only(s))
		return IMAP_STEP_DONE;
	int err = 0;
	if (command->uid)
		err = uids_resolve(&command->expunge, true, &s->selected.known.uids, &uids);
	else
		set_add(&uids, 1, UINT32_MAX);
	if (err == 0)
		err = mailbox_expunge(s->selected.mailbox, &uids, true, &expunged);
	if (err < 0)
		imap_no_error(s, err);
	else
		imap_ok(s, NULL, "EXPUNGE completed.");
	set_free(&uids);
	set_free(&expunged);
	return IMAP_STEP_DONE;
}
