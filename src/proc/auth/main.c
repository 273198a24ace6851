/* main.c: the role auth: owns who exists. Its privileges: the folder of the directory, its channels, nothing else. */
#include "proc/auth/auth.h"

#include "auth/password.h"
#include "base/mem.h"
#include "base/random.h"
#include "ipc/auth_shard.h"
#include "ipc/smtp_auth.h"
#include "ipc/ticket.h"
#include "proc/roles.h"
#include "proc/store_folder.h"

#include <unistd.h>

#define OPEN_WAIT_MS       10000 /* for a command line that is at work on the directory */
#define FOLDER_MAX         8192
/* Logins by POP3 whose time is kept, when pop3.login_delay is set. */
#define POP3_DELAY_ENTRIES 65536
#define SHARD_CALLS_MAX    8192

static int open_directory(struct auth *auth)
{
	struct role_process *process = auth->process;
	struct directory_settings settings = {
		.shards = process->setup.shards,
		.max_alias_targets = (uint32_t)process->conf.limits.max_alias_targets,
		.max_alias_depth = (uint32_t)process->conf.limits.max_alias_depth,
		.delimiter = process->conf.smtp.recipient_delimiter,
	};
	buf_add(&auth->folder, process->setup.directory);
	buf_add(&auth->folder, STR("/" STORE_FOLDER_AUTH));
	const char *what = DIRECTORY_FILE;
	int err = buf_error(&auth->folder);
	if (!err)
		err = directory_open(buf_str(&auth->folder), &settings, OPEN_WAIT_MS, &auth->directory, &what);
	if (err)
		log_error("directory-not-opened", LOG_C("file", "auth/" DIRECTORY_FILE), LOG_C("what", what),
		          LOG_S("directory", buf_str(&auth->folder)),
		          LOG_ERR(err),
		          LOG_C("action", err == ERR_UNSUPPORTED ? "it was written by a newer version of mansio; run that one"
		                          : err == ERR_CORRUPT   ? "stop the server and restore this file from a backup"
		                                                 : "check the disk and the folder's permissions"));
	else if (directory_log_was_torn(auth->directory))
		log_warning("log-torn", LOG_S("directory", buf_str(&auth->folder)),
		            LOG_C("what", DIRECTORY_FILE "-wal, the log of the last changes, ends in one that is not whole"),
		            LOG_C("action", "none after a power cut, which leaves what nobody was told of like that; else look at the disk, and "
		                            "whether the account that was changed last is as it should be"));
	return err;
}

/* The hash of a password that nobody has, at today's cost. */
static int make_dummy_hash(struct auth *auth)
{
	struct password_cost cost = {
		.memory_kb = (uint32_t)(auth->process->conf.login.password_memory / 1024),
		.iterations = (uint32_t)auth->process->conf.login.password_iterations,
	};
	unsigned char random[16];
	auth->dummy_memory = auth->process->conf.login.password_memory;
	auth->dummy_iterations = auth->process->conf.login.password_iterations;
	random_bytes(random, sizeof random);
	_Static_assert(PASSWORD_ENCODED_MAX == DIRECTORY_PASSWORD_MAX, "the directory holds what password_hash makes");
	return password_hash(str_of((const char *)random, sizeof random), &cost, auth->dummy_hash, &auth->dummy_hash_n);
}

static struct auth_peer *peers_of(struct auth *auth, enum role role)
{
	switch (role) {
	case ROLE_ACCESS:
		return auth->access;
	case ROLE_SMTP:
		return auth->smtp;
	case ROLE_AUTHWORK:
		return auth->authwork;
	case ROLE_SHARD:
		return auth->shards;
	case ROLE_SUPERVISOR:
	case ROLE_AUTH:
	case ROLE_COUNT:
		break;
	}
	return NULL;
}

static void set_up_peers(struct auth *auth)
{
	for (enum role role = ROLE_SUPERVISOR; role < ROLE_COUNT; role++) {
		struct auth_peer *peers = peers_of(auth, role);
		for (uint16_t i = 0; peers && i < AUTH_PEERS_MAX; i++) {
			peers[i].auth = auth;
			peers[i].role = role;
			peers[i].index = i;
		}
	}
}

