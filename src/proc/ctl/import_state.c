/* import_state.c: how far an import has come, in a file that the next run reads: what is on the server's disk, and from
 * where on to send. Beside it, NAME.list, the order of the files (import_scan.c). The state is replaced as a whole and
 * follows the server; a run holds a lock on NAME.lock. When the import is complete all of them go.
 *
 *     {"form":1,"transfer":"32 hex digits","account":"id","source":"/absolute/path","mailbox":"","format":"mbox",
 *      "number":N,"item":N,"offset":N,"imported":N}
 *
 * By default they lie in $XDG_STATE_HOME/mansio (~/.local/state/mansio), since the source may be read-only. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "db/bodylog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_FORM 1
#define STATE_MAX  (64 * 1024)

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

/* A name that is the same whenever the same is imported into the same. */
static uint64_t name_of(const struct import *x)
{
	struct body_sum *sum = body_sum_new();
	const struct str parts[] = { x->account, x->mailbox, str_from_c(x->source) };
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

static bool read_hex(struct str text, unsigned char *out, size_t n)
{
	if (text.n != n * 2)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = ascii_hex_value(text.p[2 * i]), low = ascii_hex_value(text.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

static struct str format_of(const struct import *x)
{
	return x->is_maildir ? STR("maildir") : STR("mbox");
}

static int take_state(struct import *x, const struct json_value *state)
{
	if (json_u64(json_member(state, "form")) != STATE_FORM ||
	    !read_hex(json_string(json_member(state, "transfer")), x->transfer, sizeof x->transfer))
		return import_fail(x, ERR_CORRUPT, "%s is not the state of an import; remove it to begin anew", x->state_path);
	if (!str_eq(json_string(json_member(state, "source")), str_from_c(x->source)))
		return import_fail(x, ERR_EXISTS, "%s is the state of an import from elsewhere", x->state_path);
	if (!str_eq(json_string(json_member(state, "account")), str_from_c(x->account_id)))
		return import_fail(x, ERR_EXISTS, "%s is the state of an import into another account, or into one that was made "
		                   "anew since; remove it to begin anew", x->state_path);
	if (!str_eq(json_string(json_member(state, "mailbox")), x->mailbox) ||
	    !str_eq(json_string(json_member(state, "format")), format_of(x)))
		return import_fail(x, ERR_EXISTS, "%s is the state of an import with another --mailbox or --format; give the same, "
		                   "or remove it to begin anew", x->state_path);
	x->durable = (struct import_position){
		.number = json_u64(json_member(state, "number")),
		.item = json_u64(json_member(state, "item")),
		.offset = json_u64(json_member(state, "offset")),
		.imported = json_u64(json_member(state, "imported")),
	};
	x->resumed = true;
	return 0;
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

int import_state_open(struct import *x)
{
	char list[IMPORT_PATH_MAX];
	struct buf text = BUF_INIT(STATE_MAX);
	struct arena arena = ARENA_INIT(STATE_MAX);
	struct json_value *state;
	int err = find_path(x);
	if (!err)
		err = lock(x);
	if (err)
		return err;
	random_bytes(x->transfer, sizeof x->transfer);
	if (access(x->state_path, F_OK) == 0) {
		beside(x, ".list", list);
		if (!ctl_read_file(x->state_path, &text) || json_parse(buf_str(&text), &arena, &state) < 0 ||
		    !ctl_read_file(list, &x->list_text))
			err = import_fail(x, ERR_CORRUPT, "%s or %s cannot be read: remove them to begin anew", x->state_path, list);
		else
			err = take_state(x, state);
	}
	x->at = x->durable;
	arena_free(&arena);
	buf_free(&text);
	return err;
}

/* --- writing --- */

/* The whole file under another name first: at no moment there is half of one. */
static int replace_file(struct import *x, const char *path, struct str text)
{
	char partial[IMPORT_PATH_MAX + 16];
	snprintf(partial, sizeof partial, "%s.partial", path);
	int fd = open(partial, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	bool good = fd >= 0;
	while (good && text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);
		good = n > 0 || (n < 0 && errno == EINTR);
		text = str_from(text, n > 0 ? (size_t)n : 0);
	}
	good = good && fsync(fd) == 0;
	if (fd >= 0)
		good = close(fd) == 0 && good;
	if (!good || rename(partial, path) < 0)
		return import_fail(x, ERR_IO, "cannot write %s: %m", path);
	return 0;
}

int import_state_save_list(struct import *x)
{
	char path[IMPORT_PATH_MAX];
	beside(x, ".list", path);
	if (x->list_text.failed)
		return import_fail(x, ERR_LIMIT, "there are too many files in %s", x->source);
	return replace_file(x, path, buf_str(&x->list_text));
}

int import_state_save(struct import *x)
{
	char transfer[2 * ACCOUNT_ID_SIZE + 1];
	struct buf text = BUF_INIT(STATE_MAX);
	for (size_t i = 0; i < sizeof x->transfer; i++)
		snprintf(transfer + 2 * i, 3, "%02x", x->transfer[i]);
	json_begin_object(&text);
	json_field_u64(&text, "form", STATE_FORM);
	json_field_string(&text, "transfer", str_from_c(transfer));
	json_field_string(&text, "account", str_from_c(x->account_id));
	json_field_string(&text, "source", str_from_c(x->source));
	json_field_string(&text, "mailbox", x->mailbox);
	json_field_string(&text, "format", format_of(x));
	json_field_u64(&text, "number", x->durable.number);
	json_field_u64(&text, "item", x->durable.item);
	json_field_u64(&text, "offset", x->durable.offset);
	json_field_u64(&text, "imported", x->durable.imported);
	json_end_object(&text);
	buf_add_byte(&text, '\n');
	int err = replace_file(x, x->state_path, buf_str(&text));
	buf_free(&text);
	return err;
}

void import_state_remove(struct import *x)
{
	static const char *const ENDINGS[] = { "", ".list", ".lock" };
	for (size_t i = 0; i < COUNT_OF(ENDINGS); i++) {
		char path[IMPORT_PATH_MAX];
		beside(x, ENDINGS[i], path);
		unlink(path);
	}
}
