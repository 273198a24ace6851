/* fetch_items.c: the items of one FETCH response (RFC 3501, 7.4.2). Structure and envelope are copies from the
 * message's row; bodies leave as ranges of their file, small ones as bytes. Nothing of a message is held but selected
 * header fields, up to HEADER_MAX. */
#include "base/checked.h"
#include "proto/imap/fetch.h"
#include "syntax/date.h"
#include "syntax/header.h"
#include "syntax/imap_print.h"

/* From here on a range of the file goes out instead of a copy: sendfile costs less than read and write. */
#define FILE_RANGE_MIN 16384
/* What HEADER.FIELDS looks at of one header; fields beyond it are taken for absent. */
#define HEADER_MAX (1024u * 1024)
/* What it looks at for one response, all items together: some milliseconds. Beyond it they are NIL. */
#define SCANNED_MAX (2u * HEADER_MAX)
/* A message up to this size is fetched whole when a part of it is not in memory. */
#define FETCH_WHOLE_MAX (128u * 1024)

static void put_flags(struct imap_session *s, struct fetch_task *t, const struct entry *entry)
{
	struct outq *out = imap_output(s);
	char *room = outq_reserve(out, t->flags.room + 8);
	if (!room)
		return;
	char *p = flags_print(&t->flags, print_str(room, STR("FLAGS ")), entry, set_has(&s->selected.recent, entry->uid));
	outq_commit(out, (size_t)(p - room));
}

static void put_modseq(struct outq *out, const struct entry *entry)
{
	char text[MODSEQ_ROOM];
	outq_add(out, str_of(text, (size_t)(modseq_print(text, entry->modseq) - text)));
}

static void put_number(struct outq *out, struct str name, uint64_t number)
{
	outq_add(out, name);
	outq_add_u64(out, number);
}

static void put_derived(struct outq *out, struct str name, struct str value)
{
	outq_add(out, name);
	outq_add(out, value);
}

static void put_date(struct outq *out, struct str name, struct date date)
{
	char room[64];
	struct buf text = { .p = room, .size = sizeof room, .max = sizeof room };
	buf_add(&text, name);
	buf_add(&text, STR(" \""));
	date_print_internal(date, &text);
	buf_add(&text, STR("\""));
	outq_add(out, buf_str(&text));
}

/* --- sections --- */

static enum mime_section section_range_kind(const struct imap_fetch_item *item)
{
	if (item->kind == IMAP_FETCH_RFC822)
		return MIME_SECTION_WHOLE;
	if (item->kind == IMAP_FETCH_RFC822_HEADER)
		return MIME_SECTION_HEADER;
	if (item->kind == IMAP_FETCH_RFC822_TEXT)
		return MIME_SECTION_TEXT;
	switch (item->section->text) {
	case IMAP_SECTION_ALL:
		return MIME_SECTION_WHOLE;
	case IMAP_SECTION_HEADER:
	case IMAP_SECTION_HEADER_FIELDS:
	case IMAP_SECTION_HEADER_FIELDS_NOT:
		return MIME_SECTION_HEADER;
	case IMAP_SECTION_TEXT:
		return MIME_SECTION_TEXT;
	case IMAP_SECTION_MIME:
		return MIME_SECTION_MIME;
	}
	return MIME_SECTION_WHOLE;
}

static bool selects_fields(const struct imap_fetch_item *item)
{
	return item->section &&
	       (item->section->text == IMAP_SECTION_HEADER_FIELDS || item->section->text == IMAP_SECTION_HEADER_FIELDS_NOT);
}

static void put_name(struct outq *out, const struct imap_fetch_item *item)
{
	if (item->kind == IMAP_FETCH_RFC822)
		outq_add(out, STR("RFC822"));
	else if (item->kind == IMAP_FETCH_RFC822_HEADER)
		outq_add(out, STR("RFC822.HEADER"));
	else if (item->kind == IMAP_FETCH_RFC822_TEXT)
		outq_add(out, STR("RFC822.TEXT"));
	else
		outq_add(out, item->section->echo);
}

