/* salvage_segments.c: reads segments record by record, trusting nothing but checksums. Owns what it found, and nothing
 * of the files. A place that is no record costs only what lies up to the next valid header: in a message that is broken
 * itself the search for it begins behind the message if another one begins there, so that what somebody wrote into a
 * mail is not taken for a record of ours. */
#include "store/salvage_segments.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/ahead.h"
#include "db/bodylog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW        ((size_t)1024 * 1024)
#define NAMES_MAX     1000000

struct scan {
	struct salvage_segments *found;
	const struct salvage_scan_world *world;
	void *owner;
	size_t size_records, size_broken, size_names;
	uint64_t done; /* bytes of earlier files */
	uint32_t *buckets; /* of names: number + 1; 0: free */
	uint32_t n_buckets;
	/* the file being read */
	int fd;
	uint32_t segment;
	uint64_t size;
	char *window;
	uint64_t window_at;
	size_t window_n;
};

/* --- bytes of one file --- */

/* Up to n bytes (at most WINDOW) from `at`; fewer only at the end of the file. Valid until the next call. */
static struct str bytes_at(struct scan *scan, uint64_t at, size_t n)
{
	n = (size_t)MIN((uint64_t)n, scan->size - MIN(at, scan->size));
	if (at < scan->window_at || at + n > scan->window_at + scan->window_n) {
		scan->window_at = at;
		scan->window_n = file_read_or_zeros(scan->fd, at, scan->window, (size_t)MIN((uint64_t)WINDOW, scan->size - at));
		scan->world->progress(scan->owner, scan->done + at, scan->found->bytes);
	}
	return str_of(scan->window + (at - scan->window_at), MIN(n, scan->window_n - (size_t)(at - scan->window_at)));
}

static int header_at(struct scan *scan, uint64_t at, struct body_record *out)
{
	return body_record_decode(bytes_at(scan, at, BODYLOG_HEADER_MAX), out);
}

/* Where the next valid header begins, at `at` or later; the end of the file if there is none. */
static uint64_t next_header(struct scan *scan, uint64_t at)
{
	struct body_record record;
	while (at < scan->size) {
		struct str bytes = bytes_at(scan, at, WINDOW / 2);
		const char *hit = memmem(bytes.p, bytes.n, BODYLOG_MAGIC, sizeof BODYLOG_MAGIC - 1);
		if (!hit && (at + bytes.n >= scan->size || bytes.n < sizeof BODYLOG_MAGIC))
			return scan->size;
		if (!hit) {
			at += bytes.n - (sizeof BODYLOG_MAGIC - 2);
			continue;
		}
		at += (uint64_t)(hit - bytes.p);
		if (header_at(scan, at, &record) > 0)
			return at;
		at++;
	}
	return scan->size;
}

static uint64_t checksum_of(struct scan *scan, uint64_t at, uint64_t length)
{
	struct body_sum *sum = body_sum_new();
	while (length > 0) {
		struct str bytes = bytes_at(scan, at, (size_t)MIN(length, (uint64_t)WINDOW));
		if (bytes.n == 0)
			break;
		body_sum_add(sum, bytes);
		at += bytes.n;
		length -= bytes.n;
	}
	return body_sum_end(&sum);
}

/* --- what was found --- */

static void grow_buckets(struct scan *scan)
{
	const struct salvage_segments *found = scan->found;
	scan->n_buckets = scan->n_buckets ? scan->n_buckets * 2 : 1024;
	mem_free(scan->buckets);
	scan->buckets = mem_alloc(scan->n_buckets, sizeof *scan->buckets);
	for (uint32_t i = 0; i < found->n_names; i++) {
		uint32_t at = (uint32_t)str_hash(found->names[i]) & (scan->n_buckets - 1);
		while (scan->buckets[at])
			at = (at + 1) & (scan->n_buckets - 1);
		scan->buckets[at] = i + 1;
	}
}

