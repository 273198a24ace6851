/* cmd_store.c: STORE (RFC 3501, 6.4.6), also on condition (RFC 7162, 3.1.3). One change for all messages, or one for each
 * slice of many, then an answer of flags that pauses like FETCH. Flags that somebody else changed meanwhile are told as
 * notices, after .SILENT too. The task lives until the answer begins, or the command ends. */
#include "base/checked.h"
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

/* Many messages: SLICE of them a batch, so that the other sessions of the shard go on meanwhile. A change by somebody
 * else may come in between, as it may before and after. */
#define SLICE 20480

/* Bytes of MODIFIED's set. A longer one is told as one range: the client looks again at more than it would have to. */
#define MODIFIED_MAX (1024u * 1024)

struct store_task {
	struct set uids;     /* asked for; in the end without those that failed the condition */
	uint32_t from;       /* those below were looked at */
	bool looked;         /* at all of them; the answer is left */
	uint64_t stored;     /* were there, and did not fail it */
	struct set modified; /* failed the condition */
	struct set changed;  /* did not, although they have changed since */
	struct flags_change change;
	bool has_keywords;   /* the mailbox has all that are to be set, and keeps them */
	unsigned missing;    /* else: how many it has not; 2: or more */
};

void imap_store_end(struct imap_session *s)
{
	struct store_task *t = s->task;
	set_free(&t->uids);
	set_free(&t->modified);
	set_free(&t->changed);
	mem_free(t);
	s->task = NULL;
}

/* --- keywords --- */

/* The bits of those that the mailbox has; others may have made some since the last slice. */
static void find_keywords(const struct mailbox *mailbox, const struct imap_strings *keywords, struct store_task *t)
{
	struct str missing = STR("");
	t->missing = 0;
	for (uint32_t i = 0; i < keywords->n; i++) {
		int bit = keyword_find(mailbox, keywords->items[i]);
		if (bit >= 0)
			t->change.keywords.word[bit / 64] |= UINT64_C(1) << (bit % 64);
		else if (t->missing == 0 || !str_ieq(missing, keywords->items[i]))
			t->missing = MIN(t->missing + 1, 2u);
		if (bit < 0)
			missing = keywords->items[i];
	}
	t->has_keywords = t->missing == 0;
}

/* All of them or none. Their names count against the mailbox's for ever: none is made where no message gets it. */
static int make_keywords(struct imap_session *s, const struct imap_strings *keywords, struct store_task *t)
{
	struct mailbox *mailbox = s->selected.mailbox;
	uint32_t bit;
	int err = imap_keywords_still_fit(s, mailbox, keywords) ? 0 : ERR_LIMIT;
	for (uint32_t i = 0; i < keywords->n && err == 0; i++)
		err = keyword_add(mailbox, keywords->items[i], s->settings->mail.max_keywords, &bit);
	if (err == 0)
		find_keywords(mailbox, keywords, t);
	return err;
}

/* --- UNCHANGEDSINCE --- */

/* How many flags and keywords the change names, and how many of them the entry has. */
static void count_named(const struct mailbox *mailbox, const struct entry *entry, const struct store_task *t, int *named, int *has)
{
	const struct flags_change *change = &t->change;
	struct keyword_bits bits;
	entry_keywords(mailbox, entry, &bits);
	*named = __builtin_popcount(change->flags) + (change->mode == FLAGS_ADD ? (int)t->missing : 0);
	*has = __builtin_popcount(entry->flags & change->flags);
	for (size_t i = 0; i < KEYWORD_WORDS; i++) {
		*named += __builtin_popcountll(change->keywords.word[i]);
		*has += __builtin_popcountll(bits.word[i] & change->keywords.word[i]);
	}
}

/* A message has one modseq for all its flags, but it is the flags of the command that must not have changed (3.1.3). Where
 * it names one, and that is as a client takes it for that adds or removes it, something else has changed (3.1.12); of
 * several one may have. With 0 nothing passes whose metadata exist: system flags always do, keywords where they are set
 * (3.1.3, example 7). */
static bool passes(const struct mailbox *mailbox, const struct entry *entry, const struct store_task *t, uint64_t unchanged_since)
{
	int named, has;
	if (t->change.mode == FLAGS_REPLACE || (unchanged_since == 0 && t->change.flags != 0))
		return false;
	count_named(mailbox, entry, t, &named, &has);
	if (unchanged_since == 0)
		return has == 0;
	return named == 1 && has == (t->change.mode == FLAGS_ADD ? 0 : 1);
}

/* What passes with other changes may have been changed before the mailbox was selected: the client hears the flags along
 * with their new modseq (3.1.12), or it would take them for those that it knows. */
