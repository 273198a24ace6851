/* mail.c: a message comes in: parsed once, here, into everything that replies are copied from later, and handed to
 * the store. The reader is its owner's and holds nothing between messages. Nothing is written before the whole
 * message was read and found acceptable. */
#include "mail/mail.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "mail/mail_derive.h"
#include "store/transfer.h"
#include "syntax/header.h"

#include <errno.h>
#include <unistd.h>
#include <xxhash.h>

#define READ_CHUNK        (256 * 1024)
#define DERIVED_MAX       (1024 * 1024)     /* each form of one message; of one with more a smaller form is kept */
#define KEPT_HEADERS_MAX  8192              /* a larger selection is read from the message when it is asked for */
#define HEADER_READ_MAX   DERIVE_HEADER_MAX
#define FOREVER           UINT64_MAX

struct mail_reader {
	struct mime_limits limits;
	struct mime_parser *parser;
	struct buf envelope, structure, body, parts, headers;
};

/* What clients ask for when they show a list of messages, and to thread it. */
static const struct str kept_headers[] = {
	STR_INIT("Date"),       STR_INIT("Subject"),     STR_INIT("From"),         STR_INIT("Sender"),
	STR_INIT("Reply-To"),   STR_INIT("To"),          STR_INIT("Cc"),           STR_INIT("Bcc"),
	STR_INIT("Message-ID"), STR_INIT("In-Reply-To"), STR_INIT("References"),   STR_INIT("Content-Type"),
	STR_INIT("Priority"),   STR_INIT("X-Priority"),  STR_INIT("Importance"),   STR_INIT("Newsgroups"),
	STR_INIT("List-Id"),    STR_INIT("List-Post"),   STR_INIT("Mailing-List"),
};

bool mail_headers_are_kept(const struct str *names, size_t n_names)
{
	for (size_t i = 0; i < n_names; i++) {
		bool found = false;
		for (size_t k = 0; k < COUNT_OF(kept_headers) && !found; k++)
			found = str_ieq(names[i], kept_headers[k]);
		if (!found)
			return false;
	}
	return true;
}

struct mail_reader *mail_reader_new(const struct mime_limits *limits)
{
	struct mail_reader *reader = mem_alloc(1, sizeof *reader);
	*reader = (struct mail_reader){ *limits, mime_parser_new(limits), BUF_INIT(DERIVED_MAX), BUF_INIT(DERIVED_MAX),
		                        BUF_INIT(DERIVED_MAX), BUF_INIT(DERIVED_MAX), BUF_INIT(DERIVED_MAX) };
	return reader;
}

void mail_reader_free(struct mail_reader **pointer)
{
	struct mail_reader *reader = *pointer;
	*pointer = NULL;
	if (!reader)
		return;
	mime_parser_free(&reader->parser);
	buf_free(&reader->envelope);
	buf_free(&reader->structure);
	buf_free(&reader->body);
	buf_free(&reader->parts);
	buf_free(&reader->headers);
	mem_free(reader);
}

/* --- reading --- */

/* A file that is shorter than its sender said is ERR_IO too. */
static int read_source(const struct mail_source *source, uint64_t at, char *to, size_t n)
{
	return file_read_exactly(source->fd, source->start + at, to, n) < 0 ? ERR_IO : 0;
}

/* `last`: the last two bytes of what came before this piece; afterwards of all. */
static void feed_piece(struct mime_parser *parser, struct str piece, char last[2])
{
	mime_parser_feed(parser, piece);
	if (piece.n >= 2)
		last[0] = piece.p[piece.n - 2];
	else if (piece.n == 1)
		last[0] = last[1];
	if (piece.n >= 1)
		last[1] = piece.p[piece.n - 1];
}

/* A message on its way through the parser. */
struct feeding {
	char last[2]; /* its last two bytes so far */
	uint64_t done; /* bytes of the file */
	/* Of a file, NULL without one: whoever sent it still has its descriptor and could change it before it is stored. */
	XXH3_state_t *sum;
};

