/* wal.c: reads a log frame by frame (wal.h). Keeps nothing.
 *
 * A frame's sum goes on from that of the frame before it, so each begins where exactly one other ended. SQLite follows
 * that chain from the header. Frames of the same salts off the chain come from three hands: a power cut, which kept some
 * sectors of the transaction in flight; such a remainder from an earlier start, of which what came later overwrote only
 * the beginning; and damage. In the first two no frame goes on from one that ends a transaction, because a COMMIT begins
 * when the one before it was synced: its frames are on the chain then. */
#include "db/wal.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAL_MAGIC    0x377f0682u /* its lowest bit is the order of bytes in sums */
#define WAL_VERSION  3007000u
#define WAL_SUMMED   24          /* bytes of the header that its sum is of */
#define SALTS        8           /* bytes; at 16 in the header, at 8 in a frame */
#define FRAME_SUM    16          /* where a frame has its sum */
#define PAGE_MIN     512u
#define PAGE_MAX     65536u
#define PAGE_USUAL   4096u
#define ROUNDS_AHEAD 16u         /* more are by chance: salts of a log that began anew */
#define CHUNK        ((size_t)256 * 1024)
#define PATH_BYTES   4096
/* SQLite sums up in the order of the machine that wrote the log. */
#define IS_BIG_ENDIAN (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

/* What checksums go on with, from frame to frame. */
struct wal_sum {
	bool big; /* the order of bytes in sums */
	uint32_t sum[2];
};

struct look {
	enum wal_state state;
	size_t page;
	unsigned char salts[SALTS]; /* of this round; without a header that is good nobody knows them */
	bool has_header;
	bool on_chain, is_unfinished; /* the last frame on the chain ends no transaction, or there is none */
	struct wal_sum sum;                    /* of the chain */
	bool has_before;                       /* the frame before, off the chain, */
	unsigned char before[WAL_FRAME_HEADER]; /* had this header */
};

