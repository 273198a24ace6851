/* session_private.h: what the files of the session engine share; nobody else includes it. session.c has the states,
 * commands.c the table of handlers, cmd_*.c a command each. */
#ifndef PROTO_IMAP_SESSION_PRIVATE_H
#define PROTO_IMAP_SESSION_PRIVATE_H

#include "proto/imap/session.h"
#include "syntax/imap_reader.h"

/* --- handlers --- */

/* How a handler left off. */
enum imap_step {
	IMAP_STEP_DONE,     /* the tagged reply is chosen (imap_ok, imap_no, imap_bad) */
	IMAP_STEP_AGAIN,    /* the slice is over */
	IMAP_STEP_OUTPUT,   /* the output is full */
	IMAP_STEP_WRITABLE, /* the store's gate is closed */
	IMAP_STEP_PLACE,    /* a large message waits for what comes first (mail_intake_waits) */
	IMAP_STEP_DURABLE,  /* a slice was written; the next one goes into another batch */
	IMAP_STEP_FETCHING, /* world.fetch is at it */
	IMAP_STEP_IDLE,     /* waits for the client and for changes (IDLE) */
};

enum imap_handler_kind {
	IMAP_RUN,    /* begin does all of it */
	IMAP_STREAM, /* begin prepares s->task, step goes on until it is done, end frees it */
	IMAP_ASK, /* begin is called once the store is writable, then like IMAP_RUN (or IMAP_STREAM, where it has a step) */
};

/* What may be told to the client before the tagged reply (RFC 3501, 5.5 and 7.4.1). */
enum imap_notices {
	IMAP_NOTICES_NONE,
	IMAP_NOTICES_BUT_EXPUNGE, /* everything, but of the UID forms EXPUNGE too, unless a search key is a number */
	IMAP_NOTICES_ALL,
};

struct imap_handler {
	enum imap_handler_kind kind;
	enum imap_notices notices;
	enum imap_step (*begin)(struct imap_session *s);
	enum imap_step (*step)(struct imap_session *s);
	void (*end)(struct imap_session *s); /* s->task is not NULL; also called where the session ends in between */
};

/* STORE, when all is stored and its answer is under way; SELECT, when QRESYNC's answer is. */
extern const struct imap_handler imap_store_answer;
extern const struct imap_handler imap_select_answer;
/* SORT and THREAD, when the messages are found. */
extern const struct imap_handler imap_sort_answer;

/* NULL for commands that are not for sessions after login. */
const struct imap_handler *imap_handler_of(enum imap_command_kind kind);

/* --- the session --- */

#define SESSION_STATE_LIST(X)                                                                                          \
	X(SESSION_READY, "ready")         /* between commands */                                                           \
	X(SESSION_APPENDING, "appending") /* APPEND's message comes in */                                                  \
	X(SESSION_GATE, "gate")           /* a command waits for the store before it begins */                             \
	X(SESSION_RUNNING, "running")     /* a command runs, or waits in between */                                        \
	X(SESSION_IDLING, "idling")       /* IDLE: waits for DONE and for changes */                                       \
	X(SESSION_FINISHING, "finishing") /* notices, then the tagged reply */                                             \
	X(SESSION_CLOSED, "closed")

enum session_state {
#define SESSION_STATE_ENUM(name, text) name,
	SESSION_STATE_LIST(SESSION_STATE_ENUM)
#undef SESSION_STATE_ENUM
};

/* The selected mailbox as the client knows it. */
struct selected {
	struct mailbox *mailbox; /* held open; NULL: none selected */
	bool read_only;
	bool told_gone;         /* expunges were told, and no modseq behind them yet (QRESYNC) */
	uint64_t settled;       /* modseq, while there are some in `gone`: all that happened up to it was told */
	struct known known;     /* uids that the client counts; gone ones too until it is told */
	struct set gone;        /* of these: expunged, the client does not know yet */
	struct set flagged;     /* of these: flags changed, the client does not know yet */
	struct set saved;       /* uids that the last SEARCH with SAVE found: "$" (RFC 5182) */
	struct set recent;      /* uids that are \Recent to this session */
	uint32_t keywords_told; /* how many keywords FLAGS and PERMANENTFLAGS have named */
};

