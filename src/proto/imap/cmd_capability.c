/* cmd_capability.c: CAPABILITY (RFC 3501, 6.1.1), ENABLE (RFC 5161), ID (RFC 2971) and NAMESPACE (RFC 2342): what this
 * server is. */
#include "proto/imap/capability.h"
#include "proto/imap/session_private.h"

enum imap_step imap_cmd_capability(struct imap_session *s)
{
	outq_add(imap_output(s), STR("* CAPABILITY " IMAP_CAPABILITIES "\r\n"));
	imap_ok(s, NULL, "CAPABILITY completed.");
	return IMAP_STEP_DONE;
}

/* No extension here changes what responses look like, so there is nothing that could be enabled (3.1: unknown names are
 * ignored). */
enum imap_step imap_cmd_enable(struct imap_session *s)
{
	outq_add(imap_output(s), STR("* ENABLED\r\n"));
	imap_ok(s, NULL, "ENABLE completed.");
	return IMAP_STEP_DONE;
}

enum imap_step imap_cmd_id(struct imap_session *s)
{
	outq_add(imap_output(s), STR(IMAP_ID_ANSWER));
	imap_ok(s, NULL, "ID completed.");
	return IMAP_STEP_DONE;
}

enum imap_step imap_cmd_namespace(struct imap_session *s)
{
	outq_add(imap_output(s), STR("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"));
	imap_ok(s, NULL, "NAMESPACE completed.");
	return IMAP_STEP_DONE;
}
