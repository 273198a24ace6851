/* backup_manifest.c: what a generation consists of, in memory and as JSON. The text begins with the checksum of what
 * follows it, so a manifest that was damaged is no manifest. Owned by the repository. */
#include "proc/ctl/backup.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"
#include "db/bodylog.h"

#include <inttypes.h>

#define SUM_PREFIX "{\"sum\":\""
#define SUM_DIGITS 16

/* The lists of shards in the text. */
static const struct {
	const char *name;
	enum backup_doubt doubt;
} DOUBTS[] = { { "damaged", DOUBT_DAMAGE }, { "doubted", DOUBT_NO_SNAPSHOT } };

void manifest_free(struct backup_manifest **pointer)
{
	struct backup_manifest *manifest = *pointer;
	*pointer = NULL;
	if (!manifest)
		return;
	for (size_t i = 0; i < manifest->n_segments; i++)
		mem_free(manifest->segments[i].pieces);
	mem_free(manifest->segments);
	mem_free(manifest->files);
	mem_free(manifest->doubts);
	mem_free(manifest);
}

/* Room for one more: arrays double. */
static void *grow(void *array, size_t n, size_t size)
{
	bool full = n == 0 || (n & (n - 1)) == 0;
	return full ? mem_resize(array, n ? 2 * n : 1, size) : array;
}

void manifest_add_file(struct backup_manifest *manifest, const char *name, uint64_t size, uint64_t sum)
{
	struct backup_file file = { .size = size, .sum = sum };
	snprintf(file.name, sizeof file.name, "%s", name);
	manifest->files = grow(manifest->files, manifest->n_files, sizeof file);
	manifest->files[manifest->n_files++] = file;
}

void segment_add_piece(struct backup_segment *segment, uint64_t end, uint64_t sum)
{
	segment->pieces = grow(segment->pieces, segment->n_pieces, sizeof *segment->pieces);
	segment->pieces[segment->n_pieces++] = (struct backup_piece){ end, sum };
	segment->end = end;
}

struct backup_segment *manifest_add_segment(struct backup_manifest *manifest, const struct backup_segment *segment)
{
	struct backup_segment copy = *segment;
	copy.pieces = NULL;
	copy.n_pieces = 0;
	copy.end = 0;
	for (size_t i = 0; i < segment->n_pieces; i++)
		segment_add_piece(&copy, segment->pieces[i].end, segment->pieces[i].sum);
	manifest->segments = grow(manifest->segments, manifest->n_segments, sizeof copy);
	manifest->segments[manifest->n_segments] = copy;
	return &manifest->segments[manifest->n_segments++];
}

const struct backup_file *manifest_file(const struct backup_manifest *manifest, const char *name)
{
	for (size_t i = 0; i < manifest->n_files; i++)
		if (strcmp(manifest->files[i].name, name) == 0)
			return &manifest->files[i];
	return NULL;
}

const struct backup_segment *manifest_segment(const struct backup_manifest *manifest, uint16_t shard, uint32_t number)
{
	size_t low = 0, high = manifest->n_segments;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct backup_segment *segment = &manifest->segments[middle];
		if (segment->shard == shard && segment->number == number)
			return segment;
		if (segment->shard < shard || (segment->shard == shard && segment->number < number))
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void manifest_doubt(struct backup_manifest *manifest, uint16_t shard, enum backup_doubt doubt)
{
	if (!manifest->doubts)
		manifest->doubts = mem_alloc(manifest->shards, sizeof *manifest->doubts);
	manifest->doubts[shard] = MAX(manifest->doubts[shard], doubt);
}

enum backup_doubt manifest_doubt_of(const struct backup_manifest *manifest, uint16_t shard)
{
	return manifest->doubts && shard < manifest->shards ? manifest->doubts[shard] : DOUBT_NONE;
}

const char *manifest_doubt_of_file(const struct backup_manifest *manifest, const char *name)
{
	char shard[BACKUP_NAME_MAX];
	bool is_doubted = manifest->is_directory_doubted && strcmp(name, BACKUP_DIRECTORY) == 0;
	for (uint16_t i = 0; i < manifest->shards && !is_doubted; i++) {
		snprintf(shard, sizeof shard, "%02u.db", i);
		is_doubted = manifest_doubt_of(manifest, i) == DOUBT_NO_SNAPSHOT && strcmp(name, shard) == 0;
	}
	return is_doubted ? "no snapshot of this database could be made for the backup, and its bytes were taken as they lay: what "
	                    "was written last may be missing in it"
	                  : NULL;
}

uint64_t manifest_bytes(const struct backup_manifest *manifest)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < manifest->n_files; i++)
		bytes += manifest->files[i].size;
	for (size_t i = 0; i < manifest->n_segments; i++)
		bytes += manifest->segments[i].end;
	return bytes;
}