struct imap_session {
	const struct session_world *world;
	void *owner;
	const struct imap_settings *settings;
	struct account *account; /* held by the owner */
	uint64_t id;
	enum session_state state;
	uint32_t bad_commands;
	struct str doing;        /* the last command's name */
	struct imap_reader reader;
	const struct imap_handler *handler; /* of the command that runs */
	void *task;                         /* what a handler keeps between steps */
	uint8_t refusals;                   /* of account_may_write_slice */
	struct buf reply;                   /* the tagged reply without its tag, when it is chosen */
	char *idle_tag;                     /* IDLE's tag: its command's memory is given back meanwhile */
	struct mailbox_watch watch;
	bool watching;
	struct outq_mark whole;  /* output up to here is whole replies; of the call that runs */
	bool left;               /* LOGOUT was the client's last word, as far as is known */
	bool condstore, qresync; /* enabled (RFC 7162); qresync: then condstore too */
	struct selected selected;
};

static inline const struct imap_command *imap_command_of(const struct imap_session *s)
{
	return &s->reader.command;
}

static inline struct outq *imap_output(struct imap_session *s)
{
	return s->world->output(s->owner);
}

/* Ranges of files wait without memory, so there may be more of them: about what leaves in a turn, or a FETCH of
 * bodies begins its walk anew for every other message. */
#define OUTPUT_PAUSE_FILES 16 /* times output_pause */

static inline bool imap_output_full(const struct imap_session *s)
{
	const struct outq *out = s->world->output(s->owner);
	return out->held >= s->settings->output_pause || out->total / OUTPUT_PAUSE_FILES >= s->settings->output_pause;
}

/* Slices of work: short enough that other sessions do not notice. */
#define IMAP_SLICE_MICROSECONDS 2000

/* --- replies (reply.c) --- */

/* Choose the tagged reply; code without brackets, NULL for none; text is a sentence. */
void imap_ok(struct imap_session *s, const char *code, const char *text);
void imap_no(struct imap_session *s, const char *code, const char *text);
/* Also counts against max_bad_commands; an OK sets the count back. */
void imap_bad(struct imap_session *s, const char *text);
/* NO for an error of the store or of mail/, with the code of RFC 5530 that tells what it was. */
void imap_no_error(struct imap_session *s, int err);
/* OK where the messages asked for were there; NO [EXPUNGEISSUED] where all of them are gone, OK [EXPUNGEISSUED] where
 * some are (RFC 2180, 4.1; RFC 5530). UID commands skip silently what is gone (RFC 3501, 6.4.8). */
void imap_ok_unless_gone(struct imap_session *s, uint64_t wanted, uint64_t found, const char *text);
/* OK of a command that expunged messages of the selected mailbox and tells them: for a client of QRESYNC with
 * HIGHESTMODSEQ (RFC 7162, 3.2.7). */
void imap_ok_expunged(struct imap_session *s, const char *text);
/* True, and BAD chosen, when the command has an extension parameter: none is known here. */
bool imap_refuse_params(struct imap_session *s);
/* The mailbox of that name, or NULL and NO with this code chosen (TRYCREATE, NONEXISTENT). */
struct mailbox *imap_find_mailbox(struct imap_session *s, struct str name, const char *code);
/* A command whose task is a mailbox: held, and its entries read in slices. The first: false, and NO chosen, when it
 * cannot be. The second, in each step: true when all are read; else return *step. The third is the command's end. */
bool imap_open_task(struct imap_session *s, struct mailbox *mailbox);
bool imap_task_is_open(struct imap_session *s, enum imap_step *step);
void imap_close_task(struct imap_session *s);
/* Is the selected mailbox read-only? Then NO is chosen. */
bool imap_refuse_read_only(struct imap_session *s);

/* --- notices (notices.c) --- */

