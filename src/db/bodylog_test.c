/* Tests of the body log: what was appended is read back, the header says what it must, ends are cut and taken back. */
#include "db/bodylog.h"

#include "base/mem.h"
#include "base/test_folder.h"
#include "base/wire.h"
#include "db/ahead.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

#define SEGMENT_SIZE 10000

struct place {
	char folder[TEST_FOLDER_SIZE];
	struct bodylog *log;
};

static void open_log(struct place *place, uint32_t segment, uint64_t end)
{
	assert_int_equal(bodylog_open(str_from_c(place->folder), SEGMENT_SIZE, segment, end, &place->log), 0);
}

static int set_up(void **state)
{
	static struct place place;
	if (!test_folder_make(place.folder, "bodylog-test"))
		return -1;
	open_log(&place, 1, 0);
	*state = &place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	bodylog_close(&place->log);
	for (uint32_t i = 1; i < 5; i++) {
		char path[128];
		snprintf(path, sizeof path, "%s/%06u.seg", place->folder, i);
		unlink(path);
	}
	return rmdir(place->folder);
}

static const struct body_record record = { .account = { { 1, 2, 3 } }, .message = 77, .internal_date = 1234567890, .zone_minutes = -330,
	                                   .mailbox = STR_INIT("INBOX/caf\xc3\xa9") };

static struct body_place append(struct place *place, struct str text)
{
	struct body_place at;
	const struct str pieces[] = { str_first(text, 3), str_from(text, 3) };
	assert_int_equal(bodylog_append(place->log, &record, pieces, 2, -1, 0, &at), 0);
	return at;
}

static void assert_body(struct place *place, struct body_place at, struct str text)
{
	int fd;
	char *read = mem_alloc(1, text.n);
	assert_int_equal(bodylog_file(place->log, at.segment, at.offset + text.n, &fd), 0);
	assert_int_equal(pread(fd, read, text.n, (off_t)at.offset), text.n);
	assert_memory_equal(read, text.p, text.n);
	mem_free(read);
}

