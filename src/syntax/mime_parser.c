/* mime_parser.c: the streaming reader behind mime.h.
 *
 * The parser holds a stack of open parts, from the root to the part that the next line belongs to, and is either in
 * that part's header or in its body. It goes from line to line:
 *
 *     HEADER --empty line, or a line that is no header--> BODY     (end_header: classifies the part, which may open the
 *                                                                   message in it: HEADER again)
 *     HEADER, BODY --delimiter of an open multipart-->    HEADER   (close_above, then open_part: its next child)
 *     HEADER, BODY --close delimiter-->                   BODY     (close_above: epilogue of that multipart)
 *
 * Only two things are ever copied: the line that a chunk cut in two (bounded), and the values of fields of interest.
 * In bodies only the first bytes of a line are looked at; the facts about all bytes come from one vectorised pass.
 * Memory belongs to the parser. Nothing can fail: limits make things opaque or absent. */
#include "base/bytes16.h"
#include "base/checked.h"
#include "base/mem.h"
#include "syntax/header.h"
#include "syntax/header_lex.h"
#include "syntax/mime_fields.h"

#include <xxhash.h>

#define PARTS_FIRST_SIZE 8

/* So many times limits.depth, at least: the table of boundaries is mostly empty. */
#define SLOTS_PER_LEVEL 4

/* Fields of interest. X(symbol, name) in the order of struct mime_envelope first. */
#define FIELD_LIST(X)                                                                                                  \
	X(FIELD_DATE, "date")                                                                                              \
	X(FIELD_SUBJECT, "subject")                                                                                        \
	X(FIELD_FROM, "from")                                                                                              \
	X(FIELD_SENDER, "sender")                                                                                          \
	X(FIELD_REPLY_TO, "reply-to")                                                                                      \
	X(FIELD_TO, "to")                                                                                                  \
	X(FIELD_CC, "cc")                                                                                                  \
	X(FIELD_BCC, "bcc")                                                                                                \
	X(FIELD_IN_REPLY_TO, "in-reply-to")                                                                                \
	X(FIELD_MESSAGE_ID, "message-id")                                                                                  \
	X(FIELD_REFERENCES, "references")                                                                                  \
	X(FIELD_TYPE, "content-type")                                                                                      \
	X(FIELD_ENCODING, "content-transfer-encoding")                                                                     \
	X(FIELD_ID, "content-id")                                                                                          \
	X(FIELD_DESCRIPTION, "content-description")                                                                        \
	X(FIELD_MD5, "content-md5")                                                                                        \
	X(FIELD_DISPOSITION, "content-disposition")                                                                        \
	X(FIELD_LANGUAGE, "content-language")                                                                              \
	X(FIELD_LOCATION, "content-location")

enum field {
#define FIELD_ENUM(symbol, name) symbol,
	FIELD_LIST(FIELD_ENUM)
#undef FIELD_ENUM
	FIELD_NONE, /* of no interest, or over a limit */
};

enum state { STATE_HEADER, STATE_BODY };

/* To, Cc and Bcc may come several times and are joined here while the header is read. */
enum { JOINED_COUNT = FIELD_BCC - FIELD_TO + 1 };

struct open_part {
	uint32_t part;
	uint32_t last_child;   /* MIME_NONE before the first */
	uint64_t lines_before; /* the body's first line has so many line ends before it */
	struct str boundary;   /* of a multipart */
	uint64_t hash;         /* of the boundary */
	bool closed;           /* its close delimiter was seen */
};

struct mime_parser {
	struct mime_limits limits;
	struct arena arena;
	struct mime_message message;
	uint32_t parts_size;
	struct open_part *open; /* room for limits.depth */
	uint32_t n_open, n_multiparts;
	/* By hash: 1 + the innermost open multipart with that boundary, or 0. A line costs the same however many are open. */
	uint32_t *boundaries;
	uint32_t n_slots; /* a power of two */
	uint32_t params;  /* kept, of all parts */
	enum state state;
	bool opaque; /* over the limit of parts: no delimiter counts any more */

