/* cmd_noop.c: NOOP and CHECK (RFC 3501, 6.1.2 and 6.4.1): they give the server occasion to tell what is new. CHECK has
 * nothing more to do: what was answered is on disk. */
#include "proto/imap/session_private.h"

enum imap_step imap_cmd_noop(struct imap_session *s)
{
	imap_ok(s, NULL, "NOOP completed.");
	return IMAP_STEP_DONE;
}

enum imap_step imap_cmd_check(struct imap_session *s)
{
	imap_ok(s, NULL, "CHECK completed.");
	return IMAP_STEP_DONE;
}
