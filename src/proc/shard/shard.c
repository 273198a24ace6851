/* shard.c: the process that owns the mail of its accounts: one store, the sessions of its clients, the requests of
 * smtp and auth. Lives until the supervisor stops it; ends itself when a sync failed, because then nothing can be
 * promised. */
#include "proc/shard/shard.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/access_shard.h"
#include "loop/turns.h"
#include "proc/damage.h"
#include "proc/roles.h"
#include "proc/store_folder.h"
#include "store/delivery.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_BYTES    4000
#define SYNC_HERE_MAX_BYTES (1024 * 1024) /* of large messages that it would write */
#define SYNC_HERE_MAX_US  2000        /* the last sync took no longer: the next may be done on the loop's thread */
#define SYNCS_HERE_MAX    2           /* in one turn: of the bodies and of the log */
#define TURN_SMALL_US     1000        /* a turn this short has written little */
#define GATHER_US         4000        /* a batch waits no longer for those who are at the door already */
#define EMPTY_LOOKS_MAX   2           /* at the door, before a batch with several writers is sealed */
#define RETURN_US         1000        /* an answer's way to a client, and that of its next request */
#define RETURN_MS         1
#define TRACE_HEADERS_MAX (64 * 1024) /* what smtp puts on top of a message whose size it has checked */

/* --- the store's world --- */

/* On the helper's thread, or on ours; never both, as one sync is in flight at a time. */
static int sync_work(struct loop_job *job)
{
	struct shard *shard = job->owner;
	uint64_t start_us = clock_monotonic_us();
	int result = file_sync(shard->sync_fd, shard->sync_is_folder);
	shard->sync_us = clock_monotonic_us() - start_us;
	return result;
}

static void synced(struct shard *shard, int result)
{
	shard->count.sync_us += shard->sync_us;
	store_synced(shard->store, result);
}

static void sync_done(struct loop_job *job, int result)
{
	struct shard *shard = job->owner;
	synced(shard, result);
	loop_did(shard->process->loop, STR("commit or checkpoint"));
	shard_turn(shard);
}

/* How many wait for the batch that is open or under way. */
static uint32_t waiting_for_batch(const struct shard *shard)
{
	return shard->n_promises + shard->n_held;
}

/* Is there one client that waits for this sync, with little written, on a disk that was quick the last time? */
static bool serves_one(const struct shard *shard)
{
	return waiting_for_batch(shard) == 1 && shard->sync_us < SYNC_HERE_MAX_US &&
	       store_unsynced(shard->store) <= SYNC_HERE_MAX_BYTES &&
	       clock_monotonic_us() - shard->turn_began_us < TURN_SMALL_US;
}

/* A sync for one client alone is done here, at the end of a turn that found nobody else at the door: two switches of
 * threads and their wake-ups cost more CPU than all the rest of a lone APPEND. Who comes during it waits as long as
 * the last sync took; a slow one sends the next to the helper again. A folder's waits for all that the file system has
 * in its journal, and comes once a segment: it is the helper's. What is synced before what is the same either way. */
static void world_sync(void *owner, int fd, bool is_folder)
{
	struct shard *shard = owner;
	shard->sync_fd = fd;
	shard->sync_is_folder = is_folder;
	shard->sync_here = !is_folder && serves_one(shard);
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
		synced(shard, sync_work(&shard->sync_job));
}

static void world_writable(void *owner)
{
	struct shard *shard = owner;
	loop_later(shard->process->loop, &shard->work);
	connections_writable(shard);
	parcels_writable(shard);
}

/* Who is answered with others often comes back at once, with his next message. A batch that is sealed before that has only
 * those who came while this one was synced, and the next one the others: each half full, for the same two syncs. */
static void expect_return(struct shard *shard, uint32_t waited)
{
	shard->expected = waiting_for_batch(shard) + 1 < waited ? waited : 0;
	shard->expected_until_us = clock_monotonic_us() + RETURN_US;
}

static void world_durable(void *owner, uint64_t batch)
{
	struct shard *shard = owner;
	uint32_t before = waiting_for_batch(shard);
	promises_durable(shard, batch);
	control_durable(shard, batch);
	parcels_durable(shard, batch);
	connections_durable(shard, batch);
	expect_return(shard, before);
}

