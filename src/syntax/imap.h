/* imap.h: one IMAP command as a struct, and the parser that makes it (RFC 3501 section 9; IDLE 2177, NAMESPACE 2342,
 * ID 2971, UIDPLUS 4315, UNSELECT 3691, MOVE 6851, LITERAL+ 7888, SASL-IR 4959, LIST-EXTENDED 5258 with 5819 and 6154,
 * ENABLE 5161, MULTIAPPEND 3502, CONDSTORE and QRESYNC 7162, SORT and THREAD 5256). Pure: bytes in, struct out. imap_reader.h finds the commands in a stream.
 *
 * All that a command points to lies in its arena or in the text it was parsed from; both must outlive it. */
#ifndef SYNTAX_IMAP_H
#define SYNTAX_IMAP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/set.h"

/* ---- Commands, and the states in which RFC 3501 section 6 allows them ---- */

enum imap_state_bit {
	IMAP_STATE_NOT_AUTHENTICATED = 1,
	IMAP_STATE_AUTHENTICATED = 2, /* no mailbox selected */
	IMAP_STATE_SELECTED = 4,
	IMAP_STATE_LOGGED_IN = IMAP_STATE_AUTHENTICATED | IMAP_STATE_SELECTED,
	IMAP_STATE_ANY = IMAP_STATE_NOT_AUTHENTICATED | IMAP_STATE_LOGGED_IN,
};

/* kind, name on the wire, states */
#define IMAP_COMMAND_TABLE(X)                                                                                          \
	X(IMAP_COMMAND_CAPABILITY, "CAPABILITY", IMAP_STATE_ANY)                                                           \
	X(IMAP_COMMAND_NOOP, "NOOP", IMAP_STATE_ANY)                                                                       \
	X(IMAP_COMMAND_LOGOUT, "LOGOUT", IMAP_STATE_ANY)                                                                   \
	X(IMAP_COMMAND_ID, "ID", IMAP_STATE_ANY)                                                                           \
	X(IMAP_COMMAND_STARTTLS, "STARTTLS", IMAP_STATE_NOT_AUTHENTICATED)                                                 \
	X(IMAP_COMMAND_AUTHENTICATE, "AUTHENTICATE", IMAP_STATE_NOT_AUTHENTICATED)                                         \
	X(IMAP_COMMAND_LOGIN, "LOGIN", IMAP_STATE_NOT_AUTHENTICATED)                                                       \
	X(IMAP_COMMAND_ENABLE, "ENABLE", IMAP_STATE_AUTHENTICATED)                                                         \
	X(IMAP_COMMAND_SELECT, "SELECT", IMAP_STATE_LOGGED_IN)                                                             \
	X(IMAP_COMMAND_EXAMINE, "EXAMINE", IMAP_STATE_LOGGED_IN)                                                           \
	X(IMAP_COMMAND_CREATE, "CREATE", IMAP_STATE_LOGGED_IN)                                                             \
	X(IMAP_COMMAND_DELETE, "DELETE", IMAP_STATE_LOGGED_IN)                                                             \
	X(IMAP_COMMAND_RENAME, "RENAME", IMAP_STATE_LOGGED_IN)                                                             \
	X(IMAP_COMMAND_SUBSCRIBE, "SUBSCRIBE", IMAP_STATE_LOGGED_IN)                                                       \
	X(IMAP_COMMAND_UNSUBSCRIBE, "UNSUBSCRIBE", IMAP_STATE_LOGGED_IN)                                                   \
	X(IMAP_COMMAND_LIST, "LIST", IMAP_STATE_LOGGED_IN)                                                                 \
	X(IMAP_COMMAND_LSUB, "LSUB", IMAP_STATE_LOGGED_IN)                                                                 \
	X(IMAP_COMMAND_STATUS, "STATUS", IMAP_STATE_LOGGED_IN)                                                             \
	X(IMAP_COMMAND_APPEND, "APPEND", IMAP_STATE_LOGGED_IN)                                                             \
	X(IMAP_COMMAND_NAMESPACE, "NAMESPACE", IMAP_STATE_LOGGED_IN)                                                       \
	X(IMAP_COMMAND_GETQUOTA, "GETQUOTA", IMAP_STATE_LOGGED_IN)                                                         \
	X(IMAP_COMMAND_GETQUOTAROOT, "GETQUOTAROOT", IMAP_STATE_LOGGED_IN)                                                 \
	X(IMAP_COMMAND_IDLE, "IDLE", IMAP_STATE_LOGGED_IN)                                                                 \
	X(IMAP_COMMAND_CHECK, "CHECK", IMAP_STATE_SELECTED)                                                                \
	X(IMAP_COMMAND_CLOSE, "CLOSE", IMAP_STATE_SELECTED)                                                                \
	X(IMAP_COMMAND_UNSELECT, "UNSELECT", IMAP_STATE_SELECTED)                                                          \
	X(IMAP_COMMAND_EXPUNGE, "EXPUNGE", IMAP_STATE_SELECTED)                                                            \
	X(IMAP_COMMAND_SEARCH, "SEARCH", IMAP_STATE_SELECTED)                                                              \
	X(IMAP_COMMAND_SORT, "SORT", IMAP_STATE_SELECTED)                                                                  \
	X(IMAP_COMMAND_THREAD, "THREAD", IMAP_STATE_SELECTED)                                                              \
	X(IMAP_COMMAND_FETCH, "FETCH", IMAP_STATE_SELECTED)                                                                \
	X(IMAP_COMMAND_STORE, "STORE", IMAP_STATE_SELECTED)                                                                \
	X(IMAP_COMMAND_COPY, "COPY", IMAP_STATE_SELECTED)                                                                  \
	X(IMAP_COMMAND_MOVE, "MOVE", IMAP_STATE_SELECTED)

