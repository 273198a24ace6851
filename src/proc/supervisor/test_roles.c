/* test_roles.c: five roles that only count what the supervisor sends them, for supervisor_test. Each says hello on
 * every channel to a peer; `mansio status` shows how many peers greeted it. */
#include "base/mem.h"
#include "ipc/channel.h"
#include "ipc/control.h"
#include "proc/ctl/ctl.h"
#include "proc/role.h"
#include "proc/roles.h"

#include <signal.h>
#include <unistd.h>

#define PEERS_MAX     32
#define SUPERVISOR_FD 3

enum { HELLO = 1 };

struct peer {
	struct counting *counting;
	struct ipc_channel *channel;
	enum role role;
	uint16_t index;
};

struct counting {
	struct peer peers[PEERS_MAX];
	size_t n_peers;
	uint64_t hellos, listeners, keys, metrics;
	struct loop_later deafen;
};

static int on_hello(void *owner, uint16_t type, struct str body, int *fd)
{
	struct peer *peer = owner;
	if (type != HELLO || body.n != 0 || *fd >= 0)
		return ERR_CORRUPT;
	peer->counting->hellos++;
	return 0;
}

static void on_closed(void *owner)
{
	struct peer *peer = owner;
	ipc_channel_free(&peer->channel);
}

/* Nothing of the supervisor's is heard any more. */
static void deafen(void *owner)
{
	(void)owner;
	close(SUPERVISOR_FD);
}

static int prepare(struct role_process *process)
{
	struct counting *counting = mem_alloc(1, sizeof *counting);
	counting->deafen = (struct loop_later){ .fn = deafen };
	process->state = counting;
	return 0;
}

static void on_listener(struct role_process *process, enum service service, int fd)
{
	struct counting *counting = process->state;
	(void)service;
	counting->listeners++;
	close(fd);
}

static struct peer *peer_of(struct counting *counting, enum role role, uint16_t index)
{
	for (size_t i = 0; i < counting->n_peers; i++) {
		if (counting->peers[i].role == role && counting->peers[i].index == index)
			return &counting->peers[i];
	}
	counting->peers[counting->n_peers] = (struct peer){ counting, NULL, role, index };
	return &counting->peers[counting->n_peers++];
}

static void on_peer(struct role_process *process, enum role role, uint16_t index, int fd)
{
	struct peer *peer = peer_of(process->state, role, index);
	ipc_channel_free(&peer->channel);
	peer->channel = ipc_channel_new(process->loop, fd, on_hello, on_closed, peer);
	if (ipc_send(peer->channel, HELLO, (struct str){ NULL, 0 }, -1) != 0)
		role_failed(process);
}

static void on_keys(struct role_process *process)
{
	struct counting *counting = process->state;
	counting->keys += process->tls ? 1 : 0;
}

static void on_status(struct role_process *process, struct buf *out)
{
	struct counting *counting = process->state;
	role_status_add(out, STR("hellos"), counting->hellos);
	role_status_add(out, STR("listening"), counting->listeners);
	role_status_add(out, STR("keys"), counting->keys);
	role_status_add(out, STR("metrics"), counting->metrics);
	role_status_add(out, STR("uid"), getuid());
}

static void lose_first_shard(struct role_process *process)
{
	ipc_channel_free(&peer_of(process->state, ROLE_SHARD, 0)->channel);
	role_peer_lost(process, ROLE_SHARD, 0);
}

/* "domain list" is answered; "domain add" is an order to call what the sandbox forbids, "domain remove" to be deaf, "alias
 * remove" to close the channel to shard 0. */
static void on_control(struct role_process *process, uint64_t request, struct str body)
{
	struct control_request command;
	struct control_reply answer = { 0, STR(""), STR("[]") };
	struct buf out = BUF_INIT(IPC_BODY_MAX);
	if (control_request_decode(body, &command) != 0)
		answer.result = ERR_CORRUPT;
	else if (command.command == CONTROL_DOMAIN_ADD)
		(void)!chdir("/");
	else if (command.command == CONTROL_ALIAS_REMOVE)
		lose_first_shard(process);
	control_reply_encode(&answer, &out);
	role_control_reply(process, request, buf_str(&out));
	if (command.command == CONTROL_DOMAIN_REMOVE)
		loop_later(process->loop, &((struct counting *)process->state)->deafen); /* behind the answer */
	buf_free(&out);
}

/* A log line from inside the sandbox is part of the test: it reads the clock and, without care, the time zone's
 * file. */
static void start(struct role_process *process)
{
	log_info("counting");
	role_ready(process);
}

/* Access asks again with each answer, as one that was taken over would. */
static void on_metrics(struct role_process *process, struct str text)
{
	struct counting *counting = process->state;
	counting->metrics++;
	role_ask_metrics(process);
}

static void start_access(struct role_process *process)
{
	start(process);
	role_ask_metrics(process);
}

static void finish(struct role_process *process)
{
	struct counting *counting = process->state;
	for (size_t i = 0; i < counting->n_peers; i++)
		ipc_channel_free(&counting->peers[i].channel);
	mem_free(counting);
}

static int count(enum role role)
{
	const struct role_definition definition = {
		.role = role,
		.sandbox = SANDBOX_SOCKETS,
		.prepare = prepare,
		.listener = on_listener,
		.peer = on_peer,
		.keys = on_keys,
		.start = role == ROLE_ACCESS ? start_access : start,
		.status = on_status,
		.control = role == ROLE_AUTH ? on_control : NULL,
		.metrics = role == ROLE_ACCESS ? on_metrics : NULL,
		.finish = finish,
	};
	return role_main(&definition);
}

int access_main(void)
{
	return count(ROLE_ACCESS);
}

int smtp_main(void)
{
	return count(ROLE_SMTP);
}

int auth_main(void)
{
	return count(ROLE_AUTH);
}

int authwork_main(void)
{
	return count(ROLE_AUTHWORK);
}

int shard_main(void)
{
	return count(ROLE_SHARD);
}

int ctl_main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return 64;
}
