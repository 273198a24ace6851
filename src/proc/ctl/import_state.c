/* import_state.c: what an import remembers, in two files: the record, which is replaced as a whole and follows the
 * server, and beside it NAME.list, which is written when a run begins (import_record.h says what stands in them). They
 * stay when the import is complete, for the next one of the same. A run holds a lock on NAME.lock.
 *
 * A list that grows is written before its record: lines that no record knows yet are as new. One that is begun anew gets
 * the name NAME.list.new: the record that belongs to it takes its place and the old list's in one step, and then it is
 * renamed; where that did not happen any more, the next run does it.
 *
 * By default they lie in $XDG_STATE_HOME/mansio (~/.local/state/mansio), since the source may be read-only. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/random.h"
#include "db/bodylog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST     ".list"
#define NEW_LIST ".list.new"

/* --- where it is --- */

static int make_folders(struct import *x, const char *path)
{
	char part[IMPORT_PATH_MAX];
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return import_fail(x, ERR_IO, "cannot make the folder %s for the state of the import: %m", part);
	}
	return 0;
}

/* A name that is the same whenever the same is imported into the same, by whatever address; an account that was made
 * anew is another one. */
static uint64_t name_of(const struct import *x)
{
	struct body_sum *sum = body_sum_new();
	const struct str parts[] = { str_from_c(x->account_id), x->mailbox, str_from_c(x->source) };
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		body_sum_add(sum, parts[i]);
		body_sum_add(sum, STR("\n"));
	}
	return body_sum_end(&sum);
}

static int find_path(struct import *x)
{
	struct str given = ctl_option(x->ctl, "--state");
	const char *state_home = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char path[IMPORT_PATH_MAX];
	int n;
	if (given.n > 0)
		n = snprintf(path, sizeof path, "%.*s", STR_ARG(given));
	else if (state_home && state_home[0] == '/')
		n = snprintf(path, sizeof path, "%s/mansio/import-%016" PRIx64, state_home, name_of(x));
	else if (home && home[0] == '/')
		n = snprintf(path, sizeof path, "%s/.local/state/mansio/import-%016" PRIx64, home, name_of(x));
	else
		return import_fail(x, ERR_NOT_FOUND, "there is no $HOME for the state of the import; say --state FILE");
	if (n >= IMPORT_PATH_MAX - 16)
		return import_fail(x, ERR_LIMIT, "the path of the state file is too long");
	x->state_path = mem_copy(str_of(path, (size_t)n));
	return given.n > 0 ? 0 : make_folders(x, path);
}

static void beside(const struct import *x, const char *ending, char path[IMPORT_PATH_MAX])
{
	snprintf(path, IMPORT_PATH_MAX, "%s%s", x->state_path, ending);
}

static int sync_folder_of(struct import *x, const char *path)
{
	char folder[IMPORT_PATH_MAX];
	snprintf(folder, sizeof folder, "%s", path);
	char *slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	if (file_sync_folder(AT_FDCWD, slash ? folder : ".") < 0)
		return import_fail(x, ERR_IO, "cannot write the folder of %s: %m", path);
	return 0;
}

/* --- reading --- */

static struct str format_of(const struct import *x)
{
	return x->is_maildir ? STR("maildir") : STR("mbox");
}

static void print_record(const struct import *x, struct buf *out)
{
	const struct import_position *noted = x->is_held ? &x->held : &x->durable;
	struct import_record record = { .account = str_from_c(x->account_id),
		                            .source = str_from_c(x->source),
		                            .mailbox = x->mailbox,
		                            .format = format_of(x),
		                            .number = noted->number,
		                            .before = x->before,
		                            .next = x->next,
		                            .imported = noted->imported,
		                            .complete = x->complete,
		                            .counter = x->counter,
		                            .left = x->left };
	memcpy(record.transfer, x->transfer, sizeof record.transfer);
	memcpy(record.list, x->list_id, sizeof record.list);
	import_record_print(&record, out);
}

/* The record is of this import. `mine`: as this one would be read back, for paths may have bytes that JSON cannot. */
static int check_record(struct import *x, const struct import_record *record, const struct import_record *mine)
{
	if (!str_eq(record->source, mine->source))
		return import_fail(x, ERR_EXISTS, "%s is of an import from elsewhere; say --again to import everything and use it "
		                   "for this", x->state_path);
	if (!str_eq(record->account, mine->account))
		return import_fail(x, ERR_EXISTS, "%s is of an import into another account, or into one that was made anew since; "
		                   "say --again to import everything", x->state_path);
	if (!str_eq(record->mailbox, mine->mailbox) || !str_eq(record->format, mine->format))
		return import_fail(x, ERR_EXISTS, "%s is of an import with another --mailbox or --format; give the same, or say "
		                   "--again to import everything", x->state_path);
	return 0;
}

/* A run that is complete is where this one begins; one that is not goes on. Only then the server's memory of it is asked:
 * where the files here are a copy of an earlier day, numbers come again. */
static void take_record(struct import *x, struct import_record *record)
{
	if (!record->complete)
		memcpy(x->transfer, record->transfer, sizeof x->transfer);
	x->left = record->left;
	record->left = SET_INIT;
	x->next = record->next;
	x->before = record->complete ? record->next - 1 : record->before;
	x->durable = (struct import_position){ .number = record->complete ? x->before : record->number,
		                                   .imported = record->complete ? 0 : record->imported };
	x->resumed = !record->complete;
	x->counter = record->counter;
	x->store_is_older = x->counter_at_begin < x->counter;
}

