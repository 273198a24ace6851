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

/* What is not known, or cannot be enabled, is ignored (3.1). */
enum imap_step imap_cmd_enable(struct imap_session *s)
{
	const struct imap_strings *names = &imap_command_of(s)->enable;
	struct outq *out = imap_output(s);
	bool condstore = false, qresync = false;
	outq_add(out, STR("* ENABLED"));
	for (uint32_t i = 0; i < names->n; i++) {
		if (str_ieq(names->items[i], STR("CONDSTORE")) && !condstore) {
			condstore = true;
			outq_add(out, STR(" CONDSTORE"));
		} else if (str_ieq(names->items[i], STR("QRESYNC")) && !qresync) {
			qresync = true;
			outq_add(out, STR(" QRESYNC"));
		}
	}
	s->condstore = s->condstore || condstore || qresync;
	s->qresync = s->qresync || qresync;
	outq_add(out, STR("\r\n"));
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
