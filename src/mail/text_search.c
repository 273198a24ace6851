/* text_search.c: see text_search.h. Owned by the command that searches; holds at most one block that was read and one
 * that is being made. Damage of a file costs the file, never the answer: what it should have had is made again. A
 * message that cannot be read itself is the only error. */
#include "mail/text_search.h"

#include "base/checked.h"
#include "base/mem.h"

#define NO_CANDIDATE UINT32_MAX
#define STEP_WORK    (96 * 1024)
#define LOOK_WORK    (512 * 1024) /* bytes of columns that a step looks at, once for each query; twice that at most, */
#define LOOK_ONCE    (512 * 1024) /* and at once */
#define HIT_WORK     64           /* what a hit costs beside, in bytes */

/* Blocks are read, then looked through; then messages are made into a block, which is looked through and kept. */
enum search_state {
	SEARCH_NEXT_BLOCK,
	SEARCH_SIGNATURE,
	SEARCH_BLOCK,
	SEARCH_NEXT_MESSAGE,
	SEARCH_MESSAGE,
	SEARCH_LOOKING,
	SEARCH_KEEPING,
	SEARCH_OVER
};

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
	size_t work;                /* bytes that this step has read and made, or looked at */

	/* The block is looked through: */
	enum search_state after;    /* what comes then */
	size_t query;               /* the next one, */
	size_t look_at;             /* where it goes on in the text, */
	uint32_t look_slot;         /* and in which message */
	bool goes_on;               /* the block's first message goes on from the block before */
	bool worth;                 /* the block was made and is worth keeping */

	size_t tail_max;            /* bytes of a block's end that a hit across blocks may begin in */
	struct buf tail;            /* of the message that goes on in the next block; then its beginning there too: */
	size_t tail_n;              /* behind so many bytes */
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
		s->work += HIT_WORK;
	}
}

/* `hit`, where it is in the value of the field that is wanted; else where the next one may be: a field is passed over
 * once, however many hits it has. */
