/* cmd_append.c: APPEND (RFC 3501, 6.3.11) with APPENDUID (RFC 4315, 3) and MULTIAPPEND (RFC 3502). Messages come in
 * pieces into a spool, one behind the other; they are stored when the command is complete and the store is writable.
 * What can be refused is refused before a client sends the message, where it asks (synchronising literal).
 *
 * Several messages are stored in slices, without entries; those come in one piece with the last message, so that all
 * of them are seen, or none (RFC 3502, section 3). What a slice leaves without an entry is doubted in the same batch,
 * and goes if the entries never come. A large message is read and copied in slices before it is stored. */
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proto/imap/session_private.h"
#include "store/transfer.h"

#define APPEND_MESSAGES_MAX 2000 /* of one command: their entries are made at once, in some milliseconds */
#define APPEND_SLICE_US     5000 /* longer than other slices: each of these ends with two syncs */
#define APPEND_AHEAD_US     2000 /* of a large message */

struct announced {
	uint64_t start, length; /* in the spool */
	struct imap_append_message message;
};

struct append_task {
	struct mail_spool spool;
	struct announced *list;
	uint32_t n, size;
	struct imap_strings keywords; /* of all of them, that the mailbox had not yet when they were announced */
	struct loose_entry *loose; /* of the first n_loose, stored already */
	uint32_t n_loose, n_doubted;
	uint32_t mailbox;          /* whose keywords they have; 0: loose_begin was not called yet */
	struct account *account;
	struct mail_intake *intake; /* of a large message that comes next */
	struct buf room;
};

void imap_append_end(struct imap_session *s)
{
	struct append_task *t = s->task;
	if (t->mailbox)
		loose_end(t->account);
	mail_intake_free(&t->intake);
	mail_spool_free(&t->spool);
	mem_free(t->list);
	mem_free(t->keywords.items);
	mem_free(t->loose);
	buf_free(&t->room);
	mem_free(t);
	s->task = NULL;
}

#define KEYWORDS_REFUSED "Too many keywords, or too long ones."

static struct append_task *new_task(struct imap_session *s)
{
	struct append_task *t = mem_alloc(1, sizeof *t);
	t->account = s->account;
	mail_spool_start(&t->spool, s->settings->spool_directory, s->settings->spool_threshold);
	return t;
}

static void announce(struct append_task *t, const struct imap_append_message *message)
{
	if (t->n == t->size) {
		t->size = t->size ? t->size * 2 : 1;
		t->list = mem_resize(t->list, t->size, sizeof *t->list);
	}
	t->list[t->n++] = (struct announced){ t->spool.length, message->size, *message };
}

