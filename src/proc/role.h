/* role.h: the shared start and life of every role: the channel to the supervisor (descriptor 3), set-up, user,
 * sandbox, loop and stop. A role is a table of callbacks; its main is one line: `return role_main(&definition)`.
 *
 * Order of calls: prepare, sandbox (by role.c), then keys, listener and peer as they come, start; later peer again
 * (a restarted peer's new channel), reload and keys again (SIGHUP), status, control; stop at the end. All on the loop's thread. */
#ifndef PROC_ROLE_H
#define PROC_ROLE_H

#include "conf/conf.h"
#include "ipc/supervisor.h"
#include "loop/loop.h"
#include "loop/sandbox.h"

struct tls_context;
struct role_channel;

#define ROLE_PATHS_MAX      8
#define ROLE_STATUS_KEY_MAX 63

/* What a role works with. Made by role_main, lives as long as the process. */
struct role_process {
	struct loop *loop;
	/* setup.directory is the store's folder: what of it is whose stands in proc/store_folder.h (auth: "auth/",
	 * shard: "shards/NN/", smtp: "spool/"; the folder itself is not writable for roles). */
	struct setup setup;      /* slices stay valid for the life of the process; log lines carry role and index already */
	struct conf conf;       /* replaced before each call of reload(): keep no slice of a setting that is LIVE (conf/settings.h) */
	struct tls_context *tls; /* NULL: no TLS configured. Replaced before each call of keys(); connections keep what they had */
	void *state;             /* the role's own: set by prepare */
	struct role_channel *channel; /* private to role.c */
};

/* Callbacks may be NULL where a role has no use for them (prepare and start aside). */
struct role_definition {
	enum role role;
	/* System calls that the role needs (SANDBOX_*), in plain sight. */
	uint32_t sandbox;
	/* Folders that stay open to it: fills paths (at most ROLE_PATHS_MAX) and returns how many. NULL: no file at all.
	 * Called after prepare. */
	size_t (*sandbox_paths)(struct role_process *process, struct sandbox_path *paths);
	/* Before the sandbox, but as the role's own user: make the state, open what must be open. Start no threads. An
	 * error (after the role logged what it knows) ends the process, and the supervisor tries again. */
	int (*prepare)(struct role_process *process);
	/* A listening socket, non-blocking: the callee's (listener_new takes it over). Accept nothing before start. */
	void (*listener)(struct role_process *process, enum service service, int fd);
	/* A new channel end to that process, replacing any older one: the callee's (ipc_channel_new takes it over). */
	void (*peer)(struct role_process *process, enum role role, uint16_t index, int fd);
	/* process->tls is a new one (or NULL). */
	void (*keys)(struct role_process *process);
	/* process->conf is another one, which differs in LIVE settings alone: copy again what was copied from it. NULL where
	 * the role reads it at each use. */
	void (*reload)(struct role_process *process);
	/* Inside the sandbox, everything was sent: start helper threads, begin to serve, and say role_ready, now or
	 * later. */
	void (*start)(struct role_process *process);
	/* Finish cleanly, then call role_stopped, soon: the supervisor kills after its stop timeout. NULL: stops at
	 * once. access and smtp are told first; shard when smtp is gone (access still relays what shards say to their
	 * sessions, and ends when no session is left); auth and authwork when all others are gone. */
	void (*stop)(struct role_process *process);
	/* Counters for `mansio status`: role_status_add for each. */
	void (*status)(struct role_process *process, struct buf *out);
	/* A command of the control socket (ipc/control.h's control_request, encoded); answer with role_control_reply,
	 * now or later. `body` is valid during the call. Who gets which: control_reach. */
	void (*control)(struct role_process *process, uint64_t request, struct str body);
	/* The same for a command that comes with a descriptor (control_takes_descriptor): the callee's to close, or
	 * IPC_FD_LOST. */
	void (*transfer)(struct role_process *process, uint64_t request, struct str body, int fd);
	/* The answer to role_ask_metrics; empty: it could not be gathered. */
	void (*metrics)(struct role_process *process, struct str text);
	/* The loop has ended: free the state that prepare made (not called when prepare failed). */
	void (*finish)(struct role_process *process);
};

/* Runs the role until it stops; the result is the exit code. */
int role_main(const struct role_definition *definition) MUST_CHECK;

/* The role serves; once. */
void role_ready(struct role_process *process);

/* In status(): one counter. Key: at most ROLE_STATUS_KEY_MAX bytes, words joined by "_". */
void role_status_add(struct buf *out, struct str key, uint64_t value);

/* The same for a list: connections accepted of each service, "accepted_imaps", and commands, "commands_imap_fetch";
 * those at 0 are left out. */
void role_status_services(struct buf *out, const uint64_t accepted[SERVICE_COUNT]);
void role_status_command(struct buf *out, struct str protocol, struct str command, uint64_t n);
void role_status_imap(struct buf *out, const uint64_t *commands); /* by enum imap_command_kind */
void role_status_pop3(struct buf *out, const uint64_t *commands); /* by enum pop3_verb */

/* The answer (an encoded control_reply) to the control() call of that number. */
void role_control_reply(struct role_process *process, uint64_t request, struct str body);

/* Asks the supervisor for the counters of all processes, as Prometheus reads them: metrics() is called, later. One
 * question at a time, and one second at least from one gathering to the next: who asks sooner waits. Access may. */
void role_ask_metrics(struct role_process *process);

/* The channel to that process has closed, or was closed over what came: a new one comes, soon, by peer(). */
void role_peer_lost(struct role_process *process, enum role peer, uint16_t index);

/* Stopping is done: role_main returns 0 when what was sent to the supervisor has left. */
void role_stopped(struct role_process *process);

/* Something without which the role cannot go on (the role has logged it): role_main returns 1, the supervisor starts
 * it again. */
void role_failed(struct role_process *process);

#endif