/* All of it but a file. */
static void feed_begin(struct feeding *feeding, struct mime_parser *parser, const struct mail_source *source)
{
	*feeding = (struct feeding){ .done = 0 };
	mime_parser_reset(parser);
	feed_piece(parser, source->head, feeding->last);
	if (source->fd < 0) {
		feed_piece(parser, source->bytes, feeding->last);
		return;
	}
	feeding->sum = XXH3_createState();
	if (!feeding->sum)
		abort(); /* out of memory, as mem_alloc */
	XXH3_64bits_reset(feeding->sum);
	XXH3_64bits_update(feeding->sum, source->head.p, source->head.n);
}

static bool feed_is_over(const struct feeding *feeding, const struct mail_source *source)
{
	return source->fd < 0 || feeding->done == source->length;
}

/* The file's next pieces, at least one, until it is over or the time (clock_monotonic_us). */
static int feed_more(struct feeding *feeding, struct mime_parser *parser, const struct mail_source *source,
                     uint64_t end_us)
{
	char *chunk = mem_alloc_unset(READ_CHUNK);
	bool more = !feed_is_over(feeding, source);
	int result = 0;
	while (more && result == 0) {
		size_t n = (size_t)MIN(source->length - feeding->done, (uint64_t)READ_CHUNK);
		result = read_source(source, feeding->done, chunk, n);
		if (result == 0) {
			feed_piece(parser, str_of(chunk, n), feeding->last);
			XXH3_64bits_update(feeding->sum, chunk, n);
			feeding->done += n;
		}
		more = !feed_is_over(feeding, source) && (end_us == FOREVER || clock_monotonic_us() < end_us);
	}
	mem_free(chunk);
	return result;
}

static void feed_end(struct feeding *feeding, uint64_t *checksum)
{
	if (!feeding->sum)
		return;
	*checksum = XXH3_64bits_digest(feeding->sum);
	XXH3_freeState(feeding->sum);
	feeding->sum = NULL;
}

/* Selects the fields that a row keeps: of what stands above the client's message (a submission's Date and Message-ID
 * may be there), and of its own header. Both together are bounded: whoever has the message back (row_check.c) cannot tell
 * one from the other. */
static int keep_headers(const struct mail_source *source, const struct mime_message *message, struct buf *out)
{
	uint64_t n = message->header_size > source->head.n ? message->header_size - source->head.n : 0;
	if (message->header_size > HEADER_READ_MAX)
		return 0;
	struct str above = str_first(source->head, (size_t)MIN(message->header_size, (uint64_t)source->head.n));
	header_fields_select(above, kept_headers, COUNT_OF(kept_headers), false, out);
	if (source->fd < 0) {
		header_fields_select(str_first(source->bytes, (size_t)n), kept_headers, COUNT_OF(kept_headers), false, out);
	} else {
		char *block = mem_alloc_unset(HEADER_READ_MAX);
		int result = read_source(source, 0, block, (size_t)MIN(n, source->length));
		if (result == 0)
			header_fields_select(str_of(block, (size_t)MIN(n, source->length)), kept_headers, COUNT_OF(kept_headers),
			                     false, out);
		mem_free(block);
		if (result < 0)
			return result;
	}
	if (out->n > KEPT_HEADERS_MAX || out->failed)
		buf_clear(out);
	return 0;
}

/* The forms of the tree. False: one of them is too much. */
static bool print_tree(struct mail_reader *reader, const struct mime_message *message)
{
	buf_clear(&reader->structure);
	buf_clear(&reader->body);
	buf_clear(&reader->parts);
	bodystructure_print(message, true, &reader->structure);
	bodystructure_print(message, false, &reader->body);
	mime_encode_parts(message, &reader->parts);
	return !reader->structure.failed && !reader->body.failed && !reader->parts.failed;
}

/* What is too much is kept in a smaller form: a message is never refused for what is derived of it, since it may be one
 * that is stored already. */