static void put_nil(struct outq *out, const struct imap_fetch_item *item)
{
	put_name(out, item);
	outq_add(out, STR(" NIL"));
}

static void put_literal_head(struct outq *out, const struct imap_fetch_item *item, uint64_t n)
{
	put_name(out, item);
	outq_addf(out, " {%llu}\r\n", (unsigned long long)n);
}

/* BODY[]<offset.length>: what of n bytes is meant; beyond the end it is empty. */
static struct mime_range partial(const struct imap_fetch_item *item, uint64_t n)
{
	if (!item->partial)
		return (struct mime_range){ 0, n };
	uint64_t offset = MIN((uint64_t)item->offset, n);
	return (struct mime_range){ offset, MIN((uint64_t)item->length, n - offset) };
}

/* As message_read, for a range within the message; ERR_INCOMPLETE, and t->cold is set, where it would wait for the disk. */
static int read_range(struct imap_session *s, struct fetch_task *t, const struct message_row *row, uint64_t from, size_t n,
                      char *to)
{
	uint64_t offset;
	int fd, err;
	if (!s->world->read || t->may_wait || n == 0)
		return message_read(s->account, row, from, n, to);
	if ((err = message_file(s->account, row, &fd, &offset)) < 0)
		return err;
	if (s->world->read(s->owner, fd, offset + from, to, n))
		return 0;
	bool whole = row->size <= FETCH_WHOLE_MAX;
	t->cold = (struct fetch_cold){ fd, whole ? offset : offset + from, whole ? row->size : n };
	return ERR_INCOMPLETE;
}

static int put_range(struct imap_session *s, struct fetch_task *t, const struct imap_fetch_item *item,
                     const struct message_row *row, struct mime_range range)
{
	struct outq *out = imap_output(s);
	int err;
	if (range.n >= FILE_RANGE_MIN) {
		int fd;
		uint64_t offset;
		if ((err = message_file(s->account, row, &fd, &offset)) < 0)
			return err;
		put_literal_head(out, item, range.n);
		outq_add_file(out, fd, offset + range.offset, range.n);
		return 0;
	}
	char bytes[FILE_RANGE_MIN];
	if (range.n && (err = read_range(s, t, row, range.offset, (size_t)range.n, bytes)) < 0)
		return err;
	put_literal_head(out, item, range.n);
	outq_add(out, str_of(bytes, (size_t)range.n));
	return 0;
}

static int scan(struct fetch_task *t, uint64_t n)
{
	t->scanned += n;
	return t->scanned > SCANNED_MAX ? ERR_LIMIT : 0;
}

/* The header that fields are selected from: the fields that rows keep, where they are enough, else its bytes. */
static int read_header(struct imap_session *s, struct fetch_task *t, const struct imap_section *section,
                       const struct message_row *row, struct mime_range range, struct str *header)
{
	bool kept = section->part_count == 0 && section->text == IMAP_SECTION_HEADER_FIELDS && row->derived.headers.n > 0;
	if (kept && mail_headers_are_kept(section->fields.items, section->fields.n)) {
		*header = row->derived.headers;
		return scan(t, header->n);
	}
	size_t n = (size_t)MIN(range.n, (uint64_t)HEADER_MAX);
	int err = scan(t, n);
	if (err < 0)
		return err;
	t->scratch.max = HEADER_MAX;
	buf_clear(&t->scratch);
	char *room = buf_reserve(&t->scratch, n);
	err = room ? read_range(s, t, row, range.offset, n, room) : ERR_LIMIT;
	if (err == 0)
		*header = str_of(room, n);
	return err;
}

