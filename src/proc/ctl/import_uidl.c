/* import_uidl.c: the unique ids that POP3 clients were told of messages by the server that they come from, so that nobody
 * fetches them anew. They stand in lists beside the files of a Maildir (mail/uidl_list.h), in a list that --uidl-file
 * names, or follow from uid and UIDVALIDITY; those of an mbox in its fields X-UIDL. Ids that POP3 cannot have, or that look
 * like ours, are left out. The table of one folder is owned by struct import. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/mem.h"
#include "mail/uidl_list.h"
#include "syntax/pop3.h"

#define LIST_MAX ((size_t)1024 * 1024 * 1024)

/* Name of a file, up to the colon, and its id; both point into the list's text, or the id into `made`. */
struct import_uidl {
	struct str name, uidl;
	size_t made; /* offset in `made` + 1; 0: uidl stands as it is */
};

int import_uidl_options(struct import *x)
{
	struct str way = ctl_option(x->ctl, "--uidl"), file = ctl_option(x->ctl, "--uidl-file");
	struct uidl_item some = { STR("name"), 1, 1, { NULL, 0 } };
	struct buf out = BUF_INIT(4096);
	bool pattern = way.n > 0 && !str_eq(way, STR("auto")) && !str_eq(way, STR("none"));
	int result = EXIT_DONE;
	if (pattern && (str_find_byte(way, '%') < 0 || uidl_pattern_print(way, &some, &out) < 0))
		result = ctl_fail(x->ctl, EXIT_USAGE, "usage", STR("--uidl is auto, none, or a pattern of %u, %v and %f such as "
		                                                   "%08Xu%08Xv"));
	x->uidls.pattern = pattern ? way : STR("");
	x->uidls.off = str_eq(way, STR("none"));
	buf_free(&out);
	if (result || file.n == 0)
		return result;
	x->uidls.given = BUF_INIT(LIST_MAX);
	if (!ctl_read_file(file.p, &x->uidls.given))
		return ctl_fail(x->ctl, EXIT_NOT_FOUND, "io", STR("the file that --uidl-file names cannot be read"));
	return EXIT_DONE;
}

static void add(struct import_uidls *uidls, struct str name, struct str uidl, size_t made)
{
	if ((uidls->n & (uidls->n - 1)) == 0)
		uidls->list = mem_resize(uidls->list, uidls->n ? uidls->n * 2 : 1, sizeof *uidls->list);
	uidls->list[uidls->n++] = (struct import_uidl){ name, uidl, made };
}

/* An id that was not told, by a pattern. */
static void add_made(struct import_uidls *uidls, const struct uidl_item *item, struct str pattern)
{
	size_t before = uidls->made.n;
	if (uidl_pattern_print(pattern, item, &uidls->made) < 0) {
		uidls->made.n = before;
		return;
	}
	add(uidls, item->name, str_of(NULL, uidls->made.n - before), before + 1);
}

/* pattern: for items whose id is not told; empty: they have none. False: no list that we can read. */
static bool add_list(struct import_uidls *uidls, enum uidl_list_kind kind, struct str text, struct str pattern)
{
	struct uidl_list list = { .kind = kind };
	struct uidl_item item;
	while (text.n > 0) {
		int result = uidl_list_line(&list, str_cut(&text, '\n'), &item);
		if (result == ERR_UNSUPPORTED)
			return false;
		if (result == 0 && item.uidl.n > 0)
			add(uidls, item.name, item.uidl, 0);
		else if (result == 0 && kind == UIDL_LIST_OF_POP3)
			add_made(uidls, &item, item.uidvalidity ? STR("UID%u-%v") : STR("UID%u"));
		else if (result == 0 && pattern.n > 0)
			add_made(uidls, &item, pattern);
	}
	return true;
}

static bool read_beside(struct import *x, const struct import_folder *folder, const char *name)
{
	buf_clear(&x->uidls.text);
	return import_read_beside(x, folder, name, &x->uidls.text);
}

static int compare(const void *a, const void *b)
{
	const struct import_uidl *first = a, *second = b;
	return str_cmp(first->name, second->name);
}

void import_uidl_enter(struct import *x, const struct import_folder *folder)
{
	struct import_uidls *uidls = &x->uidls;
	bool root = strcmp(folder->path, ".") == 0; /* other folders were never shown by POP3: only what was told counts */
	struct str pattern = root ? uidls->pattern : STR(""), dovecot = root ? STR(UIDL_PATTERN_DOVECOT) : STR("");
	if (uidls->given_is_read)
		return;
	uidls->n = 0;
	buf_clear(&uidls->made);
	if (!uidls->text.max) {
		uidls->text = BUF_INIT(LIST_MAX);
		uidls->made = BUF_INIT(LIST_MAX);
	}
	if (uidls->given.n > 0) {
		uidls->given_is_read = true;
		(void)add_list(uidls, UIDL_LIST_OF_PAIRS, buf_str(&uidls->given), STR(""));
	} else if (!uidls->off) {
		if (read_beside(x, folder, "dovecot-uidlist"))
			(void)add_list(uidls, UIDL_LIST_OF_UIDS, buf_str(&uidls->text), pattern.n ? pattern : dovecot);
		else if (pattern.n == 0 && read_beside(x, folder, "courierpop3dsizelist"))
			(void)add_list(uidls, UIDL_LIST_OF_POP3, buf_str(&uidls->text), STR(""));
		else if (pattern.n > 0 && read_beside(x, folder, "courierimapuiddb"))
			(void)add_list(uidls, UIDL_LIST_OF_UIDS, buf_str(&uidls->text), pattern);
	}
	if (uidls->n > 1)
		qsort(uidls->list, uidls->n, sizeof *uidls->list, compare);
}

static struct str checked(struct str uidl)
{
	return pop3_uidl_is_foreign(uidl) ? uidl : STR("");
}

struct str import_uidl_find(struct import *x, const struct import_folder *folder, struct str name)
{
	const struct import_uidls *uidls = &x->uidls;
	struct import_uidl key = { name, { NULL, 0 }, 0 };
	const struct import_uidl *found = uidls->n ? bsearch(&key, uidls->list, uidls->n, sizeof key, compare) : NULL;
	if (found)
		return checked(found->made ? str_of(uidls->made.p + found->made - 1, found->uidl.n) : found->uidl);
	bool by_name = str_eq(uidls->pattern, STR("%f")) && strcmp(folder->path, ".") == 0 && uidls->given.n == 0;
	return by_name ? checked(name) : STR("");
}

struct str import_uidl_of_field(const struct import *x, struct str value)
{
	return x->uidls.off ? STR("") : checked(value);
}

void import_uidl_free(struct import *x)
{
	mem_free(x->uidls.list);
	buf_free(&x->uidls.text);
	buf_free(&x->uidls.made);
	buf_free(&x->uidls.given);
}
