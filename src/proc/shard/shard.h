/* shard.h: the parts of the shard's process, shared by its files only.
 *
 *     shard.c       start and stop, the store's world (helper thread, gate events), peers
 *     handovers.c   clients whose account is being loaded
 *     connection.c  logged-in clients: socket ↔ session engine, held back until durable
 *     refusals.c    clients that hear why they cannot be let in
 *     engines.c     IMAP and POP3 behind one table
 *     control.c     commands of the command line: undelete, compaction, check
 *     backup.c      the shard's part in a backup: a snapshot of index.db
 *     parcels.c     accounts as parcels, out and in: moves, restore, export and import
 *     moves.c       the move of an account to another shard
 *     space.c       says when the disk has too little free space
 *     requests.c    what smtp and auth ask: deliveries, accounts begun and ended; answered when durable */
#ifndef PROC_SHARD_SHARD_H
#define PROC_SHARD_SHARD_H

#include "ipc/channel.h"
#include "loop/helper.h"
#include "loop/stream.h"
#include "mail/parcel_reader.h"
#include "proc/role.h"
#include "proc/shard/gone_logins.h"
#include "proto/imap/session.h"
#include "proto/pop3/session.h"
#include "store/transfer.h"
#include "syntax/pop3.h"

#define PEERS_MAX         64                 /* processes of one role */
#define REQUESTS_MAX      (64 * 1024 * 1024) /* bytes of requests that wait for the gate; more are refused for now */
#define LINGER_MS         5000               /* for the last words of a session, */
#define STOP_LINGER_MS    1000               /* and when the server stops, which has a time-out of its own */
#define IDLE_WORK_PACE_MS 50                 /* between slices of background work */
#define COMPACT_PACE_MS   1                  /* the same while somebody waits for it */
#define PLACE_LOOK_MS     100                /* between looks at large messages that wait for their place */
#define CLOSED_MAX        64                 /* ends of sessions that are told together, */
#define CLOSED_WAIT_MS    10                 /* and no later than that */
#define RECEIPT_WAIT_MAX_MS UINT64_C(1000)   /* between looks whether a client's system has acknowledged what was sent */
#define FORGET_WAIT_MS    1000               /* confirmed keys wait so long for a batch to go with, and then have their own */
#define REFUSALS_MAX      64                 /* clients at once that were refused and may still be sending, */
#define REFUSAL_BYTES_MAX (16 * 1024 * 1024) /* so much each at most */
#define REFUSAL_MAX       4096               /* bytes of the answer */
#define FILES_RESERVED    (512 + REFUSALS_MAX) /* descriptors for the store, the channels and requests that wait */
#define IDLE_WORK_REST_MS (60 * 60 * 1000)   /* when there is nothing to do */

struct shard;
struct connection;
struct request;
struct promise;
struct shard_control;
struct ticket;
struct shard_backup;
struct transfer;
struct waiting_handover;
struct refusal;

/* A channel to another process; it comes anew when that process was started again. */
struct peer {
	struct shard *shard;
	enum role role;
	uint16_t index;
	struct ipc_channel *channel;
	uint32_t generation; /* which of its lives: answers do not go to the next one */
	uint32_t n_closed;
	uint64_t closed[CLOSED_MAX]; /* sessions that ended, not told yet to access, which has handed them over */
};

struct request_queue {
	struct request *first, **end;
};

