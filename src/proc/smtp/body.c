/* body.c: bodies on their way in. A body is owned by its connection, its memory and its parser's counted in the store;
 * in a file it keeps only a buffer for whole writes. Files have no name (O_TMPFILE): what a crash leaves, the kernel
 * takes; some are kept and written over. The shard syncs its own copy, so nothing here is synced.
 *
 * A failed write leaves the body useless, and its owner drops it. */
#include "proc/smtp/body.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <xxhash.h>

#define IDLE_MAX         16
#define FILE_BUFFER      (64 * 1024)
#define IDLE_PARSER_MAX  (64 * 1024) /* memory of a parser that is kept for reuse */
#define SPACE_LOOK_EVERY (1024 * 1024) /* bytes written between two looks at the free space */

struct body {
	struct body_store *store;
	struct body *next; /* of idle ones */
	struct buf memory; /* all of it, or what the file has not got yet */
	size_t counted;    /* of memory and the parser's, in store->held */
	int fd;
	uint64_t length, looked_at;
	XXH3_state_t *hash;
	XXH128_hash_t digest;
	struct mime_parser *mime; /* NULL: given up for lack of memory */
};

void body_store_secret(struct body_store *store, const unsigned char *store_secret, size_t n)
{
	unsigned char input[256];
	n = MIN(n, sizeof input - 1);
	memcpy(input + 1, store_secret, n);
	_Static_assert(BODY_SECRET_SIZE % SHA256_DIGEST_LENGTH == 0, "whole blocks");
	_Static_assert(BODY_SECRET_SIZE >= XXH3_SECRET_SIZE_MIN, "long enough for XXH3");
	for (size_t i = 0; i < BODY_SECRET_SIZE / SHA256_DIGEST_LENGTH; i++) {
		input[0] = (unsigned char)i;
		SHA256(input, n + 1, store->secret + i * SHA256_DIGEST_LENGTH);
	}
	mem_wipe(input, sizeof input);
}

static void destroy(struct body *body)
{
	XXH3_freeState(body->hash);
	mime_parser_free(&body->mime);
	mem_free(body);
}

void body_store_free(struct body_store *store)
{
	while (store->idle) {
		struct body *next = store->idle->next;
		destroy(store->idle);
		store->idle = next;
	}
	store->n_idle = 0;
	while (store->n_files > 0)
		close(store->files[--store->n_files]);
	mem_wipe(store->secret, sizeof store->secret);
}

/* Brings the store's count up to date after the buffer changed. */
static void count_memory(struct body *body)
{
	size_t now = body->memory.size + (body->mime ? mime_parser_memory(body->mime) : 0);
	body->store->held += now;
	body->store->held -= body->counted;
	body->counted = now;
}

/* After the parser was fed. */
static void keep_to_budget(struct body *body)
{
	count_memory(body);
	if (body->store->held <= body->store->budget)
		return;
	mime_parser_free(&body->mime);
	count_memory(body);
}

static struct body *take_idle(struct body_store *store)
{
	struct body *body = store->idle;
	if (body) {
		store->idle = body->next;
		store->n_idle--;
	} else {
		body = mem_alloc(1, sizeof *body);
		body->store = store;
		body->hash = XXH3_createState();
		if (!body->hash)
			abort(); /* out of memory, as mem_alloc */
	}
	if (!body->mime)
		body->mime = mime_parser_new(&store->mime);
	body->next = NULL;
	body->fd = -1;
	body->length = body->looked_at = 0;
	keep_to_budget(body);
	return body;
}

void body_free(struct body **body)
{
	struct body *b = *body;
	*body = NULL;
	if (!b)
		return;
	buf_free(&b->memory);
	b->store->held -= b->counted;
	b->counted = 0;
	body_give_file(b->store, body_take_file(b), b->length);
	if (b->store->n_idle == IDLE_MAX) {
		destroy(b);
		return;
	}
	if (b->mime)
		mime_parser_reset(b->mime);
	if (b->mime && mime_parser_memory(b->mime) > IDLE_PARSER_MAX)
		mime_parser_free(&b->mime);
	b->next = b->store->idle;
	b->store->idle = b;
	b->store->n_idle++;
}

/* --- the file --- */

/* The spool lies on the store's disk: mail on its way in must not eat the reserve that the store keeps for itself. */
static int look_at_space(struct body *body)
{
	struct statfs fs;
	if (fstatfs(body->fd, &fs) != 0)
		return ERR_IO;
	uint64_t space;
	if (!checked_mul((uint64_t)fs.f_bavail, (uint64_t)fs.f_bsize, &space))
		return 0;
	body->looked_at = body->length;
	return space < body->store->free_space_min + SPACE_LOOK_EVERY ? ERR_NO_SPACE : 0;
}

static int write_all(struct body *body, struct str bytes)
{
	if (body->length - body->looked_at >= SPACE_LOOK_EVERY) {
		int err = look_at_space(body);
		if (err != 0)
			return err;
	}
	return file_write(body->fd, bytes);
}

