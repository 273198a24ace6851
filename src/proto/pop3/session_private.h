/* session_private.h: what the files of the session engine share; nobody else includes it. session.c has the states
 * and the simple commands, listing.c STAT, LIST and UIDL, transfer.c RETR and TOP, update.c QUIT. */
#ifndef PROTO_POP3_SESSION_PRIVATE_H
#define PROTO_POP3_SESSION_PRIVATE_H

#include "proto/pop3/session.h"
#include "syntax/pop3.h"

/* How a command left off. */
enum pop3_step {
	POP3_STEP_DONE,
	POP3_STEP_AGAIN,  /* the slice is over */
	POP3_STEP_OUTPUT, /* the output is full */
	POP3_STEP_FETCHING, /* world.fetch is at it */
	POP3_STEP_BROKEN, /* a response cannot be completed: nothing but closing tells the client */
};

/* How long a session may work without the others of its shard: one command, and the commands of one input. */
#define POP3_SLICE_MICROSECONDS 2000

/* Goes through the session's messages in order. */
struct pop3_walk {
	uint32_t number; /* of the message that it stands on; one more than there are at the end */
	uint32_t range;  /* of the session's uids that this message is in */
	uint32_t uid;
};

/* RETR, TOP: a message that is looked at, and leaves, in pieces. */
struct pop3_transfer {
	uint64_t message;    /* key of its row */
	uint64_t at;         /* bytes done */
	uint64_t in_memory;  /* in this step: bytes that may be read without asking whether they are cold */
	uint64_t header_end; /* bytes that do not count as lines */
	uint64_t look_end;   /* of the header that is looked at; nothing was sent yet */
	uint32_t uid;        /* whose message it is */
	bool begun;          /* its +OK was said */
	bool retrieved;      /* it is sent wholly */
	struct pop3_body body;
};

/* What QUIT has still to do: uids. */
struct pop3_update {
	struct set seen;   /* get \Seen */
	struct set hide;   /* are hidden from this login */
	struct set later;  /* are removed some days later */
	struct set remove;
	bool removes;      /* there was something to remove */
	struct pop3_done {
		uint64_t removed, hidden, dated, seen;
	} done;            /* messages, for the log */
	uint8_t refusals;  /* of account_may_write_slice */
};

enum session_state { SESSION_OPENING, SESSION_READY, SESSION_RUNNING, SESSION_GATE, SESSION_CLOSED };

struct pop3_session {
	const struct session_world *world;
	void *owner;
	const struct pop3_settings *settings;
	struct account *account; /* held by the owner */
	struct pop3_policy policy; /* its mailbox is owned */
	struct mailbox *mailbox; /* that is shown, held open; NULL: could not be opened */
	uint64_t id;
	enum session_state state;
	bool utf8; /* the client has said UTF8 */
	bool left; /* QUIT was the client's last word, as far as is known */
	uint32_t bad_commands;
	struct pop3_reader reader;
	uint32_t count;          /* messages at the login */
	struct set uids;         /* theirs, in order of their numbers */
	struct pop3_walk found;  /* the message named last: others are not far, as a rule */
	struct set deleted;      /* uids marked by DELE */
	struct set retrieved;    /* by RETR, or wholly by TOP, where that has consequences */
	uint64_t message_end;    /* of the last one that was retrieved, in the bytes of all output; 0: it has arrived */
	struct pop3_update update; /* in GATE */
	struct mailbox_past *past; /* the entries at the login; NULL from QUIT on */
	struct pop3_walk sized;  /* stands on the first message that `octets` is without; from the first STAT or LIST on */
	uint64_t octets;         /* of all messages */
	uint32_t marked;         /* so many are in `deleted`, */
	uint64_t marked_octets;  /* of so many octets */
	struct pop3_command command; /* that runs; its slices are not valid any more */
	struct pop3_walk walk;       /* LIST, UIDL */
	struct pop3_transfer transfer; /* RETR, TOP */
};

static inline struct outq *pop3_output(struct pop3_session *s)
{
	return s->world->output(s->owner);
}

static inline bool pop3_output_full(const struct pop3_session *s)
{
	return s->world->output(s->owner)->total >= s->settings->output_pause;
}

static inline uint64_t pop3_slice_end(const struct pop3_session *s)
{
	return s->world->microseconds(s->owner) + POP3_SLICE_MICROSECONDS;
}

static inline bool pop3_slice_is_over(const struct pop3_session *s, uint64_t end)
{
	return s->world->microseconds(s->owner) >= end;
}

struct pop3_walk pop3_walk_start(const struct pop3_session *s);
/* To the message of that number, from 1 to the count. Costs what lies between in ranges. */
void pop3_walk_to(const struct pop3_session *s, struct pop3_walk *walk, uint32_t number);
bool pop3_walk_at_end(const struct pop3_session *s, const struct pop3_walk *walk);
void pop3_walk_next(const struct pop3_session *s, struct pop3_walk *walk);

/* A one-line reply without its line end: "+OK Fine." */
void pop3_reply(struct pop3_session *s, const char *text);
/* -ERR for an error of the store. */
void pop3_reply_error(struct pop3_session *s, int err);

/* The entry of the message that the command names. NULL, and -ERR said, when there is none or it is marked. */
const struct entry *pop3_find_message(struct pop3_session *s);
/* Its row; slices of the row are not valid. */
int pop3_read_row(struct pop3_session *s, uint64_t message, struct message_row *out) MUST_CHECK;
/* What RETR sends of it, dot-stuffing aside: an open last line is given its end (RFC 1939, 11). */
uint64_t pop3_octets(const struct message_row *row);
uint64_t pop3_entry_octets(const struct entry *entry);

/* Commands (listing.c, transfer.c): the first step is taken by the same function as the others, after begin. */
void pop3_listing_begin(struct pop3_session *s);
enum pop3_step pop3_listing_step(struct pop3_session *s);
enum pop3_step pop3_transfer_begin(struct pop3_session *s);
enum pop3_step pop3_transfer_step(struct pop3_session *s);

/* update.c: the UPDATE state. begin: false when there is nothing to do. step: 0 and *done, or not yet: go on when what was
 * written is durable; ERR_UNAVAILABLE: when the store is writable; other errors end it. */
bool pop3_update_begin(struct pop3_session *s);
int pop3_update_step(struct pop3_session *s, bool *done) MUST_CHECK;
/* Says what was done, where anything was: who asks later where mail has gone finds it. */
void pop3_update_log(const struct pop3_session *s);
void pop3_update_free(struct pop3_update *update);

#endif
