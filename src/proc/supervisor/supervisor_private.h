/* supervisor_private.h: the supervisor's state, shared by the files of this folder. One struct supervisor a process. */
#ifndef PROC_SUPERVISOR_PRIVATE_H
#define PROC_SUPERVISOR_PRIVATE_H

#include "conf/conf.h"
#include "ipc/call.h"
#include "ipc/channel.h"
#include "ipc/supervisor.h"
#include "loop/listener.h"
#include "loop/loop.h"
#include "loop/timeout.h"
#include "proc/key_pair.h"
#include "proc/store_folder.h"
#include "proc/supervisor/notify.h"

#include <sys/types.h>

#define CHILDREN_MAX  512
#define LISTENING_MAX 256
#define LOST_MAX      256
_Static_assert(LISTENING_MAX + CHILDREN_MAX <= IPC_FDS_MAX, "a child is sent a descriptor for each, in one turn");
#define PROBLEM_MAX   65536 /* bytes of sentences */

struct supervisor;
struct control_request;
struct control_server;

/* A process, and its successors after a crash. */
struct child {
	struct supervisor *supervisor;
	struct ipc_channel *channel; /* NULL: not running */
	struct loop_timer *timer; /* while it is down: the next start; after its channel closed: the end of patience */
	enum role role;
	uint16_t index;
	pid_t pid; /* 0: not running */
	bool ready;
	bool stop_sent;
	uint32_t restarts;
	uint64_t started_ms;
	uint64_t delay_ms; /* before the next restart */
	struct status_request *metrics; /* that it has asked for */
	bool metrics_wanted;            /* again, and must wait for the pause to be over */
	struct loop_timeout metrics_pause;
	uint8_t log_level;     /* as SUPERVISOR_LOG_LEVEL has it */
	uint32_t pairs_before; /* channels between processes that were made before this one started */
};

/* A channel between two processes that was lost although both live. */
struct lost_pair {
	struct child *a, *b;
	uint32_t pair; /* its number; 0: it could not be made */
};

/* Which file a unix socket is. */
struct socket_file {
	dev_t device;
	ino_t inode;
};

/* A bound socket, shared by all processes of the role that serves it. */
struct listening {
	enum service service;
	int fd;
	struct peer_address address;
	struct str path; /* of a unix socket, else empty; and the file that it is: */
	struct socket_file file;
};

struct supervisor {
	struct loop *loop;
	struct notify *notify; /* the service manager */
	struct conf conf, first_conf; /* in force; that of the start, when it is another (conf_replace) */
	struct buf conf_text;         /* of what is in force */
	struct str conf_name;
	bool conf_may_be_missing; /* then the defaults are in force */
	char *directory; /* absolute */
	struct str hostname;
	char hostname_room[256];
	struct key_pair keys; /* empty: no TLS */
	struct store_identity store;
	struct store_owners owners;
	bool as_root;
	uint8_t log_level; /* its own, as SUPERVISOR_LOG_LEVEL has it */
	unsigned char ticket_key[32]; /* new at each start */
	int lock_fd;
	pid_t pid;
	uint64_t started_ms;
	struct child *children;
	size_t n_children;
	uint32_t n_pairs; /* made: numbers of channels between children */
	struct lost_pair lost[LOST_MAX];
	size_t n_lost;
	struct loop_timer *mending; /* while there are lost ones */
	struct listening listening[LISTENING_MAX];
	size_t n_listening;
	struct ipc_calls *calls; /* to children; peer: index in children */
	struct control_server *control;
	struct loop_timer *deadline; /* of the stop */
	bool announced;              /* "ready" stands in the log */
	bool stopping;
	uint64_t stop_began_ms;
};

/* --- children.c --- */
void children_make(struct supervisor *s);
void children_start(struct supervisor *s);
void children_send_keys(struct supervisor *s);
void children_send_configuration(struct supervisor *s);
void child_send_log_level(struct child *child);
void children_reap(struct supervisor *s);
/* Sends STOP to those whose turn it is; true when none runs any more. */
bool children_stop(struct supervisor *s);
void children_kill(struct supervisor *s);
void children_free(struct supervisor *s);
struct child *child_of(struct supervisor *s, enum role role, uint16_t index);
uint32_t child_number(const struct child *child);

