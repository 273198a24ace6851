/* cmd_store.c: STORE (RFC 3501, 6.4.6), also on condition (RFC 7162, 3.1.3). One change for all messages, or one for each
 * slice of many, then an answer of flags that pauses like FETCH. Flags that somebody else changed meanwhile are told as
 * notices, after .SILENT too. The task lives until the answer begins, or the command ends. */
#include "base/mem.h"
#include "proto/imap/print.h"
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

/* Keyword names to bits, making those that are missing: all or none, and none where no message is to have them. */
static int keyword_bits(struct imap_session *s, const struct imap_store *store, const struct set *uids,
                        struct keyword_bits *out)
{
	struct mailbox *mailbox = s->selected.mailbox;
	const struct imap_strings *keywords = &store->flags.keywords;
	bool makes = store->mode != IMAP_STORE_REMOVE && keywords->n > 0 && count_present(mailbox, uids) > 0;
	if (makes && !imap_keywords_still_fit(s, mailbox, keywords))
		return ERR_LIMIT;
	for (uint32_t i = 0; i < keywords->n; i++) {
		struct str name = keywords->items[i];
		uint32_t bit;
		int found = keyword_find(mailbox, name), err;
		if (found >= 0) {
			bit = (uint32_t)found;
		} else if (!makes) {
			continue;
		} else if ((err = keyword_add(mailbox, name, s->settings->mail.max_keywords, &bit)) < 0) {
			return err;
		}
		out->word[bit / 64] |= UINT64_C(1) << (bit % 64);
	}
	return 0;
}

/* Many messages: SLICE of them a batch, so that the other sessions of the shard go on meanwhile. A change by somebody
 * else may come in between, as it may before and after. */
#define SLICE 20480

/* Bytes of MODIFIED's set. A longer one is told as one range: the client looks again at more than it would have to. */
#define MODIFIED_MAX (1024u * 1024)

struct store_task {
	struct set uids;     /* asked for; those that fail the condition leave it */
	struct set left;     /* of them: not looked at yet */
	struct set modified; /* failed the condition */
	struct flags_change change;
};

void imap_store_end(struct imap_session *s)
{
	struct store_task *t = s->task;
	set_free(&t->uids);
	set_free(&t->left);
	set_free(&t->modified);
	mem_free(t);
	s->task = NULL;
}

/* --- UNCHANGEDSINCE --- */

static bool has_any(const struct mailbox *mailbox, const struct entry *entry, const struct keyword_bits *wanted)
{
	struct keyword_bits bits;
	uint64_t any = 0;
	entry_keywords(mailbox, entry, &bits);
	for (size_t i = 0; i < KEYWORD_WORDS; i++)
		any |= bits.word[i] & wanted->word[i];
	return any != 0;
}

/* With 0 nothing passes whose metadata exist: system flags always do, keywords where they are set (3.1.3, example 7). */
static bool passes(const struct mailbox *mailbox, const struct entry *entry, const struct flags_change *change,
                   uint64_t unchanged_since)
{
	if (unchanged_since > 0)
		return entry->modseq <= unchanged_since;
	return change->mode != FLAGS_REPLACE && change->flags == 0 && !has_any(mailbox, entry, &change->keywords);
}

static void take_out_modified(const struct mailbox *mailbox, struct store_task *t, struct set *slice,
                              uint64_t unchanged_since)
{
	struct set failed = SET_INIT;
	for (uint32_t i = 0; i < slice->n; i++) {
		struct entry_cursor cursor = entry_seek(mailbox, slice->ranges[i].first);
		const struct entry *entry;
		while ((entry = entry_next(&cursor)) && entry->uid <= slice->ranges[i].last)
			if (!passes(mailbox, entry, &t->change, unchanged_since))
				set_add(&failed, entry->uid, entry->uid);
	}
	uids_subtract(slice, &failed);
	uids_subtract(&t->uids, &failed);
	set_add_set(&t->modified, &failed);
	set_free(&failed);
}

/* The set as the client names messages: a range of uids, all of them known, is one of numbers. */
static void as_named(struct imap_session *s, const struct set *uids, struct set *out)
{
	struct uids_walk walk = { &s->selected.known.uids, 0, 0 };
	if (imap_command_of(s)->uid) {
		set_copy(out, uids);
		return;
	}
	for (uint32_t i = 0; i < uids->n; i++) {
		uint32_t number = uids_walk_to(&walk, uids->ranges[i].first);
		set_add(out, number, number + (uids->ranges[i].last - uids->ranges[i].first));
	}
}

