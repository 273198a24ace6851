/* export.c: `mansio export`: an account's mail into a Maildir or mbox files, while the server serves. The shard sends a
 * parcel (store/parcel.h); what it cannot read comes as MISSING and is told at the end, and everything else goes on.
 * Owns struct export; only what this machine refuses (a full disk, a folder that may not be written) ends it early. */
#include "proc/ctl/export.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "mail/folder_name.h"
#include "proc/ctl/parcel.h"
#include "syntax/imap_name.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAMAGE_MAX ((size_t)64 * 1024 * 1024)
#define PATH_ROOM  4096

int export_make_folder(struct export *x, const char *path)
{
	char part[PATH_ROOM];
	struct str whole = str_from_c(path);
	for (size_t n = 1; n <= whole.n && whole.n < sizeof part; n++) {
		if (n < whole.n && whole.p[n] != '/')
			continue;
		memcpy(part, whole.p, n);
		part[n] = '\0';
		if (mkdirat(x->folder_fd, part, 0700) < 0 && errno != EEXIST)
			return err_from_errno(errno);
	}
	return 0;
}

int export_new_file(struct export *x, const char *path, int flags)
{
	if (unlinkat(x->folder_fd, path, 0) < 0 && errno != ENOENT)
		return -1;
	return openat(x->folder_fd, path, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC | flags, 0600);
}

/* --- what cannot be exported --- */

/* mailbox NULL, uid 0: nobody knows of which. */
static void tell(struct export *x, const struct export_mailbox *mailbox, uint32_t uid, const char *problem)
{
	struct str name = mailbox ? mailbox->name : x->ctl->arguments[0];
	progress_end(&x->progress);
	fprintf(stderr, "mansio: %s %.*s", mailbox ? "mailbox" : "account", STR_ARG(name));
	if (uid > 0)
		fprintf(stderr, ", uid %" PRIu32, uid);
	fprintf(stderr, ": %s\n", problem);
}

static void report_damage(struct export *x, const struct export_mailbox *mailbox, uint32_t uid, const char *problem)
{
	tell(x, mailbox, uid, problem);
	x->damaged++;
	json_begin_object(&x->damage);
	if (mailbox)
		json_field_string(&x->damage, "mailbox", mailbox->name);
	if (uid > 0)
		json_field_u64(&x->damage, "uid", uid);
	json_field_string(&x->damage, "problem", str_from_c(problem));
	json_end_object(&x->damage);
}

/* The name is too long for the format, and perhaps not for the one that has the most room. */
static void leave_out_mailbox(struct export *x, const struct export_mailbox *mailbox)
{
	struct buf path = BUF_INIT(FOLDER_PATH_MAX + 1);
	const char *why = "no file can have its name; it is left out";
	if (!x->is_nested && folder_name_print(mailbox->name, FOLDER_NESTED, &path) == 0)
		why = x->format == &EXPORT_MBOX
		              ? "no mbox file can have its name; it is left out (--format maildir --layout nested has room for it)"
		              : "no folder of Maildir++ can have its name; it is left out (--layout nested has room for it)";
	buf_free(&path);
	x->left_out_mailboxes++;
	tell(x, mailbox, 0, why);
}

/* --- frames --- */

static int take_mailbox(struct export *x, const struct parcel_mailbox *m)
{
	if ((x->n_mailboxes & (x->n_mailboxes - 1)) == 0)
		x->mailboxes = mem_resize(x->mailboxes, x->n_mailboxes ? (size_t)x->n_mailboxes * 2 : 1, sizeof *x->mailboxes);
	struct export_mailbox *mailbox = &x->mailboxes[x->n_mailboxes++];
	*mailbox = (struct export_mailbox){ .name = str_of(mem_copy(m->name), m->name.n), .recent = m->recent };
	mailbox->keywords = mem_alloc(MAX(m->n_keywords, 1U), sizeof *mailbox->keywords);
	for (uint32_t i = 0; i < m->n_keywords; i++)
		mailbox->keywords[mailbox->n_keywords++] = str_of(mem_copy(m->keywords[i]), m->keywords[i].n);
	int err = x->format->open_mailbox(x, x->n_mailboxes - 1);
	if (err != ERR_LIMIT)
		return err;
	mem_free(mailbox->path);
	mailbox->path = NULL;
	leave_out_mailbox(x, mailbox);
	return 0;
}

