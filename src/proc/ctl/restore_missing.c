/* restore_missing.c: what a backup cannot give back of an account: which messages, where they were, and what is wrong with
 * them. A message is examined as the backup has it; of a parcel that is on its way, the frames tell what is missing in it.
 * Damage is told at once (backup_on_damage). Owned by the command; only reads. */
#include "proc/ctl/restore.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"
#include "db/bodylog.h"
#include "mail/parcel_numbers.h"

#include <stdio.h>

/* --- one message --- */

static const char *compare_bytes(const struct restore_origin *origin, const struct message_row *row, uint64_t checksum)
{
	struct body_sum *state = body_sum_new();
	int result = 0;
	for (uint64_t at = 0; at < row->size && result == 0; at += PARCEL_BODY_CHUNK) {
		size_t n = (size_t)MIN(row->size - at, (uint64_t)PARCEL_BODY_CHUNK);
		result = message_read(origin->account, row, at, n, origin->room);
		body_sum_add(state, str_of(origin->room, n));
	}
	uint64_t sum = body_sum_end(&state);
	return result < 0 ? "its bytes cannot be read" : sum != checksum ? "its bytes are not those that came in" : NULL;
}

void origin_examine(const struct restore_origin *origin, uint64_t number, struct origin_message *out)
{
	struct message_cursor rows;
	uint64_t offset;
	int fd;
	*out = (struct origin_message){ .number = number };
	message_cursor_begin(&rows, origin->account);
	int result = message_cursor_get(&rows, number, &out->row);
	message_cursor_end(&rows);
	if (result < 0) {
		out->row.segment = 0;
		out->problem = result == ERR_NOT_FOUND ? "it is not in index.db" : "its row in index.db cannot be read";
		return;
	}
	result = message_file(origin->account, &out->row, &fd, &offset);
	if (result < 0)
		out->problem = result == ERR_NOT_FOUND ? "its segment is not in the backup" : "its segment cannot be read";
	else
		out->problem = verify_record(fd, offset, out->row.size, number,
		                             str_of((const char *)origin->id.bytes, sizeof origin->id.bytes), origin->room,
		                             &out->checksum);
	if (!out->problem)
		out->problem = compare_bytes(origin, &out->row, out->checksum);
}

void origin_tell(const struct restore_origin *origin, struct str mailbox, uint32_t uid,
                 const struct origin_message *message)
{
	char file[BACKUP_NAME_MAX * 2], id[ACCOUNT_ID_TEXT_SIZE];
	const struct backup_segment *segment =
		message->row.segment ? manifest_segment(origin->manifest, origin->shard, message->row.segment) : NULL;
	account_id_print(&origin->id, id);
	if (segment)
		segment_path(segment, file);
	backup_on_damage(origin->found,
	                 &(struct backup_damage){ .file = segment ? file : NULL,
	                                          .offset = message->row.offset,
	                                          .account = str_from_c(id),
	                                          .message = message->number,
	                                          .mailbox = mailbox,
	                                          .uid = uid,
	                                          .problem = message->problem ? message->problem : "it could not be read" });
}

/* --- of a parcel --- */

struct missing_mailbox {
	struct str name; /* owned */
	bool has, lacks; /* entries that come back, or do not: as mail/parcel_reader.h has it */
};

struct missing {
	const struct restore_origin *origin;
	struct parcel_taker *taker;
	struct parcel_numbers numbers, told; /* of messages that are missing; of these, that were told */
	struct missing_mailbox *mailboxes;
	uint32_t n_mailboxes;
};

struct missing *missing_new(const struct restore_origin *origin)
{
	struct missing *missing = mem_alloc(1, sizeof *missing);
	missing->origin = origin;
	missing->taker = parcel_taker_new();
	return missing;
}

void missing_free(struct missing **pointer)
{
	struct missing *missing = *pointer;
	*pointer = NULL;
	if (!missing)
		return;
	for (uint32_t i = 0; i < missing->n_mailboxes; i++)
		mem_free((char *)missing->mailboxes[i].name.p);
	mem_free(missing->mailboxes);
	parcel_numbers_free(&missing->numbers);
	parcel_numbers_free(&missing->told);
	parcel_taker_free(&missing->taker);
	mem_free(missing);
}

