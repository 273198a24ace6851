/* cmd_sort.c: SORT and THREAD (RFC 5256; SORT=DISPLAY: RFC 5957). They are SEARCH first (cmd_search.c), which hands over
 * the uids that it found; then rows are read, keys made, sorted or threaded, and the answer written, all in slices. The
 * task lives from then on until the command ends. */
#include "base/checked.h"
#include "base/mem.h"
#include "base/random.h"
#include "proto/imap/print.h"
#include "proto/imap/sort.h"
#include "proto/imap/thread.h"
#include "proto/imap/uids.h"
#include "syntax/header.h"

#define CLOCK_EVERY  64  /* messages passed over between two looks at the clock; reading one is worth a look */
#define OUTPUT_EVERY 512 /* numbers or nodes between two looks at the output */

enum sort_phase { SORT_READING, SORT_SORTING, SORT_THREADING, SORT_WRITING };

struct sort_task {
	struct set uids; /* found */
	uint32_t next_uid;
	uint64_t modseq; /* to be told behind SORT's numbers; 0: not */
	int error;       /* of a message that could not be read: it is left out */
	enum sort_phase phase;
	struct uids_walk walk;
	struct sort_table table;
	struct thread_ids *ids;   /* REFERENCES */
	struct thread_work *work; /* THREAD, once it is sorted */
	struct thread_walk print;
	uint32_t written;
	struct buf header, text;
	struct message_cursor rows;
};

/* THREAD's cells. */
enum { THREAD_DATE, THREAD_SUBJECT, THREAD_KEYS };

static const struct imap_sort_key thread_keys[THREAD_KEYS] = { { IMAP_SORT_DATE, false },
	                                                           { IMAP_SORT_SUBJECT, false } };

static bool is_thread(const struct imap_session *s)
{
	return imap_command_of(s)->kind == IMAP_COMMAND_THREAD;
}

void imap_sort_end(struct imap_session *s)
{
	struct sort_task *t = s->task;
	set_free(&t->uids);
	sort_table_free(&t->table);
	thread_work_free(&t->work);
	thread_ids_free(&t->ids);
	buf_free(&t->header);
	buf_free(&t->text);
	mem_free(t);
	s->task = NULL;
}

enum imap_step imap_sort_begin(struct imap_session *s, struct set *found, uint64_t modseq, int error)
{
	const struct imap_search *search = &imap_command_of(s)->search;
	struct sort_task *t = mem_alloc(1, sizeof *t);
	t->uids = *found;
	*found = SET_INIT;
	t->modseq = modseq;
	t->error = error;
	t->walk = (struct uids_walk){ &s->selected.known.uids, 0, 0 };
	t->text = BUF_INIT(64u * 1024);
	if (is_thread(s)) {
		sort_table_init(&t->table, thread_keys, THREAD_KEYS);
		t->table.n_compared = 1; /* by date, then as they stand in the mailbox */
		if (search->thread == IMAP_THREAD_REFERENCES)
			t->ids = thread_ids_new(random_u64(), (uint32_t)set_count(&t->uids));
	} else {
		sort_table_init(&t->table, search->sort, search->n_sort);
	}
	s->task = t;
	s->handler = &imap_sort_answer;
	return imap_sort_step(s);
}

/* --- reading --- */

/* Reads what THREAD needs of the ids. */
static int read_ids(struct sort_source *source, struct str bodies[3])
{
	static const struct str names[3] = { STR_INIT("Message-ID"), STR_INIT("References"), STR_INIT("In-Reply-To") };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		int err = sort_field(source, names[i], &bodies[i]);
		if (err == ERR_NOT_FOUND)
			bodies[i] = STR("");
		else if (err < 0)
			return err;
	}
	return 0;
}

static int add_message(struct imap_session *s, struct sort_task *t, const struct entry *entry, uint32_t number)
{
	struct message_row row;
	struct sort_source source = { .s = s, .row = &row, .header = &t->header };
	struct str ids[3];
	buf_clear(&t->header);
	int err = message_cursor_get(&t->rows, entry->message, &row);
	if (err == ERR_NOT_FOUND)
		return ERR_CORRUPT; /* an entry without its message */
	if (err == 0 && t->ids)
		err = read_ids(&source, ids);
	if (err == 0)
		err = sort_table_add(&t->table, &source, entry, imap_command_of(s)->uid ? entry->uid : number);
	return err == 0 && t->ids ? thread_ids_add(t->ids, ids[0], ids[1], ids[2]) : err;
}

/* What cannot be read is left out, and told in the end; too much is the end. */
static enum imap_step read_rows(struct imap_session *s, struct sort_task *t, uint64_t end)
{
	struct entry_cursor cursor = entry_seek(s->selected.mailbox, t->next_uid);
	const struct entry *entry;
	uint32_t range = 0;
	for (unsigned count = 1; (entry = entry_next(&cursor)); count++) {
		while (range < t->uids.n && t->uids.ranges[range].last < entry->uid)
			range++;
		if (range == t->uids.n)
			break;
		uint32_t number = uids_walk_to(&t->walk, entry->uid);
		bool is_found = number && t->uids.ranges[range].first <= entry->uid;
		int err = is_found ? add_message(s, t, entry, number) : 0;
		t->error = err < 0 ? err : t->error;
		t->next_uid = entry->uid + 1;
		if (err == ERR_LIMIT)
			return IMAP_STEP_DONE;
		if ((is_found || count % CLOCK_EVERY == 0) && s->world->microseconds(s->owner) > end)
			return IMAP_STEP_AGAIN;
	}
	return IMAP_STEP_DONE;
}

