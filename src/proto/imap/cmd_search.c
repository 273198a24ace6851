/* cmd_search.c: SEARCH (RFC 3501, 6.4.4; ESEARCH of RFC 4731, SEARCHRES of RFC 5182) in slices: the mailbox is walked, and what its entries and
 * rows tell is decided; for the rest texts are looked for (search_pass.c); the numbers of those that match are gathered as
 * ranges, and answered. */
#include "base/checked.h"
#include "base/mem.h"
#include "proto/imap/print.h"
#include "proto/imap/search.h"
#include "proto/imap/uids.h"

#define CLOCK_EVERY  64  /* messages between two looks at the clock, with few keys, */
#define CLOCK_ROWS   8   /* and where their rows are read */
#define OUTPUT_EVERY 512 /* numbers between two looks at the output */

enum search_return { RETURN_MIN = 1, RETURN_MAX = 2, RETURN_ALL = 4, RETURN_COUNT = 8, RETURN_SAVE = 16 };

enum search_phase { SEARCH_WALKING, SEARCH_READING, SEARCH_GATHERING, SEARCH_WRITING };

struct search_task {
	struct search_plan *plan;
	struct search_pass *pass; /* NULL: no key needs a text */
	enum search_phase phase;
	bool extended;            /* RETURN was given */
	unsigned wanted;          /* RETURN's options: enum search_return */
	struct uids_walk walk;
	uint32_t next_uid;
	struct set found;         /* numbers to answer: uids or sequence numbers */
	struct set saved;         /* uids, for SAVE */
	uint64_t modseq, first_modseq, last_modseq; /* of those found: the highest, and at the two ends */
	uint32_t range, next;     /* of found: what is written next */
	struct buf scratch;
	struct message_cursor rows;
	int error;
};

/* RETURN's options (RFC 4731, 3.1; RFC 5182, 2.1). None at all: ALL. */
static bool read_options(struct imap_session *s, const struct imap_command *command, unsigned *wanted)
{
	static const struct {
		struct str name;
		enum search_return option;
	} options[] = {
		{ STR_INIT("MIN"), RETURN_MIN }, { STR_INIT("MAX"), RETURN_MAX },
		{ STR_INIT("ALL"), RETURN_ALL }, { STR_INIT("COUNT"), RETURN_COUNT },
		{ STR_INIT("SAVE"), RETURN_SAVE },
	};
	*wanted = command->params.n ? 0 : RETURN_ALL;
	for (uint32_t i = 0; i < command->params.n; i++) {
		const struct imap_param *param = &command->params.items[i];
		unsigned before = *wanted;
		for (size_t k = 0; k < COUNT_OF(options); k++)
			*wanted |= !param->value.p && str_ieq(param->name, options[k].name) ? options[k].option : 0;
		if (*wanted == before) {
			imap_bad(s, "RETURN knows MIN, MAX, ALL, COUNT and SAVE, each once.");
			return false;
		}
	}
	return true;
}

enum imap_step imap_cmd_search(struct imap_session *s)
{
	const struct imap_command *command = imap_command_of(s);
	unsigned wanted = 0;
	if (command->search.has_return && !read_options(s, command, &wanted))
		return IMAP_STEP_DONE;
	struct search_plan *plan = search_plan_new(s, &command->search);
	if (!plan) {
		if (wanted & RETURN_SAVE && str_starts(buf_str(&s->reply), STR("NO"))) /* RFC 5182, 2.1 */
			set_clear(&s->selected.saved);
		return IMAP_STEP_DONE;
	}
	struct search_task *t = mem_alloc(1, sizeof *t);
	t->plan = plan;
	t->extended = command->search.has_return;
	t->wanted = wanted;
	t->walk = (struct uids_walk){ &s->selected.known.uids, 0, 0 };
	if (plan->has_modseq)
		imap_enable_condstore(s);
	if (plan->root->cost >= SEARCH_COST_FIELDS)
		t->pass = search_pass_new(s, plan);
	s->task = t;
	return imap_search_step(s);
}

void imap_search_end(struct imap_session *s)
{
	struct search_task *t = s->task;
	search_pass_free(&t->pass);
	search_plan_free(&t->plan);
	set_free(&t->found);
	set_free(&t->saved);
	buf_free(&t->scratch);
	mem_free(t);
	s->task = NULL;
}

static bool names_numbers(const struct imap_search_key *key)
{
	for (; key; key = key->next)
		if ((key->kind == IMAP_SEARCH_SEQUENCE && !key->set.saved) || names_numbers(key->child))
			return true;
	return false;
}