static int open_file(struct body_store *store, int *out)
{
	if (store->spool < 0)
		return ERR_NO_SPACE;
	int fd = store->n_files > 0 ? store->files[--store->n_files]
	                            : openat(store->spool, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	*out = fd;
	return lseek(fd, 0, SEEK_SET) < 0 ? ERR_IO : 0;
}

/* From now on the body is in a file. */
static int move_to_file(struct body *body)
{
	int err = open_file(body->store, &body->fd);
	if (err != 0)
		return err;
	err = look_at_space(body);
	if (err == 0)
		err = write_all(body, buf_str(&body->memory));
	buf_free(&body->memory);
	body->memory = BUF_INIT(FILE_BUFFER);
	count_memory(body);
	return err;
}

/* Bytes that the buffer may gather, n more among them. Over the budget it does not grow. */
static size_t buffer_limit(const struct body *body, size_t n)
{
	const struct body_store *store = body->store;
	size_t wanted = body->memory.n + n;
	if (wanted <= body->memory.size || store->held + 2 * MIN(wanted, (size_t)FILE_BUFFER) <= store->budget)
		return FILE_BUFFER;
	return MAX(body->memory.size, (size_t)BODY_FILE_BUFFER_MIN);
}

static int add_to_file(struct body *body, struct str bytes)
{
	size_t limit = buffer_limit(body, bytes.n);
	if (body->memory.n + bytes.n > limit) {
		int err = write_all(body, buf_str(&body->memory));
		if (err != 0)
			return err;
		buf_clear(&body->memory);
	}
	if (bytes.n >= limit)
		return write_all(body, bytes);
	buf_add(&body->memory, bytes);
	count_memory(body);
	return buf_error(&body->memory);
}

/* --- the body --- */

/* Whether n more bytes may stay in memory. The buffer doubles, so what it may come to is counted. */
static bool fits_memory(const struct body *body, uint64_t n)
{
	const struct body_store *store = body->store;
	uint64_t wanted = body->memory.n + n;
	if (wanted > store->in_memory_max)
		return false;
	return wanted <= body->memory.size || store->held + 2 * wanted <= store->budget;
}

int body_new(struct body_store *store, uint64_t expected, struct body **out)
{
	struct body *body = take_idle(store);
	body->memory = BUF_INIT(store->in_memory_max);
	XXH3_128bits_reset_withSecret(body->hash, store->secret, sizeof store->secret);
	int err = 0;
	if (!fits_memory(body, expected))
		err = move_to_file(body);
	else if (expected > 0 && buf_reserve(&body->memory, (size_t)expected))
		count_memory(body);
	if (err != 0)
		body_free(&body);
	else
		*out = body;
	return err;
}

int body_add(struct body *body, struct str bytes)
{
	int err = 0;
	XXH3_128bits_update(body->hash, bytes.p, bytes.n);
	if (body->mime)
		mime_parser_feed(body->mime, bytes);
	keep_to_budget(body);
	if (body->fd < 0 && !fits_memory(body, bytes.n))
		err = move_to_file(body);
	body->length += bytes.n;
	if (err != 0)
		return err;
	if (body->fd >= 0)
		return add_to_file(body, bytes);
	buf_add(&body->memory, bytes);
	count_memory(body);
	return buf_error(&body->memory);
}

static int feed_file(struct mime_parser *mime, int fd, uint64_t length)
{
	char *piece = mem_alloc(FILE_BUFFER, 1);
	int err = 0;
	for (uint64_t at = 0; at < length && err == 0;) {
		size_t n = (size_t)MIN(length - at, (uint64_t)FILE_BUFFER);
		err = file_read_exactly(fd, at, piece, n);
		if (err == 0)
			mime_parser_feed(mime, str_of(piece, n));
		at += n;
	}
	mem_free(piece);
	return err;
}

/* The whole body, whose own parser was given up. */
static int parse_late(struct body *body)
{
	struct mime_parser *mime = mime_parser_new(&body->store->mime);
	int err = 0;
	body->store->n_parsed_late++;
	if (body->fd < 0)
		mime_parser_feed(mime, buf_str(&body->memory));
	else
		err = feed_file(mime, body->fd, body->length);
	(void)mime_parser_finish(mime);
	mime_parser_free(&mime);
	return err;
}

int body_finish(struct body *body)
{
	int err = 0;
	body->digest = XXH3_128bits_digest(body->hash);
	if (body->fd >= 0) {
		err = write_all(body, buf_str(&body->memory));
		buf_free(&body->memory);
		count_memory(body);
	}
	if (err != 0)
		return err;
	if (!body->mime)
		return parse_late(body);
	(void)mime_parser_finish(body->mime);
	return 0;
}

uint64_t body_length(const struct body *body)
{
	return body->length;
}

struct str body_bytes(const struct body *body)
{
	return body->fd < 0 ? buf_str(&body->memory) : (struct str){ NULL, 0 };
}

int body_file(const struct body *body)
{
	return body->fd;
}

int body_take_file(struct body *body)
{
	int fd = body->fd;
	body->fd = -1;
	return fd;
}

void body_give_file(struct body_store *store, int fd, uint64_t length)
{
	if (fd < 0)
		return;
	if (length <= BODY_FILE_SIZE_MAX && store->n_files < BODY_FILES_MAX)
		store->files[store->n_files++] = fd;
	else
		close(fd);
}

struct delivery_key body_delivery_key(const struct body *body, struct str sender, const struct account_id *account)
{
	XXH3_state_t *state = XXH3_createState();
	if (!state)
		abort();
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, body->digest);
	XXH3_128bits_reset_withSecret(state, body->store->secret, sizeof body->store->secret);
	XXH3_128bits_update(state, &canonical, sizeof canonical);
	XXH3_128bits_update(state, &body->length, sizeof body->length);
	XXH3_128bits_update(state, account->bytes, sizeof account->bytes);
	XXH3_128bits_update(state, sender.p, sender.n);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
	XXH3_freeState(state);
	struct delivery_key key;
	_Static_assert(sizeof key == sizeof canonical, "128 bits");
	memcpy(key.bytes, canonical.digest, sizeof key);
	return key;
}