static enum imap_step read_messages(struct imap_session *s, struct sort_task *t, uint64_t end)
{
	message_cursor_begin_part(&t->rows, s->account, MESSAGE_FIELDS);
	enum imap_step step = read_rows(s, t, end);
	message_cursor_end(&t->rows);
	return step;
}

/* --- sorting and threading --- */

static struct str subject_of(const void *table, uint32_t message)
{
	return sort_text(table, message, THREAD_SUBJECT);
}

static bool is_reply(const void *table, uint32_t message)
{
	return sort_is_reply(table, message, THREAD_SUBJECT);
}

static void begin_threads(struct sort_task *t)
{
	const struct thread_facts facts = { .order = t->table.order, .n = t->table.n, .subject = subject_of,
		                                .is_reply = is_reply, .owner = &t->table, .seed = random_u64() };
	t->work = thread_work_new(&facts, t->ids);
}

static enum imap_step until(struct imap_session *s, struct sort_task *t, uint64_t end)
{
	bool done = false;
	while (!done && s->world->microseconds(s->owner) <= end)
		done = t->phase == SORT_SORTING ? sort_table_step(&t->table) : thread_work_step(t->work);
	return done ? IMAP_STEP_DONE : IMAP_STEP_AGAIN;
}

/* --- the answer --- */

static enum imap_step write_numbers(struct imap_session *s, struct sort_task *t)
{
	struct outq *out = imap_output(s);
	while (t->written < t->table.n) {
		char *room = outq_reserve(out, OUTPUT_EVERY * (PRINT_U32_MAX + 1));
		if (!room)
			return IMAP_STEP_DONE; /* the session is closed for it */
		char *p = room;
		for (int i = 0; i < OUTPUT_EVERY && t->written < t->table.n; i++) {
			*p++ = ' ';
			p = print_u32(p, t->table.names[t->table.order[t->written++]]);
		}
		outq_commit(out, (size_t)(p - room));
		if (imap_output_full(s))
			return IMAP_STEP_OUTPUT;
	}
	if (t->modseq && t->table.n) /* RFC 7162, 3.1.9 */
		outq_addf(out, " (MODSEQ %llu)", (unsigned long long)t->modseq);
	return IMAP_STEP_DONE;
}

static enum imap_step write_threads(struct imap_session *s, struct sort_task *t)
{
	while (t->print.at != THREAD_NONE) {
		buf_clear(&t->text);
		thread_print(thread_work_tree(t->work), t->table.names, &t->print, OUTPUT_EVERY, &t->text);
		outq_add(imap_output(s), buf_str(&t->text));
		if (imap_output_full(s))
			return IMAP_STEP_OUTPUT;
	}
	return IMAP_STEP_DONE;
}

static void begin_answer(struct imap_session *s, struct sort_task *t)
{
	outq_add(imap_output(s), is_thread(s) ? STR("* THREAD") : STR("* SORT"));
	if (!t->work)
		return;
	t->print.at = thread_work_tree(t->work)->first_root;
	if (t->print.at != THREAD_NONE)
		outq_add(imap_output(s), STR(" "));
}

static enum imap_step write_answer(struct imap_session *s, struct sort_task *t)
{
	enum imap_step step = is_thread(s) ? write_threads(s, t) : write_numbers(s, t);
	if (step != IMAP_STEP_DONE)
		return step;
	outq_add(imap_output(s), STR("\r\n"));
	if (t->error < 0)
		imap_no_error(s, t->error);
	else
		imap_ok(s, NULL, is_thread(s) ? "THREAD completed." : "SORT completed.");
	return IMAP_STEP_DONE;
}

enum imap_step imap_sort_step(struct imap_session *s)
{
	struct sort_task *t = s->task;
	uint64_t end = s->world->microseconds(s->owner) + IMAP_SLICE_MICROSECONDS;
	while (t->phase != SORT_WRITING) {
		enum imap_step step = t->phase == SORT_READING ? read_messages(s, t, end) : until(s, t, end);
		if (step != IMAP_STEP_DONE)
			return step;
		if (t->error == ERR_LIMIT) {
			imap_no_error(s, ERR_LIMIT);
			return IMAP_STEP_DONE;
		}
		t->phase = t->phase == SORT_SORTING && !is_thread(s) ? SORT_WRITING : t->phase + 1;
		if (t->phase == SORT_THREADING)
			begin_threads(t);
		if (t->phase == SORT_WRITING)
			begin_answer(s, t);
	}
	return write_answer(s, t);
}
