/* floor.h: the parts of the floor (floor.c): a loop that waits, files, canned answers, messages between processes, and
 * the house of empty rooms. All state is of the process; a process that cannot go on says why, and ends. */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "bench.h"

#include "loop/tls.h"

#include <sys/types.h>

/* With the reason that errno has. */
_Noreturn void die(const char *what);

/* --- floor_loop.c --- */

#define EVENTS 256 /* of one turn, and so deliveries of one sync */

/* What has a descriptor begins with it. */
struct watched {
	int fd;
	bool gone;
	void (*ready)(struct watched *watched, uint32_t events);
	struct watched *next_gone;
};

/* First in each process. */
void loop_begin(void);
/* operation and events as epoll_ctl has them. */
void loop_watch(struct watched *watched, int operation, uint32_t events);
/* Not called again; its memory goes with the end of the turn. The descriptor is the caller's. */
void loop_forget(struct watched *watched);
/* For ever. end_of_turn returns how many milliseconds the next turn may wait; -1: as long as it takes. */
_Noreturn void loop_run(int (*end_of_turn)(void));

/* --- floor_files.c --- */

struct message {
	off_t at;      /* in the mailbox file */
	uint32_t size; /* without the dot line that stands behind it there */
};

/* The messages that FETCH and RETR give, in a file that is read by all processes. */
void mailbox_make(const char *folder, uint64_t count);
uint64_t mailbox_count(void);
int mailbox_file(void);
/* Taken round and round. */
const struct message *mailbox_message(uint64_t number);
/* Appends a piece of the file. */
void mailbox_read(off_t at, size_t n, struct buf *out);

/* The two logs of a process that takes mail: bodies, and what is noted of them. */
void logs_open(const char *folder, const char *suffix);
/* Pieces of messages that arrive at once are mixed in the log: nobody reads it. */
void logs_add_body(struct str bytes);
/* All bodies durable, then so many records: two syncs. */
void logs_commit(size_t count);
/* Of any file of ours. */
void file_put(int fd, struct str bytes, uint64_t at);

/* --- floor_answers.c --- */

enum protocol { IMAP, POP3, LMTP, PROTOCOLS };

struct delivery; /* of the room that takes them in: floor_rooms.c */
struct relay;

#define LINE_BYTES_MAX 256

struct connection {
	struct watched watched;
	enum protocol protocol;
	bool in_data, appending, fetching, owes_bracket, waits_writable, leaves;
	bool waits;            /* for another process: nothing may come meanwhile */
	bool whole_mailbox;    /* an account without a number has all messages, the others have 20 each */
	char tag;              /* of the IMAP command: load.c uses one letter */
	uint64_t account, literal_left;
	uint64_t next;         /* message of the FETCH that goes on */
	off_t range;           /* of the mailbox file: to be sent after `out` */
	size_t range_left;
	SSL *tls;              /* NULL: plain */
	struct buf out;        /* freed when it is sent: an idle connection has none */
	struct delivery *delivery;
	struct relay *relay;
	char end[5];           /* the last bytes of DATA */
	size_t line_n;
	char line[LINE_BYTES_MAX];
};

/* What one process does itself and a house shares out: each process has its own. */
struct part {
	void (*log_in)(struct connection *connection);                 /* LOGIN or PASS has come */
	void (*take)(struct connection *connection, struct str bytes); /* of a delivery */
	void (*taken)(struct connection *connection);                  /* all of it */
	void (*ended)(struct connection *connection);                  /* may be NULL */
};

/* The part of whoever does all. */
extern const struct part floor_part;

void answers_begin(const struct part *part);
/* tls NULL: plain. */
void answers_listen(enum protocol protocol, uint16_t port, struct tls_context *tls);
/* Watched from now on; nothing is said yet. */
struct connection *connection_new(int fd, enum protocol protocol);
/* Sends what there is to send, now and when the socket takes more. May drop the connection. */
void connection_pump(struct connection *connection);
void connection_drop(struct connection *connection);
/* The connection is over here; its descriptor, still open, is the caller's. */
int connection_take_fd(struct connection *connection);
/* Bytes read; 0: the client is gone; -1: nothing now. */
ssize_t connection_read(struct connection *connection, char *to, size_t n);
/* Bytes sent; -1: errno says why. flags: of send, for one in the clear. */
ssize_t connection_write(struct connection *connection, struct str bytes, int flags);
void answer_login(struct connection *connection);
void answer_taken(struct connection *connection);

/* durable(owner, number) is called when what was taken in this turn is on disk. */
void batch_add(void (*durable)(void *owner, uint64_t number), void *owner, uint64_t number);
/* At the end of a turn. */
void batch_commit(void);

/* --- floor_channel.c --- */

#define TOLD_SIZE 192 /* about what Mansio's messages have without a body: tickets, names, keys, trace headers */

enum told_kind { LOGIN_ASKED, LOGIN_RIGHT, HANDED_OVER, SESSIONS_ENDED, MESSAGE_GIVEN, MESSAGE_STORED };

/* What one process tells another. */
struct told {
	enum told_kind kind;
	enum protocol protocol;
	bool whole_mailbox, has_file;
	char tag;
	uint16_t shard;
	uint64_t request; /* comes back in the answer */
	uint64_t account;
	uint64_t count;   /* of sessions that ended */
	uint64_t inline_n, file_n; /* bytes of a message: behind this, or in the file beside it */
	char filling[TOLD_SIZE - 56];
};

struct channel;
/* fd: what came along, or -1; whoever keeps it makes it -1. */
typedef void hear_fn(struct channel *channel, const struct told *told, int *fd);

/* One end of a stream socketpair. */
struct channel {
	struct watched watched;
	hear_fn *hear;
	void (*take)(struct str bytes);  /* inline bytes, as they come, before hear() */
	struct telling *first, **last;   /* to be sent */
	bool blocked;
	int fd_came;                     /* -1, or of what is being read */
	size_t told_n;
	uint64_t inline_left;
	struct told told;                /* being read: so many bytes of it are here */
};

void channel_open(struct channel *channel, int fd, hear_fn *hear);
/* Leaves at channel_flush, together with all that was told in the turn; one with a descriptor begins a call of its own.
 * body: its bytes are taken over, may be NULL. fd: -1, or goes along; closed when sent if `pass`. */
void channel_tell(struct channel *channel, const struct told *told, struct buf *body, int fd, bool pass);
void channel_flush(struct channel *channel);

/* --- floor_rooms.c --- */

struct house {
	const char *folder;
	uint64_t shards;
	uint16_t ports[PROTOCOLS], imaps;
	struct tls_context *tls; /* NULL: none */
};

#define SHARDS_MAX 64

/* Until it is killed. */
_Noreturn void house_run(const struct house *house);

#endif
