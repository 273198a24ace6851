/* mbox_writer.c: messages into the bytes of an mbox. Owned by who exports; what does not fit into `out` is said by
 * buf_error. */
#include "mail/mbox_private.h"

#include "base/mem.h"
#include "store/store.h"

struct mbox_writer {
	struct mbox_lines lines;
	struct mbox_header header;
	struct buf fields; /* of this file, until the message's first line comes */
	bool has_begun;    /* that has come */
	struct buf *out;   /* during a call */
};

#define FIELDS_MAX ((size_t)MBOX_KEYWORDS_MAX * (KEYWORD_NAME_MAX + 1) + 256)

struct mbox_writer *mbox_writer_new(void)
{
	struct mbox_writer *writer = mem_alloc(1, sizeof *writer);
	writer->fields = BUF_INIT(FIELDS_MAX);
	return writer;
}

void mbox_writer_free(struct mbox_writer **pointer)
{
	struct mbox_writer *writer = *pointer;
	*pointer = NULL;
	if (!writer)
		return;
	buf_free(&writer->fields);
	mem_free(writer);
}

static void print_fields(const struct mbox_message *message, struct buf *out)
{
	static const struct {
		uint8_t flag;
		char letter;
	} X_STATUS[] = { { FLAG_ANSWERED, 'A' }, { FLAG_FLAGGED, 'F' }, { FLAG_DRAFT, 'T' }, { FLAG_DELETED, 'D' } };
	bool any = false;
	if (message->is_old || message->flags & FLAG_SEEN)
		buf_addf(out, "Status: %s%s\n", message->flags & FLAG_SEEN ? "R" : "", message->is_old ? "O" : "");
	for (size_t i = 0; i < sizeof X_STATUS / sizeof *X_STATUS; i++) {
		if (!(message->flags & X_STATUS[i].flag))
			continue;
		buf_add(out, any ? STR("") : STR("X-Status: "));
		buf_add_byte(out, X_STATUS[i].letter);
		any = true;
	}
	if (any)
		buf_add_byte(out, '\n');
	for (size_t i = 0; i < message->n_keywords; i++) {
		buf_add(out, i ? STR(" ") : STR("X-Keywords: "));
		buf_add(out, message->keywords[i]);
	}
	if (message->n_keywords)
		buf_add_byte(out, '\n');
}

void mbox_writer_begin(struct mbox_writer *writer, const struct mbox_message *message, struct buf *out)
{
	writer->lines = (struct mbox_lines){ .offset = 0 };
	writer->header = (struct mbox_header){ .inside = true };
	writer->has_begun = false;
	buf_clear(&writer->fields);
	mbox_from_print(message, out);
	print_fields(message, &writer->fields);
}

static void begin(struct mbox_writer *writer, bool with_fields)
{
	if (!writer->has_begun && with_fields)
		buf_add(writer->out, buf_str(&writer->fields));
	writer->has_begun = true;
}

static void put_quotes(struct mbox_writer *writer, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		buf_add_byte(writer->out, '>');
}

static void put_piece(void *owner, const struct mbox_piece *piece)
{
	struct mbox_writer *writer = owner;
	struct buf *out = writer->out;
	/* A message that begins with a blank would continue our last field: it goes without them. */
	bool is_folded = piece->quotes == 0 && piece->text.n > 0 && (piece->text.p[0] == ' ' || piece->text.p[0] == '\t');
	begin(writer, !is_folded);
	mbox_header_step(&writer->header, piece);
	if (writer->header.inside && mbox_field_use(writer->header.field) == MBOX_OURS)
		return;
	put_quotes(writer, piece->quotes + mbox_piece_is_from(piece));
	buf_add(out, piece->text);
	if (piece->last)
		buf_add_byte(out, '\n');
}

void mbox_writer_body(struct mbox_writer *writer, struct str bytes, struct buf *out)
{
	writer->out = out;
	mbox_lines_feed(&writer->lines, bytes, put_piece, writer);
	/* Of quotes whose line goes on in the next bytes one is kept, which says that there were some. */
	if (!writer->lines.is_rest && writer->lines.n == 0 && writer->lines.quotes > 1) {
		begin(writer, true);
		put_quotes(writer, writer->lines.quotes - 1);
		writer->lines.quotes = 1;
	}
}

void mbox_writer_end(struct mbox_writer *writer, struct buf *out)
{
	writer->out = out;
	mbox_lines_finish(&writer->lines, put_piece, writer);
	if (!writer->has_begun)
		buf_add(out, buf_str(&writer->fields));
	buf_add_byte(out, '\n');
}
