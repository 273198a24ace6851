/* restore_command.c: the command mansio restore: which backup, what of it, and what is said at the end. */
#include "proc/ctl/restore.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#define WISH_MAILBOXES_MAX 32

/* What is left to do. */
static void print_advice(const struct restored *restored)
{
	if (restored->directory)
		fprintf(stderr,
		        "mansio: " STORE_FOLDER_AUTH "/" BACKUP_DIRECTORY
		        " is damaged, and only it knows addresses and passwords: another backup may be whole (see mansio backup "
		        "list, and --at); see mansio-restore(1) for taking this one file from it\n");
	if (restored->salvage.n)
		fprintf(stderr,
		        "mansio: before you start the server, give the command mansio store salvage %.*s: what could be read was laid "
		        "in place, but it cannot be served as it is; another backup may be whole (see mansio backup list, and --at)\n",
		        STR_ARG(buf_str(&restored->salvage)));
}

static void print_warning(struct str warning)
{
	if (warning.n)
		fprintf(stderr, "mansio: %.*s\n", STR_ARG(warning));
}

static void print_restored(const struct ctl *ctl, const struct backup_manifest *manifest,
                           const struct backup_found *found, const struct restored *restored, struct str warning)
{
	char damage[BACKUP_FOUND_MAX];
	uint64_t messages = restored->messages, shard;
	backup_print_found(found, damage);
	if (!ctl->json) {
		printf("restored %s of %s: %" PRIu64 " message%s, %s\n", ctl->conf.server.directory.p, manifest->name, messages,
		       messages == 1 ? "" : "s", damage);
		print_warning(warning);
		print_advice(restored);
		return;
	}
	struct buf out = BUF_INIT(BACKUP_DAMAGE_MAX + 4096);
	json_begin_object(&out);
	json_field_string(&out, "name", str_from_c(manifest->name));
	json_field_u64(&out, "messages", messages);
	json_key(&out, "salvage");
	json_begin_array(&out);
	for (struct str rest = buf_str(&restored->salvage); rest.n > 0;)
		if (str_to_u64(str_cut(&rest, ' '), UINT16_MAX, &shard) == 0)
			json_put_u64(&out, shard);
	json_end_array(&out);
	backup_json_found(found, &out);
	if (warning.n)
		json_field_string(&out, "warning", warning);
	json_end_object(&out);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_free(&out);
}

static int restore_all(struct ctl *ctl, struct repository *repository, const struct backup_manifest *manifest,
                       struct str warning, struct buf *problem)
{
	struct backup_found found = { .ctl = ctl, .json = BUF_INIT(BACKUP_DAMAGE_MAX) };
	struct restored restored;
	json_begin_array(&found.json);
	int err = restore_store(ctl, repository, manifest, &found, &restored, problem);
	json_end_array(&found.json);
	struct ctl_reply reply = { .result = err, .message = *problem };
	int result = err < 0                                    ? ctl_fail_reply(ctl, &reply)
	             : found.damaged + found.pieces + warning.n ? EXIT_FAILED
	                                                        : EXIT_DONE;
	if (err == 0)
		print_restored(ctl, manifest, &found, &restored, warning);
	buf_free(&restored.salvage);
	buf_free(&found.json);
	return result;
}

