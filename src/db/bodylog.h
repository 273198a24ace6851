/* bodylog.h: message bodies, appended to segment files and never changed. A record is a header (enough to rebuild a lost database:
 * account, date, mailbox at arrival) and the bytes of the message. What lies behind the committed end, which the database keeps, is cut off
 * at start. The second seam, with vfs.h, where a cluster's object store would come in. */
#ifndef DB_BODYLOG_H
#define DB_BODYLOG_H

#include "base/account_id.h"

/* Bytes gathered in memory before they are written although the batch is still open. */
#define BODYLOG_BUFFER_MAX (8 * 1024 * 1024)

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
};

/* Opens the folder (made if missing): current segment and the ends of all segments as the database has them. What is behind the end of the current
 * one is cut off. Everything is synced. ERR_CORRUPT when it is shorter than that; ERR_IO, ERR_NO_SPACE. `folder` is an absolute path. */
int bodylog_open(struct str folder, uint64_t segment_size, uint32_t segment, uint64_t end, struct bodylog **out) MUST_CHECK;
void bodylog_close(struct bodylog **log);

/* Adds a record; in memory until bodylog_flush. The body is the pieces, then (fd >= 0) the first file_length bytes of that file, which is
 * read with pread. ERR_IO (also when the file is shorter than said), ERR_NO_SPACE. */
int bodylog_append(struct bodylog *log, const struct body_record *record, const struct str *pieces, size_t n_pieces, int fd, uint64_t file_length, struct body_place *out) MUST_CHECK;

/* Writes what is in memory. */
int bodylog_flush(struct bodylog *log) MUST_CHECK;

/* The current segment and where its records end (flushed or not). */
void bodylog_position(const struct bodylog *log, uint32_t *segment, uint64_t *end);

/* Forgets everything behind this place (a batch was voided). */
void bodylog_rewind(struct bodylog *log, uint32_t segment, uint64_t end);

/* Between batches: begins a new segment when the current one is full. The folder is synced. */
int bodylog_roll(struct bodylog *log) MUST_CHECK;

/* True when something was appended since the last bodylog_synced; the descriptor to sync. */
bool bodylog_needs_sync(const struct bodylog *log);
int bodylog_sync_fd(const struct bodylog *log);
void bodylog_synced(struct bodylog *log);

/* The descriptor of a segment, for reading a range (flushes first if the range is not written yet). Stays open as long as the log. ERR_NOT_FOUND;
 * ERR_CORRUPT when `end` lies behind all records. */
int bodylog_file(struct bodylog *log, uint32_t segment, uint64_t end, int *fd) MUST_CHECK;

#endif