static void take_missing(struct export *x, const struct parcel_missing *missing)
{
	char problem[PARCEL_TEXT_MAX];
	uint32_t mailbox = parcel_mailbox_of_lost_entries(missing->number);
	if (missing->number == PARCEL_LOST_LOGS)
		return; /* of what is not exported */
	if (missing->number != PARCEL_LOST_MAILBOXES && (mailbox == 0 || mailbox > x->n_mailboxes)) {
		export_spool_missing(x, missing);
		return;
	}
	snprintf(problem, sizeof problem, "%.*s", STR_ARG(missing->problem));
	report_damage(x, mailbox ? &x->mailboxes[mailbox - 1] : NULL, 0, problem);
}

static int take_entry(struct export *x, uint32_t index, const struct parcel_entry *entry)
{
	struct export_mailbox *mailbox = &x->mailboxes[index];
	struct export_entry e = { .mailbox = index, .message = export_find(x, entry->message), .entry = entry };
	if (!e.message || e.message->problem) {
		report_damage(x, mailbox, entry->uid, e.message ? e.message->problem : "its message was not sent");
		return 0;
	}
	if (!mailbox->path) {
		mailbox->left_out++;
		export_keep(x, e.message);
		return 0;
	}
	int err = x->format->write(x, &e);
	if (err == ERR_NOT_FOUND && e.message->is_written) {
		tell(x, mailbox, entry->uid, "its file, which another mailbox has too, was moved meanwhile; export again");
		x->moved++;
		return 0;
	}
	if (err)
		return err;
	export_written(x, e.message);
	x->entries++;
	x->there += e.was_there;
	return 0;
}

static int take_frame(struct export *x, const struct parcel_frame *frame)
{
	int err = 0;
	switch (frame->type) {
	case PARCEL_BEGIN:
		x->account = frame->begin.account;
		progress_begin(&x->progress, "exporting", frame->begin.bytes, "messages");
		break;
	case PARCEL_MAILBOX:
		return take_mailbox(x, &frame->mailbox);
	case PARCEL_MESSAGE:
		return export_spool_begin(x, &frame->message);
	case PARCEL_BODY:
		x->bytes += frame->body.n;
		progress_set(&x->progress, x->bytes, x->entries);
		return export_spool_add(x, frame->body);
	case PARCEL_MISSING:
		take_missing(x, &frame->missing);
		break;
	case PARCEL_ENTRIES:
		for (uint32_t i = 0; i < frame->entries.n && !err; i++)
			err = take_entry(x, frame->entries.mailbox - 1, &frame->entries.list[i]);
		return err;
	case PARCEL_END:
		return x->format->finish(x);
	case PARCEL_SUBSCRIPTION:
	case PARCEL_EXPUNGED:
	case PARCEL_CHANGE:
	case PARCEL_HIDDEN:
	case PARCEL_DUE:
	case PARCEL_SOURCES:
	case PARCEL_ACK:
	case PARCEL_RESULT:
	case PARCEL_REFUSED:
		break;
	}
	return 0;
}

/* --- the command line --- */

static int usage(struct ctl *ctl, const char *text)
{
	return ctl_fail(ctl, EXIT_USAGE, "usage", str_from_c(text));
}

/* Folder and file from --to. */
static void set_target(struct export *x, struct str to, bool is_one_mailbox)
{
	struct stat about;
	char *path = mem_copy(to);
	bool is_folder = str_ends(to, STR("/")) || (stat(path, &about) == 0 && S_ISDIR(about.st_mode));
	x->is_one_file = x->format == &EXPORT_MBOX && is_one_mailbox && !is_folder;
	char *slash = x->is_one_file ? strrchr(path, '/') : NULL;
	if (x->is_one_file && slash) {
		x->target = mem_copy(str_from_c(slash + 1));
		x->folder = mem_copy(str_of(path, slash == path ? 1 : (size_t)(slash - path)));
		mem_free(path);
	} else if (x->is_one_file) {
		x->target = path;
		x->folder = mem_copy(STR("."));
	} else {
		x->folder = path;
	}
}

static int read_options(struct export *x)
{
	struct ctl *ctl = x->ctl;
	struct str to = ctl_option(ctl, "--to"), format = ctl_option(ctl, "--format"), layout = ctl_option(ctl, "--layout");
	if (to.n == 0)
		return usage(ctl, "--to is missing: the folder that the mail is to go to");
	if (to.n >= PATH_ROOM / 2)
		return usage(ctl, "the value of --to is too long");
	x->format = str_eq(format, STR("mbox")) ? &EXPORT_MBOX : &EXPORT_MAILDIR;
	if (format.n > 0 && !str_eq(format, str_from_c(x->format->name)))
		return usage(ctl, "--format is maildir or mbox");
	if (layout.n > 0 && (x->format == &EXPORT_MBOX || (!str_eq(layout, STR("nested")) && !str_eq(layout, STR("maildir++")))))
		return usage(ctl, "--layout is maildir++ or nested, and for --format maildir only");
	x->is_nested = str_eq(layout, STR("nested"));
	x->may_replace = ctl_flag(ctl, "--yes");
	set_target(x, to, ctl_options(ctl, "--mailbox", NULL, 0) == 1);
	return EXIT_DONE;
}