struct shard {
	struct role_process *process;
	struct store *store;
	struct loop_helper *helper;  /* syncs */
	struct loop_helper *reader;  /* reads what is not in the page cache */
	struct loop_job sync_job;
	int sync_fd;
	bool sync_is_folder;
	uint64_t sync_us;            /* that the last sync took */
	uint64_t turn_began_us;
	bool sync_here;              /* at the end of the next turn, if it has not stirred */
	bool stirred;                /* something was asked of us since */
	unsigned empty_looks;        /* at the door, since somebody came */
	struct loop_later turn;      /* store_turn at the end of this turn */
	struct loop_timer *idle_work, *closed; /* to tell access */
	struct loop_timer *forget;   /* keys of deliveries that were confirmed */
	bool forgets;                /* it runs */
	bool has_forgotten;          /* for the last time */
	struct mail_settings mail;
	struct imap_settings imap;
	struct pop3_settings pop3;
	struct buf directory;        /* path of the shard's folder */
	struct peer access[PEERS_MAX], smtp[PEERS_MAX], auth;
	struct waiting_handover *handovers, **handovers_end;
	uint32_t n_handovers;
	struct loop_later handover;  /* the first of them */
	struct refusal *refusals;
	uint32_t n_refusals;
	struct connection *connections, *held, *waiting;
	struct {
		struct connection *waiting; /* for the client's system to acknowledge what they have sent */
		struct loop_timer *timer;   /* the next look at them, */
		uint64_t look_at_ms;        /* then; 0: it does not run */
	} receipts;
	struct loop_timer *place;    /* for large messages that wait for theirs, */
	bool place_looks;            /* while there are such: it runs */
	struct loop_later work;      /* requests that waited for the gate */
	struct request_queue requests;
	struct request_queue large; /* deliveries of large messages, which others need not wait for */
	size_t requests_bytes;
	uint32_t requests_files;     /* of them, with a descriptor */
	struct promise *promises, **promises_end;
	uint32_t n_promises, n_held; /* who waits for a batch: orders, and sessions */
	uint32_t expected;           /* so many are to wait for the open batch before it is sealed, */
	uint64_t expected_until_us;  /* but not for longer; by the timer, where nothing else comes */
	struct loop_timer *gather;
	struct mac *tickets;         /* the key of theirs */
	struct gone_logins gone_logins;
	struct shard_control *control;
	struct shard_backup *backup;
	struct transfer *transfers;
	uint32_t n_transfers;
	uint64_t voids;              /* batches that were rolled back */
	bool telling;                /* the timer `closed` runs */
	bool stopping;
	bool failed;                 /* a sync failed: nothing can be promised any more */
	struct {
		struct loop_timer *timer;
		uint64_t free_bytes, refusals; /* as of the last look */
		bool is_short;             /* and was told */
	} space;
	uint64_t max_sessions;       /* each is a descriptor: what the system allows, less those for the store */
	struct {
		uint64_t sessions, logins, deliveries, refused, sync_us;
		uint64_t imap_commands[IMAP_COMMAND_COUNT], pop3_commands[POP3_VERB_COUNT];
	} count;
};

/* Asks for store_turn at the end of this turn: call after anything that may have written. */
void shard_turn(struct shard *shard);

/* Closes the channel to it; the supervisor makes a new one. */
void shard_drop_peer(struct peer *peer);

/* --- handovers.c --- */

void handovers_begin(struct shard *shard);
/* A hand-over came: takes *fd (set to -1). */
int handover_came(struct shard *shard, uint16_t access, struct str body, int *fd) MUST_CHECK;
void handovers_stop(struct shard *shard); /* the server stops: those that wait hear so */
void handovers_free(struct shard *shard);

/* --- refusals.c --- */

/* Why a client cannot be let in now. IN_USE: another session has the mailbox for itself. */
enum refusal_reason { REFUSAL_UNAVAILABLE, REFUSAL_IN_USE, REFUSAL_LIMIT };

/* Sends the answer (at most REFUSAL_MAX bytes) and closes the descriptor, which it takes, LINGER_MS later at most. */
void refusal_begin(struct shard *shard, struct str answer, int fd);
void refusals_free(struct shard *shard);

/* --- connection.c --- */

/* Begins the session of a hand-over, or refuses it; its ticket must have been good when it came (clock_wall_seconds). Takes
 * *fd, which is set to -1, unless the account is still being loaded: then it is to be called again in a later turn. */
int connection_let_in(struct shard *shard, uint16_t access, struct str body, int64_t came, int *fd) MUST_CHECK;
void connections_tell_closed(void *shard);
void connections_writable(struct shard *shard);
void connections_durable(struct shard *shard, uint64_t batch);
void connections_voided(struct shard *shard, uint64_t batch);
bool connections_read(const struct shard *shard, int fd); /* is a range of this file still to be sent? */
void connections_status(const struct shard *shard, struct buf *out);
void connections_account_gone(struct shard *shard, struct str why); /* ends sessions of accounts that are gone */
void connections_login_gone(struct shard *shard, const struct account_id *account, uint64_t login); /* its app password was removed */
void connections_bye(struct shard *shard);          /* the server stops */
void connections_free(struct shard *shard);         /* at the end of the process */
/* `mansio who` and `mansio kick`; false: it is another command. */
bool connections_control(struct shard *shard, uint64_t number, struct str body);

/* For engines.c: what a session's world does. */
struct outq *connection_output(void *connection);
void connection_flush(void *connection);
void connection_close(void *connection);
void connection_wish(void *connection, enum session_resume wish);
bool connection_fetch(void *connection, int fd, uint64_t offset, uint64_t n); /* session_world.fetch */
uint64_t connection_received(void *connection); /* session_world.received */
void connections_received(void *shard); /* the timer of `receipts` */
struct shard *connection_shard(struct connection *connection);

/* --- engines.c --- */