static void tell_damage(const struct shard *shard, uint64_t batch)
{
	char file[DAMAGE_FILE_MAX];
	damage_file((uint16_t)shard->process->setup.index, &(struct check_damage){ .segment = 0 }, file);
	log_error("batch-voided", LOG_U("batch", batch), LOG_ERR(ERR_CORRUPT), LOG_C("file", file),
	          LOG_C("action", "a page of this file is damaged; 'mansio store check' says whose mail that concerns, 'mansio store "
	                "salvage' recovers it. All who wrote in this batch were told to try again"));
}

static void world_voided(void *owner, uint64_t batch, int err)
{
	struct shard *shard = owner;
	shard->voids++;
	if (err == ERR_CORRUPT)
		tell_damage(shard, batch);
	else
		log_error("batch-voided", LOG_U("batch", batch), LOG_ERR(err),
		          LOG_C("action", "its writers were told to try again"));
	promises_voided(shard, batch, err);
	control_voided(shard, batch, err);
	parcels_voided(shard, batch, err);
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

static void on_gathered(void *owner)
{
	shard_turn(owner);
}

static bool wait_for_return(struct shard *shard)
{
	if (waiting_for_batch(shard) >= shard->expected || clock_monotonic_us() >= shard->expected_until_us) {
		shard->expected = 0;
		return false;
	}
	loop_timer_start(shard->gather, RETURN_MS);
	return true;
}

/* More may have come while this turn ran, and each batch costs two syncs, whatever is in it: before one is sealed,
 * whoever is at the door comes in (one epoll_wait that does not wait). Where several wait already there are more behind
 * them: the processes that bring those get the processor first (0.35 syncs a delivery became 0.26). No timer, but for those who
 * are expected (0.25 became 0.18); and a lone client waits for nobody. */
static bool wait_for_more(struct shard *shard)
{
	bool several = waiting_for_batch(shard) > 1;
	if (shard->expected && store_would_seal(shard->store) && wait_for_return(shard))
		return true;
	shard->empty_looks = shard->stirred ? 0 : shard->empty_looks + 1;
	shard->stirred = false;
	if (shard->empty_looks > (several ? EMPTY_LOOKS_MAX : 0) || !store_would_seal(shard->store) ||
	    clock_monotonic_us() - shard->turn_began_us > GATHER_US)
		return false;
	if (several)
		sched_yield();
	loop_later(shard->process->loop, &shard->turn);
	return true;
}

static void look_at_places(void *owner)
{
	struct shard *shard = owner;
	shard->place_looks = false;
	world_writable(shard);
	shard_turn(shard);
}

/* Whatever a large message may wait for comes in a turn of ours; and it does not wait for ever. */
static void serve_places(struct shard *shard)
{
	if (store_place_is_free(shard->store)) {
		world_writable(shard);
	} else if (store_place_is_awaited(shard->store) && !shard->place_looks) {
		shard->place_looks = true;
		loop_timer_start(shard->place, PLACE_LOOK_MS);
	}
}

/* Keys that were confirmed since the last batch: one more, tried once. */
static bool forgets_at_last(struct shard *shard)
{
	bool first = !shard->has_forgotten;
	shard->has_forgotten = true;
	return first && delivery_forget_confirmed(shard->store);
}

static void end_of_turn(void *owner)
{
	struct shard *shard = owner;
	if (shard->sync_here)
		sync_here(shard);
	if (wait_for_more(shard))
		return;
	if (store_write_ahead(shard->store)) {
		loop_later(shard->process->loop, &shard->turn);
		loop_did(shard->process->loop, STR("pages of a large batch"));
		return;
	}
	store_turn(shard->store);
	for (int i = 0; i < SYNCS_HERE_MAX && shard->sync_here; i++) {
		sync_here(shard);
		store_turn(shard->store);
	}
	serve_places(shard);
	space_after_turn(shard);
	loop_did(shard->process->loop, STR("commit"));
	if (shard->stopping && store_is_idle(shard->store) && !shard->connections && !shard->large.first) {
		if (forgets_at_last(shard))
			shard_turn(shard);
		else
			role_stopped(shard->process);
	}
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
	loop_did(shard->process->loop, STR("upkeep"));
	shard_turn(shard);
}

/* --- peers --- */

static int access_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct peer *peer = owner;
	return type == ACCESS_SHARD_HANDOVER ? handover_came(peer->shard, peer->index, body, fd) : ERR_SYNTAX;
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
	requests_peer_gone(peer);
	role_peer_lost(peer->shard->process, peer->role, peer->index);
}