bool imap_append_message(struct imap_session *s)
{
	const struct imap_append *append = &imap_command_of(s)->append;
	const struct imap_append_message *message = &append->message;
	struct append_task *t = s->task;
	struct mailbox *mailbox = account_mailbox(s->account, append->mailbox);
	uint64_t before, together;
	if (!t)
		s->task = t = new_task(s);
	before = t->spool.length;
	if (!mailbox)
		imap_no(s, "TRYCREATE", "There is no such mailbox.");
	else if (message->size == 0) /* RFC 3502, 6.3.11 */
		imap_no(s, "CANNOT", "An empty message cancels an APPEND.");
	else if (message->size > s->settings->mail.max_message_size)
		imap_no(s, "TOOBIG", "The message is too large.");
	else if (!checked_add(before, message->size, &together) || together > s->settings->mail.max_message_size)
		imap_no(s, "TOOBIG", "The messages of one command are too large together.");
	else if (append->index >= APPEND_MESSAGES_MAX)
		imap_no(s, "LIMIT", "Too many messages in one command.");
	else if (!account_has_room(s->account, append->index + 1, together))
		imap_no_error(s, ERR_QUOTA);
	else if (!imap_keywords_fit(s, mailbox, &message->flags.keywords, &t->keywords))
		imap_no(s, "LIMIT", KEYWORDS_REFUSED);
	else {
		announce(t, message);
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

static enum imap_step answer_error(struct imap_session *s, int err)
{
	if (err == ERR_SYNTAX)
		imap_no(s, "CANNOT", "The message has a NUL.");
	else
		imap_no_error(s, err);
	return IMAP_STEP_DONE;
}

static enum imap_step answer_ok(struct imap_session *s, const struct mailbox *mailbox, uint32_t first, uint32_t last)
{
	char code[64];
	if (first == last)
		snprintf(code, sizeof code, "APPENDUID %u %u", mailbox_facts(mailbox)->uidvalidity, first);
	else
		snprintf(code, sizeof code, "APPENDUID %u %u:%u", mailbox_facts(mailbox)->uidvalidity, first, last);
	imap_ok(s, code, "APPEND completed.");
	return IMAP_STEP_DONE;
}

static struct mail_facts facts_of(const struct imap_append_message *message)
{
	return (struct mail_facts){
		.flags = (uint8_t)message->flags.system,
		.keywords = message->flags.keywords.items,
		.n_keywords = message->flags.keywords.n,
		.internal_date = message->has_date ? message->date : clock_wall_seconds(),
		.zone_minutes = message->has_date ? (int16_t)message->zone_minutes : 0,
	};
}

/* What can be done of a large message before it is stored. *ready: it may be, or it is small. */
static int do_ahead(struct imap_session *s, struct mailbox *mailbox, struct mail_source *source,
                    const struct mail_facts *facts, bool *ready)
{
	struct append_task *t = s->task;
	*ready = true;
	if (!mail_is_large(source))
		return 0;
	if (!t->intake)
		t->intake = mail_intake_new(&s->settings->mail);
	source->intake = t->intake;
	return mail_append_ahead(mailbox, &s->settings->mail, source, facts, APPEND_AHEAD_US, ready);
}

static enum imap_step go_on_ahead(const struct append_task *t)
{
	return mail_intake_waits(t->intake) ? IMAP_STEP_PLACE : IMAP_STEP_AGAIN;
}

static enum imap_step append_one(struct imap_session *s, struct mailbox *mailbox)
{
	struct append_task *t = s->task;
	struct mail_source source = mail_spool_source(&t->spool);
	struct mail_facts facts = facts_of(&t->list[0].message);
	uint32_t uid;
	bool ready;
	int err = do_ahead(s, mailbox, &source, &facts, &ready);
	if (err == 0 && !ready)
		return go_on_ahead(t);
	if (err == 0)
		err = mail_append(mailbox, &s->settings->mail, &source, &facts, &uid);
	return err < 0 ? answer_error(s, err) : answer_ok(s, mailbox, uid, uid);
}

/* --- several --- */

/* Messages until all are stored or the slice is over, which a large one may take alone. */
static int store_some(struct imap_session *s, struct mailbox *mailbox)
{
	struct append_task *t = s->task;
	uint64_t end = s->world->microseconds(s->owner) + APPEND_SLICE_US;
	int err = 0;
	do {
		const struct announced *next = &t->list[t->n_loose];
		struct mail_facts facts = facts_of(&next->message);
		struct mail_source source;
		bool ready = true;
		err = mail_spool_part(&t->spool, next->start, next->length, &t->room, &source);
		if (err == 0)
			err = do_ahead(s, mailbox, &source, &facts, &ready);
		if (!ready)
			break;
		if (err == 0)
			err = mail_append_loose(mailbox, &s->settings->mail, &source, &facts, &t->loose[t->n_loose]);
		t->n_loose += err == 0;
		mail_intake_free(&t->intake);
	} while (err == 0 && t->n_loose < t->n && s->world->microseconds(s->owner) < end);
	return err;
}

/* The quota is asked for all of them: those that have no entry yet do not count. */
static int give_entries(struct imap_session *s, struct mailbox *mailbox)
{
	const struct append_task *t = s->task;
	if (!account_has_room(s->account, t->n, t->spool.length))
		return ERR_QUOTA;
	return loose_append(mailbox, t->loose, t->n);
}

static int doubt_rest(struct append_task *t)
{
	int err = 0;
	while (err == 0 && t->n_doubted < t->n_loose)
		err = loose_doubt(t->account, t->loose[t->n_doubted++].message);
	return err;
}

/* The mailbox, and room for keywords, may have gone since the messages were announced: then NO is chosen. */
static struct mailbox *find_target(struct imap_session *s)
{
	const struct append_task *t = s->task;
	struct mailbox *mailbox = imap_find_mailbox(s, imap_command_of(s)->append.mailbox, "TRYCREATE");
	if (!mailbox || imap_keywords_still_fit(s, mailbox, &t->keywords))
		return mailbox;
	imap_no(s, "LIMIT", KEYWORDS_REFUSED);
	return NULL;
}

enum imap_step imap_append_step(struct imap_session *s)
{
	struct append_task *t = s->task;
	if (!store_writable(account_store(s->account)))
		return IMAP_STEP_WRITABLE;
	struct mailbox *mailbox = find_target(s);
	if (!mailbox)
		return IMAP_STEP_DONE; /* what was stored before is doubted */
	if (t->n == 1)
		return append_one(s, mailbox);
	if (mailbox_facts(mailbox)->number != t->mailbox) {
		imap_no(s, "TRYCREATE", "The mailbox was removed meanwhile.");
		return IMAP_STEP_DONE;
	}
	int err = store_some(s, mailbox);
	bool all = err == 0 && t->n_loose == t->n;
	if (all)
		err = give_entries(s, mailbox);
	if (all && err == 0)
		return answer_ok(s, mailbox, mailbox_uidnext(mailbox) - t->n, mailbox_uidnext(mailbox) - 1);
	/* An error that voided the batch took with it what was stored in it: then there is nothing to doubt. */
	int doubted = store_writable(account_store(s->account)) && !account_is_gone(s->account) ? doubt_rest(t) : 0;
	if (err < 0 || doubted < 0)
		return answer_error(s, err < 0 ? err : doubted);
	return t->intake ? go_on_ahead(t) : IMAP_STEP_DURABLE;
}

enum imap_step imap_cmd_append(struct imap_session *s)
{
	struct append_task *t = s->task;
	struct mailbox *mailbox = find_target(s);
	if (!mailbox)
		return IMAP_STEP_DONE;
	if (t->n == 1)
		return append_one(s, mailbox);
	t->loose = mem_alloc(t->n, sizeof *t->loose);
	t->mailbox = mailbox_facts(mailbox)->number;
	loose_begin(t->account);
	return imap_append_step(s);
}