struct engine {
	void *(*begin)(struct connection *connection, struct account *account, const struct ticket *ticket, struct str tag);
	size_t (*input)(void *session, struct str bytes);
	bool (*wants_input)(const void *session);
	/* The client has ended it (LOGOUT, QUIT), and nothing came behind that. */
	bool (*left)(const void *session);
	void (*resume)(void *session);
	void (*bye)(void *session, struct str text);
	void (*end)(void *session);
	/* The command that it worked on last, for the log. */
	struct str (*doing)(const void *session);
	/* What a client hears that cannot be let in now. */
	void (*refuse)(struct buf *out, struct str tag, enum refusal_reason reason, struct str text);
	/* In the place of all answers that are not durable: the connection ends. NULL: it ends without a word. */
	void (*last_words)(struct outq *out, struct str text);
	/* The selected mailbox; empty: none. */
	struct str (*mailbox)(const void *session);
};
extern const struct engine engine_imap, engine_pop3;
void engines_set_up(struct shard *shard);
void engines_reload(struct shard *shard); /* open sessions follow; their time-outs stay */

/* --- control.c --- */

void control_begin(struct shard *shard);
void control_start(struct shard *shard);
void control_free(struct shard *shard);
void control_command(struct role_process *process, uint64_t number, struct str body);
void control_writable(struct shard *shard);
void control_durable(struct shard *shard, uint64_t batch);
void control_voided(struct shard *shard, uint64_t batch, int err);

/* --- backup.c --- */

void backup_start(struct shard *shard);
void backup_free(struct shard *shard);
void backup_command(struct shard *shard, uint64_t number, const struct str *arguments, uint32_t n);

/* --- parcels.c --- */

/* Called once, at the end: 0 when a parcel that came in is on disk, or one that went out has left. messages: that have
 * come in. problem: for people, with an error. */
typedef void parcel_done_fn(void *owner, int result, uint64_t messages, struct str problem);

/* Begins to send the account (a LEAVING one: store/transfer.h) or to receive it, over the descriptor, which it takes
 * when the result is 0. done may be NULL. ERR_UNAVAILABLE: too many at once; ERR_NOT_FOUND; ERR_SYNTAX: no socket. */
int parcel_send(struct shard *shard, const struct account_id *id, bool leaving, const struct parcel_filter *filter, int fd,
                parcel_done_fn *done, void *owner) MUST_CHECK;
int parcel_receive(struct shard *shard, const struct account_id *id, enum parcel_mode mode, int fd, parcel_done_fn *done,
                   void *owner) MUST_CHECK;
/* What of this account has come in the parcel under way; zero when there is none. */
struct parcel_counts parcel_progress(const struct shard *shard, const struct account_id *id);
void parcels_cancel(struct shard *shard, const struct account_id *id); /* all of this account */
/* Commands that come with a descriptor (ipc/control.h); after the account's id:
 *     parcel read   any of mailbox=NAME, after=NUMBER (messages up to it are only named)
 *     parcel write  exact, back or add (mail/parcel_reader.h); behind add a number that stands for its source, and
 *                   behind that made-anew */
void parcel_command(struct role_process *process, uint64_t number, struct str body, int fd);
void parcels_writable(struct shard *shard);
void parcels_durable(struct shard *shard, uint64_t batch);
void parcels_voided(struct shard *shard, uint64_t batch, int err);
void parcels_free(struct shard *shard);

/* --- space.c --- */

void space_begin(struct shard *shard);
void space_after_turn(struct shard *shard); /* looks if something was refused in it */
void space_status(struct shard *shard, struct buf *out);
void space_free(struct shard *shard); /* before the store is closed */

/* --- moves.c --- */
struct account_order;
void move_order(struct peer *peer, const struct account_order *order, int fd); /* SEND, RECEIVE, PROGRESS; fd stays the caller's */

/* --- requests.c --- */

int request_from_smtp(struct peer *peer, uint16_t type, struct str body, int *fd) MUST_CHECK;
/* This life of the process is over: nobody will say any more what became of its answers. */
void requests_peer_gone(struct peer *peer);
/* The timer of confirmed keys. */
void requests_forget(void *owner);
int request_from_auth(struct peer *peer, uint16_t type, struct str body, int *fd) MUST_CHECK;
void requests_run(struct shard *shard); /* the gate is open: those that waited */
void requests_free(struct shard *shard);
uint64_t requests_waiting(const struct shard *shard); /* for the gate to open, and for their batch */
void promises_durable(struct shard *shard, uint64_t batch);
void promises_voided(struct shard *shard, uint64_t batch, int err);

#endif