/* Numbers are big-endian. */
static uint32_t number_at(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Adds n bytes, a multiple of 8. */
static void sum_add(struct wal_sum *sum, const unsigned char *p, size_t n)
{
	uint32_t first = sum->sum[0], second = sum->sum[1];
	for (size_t i = 0; i < n; i += 8) {
		uint32_t x = number_at(p + i), y = number_at(p + i + 4);
		first += (sum->big ? x : __builtin_bswap32(x)) + second;
		second += (sum->big ? y : __builtin_bswap32(y)) + first;
	}
	sum->sum[0] = first;
	sum->sum[1] = second;
}

static void put_number(unsigned char *p, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(number >> (24 - 8 * i));
}

static bool sum_is(const struct wal_sum *sum, const unsigned char *p)
{
	return number_at(p) == sum->sum[0] && number_at(p + 4) == sum->sum[1];
}

/* Does the frame go on from this sum? It is the frame's own then. */
static bool goes_on(struct wal_sum *sum, const unsigned char *frame, size_t page)
{
	sum_add(sum, frame, 8);
	sum_add(sum, frame + WAL_FRAME_HEADER, page);
	return sum_is(sum, frame + FRAME_SUM);
}

void wal_header_make(uint32_t page_size, unsigned char out[WAL_HEADER])
{
	const uint32_t numbers[] = { WAL_MAGIC | IS_BIG_ENDIAN, WAL_VERSION, page_size, 0, 1, 1 }; /* the last two are salts */
	struct wal_sum sum = { .big = IS_BIG_ENDIAN };
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		put_number(out + 4 * i, numbers[i]);
	sum_add(&sum, out, WAL_SUMMED);
	put_number(out + WAL_SUMMED, sum.sum[0]);
	put_number(out + WAL_SUMMED + 4, sum.sum[1]);
}

static bool is_nothing(const unsigned char header[WAL_HEADER])
{
	static const unsigned char zeros[WAL_HEADER];
	return memcmp(header, zeros, WAL_HEADER) == 0;
}

/* A damaged one may still say how the frames lie; else they lie as in all databases of ours. */
static void begin(struct look *look, const unsigned char header[WAL_HEADER])
{
	unsigned char made[WAL_HEADER];
	uint32_t page = number_at(header + 8);
	bool is_size = page >= PAGE_MIN && page <= PAGE_MAX && (page & (page - 1)) == 0;
	*look = (struct look){ .state = WAL_NONE, .page = is_size ? page : PAGE_USUAL, .sum.big = header[3] & 1 };
	sum_add(&look->sum, header, WAL_SUMMED);
	look->has_header = is_size && (number_at(header) & ~1u) == WAL_MAGIC && sum_is(&look->sum, header + WAL_SUMMED);
	if (look->has_header) {
		look->state = WAL_WHOLE;
		look->on_chain = true;
		memcpy(look->salts, header + 16, SALTS);
		wal_header_make(page, made);
		look->is_unfinished = memcmp(header, made, WAL_HEADER) != 0;
	} else {
		look->state = is_nothing(header) ? WAL_NONE : WAL_TORN;
		look->sum.big = IS_BIG_ENDIAN;
	}
}

static bool has_salts(const unsigned char *frame)
{
	static const unsigned char none[SALTS];
	return memcmp(frame + 8, none, SALTS) != 0;
}

static bool is_of_this_round(const struct look *look, const unsigned char *frame)
{
	return look->has_header ? memcmp(frame + 8, look->salts, SALTS) == 0 : has_salts(frame);
}

/* The first salt grows by one with each round, whose header SQLite syncs before its frames: the header that stands there is
 * that of a round before, and no power cut left it. */
static bool is_of_a_later_round(const struct look *look, const unsigned char *frame)
{
	return look->has_header && has_salts(frame) && number_at(frame + 8) - number_at(look->salts) - 1 < ROUNDS_AHEAD;
}

static bool ends_transaction(const unsigned char *frame)
{
	return number_at(frame + 4) != 0;
}

static bool follows_a_transaction(const struct look *look, const unsigned char *frame)
{
	const unsigned char *before = look->before;
	struct wal_sum sum = { look->sum.big, { number_at(before + FRAME_SUM), number_at(before + FRAME_SUM + 4) } };
	return look->has_before && ends_transaction(before) && memcmp(before + 8, frame + 8, SALTS) == 0 &&
	       goes_on(&sum, frame, look->page);
}

static void look_at(struct look *look, const unsigned char *frame)
{
	bool is_later = is_of_a_later_round(look, frame), is_ours = is_later || is_of_this_round(look, frame);
	look->on_chain = look->on_chain && is_ours && !is_later && goes_on(&look->sum, frame, look->page);
	if (look->on_chain) {
		look->is_unfinished = !ends_transaction(frame);
		return;
	}
	if (is_ours && follows_a_transaction(look, frame))
		look->state = WAL_BROKEN;
	else if (is_ours && look->has_header)
		look->state = MAX(look->state, is_later || ends_transaction(frame) ? WAL_TORN : WAL_LOOSE);
	look->has_before = is_ours;
	memcpy(look->before, frame, WAL_FRAME_HEADER);
}

static enum wal_state look_through(int fd, uint64_t size)
{
	unsigned char header[WAL_HEADER];
	struct look look;
	if (size < WAL_HEADER || file_read_or_zeros(fd, 0, (char *)header, sizeof header) < sizeof header)
		return WAL_NONE;
	begin(&look, header);
	size_t frame = WAL_FRAME_HEADER + look.page, room = MAX(CHUNK / frame, (size_t)1) * frame;
	unsigned char *chunk = mem_alloc_unset(room);
	for (uint64_t at = WAL_HEADER; at + frame <= size && look.state != WAL_BROKEN; at += room) {
		size_t n = file_read_or_zeros(fd, at, (char *)chunk, (size_t)MIN((uint64_t)room, size - at));
		for (size_t i = 0; i + frame <= n && look.state != WAL_BROKEN; i += frame)
			look_at(&look, chunk + i);
	}
	mem_free(chunk);
	return look.state == WAL_WHOLE && look.is_unfinished ? WAL_LOOSE : look.state;
}

int wal_look(struct str database, enum wal_state *out)
{
	char path[PATH_BYTES];
	struct stat about;
	int n = snprintf(path, sizeof path, "%.*s-wal", STR_ARG(database));
	if (n < 0 || n >= (int)sizeof path)
		return ERR_LIMIT;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), result = 0;
	if (fd < 0 || fstat(fd, &about) < 0)
		result = err_from_errno(errno);
	if (result == ERR_NOT_FOUND || (result == 0 && !S_ISREG(about.st_mode))) {
		*out = WAL_NONE;
		result = 0;
	} else if (result == 0) {
		*out = look_through(fd, (uint64_t)about.st_size);
	}
	if (fd >= 0)
		close(fd);
	return result;
}
