/* transfer.c: RETR and TOP (RFC 1939, 5 and 7). What needs no dot-stuffing leaves as a range of its file; the rest
 * is read in pieces, stuffed, and pauses while the client is slow, while its bytes are fetched from the disk, and when
 * its slice is over. Nothing is held between pieces but a position. */
#include "base/checked.h"
#include "base/log.h"
#include "proto/pop3/session_private.h"
#include "syntax/mime.h"

#include <inttypes.h>

#define PIECE 16384
/* What is behind the next piece is fetched along with it. */
#define LOOK_AHEAD 65536
/* Who asks TOP for so many lines wants the message, not a look at it: fetchmail reads so what it is told to keep. */
#define TOP_RETRIEVES_FROM 1000000

int pop3_read_row(struct pop3_session *s, uint64_t message, struct message_row *out)
{
	struct message_cursor rows;
	message_cursor_begin_part(&rows, s->account, MESSAGE_RANGES);
	int err = message_cursor_get(&rows, message, out);
	message_cursor_end(&rows);
	return err;
}

uint64_t pop3_octets(const struct message_row *row)
{
	bool open_line = row->size > 0 && (row->traits & MESSAGE_ENDS_WITHOUT_CRLF);
	return row->size + (open_line ? 2 : 0);
}

/* The first n bytes, as they are. */
static enum pop3_step send_range(struct pop3_session *s, const struct message_row *row, int fd, uint64_t offset,
                                 uint64_t n)
{
	struct outq *out = pop3_output(s);
	bool open_line = n > 0 && n == row->size && (row->traits & MESSAGE_ENDS_WITHOUT_CRLF);
	struct pop3_body body = { .place = open_line ? POP3_INSIDE_LINE : POP3_LINE_START };
	if (n > 0)
		outq_add_file(out, fd, offset, n);
	pop3_body_end(&body, out);
	return POP3_STEP_DONE;
}

/* What another session has removed can be read for as long as the store keeps it. */
static void say_unreadable(struct pop3_session *s, uint32_t uid, int err)
{
	if (err == ERR_NOT_FOUND && !entry_find(s->mailbox, uid))
		pop3_reply(s, "-ERR That message was removed meanwhile by another session.");
	else
		pop3_reply_error(s, err);
}

/* May the next piece be read without waiting for the disk? False: it is being fetched. */
static bool is_there(struct pop3_session *s, const struct message_row *row)
{
	struct pop3_transfer *t = &s->transfer;
	uint64_t offset, ahead = MIN(row->size - t->at, (uint64_t)LOOK_AHEAD);
	int fd;
	if (t->at < t->in_memory || !s->world->fetch)
		return true;
	if (message_file(s->account, row, &fd, &offset) == 0 && s->world->fetch(s->owner, fd, offset + t->at, ahead))
		return false;
	t->in_memory = t->at + ahead;
	return true; /* or reading says what is wrong */
}

/* The next piece of what ends at `end`, within the message; *n bytes. ERR_INCOMPLETE: it is being fetched. */
static int read_piece(struct pop3_session *s, const struct message_row *row, uint64_t end, char *piece, size_t *n)
{
	struct pop3_transfer *t = &s->transfer;
	size_t wanted = (size_t)MIN(end - t->at, (uint64_t)PIECE);
	if (!is_there(s, row))
		return ERR_INCOMPLETE;
	int err = message_read(s->account, row, t->at, wanted, piece);
	if (err < 0)
		return err;
	t->at += wanted;
	*n = wanted;
	return 0;
}

static enum pop3_step break_off(struct pop3_session *s, int err)
{
	log_error("pop3-message-unreadable", LOG_ID(s->id), LOG_U("message", s->transfer.message), LOG_ERR(err));
	return POP3_STEP_BROKEN;
}

static bool is_ascii(struct str bytes)
{
	unsigned char all = 0;
	for (size_t i = 0; i < bytes.n; i++)
		all |= (unsigned char)bytes.p[i];
	return all < 128;
}

/* Sets `at` and look_end to the next header that is to be sent, the message's own or a part's; ERR_NOT_FOUND behind the
 * last one. */
static int go_to_header(struct pop3_session *s)
{
	struct pop3_transfer *t = &s->transfer;
	struct message_cursor rows;
	struct message_row row;
	struct mime_range header;
	message_cursor_begin_part(&rows, s->account, MESSAGE_RANGES);
	int err = message_cursor_get(&rows, t->message, &row);
	if (err == ERR_NOT_FOUND)
		err = ERR_CORRUPT;
	bool own_only = s->command.verb == POP3_TOP && s->command.lines == 0;
	if (err == 0)
		err = own_only && t->at > 0 ? ERR_NOT_FOUND : mime_parts_header(row.derived.parts, t->at, &header);
	if (err == 0 && header.offset + header.n > row.size)
		err = ERR_CORRUPT;
	message_cursor_end(&rows);
	if (err == 0) {
		t->at = header.offset;
		t->look_end = header.offset + header.n;
	}
	return err;
}

