/* text_file.c: the files of search text of one account. A reader sees what was whole when it began; a writer appends the
 * columns of a block, then its record in the index, and syncs nothing: what a crash tears has no right checksum, and is
 * made anew. A message of several blocks is whole with its last; where that does not come the writer cuts the others off,
 * after a kill the next writer. Readers and writers are freed by who opened them, before the account is closed. */
#include "store/internal.h"
#include "store/text_private.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define INDEX_MAX   (256 * 1024 * 1024) /* some ten million messages */
#define PACKED_MAX  (20 * 1024 * 1024)  /* a column */
#define BLOCK_SPACE (32 * 1024 * 1024)  /* that must be free beside the store's reserve */

struct text_reader {
	struct account *account;
	int fd;           /* of the text */
	struct buf index; /* whole */
	struct str rest;  /* of its records, not walked yet */
	struct text_record record; /* the last, */
	struct text_chain chain;   /* what goes on behind it, */
	bool goes_on;              /* and whether its first message went on from the one before */
	struct buf packed;
};

struct text_writer {
	struct account *account;
	int text, index;
	uint64_t text_end, index_end;
	uint64_t whole_text, whole_index; /* up to the last record behind which no message goes on */
	bool loose;                       /* something may stand behind that, */
	bool open;                        /* and it is whole but for its end: the last block continues */
	struct buf packed, record;
};

int text_folder(const struct store *store, bool make)
{
	char path[4096];
	int n = snprintf(path, sizeof path, "%.*s/text", STR_ARG(store->settings.directory));
	if (n < 0 || (size_t)n >= sizeof path)
		return -1;
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -1;
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void text_name(const struct account_id *id, const char *suffix, char out[TEXT_NAME_MAX])
{
	char hex[ACCOUNT_ID_TEXT_SIZE];
	account_id_print(id, hex);
	snprintf(out, TEXT_NAME_MAX, "%s%s", hex, suffix);
}

void text_remove(struct store *store, const struct account_id *id)
{
	static const char *const suffixes[] = { ".index", ".text", ".new" /* text_sweep.c */ };
	char name[TEXT_NAME_MAX];
	int folder = text_folder(store, false);
	if (folder < 0)
		return;
	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		text_name(id, suffixes[i], name);
		unlinkat(folder, name, 0);
	}
	close(folder);
}

bool text_is_of_future(const struct text_block *block, uint64_t next)
{
	return text_block_message(block, block->n - 1)->number >= next;
}

void text_forget(struct account *account)
{
	text_remove(account->store, &account->id);
}

void text_index_begin(const struct account_id *id, struct buf *out)
{
	wire_put_u32(out, TEXT_INDEX_MAGIC);
	wire_put_u32(out, TEXT_VERSION);
	buf_add(out, str_of((const char *)id->bytes, sizeof id->bytes));
}

/* The index of the account, whole: what stands behind its header. ERR_CORRUPT: it is another account's, or another
 * version's; ERR_NOT_FOUND. */
int text_index_read(int folder, const struct account_id *id, struct buf *index, struct str *records)
{
	char name[TEXT_NAME_MAX];
	struct buf header = BUF_INIT(TEXT_INDEX_HEADER);
	index->max = INDEX_MAX;
	text_name(id, ".index", name);
	int result = file_read(folder, name, O_NOFOLLOW, index);
	text_index_begin(id, &header);
	if (result == 0 && !str_starts(buf_str(index), buf_str(&header)))
		result = ERR_CORRUPT;
	if (result == 0)
		*records = str_from(buf_str(index), TEXT_INDEX_HEADER);
	buf_free(&header);
	return result;
}

struct str text_index_whole(struct str records, uint64_t *text_end)
{
	struct str rest = records;
	struct text_record record;
	uint64_t end = 0;
	size_t n = 0;
	*text_end = 0;
	while (text_record_next(&rest, &record) == 0) {
		end = MAX(end, record.offset + text_record_bytes(&record));
		if (record.continues)
			continue;
		n = records.n - rest.n;
		*text_end = end;
	}
	return str_first(records, n);
}

/* --- reading --- */

