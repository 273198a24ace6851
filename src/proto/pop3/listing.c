/* listing.c: STAT, LIST and UIDL (RFC 1939, 5 and 7), all from the mailbox's entries. Sizes are taken when they are
 * first asked for, in one walk cut into slices; then they are kept, 4 bytes a message. A message that was gone by then
 * is left out of the answers, as if the session had marked it. */
#include "base/checked.h"
#include "base/mem.h"
#include "proto/pop3/session_private.h"
#include "store/pop3.h"

#include <inttypes.h>

#define SLICE_MICROSECONDS 2000
#define LOOK_AT_CLOCK_EVERY 1024 /* messages */

/* In place of a size. No message comes near: what is larger than SIZE_MOST is not accepted anywhere. */
#define SIZE_GONE UINT32_MAX
#define SIZE_MOST (UINT32_MAX - 1)

/* As pop3_octets has it. */
static uint64_t entry_octets(const struct entry *entry)
{
	return entry_size(entry) + (entry->open_end && entry_size(entry) > 0 ? 2 : 0);
}

/* A slice of the walk. */
static void take_sizes(struct pop3_session *s)
{
	uint64_t end = s->world->microseconds(s->owner) + SLICE_MICROSECONDS;
	struct entry_cursor entries = entry_seek(s->mailbox, s->sized.uid);
	const struct entry *entry = entry_next(&entries);
	for (uint32_t n = 1; !pop3_walk_at_end(s, &s->sized); n++, pop3_walk_next(s, &s->sized)) {
		if (n % LOOK_AT_CLOCK_EVERY == 0 && s->world->microseconds(s->owner) >= end)
			break;
		while (entry && entry->uid < s->sized.uid)
			entry = entry_next(&entries);
		uint32_t size = SIZE_GONE;
		if (entry && entry->uid == s->sized.uid)
			size = (uint32_t)MIN(entry_octets(entry), (uint64_t)SIZE_MOST);
		s->sizes[s->sized.number - 1] = size;
	}
}

/* True when all sizes are known; otherwise *step says what is to happen. */
static bool have_sizes(struct pop3_session *s, enum pop3_step *step)
{
	if (!s->sizes) {
		s->sizes = mem_alloc(MAX(s->count, 1u), sizeof *s->sizes);
		s->sized = pop3_walk_start(s);
	}
	if (pop3_walk_at_end(s, &s->sized))
		return true;
	take_sizes(s);
	*step = POP3_STEP_AGAIN;
	return pop3_walk_at_end(s, &s->sized);
}

/* Is this message of the snapshot to be counted and listed? */
static bool counts(const struct pop3_session *s, const struct pop3_walk *walk)
{
	return s->sizes[walk->number - 1] != SIZE_GONE && !set_has(&s->deleted, walk->uid);
}

static void put_totals(struct pop3_session *s, const char *format)
{
	uint32_t messages = 0;
	uint64_t octets = 0;
	for (struct pop3_walk walk = pop3_walk_start(s); !pop3_walk_at_end(s, &walk); pop3_walk_next(s, &walk)) {
		if (counts(s, &walk)) {
			messages++;
			octets += s->sizes[walk.number - 1];
		}
	}
	outq_addf(pop3_output(s), format, messages, octets);
}

static enum pop3_step list_sizes(struct pop3_session *s)
{
	struct outq *out = pop3_output(s);
	for (; !pop3_walk_at_end(s, &s->walk); pop3_walk_next(s, &s->walk)) {
		if (pop3_output_full(s))
			return POP3_STEP_OUTPUT;
		if (counts(s, &s->walk))
			outq_addf(out, "%" PRIu32 " %" PRIu32 "\r\n", s->walk.number, s->sizes[s->walk.number - 1]);
	}
	outq_add(out, STR(".\r\n"));
	return POP3_STEP_DONE;
}

/* Looks up ids that came from elsewhere, where the account has any. */
struct id_source {
	struct uidl_cursor foreign;
	bool any;
};