/* Without UTF8 a message is refused that has a header which is not ASCII (RFC 6856, 2.1), its own or a part's (RFC 6532,
 * 3.7), before anything is said of it. DONE: the answer was that; *passed: all were looked at. */
static enum pop3_step look_at_headers(struct pop3_session *s, const struct message_row *row, uint64_t slice_end,
                                      bool *passed)
{
	struct pop3_transfer *t = &s->transfer;
	char piece[PIECE];
	size_t n = 0;
	for (;;) {
		int err = t->at < t->look_end ? 0 : go_to_header(s);
		if (err == ERR_NOT_FOUND)
			break;
		if (err == 0)
			err = read_piece(s, row, t->look_end, piece, &n);
		if (err == ERR_INCOMPLETE)
			return POP3_STEP_FETCHING;
		if (err < 0) {
			say_unreadable(s, t->uid, err);
			return POP3_STEP_DONE;
		}
		if (!is_ascii(str_of(piece, n))) {
			pop3_reply(s, "-ERR [UTF8] That message needs UTF-8 mode.");
			return POP3_STEP_DONE;
		}
		if (pop3_slice_is_over(s, slice_end))
			return POP3_STEP_AGAIN;
	}
	*passed = true;
	return POP3_STEP_DONE;
}

/* In pieces, from where it is. */
static enum pop3_step send_some(struct pop3_session *s, const struct message_row *row, uint64_t slice_end)
{
	struct pop3_transfer *t = &s->transfer;
	char piece[PIECE];
	size_t n;
	for (;;) {
		if (t->at == t->header_end && s->command.verb == POP3_TOP)
			t->body.lines_left = s->command.lines;
		if (t->at >= row->size || t->body.lines_left == 0) {
			if (t->at < row->size)
				t->retrieved = false;
			pop3_body_end(&t->body, pop3_output(s));
			return POP3_STEP_DONE;
		}
		if (pop3_output_full(s))
			return POP3_STEP_OUTPUT;
		int err = read_piece(s, row, t->at < t->header_end ? t->header_end : row->size, piece, &n);
		if (err == ERR_INCOMPLETE)
			return POP3_STEP_FETCHING;
		if (err < 0)
			return break_off(s, err);
		pop3_body_put(&t->body, str_of(piece, n), pop3_output(s));
		if (pop3_slice_is_over(s, slice_end))
			return POP3_STEP_AGAIN;
	}
}

/* Says +OK, and sends. */
static enum pop3_step begin_sending(struct pop3_session *s, const struct message_row *row, uint64_t slice_end)
{
	struct pop3_transfer *t = &s->transfer;
	int fd;
	uint64_t offset, header_end = MIN((uint64_t)row->header_size, row->size);
	int err = message_file(s->account, row, &fd, &offset);
	if (err < 0) {
		say_unreadable(s, t->uid, err);
		return POP3_STEP_DONE;
	}
	bool top = s->command.verb == POP3_TOP;
	bool stuff = row->traits & (MESSAGE_NEEDS_STUFFING | MESSAGE_BARE_LINE_ENDS);
	const char *format = top ? "+OK The top of %" PRIu64 " octets follows.\r\n" : "+OK %" PRIu64 " octets follow.\r\n";
	outq_addf(pop3_output(s), format, pop3_octets(row));
	t->begun = true;
	t->retrieved = !top || s->command.lines >= TOP_RETRIEVES_FROM;
	if (!top && !stuff)
		return send_range(s, row, fd, offset, row->size);
	if (top && !stuff && s->command.lines == 0)
		return send_range(s, row, fd, offset, header_end);
	t->at = 0;
	t->header_end = top ? header_end : row->size;
	t->body = (struct pop3_body){ .lines_left = UINT64_MAX };
	return send_some(s, row, slice_end);
}

enum pop3_step pop3_transfer_step(struct pop3_session *s)
{
	struct pop3_transfer *t = &s->transfer;
	uint64_t slice_end = pop3_slice_end(s);
	struct message_row row;
	/* Each time anew: between steps the message may have moved within the store. */
	int err = pop3_read_row(s, t->message, &row);
	t->in_memory = 0;
	if (err < 0 && !t->begun) {
		say_unreadable(s, t->uid, err);
		return POP3_STEP_DONE;
	}
	if (err < 0)
		return break_off(s, err);
	if (t->begun)
		return send_some(s, &row, slice_end);
	bool passed = !s->settings->utf8 || s->utf8 || !(row.traits & MESSAGE_8BIT);
	if (!passed) {
		enum pop3_step step = look_at_headers(s, &row, slice_end, &passed);
		if (!passed)
			return step;
	}
	return begin_sending(s, &row, slice_end);
}

enum pop3_step pop3_transfer_begin(struct pop3_session *s)
{
	const struct entry *entry = pop3_find_message(s);
	if (!entry)
		return POP3_STEP_DONE;
	s->transfer = (struct pop3_transfer){ .message = entry->message, .uid = entry->uid };
	return pop3_transfer_step(s);
}
