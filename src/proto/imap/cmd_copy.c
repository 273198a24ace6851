/* cmd_copy.c: COPY (RFC 3501, 6.4.7) and MOVE (RFC 6851), with COPYUID (RFC 4315, 3), of the messages that are still there.
 * COPY: all of them or none; many are staged a slice at a time, and nothing is seen before the end. MOVE: many move a slice
 * to a batch, so that each message is in one of the two mailboxes and never in both (RFC 6851, 3.3); where a slice fails,
 * COPYUID tells before the NO what has moved; where its batch is void, the BYE says that not all of it was done. Either way the
 * other sessions of the shard go on meanwhile. */
#include "base/mem.h"
#include "proto/imap/session_private.h"
#include "proto/imap/uids.h"

/* Bytes of COPYUID's two sets; a reply that would be longer goes without it, which RFC 4315 allows ("SHOULD"). */
#define COPYUID_MAX (1024u * 1024)

#define MOVE_SLICE 8192

/* "COPYUID 38505 304,319:320 3956:3958", with a NUL. False where it does not fit. */
static bool print_copyuid(const struct mailbox *to, const struct set *source, const struct set *target, struct buf *out)
{
	buf_addf(out, "COPYUID %u ", mailbox_facts(to)->uidvalidity);
	set_print(source, out);
	buf_add_byte(out, ' ');
	set_print(target, out);
	buf_add_byte(out, '\0');
	return buf_error(out) == 0;
}

/* --- COPY --- */

static void answer_copied(struct imap_session *s, const struct mailbox *to, uint64_t wanted, const struct set *source,
                          const struct set *target)
{
	uint64_t found = set_count(source);
	struct buf code = BUF_INIT(COPYUID_MAX);
	if (found > 0 && print_copyuid(to, source, target, &code))
		imap_ok(s, code.p, "COPY completed.");
	else
		imap_ok_unless_gone(s, wanted, found, "COPY completed.");
	buf_free(&code);
}

static void answer_error(struct imap_session *s, const struct mailbox *to, int err)
{
	if (mailbox_is_gone(to) && !account_is_gone(s->account))
		imap_no(s, "TRYCREATE", "The mailbox was deleted meanwhile.");
	else
		imap_no_error(s, err);
}

/* Few messages: at once. */
static int copy(struct imap_session *s, const struct set *uids, struct mailbox *to)
{
	struct set source = SET_INIT, target = SET_INIT;
	int err = mailbox_open_begin(to); /* its last entries are enough */
	if (err < 0)
		return err;
	err = mailbox_copy(s->selected.mailbox, uids, to, false, s->settings->mail.max_keywords, &source, &target);
	if (err == 0)
		answer_copied(s, to, set_count(uids), &source, &target);
	mailbox_close(to);
	set_free(&source);
	set_free(&target);
	return err;
}

/* Many. */
struct copy_task {
	struct set uids;
	struct mailbox *to;              /* held */
	struct mailbox_copying *copying; /* NULL: the entries of `to` are being read */
	bool staged;                     /* what is left is the end */
};

void imap_copy_end(struct imap_session *s)
{
	struct copy_task *t = s->task;
	mailbox_copy_free(&t->copying);
	mailbox_close(t->to);
	set_free(&t->uids);
	mem_free(t);
	s->task = NULL;
}

/* Reads entries of the target; with the last of them the copy begins. */
static int open_step(struct imap_session *s, struct copy_task *t)
{
	bool done = false;
	int err = mailbox_is_gone(t->to) ? ERR_NOT_FOUND : mailbox_open_step(t->to, &done);
	if (err == 0 && done)
		err = mailbox_copy_begin(s->selected.mailbox, &t->uids, t->to, s->settings->mail.max_keywords, &t->copying);
	return err;
}

static int copy_step(struct imap_session *s, struct copy_task *t)
{
	struct set source = SET_INIT, target = SET_INIT;
	if (!t->copying)
		return open_step(s, t);
	if (!t->staged)
		return mailbox_copy_step(t->copying, &t->staged);
	int err = mailbox_copy_end(t->copying, &source, &target);
	if (err == 0)
		answer_copied(s, t->to, set_count(&t->uids), &source, &target);
	set_free(&source);
	set_free(&target);
	return err;
}

enum imap_step imap_copy_step(struct imap_session *s)
{
	struct copy_task *t = s->task;
	bool last = t->staged;
	if (!store_writable(account_store(s->account)))
		return IMAP_STEP_WRITABLE;
	if (!account_may_write_slice(s->account, set_count(&t->uids), &s->refusals))
		return IMAP_STEP_DURABLE;
	int err = copy_step(s, t);
	if (err < 0)
		answer_error(s, t->to, err);
	return err < 0 || last ? IMAP_STEP_DONE : IMAP_STEP_DURABLE;
}