static void print_forms(struct mail_reader *reader, const struct mime_message *message)
{
	struct mime_whole whole;
	if (!print_tree(reader, message))
		print_tree(reader, mime_as_one_part(message, &whole)); /* a few hundred bytes */
	buf_clear(&reader->envelope);
	envelope_print(message, 0, &reader->envelope);
	if (!reader->envelope.failed)
		return;
	mime_as_one_part(message, &whole);
	whole.part.envelope = NULL;
	buf_clear(&reader->envelope);
	envelope_print(&whole.message, 0, &reader->envelope);
}

/* Everything that is kept of the message beside its bytes; slices point into the reader. ERR_IO. */
static int derive(struct mail_reader *reader, const struct mail_source *source, const struct mime_message *message,
                  struct message_derived *out)
{
	buf_clear(&reader->headers);
	print_forms(reader, message);
	int result = keep_headers(source, message, &reader->headers);
	*out = (struct message_derived){ buf_str(&reader->envelope), buf_str(&reader->structure), buf_str(&reader->body),
		                         buf_str(&reader->parts), buf_str(&reader->headers) };
	return result;
}

static uint32_t traits_of(const struct mime_message *message, const char last[2])
{
	uint32_t traits = 0;
	if (message->needs_dot_stuffing)
		traits |= MESSAGE_NEEDS_STUFFING;
	if (message->has_8bit)
		traits |= MESSAGE_8BIT;
	if (!message->pure_crlf)
		traits |= MESSAGE_BARE_LINE_ENDS;
	if (last[0] != '\r' || last[1] != '\n')
		traits |= MESSAGE_ENDS_WITHOUT_CRLF;
	return traits;
}

/* --- into a mailbox --- */

static int resolve_keywords(struct mailbox *mailbox, const struct mail_settings *settings,
                            const struct mail_facts *facts, struct keyword_bits *out)
{
	*out = (struct keyword_bits){ { 0 } };
	for (size_t i = 0; i < facts->n_keywords; i++) {
		uint32_t bit;
		int result = keyword_add(mailbox, facts->keywords[i], settings->max_keywords, &bit);
		if (result < 0)
			return result;
		out->word[bit / 64] |= UINT64_C(1) << (bit % 64);
	}
	return 0;
}

/* All of it was fed. */
static int examined(struct mail_reader *reader, const struct mail_source *source, const char last[2],
                    struct message_arrival *out)
{
	const struct mime_message *message = mime_parser_finish(reader->parser);
	out->size = message->size;
	out->traits = traits_of(message, last);
	out->header_size = (uint32_t)MIN(message->header_size, (uint64_t)UINT32_MAX);
	out->lines = message->lines;
	int result = derive(reader, source, message, &out->derived);
	return result == 0 && message->has_nul ? ERR_SYNTAX : result;
}

struct mail_reader *mail_reader_like(const struct mail_reader *reader)
{
	return mail_reader_new(&reader->limits);
}

void mail_derive_begin(struct mail_reader *reader, char last[2])
{
	mime_parser_reset(reader->parser);
	last[0] = last[1] = '\0';
}

void mail_derive_feed(struct mail_reader *reader, struct str piece, char last[2])
{
	feed_piece(reader->parser, piece, last);
}

int mail_derive_end(struct mail_reader *reader, struct str head, const char last[2], struct message_arrival *out)
{
	return examined(reader, &(struct mail_source){ .bytes = head, .fd = -1 }, last, out);
}

int mail_examine(struct mail_reader *reader, const struct mail_source *source, struct message_arrival *out)
{
	struct feeding feeding;
	uint64_t size;
	int result = 0;
	if (!checked_add(source->head.n, source->fd < 0 ? source->bytes.n : source->length, &size))
		return ERR_LIMIT;
	feed_begin(&feeding, reader->parser, source);
	if (!feed_is_over(&feeding, source))
		result = feed_more(&feeding, reader->parser, source, FOREVER);
	feed_end(&feeding, &out->checksum);
	return result == 0 ? examined(reader, source, feeding.last, out) : result;
}

/* --- in slices, ahead --- */

struct mail_intake {
	struct mail_reader *reader; /* its own: other messages come in between */
	struct feeding feeding;
	bool begun, examined;
	int result;                   /* of the examination, */
	struct message_arrival found; /* and what it found; derived: slices of the reader */
	struct placing *placing;      /* NULL: not begun, or the last copy belongs to a message now */
};