bool imap_search_names_numbers(const struct imap_command *command)
{
	switch ((unsigned)command->kind) {
	case IMAP_COMMAND_SEARCH:
	case IMAP_COMMAND_SORT:
	case IMAP_COMMAND_THREAD:
		return names_numbers(command->search.key);
	default:
		return false;
	}
}

/* SORT and THREAD go on with uids, whatever they answer with. */
static bool names_uids(const struct imap_session *s)
{
	return imap_command_of(s)->uid || imap_command_of(s)->kind != IMAP_COMMAND_SEARCH;
}

/* They take over here: this task ends. */
static enum imap_step hand_over(struct imap_session *s, struct search_task *t)
{
	struct set found = t->found;
	uint64_t modseq = t->plan->has_modseq ? t->modseq : 0;
	int error = t->error;
	t->found = SET_INIT;
	imap_search_end(s);
	enum imap_step step = imap_sort_begin(s, &found, modseq, error);
	set_free(&found);
	return step;
}

static void add_found(struct imap_session *s, struct search_task *t, uint32_t uid, uint32_t sequence, uint64_t modseq)
{
	uint32_t number = names_uids(s) ? uid : sequence;
	if (t->wanted & RETURN_SAVE)
		set_add(&t->saved, uid, uid);
	if (t->found.n == 0)
		t->first_modseq = modseq;
	t->last_modseq = modseq;
	t->modseq = MAX(t->modseq, modseq);
	set_add(&t->found, number, number);
}

/* --- looking --- */

static void look_at(struct imap_session *s, struct search_task *t, const struct entry *entry, uint32_t number)
{
	struct candidate candidate = { .s = s, .entry = entry, .number = number, .rows = &t->rows, .scratch = &t->scratch };
	uint64_t hits = 0;
	if (t->pass) {
		search_set_bits(&candidate, t->plan->root, &hits);
		search_pass_add(t->pass, entry, number, hits);
	} else if (search_matches(&candidate, t->plan->root)) {
		add_found(s, t, entry->uid, number, entry->modseq);
	}
	if (candidate.error < 0)
		t->error = candidate.error;
}

/* Looks at messages until all are done or the slice is over. */
static enum imap_step walk(struct imap_session *s, struct search_task *t, uint64_t end)
{
	struct entry_cursor cursor = entry_seek(s->selected.mailbox, t->next_uid);
	const struct entry *entry;
	unsigned every =
	    search_plan_at_once(t->plan, t->plan->root->cost == SEARCH_COST_ENTRY ? CLOCK_EVERY : CLOCK_ROWS);
	for (unsigned count = 1; (entry = entry_next(&cursor)); count++) {
		uint32_t number = uids_walk_to(&t->walk, entry->uid);
		t->next_uid = entry->uid + 1;
		if (number != 0) /* else the client was not told of it yet */
			look_at(s, t, entry, number);
		if (count % every == 0 && s->world->microseconds(s->owner) > end)
			return IMAP_STEP_AGAIN;
	}
	return IMAP_STEP_DONE;
}

static enum imap_step gather(struct imap_session *s, struct search_task *t, uint64_t end)
{
	struct text_candidate found;
	enum search_next next;
	while ((next = search_pass_next(t->pass, &found)) != SEARCH_NEXT_NONE) {
		if (next == SEARCH_NEXT_FOUND)
			add_found(s, t, found.uid, found.sequence, found.modseq);
		else if (s->world->microseconds(s->owner) > end)
			return IMAP_STEP_AGAIN;
	}
	t->error = MIN(t->error, search_pass_error(t->pass));
	return IMAP_STEP_DONE;
}

/* --- answering --- */

/* "7", and as it was printed last, " 8"... or "7:9,12": until all are out or the output is full. */
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
	return IMAP_STEP_DONE;
}

static enum imap_step write_ranges(struct imap_session *s, struct search_task *t)
{
	struct outq *out = imap_output(s);
	while (t->range < t->found.n) {
		struct set_range range = t->found.ranges[t->range];
		outq_addf(out, t->range ? ",%u" : " ALL %u", range.first);
		if (range.last > range.first)
			outq_addf(out, ":%u", range.last);
		if (++t->range % OUTPUT_EVERY == 0 && imap_output_full(s))
			return IMAP_STEP_OUTPUT;
	}
	return IMAP_STEP_DONE;
}

