/* import_send.c: messages into the parcel, and what the server says of them. Each message lies in a spool until it is
 * whole (memory, beyond a megabyte a file without a name), for its size and checksum go ahead of it. What the server
 * says while it takes them tells which are on disk; after these the state is written, at most once a second. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/bodylog.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <unistd.h>

#define SPOOL_MEMORY   (1024 * 1024)
#define PIECE_MAX      65536
#define LINE_PART      16384
#define FLUSH_AT       (256 * 1024)
#define SAVE_EVERY_MS  1000
#define WAITING_MAX    10000000 /* messages sent and not on disk */
#define ONCE_LET_IN_MAX (UINT64_C(2) * 1024 * 1024 * 1024) /* what imap.max_message_size may be at most */

struct import_target {
	struct str name;
	uint32_t number; /* in the parcel; 0: was not told of */
	uint32_t n_told; /* keywords that the server knows by that number */
	uint32_t n_keywords;
	struct str keywords[KEYWORDS_MAX];
};

int import_fail(struct import *x, int err, const char *format, ...)
{
	char text[2 * IMPORT_PATH_MAX];
	int errnum = errno;
	va_list args;
	va_start(args, format);
	errno = errnum;
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	buf_clear(&x->problem);
	buf_add(&x->problem, str_of(text, MIN((size_t)MAX(n, 0), sizeof text - 1)));
	return err;
}

/* --- answers --- */

/* Why the server has ended it, or is gone. */
static int refused(struct import *x, int err)
{
	struct str why = buf_str(&x->reply.message);
	bool is_lost = err == ERR_CLOSED || err == ERR_TIMEOUT || err == ERR_UNAVAILABLE;
	return import_fail(x, err, "%.*s%s", STR_ARG(why), is_lost ? "; run the same command again to go on" : "");
}

void import_on_refused(void *owner, uint64_t number)
{
	struct import *x = owner;
	if (number > 0 && number <= IMPORT_NUMBER_MAX && x->refusals.n < WAITING_MAX)
		set_add(&x->refusals, (uint32_t)number, (uint32_t)number);
}

static int wrong_answer(struct import *x)
{
	return import_fail(x, ERR_CORRUPT, "the server's answer cannot be right; is it of another version?");
}

/* The first message that waits is done with: it is on disk, and was left out by an earlier run maybe; or it was refused. */
static void end_first(struct import *x, bool is_refused)
{
	const struct import_position *first = &x->waiting[x->first_waiting];
	uint32_t number = (uint32_t)first->message;
	if (is_refused)
		import_leave_sent(x, number, "was refused by the server");
	else
		import_came(x, number);
	if (is_refused)
		set_remove(&x->refusals, number, number);
	x->refused += is_refused;
	x->durable = *first;
	x->durable.imported -= x->refused;
	x->first_waiting++;
	x->n_waiting--;
}

/* Of the messages of the parcel, in order, so many are in their mailboxes, on disk; those in between were refused. */
static int acknowledge(struct import *x)
{
	uint64_t entries = x->sender.answer.entries, now = clock_monotonic_ms();
	size_t before = x->n_waiting;
	if (entries < x->acknowledged)
		return wrong_answer(x);
	while (x->n_waiting > 0) {
		bool is_refused = set_has(&x->refusals, (uint32_t)x->waiting[x->first_waiting].message);
		if (!is_refused && x->acknowledged == entries)
			break;
		end_first(x, is_refused);
		x->acknowledged += !is_refused;
	}
	if (x->acknowledged < entries)
		return wrong_answer(x);
	if (x->n_waiting == before)
		return 0;
	if (entries > x->sender.answer.passed) /* else the counter need not be on disk */
		x->counter = MAX(x->counter, x->sender.answer.next);
	if (x->n_waiting == 0)
		x->first_waiting = 0;
	if (now - x->saved_ms < SAVE_EVERY_MS)
		return 0;
	x->saved_ms = now;
	return import_state_save(x);
}