bool mail_is_large(const struct mail_source *source)
{
	return source->fd >= 0 && source->length > MAIL_LARGE;
}

struct mail_intake *mail_intake_new(const struct mail_settings *settings)
{
	struct mail_intake *intake = mem_alloc(1, sizeof *intake);
	intake->reader = mail_reader_new(&settings->reader->limits);
	return intake;
}

void mail_intake_free(struct mail_intake **pointer)
{
	struct mail_intake *intake = *pointer;
	uint64_t unused;
	*pointer = NULL;
	if (!intake)
		return;
	feed_end(&intake->feeding, &unused);
	placing_free(&intake->placing);
	mail_reader_free(&intake->reader);
	mem_free(intake);
}

/* A slice. What is wrong with it is told where it is asked for. */
static void examine_some(struct mail_intake *intake, const struct mail_source *source, uint64_t end_us)
{
	struct mime_parser *parser = intake->reader->parser;
	if (!intake->begun)
		feed_begin(&intake->feeding, parser, source);
	intake->begun = true;
	intake->result = feed_more(&intake->feeding, parser, source, end_us);
	if (intake->result == 0 && !feed_is_over(&intake->feeding, source))
		return;
	feed_end(&intake->feeding, &intake->found.checksum);
	if (intake->result == 0)
		intake->result = examined(intake->reader, source, intake->feeding.last, &intake->found);
	intake->examined = true;
}

/* What was found ahead of time, if it was. */
static int examine(struct mail_reader *reader, const struct mail_source *source, struct message_arrival *out)
{
	const struct mail_intake *intake = source->intake;
	if (!intake || !intake->examined)
		return mail_examine(reader, source, out);
	out->size = intake->found.size;
	out->traits = intake->found.traits;
	out->header_size = intake->found.header_size;
	out->lines = intake->found.lines;
	out->derived = intake->found.derived;
	out->checksum = intake->found.checksum;
	out->placing = intake->placing;
	return intake->result;
}

/* Whether it may come in, and all that is known of it but its keywords. `pieces` has room for two, and *out points to
 * them. */
static int admit(struct mailbox *mailbox, const struct mail_settings *settings, const struct mail_source *source,
                 const struct mail_facts *facts, bool strict, struct str *pieces, struct message_arrival *out)
{
	uint64_t size;
	pieces[0] = source->head;
	pieces[1] = source->bytes;
	*out = (struct message_arrival){ .pieces = pieces, .n_pieces = source->fd < 0 ? 2 : 1, .fd = source->fd,
		                         .file_length = source->length, .file_start = source->start,
		                         .internal_date = facts->internal_date, .zone_minutes = facts->zone_minutes,
		                         .flags = facts->flags };
	if (!checked_add(source->head.n, source->fd < 0 ? source->bytes.n : source->length, &size) ||
	    size > settings->max_message_size)
		return ERR_LIMIT;
	int result = examine(settings->reader, source, out);
	if (result == 0 && strict && (out->traits & MESSAGE_BARE_LINE_ENDS))
		result = ERR_SYNTAX;
	if (result == 0 && !account_has_room(mailbox_account(mailbox), 1, size))
		result = ERR_QUOTA;
	return result;
}

/* Everything that stands between a message and its row. */
static int prepare(struct mailbox *mailbox, const struct mail_settings *settings, const struct mail_source *source,
                   const struct mail_facts *facts, bool strict, struct str *pieces, struct message_arrival *out)
{
	int result = admit(mailbox, settings, source, facts, strict, pieces, out);
	return result == 0 ? resolve_keywords(mailbox, settings, facts, &out->keywords) : result;
}

