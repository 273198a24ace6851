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

static bool any_present(struct mailbox *mailbox, const struct set *uids)
{
	struct set first = SET_INIT;
	uint32_t from = 0;
	bool more;
	bool any = mailbox_slice(mailbox, uids, 1, &from, &first, &more) == 0 && first.n > 0;
	set_free(&first);
	return any;
}

/* Keyword names to bits, making those that are missing: all or none, and none where no message is to have them. */
static int keyword_bits(struct imap_session *s, const struct imap_store *store, const struct set *uids,
                        struct keyword_bits *out)
{
	struct mailbox *mailbox = s->selected.mailbox;
	const struct imap_strings *keywords = &store->flags.keywords;
	bool makes = store->mode != IMAP_STORE_REMOVE && keywords->n > 0 && any_present(mailbox, uids);
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
	struct set uids;     /* asked for; in the end without those that failed the condition */
	uint32_t from;       /* those below were looked at */
	bool looked;         /* at all of them; the answer is left */
	uint64_t stored;     /* were there, and did not fail it */
	struct set modified; /* failed the condition */
	struct flags_change change;
};

void imap_store_end(struct imap_session *s)
{
	struct store_task *t = s->task;
	set_free(&t->uids);
	set_free(&t->modified);
	mem_free(t);
	s->task = NULL;
}

/* --- UNCHANGEDSINCE --- */

/* How many flags and keywords the change names, and how many of them the entry has. */
static void count_named(const struct mailbox *mailbox, const struct entry *entry, const struct flags_change *change,
                        int *named, int *has)
{
	struct keyword_bits bits;
	entry_keywords(mailbox, entry, &bits);
	*named = __builtin_popcount(change->flags);
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
static bool passes(const struct mailbox *mailbox, const struct entry *entry, const struct flags_change *change,
                   uint64_t unchanged_since)
{
	int named, has;
	if (unchanged_since > 0 && entry->modseq <= unchanged_since)
		return true;
	if (change->mode == FLAGS_REPLACE || (unchanged_since == 0 && change->flags != 0))
		return false;
	count_named(mailbox, entry, change, &named, &has);
	if (unchanged_since == 0)
		return has == 0;
	return named == 1 && has == (change->mode == FLAGS_ADD ? 0 : 1);
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
	uids_subtract(&t->uids, &t->modified);
	uint64_t stored = t->stored;
	answer.done = t->modified.n ? "Some of these messages were changed by others." : "STORE completed.";
	answer.uids = t->uids;
	t->uids = SET_INIT;
	imap_store_end(s);
	if (!store->silent || s->condstore) {
		answer.parts = imap_command_of(s)->uid || s->condstore ? PRINT_UID : 0;
		answer.parts |= (store->silent ? 0 : PRINT_FLAGS) | (s->condstore ? PRINT_MODSEQ : 0);
		return imap_fetch_answer(s, &answer);
	}
	imap_ok_unless_gone(s, set_count(&answer.uids), stored, answer.done);
	set_free(&answer.uids);
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
	int err = mailbox_slice(s->selected.mailbox, &t->uids, SLICE, &t->from, &slice, &more);
	if (err == 0 && store->has_unchanged_since)
		take_out_modified(s->selected.mailbox, t, &slice, store->unchanged_since);
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
	struct flags_change change = { .mode = mode_of(store->mode), .flags = (uint8_t)store->flags.system };
	int err = keyword_bits(s, store, uids, &change.keywords);
	if (err < 0) {
		imap_no_error(s, err);
		return IMAP_STEP_DONE;
	}
	struct store_task *t = mem_alloc(1, sizeof *t);
	t->uids = *uids;
	*uids = SET_INIT;
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
