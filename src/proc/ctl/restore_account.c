/* restore_account.c: an account, some of its mailboxes, or chosen messages go from a backup into the running server, as
 * a parcel (store/parcel.h). Mailboxes take the place of those of their names (what is there now can be undeleted, and
 * they get new UIDVALIDITYs); messages are appended to their mailbox. The account must be there: it is looked up by
 * its address, in the backup and now, and may have another id by now. */
#include "proc/ctl/restore.h"

#include "auth/address.h"
#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"
#include "db/bodylog.h"
#include "db/snapshot.h"
#include "proc/ctl/parcel.h"
#include "store/transfer.h"

#include <inttypes.h>
#include <unistd.h>
#include <xxhash.h>

#define MAILBOXES_MAX 64
#define FLUSH_AT      (256 * 1024)

struct sending {
	struct ctl *ctl;
	const struct restore_wish *wish;
	struct working_store working;
	struct restore_origin origin;
	struct missing *missing; /* NULL: messages were chosen */
	struct ctl_parcel_sender sender;
	bool sends;
	struct ctl_reply reply;
	struct backup_work work;
	struct buf *problem;
};

/* --- who --- */

/* By the directory as it was. */
static int find_account(struct sending *s, const struct repository *repository, const struct backup_manifest *manifest,
                        struct account_id *id, uint16_t *shard)
{
	char path[BACKUP_NAME_MAX * 4], whole[BACKUP_PATH_MAX];
	struct folded_address address;
	sqlite3_stmt *find = NULL;
	struct db db = { NULL };
	if (address_read(s->wish->address, &address) < 0 || address.domain.n == 0)
		return backup_fail(s->problem, ERR_SYNTAX, "\"%.*s\" is no address", STR_ARG(s->wish->address));
	generation_path(manifest->name, BACKUP_DIRECTORY, path);
	snprintf(whole, sizeof whole, "%.3000s/%s", repository->path, path);
	int row = snapshot_open(str_from_c(whole), &db);
	if (row == 0)
		row = db_prepare(
			&db,
			"SELECT account.id, shard FROM address JOIN account ON account.id = address.account WHERE domain = ?1 "
			"AND local = ?2",
			&find);
	if (row == 0) {
		db_bind_text(find, 1, address.domain);
		db_bind_text(find, 2, address.local);
		row = db_step(find);
	}
	struct str found = row == DB_ROW ? db_column_blob(find, 0) : STR("");
	if (row == DB_ROW && found.n != sizeof id->bytes)
		row = ERR_CORRUPT;
	if (row == DB_ROW) {
		memcpy(id->bytes, found.p, sizeof id->bytes);
		*shard = (uint16_t)db_column_int(find, 1);
	} else if (row < 0) {
		(void)backup_fail(s->problem, row, "cannot read %s: %s", whole, err_text(row));
	} else {
		row = backup_fail(s->problem, ERR_NOT_FOUND, "the backup %s has no account %.*s", manifest->name,
		                  STR_ARG(s->wish->address));
	}
	db_finalize(&find);
	db_close(&db);
	return MIN(row, 0);
}

/* Before anything is copied: does the server have it? */
static int check_account(struct sending *s)
{
	struct control_request request = { .command = CONTROL_ACCOUNT_SHOW,
		                               .n_arguments = 1,
		                               .arguments = { s->wish->address } };
	int result = ctl_request_online(s->ctl, &request, &s->reply);
	if (result == ERR_NOT_FOUND && s->reply.result == 0)
		return backup_fail(s->problem, ERR_UNAVAILABLE, "the server must run for this, and nobody answers at %.*s",
		                   STR_ARG(str_first(s->ctl->conf.server.control_socket, 150)));
	if (result == 0 && s->reply.result == ERR_NOT_FOUND)
		return backup_fail(s->problem, ERR_NOT_FOUND, "%.*s; the mail comes into an account that is there (mansio account add)",
		                   STR_ARG(buf_str(&s->reply.message)));
	if (result < 0 || s->reply.result < 0)
		return backup_fail(s->problem, result < 0 ? result : s->reply.result, "%.*s",
		                   STR_ARG(buf_str(&s->reply.message)));
	return 0;
}

/* --- sending --- */

static int said(struct sending *s, int result)
{
	return result < 0 ? backup_fail(s->problem, result, "%.*s", STR_ARG(buf_str(&s->reply.message))) : 0;
}