static int put_fields(struct imap_session *s, struct fetch_task *t, const struct imap_fetch_item *item,
                      const struct message_row *row, struct mime_range range)
{
	const struct imap_strings *fields = &item->section->fields;
	struct str header;
	int err = read_header(s, t, item->section, row, range, &header);
	if (err < 0)
		return err;
	struct buf chosen = BUF_INIT(HEADER_MAX + 2);
	header_fields_select(header, fields->items, fields->n, item->section->text == IMAP_SECTION_HEADER_FIELDS_NOT,
	                     &chosen);
	struct mime_range part = partial(item, chosen.n);
	put_literal_head(imap_output(s), item, part.n);
	outq_add(imap_output(s), str_of(chosen.p ? chosen.p + part.offset : "", (size_t)part.n));
	buf_free(&chosen);
	return 0;
}

static int put_section(struct imap_session *s, struct fetch_task *t, const struct imap_fetch_item *item,
                       const struct message_row *row)
{
	const struct imap_section *section = item->section;
	struct mime_range range;
	int err = mime_parts_find(row->derived.parts, section ? section->parts : NULL, section ? section->part_count : 0,
	                          section_range_kind(item), &range);
	if (err == ERR_NOT_FOUND) {
		put_nil(imap_output(s), item);
		return 0;
	}
	if (err < 0)
		return err;
	if (range.offset > row->size || range.n > row->size - range.offset)
		return ERR_CORRUPT; /* another message's parts: what lies behind this one is not its reader's to see */
	if (selects_fields(item))
		return put_fields(s, t, item, row, range);
	struct mime_range part = partial(item, range.n);
	part.offset += range.offset;
	return put_range(s, t, item, row, part);
}

/* --- previews (RFC 8970) --- */

static bool is_in_memory(struct imap_session *s, const struct message_row *row, bool further)
{
	int fd;
	uint64_t offset;
	if (!s->world->fetch || message_file(s->account, row, &fd, &offset) < 0)
		return true; /* reading says what is wrong */
	return !s->world->fetch(s->owner, fd, offset, mail_preview_bytes(row, further));
}

/* Makes the message's preview_text, once. False: it would wait for the disk. What was asked of the world last is asked
 * again first: it does not fetch the same twice. */
static bool make_preview(struct imap_session *s, struct fetch_task *t, uint64_t message, const struct message_row *row)
{
	int err = 0;
	while (t->previewed != message) {
		bool further = t->preview_further == message;
		t->previewed = 0; /* the text is of no message until it is made */
		t->preview_text = STR("");
		if (!is_in_memory(s, row, further))
			return false;
		if ((err = mail_preview_make(t->preview, s->account, row, further, &t->preview_text)) < 0)
			t->error = err;
		bool more = mail_preview_bytes(row, true) > mail_preview_bytes(row, false);
		if (err == 0 && t->preview_text.n == 0 && more && !further)
			t->preview_further = message;
		else
			t->previewed = message;
	}
	return true;
}

bool fetch_waits_for_preview(struct imap_session *s, struct fetch_task *t, const struct entry *entry)
{
	struct message_row row;
	bool lazy = true;
	for (uint32_t i = 0; i < t->fetch->n; i++)
		lazy = lazy && (t->fetch->items[i].kind != IMAP_FETCH_PREVIEW || t->fetch->items[i].lazy);
	return !lazy && message_cursor_get(&t->rows, entry->message, &row) == 0 &&
	       !make_preview(s, t, entry->message, &row);
}

static void put_preview(struct imap_session *s, struct fetch_task *t, uint64_t message, const struct message_row *row)
{
	struct outq *out = imap_output(s);
	if (!make_preview(s, t, message, row)) { /* LAZY: others have waited */
		outq_add(out, STR("PREVIEW NIL"));
		return;
	}
	struct buf quoted = BUF_INIT(PREVIEW_MAX + 64);
	imap_put_string(&quoted, t->preview_text);
	outq_add(out, STR("PREVIEW "));
	outq_add(out, buf_str(&quoted));
	buf_free(&quoted);
}