/* --- spawn.c: fork and exec with descriptor 3; 0 when that failed (and *fd was not taken) --- */
pid_t spawn_role(enum role role, uint16_t index, int control_fd, pid_t supervisor_pid);

/* --- sockets.c: all of [listen]; the problem is logged --- */
int sockets_bind(struct supervisor *s) MUST_CHECK;
void sockets_close(struct supervisor *s);

/* Unix sockets by their paths (which have a NUL behind them). Removes one that a killed server left at the path;
 * ERR_EXISTS: somebody listens there, which is logged with the setting that names it. */
int socket_path_clear(struct str service, struct str path, const char *setting) MUST_CHECK;
/* The file that our socket is at this path; false with errno. Unless somebody has put another in its place, it is removed
 * by socket_path_remove, before the socket is closed: while it is open, its inode's number is no other file's. */
bool socket_path_note(struct str path, struct socket_file *out);
void socket_path_remove(struct str path, const struct socket_file *file);

/* --- start.c: what the server needs before it has children; problems are logged --- */
int start_read_configuration(struct supervisor *s);
/* The text of the configuration file; empty where it may be missing and is. */
int start_read_file(const struct supervisor *s, struct buf *out) MUST_CHECK;
/* ERR_CONFIG, which is not logged: the problem says, a line each, which file is wrong, and where in the file `name` it was
 * set. */
int start_read_keys(struct str name, const struct conf *conf, struct key_pair *keys, struct buf *problem) MUST_CHECK;
/* What is to be said of the dates of the certificate in force; false: nothing. */
bool start_certificate_warning(const struct supervisor *s, struct buf *sentence);
void start_log_certificate(const struct supervisor *s); /* the same, into the log */
int start_open_store(struct supervisor *s) MUST_CHECK;
void start_name_host(struct supervisor *s);
void start_choose_users(struct supervisor *s);

/* --- reload.c: reads configuration and keys again. 0 and what was changed as JSON, or an error and what is wrong, a line
 * each; all of it stands in the log too --- */
int reload(struct supervisor *s, struct buf *json, struct buf *problem) MUST_CHECK;

/* --- control.c: the control socket --- */
int control_socket_open(struct supervisor *s) MUST_CHECK;
void control_socket_free(struct supervisor *s);

/* --- status.c: asks all children and calls done with the answer, once, later; cancel by status_cancel. err: ERR_LIMIT,
 * it is too long --- */
struct status_request;
enum status_form { STATUS_JSON, STATUS_METRICS };
typedef void status_done_fn(void *owner, int err, struct str text);
struct status_request *status_begin(struct supervisor *s, enum status_form form, status_done_fn *done, void *owner);
/* For printing: the counters of a child, by its number; empty when it has not answered. */
struct str status_counters(const struct status_request *request, size_t child);
/* Whether it has: a process that runs may wait for a disk. */
bool status_answered(const struct status_request *request, size_t child);
void status_cancel(struct status_request **request);

/* --- counters.c: pairs of key and value, as role_status_add makes them. Of what a process has told, those are kept whose
 * key is a plain word (letters, digits, _ and -), once each and COUNTERS_MAX of them at most --- */
#define COUNTERS_MAX 512
void counters_take(struct str told, struct buf *kept);
bool counters_next(struct wire_reader *counters, struct str *key, uint64_t *value); /* false: there are no more */

/* --- log_level.c: `mansio log level`: an error and *problem (static), or all levels --- */
int log_level_command(struct supervisor *s, const struct control_request *request, struct buf *json,
                      struct str *problem) MUST_CHECK;
enum log_level log_level_of(const struct supervisor *s, uint8_t level);
void log_level_own(const struct supervisor *s); /* sets that of the supervisor */
size_t log_levels_set(const struct supervisor *s); /* how many processes have one of mansio log level */

/* --- metrics.c --- */
void metrics_print(const struct status_request *request, const struct supervisor *s, struct buf *out);

/* --- shard_commands.c: has one process (or, only NULL, all shards) carry out a command and calls done with the encoded
 * control_reply, once, later. fd: -1, or what goes with the request to the one; it stays the caller's --- */
struct shard_command;
typedef void shard_command_done_fn(void *owner, struct str reply);
struct shard_command *shard_command_begin(struct supervisor *s, const struct control_request *request,
                                          struct child *only, int fd, shard_command_done_fn *done, void *owner);
void shard_command_cancel(struct shard_command **command);

#endif
