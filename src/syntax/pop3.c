/* pop3.c: POP3 command lines, read and printed, and the cutting of input into lines. Pure but for the reader, which
 * is its owner's; bad input is a flaw, never more. */
#include "syntax/pop3.h"

#include "base/checked.h"
#include "base/mem.h"

static const struct {
	struct str name;
	enum pop3_shape shape;
} verbs[] = {
#define POP3_VERB_ROW(name, text, shape) [name] = { STR_INIT(text), shape },
	POP3_VERB_LIST(POP3_VERB_ROW)
#undef POP3_VERB_ROW
};

struct str pop3_verb_name(enum pop3_verb verb)
{
	return verbs[verb].name;
}

const char *pop3_flaw_text(enum pop3_flaw flaw)
{
	static const char *const texts[] = {
#define POP3_FLAW_TEXT(name, text) [name] = text,
		POP3_FLAW_LIST(POP3_FLAW_TEXT)
#undef POP3_FLAW_TEXT
	};
	return texts[flaw];
}

static enum pop3_verb find_verb(struct str name)
{
	for (size_t i = 1; i < COUNT_OF(verbs); i++) {
		if (str_ieq(verbs[i].name, name))
			return (enum pop3_verb)i;
	}
	return POP3_UNKNOWN;
}

/* --- arguments --- */

/* The next word; empty at the end. */
static struct str take_word(struct str *rest)
{
	while (rest->n && rest->p[0] == ' ')
		*rest = str_from(*rest, 1);
	return str_cut(rest, ' ');
}

static enum pop3_flaw take_number(struct str *rest, uint64_t max, uint64_t beyond, uint64_t *out)
{
	struct str word = take_word(rest);
	if (word.n == 0)
		return POP3_FLAW_ARGUMENT_MISSING;
	uint64_t number = 0;
	int err = str_to_u64(word, max, &number);
	if (err == ERR_SYNTAX)
		return POP3_FLAW_NUMBER;
	*out = err == 0 ? number : beyond;
	return POP3_FLAW_NONE;
}

static enum pop3_flaw take_message_number(struct str *rest, struct pop3_command *out)
{
	uint64_t number = 0;
	enum pop3_flaw flaw = take_number(rest, UINT32_MAX, 0, &number);
	out->has_number = flaw == POP3_FLAW_NONE;
	out->number = (uint32_t)number;
	return flaw;
}

static enum pop3_flaw take_sasl(struct str *rest, struct pop3_command *out)
{
	out->text = take_word(rest);
	if (out->text.n == 0)
		return POP3_FLAW_ARGUMENT_MISSING;
	out->initial = take_word(rest);
	out->has_initial = out->initial.n > 0;
	return POP3_FLAW_NONE;
}

static enum pop3_flaw take_arguments(enum pop3_shape shape, struct str *rest, struct pop3_command *out)
{
	enum pop3_flaw flaw;
	switch (shape) {
	case POP3_BARE:
		return POP3_FLAW_NONE;
	case POP3_TEXT:
		out->text = *rest;
		*rest = (struct str){ NULL, 0 };
		return out->text.n ? POP3_FLAW_NONE : POP3_FLAW_ARGUMENT_MISSING;
	case POP3_MAYBE_WORD:
		out->text = take_word(rest);
		return POP3_FLAW_NONE;
	case POP3_NUMBER:
		return take_message_number(rest, out);
	case POP3_MAYBE_NUMBER:
		flaw = take_message_number(rest, out);
		return flaw == POP3_FLAW_ARGUMENT_MISSING ? POP3_FLAW_NONE : flaw;
	case POP3_NUMBER_LINES:
		flaw = take_message_number(rest, out);
		return flaw == POP3_FLAW_NONE ? take_number(rest, UINT64_MAX, UINT64_MAX, &out->lines) : flaw;
	case POP3_SASL:
		return take_sasl(rest, out);
	}
	return POP3_FLAW_NONE;
}

enum pop3_flaw pop3_parse(struct str line, struct pop3_command *out)
{
	struct pop3_command command = { .verb = POP3_UNKNOWN };
	struct str rest = line;
	command.verb = find_verb(str_cut(&rest, ' '));
	out->verb = command.verb;
	if (str_find_byte(line, '\0') >= 0 || str_find_byte(line, '\r') >= 0)
		return POP3_FLAW_BYTES;
	if (command.verb == POP3_UNKNOWN)
		return POP3_FLAW_COMMAND;
	enum pop3_flaw flaw = take_arguments(verbs[command.verb].shape, &rest, &command);
	if (flaw != POP3_FLAW_NONE)
		return flaw;
	if (take_word(&rest).n > 0)
		return POP3_FLAW_ARGUMENT_EXTRA;
	*out = command;
	return POP3_FLAW_NONE;
}

void pop3_print(const struct pop3_command *command, struct buf *out)
{
	buf_add(out, verbs[command->verb].name);
	if (command->text.n) {
		buf_add_byte(out, ' ');
		buf_add(out, command->text);
	}
	if (command->has_initial) {
		buf_add_byte(out, ' ');
		buf_add(out, command->initial);
	}
	if (command->has_number) {
		buf_add_byte(out, ' ');
		buf_add_u64(out, command->number);
	}
	if (verbs[command->verb].shape == POP3_NUMBER_LINES) {
		buf_add_byte(out, ' ');
		buf_add_u64(out, command->lines);
	}
}

