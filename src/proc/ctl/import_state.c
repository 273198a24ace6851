/* import_state.c: what an import remembers, in two files: the record, which is replaced as a whole and follows the
 * server, and beside it NAME.list, which is written when a run begins (import_record.h says what stands in them). They
 * stay when the import is complete, for the next one of the same. A run holds a lock on NAME.lock.
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

/* --- reading --- */

static struct str format_of(const struct import *x)
{
	return x->is_maildir ? STR("maildir") : STR("mbox");
}

static void print_record(const struct import *x, struct buf *out)
{
	struct import_record record = { .account = str_from_c(x->account_id),
		                            .source = str_from_c(x->source),
		                            .mailbox = x->mailbox,
		                            .format = format_of(x),
		                            .number = x->durable.number,
		                            .before = x->before,
		                            .next = x->next,
		                            .imported = x->durable.imported,
		                            .complete = x->complete,
		                            .counter = x->counter,
		                            .left = x->left };
	memcpy(record.transfer, x->transfer, sizeof record.transfer);
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

static int read_record(struct import *x)
{
	char list[IMPORT_PATH_MAX];
	struct buf text = BUF_INIT(IMPORT_RECORD_MAX), own = BUF_INIT(IMPORT_RECORD_MAX);
	struct arena arena = ARENA_INIT(2 * IMPORT_ARENA_MAX);
	struct import_record record = { .left = SET_INIT }, mine = { .left = SET_INIT };
	int err = 0;
	beside(x, ".list", list);
	print_record(x, &own);
	if (!ctl_read_file(x->state_path, &text) || import_record_parse(buf_str(&text), &arena, &record) < 0 ||
	    import_record_parse(buf_str(&own), &arena, &mine) < 0 || !ctl_read_file(list, &x->remembered))
		err = import_fail(x, ERR_CORRUPT, "%s or %s cannot be read; say --again to import everything", x->state_path, list);
	if (!err)
		err = check_record(x, &record, &mine);
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
	int err = 0;
	random_bytes(x->transfer, sizeof x->transfer);
	x->next = 1;
	if (!ctl_flag(x->ctl, "--again") && access(x->state_path, F_OK) == 0)
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
	char *slash = strrchr(partial, '/');
	if (slash)
		slash[slash == partial] = '\0';
	if (file_sync_folder(AT_FDCWD, slash ? partial : ".") < 0)
		return import_fail(x, ERR_IO, "cannot write the folder of %s: %m", path);
	return 0;
}

int import_state_save_list(struct import *x)
{
	char path[IMPORT_PATH_MAX];
	beside(x, ".list", path);
	return replace_file(x, path, buf_str(&x->list));
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