enum imap_command_kind {
#define IMAP_COMMAND_ENUM(kind, name, states) kind,
	IMAP_COMMAND_TABLE(IMAP_COMMAND_ENUM)
#undef IMAP_COMMAND_ENUM
	IMAP_COMMAND_COUNT
};

/* "FETCH"; and the enum imap_state_bit bits in which the command is allowed. */
struct str imap_command_name(enum imap_command_kind kind);
unsigned imap_command_states(enum imap_command_kind kind);

/* ---- Pieces of commands ---- */

struct imap_strings {
	struct str *items;
	uint32_t n;
};

/* A sequence set as the client wrote it: order, overlaps and reversed ranges are kept. */
#define IMAP_STAR 0 /* '*': the largest number in use; 0 itself cannot be written */

struct imap_sequence_range {
	uint32_t first, last;
};

struct imap_sequence {
	struct imap_sequence_range *ranges;
	uint32_t n; /* at least 1, or */
	bool saved; /* "$", with no ranges: what the last SEARCH saved (RFC 5182) */
};

/* bit, name on the wire. \Recent is in no list that a client sends; it is here for printing and for SEARCH. */
#define IMAP_FLAG_LIST(X)                                                                                              \
	X(IMAP_FLAG_SEEN, 1, "\\Seen")                                                                                     \
	X(IMAP_FLAG_ANSWERED, 2, "\\Answered")                                                                             \
	X(IMAP_FLAG_FLAGGED, 4, "\\Flagged")                                                                               \
	X(IMAP_FLAG_DELETED, 8, "\\Deleted")                                                                               \
	X(IMAP_FLAG_DRAFT, 16, "\\Draft")                                                                                  \
	X(IMAP_FLAG_RECENT, 32, "\\Recent")

enum imap_flag {
#define IMAP_FLAG_ENUM(flag, bit, name) flag = bit,
	IMAP_FLAG_LIST(IMAP_FLAG_ENUM)
#undef IMAP_FLAG_ENUM
};

struct imap_flags {
	uint32_t system;              /* enum imap_flag bits */
	struct imap_strings keywords; /* as sent; doubles (ASCII case aside) are removed */
};

