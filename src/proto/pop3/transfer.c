/* transfer.c: RETR and TOP (RFC 1939, 5 and 7). What needs no dot-stuffing leaves as a range of its file; the rest
 * is read in pieces, stuffed, and pauses while the client is slow. Nothing is held between pieces but a position. */
#include "base/checked.h"
#include "base/log.h"
#include "proto/pop3/session_private.h"

#include <inttypes.h>

#define PIECE 16384
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

/* Sets *ascii to whether all bytes of the header are. */
static int look_for_ascii(struct pop3_session *s, const struct message_row *row, uint64_t header_end, bool *ascii)
{
	char piece[PIECE];
	for (uint64_t at = 0; at < header_end;) {
		size_t n = (size_t)MIN(header_end - at, (uint64_t)PIECE);
		int err = message_read(s->account, row, at, n, piece);
		if (err < 0)
			return err;
		for (size_t i = 0; i < n; i++) {
			if ((unsigned char)piece[i] > 127) {
				*ascii = false;
				return 0;
			}
		}
		at += n;
	}
	*ascii = true;
	return 0;
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

enum pop3_step pop3_transfer_begin(struct pop3_session *s)
{
	uint32_t uid;
	const struct entry *entry;
	struct message_row row;
	int fd;
	uint64_t offset;
	if (!pop3_find_message(s, &uid, &entry))
		return POP3_STEP_DONE;
	uint64_t message = entry->message, header_end = 0;
	bool sendable = true;
	int err = pop3_read_row(s, message, &row);
	if (err == 0)
		header_end = MIN((uint64_t)row.header_size, row.size);
	if (err == 0 && s->settings->utf8 && !s->utf8 && (row.traits & MESSAGE_8BIT))
		err = look_for_ascii(s, &row, header_end, &sendable);
	if (err == 0 && !sendable) {
		pop3_reply(s, "-ERR [UTF8] The header of that message needs UTF-8 mode.");
		return POP3_STEP_DONE;
	}
	if (err == 0)
		err = message_file(s->account, &row, &fd, &offset);
	if (err < 0) {
		pop3_reply_error(s, err);
		return POP3_STEP_DONE;
	}
	bool top = s->command.verb == POP3_TOP, retrieves = !top || s->command.lines >= TOP_RETRIEVES_FROM;
	bool stuff = row.traits & (MESSAGE_NEEDS_STUFFING | MESSAGE_BARE_LINE_ENDS);
	const char *format = top ? "+OK The top of %" PRIu64 " octets follows.\r\n" : "+OK %" PRIu64 " octets follow.\r\n";
	outq_addf(pop3_output(s), format, pop3_octets(&row));
	s->transfer.uid = retrieves ? uid : 0;
	if (!top && !stuff)
		return send_range(s, &row, fd, offset, row.size);
	if (top && !stuff && s->command.lines == 0)
		return send_range(s, &row, fd, offset, header_end);
	s->transfer = (struct pop3_transfer){
		.message = message,
		.header_end = top ? header_end : row.size,
		.uid = retrieves ? uid : 0,
		.body = { .lines_left = UINT64_MAX },
	};
	return pop3_transfer_step(s);
}

static int send_piece(struct pop3_session *s, const struct message_row *row)
{
	struct pop3_transfer *t = &s->transfer;
	char piece[PIECE];
	uint64_t end = t->at < t->header_end ? t->header_end : row->size;
	size_t n = (size_t)MIN(end - t->at, (uint64_t)PIECE);
	int err = message_read(s->account, row, t->at, n, piece);
	if (err < 0)
		return err;
	pop3_body_put(&t->body, str_of(piece, n), pop3_output(s));
	t->at += n;
	return 0;
}

enum pop3_step pop3_transfer_step(struct pop3_session *s)
{
	struct pop3_transfer *t = &s->transfer;
	struct message_row row;
	/* Each time anew: between steps the message may have moved within the store. */
	int err = pop3_read_row(s, t->message, &row);
	while (err == 0) {
		if (t->at == t->header_end && s->command.verb == POP3_TOP)
			t->body.lines_left = s->command.lines;
		if (t->at >= row.size || t->body.lines_left == 0) {
			if (t->at < row.size)
				t->uid = 0;
			pop3_body_end(&t->body, pop3_output(s));
			return POP3_STEP_DONE;
		}
		if (pop3_output_full(s))
			return POP3_STEP_OUTPUT;
		err = send_piece(s, &row);
	}
	log_error("pop3-message-unreadable", LOG_ID(s->id), LOG_U("message", t->message), LOG_ERR(err));
	return POP3_STEP_BROKEN;
}
