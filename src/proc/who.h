/* who.h: what a role that has connections answers to `mansio who` and `mansio kick`: a page of them, and the end of
 * some. The role tells how its connections are walked, described and ended. */
#ifndef PROC_WHO_H
#define PROC_WHO_H

#include "proc/role.h"

/* One connection. Slices are valid until the next one is described. */
struct who {
	uint64_t session; /* as in the log */
	struct str account; /* address; empty: nobody has logged in */
	struct str protocol; /* "imap" */
	struct str peer;
	struct str tls;     /* "TLSv1.3"; empty: none */
	struct str mailbox; /* the selected one; empty: none */
	uint64_t age_ms;    /* since it was accepted; in a shard: since its login */
	uint64_t idle_ms;   /* since a byte came or went */
};

struct who_source {
	/* The connection after `at`, NULL: the first; NULL: there are no more. Those that are ending are left out, and those
	 * that another process tells of. */
	void *(*next)(void *owner, void *at);
	uint64_t (*id)(const void *connection); /* its session */
	void (*describe)(void *owner, void *connection, struct who *out);
	/* Says goodbye and closes; may free the connection, and no other. */
	void (*kick)(void *owner, void *connection);
};

/* Answers a request that is CONTROL_WHO or CONTROL_KICK and returns true; the first argument is the process's name.
 *
 *     who   process, session to go on after (in hexadecimal, empty: none)
 *           -> {"connections": [...], "next": "SESSION", where there are more}, by session id
 *     kick  process, one of session, account, address, its value, session to go on after
 *           -> {"kicked": N, "next": "SESSION", where there are more} */
bool who_command(struct role_process *process, const struct who_source *source, void *owner, uint64_t number,
                 struct str body);

#endif
