/* search_text.c: from a message to the text that searches look through. The maker is its owner's and holds one message's
 * state at a time: where the parser is, then which part is being decoded. Broken messages have a text too: what cannot
 * be decoded stands as it is. */
#include "mail/search_text.h"

#include "base/checked.h"
#include "base/mem.h"
#include "mail/part_text.h"
#include "syntax/header.h"
#include "text/fold.h"

#define HEADER_MAX  (256u * 1024)     /* looked at of one header */
#define HEADER_TEXT (768 * 1024)      /* its text: Hangul becomes three times as much, and what becomes more was made to take long */
#define FOLD_ONCE   4096              /* bytes */
#define DECODED_MAX (4 * 1024 * 1024) /* of one field */
#define PARAMS_MAX  (64 * 1024)       /* of one field, read */
#define FIELDS_MAX  4                 /* of one header, of which parameters are read: two are lawful */

enum body_state { BODY_PARSING, BODY_NEXT_PART, BODY_PART_TEXT, BODY_DONE };

struct search_text {
	struct charsets *charsets;
	struct mime_parser *parser;
	const struct mime_message *message; /* once parsed */
	struct buf bytes;
	unsigned fields; /* of the header that is being read, of which parameters were */
	uint64_t read_from; /* of the message: what `bytes` holds, if it holds a piece of this message */

	enum body_state state;
	uint64_t at; /* what is read next, */
	uint64_t from, to; /* and what the step may read of the message */
	uint32_t part;
	struct part_text *text; /* of that part: a step may end behind each piece, since some take long */
};

struct search_text *search_text_new(const struct mime_limits *limits, struct charsets *charsets)
{
	struct search_text *maker = mem_alloc(1, sizeof *maker);
	*maker = (struct search_text){
		.charsets = charsets,
		.parser = mime_parser_new(limits),
		.bytes = BUF_INIT(HEADER_MAX),
		.state = BODY_DONE,
		.text = part_text_new(),
	};
	return maker;
}

void search_text_free(struct search_text **pointer)
{
	struct search_text *maker = *pointer;
	*pointer = NULL;
	if (!maker)
		return;
	part_text_free(&maker->text);
	mime_parser_free(&maker->parser);
	buf_free(&maker->bytes);
	mem_free(maker);
}

/* --- header fields --- */

/* ASCII without encoded words, which most fields are, is its own decoded text. */
static bool is_plain(struct str text)
{
	unsigned char all = 0;
	for (size_t i = 0; i < text.n; i++)
		all |= (unsigned char)text.p[i];
	return all < 0x80 && str_find(text, STR("=?")) < 0;
}

/* As fold_text, until the text is more than a header's. */
static void fold_most(struct str utf8, struct buf *out)
{
	size_t from = out->n;
	while (utf8.n > 0 && out->n - from < HEADER_TEXT) {
		size_t n = MIN(utf8.n, (size_t)FOLD_ONCE);
		while (n < utf8.n && ((unsigned char)utf8.p[n] & 0xc0) == 0x80) /* inside a character */
			n++;
		fold_text(str_first(utf8, n), out);
		utf8 = str_from(utf8, n);
	}
}

void search_text_value(struct charsets *charsets, struct str body, struct buf *out)
{
	if (is_plain(body)) {
		size_t from = out->n;
		header_unfold(body, out);
		for (size_t i = from; i < out->n; i++)
			out->p[i] = fold_ascii_character(out->p[i]);
		return;
	}
	struct buf decoded = BUF_INIT(DECODED_MAX);
	header_decode_text(body, charsets, &decoded);
	fold_most(buf_str(&decoded), out);
	buf_free(&decoded);
}

static void end_text(struct buf *out)
{
	buf_add_byte(out, '\0');
}

