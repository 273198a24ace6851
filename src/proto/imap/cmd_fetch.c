/* cmd_fetch.c: FETCH (RFC 3501, 6.4.5) as an iterator over the messages asked for, all of them or those that changed
 * since a modseq (RFC 7162, 3.1.4); also the answers of STORE and of SELECT with QRESYNC. The task lives until its
 * command ends; no cursor and no entry is held over a pause. What a response holds beyond UID and FLAGS: fetch_items.c.
 *
 * Sequence numbers, uids and entries are all sorted, so one pass walks them in step, without a search for each message.
 *
 * \Seen is set for a window of messages at a time, one store for each window, before their responses are written; each
 * response then shows the new flags. Where it cannot be stored (no space), reading goes on without it. */
#include "base/mem.h"
#include "proto/imap/fetch.h"
#include "proto/imap/uids.h"

#define SEEN_WINDOW       64  /* messages that get \Seen together */
#define SEEK_DISTANCE     128 /* a gap in uids that is worth a search */
#define CLOCK_EVERY_FLAGS 64  /* messages between two looks at the clock */
#define CLOCK_EVERY_ROW   8
#define CLOCK_SCANNED     16384 /* bytes of headers in one response: then a look at once */

/* What one message may cost is bounded: items, and names of header fields in all of them together. */
#define ITEMS_MAX  128
#define FIELDS_MAX 512

static bool is_too_much(const struct imap_fetch *fetch)
{
	uint64_t fields = 0;
	for (uint32_t i = 0; i < fetch->n; i++)
		fields += fetch->items[i].section ? fetch->items[i].section->fields.n : 0;
	return fetch->n > ITEMS_MAX || fields > FIELDS_MAX;
}

static bool is_plain(const struct imap_fetch *fetch)
{
	return (fetch->kinds & ~(1u << IMAP_FETCH_UID | 1u << IMAP_FETCH_FLAGS | 1u << IMAP_FETCH_MODSEQ)) == 0;
}

/* What a mailbox's entries tell. */
#define OF_ENTRIES                                                                                                     \
	(1u << IMAP_FETCH_UID | 1u << IMAP_FETCH_FLAGS | 1u << IMAP_FETCH_RFC822_SIZE | 1u << IMAP_FETCH_MODSEQ |          \
	 1u << IMAP_FETCH_SAVEDATE | 1u << IMAP_FETCH_EMAILID | 1u << IMAP_FETCH_THREADID)

static bool needs_rows(const struct imap_fetch *fetch)
{
	return (fetch->kinds & ~OF_ENTRIES) != 0;
}

static enum message_part part_of_rows(const struct imap_fetch *fetch)
{
	const unsigned cheap = OF_ENTRIES | 1u << IMAP_FETCH_INTERNALDATE;
	const unsigned listed = 1u << IMAP_FETCH_ENVELOPE | 1u << IMAP_FETCH_BODYSTRUCTURE;
	const unsigned ranges = 1u << IMAP_FETCH_RFC822 | 1u << IMAP_FETCH_RFC822_HEADER | 1u << IMAP_FETCH_RFC822_TEXT |
	                        1u << IMAP_FETCH_SECTION | 1u << IMAP_FETCH_PREVIEW;
	bool fields = false; /* kept by the row, perhaps */
	for (uint32_t i = 0; i < fetch->n; i++)
		fields = fields || (fetch->items[i].section && fetch->items[i].section->fields.n > 0);
	if (!(fetch->kinds & ~(cheap | listed)))
		return MESSAGE_LISTING;
	return !(fetch->kinds & ~(cheap | ranges)) && !fields ? MESSAGE_RANGES : MESSAGE_WHOLE;
}

static struct fetch_task *new_task(struct imap_session *s, struct set *uids)
{
	struct fetch_task *t = mem_alloc(1, sizeof *t);
	t->uids = *uids;
	*uids = SET_INIT;
	t->wanted = set_count(&t->uids);
	t->walk = (struct uids_walk){ &s->selected.known.uids, 0, 0 };
	s->task = t;
	return t;
}

enum imap_step imap_fetch_answer(struct imap_session *s, struct imap_fetch_answer *answer)
{
	struct fetch_task *t = new_task(s, &answer->uids);
	t->plain = true;
	t->parts = answer->parts;
	t->marked = answer->with_flags;
	t->vanished = answer->vanished;
	answer->with_flags = answer->vanished = SET_INIT;
	t->code = answer->code;
	answer->code = BUF_INIT(0);
	t->done = answer->done;
	s->handler = answer->handler;
	return imap_fetch_step(s);
}

static unsigned parts_of(const struct imap_fetch *fetch)
{
	unsigned parts = fetch->kinds & 1u << IMAP_FETCH_UID ? PRINT_UID : 0;
	if (fetch->kinds & 1u << IMAP_FETCH_FLAGS)
		parts |= PRINT_FLAGS;
	return parts | (fetch->kinds & 1u << IMAP_FETCH_MODSEQ ? PRINT_MODSEQ : 0);
}

