/* sort_table.c: the keys of SORT and THREAD (RFC 5256; RFC 5957), and sorting by them in slices: short runs, then merges
 * of two at a time. Strings are compared as i;unicode-casemap has them (RFC 5256, 7). Owned by the command's task. */
#include "base/checked.h"
#include "base/mem.h"
#include "proto/imap/sort.h"
#include "syntax/address.h"
#include "syntax/date.h"
#include "syntax/header.h"
#include "syntax/subject.h"
#include "text/fold.h"

#define TEXTS_MAX    (64u * 1024 * 1024) /* bytes, of one command */
#define CELLS_MAX    (8u * 1024 * 1024)  /* of 8 bytes: a million messages by eight keys */
#define TEXT_MAX     1024                /* of one key, folded: what differs behind it only is equal */
#define FIELD_MAX    (64u * 1024)        /* what is looked at of one field */
#define HEADER_MAX   (256u * 1024)
#define ADDRESS_ROOM (64u * 1024)
#define REPLY        (UINT32_C(1) << 31)  /* in the cell of a subject, above its length */
#define RUN          256
#define MERGE_STEP   4096

void sort_table_init(struct sort_table *table, const struct imap_sort_key *keys, uint32_t n_keys)
{
	*table = (struct sort_table){ .keys = keys, .n_keys = n_keys, .n_compared = n_keys,
		                          .texts = BUF_INIT(TEXTS_MAX), .width = RUN };
}

void sort_table_free(struct sort_table *table)
{
	mem_free(table->names);
	mem_free(table->cells);
	mem_free(table->order);
	mem_free(table->spare);
	buf_free(&table->texts);
	*table = (struct sort_table){ 0 };
}

/* --- keys --- */

/* A block of header fields in which all of that name stand. */
static int fields_of(struct sort_source *source, struct str name, struct str *block)
{
	const struct message_row *row = source->row;
	if (row->derived.headers.n && mail_headers_are_kept(&name, 1)) {
		*block = row->derived.headers;
		return 0;
	}
	if (source->header->n == 0 && row->header_size > 0) {
		size_t n = MIN((size_t)row->header_size, (size_t)HEADER_MAX);
		source->header->max = HEADER_MAX;
		char *room = buf_reserve(source->header, n);
		int err = room ? message_read(source->s->account, row, 0, n, room) : ERR_LIMIT;
		if (err < 0)
			return err;
		buf_commit(source->header, n);
	}
	*block = buf_str(source->header);
	return 0;
}

int sort_field(struct sort_source *source, struct str name, struct str *body)
{
	struct str block;
	int err = fields_of(source, name, &block);
	return err == 0 ? header_find(block, name, body) : err;
}

/* A field that is not there is empty. */
static int field_or_empty(struct sort_source *source, struct str name, struct str *body)
{
	int err = sort_field(source, name, body);
	if (err == ERR_NOT_FOUND)
		*body = STR("");
	else if (err == 0)
		*body = str_first(*body, FIELD_MAX);
	return err == ERR_NOT_FOUND ? 0 : err;
}

int sort_sent_date(struct sort_source *source, int64_t *out)
{
	struct str body;
	struct date date;
	int err = field_or_empty(source, STR("Date"), &body);
	if (err < 0)
		return err;
	struct buf line = BUF_INIT(FIELD_MAX);
	header_unfold(body, &line);
	*out = date_parse_sent(buf_str(&line), &date) == 0 ? date.seconds : source->row->internal_date;
	buf_free(&line);
	return 0;
}

static void add_folded(struct str utf8, struct buf *out)
{
	struct buf folded = BUF_INIT(FOLDED_MAX((size_t)TEXT_MAX));
	fold_text(str_first(utf8, TEXT_MAX), &folded);
	buf_add(out, str_first(buf_str(&folded), TEXT_MAX));
	buf_free(&folded);
}