static struct throttle_limits throttle_limits_of(const struct conf *conf)
{
	return (struct throttle_limits){
		.delay_ms = conf->login.failure_delay_ms,
		.delay_max_ms = conf->login.failure_delay_max_ms,
		.waiting = (uint32_t)conf->login.password_queue,
		.waiting_per_address = (uint32_t)conf->login.password_queue_per_address,
	};
}

static int prepare(struct role_process *process)
{
	struct auth *auth = mem_alloc(1, sizeof *auth);
	process->state = auth;
	auth->process = process;
	auth->folder = BUF_INIT(FOLDER_MAX);
	int err = open_directory(auth);
	if (err) {
		buf_free(&auth->folder);
		mem_free(auth);
		process->state = NULL;
		return err;
	}
	set_up_peers(auth);
	directory_on_change(auth->directory, resolve_changed, auth);
	auth->targets = mem_alloc(1, sizeof *auth->targets);
	auth->tickets = mac_new(str_of((const char *)process->setup.ticket_key, TICKET_KEY_SIZE));
	auth->cache = auth_cache_new((uint32_t)process->conf.login.auth_cache_entries,
				     process->conf.login.auth_cache_lifetime_ms);
	struct throttle_limits limits = throttle_limits_of(&process->conf);
	auth->throttle = throttle_new((uint32_t)process->conf.login.throttle_entries, &limits);
	auth->pop3_delay = login_delay_new(POP3_DELAY_ENTRIES, process->conf.pop3.login_delay_ms);
	auth->queue = fair_queue_new((uint32_t)process->conf.login.password_queue,
				     (uint32_t)process->conf.login.password_queue_per_address);
	auth->shard_calls = ipc_calls_new(process->loop, SHARD_CALLS_MAX);
	auth->turns_timer = loop_timer_new(process->loop, login_turns, auth);
	auth->turns_later = (struct loop_later){ .fn = login_turns, .owner = auth };
	auth->orders_timer = loop_timer_new(process->loop, orders_repeat, auth);
	app_logins_begin(auth);
	err = make_dummy_hash(auth);
	if (!err)
		auth_backup_begin(auth);
	if (!err)
		moves_begin(auth);
	return err;
}

static size_t sandbox_paths(struct role_process *process, struct sandbox_path *paths)
{
	const struct auth *auth = process->state;
	paths[0] = (struct sandbox_path){ buf_str(&auth->folder), true };
	return 1;
}

static int on_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct auth_peer *peer = owner;
	if (*fd != -1)
		return ERR_CORRUPT;
	switch (peer->role) {
	case ROLE_ACCESS:
		return type == ACCESS_AUTH_TICKET_UNUSED ? login_ticket_unused(peer->auth, body) :
							   login_message(peer, type, body);
	case ROLE_SMTP:
		return type == SMTP_AUTH_LOGIN ? login_message(peer, type, body) : resolve_message(peer, type, body);
	case ROLE_AUTHWORK:
		return passwords_message(peer, type, body);
	case ROLE_SHARD:
		return type == SHARD_AUTH_TICKET_UNUSED ? login_ticket_unused(peer->auth, body) :
							  orders_message(peer, type, body);
	case ROLE_SUPERVISOR:
	case ROLE_AUTH:
	case ROLE_COUNT:
		break;
	}
	return ERR_STATE;
}

static void lose(struct auth_peer *peer)
{
	ipc_channel_free(&peer->channel);
	peer->generation++;
	peer->remembers = false;
	if (peer->role == ROLE_AUTHWORK)
		passwords_peer_lost(peer->auth, peer);
	else if (peer->role == ROLE_SHARD)
		orders_peer_lost(peer->auth, peer);
}

void auth_peer_drop(struct auth_peer *peer)
{
	lose(peer);
	role_peer_lost(peer->auth->process, peer->role, peer->index);
}

/* The supervisor sends a new channel when the peer is back. */
static void on_closed(void *owner)
{
	auth_peer_drop(owner);
}