/* Takes the uids. */
static enum imap_step copy_many(struct imap_session *s, struct set *uids, struct mailbox *to)
{
	int err = mailbox_open_begin(to);
	if (err < 0) {
		imap_no_error(s, err);
		return IMAP_STEP_DONE;
	}
	struct copy_task *t = mem_alloc(1, sizeof *t);
	*t = (struct copy_task){ .uids = *uids, .to = to };
	*uids = SET_INIT;
	s->task = t;
	return imap_copy_step(s);
}

/* --- MOVE --- */

struct move_task {
	struct set uids;
	struct mailbox *to;        /* held; its last entries are enough */
	uint32_t from;             /* those below have moved, */
	struct set source, target; /* these from and to */
	bool done;                 /* all have; the answer is left */
};

void imap_move_end(struct imap_session *s)
{
	struct move_task *t = s->task;
	mailbox_close(t->to);
	set_free(&t->uids);
	set_free(&t->source);
	set_free(&t->target);
	mem_free(t);
	s->task = NULL;
}

/* err: why not all have moved. The EXPUNGE responses are the session's notices, and come behind it (RFC 6851, 4.3). */
static enum imap_step answer_moved(struct imap_session *s, const struct move_task *t, int err)
{
	uint64_t found = set_count(&t->source);
	struct outq *out = imap_output(s);
	struct buf code = BUF_INIT(COPYUID_MAX);
	bool has_code = found > 0 && print_copyuid(t->to, &t->source, &t->target, &code);
	if (has_code) {
		outq_add(out, STR("* OK ["));
		outq_add(out, str_of(code.p, code.n - 1));
		outq_add(out, STR("] Moved.\r\n"));
	}
	if (err < 0)
		answer_error(s, t->to, err);
	else if (has_code && s->qresync)
		imap_ok_expunged(s, "MOVE completed."); /* 4.4 */
	else
		imap_ok_unless_gone(s, set_count(&t->uids), found, "MOVE completed.");
	buf_free(&code);
	return IMAP_STEP_DONE;
}

static int move_slice(struct imap_session *s, struct move_task *t, bool *more)
{
	struct set slice = SET_INIT, source = SET_INIT, target = SET_INIT;
	struct mailbox *from = s->selected.mailbox;
	int err = mailbox_is_gone(t->to) ? ERR_NOT_FOUND : mailbox_slice(from, &t->uids, MOVE_SLICE, &t->from, &slice, more);
	if (err == 0)
		err = mailbox_copy(from, &slice, t->to, true, s->settings->mail.max_keywords, &source, &target);
	if (err == 0) {
		set_add_set(&t->source, &source);
		set_add_set(&t->target, &target);
	}
	set_free(&slice);
	set_free(&source);
	set_free(&target);
	return err;
}

enum imap_step imap_move_step(struct imap_session *s)
{
	struct move_task *t = s->task;
	bool more = false, first = t->from == 0;
	if (t->done)
		return answer_moved(s, t, 0);
	if (!store_writable(account_store(s->account)))
		return IMAP_STEP_WRITABLE;
	if (!account_may_write_slice(s->account, set_count(&t->uids), &s->refusals))
		return IMAP_STEP_DURABLE;
	int err = move_slice(s, t, &more);
	t->done = !more;
	if (err < 0 || (first && !more))
		return answer_moved(s, t, err);
	return IMAP_STEP_DURABLE; /* many notices have a turn of their own */
}

/* Takes the uids. */
static enum imap_step move(struct imap_session *s, struct set *uids, struct mailbox *to)
{
	int err = mailbox_open_begin(to);
	if (err < 0) {
		imap_no_error(s, err);
		return IMAP_STEP_DONE;
	}
	struct move_task *t = mem_alloc(1, sizeof *t);
	*t = (struct move_task){ .uids = *uids, .to = to };
	*uids = SET_INIT;
	s->task = t;
	return imap_move_step(s);
}

/* --- both --- */

enum imap_step imap_cmd_copy(struct imap_session *s)
{
	const struct imap_command *command = imap_command_of(s);
	bool moves = command->kind == IMAP_COMMAND_MOVE;
	struct set uids = SET_INIT;
	enum imap_step step = IMAP_STEP_DONE;
	if (moves && imap_refuse_read_only(s))
		return IMAP_STEP_DONE;
	if (uids_resolve(&command->copy.set, command->uid, &s->selected.known.uids, &s->selected.saved, &uids) < 0) {
		imap_bad(s, "There is no message of that number.");
		set_free(&uids);
		return IMAP_STEP_DONE;
	}
	struct mailbox *to = imap_find_mailbox(s, command->copy.mailbox, "TRYCREATE");
	if (to && moves) {
		step = move(s, &uids, to);
	} else if (to && set_count(&uids) > COPY_AT_ONCE_MAX) {
		step = copy_many(s, &uids, to);
	} else if (to) {
		int err = copy(s, &uids, to);
		if (err < 0)
			imap_no_error(s, err);
	}
	set_free(&uids);
	return step;
}
