/* bodylog.c: segments of message bodies. Owned by the store; one current segment that is written, all opened
 * segments kept open. A failed write leaves the log as it was (the bytes behind its end do not count); a failed sync
 * is the gate's matter.
 *
 * Record: magic u32, header size u16, zone i16, length u64, checksum u64, account 16 bytes, message u64, internal
 * date i64, mailbox (varint length, bytes), checksum of the header so far u32; then the body. Little-endian. */
#include "db/bodylog.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define RECORD_MAGIC      0x3142534du /* "MSB1" */
#define RECORD_HEADER_MAX BODYLOG_HEADER_MAX
#define RECORD_HEADER_MIN 61 /* with the shortest mailbox name, none */
#define COPY_CHUNK        (256 * 1024)

struct bodylog {
	int folder;
	uint64_t segment_size;
	uint32_t segment; /* current */
	uint64_t flushed; /* end of what is written to the current segment */
	uint64_t size;    /* of its file: more, where room was made (db/ahead.h) */
	struct buf waiting; /* behind it, in memory */
	bool unsynced, folder_unsynced;
	unsigned held; /* records are being filled: no new segment */
	bool ends; /* bodylog_end_segment */
	uint64_t unsynced_bytes; /* of large records */
	int *fds; /* by segment number; -1: not opened yet */
	uint32_t n_fds;
};

/* Only the current one is ever written: those before it may lie where nothing can be (a backup). */
static int open_segment(struct bodylog *log, uint32_t segment, bool create, int *out)
{
	char name[32];
	int flags = segment < log->segment ? O_RDONLY : O_RDWR | (create ? O_CREAT : 0);
	if (segment == 0 || segment > BODYLOG_SEGMENT_MAX)
		return ERR_NOT_FOUND;
	if (segment < log->n_fds && log->fds[segment] >= 0) {
		*out = log->fds[segment];
		return 0;
	}
	snprintf(name, sizeof name, "%06u.seg", segment);
	int fd = openat(log->folder, name, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	if (segment >= log->n_fds) {
		uint32_t n = MAX(segment + 1, log->n_fds * 2);
		log->fds = mem_resize(log->fds, n, sizeof *log->fds);
		for (uint32_t i = log->n_fds; i < n; i++)
			log->fds[i] = -1;
		log->n_fds = n;
	}
	log->fds[segment] = fd;
	*out = fd;
	return 0;
}

/* At start, nothing in the page cache may be older than a failed sync of the last run: drop it, read anew, sync. */
static int settle(int fd)
{
	if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0 || fdatasync(fd) < 0)
		return ERR_IO;
	return 0;
}

