/* text_search.c: see text_search.h. Owned by the command that searches; holds at most one block that was read and one
 * that is being made. Damage of a file costs the file, never the answer: what it should have had is made again. A
 * message that cannot be read itself is the only error. */
#include "mail/text_search.h"

#include "base/checked.h"
#include "base/mem.h"

#define NO_CANDIDATE UINT32_MAX
#define STEP_WORK    (96 * 1024)

enum search_state { SEARCH_NEXT_BLOCK, SEARCH_SIGNATURE, SEARCH_BLOCK, SEARCH_NEXT_MESSAGE, SEARCH_MESSAGE, SEARCH_OVER };

struct text_search {
	struct account *account;
	struct search_text *maker;
	const struct text_search_world *world;
	const struct text_query *queries;
	size_t n_queries;
	struct text_candidate *candidates;
	size_t n_candidates;
	enum text_kind kind;
	enum search_state state;
	int error;

	struct text_reader *reader; /* NULL: nothing to read */
	struct text_writer *writer;
	struct text_block block;    /* the one that was read, or the one that is made */
	uint32_t *slots;            /* by message of the block: its first candidate, or NO_CANDIDATE */
	uint32_t columns;           /* of the block that were read: bits */
	size_t seen;                /* candidates before this one are below the block's first message */

	size_t at;                  /* candidate whose text is made */
	size_t work;                /* bytes that this step has read and made */
	bool unkept;                /* the block before, of which this one is the rest, was not kept */

	size_t tail_max;            /* bytes of a block's end that a hit across blocks may begin in */
	struct buf tail;            /* of the message that goes on in the next block */
	uint64_t open_number;       /* of that message; 0: none */
};

struct text_search *text_search_new(struct account *account, struct search_text *maker,
                                    const struct text_search_world *world, const struct text_query *queries,
                                    size_t n_queries, struct text_candidate *candidates, size_t n_candidates)
{
	struct text_search *s = mem_alloc(1, sizeof *s);
	*s = (struct text_search){ .account = account, .maker = maker, .world = world, .queries = queries,
		                   .n_queries = n_queries, .candidates = candidates, .n_candidates = n_candidates,
		                   .kind = queries[0].kind };
	for (size_t i = 0; i < n_queries; i++)
		s->tail_max = MAX(s->tail_max, queries[i].finder.needle.n);
	s->tail = BUF_INIT(2 * s->tail_max + 2);
	s->slots = mem_alloc(TEXT_BLOCK_MESSAGES, sizeof *s->slots);
	text_block_init(&s->block, s->kind);
	s->reader = text_reader_open(account);
	s->state = s->reader ? SEARCH_NEXT_BLOCK : SEARCH_NEXT_MESSAGE;
	return s;
}

void text_search_free(struct text_search **pointer)
{
	struct text_search *s = *pointer;
	*pointer = NULL;
	if (!s)
		return;
	text_reader_close(&s->reader);
	text_writer_close(&s->writer);
	text_block_free(&s->block);
	buf_free(&s->tail);
	mem_free(s->slots);
	mem_free(s);
}

int text_search_error(const struct text_search *search)
{
	return search->error;
}

/* --- looking through a block --- */

/* Several entries may have the message. */
static void mark(struct text_search *s, uint32_t first, uint64_t bit, bool looked)
{
	for (size_t i = first; i < s->n_candidates && s->candidates[i].number == s->candidates[first].number; i++) {
		s->candidates[i].hits |= s->candidates[i].wanted ? bit : 0;
		s->candidates[i].looked = s->candidates[i].looked || looked;
	}
}

/* `hit`, where it is in the value of the field that is wanted; else where the next one may be: a field is passed over
 * once, however many hits it has. */
static size_t hit_in_field(const struct text_query *query, struct str text, size_t from, size_t hit)
{
	size_t start = hit;
	if (query->field.n == 0)
		return hit;
	while (start > from && text.p[start - 1] != '\0')
		start--;
	bool itself = query->finder.needle.p == query->field.p; /* its colon included */
	if (itself ? hit != start : !str_starts(str_from(text, start), query->field)) {
		ptrdiff_t end = str_find_byte(str_from(text, hit), '\0');
		return end < 0 ? text.n : hit + (size_t)end + 1;
	}
	size_t value = start + query->field.n;
	while (value < text.n && (text.p[value] == ' ' || text.p[value] == '\t'))
		value++;
	return itself ? hit : MAX(hit, value);
}