/* CHANGEDSINCE: of the uids asked for, those that changed; VANISHED: of all the numbers asked for, those that are gone.
 * '*' is the last uid ever given here, or who asks for 1:* would not hear of expunges at the end. */
static int keep_changed(struct imap_session *s, const struct imap_fetch *fetch, struct set *uids, struct set *vanished)
{
	struct set asked = SET_INIT, changed = SET_INIT;
	set_copy(&asked, uids);
	if (fetch->vanished && !fetch->set.saved)
		imap_sequence_resolve(&fetch->set, mailbox_uidnext(s->selected.mailbox) - 1, &asked);
	int err = imap_changes_since(s, fetch->changed_since, &asked, &changed, vanished);
	if (!fetch->vanished)
		set_clear(vanished);
	if (err == 0)
		set_copy(uids, &changed);
	set_free(&asked);
	set_free(&changed);
	return err;
}

static void begin(struct imap_session *s, struct set *uids, const struct set *vanished)
{
	const struct imap_fetch *fetch = &imap_command_of(s)->fetch;
	struct fetch_task *t = new_task(s, uids);
	t->vanished = *vanished;
	t->fetch = fetch;
	t->plain = is_plain(fetch);
	t->with_rows = needs_rows(fetch);
	t->rows_part = part_of_rows(fetch);
	t->parts = parts_of(fetch);
	t->done = "FETCH completed.";
	if (fetch->kinds & 1u << IMAP_FETCH_PREVIEW)
		t->preview = mail_preview_new(&MIME_LIMITS_DEFAULT);
	for (uint32_t i = 0; i < fetch->n; i++)
		t->sets_seen = t->sets_seen || (imap_fetch_sets_seen(&fetch->items[i]) && !s->selected.read_only);
}

enum imap_step imap_cmd_fetch(struct imap_session *s)
{
	const struct imap_command *command = imap_command_of(s);
	const struct imap_fetch *fetch = &command->fetch;
	struct set uids = SET_INIT, vanished = SET_INIT;
	if (imap_refuse_params(s))
		return IMAP_STEP_DONE;
	if (fetch->vanished && !s->qresync) {
		imap_bad(s, "VANISHED needs ENABLE QRESYNC first.");
		return IMAP_STEP_DONE;
	}
	if (is_too_much(fetch)) {
		imap_no(s, "LIMIT", "Too many items.");
		return IMAP_STEP_DONE;
	}
	if (uids_resolve(&fetch->set, command->uid, &s->selected.known.uids, &s->selected.saved, &uids) < 0) {
		imap_bad(s, "There is no message of that number.");
		set_free(&uids);
		return IMAP_STEP_DONE;
	}
	if (fetch->kinds & 1u << IMAP_FETCH_MODSEQ)
		imap_enable_condstore(s);
	int err = fetch->has_changed_since ? keep_changed(s, fetch, &uids, &vanished) : 0;
	if (err < 0) {
		imap_no_error(s, err);
		set_free(&uids);
		return IMAP_STEP_DONE;
	}
	begin(s, &uids, &vanished);
	return imap_fetch_step(s);
}

void imap_fetch_end(struct imap_session *s)
{
	struct fetch_task *t = s->task;
	set_free(&t->uids);
	set_free(&t->vanished);
	set_free(&t->marked);
	buf_free(&t->scratch);
	buf_free(&t->code);
	mail_preview_free(&t->preview);
	mem_free(t);
	s->task = NULL;
}

/* The next entry that is asked for; NULL at the end. */
static const struct entry *next_wanted(struct fetch_task *t, struct entry_cursor *cursor)
{
	for (;;) {
		const struct entry *entry = entry_next(cursor);
		if (!entry)
			return NULL;
		while (t->range < t->uids.n && t->uids.ranges[t->range].last < entry->uid)
			t->range++;
		if (t->range == t->uids.n)
			return NULL;
		uint32_t first = t->uids.ranges[t->range].first;
		if (first <= entry->uid)
			return entry;
		if (first - entry->uid > SEEK_DISTANCE)
			*cursor = entry_seek(cursor->mailbox, first);
	}
}

/* Sets \Seen on the next messages, from the uid on. The walk of entries has to begin anew after it. */
static enum imap_step mark_seen(struct imap_session *s, struct fetch_task *t, uint32_t uid)
{
	struct mailbox *mailbox = s->selected.mailbox;
	struct entry_cursor cursor = entry_seek(mailbox, uid);
	const struct entry *entry;
	struct set unseen = SET_INIT;
	uint32_t range = t->range, last = uid;
	for (int n = 0; n < SEEN_WINDOW && (entry = next_wanted(t, &cursor)); n++) {
		last = entry->uid;
		if (!(entry->flags & FLAG_SEEN))
			set_add(&unseen, last, last);
	}
	t->range = range;
	if (unseen.n && !store_writable(account_store(s->account))) {
		set_free(&unseen);
		return IMAP_STEP_WRITABLE;
	}
	set_clear(&t->marked);
	struct flags_change change = { .mode = FLAGS_ADD, .flags = FLAG_SEEN };
	int err = unseen.n ? mailbox_store(mailbox, &unseen, &change, s->id, &t->marked) : 0;
	if (err < 0)
		set_clear(&t->marked);
	if (mailbox_is_gone(mailbox)) /* the failure took the account along */
		t->error = err;
	t->window_last = last;
	set_free(&unseen);
	return IMAP_STEP_DONE;
}