/* "MODIFIED 7,9", with a NUL */
static void put_modified(struct imap_session *s, const struct set *modified, struct buf *out)
{
	struct set named = SET_INIT;
	as_named(s, modified, &named);
	buf_add(out, STR("MODIFIED "));
	size_t start = out->n;
	set_print(&named, out);
	buf_add_byte(out, '\0');
	if (buf_error(out) < 0) {
		*out = (struct buf){ .p = out->p, .n = start, .size = out->size, .max = out->max };
		buf_addf(out, "%u:%u", named.ranges[0].first, uids_last(&named));
		buf_add_byte(out, '\0');
	}
	set_free(&named);
}

/* --- the answer --- */

/* What failed the condition is told too, with the notices: the client does not have to ask (3.1.3). After .SILENT a
 * client that knows modseqs hears the new ones. */
static enum imap_step answer(struct imap_session *s, struct store_task *t)
{
	const struct imap_store *store = &imap_command_of(s)->store;
	struct imap_fetch_answer answer = { .handler = &imap_store_answer, .code = BUF_INIT(MODIFIED_MAX) };
	if (t->modified.n) {
		set_add_set(&s->selected.flagged, &t->modified);
		put_modified(s, &t->modified, &answer.code);
	}
	answer.done = t->modified.n ? "Some of these messages were changed by others." : "STORE completed.";
	answer.uids = t->uids;
	t->uids = SET_INIT;
	imap_store_end(s);
	if (!store->silent || s->condstore) {
		answer.parts = imap_command_of(s)->uid || s->condstore ? PRINT_UID : 0;
		answer.parts |= (store->silent ? 0 : PRINT_FLAGS) | (s->condstore ? PRINT_MODSEQ : 0);
		return imap_fetch_answer(s, &answer);
	}
	imap_ok_unless_gone(s, set_count(&answer.uids), count_present(s->selected.mailbox, &answer.uids), answer.done);
	set_free(&answer.uids);
	return IMAP_STEP_DONE;
}

/* What the slices before have stored is told with the notices, which know nothing of it: it is the session's own. */
static enum imap_step fail(struct imap_session *s, struct store_task *t, const struct set *slice, int err)
{
	uids_subtract(&t->uids, &t->left);
	uids_subtract(&t->uids, slice);
	set_add_set(&s->selected.flagged, &t->uids);
	set_add_set(&s->selected.flagged, &t->modified);
	imap_no_error(s, err);
	return IMAP_STEP_DONE;
}

enum imap_step imap_store_step(struct imap_session *s)
{
	const struct imap_store *store = &imap_command_of(s)->store;
	struct store_task *t = s->task;
	struct set slice = SET_INIT;
	if (!store_writable(account_store(s->account)))
		return IMAP_STEP_WRITABLE;
	uids_first(&t->left, SLICE, &slice);
	set_remove(&t->left, 0, uids_last(&slice));
	if (store->has_unchanged_since)
		take_out_modified(s->selected.mailbox, t, &slice, store->unchanged_since);
	int err = mailbox_store(s->selected.mailbox, &slice, &t->change, s->id, NULL);
	enum imap_step step = IMAP_STEP_DURABLE;
	if (err < 0)
		step = fail(s, t, &slice, err);
	else if (t->left.n == 0)
		step = answer(s, t);
	set_free(&slice);
	return step;
}

static enum imap_step store_flags(struct imap_session *s, struct set *uids)
{
	const struct imap_store *store = &imap_command_of(s)->store;
	struct flags_change change = { .mode = mode_of(store->mode), .flags = (uint8_t)store->flags.system };
	int err = keyword_bits(s, store, uids, &change.keywords);
	if (err < 0) {
		imap_no_error(s, err);
		return IMAP_STEP_DONE;
	}
	struct store_task *t = mem_alloc(1, sizeof *t);
	t->uids = *uids;
	*uids = SET_INIT;
	set_copy(&t->left, &t->uids);
	t->change = change;
	s->task = t;
	return imap_store_step(s);
}

enum imap_step imap_cmd_store(struct imap_session *s)
{
	const struct imap_command *command = imap_command_of(s);
	struct set uids = SET_INIT;
	enum imap_step step = IMAP_STEP_DONE;
	if (imap_refuse_params(s) || imap_refuse_read_only(s))
		return IMAP_STEP_DONE;
	if (command->store.has_unchanged_since)
		imap_enable_condstore(s);
	if (uids_resolve(&command->store.set, command->uid, &s->selected.known.uids, &s->selected.saved, &uids) < 0)
		imap_bad(s, "There is no message of that number.");
	else
		step = store_flags(s, &uids);
	set_free(&uids);
	return step;
}