int sort_subject(struct sort_source *source, struct buf *out, bool *is_reply)
{
	struct str body;
	int err = field_or_empty(source, STR("Subject"), &body);
	if (err < 0)
		return err;
	struct buf decoded = BUF_INIT(4 * FIELD_MAX), base = BUF_INIT(4 * FIELD_MAX);
	header_decode_text(body, source->s->settings->charsets, &decoded);
	subject_base(buf_str(&decoded), &base, is_reply);
	add_folded(buf_str(&base), out);
	buf_free(&decoded);
	buf_free(&base);
	return 0;
}

/* RFC 5957, 3: the name as people read it, else mailbox@host. */
static void add_display(struct imap_session *s, const struct address *address, struct buf *out)
{
	struct buf text = BUF_INIT(4 * FIELD_MAX);
	if (address->name.n)
		header_decode_text(address->name, s->settings->charsets, &text);
	if (text.n == 0 && address->local.p) {
		buf_add(&text, address->local);
		if (address->domain.p) {
			buf_add_byte(&text, '@');
			buf_add(&text, address->domain);
		}
	}
	add_folded(buf_str(&text), out);
	buf_free(&text);
}

/* addr-mailbox of the field's first address (RFC 3501, 7.4.2: of a group its name), or what is displayed of it. False:
 * it has none. */
static bool add_first_address(struct imap_session *s, struct str body, bool display, struct buf *out)
{
	struct arena arena = ARENA_INIT(ADDRESS_ROOM);
	struct address *list;
	size_t n;
	/* a group has a begin and an end */
	bool found = address_parse_list(str_first(body, FIELD_MAX), &arena, 2, &list, &n) == 0 && n > 0;
	if (found && display)
		add_display(s, &list[0], out);
	else if (found)
		add_folded(list[0].kind == ADDRESS_MAILBOX ? list[0].local : list[0].name, out);
	arena_free(&arena);
	return found;
}

/* Of several From fields the first one counts; those of the others are one list, as in ENVELOPE (mime.h). */
static int add_address(struct sort_source *source, struct str name, bool display, struct buf *out)
{
	bool joined = !str_eq(name, STR("From")), done = false;
	struct header_field field;
	struct str block;
	int err = fields_of(source, name, &block);
	while (err == 0 && !done && header_next(&block, &field))
		if (str_ieq(field.name, name))
			done = add_first_address(source->s, field.body, display, out) || !joined;
	return err;
}

static uint64_t signed_cell(int64_t value)
{
	return (uint64_t)value ^ UINT64_C(1) << 63; /* in the order of unsigned numbers */
}

static bool is_text(enum imap_sort_kind kind)
{
	return kind != IMAP_SORT_ARRIVAL && kind != IMAP_SORT_DATE && kind != IMAP_SORT_SIZE;
}

static int fill_cell(struct sort_table *table, struct sort_source *source, const struct entry *entry,
                     enum imap_sort_kind kind, uint64_t *cell)
{
	size_t start = table->texts.n;
	int64_t date = source->row->internal_date;
	bool is_reply = false;
	int err = 0;
	switch (kind) {
	case IMAP_SORT_DATE:
		err = sort_sent_date(source, &date);
		*cell = signed_cell(date);
		return err;
	case IMAP_SORT_ARRIVAL:
		*cell = signed_cell(date);
		return 0;
	case IMAP_SORT_SIZE:
		*cell = entry_size(entry);
		return 0;
	case IMAP_SORT_SUBJECT:
		err = sort_subject(source, &table->texts, &is_reply);
		break;
	case IMAP_SORT_CC:
		err = add_address(source, STR("Cc"), false, &table->texts);
		break;
	case IMAP_SORT_FROM:
	case IMAP_SORT_DISPLAYFROM:
		err = add_address(source, STR("From"), kind == IMAP_SORT_DISPLAYFROM, &table->texts);
		break;
	case IMAP_SORT_TO:
	case IMAP_SORT_DISPLAYTO:
		err = add_address(source, STR("To"), kind == IMAP_SORT_DISPLAYTO, &table->texts);
		break;
	}
	*cell = (uint64_t)start << 32 | (is_reply ? REPLY : 0) | (table->texts.n - start);
	return err == 0 ? buf_error(&table->texts) : err;
}

