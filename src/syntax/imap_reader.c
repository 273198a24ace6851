/* imap_reader.c: commands out of a stream. Owned by one session; holds at most limits->command_bytes. Each byte is
 * looked at once here (memchr) and once by the parser, however small the chunks.
 *
 *     LINE -- literal announced --> LITERAL -- all bytes in --> LINE -- line end --> a command
 *     LINE -- APPEND's message announced --> MESSAGE --> APPEND_LINE -- line end --> the APPEND's end
 *                                               ^------------- another message -'
 *     any  -- refused --> DISCARD_LINE, DISCARD_LITERAL in turns -- line end --> LINE;  too much --> CLOSED
 *     LINE -- imap_reader_expect_line --> RAW_LINE -- line end --> LINE
 *
 * Lines end at LF, with or without CR in front. A line that ends in "{n}" or "{n+}" announces a literal (RFC 3501
 * section 4.3, RFC 7888); no quoted string can end like that. Where a literal is refused, a synchronising one ends the
 * command, since the client sends nothing before it saw "+"; the bytes of another one come in any case and are thrown
 * away. */
#include "syntax/imap_reader.h"

#include "base/checked.h"
#include "base/mem.h"
#include "syntax/imap_cursor.h"

/* Buffers that grew larger than this go back when the command is over. */
#define KEEP_BYTES 4096

struct announcement {
	uint64_t n;
	bool synchronising;
};

void imap_reader_init(struct imap_reader *reader, const struct imap_limits *limits)
{
	*reader = (struct imap_reader){ .limits = limits, .finished = true };
}

/* Passwords do not stay behind in memory. */
static void wipe(struct buf *b)
{
	if (b->p)
		mem_wipe(b->p, b->n);
	buf_clear(b);
}

static void wipe_and_free(struct buf *b)
{
	wipe(b);
	buf_free(b);
}

void imap_reader_free(struct imap_reader *reader)
{
	arena_free(&reader->arena);
	wipe_and_free(&reader->text);
	wipe_and_free(&reader->raw);
}

bool imap_reader_idle(const struct imap_reader *reader)
{
	return reader->state == IMAP_READER_LINE && (reader->finished || reader->text.n == 0);
}

void imap_reader_release(struct imap_reader *reader)
{
	if (!imap_reader_idle(reader))
		return;
	imap_reader_free(reader);
	reader->finished = true;
}

static void start_text(struct imap_reader *reader)
{
	wipe(&reader->text);
	reader->text.max = reader->limits->command_bytes;
	reader->line_bytes = reader->line_start = 0;
}

static void begin_command(struct imap_reader *reader)
{
	arena_free(&reader->arena);
	reader->arena = ARENA_INIT(reader->limits->arena_bytes);
	if (reader->text.size > KEEP_BYTES)
		wipe_and_free(&reader->text);
	if (reader->raw.size > KEEP_BYTES)
		wipe_and_free(&reader->raw);
	wipe(&reader->raw);
	start_text(reader);
	reader->error = (struct imap_error){ .message = "" };
	reader->finished = reader->silent = false;
}

static struct str take(struct str *input, uint64_t n)
{
	struct str taken = str_first(*input, n < input->n ? (size_t)n : input->n);
	*input = str_from(*input, taken.n);
	return taken;
}

/* Up to and with the next LF, or all. */
static struct str peek_line(struct str input, bool *complete)
{
	ptrdiff_t at = str_find_byte(input, '\n');
	*complete = at >= 0;
	return *complete ? str_first(input, (size_t)at + 1) : input;
}