static int flush(struct import *x)
{
	int err = ctl_parcel_flush(&x->sender, &x->reply);
	int told = acknowledge(x);
	if (!err && x->sender.over)
		err = ERR_CORRUPT; /* the end has not been sent */
	return err ? refused(x, err) : told;
}

/* --- the parcel --- */

int import_ask_counter(struct import *x)
{
	parcel_put_begin(&x->sender.maker, &(struct parcel_begin){ .next = 1 });
	parcel_put_end(&x->sender.maker);
	int err = ctl_parcel_finish(&x->sender, &x->reply);
	if (err)
		return refused(x, err);
	x->counter_at_begin = x->sender.answer.next;
	return 0;
}

int import_begin(struct import *x)
{
	struct parcel_begin begin = { .next = 1, .messages = x->scan.messages, .bytes = x->scan.bytes };
	x->piece = BUF_INIT(PIECE_MAX);
	parcel_put_begin(&x->sender.maker, &begin);
	return flush(x);
}

static struct import_target *find_target(struct import *x, struct str name)
{
	for (uint32_t i = x->n_targets; i > 0; i--) /* the last one is the likely one */
		if (str_eq(x->targets[i - 1].name, name))
			return &x->targets[i - 1];
	if ((x->n_targets & (x->n_targets - 1)) == 0)
		x->targets = mem_resize(x->targets, x->n_targets ? (size_t)x->n_targets * 2 : 1, sizeof *x->targets);
	struct import_target *target = &x->targets[x->n_targets++];
	*target = (struct import_target){ .name = str_of(mem_copy(name), name.n) };
	return target;
}

/* The bits of the message's keywords; those beyond what a mailbox can have are left out. */
static void set_keywords(struct import *x, struct import_target *target, const struct import_facts *facts, struct keyword_bits *bits)
{
	for (size_t i = 0; i < facts->n_keywords; i++) {
		uint32_t bit = 0;
		while (bit < target->n_keywords && !str_ieq(target->keywords[bit], facts->keywords[i]))
			bit++;
		if (bit == KEYWORDS_MAX) {
			x->keywords_left_out++;
			continue;
		}
		if (bit == target->n_keywords)
			target->keywords[target->n_keywords++] = str_of(mem_copy(facts->keywords[i]), facts->keywords[i].n);
		bits->word[bit / 64] |= UINT64_C(1) << (bit % 64);
	}
}

static int make_room(struct import *x)
{
	return parcel_has_room(&x->sender.maker) ? 0 : flush(x);
}

/* Where the messages that were sent belong. */
static int put_entries(struct import *x)
{
	int err = x->entries.n > 0 ? make_room(x) : 0;
	if (!err && x->entries.n > 0)
		parcel_put_entries(&x->sender.maker, &x->entries);
	x->entries.n = 0;
	return err;
}

/* Tells the server of the mailbox; again, under another number, when it has a new keyword. */
static int tell_mailbox(struct import *x, struct import_target *target)
{
	if (target->number && target->n_told == target->n_keywords)
		return 0;
	int err = make_room(x);
	if (err)
		return err;
	if (x->n_told == PARCEL_MAILBOXES_MAX)
		return import_fail(x, ERR_LIMIT, "there are too many folders and keywords for one run; run the same command again");
	struct parcel_mailbox *mailbox = mem_alloc(1, sizeof *mailbox);
	*mailbox = (struct parcel_mailbox){ .number = ++x->n_told, .name = target->name, .uidvalidity = 1, .uidnext = 1,
		                                .n_keywords = target->n_keywords };
	memcpy(mailbox->keywords, target->keywords, target->n_keywords * sizeof *mailbox->keywords);
	parcel_put_mailbox(&x->sender.maker, mailbox);
	target->number = mailbox->number;
	target->n_told = target->n_keywords;
	mem_free(mailbox);
	return make_room(x);
}

