/* mbox_reader.c: the bytes of an mbox into messages. Owned by who imports; holds the beginning of one line, and the few
 * header fields that the file itself is described by. Nothing is refused: what is no message is skipped. */
#include "mail/mbox_private.h"

#include "base/pop3_policy.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "mail/keyword.h"
#include "store/store.h"

#define VALUE_MAX      8192 /* of one field; the rest of it is not read */
#define KEYWORDS_BYTES ((size_t)MBOX_KEYWORDS_MAX * KEYWORD_NAME_MAX)
#define ZONES_SECONDS  (14 * 3600) /* how far from UTC a zone is at most; all are quarter hours from it */
#define QUARTER_HOUR   900

struct mbox_reader {
	const struct mbox_events *events;
	void *owner;
	struct mbox_lines lines;
	struct mbox_header header;
	bool in_message;
	bool after_blank; /* the last line was blank and is not told yet: it may be the one between two messages */
	bool is_first;    /* no message has begun */
	struct mbox_message message;
	char sender[MBOX_SENDER_MAX];
	struct buf value;    /* of the field that is being read, if it is one of interest */
	struct buf keywords; /* their bytes, one behind the other */
	size_t keyword_ends[MBOX_KEYWORDS_MAX];
	struct date date_field;
	char uidl[POP3_UIDL_MAX];
	bool has_date_field, has_x_imap, has_data_subject;
};

struct mbox_reader *mbox_reader_new(uint64_t offset, const struct mbox_events *events, void *owner)
{
	struct mbox_reader *reader = mem_alloc(1, sizeof *reader);
	reader->events = events;
	reader->owner = owner;
	reader->lines.offset = offset;
	reader->after_blank = reader->is_first = true;
	reader->value = BUF_INIT(VALUE_MAX);
	reader->keywords = BUF_INIT(KEYWORDS_BYTES);
	return reader;
}

void mbox_reader_free(struct mbox_reader **pointer)
{
	struct mbox_reader *reader = *pointer;
	*pointer = NULL;
	if (!reader)
		return;
	buf_free(&reader->value);
	buf_free(&reader->keywords);
	mem_free(reader);
}

/* --- fields --- */

static void add_keyword(struct mbox_reader *reader, struct str name)
{
	struct mbox_message *message = &reader->message;
	if (!mail_keyword_is_valid(name))
		return;
	if (message->n_keywords == MBOX_KEYWORDS_MAX) {
		message->keywords_left_out++;
		return;
	}
	buf_add(&reader->keywords, name);
	reader->keyword_ends[message->n_keywords++] = reader->keywords.n;
}

static void add_keywords(struct mbox_reader *reader, struct str list)
{
	while (list.n > 0) {
		struct str word = str_cut(&list, ' ');
		add_keyword(reader, str_trim(word));
	}
}

static void add_letters(struct mbox_reader *reader, struct str letters)
{
	for (size_t i = 0; i < letters.n; i++) {
		switch (letters.p[i]) {
		case 'A':
			reader->message.flags |= FLAG_ANSWERED;
			break;
		case 'F':
			reader->message.flags |= FLAG_FLAGGED;
			break;
		case 'T':
			reader->message.flags |= FLAG_DRAFT;
			break;
		case 'D':
			reader->message.flags |= FLAG_DELETED;
			break;
		}
	}
}

/* Four hexadecimal digits of Thunderbird: 1 read, 2 replied, 4 marked, 8 expunged, 1000 forwarded. */
static void add_mozilla_status(struct mbox_reader *reader, struct str digits)
{
	uint32_t bits = 0;
	if (digits.n != 4)
		return;
	for (size_t i = 0; i < digits.n; i++) {
		int value = ascii_hex_value(digits.p[i]);
		if (value < 0)
			return;
		bits = bits << 4 | (uint32_t)value;
	}
	reader->message.flags |= (uint8_t)((bits & 1 ? FLAG_SEEN : 0) | (bits & 2 ? FLAG_ANSWERED : 0) |
	                                   (bits & 4 ? FLAG_FLAGGED : 0));
	if (bits & 8)
		reader->message.refuse = MBOX_DELETED;
	if (bits & 0x1000)
		add_keyword(reader, STR("$Forwarded"));
}

