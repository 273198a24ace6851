/* reply.c: choosing tagged replies. The session keeps the chosen one until its notices are told; the codes are those of
 * RFC 5530 and of each command's RFC. */
#include "base/checked.h"
#include "base/log.h"
#include "proto/imap/session_private.h"

static void choose(struct imap_session *s, const char *status, const char *code, const char *text)
{
	buf_clear(&s->reply);
	buf_addf(&s->reply, "%s %s%s%s%s", status, code ? "[" : "", code ? code : "", code ? "] " : "", text);
}

void imap_ok(struct imap_session *s, const char *code, const char *text)
{
	choose(s, "OK", code, text);
	s->bad_commands = 0;
}

void imap_no(struct imap_session *s, const char *code, const char *text)
{
	choose(s, "NO", code, text);
}

void imap_bad(struct imap_session *s, const char *text)
{
	choose(s, "BAD", NULL, text);
	s->bad_commands++;
}

void imap_no_error(struct imap_session *s, int err)
{
	static const struct {
		int err;
		const char *code, *text;
	} replies[] = {
		{ ERR_NO_SPACE, "UNAVAILABLE", "The server's disk is full: nothing more can be changed, reading goes on." },
		{ ERR_QUOTA, "OVERQUOTA", "That does not fit into this account's quota." },
		{ ERR_UNAVAILABLE, "UNAVAILABLE", "Not possible now, please try again." },
		{ ERR_TIMEOUT, "UNAVAILABLE", "Not possible now, please try again." },
		{ ERR_IO, "UNAVAILABLE", "The server's disk failed; its log says more." },
		{ ERR_CORRUPT, "CORRUPTION", "Stored mail is damaged; the server's log says more." },
		{ ERR_NOT_FOUND, "NONEXISTENT", "There is no such mailbox." },
		{ ERR_EXISTS, "ALREADYEXISTS", "There is a mailbox of that name already." },
		{ ERR_LIMIT, "LIMIT", "That is over a limit of this server." },
		{ ERR_OVERFLOW, "LIMIT", "That is over a limit of this server." },
		{ ERR_DENIED, "CANNOT", "That cannot be done here." },
		{ ERR_SYNTAX, "CANNOT", "That name cannot be used." },
		{ ERR_UNSUPPORTED, "CANNOT", "That cannot be done here." },
	};
	if (err == ERR_IO || err == ERR_CORRUPT)
		log_warning("imap-store", LOG_ID(s->id), LOG_ERR(err));
	for (size_t i = 0; i < COUNT_OF(replies); i++) {
		if (replies[i].err == err) {
			imap_no(s, replies[i].code, replies[i].text);
			return;
		}
	}
	imap_no(s, "SERVERBUG", "That went wrong on the server.");
}

void imap_ok_unless_gone(struct imap_session *s, uint64_t wanted, uint64_t found, const char *text)
{
	if (found >= wanted || imap_command_of(s)->uid)
		imap_ok(s, NULL, text);
	else if (found == 0)
		imap_no(s, "EXPUNGEISSUED", "These messages are gone.");
	else
		imap_ok(s, "EXPUNGEISSUED", "Some of these messages are gone.");
}

void imap_ok_expunged(struct imap_session *s, const char *text)
{
	char code[64];
	snprintf(code, sizeof code, "HIGHESTMODSEQ %llu", (unsigned long long)mailbox_modseq(s->selected.mailbox));
	imap_ok(s, s->qresync ? code : NULL, text);
}

bool imap_refuse_params(struct imap_session *s)
{
	if (imap_command_of(s)->params.n == 0)
		return false;
	imap_bad(s, "Unknown parameter.");
	return true;
}

struct mailbox *imap_find_mailbox(struct imap_session *s, struct str name, const char *code)
{
	struct mailbox *mailbox = account_mailbox(s->account, name);
	if (!mailbox)
		imap_no(s, code, "There is no such mailbox.");
	return mailbox;
}

bool imap_open_task(struct imap_session *s, struct mailbox *mailbox)
{
	int err = mailbox_open_begin(mailbox);
	if (err < 0)
		imap_no_error(s, err);
	else
		s->task = mailbox;
	return err == 0;
}

bool imap_task_is_open(struct imap_session *s, enum imap_step *step)
{
	struct mailbox *mailbox = s->task;
	bool open = false;
	int err = mailbox_is_gone(mailbox) ? ERR_NOT_FOUND : mailbox_open_step(mailbox, &open);
	if (err < 0)
		imap_no_error(s, err);
	*step = err < 0 ? IMAP_STEP_DONE : IMAP_STEP_AGAIN;
	return open;
}

void imap_close_task(struct imap_session *s)
{
	mailbox_close(s->task);
	s->task = NULL;
}

bool imap_refuse_read_only(struct imap_session *s)
{
	if (!s->selected.read_only)
		return false;
	imap_no(s, "READ-ONLY", "The mailbox was opened with EXAMINE.");
	return true;
}
