/* backup_copy.c: bytes into the folder of backups, with their checksums, synced. Nothing that a generation knows is
 * ever overwritten: a segment's file is only written behind its known pieces. */
#include "proc/ctl/backup.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/bodylog.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CHUNK          ((size_t)256 * 1024)
#define SECTOR         ((size_t)4096) /* what is lost at least where a disk cannot be read */
#define ALIVE_EVERY_MS 10000
#define TAIL           ((uint64_t)64 * 1024) /* bytes that tell whether a segment is the same as before */

int work_done(struct backup_work *work, uint64_t bytes)
{
	work->bytes += bytes;
	progress_set(&work->progress, work->bytes, work->items);
	uint64_t now = clock_monotonic_ms();
	if (!work->alive || now - work->alive_ms < ALIVE_EVERY_MS)
		return 0;
	work->alive_ms = now;
	return work->alive(work->owner, work->problem);
}

/* From one file into another (to -1: nowhere) with the sum of all. */
static int pump(int from, int to, struct backup_work *work, uint64_t *size, uint64_t *sum)
{
	char *chunk = mem_alloc_unset(CHUNK);
	struct body_sum *all = body_sum_new();
	uint64_t at = 0;
	size_t got = CHUNK;
	int result = 0;
	while (result == 0 && got == CHUNK) {
		result = file_read_at(from, at, chunk, CHUNK, &got);
		if (result == 0 && to >= 0)
			result = file_write_at(to, at, str_of(chunk, got));
		if (result < 0)
			break;
		body_sum_add(all, str_of(chunk, got));
		at += got;
		result = work_done(work, got);
	}
	*size = at;
	*sum = body_sum_end(&all);
	mem_free(chunk);
	return result;
}

int copy_whole(int from, int folder, const char *name, struct backup_work *work, uint64_t *size, uint64_t *sum)
{
	int to = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return err_from_errno(errno);
	int result = pump(from, to, work, size, sum);
	if (result == 0 && fsync(to) < 0)
		result = ERR_IO;
	close(to);
	return result;
}

int sum_whole(int folder, const char *name, struct backup_work *work, uint64_t *size, uint64_t *sum)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_from_errno(errno);
	int result = pump(fd, -1, work, size, sum);
	if (result == 0 && fsync(fd) < 0)
		result = ERR_IO;
	close(fd);
	return result;
}

/* --- segments --- */

bool read_or_zeros(int from, uint64_t at, char *to, size_t n, uint64_t *lost)
{
	size_t got = 0, step;
	bool whole = true;
	int result = from < 0 ? ERR_NOT_FOUND : file_read_at(from, at, to, n, &got);
	if (result == 0 && got == n)
		return true;
	if (result < 0 && from >= 0 && n > SECTOR) {
		for (size_t i = 0; i < n; i += step) {
			uint64_t here;
			step = MIN(n - i, (size_t)(SECTOR - (at + i) % SECTOR));
			if (!read_or_zeros(from, at + i, to + i, step, &here) && whole) {
				*lost = here;
				whole = false;
			}
		}
		return whole;
	}
	got = result < 0 ? 0 : got;
	memset(to + got, 0, n - got);
	*lost = at + got;
	return false;
}

int segment_continues(const struct repository *repository, int from, const struct backup_segment *known, bool all,
                      struct backup_work *work, bool *continues, bool *lost)
{
	char path[BACKUP_NAME_MAX * 2];
	segment_path(known, path);
	int fd = openat(repository->folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), result = 0;
	*continues = *lost = false;
	if (fd < 0)
		return errno == ENOENT ? 0 : ERR_IO;
	char *room = mem_alloc_unset(2 * TAIL);
	bool same = true;
	for (uint64_t at = all ? 0 : known->end - MIN(known->end, TAIL); at < known->end && same && result == 0;) {
		size_t n = (size_t)MIN(known->end - at, TAIL), here = 0, there = 0;
		int readable = file_read_at(fd, at, room, n, &here);
		bool lacks = from < 0 || file_read_at(from, at, room + TAIL, n, &there) < 0 || there < n;
		*lost |= lacks;
		same = readable == 0 && here == n && (lacks || memcmp(room, room + TAIL, n) == 0);
		at += n;
		result = all ? work_done(work, 0) : readable; /* of what is doubted nothing is needed */
	}
	*continues = result == 0 && same;
	*lost &= same;
	mem_free(room);
	close(fd);
	return result;
}

struct piece_copy {
	int from, to;
	uint64_t at, end;
	char *room, *present; /* CHUNK each */
	struct segment_copied *out;
};

/* A chunk; not written again where an interrupted run wrote the same. */
static int copy_chunk(struct piece_copy *copy, struct body_sum *sum, struct backup_work *work, size_t n)
{
	uint64_t lost;
	size_t there;
	if (!read_or_zeros(copy->from, copy->at, copy->room, n, &lost)) {
		copy->out->lost = copy->out->damaged ? copy->out->lost : lost;
		copy->out->damaged = true;
	}
	int result = file_read_at(copy->to, copy->at, copy->present, n, &there);
	if (result == 0 && (there < n || memcmp(copy->room, copy->present, n) != 0)) {
		result = file_write_at(copy->to, copy->at, str_of(copy->room, n));
		copy->out->written += n;
	}
	if (result < 0)
		return result;
	body_sum_add(sum, str_of(copy->room, n));
	copy->at += n;
	return work_done(work, n);
}

static int copy_pieces(struct piece_copy *copy, struct backup_segment *segment, struct backup_work *work)
{
	int result = 0;
	while (copy->at < copy->end && result == 0) {
		uint64_t piece_end = MIN(copy->end, copy->at + BACKUP_PIECE);
		struct body_sum *sum = body_sum_new();
		while (copy->at < piece_end && result == 0)
			result = copy_chunk(copy, sum, work, (size_t)MIN(piece_end - copy->at, (uint64_t)CHUNK));
		uint64_t digest = body_sum_end(&sum);
		if (result == 0)
			segment_add_piece(segment, piece_end, digest);
	}
	return result;
}

int copy_segment(const struct repository *repository, int from, uint64_t end, struct backup_segment *segment,
                 struct backup_work *work, struct segment_copied *out)
{
	char path[BACKUP_NAME_MAX * 2];
	segment_path(segment, path);
	*out = (struct segment_copied){ 0 };
	int to = openat(repository->folder, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return err_from_errno(errno);
	struct piece_copy copy = { .from = from,
		                       .to = to,
		                       .at = segment->end,
		                       .end = end,
		                       .room = mem_alloc_unset(CHUNK),
		                       .present = mem_alloc_unset(CHUNK),
		                       .out = out };
	int result = copy_pieces(&copy, segment, work);
	if (result == 0 && fdatasync(to) < 0)
		result = ERR_IO;
	mem_free(copy.room);
	mem_free(copy.present);
	close(to);
	return result;
}