/* An extension's parameter in brackets (RFC 4466): "CONDSTORE", "UNCHANGEDSINCE 5", "QRESYNC (1 2)". */
struct imap_param {
	struct str name;
	struct str value; /* raw, with its brackets; p is NULL where there is none */
};

struct imap_params {
	struct imap_param *items;
	uint32_t n;
};

/* ---- FETCH ---- */

/* kind, name on the wire */
#define IMAP_FETCH_LIST(X)                                                                                             \
	X(IMAP_FETCH_UID, "UID")                                                                                           \
	X(IMAP_FETCH_FLAGS, "FLAGS")                                                                                       \
	X(IMAP_FETCH_INTERNALDATE, "INTERNALDATE")                                                                         \
	X(IMAP_FETCH_RFC822_SIZE, "RFC822.SIZE")                                                                           \
	X(IMAP_FETCH_MODSEQ, "MODSEQ")                                                                                     \
	X(IMAP_FETCH_SAVEDATE, "SAVEDATE") /* RFC 8514 */                                                                  \
	X(IMAP_FETCH_EMAILID, "EMAILID") /* RFC 8474 */                                                                    \
	X(IMAP_FETCH_THREADID, "THREADID")                                                                                 \
	X(IMAP_FETCH_PREVIEW, "PREVIEW") /* RFC 8970 */                                                                    \
	X(IMAP_FETCH_ENVELOPE, "ENVELOPE")                                                                                 \
	X(IMAP_FETCH_BODY, "BODY") /* BODYSTRUCTURE without extension data */                                              \
	X(IMAP_FETCH_BODYSTRUCTURE, "BODYSTRUCTURE")                                                                       \
	X(IMAP_FETCH_RFC822, "RFC822")                                                                                     \
	X(IMAP_FETCH_RFC822_HEADER, "RFC822.HEADER")                                                                       \
	X(IMAP_FETCH_RFC822_TEXT, "RFC822.TEXT")                                                                           \
	X(IMAP_FETCH_SECTION, "BODY[") /* BODY[...] and BODY.PEEK[...] */

enum imap_fetch_kind {
#define IMAP_FETCH_ENUM(kind, name) kind,
	IMAP_FETCH_LIST(IMAP_FETCH_ENUM)
#undef IMAP_FETCH_ENUM
};

#define IMAP_SECTION_LIST(X)                                                                                           \
	X(IMAP_SECTION_ALL, "") /* the whole message or part */                                                            \
	X(IMAP_SECTION_HEADER, "HEADER")                                                                                   \
	X(IMAP_SECTION_HEADER_FIELDS, "HEADER.FIELDS")                                                                     \
	X(IMAP_SECTION_HEADER_FIELDS_NOT, "HEADER.FIELDS.NOT")                                                             \
	X(IMAP_SECTION_TEXT, "TEXT")                                                                                       \
	X(IMAP_SECTION_MIME, "MIME")

enum imap_section_text {
#define IMAP_SECTION_ENUM(kind, name) kind,
	IMAP_SECTION_LIST(IMAP_SECTION_ENUM)
#undef IMAP_SECTION_ENUM
};

struct imap_section {
	uint32_t *parts; /* part numbers, each at least 1; none: the message */
	uint32_t part_count;
	enum imap_section_text text;
	struct imap_strings fields; /* of HEADER_FIELDS and HEADER_FIELDS_NOT; at least 1 there */
	struct str echo; /* how the answer names it, canonical: `BODY[1.HEADER.FIELDS (From)]<0>` */
};

struct imap_fetch_item {
	enum imap_fetch_kind kind;
	bool peek;                    /* BODY.PEEK: does not set \Seen */
	bool lazy;                    /* PREVIEW (LAZY) */
	bool partial;                 /* <offset.length> given */
	uint32_t offset, length;      /* of a partial; length at least 1 */
	struct imap_section *section; /* of IMAP_FETCH_SECTION, else NULL */
};

