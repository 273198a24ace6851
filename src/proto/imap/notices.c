/* notices.c: untagged responses that tell a client what happened in its selected mailbox (RFC 3501, 5.2 and 7). What
 * has been learned from the store but not told yet waits in struct selected: expunges (gone) until a command allows
 * them, changed flags (flagged). New messages are told at once, before anything else, so that a client never hears a
 * number that it does not know. */
#include "base/checked.h"
#include "base/mem.h"
#include "proto/imap/print.h"
#include "proto/imap/session_private.h"
#include "proto/imap/uids.h"

void imap_tell_counts(struct imap_session *s)
{
	struct outq *out = imap_output(s);
	outq_addf(out, "* %llu EXISTS\r\n* %llu RECENT\r\n", (unsigned long long)set_count(&s->selected.known.uids),
	          (unsigned long long)set_count(&s->selected.recent));
}

static void put_flag_list(struct imap_session *s, const struct str *keywords, size_t n, struct str end)
{
	struct outq *out = imap_output(s);
	outq_add(out, STR("(\\Answered \\Flagged \\Deleted \\Seen \\Draft"));
	for (size_t i = 0; i < n; i++) {
		outq_add(out, STR(" "));
		outq_add(out, keywords[i]);
	}
	outq_add(out, end);
}

void imap_tell_keywords(struct imap_session *s, bool always)
{
	const struct str *keywords;
	size_t n = mailbox_keywords(s->selected.mailbox, &keywords);
	struct outq *out = imap_output(s);
	if (n == s->selected.keywords_told && !always)
		return;
	s->selected.keywords_told = (uint32_t)n;
	outq_add(out, STR("* FLAGS "));
	put_flag_list(s, keywords, n, STR(")\r\n"));
	outq_add(out, STR("* OK [PERMANENTFLAGS "));
	if (s->selected.read_only)
		outq_add(out, STR("()] No flag can be changed.\r\n"));
	else if (n < s->settings->mail.max_keywords)
		put_flag_list(s, keywords, n, STR(" \\*)] These flags are kept.\r\n"));
	else
		put_flag_list(s, keywords, n, STR(")] These flags are kept; there can be no more keywords.\r\n"));
}

void imap_learn_recent(struct selected *selected, const struct set *newest)
{
	struct set taken = SET_INIT, mine = SET_INIT;
	struct mailbox_counts counts;
	uint64_t n = set_count(newest);
	uint32_t first = UINT32_MAX;
	if (!selected->read_only) {
		first = mailbox_take_recent(selected->mailbox);
	} else {
		mailbox_counts(selected->mailbox, &counts);
		if (counts.recent == 0 || !set_at(newest, n - MIN(n, (uint64_t)counts.recent), &first))
			return;
	}
	set_add(&taken, MAX(first, 1u), UINT32_MAX);
	set_intersection(newest, &taken, &mine);
	set_add_set(&selected->recent, &mine);
	set_free(&taken);
	set_free(&mine);
}

/* Takes in what the store knows newer than the session. New messages count as known from here on. */
static void learn(struct imap_session *s)
{
	struct selected *selected = &s->selected;
	struct delta delta = { SET_INIT, SET_INIT, SET_INIT };
	if (!mailbox_has_news(selected->mailbox, &selected->known))
		return;
	if (mailbox_delta(selected->mailbox, &selected->known, s->id, &delta) < 0) {
		delta_free(&delta);
		return; /* the store cannot read now: told another time */
	}
	if (selected->gone.n == 0)
		selected->settled = selected->known.modseq;
	selected->known.modseq = mailbox_modseq(selected->mailbox);
	set_add_set(&selected->gone, &delta.expunged);
	set_add_set(&selected->flagged, &delta.flags);
	if (delta.fresh.n) {
		set_add_set(&selected->known.uids, &delta.fresh);
		imap_learn_recent(selected, &delta.fresh);
		imap_tell_counts(s);
	}
	delta_free(&delta);
}

/* The client counts these no more. */
static void forget(struct selected *selected, const struct set *told)
{
	uids_subtract(&selected->known.uids, told);
	uids_subtract(&selected->recent, told);
	uids_subtract(&selected->flagged, told);
}

/* Those of `gone` from this one on. */
static void forget_gone(struct selected *selected, uint32_t first)
{
	struct set told = SET_INIT, upwards = SET_INIT;
	set_add(&upwards, first, UINT32_MAX);
	set_intersection(&selected->gone, &upwards, &told);
	set_remove(&selected->gone, first, UINT32_MAX);
	forget(selected, &told);
	set_free(&upwards);
	set_free(&told);
}

