/* auth.h: the state of the role auth, shared by its files and nobody else.
 *
 *     access, smtp ── LOGIN ──▶ login.c ──▶ passwords.c ──▶ authwork   is the password right?
 *     smtp ── RESOLVE, SENDER ──▶ resolve.c                     where does this address lead, who may send as it?
 *     supervisor ── command ──▶ orders.c, commands.c ──▶ shards      accounts that begin and end
 *
 * Single-threaded; everything belongs to struct auth, which lives as long as the process. */
#ifndef PROC_AUTH_AUTH_H
#define PROC_AUTH_AUTH_H

#include "auth/cache.h"
#include "auth/directory.h"
#include "auth/fair_queue.h"
#include "auth/login_delay.h"
#include "auth/throttle.h"
#include "base/buf.h"
#include "ipc/call.h"
#include "ipc/channel.h"
#include "proc/role.h"

#define AUTH_PEERS_MAX 256 /* processes of one role */

struct control_request;
struct password_task;

/* One end of a channel to another process. */
struct auth_peer {
	struct auth *auth;
	enum role role;
	uint16_t index;
	struct ipc_channel *channel; /* NULL while it is away */
	uint64_t generation;         /* counts its lives: an answer for an earlier one is thrown away */
	struct password_task *task;  /* authwork: what it is working on */
	int64_t last_order;          /* shard: orders up to this number were sent in this life */
	uint32_t orders_out;         /* shard: of these, not answered yet */
	bool remembers;              /* smtp: an address that leads to one account, and was not told of a change since */
};

/* Closes its channel; the supervisor sends another. */
void auth_peer_drop(struct auth_peer *peer);

struct auth_counters {
	uint64_t logins, login_failures, logins_cached, logins_put_off, resolved, resolve_refused;
};

struct auth {
	struct role_process *process;
	struct directory *directory;
	struct buf folder; /* where it is */
	struct mac *tickets; /* the key of theirs */
	struct auth_cache *cache;
	struct throttle *throttle;
	struct login_delay *pop3_delay;
	char dummy_hash[DIRECTORY_PASSWORD_MAX]; /* verified for users that do not exist, so that they take as long */
	size_t dummy_hash_n;
	uint64_t dummy_memory, dummy_iterations; /* what it costs */
	struct fair_queue *queue; /* passwords.c */
	/* login.c: */
	struct loop_timer *turns_timer; /* until the throttle has a turn for somebody, */
	struct loop_later turns_later;  /* or may have one now */
	/* orders.c */
	struct ipc_calls *shard_calls;
	struct loop_timer *orders_timer;
	/* commands.c */
	struct command *commands;
	uint32_t n_commands;
	struct auth_backup *backup;
	struct moves *moves;
	struct directory_targets *targets; /* resolve.c: of one answer; large */
	struct app_logins *app_logins; /* app_login.c */
	uint32_t expire_days; /* pop3.c: told to access last */
	bool expire_differs;
	struct auth_counters counters;
	struct auth_peer access[AUTH_PEERS_MAX], smtp[AUTH_PEERS_MAX], authwork[AUTH_PEERS_MAX], shards[AUTH_PEERS_MAX];
};

/* --- passwords.c: what authwork is asked; fair among clients, bounded --- */

enum password_result {
	PASSWORD_GOOD,      /* it fits (verify), or was hashed */
	PASSWORD_BAD,       /* it does not fit, or cannot be hashed */
	PASSWORD_UNCHECKED, /* it gave way to others, or the server stops */
	PASSWORD_DEADLY,    /* two authwork processes have ended over it */
};

/* hash: what was made. Called once; the task is freed afterwards. */
typedef void password_done_fn(struct auth *auth, void *owner, enum password_result result, struct str hash);

struct password_order {
	struct str password;
	struct str hash; /* to verify; empty: make one */
	uint64_t client; /* who is served in turn, and whether */
	bool trusted;    /* nothing is held against him (fair_queue.h) */
	password_done_fn *done;
	void *owner;
};

