/* cmd_append.c: APPEND (RFC 3501, 6.3.11) with APPENDUID (RFC 4315, 3). The message comes in pieces into a spool; it is
 * stored when the command is complete and the store is writable. What can be refused is refused before a client sends
 * the message, where it asks (synchronising literal). MULTIAPPEND is not offered: a second message is refused, and
 * nothing of the command is stored. */
#include "base/clock.h"
#include "base/mem.h"
#include "proto/imap/session_private.h"

struct append_task {
	struct mail_spool spool;
};

void imap_append_end(struct imap_session *s)
{
	struct append_task *t = s->task;
	mail_spool_free(&t->spool);
	mem_free(t);
	s->task = NULL;
}

static bool keywords_fit(const struct imap_session *s, const struct imap_strings *keywords)
{
	for (uint32_t i = 0; i < keywords->n; i++) {
		if (keywords->items[i].n > s->settings->max_keyword_length)
			return false;
	}
	return keywords->n <= s->settings->mail.max_keywords;
}

bool imap_append_message(struct imap_session *s)
{
	const struct imap_append *append = &imap_command_of(s)->append;
	if (append->index > 0)
		imap_bad(s, "One message a command, please.");
	else if (!account_mailbox(s->account, append->mailbox))
		imap_no(s, "TRYCREATE", "There is no such mailbox.");
	else if (append->message.size > s->settings->mail.max_message_size)
		imap_no(s, "TOOBIG", "The message is too large.");
	else if (!keywords_fit(s, &append->message.flags.keywords))
		imap_no(s, "LIMIT", "Too many keywords, or too long ones.");
	else {
		struct append_task *t = mem_alloc(1, sizeof *t);
		mail_spool_start(&t->spool, s->settings->spool_directory, s->settings->spool_threshold);
		s->task = t;
		return true;
	}
	return false;
}

bool imap_append_data(struct imap_session *s, struct str bytes)
{
	struct append_task *t = s->task;
	int err = mail_spool_add(&t->spool, bytes);
	if (err < 0)
		imap_no_error(s, err);
	return err == 0;
}

static void answer_error(struct imap_session *s, int err)
{
	if (err == ERR_SYNTAX)
		imap_no(s, "CANNOT", "The message has a NUL.");
	else
		imap_no_error(s, err);
}

enum imap_step imap_cmd_append(struct imap_session *s)
{
	struct append_task *t = s->task;
	const struct imap_append *append = &imap_command_of(s)->append;
	const struct imap_append_message *message = &append->message;
	struct mailbox *mailbox = imap_find_mailbox(s, append->mailbox, "TRYCREATE"); /* it may have gone meanwhile */
	if (!mailbox)
		return IMAP_STEP_DONE;
	struct mail_source source = mail_spool_source(&t->spool);
	struct mail_facts facts = {
		.flags = (uint8_t)message->flags.system,
		.keywords = message->flags.keywords.items,
		.n_keywords = message->flags.keywords.n,
		.internal_date = message->has_date ? message->date : clock_wall_seconds(),
		.zone_minutes = message->has_date ? (int16_t)message->zone_minutes : 0,
	};
	uint32_t uid;
	int err = mail_append(mailbox, &s->settings->mail, &source, &facts, &uid);
	if (err < 0) {
		answer_error(s, err);
		return IMAP_STEP_DONE;
	}
	char code[64];
	snprintf(code, sizeof code, "APPENDUID %u %u", mailbox_facts(mailbox)->uidvalidity, uid);
	imap_ok(s, code, "APPEND completed.");
	return IMAP_STEP_DONE;
}
