/* shard.c: the process that owns the mail of its accounts: one store, the sessions of its clients, the requests of
 * smtp and auth. Lives until the supervisor stops it; ends itself when a sync failed, because then nothing can be
 * promised. */
#include "proc/shard/shard.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/access_shard.h"
#include "proc/roles.h"
#include "proc/store_folder.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_BYTES    4000
#define SYNC_HERE_MAX_US  2000        /* the last sync took no longer: the next may be done on the loop's thread */
#define TURN_SMALL_US     1000        /* a turn this short has written little */
#define TRACE_HEADERS_MAX (64 * 1024) /* what smtp puts on top of a message whose size it has checked */

/* --- the store's world --- */

/* On the helper's thread, or on ours; never both, as one sync is in flight at a time. */
static int sync_work(struct loop_job *job)
{
	struct shard *shard = job->owner;
	uint64_t start_us = clock_monotonic_us();
	int result = fdatasync(shard->sync_fd) < 0 ? ERR_IO : 0;
	shard->sync_us = clock_monotonic_us() - start_us;
	return result;
}

static void sync_done(struct loop_job *job, int result)
{
	struct shard *shard = job->owner;
	store_synced(shard->store, result);
	shard_turn(shard);
}

/* Is there one client that waits for this sync, with little written, on a disk that was quick the last time? */
static bool serves_one(const struct shard *shard)
{
	return promises_waiting(shard) + connections_held(shard) == 1 && shard->sync_us < SYNC_HERE_MAX_US &&
	       clock_monotonic_us() - shard->turn_began_us < TURN_SMALL_US;
}

/* A sync for one client alone is done here, if the next turn finds that nobody has come meanwhile: two switches of
 * threads and their wake-ups cost more CPU than all the rest of a lone APPEND. Who comes during it waits as long as
 * the last sync took; a slow one sends the next to the helper again. What is synced before what is the same either
 * way. */
static void world_sync(void *owner, int fd)
{
	struct shard *shard = owner;
	shard->sync_fd = fd;
	shard->sync_here = serves_one(shard);
	shard->stirred = false;
	if (shard->sync_here)
		loop_later(shard->process->loop, &shard->turn);
	else
		loop_helper_submit(shard->helper, &shard->sync_job);
}

static void sync_here(struct shard *shard)
{
	shard->sync_here = false;
	if (shard->stirred)
		loop_helper_submit(shard->helper, &shard->sync_job);
	else
		store_synced(shard->store, sync_work(&shard->sync_job));
}

static void world_writable(void *owner)
{
	struct shard *shard = owner;
	loop_later(shard->process->loop, &shard->work);
	connections_writable(shard);
}

static void world_durable(void *owner, uint64_t batch)
{
	struct shard *shard = owner;
	promises_durable(shard, batch);
	control_durable(shard, batch);
	connections_durable(shard, batch);
}

static void world_voided(void *owner, uint64_t batch, int err)
{
	struct shard *shard = owner;
	shard->voids++;
	log_error("batch-voided", LOG_U("batch", batch), LOG_ERR(err),
	          LOG_C("action", "its writers were told to try again"));
	promises_voided(shard, batch, err);
	control_voided(shard, batch, err);
	connections_voided(shard, batch);
}

static void world_failed(void *owner, const char *what, int err)
{
	struct shard *shard = owner;
	log_error("store-failed", LOG_C("what", what), LOG_ERR(err),
	          LOG_C("action", "this shard stops and is started again; check the disk"));
	shard->failed = true;
	role_failed(shard->process);
}

static bool world_reads(void *owner, int fd)
{
	return connections_read(owner, fd);
}

static const struct store_world store_world = {
	.sync = world_sync,
	.writable = world_writable,
	.durable = world_durable,
	.voided = world_voided,
	.failed = world_failed,
	.reads = world_reads,
};

static void end_of_turn(void *owner)
{
	struct shard *shard = owner;
	if (shard->sync_here)
		sync_here(shard);
	store_turn(shard->store);
	if (shard->stopping && store_is_idle(shard->store) && !shard->connections)
		role_stopped(shard->process);
}

void shard_turn(struct shard *shard)
{
	shard->stirred = true;
	if (!shard->turn.queued)
		shard->turn_began_us = clock_monotonic_us();
	loop_later(shard->process->loop, &shard->turn);
}