	uint64_t line_start;
	uint64_t line_length; /* of the line that is being carried; 0: at a line start */
	struct buf line;      /* what is kept of it */
	char last;            /* the last byte fed; 0 at the start */
	unsigned line_end;    /* length of the last line's end: 0, 1 or 2 */
	uint64_t lines;

	enum field field; /* being read into value */
	struct buf value;
	struct buf joined[JOINED_COUNT];
	uint32_t fields;
	uint64_t header_bytes, header_total;
	struct mime_raw_param *raw_params;
};

static struct mime_part *part_at(struct mime_parser *p, uint32_t index)
{
	return &p->message.parts[index];
}

static struct open_part *innermost(struct mime_parser *p)
{
	return &p->open[p->n_open - 1];
}

static struct mime_part *current_part(struct mime_parser *p)
{
	return part_at(p, innermost(p)->part);
}

/* Is there no room for another part? */
static bool has_all_parts(const struct mime_parser *p)
{
	return p->message.n_parts >= p->limits.parts ||
	       p->message.n_parts >= MIME_PARTS_BASE + p->line_start / MIME_BYTES_PER_PART;
}

/* Opens a child of the innermost open part (the root when there is none), whose header begins at `offset`. The caller
 * has looked at the limits. */
static void open_part(struct mime_parser *p, uint64_t offset)
{
	uint32_t index = p->message.n_parts++, parent = p->n_open ? innermost(p)->part : MIME_NONE;
	if (index == p->parts_size) {
		p->parts_size = MIN(MAX(2 * p->parts_size, (uint32_t)PARTS_FIRST_SIZE), p->limits.parts);
		p->message.parts = mem_resize(p->message.parts, p->parts_size, sizeof *p->message.parts);
	}
	struct mime_part *part = part_at(p, index);
	*part = (struct mime_part){ .parent = parent, .first_child = MIME_NONE, .next = MIME_NONE, .depth = p->n_open,
		                        .header_start = offset, .body_start = offset, .body_end = offset };
	if (p->n_open) {
		struct open_part *outer = innermost(p);
		if (outer->last_child == MIME_NONE)
			part_at(p, parent)->first_child = index;
		else
			part_at(p, outer->last_child)->next = index;
		outer->last_child = index;
	}
	if (parent == MIME_NONE || part_at(p, parent)->kind == MIME_MESSAGE)
		part->envelope = arena_alloc(&p->arena, 1, sizeof *part->envelope);
	p->open[p->n_open++] = (struct open_part){ .part = index, .last_child = MIME_NONE };
	p->state = STATE_HEADER;
	p->field = FIELD_NONE;
	p->fields = 0;
	p->header_bytes = 0;
}

/* ---- header ---- */

static enum field field_by_name(struct str name)
{
	static const struct str names[] = {
#define FIELD_NAME(symbol, text) STR_INIT(text),
		FIELD_LIST(FIELD_NAME)
#undef FIELD_NAME
	};
	for (int i = 0; i < FIELD_NONE; i++)
		if (name.n == names[i].n && ascii_lower(name.p[0]) == names[i].p[0] && str_ieq(name, names[i]))
			return (enum field)i;
	return FIELD_NONE;
}

static void join_addresses(struct buf *joined, struct str value)
{
	if (joined->n > 0)
		buf_add(joined, STR(", "));
	buf_add(joined, value);
	if (!joined->p) /* an empty field is there all the same */
		buf_reserve(joined, 1);
}