/* After the sandbox was entered, which would not bind threads made before; before the start, as a peer may say
 * something before it. */
static void start_helpers(struct shard *shard)
{
	if (shard->helper)
		return;
	shard->helper = loop_helper_new(shard->process->loop);
	shard->reader = loop_helper_new(shard->process->loop);
	loop_set_read_helper(shard->process->loop, shard->reader);
}

static void shard_peer(struct role_process *process, enum role role, uint16_t index, int fd)
{
	struct shard *shard = process->state;
	start_helpers(shard);
	struct peer *peer = role == ROLE_AUTH     ? &shard->auth
	                    : role == ROLE_ACCESS ? &shard->access[index % PEERS_MAX]
	                                          : &shard->smtp[index % PEERS_MAX];
	ipc_message_fn *message = role == ROLE_AUTH ? auth_message : role == ROLE_ACCESS ? access_message : smtp_message;
	ipc_channel_free(&peer->channel);
	requests_peer_gone(peer);
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
		.quota = { conf->quota.messages, conf->quota.bytes },
	};
}

static uint64_t sessions_possible(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur > 2 * FILES_RESERVED ? limit.rlim_cur - FILES_RESERVED : limit.rlim_cur / 2;
}

/* What to do about a store that does not open. */
static const char *advice(int err)
{
	switch (err) {
	case ERR_CORRUPT:
		return "stop the server and run: mansio store salvage, or restore a backup; the other shards serve meanwhile";
	case ERR_UNSUPPORTED:
		return "it was written by a newer version of mansio; run that one, nothing was changed";
	case ERR_NO_SPACE:
		return "make room on the disk; the shard tries again by itself";
	default:
		return "check the disk and the folder's permissions; the shard tries again by itself";
	}
}

static void set_limits(struct shard *shard)
{
	const struct conf *conf = &shard->process->conf;
	shard->mail.max_message_size = conf->smtp.max_message_size + TRACE_HEADERS_MAX;
	shard->mail.max_keywords = (uint32_t)MIN(conf->imap.max_keywords, (uint64_t)KEYWORDS_MAX);
}

static void shard_reload(struct role_process *process)
{
	struct shard *shard = process->state;
	struct store_settings settings = settings_from(&process->conf, buf_str(&shard->directory));
	set_limits(shard);
	engines_reload(shard);
	store_change_settings(shard->store, &settings);
}

static void free_timers(struct shard *shard)
{
	loop_timer_free(&shard->closed);
	loop_timer_free(&shard->receipts.timer);
	loop_timer_free(&shard->gather);
	loop_timer_free(&shard->forget);
	loop_timer_free(&shard->place);
	loop_timer_free(&shard->idle_work);
}