static void run_requests(void *owner)
{
	requests_run(owner);
	control_writable(owner);
}

static void work_while_idle(void *owner)
{
	struct shard *shard = owner;
	bool waits = !store_writable(shard->store);
	bool more = !shard->stopping && !waits && store_idle_work(shard->store);
	uint64_t pace_ms = store_is_compacting(shard->store) ? COMPACT_PACE_MS : IDLE_WORK_PACE_MS;
	loop_timer_start(shard->idle_work, more || waits ? pace_ms : IDLE_WORK_REST_MS);
	shard_turn(shard);
}

/* --- peers --- */

static int access_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct peer *peer = owner;
	return type == ACCESS_SHARD_HANDOVER ? connection_hand_over(peer->shard, peer->index, body, fd) : ERR_SYNTAX;
}

static int smtp_message(void *owner, uint16_t type, struct str body, int *fd)
{
	return request_from_smtp(owner, type, body, fd);
}

static int auth_message(void *owner, uint16_t type, struct str body, int *fd)
{
	return request_from_auth(owner, type, body, fd);
}

static void peer_closed(void *owner)
{
	struct peer *peer = owner;
	/* At a stop access and smtp go first; whether it is one is the supervisor's knowledge, which says what ended and
	 * why. */
	log_debug("peer-lost", LOG_S("peer", role_name(peer->role)), LOG_U("index", peer->index));
	shard_drop_peer(peer);
}

void shard_drop_peer(struct peer *peer)
{
	ipc_channel_free(&peer->channel);
	role_peer_lost(peer->shard->process, peer->role, peer->index);
}

static void shard_peer(struct role_process *process, enum role role, uint16_t index, int fd)
{
	struct shard *shard = process->state;
	struct peer *peer = role == ROLE_AUTH     ? &shard->auth
	                    : role == ROLE_ACCESS ? &shard->access[index % PEERS_MAX]
	                                          : &shard->smtp[index % PEERS_MAX];
	ipc_message_fn *message = role == ROLE_AUTH ? auth_message : role == ROLE_ACCESS ? access_message : smtp_message;
	ipc_channel_free(&peer->channel);
	*peer = (struct peer){ .shard = shard, .role = role, .index = index, .generation = peer->generation + 1 };
	peer->channel = ipc_channel_new(process->loop, fd, message, peer_closed, peer);
}

/* --- life --- */

static struct store_settings settings_from(const struct conf *conf, struct str directory)
{
	return (struct store_settings){
		.directory = directory,
		.segment_size = conf->store.segment_size,
		.view_memory = conf->store.view_memory,
		.reserve = conf->store.reserve_free_space,
		.checkpoint_size = conf->store.wal_checkpoint_size,
		.database_cache_kb = (uint32_t)(conf->store.database_cache / 1024),
		.change_retention = (int64_t)(conf->store.change_log_retention_ms / 1000),
		.undelete_window = (int64_t)(conf->store.undelete_window_ms / 1000),
		.delivery_lifetime = (int64_t)(conf->store.delivery_key_lifetime_ms / 1000),
		.compaction_rate = conf->store.compaction_rate,
	};
}

static uint64_t sessions_possible(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur > 2 * FILES_RESERVED ? limit.rlim_cur - FILES_RESERVED : limit.rlim_cur / 2;
}

static int shard_prepare(struct role_process *process)
{
	const struct conf *conf = &process->conf;
	struct shard *shard = mem_alloc(1, sizeof *shard);
	struct mime_limits limits = conf_mime_limits(conf);
	const char *what;
	process->state = shard;
	shard->process = process;
	shard->max_sessions = sessions_possible();
	shard->directory = BUF_INIT(PATH_MAX_BYTES);
	shard->requests_end = &shard->requests;
	shard->promises_end = &shard->promises;
	control_begin(shard);
	shard->turn = (struct loop_later){ .fn = end_of_turn, .owner = shard };
	shard->work = (struct loop_later){ .fn = run_requests, .owner = shard };
	shard->sync_job = (struct loop_job){ .work = sync_work, .done = sync_done, .owner = shard };
	shard->mail = (struct mail_settings){ mail_reader_new(&limits), conf->smtp.max_message_size + TRACE_HEADERS_MAX,
	                                     (uint32_t)MIN(conf->imap.max_keywords, (uint64_t)KEYWORDS_MAX) };
	buf_addf(&shard->directory, "%.*s/" STORE_FOLDER_SHARDS "/%02u", STR_ARG(process->setup.directory),
	         process->setup.index);
	struct store_settings settings = settings_from(conf, buf_str(&shard->directory));
	int result = store_open(&settings, &store_world, shard, &shard->store, &what);
	if (result < 0)
		log_error("store-not-opened", LOG_C("what", what), LOG_S("directory", buf_str(&shard->directory)),
		          LOG_ERR(result));
	else
		engines_set_up(shard);
	return result;
}