/* "1 0000000000000007", with a prefix. False: the database failed. */
static bool put_id(struct pop3_session *s, struct id_source *source, const char *prefix, uint32_t number,
                   const struct entry *entry)
{
	char room[POP3_UIDL_OURS_MAX];
	struct str id = STR("");
	if (source->any && uidl_cursor_find(&source->foreign, entry->id, &id) < 0)
		return false;
	if (id.n == 0)
		id = str_of(room, pop3_uidl_print(entry->id, room));
	outq_addf(pop3_output(s), "%s%" PRIu32 " %.*s\r\n", prefix, number, STR_ARG(id));
	return true;
}

/* A slice of the list. */
static enum pop3_step list_some_ids(struct pop3_session *s, struct id_source *source)
{
	uint64_t end = s->world->microseconds(s->owner) + SLICE_MICROSECONDS;
	struct entry_cursor entries = entry_seek(s->mailbox, s->walk.uid);
	const struct entry *entry = entry_next(&entries);
	for (uint32_t n = 1; !pop3_walk_at_end(s, &s->walk); n++, pop3_walk_next(s, &s->walk)) {
		if (pop3_output_full(s))
			return POP3_STEP_OUTPUT;
		if (n % LOOK_AT_CLOCK_EVERY == 0 && s->world->microseconds(s->owner) >= end)
			return POP3_STEP_AGAIN;
		while (entry && entry->uid < s->walk.uid)
			entry = entry_next(&entries);
		if (entry && entry->uid == s->walk.uid && !set_has(&s->deleted, s->walk.uid) &&
		    !put_id(s, source, "", s->walk.number, entry))
			return POP3_STEP_BROKEN;
	}
	outq_add(pop3_output(s), STR(".\r\n"));
	return POP3_STEP_DONE;
}

static enum pop3_step list_ids(struct pop3_session *s)
{
	struct id_source source;
	int err = uidl_cursor_begin(&source.foreign, s->account, &source.any);
	enum pop3_step step = err < 0 ? POP3_STEP_BROKEN : list_some_ids(s, &source);
	uidl_cursor_end(&source.foreign);
	return step;
}

static void say_id(struct pop3_session *s, const struct entry *entry)
{
	struct id_source source;
	int err = uidl_cursor_begin(&source.foreign, s->account, &source.any);
	if (err < 0 || !put_id(s, &source, "+OK ", s->command.number, entry))
		pop3_reply_error(s, err < 0 ? err : ERR_IO);
	uidl_cursor_end(&source.foreign);
}

static enum pop3_step list_one(struct pop3_session *s)
{
	uint32_t uid;
	const struct entry *entry;
	if (!pop3_find_message(s, &uid, &entry))
		return POP3_STEP_DONE;
	if (s->command.verb == POP3_UIDL) {
		say_id(s, entry);
		return POP3_STEP_DONE;
	}
	outq_addf(pop3_output(s), "+OK %" PRIu32 " %" PRIu64 "\r\n", s->command.number, entry_octets(entry));
	return POP3_STEP_DONE;
}

void pop3_listing_begin(struct pop3_session *s)
{
	s->walk = (struct pop3_walk){ 0 }; /* on no message: nothing of a list was said yet */
}

enum pop3_step pop3_listing_step(struct pop3_session *s)
{
	enum pop3_step step;
	if (s->command.has_number)
		return list_one(s);
	bool begins = s->walk.number == 0;
	if (s->command.verb == POP3_UIDL) {
		if (begins) {
			s->walk = pop3_walk_start(s);
			pop3_reply(s, "+OK Unique ids follow.");
		}
		return list_ids(s);
	}
	if (begins && !have_sizes(s, &step))
		return step;
	if (s->command.verb == POP3_STAT) {
		put_totals(s, "+OK %" PRIu32 " %" PRIu64 "\r\n");
		return POP3_STEP_DONE;
	}
	if (begins) {
		s->walk = pop3_walk_start(s);
		put_totals(s, "+OK %" PRIu32 " messages (%" PRIu64 " octets)\r\n");
	}
	return list_sizes(s);
}
