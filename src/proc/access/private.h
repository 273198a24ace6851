/* private.h: what the files of the access role share: the role's state and its connections. One
 * struct access_role a process; everything below it is freed with it. */
#ifndef PROC_ACCESS_PRIVATE_H
#define PROC_ACCESS_PRIVATE_H

#include "ipc/call.h"
#include "proc/access/engine.h"
#include "proc/access/handed.h"
#include "proc/access/scrape.h"
#include "proc/listeners.h"
#include "proc/peers.h"
#include "syntax/imap.h"
#include "syntax/pop3.h"

/* Beside the delays that auth itself imposes on who failed before (login.failure_delay_max). */
#define LOGIN_ANSWER_MS (30 * 1000)
/* Time for the last reply to leave; less when the server stops, which has a time-out of its own. */
#define LINGER_MS       (5 * 1000)
#define STOP_LINGER_MS  1000
/* For a request for metrics, and its answer. */
#define SCRAPE_MS       10000
/* At a stop, time for the shards' farewells to pass through the relays. */
#define STOP_RELAYS_MS  2000

struct connection;

struct access_role {
	struct role_process *process;
	struct login_settings settings;
	struct expire_news expire;     /* what auth has said last of EXPIRE; the configuration's before */
	struct role_listeners listeners;
	struct peers *peers;
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
	uint64_t imap_commands[IMAP_COMMAND_COUNT], pop3_commands[POP3_VERB_COUNT]; /* before login */
	struct loop_timer *stop_timer; /* while stopping with relays */
	bool stopping;
};

/* main.c: engines look at these settings from now on. */
void access_settings(struct access_role *role);

/* messages.c; their owner is the role. */
extern const struct peers_events access_peers_events;

/* The login of this ticket, or of an answer that nobody waits for any more, becomes no session here: auth is told. */
void access_ticket_unused(struct access_role *role, struct str ticket);

/* connection.c: the role's listeners lead here; the descriptor becomes the connection's. */
void access_connection_accept(struct access_role *role, enum service service, int fd, const struct peer_address *peer);
/* `mansio who` and `mansio kick`: connections before login; after it, their shard tells of them. */
void access_control(struct role_process *process, uint64_t number, struct str body);
/* The server stops: role_stopped is called when the last connection is gone. */
void access_connections_stop(struct access_role *role);
/* At the end of the process: frees all at once. */
void access_connections_free(struct access_role *role);

#endif
