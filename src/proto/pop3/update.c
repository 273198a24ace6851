/* update.c: the UPDATE state (RFC 1939, 6): what QUIT does with messages that were marked or retrieved, as the account's
 * policy has it. Many are done in slices, each in a batch of its own: they must not hold the shard. What others have
 * removed meanwhile needs nothing. */
#include "base/clock.h"
#include "base/log.h"
#include "proto/pop3/session_private.h"
#include "store/pop3.h"

#define UPDATE_SLICE 8192
#define DAY          86400

bool pop3_update_begin(struct pop3_session *s)
{
	struct pop3_update *u = &s->update;
	switch (s->policy.mode) {
	case POP3_MODE_DELETE:
		set_add_set(&u->remove, &s->retrieved);
		set_add_set(&u->remove, &s->deleted);
		break;
	case POP3_MODE_CLIENT:
	case POP3_MODE_COUNT:
		set_add_set(&u->remove, &s->deleted);
		break;
	case POP3_MODE_DAYS:
		set_add_set(&u->later, &s->retrieved);
		set_add_set(&u->later, &s->deleted);
		set_add_set(&u->hide, &s->deleted);
		break;
	case POP3_MODE_KEEP:
		set_add_set(&u->hide, &s->deleted);
		break;
	}
	if (s->policy.seen)
		set_difference(&s->retrieved, s->policy.trash ? &SET_INIT : &u->remove, &u->seen);
	u->removes = u->remove.n > 0;
	return u->seen.n > 0 || u->hide.n > 0 || u->later.n > 0 || u->remove.n > 0;
}

void pop3_update_free(struct pop3_update *update)
{
	set_free(&update->seen);
	set_free(&update->hide);
	set_free(&update->later);
	set_free(&update->remove);
}

/* The first of them into *out (empty); *last: all up to it. */
static int cut_slice(struct mailbox *mailbox, const struct set *from, struct set *out, uint32_t *last)
{
	uint32_t next = 0;
	bool more;
	int err = mailbox_slice(mailbox, from, UPDATE_SLICE, &next, out, &more);
	if (err == 0)
		*last = more ? next - 1 : UINT32_MAX;
	return err;
}

static int see_some(struct pop3_session *s)
{
	const struct flags_change change = { .mode = FLAGS_ADD, .flags = FLAG_SEEN };
	struct set slice = SET_INIT;
	uint32_t last;
	int err = cut_slice(s->mailbox, &s->update.seen, &slice, &last);
	if (err == 0)
		err = mailbox_store(s->mailbox, &slice, &change, 0, NULL);
	if (err == 0)
		set_remove(&s->update.seen, 1, last);
	if (err == 0)
		s->update.done.seen += set_count(&slice);
	set_free(&slice);
	return err;
}

static int remove_some(struct pop3_session *s)
{
	struct set slice = SET_INIT;
	uint32_t last;
	int err = cut_slice(s->mailbox, &s->update.remove, &slice, &last);
	if (err == 0)
		err = pop3_discard(s->mailbox, &slice, s->policy.trash);
	if (err == 0) {
		s->update.done.removed += set_count(&slice);
		set_remove(&s->update.remove, 1, last);
	}
	set_free(&slice);
	return err;
}

/* Each is one row, however many there are. */
static int note(struct pop3_session *s)
{
	struct pop3_update *u = &s->update;
	int err = u->hide.n ? pop3_hide(s->mailbox, s->policy.login, &u->hide) : 0;
	if (err == 0) {
		u->done.hidden += set_count(&u->hide);
		set_clear(&u->hide);
	}
	if (err == 0 && u->later.n)
		err = pop3_discard_later(s->mailbox, &u->later, s->policy.trash, clock_wall_seconds() + s->policy.days * (int64_t)DAY);
	if (err == 0) {
		u->done.dated += set_count(&u->later);
		set_clear(&u->later);
	}
	return err;
}

void pop3_update_log(const struct pop3_session *s)
{
	const struct pop3_done *done = &s->update.done;
	if (done->removed + done->hidden + done->dated + done->seen == 0)
		return;
	log_info("pop3-update", LOG_ID(s->id), LOG_U("removed", done->removed), LOG_U("hidden", done->hidden),
	         LOG_U("dated", done->dated), LOG_U("seen", done->seen), LOG_C("deleted", s->policy.trash ? "trash" : "gone"));
}

int pop3_update_step(struct pop3_session *s, bool *done)
{
	struct pop3_update *u = &s->update;
	*done = false;
	if (!account_may_write_slice(s->account, set_count(&u->seen) + set_count(&u->remove), &u->refusals))
		return 0;
	int err = u->seen.n > 0 ? see_some(s) : 0;
	if (err == 0 && u->seen.n == 0)
		err = note(s);
	if (err == 0 && u->seen.n == 0 && u->remove.n > 0)
		err = remove_some(s);
	*done = err == 0 && u->seen.n == 0 && u->remove.n == 0;
	return err;
}
