/* import_moved.c: what programs move at the source while an import runs. A file of a Maildir that is read or flagged
 * gets another name: it is found by its name up to the colon, in a listing of its folder that is made anew only where it
 * is behind. What is not in its folder any more may be in another, or elsewhere in an mbox: when all is done, the source
 * is looked at once more, so that the summary tells these from what was deleted. Owns struct import_moved. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/mem.h"
#include "mail/maildir.h"

/* --- in its turn --- */

static int compare_names(const void *a, const void *b)
{
	return maildir_name_compare(import_name_of(a), import_name_of(b));
}

static void forget_listing(struct import_moved *moved)
{
	for (size_t i = 0; i < moved->listing.n_files; i++)
		mem_free(moved->listing.files[i].name);
	mem_free(moved->listing.files);
	moved->listing = (struct import_scan){ NULL };
	moved->has_listing = false;
}

static void list_folder(struct import *x, uint32_t folder)
{
	struct import_moved *moved = &x->moved;
	forget_listing(moved);
	x->is_silent = true;
	import_list(x, folder, &moved->listing);
	x->is_silent = false;
	if (moved->listing.n_files > 1)
		qsort(moved->listing.files, moved->listing.n_files, sizeof *moved->listing.files, compare_names);
	import_settle(x, &moved->listing);
	moved->folder = folder;
	moved->has_listing = true;
}

/* The file with this name up to the colon that has so many others of it in front; NULL: there is none. */
static const struct import_file *find_listed(const struct import_moved *moved, const struct import_file *file, size_t n_before)
{
	const struct import_scan *listing = &moved->listing;
	size_t at = import_count_below(listing->files, listing->n_files, sizeof *listing->files, file, compare_names) + n_before;
	const struct import_file *found = at < listing->n_files ? &listing->files[at] : NULL;
	return found && compare_names(found, file) == 0 ? found : NULL;
}

static size_t count_before(const struct import *x, const struct import_file *file)
{
	size_t n = 0, at = (size_t)(file - x->scan.files);
	while (n < at && file[-(ptrdiff_t)n - 1].folder == file->folder && compare_names(&file[-(ptrdiff_t)n - 1], file) == 0)
		n++;
	return n;
}

static bool is_same(const struct import_file *a, const struct import_file *b)
{
	return a->is_new == b->is_new && strcmp(a->name, b->name) == 0;
}

bool import_find_moved(struct import *x)
{
	struct import_file *file = x->file;
	size_t n_before = count_before(x, file);
	bool is_fresh = !x->moved.has_listing || x->moved.folder != file->folder;
	if (is_fresh)
		list_folder(x, file->folder);
	const struct import_file *found = find_listed(&x->moved, file, n_before);
	if (found && is_same(found, file) && !is_fresh) { /* it moved after that */
		list_folder(x, file->folder);
		found = find_listed(&x->moved, file, n_before);
	}
	if (!found || is_same(found, file))
		return false;
	mem_free(file->name);
	file->name = mem_copy(str_from_c(found->name));
	file->is_new = found->is_new;
	return true;
}

/* --- in the end --- */

void import_missed(struct import *x)
{
	struct import_moved *moved = &x->moved;
	struct str name = import_name_of(x->file);
	x->gone++;
	if ((moved->n & (moved->n - 1)) == 0)
		moved->list = mem_resize(moved->list, moved->n ? moved->n * 2 : 1, sizeof *moved->list);
	moved->list[moved->n++] = (struct import_missed){ str_of(mem_copy(name), name.n), 0 };
}

static int compare_missed(const void *a, const void *b)
{
	return str_cmp(((const struct import_missed *)a)->name, ((const struct import_missed *)b)->name);
}

/* Adds to the balance of the first of each name that was missed, for each message of that name. */
static void count_names(struct import_moved *moved, const struct import_scan *scan, int64_t each)
{
	for (size_t i = 0; i < scan->n_files; i++) {
		const struct import_missed key = { .name = import_name_of(&scan->files[i]) };
		size_t at = import_count_below(moved->list, moved->n, sizeof key, &key, compare_missed);
		if (at < moved->n && compare_missed(&moved->list[at], &key) == 0)
			moved->list[at].balance += each;
	}
}

/* A message that was missed is still there when no fewer have its name than did before, without those that were missed:
 * those were imported. */
static uint64_t count_still_there(const struct import_moved *moved)
{
	uint64_t still_there = 0;
	for (size_t i = 0, n; i < moved->n; i += n) {
		for (n = 1; i + n < moved->n && str_eq(moved->list[i].name, moved->list[i + n].name);)
			n++;
		int64_t there = moved->list[i].balance + (int64_t)n;
		still_there += there <= 0 ? 0 : MIN((uint64_t)there, (uint64_t)n);
	}
	return still_there;
}

void import_look_again(struct import *x)
{
	struct import_moved *moved = &x->moved;
	struct import_scan before = x->scan;
	uint64_t deleted = x->deleted;
	if (moved->n == 0)
		return;
	if (moved->n > 1)
		qsort(moved->list, moved->n, sizeof *moved->list, compare_missed);
	count_names(moved, &before, -1);
	x->scan = (struct import_scan){ NULL };
	x->is_silent = true;
	progress_begin(&x->progress, "looking again", 0, "messages");
	int err = import_scan(x);
	progress_end(&x->progress);
	x->is_silent = false;
	count_names(moved, &x->scan, 1);
	/* what the second look cannot see may be there: the next run tells */
	bool is_known = (!err || err == ERR_NOT_FOUND) && x->scan.unreadable_folders <= before.unreadable_folders;
	import_scan_free(&x->scan);
	x->scan = before;
	x->deleted = deleted;
	x->still_there = is_known ? count_still_there(moved) : moved->n;
	x->gone -= x->still_there;
}

void import_moved_free(struct import_moved *moved)
{
	forget_listing(moved);
	for (size_t i = 0; i < moved->n; i++)
		mem_free((char *)moved->list[i].name.p);
	mem_free(moved->list);
}