/* mode: back, or add with the source (parcel_reader.h) behind it. */
static int open_parcel(struct sending *s, const struct str *mode, uint32_t n)
{
	struct str arguments[4] = { s->wish->address };
	memcpy(arguments + 1, mode, n * sizeof *mode);
	int fd, result = ctl_parcel_open(s->ctl, CONTROL_PARCEL_WRITE, arguments, 1 + n, &fd, &s->reply);
	if (result < 0)
		return said(s, result);
	ctl_parcel_sender_begin(&s->sender, fd);
	s->sends = true;
	return 0;
}

static int flush(struct sending *s)
{
	uint64_t bytes = s->sender.maker.out.n;
	int result = said(s, ctl_parcel_flush(&s->sender, &s->reply));
	s->work.items = s->sender.answer.messages;
	return result == 0 ? work_done(&s->work, bytes) : result;
}

/* Takes what the writer made, as it is. */
static int pass_on(struct sending *s, struct buf *made)
{
	int result = 0;
	while (made->n > 0 && result == 0 && !s->sender.over) {
		size_t n = MIN(made->n, (size_t)FLUSH_AT);
		buf_add(&s->sender.maker.out, str_of(made->p, n));
		buf_consume(made, n);
		result = flush(s);
	}
	return result;
}

static int check_mailboxes(struct sending *s)
{
	for (uint32_t i = 0; i < s->wish->n_mailboxes; i++)
		if (!account_mailbox(s->origin.account, s->wish->mailboxes[i]))
			return backup_fail(s->problem, ERR_NOT_FOUND, "%.*s has no mailbox \"%.*s\" in this backup",
			                   STR_ARG(s->wish->address), STR_ARG(s->wish->mailboxes[i]));
	return 0;
}

static int send_mailboxes(struct sending *s)
{
	const struct parcel_filter filter = { .mailboxes = s->wish->mailboxes, .n_mailboxes = s->wish->n_mailboxes };
	int result = open_parcel(s, &STR("back"), 1);
	struct parcel_writer *writer = result == 0 ? parcel_writer_new(s->origin.account, &filter) : NULL;
	bool done = false;
	s->missing = missing_new(&s->origin);
	while (result == 0 && !done && !s->sender.over) {
		result = parcel_writer_step(writer, &done);
		working_turn(&s->working);
		if (result == 0)
			result = missing_scan(s->missing, buf_str(&parcel_writer_maker(writer)->out));
		if (result < 0)
			(void)backup_fail(s->problem, result, "the backup cannot be read: %s", err_text(result));
		else
			result = pass_on(s, &parcel_writer_maker(writer)->out);
	}
	parcel_writer_free(&writer);
	return result == 0 ? said(s, ctl_parcel_finish(&s->sender, &s->reply)) : result;
}

/* --- chosen messages --- */

struct chosen {
	struct entry entry;
	struct keyword_bits keywords;
	struct origin_message message; /* compared before it is sent: what is sent cannot be taken back */
};

static int send_body(struct sending *s, const struct chosen *chosen)
{
	const struct message_row *row = &chosen->message.row;
	int result = 0;
	for (uint64_t at = 0; at < row->size && result == 0; at += PARCEL_BODY_CHUNK) {
		size_t n = (size_t)MIN(row->size - at, (uint64_t)PARCEL_BODY_CHUNK);
		result = message_read(s->origin.account, row, at, n, s->origin.room);
		if (result < 0)
			return backup_fail(s->problem, result, "the backup cannot be read: %s", err_text(result));
		parcel_put_body(&s->sender.maker, str_of(s->origin.room, n));
		if (s->sender.maker.out.n >= FLUSH_AT)
			result = flush(s);
	}
	return result;
}

/* Its number in the parcel is its uid, which says with the source whether it has come before. */
static int send_message(struct sending *s, const struct chosen *chosen)
{
	const struct parcel_message message = { .number = chosen->entry.uid,
		                                    .size = chosen->message.row.size,
		                                    .internal_date = chosen->message.row.internal_date,
		                                    .zone_minutes = chosen->message.row.zone_minutes,
		                                    .checksum = chosen->message.checksum,
		                                    .mailbox = 1 };
	parcel_put_message(&s->sender.maker, &message);
	int result = send_body(s, chosen);
	if (result < 0)
		return result;
	struct parcel_entries *entries = mem_alloc(1, sizeof *entries);
	entries->mailbox = 1;
	entries->n = 1;
	entries->list[0] = (struct parcel_entry){ .saved = chosen->entry.saved,
		                                      .message = chosen->entry.uid,
		                                      .flags = (uint8_t)(chosen->entry.flags & ~(unsigned)FLAG_DELETED),
		                                      .keywords = chosen->keywords };
	parcel_put_entries(&s->sender.maker, entries);
	mem_free(entries);
	return flush(s);
}

