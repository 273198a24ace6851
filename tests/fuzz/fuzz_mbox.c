/* fuzz_mbox.c: bytes read as an mbox give the same messages however they are cut, and these, written and read again, are
 * the same. */
#include "mail/mbox.h"

#include "base/checked.h"
#include "base/clock.h"

#define BODIES_MAX (1 << 20)
#define MESSAGES_MAX 64

struct message {
	size_t start, n; /* of its bytes */
	struct mbox_message facts;
	char sender[MBOX_SENDER_MAX];
	struct buf keywords;
};

struct file {
	struct buf bodies;
	struct message list[MESSAGES_MAX];
	size_t n;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_begin(void *owner)
{
	struct file *file = owner;
	if (file->n < MESSAGES_MAX)
		file->list[file->n].start = file->bodies.n;
}

static void on_body(void *owner, struct str bytes)
{
	struct file *file = owner;
	if (file->n < MESSAGES_MAX)
		buf_add(&file->bodies, bytes);
}

static void on_end(void *owner, const struct mbox_message *message)
{
	struct file *file = owner;
	if (file->n == MESSAGES_MAX)
		return;
	struct message *to = &file->list[file->n++];
	to->n = file->bodies.n - to->start;
	to->facts = *message;
	memcpy(to->sender, message->sender.p, message->sender.n);
	to->facts.sender.p = to->sender;
	to->keywords = BUF_INIT(65536);
	for (size_t i = 0; i < message->n_keywords; i++)
		buf_add(&to->keywords, message->keywords[i]);
	size_t at = 0;
	for (size_t i = 0; i < message->n_keywords; i++) {
		to->facts.keywords[i].p = to->keywords.p + at;
		at += message->keywords[i].n;
	}
}

static const struct mbox_events EVENTS = { on_begin, on_body, on_end };

static void read_file(struct str text, size_t piece, struct file *out)
{
	out->bodies = BUF_INIT(BODIES_MAX);
	out->n = 0;
	struct mbox_reader *reader = mbox_reader_new(0, &EVENTS, out);
	for (size_t at = 0; at < text.n; at += piece)
		mbox_reader_feed(reader, str_first(str_from(text, at), piece));
	mbox_reader_finish(reader);
	mbox_reader_free(&reader);
}

static void free_file(struct file *file)
{
	buf_free(&file->bodies);
	for (size_t i = 0; i < file->n; i++)
		buf_free(&file->list[i].keywords);
}

static struct str body_of(const struct file *file, size_t i)
{
	return str_first(str_from(buf_str(&file->bodies), file->list[i].start), file->list[i].n);
}

static void check_same_pieces(const struct file *a, const struct file *b)
{
	if (a->n != b->n || !str_eq(buf_str(&a->bodies), buf_str(&b->bodies)))
		abort();
	for (size_t i = 0; i < a->n; i++)
		if (a->list[i].facts.start != b->list[i].facts.start || a->list[i].facts.end != b->list[i].facts.end ||
		    a->list[i].facts.flags != b->list[i].facts.flags)
			abort();
}

/* Written and read again, the message is what it was. */
static void check_written(const struct file *file, size_t i)
{
	static struct file again;
	const struct mbox_message *facts = &file->list[i].facts;
	struct str body = body_of(file, i);
	struct buf out = BUF_INIT(4 * BODIES_MAX);
	struct mbox_writer *writer = mbox_writer_new();
	mbox_writer_begin(writer, facts, &out);
	mbox_writer_body(writer, body, &out);
	mbox_writer_end(writer, &out);
	mbox_writer_free(&writer);
	read_file(buf_str(&out), 4096, &again);
	if (again.n != 1 || !str_eq(body_of(&again, 0), body))
		abort();
	const struct mbox_message *now = &again.list[0].facts;
	bool is_folded = body.n > 0 && (body.p[0] == ' ' || body.p[0] == '\t');
	int64_t date = facts->date.seconds;
	bool has_date = facts->has_date && date != 0 && date >= CALENDAR_FIRST && date <= CALENDAR_LAST;
	if (!is_folded && (now->flags != facts->flags || now->is_old != facts->is_old ||
	                   !str_eq(buf_str(&again.list[0].keywords), buf_str(&file->list[i].keywords))))
		abort();
	if (has_date && (!now->has_date || now->date.seconds != date))
		abort();
	if (has_date && !str_eq(now->sender, facts->sender))
		abort();
	free_file(&again);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct file whole, cut;
	struct str text = { (const char *)data, size };
	if (size > BODIES_MAX / 2)
		return 0;
	read_file(text, MAX(size, (size_t)1), &whole);
	read_file(text, size % 13 + 1, &cut);
	check_same_pieces(&whole, &cut);
	for (size_t i = 0; i < whole.n; i++)
		if (str_find(body_of(&whole, i), STR("\r\r\n")) < 0) /* a CR before a CRLF is not kept */
			check_written(&whole, i);
	free_file(&whole);
	free_file(&cut);
	return 0;
}