static uint64_t file_size(struct place *place, uint32_t segment)
{
	struct stat st;
	char path[128];
	snprintf(path, sizeof path, "%s/%06u.seg", place->folder, segment);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void what_is_appended_is_read_back(void **state)
{
	struct place *place = *state;
	struct body_place first = append(place, STR("first body")), second = append(place, STR("the second"));
	uint32_t segment;
	uint64_t end;
	int fd;
	assert_int_equal(file_size(place, 1), 0); /* still in memory */
	assert_true(bodylog_needs_sync(place->log));
	assert_body(place, second, STR("the second")); /* reading flushes */
	assert_body(place, first, STR("first body"));
	bodylog_position(place->log, &segment, &end);
	assert_int_equal(end, second.offset + 10);
	assert_int_equal(file_size(place, 1), AHEAD_ROOM);
	assert_int_equal(bodylog_file(place->log, 1, end + 1, &fd), ERR_CORRUPT);
	assert_int_equal(bodylog_file(place->log, 2, 1, &fd), ERR_NOT_FOUND);
	assert_int_equal(bodylog_file(place->log, 0, 1, &fd), ERR_NOT_FOUND);
	bodylog_synced(place->log);
	assert_false(bodylog_needs_sync(place->log));
}

static void the_header_is_enough_to_rebuild_from(void **state)
{
	struct place *place = *state;
	struct body_place at = append(place, STR("some bytes"));
	unsigned char header[512];
	int fd;
	assert_int_equal(bodylog_file(place->log, 1, at.offset + 10, &fd), 0);
	assert_int_equal(pread(fd, header, at.offset, 0), at.offset);
	struct wire_reader r = wire_reader(str_of((const char *)header, at.offset));
	assert_memory_equal(header, "MSB1", 4);
	wire_get_u32(&r);
	assert_int_equal(wire_get_u16(&r), at.offset);
	assert_int_equal((int16_t)wire_get_u16(&r), -330);
	assert_int_equal(wire_get_u64(&r), 10);
	assert_int_equal(wire_get_u64(&r), XXH3_64bits("some bytes", 10));
	assert_memory_equal(wire_get_bytes(&r, ACCOUNT_ID_SIZE).p, record.account.bytes, ACCOUNT_ID_SIZE);
	assert_int_equal(wire_get_u64(&r), 77);
	assert_int_equal(wire_get_u64(&r), 1234567890);
	assert_true(str_eq(wire_get_short(&r, 100), record.mailbox));
	assert_int_equal(wire_get_u32(&r), (uint32_t)XXH3_64bits(header, at.offset - 4));
	assert_int_equal(wire_finish(&r), 0);
}

static void a_file_goes_in_behind_the_pieces(void **state)
{
	struct place *place = *state;
	int fd = memfd_create("message", MFD_CLOEXEC);
	struct body_place at, before = append(place, STR("before"));
	struct str head = STR("Received: us\r\n");
	struct buf all = BUF_INIT(2 * 1024 * 1024);
	assert_true(fd >= 0);
	buf_add(&all, head);
	for (uint32_t i = 0; all.n < 1000000; i++)
		buf_addf(&all, "line %u\r\n", i);
	struct str body = str_from(buf_str(&all), head.n);
	assert_int_equal(write(fd, body.p, body.n), body.n);
	assert_int_equal(bodylog_append(place->log, &record, &head, 1, fd, body.n, &at), 0);
	assert_body(place, at, buf_str(&all));
	assert_body(place, before, STR("before"));
	struct body_place failed;
	uint32_t segment;
	uint64_t end, end_after;
	bodylog_position(place->log, &segment, &end);
	assert_int_equal(bodylog_append(place->log, &record, &head, 1, fd, body.n + 1, &failed), ERR_IO); /* shorter than said */
	bodylog_position(place->log, &segment, &end_after);
	assert_int_equal(end, end_after);
	assert_body(place, append(place, STR("after")), STR("after"));
	assert_body(place, at, buf_str(&all));
	close(fd);
	buf_free(&all);
}

static void more_than_the_buffer_holds_goes_in_too(void **state)
{
	struct place *place = *state;
	char *large = mem_alloc(1, BODYLOG_BUFFER_MAX + 5);
	memset(large, 'x', BODYLOG_BUFFER_MAX + 5);
	struct body_place first = append(place, STR("first"));
	struct body_place at = append(place, str_of(large, BODYLOG_BUFFER_MAX + 5)), half = append(place, str_of(large, BODYLOG_BUFFER_MAX / 2 + 1));
	struct body_place more = append(place, str_of(large, BODYLOG_BUFFER_MAX / 2));
	assert_body(place, at, str_of(large, BODYLOG_BUFFER_MAX + 5));
	assert_body(place, half, str_of(large, BODYLOG_BUFFER_MAX / 2 + 1));
	assert_body(place, more, str_of(large, BODYLOG_BUFFER_MAX / 2));
	assert_body(place, first, STR("first"));
	mem_free(large);
}

static void rewinding_forgets_what_came_after(void **state)
{
	struct place *place = *state;
	uint32_t segment;
	uint64_t end;
	struct body_place kept = append(place, STR("kept")), lost;
	assert_int_equal(bodylog_flush(place->log), 0);
	bodylog_position(place->log, &segment, &end);
	lost = append(place, STR("lost, and written"));
	assert_int_equal(bodylog_flush(place->log), 0);
	append(place, STR("lost in memory"));
	bodylog_rewind(place->log, segment, end);
	struct body_place next = append(place, STR("next"));
	assert_int_equal(next.offset, lost.offset);
	assert_body(place, kept, STR("kept"));
	assert_body(place, next, STR("next"));
}

static void a_full_segment_is_followed_by_a_new_one(void **state)
{
	struct place *place = *state;
	char text[3000];
	struct body_place places[8];
	memset(text, 't', sizeof text);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(bodylog_roll(place->log), 0);
		places[i] = append(place, str_of(text, sizeof text));
		assert_int_equal(bodylog_flush(place->log), 0);
	}
	assert_int_equal(places[3].segment, 1);
	assert_int_equal(places[4].segment, 2);
	for (int i = 0; i < 8; i++)
		assert_body(place, places[i], str_of(text, sizeof text));
	/* a batch that began the segment is taken back, and it is begun again */
	bodylog_rewind(place->log, 1, places[3].offset + sizeof text);
	assert_int_equal(bodylog_roll(place->log), 0);
	struct body_place again = append(place, STR("again"));
	assert_int_equal(again.segment, 2);
	assert_int_equal(again.offset, places[4].offset);
	assert_int_equal(file_size(place, 2), 0);
	assert_body(place, again, STR("again"));
}