static void take_out_modified(const struct mailbox *mailbox, struct store_task *t, struct set *slice,
                              uint64_t unchanged_since)
{
	struct set failed = SET_INIT;
	for (uint32_t i = 0; i < slice->n; i++) {
		struct entry_cursor cursor = entry_seek(mailbox, slice->ranges[i].first);
		const struct entry *entry;
		while ((entry = entry_next(&cursor)) && entry->uid <= slice->ranges[i].last) {
			if (unchanged_since > 0 && entry->modseq <= unchanged_since)
				continue;
			if (!passes(mailbox, entry, t, unchanged_since))
				set_add(&failed, entry->uid, entry->uid);
			else if (unchanged_since > 0)
				set_add(&t->changed, entry->uid, entry->uid);
		}
	}
	uids_subtract(slice, &failed);
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
 * client that knows modseqs hears the new ones, and the flags of what others have changed. */
static enum imap_step answer(struct imap_session *s, struct store_task *t)
{
	const struct imap_store *store = &imap_command_of(s)->store;
	struct imap_fetch_answer answer = { .handler = &imap_store_answer, .code = BUF_INIT(MODIFIED_MAX) };
	if (t->modified.n) {
		set_add_set(&s->selected.flagged, &t->modified);
		put_modified(s, &t->modified, &answer.code);
	}
	uids_subtract(&t->uids, &t->modified);
	uint64_t stored = t->stored;
	answer.done = t->modified.n ? "Some of these messages were changed by others." : "STORE completed.";
	answer.uids = t->uids;
	answer.with_flags = t->changed;
	t->uids = t->changed = SET_INIT;
	imap_store_end(s);
	if (!store->silent || s->condstore) {
		answer.parts = imap_command_of(s)->uid || s->condstore ? PRINT_UID : 0;
		answer.parts |= (store->silent ? 0 : PRINT_FLAGS) | (s->condstore ? PRINT_MODSEQ : 0);
		return imap_fetch_answer(s, &answer);
	}
	imap_ok_unless_gone(s, set_count(&answer.uids), stored, answer.done);
	set_free(&answer.uids);
	set_free(&answer.with_flags);
	return IMAP_STEP_DONE;
}

/* What the slices before have stored is told with the notices, which know nothing of it: it is the session's own. */
static enum imap_step fail(struct imap_session *s, struct store_task *t, uint32_t slice_begin, int err)
{
	set_remove(&t->uids, slice_begin, UINT32_MAX);
	uids_subtract(&t->uids, &t->modified);
	set_add_set(&s->selected.flagged, &t->uids);
	set_add_set(&s->selected.flagged, &t->modified);
	imap_no_error(s, err);
	return IMAP_STEP_DONE;
}

static int store_slice(struct imap_session *s, struct store_task *t)
{
	const struct imap_store *store = &imap_command_of(s)->store;
	struct set slice = SET_INIT;
	bool more = false, has_news = mailbox_has_news(s->selected.mailbox, &s->selected.known);
	if (!t->has_keywords)
		find_keywords(s->selected.mailbox, &store->flags.keywords, t);
	int err = mailbox_slice(s->selected.mailbox, &t->uids, SLICE, &t->from, &slice, &more);
	if (err == 0 && store->has_unchanged_since)
		take_out_modified(s->selected.mailbox, t, &slice, store->unchanged_since);
	if (err == 0 && !t->has_keywords && slice.n > 0 && t->change.mode != FLAGS_REMOVE)
		err = make_keywords(s, &store->flags.keywords, t);
	if (err == 0)
		err = mailbox_store(s->selected.mailbox, &slice, &t->change, s->id, NULL);
	if (err == 0 && !has_news)
		s->selected.known.modseq = mailbox_modseq(s->selected.mailbox); /* its own change is no news */
	t->stored += set_count(&slice);
	t->looked = !more;
	set_free(&slice);
	return err;
}

enum imap_step imap_store_step(struct imap_session *s)
{
	struct store_task *t = s->task;
	uint32_t begin = t->from;
	if (t->looked)
		return answer(s, t);
	if (!store_writable(account_store(s->account)))
		return IMAP_STEP_WRITABLE;
	if (!account_may_write_slice(s->account, set_count(&t->uids), &s->refusals))
		return IMAP_STEP_DURABLE;
	int err = store_slice(s, t);
	if (err < 0)
		return fail(s, t, begin, err);
	return t->looked && begin == 0 ? answer(s, t) : IMAP_STEP_DURABLE; /* a long answer has a turn of its own */
}

static enum imap_step store_flags(struct imap_session *s, struct set *uids)
{
	const struct imap_store *store = &imap_command_of(s)->store;
	struct store_task *t = mem_alloc(1, sizeof *t);
	t->uids = *uids;
	*uids = SET_INIT;
	t->change = (struct flags_change){ .mode = mode_of(store->mode), .flags = (uint8_t)store->flags.system };
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
