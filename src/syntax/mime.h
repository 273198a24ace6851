/* mime.h: messages (RFC 5322, 2045-2047, 2231, 6532) read as they come, in pieces cut anywhere, never changed, never
 * refused. Bodies are not held: what comes out is a tree of parts with their byte ranges, and the few header fields
 * that describe them. Memory is bounded by struct mime_limits, time is linear in the size of the message.
 *
 * How broken mail is read:
 * - A line ends at LF; CR before it belongs to the line end. A bare CR is text.
 * - The header ends at an empty line, or before the first line that cannot belong to a header (that line starts the
 *   body). A "From " line (mbox) in a header is skipped.
 * - A multipart without a (non-empty) boundary, or in which no part begins, is a text/plain leaf.
 * - A missing close delimiter is made up by the end of what is around it. Delimiters match as whole lines, blanks
 *   behind them aside, the innermost first; a delimiter of an outer multipart ends all inside it. After its close
 *   delimiter a multipart has only epilogue.
 * - A delimiter repeated at once begins one part, not two.
 * - The first of several equal fields counts; To, Cc and Bcc are joined (RFC 5322, 4.5.3).
 * - Over the limits of depth or parts, the rest is one opaque leaf. Over the limits of header bytes or fields, further
 *   fields are ignored (their bytes belong to the header all the same); so are parameters over their limits. */
#ifndef SYNTAX_MIME_H
#define SYNTAX_MIME_H

#include "base/arena.h"
#include "base/buf.h"

struct mime_limits {
	uint32_t depth;         /* levels of multipart and message inside each other */
	uint32_t parts;         /* in the whole message, at least 1 */
	uint32_t header_fields; /* read per header */
	uint32_t header_bytes;  /* read per header */
	uint32_t header_total;  /* bytes read over all headers */
	uint32_t params;        /* per field */
	uint32_t addresses;     /* per envelope field */
};

#define MIME_LIMITS_DEFAULT                                                                                            \
	((struct mime_limits){ .depth = 50, .parts = 1000, .header_fields = 1000, .header_bytes = 256 * 1024,              \
	                       .header_total = 1024 * 1024, .params = 64, .addresses = 5000 })

/* Parameters of all parts of a message; further ones are not read. */
#define MIME_PARAMS_TOTAL 10000

/* Parts grow with the message: of its first n bytes, at most MIME_PARTS_BASE and one for each MIME_BYTES_PER_PART. Real
 * parts are longer; seven bytes for each would make a hundred of what is kept of the message. */
#define MIME_PARTS_BASE     20
#define MIME_BYTES_PER_PART 32

/* What all addresses together take of an ENVELOPE, or of a BODYSTRUCTURE with the envelopes in it: so many bytes, and
 * for each of the message so many more, never over the maximum. Those for which there is no room are left out, from the
 * end of the message on. An address of eleven bytes ("joe@ab.com,") takes 26. */
#define MIME_ADDRESSES_BASE     1024
#define MIME_ADDRESSES_PER_BYTE 4
#define MIME_ADDRESSES_MAX      (512 * 1024)

/* Longer boundaries, and delimiter lines with more padding, are not seen as such (RFC 2046, 5.1.1 allows 70). */
#define MIME_BOUNDARY_MAX       8000
#define MIME_DELIMITER_LINE_MAX 10000

#define MIME_NONE UINT32_MAX /* no such part */

enum mime_kind { MIME_LEAF, MIME_MULTIPART, MIME_MESSAGE };

#define MIME_ENCODING_LIST(X)                                                                                          \
	X(MIME_ENCODING_7BIT, "7bit")                                                                                      \
	X(MIME_ENCODING_8BIT, "8bit")                                                                                      \
	X(MIME_ENCODING_BINARY, "binary")                                                                                  \
	X(MIME_ENCODING_QUOTED_PRINTABLE, "quoted-printable")                                                              \
	X(MIME_ENCODING_BASE64, "base64")                                                                                  \
	X(MIME_ENCODING_OTHER, "")

enum mime_encoding {
#define MIME_ENCODING_ENUM(name, text) name,
	MIME_ENCODING_LIST(MIME_ENCODING_ENUM)
#undef MIME_ENCODING_ENUM
};

/* One parameter of Content-Type or Content-Disposition, RFC 2231 undone: sections joined, percent signs decoded. */
struct mime_param {
	struct str name;     /* lower case, without '*' */
	struct str value;    /* bytes in `charset` if that is set, else as written, quoting undone */
	struct str charset;  /* p is NULL unless the value was in the extended form */
	struct str language; /* likewise */
	bool rewritten;      /* that form, or sections: the value stands nowhere as it is here */
};

struct mime_params {
	struct mime_param *list;
	uint32_t n;
};

/* Header fields of a message, unfolded and trimmed, otherwise raw; p is NULL when the field is absent. */
struct mime_envelope {
	struct str date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id, references;
};

/* The parts stand in one array in pre-order. The root is part 0. A MIME_MESSAGE has one child: the root of the message
 * inside it, whose header begins where the MIME_MESSAGE's body begins. */