static void put_item(struct imap_session *s, struct fetch_task *t, const struct imap_fetch_item *item,
                     const struct entry *entry, const struct message_row *row)
{
	struct outq *out = imap_output(s);
	int err;
	switch (item->kind) {
	case IMAP_FETCH_UID:
		put_number(out, STR("UID "), entry->uid);
		break;
	case IMAP_FETCH_FLAGS:
		put_flags(s, t, entry);
		break;
	case IMAP_FETCH_INTERNALDATE:
		put_date(out, STR("INTERNALDATE"), (struct date){ row->internal_date, row->zone_minutes });
		break;
	case IMAP_FETCH_RFC822_SIZE:
		put_number(out, STR("RFC822.SIZE "), entry_size(entry));
		break;
	case IMAP_FETCH_MODSEQ:
		put_modseq(out, entry);
		break;
	case IMAP_FETCH_SAVEDATE:
		put_date(out, STR("SAVEDATE"), (struct date){ entry->saved, 0 });
		break;
	case IMAP_FETCH_EMAILID: /* copies and moved messages have the same number; it is never given again */
		outq_addf(out, "EMAILID (M%llu)", (unsigned long long)entry->message);
		break;
	case IMAP_FETCH_THREADID: /* RFC 8474, 5.2: none are kept */
		outq_add(out, STR("THREADID NIL"));
		break;
	case IMAP_FETCH_ENVELOPE:
		put_derived(out, STR("ENVELOPE "), row->derived.envelope);
		break;
	case IMAP_FETCH_BODY:
		put_derived(out, STR("BODY "), row->derived.body);
		break;
	case IMAP_FETCH_BODYSTRUCTURE:
		put_derived(out, STR("BODYSTRUCTURE "), row->derived.structure);
		break;
	case IMAP_FETCH_PREVIEW:
		put_preview(s, t, entry->message, row);
		break;
	case IMAP_FETCH_RFC822:
	case IMAP_FETCH_RFC822_HEADER:
	case IMAP_FETCH_RFC822_TEXT:
	case IMAP_FETCH_SECTION:
		err = put_section(s, t, item, row);
		if (err < 0 && t->cold.n == 0) {
			t->error = err;
			put_nil(out, item);
		}
		break;
	}
}

/* \Seen was set: the new flags, and once CONDSTORE is enabled UID and MODSEQ too (RFC 7162, 3.2.4), where they are not
 * among the items. */
static void put_marked(struct imap_session *s, struct fetch_task *t, const struct entry *entry)
{
	struct outq *out = imap_output(s);
	if (!(t->parts & PRINT_FLAGS)) {
		outq_add(out, STR(" "));
		put_flags(s, t, entry);
	}
	if (s->condstore && !(t->parts & PRINT_UID))
		put_number(out, STR(" UID "), entry->uid);
	if (s->condstore && !(t->parts & PRINT_MODSEQ)) {
		outq_add(out, STR(" "));
		put_modseq(out, entry);
	}
}

/* By hand, as print.h does: with outq_addf it was a tenth of a FETCH of envelopes. */
static void put_head(struct outq *out, uint32_t number)
{
	char text[FETCH_FLAGS_ROOM];
	char *end = print_str(print_u32(print_str(text, STR("* ")), number), STR(" FETCH ("));
	outq_add(out, str_of(text, (size_t)(end - text)));
}

void fetch_message(struct imap_session *s, struct fetch_task *t, uint32_t number, const struct entry *entry)
{
	const struct imap_fetch *fetch = t->fetch;
	struct outq *out = imap_output(s);
	struct message_row row;
	int err = t->with_rows ? message_cursor_get(&t->rows, entry->message, &row) : 0;
	if (err < 0) {
		fetch_leave_out(s, t, entry, err == ERR_NOT_FOUND ? ERR_CORRUPT : err); /* an entry without its message */
		return;
	}
	put_head(out, number);
	for (uint32_t i = 0; i < fetch->n; i++) {
		if (i)
			outq_add(out, STR(" "));
		put_item(s, t, &fetch->items[i], entry, &row);
		if (t->cold.n > 0)
			return;
	}
	if (t->marked.n && set_has(&t->marked, entry->uid))
		put_marked(s, t, entry);
	outq_add(out, STR(")\r\n"));
}