/* The number of a mailbox's name; names beyond the maximum become the first. */
static uint32_t name_number(struct scan *scan, struct str name)
{
	struct salvage_segments *found = scan->found;
	if (found->n_names * 2 >= scan->n_buckets)
		grow_buckets(scan);
	uint32_t at = (uint32_t)str_hash(name) & (scan->n_buckets - 1);
	for (; scan->buckets[at]; at = (at + 1) & (scan->n_buckets - 1))
		if (str_eq(found->names[scan->buckets[at] - 1], name))
			return scan->buckets[at] - 1;
	if (found->n_names == NAMES_MAX)
		return 0;
	if (found->n_names == scan->size_names) {
		scan->size_names = scan->size_names ? scan->size_names * 2 : 64;
		found->names = mem_resize(found->names, scan->size_names, sizeof *found->names);
	}
	found->names[found->n_names++] = str_of(mem_copy(name), name.n);
	scan->buckets[at] = found->n_names;
	return found->n_names - 1;
}

static int add_record(struct scan *scan, const struct body_record *record, uint32_t name, uint64_t body)
{
	struct salvage_segments *found = scan->found;
	if (found->n_records == SALVAGE_RECORDS_MAX)
		return ERR_LIMIT;
	if (found->n_records == scan->size_records) {
		scan->size_records = scan->size_records ? scan->size_records * 2 : 1024;
		found->records = mem_resize(found->records, scan->size_records, sizeof *found->records);
	}
	found->records[found->n_records++] = (struct salvage_record){ .account = record->account, .message = record->message,
		.offset = body, .length = record->length, .checksum = record->checksum, .internal_date = record->internal_date,
		.segment = scan->segment, .mailbox = name, .zone_minutes = record->zone_minutes };
	return 0;
}

static void add_broken(struct scan *scan, const struct body_record *record, uint64_t at, const char *problem)
{
	struct salvage_segments *found = scan->found;
	if (found->n_broken == scan->size_broken) {
		scan->size_broken = scan->size_broken ? scan->size_broken * 2 : 64;
		found->broken = mem_resize(found->broken, scan->size_broken, sizeof *found->broken);
	}
	found->broken[found->n_broken++] =
		(struct salvage_broken){ record->account, record->message, at, scan->segment };
	scan->world->damage(scan->owner, scan->segment, at, problem);
}

/* --- one file --- */

/* The record whose header was decoded at `at`; *next: where the one after it begins. */
static int read_record(struct scan *scan, const struct body_record *decoded, uint64_t at, uint64_t body, uint64_t *next)
{
	struct body_record record = *decoded, after;
	uint64_t end;
	uint32_t name = name_number(scan, record.mailbox); /* before the window moves under its slice */
	if (record.message == 0 || !checked_add(body, record.length, &end) || end > scan->size) {
		add_broken(scan, &record, at, "the file ends before this message does");
		*next = next_header(scan, body);
		return 0;
	}
	*next = end;
	if (checksum_of(scan, body, record.length) == record.checksum)
		return add_record(scan, &record, name, body);
	add_broken(scan, &record, at, "the bytes of this message are not those that came in");
	if (end < scan->size && header_at(scan, end, &after) < 0)
		*next = next_header(scan, body);
	return 0;
}

/* What the log had made room for when it ended (db/ahead.h). */
static bool is_room(struct scan *scan, uint64_t at)
{
	while (at < scan->size) {
		struct str bytes = bytes_at(scan, at, AHEAD_ROOM);
		if (bytes.n == 0 || memcmp(bytes.p, ahead_zeros, bytes.n) != 0)
			return false;
		at += bytes.n;
	}
	return true;
}

static int read_file(struct scan *scan)
{
	uint64_t at = 0;
	int result = 0;
	while (at < scan->size && result == 0) {
		struct body_record record;
		int header = header_at(scan, at, &record);
		if (header > 0) {
			result = read_record(scan, &record, at, at + (uint64_t)header, &at);
			continue;
		}
		if (is_room(scan, at))
			break;
		scan->world->damage(scan->owner, scan->segment, at, "no message begins here");
		at = next_header(scan, at + 1);
	}
	return result;
}

static int scan_file(struct scan *scan, const struct salvage_segment *file)
{
	int result = salvage_segment_open(scan->found, file->number, &scan->fd);
	if (result < 0)
		return result;
	scan->segment = file->number;
	scan->size = file->size;
	scan->window_n = 0;
	result = read_file(scan);
	close(scan->fd);
	scan->done += file->size;
	return result;
}

