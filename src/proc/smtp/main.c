/* main.c: the smtp role: mail comes in by SMTP (from servers, and by submission from users) and LMTP, is checked here,
 * and goes to the shards of its recipients. Holds no mail and no directory: addresses and passwords are auth's
 * business. One struct smtp_role, made by prepare, freed by finish.
 *
 * While auth is down recipients get 451, while a shard is down its recipients' messages do: the client comes again. */
#include "proc/smtp/delivery.h"

#include "base/checked.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/roles.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder of unnamed files for large bodies, below the store's. The supervisor makes it for our user; where we
 * may, we make it ourselves. Without it large messages are refused for the time being, small ones go on. */
static int open_spool(struct smtp_role *role)
{
	const char *path = role->spool_path;
	snprintf(role->spool_path, sizeof role->spool_path, "%.*s/spool", STR_ARG(role->process->setup.directory));
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		log_warning("spool-missing", LOG_C("path", path), LOG_ERR(err_from_errno(errno)));
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		log_error("spool-not-open", LOG_C("path", path), LOG_ERR(err_from_errno(errno)),
		          LOG_C("meaning", "large messages are refused until smtp is started again with this folder"));
	return fd;
}

static struct smtp_config config_of(struct role_process *process)
{
	const struct conf *conf = &process->conf;
	struct smtp_role *role = process->state;
	return (struct smtp_config){
		.hostname = process->setup.hostname,
		.commands = role->commands,
		.max_message_size = conf->smtp.max_message_size,
		.max_recipients = (uint32_t)conf->smtp.max_recipients,
		.max_refused_recipients = (uint32_t)conf->smtp.max_refused_recipients,
		.max_transactions = (uint32_t)conf->smtp.max_transactions,
		.max_bad_commands = (uint32_t)conf->smtp.max_bad_commands,
		.max_line = (uint32_t)conf->smtp.max_line,
		.max_received_headers = (uint32_t)conf->smtp.max_received_headers,
		.command_timeout_ms = conf->smtp.command_timeout_ms,
		.data_timeout_ms = conf->smtp.data_timeout_ms,
		.message_timeout_ms = conf->smtp.message_timeout_ms,
		.handshake_timeout_ms = conf->tls.handshake_timeout_ms,
		.max_failures = (uint32_t)conf->login.max_failures,
		.failure_delay_ms = conf->login.failure_delay_ms,
	};
}

static void set_limits(struct smtp_role *role)
{
	role->bodies.in_memory_max = MIN(role->process->conf.store.large_message, (uint64_t)DELIVER_INLINE_MAX);
}

static void prepare_bodies(struct smtp_role *role)
{
	const struct role_process *process = role->process;
	const struct conf *conf = &process->conf;
	struct body_store *bodies = &role->bodies;
	body_store_secret(bodies, process->setup.store_secret, sizeof process->setup.store_secret);
	bodies->spool = role->spool;
	set_limits(role);
	bodies->free_space_min = conf->store.reserve_free_space;
	bodies->budget = BODY_MEMORY_MAX;
	bodies->mime = conf_mime_limits(conf);
}

static int prepare(struct role_process *process)
{
	struct smtp_role *role = mem_alloc(1, sizeof *role);
	uint32_t max = (uint32_t)process->conf.smtp.max_connections;
	process->state = role;
	role->process = process;
	role->config = config_of(process);
	role->spool = open_spool(role);
	prepare_bodies(role);
	role->peers = peers_new(process, &smtp_peers_events, role);
	role->known = known_addresses_new();
	for (size_t i = 0; i < QUESTION_COUNT; i++)
		role->calls[i] = ipc_calls_new(process->loop, max * CALLS_PER_CONNECTION + process->setup.shards);
	role->ends = mem_alloc(process->setup.shards, sizeof *role->ends);
	role->ends_timer = loop_timer_new(process->loop, ends_due, role);
	role->scratch = BUF_INIT(IPC_BODY_MAX);
	role->addresses = address_count_new(max);
	role->max_connections = max;
	return 0;
}

static size_t sandbox_paths(struct role_process *process, struct sandbox_path *paths)
{
	const struct smtp_role *role = process->state;
	if (role->spool < 0)
		return 0;
	paths[0] = (struct sandbox_path){ str_from_c(role->spool_path), true };
	return 1;
}

static void on_accept(void *owner, int fd, const struct peer_address *peer)
{
	struct role_listener *listener = owner;
	smtp_connection_accept(listener->role, listener->service, fd, peer);
}

static void add_listener(struct role_process *process, enum service service, int fd)
{
	struct smtp_role *role = process->state;
	role_listeners_add(&role->listeners, role, service_role(service) == ROLE_SMTP, service, fd);
}

static void add_peer(struct role_process *process, enum role peer_role, uint16_t index, int fd)
{
	struct smtp_role *role = process->state;
	peers_add(role->peers, peer_role, index, fd);
}

static void reload(struct role_process *process)
{
	struct smtp_role *role = process->state;
	role->config = config_of(process);
	set_limits(role);
}

static void start(struct role_process *process)
{
	struct smtp_role *role = process->state;
	role_listeners_start(&role->listeners, process->loop, on_accept);
	role_ready(process);
}

static void stop(struct role_process *process)
{
	struct smtp_role *role = process->state;
	role_listeners_close(&role->listeners);
	peers_stop(role->peers);
	smtp_connections_stop(role);
}

static void status(struct role_process *process, struct buf *out)
{
	const struct smtp_role *role = process->state;
	role_status_add(out, STR("connections"), role->n_connections);
	role_status_add(out, STR("connections_accepted"), role->n_accepted);
	role_status_add(out, STR("connections_refused"), role->n_refused);
	role_status_add(out, STR("logins"), role->n_logins);
	role_status_add(out, STR("login_failures"), role->n_login_failures);
	role_status_add(out, STR("addresses_known"), role->n_known);
	role_status_add(out, STR("messages_delivered"), role->n_messages);
	role_status_add(out, STR("messages_failed"), role->n_failed);
	role_status_add(out, STR("bytes_received"), role->n_bytes);
	role_status_add(out, STR("body_memory"), role->bodies.held);
	role_status_add(out, STR("bodies_parsed_late"), role->bodies.n_parsed_late);
	role_status_services(out, role->accepted);
	for (enum smtp_verb verb = SMTP_UNKNOWN + 1; verb < (enum smtp_verb)SMTP_VERB_COUNT; verb++)
		role_status_command(out, STR("smtp"), smtp_verb_name(verb), role->commands[verb]);
}

static void finish(struct role_process *process)
{
	struct smtp_role *role = process->state;
	role_listeners_close(&role->listeners);
	smtp_connections_free(role);
	loop_timer_free(&role->ends_timer);
	peers_free(&role->peers);
	known_addresses_free(&role->known);
	for (size_t i = 0; i < QUESTION_COUNT; i++)
		ipc_calls_free(&role->calls[i]);
	address_count_free(&role->addresses);
	body_store_free(&role->bodies);
	buf_free(&role->scratch);
	mem_free(role->ends);
	if (role->spool >= 0)
		close(role->spool);
	mem_free(role);
	process->state = NULL;
}

int smtp_main(void)
{
	static const struct role_definition definition = {
		.role = ROLE_SMTP,
		.sandbox = SANDBOX_SOCKETS | SANDBOX_FILES,
		.sandbox_paths = sandbox_paths,
		.prepare = prepare,
		.listener = add_listener,
		.peer = add_peer,
		.reload = reload,
		.start = start,
		.stop = stop,
		.status = status,
		.control = smtp_control,
		.finish = finish,
	};
	return role_main(&definition);
}
