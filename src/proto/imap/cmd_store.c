/* cmd_store.c: STORE (RFC 3501, 6.4.6). One change for all messages, or one for each slice of many, then an answer of
 * flags that pauses like FETCH. Flags that somebody else changed meanwhile are told as notices, after .SILENT too. */
#include "base/mem.h"
#include "proto/imap/session_private.h"
#include "proto/imap/uids.h"

static enum flags_mode mode_of(enum imap_store_mode mode)
{
	switch (mode) {
	case IMAP_STORE_REPLACE:
		return FLAGS_REPLACE;
	case IMAP_STORE_ADD:
		return FLAGS_ADD;
	case IMAP_STORE_REMOVE:
		return FLAGS_REMOVE;
	}
	return FLAGS_REPLACE;
}

/* Keyword names to bits, making those that are missing; where they are to be removed, what is missing is none. */
static int keyword_bits(struct imap_session *s, const struct imap_store *store, struct keyword_bits *out)
{
	struct mailbox *mailbox = s->selected.mailbox;
	for (uint32_t i = 0; i < store->flags.keywords.n; i++) {
		struct str name = store->flags.keywords.items[i];
		uint32_t bit;
		int found = keyword_find(mailbox, name), err;
		if (found >= 0) {
			bit = (uint32_t)found;
		} else if (store->mode == IMAP_STORE_REMOVE) {
			continue;
		} else {
			if (name.n > s->settings->max_keyword_length)
				return ERR_LIMIT;
			if ((err = keyword_add(mailbox, name, s->settings->mail.max_keywords, &bit)) < 0)
				return err;
		}
		out->word[bit / 64] |= UINT64_C(1) << (bit % 64);
	}
	return 0;
}

static uint64_t count_present(const struct mailbox *mailbox, const struct set *uids)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < uids->n; i++) {
		count +=
		    mailbox_count_below(mailbox, uids->ranges[i].last) - mailbox_count_below(mailbox, uids->ranges[i].first);
		count += entry_find(mailbox, uids->ranges[i].last) != NULL;
	}
	return count;
}

/* All were stored: the answer is chosen, or begun in this command's place. */
static enum imap_step answer(struct imap_session *s, struct set *uids)
{
	if (imap_command_of(s)->store.silent) {
		imap_ok_unless_gone(s, set_count(uids), count_present(s->selected.mailbox, uids), "STORE completed.");
		return IMAP_STEP_DONE;
	}
	s->handler = &imap_store_answer;
	imap_fetch_flags_begin(s, uids, "STORE completed.");
	return imap_fetch_step(s);
}

/* Many messages: SLICE of them a batch, so that the other sessions of the shard go on meanwhile. A change by somebody
 * else may come in between, as it may before and after. */
#define SLICE 20480

struct store_task {
	struct set uids;
	struct set left; /* of them: not changed yet */
	struct flags_change change;
};

void imap_store_end(struct imap_session *s)
{
	struct store_task *t = s->task;
	set_free(&t->uids);
	set_free(&t->left);
	mem_free(t);
	s->task = NULL;
}

enum imap_step imap_store_step(struct imap_session *s)
{
	struct store_task *t = s->task;
	struct set slice = SET_INIT;
	if (!store_writable(account_store(s->account)))
		return IMAP_STEP_WRITABLE;
	uids_first(&t->left, SLICE, &slice);
	int err = mailbox_store(s->selected.mailbox, &slice, &t->change, s->id, NULL);
	set_remove(&t->left, 0, uids_last(&slice));
	set_free(&slice);
	if (err < 0) {
		imap_no_error(s, err);
		return IMAP_STEP_DONE;
	}
	if (t->left.n > 0)
		return IMAP_STEP_DURABLE;
	struct set uids = t->uids;
	t->uids = SET_INIT;
	imap_store_end(s);
	enum imap_step step = answer(s, &uids);
	set_free(&uids);
	return step;
}

static enum imap_step store_many(struct imap_session *s, struct set *uids, const struct flags_change *change)
{
	struct store_task *t = mem_alloc(1, sizeof *t);
	t->uids = *uids;
	*uids = SET_INIT;
	set_copy(&t->left, &t->uids);
	t->change = *change;
	s->task = t;
	return imap_store_step(s);
}

static enum imap_step store_flags(struct imap_session *s, struct set *uids)
{
	const struct imap_store *store = &imap_command_of(s)->store;
	struct flags_change change = { .mode = mode_of(store->mode), .flags = (uint8_t)store->flags.system };
	int err = keyword_bits(s, store, &change.keywords);
	if (err == 0 && set_count(uids) > SLICE)
		return store_many(s, uids, &change);
	if (err == 0)
		err = mailbox_store(s->selected.mailbox, uids, &change, s->id, NULL);
	if (err == 0)
		return answer(s, uids);
	imap_no_error(s, err);
	return IMAP_STEP_DONE;
}

enum imap_step imap_cmd_store(struct imap_session *s)
{
	const struct imap_command *command = imap_command_of(s);
	struct set uids = SET_INIT;
	enum imap_step step = IMAP_STEP_DONE;
	if (imap_refuse_params(s) || imap_refuse_read_only(s))
		return IMAP_STEP_DONE;
	if (uids_resolve(&command->store.set, command->uid, &s->selected.known.uids, &uids) < 0)
		imap_bad(s, "There is no message of that number.");
	else
		step = store_flags(s, &uids);
	set_free(&uids);
	return step;
}