/* True when fetching this item sets \Seen (RFC 3501, 6.4.5). */
bool imap_fetch_sets_seen(const struct imap_fetch_item *item);

struct imap_fetch {
	struct imap_sequence set;
	struct imap_fetch_item *items; /* ALL, FULL, FAST expanded; kinds without section once each; UID FETCH: UID first */
	uint32_t n;
	uint32_t kinds; /* bit 1 << kind for each kind among the items */
	bool has_changed_since; /* CHANGEDSINCE (RFC 7162, 3.1.4.1); then MODSEQ is among the items */
	uint64_t changed_since;
	bool vanished; /* VANISHED (3.2.6): only of UID FETCH with CHANGEDSINCE */
};

/* ---- SEARCH ---- */

/* What is left of RFC 3501's keys when UNSEEN is FLAG(\Seen, not wanted), OLD is FLAG(\Recent, not wanted), NEW is
 * AND(FLAG(\Recent), FLAG(\Seen, not wanted)), and so on. The third column says which members of the key are used. */
#define IMAP_SEARCH_LIST(X)                                                                                            \
	X(IMAP_SEARCH_ALL, "ALL", NOTHING)                                                                                 \
	X(IMAP_SEARCH_AND, "(", CHILDREN) /* 1 or more children */                                                         \
	X(IMAP_SEARCH_OR, "OR", CHILDREN) /* 2 children */                                                                 \
	X(IMAP_SEARCH_NOT, "NOT", CHILDREN) /* 1 child */                                                                  \
	X(IMAP_SEARCH_FLAG, "", FLAG) /* flag (one bit) and wanted */                                                      \
	X(IMAP_SEARCH_KEYWORD, "KEYWORD", TEXT) /* text and wanted (UNKEYWORD: not) */                                     \
	X(IMAP_SEARCH_SEQUENCE, "", SET) /* message sequence numbers */                                                    \
	X(IMAP_SEARCH_UID, "UID", SET)                                                                                     \
	X(IMAP_SEARCH_BEFORE, "BEFORE", DAY) /* internal date, time and zone disregarded */                                \
	X(IMAP_SEARCH_ON, "ON", DAY)                                                                                       \
	X(IMAP_SEARCH_SINCE, "SINCE", DAY)                                                                                 \
	X(IMAP_SEARCH_SENTBEFORE, "SENTBEFORE", DAY) /* Date: header, the same */                                          \
	X(IMAP_SEARCH_SENTON, "SENTON", DAY)                                                                               \
	X(IMAP_SEARCH_SENTSINCE, "SENTSINCE", DAY)                                                                         \
	X(IMAP_SEARCH_SAVEDBEFORE, "SAVEDBEFORE", DAY) /* RFC 8514 */                                                      \
	X(IMAP_SEARCH_SAVEDON, "SAVEDON", DAY)                                                                             \
	X(IMAP_SEARCH_SAVEDSINCE, "SAVEDSINCE", DAY)                                                                       \
	X(IMAP_SEARCH_EMAILID, "EMAILID", TEXT) /* RFC 8474: text is an object id */                                       \
	X(IMAP_SEARCH_THREADID, "THREADID", TEXT)                                                                          \
	X(IMAP_SEARCH_LARGER, "LARGER", SIZE) /* more bytes than size */                                                   \
	X(IMAP_SEARCH_SMALLER, "SMALLER", SIZE)                                                                            \
	X(IMAP_SEARCH_MODSEQ, "MODSEQ", SIZE) /* RFC 7162, 3.1.5: size or more; an entry name is not kept */               \
	X(IMAP_SEARCH_OLDER, "OLDER", SIZE) /* RFC 5032: internal date, size seconds ago or before */                      \
	X(IMAP_SEARCH_YOUNGER, "YOUNGER", SIZE)                                                                            \
	X(IMAP_SEARCH_FROM, "FROM", TEXT)                                                                                  \
	X(IMAP_SEARCH_TO, "TO", TEXT)                                                                                      \
	X(IMAP_SEARCH_CC, "CC", TEXT)                                                                                      \
	X(IMAP_SEARCH_BCC, "BCC", TEXT)                                                                                    \
	X(IMAP_SEARCH_SUBJECT, "SUBJECT", TEXT)                                                                            \
	X(IMAP_SEARCH_HEADER, "HEADER", FIELD) /* field and text; empty text: the field is there */                        \
	X(IMAP_SEARCH_BODY, "BODY", TEXT)                                                                                  \
	X(IMAP_SEARCH_TEXT, "TEXT", TEXT)