static int open_folder(struct export *x)
{
	char text[PATH_ROOM];
	x->folder_fd = AT_FDCWD;
	int err = export_make_folder(x, x->folder);
	x->folder_fd = err ? -1 : open(x->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->folder_fd >= 0)
		return EXIT_DONE;
	snprintf(text, sizeof text, "cannot make or open the folder %s: %m", x->folder);
	return ctl_fail(x->ctl, EXIT_FAILED, "io", str_from_c(text));
}

/* --- what is said --- */

static void print_left_out(const struct export *x, struct buf *out)
{
	json_key(out, "left_out");
	json_begin_array(out);
	for (uint32_t i = 0; i < x->n_mailboxes; i++) {
		if (x->mailboxes[i].path)
			continue;
		json_begin_object(out);
		json_field_string(out, "mailbox", x->mailboxes[i].name);
		json_field_u64(out, "messages", x->mailboxes[i].left_out);
		json_end_object(out);
	}
	json_end_array(out);
}

/* missing: an array of mailboxes that are not there. */
static void print_summary(struct export *x, struct str missing)
{
	char size[64];
	uint32_t written = x->n_mailboxes - x->left_out_mailboxes;
	uint64_t left_out = 0;
	if (x->ctl->json) {
		struct buf out = BUF_INIT(DAMAGE_MAX + 65536);
		json_end_array(&x->damage);
		json_begin_object(&out);
		json_field_string(&out, "account", x->ctl->arguments[0]);
		json_field_string(&out, "format", str_from_c(x->format->name));
		json_field_string(&out, "folder", str_from_c(x->folder));
		json_field_u64(&out, "mailboxes", written);
		json_field_u64(&out, "messages", x->entries);
		json_field_u64(&out, "there_already", x->there);
		json_field_u64(&out, "bytes", x->bytes);
		json_field_u64(&out, "damaged", x->damaged);
		json_key(&out, "damage");
		json_put_raw(&out, buf_error(&x->damage) ? STR("[]") : buf_str(&x->damage));
		print_left_out(x, &out);
		json_field_u64(&out, "moved_meanwhile", x->moved);
		json_key(&out, "missing");
		json_put_raw(&out, missing);
		json_end_object(&out);
		printf("%.*s\n", STR_ARG(buf_str(&out)));
		buf_free(&out);
		return;
	}
	ctl_print_size(x->entries, x->bytes, size);
	printf("exported: %s, in %" PRIu32 " mailbox%s\n", size, written, written == 1 ? "" : "es");
	if (x->there)
		printf("of these, %" PRIu64 " were there already\n", x->there);
	if (x->damaged)
		printf("not exported, since they are damaged: %" PRIu64 " (see above); 'mansio store check' says where, 'mansio store "
		       "salvage' recovers what can be recovered\n", x->damaged);
	if (x->moved)
		printf("not exported, since their files were moved meanwhile: %" PRIu64 " (see above); run the same command again\n",
		       x->moved);
	for (uint32_t i = 0; i < x->n_mailboxes; i++)
		left_out += x->mailboxes[i].left_out;
	if (x->left_out_mailboxes)
		printf("left out: %" PRIu64 " message%s of %" PRIu32 " mailbox%s whose name no file can have (see above)\n", left_out,
		       left_out == 1 ? "" : "s", x->left_out_mailboxes, x->left_out_mailboxes == 1 ? "" : "es");
}

static int fail_local(struct export *x, int err, int errnum)
{
	char text[PATH_ROOM];
	errno = errnum;
	if (x->problem[0] && err == ERR_EXISTS)
		return ctl_fail(x->ctl, EXIT_EXISTS, "exists", str_from_c(x->problem));
	if (x->problem[0])
		return ctl_fail(x->ctl, EXIT_FAILED, "io", str_from_c(x->problem));
	snprintf(text, sizeof text, "cannot write to %s: %m; run the same command again to go on", x->folder);
	return ctl_fail(x->ctl, EXIT_FAILED, err == ERR_NO_SPACE ? "no_space" : "io", str_from_c(text));
}

/* --- the whole --- */

struct reading {
	struct export *x;
	int err, errnum; /* what this machine refused */
};

static int on_frame(void *owner, const struct parcel_frame *frame)
{
	struct reading *reading = owner;
	errno = EIO;
	reading->err = take_frame(reading->x, frame);
	reading->errnum = errno;
	return reading->err;
}

