/* offline.c: a request carried out on the directory itself while no server runs, under the store's lock, by the same
 * code that the server uses. Run by root it first becomes the user whose files these are, so that the server can open
 * them later. */
#include "proc/ctl/ctl_private.h"

#include "auth/directory.h"
#include "base/mem.h"
#include "proc/auth/control.h"
#include "proc/store_folder.h"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_WAIT_MS 5000

int ctl_become_owner(const char *folder)
{
	struct stat about;
	if (stat(folder, &about) < 0)
		return ERR_NOT_FOUND;
	if (geteuid() != 0 || about.st_uid == 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(about.st_gid, about.st_gid, about.st_gid) < 0 ||
	    setresuid(about.st_uid, about.st_uid, about.st_uid) < 0)
		return ERR_DENIED;
	return 0;
}

static int hash_password(const struct ctl *ctl, struct control_request *request, char encoded[PASSWORD_ENCODED_MAX])
{
	struct password_cost cost = {
		.memory_kb = (uint32_t)(ctl->conf.login.password_memory / 1024),
		.iterations = (uint32_t)ctl->conf.login.password_iterations,
	};
	size_t n;
	int err = password_hash(request->arguments[1], &cost, encoded, &n);
	if (!err)
		request->arguments[1] = str_of(encoded, n);
	return err;
}

static void execute(struct directory *directory, const struct conf *conf, const struct control_request *request, struct ctl_reply *reply)
{
	struct control_answer answer;
	control_answer_init(&answer);
	control_execute(directory, conf, request, NULL, &answer);
	reply->result = answer.result;
	buf_clear(&reply->message);
	buf_clear(&reply->json);
	buf_add(&reply->message, buf_str(&answer.message));
	buf_add(&reply->json, buf_str(&answer.json));
	control_answer_free(&answer);
}

/* Opened by the first request and kept to the end of the program: after ctl_become_owner root's files are out of reach. */
struct ctl_offline {
	int lock; /* -1: not held */
	struct directory *directory;
};

static int open_directory(const struct ctl *ctl, struct ctl_offline *offline, const struct store_identity *store,
			  const char *folder, const char **what)
{
	const struct directory_settings settings = {
		.shards = store->shards,
		.max_alias_targets = (uint32_t)ctl->conf.limits.max_alias_targets,
		.max_alias_depth = (uint32_t)ctl->conf.limits.max_alias_depth,
		.delimiter = ctl->conf.smtp.recipient_delimiter,
	};
	umask(077);
	int err = ctl_become_owner(folder);
	return err ? err : directory_open(str_from_c(folder), &settings, OPEN_WAIT_MS, &offline->directory, what);
}

/* Lock, store, directory. *what: which part of the directory's file, where that is known. */
static int open_store(const struct ctl *ctl, struct ctl_offline *offline, const char **what)
{
	const char *directory = ctl->conf.server.directory.p;
	char folder[CONF_PATH_MAX + sizeof "/" STORE_FOLDER_AUTH];
	struct store_identity store;
	snprintf(folder, sizeof folder, "%s/" STORE_FOLDER_AUTH, directory);
	int err = store_folder_lock(directory, &offline->lock);
	if (err)
		return err;
	err = store_folder_read(directory, &store);
	if (!err)
		err = open_directory(ctl, offline, &store, folder, what);
	mem_wipe(&store, sizeof store);
	return err;
}

static void fail_open(const struct ctl *ctl, struct ctl_reply *reply, int err, const char *what)
{
	const char *directory = ctl->conf.server.directory.p;
	if (err == ERR_UNAVAILABLE)
		ctl_reply_fail(reply, err, "the store in %s is in use, but no server answers at %.*s; is it starting or "
			       "stopping, or does another mansio command work on it?", directory, STR_ARG(ctl->conf.server.control_socket));
	else if (err == ERR_NOT_FOUND)
		ctl_reply_fail(reply, ERR_UNAVAILABLE, "there is no store in %s yet, and no server answers at %.*s; start the "
			       "server once: mansio serve -c %s", directory, STR_ARG(ctl->conf.server.control_socket),
			       ctl->config_file);
	else
		ctl_reply_fail(reply, err, "cannot open the store in %s%s%s: %s", directory, what ? ": " : "", what ? what : "",
			       err_text(err));
}

void ctl_offline_close(struct ctl *ctl)
{
	if (!ctl->offline)
		return;
	directory_free(&ctl->offline->directory);
	if (ctl->offline->lock >= 0)
		close(ctl->offline->lock);
	mem_free(ctl->offline);
	ctl->offline = NULL;
}

void ctl_request_offline(struct ctl *ctl, const struct control_request *request, struct ctl_reply *reply)
{
	struct control_request hashed = *request;
	char encoded[PASSWORD_ENCODED_MAX];
	const char *what = NULL;
	int err = 0;
	if (!ctl->offline) {
		ctl->offline = mem_alloc(1, sizeof *ctl->offline);
		ctl->offline->lock = -1;
		err = open_store(ctl, ctl->offline, &what);
	}
	if (err) {
		fail_open(ctl, reply, err, what);
		ctl_offline_close(ctl);
		return;
	}
	if (request->command == CONTROL_ACCOUNT_ADD || request->command == CONTROL_ACCOUNT_PASSWORD)
		err = hash_password(ctl, &hashed, encoded);
	if (err)
		ctl_reply_fail(reply, err, "this password cannot be hashed: %s", err_text(err));
	else
		execute(ctl->offline->directory, &ctl->conf, &hashed, reply);
}