int bodylog_open(struct str folder, uint64_t segment_size, uint32_t segment, uint64_t end, struct bodylog **out)
{
	struct bodylog *log = mem_alloc(1, sizeof *log);
	char *path = mem_copy(folder);
	struct stat st;
	int fd, result = 0;
	*log = (struct bodylog){ .folder = -1, .segment_size = segment_size, .segment = segment, .flushed = end,
		                 .size = end, .waiting = BUF_INIT(BODYLOG_BUFFER_MAX) };
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		result = err_from_errno(errno);
	else if ((log->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		result = err_from_errno(errno);
	else
		result = open_segment(log, segment, true, &fd);
	if (result == 0 && fstat(fd, &st) < 0)
		result = err_from_errno(errno);
	if (result == 0 && (uint64_t)st.st_size < end)
		result = ERR_CORRUPT; /* synced before the database said so: somebody else took it away */
	if (result == 0 && (uint64_t)st.st_size > end && ftruncate(fd, (off_t)end) < 0)
		result = err_from_errno(errno);
	if (result == 0)
		result = settle(fd);
	if (result == 0)
		result = file_sync(log->folder, true);
	mem_free(path);
	if (result < 0)
		bodylog_close(&log);
	else
		*out = log;
	return result;
}

/* The current file ends where its records do. */
static int give_room_back(struct bodylog *log)
{
	if (log->size <= log->flushed)
		return 0;
	if (ftruncate(log->fds[log->segment], (off_t)log->flushed) < 0)
		return err_from_errno(errno);
	log->size = log->flushed;
	return 0;
}

void bodylog_close(struct bodylog **pointer)
{
	struct bodylog *log = *pointer;
	*pointer = NULL;
	if (!log)
		return;
	(void)give_room_back(log); /* else the next start does */
	for (uint32_t i = 0; i < log->n_fds; i++)
		if (log->fds[i] >= 0)
			close(log->fds[i]);
	if (log->folder >= 0)
		close(log->folder);
	mem_free(log->fds);
	buf_free(&log->waiting);
	mem_free(log);
}

static void put_header(struct buf *out, const struct body_record *record)
{
	size_t start = out->n;
	wire_put_u32(out, RECORD_MAGIC);
	wire_put_u16(out, 0); /* size of the header, below */
	wire_put_u16(out, (uint16_t)record->zone_minutes);
	wire_put_u64(out, record->length);
	wire_put_u64(out, record->checksum);
	buf_add(out, str_of((const char *)record->account.bytes, sizeof record->account.bytes));
	wire_put_u64(out, record->message);
	wire_put_u64(out, (uint64_t)record->internal_date);
	wire_put_short(out, record->mailbox);
	size_t size = out->n - start + sizeof(uint32_t);
	out->p[start + 4] = (char)(size & 0xff);
	out->p[start + 5] = (char)(size >> 8);
	wire_put_u32(out, (uint32_t)XXH3_64bits(out->p + start, out->n - start));
}

/* A checksum that begins. Out of memory ends the process, as mem_alloc does. */
static XXH3_state_t *new_sum(void)
{
	XXH3_state_t *sum = XXH3_createState();
	if (!sum)
		abort();
	XXH3_64bits_reset(sum);
	return sum;
}

/* Copies the file's part behind the pieces straight into the segment, at `at`, and adds it to the checksum. */
static int copy_file(int from, uint64_t start, uint64_t length, int to, uint64_t at, XXH3_state_t *sum)
{
	char *chunk = mem_alloc_unset(COPY_CHUNK);
	uint64_t done = 0;
	int result = 0;
	while (done < length && result == 0) {
		ssize_t got = pread(from, chunk, (size_t)MIN(length - done, (uint64_t)COPY_CHUNK),
		                    (off_t)(start + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			result = ERR_IO;
			break;
		}
		XXH3_64bits_update(sum, chunk, (size_t)got);
		result = file_write_at(to, at + done, str_of(chunk, (size_t)got));
		done += (uint64_t)got;
	}
	mem_free(chunk);
	return result;
}

/* A record whose body is partly in a file: written at once, header last. */
static int append_large(struct bodylog *log, struct body_record *record, const struct str *pieces, size_t n_pieces,
                        int file, uint64_t file_start, uint64_t file_length, struct body_place *out)
{
	char room[RECORD_HEADER_MAX];
	struct buf header = { .p = room, .size = sizeof room, .max = sizeof room };
	XXH3_state_t *sum = new_sum();
	int fd, result = bodylog_flush(log);
	if (result == 0)
		result = open_segment(log, log->segment, false, &fd);
	put_header(&header, record); /* for its size: checksum follows */
	uint64_t at = log->flushed + header.n;
	for (size_t i = 0; i < n_pieces && result == 0; i++) {
		XXH3_64bits_update(sum, pieces[i].p, pieces[i].n);
		result = file_write_at(fd, at, pieces[i]);
		at += pieces[i].n;
	}
	if (result == 0)
		result = copy_file(file, file_start, file_length, fd, at, sum);
	if (result == 0) {
		record->checksum = XXH3_64bits_digest(sum);
		buf_clear(&header);
		put_header(&header, record);
		result = file_write_at(fd, log->flushed, buf_str(&header));
	}
	if (result == 0) {
		*out = (struct body_place){ log->segment, log->flushed + header.n, record->checksum };
		log->flushed += header.n + record->length;
		log->size = MAX(log->size, log->flushed);
		log->unsynced = true;
		log->unsynced_bytes += record->length;
	}
	XXH3_freeState(sum);
	return result;
}

static uint64_t checksum_of(const struct str *pieces, size_t n)
{
	if (n == 1)
		return XXH3_64bits(pieces[0].p, pieces[0].n);
	XXH3_state_t *sum = new_sum();
	for (size_t i = 0; i < n; i++)
		XXH3_64bits_update(sum, pieces[i].p, pieces[i].n);
	uint64_t digest = XXH3_64bits_digest(sum);
	XXH3_freeState(sum);
	return digest;
}

int bodylog_append(struct bodylog *log, const struct body_record *facts, const struct str *pieces, size_t n_pieces,
                   int fd, uint64_t file_length, struct body_place *out)
{
	return bodylog_append_part(log, facts, pieces, n_pieces, fd, 0, file_length, out);
}

int bodylog_append_part(struct bodylog *log, const struct body_record *facts, const struct str *pieces, size_t n_pieces,
                        int fd, uint64_t file_start, uint64_t file_length, struct body_place *out)
{
	struct body_record record = *facts;
	uint64_t memory = RECORD_HEADER_MAX;
	record.length = fd >= 0 ? file_length : 0;
	for (size_t i = 0; i < n_pieces; i++) {
		record.length += pieces[i].n;
		memory += pieces[i].n;
	}
	if (fd >= 0 || memory > BODYLOG_BUFFER_MAX)
		return append_large(log, &record, pieces, n_pieces, fd, file_start, fd >= 0 ? file_length : 0, out);
	if (log->waiting.n + memory > BODYLOG_BUFFER_MAX) {
		int result = bodylog_flush(log);
		if (result < 0)
			return result;
	}
	record.checksum = checksum_of(pieces, n_pieces);
	put_header(&log->waiting, &record);
	*out = (struct body_place){ log->segment, log->flushed + log->waiting.n, record.checksum };
	for (size_t i = 0; i < n_pieces; i++)
		buf_add(&log->waiting, pieces[i]);
	log->unsynced = true;
	return 0;
}

/* Zeros behind what was written, if that pays. Where they find no room, there is none made: the record is written. */
static void make_room(struct bodylog *log, int fd)
{
	uint64_t end = log->flushed + log->waiting.n;
	size_t n = ahead_wanted(log->size, end, log->waiting.n);
	log->size = MAX(log->size, end);
	if (n > 0 && file_write_at(fd, end, str_of(ahead_zeros, n)) == 0)
		log->size = end + n;
}

int bodylog_flush(struct bodylog *log)
{
	int fd, result = open_segment(log, log->segment, false, &fd);
	if (result < 0 || log->waiting.n == 0)
		return result;
	result = file_write_at(fd, log->flushed, buf_str(&log->waiting));
	if (result < 0)
		return result;
	make_room(log, fd);
	log->flushed += log->waiting.n;
	buf_clear(&log->waiting);
	return 0;
}

void bodylog_position(const struct bodylog *log, uint32_t *segment, uint64_t *end)
{
	*segment = log->segment;
	*end = log->flushed + log->waiting.n;
}

void bodylog_rewind(struct bodylog *log, uint32_t segment, uint64_t end)
{
	buf_clear(&log->waiting);
	log->segment = segment;
	log->flushed = log->size = end; /* what the file has behind it is overwritten */
	log->unsynced = false;
}

int bodylog_roll(struct bodylog *log)
{
	int fd, result;
	if (log->held > 0 || !bodylog_is_full(log))
		return 0;
	result = give_room_back(log);
	if (result == 0)
		result = open_segment(log, log->segment + 1, true, &fd);
	if (result < 0)
		return result;
	log->folder_unsynced = true;
	if (ftruncate(fd, 0) < 0)
		return err_from_errno(errno);
	log->segment++;
	log->flushed = log->size = 0;
	log->ends = false;
	return 0;
}

bool bodylog_end_segment(struct bodylog *log)
{
	log->ends = log->segment < BODYLOG_SEGMENT_MAX;
	return log->ends;
}

bool bodylog_needs_sync(const struct bodylog *log)
{
	return log->unsynced;
}

int bodylog_sync_fd(const struct bodylog *log)
{
	return log->fds[log->segment];
}

void bodylog_synced(struct bodylog *log)
{
	log->unsynced = false;
	log->unsynced_bytes = 0;
}

bool bodylog_folder_needs_sync(const struct bodylog *log)
{
	return log->folder_unsynced;
}

int bodylog_folder_fd(const struct bodylog *log)
{
	return log->folder;
}

void bodylog_folder_synced(struct bodylog *log)
{
	log->folder_unsynced = false;
}

int bodylog_file(struct bodylog *log, uint32_t segment, uint64_t end, int *fd)
{
	if (segment == log->segment && end > log->flushed) {
		int result = bodylog_flush(log);
		if (result < 0)
			return result;
		if (end > log->flushed)
			return ERR_CORRUPT;
	}
	return open_segment(log, segment, false, fd);
}

/* --- reading and moving records --- */

int body_record_decode(struct str bytes, struct body_record *out)
{
	struct wire_reader r = wire_reader(bytes);
	uint32_t magic = wire_get_u32(&r);
	uint16_t size = wire_get_u16(&r);
	if (r.failed || magic != RECORD_MAGIC || size < RECORD_HEADER_MIN || size > bytes.n)
		return ERR_CORRUPT;
	r.end = r.p - 6 + size;
	struct body_record record = { .zone_minutes = (int16_t)wire_get_u16(&r) };
	record.length = wire_get_u64(&r);
	record.checksum = wire_get_u64(&r);
	wire_get_copy(&r, record.account.bytes, sizeof record.account.bytes);
	record.message = wire_get_u64(&r);
	record.internal_date = (int64_t)wire_get_u64(&r);
	record.mailbox = wire_get_short(&r, RECORD_HEADER_MAX);
	uint32_t sum = wire_get_u32(&r);
	if (wire_finish(&r) < 0 || sum != (uint32_t)XXH3_64bits(bytes.p, size - sizeof sum))
		return ERR_CORRUPT;
	*out = record;
	return size;
}

int bodylog_record(struct bodylog *log, uint32_t segment, uint64_t at, uint64_t end, char room[BODYLOG_HEADER_MAX],
                   struct body_record *out, uint64_t *body)
{
	struct body_record record;
	uint64_t record_end;
	size_t got;
	int fd, result = bodylog_file(log, segment, end, &fd);
	if (result == 0)
		result = file_read_at(fd, at, room, RECORD_HEADER_MAX, &got);
	if (result < 0)
		return result;
	int size = body_record_decode(str_of(room, got), &record);
	if (size < 0)
		return size;
	if (!checked_add(at + (uint64_t)size, record.length, &record_end) || record_end > end)
		return ERR_CORRUPT;
	*out = record;
	*body = at + (uint64_t)size;
	return 0;
}

int bodylog_record_of(struct bodylog *log, uint32_t segment, uint64_t body, uint64_t end, char room[BODYLOG_HEADER_MAX],
                      struct body_record *out)
{
	struct body_record record;
	uint64_t record_end;
	size_t n = (size_t)MIN(body, (uint64_t)RECORD_HEADER_MAX), got;
	int fd, result = bodylog_file(log, segment, end, &fd);
	if (result == 0)
		result = file_read_at(fd, body - n, room, n, &got);
	/* what the disk cannot read may be of the record before it */
	while (result == ERR_IO && n / 2 >= RECORD_HEADER_MIN) {
		n /= 2;
		result = file_read_at(fd, body - n, room, n, &got);
	}
	if (result < 0)
		return result;
	for (size_t back = RECORD_HEADER_MIN; back <= got && got == n; back++) {
		if (body_record_decode(str_of(room + n - back, back), &record) != (int)back)
			continue;
		if (!checked_add(body, record.length, &record_end) || record_end > end)
			return ERR_CORRUPT;
		*out = record;
		return 0;
	}
	return ERR_CORRUPT;
}

int bodylog_read(struct bodylog *log, uint32_t segment, uint64_t at, char *to, size_t n)
{
	uint64_t end;
	size_t got;
	int fd, result = checked_add(at, n, &end) ? bodylog_file(log, segment, end, &fd) : ERR_CORRUPT;
	if (result == 0)
		result = file_read_at(fd, at, to, n, &got);
	return result == 0 && got < n ? ERR_CORRUPT : result;
}

void bodylog_will_read(struct bodylog *log, uint32_t segment, uint64_t at, uint64_t n)
{
	int fd;
	if (open_segment(log, segment, false, &fd) == 0)
		(void)posix_fadvise(fd, (off_t)at, (off_t)n, POSIX_FADV_WILLNEED); /* only a hint */
}

struct body_sum {
	XXH3_state_t *state;
};

struct body_sum *body_sum_new(void)
{
	struct body_sum *sum = mem_alloc(1, sizeof *sum);
	sum->state = new_sum();
	return sum;
}

void body_sum_add(struct body_sum *sum, struct str bytes)
{
	XXH3_64bits_update(sum->state, bytes.p, bytes.n);
}

uint64_t body_sum_end(struct body_sum **pointer)
{
	struct body_sum *sum = *pointer;
	*pointer = NULL;
	if (!sum)
		return 0;
	uint64_t digest = XXH3_64bits_digest(sum->state);
	XXH3_freeState(sum->state);
	mem_free(sum);
	return digest;
}

int bodylog_reserve(struct bodylog *log, const struct body_record *record, struct body_place *out)
{
	int fd, result = bodylog_flush(log);
	if (result == 0)
		result = open_segment(log, log->segment, false, &fd);
	if (result < 0)
		return result;
	put_header(&log->waiting, record);
	uint64_t body = log->flushed + log->waiting.n;
	/* the file must not be shorter than its committed end, whatever of the body is there */
	result = ftruncate(fd, (off_t)(body + record->length)) < 0 ? err_from_errno(errno) : bodylog_flush(log);
	if (result < 0) {
		buf_clear(&log->waiting);
		return result;
	}
	*out = (struct body_place){ log->segment, body };
	log->flushed = log->size = body + record->length;
	log->unsynced = true;
	log->held++;
	return 0;
}

int bodylog_fill(struct bodylog *log, const struct body_place *place, uint64_t at, struct str bytes)
{
	if (place->segment != log->segment)
		return ERR_STATE;
	log->unsynced = true;
	log->unsynced_bytes += bytes.n;
	return file_write_at(log->fds[log->segment], place->offset + at, bytes);
}

void bodylog_release(struct bodylog *log)
{
	log->held--;
}

void bodylog_filled(struct bodylog *log)
{
	log->unsynced = true;
}

bool bodylog_is_filling(const struct bodylog *log)
{
	return log->held > 0;
}

bool bodylog_is_full(const struct bodylog *log)
{
	return log->ends || log->flushed + log->waiting.n >= log->segment_size;
}

uint64_t bodylog_unsynced(const struct bodylog *log)
{
	return log->unsynced_bytes;
}

int bodylog_remove(struct bodylog *log, uint32_t segment, int *fd)
{
	char name[32];
	if (segment == log->segment)
		return ERR_STATE;
	snprintf(name, sizeof name, "%06u.seg", segment);
	if (unlinkat(log->folder, name, 0) < 0 && errno != ENOENT)
		return err_from_errno(errno);
	log->folder_unsynced = true;
	*fd = -1;
	if (segment < log->n_fds) {
		*fd = log->fds[segment];
		log->fds[segment] = -1;
	}
	return 0;
}
