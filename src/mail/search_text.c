/* search_text.c: from a message to the text that searches look through. The maker is its owner's and holds one message's
 * state at a time: where the parser is, then which part is being decoded. Broken messages have a text too: what cannot
 * be decoded stands as it is. */
#include "mail/search_text.h"

#include "base/checked.h"
#include "base/mem.h"
#include "syntax/header.h"
#include "syntax/transfer.h"
#include "text/fold.h"
#include "text/html.h"

#define HEADER_MAX  (256u * 1024)     /* looked at of one header */
#define DECODED_MAX (4 * 1024 * 1024) /* of one piece, or of one field */
#define DECODE_ONCE (16 * 1024)       /* a step may end behind so many bytes: some take long, and become eleven times as many */

enum body_state { BODY_PARSING, BODY_NEXT_PART, BODY_PART_TEXT, BODY_DONE };

struct search_text {
	struct charsets *charsets;
	struct mime_parser *parser;
	const struct mime_message *message; /* once parsed */
	struct buf bytes, decoded, utf8, visible;
	uint64_t read_from; /* of the message: what `bytes` holds, if it holds a piece of this message */

	enum body_state state;
	uint64_t at; /* what the next step reads */
	uint32_t part;
	struct transfer_decoder transfer;
	struct charset_reader charset;
	struct html_text html;
	bool is_html, in_part; /* in_part: charset has to be ended */
};

struct search_text *search_text_new(const struct mime_limits *limits, struct charsets *charsets)
{
	struct search_text *maker = mem_alloc(1, sizeof *maker);
	*maker = (struct search_text){
		.charsets = charsets,
		.parser = mime_parser_new(limits),
		.bytes = BUF_INIT(HEADER_MAX),
		.decoded = BUF_INIT(DECODED_MAX),
		.utf8 = BUF_INIT(DECODED_MAX),
		.visible = BUF_INIT(DECODED_MAX),
		.state = BODY_DONE,
	};
	return maker;
}

static void leave_part(struct search_text *maker)
{
	if (maker->in_part)
		charset_reader_end(&maker->charset);
	maker->in_part = false;
}

