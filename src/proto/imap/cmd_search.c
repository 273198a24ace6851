/* cmd_search.c: SEARCH (RFC 3501, 6.4.4) in two parts, both in slices: messages are looked at and the numbers of those
 * that match are gathered as ranges; then the numbers are written. BODY and TEXT, and other charsets than UTF-8, are
 * refused (search_plan.c). */
#include "base/mem.h"
#include "proto/imap/print.h"
#include "proto/imap/search.h"
#include "proto/imap/uids.h"

#define CLOCK_EVERY_ENTRY  64 /* messages between two looks at the clock */
#define CLOCK_EVERY_HEADER 1
#define OUTPUT_EVERY       512 /* numbers between two looks at the output */

struct search_task {
	struct search_node *plan;
	struct uids_walk walk;
	uint32_t next_uid;
	struct set found;     /* numbers to answer: uids or sequence numbers */
	bool writing;         /* all messages were looked at */
	uint32_t range, next; /* of found: what is written next */
	struct buf header, scratch;
	struct message_cursor rows;
	int error;
};

enum imap_step imap_cmd_search(struct imap_session *s)
{
	const struct imap_command *command = imap_command_of(s);
	if (command->search.has_return || command->params.n) {
		imap_bad(s, "RETURN is not known here.");
		return IMAP_STEP_DONE;
	}
	struct search_node *plan = search_plan_new(s, &command->search);
	if (!plan)
		return IMAP_STEP_DONE;
	struct search_task *t = mem_alloc(1, sizeof *t);
	t->plan = plan;
	t->walk = (struct uids_walk){ &s->selected.known.uids, 0, 0 };
	s->task = t;
	return imap_search_step(s);
}

void imap_search_end(struct imap_session *s)
{
	struct search_task *t = s->task;
	search_plan_free(&t->plan);
	set_free(&t->found);
	buf_free(&t->header);
	buf_free(&t->scratch);
	mem_free(t);
	s->task = NULL;
}

/* Looks at messages until all are done or the slice is over. */
static enum imap_step look(struct imap_session *s, struct search_task *t)
{
	bool uid = imap_command_of(s)->uid;
	struct entry_cursor cursor = entry_seek(s->selected.mailbox, t->next_uid);
	uint64_t end = s->world->microseconds(s->owner) + IMAP_SLICE_MICROSECONDS;
	unsigned every = t->plan->cost == SEARCH_COST_HEADER ? CLOCK_EVERY_HEADER : CLOCK_EVERY_ENTRY, count = 0;
	const struct entry *entry;
	while ((entry = entry_next(&cursor))) {
		uint32_t number = uids_walk_to(&t->walk, entry->uid);
		t->next_uid = entry->uid + 1;
		if (number == 0)
			continue; /* not told to the client yet */
		struct candidate candidate = {
			.s = s, .entry = entry, .rows = &t->rows, .header = &t->header, .scratch = &t->scratch
		};
		if (search_matches(&candidate, t->plan))
			set_add(&t->found, uid ? entry->uid : number, uid ? entry->uid : number);
		if (candidate.error < 0)
			t->error = candidate.error;
		if (++count % every == 0 && s->world->microseconds(s->owner) > end)
			return IMAP_STEP_AGAIN;
	}
	return IMAP_STEP_DONE;
}

/* Writes numbers until all are out or the output is full. */
static enum imap_step write_numbers(struct imap_session *s, struct search_task *t)
{
	struct outq *out = imap_output(s);
	while (t->range < t->found.n) {
		struct set_range range = t->found.ranges[t->range];
		char *room = outq_reserve(out, OUTPUT_EVERY * (PRINT_U32_MAX + 1));
		if (!room)
			return IMAP_STEP_DONE; /* the session is closed for it */
		char *p = room;
		uint32_t number = t->next > range.first ? t->next : range.first;
		for (int i = 0; i < OUTPUT_EVERY && number <= range.last && number >= range.first; i++) {
			*p++ = ' ';
			p = print_u32(p, number++);
		}
		outq_commit(out, (size_t)(p - room));
		t->next = number;
		if (number > range.last || number < range.first) {
			t->range++;
			t->next = 0;
		}
		if (imap_output_full(s))
			return IMAP_STEP_OUTPUT;
	}
	outq_add(out, STR("\r\n"));
	return IMAP_STEP_DONE;
}

enum imap_step imap_search_step(struct imap_session *s)
{
	struct search_task *t = s->task;
	enum imap_step step;
	if (!t->writing) {
		message_cursor_begin_part(&t->rows, s->account, MESSAGE_FIELDS);
		step = look(s, t);
		message_cursor_end(&t->rows);
		if (step != IMAP_STEP_DONE)
			return step;
		t->writing = true;
		outq_add(imap_output(s), STR("* SEARCH"));
	}
	step = write_numbers(s, t);
	if (step != IMAP_STEP_DONE)
		return step;
	if (t->error < 0)
		imap_no_error(s, t->error);
	else
		imap_ok(s, NULL, "SEARCH completed.");
	return IMAP_STEP_DONE;
}
