/* cmd_logout.c: LOGOUT (RFC 3501, 6.1.3). The session closes behind the tagged reply (session.c). */
#include "proto/imap/session_private.h"

enum imap_step imap_cmd_logout(struct imap_session *s)
{
	outq_add(imap_output(s), STR("* BYE Good-bye.\r\n"));
	imap_ok(s, NULL, "LOGOUT completed.");
	return IMAP_STEP_DONE;
}
