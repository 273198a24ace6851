/* import.c: `mansio import`: mail of another program (Maildir, mbox) into an account, while the server serves. Owns
 * struct import. Given again, the same command goes on where the server had come to, or brings what is new; nothing
 * comes in twice (import.h says why). */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"
#include "syntax/imap_name.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_MAX     ((size_t)4 * 1024 * 1024 * 1024)
#define ASK_AGAIN_NS 200000000

/* --- the command line --- */

static int read_format(struct import *x, const struct stat *about)
{
	struct str format = ctl_option(x->ctl, "--format");
	bool is_auto = format.n == 0 || str_eq(format, STR("auto"));
	if (!is_auto && !str_eq(format, STR("maildir")) && !str_eq(format, STR("mbox")))
		return ctl_fail(x->ctl, EXIT_USAGE, "usage", STR("--format is auto, maildir or mbox"));
	x->is_file = !S_ISDIR(about->st_mode);
	x->is_maildir = is_auto ? !x->is_file && import_looks_like_maildir(x->source) : str_eq(format, STR("maildir"));
	if (x->is_maildir && x->is_file)
		return ctl_fail(x->ctl, EXIT_USAGE, "usage", STR("a Maildir is a folder, and this is a file"));
	return EXIT_DONE;
}

static int read_mailbox(struct import *x)
{
	struct str given = ctl_option(x->ctl, "--mailbox");
	const char *why = "it is too long";
	char text[512];
	x->mailbox = imap_name_is_inbox(given) ? STR("INBOX") : given;
	if (given.n == 0 || imap_name_check(given, &why) == 0)
		return EXIT_DONE;
	snprintf(text, sizeof text, "there can be no mailbox \"%.*s\": %s", STR_ARG(str_first(given, 200)), why);
	return ctl_fail(x->ctl, EXIT_USAGE, "usage", str_from_c(text));
}

static int read_source(struct import *x)
{
	char path[IMPORT_PATH_MAX + 1], text[2 * IMPORT_PATH_MAX];
	struct stat about;
	char *given = mem_copy(x->ctl->arguments[1]);
	bool found = realpath(given, path) && strlen(path) < IMPORT_PATH_MAX && stat(path, &about) == 0;
	snprintf(text, sizeof text, "cannot read %s: %m", given);
	mem_free(given);
	if (!found)
		return errno == ENOENT ? ctl_fail(x->ctl, EXIT_NOT_FOUND, "not_found", str_from_c(text))
		                       : ctl_fail(x->ctl, EXIT_FAILED, "io", str_from_c(text));
	x->source = mem_copy(str_from_c(path));
	int result = read_format(x, &about);
	if (result)
		return result;
	char *slash = x->is_file ? strrchr(path, '/') : NULL;
	if (slash)
		slash[slash == path ? 1 : 0] = '\0';
	x->source_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->source_fd >= 0)
		return EXIT_DONE;
	snprintf(text, sizeof text, "cannot read %s: %m", path);
	return ctl_fail(x->ctl, EXIT_FAILED, "io", str_from_c(text));
}