/* --- as text --- */

void print_sum(uint64_t sum, char out[17])
{
	snprintf(out, 17, "%016" PRIx64, sum);
}

static uint64_t sum_of(struct str text)
{
	struct body_sum *sum = body_sum_new();
	body_sum_add(sum, text);
	return body_sum_end(&sum);
}

static void field_sum(struct buf *out, uint64_t sum)
{
	char text[17];
	print_sum(sum, text);
	json_field_string(out, "xxh3", str_from_c(text));
}

static void print_segment(const struct backup_segment *segment, struct buf *out)
{
	json_begin_object(out);
	json_field_u64(out, "shard", segment->shard);
	json_field_u64(out, "number", segment->number);
	json_field_u64(out, "variant", segment->variant);
	json_key(out, "pieces");
	json_begin_array(out);
	for (size_t i = 0; i < segment->n_pieces; i++) {
		json_begin_object(out);
		json_field_u64(out, "end", segment->pieces[i].end);
		field_sum(out, segment->pieces[i].sum);
		json_end_object(out);
	}
	json_end_array(out);
	json_end_object(out);
}

static void print_doubts(const struct backup_manifest *manifest, struct buf *out)
{
	for (size_t k = 0; k < COUNT_OF(DOUBTS); k++) {
		json_key(out, DOUBTS[k].name);
		json_begin_array(out);
		for (uint16_t i = 0; i < manifest->shards; i++)
			if (manifest_doubt_of(manifest, i) == DOUBTS[k].doubt)
				json_put_u64(out, i);
		json_end_array(out);
	}
	json_field_bool(out, "directory_doubted", manifest->is_directory_doubted);
}

void manifest_print(const struct backup_manifest *manifest, struct buf *out)
{
	struct buf rest = BUF_INIT(BACKUP_MANIFEST_MAX);
	char sum[17];
	json_begin_object(&rest);
	json_field_u64(&rest, "format", BACKUP_FORMAT);
	json_field_string(&rest, "version", STR(MANSIO_VERSION));
	json_field_string(&rest, "name", str_from_c(manifest->name));
	json_field_string(&rest, "store", str_from_c(manifest->store));
	json_field_u64(&rest, "time", (uint64_t)manifest->time);
	json_field_u64(&rest, "sequence", manifest->sequence);
	json_field_u64(&rest, "shards", manifest->shards);
	json_field_u64(&rest, "copied_bytes", manifest->copied);
	json_key(&rest, "files");
	json_begin_array(&rest);
	for (size_t i = 0; i < manifest->n_files; i++) {
		json_begin_object(&rest);
		json_field_string(&rest, "name", str_from_c(manifest->files[i].name));
		json_field_u64(&rest, "size", manifest->files[i].size);
		field_sum(&rest, manifest->files[i].sum);
		json_end_object(&rest);
	}
	json_end_array(&rest);
	json_key(&rest, "segments");
	json_begin_array(&rest);
	for (size_t i = 0; i < manifest->n_segments; i++)
		print_segment(&manifest->segments[i], &rest);
	json_end_array(&rest);
	print_doubts(manifest, &rest);
	json_end_object(&rest);
	struct str members = str_from(buf_str(&rest), 1); /* without its brace */
	print_sum(sum_of(members), sum);
	buf_addf(out, SUM_PREFIX "%s\",", sum);
	buf_add(out, members);
	out->failed |= rest.failed;
	buf_free(&rest);
}

static int read_sum(struct str text, uint64_t *out)
{
	uint64_t sum = 0;
	if (text.n != SUM_DIGITS)
		return ERR_CORRUPT;
	for (size_t i = 0; i < text.n; i++) {
		int digit = ascii_hex_value(text.p[i]);
		if (digit < 0)
			return ERR_CORRUPT;
		sum = sum << 4 | (unsigned)digit;
	}
	*out = sum;
	return 0;
}

static bool copy_text(const struct json_value *object, const char *key, char *out, size_t size)
{
	struct str text = json_string(json_member(object, key));
	if (text.n == 0 || text.n >= size || str_find_byte(text, '/') >= 0 || str_find_byte(text, '\0') >= 0 ||
	    text.p[0] == '.')
		return false; /* names of files in this folder, nowhere else */
	memcpy(out, text.p, text.n);
	out[text.n] = '\0';
	return true;
}

