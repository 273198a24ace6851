/* mail.h: what mail means to the store: a message comes in (bytes → facts → row → entry), whoever brings it. */
#ifndef MAIL_MAIL_H
#define MAIL_MAIL_H

#include "store/delivery.h"
#include "store/store.h"
#include "syntax/mime.h"

/* Bytes of a message on their way in: `head` (trace headers, may be empty), then a slice in memory or `length` bytes of
 * a file. */
struct mail_source {
	struct str head;
	struct str bytes; /* used when fd is -1 */
	int fd;
	uint64_t length; /* of the file */
	uint64_t start;  /* where in the file they begin */
	struct mail_intake *intake; /* NULL, or of a large message: what was done of it ahead (mail_append_ahead) */
};

struct mail_facts {
	uint8_t flags;
	const struct str *keywords;
	size_t n_keywords;
	int64_t internal_date; /* seconds since 1970 */
	int16_t zone_minutes;
};

/* A parser and the buffers for what is derived from one message; used again for each message, by one at a time. */
struct mail_reader;
struct mail_reader *mail_reader_new(const struct mime_limits *limits) __attribute__((returns_nonnull));
void mail_reader_free(struct mail_reader **reader);

/* Parses only: everything of *out that is known from the bytes: size, traits, lines, what is derived (slices of the reader,
 * good until its next message), checksum of a file. The rest of *out is as it was. ERR_SYNTAX: it holds a NUL, and *out
 * is filled all the same. ERR_IO: the file cannot be read; ERR_LIMIT: its length is no number. Of a message whose
 * derived forms would be too large, smaller ones are made: nothing is refused for them. */
struct message_arrival;
int mail_examine(struct mail_reader *reader, const struct mail_source *source, struct message_arrival *out) MUST_CHECK;

struct mail_settings {
	struct mail_reader *reader;
	uint64_t max_message_size;
	uint32_t max_keywords;
};

/* Parses and appends one message to a mailbox. ERR_SYNTAX: it holds a NUL; ERR_LIMIT: too large or too many
 * keywords; ERR_QUOTA; ERR_NO_SPACE; ERR_UNAVAILABLE: the gate is closed. */
int mail_append(struct mailbox *mailbox, const struct mail_settings *settings, const struct mail_source *source,
                const struct mail_facts *facts, uint32_t *uid) MUST_CHECK;

/* --- a large message: so much of the above is done in slices, before it --- */

/* What reading and copying it would hold all others for: a file of more than MAIL_LARGE bytes. Smaller ones are not
 * worth it. */
#define MAIL_LARGE (1024 * 1024)
bool mail_is_large(const struct mail_source *source);

/* Holds a parser and, later, bytes in the segments. Freed by its owner, when the message was added or instead, before
 * the store. One message, to one mailbox after the other. */
struct mail_intake;
struct mail_intake *mail_intake_new(const struct mail_settings *settings) __attribute__((returns_nonnull));
void mail_intake_free(struct mail_intake **intake);

/* Parses source->intake's message, then copies its bytes, for about slice_us; *ready: go on with mail_append or
 * mail_append_loose with this source, which finds most of its work done and tells what is wrong with it. Call it again,
 * with the same arguments, until then, while the store is writable. A batch that is voided meanwhile only makes it take
 * longer. ERR_SYNTAX (the file was changed), ERR_IO, ERR_NO_SPACE, ERR_NOT_FOUND: it is over. */
int mail_append_ahead(struct mailbox *mailbox, const struct mail_settings *settings, const struct mail_source *source,
                      const struct mail_facts *facts, uint64_t slice_us, bool *ready) MUST_CHECK;

/* After such a call that was not ready: nothing goes on before store_place_is_free (store/store_open.h); a look from time to
 * time is needed all the same. False for NULL. */
bool mail_intake_waits(const struct mail_intake *intake);

/* The same before mail_deliver. */
int mail_deliver_ahead(struct account *account, const struct mail_settings *settings, const struct mail_source *source,
                       const struct mail_facts *facts, const struct delivery_claim *claim, uint64_t slice_us,
                       bool *ready) MUST_CHECK;

/* One of several messages that come to stand in a mailbox together, or none of them: stored without an entry, which
 * loose_append makes of *out (store/transfer.h: between loose_begin and loose_end). Errors as mail_append's. */
struct loose_entry;
int mail_append_loose(struct mailbox *mailbox, const struct mail_settings *settings, const struct mail_source *source,
                      const struct mail_facts *facts, struct loose_entry *out) MUST_CHECK;

/* Delivers to INBOX of an account: 0 also when it is the retry of a delivery that is there already (store/delivery.h).
 * Errors as mail_append's; ERR_SYNTAX for a bare CR or LF too: nothing that could be read as two messages comes in from
 * outside; ERR_UNAVAILABLE while it is not known whether it is a retry. */
int mail_deliver(struct account *account, const struct mail_settings *settings, const struct mail_source *source,
                 const struct mail_facts *facts, const struct delivery_claim *claim) MUST_CHECK;

/* Which header fields a row keeps (message_derived.headers): true when all of these are among them, so that a
 * selection of them can be made without the message's bytes. The kept block is empty when it was too large to keep. */
bool mail_headers_are_kept(const struct str *names, size_t n_names);

/* --- collecting a message of unknown size: in memory, beyond the threshold in an unnamed temporary file --- */
struct mail_spool {
	struct str directory; /* where temporary files go */
	size_t threshold;     /* bytes kept in memory */
	struct buf memory;
	int fd; /* -1: still in memory */
	uint64_t length;
};
void mail_spool_start(struct mail_spool *spool, struct str directory, size_t threshold);
int mail_spool_add(struct mail_spool *spool, struct str bytes) MUST_CHECK; /* ERR_NO_SPACE, ERR_IO */
void mail_spool_free(struct mail_spool *spool);
struct mail_source mail_spool_source(const struct mail_spool *spool);
/* Of several messages one behind the other: those `length` bytes from `start` on. One that is not larger than the
 * threshold is read into `room` when it is in the file. ERR_IO. */
int mail_spool_part(const struct mail_spool *spool, uint64_t start, uint64_t length, struct buf *room,
                    struct mail_source *out) MUST_CHECK;

#endif