static int send_one(struct sending *s, struct mailbox *mailbox, const struct entry *entry)
{
	struct chosen chosen = { .entry = *entry };
	entry_keywords(mailbox, entry, &chosen.keywords);
	origin_examine(&s->origin, entry->message, &chosen.message);
	if (!chosen.message.problem)
		return send_message(s, &chosen);
	origin_tell(&s->origin, s->wish->mailboxes[0], entry->uid, &chosen.message);
	return 0;
}

static void put_mailbox(struct sending *s, const struct mailbox *mailbox)
{
	struct parcel_mailbox *told = mem_alloc(1, sizeof *told);
	const struct str *keywords;
	size_t n = mailbox_keywords(mailbox, &keywords);
	*told = (struct parcel_mailbox){ .number = 1,
		                             .name = mailbox_facts(mailbox)->name,
		                             .uidvalidity = 1,
		                             .uidnext = 1,
		                             .n_keywords = (uint32_t)MIN(n, (size_t)KEYWORDS_MAX) };
	if (told->n_keywords)
		memcpy(told->keywords, keywords, told->n_keywords * sizeof *keywords);
	parcel_put_mailbox(&s->sender.maker, told);
	mem_free(told);
}

/* "4711", "12,15:20": which messages of the mailbox; of a range those that are there. Before anything is sent: what was
 * added stays. */
static int choose(struct sending *s, struct mailbox *mailbox, struct set *out)
{
	struct str set = s->wish->messages;
	while (set.p) {
		struct str range = str_cut(&set, ','), last = range;
		uint64_t from, to;
		struct str first = str_cut(&last, ':');
		if (str_to_u64(first, UINT32_MAX, &from) < 0 || from == 0 ||
		    str_to_u64(last.p ? last : first, UINT32_MAX, &to) < 0 || to < from)
			return backup_fail(s->problem, ERR_SYNTAX, "\"%.*s\" is no uid, and no set like 12,15:20", STR_ARG(range));
		struct entry_cursor cursor = entry_seek(mailbox, (uint32_t)from);
		const struct entry *entry = entry_next(&cursor);
		if (!entry || entry->uid > to)
			return backup_fail(s->problem, ERR_NOT_FOUND, "\"%.*s\" has no message with the uid %.*s in this backup",
			                   STR_ARG(s->wish->mailboxes[0]), STR_ARG(range));
		for (; entry && entry->uid <= to; entry = entry_next(&cursor))
			set_add(out, entry->uid, entry->uid);
	}
	return 0;
}

static int send_chosen(struct sending *s, struct mailbox *mailbox, const struct set *uids)
{
	int result = 0;
	for (uint32_t i = 0; i < uids->n; i++) {
		struct entry_cursor cursor = entry_seek(mailbox, uids->ranges[i].first);
		const struct entry *entry;
		while (result == 0 && (entry = entry_next(&cursor)) && entry->uid <= uids->ranges[i].last)
			result = send_one(s, mailbox, entry);
	}
	return result;
}

/* What comes from this account of this backup has the same source each time, so that a command that was interrupted, or
 * is given again, adds nothing twice. */
static struct account_id source_of(const struct sending *s)
{
	struct account_id source;
	struct buf text = BUF_INIT(BACKUP_NAME_MAX + 64);
	XXH128_canonical_t sum;
	buf_addf(&text, "restore %s ", s->origin.manifest->name);
	buf_add(&text, str_of((const char *)s->wish->id.bytes, sizeof s->wish->id.bytes));
	XXH128_canonicalFromHash(&sum, XXH3_128bits(text.p, text.n));
	memcpy(source.bytes, sum.digest, sizeof source.bytes);
	buf_free(&text);
	return source;
}