static void a_folder_is_to_be_synced_when_a_segment_began_or_went(void **state)
{
	struct place *place = *state;
	struct stat st, folder;
	char text[SEGMENT_SIZE] = { 0 };
	int fd;
	assert_false(bodylog_folder_needs_sync(place->log));
	append(place, str_of(text, sizeof text));
	assert_int_equal(bodylog_flush(place->log), 0);
	assert_false(bodylog_folder_needs_sync(place->log));
	assert_int_equal(bodylog_roll(place->log), 0);
	assert_true(bodylog_folder_needs_sync(place->log));
	assert_int_equal(fstat(bodylog_folder_fd(place->log), &st), 0);
	assert_int_equal(stat(place->folder, &folder), 0);
	assert_true(S_ISDIR(st.st_mode) && st.st_ino == folder.st_ino);
	bodylog_rewind(place->log, 1, sizeof text); /* the file stays in the folder */
	assert_true(bodylog_folder_needs_sync(place->log));
	assert_int_equal(bodylog_roll(place->log), 0);
	bodylog_folder_synced(place->log);
	assert_false(bodylog_folder_needs_sync(place->log));
	assert_int_equal(bodylog_roll(place->log), 0); /* not full: no new one */
	assert_false(bodylog_folder_needs_sync(place->log));
	assert_int_equal(bodylog_remove(place->log, 2, &fd), ERR_STATE);
	assert_false(bodylog_folder_needs_sync(place->log));
	for (int i = 0; i < 2; i++) { /* also when it is gone already: nobody may have synced that */
		assert_int_equal(bodylog_remove(place->log, 1, &fd), 0);
		if (fd >= 0)
			close(fd);
		assert_true(bodylog_folder_needs_sync(place->log));
		bodylog_folder_synced(place->log);
	}
}

static void what_lies_behind_the_committed_end_is_cut_off_at_open(void **state)
{
	struct place *place = *state;
	struct body_place kept = append(place, STR("kept"));
	append(place, STR("not committed"));
	assert_int_equal(bodylog_flush(place->log), 0);
	bodylog_close(&place->log);
	open_log(place, 1, kept.offset + 4);
	assert_int_equal(file_size(place, 1), kept.offset + 4);
	assert_body(place, kept, STR("kept"));
	assert_body(place, append(place, STR("new")), STR("new"));
	bodylog_close(&place->log);
	assert_int_equal(bodylog_open(str_from_c(place->folder), SEGMENT_SIZE, 1, 100000, &place->log), ERR_CORRUPT); /* a part is missing */
}

static void a_small_record_makes_room_for_the_next_ones_and_the_end_gives_it_back(void **state)
{
	struct place *place = *state;
	static char large[AHEAD_SMALL + 1];
	char zeros[100] = { 0 }, read[100];
	uint32_t segment;
	uint64_t end, size = 0;
	int fd;
	for (int i = 0; i < 10; i++) {
		append(place, STR("small"));
		assert_int_equal(bodylog_flush(place->log), 0);
		assert_int_equal(file_size(place, 1), AHEAD_ROOM);
	}
	bodylog_position(place->log, &segment, &end);
	assert_int_equal(bodylog_file(place->log, 1, end, &fd), 0);
	assert_int_equal(pread(fd, read, sizeof read, (off_t)end), sizeof read);
	assert_memory_equal(read, zeros, sizeof read);
	while (size <= AHEAD_ROOM) { /* not by large ones: they would be written twice */
		append(place, str_of(large, sizeof large));
		assert_int_equal(bodylog_flush(place->log), 0);
		bodylog_position(place->log, &segment, &size);
	}
	assert_int_equal(file_size(place, 1), size);
	append(place, STR("small"));
	assert_int_equal(bodylog_flush(place->log), 0);
	assert_int_equal(file_size(place, 1), 2 * AHEAD_ROOM);
	bodylog_position(place->log, &segment, &end);
	assert_int_equal(bodylog_roll(place->log), 0);
	assert_int_equal(file_size(place, 1), end);
	append(place, STR("small"));
	assert_int_equal(bodylog_flush(place->log), 0);
	bodylog_position(place->log, &segment, &end);
	bodylog_close(&place->log);
	assert_int_equal(file_size(place, 2), end);
	open_log(place, 2, end);
}

