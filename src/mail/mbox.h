/* mbox.h: files with many messages, one behind the other ("mbox": RFC 4155 and what programs make of it). Bytes in,
 * events out, and back; no I/O, bounded memory whatever comes in.
 *
 *     From sender@example.org Thu Nov 24 18:22:48 1986     the From_ line begins a message
 *     Subject: ...                                         its lines; ">From " at the start of a line was "From "
 *                                                          a blank line ends it
 *
 * How files are read:
 * - A From_ line stands at the beginning of the file or behind a blank line, and ends in a date: that of asctime, with
 *   or without seconds and zone, that of RFC 5322, and with "remote from ..." behind it. A line "From here on" begins
 *   no message. Lines before the first From_ line are skipped.
 * - Lines end in LF or CRLF; what comes out has CRLF everywhere, also at the end of the last line.
 * - Quoting is mboxrd: one ">" goes from every line of ">"s and "From ". Files of the older way (mboxo) are read
 *   the same; ">>From " is all that differs there.
 * - Content-Length is not looked at: where it is wrong, messages would be cut in the middle.
 * - What mbox programs keep in the header is read and taken out: Status (R: \Seen), X-Status (A, F, T, D), X-Keywords,
 *   X-Mozilla-Status and X-Mozilla-Keys (Thunderbird); and taken out: X-IMAP, X-IMAPbase, X-UID, Content-Length,
 *   X-Mozilla-Status2. */
#ifndef MAIL_MBOX_H
#define MAIL_MBOX_H

#include "base/buf.h"
#include "syntax/date.h"

#define MBOX_LINE_HEAD_MAX 1024 /* a longer From_ line is none; so much of any other line is looked at */
#define MBOX_SENDER_MAX    512
#define MBOX_KEYWORDS_MAX  64 /* of one message; further ones are left out */

/* Why a message of a file is none that anybody wants to have. */
enum mbox_refuse {
	MBOX_WANTED,
	MBOX_DELETED,     /* Thunderbird has deleted it and not compacted the file yet */
	MBOX_FOLDER_DATA, /* what UW-IMAP and Pine keep of a folder in its first message */
};

/* What the file says of a message, beside its bytes. */
struct mbox_message {
	uint64_t start; /* offset of its From_ line in the file */
	uint64_t end;   /* offset behind its last line and the blank one */
	struct str sender; /* of the From_ line; may be empty */
	bool has_date;
	struct date date;  /* of the From_ line, unless it is what programs write that know none (mbox_reader.c); else of the field Date */
	uint8_t flags;     /* of enum message_flag */
	bool is_old;       /* a client has been told of it (Status: O) */
	struct str keywords[MBOX_KEYWORDS_MAX];
	size_t n_keywords;
	size_t keywords_left_out; /* beyond the maximum */
	struct str uidl;   /* of the field X-UIDL, which stays: what POP3 clients were told; empty: there is none */
	enum mbox_refuse refuse;
};

struct mbox_events {
	void (*begin)(void *owner);
	void (*body)(void *owner, struct str bytes);
	void (*end)(void *owner, const struct mbox_message *message); /* slices live during the call */
};

struct mbox_reader;

/* offset: of the first byte that will be fed, when not the file's first (of a message then). */
struct mbox_reader *mbox_reader_new(uint64_t offset, const struct mbox_events *events, void *owner)
	__attribute__((returns_nonnull));
void mbox_reader_free(struct mbox_reader **reader);

/* The next bytes of the file, cut anywhere. */
void mbox_reader_feed(struct mbox_reader *reader, struct str chunk);

/* The file is over. */
void mbox_reader_finish(struct mbox_reader *reader);

/* During body(): these bytes belong to a field that stays, but that programs add or change when they rewrite the file:
 * X-UIDL (POP3 servers), Lines (mutt), X-Evolution, X-Gmail-Labels. Whoever compares messages of two readings leaves
 * it out. */
bool mbox_reader_in_note(const struct mbox_reader *reader);

/* True when a file that begins like this may be an mbox: its first line that is not blank begins with "From ". */
bool mbox_is_likely(struct str beginning);

/* Reads a From_ line without its line end. ERR_SYNTAX. *has_date: it is a date of RFC 4155 or one of those above;
 * without one it is a From_ line only at the beginning of a file. */
int mbox_from_parse(struct str line, struct str *sender, bool *has_date, struct date *date) MUST_CHECK;

/* --- writing: mboxrd, lines end in LF --- */

struct mbox_writer;
struct mbox_writer *mbox_writer_new(void) __attribute__((returns_nonnull));
void mbox_writer_free(struct mbox_writer **writer);

/* Begins a message: From_ line with the date in UTC, then the fields Status, X-Status and X-Keywords as far as there
 * is something to say. An empty sender is written as MAILER-DAEMON. Of the message: sender, date, flags, is_old,
 * keywords. */
void mbox_writer_begin(struct mbox_writer *writer, const struct mbox_message *message, struct buf *out);

/* Bytes of the message, cut anywhere; out gets at most twice as many and MBOX_LINE_HEAD_MAX. Fields of the header that
 * mbox_reader would take out are left out, so that nobody reads them for this file's. */
void mbox_writer_body(struct mbox_writer *writer, struct str bytes, struct buf *out);
void mbox_writer_end(struct mbox_writer *writer, struct buf *out);

/* The address in the first Return-Path of the header that a message begins with; empty if there is none that fits in
 * a From_ line. */
struct str mbox_sender_of(struct str header);

#endif