struct mime_part {
	enum mime_kind kind;
	enum mime_encoding encoding;
	uint32_t parent, first_child, next; /* indexes, MIME_NONE where there is none */
	uint32_t depth;                     /* 0 for the root */
	uint64_t header_start, body_start, body_end; /* byte offsets; the line end before a delimiter is not in the body */
	uint64_t lines;                     /* line ends in the body */

	struct str type, subtype;           /* lower case, never empty; what the part is taken for (see above) */
	bool type_assumed;                  /* Content-Type is absent or invalid: the type is a default */
	struct mime_params params;
	struct str encoding_name;           /* lower case; p is NULL when absent: 7bit */
	struct str id, description, md5, location, language; /* raw fields; p is NULL when absent */
	struct str disposition;             /* lower case; p is NULL when absent */
	struct mime_params disposition_params;
	struct mime_envelope *envelope;     /* of a message's root: part 0 and children of MIME_MESSAGE; else NULL */
};

struct mime_message {
	struct mime_part *parts;
	uint32_t n_parts; /* at least 1 */
	uint32_t addresses_max; /* limits.addresses, for printing */
	uint64_t size, lines;
	uint64_t header_size;  /* of the top header, blank line included */
	bool pure_crlf;        /* no CR without LF, no LF without CR */
	bool has_nul, has_8bit;
	bool needs_dot_stuffing; /* a line begins with '.' (RFC 5321, 4.5.2) */
};

struct mime_parser;

/* A parser for one message; freed by its owner. */
struct mime_parser *mime_parser_new(const struct mime_limits *limits) __attribute__((returns_nonnull));
void mime_parser_free(struct mime_parser **parser);

/* Makes it ready for another message; what the last one gave is gone. */
void mime_parser_reset(struct mime_parser *parser);

/* The next bytes of the message, cut anywhere. */
void mime_parser_feed(struct mime_parser *parser, struct str chunk);

/* The message is over. The result lives until the parser is reset or freed. No mime_parser_feed after it. */
const struct mime_message *mime_parser_finish(struct mime_parser *parser) __attribute__((returns_nonnull));

/* Bytes of memory that the parser holds now. */
size_t mime_parser_memory(const struct mime_parser *parser);

/* The parameter of that name (lower case), or NULL. */
const struct mime_param *mime_param_find(const struct mime_params *params, struct str name);

/* The parameters of one field, Content-Disposition or else Content-Type, unfolded; they live in the arena. What its maximum
 * leaves no room for is missing. */
struct mime_params mime_field_params(struct str body, bool disposition, struct arena *arena);

/* ENVELOPE (RFC 3501, 7.4.2) of a part that has one. Values are printed raw (unfolded, encoded words kept; 8-bit as
 * imap_print.h says). Sender and Reply-To without any address are From. An address without domain has the host "",
 * since NIL would make it a group. */
void envelope_print(const struct mime_message *message, uint32_t part, struct buf *out);

/* BODYSTRUCTURE (extended) or BODY of the message. Parameters in the extended form of RFC 2231 are printed as
 * "name*" "charset'language'%xx", with sections joined, which is 7-bit and what clients of RFC 3501 read.
 * message/global has no envelope here: RFC 3501 gives that form to message/rfc822 alone. */
void bodystructure_print(const struct mime_message *message, bool extended, struct buf *out);

/* The message as one opaque leaf with the same envelope (which may be set to NULL): a few hundred bytes in each form but
 * ENVELOPE, for when the whole is more than can be kept. It lives in *room and as long as `message`. */
struct mime_whole {
	struct mime_message message;
	struct mime_part part;
};
const struct mime_message *mime_as_one_part(const struct mime_message *message, struct mime_whole *room)
	__attribute__((returns_nonnull));

/* The tree with its ranges, for mime_parts_find and for storing. */
void mime_encode_parts(const struct mime_message *message, struct buf *out);

enum mime_section {
	MIME_SECTION_WHOLE,  /* BODY[], BODY[1.2]: the message, or the body of a part */
	MIME_SECTION_HEADER, /* BODY[HEADER], BODY[3.HEADER]: only of a message */
	MIME_SECTION_TEXT,   /* BODY[TEXT], BODY[3.TEXT]: only of a message */
	MIME_SECTION_MIME,   /* BODY[1.MIME]: only of a part */
};

struct mime_range {
	uint64_t offset, n;
};

/* The bytes of a section by the numbering of RFC 3501, 6.4.5. ERR_NOT_FOUND when the message has no such section;
 * ERR_CORRUPT when `encoded` is not what mime_encode_parts wrote. A range never passes the message's size. */
int mime_parts_find(struct str encoded, const uint32_t *path, size_t n, enum mime_section want,
                    struct mime_range *out) MUST_CHECK;

/* What lies behind `from` of the first header that ends behind it: the message's own, then those of its parts and of messages
 * in it, in order. ERR_NOT_FOUND: no header ends there; ERR_CORRUPT as above. */
int mime_parts_header(struct str encoded, uint64_t from, struct mime_range *out) MUST_CHECK;

#endif
