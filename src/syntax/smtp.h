/* smtp.h: command lines of SMTP and LMTP (RFC 5321, 4.1; RFC 2033; RFC 1870 SIZE; RFC 6152 BODY; RFC 3207 STARTTLS; RFC
 * 4954 AUTH; RFC 6531 SMTPUTF8).
 *
 * More is taken than the grammar allows where real clients need it and nothing becomes ambiguous: spaces behind the
 * colon and at the end of the line, an address without <>, dots anywhere in an unquoted local part, underscores and a
 * final dot in domains. Bytes over 127 in an address are well-formed UTF-8 or a flaw; whether the transaction may have
 * them is the session's to say for RCPT. */
#ifndef SYNTAX_SMTP_H
#define SYNTAX_SMTP_H

#include "base/arena.h"

/* RFC 5321, 4.5.3.1 asks for 64 bytes of local part at least; lists with variable envelope senders use more. */
#define SMTP_LOCAL_PART_MAX 255
#define SMTP_DOMAIN_MAX     255
#define SMTP_PATH_MAX       1024 /* with brackets and source route */
#define SMTP_PARAMETERS_MAX 16

/* Memory that one command can take from the arena. */
#define SMTP_COMMAND_ARENA  (4 * SMTP_PATH_MAX)

#define SMTP_VERB_LIST(X)                                                                                              \
	X(SMTP_UNKNOWN, "")                                                                                                \
	X(SMTP_HELO, "HELO")                                                                                               \
	X(SMTP_EHLO, "EHLO")                                                                                               \
	X(SMTP_LHLO, "LHLO")                                                                                               \
	X(SMTP_MAIL, "MAIL")                                                                                               \
	X(SMTP_RCPT, "RCPT")                                                                                               \
	X(SMTP_DATA, "DATA")                                                                                               \
	X(SMTP_RSET, "RSET")                                                                                               \
	X(SMTP_NOOP, "NOOP")                                                                                               \
	X(SMTP_QUIT, "QUIT")                                                                                               \
	X(SMTP_VRFY, "VRFY")                                                                                               \
	X(SMTP_EXPN, "EXPN")                                                                                               \
	X(SMTP_HELP, "HELP")                                                                                               \
	X(SMTP_STARTTLS, "STARTTLS")                                                                                       \
	X(SMTP_AUTH, "AUTH")

#define SMTP_VERB_ONE(name, text) +1
#define SMTP_VERB_COUNT (0 SMTP_VERB_LIST(SMTP_VERB_ONE))

enum smtp_verb {
#define SMTP_VERB_ENUM(name, text) name,
	SMTP_VERB_LIST(SMTP_VERB_ENUM)
#undef SMTP_VERB_ENUM
};

/* What is wrong with a line, and how that is said: name, reply code, enhanced code (RFC 3463, 5248), text. */
#define SMTP_FLAW_LIST(X)                                                                                              \
	X(SMTP_FLAW_NONE, 250, "2.0.0", "ok")                                                                              \
	X(SMTP_FLAW_COMMAND, 500, "5.5.1", "command not recognized")                                                       \
	X(SMTP_FLAW_BYTES, 500, "5.5.2", "control characters in the command")                                              \
	X(SMTP_FLAW_ARGUMENT_MISSING, 501, "5.5.4", "an argument is missing")                                              \
	X(SMTP_FLAW_ARGUMENT_NONE, 501, "5.5.4", "this command takes no argument")                                         \
	X(SMTP_FLAW_MAIL, 501, "5.5.2", "syntax is MAIL FROM:<address>")                                                   \
	X(SMTP_FLAW_RCPT, 501, "5.5.2", "syntax is RCPT TO:<address>")                                                     \
	X(SMTP_FLAW_SENDER, 501, "5.1.7", "bad sender address")                                                            \
	X(SMTP_FLAW_RECIPIENT, 501, "5.1.3", "bad recipient address")                                                      \
	X(SMTP_FLAW_AUTH, 501, "5.5.4", "syntax is AUTH mechanism [initial-response]")                                     \
	X(SMTP_FLAW_SENDER_EIGHT_BIT, 550, "5.6.7", "a sender address that is not ASCII needs MAIL with SMTPUTF8")         \
	X(SMTP_FLAW_RECIPIENT_EIGHT_BIT, 553, "5.6.7", "a recipient address that is not ASCII needs MAIL with SMTPUTF8")   \
	X(SMTP_FLAW_PARAMETER, 501, "5.5.4", "bad parameter")                                                              \
	X(SMTP_FLAW_PARAMETER_UNKNOWN, 555, "5.5.4", "unknown parameter")

enum smtp_flaw {
#define SMTP_FLAW_ENUM(name, code, enhanced, text) name,
	SMTP_FLAW_LIST(SMTP_FLAW_ENUM)
#undef SMTP_FLAW_ENUM
};

struct smtp_path {
	struct str written; /* mailbox as it came, quoted where it was, without <> and source route: for trace headers */
	struct str address; /* unquoted local@domain, or "postmaster"; empty for the null path. The last '@' separates */
	struct str local;   /* of address */
	bool eight_bit;     /* it is not ASCII, but UTF-8 */
};

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };

struct smtp_command {
	enum smtp_verb verb;
	struct str argument;   /* all but MAIL and RCPT: what follows the verb, trimmed */
	struct smtp_path path; /* MAIL, RCPT */
	bool has_size;         /* MAIL SIZE= */
	uint64_t size;         /* UINT64_MAX when the number is greater still */
	enum smtp_body body;   /* MAIL BODY= */
	bool utf8;             /* MAIL SMTPUTF8 */
	bool has_auth;         /* MAIL AUTH=: well-formed, and that is all that is made of it (RFC 4954, 5) */
	struct str mechanism;  /* AUTH */
	struct str initial;    /* AUTH: base64, or "=" for an empty response */
	bool has_initial;
};

/* Reads one line, without its CRLF. Slices point into the line or the arena (which needs SMTP_COMMAND_ARENA bytes).
 * verb is set even when the rest is flawed; all else only for SMTP_FLAW_NONE. */
enum smtp_flaw smtp_parse(struct str line, struct arena *arena, struct smtp_command *out) MUST_CHECK;

struct str smtp_verb_name(enum smtp_verb verb);

/* A flaw as a reply. Static memory. */
struct smtp_complaint {
	unsigned code;
	const char *enhanced, *text;
};
struct smtp_complaint smtp_flaw_complaint(enum smtp_flaw flaw);

#endif