/* --- the folder --- */

static int by_number(const void *a, const void *b)
{
	const struct salvage_segment *x = a, *y = b;
	return (x->number > y->number) - (x->number < y->number);
}

static int by_message(const void *a, const void *b)
{
	const struct salvage_record *x = a, *y = b;
	int order = memcmp(&x->account, &y->account, sizeof x->account);
	if (order == 0)
		order = (x->message > y->message) - (x->message < y->message);
	if (order == 0)
		order = (x->segment > y->segment) - (x->segment < y->segment);
	return order ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

/* "000017.seg" */
static bool is_segment(const char *name, uint32_t *number)
{
	struct str text = str_from_c(name);
	uint64_t n;
	if (!str_ends(text, STR(".seg")) || str_to_u64(str_first(text, text.n - 4), BODYLOG_SEGMENT_MAX, &n) < 0 || n == 0)
		return false;
	*number = (uint32_t)n;
	return true;
}

static int list_files(struct salvage_segments *found)
{
	int again = openat(found->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = again < 0 ? NULL : fdopendir(again);
	struct stat about;
	uint32_t number;
	if (!folder) {
		int result = err_from_errno(errno);
		if (again >= 0)
			close(again);
		return result;
	}
	for (struct dirent *entry; (entry = readdir(folder));) {
		if (!is_segment(entry->d_name, &number) ||
		    fstatat(found->folder, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(about.st_mode))
			continue;
		found->files = mem_resize(found->files, found->n_files + 1, sizeof *found->files);
		found->files[found->n_files++] = (struct salvage_segment){ number, (uint64_t)about.st_size };
		found->bytes += (uint64_t)about.st_size;
	}
	closedir(folder);
	if (found->n_files)
		qsort(found->files, found->n_files, sizeof *found->files, by_number);
	return 0;
}

int salvage_segments_scan(struct str path, const struct salvage_scan_world *world, void *owner,
                          struct salvage_segments *out)
{
	char *folder = mem_copy(path);
	int result = 0;
	*out = (struct salvage_segments){ .folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	mem_free(folder);
	if (out->folder < 0)
		return errno == ENOENT ? 0 : err_from_errno(errno);
	struct scan scan = { .found = out, .world = world, .owner = owner, .window = mem_alloc_unset(WINDOW) };
	result = list_files(out);
	for (size_t i = 0; i < out->n_files && result == 0; i++)
		result = scan_file(&scan, &out->files[i]);
	if (out->n_records)
		qsort(out->records, out->n_records, sizeof *out->records, by_message);
	mem_free(scan.window);
	mem_free(scan.buckets);
	return result;
}

void salvage_segments_free(struct salvage_segments *segments)
{
	for (uint32_t i = 0; i < segments->n_names; i++)
		mem_free((char *)segments->names[i].p);
	mem_free(segments->names);
	mem_free(segments->files);
	mem_free(segments->records);
	mem_free(segments->broken);
	if (segments->folder >= 0)
		close(segments->folder);
	*segments = (struct salvage_segments){ .folder = -1 };
}

const struct salvage_record *salvage_records_of(const struct salvage_segments *segments, const struct account_id *account,
                                                size_t *n)
{
	size_t low = 0, high = segments->n_records;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (memcmp(&segments->records[middle].account, account, sizeof *account) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (high = low; high < segments->n_records; high++)
		if (memcmp(&segments->records[high].account, account, sizeof *account) != 0)
			break;
	*n = high - low;
	return *n ? segments->records + low : NULL;
}

const struct salvage_record *salvage_record_at(const struct salvage_segments *segments, uint32_t segment,
                                               uint64_t offset)
{
	for (size_t i = 0; i < segments->n_records; i++)
		if (segments->records[i].segment == segment && segments->records[i].offset == offset)
			return &segments->records[i];
	return NULL;
}

int salvage_segment_open(const struct salvage_segments *segments, uint32_t segment, int *fd)
{
	char name[32];
	snprintf(name, sizeof name, "%06u.seg", segment);
	int opened = openat(segments->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (opened < 0)
		return err_from_errno(errno);
	*fd = opened;
	return 0;
}