static size_t shard_paths(struct role_process *process, struct sandbox_path *paths)
{
	struct shard *shard = process->state;
	paths[0] = (struct sandbox_path){ buf_str(&shard->directory), true };
	return 1;
}

static void shard_start(struct role_process *process)
{
	struct shard *shard = process->state;
	shard->helper = loop_helper_new(process->loop);
	shard->reader = loop_helper_new(process->loop);
	loop_set_read_helper(process->loop, shard->reader);
	shard->idle_work = loop_timer_new(process->loop, work_while_idle, shard);
	loop_timer_start(shard->idle_work, IDLE_WORK_PACE_MS);
	control_start(shard);
	role_ready(process);
}

static void shard_stop(struct role_process *process)
{
	struct shard *shard = process->state;
	shard->stopping = true;
	connections_bye(shard);
	shard_turn(shard);
}

static void shard_status(struct role_process *process, struct buf *out)
{
	struct shard *shard = process->state;
	struct store_statistics statistics;
	store_statistics(shard->store, &statistics);
	role_status_add(out, STR("sessions"), shard->count.sessions);
	role_status_add(out, STR("logins"), shard->count.logins);
	role_status_add(out, STR("deliveries"), shard->count.deliveries);
	role_status_add(out, STR("deliveries_refused"), shard->count.refused);
	role_status_add(out, STR("batches"), statistics.batches);
	role_status_add(out, STR("syncs"), statistics.syncs);
	role_status_add(out, STR("batches_voided"), shard->voids);
	role_status_add(out, STR("accounts_in_memory"), statistics.accounts_in_memory);
	role_status_add(out, STR("view_bytes"), statistics.view_bytes);
	role_status_add(out, STR("segments"), statistics.segments);
	role_status_add(out, STR("segments_damaged"), statistics.segments_damaged);
	role_status_add(out, STR("body_bytes"), statistics.body_bytes);
	role_status_add(out, STR("body_bytes_dead"), statistics.dead_bytes);
	role_status_add(out, STR("body_bytes_freed"), statistics.compacted_bytes);
	role_status_add(out, STR("cold_reads"), loop_cold_reads(process->loop));
}

static void free_peers(struct shard *shard)
{
	for (size_t i = 0; i < PEERS_MAX; i++) {
		ipc_channel_free(&shard->access[i].channel);
		ipc_channel_free(&shard->smtp[i].channel);
	}
	ipc_channel_free(&shard->auth.channel);
}

/* The helpers go before what they work on. A store that failed is left as it is: closing it would write. */
static void shard_finish(struct role_process *process)
{
	struct shard *shard = process->state;
	connections_free(shard);
	free_peers(shard);
	requests_free(shard);
	control_free(shard);
	loop_set_read_helper(process->loop, NULL);
	loop_helper_free(&shard->reader);
	loop_helper_free(&shard->helper);
	loop_timer_free(&shard->idle_work);
	if (!shard->failed)
		store_close(&shard->store);
	loop_later_cancel(process->loop, &shard->turn);
	loop_later_cancel(process->loop, &shard->work);
	mail_reader_free(&shard->mail.reader);
	charsets_free(&shard->imap.charsets);
	buf_free(&shard->directory);
	mem_free(shard);
	process->state = NULL;
}

static const struct role_definition definition = {
	.role = ROLE_SHARD,
	.sandbox = SANDBOX_FILES | SANDBOX_THREADS,
	.sandbox_paths = shard_paths,
	.prepare = shard_prepare,
	.peer = shard_peer,
	.start = shard_start,
	.stop = shard_stop,
	.status = shard_status,
	.control = control_command,
	.finish = shard_finish,
};

int shard_main(void)
{
	return role_main(&definition);
}