/* The account's id: an account of the same name that was made anew is another one. */
static int find_account(struct import *x)
{
	struct arena arena = ARENA_INIT(1024 * 1024);
	struct ctl_reply reply;
	struct json_value *account;
	ctl_reply_init(&reply);
	int result = ctl_ask(x->ctl, CONTROL_ACCOUNT_SHOW, x->ctl->arguments, 1, &reply, &arena, &account);
	if (result == EXIT_DONE) {
		snprintf(x->account_id, sizeof x->account_id, "%.*s", STR_ARG(json_string(json_member(account, "id"))));
		x->shard = json_u64(json_member(account, "shard"));
		x->is_moving = json_member(account, "moving_to") != NULL;
	}
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

/* --- what is said --- */

static int exit_code_of(int err)
{
	switch (err) {
	case ERR_NOT_FOUND:
		return EXIT_NOT_FOUND;
	case ERR_UNAVAILABLE:
	case ERR_CLOSED:
	case ERR_TIMEOUT:
		return EXIT_UNAVAILABLE;
	case ERR_EXISTS:
		return EXIT_EXISTS;
	default:
		return EXIT_FAILED;
	}
}

static int fail(struct import *x, int err)
{
	char code[64] = "";
	const char *name = err_name(err) + (str_starts(str_from_c(err_name(err)), STR("ERR_")) ? 4 : 0);
	for (size_t i = 0; name[i] && i < sizeof code - 1; i++)
		code[i] = ascii_lower(name[i]);
	if (x->durable.imported > 0 && !x->ctl->json)
		fprintf(stderr, "mansio: at least %" PRIu64 " message%s in so far\n", x->durable.imported,
		        x->durable.imported == 1 ? " is" : "s are");
	return ctl_fail(x->ctl, exit_code_of(err), code, buf_str(&x->problem));
}

static void print_json(const struct import *x)
{
	struct buf out = BUF_INIT(65536);
	json_begin_object(&out);
	json_field_string(&out, "account", x->account);
	json_field_string(&out, "format", x->is_maildir ? STR("maildir") : STR("mbox"));
	json_field_string(&out, "source", str_from_c(x->source));
	json_field_u64(&out, "mailboxes", x->n_targets);
	json_field_u64(&out, "messages", x->durable.imported);
	json_field_u64(&out, "there_already", x->there_already);
	json_field_bool(&out, "resumed", x->resumed);
	json_field_bool(&out, "store_is_older", x->store_is_older);
	json_field_u64(&out, "too_large", x->too_large);
	json_field_u64(&out, "refused", x->refused);
	json_field_u64(&out, "unreadable", x->unreadable + x->scan.unreadable);
	json_field_u64(&out, "unreadable_folders", x->scan.unreadable_folders);
	json_field_u64(&out, "moved", x->still_there);
	json_field_u64(&out, "gone", x->gone);
	json_field_u64(&out, "links", x->scan.links);
	json_field_u64(&out, "mbox_files", x->scan.mbox_files);
	json_field_u64(&out, "deleted", x->deleted);
	json_field_u64(&out, "with_nul", x->with_nul);
	json_field_u64(&out, "with_uidl", x->with_uidl);
	json_field_u64(&out, "keywords_left_out", x->keywords_left_out);
	json_field_u64(&out, "renamed", x->scan.renamed);
	json_end_object(&out);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_free(&out);
}

static int print_summary(const struct import *x)
{
	uint64_t unreadable = x->unreadable + x->scan.unreadable;
	uint64_t folders = x->scan.unreadable_folders;
	const struct {
		uint64_t n;
		const char *of, *what;
	} NOTES[] = {
		{ x->there_already, "message", "there already, by an import before" },
		{ x->too_large, "message", "left out, larger than imap.max_message_size" },
		{ x->refused, "message", "left out, refused by the server" },
		{ unreadable, "message", "left out, could not be read" },
		{ folders, "folder", "left out, wholly or in part; could not be read" },
		{ x->still_there, "message", "left out, moved while this ran; run the same command again" },
		{ x->gone, "message", "went away while this ran" },
		{ x->scan.links, "link", "passed over" },
		{ x->scan.mbox_files, "mbox file", "passed over among Maildirs; name such a file to import it" },
		{ x->deleted, "message", "left out, deleted in Thunderbird and not compacted yet" },
		{ x->keywords_left_out, "keyword", "left out of messages, since their mailboxes have as many as they may (imap.max_keywords)" },
		{ x->scan.renamed, "folder", "went to a mailbox of another name, since none can have its own" },
		{ x->with_nul, "message", "held NUL bytes, which mail cannot have; each is a \"?\" now" },
	};
	if (x->ctl->json) {
		print_json(x);
	} else {
		if (x->with_uidl)
			printf("POP3 ids of the other server: sent with %" PRIu64 " message%s\n", x->with_uidl,
			       x->with_uidl == 1 ? "" : "s");
		printf("imported: %" PRIu64 " message%s into %" PRIu32 " mailbox%s\n", x->durable.imported,
		       x->durable.imported == 1 ? "" : "s", x->n_targets, x->n_targets == 1 ? "" : "es");
		for (size_t i = 0; i < COUNT_OF(NOTES); i++)
			if (NOTES[i].n)
				printf("%" PRIu64 " %s%s: %s\n", NOTES[i].n, NOTES[i].of, NOTES[i].n == 1 ? "" : "s", NOTES[i].what);
	}
	bool is_all = !x->too_large && !x->refused && !unreadable && !folders && !x->still_there && !x->keywords_left_out;
	if (x->is_held)
		fprintf(stderr, "mansio: more messages were left out than can be noted one by one, so this import is not complete; mend why they "
		        "were left out (imap.max_message_size, or at the source), and run the same command again, which goes on "
		        "as after an interruption\n");
	return is_all && !x->store_is_older && !x->is_held ? EXIT_DONE : EXIT_FAILED;
}

/* --- the whole --- */

/* With the number of the source as soon as there is one. */
static int connect_parcel(struct import *x, bool has_number)
{
	const struct str arguments[] = { x->account, STR("add"), str_of((const char *)x->transfer, sizeof x->transfer) };
	int fd;
	if (ctl_parcel_open(x->ctl, CONTROL_PARCEL_WRITE, arguments, has_number ? 3 : 2, &fd, &x->reply) < 0)
		return ctl_fail_reply(x->ctl, &x->reply);
	ctl_parcel_sender_begin(&x->sender, fd);
	x->sender.refused = import_on_refused;
	x->sender.owner = x;
	return EXIT_DONE;
}

/* The account was on its way from one shard to another when the server was asked; then it waits until that is over. */
static bool has_moved(struct import *x, int *result)
{
	uint64_t shard = x->shard;
	bool is_told = false;
	*result = find_account(x);
	while (*result == EXIT_DONE && x->is_moving) {
		if (!is_told)
			fprintf(stderr, "mansio: the account is being moved to another shard; waiting until that is over\n");
		is_told = true;
		nanosleep(&(struct timespec){ .tv_nsec = ASK_AGAIN_NS }, NULL);
		*result = find_account(x);
	}
	return *result == EXIT_DONE && (is_told || x->shard != shard);
}

/* How far the server is, before the record is read, which another run may write until it is locked. What follows may take
 * long, and nothing is open meanwhile. */
static int ask_counter(struct import *x, int *err)
{
	int result = EXIT_DONE;
	do {
		if ((result = connect_parcel(x, false)) != EXIT_DONE)
			return result;
		*err = import_ask_counter(x);
		ctl_parcel_sender_free(&x->sender);
	} while (*err == ERR_UNAVAILABLE && has_moved(x, &result));
	return result;
}

static int prepare(struct import *x)
{
	int err = import_state_read(x);
	progress_begin(&x->progress, "reading", 0, "messages");
	if (!err)
		err = import_scan(x);
	progress_end(&x->progress);
	if (!err)
		err = import_order(x);
	if (!err)
		err = import_state_begin(x);
	if (!err && x->resumed && x->durable.imported == 0) /* more may be in than we were told of */
		fprintf(stderr, "mansio: going on where an import was interrupted\n");
	else if (!err && x->resumed)
		fprintf(stderr, "mansio: going on where an import was interrupted: at least %" PRIu64 " message%s in already\n",
		        x->durable.imported, x->durable.imported == 1 ? " is" : "s are");
	if (!err && x->store_is_older)
		fprintf(stderr, "mansio: the store is older than what is noted of this import, as after a restore of a backup: messages that "
		        "were imported since that backup may be missing, and do not come again by themselves. To have them, say --again, "
		        "which imports all of the source once more (what is there comes twice), or --mailbox NAME, which imports all of it "
		        "into another mailbox\n");
	return err;
}

static int transfer(struct import *x)
{
	progress_begin(&x->progress, "importing", x->scan.bytes, "messages");
	progress_skip(&x->progress, x->bytes_done, x->at.imported);
	int err = import_begin(x);
	if (!err)
		err = x->is_maildir ? import_maildir(x) : import_mbox(x);
	if (!err)
		err = import_finish(x);
	progress_end(&x->progress);
	if (!err)
		err = import_state_save(x);
	if (!err)
		import_look_again(x);
	if (!err)
		return 0;
	int before = err;
	struct buf problem = x->problem; /* what is told is why it ended */
	x->problem = BUF_INIT(problem.max);
	(void)!import_state_save(x);
	buf_free(&x->problem);
	x->problem = problem;
	return before;
}

static void clean_up(struct import *x)
{
	import_send_free(x);
	import_scan_free(&x->scan);
	import_moved_free(&x->moved);
	import_uidl_free(x);
	mem_free(x->items);
	mem_free(x->source);
	mem_free(x->state_path);
	buf_free(&x->remembered);
	buf_free(&x->list);
	set_free(&x->left);
	set_free(&x->refusals);
	buf_free(&x->problem);
	if (x->source_fd >= 0)
		close(x->source_fd);
	if (x->state_fd >= 0)
		close(x->state_fd);
}

int ctl_run_import(struct ctl *ctl, const struct ctl_command *command)
{
	struct import *x = mem_alloc(1, sizeof *x);
	int err = 0;
	*x = (struct import){ .ctl = ctl, .account = ctl->arguments[0], .source_fd = -1, .state_fd = -1,
		                  .remembered = BUF_INIT(LIST_MAX), .list = BUF_INIT(LIST_MAX),
		                  .problem = BUF_INIT(4 * IMPORT_PATH_MAX),
		                  .max_size = ctl->conf.imap.max_message_size, .spool = { .fd = -1 }, .sender = { .fd = -1 } };
	ctl_reply_init(&x->reply);
	int result = read_mailbox(x);
	if (result == EXIT_DONE)
		result = import_uidl_options(x);
	if (result == EXIT_DONE)
		result = read_source(x);
	if (result == EXIT_DONE)
		result = find_account(x);
	if (result == EXIT_DONE)
		err = import_state_lock(x);
	if (result == EXIT_DONE && !err)
		result = ask_counter(x, &err);
	if (result == EXIT_DONE && !err)
		err = prepare(x);
	if (result == EXIT_DONE && !err)
		result = connect_parcel(x, true);
	if (result == EXIT_DONE && !err)
		err = transfer(x);
	if (result == EXIT_DONE)
		result = err ? fail(x, err) : print_summary(x);
	clean_up(x);
	mem_free(x);
	return result;
}