/* Parameters that RFC 2231 rewrote, as file names often are: what they mean, beside how they are written. */
static void put_params(struct search_text *maker, const struct header_field *field, bool disposition, struct buf *out)
{
	struct arena arena = ARENA_INIT(PARAMS_MAX);
	struct buf body = BUF_INIT(HEADER_MAX), utf8 = BUF_INIT(PARAMS_MAX);
	header_unfold(field->body, &body);
	struct mime_params params = mime_field_params(buf_str(&body), disposition, &arena);
	size_t from = out->n;
	for (uint32_t i = 0; i < params.n && out->n - from < HEADER_TEXT; i++) {
		const struct mime_param *param = &params.list[i];
		if (!param->rewritten)
			continue;
		fold_text(field->name, out);
		buf_add(out, STR(": "));
		buf_clear(&utf8);
		if (param->charset.p && charset_to_utf8(maker->charsets, param->charset, param->value, &utf8) == 0)
			fold_text(buf_str(&utf8), out);
		else
			search_text_value(maker->charsets, param->value, out);
		end_text(out);
	}
	buf_free(&utf8);
	buf_free(&body);
	arena_free(&arena);
}

static void put_field(struct search_text *maker, const struct header_field *field, struct buf *out)
{
	size_t blanks = 0;
	while (blanks < field->body.n && (field->body.p[blanks] == ' ' || field->body.p[blanks] == '\t'))
		blanks++;
	fold_text(field->name, out);
	buf_add(out, STR(":"));
	fold_text(str_first(field->body, blanks), out);
	search_text_value(maker->charsets, field->body, out);
	end_text(out);
	bool disposition = str_ieq(field->name, STR("Content-Disposition"));
	bool has_params = disposition || str_ieq(field->name, STR("Content-Type"));
	if (has_params && str_find_byte(field->body, '*') >= 0 && maker->fields++ < FIELDS_MAX)
		put_params(maker, field, disposition, out);
}

bool search_text_column(struct str field, enum text_fields_column *column)
{
	static const struct str names[] = { [TEXT_SUBJECT] = STR_INIT("Subject"), [TEXT_FROM] = STR_INIT("From"),
		                                [TEXT_TO] = STR_INIT("To"), [TEXT_CC] = STR_INIT("Cc"),
		                                [TEXT_BCC] = STR_INIT("Bcc") };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (str_ieq(field, names[i])) {
			*column = (enum text_fields_column)i;
			return true;
		}
	}
	*column = TEXT_OTHER_FIELDS;
	return mail_headers_are_kept(&field, 1);
}

static void put_header(struct search_text *maker, struct str header, struct text_block *block)
{
	struct header_field field;
	enum text_fields_column column = TEXT_OTHER_FIELDS;
	bool all = block->kind != TEXT_FIELDS;
	size_t text = 0;
	maker->fields = 0;
	while (text < HEADER_TEXT && header_next(&header, &field)) {
		if (!all && !search_text_column(field.name, &column))
			continue;
		struct buf *out = &block->columns[all ? 0 : column].text;
		size_t before = out->n;
		if (all || column == TEXT_OTHER_FIELDS) {
			put_field(maker, &field, out);
		} else {
			search_text_value(maker->charsets, field.body, out);
			end_text(out);
		}
		text += out->n - before;
	}
}

uint64_t search_text_header_bytes(const struct message_row *row, enum text_kind kind)
{
	return kind == TEXT_FIELDS && row->derived.headers.n ? 0 : MIN((uint64_t)row->header_size, HEADER_MAX);
}

static int read_bytes(struct search_text *maker, struct account *account, const struct message_row *row, uint64_t at,
                      size_t n)
{
	buf_clear(&maker->bytes);
	maker->read_from = at;
	if (n == 0)
		return 0;
	char *room = buf_reserve(&maker->bytes, n);
	int result = room ? message_read(account, row, at, n, room) : ERR_LIMIT;
	if (result == 0)
		buf_commit(&maker->bytes, n);
	return result;
}

