/* backup.c: the shard's part in `mansio backup`: a snapshot of index.db in its own folder, made in slices while it
 * serves, and kept, with all segments that it points into, until the command line has copied them or gave no sign of
 * life for a minute. Owned by the shard; one at a time.
 *
 *     begin ──▶ copying, in slices ──▶ whole: the command line copies files, and says "keep" now and then ──▶ end
 *
 * Arguments: what ("begin", "wait", "keep", "end") and the name that the command line gave this backup. The answer is
 * an object: done (the snapshot is whole), pages and pages_done, and failed where the disk or a page of index.db does not
 * allow one: the command line then copies the file as it lies, and the segments are kept for that all the same. "begin" and
 * "wait" answer when it is whole, or after a second. A shard that was started anew meanwhile knows of no backup and keeps
 * nothing: it says so (anew), and the command line begins again. */
#include "proc/shard/shard.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/control.h"
#include "loop/turns.h"

#define BACKUP_NAME_MAX 64
#define PACE_MS         4 /* between slices; under load there are more, between batches */
#define ANSWER_MS       1000
#define SILENCE_MS      60000 /* of the command line, after which it is taken for dead */

struct shard_backup {
	struct shard *shard;
	bool active, whole, failed; /* failed: whole too, but there is no snapshot */
	char name[BACKUP_NAME_MAX];
	size_t name_n;
	uint64_t waiter, until_ms; /* number of the request that waits; 0: none */
	struct loop_timer *pace, *silence;
};

static void answer(struct shard *shard, uint64_t number, int result, struct str message, struct str json)
{
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	control_reply_encode(&(struct control_reply){ result, message, json }, &body);
	role_control_reply(shard->process, number, buf_str(&body));
	buf_free(&body);
}

/* ours: of the backup that is asked about; else there is none of that name. */
static void tell(struct shard_backup *backup, uint64_t number, bool ours)
{
	struct buf json = BUF_INIT(1024);
	uint64_t copied, total;
	store_snapshot_progress(backup->shard->store, &copied, &total);
	json_begin_object(&json);
	json_field_u64(&json, "shard", backup->shard->process->setup.index);
	json_field_bool(&json, "done", !ours || backup->whole);
	json_field_bool(&json, "failed", ours && backup->failed);
	json_field_bool(&json, "anew", !ours);
	json_field_u64(&json, "pages", total);
	json_field_u64(&json, "pages_done", copied);
	json_end_object(&json);
	answer(backup->shard, number, 0, STR(""), buf_str(&json));
	buf_free(&json);
}

static void tell_waiter(struct shard_backup *backup)
{
	uint64_t number = backup->waiter;
	backup->waiter = 0;
	if (number)
		tell(backup, number, true);
}

/* Segments may go again: whatever waited for that goes on. */
static void end(struct shard_backup *backup)
{
	backup->active = backup->whole = backup->failed = false;
	loop_timer_stop(backup->pace);
	loop_timer_stop(backup->silence);
	store_snapshot_end(backup->shard->store);
	loop_timer_start(backup->shard->idle_work, 0);
}

static void gone_silent(void *owner)
{
	struct shard_backup *backup = owner;
	log_warning("backup-given-up", LOG_C("reason", "nothing was heard of the command line for a minute"));
	end(backup);
}

static void fail(struct shard_backup *backup, int result)
{
	uint64_t number = backup->waiter;
	log_error("backup-failed", LOG_C("what", STORE_SNAPSHOT_FILE), LOG_ERR(result));
	backup->waiter = 0;
	end(backup);
	if (number)
		answer(backup->shard, number, result,
		       result == ERR_NO_SPACE ? STR("the disk of the store has no space for a copy of index.db")
		                              : STR("index.db could not be copied; see the server's log"),
		       STR(""));
}

static void copy_some(void *owner)
{
	struct shard_backup *backup = owner;
	struct loop *loop = backup->shard->process->loop;
	int result = store_snapshot_step(backup->shard->store, &backup->whole);
	loop_did(loop, STR("snapshot for a backup"));
	if (result == ERR_CORRUPT || result == ERR_IO) {
		log_error("backup-failed", LOG_C("what", STORE_SNAPSHOT_FILE), LOG_ERR(result));
		backup->whole = backup->failed = true;
		result = 0;
	}
	if (result < 0) {
		fail(backup, result);
		return;
	}
	if (backup->whole || backup->shard->stopping || loop_now_ms(loop) >= backup->until_ms)
		tell_waiter(backup);
	if (!backup->whole)
		loop_timer_start(backup->pace, PACE_MS);
}

static int begin(struct shard_backup *backup, struct str name)
{
	store_snapshot_end(backup->shard->store);
	int result = store_snapshot_begin(backup->shard->store);
	if (result < 0)
		return result;
	memcpy(backup->name, name.p, name.n);
	backup->name_n = name.n;
	backup->active = true;
	backup->whole = backup->failed = false;
	loop_timer_start(backup->pace, 0);
	return 0;
}

void backup_command(struct shard *shard, uint64_t number, const struct str *arguments, uint32_t n)
{
	struct shard_backup *backup = shard->backup;
	struct str what = n == 2 ? arguments[0] : STR(""), name = n == 2 ? arguments[1] : STR("");
	bool begins = str_eq(what, STR("begin")), waits = str_eq(what, STR("wait")), ends = str_eq(what, STR("end"));
	bool ours = backup->active && str_eq(name, str_of(backup->name, backup->name_n));
	if (name.n == 0 || name.n > BACKUP_NAME_MAX || !(begins || waits || ends || str_eq(what, STR("keep")))) {
		answer(shard, number, ERR_SYNTAX, STR("malformed arguments"), STR(""));
		return;
	}
	if (ours) /* whoever asked before is gone: one command line at a time has this name */
		tell_waiter(backup);
	if (begins && backup->active && !ours) {
		answer(shard, number, ERR_UNAVAILABLE, STR("another backup or check is under way"), STR(""));
		return;
	}
	if (!begins && !ends && !ours) {
		tell(backup, number, false);
		return;
	}
	int result = begins ? begin(backup, name) : 0;
	if (result < 0) {
		answer(shard, number, result, STR("the copy of index.db cannot be begun"), STR(""));
		return;
	}
	if (ends && ours)
		end(backup);
	if (!ends)
		loop_timer_start(backup->silence, SILENCE_MS);
	if (!(begins || waits) || backup->whole) {
		tell(backup, number, ours || begins);
		return;
	}
	backup->waiter = number;
	backup->until_ms = loop_now_ms(shard->process->loop) + ANSWER_MS;
}

void backup_start(struct shard *shard)
{
	struct shard_backup *backup = mem_alloc(1, sizeof *backup);
	backup->shard = shard;
	backup->pace = loop_timer_new(shard->process->loop, copy_some, backup);
	backup->silence = loop_timer_new(shard->process->loop, gone_silent, backup);
	shard->backup = backup;
	store_snapshot_end(shard->store); /* of the last run */
}

void backup_free(struct shard *shard)
{
	if (!shard->backup)
		return;
	loop_timer_free(&shard->backup->pace);
	loop_timer_free(&shard->backup->silence);
	mem_free(shard->backup);
	shard->backup = NULL;
}
