/* import_order.c: which messages are to be imported, and in which order: those whose lines are not done with, as they
 * stand in the list, then what the list does not have: folder by folder, in a Maildir by time, in an mbox as they stand
 * there. Lines of what is gone at the source stay, so that it is known when it comes back or stands in another folder:
 * about 60 bytes for each message that ever was there. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/mem.h"
#include "mail/maildir.h"

#include <inttypes.h>

/* A message that was imported and is not any more in the folder where it was. */
struct gone {
	struct str name;  /* points into what is remembered */
	size_t n_claimed; /* of the first of several of one name: how many were found elsewhere */
};

struct gone_list {
	struct gone *list;
	size_t n;
};

static void add_gone(struct gone_list *gone, struct str name)
{
	if ((gone->n & (gone->n - 1)) == 0)
		gone->list = mem_resize(gone->list, gone->n ? gone->n * 2 : 1, sizeof *gone->list);
	gone->list[gone->n++] = (struct gone){ .name = name };
}

static int compare_gone(const void *a, const void *b)
{
	return str_cmp(((const struct gone *)a)->name, ((const struct gone *)b)->name);
}

/* One of those that are gone has this name, and was not found elsewhere before. */
static bool claim_gone(struct gone_list *gone, struct str name)
{
	const struct gone key = { .name = name };
	size_t low = import_count_below(gone->list, gone->n, sizeof key, &key, compare_gone);
	size_t at = low < gone->n ? low + gone->list[low].n_claimed : gone->n;
	if (at >= gone->n || !str_eq(gone->list[at].name, name))
		return false;
	gone->list[low].n_claimed++;
	return true;
}

static int compare_place(const struct import_scan *scan, size_t index, const struct import_line *line)
{
	const struct import_file *file = &scan->files[index];
	int order = str_cmp(str_from_c(scan->folders[file->folder].path), line->folder);
	return order ? order : maildir_name_compare(import_name_of(file), line->name);
}

/* What a line of the list means: of several that are the same, the next that no line before it meant. */
static size_t find_file(struct import_scan *scan, const struct import_line *line)
{
	size_t low = 0, high = scan->n_files;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare_place(scan, middle, line) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	size_t at = low < scan->n_files ? low + scan->files[low].n_listed : scan->n_files;
	if (at >= scan->n_files || compare_place(scan, at, line) != 0)
		return IMPORT_GONE;
	scan->files[low].n_listed++;
	scan->files[at].is_listed = true;
	return at;
}

static void add_item(struct import *x, size_t file, uint64_t number)
{
	if ((x->n_items & (x->n_items - 1)) == 0)
		x->items = mem_resize(x->items, x->n_items ? x->n_items * 2 : 1, sizeof *x->items);
	x->items[x->n_items++] = (struct import_item){ file, number };
}

/* False: there is no room for what remains. */
static bool left_no_more(struct import *x, uint32_t number)
{
	set_remove(&x->left, number, number);
	if (x->left.n <= IMPORT_LEFT_MAX)
		return true;
	set_add(&x->left, number, number); /* it stood in the middle of a range */
	return false;
}

static void take_line(struct import *x, const struct import_line *line, struct gone_list *gone)
{
	bool is_left = set_has(&x->left, (uint32_t)line->number);
	bool is_done = line->number <= x->durable.number && !is_left;
	size_t file = find_file(&x->scan, line);
	if (is_left && file == IMPORT_GONE && !x->resumed) { /* no run has sent it without knowing */
		(void)left_no_more(x, (uint32_t)line->number); /* without a line it is nobody's */
		return;
	}
	import_line_print(line, &x->list);
	if (!is_done) {
		add_item(x, file, line->number);
	} else if (file == IMPORT_GONE) {
		if (line->name.n > 0)
			add_gone(gone, line->name);
	} else {
		x->bytes_done += x->scan.files[file].size;
		x->there_already += line->name.n > 0 && line->number <= x->before;
	}
}

static int compare_new(const void *a, const void *b, void *owner)
{
	const struct import_scan *scan = owner;
	size_t first = *(const size_t *)a, second = *(const size_t *)b;
	const struct import_file *one = &scan->files[first], *other = &scan->files[second];
	if (one->folder == other->folder && one->offset != other->offset)
		return one->offset < other->offset ? -1 : 1;
	return first < second ? -1 : first > second;
}

/* What the list does not have, in order. */
static size_t *find_new(struct import_scan *scan, size_t *n)
{
	size_t *list = mem_alloc(scan->n_files + 1, sizeof *list);
	*n = 0;
	for (size_t i = 0; i < scan->n_files; i++)
		if (!scan->files[i].is_listed)
			list[(*n)++] = i;
	if (*n > 1)
		qsort_r(list, *n, sizeof *list, compare_new, scan);
	return list;
}