static void finish_field(struct mbox_reader *reader)
{
	struct str value = str_trim(buf_str(&reader->value));
	switch (reader->header.field) {
	case MBOX_FIELD_DATE:
		if (!reader->has_date_field)
			reader->has_date_field = date_parse_sent(value, &reader->date_field) == 0;
		break;
	case MBOX_FIELD_SUBJECT:
		reader->has_data_subject |= str_starts(value, STR("DON'T DELETE THIS MESSAGE"));
		break;
	case MBOX_FIELD_STATUS:
		reader->message.flags |= (uint8_t)(str_find_byte(value, 'R') >= 0 ? FLAG_SEEN : 0);
		reader->message.is_old |= str_find_byte(value, 'O') >= 0;
		break;
	case MBOX_FIELD_X_STATUS:
		add_letters(reader, value);
		break;
	case MBOX_FIELD_X_KEYWORDS:
	case MBOX_FIELD_MOZILLA_KEYS:
		add_keywords(reader, value);
		break;
	case MBOX_FIELD_MOZILLA_STATUS:
		add_mozilla_status(reader, value);
		break;
	case MBOX_FIELD_X_IMAP:
		reader->has_x_imap = true;
		break;
	case MBOX_FIELD_X_UIDL:
		if (value.n <= sizeof reader->uidl)
			memcpy(reader->uidl, value.p, value.n);
		reader->message.uidl = str_of(reader->uidl, value.n <= sizeof reader->uidl ? value.n : 0);
		break;
	case MBOX_FIELD_NONE:
	case MBOX_FIELD_MOZILLA_STATUS2:
	case MBOX_FIELD_X_IMAPBASE:
	case MBOX_FIELD_X_UID:
	case MBOX_FIELD_CONTENT_LENGTH:
	case MBOX_FIELD_LINES:
	case MBOX_FIELD_X_EVOLUTION:
	case MBOX_FIELD_GMAIL_LABELS:
		break;
	}
	buf_clear(&reader->value);
}

/* The piece belongs to a field: its value is gathered, without its name. */
static void read_header(struct mbox_reader *reader, const struct mbox_piece *piece)
{
	struct mbox_header before = reader->header;
	bool begins = mbox_header_step(&reader->header, piece);
	if (begins && before.field != MBOX_FIELD_NONE) {
		struct mbox_header after = reader->header;
		reader->header = before;
		finish_field(reader);
		reader->header = after;
	}
	if (!reader->header.inside || reader->header.field == MBOX_FIELD_NONE)
		return;
	struct str text = piece->text;
	if (begins)
		text = str_from(text, (size_t)str_find_byte(text, ':') + 1);
	buf_add(&reader->value, str_first(text, VALUE_MAX - reader->value.n));
}

/* --- messages --- */

/* What programs write that know no date: the beginning of 1970 in their own time, or of the year that their system counts
 * from (1601, 1904) or that they take for nothing. */
static bool is_no_date(struct date date)
{
	int64_t local = date.seconds + (int64_t)date.zone_minutes * 60;
	time_t when = (time_t)MIN(MAX(local, CALENDAR_FIRST), CALENDAR_LAST);
	struct tm parts = { 0 };
	if (date.seconds >= -ZONES_SECONDS && date.seconds <= ZONES_SECONDS && date.seconds % QUARTER_HOUR == 0)
		return true;
	return local < 0 && gmtime_r(&when, &parts) && parts.tm_yday == 0 && parts.tm_hour == 0 && parts.tm_min == 0 &&
	       parts.tm_sec == 0;
}

