/* preview.c: a message's beginning through the MIME parser, then its texts, one after the other, a piece at a time as
 * far as a few hundred characters need. Nothing is kept: it costs a fraction of a millisecond. Owned by a command. */
#include "mail/preview.h"

#include "base/checked.h"
#include "base/mem.h"
#include "mail/part_text.h"
#include "text/utf8.h"

#define HEADER_MAX  (256 * 1024) /* bytes of a header: more is not read of it (struct mime_limits) */
#define READ_MAX    (32 * 1024)  /* behind it */
#define FURTHER_MAX (96 * 1024)  /* behind it, where that has no text: some letters begin with that much style. The worst
                                  * text of that size, bytes that its charset has not, takes 10 ms */
#define PIECE       4096

struct mail_preview {
	struct mime_parser *parser;
	struct part_text *text;
	struct buf bytes, out;
	struct str message; /* as far as it was read */
	bool cut;           /* it goes on */
};

/* One text, as far as it was read. */
struct gathering {
	bool quotes;  /* they are wanted too */
	bool in_line; /* not at its beginning */
	bool skips;   /* a line that is quoted */
	bool gap;     /* white space before what is written next */
	unsigned characters;
};

struct mail_preview *mail_preview_new(const struct mime_limits *limits)
{
	struct mail_preview *p = mem_alloc(1, sizeof *p);
	p->parser = mime_parser_new(limits);
	p->text = part_text_new();
	p->bytes = BUF_INIT(HEADER_MAX + FURTHER_MAX);
	p->out = BUF_INIT(PREVIEW_MAX + 8);
	return p;
}

void mail_preview_free(struct mail_preview **preview)
{
	struct mail_preview *p = *preview;
	*preview = NULL;
	if (!p)
		return;
	mime_parser_free(&p->parser);
	part_text_free(&p->text);
	buf_free(&p->bytes);
	buf_free(&p->out);
	mem_free(p);
}

uint64_t mail_preview_bytes(const struct message_row *row, bool further)
{
	uint64_t header = MIN((uint64_t)row->header_size, (uint64_t)HEADER_MAX);
	return MIN(row->size, header + (further ? FURTHER_MAX : READ_MAX));
}

/* --- the words of a text --- */

static bool is_blank(uint32_t c)
{
	return c <= ' ' || (c >= 0x7f && c <= 0xa0) || c == 0x2028 || c == 0x2029 || c == 0x3000 || c == 0xfeff ||
	       (c >= 0x200b && c <= 0x200f) || c == 0x034f || c == 0x00ad;
}

/* Appends words of a line to p->out. False: there are enough characters. */
static bool add_words(struct mail_preview *p, struct gathering *g, struct str words)
{
	size_t length;
	for (; words.n > 0; words = str_from(words, length)) {
		uint32_t c = utf8_first(words, &length);
		if (is_blank(c)) {
			g->gap = g->characters > 0;
			continue;
		}
		if (g->characters + g->gap >= PREVIEW_CHARACTERS)
			return false;
		if (g->gap)
			buf_add_byte(&p->out, ' ');
		utf8_put(&p->out, c);
		g->characters += 1 + g->gap;
		g->gap = false;
	}
	return true;
}

/* The next text, cut anywhere between characters. False: there are enough. */
static bool add_text(struct mail_preview *p, struct gathering *g, struct str text)
{
	while (text.n > 0) {
		struct str line = str_cut(&text, '\n');
		if (!g->in_line)
			g->skips = !g->quotes && str_starts(line, STR(">"));
		if (!g->skips && !add_words(p, g, line))
			return false;
		g->in_line = text.p == NULL;
		g->gap = g->gap || (!g->in_line && g->characters > 0);
	}
	return true;
}

static void gather(struct mail_preview *p, const struct mime_part *part, struct str body, bool whole, bool quotes)
{
	struct gathering g = { .quotes = quotes };
	bool more = true;
	buf_clear(&p->out);
	part_text_begin(p->text, part);
	while (more && body.n > 0) {
		struct str piece = str_first(body, PIECE);
		body = str_from(body, PIECE);
		more = add_text(p, &g, part_text_add(p->text, piece, whole && body.n == 0));
	}
}

/* --- which text --- */

/* The part, as far as it was read. False: it has no words. */
static bool take(struct mail_preview *p, const struct mime_part *part)
{
	struct str body = str_of(p->message.p + part->body_start, (size_t)(part->body_end - part->body_start));
	bool whole = !p->cut || part->body_end < p->message.n;
	gather(p, part, body, whole, false);
	if (p->out.n == 0)
		gather(p, part, body, whole, true); /* nothing but quotes */
	return p->out.n > 0;
}

static uint32_t behind(const struct mime_message *message, uint32_t at)
{
	uint32_t depth = message->parts[at++].depth;
	while (at < message->n_parts && message->parts[at].depth > depth)
		at++;
	return at;
}

/* Nothing in a message in the message, and nothing that is attached. */
static bool is_text(const struct mime_part *part, struct str subtype)
{
	return part->kind == MIME_LEAF && str_eq(part->type, STR("text")) && str_eq(part->subtype, subtype) &&
	       !str_eq(part->disposition, STR("attachment"));
}

static bool take_first(struct mail_preview *p, const struct mime_message *message, uint32_t at, uint32_t end,
                       struct str subtype)
{
	while (at < end) {
		const struct mime_part *part = &message->parts[at];
		if (is_text(part, subtype) && take(p, part))
			return true;
		at = part->kind == MIME_MESSAGE ? behind(message, at) : at + 1;
	}
	return false;
}

/* Of alternatives plain text before HTML; else as they stand: what a list adds comes last. */
static bool take_any(struct mail_preview *p, const struct mime_message *message)
{
	for (uint32_t at = 0; at < message->n_parts;) {
		const struct mime_part *part = &message->parts[at];
		bool alternatives = part->kind == MIME_MULTIPART && str_eq(part->subtype, STR("alternative"));
		uint32_t end = alternatives || part->kind == MIME_MESSAGE ? behind(message, at) : at + 1;
		if (part->kind != MIME_MESSAGE && (take_first(p, message, at, end, STR("plain")) ||
		                                   take_first(p, message, at, end, STR("html"))))
			return true;
		at = end;
	}
	return false;
}

static struct str make(struct mail_preview *p, struct str message, bool cut)
{
	p->message = message;
	p->cut = cut;
	mime_parser_reset(p->parser);
	mime_parser_feed(p->parser, message);
	return take_any(p, mime_parser_finish(p->parser)) ? buf_str(&p->out) : STR("");
}

struct str mail_preview_of(struct mail_preview *p, struct str message)
{
	return make(p, message, false);
}

int mail_preview_make(struct mail_preview *p, struct account *account, const struct message_row *row, bool further,
                      struct str *out)
{
	size_t n = (size_t)mail_preview_bytes(row, further);
	buf_clear(&p->bytes);
	char *room = buf_reserve(&p->bytes, MAX(n, (size_t)1));
	int err = room ? message_read(account, row, 0, n, room) : ERR_LIMIT;
	if (err == 0)
		*out = make(p, str_of(room, n), n < row->size);
	return err;
}