static void tell_torn_log(struct shard *shard)
{
	if (store_log_was_torn(shard->store))
		log_warning("log-torn", LOG_S("directory", buf_str(&shard->directory)),
		            LOG_C("what", "index.db-wal, the log of the last changes, ends in some that are not whole; nothing was cut off"),
		            LOG_C("action", "none after a power cut, which leaves what nobody was told of like that; else look at the "
		                            "disk, and mansio store salvage finds messages that are missing"));
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
	shard->requests.end = &shard->requests.first;
	shard->large.end = &shard->large.first;
	shard->promises_end = &shard->promises;
	shard->tickets = mac_new(str_of((const char *)process->setup.ticket_key, TICKET_KEY_SIZE));
	control_begin(shard);
	shard->closed = loop_timer_new(process->loop, connections_tell_closed, shard);
	shard->receipts.timer = loop_timer_new(process->loop, connections_received, shard);
	shard->gather = loop_timer_new(process->loop, on_gathered, shard);
	shard->forget = loop_timer_new(process->loop, requests_forget, shard);
	shard->place = loop_timer_new(process->loop, look_at_places, shard);
	shard->idle_work = loop_timer_new(process->loop, work_while_idle, shard); /* a peer's order may come before the start */
	handovers_begin(shard);
	shard->turn = (struct loop_later){ .fn = end_of_turn, .owner = shard };
	shard->work = (struct loop_later){ .fn = run_requests, .owner = shard };
	shard->sync_job = (struct loop_job){ .work = sync_work, .done = sync_done, .owner = shard };
	shard->mail.reader = mail_reader_new(&limits);
	set_limits(shard);
	buf_addf(&shard->directory, "%.*s/" STORE_FOLDER_SHARDS "/%02u", STR_ARG(process->setup.directory),
	         process->setup.index);
	struct store_settings settings = settings_from(conf, buf_str(&shard->directory));
	int result = store_open(&settings, &store_world, shard, &shard->store, &what);
	if (result == 0) {
		tell_torn_log(shard);
		engines_set_up(shard);
		return 0;
	}
	log_error("store-not-opened", LOG_C("what", what), LOG_S("directory", buf_str(&shard->directory)), LOG_ERR(result),
	          LOG_C("action", advice(result)));
	control_free(shard);
	mac_free(&shard->tickets);
	free_timers(shard);
	mail_reader_free(&shard->mail.reader);
	buf_free(&shard->directory);
	mem_free(shard);
	process->state = NULL;
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
	start_helpers(shard);
	loop_timer_start(shard->idle_work, IDLE_WORK_PACE_MS);
	control_start(shard);
	backup_start(shard);
	space_begin(shard);
	role_ready(process);
}

static void shard_stop(struct role_process *process)
{
	struct shard *shard = process->state;
	shard->stopping = true;
	store_stop_upkeep(shard->store);
	handovers_stop(shard);
	connections_bye(shard);
	parcels_free(shard);
	shard_turn(shard);
}

static void shard_status(struct role_process *process, struct buf *out)
{
	struct shard *shard = process->state;
	struct store_statistics statistics;
	store_statistics(shard->store, &statistics);
	role_status_add(out, STR("sessions"), shard->count.sessions);
	role_status_add(out, STR("logins"), shard->count.logins);
	connections_status(shard, out);
	role_status_add(out, STR("deliveries"), shard->count.deliveries);
	role_status_add(out, STR("deliveries_refused"), shard->count.refused);
	role_status_add(out, STR("batches"), statistics.batches);
	role_status_add(out, STR("syncs"), statistics.syncs);
	role_status_add(out, STR("sync_us"), shard->count.sync_us);
	role_status_add(out, STR("checkpoints"), statistics.checkpoints);
	role_status_add(out, STR("wal_bytes"), statistics.wal_bytes);
	role_status_add(out, STR("waiting"), requests_waiting(shard));
	role_status_add(out, STR("batches_voided"), shard->voids);
	role_status_add(out, STR("accounts_in_memory"), statistics.accounts_in_memory);
	role_status_add(out, STR("view_bytes"), statistics.view_bytes);
	role_status_add(out, STR("messages"), statistics.messages);
	role_status_add(out, STR("segments"), statistics.segments);
	role_status_add(out, STR("segments_damaged"), statistics.segments_damaged);
	role_status_add(out, STR("body_bytes"), statistics.body_bytes);
	role_status_add(out, STR("body_bytes_dead"), statistics.dead_bytes);
	role_status_add(out, STR("body_bytes_freed"), statistics.compacted_bytes);
	space_status(shard, out);
	role_status_add(out, STR("cold_reads"), loop_cold_reads(process->loop));
	role_status_imap(out, shard->count.imap_commands);
	role_status_pop3(out, shard->count.pop3_commands);
	loop_did(process->loop, STR("status"));
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
	handovers_free(shard);
	refusals_free(shard);
	connections_free(shard);
	parcels_free(shard);
	free_peers(shard);
	requests_free(shard);
	control_free(shard);
	mac_free(&shard->tickets);
	backup_free(shard);
	loop_set_read_helper(process->loop, NULL);
	loop_helper_free(&shard->reader);
	loop_helper_free(&shard->helper);
	free_timers(shard);
	space_free(shard);
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
	.reload = shard_reload,
	.start = shard_start,
	.stop = shard_stop,
	.status = shard_status,
	.control = control_command,
	.transfer = parcel_command,
	.finish = shard_finish,
};

int shard_main(void)
{
	return role_main(&definition);
}