void search_text_free(struct search_text **pointer)
{
	struct search_text *maker = *pointer;
	*pointer = NULL;
	if (!maker)
		return;
	leave_part(maker);
	mime_parser_free(&maker->parser);
	buf_free(&maker->bytes);
	buf_free(&maker->decoded);
	buf_free(&maker->utf8);
	buf_free(&maker->visible);
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

void search_text_value(struct charsets *charsets, struct str body, struct buf *out)
{
	if (is_plain(body)) {
		size_t from = out->n;
		header_unfold(body, out);
		for (size_t i = from; i < out->n; i++)
			out->p[i] = out->p[i] ? ascii_upper(out->p[i]) : ' ';
		return;
	}
	struct buf decoded = BUF_INIT(DECODED_MAX);
	header_decode_text(body, charsets, &decoded);
	fold_text(buf_str(&decoded), out);
	buf_free(&decoded);
}

static void end_text(struct buf *out)
{
	buf_add_byte(out, '\0');
}

static void put_field(struct search_text *maker, const struct header_field *field, struct buf *out)
{
	size_t blanks = 0;
	while (blanks < field->body.n && (field->body.p[blanks] == ' ' || field->body.p[blanks] == '\t'))
		blanks++;
	fold_text(field->name, out);
	buf_add(out, STR(":"));
	buf_add(out, str_first(field->body, blanks));
	search_text_value(maker->charsets, field->body, out);
	end_text(out);
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
	enum text_fields_column column;
	while (header_next(&header, &field)) {
		if (block->kind != TEXT_FIELDS) {
			put_field(maker, &field, &block->columns[0].text);
		} else if (search_text_column(field.name, &column)) {
			struct buf *out = &block->columns[column].text;
			if (column == TEXT_OTHER_FIELDS) {
				put_field(maker, &field, out);
			} else {
				search_text_value(maker->charsets, field.body, out);
				end_text(out);
			}
		}
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
	leave_part(maker);
	mime_parser_reset(maker->parser);
	maker->message = NULL;
	maker->at = 0;
	maker->state = BODY_PARSING;
	buf_clear(&maker->bytes);
}

/* At most `most` bytes of the message from maker->at on, up to `end`. What was read last, a piece, is not read again: a
 * small message is parsed and decoded from it. */
static int read_piece(struct search_text *maker, struct account *account, const struct message_row *row, uint64_t end,
                      size_t most, struct str *out)
{
	uint64_t whole = MIN(end - maker->at, (uint64_t)SEARCH_TEXT_PIECE), n = MIN(whole, (uint64_t)most);
	bool here = maker->at >= maker->read_from && maker->at + n <= maker->read_from + maker->bytes.n;
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

static bool has_text(const struct mime_part *part)
{
	return part->kind == MIME_LEAF && (str_eq(part->type, STR("text")) || str_eq(part->type, STR("message")));
}

/* Parameters in the extended form of RFC 2231: what they mean, beside how they are written. */
static void put_params(struct search_text *maker, const struct mime_params *params, struct buf *out)
{
	for (uint32_t i = 0; i < params->n; i++) {
		if (!params->list[i].charset.p)
			continue;
		struct charset_reader reader;
		buf_clear(&maker->utf8);
		charset_reader_begin(&reader, params->list[i].charset);
		charset_reader_add(&reader, params->list[i].value, true, &maker->utf8);
		charset_reader_end(&reader);
		fold_text(buf_str(&maker->utf8), out);
		end_text(out);
	}
}

/* The part's own header; that of the message itself is TEXT_HEADER. */
static int put_part_header(struct search_text *maker, struct account *account, const struct message_row *row,
                           const struct mime_part *part, struct text_block *block)
{
	struct buf *out = &block->columns[0].text;
	uint64_t n = MIN(part->body_start - part->header_start, (uint64_t)HEADER_MAX);
	maker->at = part->header_start;
	bool here = maker->at >= maker->read_from && maker->at + n <= maker->read_from + maker->bytes.n;
	int result = here ? 0 : read_bytes(maker, account, row, maker->at, (size_t)n);
	if (result == 0)
		put_header(maker, str_first(str_from(buf_str(&maker->bytes), (size_t)(maker->at - maker->read_from)), (size_t)n),
		           block);
	put_params(maker, &part->params, out);
	put_params(maker, &part->disposition_params, out);
	return result;
}

static void begin_part(struct search_text *maker, const struct mime_part *part)
{
	const struct mime_param *charset = mime_param_find(&part->params, STR("charset"));
	transfer_decoder_begin(&maker->transfer, part->encoding);
	charset_reader_begin(&maker->charset, charset ? charset->value : STR(""));
	maker->html = (struct html_text){ .state = HTML_IN_TEXT };
	maker->is_html = str_eq(part->type, STR("text")) && str_eq(part->subtype, STR("html"));
	maker->in_part = true;
	maker->at = part->body_start;
	maker->state = BODY_PART_TEXT;
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
	if (has_text(part))
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
	int result = read_piece(maker, account, row, part->body_end, DECODE_ONCE, &piece);
	if (result < 0)
		return result;
	maker->at += piece.n;
	bool last = maker->at == part->body_end;
	buf_clear(&maker->decoded);
	buf_clear(&maker->utf8);
	buf_clear(&maker->visible);
	transfer_decoder_add(&maker->transfer, piece, &maker->decoded);
	if (last)
		transfer_decoder_end(&maker->transfer, &maker->decoded);
	charset_reader_add(&maker->charset, buf_str(&maker->decoded), last, &maker->utf8);
	if (maker->is_html) {
		html_text_add(&maker->html, buf_str(&maker->utf8), &maker->visible);
		if (last)
			html_text_end(&maker->html, &maker->visible);
		fold_text(buf_str(&maker->visible), out);
	} else {
		fold_text(buf_str(&maker->utf8), out);
	}
	if (last) {
		end_text(out);
		leave_part(maker);
		maker->part++;
		maker->state = BODY_NEXT_PART;
	}
	return 0;
}

/* Behind an attachment it goes on at the next part's header. */
uint64_t search_text_body_at(const struct search_text *maker)
{
	bool header = maker->state == BODY_NEXT_PART && maker->part > 0 && maker->part < maker->message->n_parts;
	return header ? maker->message->parts[maker->part].header_start : maker->at;
}

/* May the step go on there without a read that nobody knew of when it began, at `from`? */
static bool is_near(const struct search_text *maker, uint64_t from)
{
	uint64_t at = search_text_body_at(maker);
	return (at >= from && at - from < SEARCH_TEXT_PIECE) ||
	       (at >= maker->read_from && at - maker->read_from < maker->bytes.n);
}

/* A small message is done in one step; parts that cost nothing do not make steps of their own. */
int search_text_body_step(struct search_text *maker, struct account *account, const struct message_row *row,
                          struct text_block *block, bool *done)
{
	size_t before = block->columns[0].text.n, work = 0;
	uint64_t from = search_text_body_at(maker);
	int result = 0;
	while (result == 0 && maker->state != BODY_DONE && work < SEARCH_TEXT_PIECE && is_near(maker, from)) {
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