enum imap_search_kind {
#define IMAP_SEARCH_ENUM(kind, name, argument) kind,
	IMAP_SEARCH_LIST(IMAP_SEARCH_ENUM)
#undef IMAP_SEARCH_ENUM
};

struct imap_search_key {
	enum imap_search_kind kind;
	bool wanted;                   /* FLAG, KEYWORD: true for set, false for not set */
	enum imap_flag flag;           /* FLAG */
	int32_t day;                   /* BEFORE ... SAVEDSINCE: days since 1 Jan 1970 */
	uint64_t size;                 /* LARGER, SMALLER: bytes; MODSEQ */
	struct str field;              /* HEADER: the field's name */
	struct str text;               /* as sent, in the command's charset */
	struct imap_sequence set;      /* SEQUENCE, UID */
	struct imap_search_key *child; /* AND, OR, NOT: the first child */
	struct imap_search_key *next;  /* the next child of the same parent */
};

/* RFC 5256, BASE.6.4.SORT; RFC 5957 */
#define IMAP_SORT_LIST(X)                                                                                              \
	X(IMAP_SORT_ARRIVAL, "ARRIVAL")                                                                                    \
	X(IMAP_SORT_CC, "CC")                                                                                              \
	X(IMAP_SORT_DATE, "DATE")                                                                                          \
	X(IMAP_SORT_DISPLAYFROM, "DISPLAYFROM")                                                                            \
	X(IMAP_SORT_DISPLAYTO, "DISPLAYTO")                                                                                \
	X(IMAP_SORT_FROM, "FROM")                                                                                          \
	X(IMAP_SORT_SIZE, "SIZE")                                                                                          \
	X(IMAP_SORT_SUBJECT, "SUBJECT")                                                                                    \
	X(IMAP_SORT_TO, "TO")

enum imap_sort_kind {
#define IMAP_SORT_ENUM(kind, name) kind,
	IMAP_SORT_LIST(IMAP_SORT_ENUM)
#undef IMAP_SORT_ENUM
};

struct imap_sort_key {
	enum imap_sort_kind kind;
	bool reverse;
};

#define IMAP_SORT_KEYS_MAX 16 /* more could not change the order: there are fewer kinds */

enum imap_thread_kind { IMAP_THREAD_ORDEREDSUBJECT, IMAP_THREAD_REFERENCES };

struct imap_search { /* SEARCH, SORT, THREAD */
	struct str charset; /* as sent; p is NULL: none named (US-ASCII) */
	bool has_return;    /* RETURN (...) of RFC 4731 was given; its options are the command's params */
	struct imap_search_key *key; /* the whole: AND where several keys stand side by side */
	struct imap_sort_key sort[IMAP_SORT_KEYS_MAX]; /* SORT */
	uint32_t n_sort;
	enum imap_thread_kind thread; /* THREAD */
};

/* ---- Other commands' arguments ---- */

enum imap_store_mode { IMAP_STORE_REPLACE, IMAP_STORE_ADD, IMAP_STORE_REMOVE };

struct imap_store {
	struct imap_sequence set;
	enum imap_store_mode mode;
	bool silent;
	struct imap_flags flags;
	bool has_unchanged_since; /* UNCHANGEDSINCE (RFC 7162, 3.1.3) */
	uint64_t unchanged_since;
};