/* May end others, which give way. ERR_LIMIT: too many wait, in all or of this client; then done is not called. */
int passwords_ask(struct auth *auth, const struct password_order *order) MUST_CHECK;
/* An authwork process has come: give it work. */
void passwords_dispatch(struct auth *auth);
/* It has gone: what it was working on goes to another, once. */
void passwords_peer_lost(struct auth *auth, struct auth_peer *peer);
int passwords_message(struct auth_peer *peer, uint16_t type, struct str body) MUST_CHECK;
/* Ends all tasks. */
void passwords_stop(struct auth *auth);

/* --- app_login.c: app passwords at a login (auth/app_password.h) --- */
struct login_request;
/* Is the request's password an app password of the account (NULL: there is none), good for its protocol? The work is the
 * same whatever the answer. */
bool app_password_fits(struct auth *auth, const struct directory_account *account, const struct login_request *request,
		       uint64_t *number);
void app_logins_begin(struct auth *auth);
void app_logins_write(struct auth *auth); /* when they were used last: before it is asked for */
void app_logins_stop(struct auth *auth);  /* notes when they were used last, and ends */

/* --- pop3.c: what is said of POP3 (auth/pop3_settings.h) --- */
struct pop3_choices;
struct pop3_policy;
struct pop3_choice;
/* What holds for a login: app_password: 0, or the one it came with. policy->mailbox points into `choices`. */
int pop3_policy_of(struct auth *auth, const struct directory_account *account, uint64_t app_password,
		   struct pop3_choices *choices, struct pop3_policy *policy) MUST_CHECK;
/* Tells all access processes what EXPIRE says before login, if it has changed; one that has come (not NULL) in any
 * case. */
void pop3_tell_expire(struct auth *auth, struct auth_peer *access);

/* --- login.c, resolve.c: the messages of access and smtp. Negative: malformed, drop the peer. --- */
int login_message(struct auth_peer *peer, uint16_t type, struct str body) MUST_CHECK;
int login_ticket_unused(struct auth *auth, struct str body) MUST_CHECK; /* from access, or a shard */
void login_turns(void *auth); /* the throttle may have a turn for somebody */
void login_stop(struct auth *auth); /* ends the logins that wait for one */
int resolve_message(struct auth_peer *peer, uint16_t type, struct str body) MUST_CHECK;
/* The directory has changed: tells each smtp process that remembers anything. For directory_on_change; `owner` is the
 * struct auth. */
void resolve_changed(void *owner);

/* --- orders.c: accounts that begin and end in shards --- */
#define ORDERS_REPEAT_MS 5000 /* after one failed */
void orders_send(struct auth *auth, struct auth_peer *shard); /* those that were not sent yet */
void orders_send_all(struct auth *auth);
void orders_repeat(void *auth);
void orders_peer_lost(struct auth *auth, struct auth_peer *shard);
int orders_message(struct auth_peer *peer, uint16_t type, struct str body) MUST_CHECK;
/* Asks how much an account holds; ERR_UNAVAILABLE at once when its shard is away. done: called by ipc_call's rules
 * with a struct account_order_reply. */
int orders_ask_usage(struct auth *auth, const struct directory_account *account, uint64_t timeout_ms,
		     ipc_reply_fn *done, void *owner) MUST_CHECK;

/* --- backup.c: a snapshot of the directory --- */
void auth_backup_begin(struct auth *auth);
void auth_backup_free(struct auth *auth);
void auth_backup_command(struct auth *auth, uint64_t number, const struct control_request *request);

/* --- moves.c: accounts that go to another shard --- */
struct control_answer;
void moves_begin(struct auth *auth);
void moves_free(struct auth *auth);
/* address, shard: begins a move; address alone: how far it is. Answered at once. */
void moves_command(struct auth *auth, const struct control_request *request, struct control_answer *answer);

/* --- commands.c: the command line's commands --- */
void commands_run(struct role_process *process, uint64_t request, struct str body);
/* Ends all commands. */
void commands_stop(struct auth *auth);
/* The shard has answered an order: 0, or why it could not. */
void commands_order_done(struct auth *auth, const struct directory_order *order, int result, uint64_t messages,
			 uint64_t bytes);

#endif