/* Where a field's text is kept; NULL for fields that are read into more than one place, and where the part has none. */
static struct str *place_of(struct mime_part *part, enum field field)
{
	struct mime_envelope *envelope = part->envelope;
	switch (field) {
	case FIELD_DATE: return envelope ? &envelope->date : NULL;
	case FIELD_SUBJECT: return envelope ? &envelope->subject : NULL;
	case FIELD_FROM: return envelope ? &envelope->from : NULL;
	case FIELD_SENDER: return envelope ? &envelope->sender : NULL;
	case FIELD_REPLY_TO: return envelope ? &envelope->reply_to : NULL;
	case FIELD_TO: return envelope ? &envelope->to : NULL;
	case FIELD_CC: return envelope ? &envelope->cc : NULL;
	case FIELD_BCC: return envelope ? &envelope->bcc : NULL;
	case FIELD_IN_REPLY_TO: return envelope ? &envelope->in_reply_to : NULL;
	case FIELD_MESSAGE_ID: return envelope ? &envelope->message_id : NULL;
	case FIELD_REFERENCES: return envelope ? &envelope->references : NULL;
	case FIELD_ID: return &part->id;
	case FIELD_DESCRIPTION: return &part->description;
	case FIELD_MD5: return &part->md5;
	case FIELD_LANGUAGE: return &part->language;
	case FIELD_LOCATION: return &part->location;
	case FIELD_TYPE:
	case FIELD_ENCODING:
	case FIELD_DISPOSITION:
	case FIELD_NONE: return NULL;
	}
	return NULL;
}

/* The field that was being read is complete: keeps what it says. Of equal fields the first one counts. */
static void finish_field(struct mime_parser *p)
{
	if (p->field == FIELD_NONE)
		return;
	struct mime_part *part = current_part(p);
	struct mime_field_memory memory = { &p->arena, p->raw_params,
		                            MIN(p->limits.params, (uint32_t)MIME_PARAMS_TOTAL - p->params) };
	struct str value = str_trim(buf_str(&p->value));
	struct str *place = place_of(part, p->field);
	p->params -= part->params.n + part->disposition_params.n;
	if (p->field == FIELD_TYPE && !part->type.p)
		mime_read_content_type(&memory, value, part);
	else if (p->field == FIELD_ENCODING && !part->encoding_name.p)
		mime_read_encoding(&memory, value, part);
	else if (p->field == FIELD_DISPOSITION && !part->disposition.p)
		mime_read_disposition(&memory, value, part);
	else if (place && p->field >= FIELD_TO && p->field <= FIELD_BCC)
		join_addresses(&p->joined[p->field - FIELD_TO], value);
	else if (place && !place->p)
		*place = mime_keep(&p->arena, value, false);
	p->params += part->params.n + part->disposition_params.n;
	p->field = FIELD_NONE;
	buf_clear(&p->value);
}

/* Counts the line against the limits; false when the header is to be ignored from here on. */
static bool header_line_allowed(struct mime_parser *p, uint64_t length)
{
	p->header_bytes += length;
	p->header_total += length;
	return p->header_bytes <= p->limits.header_bytes && p->header_total <= p->limits.header_total;
}

static void start_field(struct mime_parser *p, struct str line, size_t name_length, uint64_t length)
{
	finish_field(p);
	if (!header_line_allowed(p, length) || ++p->fields > p->limits.header_fields)
		return;
	p->field = field_by_name(str_first(line, name_length));
	if (p->field != FIELD_NONE)
		buf_add(&p->value, str_from(line, (size_t)str_find_byte(line, ':') + 1));
}

static void continue_field(struct mime_parser *p, struct str line, uint64_t length)
{
	if (!header_line_allowed(p, length)) {
		p->field = FIELD_NONE;
		buf_clear(&p->value);
	}
	if (p->field != FIELD_NONE)
		buf_add(&p->value, line);
}

/* Nobody outside knows where the parser lies, nor so which boundaries would meet in the table. */
static uint64_t hash_boundary(const struct mime_parser *p, struct str boundary)
{
	return XXH3_64bits_withSeed(boundary.p, boundary.n, (uintptr_t)p);
}

/* The place of this boundary in the table, or the free one for it. */
static uint32_t *slot_of(const struct mime_parser *p, struct str boundary, uint64_t hash)
{
	for (uint32_t i = (uint32_t)hash;; i++) {
		uint32_t *slot = &p->boundaries[i & (p->n_slots - 1)];
		const struct open_part *open = *slot ? &p->open[*slot - 1] : NULL;
		if (!open || (open->hash == hash && str_eq(open->boundary, boundary)))
			return slot;
	}
}