/* QRESYNC's parameter (RFC 7162, 3.2.5). Sets without '*'. */
struct imap_qresync {
	uint32_t uidvalidity;
	uint64_t modseq;
	struct imap_sequence known;                     /* n 0: not given */
	struct imap_sequence match_numbers, match_uids; /* as many numbers in both, ascending; n 0: not given */
};

struct imap_select { /* SELECT and EXAMINE */
	struct str mailbox;
	bool condstore;
	struct imap_qresync *qresync; /* NULL: not given */
};

struct imap_copy { /* COPY and MOVE */
	struct imap_sequence set;
	struct str mailbox;
};

struct imap_login {
	struct str user, password;
};

struct imap_authenticate {
	struct str mechanism; /* as sent */
	bool has_initial;
	struct str initial; /* decoded; "=" on the wire is an empty one (RFC 4959) */
};

/* bit, attribute (RFC 6154) */
#define IMAP_USE_LIST(X)                                                                                               \
	X(IMAP_USE_ALL, 1, "\\All")                                                                                        \
	X(IMAP_USE_ARCHIVE, 2, "\\Archive")                                                                                \
	X(IMAP_USE_DRAFTS, 4, "\\Drafts")                                                                                  \
	X(IMAP_USE_FLAGGED, 8, "\\Flagged")                                                                                \
	X(IMAP_USE_JUNK, 16, "\\Junk")                                                                                     \
	X(IMAP_USE_SENT, 32, "\\Sent")                                                                                     \
	X(IMAP_USE_TRASH, 64, "\\Trash")

enum imap_use {
#define IMAP_USE_ENUM(use, bit, name) use = bit,
	IMAP_USE_LIST(IMAP_USE_ENUM)
#undef IMAP_USE_ENUM
};

struct imap_create {
	struct str mailbox; /* without the trailing separator that RFC 3501 6.3.3 allows */
	uint32_t use;       /* enum imap_use bits of USE (...) */
	bool unknown_use;   /* USE named another attribute: NO [USEATTR] */
};

struct imap_rename {
	struct str from, to;
};

/* bit, name on the wire */
#define IMAP_STATUS_LIST(X)                                                                                            \
	X(IMAP_STATUS_MESSAGES, 1, "MESSAGES")                                                                             \
	X(IMAP_STATUS_RECENT, 2, "RECENT")                                                                                 \
	X(IMAP_STATUS_UIDNEXT, 4, "UIDNEXT")                                                                               \
	X(IMAP_STATUS_UIDVALIDITY, 8, "UIDVALIDITY")                                                                       \
	X(IMAP_STATUS_UNSEEN, 16, "UNSEEN")                                                                                \
	X(IMAP_STATUS_SIZE, 32, "SIZE")                                                                                    \
	X(IMAP_STATUS_DELETED, 64, "DELETED")                                                                              \
	X(IMAP_STATUS_DELETED_STORAGE, 128, "DELETED-STORAGE")                                                             \
	X(IMAP_STATUS_HIGHESTMODSEQ, 256, "HIGHESTMODSEQ")                                                                 \
	X(IMAP_STATUS_MAILBOXID, 512, "MAILBOXID") /* RFC 8474 */                                                          \
	X(IMAP_STATUS_APPENDLIMIT, 1024, "APPENDLIMIT") /* RFC 7889 */

enum imap_status_item {
#define IMAP_STATUS_ENUM(item, bit, name) item = bit,
	IMAP_STATUS_LIST(IMAP_STATUS_ENUM)
#undef IMAP_STATUS_ENUM
};

struct imap_status {
	struct str mailbox;
	uint32_t items; /* enum imap_status_item bits */
};

/* bit, name: selection options of LIST (RFC 5258 section 3.1, RFC 6154) */
#define IMAP_LIST_SELECT_LIST(X)                                                                                       \
	X(IMAP_LIST_SELECT_SUBSCRIBED, 1, "SUBSCRIBED")                                                                    \
	X(IMAP_LIST_SELECT_REMOTE, 2, "REMOTE")                                                                            \
	X(IMAP_LIST_SELECT_RECURSIVEMATCH, 4, "RECURSIVEMATCH")                                                            \
	X(IMAP_LIST_SELECT_SPECIAL_USE, 8, "SPECIAL-USE")