static int send_messages(struct sending *s)
{
	struct mailbox *mailbox = account_mailbox(s->origin.account, s->wish->mailboxes[0]);
	struct account_id source = source_of(s);
	const struct str mode[] = { STR("add"), str_of((const char *)source.bytes, sizeof source.bytes), STR("made-anew") };
	struct set uids = SET_INIT;
	int result = mailbox_open(mailbox);
	if (result < 0)
		return backup_fail(s->problem, result, "the backup cannot be read: %s", err_text(result));
	result = choose(s, mailbox, &uids);
	if (result == 0)
		result = open_parcel(s, mode, COUNT_OF(mode));
	if (result == 0) {
		parcel_put_begin(&s->sender.maker, &(struct parcel_begin){ .next = 1 });
		put_mailbox(s, mailbox);
		result = send_chosen(s, mailbox, &uids);
	}
	if (result == 0) {
		parcel_put_end(&s->sender.maker);
		result = said(s, ctl_parcel_finish(&s->sender, &s->reply));
	}
	set_free(&uids);
	mailbox_close(mailbox);
	return result;
}

/* --- all of it --- */

/* What the account has there is not known. */
static int cannot_read(struct sending *s, int err)
{
	if (err != ERR_CORRUPT)
		return backup_fail(s->problem, err, "the mailboxes of %.*s cannot be read in the backup %s: %s",
		                   STR_ARG(s->wish->address), s->origin.manifest->name, err_text(err));
	return backup_fail(s->problem, err,
	                   "the mailboxes of %.*s cannot be read in the backup %s: its index is damaged there (%02u.db); another "
	                   "backup may be whole (see mansio backup list, and --at), or see mansio-restore(1) for salvaging this one",
	                   STR_ARG(s->wish->address), s->origin.manifest->name, s->origin.shard);
}

/* Mail may be missing there. */
static void tell_doubt(struct sending *s)
{
	char name[BACKUP_NAME_MAX], path[BACKUP_NAME_MAX * 4];
	snprintf(name, sizeof name, "%02u.db", s->origin.shard);
	generation_path(s->origin.manifest->name, name, path);
	const char *doubt = manifest_doubt_of_file(s->origin.manifest, name);
	if (doubt)
		backup_on_damage(s->origin.found, &(struct backup_damage){ .file = path, .problem = doubt });
}

static int run(struct sending *s, const struct repository *repository, const struct backup_manifest *manifest,
               struct restore_wish *wish)
{
	struct restore_origin *origin = &s->origin;
	int result = find_account(s, repository, manifest, &wish->id, &origin->shard);
	origin->id = wish->id;
	if (result == 0)
		result = check_account(s);
	progress_begin(&s->work.progress, "opening the backup", 0, NULL);
	if (result == 0)
		result = working_open(&s->working, repository, manifest, origin->shard, &s->work);
	progress_end(&s->work.progress);
	if (result < 0)
		return result;
	tell_doubt(s);
	result = account_open(s->working.store, &wish->id, &origin->account);
	if (result == ERR_NOT_FOUND)
		return backup_fail(s->problem, result, "the backup %s has no mail of %.*s", manifest->name, STR_ARG(wish->address));
	if (result < 0)
		return cannot_read(s, result);
	result = check_mailboxes(s);
	s->work.bytes = 0;
	progress_begin(&s->work.progress, "restoring", 0, "messages");
	if (result == 0)
		result = wish->messages.n ? send_messages(s) : send_mailboxes(s);
	progress_end(&s->work.progress);
	return result;
}

int restore_account(struct ctl *ctl, const struct repository *repository, const struct backup_manifest *manifest,
                    struct restore_wish *wish, struct backup_found *found, struct restore_done *done,
                    struct buf *problem)
{
	struct sending *s = mem_alloc(1, sizeof *s);
	*s = (struct sending){
		.ctl = ctl, .wish = wish, .problem = problem, .work = { .problem = problem },
		.origin = { .manifest = manifest, .found = found, .room = mem_alloc_unset(RESTORE_ROOM) }
	};
	found->work = &s->work;
	ctl_reply_init(&s->reply);
	int result = run(s, repository, manifest, wish);
	*done = (struct restore_done){ .messages = s->sender.answer.messages, .entries = s->sender.answer.entries,
		                           .again = s->sender.answer.passed, .left = BUF_INIT(BACKUP_DAMAGE_MAX) };
	json_begin_array(&done->left);
	if (result == 0 && s->missing)
		missing_tell_left(s->missing, &done->left);
	else
		done->refused = s->sender.answer.refused;
	if (s->origin.account)
		account_close(&s->origin.account);
	missing_free(&s->missing);
	working_close(&s->working);
	mem_free(s->origin.room);
	if (s->sends)
		ctl_parcel_sender_free(&s->sender);
	ctl_reply_free(&s->reply);
	found->work = NULL;
	mem_free(s);
	return result;
}