static struct str without_line_end(struct str line)
{
	if (line.n && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* Does the line (without its end) announce a literal? A number that does not fit counts as the largest. */
static bool announces_literal(struct str line, struct announcement *out)
{
	size_t end = line.n;
	if (end < 3 || line.p[end - 1] != '}')
		return false;
	end--;
	bool synchronising = line.p[end - 1] != '+';
	if (!synchronising)
		end--;
	size_t first = end;
	while (first && ascii_is_digit(line.p[first - 1]))
		first--;
	if (first == end || first == 0 || line.p[first - 1] != '{')
		return false;
	out->synchronising = synchronising;
	if (str_to_u64(str_of(line.p + first, end - first), INT64_MAX, &out->n))
		out->n = INT64_MAX;
	return true;
}

static enum imap_read give_up(struct imap_reader *reader)
{
	reader->state = IMAP_READER_CLOSED;
	return IMAP_READ_CLOSE;
}

/* The refused command is over. */
static enum imap_read end_discard(struct imap_reader *reader)
{
	reader->state = IMAP_READER_LINE;
	reader->finished = true;
	return reader->silent ? IMAP_READ_MORE : IMAP_READ_BAD;
}

static enum imap_read discard_literal(struct imap_reader *reader, uint64_t n)
{
	if (n > reader->limits->discard_bytes - reader->discarded)
		return give_up(reader);
	reader->discarded += (size_t)n;
	reader->literal_left = n;
	reader->state = IMAP_READER_DISCARD_LITERAL;
	return IMAP_READ_MORE;
}

/* reader->error says why; the line is read to its end and may have announced a literal. */
static enum imap_read refuse_line(struct imap_reader *reader, bool has_literal, struct announcement literal)
{
	reader->discarded = 0;
	if (!has_literal || literal.synchronising)
		return end_discard(reader);
	return discard_literal(reader, literal.n);
}

static void note_limit(struct imap_reader *reader, const char *message)
{
	bool first_part = reader->state == IMAP_READER_LINE;
	reader->error.tag = first_part ? imap_tag_of(buf_str(&reader->text)) : reader->command.tag;
	reader->error.answer = IMAP_ANSWER_TOO_BIG;
	reader->error.message = message;
	reader->error.offset = reader->text.n;
}

static void keep_tail(struct imap_reader *reader, struct str bytes)
{
	bytes = str_from(bytes, bytes.n > IMAP_READER_TAIL ? bytes.n - IMAP_READER_TAIL : 0);
	size_t over = reader->tail_n + bytes.n > IMAP_READER_TAIL ? reader->tail_n + bytes.n - IMAP_READER_TAIL : 0;
	memmove(reader->tail, reader->tail + over, reader->tail_n - over);
	reader->tail_n -= over;
	if (bytes.n)
		memcpy(reader->tail + reader->tail_n, bytes.p, bytes.n);
	reader->tail_n += bytes.n;
}

/* The line has no end within the limits; so_far is what is held of it. */
static enum imap_read refuse_long_line(struct imap_reader *reader, struct str so_far)
{
	note_limit(reader, "command is too long");
	reader->discarded = reader->tail_n = 0;
	keep_tail(reader, so_far);
	reader->state = IMAP_READER_DISCARD_LINE;
	return IMAP_READ_MORE;
}

static enum imap_read step_discard_line(struct imap_reader *reader, struct str *input)
{
	struct announcement literal;
	bool complete;
	struct str bytes = take(input, peek_line(*input, &complete).n);
	if (bytes.n > reader->limits->discard_bytes - reader->discarded)
		return give_up(reader);
	reader->discarded += bytes.n;
	keep_tail(reader, bytes);
	if (!complete)
		return IMAP_READ_MORE;
	struct str line = without_line_end(str_of(reader->tail, reader->tail_n));
	if (!announces_literal(line, &literal) || literal.synchronising)
		return end_discard(reader);
	return discard_literal(reader, literal.n);
}

static enum imap_read step_discard_literal(struct imap_reader *reader, struct str *input)
{
	reader->literal_left -= take(input, reader->literal_left).n;
	if (!reader->literal_left) {
		reader->tail_n = 0;
		reader->state = IMAP_READER_DISCARD_LINE;
	}
	return IMAP_READ_MORE;
}

/* What the command keeps while its text's buffer is used for the next message: copies in the arena. */
static int own_append(struct imap_reader *reader)
{
	struct imap_command *command = &reader->command;
	struct imap_strings *keywords = &command->append.message.flags.keywords;
	int err = 0;
	if (command->append.index == 0) {
		err = arena_copy(&reader->arena, command->tag, &command->tag);
		if (!err)
			err = arena_copy(&reader->arena, command->append.mailbox, &command->append.mailbox);
	}
	for (uint32_t i = 0; i < keywords->n && !err; i++)
		err = arena_copy(&reader->arena, keywords->items[i], &keywords->items[i]);
	return err;
}

static enum imap_read announce_message(struct imap_reader *reader, struct announcement literal)
{
	if (own_append(reader)) {
		note_limit(reader, "command needs too much memory");
		return refuse_line(reader, true, literal);
	}
	reader->literal_left = literal.n;
	reader->state = IMAP_READER_MESSAGE;
	return IMAP_READ_APPEND;
}

/* A command's first line that announces a literal: is it known, and is the literal APPEND's message? */
static int look_at_head(struct imap_reader *reader, struct str text, bool *append)
{
	enum imap_command_kind kind;
	size_t arguments;
	int err = imap_parse_head(text, reader->limits, &reader->arena, &kind, &arguments, &reader->error);
	if (err)
		return err;
	reader->command.kind = kind;
	/* "a APPEND {5}": the literal is the mailbox's name; the message is announced by the next one */
	*append = kind == IMAP_COMMAND_APPEND && !str_starts(str_from(text, arguments), STR(" {"));
	return 0;
}

static enum imap_read take_literal(struct imap_reader *reader, struct announcement literal)
{
	const struct imap_limits *limits = reader->limits;
	if (literal.n > limits->literal_bytes || literal.n > limits->command_bytes - reader->text.n) {
		note_limit(reader, "literal is too large");
		return refuse_line(reader, true, literal);
	}
	reader->literal_left = literal.n;
	reader->state = literal.n ? IMAP_READER_LITERAL : IMAP_READER_LINE;
	reader->line_start = reader->text.n;
	return literal.synchronising ? IMAP_READ_CONTINUE : IMAP_READ_MORE;
}

static enum imap_read literal_announced(struct imap_reader *reader, struct announcement literal)
{
	struct str text = without_line_end(buf_str(&reader->text));
	bool append = reader->command.kind == IMAP_COMMAND_APPEND;
	if (reader->line_start == 0 && look_at_head(reader, text, &append))
		return refuse_line(reader, true, literal);
	if (!append)
		return take_literal(reader, literal);
	if (imap_parse(text, reader->limits, &reader->arena, &reader->command, &reader->error))
		return refuse_line(reader, true, literal);
	return announce_message(reader, literal);
}

static enum imap_read command_read(struct imap_reader *reader)
{
	struct str text = without_line_end(buf_str(&reader->text));
	reader->finished = true;
	int err = imap_parse(text, reader->limits, &reader->arena, &reader->command, &reader->error);
	return err ? IMAP_READ_BAD : IMAP_READ_COMMAND;
}

/* What follows a message of APPEND: the end, or another message (RFC 3502). */
static enum imap_read append_line_read(struct imap_reader *reader, bool has_literal, struct announcement literal)
{
	struct str text = without_line_end(buf_str(&reader->text));
	if (!str_trim(text).n) {
		reader->state = IMAP_READER_LINE;
		reader->finished = true;
		return IMAP_READ_APPEND_END;
	}
	struct imap_append *append = &reader->command.append;
	int err = imap_parse_append_more(text, reader->limits, &reader->arena, &append->message, &reader->error);
	reader->error.tag = reader->command.tag;
	if (err)
		return refuse_line(reader, has_literal, literal);
	append->index++;
	return announce_message(reader, literal);
}

/* Collects a line of a command, in LINE and APPEND_LINE. */
static enum imap_read step_line(struct imap_reader *reader, struct str *input)
{
	struct announcement literal = { 0 };
	struct buf *text = &reader->text;
	bool complete;
	if (reader->state == IMAP_READER_LINE && reader->finished)
		begin_command(reader);
	struct str bytes = peek_line(*input, &complete);
	size_t room = MIN(reader->limits->line_bytes - reader->line_bytes, text->max - text->n);
	buf_add(text, take(input, MIN(bytes.n, room)));
	struct str line = str_from(buf_str(text), reader->line_start);
	if (bytes.n > room)
		return refuse_long_line(reader, line);
	reader->line_bytes += bytes.n;
	if (!complete)
		return IMAP_READ_MORE;
	bool has_literal = announces_literal(without_line_end(line), &literal);
	if (reader->state == IMAP_READER_APPEND_LINE)
		return append_line_read(reader, has_literal, literal);
	return has_literal ? literal_announced(reader, literal) : command_read(reader);
}

static enum imap_read step_literal(struct imap_reader *reader, struct str *input)
{
	struct str bytes = take(input, reader->literal_left);
	buf_add(&reader->text, bytes);
	reader->literal_left -= bytes.n;
	if (!reader->literal_left) {
		reader->line_start = reader->text.n;
		reader->state = IMAP_READER_LINE;
	}
	return IMAP_READ_MORE;
}

static enum imap_read step_message(struct imap_reader *reader, struct str *input)
{
	if (!reader->literal_left) {
		start_text(reader);
		reader->state = IMAP_READER_APPEND_LINE;
		return IMAP_READ_MORE;
	}
	reader->data = take(input, reader->literal_left);
	reader->literal_left -= reader->data.n;
	return IMAP_READ_DATA;
}

static enum imap_read step_raw_line(struct imap_reader *reader, struct str *input)
{
	bool complete;
	struct str bytes = peek_line(*input, &complete);
	size_t room = reader->raw.max - reader->raw.n;
	buf_add(&reader->raw, take(input, MIN(bytes.n, room)));
	if (bytes.n > room)
		return refuse_long_line(reader, buf_str(&reader->raw));
	if (!complete)
		return IMAP_READ_MORE;
	reader->line = without_line_end(buf_str(&reader->raw));
	reader->state = IMAP_READER_LINE;
	return IMAP_READ_LINE;
}

static enum imap_read step(struct imap_reader *reader, struct str *input)
{
	switch (reader->state) {
	case IMAP_READER_LINE:
	case IMAP_READER_APPEND_LINE:
		return step_line(reader, input);
	case IMAP_READER_LITERAL:
		return step_literal(reader, input);
	case IMAP_READER_MESSAGE:
		return step_message(reader, input);
	case IMAP_READER_RAW_LINE:
		return step_raw_line(reader, input);
	case IMAP_READER_DISCARD_LINE:
		return step_discard_line(reader, input);
	case IMAP_READER_DISCARD_LITERAL:
		return step_discard_literal(reader, input);
	case IMAP_READER_CLOSED:
		break;
	}
	return IMAP_READ_CLOSE;
}

enum imap_read imap_reader_next(struct imap_reader *reader, struct str *input)
{
	enum imap_read event = reader->state == IMAP_READER_CLOSED ? IMAP_READ_CLOSE : IMAP_READ_MORE;
	while (event == IMAP_READ_MORE && input->n)
		event = step(reader, input);
	return event;
}

void imap_reader_expect_line(struct imap_reader *reader)
{
	if (reader->state != IMAP_READER_LINE || !reader->finished)
		return;
	wipe(&reader->raw);
	reader->raw.max = reader->limits->line_bytes;
	reader->state = IMAP_READER_RAW_LINE;
}

void imap_reader_refuse(struct imap_reader *reader)
{
	const struct imap_append_message *message = &reader->command.append.message;
	if (reader->state != IMAP_READER_MESSAGE)
		return;
	reader->silent = true;
	if (message->synchronising && reader->literal_left == message->size) {
		end_discard(reader);
		return;
	}
	reader->discarded = 0; /* the message itself does not count: its size was known to who refused it */
	reader->state = IMAP_READER_DISCARD_LITERAL;
}
