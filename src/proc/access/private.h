/* private.h: what the files of the access role share: the role's state, its links to auth and the shards, and its
 * connections. One struct access_role a process; everything below it is freed with it. */
#ifndef PROC_ACCESS_PRIVATE_H
#define PROC_ACCESS_PRIVATE_H

#include "ipc/call.h"
#include "ipc/channel.h"
#include "proc/access/engine.h"
#include "proc/access/handed.h"
#include "proc/access/scrape.h"
#include "proc/listeners.h"
#include "proc/role.h"

/* Beside the delays that auth itself imposes on who failed before (login.failure_delay_max). */
#define LOGIN_ANSWER_MS (30 * 1000)
/* Time for the last reply to leave; less when the server stops, which has a time-out of its own. */
#define LINGER_MS       (5 * 1000)
#define STOP_LINGER_MS  1000
/* At a stop, time for the shards' farewells to pass through the relays. */
#define STOP_RELAYS_MS  2000

struct access_role;
struct connection;

/* Our end of the channel to auth (peer 0) or to a shard (peer 1 + its index). */
struct link {
	struct access_role *role;
	uint32_t peer;
	struct ipc_channel *channel; /* NULL while the other process is down */
};

#define PEER_AUTH 0
#define PEER_SHARD(index) ((uint32_t)(index) + 1)

struct access_role {
	struct role_process *process;
	struct login_settings settings;
	struct expire_news expire;     /* what auth has said last of EXPIRE; the configuration's before */
	struct role_listeners listeners;
	struct link *links; /* by peer */
	uint32_t n_links;
	struct ipc_calls *calls;
	struct buf scratch; /* for encoding messages; wiped after each that held a password */
	struct address_count *addresses;
	struct handed *handed;
	struct scrapes *scrapes;
	struct connection *connections; /* all, newest first: before login, and relays */
	uint32_t n_connections, n_relays;
	uint64_t n_accepted, n_refused;
	uint64_t accepted[SERVICE_COUNT];
	struct {
		uint64_t logins, failures;
	} count[HANDOVER_PROTOCOL_COUNT];
	struct loop_timer *stop_timer; /* while stopping with relays */
	bool stopping;
};

/* main.c: engines look at these settings from now on. */
void access_settings(struct access_role *role);

/* links.c: a peer's new channel, replacing an older one. */
void access_link_open(struct access_role *role, uint32_t peer, int fd);
void access_links_free(struct access_role *role);
/* Sends what was encoded into role->scratch, and the descriptor beside it. ERR_UNAVAILABLE while the peer is
 * down. The descriptor becomes the channel's, as of ipc_pass. */
int access_link_send(struct access_role *role, uint32_t peer, uint16_t type) MUST_CHECK;
int access_link_pass(struct access_role *role, uint32_t peer, uint16_t type, int *fd) MUST_CHECK;

/* connection.c: the role's listeners lead here; the descriptor becomes the connection's. */
void access_connection_accept(struct access_role *role, enum service service, int fd, const struct peer_address *peer);
/* `mansio who` and `mansio kick`: connections before login; after it, their shard tells of them. */
void access_control(struct role_process *process, uint64_t number, struct str body);
/* The server stops: role_stopped is called when the last connection is gone. */
void access_connections_stop(struct access_role *role);
/* At the end of the process: frees all at once. */
void access_connections_free(struct access_role *role);

#endif