int import_mailbox_send(struct import *x, struct str mailbox)
{
	int err = tell_mailbox(x, find_target(x, mailbox));
	if (!err)
		parcel_put_subscription(&x->sender.maker, mailbox);
	return err ? err : make_room(x);
}

static int push_position(struct import *x)
{
	if (x->n_waiting == WAITING_MAX)
		return import_fail(x, ERR_LIMIT, "the server takes mail and does not say that it is on disk");
	if (x->first_waiting + x->n_waiting == x->size_waiting) {
		if (x->first_waiting < x->size_waiting / 2 || x->size_waiting == 0) {
			x->size_waiting = MAX(x->size_waiting * 2, (size_t)1024);
			x->waiting = mem_resize(x->waiting, x->size_waiting, sizeof *x->waiting);
		}
		memmove(x->waiting, x->waiting + x->first_waiting, x->n_waiting * sizeof *x->waiting);
		x->first_waiting = 0;
	}
	x->at.message = x->number;
	x->waiting[x->first_waiting + x->n_waiting++] = x->at;
	return 0;
}

/* --- one message --- */

void import_message_begin(struct import *x)
{
	const char *folder = getenv("TMPDIR");
	mail_spool_free(&x->spool);
	mail_spool_start(&x->spool, str_from_c(folder && folder[0] ? folder : "/tmp"), SPOOL_MEMORY);
	buf_clear(&x->piece);
	x->last = 0;
	x->is_too_large = x->has_nul = false;
}

static int spool_piece(struct import *x)
{
	int err = 0;
	/* what was interrupted may have brought it, when more was let in: the server knows */
	bool may_be_in = x->resumed && x->file->is_listed;
	x->is_too_large |= x->spool.length + x->piece.n > (may_be_in ? MAX(x->max_size, ONCE_LET_IN_MAX) : x->max_size);
	if (!x->is_too_large)
		err = mail_spool_add(&x->spool, buf_str(&x->piece));
	buf_clear(&x->piece);
	return err ? import_fail(x, err, "cannot write a temporary file (see $TMPDIR): %s", err_text(err)) : 0;
}

/* Bytes of a line; its end is not among them. */
static void add_line(struct import *x, struct str line)
{
	size_t at = x->piece.n;
	if (line.n == 0)
		return;
	buf_add(&x->piece, line);
	for (char *nul; (nul = memchr(x->piece.p + at, '\0', x->piece.n - at)); x->has_nul = true)
		*nul = '?';
	x->last = line.p[line.n - 1];
}

int import_message_add(struct import *x, struct str bytes)
{
	int err = 0;
	while (bytes.n > 0 && !err) {
		struct str part = str_first(bytes, LINE_PART);
		ptrdiff_t end = str_find_byte(part, '\n');
		struct str line = end < 0 ? part : str_first(part, (size_t)end);
		bytes = str_from(bytes, line.n + (end >= 0));
		if (x->piece.n + line.n + 2 > PIECE_MAX)
			err = spool_piece(x);
		add_line(x, line);
		if (end >= 0) {
			buf_add(&x->piece, x->last == '\r' ? STR("\n") : STR("\r\n"));
			x->last = '\n';
		}
	}
	return err;
}

/* The whole message in pieces of a frame; false when it cannot be read back. */
static bool each_piece(struct import *x, bool (*give)(struct import *x, struct str piece, void *owner), void *owner)
{
	struct mail_source source = mail_spool_source(&x->spool);
	char chunk[PARCEL_BODY_CHUNK];
	bool good = true;
	for (uint64_t at = 0; at < x->spool.length && good;) {
		size_t n = (size_t)MIN(x->spool.length - at, (uint64_t)sizeof chunk);
		struct str piece = str_first(str_from(source.bytes, (size_t)at), n);
		if (source.fd >= 0) {
			if (file_read_exactly(source.fd, at, chunk, n) < 0)
				return false;
			piece = str_of(chunk, n);
		}
		good = give(x, piece, owner);
		at += piece.n;
	}
	return good;
}