/* EXPUNGE lines, the highest number first, so that each number stands for itself. */
static enum imap_step tell_gone(struct imap_session *s)
{
	struct selected *selected = &s->selected;
	struct outq *out = imap_output(s);
	const struct set *known = &selected->known.uids, *gone = &selected->gone;
	uint64_t before = set_count(known); /* numbers below the known range `at` */
	uint32_t at = known->n, left = gone->n, uid = gone->ranges[left - 1].last, first = 0; /* told */
	bool full = false;
	while (left > 0 && !full) {
		while (at > 0 && (at == known->n || known->ranges[at].first > uid)) {
			at--;
			before -= known->ranges[at].last - known->ranges[at].first + 1;
		}
		if (at < known->n && known->ranges[at].first <= uid && uid <= known->ranges[at].last) {
			char *room = outq_reserve(out, PRINT_U32_MAX + 16);
			if (!room)
				break;
			char *p = print_u32(print_str(room, STR("* ")), (uint32_t)before + (uid - known->ranges[at].first) + 1);
			p = print_str(p, STR(" EXPUNGE\r\n"));
			outq_commit(out, (size_t)(p - room));
		}
		full = imap_output_full(s);
		first = uid;
		if (gone->ranges[left - 1].first < uid)
			uid--;
		else if (--left > 0)
			uid = gone->ranges[left - 1].last;
	}
	if (first > 0)
		forget_gone(selected, first);
	return selected->gone.n > 0 && full ? IMAP_STEP_OUTPUT : IMAP_STEP_DONE;
}

/* VANISHED in place of EXPUNGE (RFC 7162, 3.2.10.2): the end of `gone` is told. */
static enum imap_step tell_vanished(struct imap_session *s)
{
	struct selected *selected = &s->selected;
	uint32_t n = selected->gone.n;
	enum imap_step step = imap_tell_vanished(s, &selected->gone, false);
	const struct set told = { selected->gone.ranges + selected->gone.n, n - selected->gone.n, 0 };
	forget(selected, &told);
	selected->told_gone = true;
	return step;
}

/* A client takes the highest modseq of a FETCH response for what it knows, unless it is told otherwise: so it is while
 * expunges wait (RFC 7162, 3.2 and 6), and told the new one when they have been told, where the tagged reply does not. */
static void tell_modseq(struct imap_session *s)
{
	struct selected *selected = &s->selected;
	bool in_reply = s->reply.n && str_starts(buf_str(&s->reply), STR("OK [HIGHESTMODSEQ "));
	if (s->qresync && (selected->gone.n > 0 || (selected->told_gone && !in_reply)))
		imap_tell_modseq(s, imap_settled_modseq(s));
	selected->told_gone = false;
}

static enum imap_step tell_flags(struct imap_session *s)
{
	struct selected *selected = &s->selected;
	unsigned parts = PRINT_UID | PRINT_FLAGS | (s->condstore ? PRINT_MODSEQ : 0);
	struct outq *out = imap_output(s);
	struct flags_printer *printer = mem_alloc(1, sizeof *printer);
	struct uids_walk walk = { &selected->known.uids, 0, 0 };
	uint32_t told = 0;
	bool full = false;
	flags_printer_init(printer, selected->mailbox);
	for (uint32_t i = 0; i < selected->flagged.n && !full; i++) {
		struct set_range range = selected->flagged.ranges[i];
		struct entry_cursor cursor = entry_seek(selected->mailbox, range.first);
		const struct entry *entry;
		while (!full && (entry = entry_next(&cursor)) && entry->uid <= range.last) {
			uint32_t number = uids_walk_to(&walk, entry->uid);
			char *room = number ? outq_reserve(out, FETCH_FLAGS_ROOM + printer->room) : NULL;
			if (!room)
				continue;
			char *p =
			    fetch_flags_print(printer, room, number, entry, set_has(&selected->recent, entry->uid), parts);
			outq_commit(out, (size_t)(p - room));
			told = entry->uid;
			full = imap_output_full(s) || out->failed;
		}
	}
	mem_free(printer);
	if (!full)
		set_clear(&selected->flagged);
	else
		set_remove(&selected->flagged, 0, told);
	return selected->flagged.n ? IMAP_STEP_OUTPUT : IMAP_STEP_DONE;
}

enum imap_step imap_tell_notices(struct imap_session *s, bool expunges)
{
	learn(s);
	imap_tell_keywords(s, false);
	if (expunges && s->selected.gone.n && (s->qresync ? tell_vanished(s) : tell_gone(s)) == IMAP_STEP_OUTPUT)
		return IMAP_STEP_OUTPUT;
	if (s->selected.flagged.n && tell_flags(s) == IMAP_STEP_OUTPUT)
		return IMAP_STEP_OUTPUT;
	tell_modseq(s);
	return IMAP_STEP_DONE;
}