/* Tells what happened in the selected mailbox. IMAP_STEP_DONE, or IMAP_STEP_OUTPUT: to be called again. */
enum imap_step imap_tell_notices(struct imap_session *s, bool expunges);
/* FLAGS and PERMANENTFLAGS, when there are keywords that the client was not told about, or `always`. */
void imap_tell_keywords(struct imap_session *s, bool always);
/* Of the newest messages, which the session hears of now, those that are \Recent to it: SELECT takes them, so that no
 * other session has them; EXAMINE changes nothing and only looks (RFC 3501, 2.3.2 and 6.3.2). */
void imap_learn_recent(struct selected *selected, const struct set *newest);
/* "* n EXISTS" and "* n RECENT". */
void imap_tell_counts(struct imap_session *s);

/* --- selecting (cmd_select.c) --- */

/* RFC 8474, 4: an account gives each UIDVALIDITY once, and a mailbox keeps its own under any name. */
#define IMAP_MAILBOX_ID "F%u"

void imap_deselect(struct imap_session *s);

/* --- FETCH, and the answers of STORE and SELECT (cmd_fetch.c) --- */

enum imap_step imap_fetch_step(struct imap_session *s);
void imap_fetch_end(struct imap_session *s);

/* An answer of flags in another command's name; its handler becomes the session's. Takes over the sets and the code. */
struct imap_fetch_answer {
	const struct imap_handler *handler;
	struct set uids;     /* a response for each that is there, */
	unsigned parts;      /* with these: enum print_part (print.h), */
	struct set with_flags; /* and these with their flags in any case */
	struct set vanished; /* told before them, with (EARLIER) */
	struct buf code;     /* of the tagged OK, with a NUL; empty: what imap_ok_unless_gone says */
	const char *done;    /* its text */
};
enum imap_step imap_fetch_answer(struct imap_session *s, struct imap_fetch_answer *answer);

/* --- CONDSTORE and QRESYNC (qresync.c; sections of RFC 7162) --- */

/* A CONDSTORE enabling command (3.1): the first one in a selected mailbox tells HIGHESTMODSEQ. */
void imap_enable_condstore(struct imap_session *s);
/* The modseq up to which the client has been told all that happened in the selected mailbox. */
uint64_t imap_settled_modseq(const struct imap_session *s);
/* "* OK [HIGHESTMODSEQ n]" */
void imap_tell_modseq(struct imap_session *s, uint64_t modseq);
/* VANISHED for these uids, or VANISHED (EARLIER); takes those out that were told. IMAP_STEP_DONE, or IMAP_STEP_OUTPUT:
 * to be called again with the rest. */
enum imap_step imap_tell_vanished(struct imap_session *s, struct set *uids, bool earlier);
/* Of the uids `asked`: *changed since modseq, of those that the client counts; *vanished (since then, or at any time) and
 * not among those. Both replaced. */
int imap_changes_since(struct imap_session *s, uint64_t modseq, const struct set *asked, struct set *changed,
                       struct set *vanished) MUST_CHECK;
/* Message sequence match data (3.2.5.2): the largest uid that has its number; 0: none. Both as long, ascending. */
uint32_t imap_match_known(const struct set *known, const struct imap_sequence *numbers, const struct imap_sequence *uids);

/* --- keywords.c --- */

/* May the mailbox have all that are wanted, and those that are missing already? Names that it has not go into *missing
 * (doubles do not; slices are borrowed, items are the caller's to mem_free), as far as they fit. */
bool imap_keywords_fit(const struct imap_session *s, const struct mailbox *mailbox, const struct imap_strings *wanted,
                       struct imap_strings *missing);
bool imap_keywords_still_fit(const struct imap_session *s, const struct mailbox *mailbox, const struct imap_strings *wanted);

/* --- APPEND (cmd_append.c): its message comes through the reader in pieces --- */

/* IMAP_READ_APPEND: false where NO is chosen and what comes is to be skipped. */
bool imap_append_message(struct imap_session *s);
/* IMAP_READ_DATA: the same. */
bool imap_append_data(struct imap_session *s, struct str bytes);

/* --- IDLE (cmd_idle.c) --- */