static int add_new(struct import *x, struct gone_list *gone)
{
	size_t n;
	size_t *list = find_new(&x->scan, &n);
	int err = 0;
	for (size_t i = 0; i < n && !err; i++) {
		const struct import_file *file = &x->scan.files[list[i]];
		const struct import_line line = { x->next, str_from_c(x->scan.folders[file->folder].path), import_name_of(file) };
		if (line.name.n > 0 && claim_gone(gone, line.name)) {
			x->bytes_done += file->size;
			x->there_already++;
			continue;
		}
		if (x->next == IMPORT_NUMBER_MAX)
			err = ERR_LIMIT;
		import_line_print(&line, &x->list);
		add_item(x, list[i], x->next++);
	}
	mem_free(list);
	return err || x->list.failed ? import_fail(x, ERR_LIMIT, "there are too many messages in %s", x->source) : 0;
}

int import_order(struct import *x)
{
	struct gone_list gone = { NULL, 0 };
	struct str rest = buf_str(&x->remembered);
	struct import_line line = { .number = 0 };
	unsigned char known[ACCOUNT_ID_SIZE];
	int err = import_head_take(&rest, known);
	import_head_print(x->list_id, &x->list);
	while (rest.n > 0 && !err) {
		err = import_line_take(&rest, line.number, &line);
		if (!err)
			take_line(x, &line, &gone);
	}
	if (err) {
		err = import_fail(x, err, "%s.list cannot be read; say --again to import everything", x->state_path);
	} else {
		x->next = MAX(x->next, line.number + 1); /* the list is written before the record */
		if (gone.n > 1)
			qsort(gone.list, gone.n, sizeof *gone.list, compare_gone);
		err = add_new(x, &gone);
	}
	mem_free(gone.list);
	return err;
}

/* --- one after the other --- */

static void tell_left(struct import *x, const struct import_file *file, const char *why)
{
	char path[2 * IMPORT_PATH_MAX], text[300];
	if (x->is_maildir)
		import_file_path(x, file, path);
	else
		snprintf(path, sizeof path, "%s", x->scan.folders[file->folder].path);
	if (x->is_maildir)
		snprintf(text, sizeof text, "%s; left out", why);
	else
		snprintf(text, sizeof text, "has at byte %" PRIu64 " a message that %s; left out", file->offset, why);
	import_tell(x, path, text);
}

/* No more ranges can be noted: what is behind here is sent by the next run once more, which is the same import, so the
 * server knows what it has. */
static void hold(struct import *x)
{
	if (!x->is_held)
		x->held = x->durable;
	x->is_held = true;
}

static void leave(struct import *x, const struct import_file *file, uint64_t number, const char *why)
{
	if (file && why)
		tell_left(x, file, why);
	set_add(&x->left, (uint32_t)number, (uint32_t)number);
	if (x->left.n <= IMPORT_LEFT_MAX)
		return;
	set_remove(&x->left, (uint32_t)number, (uint32_t)number);
	hold(x);
}

void import_leave(struct import *x, const char *why)
{
	leave(x, x->file, x->number, why);
}

void import_came(struct import *x, uint32_t number)
{
	if (set_has(&x->left, number) && !left_no_more(x, number))
		hold(x);
}

static int compare_item(const void *a, const void *b)
{
	const struct import_item *one = a, *other = b;
	return one->number < other->number ? -1 : one->number > other->number;
}

void import_leave_sent(struct import *x, uint64_t number, const char *why)
{
	const struct import_item key = { .number = number };
	size_t at = import_count_below(x->items, x->n_items, sizeof key, &key, compare_item);
	bool is_known = at < x->n_items && x->items[at].number == number && x->items[at].file != IMPORT_GONE;
	leave(x, is_known ? &x->scan.files[x->items[at].file] : NULL, number, why);
}

const struct import_file *import_next(struct import *x, int *err)
{
	while (!*err && x->next_item < x->n_items) {
		const struct import_item *item = &x->items[x->next_item++];
		x->number = item->number;
		x->at.number = MAX(x->at.number, item->number);
		x->file = item->file == IMPORT_GONE ? NULL : &x->scan.files[item->file];
		if (!x->file) {
			x->gone++;
			import_leave(x, NULL);
			continue;
		}
		progress_set(&x->progress, x->bytes_done, x->at.imported);
		x->bytes_done += x->file->size;
		if (x->file->name[0])
			return x->file;
		*err = import_mailbox_send(x, buf_str(&x->scan.folders[x->file->folder].mailbox));
	}
	return NULL;
}