static void begin_message(struct mbox_reader *reader, struct str sender, bool has_date, struct date date)
{
	memcpy(reader->sender, sender.p, sender.n);
	buf_clear(&reader->keywords);
	reader->message = (struct mbox_message){
		.start = reader->lines.line_start,
		.sender = str_of(reader->sender, sender.n),
		.has_date = has_date && !is_no_date(date),
		.date = date,
	};
	reader->has_date_field = reader->has_x_imap = reader->has_data_subject = false;
	reader->header = (struct mbox_header){ .inside = true };
	reader->in_message = true;
	reader->after_blank = reader->is_first = false;
	reader->events->begin(reader->owner);
}

static void end_message(struct mbox_reader *reader, uint64_t end)
{
	struct mbox_message *message = &reader->message;
	size_t from = 0;
	if (reader->header.inside)
		finish_field(reader);
	for (size_t i = 0; i < message->n_keywords; i++) {
		message->keywords[i] = str_of(reader->keywords.p + from, reader->keyword_ends[i] - from);
		from = reader->keyword_ends[i];
	}
	if (!message->has_date && reader->has_date_field) {
		message->date = reader->date_field;
		message->has_date = true;
	}
	if (reader->has_x_imap && reader->has_data_subject)
		message->refuse = MBOX_FOLDER_DATA;
	message->end = end;
	reader->in_message = false;
	reader->events->end(reader->owner, message);
}

/* Begins a message if the piece is a line that does. */
static bool take_from_line(struct mbox_reader *reader, const struct mbox_piece *piece)
{
	struct str sender;
	struct date date = { 0 };
	bool has_date;
	if (!reader->after_blank || piece->quotes || !piece->last || !mbox_piece_is_from(piece))
		return false;
	if (mbox_from_parse(piece->text, &sender, &has_date, &date) < 0 || (!has_date && !reader->is_first))
		return false;
	if (reader->in_message)
		end_message(reader, reader->lines.line_start);
	begin_message(reader, sender, has_date, date);
	return true;
}

static void tell_line(struct mbox_reader *reader, const struct mbox_piece *piece)
{
	static const char QUOTES[] = ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>";
	uint64_t quotes = piece->quotes - (piece->quotes > 0 && mbox_piece_is_from(piece));
	for (; quotes > 0; quotes -= MIN(quotes, sizeof QUOTES - 1))
		reader->events->body(reader->owner, str_of(QUOTES, (size_t)MIN(quotes, sizeof QUOTES - 1)));
	if (piece->text.n > 0)
		reader->events->body(reader->owner, piece->text);
	if (piece->last)
		reader->events->body(reader->owner, STR("\r\n"));
}

static void take_piece(void *owner, const struct mbox_piece *piece)
{
	struct mbox_reader *reader = owner;
	if (take_from_line(reader, piece))
		return;
	if (!reader->in_message) {
		reader->after_blank = mbox_piece_is_blank(piece);
		return;
	}
	if (piece->first && reader->after_blank)
		reader->events->body(reader->owner, STR("\r\n"));
	reader->after_blank = mbox_piece_is_blank(piece);
	if (reader->header.inside)
		read_header(reader, piece);
	bool is_ours = reader->header.inside && mbox_field_use(reader->header.field) == MBOX_OURS;
	if (!reader->after_blank && !is_ours)
		tell_line(reader, piece);
}

void mbox_reader_feed(struct mbox_reader *reader, struct str chunk)
{
	mbox_lines_feed(&reader->lines, chunk, take_piece, reader);
}

bool mbox_reader_in_note(const struct mbox_reader *reader)
{
	return reader->header.inside && mbox_field_use(reader->header.field) == MBOX_NOTE;
}

void mbox_reader_finish(struct mbox_reader *reader)
{
	mbox_lines_finish(&reader->lines, take_piece, reader);
	if (reader->in_message)
		end_message(reader, reader->lines.offset);
}