static int ahead(struct mailbox *mailbox, const struct mail_settings *settings, const struct mail_source *source,
                 const struct mail_facts *facts, bool strict, uint64_t slice_us, bool *ready)
{
	struct mail_intake *intake = source->intake;
	uint64_t end_us = clock_monotonic_us() + slice_us;
	struct str pieces[2];
	struct message_arrival arrival;
	*ready = false;
	if (!intake->examined && source->length <= settings->max_message_size)
		examine_some(intake, source, end_us);
	if (!intake->examined && source->length <= settings->max_message_size)
		return 0;
	if (!intake->examined || admit(mailbox, settings, source, facts, strict, pieces, &arrival) < 0) {
		*ready = true; /* to be refused */
		return 0;
	}
	if (!intake->placing)
		intake->placing = placing_new(account_store(mailbox_account(mailbox)));
	return placing_step(intake->placing, mailbox_account(mailbox), mailbox_facts(mailbox)->name, &arrival, end_us,
	                    ready);
}

bool mail_intake_waits(const struct mail_intake *intake)
{
	return intake && intake->placing && placing_waits(intake->placing);
}

int mail_append_ahead(struct mailbox *mailbox, const struct mail_settings *settings, const struct mail_source *source,
                      const struct mail_facts *facts, uint64_t slice_us, bool *ready)
{
	return ahead(mailbox, settings, source, facts, false, slice_us, ready);
}

/* The copy is a message's now, or was for nothing. */
static void end_copy(const struct mail_source *source)
{
	if (source->intake)
		placing_free(&source->intake->placing);
}

static int append(struct mailbox *mailbox, const struct mail_settings *settings, const struct mail_source *source,
                  const struct mail_facts *facts, bool strict, uint32_t *uid)
{
	struct str pieces[2];
	struct message_arrival arrival;
	int result = prepare(mailbox, settings, source, facts, strict, pieces, &arrival);
	if (result == 0)
		result = mailbox_add(mailbox, &arrival, uid);
	end_copy(source);
	return result;
}

int mail_append_loose(struct mailbox *mailbox, const struct mail_settings *settings, const struct mail_source *source,
                      const struct mail_facts *facts, struct loose_entry *out)
{
	struct str pieces[2];
	struct message_arrival arrival;
	uint64_t number = 0;
	int result = prepare(mailbox, settings, source, facts, false, pieces, &arrival);
	if (result == 0)
		result = loose_message(mailbox_account(mailbox), mailbox_facts(mailbox)->name, &arrival, &number);
	end_copy(source);
	if (result == 0)
		*out = (struct loose_entry){ .message = number, .size = arrival.size, .flags = arrival.flags,
			                     .keywords = arrival.keywords };
	return result;
}

int mail_append(struct mailbox *mailbox, const struct mail_settings *settings, const struct mail_source *source,
                const struct mail_facts *facts, uint32_t *uid)
{
	return append(mailbox, settings, source, facts, false, uid);
}

/* Where a delivery goes, and whether it is there already. */
static int begin_delivery(struct account *account, const struct delivery_claim *claim, struct mailbox **inbox,
                          struct delivery_look *look)
{
	struct store *store = account_store(account);
	*inbox = account_mailbox(account, STR("INBOX"));
	if (!store_writable(store))
		return ERR_UNAVAILABLE;
	return *inbox ? delivery_look(store, claim, look) : ERR_CORRUPT;
}

int mail_deliver_ahead(struct account *account, const struct mail_settings *settings, const struct mail_source *source,
                       const struct mail_facts *facts, const struct delivery_claim *claim, uint64_t slice_us, bool *ready)
{
	struct mailbox *inbox;
	struct delivery_look look;
	int result = begin_delivery(account, claim, &inbox, &look);
	if (result == 0 && !look.is_retry)
		return ahead(inbox, settings, source, facts, true, slice_us, ready);
	*ready = result == 0;
	return result;
}

int mail_deliver(struct account *account, const struct mail_settings *settings, const struct mail_source *source,
                 const struct mail_facts *facts, const struct delivery_claim *claim)
{
	struct mailbox *inbox;
	struct delivery_look look;
	uint32_t uid;
	int result = begin_delivery(account, claim, &inbox, &look);
	if (result == 0 && !look.is_retry)
		result = append(inbox, settings, source, facts, true, &uid);
	return result == 0 ? delivery_take(account_store(account), account, claim, &look) : result;
}