static int read_segment(const struct json_value *value, struct backup_manifest *manifest)
{
	uint64_t shard = json_u64(json_member(value, "shard")), number = json_u64(json_member(value, "number"));
	uint64_t variant = json_u64(json_member(value, "variant")), before = 0;
	const struct json_value *pieces = json_member(value, "pieces");
	if (shard >= manifest->shards || number == 0 || number > UINT32_MAX || variant > UINT32_MAX || !pieces ||
	    pieces->kind != JSON_ARRAY)
		return ERR_CORRUPT;
	struct backup_segment found = { .shard = (uint16_t)shard,
		                            .number = (uint32_t)number,
		                            .variant = (uint32_t)variant };
	struct backup_segment *segment = manifest_add_segment(manifest, &found);
	for (const struct json_value *piece = pieces->first; piece; piece = piece->next) {
		uint64_t end = json_u64(json_member(piece, "end")), sum;
		if (end <= before || end > INT64_MAX || read_sum(json_string(json_member(piece, "xxh3")), &sum) < 0)
			return ERR_CORRUPT;
		segment_add_piece(segment, end, sum);
		before = end;
	}
	return 0;
}

static int read_doubts(const struct json_value *object, struct backup_manifest *manifest)
{
	for (size_t k = 0; k < COUNT_OF(DOUBTS); k++) {
		const struct json_value *list = json_member(object, DOUBTS[k].name);
		for (const struct json_value *shard = list ? list->first : NULL; shard; shard = shard->next) {
			if (json_u64(shard) >= manifest->shards)
				return ERR_CORRUPT;
			manifest_doubt(manifest, (uint16_t)json_u64(shard), DOUBTS[k].doubt);
		}
		for (uint16_t i = 0; i < manifest->shards && !list && DOUBTS[k].doubt == DOUBT_DAMAGE; i++)
			manifest_doubt(manifest, i, DOUBT_DAMAGE); /* older versions wrote none: it is not known */
	}
	manifest->is_directory_doubted = json_is_true(json_member(object, "directory_doubted"));
	return 0;
}

static int read_members(const struct json_value *object, struct backup_manifest *manifest)
{
	uint64_t shards = json_u64(json_member(object, "shards"));
	const struct json_value *files = json_member(object, "files"), *segments = json_member(object, "segments");
	if (json_u64(json_member(object, "format")) != BACKUP_FORMAT)
		return ERR_UNSUPPORTED;
	if (!copy_text(object, "name", manifest->name, sizeof manifest->name) ||
	    !copy_text(object, "store", manifest->store, sizeof manifest->store) || shards == 0 || shards > UINT16_MAX ||
	    !files || !segments)
		return ERR_CORRUPT;
	manifest->shards = (uint16_t)shards;
	manifest->time = (int64_t)MIN(json_u64(json_member(object, "time")), (uint64_t)INT64_MAX);
	manifest->sequence = MIN(json_u64(json_member(object, "sequence")), (uint64_t)INT64_MAX);
	manifest->copied = json_u64(json_member(object, "copied_bytes"));
	if (read_doubts(object, manifest) < 0)
		return ERR_CORRUPT;
	for (const struct json_value *file = files->first; file; file = file->next) {
		char name[BACKUP_NAME_MAX];
		uint64_t sum;
		if (!copy_text(file, "name", name, sizeof name) || read_sum(json_string(json_member(file, "xxh3")), &sum) < 0)
			return ERR_CORRUPT;
		manifest_add_file(manifest, name, json_u64(json_member(file, "size")), sum);
	}
	int result = 0;
	for (const struct json_value *segment = segments->first; segment && result == 0; segment = segment->next)
		result = read_segment(segment, manifest);
	return result;
}

int manifest_parse(struct str text, struct backup_manifest **out)
{
	struct str prefix = STR(SUM_PREFIX);
	uint64_t sum;
	if (!str_starts(text, prefix) || read_sum(str_first(str_from(text, prefix.n), SUM_DIGITS), &sum) < 0 ||
	    !str_starts(str_from(text, prefix.n + SUM_DIGITS), STR("\",")) ||
	    sum != sum_of(str_from(text, prefix.n + SUM_DIGITS + 2)))
		return ERR_CORRUPT;
	struct arena arena = ARENA_INIT(BACKUP_MANIFEST_MAX * 4);
	struct backup_manifest *manifest = mem_alloc(1, sizeof *manifest);
	struct json_value *object;
	int result = json_parse(text, &arena, &object) < 0 ? ERR_CORRUPT : read_members(object, manifest);
	arena_free(&arena);
	if (result < 0)
		manifest_free(&manifest);
	else
		*out = manifest;
	return result;
}
