/* cmd_expunge.c: EXPUNGE (RFC 3501, 6.4.3), UID EXPUNGE (RFC 4315, 2.1) and CLOSE (RFC 3501, 6.4.2). What is \Deleted
 * at the begin goes, a slice to a batch where it is much, so that the other sessions of the shard go on meanwhile; each
 * slice is there or not, with a modseq of its own. The EXPUNGE responses are the session's notices. */
#include "base/mem.h"
#include "proto/imap/session_private.h"
#include "proto/imap/uids.h"

#define SLICE 8192

/* Ranges: to have found so many was a slice of its own. */
#define FOUND_MANY 4096

struct expunge_task {
	struct set uids; /* that had \Deleted */
	uint32_t from;   /* those below are gone */
	bool emptied;    /* all are gone; the answer is left */
};

void imap_expunge_end(struct imap_session *s)
{
	struct expunge_task *t = s->task;
	set_free(&t->uids);
	mem_free(t);
	s->task = NULL;
}

/* CLOSE must not tell the modseq (RFC 7162, 3.2.8). */
static enum imap_step done(struct imap_session *s, bool any)
{
	if (imap_command_of(s)->kind == IMAP_COMMAND_CLOSE) {
		imap_deselect(s);
		imap_ok(s, NULL, "CLOSE completed.");
	} else if (any) {
		imap_ok_expunged(s, "EXPUNGE completed.");
	} else {
		imap_ok(s, NULL, "EXPUNGE completed.");
	}
	return IMAP_STEP_DONE;
}

/* CLOSE has no NO (6.4.2): what cannot be removed keeps its \Deleted, and a warning tells (7.1.2). */
static enum imap_step fail(struct imap_session *s, int err)
{
	imap_no_error(s, err);
	if (imap_command_of(s)->kind != IMAP_COMMAND_CLOSE)
		return IMAP_STEP_DONE;
	struct outq *out = imap_output(s);
	outq_add(out, STR("* "));
	outq_add(out, buf_str(&s->reply));
	outq_add(out, STR("\r\n"));
	return done(s, false);
}

enum imap_step imap_expunge_step(struct imap_session *s)
{
	struct expunge_task *t = s->task;
	struct set slice = SET_INIT, expunged = SET_INIT;
	bool more = false, first = t->from == 0;
	if (t->emptied)
		return done(s, true);
	if (!store_writable(account_store(s->account)))
		return IMAP_STEP_WRITABLE;
	if (!account_may_write_slice(s->account, set_count(&t->uids), &s->refusals))
		return IMAP_STEP_DURABLE;
	int err = mailbox_slice(s->selected.mailbox, &t->uids, SLICE, &t->from, &slice, &more);
	if (err == 0)
		err = mailbox_expunge(s->selected.mailbox, &slice, true, &expunged);
	set_free(&slice);
	set_free(&expunged);
	if (err < 0)
		return fail(s, err);
	t->emptied = !more;
	return more || !first ? IMAP_STEP_DURABLE : done(s, true); /* many notices have a turn of their own */
}

static void find_deleted(const struct mailbox *mailbox, const struct set *uids, struct set *out)
{
	for (uint32_t i = 0; i < uids->n; i++) {
		struct entry_cursor cursor = entry_seek(mailbox, uids->ranges[i].first);
		const struct entry *entry;
		while ((entry = entry_next(&cursor)) && entry->uid <= uids->ranges[i].last)
			if (entry->flags & FLAG_DELETED)
				set_add(out, entry->uid, entry->uid);
	}
}

static enum imap_step expunge(struct imap_session *s, const struct set *uids)
{
	struct set deleted = SET_INIT;
	find_deleted(s->selected.mailbox, uids, &deleted);
	if (deleted.n == 0)
		return done(s, false);
	struct expunge_task *t = mem_alloc(1, sizeof *t);
	t->uids = deleted;
	s->task = t;
	return deleted.n > FOUND_MANY ? IMAP_STEP_AGAIN : imap_expunge_step(s);
}

enum imap_step imap_cmd_expunge(struct imap_session *s)
{
	const struct imap_command *command = imap_command_of(s);
	struct set uids = SET_INIT;
	if (imap_refuse_read_only(s))
		return IMAP_STEP_DONE;
	int err = 0;
	if (command->uid)
		err = uids_resolve(&command->expunge, true, &s->selected.known.uids, &s->selected.saved, &uids);
	else
		set_add(&uids, 1, UINT32_MAX);
	enum imap_step step = IMAP_STEP_DONE;
	if (err < 0)
		imap_no_error(s, err);
	else
		step = expunge(s, &uids);
	set_free(&uids);
	return step;
}

enum imap_step imap_cmd_close(struct imap_session *s)
{
	struct set all = SET_INIT;
	if (s->selected.read_only)
		return done(s, false);
	set_add(&all, 1, UINT32_MAX);
	enum imap_step step = expunge(s, &all);
	set_free(&all);
	return step;
}
