/* private.h: what the files of the smtp role share: the role's state and its connections. One
 * struct smtp_role a process; everything below it is freed with it. */
#ifndef PROC_SMTP_PRIVATE_H
#define PROC_SMTP_PRIVATE_H

#include "ipc/call.h"
#include "ipc/smtp_auth.h"
#include "ipc/smtp_shard.h"
#include "proc/address_count.h"
#include "proc/listeners.h"
#include "proc/peers.h"
#include "proc/smtp/body.h"
#include "proc/smtp/known.h"
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
/* Confirmations wait so long, or until DELIVER_ENDS_MAX are there, for a delivery to the same shard that they can go
 * along with: a message of their own each woke the shard as often as the deliveries did. */
#define ENDS_WAIT_MS 50
/* Strangers come to port 25, and to the ports of submission before they log in; they must not shut out who is known. Of
 * max_connections one in so many is for LMTP alone, and twice as many port 25 cannot have. */
#define SHARE_OF_LMTP 8
/* Questions of one kind that may be out for each connection, on average. */
#define CALLS_PER_CONNECTION 4

struct connection;

/* What is asked of auth, and last of the shards. */
enum question { QUESTION_RESOLVE, QUESTION_LOGIN, QUESTION_SENDER, QUESTION_DELIVER, QUESTION_COUNT };

struct smtp_role {
	struct role_process *process;
	struct smtp_config config;
	struct body_store bodies;
	char spool_path[SPOOL_PATH_MAX];
	int spool; /* -1: could not be opened */
	struct role_listeners listeners;
	struct peers *peers;
	struct known_addresses *known;
	struct ipc_calls *calls[QUESTION_COUNT];
	struct deliver_ends *ends; /* by shard: what it is to be told soon */
	struct buf scratch; /* for encoding messages */
	struct loop_timer *ends_timer;
	bool ends_wait; /* the timer runs */
	struct address_count *addresses;
	struct connection *connections; /* all, newest first */
	uint32_t n_connections, max_connections;
	uint32_t n_open[SERVICE_COUNT]; /* connections of each service */
	uint64_t accepted[SERVICE_COUNT];
	uint64_t commands[SMTP_VERB_COUNT];
	uint64_t n_accepted, n_refused, n_messages, n_failed, n_bytes, n_logins, n_login_failures, n_known;
	bool stopping;
};

/* messages.c; their owner is the role. */
extern const struct peers_events smtp_peers_events;

/* connection.c: the role's listeners lead here; the descriptor becomes the connection's. */
void smtp_connection_accept(struct smtp_role *role, enum service service, int fd, const struct peer_address *peer);
/* `mansio who` and `mansio kick`. */
void smtp_control(struct role_process *process, uint64_t number, struct str body);
/* The server stops: role_stopped is called when the last connection is gone. */
void smtp_connections_stop(struct smtp_role *role);
/* At the end of the process: frees all at once. */
void smtp_connections_free(struct smtp_role *role);

#endif
