/* listing.c: STAT, LIST and UIDL (RFC 1939, 5 and 7), all from the entries at the login, which never change. The sum of
 * all sizes is taken when it is first asked for, in one walk cut into slices, and kept; DELE takes from it. */
#include "proto/pop3/session_private.h"
#include "store/pop3.h"

#include <inttypes.h>

#define LOOK_AT_CLOCK_EVERY 1024 /* messages */

/* As pop3_octets has it. */
uint64_t pop3_entry_octets(const struct entry *entry)
{
	return entry_size(entry) + (entry->open_end && entry_size(entry) > 0 ? 2 : 0);
}

/* The entry of the message that a walk stands on, which is never missing. The cursor was set to this message or to one
 * before it. */
static const struct entry *entry_of(struct past_cursor *entries, const struct pop3_walk *walk)
{
	const struct entry *entry;
	do
		entry = past_next(entries);
	while (entry->uid < walk->uid);
	return entry;
}

/* A slice of the walk that adds up sizes. True: it is done. */
static bool add_up_some(struct pop3_session *s)
{
	if (s->sized.number == 0)
		s->sized = pop3_walk_start(s);
	uint64_t end = pop3_slice_end(s);
	struct past_cursor entries = past_seek(s->past, s->sized.uid);
	for (uint32_t n = 1; !pop3_walk_at_end(s, &s->sized); n++, pop3_walk_next(s, &s->sized)) {
		if (n % LOOK_AT_CLOCK_EVERY == 0 && pop3_slice_is_over(s, end))
			return false;
		s->octets += pop3_entry_octets(entry_of(&entries, &s->sized));
	}
	return true;
}

/* Messages that are marked are not counted. */
static void put_totals(struct pop3_session *s, const char *format)
{
	outq_addf(pop3_output(s), format, s->count - s->marked, s->octets - s->marked_octets);
}

/* A slice of the list. */
static enum pop3_step list_sizes(struct pop3_session *s)
{
	uint64_t end = pop3_slice_end(s);
	struct past_cursor entries = past_seek(s->past, s->walk.uid);
	struct outq *out = pop3_output(s);
	for (uint32_t n = 1; !pop3_walk_at_end(s, &s->walk); n++, pop3_walk_next(s, &s->walk)) {
		if (pop3_output_full(s))
			return POP3_STEP_OUTPUT;
		if (n % LOOK_AT_CLOCK_EVERY == 0 && pop3_slice_is_over(s, end))
			return POP3_STEP_AGAIN;
		if (set_has(&s->deleted, s->walk.uid))
			continue;
		uint64_t octets = pop3_entry_octets(entry_of(&entries, &s->walk));
		outq_addf(out, "%" PRIu32 " %" PRIu64 "\r\n", s->walk.number, octets);
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
	uint64_t end = pop3_slice_end(s);
	struct past_cursor entries = past_seek(s->past, s->walk.uid);
	for (uint32_t n = 1; !pop3_walk_at_end(s, &s->walk); n++, pop3_walk_next(s, &s->walk)) {
		if (pop3_output_full(s))
			return POP3_STEP_OUTPUT;
		if (n % LOOK_AT_CLOCK_EVERY == 0 && pop3_slice_is_over(s, end))
			return POP3_STEP_AGAIN;
		if (!set_has(&s->deleted, s->walk.uid) && !put_id(s, source, "", s->walk.number, entry_of(&entries, &s->walk)))
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
	const struct entry *entry = pop3_find_message(s);
	if (!entry)
		return POP3_STEP_DONE;
	if (s->command.verb == POP3_UIDL) {
		say_id(s, entry);
		return POP3_STEP_DONE;
	}
	outq_addf(pop3_output(s), "+OK %" PRIu32 " %" PRIu64 "\r\n", s->command.number, pop3_entry_octets(entry));
	return POP3_STEP_DONE;
}

void pop3_listing_begin(struct pop3_session *s)
{
	s->walk = (struct pop3_walk){ 0 }; /* on no message: nothing of a list was said yet */
}

enum pop3_step pop3_listing_step(struct pop3_session *s)
{
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
	if (begins && !add_up_some(s))
		return POP3_STEP_AGAIN;
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