/* The whole column at once: most needles are in no message at all. */
static void look(struct text_search *s, const struct text_query *query)
{
	struct str text = buf_str(&s->block.columns[query->column].text);
	uint32_t from, to, slot = 0;
	for (size_t at = 0; slot < s->block.n;) {
		ptrdiff_t hit = finder_find(&query->finder, text, at);
		if (hit < 0)
			return;
		text_block_range(&s->block, query->column, slot, &from, &to);
		while ((size_t)hit >= to && ++slot < s->block.n)
			text_block_range(&s->block, query->column, slot, &from, &to);
		if (slot == s->block.n)
			return;
		at = s->slots[slot] == NO_CANDIDATE ? to : hit_in_field(query, text, from, (size_t)hit);
		if (at != (size_t)hit)
			continue;
		at++;
		if ((size_t)hit + query->finder.needle.n <= to) {
			mark(s, s->slots[slot], query->bit, false);
			at = to;
		}
	}
}

static void look_for_any(struct text_search *s, const struct text_query *query)
{
	for (uint32_t slot = 0; slot < s->block.n; slot++) {
		uint32_t from, to;
		text_block_range(&s->block, query->column, slot, &from, &to);
		if (from < to && s->slots[slot] != NO_CANDIDATE)
			mark(s, s->slots[slot], query->bit, false);
	}
}

/* What lies across the end of the block before and the beginning of this one. */
static void look_across(struct text_search *s)
{
	uint32_t from, to;
	text_block_range(&s->block, 0, 0, &from, &to);
	buf_add(&s->tail, str_first(buf_str(&s->block.columns[0].text), MIN((size_t)to, s->tail_max)));
	for (size_t i = 0; i < s->n_queries && s->slots[0] != NO_CANDIDATE; i++) {
		if (finder_find(&s->queries[i].finder, buf_str(&s->tail), 0) >= 0)
			mark(s, s->slots[0], s->queries[i].bit, false);
	}
}

static void keep_tail(struct text_search *s, bool after_tail)
{
	uint32_t from, to;
	text_block_range(&s->block, 0, s->block.n - 1, &from, &to);
	struct str last = str_of(s->block.columns[0].text.p + from, to - from);
	if (!after_tail || s->block.n > 1 || last.n >= s->tail_max) {
		buf_clear(&s->tail);
		buf_add(&s->tail, str_from(last, last.n - MIN(last.n, s->tail_max)));
	} else if (s->tail.n > s->tail_max) { /* the whole message so far is shorter than what is looked for */
		buf_consume(&s->tail, s->tail.n - s->tail_max);
	}
}

/* The block, its columns and slots are there. */
static void look_through(struct text_search *s, bool continued)
{
	for (size_t i = 0; i < s->n_queries; i++) {
		if (s->queries[i].any)
			look_for_any(s, &s->queries[i]);
		else
			look(s, &s->queries[i]);
	}
	if (continued)
		look_across(s);
	if (s->block.continues)
		keep_tail(s, continued);
	s->open_number = s->block.continues ? text_block_message(&s->block, s->block.n - 1)->number : 0;
	for (uint32_t slot = 0; slot < s->block.n; slot++) {
		if (s->slots[slot] != NO_CANDIDATE && !(s->block.continues && slot + 1 == s->block.n))
			mark(s, s->slots[slot], 0, true);
	}
}

/* --- blocks that are there --- */

