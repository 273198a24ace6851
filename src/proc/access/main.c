/* main.c: the access role: greets IMAP and POP3 clients, speaks TLS with them, has auth look at their passwords, and
 * hands them to the shard of their account. Holds no mail, no directory and no file. One struct access_role, made by
 * prepare, freed by finish.
 *
 * While auth or a shard is down, logins are asked to come again; connections that are in a shard's hands do not
 * notice. */
#include "proc/access/private.h"

#include "base/log.h"
#include "base/mem.h"
#include "proc/roles.h"

#include <unistd.h>

static int prepare(struct role_process *process)
{
	struct access_role *role = mem_alloc(1, sizeof *role);
	uint32_t max = (uint32_t)process->conf.login.max_connections;
	process->state = role;
	role->process = process;
	role->settings = login_settings_of(&process->conf);
	role->n_links = PEER_SHARD(process->setup.shards);
	role->links = mem_alloc(role->n_links, sizeof *role->links);
	for (uint32_t i = 0; i < role->n_links; i++)
		role->links[i] = (struct link){ .role = role, .peer = i };
	role->calls = ipc_calls_new(process->loop, max); /* a connection asks one question at a time */
	role->scratch = BUF_INIT(IPC_BODY_MAX);
	role->addresses = address_count_new(max);
	role->handed = handed_new(max, role->addresses);
	return 0;
}

static void on_accept(void *owner, int fd, const struct peer_address *peer)
{
	struct role_listener *listener = owner;
	access_connection_accept(listener->role, listener->service, fd, peer);
}

static bool is_ours(enum service service)
{
	switch (service) {
	case SERVICE_IMAP:
	case SERVICE_IMAPS:
	case SERVICE_POP3:
	case SERVICE_POP3S:
		return true;
	case SERVICE_SMTP:
	case SERVICE_LMTP:
	case SERVICE_COUNT:
		break;
	}
	return false;
}

static void add_listener(struct role_process *process, enum service service, int fd)
{
	struct access_role *role = process->state;
	role_listeners_add(&role->listeners, role, is_ours(service), service, fd);
}

static void add_peer(struct role_process *process, enum role peer_role, uint16_t index, int fd)
{
	struct access_role *role = process->state;
	uint32_t peer = peer_role == ROLE_AUTH ? PEER_AUTH : PEER_SHARD(index);
	if ((peer_role != ROLE_AUTH && peer_role != ROLE_SHARD) || peer >= role->n_links) {
		log_error("peer-refused", LOG_S("role", role_name(peer_role)), LOG_U("index", index));
		close(fd);
		return;
	}
	access_link_open(role, peer, fd);
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
	access_connections_stop(role);
}

static void status(struct role_process *process, struct buf *out)
{
	const struct access_role *role = process->state;
	role_status_add(out, STR("connections"), (uint64_t)role->n_connections + handed_count(role->handed));
	role_status_add(out, STR("connections_before_login"), role->n_connections - role->n_relays);
	role_status_add(out, STR("connections_accepted"), role->n_accepted);
	role_status_add(out, STR("connections_refused"), role->n_refused);
	role_status_add(out, STR("logins"), role->n_logins);
	role_status_add(out, STR("login_failures"), role->n_failures);
	role_status_add(out, STR("relays"), role->n_relays);
}

static void finish(struct role_process *process)
{
	struct access_role *role = process->state;
	role_listeners_close(&role->listeners);
	access_connections_free(role);
	access_links_free(role);
	ipc_calls_free(&role->calls);
	handed_free(&role->handed);
	address_count_free(&role->addresses);
	buf_free(&role->scratch);
	mem_free(role->links);
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
		.start = start,
		.stop = stop,
		.status = status,
		.finish = finish,
	};
	return role_main(&definition);
}
