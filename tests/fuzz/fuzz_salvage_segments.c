/* A damaged segment as salvage reads it: reading ends, and each record that is found is whole. */
#include "base/checked.h"
#include "store/salvage_segments.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note_damage(void *owner, uint32_t segment, uint64_t offset, const char *problem)
{
	if (offset >= *(const size_t *)owner)
		abort();
}

static void note_progress(void *owner, uint64_t bytes, uint64_t total)
{
	if (bytes > total)
		abort();
}

static void check(const struct salvage_segments *segments, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < segments->n_records; i++) {
		const struct salvage_record *record = &segments->records[i];
		size_t n;
		if (record->offset > size || record->length > size - record->offset || record->mailbox >= segments->n_names ||
		    XXH3_64bits(data + record->offset, record->length) != record->checksum)
			abort();
		const struct salvage_record *first = salvage_records_of(segments, &record->account, &n);
		if (!first || record < first || record >= first + n ||
		    salvage_record_at(segments, record->segment, record->offset) != record)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct salvage_scan_world world = { note_damage, note_progress };
	struct salvage_segments segments;
	char folder[64], file[96];
	snprintf(folder, sizeof folder, "%s/mansio-fuzz-%ld", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
	         (long)getpid());
	snprintf(file, sizeof file, "%s/000001.seg", folder);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		abort();
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
	if (salvage_segments_scan(str_from_c(folder), &world, &size, &segments) == 0)
		check(&segments, data, size);
	salvage_segments_free(&segments);
	(void)unlink(file);
	(void)rmdir(folder);
	return 0;
}