static bool add_to_sum(struct import *x, struct str piece, void *owner)
{
	body_sum_add(owner, piece);
	return true;
}

static bool put_body(struct import *x, struct str piece, void *owner)
{
	int *err = owner;
	if (!parcel_has_room(&x->sender.maker))
		*err = flush(x);
	if (!*err)
		parcel_put_body(&x->sender.maker, piece);
	return !*err;
}

static int put_message(struct import *x, const struct import_target *target, const struct import_facts *facts)
{
	struct body_sum *sum = body_sum_new();
	int err = make_room(x);
	bool good = each_piece(x, add_to_sum, sum);
	struct parcel_message message = { .number = x->number, .size = x->spool.length,
		                              .internal_date = facts->date.seconds,
		                              .zone_minutes = (int16_t)facts->date.zone_minutes,
		                              .checksum = body_sum_end(&sum), .mailbox = target->number };
	if (err)
		return err;
	parcel_put_message(&x->sender.maker, &message);
	good = good && each_piece(x, put_body, &err);
	return good || err ? err : import_fail(x, ERR_IO, "cannot read a temporary file (see $TMPDIR): %m");
}

int import_message_send(struct import *x, const struct import_facts *facts)
{
	struct import_target *target = find_target(x, facts->mailbox);
	struct parcel_entry entry = { .message = x->number, .flags = facts->flags };
	int err = spool_piece(x);
	if (err)
		return err;
	if (x->is_too_large) {
		x->too_large++;
		import_leave(x, "is larger than imap.max_message_size");
		return 0;
	}
	x->with_nul += x->has_nul;
	x->at.imported++;
	x->keywords_left_out += facts->keywords_left_out;
	set_keywords(x, target, facts, &entry.keywords);
	err = push_position(x);
	if (!err)
		err = tell_mailbox(x, target);
	if (!err && x->entries.mailbox != target->number)
		err = put_entries(x);
	if (!err)
		err = put_message(x, target, facts);
	x->entries.mailbox = target->number;
	if (facts->uidl.n > 0 && facts->uidl.n <= POP3_UIDL_MAX) {
		memcpy(x->uidl_rooms[x->entries.n], facts->uidl.p, facts->uidl.n);
		entry.uidl = str_of(x->uidl_rooms[x->entries.n], facts->uidl.n);
		x->with_uidl++;
	}
	x->entries.list[x->entries.n++] = entry;
	if (!err && x->entries.n == IMPORT_AT_ONCE)
		err = put_entries(x);
	return err || x->sender.maker.out.n < FLUSH_AT ? err : flush(x);
}

int import_finish(struct import *x)
{
	int err = put_entries(x);
	if (!err)
		err = make_room(x);
	if (err)
		return err;
	parcel_put_end(&x->sender.maker);
	err = ctl_parcel_finish(&x->sender, &x->reply);
	int told = acknowledge(x);
	if (err || told)
		return err ? refused(x, err) : told;
	if (x->n_waiting > 0)
		return wrong_answer(x);
	x->keywords_left_out += x->sender.answer.keywords;
	x->durable = (struct import_position){ .number = x->next - 1, .imported = x->at.imported - x->refused };
	x->complete = !x->is_held;
	return 0;
}

void import_send_free(struct import *x)
{
	for (uint32_t i = 0; i < x->n_targets; i++) {
		for (uint32_t k = 0; k < x->targets[i].n_keywords; k++)
			mem_free((char *)x->targets[i].keywords[k].p);
		mem_free((char *)x->targets[i].name.p);
	}
	mem_free(x->targets);
	mem_free(x->waiting);
	ctl_parcel_sender_free(&x->sender);
	ctl_reply_free(&x->reply);
	mail_spool_free(&x->spool);
	buf_free(&x->piece);
}
