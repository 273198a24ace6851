/* text_sweep.c: search text of what is gone is freed. Now and then, in idle time, each account's index is walked in
 * slices and its messages are looked up; blocks of which much is dead leave the index (it is written anew, and takes the
 * old one's place in one rename), then their bytes become a hole of the file. Blocks that continue each other go together,
 * whatever of them is dead or missing: of a message without its beginning or end no search has any use. What of such
 * blocks lives is made again by the next search. Readers that began before find a wrong checksum and do the same. */
#include "store/internal.h"
#include "store/text_private.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SWEEP_INTERVAL 21600 /* seconds, */
#define SWEEP_AGAIN    600   /* and after a thorough one that was given up for an account */
#define LOOK_AT_ONCE   256   /* messages in a slice */
#define DEAD_SHARE     4     /* blocks go when one of so many messages is dead */
#define INDEX_MAX      (256 * 1024 * 1024)
#define HOLES_MAX      (64 * 1024 * 1024)

struct text_hole {
	uint64_t offset, n;
};

/* Blocks that continue each other: they stand behind each other in both files. Mostly there is one. */
struct text_run {
	struct str records;    /* empty: it has not begun */
	struct text_hole hole; /* their text */
	uint64_t messages, dead;
	bool broken;           /* its beginning is not there */
};

struct text_sweep {
	DIR *files;
	bool all;             /* what has anything dead goes */
	struct account_id id; /* whose index is walked; */
	int64_t number;       /* 0: none's */
	uint64_t next;        /* the number that its next message gets */
	struct buf index, kept, holes;
	struct str rest;
	struct text_block block; /* the record that is looked at, */
	struct text_record record;
	uint32_t looked;         /* and how far */
	struct text_run run;     /* it, and the records that it continues */
	struct text_chain chain;
};

static void end_account(struct text_sweep *sweep)
{
	sweep->number = 0;
	buf_free(&sweep->index);
	buf_free(&sweep->kept);
	buf_free(&sweep->holes);
}

void text_sweep_stop(struct store *store)
{
	struct text_sweep *sweep = store->text_sweep;
	store->text_sweep = NULL;
	if (!sweep)
		return;
	end_account(sweep);
	text_block_free(&sweep->block);
	closedir(sweep->files);
	mem_free(sweep);
}

static bool begin(struct store *store)
{
	int folder = text_folder(store, false);
	DIR *files = folder < 0 ? NULL : fdopendir(folder);
	if (!files) {
		if (folder >= 0)
			close(folder);
		return false;
	}
	struct text_sweep *sweep = mem_alloc(1, sizeof *sweep);
	*sweep = (struct text_sweep){ .files = files, .all = store->text_sweep_all || store->text_sweep_again };
	text_block_init(&sweep->block, TEXT_FIELDS);
	store->text_sweep = sweep;
	return true;
}

