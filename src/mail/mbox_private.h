/* mbox_private.h: what reader and writer of mbox share: lines cut into pieces, and whose field a line is. */
#ifndef MAIL_MBOX_PRIVATE_H
#define MAIL_MBOX_PRIVATE_H

#include "mail/mbox.h"

/* A line, or a piece of one that is longer than MBOX_LINE_HEAD_MAX; without its line end. */
struct mbox_piece {
	uint64_t quotes; /* how many '>' stand before `text`: of the first piece */
	struct str text;
	bool first, last;
};

struct mbox_lines {
	uint64_t offset;     /* of the next byte */
	uint64_t line_start; /* of the line of the piece */
	uint64_t quotes;
	char head[MBOX_LINE_HEAD_MAX];
	size_t n;
	bool is_rest; /* the line's first piece was given */
	bool held_cr; /* in the rest: it may be half of a CRLF */
};

typedef void mbox_piece_function(void *owner, const struct mbox_piece *piece);
void mbox_lines_feed(struct mbox_lines *lines, struct str chunk, mbox_piece_function *give, void *owner);
/* Gives what is left of a last line without its line end. */
void mbox_lines_finish(struct mbox_lines *lines, mbox_piece_function *give, void *owner);

/* OURS: belongs to the file and not to the message. NOTE: mbox_reader_in_note. */
enum mbox_field_use { MBOX_KEPT, MBOX_OURS, MBOX_NOTE };

#define MBOX_FIELD_LIST(X)                                                                                             \
	X(MBOX_FIELD_NONE, "", MBOX_KEPT)                                                                                  \
	X(MBOX_FIELD_DATE, "Date", MBOX_KEPT)                                                                              \
	X(MBOX_FIELD_SUBJECT, "Subject", MBOX_KEPT)                                                                        \
	X(MBOX_FIELD_STATUS, "Status", MBOX_OURS)                                                                          \
	X(MBOX_FIELD_X_STATUS, "X-Status", MBOX_OURS)                                                                      \
	X(MBOX_FIELD_X_KEYWORDS, "X-Keywords", MBOX_OURS)                                                                  \
	X(MBOX_FIELD_MOZILLA_STATUS, "X-Mozilla-Status", MBOX_OURS)                                                        \
	X(MBOX_FIELD_MOZILLA_KEYS, "X-Mozilla-Keys", MBOX_OURS)                                                            \
	X(MBOX_FIELD_MOZILLA_STATUS2, "X-Mozilla-Status2", MBOX_OURS)                                                      \
	X(MBOX_FIELD_X_IMAP, "X-IMAP", MBOX_OURS)                                                                          \
	X(MBOX_FIELD_X_IMAPBASE, "X-IMAPbase", MBOX_OURS)                                                                  \
	X(MBOX_FIELD_X_UID, "X-UID", MBOX_OURS)                                                                            \
	X(MBOX_FIELD_X_UIDL, "X-UIDL", MBOX_NOTE)                                                                          \
	X(MBOX_FIELD_CONTENT_LENGTH, "Content-Length", MBOX_OURS)                                                          \
	X(MBOX_FIELD_LINES, "Lines", MBOX_NOTE)                                                                            \
	X(MBOX_FIELD_X_EVOLUTION, "X-Evolution", MBOX_NOTE)                                                                \
	X(MBOX_FIELD_GMAIL_LABELS, "X-Gmail-Labels", MBOX_NOTE)

enum mbox_field {
#define MBOX_FIELD_ENUM(name, text, use) name,
	MBOX_FIELD_LIST(MBOX_FIELD_ENUM)
#undef MBOX_FIELD_ENUM
};

/* Walks a header line by line; begin with inside = true. It ends as mime.h says. */
struct mbox_header {
	bool inside;
	enum mbox_field field; /* whose line or piece this is */
};
/* True when a field begins (or the header ends) with this piece. */
bool mbox_header_step(struct mbox_header *header, const struct mbox_piece *piece);
enum mbox_field_use mbox_field_use(enum mbox_field field);

static inline bool mbox_piece_is_blank(const struct mbox_piece *piece)
{
	return piece->first && piece->last && piece->quotes == 0 && piece->text.n == 0;
}

/* mbox_from.c: the From_ line, with its line end. */
void mbox_from_print(const struct mbox_message *message, struct buf *out);

/* ">From " and the like. */
static inline bool mbox_piece_is_from(const struct mbox_piece *piece)
{
	return piece->first && str_starts(piece->text, STR("From "));
}

#endif