/* --- lines --- */

static void forget_line(struct pop3_reader *reader)
{
	if (reader->line.n)
		mem_wipe(reader->line.p, reader->line.n);
	buf_clear(&reader->line);
	reader->whole = false;
}

void pop3_reader_free(struct pop3_reader *reader)
{
	forget_line(reader);
	buf_free(&reader->line);
}

static struct str without_line_end(struct str line)
{
	line = str_first(line, line.n - 1);
	return str_ends(line, STR("\r")) ? str_first(line, line.n - 1) : line;
}

static void skip(struct pop3_reader *reader, struct str *rest)
{
	ptrdiff_t end = str_find_byte(*rest, '\n');
	reader->skipping = end < 0;
	*rest = str_from(*rest, end < 0 ? rest->n : (size_t)end + 1);
}

int pop3_reader_next(struct pop3_reader *reader, struct str *rest, struct str *line)
{
	if (reader->whole)
		forget_line(reader);
	if (reader->skipping)
		skip(reader, rest);
	ptrdiff_t end = str_find_byte(*rest, '\n');
	struct str piece = str_first(*rest, end < 0 ? rest->n : (size_t)end + 1);
	if (piece.n > reader->line.max - reader->line.n) {
		forget_line(reader);
		reader->skipping = true;
		return ERR_LIMIT;
	}
	/* All the memory at once: a buffer that grows leaves copies behind. */
	if (piece.n > 0 && !reader->line.p)
		(void)buf_reserve(&reader->line, reader->line.max);
	buf_add(&reader->line, piece);
	*rest = str_from(*rest, piece.n);
	if (end >= 0) {
		reader->whole = true;
		*line = without_line_end(buf_str(&reader->line));
		return 0;
	}
	if (reader->line.n == 0)
		pop3_reader_free(reader);
	return ERR_INCOMPLETE;
}

/* --- a message on its way out --- */

/* The first line of the bytes, with its end where that is here. */
static struct str first_line(struct str bytes)
{
	ptrdiff_t end = str_find_byte(bytes, '\n');
	return str_first(bytes, end < 0 ? bytes.n : (size_t)end + 1);
}

/* Up to the next dot that begins a line: all of it can be copied at once. */
static struct str until_dot(struct str bytes)
{
	const char *found = memmem(bytes.p, bytes.n, "\n.", 2);
	return str_first(bytes, found ? (size_t)(found - bytes.p) + 1 : bytes.n);
}

/* `piece` is not empty. */
static enum pop3_place place_after(enum pop3_place place, struct str piece)
{
	bool cr_before = piece.n > 1 ? piece.p[piece.n - 2] == '\r' : place == POP3_AFTER_CR;
	switch (piece.p[piece.n - 1]) {
	case '\n':
		return cr_before ? POP3_LINE_START : POP3_AFTER_LF;
	case '\r':
		return POP3_AFTER_CR;
	default:
		return POP3_INSIDE_LINE;
	}
}

static bool begins_line(enum pop3_place place)
{
	return place == POP3_LINE_START || place == POP3_AFTER_LF;
}

void pop3_body_put(struct pop3_body *body, struct str bytes, struct outq *out)
{
	while (bytes.n && body->lines_left) {
		if (begins_line(body->place) && bytes.p[0] == '.')
			outq_add(out, STR("."));
		struct str piece = body->lines_left == UINT64_MAX ? until_dot(bytes) : first_line(bytes);
		outq_add(out, piece);
		body->place = place_after(body->place, piece);
		if (begins_line(body->place) && body->lines_left != UINT64_MAX)
			body->lines_left--;
		bytes = str_from(bytes, piece.n);
	}
}

void pop3_body_end(const struct pop3_body *body, struct outq *out)
{
	if (body->place != POP3_LINE_START)
		outq_add(out, STR("\r\n"));
	outq_add(out, STR(".\r\n"));
}

/* --- unique ids --- */

#define UIDL_DIGITS 16
#define UIDL_SMALL  (UINT64_C(1) << 32) /* ids below it have eight zeros in front */

size_t pop3_uidl_print(uint64_t id, char out[POP3_UIDL_OURS_MAX])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < UIDL_DIGITS; i++)
		out[i] = digits[id >> 4 * (UIDL_DIGITS - 1 - i) & 15];
	if (id < UIDL_SMALL)
		return UIDL_DIGITS;
	out[UIDL_DIGITS] = 'm';
	return UIDL_DIGITS + 1;
}

static bool is_ours(struct str text)
{
	uint64_t id = 0;
	bool large = text.n == UIDL_DIGITS + 1 && text.p[UIDL_DIGITS] == 'm';
	if (text.n != UIDL_DIGITS && !large)
		return false;
	for (size_t i = 0; i < UIDL_DIGITS; i++) {
		int digit = text.p[i] >= 'A' && text.p[i] <= 'F' ? -1 : ascii_hex_value(text.p[i]);
		if (digit < 0)
			return false;
		id = id << 4 | (uint64_t)digit;
	}
	return large == (id >= UIDL_SMALL);
}

bool pop3_uidl_is_foreign(struct str text)
{
	if (text.n == 0 || text.n > POP3_UIDL_MAX || is_ours(text))
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < 0x21 || text.p[i] > 0x7e)
			return false;
	return true;
}