int sort_table_add(struct sort_table *table, struct sort_source *source, const struct entry *entry, uint32_t name)
{
	if (((uint64_t)table->n + 1) * table->n_keys > CELLS_MAX)
		return ERR_LIMIT;
	if (table->n == table->size) {
		table->size = table->size ? table->size * 2 : 256;
		table->names = mem_resize(table->names, table->size, sizeof *table->names);
		table->cells = mem_resize(table->cells, (size_t)table->size * table->n_keys, sizeof *table->cells);
		table->order = mem_resize(table->order, table->size, sizeof *table->order);
		table->spare = mem_resize(table->spare, table->size, sizeof *table->spare);
	}
	for (uint32_t key = 0; key < table->n_keys; key++) {
		int err = fill_cell(table, source, entry, table->keys[key].kind,
		                    &table->cells[(size_t)table->n * table->n_keys + key]);
		if (err < 0)
			return err;
	}
	table->names[table->n] = name;
	table->order[table->n] = table->n;
	table->n++;
	return 0;
}

/* --- sorting --- */

struct str sort_text(const struct sort_table *table, uint32_t index, uint32_t key)
{
	uint64_t cell = table->cells[(size_t)index * table->n_keys + key];
	return str_of(table->texts.p ? table->texts.p + (cell >> 32) : "", (size_t)((uint32_t)cell & ~REPLY));
}

bool sort_is_reply(const struct sort_table *table, uint32_t index, uint32_t key)
{
	return table->cells[(size_t)index * table->n_keys + key] & REPLY;
}

static int compare_cells(const struct sort_table *table, uint32_t key, uint32_t a, uint32_t b)
{
	if (is_text(table->keys[key].kind))
		return str_cmp(sort_text(table, a, key), sort_text(table, b, key));
	uint64_t x = table->cells[(size_t)a * table->n_keys + key], y = table->cells[(size_t)b * table->n_keys + key];
	return (x > y) - (x < y);
}

static int compare(const struct sort_table *table, uint32_t a, uint32_t b)
{
	for (uint32_t key = 0; key < table->n_compared; key++) {
		int result = compare_cells(table, key, a, b);
		if (result != 0)
			return table->keys[key].reverse ? -result : result;
	}
	return (a > b) - (a < b); /* REVERSE does not reverse this one */
}

static int compare_indexes(const void *a, const void *b, void *table)
{
	return compare(table, *(const uint32_t *)a, *(const uint32_t *)b);
}

/* Two neighbours of `width` each become one, in `spare`; a pass over all of them ends with order and spare swapped. */
static void merge(struct sort_table *t)
{
	uint32_t middle = MIN(t->left + MIN(t->width, t->n - t->left), t->n);
	uint32_t end = middle + MIN(t->width, t->n - middle), steps = 0;
	if (!t->merging) {
		t->merging = true;
		t->i = t->left;
		t->j = middle;
	}
	for (; (t->i < middle || t->j < end) && steps < MERGE_STEP; steps++) {
		bool first = t->j == end || (t->i < middle && compare(t, t->order[t->i], t->order[t->j]) < 0);
		uint32_t at = t->i + (t->j - middle);
		t->spare[at] = first ? t->order[t->i++] : t->order[t->j++];
	}
	if (t->i < middle || t->j < end)
		return;
	t->left = end;
	t->merging = false;
	if (t->left < t->n)
		return;
	uint32_t *sorted = t->spare;
	t->spare = t->order;
	t->order = sorted;
	t->left = 0;
	t->width = t->width > t->n / 2 ? t->n : t->width * 2;
}

bool sort_table_step(struct sort_table *t)
{
	if (t->sorted < t->n) {
		uint32_t n = MIN(t->n - t->sorted, (uint32_t)RUN);
		qsort_r(t->order + t->sorted, n, sizeof *t->order, compare_indexes, t);
		t->sorted += n;
	} else if (t->width < t->n) {
		merge(t);
	}
	return t->sorted >= t->n && t->width >= t->n;
}
