/* imap_reader.h: finds IMAP commands in a stream that comes in chunks of any size, and has them parsed (imap.h). Holds
 * at most one command; APPEND's messages pass through and are never held.
 *
 *     while ((event = imap_reader_next(&reader, &input)) != IMAP_READ_MORE) ...    input: the rest of the chunk
 *
 * After IMAP_READ_COMMAND the reader has touched no byte behind the command, so that STARTTLS, COMPRESS and the
 * hand-over to another process find them all in `input`. */
#ifndef SYNTAX_IMAP_READER_H
#define SYNTAX_IMAP_READER_H

#include "syntax/imap.h"

enum imap_read {
	IMAP_READ_MORE,       /* all input is used */
	IMAP_READ_CONTINUE,   /* a synchronising literal was announced: send "+ OK" and go on */
	IMAP_READ_COMMAND,    /* reader.command is complete */
	IMAP_READ_APPEND,     /* reader.command is an APPEND whose next message (command.append.message) comes now: send
	                         "+ OK" if it is synchronising and go on, or call imap_reader_refuse. The command's
	                         strings stay valid to the end of the APPEND */
	IMAP_READ_DATA,       /* reader.data: the next bytes of that message, a slice of the input */
	IMAP_READ_APPEND_END, /* the APPEND is complete, CRLF included */
	IMAP_READ_LINE,       /* reader.line: what imap_reader_expect_line asked for, without its line end */
	IMAP_READ_BAD,        /* reader.error: answer it; the command was skipped, reading goes on with the next one.
	                         May also come inside an APPEND: nothing of it may then be stored */
	IMAP_READ_CLOSE,      /* reader.error: too much to skip; send BYE and close. Comes again at each call */
};

enum imap_reader_state {
	IMAP_READER_LINE,            /* collecting a command's line */
	IMAP_READER_LITERAL,         /* collecting literal_left bytes into the command */
	IMAP_READER_MESSAGE,         /* passing on literal_left bytes of APPEND's message */
	IMAP_READER_APPEND_LINE,     /* collecting what follows that message: the end, or another one's announcement */
	IMAP_READER_RAW_LINE,        /* collecting a line that is not a command (AUTHENTICATE, IDLE's DONE) */
	IMAP_READER_DISCARD_LINE,    /* throwing away the rest of a refused command */
	IMAP_READER_DISCARD_LITERAL, /* throwing away literal_left bytes of it */
	IMAP_READER_CLOSED,
};

#define IMAP_READER_TAIL 24 /* enough for "{18446744073709551615+}" and CR */

struct imap_reader {
	/* what the last event is about; valid until the next command begins (data, line: until the next call) */
	struct imap_command command;
	struct imap_error error;
	struct str data, line;
	uint64_t literal_left; /* bytes of the message still to come. An owner that takes bytes of it from elsewhere
	                          than imap_reader_next (a socket, say) subtracts them here */

	/* private */
	const struct imap_limits *limits;
	enum imap_reader_state state;
	struct arena arena;
	struct buf text;     /* the command so far */
	struct buf raw;      /* the raw line so far; apart, so that the command stays valid */
	size_t line_bytes;   /* of the command, without literals */
	size_t line_start;   /* where the current line begins in text */
	size_t discarded;    /* bytes of the refused command */
	char tail[IMAP_READER_TAIL]; /* last bytes of a discarded line: it may announce a literal */
	size_t tail_n;
	bool silent;         /* discarding after imap_reader_refuse: no event at the end */
	bool finished;       /* the last event ended a command: the next call begins a new one */
};

/* limits are borrowed and may be exchanged between commands (reader->limits). Allocates nothing yet. */
void imap_reader_init(struct imap_reader *reader, const struct imap_limits *limits);
void imap_reader_free(struct imap_reader *reader);

/* Takes bytes from the front of *input until there is something to tell. */
enum imap_read imap_reader_next(struct imap_reader *reader, struct str *input);

/* The next line is no command: after "+" of AUTHENTICATE and IDLE. For one line; call it again for the next. The
 * command stays valid meanwhile. A line over limits->line_bytes gives IMAP_READ_BAD (then ask for the next, or not). */
void imap_reader_expect_line(struct imap_reader *reader);

/* After IMAP_READ_APPEND (or between pieces of DATA): the owner has answered NO. What the client still sends of this
 * command is skipped without an event: this message whatever its size (close instead if that is absurd), then up to
 * limits->discard_bytes, beyond which IMAP_READ_CLOSE comes. */
void imap_reader_refuse(struct imap_reader *reader);

/* True between commands: nothing is half read. */
bool imap_reader_idle(const struct imap_reader *reader);

/* Gives memory back while the client is silent; the last command is gone. Only when idle, else does nothing. */
void imap_reader_release(struct imap_reader *reader);

#endif
