/* bodylog.h: message bodies, appended to segment files and never changed. A record is a header (enough to rebuild a
 * lost database: account, date, mailbox at arrival) and the bytes of the message. What lies behind the committed
 * end, which the database keeps, is cut off at start. The second seam, with vfs.h, where a cluster's object store
 * would come in. */
#ifndef DB_BODYLOG_H
#define DB_BODYLOG_H

#include "base/account_id.h"

/* Bytes gathered in memory before they are written although the batch is still open. */
#define BODYLOG_BUFFER_MAX (8 * 1024 * 1024)

/* The highest number of a segment; its file is NUMBER.seg. */
#define BODYLOG_SEGMENT_MAX 1000000

struct bodylog;

/* What a record's header says about its message. */
struct body_record {
	struct account_id account;
	uint64_t message;       /* number in the account */
	int64_t internal_date;  /* seconds since 1970 */
	int16_t zone_minutes;
	struct str mailbox;     /* name at arrival */
	uint64_t length;        /* of the body; set by the log */
	uint64_t checksum;      /* XXH3 of the body; set by the log */
};

struct body_place {
	uint32_t segment; /* from 1 */
	uint64_t offset;  /* of the body's first byte */
	uint64_t checksum; /* XXH3 of the body, as in the record */
};

/* Opens the folder (made if missing): current segment and the ends of all segments as the database has them. What is
 * behind the end of the current one is cut off. Everything is synced. ERR_CORRUPT when it is shorter than that;
 * ERR_IO, ERR_NO_SPACE. `folder` is an absolute path. */
int bodylog_open(struct str folder, uint64_t segment_size, uint32_t segment, uint64_t end,
                 struct bodylog **out) MUST_CHECK;
void bodylog_close(struct bodylog **log);

/* Adds a record; in memory until bodylog_flush. The body is the pieces, then (fd >= 0) the first file_length bytes
 * of that file, which is read with pread. ERR_IO (also when the file is shorter than said), ERR_NO_SPACE. */
int bodylog_append(struct bodylog *log, const struct body_record *record, const struct str *pieces, size_t n_pieces,
                   int fd, uint64_t file_length, struct body_place *out) MUST_CHECK;
/* The same with file_length bytes of the file from file_start on. */
int bodylog_append_part(struct bodylog *log, const struct body_record *record, const struct str *pieces,
                        size_t n_pieces, int fd, uint64_t file_start, uint64_t file_length,
                        struct body_place *out) MUST_CHECK;

/* Writes what is in memory. */
int bodylog_flush(struct bodylog *log) MUST_CHECK;

/* The current segment and where its records end (flushed or not). */
void bodylog_position(const struct bodylog *log, uint32_t *segment, uint64_t *end);

/* Forgets everything behind this place (a batch was voided). */
void bodylog_rewind(struct bodylog *log, uint32_t segment, uint64_t end);

/* Between batches: begins a new segment when the current one is full. ERR_IO, ERR_NO_SPACE: may be tried again. */
int bodylog_roll(struct bodylog *log) MUST_CHECK;
/* The current segment counts as full from now on, however small it is, until the next begins. False: there is no number
 * left for one. */
bool bodylog_end_segment(struct bodylog *log);

/* True when something was appended since the last bodylog_synced; the descriptor to sync. */
bool bodylog_needs_sync(const struct bodylog *log);
int bodylog_sync_fd(const struct bodylog *log);
void bodylog_synced(struct bodylog *log);

/* The same for the folder: a segment was begun or removed since, also in a batch that was voided. */
bool bodylog_folder_needs_sync(const struct bodylog *log);
int bodylog_folder_fd(const struct bodylog *log);
void bodylog_folder_synced(struct bodylog *log);

/* The descriptor of a segment, for reading a range (flushes first if the range is not written yet). Stays open until
 * bodylog_remove; a segment before the current one is open for reading alone. ERR_NOT_FOUND; ERR_CORRUPT when `end`
 * lies behind all records. */
int bodylog_file(struct bodylog *log, uint32_t segment, uint64_t end, int *fd) MUST_CHECK;

/* --- reading and moving records, for compaction and checks --- */

#define BODYLOG_HEADER_MAX 2048
#define BODYLOG_MAGIC      "MSB1" /* what each record begins with */

/* The header that `bytes` begin with: its size in bytes, or ERR_CORRUPT. Slices of *out point into `bytes`. */
int body_record_decode(struct str bytes, struct body_record *out) MUST_CHECK;

/* The header of the record that begins at `at`, and where its body begins. `room` backs the slices of *out.
 * ERR_CORRUPT when no record that bodylog_append made begins there, or it ends behind `end`; ERR_NOT_FOUND
 * (segment), ERR_IO. The body is not looked at. */
int bodylog_record(struct bodylog *log, uint32_t segment, uint64_t at, uint64_t end, char room[BODYLOG_HEADER_MAX],
                   struct body_record *out, uint64_t *body) MUST_CHECK;
/* The same for the record whose body begins at `body`: found by its header, which ends there. */
int bodylog_record_of(struct bodylog *log, uint32_t segment, uint64_t body, uint64_t end, char room[BODYLOG_HEADER_MAX],
                      struct body_record *out) MUST_CHECK;

/* Bytes of a segment, exactly n of them. ERR_CORRUPT when it ends before. */
int bodylog_read(struct bodylog *log, uint32_t segment, uint64_t at, char *to, size_t n) MUST_CHECK;
/* These will be read soon. */
void bodylog_will_read(struct bodylog *log, uint32_t segment, uint64_t at, uint64_t n);

/* The checksum of a body, piece by piece. */
struct body_sum;
struct body_sum *body_sum_new(void) __attribute__((returns_nonnull));
void body_sum_add(struct body_sum *sum, struct str bytes);
uint64_t body_sum_end(struct body_sum **sum); /* frees it; accepts NULL */

/* Appends the header of a record whose body follows later, by bodylog_fill, in other batches too: record->length and
 * ->checksum are given. No new segment begins until bodylog_release, one for each reserved record; who reserves only
 * while !bodylog_is_full lets it begin in the end. The record may be pointed to by a row of the batch that its last
 * piece was filled in, or of a later one that called bodylog_filled, which makes that batch sync the segment. Places
 * behind the committed end are void with the batch: nothing may be filled there any more. */
int bodylog_reserve(struct bodylog *log, const struct body_record *record, struct body_place *out) MUST_CHECK;
int bodylog_fill(struct bodylog *log, const struct body_place *place, uint64_t at, struct str bytes) MUST_CHECK;
void bodylog_filled(struct bodylog *log);
void bodylog_release(struct bodylog *log);
/* True between bodylog_reserve and _release: not all bytes below the end are what they will be. */
bool bodylog_is_filling(const struct bodylog *log);
bool bodylog_is_full(const struct bodylog *log); /* the next segment is due */

/* Bytes of large records that were written since the last sync, about: that it may take longer than others. */
uint64_t bodylog_unsynced(const struct bodylog *log);

/* Removes the file of a segment that is not the current one (ERR_STATE); the folder is to be synced then. 0 also when it
 * is gone already. *fd: -1, or the descriptor by which it may still be read, the caller's to close. */
int bodylog_remove(struct bodylog *log, uint32_t segment, int *fd) MUST_CHECK;

#endif
