/* salvage_segments.h: what can still be read of damaged segments: every record whose header decodes and whose bytes are
 * those that came in. For `mansio store salvage`; the files are only read. */
#ifndef STORE_SALVAGE_SEGMENTS_H
#define STORE_SALVAGE_SEGMENTS_H

#include "base/account_id.h"

#define SALVAGE_RECORDS_MAX 500000000 /* 72 bytes of memory each */

struct salvage_record {
	struct account_id account;
	uint64_t message; /* number in the account */
	uint64_t offset;  /* of the body */
	uint64_t length, checksum;
	int64_t internal_date;
	uint32_t segment;
	uint32_t mailbox; /* name at arrival: index of `names` */
	int16_t zone_minutes;
};

/* A message whose record is there but not whole. */
struct salvage_broken {
	struct account_id account;
	uint64_t message, offset;
	uint32_t segment;
};

struct salvage_segment {
	uint32_t number;
	uint64_t size; /* of the file */
};

struct salvage_segments {
	struct salvage_segment *files;   /* by number */
	size_t n_files;
	struct salvage_record *records;  /* by account, message, segment, offset */
	size_t n_records;
	struct salvage_broken *broken;
	size_t n_broken;
	struct str *names;
	uint32_t n_names;
	uint64_t bytes;                  /* of all files */
	int folder;                      /* the folder of the segments, open */
};

struct salvage_scan_world {
	/* Something in a segment is no record, or not whole. `problem` is static. */
	void (*damage)(void *owner, uint32_t segment, uint64_t offset, const char *problem);
	void (*progress)(void *owner, uint64_t bytes, uint64_t total);
};

/* Reads all segments of the folder (absolute) and sorts what was found. A folder that is not there has none. After a
 * broken record it goes on at the next valid header; blocks that the disk cannot read count as zeros. ERR_IO: the
 * folder or a file cannot be opened; ERR_LIMIT. Free *out in any case. */
int salvage_segments_scan(struct str folder, const struct salvage_scan_world *world, void *owner,
                          struct salvage_segments *out) MUST_CHECK;
void salvage_segments_free(struct salvage_segments *segments);

/* The records of an account: the first, and how many. */
const struct salvage_record *salvage_records_of(const struct salvage_segments *segments, const struct account_id *account,
                                                size_t *n);
/* The record whose body begins there; NULL if none. Looks at all. */
const struct salvage_record *salvage_record_at(const struct salvage_segments *segments, uint32_t segment,
                                               uint64_t offset);

/* A descriptor of a segment's file, the caller's to close. */
int salvage_segment_open(const struct salvage_segments *segments, uint32_t segment, int *fd) MUST_CHECK;

#endif