static void take_mailbox(struct missing *missing, struct str name)
{
	if ((missing->n_mailboxes & (missing->n_mailboxes - 1)) == 0)
		missing->mailboxes = mem_resize(missing->mailboxes, missing->n_mailboxes ? missing->n_mailboxes * 2 : 1,
		                                sizeof *missing->mailboxes);
	missing->mailboxes[missing->n_mailboxes++] = (struct missing_mailbox){ .name = { mem_copy(name), name.n } };
}

/* Rows that nobody can read name no message: only the mailbox is known, or not even that. */
static int take_missing(struct missing *missing, const struct parcel_missing *frame)
{
	uint32_t mailbox = parcel_mailbox_of_lost_entries(frame->number);
	char name[BACKUP_NAME_MAX], file[BACKUP_NAME_MAX * 4], problem[256];
	if (frame->number == PARCEL_LOST_LOGS)
		return 0; /* they do not come back anyhow */
	if (frame->number != PARCEL_LOST_MAILBOXES && mailbox == 0)
		return parcel_numbers_add(&missing->numbers, frame->number, 0);
	if (mailbox > missing->n_mailboxes)
		return ERR_CORRUPT;
	if (mailbox > 0)
		missing->mailboxes[mailbox - 1].lacks = true;
	snprintf(name, sizeof name, "%02u.db", missing->origin->shard);
	generation_path(missing->origin->manifest->name, name, file);
	snprintf(problem, sizeof problem, "%.*s", STR_ARG(frame->problem));
	backup_on_damage(missing->origin->found,
	                 &(struct backup_damage){ .file = file,
	                                          .mailbox = mailbox ? missing->mailboxes[mailbox - 1].name : STR(""),
	                                          .problem = problem });
	return 0;
}

static int take_entries(struct missing *missing, const struct parcel_entries *entries)
{
	struct missing_mailbox *mailbox = &missing->mailboxes[entries->mailbox - 1];
	struct origin_message message;
	uint64_t zero;
	for (uint32_t i = 0; i < entries->n; i++) {
		const struct parcel_entry *entry = &entries->list[i];
		if (parcel_numbers_find(&missing->numbers, entry->message, &zero) < 0) {
			mailbox->has = true;
			continue;
		}
		mailbox->lacks = true;
		int result = parcel_numbers_add(&missing->told, entry->message, 0);
		if (result == ERR_EXISTS)
			continue;
		if (result < 0)
			return result;
		origin_examine(missing->origin, entry->message, &message);
		origin_tell(missing->origin, mailbox->name, entry->uid, &message);
	}
	return 0;
}

int missing_scan(struct missing *missing, struct str frames)
{
	const struct parcel_frame *frame;
	size_t used;
	int result = 0;
	while (frames.n > 0 && result == 0) {
		result = parcel_next(missing->taker, frames, &frame, &used);
		if (result < 0)
			break;
		frames = str_from(frames, used);
		if (frame->type == PARCEL_MAILBOX)
			take_mailbox(missing, frame->mailbox.name);
		else if (frame->type == PARCEL_MISSING)
			result = take_missing(missing, &frame->missing);
		else if (frame->type == PARCEL_ENTRIES)
			result = take_entries(missing, &frame->entries);
	}
	return result;
}

void missing_tell_left(const struct missing *missing, struct buf *json)
{
	for (uint32_t i = 0; i < missing->n_mailboxes; i++) {
		const struct missing_mailbox *mailbox = &missing->mailboxes[i];
		if (!mailbox->lacks || mailbox->has)
			continue;
		json_put_string(json, mailbox->name);
		if (!missing->origin->found->ctl->json)
			fprintf(stderr, "mansio: %.*s was left as it is: nothing in it can be read in this backup\n",
			        STR_ARG(mailbox->name));
	}
}