static void fetch_plain(struct imap_session *s, struct fetch_task *t, uint32_t number, const struct entry *entry)
{
	struct outq *out = imap_output(s);
	char *room = outq_reserve(out, FETCH_FLAGS_ROOM + t->flags.room);
	if (!room)
		return;
	bool recent = s->selected.recent.n && set_has(&s->selected.recent, entry->uid);
	unsigned parts = t->marked.n && set_has(&t->marked, entry->uid) ? t->parts | PRINT_FLAGS : t->parts;
	char *p = fetch_flags_print(&t->flags, room, number, entry, recent, parts);
	outq_commit(out, (size_t)(p - room));
}

/* The answer does not have this message: what happened to its flags is told with the notices. */
void fetch_leave_out(struct imap_session *s, struct fetch_task *t, const struct entry *entry, int err)
{
	t->error = err;
	if (set_has(&t->marked, entry->uid))
		set_add(&s->selected.flagged, entry->uid, entry->uid);
}

/* One response, or none. IMAP_STEP_DONE: what can be said of the message is said; else nothing of it is. */
static enum imap_step put_message(struct imap_session *s, struct fetch_task *t, uint32_t number, const struct entry *entry)
{
	struct outq *out = imap_output(s);
	struct outq_mark mark = outq_mark(out);
	for (;;) {
		t->cold.n = t->scanned = 0;
		fetch_message(s, t, number, entry);
		if (t->cold.n == 0)
			break;
		outq_back(out, &mark);
		if (s->world->fetch && s->world->fetch(s->owner, t->cold.fd, t->cold.offset, t->cold.n))
			return IMAP_STEP_FETCHING;
		t->may_wait = true;
	}
	t->may_wait = false;
	if (!out->failed || mark.failed)
		return IMAP_STEP_DONE;
	outq_back(out, &mark);
	if (mark.held > 0)
		return IMAP_STEP_OUTPUT; /* alone it may fit */
	fetch_leave_out(s, t, entry, ERR_LIMIT);
	return IMAP_STEP_DONE;
}

/* Writes responses until something stops it. */
static enum imap_step fetch_slice(struct imap_session *s, struct fetch_task *t)
{
	struct mailbox *mailbox = s->selected.mailbox;
	struct entry_cursor cursor = entry_seek(mailbox, t->next_uid);
	uint64_t end = s->world->microseconds(s->owner) + IMAP_SLICE_MICROSECONDS;
	unsigned every = !t->with_rows ? CLOCK_EVERY_FLAGS : CLOCK_EVERY_ROW, count = 0;
	const struct entry *entry;
	while ((entry = next_wanted(t, &cursor))) {
		uint32_t uid = entry->uid;
		if (t->sets_seen && uid > t->window_last) {
			enum imap_step step = mark_seen(s, t, uid);
			if (step != IMAP_STEP_DONE || mailbox_is_gone(mailbox))
				return step;
			cursor = entry_seek(mailbox, uid);
			continue;
		}
		if (t->preview && fetch_waits_for_preview(s, t, entry))
			return IMAP_STEP_FETCHING;
		uint32_t number = uids_walk_to(&t->walk, uid);
		enum imap_step step = IMAP_STEP_DONE;
		if (t->plain)
			fetch_plain(s, t, number, entry);
		else
			step = put_message(s, t, number, entry);
		if (step != IMAP_STEP_DONE)
			return step;
		t->found++;
		t->next_uid = uid + 1;
		if (imap_output_full(s))
			return IMAP_STEP_OUTPUT;
		if ((++count % every == 0 || t->scanned > CLOCK_SCANNED) && s->world->microseconds(s->owner) > end)
			return IMAP_STEP_AGAIN;
	}
	return IMAP_STEP_DONE;
}

enum imap_step imap_fetch_step(struct imap_session *s)
{
	struct fetch_task *t = s->task;
	imap_tell_keywords(s, false); /* others may have made some, since the last step too */
	if (t->vanished.n && imap_tell_vanished(s, &t->vanished, true) == IMAP_STEP_OUTPUT)
		return IMAP_STEP_OUTPUT;
	flags_printer_init(&t->flags, s->selected.mailbox);
	if (t->with_rows)
		message_cursor_begin_part(&t->rows, s->account, t->rows_part);
	enum imap_step step = fetch_slice(s, t);
	if (t->with_rows)
		message_cursor_end(&t->rows);
	if (step != IMAP_STEP_DONE)
		return step;
	if (t->error < 0)
		imap_no_error(s, t->error);
	else if (t->code.n)
		imap_ok(s, t->code.p, t->done);
	else
		imap_ok_unless_gone(s, t->wanted, t->found, t->done);
	return IMAP_STEP_DONE;
}