/* The line that ends IDLE. */
void imap_idle_line(struct imap_session *s, struct str line);

/* --- handlers (cmd_*.c) --- */

enum imap_step imap_cmd_append(struct imap_session *s);
enum imap_step imap_append_step(struct imap_session *s);
void imap_append_end(struct imap_session *s);
enum imap_step imap_cmd_capability(struct imap_session *s);
enum imap_step imap_cmd_check(struct imap_session *s);
enum imap_step imap_cmd_close(struct imap_session *s);
enum imap_step imap_cmd_copy(struct imap_session *s);
enum imap_step imap_copy_step(struct imap_session *s);
void imap_copy_end(struct imap_session *s);
enum imap_step imap_move_step(struct imap_session *s);
void imap_move_end(struct imap_session *s);
enum imap_step imap_cmd_create(struct imap_session *s);
enum imap_step imap_create_step(struct imap_session *s);
enum imap_step imap_cmd_delete(struct imap_session *s);
enum imap_step imap_delete_step(struct imap_session *s);
void imap_delete_end(struct imap_session *s);
enum imap_step imap_cmd_enable(struct imap_session *s);
enum imap_step imap_cmd_expunge(struct imap_session *s);
enum imap_step imap_expunge_step(struct imap_session *s);
void imap_expunge_end(struct imap_session *s);
enum imap_step imap_cmd_fetch(struct imap_session *s);
enum imap_step imap_cmd_getquota(struct imap_session *s);
enum imap_step imap_cmd_getquotaroot(struct imap_session *s);
enum imap_step imap_cmd_id(struct imap_session *s);
enum imap_step imap_cmd_idle(struct imap_session *s);
enum imap_step imap_cmd_list(struct imap_session *s);
enum imap_step imap_list_step(struct imap_session *s);
void imap_list_end(struct imap_session *s);
enum imap_step imap_cmd_logout(struct imap_session *s);
enum imap_step imap_cmd_namespace(struct imap_session *s);
enum imap_step imap_cmd_noop(struct imap_session *s);
enum imap_step imap_cmd_rename(struct imap_session *s);
enum imap_step imap_rename_inbox(struct imap_session *s); /* its case of RENAME, and all others, when the names were looked at */
enum imap_step imap_rename_tree(struct imap_session *s);
enum imap_step imap_end_renaming(struct imap_session *s); /* a slice of what an earlier RENAME has left to write. IMAP_STEP_DONE: nothing is left, and the store is writable (or the account gone) */
enum imap_step imap_rename_step(struct imap_session *s);
void imap_rename_end(struct imap_session *s);
enum imap_step imap_cmd_search(struct imap_session *s);
enum imap_step imap_search_step(struct imap_session *s);
/* Has a SEARCH, SORT or THREAD message numbers among its keys? "$" is none (RFC 5182, 2). False of other commands. */
bool imap_search_names_numbers(const struct imap_command *command);
void imap_search_end(struct imap_session *s);
/* SORT and THREAD: takes over the uids; modseq as SORT tells it, 0: not. */
enum imap_step imap_sort_begin(struct imap_session *s, struct set *found, uint64_t modseq, int error);
enum imap_step imap_sort_step(struct imap_session *s);
void imap_sort_end(struct imap_session *s);
enum imap_step imap_cmd_select(struct imap_session *s);
enum imap_step imap_select_step(struct imap_session *s);
enum imap_step imap_cmd_status(struct imap_session *s);
enum imap_step imap_status_step(struct imap_session *s);
enum imap_step imap_cmd_store(struct imap_session *s);
enum imap_step imap_store_step(struct imap_session *s);
void imap_store_end(struct imap_session *s);
enum imap_step imap_cmd_subscribe(struct imap_session *s);
enum imap_step imap_cmd_unselect(struct imap_session *s);

/* "* STATUS name (...)" of RFC 3501, 7.2.4; items are enum imap_status_item bits. Errors of opening the mailbox. */
int imap_put_status(struct imap_session *s, struct mailbox *mailbox, uint32_t items) MUST_CHECK;

#endif