/* Those that were asked for and are not there. */
static int find_missing(struct export *x, const struct str *names, uint32_t n, struct buf *missing)
{
	int result = EXIT_DONE;
	json_begin_array(missing);
	for (uint32_t i = 0; i < n; i++) {
		bool found = false;
		for (uint32_t k = 0; k < x->n_mailboxes && !found; k++)
			found = str_eq(x->mailboxes[k].name, names[i]);
		if (found)
			continue;
		fprintf(stderr, "mansio: there is no mailbox %.*s\n", STR_ARG(names[i]));
		json_put_string(missing, names[i]);
		result = EXIT_NOT_FOUND;
	}
	json_end_array(missing);
	return result;
}

static int read_parcel(struct export *x, const struct str *arguments, uint32_t n)
{
	struct reading reading = { .x = x };
	struct ctl_reply reply;
	int fd, result = EXIT_DONE;
	ctl_reply_init(&reply);
	int err = ctl_parcel_open(x->ctl, CONTROL_PARCEL_READ, arguments, n, &fd, &reply);
	if (!err) {
		err = ctl_parcel_read(fd, on_frame, &reading, &reply);
		progress_end(&x->progress);
		close(fd);
	}
	if (reading.err)
		result = fail_local(x, reading.err, reading.errnum);
	else if (err)
		result = ctl_fail_reply(x->ctl, &reply);
	ctl_reply_free(&reply);
	return result;
}

static int run(struct export *x)
{
	struct ctl *ctl = x->ctl;
	struct str names[CTL_ARGUMENTS_MAX], arguments[CTL_ARGUMENTS_MAX] = { ctl->arguments[0] };
	uint32_t n = ctl_options(ctl, "--mailbox", names, CTL_ARGUMENTS_MAX - 1);
	struct buf texts = BUF_INIT((size_t)CTL_ARGUMENTS_MAX * 2 * CONTROL_ARGUMENT_MAX);
	if (n > CTL_ARGUMENTS_MAX - 1)
		return ctl_usage(ctl, "too many options %.*s", STR("--mailbox"));
	for (uint32_t i = 0; i < n; i++) {
		if (names[i].n > CONTROL_ARGUMENT_MAX) {
			buf_free(&texts);
			return usage(ctl, "a value of --mailbox is too long");
		}
		buf_addf(&texts, "mailbox=%.*s", STR_ARG(names[i]));
	}
	for (size_t i = 0, at = 0; i < n; i++) {
		size_t name = at + sizeof "mailbox=" - 1;
		imap_name_normalise(texts.p + name, names[i].n);
		names[i] = str_of(texts.p + name, names[i].n);
		arguments[1 + i] = str_of(texts.p + at, name - at + names[i].n);
		at += arguments[1 + i].n;
	}
	int result = read_parcel(x, arguments, 1 + n);
	if (result == EXIT_DONE) {
		struct buf missing = BUF_INIT((size_t)CTL_ARGUMENTS_MAX * 8 * CONTROL_ARGUMENT_MAX);
		result = find_missing(x, names, n, &missing);
		print_summary(x, buf_str(&missing));
		buf_free(&missing);
		if (result == EXIT_DONE && (x->damaged || x->left_out_mailboxes || x->moved))
			result = EXIT_FAILED;
	}
	buf_free(&texts);
	return result;
}

static void clean_up(struct export *x)
{
	if (x->format)
		x->format->close(x);
	for (uint32_t i = 0; i < x->n_mailboxes; i++) {
		struct export_mailbox *mailbox = &x->mailboxes[i];
		for (size_t k = 0; k < mailbox->n_keywords; k++)
			mem_free((char *)mailbox->keywords[k].p);
		for (size_t k = 0; k < mailbox->n_there; k++)
			mem_free((char *)mailbox->there[k].p);
		mem_free(mailbox->keywords);
		mem_free(mailbox->there);
		mem_free(mailbox->letters);
		mem_free(mailbox->path);
		mem_free((char *)mailbox->name.p);
	}
	mem_free(x->mailboxes);
	export_spool_free(x);
	mem_free(x->folder);
	mem_free(x->target);
	buf_free(&x->damage);
	if (x->folder_fd >= 0)
		close(x->folder_fd);
}

int ctl_run_export(struct ctl *ctl, const struct ctl_command *command)
{
	struct export x = { .ctl = ctl, .folder_fd = -1, .spool_fd = -1, .damage = BUF_INIT(DAMAGE_MAX) };
	json_begin_array(&x.damage);
	int result = read_options(&x);
	if (result == EXIT_DONE)
		result = open_folder(&x);
	if (result == EXIT_DONE)
		result = run(&x);
	clean_up(&x);
	return result;
}