static bool read_id(const char *name, struct account_id *id)
{
	for (size_t i = 0; i < sizeof id->bytes; i++) {
		int high = ascii_hex_value(name[2 * i]), low = high < 0 ? -1 : ascii_hex_value(name[2 * i + 1]);
		if (low < 0)
			return false;
		id->bytes[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

static uint64_t next_number(struct store *store, const struct account_id *id)
{
	struct account *account;
	if (account_open(store, id, &account) < 0)
		return 0; /* it is being moved: text_remove was due */
	uint64_t next = account->next;
	account_close(&account);
	return next;
}

/* The next account's index. What is no index of an account that lives is removed. False: that was the last. */
static bool next_account(struct store *store, struct text_sweep *sweep)
{
	struct account_id id;
	struct dirent *entry;
	while ((entry = readdir(sweep->files))) {
		int64_t number = 0;
		if (!read_id(entry->d_name, &id))
			continue;
		if (account_find_number(store, &id, &number) < 0)
			return false;
		sweep->index = BUF_INIT(INDEX_MAX);
		if (number == 0 || text_index_read(dirfd(sweep->files), &id, &sweep->index, &sweep->rest) < 0) {
			buf_free(&sweep->index);
			text_remove(store, &id);
			continue;
		}
		if (!str_ends(str_from_c(entry->d_name), STR(".index"))) {
			buf_free(&sweep->index);
			continue;
		}
		sweep->id = id;
		sweep->number = number;
		sweep->next = next_number(store, &id);
		sweep->kept = BUF_INIT(INDEX_MAX);
		sweep->holes = BUF_INIT(HOLES_MAX);
		text_index_begin(&id, &sweep->kept);
		sweep->block.n = sweep->looked = 0;
		sweep->run = (struct text_run){ .broken = false };
		sweep->chain = (struct text_chain){ .open = false };
		return true;
	}
	return false;
}

static int write_index(struct text_sweep *sweep)
{
	char name[TEXT_NAME_MAX], temporary[TEXT_NAME_MAX];
	int folder = dirfd(sweep->files);
	text_name(&sweep->id, ".index", name);
	text_name(&sweep->id, ".new", temporary);
	int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	int result = file_write(fd, buf_str(&sweep->kept));
	close(fd);
	if (result == 0 && renameat(folder, temporary, folder, name) < 0)
		result = err_from_errno(errno);
	if (result < 0)
		unlinkat(folder, temporary, 0);
	return result;
}

static int punch(struct text_sweep *sweep)
{
	char name[TEXT_NAME_MAX];
	int result = 0;
	text_name(&sweep->id, ".text", name);
	int fd = openat(dirfd(sweep->files), name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_from_errno(errno);
	for (size_t at = 0; at < sweep->holes.n && result == 0; at += sizeof(struct text_hole)) {
		struct text_hole hole;
		memcpy(&hole, sweep->holes.p + at, sizeof hole);
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)hole.offset, (off_t)hole.n) < 0)
			result = ERR_UNSUPPORTED;
	}
	close(fd);
	return result;
}

/* open: its last message goes on, and nothing of that came. */
static void end_run(struct text_sweep *sweep, bool open)
{
	struct text_run *run = &sweep->run;
	bool dead = sweep->all ? run->dead > 0 : run->dead * DEAD_SHARE >= run->messages;
	if (run->records.n > 0 && (dead || run->broken || open))
		buf_add(&sweep->holes, str_of((const char *)&run->hole, sizeof run->hole));
	else
		buf_add(&sweep->kept, run->records);
	*run = (struct text_run){ .broken = false };
}

/* Is the index what was walked? Else a search has added to it meanwhile, or is about to. */
static bool is_still(struct store *store, const struct text_sweep *sweep)
{
	struct account *account;
	struct buf now = BUF_INIT(INDEX_MAX);
	struct str records;
	if (account_open(store, &sweep->id, &account) < 0)
		return false;
	bool still = !account->text_is_written &&
	             text_index_read(dirfd(sweep->files), &sweep->id, &now, &records) == 0 &&
	             str_eq(buf_str(&now), buf_str(&sweep->index));
	account_close(&account);
	buf_free(&now);
	return still;
}

static void finish_account(struct store *store, struct text_sweep *sweep)
{
	end_run(sweep, sweep->chain.open);
	int result = buf_error(&sweep->kept) < 0 || buf_error(&sweep->holes) < 0 ? ERR_LIMIT : 0;
	bool nothing = sweep->kept.n == TEXT_INDEX_HEADER;
	if ((result < 0 || nothing || sweep->holes.n > 0) && !is_still(store, sweep)) {
		store->text_dead = true; /* the next sweep */
		store->text_sweep_again = store->text_sweep_again || sweep->all;
		end_account(sweep);
		return;
	}
	if (result == 0 && sweep->holes.n > 0 && !nothing) {
		result = write_index(sweep);
		if (result == 0)
			result = punch(sweep);
	}
	if (result < 0 || nothing)
		text_remove(store, &sweep->id);
	end_account(sweep);
}

/* Into its run. */
static void begin_record(struct text_sweep *sweep)
{
	bool was_open = sweep->chain.open;
	if (text_chain_next(&sweep->chain, &sweep->record, &sweep->block)) {
		sweep->run.records.n += sweep->record.whole.n;
		sweep->run.hole.n += text_record_bytes(&sweep->record);
	} else {
		end_run(sweep, was_open);
		sweep->run = (struct text_run){ .records = sweep->record.whole, .broken = sweep->record.continued,
			                        .hole = { sweep->record.offset, text_record_bytes(&sweep->record) } };
	}
	sweep->run.messages += sweep->block.n;
}

static int is_dead(struct store *store, int64_t account, const struct text_message *message, bool *dead)
{
	DB_USING(facts, store->sql.message_facts);
	*dead = true;
	if (message->number > (uint64_t)NUMBER_MAX)
		return 0;
	db_bind_int(facts, 1, account_key(account, message->number));
	int row = db_step(facts);
	if (row == DB_ROW)
		*dead = (uint64_t)db_column_int(facts, 0) != message->size;
	return MIN(row, 0);
}

static int look(struct store *store, struct text_sweep *sweep)
{
	for (int i = 0; i < LOOK_AT_ONCE && sweep->looked < sweep->block.n; i++, sweep->looked++) {
		bool dead;
		int result = is_dead(store, sweep->number, text_block_message(&sweep->block, sweep->looked), &dead);
		if (result < 0)
			return result;
		sweep->run.dead += dead;
	}
	if (sweep->looked == sweep->block.n)
		sweep->block.n = 0;
	return 0;
}

/* Damage ends the account's text. */
static void next_record(struct store *store, struct text_sweep *sweep)
{
	int result = text_record_next(&sweep->rest, &sweep->record);
	if (result == 0)
		result = text_record_messages(&sweep->record, &sweep->block);
	if (result == 0 && text_is_of_future(&sweep->block, sweep->next))
		result = ERR_CORRUPT;
	sweep->looked = 0;
	if (result == 0) {
		begin_record(sweep);
	} else if (result == ERR_NOT_FOUND) {
		finish_account(store, sweep);
	} else if (result < 0) {
		text_remove(store, &sweep->id);
		end_account(sweep);
	}
}

bool text_sweep_step(struct store *store)
{
	struct text_sweep *sweep = store->text_sweep;
	int64_t now = clock_wall_seconds();
	if (!sweep) {
		bool due = store->text_sweep_all || (store->text_dead && now >= store->text_swept + SWEEP_INTERVAL) ||
		           (store->text_sweep_again && now >= store->text_swept + SWEEP_AGAIN);
		if (!due)
			return false;
		store->text_swept = now;
		store->text_dead = false;
		bool begun = begin(store);
		store->text_sweep_all = store->text_sweep_again = false;
		return begun;
	}
	if (sweep->number == 0) {
		if (!next_account(store, sweep))
			text_sweep_stop(store);
	} else if (sweep->looked < sweep->block.n) {
		if (look(store, sweep) < 0)
			text_sweep_stop(store);
	} else {
		next_record(store, sweep);
	}
	return store->text_sweep != NULL;
}
