/* pop3.h: command lines of POP3 (RFC 1939, 5; RFC 2449 CAPA; RFC 2595 STLS; RFC 5034 AUTH; RFC 6856 LANG, UTF8),
 * and the way of message bytes into a multi-line response (RFC 1939, 3): dots stuffed, a line limit for TOP, a CRLF at
 * the end where the message has none.
 *
 * More is taken than the grammar allows where nothing becomes ambiguous: a bare LF ends a line, several spaces
 * separate, spaces may follow the last argument (of PASS they belong to the password). */
#ifndef SYNTAX_POP3_H
#define SYNTAX_POP3_H

#include "base/outq.h"
#include "base/pop3_policy.h"

/* How the arguments of a command look. */
enum pop3_shape {
	POP3_BARE,          /* none */
	POP3_TEXT,          /* the rest of the line */
	POP3_MAYBE_WORD,    /* one word or nothing */
	POP3_NUMBER,        /* message number */
	POP3_MAYBE_NUMBER,  /* message number or nothing */
	POP3_NUMBER_LINES,  /* message number, number of lines */
	POP3_SASL,          /* mechanism, maybe an initial response */
};

#define POP3_VERB_LIST(X)                                                                                              \
	X(POP3_UNKNOWN, "", POP3_BARE)                                                                                     \
	X(POP3_AUTH, "AUTH", POP3_SASL)                                                                                    \
	X(POP3_CAPA, "CAPA", POP3_BARE)                                                                                    \
	X(POP3_DELE, "DELE", POP3_NUMBER)                                                                                  \
	X(POP3_LANG, "LANG", POP3_MAYBE_WORD)                                                                              \
	X(POP3_LIST, "LIST", POP3_MAYBE_NUMBER)                                                                            \
	X(POP3_NOOP, "NOOP", POP3_BARE)                                                                                    \
	X(POP3_PASS, "PASS", POP3_TEXT)                                                                                    \
	X(POP3_QUIT, "QUIT", POP3_BARE)                                                                                    \
	X(POP3_RETR, "RETR", POP3_NUMBER)                                                                                  \
	X(POP3_RSET, "RSET", POP3_BARE)                                                                                    \
	X(POP3_STAT, "STAT", POP3_BARE)                                                                                    \
	X(POP3_STLS, "STLS", POP3_BARE)                                                                                    \
	X(POP3_TOP, "TOP", POP3_NUMBER_LINES)                                                                              \
	X(POP3_UIDL, "UIDL", POP3_MAYBE_NUMBER)                                                                            \
	X(POP3_USER, "USER", POP3_TEXT)                                                                                    \
	X(POP3_UTF8, "UTF8", POP3_BARE)

#define POP3_VERB_ONE(name, text, shape) +1
#define POP3_VERB_COUNT (0 POP3_VERB_LIST(POP3_VERB_ONE))

enum pop3_verb {
#define POP3_VERB_ENUM(name, text, shape) name,
	POP3_VERB_LIST(POP3_VERB_ENUM)
#undef POP3_VERB_ENUM
};

/* What is wrong with a line: name, text of the answer. */
#define POP3_FLAW_LIST(X)                                                                                              \
	X(POP3_FLAW_NONE, "Fine.")                                                                                         \
	X(POP3_FLAW_COMMAND, "There is no such command.")                                                                  \
	X(POP3_FLAW_BYTES, "A command holds no NUL and no bare CR.")                                                       \
	X(POP3_FLAW_ARGUMENT_MISSING, "An argument is missing.")                                                           \
	X(POP3_FLAW_ARGUMENT_EXTRA, "That is an argument too many.")                                                       \
	X(POP3_FLAW_NUMBER, "That is not a number.")

enum pop3_flaw {
#define POP3_FLAW_ENUM(name, text) name,
	POP3_FLAW_LIST(POP3_FLAW_ENUM)
#undef POP3_FLAW_ENUM
};

struct pop3_command {
	enum pop3_verb verb;
	struct str text;      /* POP3_TEXT; POP3_MAYBE_WORD, empty: none; POP3_SASL: the mechanism */
	bool has_initial;     /* POP3_SASL */
	struct str initial;   /* in base64, "=" for the empty one (RFC 5034, 4) */
	bool has_number;
	uint32_t number;      /* of the message; 0, which no message has, also stands for numbers beyond 32 bits */
	uint64_t lines;       /* TOP; UINT64_MAX also stands for more */
};

/* Reads one line, without its line end. Slices point into the line. The verb is set whenever it is known; all else
 * only for POP3_FLAW_NONE. */
enum pop3_flaw pop3_parse(struct str line, struct pop3_command *out) MUST_CHECK;

/* Appends the line, without its line end, that reads as this command. */
void pop3_print(const struct pop3_command *command, struct buf *out);

struct str pop3_verb_name(enum pop3_verb verb);
const char *pop3_flaw_text(enum pop3_flaw flaw); /* static memory */

/* --- unique ids (RFC 1939, 7) --- */

#define POP3_UIDL_OURS_MAX 17

/* What UIDL says of an entry with this id: 16 hexadecimal digits; and an "m" from 2^32 on, so that ids of other servers
 * which look like that (8 digits each of a uid and a UIDVALIDITY) are none of ours. Returns the length. */
size_t pop3_uidl_print(uint64_t id, char out[POP3_UIDL_OURS_MAX]);
/* May this be the id of a message that came from elsewhere: 1 to POP3_UIDL_MAX bytes from 0x21 to 0x7E, and none of
 * ours? */
bool pop3_uidl_is_foreign(struct str text);

/* --- lines --- */

/* Cuts what comes into lines, in a buffer of its own that it wipes, since passwords pass through it. No memory
 * between lines. */
struct pop3_reader {
	struct buf line; /* its maximum is the longest line, line end included */
	bool skipping;   /* within a line that was too long */
	bool whole;      /* the line was given to the caller */
};

#define POP3_READER_INIT(longest_line) ((struct pop3_reader){ .line = BUF_INIT(longest_line) })

/* The next line, without CRLF or LF, valid until the next call; *rest begins behind it. ERR_INCOMPLETE: all was
 * taken, there is no whole line. ERR_LIMIT: the line is too long; said once, and its bytes are skipped. */
int pop3_reader_next(struct pop3_reader *reader, struct str *rest, struct str *line) MUST_CHECK;
void pop3_reader_free(struct pop3_reader *reader);

/* --- a message on its way out --- */

/* Where the next byte stands. */
enum pop3_place {
	POP3_LINE_START, /* after CRLF, or nothing was sent yet */
	POP3_AFTER_LF,   /* after a bare LF: dots are stuffed here too, for clients that take it for a line end */
	POP3_AFTER_CR,
	POP3_INSIDE_LINE,
};

struct pop3_body {
	enum pop3_place place;
	uint64_t lines_left; /* lines (ended by LF) that may still begin or go on; UINT64_MAX: all */
};

/* Copies bytes of a message, dots stuffed, until lines_left is 0. Call it with the pieces of a message in order. */
void pop3_body_put(struct pop3_body *body, struct str bytes, struct outq *out);
/* The end of the response: "." on a line of its own, after a CRLF where none was sent. */
void pop3_body_end(const struct pop3_body *body, struct outq *out);

#endif
