/* private.h: what the files of the smtp role share: the role's state, its links to auth and the shards, and its
 * connections. One struct smtp_role a process; everything below it is freed with it. */
#ifndef PROC_SMTP_PRIVATE_H
#define PROC_SMTP_PRIVATE_H

#include "ipc/call.h"
#include "ipc/channel.h"
#include "ipc/smtp_auth.h"
#include "ipc/smtp_shard.h"
#include "proc/address_count.h"
#include "proc/listeners.h"
#include "proc/role.h"
#include "proc/smtp/body.h"
#include "proto/smtp/session.h"
#include "syntax/smtp.h"

#define SPOOL_PATH_MAX (CONF_PATH_MAX + 16)
/* How long auth may take for an address, and the shards for a message (RFC 5321, 4.5.3.2.6: the client waits 10
 * minutes). */
#define RESOLVE_TIMEOUT_MS (20 * 1000)
#define DELIVER_TIMEOUT_MS (120 * 1000)
/* How long auth may take for a login, beyond the longest wait that it may impose. */
#define LOGIN_ANSWER_MS    (30 * 1000)
/* Time for the last reply to leave; less when the server stops, which has a time-out of its own. */
#define LINGER_MS      (10 * 1000)
#define STOP_LINGER_MS 1000
/* Confirmations wait so long, or until so many are there, for a delivery to the same shard that they can go along
 * with: a message of their own each woke the shard as often as the deliveries did. */
#define CONFIRM_WAIT_MS 50
#define CONFIRM_MAX     64
/* Requests to auth and shards that may be out for each connection, on average. */
#define CALLS_PER_CONNECTION 4

struct smtp_role;
struct connection;

/* Our end of the channel to auth (peer 0) or to a shard (peer 1 + its index). */
struct link {
	struct smtp_role *role;
	uint32_t peer;
	struct ipc_channel *channel; /* NULL while the other process is down */
	struct delivery_key confirmed[CONFIRM_MAX]; /* a shard's, to be told */
	uint32_t n_confirmed;
};

#define PEER_AUTH 0
#define PEER_SHARD(index) ((uint32_t)(index) + 1)

struct smtp_role {
	struct role_process *process;
	struct smtp_config config;
	struct body_store bodies;
	char spool_path[SPOOL_PATH_MAX];
	int spool; /* -1: could not be opened */
	struct role_listeners listeners;
	struct link *links; /* by peer */
	uint32_t n_links;
	struct ipc_calls *calls;
	struct buf scratch; /* for encoding messages */
	struct loop_timer *confirm_timer;
	bool confirming; /* the timer runs */
	struct address_count *addresses;
	struct connection *connections; /* all, newest first */
	uint32_t n_connections;
	uint64_t accepted[SERVICE_COUNT];
	uint64_t commands[SMTP_VERB_COUNT];
	uint64_t n_accepted, n_refused, n_messages, n_failed, n_bytes, n_logins, n_login_failures;
	bool stopping;
};

/* links.c: a peer's new channel, replacing an older one. */
void smtp_link_open(struct smtp_role *role, uint32_t peer, int fd);
void smtp_links_free(struct smtp_role *role);

/* connection.c: the role's listeners lead here; the descriptor becomes the connection's. */
void smtp_connection_accept(struct smtp_role *role, enum service service, int fd, const struct peer_address *peer);
/* `mansio who` and `mansio kick`. */
void smtp_control(struct role_process *process, uint64_t number, struct str body);
/* The server stops: role_stopped is called when the last connection is gone. */
void smtp_connections_stop(struct smtp_role *role);
/* At the end of the process: frees all at once. */
void smtp_connections_free(struct smtp_role *role);

#endif