/* The first candidate of a message, at or behind `from`; blocks and candidates mostly go on as the other does. */
static size_t find_candidate(const struct text_search *s, size_t from, uint64_t number)
{
	size_t low = from, high = s->n_candidates;
	if (low < high && s->candidates[low].number >= number)
		return low;
	for (size_t step = 1; low + step < high; step *= 2) {
		if (s->candidates[low + step].number >= number) {
			high = low + step;
			break;
		}
		low += step;
	}
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (s->candidates[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Who of the block is looked for; false: nobody. A rest whose beginning did not come before it is nobody's. */
static bool find_slots(struct text_search *s, bool continued)
{
	bool any = false;
	size_t at = find_candidate(s, 0, text_block_message(&s->block, 0)->number);
	for (uint32_t slot = 0; slot < s->block.n; slot++) {
		const struct text_message *message = text_block_message(&s->block, slot);
		at = find_candidate(s, at, message->number);
		while (at + 1 < s->n_candidates && s->candidates[at].looked && s->candidates[at + 1].number == message->number)
			at++;
		const struct text_candidate *found = at < s->n_candidates ? &s->candidates[at] : NULL;
		bool is_it = found && found->number == message->number && found->size == message->size && !found->looked;
		if (slot == 0 && s->block.continued && !continued)
			is_it = false;
		s->slots[slot] = is_it ? (uint32_t)at : NO_CANDIDATE;
		any = any || is_it;
	}
	return any;
}

static void give_up_reading(struct text_search *s, bool damaged)
{
	text_reader_close(&s->reader);
	text_block_clear(&s->block);
	s->open_number = 0;
	s->state = SEARCH_NEXT_MESSAGE;
	if (damaged)
		text_forget(s->account);
}

static bool is_continued(const struct text_search *s)
{
	return s->block.continued && s->open_number != 0 && s->open_number == text_block_message(&s->block, 0)->number;
}

static void next_block(struct text_search *s)
{
	int err;
	if (!text_reader_next(s->reader, s->kind, &s->block, &err)) {
		give_up_reading(s, err < 0);
		return;
	}
	if (find_slots(s, is_continued(s))) {
		s->columns = 0;
		s->state = SEARCH_SIGNATURE;
		return;
	}
	s->open_number = s->block.continues ? text_block_message(&s->block, s->block.n - 1)->number : 0;
	buf_clear(&s->tail);
}

static int may_have(struct text_search *s, bool *may)
{
	int result = 0;
	*may = false;
	for (size_t i = 0; i < s->n_queries && result == 0 && !*may; i++) {
		*may = s->queries[i].any;
		if (!*may)
			result = text_reader_may_have(s->reader, s->queries[i].finder.needle, may);
	}
	return result;
}

/* Nobody has what is looked for. */
static void skip_block(struct text_search *s)
{
	for (uint32_t slot = 0; slot < s->block.n; slot++)
		if (s->slots[slot] != NO_CANDIDATE)
			mark(s, s->slots[slot], 0, true);
	s->open_number = 0;
	s->state = SEARCH_NEXT_BLOCK;
}

static enum text_search_progress look_at_signature(struct text_search *s)
{
	uint64_t offset, n;
	int fd;
	if (text_has_signature(s->kind)) {
		text_reader_place(s->reader, text_columns(s->kind), &fd, &offset, &n);
		if (!s->world->is_there(s->world->owner, fd, offset, n))
			return TEXT_SEARCH_WAITS;
	}
	bool may;
	if (may_have(s, &may) < 0)
		give_up_reading(s, true);
	else if (may)
		s->state = SEARCH_BLOCK;
	else
		skip_block(s);
	return TEXT_SEARCH_MORE;
}

static enum text_search_progress read_block(struct text_search *s)
{
	for (size_t i = 0; i < s->n_queries; i++) {
		uint32_t column = s->queries[i].column;
		uint64_t offset, n;
		int fd;
		if (s->columns & 1u << column)
			continue;
		text_reader_place(s->reader, column, &fd, &offset, &n);
		if (!s->world->is_there(s->world->owner, fd, offset, n))
			return TEXT_SEARCH_WAITS;
		if (text_reader_column(s->reader, column, &s->block) < 0) {
			give_up_reading(s, true);
			return TEXT_SEARCH_MORE;
		}
		s->columns |= 1u << column;
	}
	look_through(s, is_continued(s));
	s->state = SEARCH_NEXT_BLOCK;
	return TEXT_SEARCH_MORE;
}

/* --- messages whose text is made --- */

/* A block that is no rest, and whose rest was kept, or which has none. */
static void keep(struct text_search *s, bool worth)
{
	int result = 0;
	if (s->block.continued && s->unkept)
		return;
	s->unkept = true;
	if (!worth && !s->block.continued)
		return;
	if (!s->writer)
		result = text_writer_open(s->account, &s->writer);
	if (result == 0)
		result = text_writer_add(s->writer, &s->block);
	s->unkept = result < 0;
	if (result < 0 && result != ERR_STATE)
		text_writer_close(&s->writer);
}

static void finish_block(struct text_search *s, bool worth)
{
	bool continues = s->block.continues;
	look_through(s, is_continued(s));
	keep(s, worth);
	text_block_clear(&s->block);
	s->block.continued = continues;
}

/* Behind all candidates of the message. */
static void leave_message(struct text_search *s)
{
	uint64_t number = s->candidates[s->at].number;
	while (s->at < s->n_candidates && s->candidates[s->at].number == number)
		s->at++;
	s->state = SEARCH_NEXT_MESSAGE;
}

static void end_message(struct text_search *s, bool continues)
{
	const struct text_candidate *c = &s->candidates[s->at];
	s->slots[s->block.n] = (uint32_t)s->at;
	text_block_end_message(&s->block, c->number, c->size);
	s->block.continues = continues;
	if (!continues)
		leave_message(s);
	if (continues || text_block_is_full(&s->block))
		finish_block(s, true);
}

/* What was added of a message that cannot be read is taken away; so is the rest of one that went on from a block. */
static void abandon_message(struct text_search *s, int err)
{
	if (err != ERR_NOT_FOUND)
		s->error = err;
	else if (!s->world->is_gone(s->world->owner, &s->candidates[s->at]))
		s->error = ERR_CORRUPT;
	mark(s, (uint32_t)s->at, 0, true);
	for (uint32_t i = 0; i < text_columns(s->kind); i++) {
		uint32_t from, to = 0;
		if (s->block.n > 0)
			text_block_range(&s->block, i, s->block.n - 1, &from, &to);
		s->block.columns[i].text.n = to;
		s->block.columns[i].text.failed = false;
	}
	if (s->block.n == 0)
		text_block_clear(&s->block);
	s->open_number = 0;
	leave_message(s);
}

static enum text_search_progress next_message(struct text_search *s)
{
	while (s->at < s->n_candidates && s->candidates[s->at].looked)
		s->at++;
	if (s->at < s->n_candidates) {
		s->state = SEARCH_MESSAGE;
		return TEXT_SEARCH_MORE;
	}
	if (s->block.n > 0)
		finish_block(s, s->block.n >= TEXT_STORE_MESSAGES || s->block.columns[0].text.n >= TEXT_BLOCK_BYTES / 2);
	s->state = SEARCH_OVER;
	return TEXT_SEARCH_DONE;
}

static bool is_there(struct text_search *s, const struct message_row *row, uint64_t at, uint64_t n)
{
	uint64_t offset;
	int fd;
	if (n == 0 || message_file(s->account, row, &fd, &offset) < 0)
		return true; /* reading it tells the error */
	return s->world->is_there(s->world->owner, fd, offset + at, MIN(n, row->size - MIN(at, row->size)));
}

static enum text_search_progress make_body(struct text_search *s, const struct message_row *row, bool *done, int *err)
{
	uint64_t at = search_text_body_at(s->maker);
	if (!is_there(s, row, at, SEARCH_TEXT_PIECE))
		return TEXT_SEARCH_WAITS;
	*err = search_text_body_step(s->maker, s->account, row, &s->block, done);
	s->work += MIN(row->size, (uint64_t)SEARCH_TEXT_PIECE);
	return TEXT_SEARCH_MORE;
}

static enum text_search_progress make_header(struct text_search *s, const struct message_row *row, bool *done, int *err)
{
	if (!is_there(s, row, 0, search_text_header_bytes(row, s->kind)))
		return TEXT_SEARCH_WAITS;
	*err = search_text_header(s->maker, s->account, row, &s->block);
	s->work += search_text_header_bytes(row, s->kind);
	*done = true;
	return TEXT_SEARCH_MORE;
}

/* The row is read anew in each step: compaction may have moved the bytes. */
static enum text_search_progress make_message(struct text_search *s, struct message_cursor *rows, bool begins)
{
	enum text_search_progress progress = TEXT_SEARCH_MORE;
	struct message_row row;
	bool done = false;
	int err = message_cursor_get(rows, s->candidates[s->at].number, &row);
	if (err == 0 && s->kind == TEXT_BODY && begins)
		search_text_body_begin(s->maker, &row);
	if (err == 0)
		progress = s->kind == TEXT_BODY ? make_body(s, &row, &done, &err) : make_header(s, &row, &done, &err);
	if (err < 0)
		abandon_message(s, err);
	else if (done)
		end_message(s, false);
	else if (text_block_is_full(&s->block))
		end_message(s, true);
	return progress;
}

/* Several small messages in a step: a cursor is worth it only for a few. A block that is written ends the step. */
static enum text_search_progress make_messages(struct text_search *s)
{
	enum text_search_progress progress = TEXT_SEARCH_MORE;
	struct message_cursor rows;
	uint32_t before = s->block.n;
	s->work = 0;
	message_cursor_begin_part(&rows, s->account, s->kind == TEXT_BODY ? MESSAGE_RANGES : MESSAGE_FIELDS);
	for (int i = 0; i < 16 && progress == TEXT_SEARCH_MORE; i++) {
		bool begins = s->state == SEARCH_NEXT_MESSAGE;
		if (begins && next_message(s) == TEXT_SEARCH_DONE) {
			progress = TEXT_SEARCH_DONE;
			break;
		}
		progress = make_message(s, &rows, begins);
		if (s->block.n <= before || s->work > STEP_WORK)
			break;
	}
	message_cursor_end(&rows);
	return progress;
}

enum text_search_progress text_search_step(struct text_search *s)
{
	switch (s->state) {
	case SEARCH_NEXT_BLOCK:
		next_block(s);
		return TEXT_SEARCH_MORE;
	case SEARCH_SIGNATURE:
		return look_at_signature(s);
	case SEARCH_BLOCK:
		return read_block(s);
	case SEARCH_NEXT_MESSAGE:
	case SEARCH_MESSAGE:
		return make_messages(s);
	case SEARCH_OVER:
		break;
	}
	return TEXT_SEARCH_DONE;
}
