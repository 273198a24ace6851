/* qresync.c: what CONDSTORE and QRESYNC (RFC 7162) share between commands: enabling, modseqs that a client may rely on,
 * VANISHED, and what happened since a modseq. Nothing is kept here but two bits of the session; sets are their owners'. */
#include "base/checked.h"
#include "proto/imap/print.h"
#include "proto/imap/session_private.h"
#include "proto/imap/uids.h"

/* Ranges in one VANISHED line: some kilobytes, for clients with bounded lines (RFC 2683, 3.2.1.5). */
#define LINE_RANGES 300

uint64_t imap_settled_modseq(const struct imap_session *s)
{
	const struct selected *selected = &s->selected;
	return MAX(selected->gone.n ? selected->settled : selected->known.modseq, UINT64_C(1));
}

void imap_tell_modseq(struct imap_session *s, uint64_t modseq)
{
	outq_addf(imap_output(s), "* OK [HIGHESTMODSEQ %llu] The highest modification sequence.\r\n",
	          (unsigned long long)modseq);
}

void imap_enable_condstore(struct imap_session *s)
{
	if (s->condstore)
		return;
	s->condstore = true;
	if (s->selected.mailbox)
		imap_tell_modseq(s, imap_settled_modseq(s));
}

enum imap_step imap_tell_vanished(struct imap_session *s, struct set *uids, bool earlier)
{
	struct outq *out = imap_output(s);
	while (uids->n > 0) {
		uint32_t n = MIN(uids->n, (uint32_t)LINE_RANGES);
		const struct set part = { uids->ranges + (uids->n - n), n, 0 };
		struct buf text = BUF_INIT(LINE_RANGES * (2 * PRINT_U32_MAX + 2));
		set_print(&part, &text);
		outq_add(out, earlier ? STR("* VANISHED (EARLIER) ") : STR("* VANISHED "));
		outq_add(out, buf_str(&text));
		outq_add(out, STR("\r\n"));
		buf_free(&text);
		uids->n -= n;
		if (imap_output_full(s))
			return uids->n > 0 ? IMAP_STEP_OUTPUT : IMAP_STEP_DONE;
	}
	return IMAP_STEP_DONE;
}

/* What is in `asked` and in `what`, but not (or also) known to the client. */
static void narrow(const struct set *what, const struct set *asked, const struct set *known, bool wanted,
                   struct set *out)
{
	struct set both = SET_INIT;
	set_intersection(what, asked, &both);
	if (wanted)
		set_intersection(&both, known, out);
	else
		set_difference(&both, known, out);
	set_free(&both);
}

/* All uids ever given, but those of messages that the session has not heard of yet: they have come in behind all that it
 * knows. */
static void add_missing(const struct mailbox *mailbox, const struct set *known, struct set *gone)
{
	struct entry_cursor cursor = entry_seek(mailbox, uids_last(known));
	const struct entry *entry;
	struct set unheard = SET_INIT;
	if (mailbox_uidnext(mailbox) > 1)
		set_add(gone, 1, mailbox_uidnext(mailbox) - 1);
	while ((entry = entry_next(&cursor)))
		set_add(&unheard, entry->uid, entry->uid);
	uids_subtract(gone, &unheard);
	set_free(&unheard);
}

int imap_changes_since(struct imap_session *s, uint64_t modseq, const struct set *asked, struct set *changed,
                       struct set *vanished)
{
	const struct mailbox *mailbox = s->selected.mailbox;
	const struct set *known = &s->selected.known.uids;
	struct set all = SET_INIT, gone = SET_INIT;
	bool complete;
	int err = mailbox_changes_since(mailbox, modseq, &all, &gone, &complete);
	if (err == 0) {
		if (!complete) /* 3.2.6 */
			add_missing(mailbox, known, &gone);
		narrow(&all, asked, known, true, changed);
		narrow(&gone, asked, known, false, vanished);
	}
	set_free(&all);
	set_free(&gone);
	return err;
}

/* --- message sequence match data (3.2.5.2) --- */

/* A piece of both lists, in step: numbers from `number` on are uids from `uid` on. */
struct piece {
	uint32_t number, uid, n;
};

/* The largest uid of the piece that has the number it is said to have; 0: none. In one range of uids in use the
 * difference of uid and number is the same everywhere. */
static uint32_t match_piece(struct uids_walk *walk, struct piece piece)
{
	uint32_t last = piece.uid + (piece.n - 1), found = 0;
	uids_walk_to(walk, piece.uid);
	for (uint32_t i = walk->range, below = walk->before; i < walk->known->n; i++) {
		struct set_range range = walk->known->ranges[i];
		if (range.first > last)
			break;
		uint32_t from = MAX(range.first, piece.uid), to = MIN(range.last, last);
		if (from <= to && below + (from - range.first) + 1 == piece.number + (from - piece.uid))
			found = to;
		below += range.last - range.first + 1;
	}
	return found;
}

uint32_t imap_match_known(const struct set *known, const struct imap_sequence *numbers, const struct imap_sequence *uids)
{
	uint32_t i = 0, k = 0, number_at = 0, uid_at = 0, found = 0;
	struct uids_walk walk = { known, 0, 0 };
	while (i < numbers->n && k < uids->n) {
		struct imap_sequence_range number = numbers->ranges[i], uid = uids->ranges[k];
		uint32_t n = MIN(number.last - number.first - number_at, uid.last - uid.first - uid_at) + 1;
		uint32_t matched = match_piece(&walk, (struct piece){ number.first + number_at, uid.first + uid_at, n });
		found = MAX(found, matched);
		number_at += n;
		uid_at += n;
		if (number_at > number.last - number.first) {
			number_at = 0;
			i++;
		}
		if (uid_at > uid.last - uid.first) {
			uid_at = 0;
			k++;
		}
	}
	return found;
}