struct text_reader *text_reader_open(struct account *account)
{
	char name[TEXT_NAME_MAX];
	uint64_t end;
	struct text_reader *reader = mem_alloc(1, sizeof *reader);
	*reader = (struct text_reader){ .account = account, .fd = -1, .packed = BUF_INIT(PACKED_MAX) };
	int folder = text_folder(account->store, false);
	int result = folder < 0 ? ERR_NOT_FOUND : text_index_read(folder, &account->id, &reader->index, &reader->rest);
	if (result == 0) {
		reader->rest = text_index_whole(reader->rest, &end);
		text_name(&account->id, ".text", name);
		reader->fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (reader->fd < 0)
			result = ERR_CORRUPT;
	}
	if (folder >= 0)
		close(folder);
	if (result < 0) {
		text_reader_close(&reader);
		if (result != ERR_NOT_FOUND)
			text_remove(account->store, &account->id);
	}
	return reader;
}

void text_reader_close(struct text_reader **pointer)
{
	struct text_reader *reader = *pointer;
	*pointer = NULL;
	if (!reader)
		return;
	if (reader->fd >= 0)
		close(reader->fd);
	buf_free(&reader->index);
	buf_free(&reader->packed);
	mem_free(reader);
}

bool text_reader_next(struct text_reader *reader, enum text_kind kind, struct text_block *block, int *err)
{
	do {
		int result = text_record_next(&reader->rest, &reader->record);
		if (result < 0) {
			*err = result == ERR_NOT_FOUND ? 0 : result;
			return false;
		}
	} while (reader->record.kind != kind);
	*err = text_record_messages(&reader->record, block);
	if (*err == 0 && text_is_of_future(block, reader->account->next))
		*err = ERR_CORRUPT;
	if (*err == 0)
		reader->goes_on = text_chain_next(&reader->chain, &reader->record, block);
	return *err == 0;
}

bool text_reader_goes_on(const struct text_reader *reader)
{
	return reader->goes_on;
}

void text_reader_place(const struct text_reader *reader, uint32_t column, int *fd, uint64_t *offset, uint64_t *n)
{
	*fd = reader->fd;
	*offset = reader->record.offset;
	for (uint32_t i = 0; i < column; i++)
		*offset += reader->record.places[i].packed;
	*n = column < text_columns(reader->record.kind) ? reader->record.places[column].packed : TEXT_SIGNATURE_BYTES;
}

/* Also with a block before or behind it that has a part of one of its messages: a needle may lie in both. */
int text_reader_may_have(struct text_reader *reader, struct str needle, bool *may)
{
	unsigned char signature[TEXT_SIGNATURE_BYTES];
	const struct text_record *record = &reader->record;
	uint64_t offset, n;
	int fd;
	if (!text_has_signature(record->kind) || record->continued || record->continues || needle.n < TEXT_SIGNATURE_GRAM) {
		*may = true;
		return 0;
	}
	text_reader_place(reader, text_columns(record->kind), &fd, &offset, &n);
	int result = file_read_exactly(fd, offset, (char *)signature, sizeof signature);
	if (result == 0 && XXH3_64bits(signature, sizeof signature) != record->signature)
		result = ERR_CORRUPT;
	if (result == 0)
		*may = text_signature_may_have(signature, needle);
	return result;
}

int text_reader_column(struct text_reader *reader, uint32_t column, struct text_block *block)
{
	uint64_t offset, n;
	int fd;
	text_reader_place(reader, column, &fd, &offset, &n);
	buf_clear(&reader->packed);
	char *to = n <= PACKED_MAX ? buf_reserve(&reader->packed, (size_t)n) : NULL;
	if (!to)
		return ERR_CORRUPT;
	int result = file_read_exactly(fd, offset, to, (size_t)n);
	return result < 0 ? result : text_column_unpack(str_of(to, (size_t)n), &reader->record.places[column], block->n,
	                                                &block->columns[column]);
}

/* --- writing --- */

static bool may_write(const struct account *account)
{
	return !account->gone && !account->parked && account->batch <= store_durable(account->store);
}

/* Both files end with what is whole. The index first: it never tells of what is not there. */
static int cut_off(struct text_writer *w)
{
	if (ftruncate(w->index, (off_t)w->whole_index) < 0 || ftruncate(w->text, (off_t)w->whole_text) < 0)
		return ERR_IO;
	w->index_end = w->whole_index;
	w->text_end = w->whole_text;
	w->loose = w->open = false;
	return 0;
}

/* Where the files end: behind the last good record behind which no message goes on, and what it tells of. */
static int find_ends(struct text_writer *w, int folder)
{
	struct buf index = BUF_INIT(INDEX_MAX);
	struct str records;
	struct stat st;
	int result = text_index_read(folder, &w->account->id, &index, &records);
	if (result == 0)
		w->whole_index = TEXT_INDEX_HEADER + text_index_whole(records, &w->whole_text).n;
	buf_free(&index);
	if (result == 0 && (fstat(w->text, &st) < 0 || (uint64_t)st.st_size < w->whole_text))
		result = ERR_CORRUPT;
	return result == 0 ? cut_off(w) : result;
}