static void on_peer(struct role_process *process, enum role role, uint16_t index, int fd)
{
	struct auth *auth = process->state;
	struct auth_peer *peers = peers_of(auth, role);
	if (!peers || index >= AUTH_PEERS_MAX) {
		log_error("unexpected-peer", LOG_S("peer", role_name(role)), LOG_U("index", index));
		close(fd);
		return;
	}
	struct auth_peer *peer = &peers[index];
	if (peer->channel)
		lose(peer);
	peer->channel = ipc_channel_new(process->loop, fd, on_message, on_closed, peer);
	if (role == ROLE_AUTHWORK)
		passwords_dispatch(auth);
	else if (role == ROLE_SHARD)
		orders_send(auth, peer);
	else if (role == ROLE_ACCESS)
		pop3_tell_expire(auth, peer);
}

/* Passwords that are made from now on cost what the configuration says, and so does the one that nobody has. */
static void reload(struct role_process *process)
{
	struct auth *auth = process->state;
	const struct conf *conf = &process->conf;
	struct throttle_limits limits = throttle_limits_of(conf);
	auth_cache_set_lifetime(auth->cache, conf->login.auth_cache_lifetime_ms);
	throttle_set_limits(auth->throttle, &limits);
	fair_queue_set_limits(auth->queue, (uint32_t)conf->login.password_queue,
			      (uint32_t)conf->login.password_queue_per_address);
	pop3_tell_expire(auth, NULL);
	if (conf->login.password_memory == auth->dummy_memory && conf->login.password_iterations == auth->dummy_iterations)
		return;
	int err = make_dummy_hash(auth);
	if (err)
		log_error("password-not-hashed", LOG_ERR(err));
}

static void start(struct role_process *process)
{
	struct auth *auth = process->state;
	orders_send_all(auth);
	role_ready(process);
}

/* Commands get their answers (pending, or try again); logins get none, for access is stopping too. */
static void stop(struct role_process *process)
{
	struct auth *auth = process->state;
	process->state = NULL;
	for (enum role role = ROLE_SUPERVISOR; role < ROLE_COUNT; role++) {
		struct auth_peer *peers = peers_of(auth, role);
		for (uint16_t i = 0; peers && i < AUTH_PEERS_MAX; i++)
			ipc_channel_free(&peers[i].channel);
	}
	passwords_stop(auth);
	login_stop(auth);
	for (size_t i = 0; i < AUTH_PEERS_MAX; i++)
		orders_peer_lost(auth, &auth->shards[i]);
	commands_stop(auth);
	loop_timer_free(&auth->turns_timer);
	loop_timer_free(&auth->orders_timer);
	ipc_calls_free(&auth->shard_calls);
	fair_queue_free(&auth->queue);
	auth_cache_free(&auth->cache);
	mac_free(&auth->tickets);
	throttle_free(&auth->throttle);
	login_delay_free(&auth->pop3_delay);
	auth_backup_free(auth);
	moves_free(auth);
	app_logins_stop(auth);
	directory_free(&auth->directory);
	mem_free(auth->targets);
	buf_free(&auth->folder);
	mem_free(auth);
	role_stopped(process);
}

static void status(struct role_process *process, struct buf *out)
{
	struct auth *auth = process->state;
	struct directory_counts counts;
	if (!auth)
		return; /* stopping */
	if (directory_count(auth->directory, &counts) == 0) {
		role_status_add(out, STR("domains"), counts.domains);
		role_status_add(out, STR("accounts"), counts.accounts);
		role_status_add(out, STR("aliases"), counts.aliases);
		role_status_add(out, STR("orders_pending"), counts.orders);
	}
	role_status_add(out, STR("logins"), auth->counters.logins);
	role_status_add(out, STR("logins_cached"), auth->counters.logins_cached);
	role_status_add(out, STR("login_failures"), auth->counters.login_failures);
	role_status_add(out, STR("logins_put_off"), auth->counters.logins_put_off);
	role_status_add(out, STR("passwords_queued"), fair_queue_count(auth->queue));
	role_status_add(out, STR("addresses_resolved"), auth->counters.resolved);
	role_status_add(out, STR("addresses_refused"), auth->counters.resolve_refused);
}

int auth_main(void)
{
	static const struct role_definition definition = {
		.role = ROLE_AUTH,
		.sandbox = SANDBOX_FILES | SANDBOX_SOCKETPAIR,
		.sandbox_paths = sandbox_paths,
		.prepare = prepare,
		.peer = on_peer,
		.reload = reload,
		.start = start,
		.stop = stop,
		.status = status,
		.control = commands_run,
	};
	return role_main(&definition);
}