/* bit, name: return options (RFC 5258 section 3.2, RFC 5819, RFC 6154) */
#define IMAP_LIST_RETURN_LIST(X)                                                                                       \
	X(IMAP_LIST_RETURN_SUBSCRIBED, 1, "SUBSCRIBED")                                                                    \
	X(IMAP_LIST_RETURN_CHILDREN, 2, "CHILDREN")                                                                        \
	X(IMAP_LIST_RETURN_SPECIAL_USE, 4, "SPECIAL-USE")                                                                  \
	X(IMAP_LIST_RETURN_STATUS, 8, "STATUS") /* with status_items */

#define IMAP_LIST_OPTION_ENUM(option, bit, name) option = bit,
enum imap_list_select { IMAP_LIST_SELECT_LIST(IMAP_LIST_OPTION_ENUM) };
enum imap_list_return { IMAP_LIST_RETURN_LIST(IMAP_LIST_OPTION_ENUM) };
#undef IMAP_LIST_OPTION_ENUM

struct imap_list { /* LIST, and LSUB without options */
	bool extended;   /* any of RFC 5258's forms was used */
	uint32_t select; /* enum imap_list_select bits */
	uint32_t returns; /* enum imap_list_return bits */
	uint32_t status_items; /* of RETURN (STATUS (...)) */
	struct str reference;         /* UTF-8 */
	struct imap_strings patterns; /* UTF-8, with % and *; at least 1. An empty one asks for the separator (6.3.8) */
};

/* What stands before each message of an APPEND (RFC 3502 allows several). */
struct imap_append_message {
	struct imap_flags flags;
	bool has_date;
	int64_t date;         /* seconds since 1970, UTC */
	int32_t zone_minutes; /* offset from UTC as written, -14:00 to +14:00 and the like */
	uint64_t size;        /* bytes that follow */
	bool synchronising;   /* the client waits for "+" before it sends them */
};

struct imap_append {
	struct str mailbox;
	uint32_t index; /* 0 for the command's first message */
	struct imap_append_message message; /* the one announced last */
};

struct imap_id_pair {
	struct str field;
	struct str value; /* p is NULL for NIL */
};

struct imap_id {
	struct imap_id_pair *pairs;
	uint32_t n; /* 0 for NIL */
};

/* ---- The command ---- */

struct imap_command {
	struct str tag;
	enum imap_command_kind kind;
	bool uid; /* UID FETCH, SEARCH, STORE, COPY, MOVE, EXPUNGE: kind is the command behind UID */
	/* Extension parameters of SELECT, EXAMINE, CREATE, RENAME, FETCH, STORE, SEARCH RETURN (...), without those that
	 * have members of their own. One that the server does not know must be answered with BAD: ignoring it would change
	 * what the command means. */
	struct imap_params params;
	union {
		struct imap_login login;
		struct imap_authenticate authenticate;
		struct str mailbox; /* DELETE SUBSCRIBE UNSUBSCRIBE GETQUOTAROOT */
		struct imap_select select; /* SELECT EXAMINE */
		struct str quota_root; /* GETQUOTA (RFC 9208) */
		struct imap_create create;
		struct imap_rename rename;
		struct imap_list list; /* LIST LSUB */
		struct imap_status status;
		struct imap_append append;
		struct imap_search search; /* SEARCH SORT THREAD */
		struct imap_fetch fetch;
		struct imap_store store;
		struct imap_copy copy;         /* COPY MOVE */
		struct imap_sequence expunge;  /* UID EXPUNGE */
		struct imap_id id;
		struct imap_strings enable;    /* capabilities, as sent */
	};
};

/* Mailbox names in commands are UTF-8 with separator '/', decoded from modified UTF-7, INBOX in capitals where it is
 * the whole name or its first component. Whether a name may be created is imap_name_check's question (imap_name.h). */