/* So those of a backup that lies where nothing can be written are read too. */
static void only_the_current_segment_is_open_for_writing(void **state)
{
	struct place *place = *state;
	char *big = mem_alloc(1, SEGMENT_SIZE);
	struct body_place first = append(place, str_of(big, SEGMENT_SIZE)), second;
	int fd;
	assert_int_equal(bodylog_flush(place->log), 0);
	assert_int_equal(bodylog_roll(place->log), 0);
	second = append(place, STR("the next"));
	assert_int_equal(second.segment, 2);
	assert_int_equal(bodylog_flush(place->log), 0);
	bodylog_close(&place->log);
	open_log(place, 2, second.offset + 8);
	assert_body(place, first, str_of(big, SEGMENT_SIZE));
	assert_body(place, second, STR("the next"));
	assert_int_equal(bodylog_file(place->log, 1, first.offset, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(bodylog_file(place->log, 2, second.offset, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	mem_free(big);
}

/* Our own memory stands for a segment that cannot be read everywhere. */
static void a_record_behind_one_that_cannot_be_read_is_found(void **state)
{
	struct place *place = *state;
	enum { PAGE = 4096 };
	char *big = mem_alloc(1, SEGMENT_SIZE), room[BODYLOG_HEADER_MAX], path[128];
	struct body_place first = append(place, str_of(big, SEGMENT_SIZE));
	struct body_record found;
	uint64_t end;
	uint32_t segment;
	assert_int_equal(bodylog_flush(place->log), 0);
	assert_int_equal(bodylog_roll(place->log), 0);
	assert_int_equal(bodylog_flush(place->log), 0);
	bodylog_position(place->log, &segment, &end);
	char *memory = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *header = memory + PAGE + 100;
	assert_true(memory != MAP_FAILED && first.offset < PAGE);
	assert_int_equal(bodylog_read(place->log, 1, 0, header, first.offset), 0);
	bodylog_close(&place->log);
	snprintf(path, sizeof path, "%s/000001.seg", place->folder);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/proc/self/mem", path), 0);
	open_log(place, segment, end);
	uint64_t body = (uint64_t)(uintptr_t)header + first.offset;
	assert_int_equal(munmap(memory, PAGE), 0);
	assert_int_equal(bodylog_record_of(place->log, 1, body, body + SEGMENT_SIZE, room, &found), 0);
	assert_int_equal(found.message, record.message);
	assert_int_equal(munmap(memory + PAGE, PAGE), 0);
	assert_int_equal(bodylog_record_of(place->log, 1, body, body + SEGMENT_SIZE, room, &found), ERR_IO);
	assert_int_equal(munmap(memory + 2 * PAGE, 3 * PAGE), 0);
	mem_free(big);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_appended_is_read_back),
		TEST(the_header_is_enough_to_rebuild_from),
		TEST(a_file_goes_in_behind_the_pieces),
		TEST(more_than_the_buffer_holds_goes_in_too),
		TEST(rewinding_forgets_what_came_after),
		TEST(a_full_segment_is_followed_by_a_new_one),
		TEST(only_the_current_segment_is_open_for_writing),
		TEST(a_record_behind_one_that_cannot_be_read_is_found),
		TEST(a_folder_is_to_be_synced_when_a_segment_began_or_went),
		TEST(a_small_record_makes_room_for_the_next_ones_and_the_end_gives_it_back),
		TEST(what_lies_behind_the_committed_end_is_cut_off_at_open),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
