/* main.c: the access role: greets IMAP and POP3 clients, speaks TLS with them, has auth look at their passwords, and
 * hands them to the shard of their account. Holds no mail, no directory and no file. One struct access_role, made by
 * prepare, freed by finish.
 *
 * While auth or a shard is down, logins are asked to come again; connections that are in a shard's hands do not
 * notice. */
#include "proc/access/private.h"

#include "base/mem.h"
#include "proc/roles.h"

void access_settings(struct access_role *role)
{
	role->settings = login_settings_of(&role->process->conf);
	role->settings.imap_commands = role->imap_commands;
	role->settings.pop3_commands = role->pop3_commands;
	role->settings.pop3_expire_days = role->expire.days;
	role->settings.pop3_expire_differs = role->expire.differs;
}

static int prepare(struct role_process *process)
{
	struct access_role *role = mem_alloc(1, sizeof *role);
	uint32_t max = (uint32_t)process->conf.login.max_connections;
	process->state = role;
	role->process = process;
	role->expire = (struct expire_news){ pop3_policy_expire(process->conf.pop3.mode, (uint16_t)process->conf.pop3.days), false };
	access_settings(role);
	role->peers = peers_new(process, &access_peers_events, role);
	role->calls = ipc_calls_new(process->loop, max); /* a connection asks one question at a time */
	role->scratch = BUF_INIT(IPC_BODY_MAX);
	role->addresses = address_count_new(max);
	role->handed = handed_new(max, role->addresses);
	role->scrapes = scrapes_new(process, SCRAPE_MS);
	return 0;
}

static void on_accept(void *owner, int fd, const struct peer_address *peer)
{
	struct role_listener *listener = owner;
	struct access_role *role = listener->role;
	if (listener->service == SERVICE_METRICS)
		scrapes_accept(role->scrapes, fd);
	else
		access_connection_accept(role, listener->service, fd, peer);
}

static void add_listener(struct role_process *process, enum service service, int fd)
{
	struct access_role *role = process->state;
	role_listeners_add(&role->listeners, role, service_role(service) == ROLE_ACCESS, service, fd);
}

static void add_peer(struct role_process *process, enum role peer_role, uint16_t index, int fd)
{
	struct access_role *role = process->state;
	peers_add(role->peers, peer_role, index, fd);
}

static void reload(struct role_process *process)
{
	access_settings(process->state);
}

static void start(struct role_process *process)
{
	struct access_role *role = process->state;
	role_listeners_start(&role->listeners, process->loop, on_accept);
	role_ready(process);
}

static void stop(struct role_process *process)
{
	struct access_role *role = process->state;
	role_listeners_close(&role->listeners);
	scrapes_free(&role->scrapes);
	peers_stop(role->peers);
	access_connections_stop(role);
}

static void status_of_logins(const struct access_role *role, struct buf *out)
{
	role_status_add(out, STR("logins"), role->count[HANDOVER_IMAP].logins + role->count[HANDOVER_POP3].logins);
	role_status_add(out, STR("login_failures"), role->count[HANDOVER_IMAP].failures + role->count[HANDOVER_POP3].failures);
	role_status_add(out, STR("logins_imap"), role->count[HANDOVER_IMAP].logins);
	role_status_add(out, STR("logins_pop3"), role->count[HANDOVER_POP3].logins);
	role_status_add(out, STR("login_failures_imap"), role->count[HANDOVER_IMAP].failures);
	role_status_add(out, STR("login_failures_pop3"), role->count[HANDOVER_POP3].failures);
}

static void status(struct role_process *process, struct buf *out)
{
	const struct access_role *role = process->state;
	role_status_add(out, STR("connections"), (uint64_t)role->n_connections + handed_count(role->handed));
	role_status_add(out, STR("connections_before_login"), role->n_connections - role->n_relays);
	role_status_add(out, STR("connections_accepted"), role->n_accepted);
	role_status_add(out, STR("connections_refused"), role->n_refused);
	role_status_services(out, role->accepted);
	status_of_logins(role, out);
	role_status_add(out, STR("relays"), role->n_relays);
	role_status_imap(out, role->imap_commands);
	role_status_pop3(out, role->pop3_commands);
}

static void metrics(struct role_process *process, struct str text)
{
	struct access_role *role = process->state;
	if (role->scrapes) /* else it is stopping */
		scrapes_answer(role->scrapes, text);
}

static void finish(struct role_process *process)
{
	struct access_role *role = process->state;
	role_listeners_close(&role->listeners);
	scrapes_free(&role->scrapes);
	access_connections_free(role);
	peers_free(&role->peers);
	ipc_calls_free(&role->calls);
	handed_free(&role->handed);
	address_count_free(&role->addresses);
	buf_free(&role->scratch);
	mem_free(role);
	process->state = NULL;
}

int access_main(void)
{
	static const struct role_definition definition = {
		.role = ROLE_ACCESS,
		.sandbox = SANDBOX_SOCKETS | SANDBOX_SOCKETPAIR,
		.prepare = prepare,
		.listener = add_listener,
		.peer = add_peer,
		.reload = reload,
		.start = start,
		.stop = stop,
		.status = status,
		.control = access_control,
		.metrics = metrics,
		.finish = finish,
	};
	return role_main(&definition);
}