/* ---- Parsing ---- */

struct imap_limits {
	size_t line_bytes;     /* a command without its literals */
	size_t literal_bytes;  /* one literal, APPEND's messages aside */
	size_t command_bytes;  /* a command with its literals, APPEND's messages aside */
	size_t discard_bytes;  /* of a refused command: thrown away up to here, then the connection has to close */
	size_t arena_bytes;    /* what a parsed command may take beside its text */
	uint32_t list_items;   /* in any one list: flags, fetch items, patterns, search keys of one command */
	uint32_t set_ranges;   /* in one sequence set */
	uint32_t search_depth; /* nested keys */
	uint32_t part_depth;   /* numbers in one section */
};

/* Sane values for sessions after login; access gives itself less. */
#define IMAP_LIMITS_DEFAULT                                                                                            \
	{                                                                                                                  \
		.line_bytes = 65536, .literal_bytes = 65536, .command_bytes = 262144, .discard_bytes = 1048576,                \
		.arena_bytes = 2097152, .list_items = 4096, .set_ranges = 8192, .search_depth = 64, .part_depth = 100          \
	}

enum imap_error_answer {
	IMAP_ANSWER_BAD, /* syntax */
	IMAP_ANSWER_NO,  /* well-formed, but cannot be: NO [CANNOT] (a mailbox name that is not modified UTF-7) */
	IMAP_ANSWER_TOO_BIG, /* NO [TOOBIG] or [LIMIT]: over a limit */
};

struct imap_error {
	enum imap_error_answer answer;
	const char *message; /* static: "expected a mailbox name" */
	size_t offset;       /* byte of the command where it went wrong, literals included */
	struct str tag;      /* empty where it could not be read: answer with "*" */
};

/* Prints "expected a mailbox name at column 17" for people. */
void imap_error_print(const struct imap_error *error, struct buf *out);

/* Parses one whole command: the text without its last CRLF, with literals in place ("{3}\r\nabc" or "{3+}\r\nabc").
 * The arena's maximum bounds memory. ERR_SYNTAX or ERR_LIMIT, and *error says what; *out is then untouched.
 * APPEND is complete in front of its message: text ends after the "{n}" that announces it. */
int imap_parse(struct str text, const struct imap_limits *limits, struct arena *arena, struct imap_command *out,
	struct imap_error *error) MUST_CHECK;

/* The next message of a MULTIAPPEND: text is what stands after the one before, from its space to the "{n}" (without
 * CRLF). */
int imap_parse_append_more(struct str text, const struct imap_limits *limits, struct arena *arena,
	struct imap_append_message *out, struct imap_error *error) MUST_CHECK;

/* ---- Use and printing ---- */

/* The set as sorted ranges, '*' (and reversed ranges with it) resolved to max, the largest number in use; nothing is
 * clamped: numbers above max stay. With max 0 (nothing in use) ranges with '*' give nothing. *out is replaced. */
void imap_sequence_resolve(const struct imap_sequence *sequence, uint32_t max, struct set *out);

/* "2,4:7,*" as written. */
void imap_sequence_print(const struct imap_sequence *sequence, struct buf *out);

/* The bit of a system flag by its name (ASCII case aside), \Recent included; 0 if there is none. */
uint32_t imap_flag_from_name(struct str name);

/* "(\Seen $Forwarded)": system flags in the order of the list, then the keywords. */
void imap_flags_print(uint32_t system, const struct str *keywords, size_t n, struct buf *out);

/* "BODY[1.2.HEADER.FIELDS (From To)]", with "<offset>" behind it for a partial. */
void imap_section_print(const struct imap_section *section, bool partial, uint32_t offset, struct buf *out);

/* A whole command as a client could send it, strings as non-synchronising literals where they must be. APPEND ends
 * behind the "{n}". For tests and tools; no CRLF at the end. */
void imap_command_print(const struct imap_command *command, struct buf *out);

#endif