static int begin_files(struct text_writer *w)
{
	struct buf header = BUF_INIT(TEXT_INDEX_HEADER);
	text_index_begin(&w->account->id, &header);
	int result = cut_off(w);
	if (result == 0)
		result = file_write_at(w->index, 0, buf_str(&header));
	w->index_end = w->whole_index = TEXT_INDEX_HEADER;
	buf_free(&header);
	return result;
}

static int open_files(struct text_writer *w)
{
	char name[TEXT_NAME_MAX];
	struct stat st;
	int folder = text_folder(w->account->store, true), result = 0;
	if (folder < 0)
		return ERR_IO;
	text_name(&w->account->id, ".text", name);
	w->text = openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	text_name(&w->account->id, ".index", name);
	w->index = openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->text < 0 || w->index < 0 || fstat(w->index, &st) < 0)
		result = err_from_errno(errno);
	else if (st.st_size == 0)
		result = begin_files(w);
	else
		result = find_ends(w, folder);
	close(folder);
	if (result == ERR_CORRUPT)
		text_remove(w->account->store, &w->account->id);
	return result;
}

int text_writer_open(struct account *account, struct text_writer **out)
{
	if (account->text_is_written || !may_write(account))
		return ERR_STATE;
	if (!gate_has_room(account->store->gate, BLOCK_SPACE))
		return ERR_NO_SPACE;
	struct text_writer *w = mem_alloc(1, sizeof *w);
	*w = (struct text_writer){ .account = account, .text = -1, .index = -1,
		                   .packed = BUF_INIT((size_t)PACKED_MAX * TEXT_COLUMNS_MAX), .record = BUF_INIT(PACKED_MAX) };
	account->text_is_written = true;
	int result = open_files(w);
	if (result < 0)
		text_writer_close(&w);
	else
		*out = w;
	return result;
}

/* Its checksum. */
static uint64_t add_signature(struct text_writer *w, const struct text_block *block)
{
	unsigned char signature[TEXT_SIGNATURE_BYTES];
	text_signature_make(buf_str(&block->columns[0].text), signature);
	buf_add(&w->packed, str_of((const char *)signature, sizeof signature));
	return XXH3_64bits(signature, sizeof signature);
}

int text_writer_add(struct text_writer *w, const struct text_block *block)
{
	struct text_place places[TEXT_COLUMNS_MAX] = { 0 };
	int result = may_write(w->account) && (!block->continued || w->open) ? 0 : ERR_STATE;
	w->open = false; /* what is not taken now leaves a gap */
	if (result == 0 && !gate_has_room(w->account->store->gate, BLOCK_SPACE))
		result = ERR_NO_SPACE;
	if (result == 0 && w->loose && !block->continued)
		result = cut_off(w);
	buf_clear(&w->packed);
	buf_clear(&w->record);
	for (uint32_t i = 0; i < text_columns(block->kind) && result == 0; i++)
		result = text_column_pack(&block->columns[i], &places[i], &w->packed);
	if (result < 0)
		return result;
	uint64_t signature = text_has_signature(block->kind) ? add_signature(w, block) : 0;
	text_record_encode(block, w->text_end, places, signature, &w->record);
	w->loose = true;
	result = file_write_at(w->text, w->text_end, buf_str(&w->packed));
	if (result == 0)
		result = file_write_at(w->index, w->index_end, buf_str(&w->record));
	if (result == 0) {
		w->text_end += w->packed.n;
		w->index_end += w->record.n;
	}
	w->open = result == 0 && block->continues;
	if (result == 0 && !block->continues) {
		w->whole_text = w->text_end;
		w->whole_index = w->index_end;
		w->loose = false;
	}
	return result;
}

void text_writer_close(struct text_writer **pointer)
{
	struct text_writer *w = *pointer;
	*pointer = NULL;
	if (!w)
		return;
	w->account->text_is_written = false;
	if (w->loose)
		(void)!cut_off(w); /* if that fails the next writer does it */
	if (w->text >= 0)
		close(w->text);
	if (w->index >= 0)
		close(w->index);
	buf_free(&w->packed);
	buf_free(&w->record);
	mem_free(w);
}