/* What "$" is from now on: with MIN or MAX alone, or both, only these (RFC 5182, 2.4); nothing where the answer is NO. */
static void save(struct imap_session *s, struct search_task *t)
{
	struct set *saved = &s->selected.saved;
	bool ends = t->wanted & (RETURN_MIN | RETURN_MAX) && !(t->wanted & (RETURN_ALL | RETURN_COUNT));
	set_clear(saved);
	if (t->error < 0 || t->saved.n == 0)
		return;
	uint32_t first = t->saved.ranges[0].first, last = t->saved.ranges[t->saved.n - 1].last;
	if (!ends)
		set_copy(saved, &t->saved);
	if (ends && t->wanted & RETURN_MIN)
		set_add(saved, first, first);
	if (ends && t->wanted & RETURN_MAX)
		set_add(saved, last, last);
}

/* RFC 4731, 3.1: nothing found has no MIN, MAX, ALL; the tag is one that the client wrote without quotes. */
static void begin_answer(struct imap_session *s, struct search_task *t)
{
	struct outq *out = imap_output(s);
	if (t->wanted & RETURN_SAVE)
		save(s, t);
	if (!t->extended) {
		outq_add(out, STR("* SEARCH"));
		return;
	}
	if (t->wanted == RETURN_SAVE)
		return; /* no response at all (RFC 5182, 1) */
	outq_addf(out, "* ESEARCH (TAG \"%.*s\")", STR_ARG(imap_command_of(s)->tag));
	if (imap_command_of(s)->uid)
		outq_add(out, STR(" UID"));
	if (t->found.n && t->wanted & RETURN_MIN)
		outq_addf(out, " MIN %u", t->found.ranges[0].first);
	if (t->found.n && t->wanted & RETURN_MAX)
		outq_addf(out, " MAX %u", t->found.ranges[t->found.n - 1].last);
	if (t->wanted & RETURN_COUNT)
		outq_addf(out, " COUNT %llu", (unsigned long long)set_count(&t->found));
}

/* RFC 7162, 3.1.5 and 3.1.10: the highest of all, or of those that MIN and MAX name. */
static void end_answer(struct imap_session *s, struct search_task *t)
{
	struct outq *out = imap_output(s);
	uint64_t modseq = t->modseq;
	if (t->extended && !(t->wanted & (RETURN_ALL | RETURN_COUNT)))
		modseq = MAX(t->wanted & RETURN_MIN ? t->first_modseq : 0, t->wanted & RETURN_MAX ? t->last_modseq : 0);
	if (t->plan->has_modseq && t->found.n)
		outq_addf(out, t->extended ? " MODSEQ %llu" : " (MODSEQ %llu)", (unsigned long long)modseq);
	outq_add(out, STR("\r\n"));
}

static enum imap_step write_answer(struct imap_session *s, struct search_task *t)
{
	enum imap_step step = IMAP_STEP_DONE;
	if (!t->extended)
		step = write_numbers(s, t);
	else if (t->wanted & RETURN_ALL)
		step = write_ranges(s, t);
	if (step != IMAP_STEP_DONE)
		return step;
	if (t->wanted != RETURN_SAVE)
		end_answer(s, t);
	if (t->error < 0)
		imap_no_error(s, t->error);
	else
		imap_ok(s, NULL, "SEARCH completed.");
	return IMAP_STEP_DONE;
}

static enum imap_step walk_rows(struct imap_session *s, struct search_task *t, uint64_t end)
{
	message_cursor_begin_part(&t->rows, s->account, MESSAGE_FIELDS);
	enum imap_step step = walk(s, t, end);
	message_cursor_end(&t->rows);
	return step;
}

enum imap_step imap_search_step(struct imap_session *s)
{
	struct search_task *t = s->task;
	uint64_t end = s->world->microseconds(s->owner) + IMAP_SLICE_MICROSECONDS;
	enum imap_step step = IMAP_STEP_DONE;
	while (t->phase != SEARCH_WRITING) {
		switch (t->phase) {
		case SEARCH_WALKING:
			step = walk_rows(s, t, end);
			break;
		case SEARCH_READING:
			step = search_pass_step(t->pass, end);
			break;
		case SEARCH_GATHERING:
			step = gather(s, t, end);
			break;
		case SEARCH_WRITING:
			break;
		}
		if (step != IMAP_STEP_DONE)
			return step;
		t->phase = t->pass ? t->phase + 1 : SEARCH_WRITING;
		if (t->phase == SEARCH_WRITING && imap_command_of(s)->kind != IMAP_COMMAND_SEARCH)
			return hand_over(s, t);
		if (t->phase == SEARCH_WRITING)
			begin_answer(s, t);
	}
	return write_answer(s, t);
}
