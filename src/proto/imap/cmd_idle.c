/* cmd_idle.c: IDLE (RFC 2177). Changes of the selected mailbox are told as they come: the store's watch asks for a
 * resume, which tells the notices. The command's memory is given back for the time; only its tag is kept. */
#include "base/mem.h"
#include "proto/imap/session_private.h"

static void mailbox_changed(void *owner)
{
	struct imap_session *s = owner;
	s->world->want_resume(s->owner, SESSION_RESUME_SOON);
}

enum imap_step imap_cmd_idle(struct imap_session *s)
{
	s->idle_tag = mem_copy(imap_command_of(s)->tag);
	imap_reader_release(&s->reader);
	imap_reader_expect_line(&s->reader);
	outq_add(imap_output(s), STR("+ idling\r\n"));
	if (s->selected.mailbox) {
		s->watch = (struct mailbox_watch){ .changed = mailbox_changed, .owner = s };
		mailbox_watch_start(s->selected.mailbox, &s->watch);
		s->watching = true;
		if (imap_tell_notices(s, true) == IMAP_STEP_OUTPUT)
			s->world->want_resume(s->owner, SESSION_RESUME_OUTPUT);
	}
	return IMAP_STEP_IDLE;
}

void imap_idle_line(struct imap_session *s, struct str line)
{
	if (str_ieq(line, STR("DONE")))
		imap_ok(s, NULL, "IDLE completed.");
	else
		imap_bad(s, "Expected DONE.");
}