static int lock(struct import *x)
{
	char path[IMPORT_PATH_MAX];
	beside(x, ".lock", path);
	x->state_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (x->state_fd < 0)
		return import_fail(x, ERR_IO, "cannot write %s: %m", path);
	if (flock(x->state_fd, LOCK_EX | LOCK_NB) < 0)
		return import_fail(x, ERR_UNAVAILABLE, "this import is running already (%s is locked)", path);
	return 0;
}

/* The list of that name, when it is the record's. */
static bool read_list(struct import *x, const char *ending, const struct import_record *record)
{
	char path[IMPORT_PATH_MAX];
	beside(x, ending, path);
	buf_clear(&x->remembered);
	if (!ctl_read_file(path, &x->remembered))
		return false;
	struct str rest = buf_str(&x->remembered);
	return import_head_take(&rest, x->list_id) == 0 && memcmp(x->list_id, record->list, sizeof record->list) == 0;
}

/* Of NAME.list.new, whose record is written. */
static int rename_list(struct import *x)
{
	char from[IMPORT_PATH_MAX], to[IMPORT_PATH_MAX];
	beside(x, NEW_LIST, from);
	beside(x, LIST, to);
	if (rename(from, to) < 0)
		return import_fail(x, ERR_IO, "cannot rename %s: %m", from);
	x->list_is_new = false;
	return sync_folder_of(x, to);
}

/* The list of a record that is not read gets its name, before another one takes the place where it waits for it. */
static int settle_list(struct import *x)
{
	struct buf text = BUF_INIT(IMPORT_RECORD_MAX);
	struct arena arena = ARENA_INIT(IMPORT_ARENA_MAX);
	struct import_record record = { .left = SET_INIT };
	int err = 0;
	if (ctl_read_file(x->state_path, &text) && import_record_parse(buf_str(&text), &arena, &record) == 0 &&
	    !read_list(x, LIST, &record) && read_list(x, NEW_LIST, &record))
		err = rename_list(x);
	buf_clear(&x->remembered);
	set_free(&record.left);
	arena_free(&arena);
	buf_free(&text);
	return err;
}

static int read_record(struct import *x)
{
	char list[IMPORT_PATH_MAX];
	struct buf text = BUF_INIT(IMPORT_RECORD_MAX), own = BUF_INIT(IMPORT_RECORD_MAX);
	struct arena arena = ARENA_INIT(2 * IMPORT_ARENA_MAX);
	struct import_record record = { .left = SET_INIT }, mine = { .left = SET_INIT };
	int err = 0;
	beside(x, LIST, list);
	print_record(x, &own);
	if (!ctl_read_file(x->state_path, &text) || import_record_parse(buf_str(&text), &arena, &record) < 0 ||
	    import_record_parse(buf_str(&own), &arena, &mine) < 0)
		err = import_fail(x, ERR_CORRUPT, "%s cannot be read; say --again to import everything", x->state_path);
	if (!err)
		err = check_record(x, &record, &mine);
	if (!err && !read_list(x, LIST, &record))
		err = read_list(x, NEW_LIST, &record) ? rename_list(x)
		      : import_fail(x, ERR_CORRUPT, "%s cannot be read, or %s is not of it; say --again to import everything", list,
		                    x->state_path);
	if (!err)
		take_record(x, &record);
	set_free(&record.left);
	set_free(&mine.left);
	arena_free(&arena);
	buf_free(&text);
	buf_free(&own);
	return err;
}

int import_state_lock(struct import *x)
{
	int err = find_path(x);
	return err ? err : lock(x);
}

int import_state_read(struct import *x)
{
	int err = ctl_flag(x->ctl, "--again") ? settle_list(x) : 0;
	random_bytes(x->transfer, sizeof x->transfer);
	random_bytes(x->list_id, sizeof x->list_id);
	x->next = 1;
	x->list_is_new = ctl_flag(x->ctl, "--again") || access(x->state_path, F_OK) < 0;
	if (!err && !x->list_is_new)
		err = read_record(x);
	x->at = x->durable;
	return err;
}

/* --- writing --- */

/* The whole file under another name first: at no moment there is half of one. What was written is on disk afterwards:
 * what the server has stored must not be sent under another number. */
static int replace_file(struct import *x, const char *path, struct str text)
{
	char partial[IMPORT_PATH_MAX + 16];
	snprintf(partial, sizeof partial, "%s.partial", path);
	int fd = open(partial, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	bool good = fd >= 0 && file_write(fd, text) == 0 && fsync(fd) == 0;
	if (fd >= 0)
		good = close(fd) == 0 && good;
	if (!good || rename(partial, path) < 0)
		return import_fail(x, ERR_IO, "cannot write %s: %m", path);
	return sync_folder_of(x, path);
}

int import_state_begin(struct import *x)
{
	char path[IMPORT_PATH_MAX];
	beside(x, x->list_is_new ? NEW_LIST : LIST, path);
	int err = replace_file(x, path, buf_str(&x->list));
	if (!err)
		err = import_state_save(x);
	return !err && x->list_is_new ? rename_list(x) : err;
}

int import_state_save(struct import *x)
{
	struct buf text = BUF_INIT(IMPORT_RECORD_MAX);
	print_record(x, &text);
	int err = text.failed ? import_fail(x, ERR_LIMIT, "%s would be too large", x->state_path)
	                      : replace_file(x, x->state_path, buf_str(&text));
	buf_free(&text);
	return err;
}