static int restore_one(struct ctl *ctl, struct repository *repository, const struct backup_manifest *manifest,
                       struct restore_wish *wish, struct str warning, struct buf *problem)
{
	struct backup_found found = { .ctl = ctl, .json = BUF_INIT(BACKUP_DAMAGE_MAX) };
	struct restore_done done;
	json_begin_array(&found.json);
	int err = restore_account(ctl, repository, manifest, wish, &found, &done, problem);
	json_end_array(&found.json);
	json_end_array(&done.left);
	uint64_t missing = done.refused + found.damaged;
	struct ctl_reply reply = { .result = err, .message = *problem };
	int result = err < 0 ? ctl_fail_reply(ctl, &reply) : missing + found.pieces + warning.n ? EXIT_FAILED : EXIT_DONE;
	if (err == 0 && ctl->json) {
		struct buf out = BUF_INIT(2 * BACKUP_DAMAGE_MAX + 4096);
		json_begin_object(&out);
		json_field_string(&out, "name", str_from_c(manifest->name));
		json_field_string(&out, "account", wish->address);
		json_field_u64(&out, "messages", done.messages);
		json_field_u64(&out, "entries", done.entries);
		json_field_u64(&out, "again", done.again);
		json_field_u64(&out, "missing", missing);
		json_key(&out, "left");
		json_put_raw(&out, buf_str(&done.left));
		backup_json_found(&found, &out);
		if (warning.n)
			json_field_string(&out, "warning", warning);
		json_end_object(&out);
		printf("%.*s\n", STR_ARG(buf_str(&out)));
		buf_free(&out);
	} else if (err == 0) {
		uint64_t fresh = done.entries - MIN(done.again, done.entries);
		printf("restored %" PRIu64 " message%s of %.*s from %s\n", fresh, fresh == 1 ? "" : "s", STR_ARG(wish->address),
		       manifest->name);
		print_warning(warning);
		if (done.again)
			fprintf(stderr,
			        "mansio: %" PRIu64 " message%s an earlier run restored already; what was expunged since, mansio undelete "
			        "puts back\n",
			        done.again, done.again == 1 ? "" : "s");
		if (missing)
			fprintf(stderr,
			        "mansio: %" PRIu64
			        " message%s could not be restored: damaged in the backup, or refused by the server\n",
			        missing, missing == 1 ? "" : "s");
	}
	buf_free(&done.left);
	buf_free(&found.json);
	return result;
}

/* What the options wish for; *whole: nothing of this kind, all. */
static int read_wish(const struct ctl *ctl, struct restore_wish *wish, struct str mailboxes[WISH_MAILBOXES_MAX],
                     bool *whole)
{
	uint32_t n = ctl_options(ctl, "--mailbox", mailboxes, WISH_MAILBOXES_MAX);
	*wish = (struct restore_wish){ .address = ctl_option(ctl, "--account"),
		                           .mailboxes = mailboxes,
		                           .n_mailboxes = n,
		                           .messages = ctl_option(ctl, "--message") };
	*whole = wish->address.n == 0;
	if (*whole && (n > 0 || wish->messages.n > 0))
		return ctl_usage(ctl, "%.*s needs --account", n > 0 ? STR("--mailbox") : STR("--message"));
	if (n > WISH_MAILBOXES_MAX)
		return ctl_usage(ctl, "too many options %.*s", STR("--mailbox"));
	if (wish->messages.n > 0 && n != 1)
		return ctl_usage(ctl, "%.*s needs one --mailbox: uids mean nothing without it", STR("--message"));
	for (uint32_t i = 0; i < n; i++)
		if (str_ieq(mailboxes[i], STR("INBOX")))
			mailboxes[i] = STR("INBOX");
	return EXIT_DONE;
}

int ctl_run_restore(struct ctl *ctl, const struct ctl_command *command)
{
	struct buf problem = BUF_INIT(BACKUP_TEXT_MAX), warning = BUF_INIT(BACKUP_TEXT_MAX);
	struct repository *repository = mem_alloc(1, sizeof *repository);
	const struct backup_manifest *manifest = NULL;
	char *path = mem_copy(ctl->arguments[0]);
	struct str mailboxes[WISH_MAILBOXES_MAX];
	struct restore_wish wish;
	bool whole;
	umask(077);
	int result = read_wish(ctl, &wish, mailboxes, &whole), err = 0;
	if (result != EXIT_DONE) {
		mem_free(repository);
		mem_free(path);
		return result;
	}
	err = repository_open(path, NULL, repository, &problem);
	if (err == 0)
		err = repository_find(repository, ctl_option(ctl, "--at"), &manifest, &warning, &problem);
	struct ctl_reply reply = { .result = err, .message = problem };
	if (err < 0)
		result = ctl_fail_reply(ctl, &reply);
	else if (whole)
		result = restore_all(ctl, repository, manifest, buf_str(&warning), &problem);
	else
		result = restore_one(ctl, repository, manifest, &wish, buf_str(&warning), &problem);
	buf_free(&warning);
	repository_close(repository);
	mem_free(repository);
	buf_free(&problem);
	mem_free(path);
	return result;
}