static size_t hit_in_field(const struct text_query *query, struct str text, size_t from, size_t hit)
{
	if (query->field.n == 0)
		return hit;
	const char *end_before = memrchr(text.p + from, '\0', hit - from);
	size_t start = end_before ? (size_t)(end_before - text.p) + 1 : from;
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

/* What a hit at that place means. Moves on behind it. */
static void look_at_hit(struct text_search *s, const struct text_query *query, struct str text, size_t hit)
{
	uint32_t from, to;
	text_block_range(&s->block, query->column, s->look_slot, &from, &to);
	while (hit >= to && ++s->look_slot < s->block.n)
		text_block_range(&s->block, query->column, s->look_slot, &from, &to);
	if (s->look_slot == s->block.n)
		return;
	uint32_t candidate = s->slots[s->look_slot];
	s->look_at = candidate == NO_CANDIDATE ? to : hit_in_field(query, text, from, hit);
	if (s->look_at != hit)
		return;
	s->look_at++;
	if (hit + query->finder.needle.n <= to) {
		mark(s, candidate, query->bit, false);
		s->look_at = to;
	}
}

/* Many messages at once: most needles are in none of them. False: this is enough for a step. */
static bool look(struct text_search *s, const struct text_query *query)
{
	struct str text = buf_str(&s->block.columns[query->column].text);
	size_t n = query->finder.needle.n;
	while (s->look_slot < s->block.n) {
		if (s->work >= LOOK_WORK)
			return false;
		struct str window = str_first(text, s->look_at + LOOK_ONCE + n);
		ptrdiff_t hit = finder_find(&query->finder, window, s->look_at);
		s->work += (hit < 0 ? window.n : (size_t)hit + n) - s->look_at + HIT_WORK;
		if (hit >= 0)
			look_at_hit(s, query, text, (size_t)hit);
		else if (window.n == text.n)
			return true;
		else
			s->look_at = window.n - n + 1;
	}
	return true;
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
static void look_across(struct text_search *s, const struct text_query *query)
{
	size_t most = query->finder.needle.n ? query->finder.needle.n - 1 : 0, before = MIN(s->tail_n, most);
	struct str text = str_first(str_from(buf_str(&s->tail), s->tail_n - before), before + most);
	if (most == 0 || s->slots[0] == NO_CANDIDATE)
		return;
	s->work += text.n;
	if (finder_find(&query->finder, text, 0) >= 0)
		mark(s, s->slots[0], query->bit, false);
}

static void keep_tail(struct text_search *s)
{
	uint32_t from, to;
	text_block_range(&s->block, 0, s->block.n - 1, &from, &to);
	struct str last = str_of(s->block.columns[0].text.p + from, to - from);
	if (!s->goes_on || s->block.n > 1 || last.n >= s->tail_max) {
		buf_clear(&s->tail);
		buf_add(&s->tail, str_from(last, last.n - MIN(last.n, s->tail_max)));
	} else if (s->tail.n > s->tail_max) { /* the whole message so far is shorter than what is looked for */
		buf_consume(&s->tail, s->tail.n - s->tail_max);
	}
}

/* The block, its columns and slots are there. */
static void begin_looking(struct text_search *s, bool goes_on, bool worth, enum search_state after)
{
	s->goes_on = goes_on;
	s->worth = worth;
	s->after = after;
	s->query = s->look_at = s->look_slot = 0;
	s->state = SEARCH_LOOKING;
	if (goes_on) {
		uint32_t from, to;
		text_block_range(&s->block, 0, 0, &from, &to);
		s->tail_n = s->tail.n;
		buf_add(&s->tail, str_first(buf_str(&s->block.columns[0].text), MIN((size_t)to, s->tail_max)));
	}
}

static void end_looking(struct text_search *s)
{
	if (s->block.continues)
		keep_tail(s);
	for (uint32_t slot = 0; slot < s->block.n; slot++) {
		if (s->slots[slot] != NO_CANDIDATE && !(s->block.continues && slot + 1 == s->block.n))
			mark(s, s->slots[slot], 0, true);
	}
	s->state = s->after == SEARCH_NEXT_BLOCK ? SEARCH_NEXT_BLOCK : SEARCH_KEEPING;
}

/* Some queries, or a part of one. */
static void look_through(struct text_search *s)
{
	s->work = 0;
	while (s->query < s->n_queries && s->work < LOOK_WORK) {
		const struct text_query *query = &s->queries[s->query];
		if (query->any)
			look_for_any(s, query);
		else if (!look(s, query))
			return;
		if (s->goes_on && !query->any)
			look_across(s, query);
		s->query++;
		s->look_at = s->look_slot = 0;
	}
	if (s->query == s->n_queries)
		end_looking(s);
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
	s->state = SEARCH_NEXT_MESSAGE;
	if (damaged)
		text_forget(s->account);
}

static void next_block(struct text_search *s)
{
	int err;
	if (!text_reader_next(s->reader, s->kind, &s->block, &err)) {
		give_up_reading(s, err < 0);
		return;
	}
	if (find_slots(s, text_reader_goes_on(s->reader))) {
		s->columns = 0;
		s->state = SEARCH_SIGNATURE;
		return;
	}
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
	begin_looking(s, text_reader_goes_on(s->reader), false, SEARCH_NEXT_BLOCK);
	return TEXT_SEARCH_MORE;
}

/* --- messages whose text is made --- */

static void keep(struct text_search *s)
{
	int result = 0;
	if (!s->writer)
		result = text_writer_open(s->account, &s->writer);
	if (result == 0)
		result = text_writer_add(s->writer, &s->block);
	if (result < 0 && result != ERR_STATE)
		text_writer_close(&s->writer);
}

/* The next block begins. */
static void keep_block(struct text_search *s)
{
	bool continues = s->block.continues;
	if (s->worth)
		keep(s);
	text_block_clear(&s->block);
	s->block.continued = continues;
	s->state = s->after;
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
	if (continues || s->block.continued || text_block_is_full(&s->block))
		begin_looking(s, s->block.continued, true, s->state);
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
	leave_message(s);
}

/* False: there is none. */
static bool next_message(struct text_search *s)
{
	while (s->at < s->n_candidates && s->candidates[s->at].looked)
		s->at++;
	if (s->at < s->n_candidates) {
		s->state = SEARCH_MESSAGE;
		return true;
	}
	s->state = SEARCH_OVER;
	if (s->block.n > 0) {
		bool worth = s->block.n >= TEXT_STORE_MESSAGES || s->block.columns[0].text.n >= TEXT_BLOCK_BYTES / 2;
		begin_looking(s, false, worth, SEARCH_OVER);
	}
	return false;
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
	uint64_t at, n;
	search_text_body_range(s->maker, &at, &n);
	if (!is_there(s, row, at, n))
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

/* Several small messages in a step: a cursor is worth it only for a few. A block that is to be looked through ends it. */
static enum text_search_progress make_messages(struct text_search *s)
{
	enum text_search_progress progress = TEXT_SEARCH_MORE;
	struct message_cursor rows;
	uint32_t before = s->block.n;
	s->work = 0;
	message_cursor_begin_part(&rows, s->account, s->kind == TEXT_BODY ? MESSAGE_RANGES : MESSAGE_FIELDS);
	for (int i = 0; i < 16 && progress == TEXT_SEARCH_MORE; i++) {
		bool begins = s->state == SEARCH_NEXT_MESSAGE;
		if (begins && !next_message(s))
			break;
		progress = make_message(s, &rows, begins);
		if (s->state == SEARCH_LOOKING || s->block.n <= before || s->work > STEP_WORK)
			break;
	}
	message_cursor_end(&rows);
	return s->state == SEARCH_OVER ? TEXT_SEARCH_DONE : progress;
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
	case SEARCH_LOOKING:
		look_through(s);
		return TEXT_SEARCH_MORE;
	case SEARCH_KEEPING:
		keep_block(s);
		return TEXT_SEARCH_MORE;
	case SEARCH_OVER:
		break;
	}
	return TEXT_SEARCH_DONE;
}
