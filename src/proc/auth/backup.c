/* backup.c: auth's part in `mansio backup`: a snapshot of directory.db in its folder, made in slices while it serves,
 * and kept until the command line has copied it or a minute has passed. One at a time. The directory's changes are
 * one transaction each, so the loop never finds one open.
 *
 * Arguments: "begin", answered when the snapshot is whole, or "end". */
#include "proc/auth/auth.h"

#include "base/log.h"
#include "base/mem.h"
#include "db/snapshot.h"
#include "ipc/control.h"

#include <unistd.h>

#define SLICE_US   3000
#define PACE_MS    2
#define SILENCE_MS 60000

struct auth_backup {
	struct auth *auth;
	struct snapshot *copy; /* NULL: none, or it is whole */
	uint64_t waiter;       /* number of the request; 0: none */
	struct buf path;
	struct loop_timer *pace, *silence;
};

static void answer(struct auth *auth, uint64_t number, int result, struct str message)
{
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	control_reply_encode(&(struct control_reply){ result, message, STR("{\"done\":true}") }, &body);
	role_control_reply(auth->process, number, buf_str(&body));
	buf_free(&body);
}

static void end(struct auth_backup *backup)
{
	loop_timer_stop(backup->pace);
	loop_timer_stop(backup->silence);
	snapshot_free(&backup->copy);
	unlink(backup->path.p);
}

static void gone_silent(void *owner)
{
	end(owner);
}

static void reply(struct auth_backup *backup, int result)
{
	uint64_t number = backup->waiter;
	backup->waiter = 0;
	if (result < 0) {
		log_error("backup-failed", LOG_S("what", str_first(buf_str(&backup->path), backup->path.n - 1)),
		          LOG_ERR(result));
		end(backup);
	}
	answer(backup->auth, number, result,
	       result == ERR_NO_SPACE ? STR("the disk of the store has no space for a copy of directory.db")
	       : result < 0           ? STR("directory.db could not be copied; see the server's log")
	                              : STR(""));
}

static void copy_some(void *owner)
{
	struct auth_backup *backup = owner;
	bool done = false;
	int result = snapshot_step(backup->copy, SLICE_US, true, &done);
	if (result == 0 && !done) {
		loop_timer_start(backup->pace, PACE_MS);
		return;
	}
	if (result == 0)
		snapshot_free(&backup->copy);
	reply(backup, result);
}

static void begin(struct auth *auth, uint64_t number)
{
	struct auth_backup *backup = auth->backup;
	if (backup->waiter) {
		answer(auth, number, ERR_UNAVAILABLE, STR("another backup or check is under way"));
		return;
	}
	end(backup);
	backup->waiter = number;
	loop_timer_start(backup->silence, SILENCE_MS);
	int result =
		directory_snapshot(auth->directory, str_first(buf_str(&backup->path), backup->path.n - 1), &backup->copy);
	if (result == 0)
		loop_timer_start(backup->pace, 0);
	else
		reply(backup, result);
}

void auth_backup_command(struct auth *auth, uint64_t number, const struct control_request *request)
{
	struct str what = request->n_arguments == 1 ? request->arguments[0] : STR("");
	if (str_eq(what, STR("begin"))) {
		begin(auth, number);
	} else if (str_eq(what, STR("end")) && !auth->backup->waiter) {
		end(auth->backup);
		answer(auth, number, 0, STR(""));
	} else {
		answer(auth, number, ERR_SYNTAX, STR("malformed arguments"));
	}
}

void auth_backup_begin(struct auth *auth)
{
	struct auth_backup *backup = mem_alloc(1, sizeof *backup);
	backup->auth = auth;
	backup->path = BUF_INIT(auth->folder.n + sizeof "/" DIRECTORY_SNAPSHOT_FILE);
	buf_add(&backup->path, buf_str(&auth->folder));
	buf_add(&backup->path, STR("/" DIRECTORY_SNAPSHOT_FILE));
	buf_add_byte(&backup->path, '\0');
	backup->pace = loop_timer_new(auth->process->loop, copy_some, backup);
	backup->silence = loop_timer_new(auth->process->loop, gone_silent, backup);
	auth->backup = backup;
	end(backup); /* what an earlier run left */
}

void auth_backup_free(struct auth *auth)
{
	struct auth_backup *backup = auth->backup;
	if (!backup)
		return;
	end(backup);
	loop_timer_free(&backup->pace);
	loop_timer_free(&backup->silence);
	buf_free(&backup->path);
	mem_free(backup);
	auth->backup = NULL;
}