int search_text_header(struct search_text *maker, struct account *account, const struct message_row *row,
                       struct text_block *block)
{
	struct str header = row->derived.headers;
	size_t n = (size_t)search_text_header_bytes(row, block->kind);
	if (n > 0) {
		int result = read_bytes(maker, account, row, 0, n);
		if (result < 0)
			return result;
		header = buf_str(&maker->bytes);
	}
	put_header(maker, header, block);
	return 0;
}

/* --- bodies --- */

void search_text_body_begin(struct search_text *maker, const struct message_row *row)
{
	mime_parser_reset(maker->parser);
	maker->message = NULL;
	maker->at = 0;
	maker->state = BODY_PARSING;
	buf_clear(&maker->bytes);
}

static bool is_in_memory(const struct search_text *maker, uint64_t at, uint64_t n)
{
	return at >= maker->read_from && at + n <= maker->read_from + maker->bytes.n;
}

/* At most `most` bytes of the message from maker->at on, up to `end`. What was read last, a piece, is not read again: a
 * small message is parsed and decoded from it. */
static int read_piece(struct search_text *maker, struct account *account, const struct message_row *row, uint64_t end,
                      size_t most, struct str *out)
{
	uint64_t held = is_in_memory(maker, maker->at, 1) ? maker->read_from + maker->bytes.n : 0;
	uint64_t whole = MIN(MIN(end, MAX(held, maker->to)) - maker->at, (uint64_t)SEARCH_TEXT_PIECE), n = MIN(whole, (uint64_t)most);
	bool here = is_in_memory(maker, maker->at, n);
	int result = here ? 0 : read_bytes(maker, account, row, maker->at, (size_t)whole);
	if (result == 0)
		*out = str_first(str_from(buf_str(&maker->bytes), (size_t)(maker->at - maker->read_from)), (size_t)n);
	return result;
}

static int parse_piece(struct search_text *maker, struct account *account, const struct message_row *row)
{
	struct str piece;
	int result = read_piece(maker, account, row, row->size, SEARCH_TEXT_PIECE, &piece);
	if (result < 0)
		return result;
	mime_parser_feed(maker->parser, piece);
	maker->at += piece.n;
	if (maker->at < row->size)
		return 0;
	maker->message = mime_parser_finish(maker->parser);
	maker->part = 0;
	maker->at = 0;
	maker->state = BODY_NEXT_PART;
	return 0;
}

/* A message in base64, which RFC 2046, 5.2.1 forbids: the parser sees one without a header there. Its text is what the
 * encoding hides. */
static bool is_hidden_message(const struct mime_message *message, uint32_t at)
{
	const struct mime_part *part = &message->parts[at];
	return part->kind == MIME_MESSAGE && part->encoding == MIME_ENCODING_BASE64 && part->first_child != MIME_NONE &&
	       message->parts[part->first_child].body_start - part->body_start <= strlen("\r\n");
}

static bool has_text(const struct mime_message *message, uint32_t at)
{
	const struct mime_part *part = &message->parts[at];
	if (part->kind != MIME_LEAF)
		return is_hidden_message(message, at);
	return str_eq(part->type, STR("text")) || str_eq(part->type, STR("message"));
}

static uint64_t header_bytes(const struct mime_part *part)
{
	return MIN(part->body_start - part->header_start, (uint64_t)HEADER_MAX);
}

/* The part's own header; that of the message itself is TEXT_HEADER. */
static int put_part_header(struct search_text *maker, struct account *account, const struct message_row *row,
                           const struct mime_part *part, struct text_block *block)
{
	uint64_t n = header_bytes(part);
	maker->at = part->header_start;
	int result = is_in_memory(maker, maker->at, n) ? 0 : read_bytes(maker, account, row, maker->at, (size_t)n);
	if (result == 0)
		put_header(maker, str_first(str_from(buf_str(&maker->bytes), (size_t)(maker->at - maker->read_from)), (size_t)n),
		           block);
	return result;
}