/* Call when a multipart was opened, closed or left. */
static void list_boundaries(struct mime_parser *p)
{
	memset(p->boundaries, 0, p->n_slots * sizeof *p->boundaries);
	for (uint32_t i = 0; i < p->n_open; i++) {
		const struct open_part *open = &p->open[i];
		if (part_at(p, open->part)->kind == MIME_MULTIPART && !open->closed)
			*slot_of(p, open->boundary, open->hash) = i + 1;
	}
}

static bool has_type(const struct mime_part *part, struct str type, struct str subtype)
{
	return str_eq(part->type, type) && (subtype.n == 0 || str_eq(part->subtype, subtype));
}

static void make_leaf(struct mime_part *part, struct str type, struct str subtype)
{
	part->kind = MIME_LEAF;
	part->type = type;
	part->subtype = subtype;
	part->params = (struct mime_params){ NULL, 0 };
}

/* Blanks at the end of a delimiter line are no part of the boundary (RFC 2046, 5.1.1). */
static struct str without_padding(struct str s)
{
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* What the part is, now that its header is read: sets the kind, and a multipart's boundary. */
static void classify(struct mime_parser *p)
{
	struct mime_part *part = current_part(p);
	struct open_part *open = innermost(p);
	if (!part->type.p) {
		/* RFC 2046, 5.1.5: in a digest the default is a message */
		bool digest = part->parent != MIME_NONE &&
		              has_type(part_at(p, part->parent), STR("multipart"), STR("digest"));
		part->type = digest ? STR("message") : STR("text");
		part->subtype = digest ? STR("rfc822") : STR("plain");
		part->type_assumed = true;
	}
	bool is_message = has_type(part, STR("message"), STR("rfc822")) || has_type(part, STR("message"), STR("global"));
	bool is_multipart = has_type(part, STR("multipart"), STR(""));
	if (!is_message && !is_multipart)
		return;
	if (is_multipart) {
		const struct mime_param *boundary = mime_param_find(&part->params, STR("boundary"));
		open->boundary = boundary ? without_padding(boundary->value) : STR("");
		if (open->boundary.n == 0 || open->boundary.n > MIME_BOUNDARY_MAX) {
			make_leaf(part, STR("text"), STR("plain"));
			return;
		}
	}
	if (p->n_open >= p->limits.depth || has_all_parts(p)) {
		make_leaf(part, STR("application"), STR("octet-stream"));
		return;
	}
	part->kind = is_message ? MIME_MESSAGE : MIME_MULTIPART;
	if (is_multipart) {
		p->n_multiparts++;
		open->hash = hash_boundary(p, open->boundary);
		list_boundaries(p);
	}
}

/* The header is complete: goes on to the body, and in a message to the header of the message inside. The body (if there
 * is one) begins at `offset`, behind so many line ends. */
static void end_header(struct mime_parser *p, uint64_t offset, uint64_t lines_before)
{
	finish_field(p);
	struct mime_part *part = current_part(p);
	for (int i = 0; i < JOINED_COUNT; i++) {
		if (p->joined[i].p)
			*place_of(part, FIELD_TO + i) = mime_keep(&p->arena, buf_str(&p->joined[i]), false);
		buf_free(&p->joined[i]);
	}
	part->body_start = offset;
	innermost(p)->lines_before = lines_before;
	p->state = STATE_BODY;
	classify(p);
	if (current_part(p)->kind == MIME_MESSAGE)
		open_part(p, offset);
}

/* ---- delimiters ---- */

/* Closes the open parts above `keep`, innermost first. Their bodies end before the line end at `cut`, which belongs to
 * the delimiter line that begins at `line_start`; but not before the end of what is inside them. */
static void close_above(struct mime_parser *p, uint32_t keep, uint64_t line_start, uint64_t cut)
{
	uint64_t inside_end = 0;
	bool left = false; /* a multipart */
	while (p->state == STATE_HEADER) /* a second time for the message inside */
		end_header(p, line_start, p->lines);
	while (p->n_open > keep) {
		struct open_part *open = innermost(p);
		struct mime_part *part = current_part(p);
		part->body_end = MAX(MAX(cut, part->body_start), inside_end);
		part->lines = part->body_end > part->body_start ? p->lines - open->lines_before : 0;
		if (part->body_end > part->body_start && part->body_end < line_start)
			part->lines--;
		if (part->kind == MIME_MULTIPART) {
			p->n_multiparts--;
			left = true;
			if (open->last_child == MIME_NONE)
				make_leaf(part, STR("text"), STR("plain"));
		}
		inside_end = part->body_end;
		p->n_open--;
	}
	if (left)
		list_boundaries(p);
	p->state = STATE_BODY;
}

static void close_multipart(struct mime_parser *p, uint32_t level)
{
	p->open[level].closed = true;
	list_boundaries(p);
}

/* RFC 2046, 5.1.1: "--" boundary ["--"] *blank. Finds the innermost open multipart whose line it is. */
static bool find_delimiter(struct mime_parser *p, struct str line, uint64_t length, uint32_t *level, bool *closing)
{
	if (p->n_multiparts == 0 || p->opaque || !str_starts(line, STR("--")) || length > MIME_DELIMITER_LINE_MAX)
		return false;
	line = without_padding(str_from(line, 2));
	struct str ended = str_ends(line, STR("--")) ? str_first(line, line.n - 2) : STR("");
	uint32_t opened = *slot_of(p, line, hash_boundary(p, line));
	uint32_t closed = ended.n ? *slot_of(p, ended, hash_boundary(p, ended)) : 0;
	if (opened == 0 && closed == 0)
		return false;
	*level = MAX(opened, closed) - 1;
	*closing = closed > opened;
	return true;
}

/* Acts on the line if it is a delimiter; with too many parts it becomes the first line of the opaque rest. `end` is
 * where the line after it begins. */
static bool take_delimiter(struct mime_parser *p, struct str line, uint64_t length, uint64_t end)
{
	uint32_t level;
	bool closing;
	if (!find_delimiter(p, line, length, &level, &closing))
		return false;
	if (!closing && p->state == STATE_HEADER && level + 2 == p->n_open &&
	    p->line_start == current_part(p)->header_start) {
		current_part(p)->header_start = end; /* the same delimiter twice, with not even an empty line between */
		return true;
	}
	while (p->state == STATE_HEADER) /* a second time for the message inside */
		end_header(p, p->line_start, p->lines);
	if (!closing && has_all_parts(p)) {
		p->opaque = true;
		return true;
	}
	close_above(p, level + 1, p->line_start, p->line_start - p->line_end);
	if (closing)
		close_multipart(p, level);
	else
		open_part(p, end);
	return true;
}

/* ---- lines ---- */

/* False when the line ended the header without belonging to it. */
static bool take_header_line(struct mime_parser *p, struct str line, uint64_t length, uint64_t end)
{
	if (length == 0) {
		end_header(p, end, p->lines + 1);
		return true;
	}
	if (take_delimiter(p, line, length, end))
		return true;
	bool goes_on = line.p[0] == ' ' || line.p[0] == '\t';
	size_t name_length = goes_on ? 0 : header_name_length(line);
	if (goes_on) {
		continue_field(p, line, length);
	} else if (name_length > 0) {
		start_field(p, line, name_length, length);
	} else if (line.p[0] == ':' || str_starts(line, STR("From ")) || str_starts(line, STR(">From "))) {
		finish_field(p); /* and skip it */
	} else {
		end_header(p, p->line_start, p->lines);
		return false;
	}
	return true;
}

/* One line, without its line end: `length` bytes, of which `line` holds the first ones. */
static void take_line(struct mime_parser *p, struct str line, uint64_t length, unsigned line_end)
{
	uint64_t end = p->line_start + length + line_end;
	bool taken = false;
	if (length > 0 && line.p[0] == '.')
		p->message.needs_dot_stuffing = true;
	/* a line that ended a header can belong to the header of the message inside */
	while (!taken && p->state == STATE_HEADER)
		taken = take_header_line(p, line, length, end);
	if (!taken)
		take_delimiter(p, line, length, end);
	p->line_start = end;
	p->line_end = line_end;
	p->lines += line_end > 0;
}

/* So many bytes of a line that a chunk cuts are kept. */
static size_t line_keep_max(const struct mime_parser *p, char first)
{
	if (p->state == STATE_HEADER)
		return p->line.max;
	return first == '-' ? MIME_DELIMITER_LINE_MAX + 2 : 1;
}

static void keep_line(struct mime_parser *p, struct str bytes)
{
	size_t max = line_keep_max(p, p->line.n ? p->line.p[0] : bytes.p[0]);
	buf_add(&p->line, str_first(bytes, max - MIN(p->line.n, max)));
}

/* A whole line with its line feed, or the end of one that is being carried, or (ends: false) a piece of one. */
static void take_piece(struct mime_parser *p, struct str piece, bool ends)
{
	if (p->line_length > 0 || !ends)
		keep_line(p, piece);
	p->line_length += piece.n;
	if (!ends)
		return;
	char before = piece.n > 1 ? piece.p[piece.n - 2] : p->line_length > 1 ? p->last : '\0';
	unsigned line_end = before == '\r' ? 2 : 1;
	uint64_t length = p->line_length - line_end;
	struct str line = p->line.n > 0 ? buf_str(&p->line) : str_first(piece, p->line.max);
	take_line(p, str_first(line, (size_t)length), length, line_end);
	p->line_length = 0;
	buf_clear(&p->line);
}

/* Passes over whole lines of a body that can be no delimiter; returns where that ends. */
static const char *skip_body_lines(struct mime_parser *p, const char *at, const char *end)
{
	const char *start = at;
	bool delimiters = p->n_multiparts > 0 && !p->opaque, dot = false;
	while (at < end && !(delimiters && at[0] == '-' && (end - at == 1 || at[1] == '-'))) {
		const char *feed = memchr(at, '\n', (size_t)(end - at));
		if (!feed)
			break;
		dot |= at[0] == '.';
		p->line_end = feed > at && feed[-1] == '\r' ? 2 : 1;
		p->lines++;
		at = feed + 1;
	}
	p->message.needs_dot_stuffing |= dot;
	p->line_start += (uint64_t)(at - start);
	return at;
}

/* NUL, 8-bit bytes, and CR and LF that are not each other's neighbour. One pass over all bytes, 16 at a time. */
static void note_bytes(struct mime_parser *p, struct str s)
{
	bytes16 nul = { 0 }, high = { 0 }, bare = { 0 };
	bool is_nul = s.p[0] == '\0', is_high = (s.p[0] & 0x80) != 0, is_bare = (s.p[0] == '\n') != (p->last == '\r');
	size_t i = 1;
	for (; i + 16 <= s.n; i += 16) {
		bytes16 v = load16(s.p + i), before = load16(s.p + i - 1);
		nul |= (bytes16)(v == 0);
		high |= v & 0x80;
		bare |= (bytes16)(v == '\n') ^ (bytes16)(before == '\r');
	}
	for (; i < s.n; i++) {
		is_nul |= s.p[i] == '\0';
		is_high |= (s.p[i] & 0x80) != 0;
		is_bare |= (s.p[i] == '\n') != (s.p[i - 1] == '\r');
	}
	p->message.has_nul |= is_nul || any16(nul);
	p->message.has_8bit |= is_high || any16(high);
	p->message.pure_crlf &= !is_bare && !any16(bare);
}

void mime_parser_feed(struct mime_parser *p, struct str chunk)
{
	if (chunk.n == 0)
		return;
	note_bytes(p, chunk);
	p->message.size += chunk.n;
	const char *at = chunk.p, *end = chunk.p + chunk.n;
	while (at < end) {
		if (p->state == STATE_BODY && p->line_length == 0)
			at = skip_body_lines(p, at, end);
		if (at == end)
			break;
		const char *feed = memchr(at, '\n', (size_t)(end - at));
		size_t n = feed ? (size_t)(feed - at) + 1 : (size_t)(end - at);
		take_piece(p, str_of(at, n), feed != NULL);
		at += n;
	}
	p->last = end[-1];
}

const struct mime_message *mime_parser_finish(struct mime_parser *p)
{
	if (p->line_length > 0) /* the last line has no line end */
		take_line(p, buf_str(&p->line), p->line_length, 0);
	p->line_length = 0;
	if (p->last == '\r')
		p->message.pure_crlf = false;
	close_above(p, 0, p->message.size, p->message.size);
	p->message.lines = p->lines;
	p->message.header_size = part_at(p, 0)->body_start;
	return &p->message;
}

static void start(struct mime_parser *p)
{
	p->message.addresses_max = p->limits.addresses;
	p->message.pure_crlf = true;
	open_part(p, 0);
}

/* What parts and fields can need at the very most; reached only by messages made for it. */
static size_t arena_max(const struct mime_limits *limits)
{
	size_t param = sizeof(struct mime_param) + 4 * _Alignof(max_align_t) * 2;
	size_t part = sizeof(struct mime_envelope) + 2 * limits->params * param + 32 * _Alignof(max_align_t);
	return limits->parts * part + 4 * (size_t)limits->header_total + 65536;
}

struct mime_parser *mime_parser_new(const struct mime_limits *limits)
{
	struct mime_parser *p = mem_alloc(1, sizeof *p);
	p->limits = *limits;
	p->limits.parts = MAX(p->limits.parts, 1u);
	p->limits.depth = MAX(p->limits.depth, 1u);
	p->arena = ARENA_INIT(arena_max(&p->limits));
	p->open = mem_alloc(p->limits.depth, sizeof *p->open);
	for (p->n_slots = 1; p->n_slots / SLOTS_PER_LEVEL < p->limits.depth; p->n_slots *= 2)
		;
	p->boundaries = mem_alloc(p->n_slots, sizeof *p->boundaries);
	p->raw_params = mem_alloc(MAX(p->limits.params, 1u), sizeof *p->raw_params);
	p->line = BUF_INIT(MAX((size_t)p->limits.header_bytes, (size_t)MIME_DELIMITER_LINE_MAX) + 2);
	p->value = BUF_INIT(p->limits.header_bytes);
	for (int i = 0; i < JOINED_COUNT; i++)
		p->joined[i] = BUF_INIT(2 * (size_t)p->limits.header_bytes);
	start(p);
	return p;
}

void mime_parser_reset(struct mime_parser *p)
{
	arena_free(&p->arena);
	buf_clear(&p->line);
	buf_clear(&p->value);
	for (int i = 0; i < JOINED_COUNT; i++)
		buf_free(&p->joined[i]);
	p->message = (struct mime_message){ .parts = p->message.parts };
	p->n_open = p->n_multiparts = p->params = 0;
	p->opaque = false;
	p->line_start = p->line_length = p->lines = p->header_total = 0;
	p->last = '\0';
	p->line_end = 0;
	start(p);
}

size_t mime_parser_memory(const struct mime_parser *p)
{
	size_t n = sizeof *p + p->limits.depth * sizeof *p->open + p->n_slots * sizeof *p->boundaries +
	           p->limits.params * sizeof *p->raw_params +
	           p->parts_size * sizeof *p->message.parts + p->arena.used + p->line.size + p->value.size;
	for (int i = 0; i < JOINED_COUNT; i++)
		n += p->joined[i].size;
	return n;
}

void mime_parser_free(struct mime_parser **parser)
{
	struct mime_parser *p = *parser;
	if (!p)
		return;
	arena_free(&p->arena);
	buf_free(&p->line);
	buf_free(&p->value);
	for (int i = 0; i < JOINED_COUNT; i++)
		buf_free(&p->joined[i]);
	mem_free(p->message.parts);
	mem_free(p->raw_params);
	mem_free(p->boundaries);
	mem_free(p->open);
	mem_free(p);
	*parser = NULL;
}