static void begin_part(struct search_text *maker, const struct mime_part *part)
{
	part_text_begin(maker->text, part);
	maker->at = part->body_start;
	maker->state = BODY_PART_TEXT;
}

/* Behind this part; what the parser saw in a hidden message is no part. */
static void leave_part(struct search_text *maker)
{
	const struct mime_message *message = maker->message;
	uint32_t part = maker->part++;
	while (message->parts[part].kind != MIME_LEAF && maker->part < message->n_parts &&
	       message->parts[maker->part].depth > message->parts[part].depth)
		maker->part++;
	maker->state = BODY_NEXT_PART;
}

static int next_part(struct search_text *maker, struct account *account, const struct message_row *row,
                     struct text_block *block)
{
	if (maker->part == maker->message->n_parts) {
		maker->state = BODY_DONE;
		return 0;
	}
	const struct mime_part *part = &maker->message->parts[maker->part];
	int result = maker->part > 0 ? put_part_header(maker, account, row, part, block) : 0;
	if (has_text(maker->message, maker->part))
		begin_part(maker, part);
	else
		maker->part++;
	return result;
}

static int part_piece(struct search_text *maker, struct account *account, const struct message_row *row,
                      struct text_block *block)
{
	const struct mime_part *part = &maker->message->parts[maker->part];
	struct buf *out = &block->columns[0].text;
	struct str piece;
	int result = read_piece(maker, account, row, part->body_end, PART_TEXT_PIECE, &piece);
	if (result < 0)
		return result;
	maker->at += piece.n;
	bool last = maker->at == part->body_end;
	fold_text(part_text_add(maker->text, piece, last), out);
	if (last) {
		end_text(out);
		leave_part(maker);
	}
	return 0;
}

/* Where it goes on, and how many bytes from there on must be there for that: behind an attachment at the next part's
 * header, whole. */
static uint64_t next_read(const struct search_text *maker, uint64_t *n)
{
	bool header = maker->state == BODY_NEXT_PART && maker->part > 0 && maker->part < maker->message->n_parts;
	const struct mime_part *part = header ? &maker->message->parts[maker->part] : NULL;
	*n = header ? header_bytes(part) : 1;
	return header ? part->header_start : maker->at;
}

void search_text_body_range(const struct search_text *maker, uint64_t *at, uint64_t *n)
{
	*at = next_read(maker, n);
	*n = MAX(*n, (uint64_t)SEARCH_TEXT_PIECE);
}

/* May the step go on there without a read that nobody knew of when it began? */
static bool is_near(const struct search_text *maker)
{
	uint64_t n, at = next_read(maker, &n);
	return (at >= maker->from && at + n <= maker->to) || is_in_memory(maker, at, n);
}

/* A small message is done in one step; parts that cost nothing do not make steps of their own. */
int search_text_body_step(struct search_text *maker, struct account *account, const struct message_row *row,
                          struct text_block *block, bool *done)
{
	size_t before = block->columns[0].text.n, work = 0;
	int result = 0;
	search_text_body_range(maker, &maker->from, &maker->to);
	maker->to += maker->from;
	while (result == 0 && maker->state != BODY_DONE && work < SEARCH_TEXT_PIECE && is_near(maker)) {
		uint64_t at = maker->at;
		switch (maker->state) {
		case BODY_PARSING:
			result = parse_piece(maker, account, row);
			break;
		case BODY_NEXT_PART:
			result = next_part(maker, account, row, block);
			break;
		case BODY_PART_TEXT:
			result = part_piece(maker, account, row, block);
			break;
		case BODY_DONE:
			break;
		}
		work += maker->at > at ? (size_t)(maker->at - at) / 2 : 64;
		work += block->columns[0].text.n - before;
		before = block->columns[0].text.n;
	}
	*done = result == 0 && maker->state == BODY_DONE;
	return result < 0 ? result : buf_error(&block->columns[0].text);
}
