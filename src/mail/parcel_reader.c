/* parcel_reader.c: frames of a parcel into a store, in one of the modes of parcel_reader.h. Works in slices, in whatever
 * batches are open; between them nothing stands in memory only that a crash would have to undo: what came and is not
 * claimed yet is in doubt (store/transfer.h), and goes when the rest does not come. Owned by whoever receives the
 * parcel; holds the account. The first error ends it. */
#include "mail/parcel_reader.h"

#include "mail/parcel_numbers.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/pop3.h"
#include "store/transfer.h"
#include "syntax/pop3.h"

#include <stdarg.h>

#define SLICE_US        4000
#define SPOOL_THRESHOLD (1024 * 1024)
#define LOG_ROW_MAX     4096  /* entries of one row of the undelete log */
#define UNCLAIMED_MAX   4096  /* messages of one slice without an entry yet */
#define IN_ALREADY      UINT64_MAX /* the number here of a message that was refused, and is in by an earlier parcel */

/* A mailbox of the parcel. */
struct incoming {
	struct str name;       /* owned; as it is here */
	struct str *keywords;  /* ADD; owned, each too */
	uint32_t n_keywords;
	struct staged *staged; /* EXACT, BACK */
	uint32_t number;       /* EXACT: in the store */
	bool ended;
	bool has, lacks;       /* EXACT, BACK: entries that have come with their messages; any that have not */
	bool made;             /* ADD: it was missing here */
	uint64_t mark;         /* ADD: store/transfer.h */
};

struct parcel_reader {
	struct store *store;
	struct parcel_reader_settings settings;
	struct parcel_taker *taker;
	struct account *account; /* NULL until BEGIN */
	bool arriving;           /* it is not complete, and only ours */
	bool is_other;           /* it was another one where the parcel was made */
	bool done;
	bool met_damage;         /* of what the store has */
	struct incoming *mailboxes;
	uint32_t n_mailboxes;
	uint32_t current;        /* number of the mailbox whose entries came last; 0: none */
	struct parcel_numbers numbers; /* of messages; EXACT: only those that are missing */
	struct mail_spool spool; /* of the message that is coming */
	struct parcel_message message;
	bool in_message, refuses;
	uint64_t *unclaimed;     /* ADD: messages that came in this slice and have no entry yet */
	uint32_t n_unclaimed;
	struct parcel_entry *row; /* of the undelete log, as far as it has come */
	uint32_t n_row;
	struct set uids;         /* of a row of the change log, as far as they have come */
	uint64_t last_expunged, last_change; /* modseqs */
	struct parcel_counts counts;
	uint64_t batch;
	char problem[256];
};

static int __attribute__((format(printf, 3, 4))) wrong(struct parcel_reader *reader, int err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(reader->problem, sizeof reader->problem, format, args);
	va_end(args);
	return err;
}

/* What the store found that cannot be is the parcel's fault. */
static int judged(struct parcel_reader *reader, int result)
{
	uint64_t offset;
	(void)parcel_problem(reader->taker, &offset);
	if (result != ERR_SYNTAX)
		return result;
	return wrong(reader, ERR_CORRUPT, "its parts do not fit each other (before byte %llu of the stream)",
	             (unsigned long long)offset);
}

/* --- life --- */

struct parcel_reader *parcel_reader_new(struct store *store, const struct parcel_reader_settings *settings)
{
	struct parcel_reader *reader = mem_alloc(1, sizeof *reader);
	reader->store = store;
	reader->settings = *settings;
	reader->settings.spool_directory = str_of(mem_copy(settings->spool_directory), settings->spool_directory.n);
	reader->taker = parcel_taker_new();
	reader->spool.fd = -1;
	return reader;
}

static void free_incoming(struct incoming *mailbox)
{
	for (uint32_t i = 0; i < mailbox->n_keywords; i++)
		mem_free((char *)mailbox->keywords[i].p);
	mem_free(mailbox->keywords);
	mem_free((char *)mailbox->name.p);
	staged_free(&mailbox->staged);
}

void parcel_reader_free(struct parcel_reader **pointer)
{
	struct parcel_reader *reader = *pointer;
	*pointer = NULL;
	if (!reader)
		return;
	for (uint32_t i = 0; i < reader->n_mailboxes; i++)
		free_incoming(&reader->mailboxes[i]);
	mem_free(reader->mailboxes);
	if (reader->account)
		loose_end(reader->account);
	if (reader->arriving)
		arrival_drop(&reader->account);
	else
		account_close(&reader->account);
	parcel_taker_free(&reader->taker);
	parcel_numbers_free(&reader->numbers);
	mail_spool_free(&reader->spool);
	mem_free((char *)reader->settings.spool_directory.p);
	mem_free(reader->unclaimed);
	mem_free(reader->row);
	set_free(&reader->uids);
	mem_free(reader);
}

struct parcel_counts parcel_reader_counts(const struct parcel_reader *reader)
{
	return reader->counts;
}

uint64_t parcel_reader_batch(const struct parcel_reader *reader)
{
	return reader->batch;
}

struct str parcel_reader_problem(const struct parcel_reader *reader)
{
	return str_of(reader->problem, strlen(reader->problem));
}

bool parcel_reader_met_damage(const struct parcel_reader *reader)
{
	return reader->met_damage;
}

/* --- account and mailboxes --- */

static int take_begin(struct parcel_reader *reader, const struct parcel_begin *given)
{
	struct parcel_begin begin = *given;
	int result;
	reader->is_other = memcmp(&begin.account, &reader->settings.account, sizeof begin.account) != 0;
	begin.account = reader->settings.account;
	if (reader->settings.mode == PARCEL_EXACT) {
		result = arrival_begin(reader->store, &begin, &reader->account);
		reader->arriving = result == 0;
	} else {
		result = account_open(reader->store, &begin.account, &reader->account);
		if (result == ERR_NOT_FOUND)
			return wrong(reader, ERR_UNAVAILABLE, "the account is being moved or removed; try again");
	}
	if (result < 0)
		return result;
	loose_begin(reader->account);
	reader->counts.next = loose_counter(reader->account);
	return 0;
}

static struct str own(struct str text)
{
	return str_of(mem_copy(text), text.n);
}

/* The mailbox of that name, made when it is missing. */
static int open_mailbox(struct parcel_reader *reader, const struct incoming *incoming, struct mailbox **out)
{
	*out = account_mailbox(reader->account, incoming->name);
	if (*out)
		return 0;
	int result = mailbox_create(reader->account, incoming->name, SPECIAL_USE_NONE, reader->settings.max_mailboxes, out);
	if (result == ERR_SYNTAX || result == ERR_LIMIT)
		return wrong(reader, result, "the mailbox %.*s cannot be made: %s", STR_ARG(str_first(incoming->name, 150)),
		             result == ERR_LIMIT ? "the name is too long or deep, or there are too many mailboxes"
		                                 : "such a name is not possible");
	return result;
}

static int take_mailbox(struct parcel_reader *reader, const struct parcel_mailbox *given)
{
	struct incoming *mailbox;
	struct mailbox *made;
	bool inbox = str_ieq(given->name, STR("INBOX"));
	if ((reader->n_mailboxes & (reader->n_mailboxes - 1)) == 0)
		reader->mailboxes =
			mem_resize(reader->mailboxes, reader->n_mailboxes ? reader->n_mailboxes * 2 : 1, sizeof *reader->mailboxes);
	mailbox = &reader->mailboxes[reader->n_mailboxes++];
	*mailbox = (struct incoming){ .name = own(inbox ? STR("INBOX") : given->name) };
	if (reader->settings.mode == PARCEL_ADD) {
		mailbox->keywords = mem_alloc(given->n_keywords + 1, sizeof *mailbox->keywords);
		for (; mailbox->n_keywords < given->n_keywords; mailbox->n_keywords++)
			mailbox->keywords[mailbox->n_keywords] = own(given->keywords[mailbox->n_keywords]);
		mailbox->made = !account_mailbox(reader->account, mailbox->name);
		mailbox->mark = source_mark(reader->account, &reader->settings.source, mailbox->name);
		return open_mailbox(reader, mailbox, &made); /* also when nothing will be in it */
	}
	int result = staged_new(reader->account, given, &mailbox->staged);
	if (result == 0)
		mailbox->number = staged_number(mailbox->staged);
	if (result == ERR_EXISTS || result == ERR_SYNTAX || result == ERR_LIMIT)
		return wrong(reader, ERR_CORRUPT, "the mailbox %.*s cannot be made: %s", STR_ARG(str_first(given->name, 150)),
		             err_text(result));
	return result;
}

/* Was it missing here? */
static bool was_made(const struct parcel_reader *reader, struct str name)
{
	for (uint32_t i = reader->n_mailboxes; i > 0; i--) /* the last one is the likely one */
		if (reader->mailboxes[i - 1].made && str_eq(reader->mailboxes[i - 1].name, name))
			return true;
	return false;
}

static int take_subscription(struct parcel_reader *reader, struct str name)
{
	if (reader->settings.mode == PARCEL_ADD && !was_made(reader, name))
		return 0; /* somebody has decided already */
	int result = reader->arriving ? arrival_subscribe(reader->account, name)
	                              : account_subscribe(reader->account, name, true);
	return result == ERR_SYNTAX || result == ERR_LIMIT ? 0 : result; /* no mail is lost with it */
}

/* --- messages --- */

static int take_message(struct parcel_reader *reader, const struct parcel_message *message)
{
	reader->message = *message;
	reader->in_message = true;
	reader->refuses =
		reader->settings.mode == PARCEL_ADD && message->size > reader->settings.mail.max_message_size;
	mail_spool_free(&reader->spool);
	mail_spool_start(&reader->spool, reader->settings.spool_directory, SPOOL_THRESHOLD);
	return 0;
}

static int refuse_message(struct parcel_reader *reader, uint64_t number)
{
	uint32_t mailbox = parcel_mailbox_of_lost_entries(number);
	int result = parcel_numbers_add(&reader->numbers, number, 0);
	reader->counts.refused++;
	if (mailbox > 0 && mailbox <= reader->n_mailboxes)
		reader->mailboxes[mailbox - 1].lacks = true;
	return result == ERR_EXISTS ? wrong(reader, ERR_CORRUPT, "message %llu comes twice", (unsigned long long)number)
	                            : result;
}

static int claim_later(struct parcel_reader *reader, uint64_t number)
{
	if (reader->settings.mode == PARCEL_BACK || reader->n_unclaimed == UNCLAIMED_MAX)
		return loose_doubt(reader->account, number);
	if (!reader->unclaimed)
		reader->unclaimed = mem_alloc(UNCLAIMED_MAX, sizeof *reader->unclaimed);
	reader->unclaimed[reader->n_unclaimed++] = number;
	return 0;
}

static int store_message(struct parcel_reader *reader, const struct message_arrival *arrival)
{
	bool exact = reader->settings.mode == PARCEL_EXACT;
	uint32_t stands_in = reader->message.mailbox;
	struct str name = stands_in ? reader->mailboxes[stands_in - 1].name : STR("INBOX");
	uint64_t number = exact ? reader->message.number : 0;
	int result = loose_message(reader->account, name, arrival, &number);
	if (result == ERR_EXISTS || (result == ERR_LIMIT && exact))
		return wrong(reader, ERR_CORRUPT, "message %llu comes twice, or is beyond the account's counter",
		             (unsigned long long)reader->message.number);
	if (result == 0 && !exact)
		result = parcel_numbers_add(&reader->numbers, reader->message.number, number);
	if (result == 0 && !exact)
		result = claim_later(reader, number);
	if (result == ERR_EXISTS)
		return wrong(reader, ERR_CORRUPT, "message %llu comes twice", (unsigned long long)reader->message.number);
	if (result == ERR_LIMIT)
		return wrong(reader, result, "these are too many messages at once");
	return result;
}

static bool has_source(const struct parcel_reader *reader)
{
	static const struct account_id NONE;
	return memcmp(&reader->settings.source, &NONE, sizeof NONE) != 0;
}

static int came_before(struct parcel_reader *reader, const struct incoming *incoming, uint64_t message, bool *known)
{
	*known = false;
	if (!has_source(reader) || (incoming->made && reader->settings.made_anew))
		return 0;
	return source_is_known(reader->account, incoming->mark, message, known);
}

/* A message that has come, and whoever sends it is told; one that is in, since it was let in then, is passed over. */
static int refuse_coming(struct parcel_reader *reader)
{
	uint32_t mailbox = reader->message.mailbox;
	bool known = false;
	int result = mailbox ? came_before(reader, &reader->mailboxes[mailbox - 1], reader->message.number, &known) : 0;
	if (result == 0 && known)
		result = parcel_numbers_add(&reader->numbers, reader->message.number, IN_ALREADY);
	if (result == ERR_EXISTS)
		return wrong(reader, ERR_CORRUPT, "message %llu comes twice", (unsigned long long)reader->message.number);
	if (result < 0 || known)
		return result;
	if (reader->settings.refused)
		reader->settings.refused(reader->settings.owner, reader->message.number);
	return refuse_message(reader, reader->message.number);
}

/* All its bytes have come. */
static int end_message(struct parcel_reader *reader)
{
	struct mail_source source = mail_spool_source(&reader->spool);
	const struct str pieces[] = { source.bytes };
	struct message_arrival arrival = { .pieces = pieces,
		                               .n_pieces = source.fd < 0,
		                               .fd = source.fd,
		                               .file_length = source.length,
		                               .internal_date = reader->message.internal_date,
		                               .zone_minutes = reader->message.zone_minutes };
	reader->in_message = false;
	reader->counts.messages++;
	reader->counts.bytes += reader->message.size;
	if (reader->refuses)
		return refuse_coming(reader);
	int result = mail_examine(reader->settings.mail.reader, &source, &arrival);
	if ((result == ERR_SYNTAX || result == ERR_LIMIT) && reader->settings.mode == PARCEL_ADD)
		result = refuse_coming(reader);
	else if (result == 0 || result == ERR_SYNTAX)
		result = store_message(reader, &arrival);
	mail_spool_free(&reader->spool);
	return result;
}

static int take_body(struct parcel_reader *reader, struct str bytes)
{
	return reader->refuses ? 0 : mail_spool_add(&reader->spool, bytes);
}

/* --- entries --- */

/* The number here of a message that entries name: 0 when it is missing. */
static int number_here(struct parcel_reader *reader, uint64_t there, uint64_t *here)
{
	int result = parcel_numbers_find(&reader->numbers, there, here);
	if (result == ERR_NOT_FOUND && reader->settings.mode == PARCEL_EXACT) {
		*here = there; /* the store knows whether it is there */
		return 0;
	}
	return result == ERR_NOT_FOUND ? wrong(reader, ERR_CORRUPT, "an entry names message %llu, which has not come",
	                                       (unsigned long long)there)
	                               : result;
}

static int end_staged(struct parcel_reader *reader, struct incoming *mailbox)
{
	mailbox->ended = true;
	int result = judged(reader, staged_end(mailbox->staged));
	if (result == 0 && reader->arriving)
		staged_free(&mailbox->staged);
	return result;
}

/* Unique ids that entries came with belong to their ids, which only EXACT keeps. */
static int keep_uidls(struct parcel_reader *reader, const struct parcel_entries *entries)
{
	int result = 0;
	for (uint32_t i = 0; i < entries->n && result == 0 && reader->arriving; i++)
		if (entries->list[i].id && pop3_uidl_is_foreign(entries->list[i].uidl))
			result = uidl_keep(reader->account, entries->list[i].id, entries->list[i].uidl);
	return result;
}

static int stage_entries(struct parcel_reader *reader, const struct parcel_entries *entries)
{
	struct incoming *mailbox = &reader->mailboxes[entries->mailbox - 1];
	uint64_t messages[PARCEL_ENTRIES_MAX];
	int result = 0;
	if (reader->current && reader->current != entries->mailbox)
		result = end_staged(reader, &reader->mailboxes[reader->current - 1]);
	if (result == 0 && mailbox->ended)
		result = wrong(reader, ERR_CORRUPT, "entries of one mailbox do not come together");
	reader->current = entries->mailbox;
	for (uint32_t i = 0; i < entries->n && result == 0; i++) {
		result = number_here(reader, entries->list[i].message, &messages[i]);
		reader->counts.entries += result == 0 && messages[i];
		*(result == 0 && messages[i] ? &mailbox->has : &mailbox->lacks) = true;
	}
	if (result == 0)
		result = judged(reader, staged_entries(mailbox->staged, entries->list, messages, entries->n));
	return result == 0 ? keep_uidls(reader, entries) : result;
}

/* Keywords of an entry as bits here; those for which there is no room are left out: *lost of them. */
static int translate_keywords(struct parcel_reader *reader, const struct incoming *incoming, struct mailbox *mailbox,
                              const struct keyword_bits *from, struct keyword_bits *to, uint64_t *lost)
{
	*to = (struct keyword_bits){ { 0 } };
	for (uint32_t bit = 0; bit < incoming->n_keywords; bit++) {
		uint32_t here;
		if (!(from->word[bit / 64] >> (bit % 64) & 1))
			continue;
		int result = keyword_add(mailbox, incoming->keywords[bit], reader->settings.mail.max_keywords, &here);
		if (result < 0 && result != ERR_LIMIT)
			return result;
		*lost += result == ERR_LIMIT;
		if (result == 0)
			to->word[here / 64] |= UINT64_C(1) << (here % 64);
	}
	return 0;
}

static void claim(struct parcel_reader *reader, uint64_t number)
{
	for (uint32_t i = 0; i < reader->n_unclaimed; i++) {
		if (reader->unclaimed[i] == number) {
			reader->unclaimed[i] = reader->unclaimed[--reader->n_unclaimed];
			return;
		}
	}
}

static int add_entries(struct parcel_reader *reader, const struct parcel_entries *entries)
{
	struct incoming *incoming = &reader->mailboxes[entries->mailbox - 1];
	struct loose_entry *list = mem_alloc(PARCEL_ENTRIES_MAX, sizeof *list);
	struct mailbox *mailbox;
	uint64_t numbers[PARCEL_ENTRIES_MAX]; /* in the parcel, of those that are in: what was refused may come once more */
	uint64_t bytes = 0, lost = 0;
	uint32_t n = 0, n_numbers = 0, passed = 0;
	bool known;
	int result = open_mailbox(reader, incoming, &mailbox);
	for (uint32_t i = 0; i < entries->n && result == 0; i++) {
		const struct parcel_entry *given = &entries->list[i];
		struct loose_entry *entry = &list[n];
		result = number_here(reader, given->message, &entry->message);
		if (result == 0)
			result = came_before(reader, incoming, given->message, &known);
		if (result == 0 && entry->message == IN_ALREADY && !known)
			entry->message = 0; /* into another mailbox than it was sent for */
		passed += result == 0 && entry->message && known;
		if (result == 0 && entry->message)
			numbers[n_numbers++] = given->message;
		if (result < 0 || entry->message == 0 || known)
			continue;
		result = loose_size(reader->account, entry->message, &entry->size);
		entry->id = given->id;
		entry->uidl = pop3_uidl_is_foreign(given->uidl) ? given->uidl : STR("");
		entry->saved = given->saved;
		entry->flags = given->flags;
		bytes += entry->size;
		n++;
		if (result == 0)
			result = translate_keywords(reader, incoming, mailbox, &given->keywords, &entry->keywords, &lost);
	}
	if (result == 0 && n > 0 && !account_has_room(reader->account, n, bytes))
		result = wrong(reader, ERR_LIMIT, "the account's quota is reached");
	if (result == 0)
		result = loose_append(mailbox, list, n);
	if (result == 0 && has_source(reader))
		result = source_remember(reader->account, incoming->mark, numbers, n_numbers);
	for (uint32_t i = 0; i < n && result == 0; i++)
		claim(reader, list[i].message);
	reader->counts.entries += result == 0 ? n + passed : 0;
	reader->counts.passed += result == 0 ? passed : 0;
	reader->counts.keywords += result == 0 ? lost : 0;
	if (result == 0 && n > 0)
		reader->counts.next = loose_counter(reader->account);
	mem_free(list);
	return result;
}

/* --- logs --- */

static uint32_t mailbox_here(const struct parcel_reader *reader, uint32_t there)
{
	return there ? reader->mailboxes[there - 1].number : 0;
}

static int take_expunged(struct parcel_reader *reader, const struct parcel_entries *entries)
{
	if (!reader->arriving)
		return 0;
	if (!reader->row)
		reader->row = mem_alloc(LOG_ROW_MAX, sizeof *reader->row);
	if (reader->n_row == 0 && entries->modseq <= reader->last_expunged)
		return wrong(reader, ERR_CORRUPT, "its undelete log is out of order");
	for (uint32_t i = 0; i < entries->n; i++) {
		uint64_t here;
		int result = number_here(reader, entries->list[i].message, &here);
		if (result < 0 || reader->n_row == LOG_ROW_MAX)
			return result < 0 ? result : wrong(reader, ERR_CORRUPT, "a row of its undelete log is too long");
		if (here) {
			reader->row[reader->n_row] = entries->list[i];
			reader->row[reader->n_row++].uidl = STR(""); /* its bytes do not stay */
		}
	}
	int kept = keep_uidls(reader, entries);
	if (kept < 0)
		return kept;
	if (entries->more)
		return 0;
	reader->last_expunged = entries->modseq;
	uint32_t n = reader->n_row;
	reader->n_row = 0;
	if (n == 0)
		return 0;
	return judged(reader, arrival_expunged(reader->account, mailbox_here(reader, entries->mailbox), entries->modseq,
	                                       entries->time, reader->row, n));
}

static int take_change(struct parcel_reader *reader, const struct parcel_change *change)
{
	struct set part = SET_INIT;
	if (!reader->arriving)
		return 0;
	if (reader->uids.n == 0 && change->modseq <= reader->last_change)
		return wrong(reader, ERR_CORRUPT, "its change log is out of order");
	int result = set_decode(change->uids, &part) < 0 ? judged(reader, ERR_SYNTAX) : 0;
	if (result == 0)
		set_add_set(&reader->uids, &part);
	set_free(&part);
	if (result < 0 || change->more)
		return result;
	reader->last_change = change->modseq;
	result = judged(reader, arrival_change(reader->account, mailbox_here(reader, change->mailbox), change->modseq,
	                                       change->kind, change->time, &reader->uids));
	set_clear(&reader->uids);
	return result;
}

static int take_pop3(struct parcel_reader *reader, enum parcel_type type, const struct parcel_pop3 *frame)
{
	uint32_t mailbox = mailbox_here(reader, frame->mailbox);
	return reader->arriving ? judged(reader, arrival_pop3(reader->account, mailbox, type, frame)) : 0;
}

/* --- the end --- */

static int end_all_staged(struct parcel_reader *reader)
{
	int result = 0;
	for (uint32_t i = 0; i < reader->n_mailboxes && result == 0; i++)
		if (!reader->mailboxes[i].ended)
			result = end_staged(reader, &reader->mailboxes[i]);
	return result;
}

static int end_exact(struct parcel_reader *reader)
{
	int result = end_all_staged(reader);
	if (result == 0 && !account_mailbox(reader->account, STR("INBOX")))
		return wrong(reader, ERR_CORRUPT, "it has no INBOX");
	if (result == 0)
		result = arrival_end(reader->account);
	if (result == ERR_EXISTS)
		return wrong(reader, result, "the account is here already, and has mail");
	reader->arriving &= result < 0;
	return result;
}

static int end_back(struct parcel_reader *reader)
{
	int result = end_all_staged(reader);
	for (uint32_t i = 0; i < reader->n_mailboxes && result == 0; i++) {
		const struct incoming *mailbox = &reader->mailboxes[i];
		if (mailbox->lacks && !mailbox->has)
			continue;
		result = staged_replace(mailbox->staged);
		if (result < 0 && result != ERR_NOT_FOUND)
			return wrong(reader, result, "the mailbox %.*s cannot be replaced (%s); all are as they were",
			             STR_ARG(str_first(mailbox->name, 100)),
			             result == ERR_CORRUPT ? "index.db is damaged: see mansio store salvage" : err_text(result));
	}
	return result;
}

static int take_end(struct parcel_reader *reader)
{
	int result = 0;
	switch (reader->settings.mode) {
	case PARCEL_EXACT:
		result = end_exact(reader);
		break;
	case PARCEL_BACK:
		result = end_back(reader);
		break;
	case PARCEL_ADD:
		break;
	}
	reader->done = result == 0;
	return result;
}

static int take(struct parcel_reader *reader, const struct parcel_frame *frame)
{
	int result = 0;
	switch (frame->type) {
	case PARCEL_BEGIN:
		return take_begin(reader, &frame->begin);
	case PARCEL_MAILBOX:
		return take_mailbox(reader, &frame->mailbox);
	case PARCEL_SUBSCRIPTION:
		return take_subscription(reader, frame->subscription);
	case PARCEL_MESSAGE:
		result = take_message(reader, &frame->message);
		return result == 0 && frame->message_complete ? end_message(reader) : result;
	case PARCEL_BODY:
		result = take_body(reader, frame->body);
		return result == 0 && frame->message_complete ? end_message(reader) : result;
	case PARCEL_MISSING:
		return refuse_message(reader, frame->missing.number);
	case PARCEL_ENTRIES:
		return reader->settings.mode == PARCEL_ADD ? add_entries(reader, &frame->entries)
		                                           : stage_entries(reader, &frame->entries);
	case PARCEL_EXPUNGED:
		return take_expunged(reader, &frame->entries);
	case PARCEL_CHANGE:
		return take_change(reader, &frame->change);
	case PARCEL_HIDDEN:
	case PARCEL_DUE:
		return take_pop3(reader, frame->type, &frame->pop3);
	case PARCEL_SOURCES: /* marks of another account say nothing here */
		return reader->arriving && !reader->is_other ? arrival_sources(reader->account, &frame->sources) : 0;
	case PARCEL_END:
		return take_end(reader);
	case PARCEL_ACK:
	case PARCEL_RESULT:
	case PARCEL_REFUSED:
		break;
	}
	return judged(reader, ERR_SYNTAX);
}

static int doubt_unclaimed(struct parcel_reader *reader)
{
	int result = 0;
	while (reader->n_unclaimed > 0 && result == 0)
		result = loose_doubt(reader->account, reader->unclaimed[--reader->n_unclaimed]);
	return result;
}

/* What is said of an error when nothing more precise was. */
static int explain(struct parcel_reader *reader, int result)
{
	uint64_t offset;
	struct str text = parcel_problem(reader->taker, &offset);
	if (reader->problem[0])
		return result;
	if (text.n > 0)
		return wrong(reader, result, "%.*s (at byte %llu of the stream)", STR_ARG(text), (unsigned long long)offset);
	if (result == ERR_NO_SPACE)
		return wrong(reader, result, "the disk is full");
	reader->met_damage = result == ERR_CORRUPT;
	if (result == ERR_CORRUPT)
		return wrong(reader, result, "index.db is damaged: see mansio store salvage");
	if (result == ERR_NOT_FOUND)
		return wrong(reader, ERR_UNAVAILABLE, "the account or what was written of it is gone; try again");
	return wrong(reader, result, "%s", err_text(result));
}

int parcel_reader_input(struct parcel_reader *reader, struct str bytes, size_t *used, bool *done)
{
	uint64_t end_us = clock_monotonic_us() + SLICE_US;
	const struct parcel_frame *frame;
	size_t taken = 0, n;
	int result = reader->problem[0] ? ERR_STATE : 0;
	bool writable = store_writable(reader->store);
	while (result == 0 && writable && !reader->done && clock_monotonic_us() < end_us) {
		result = parcel_next(reader->taker, str_from(bytes, taken), &frame, &n);
		if (result < 0)
			break;
		taken += n;
		result = take(reader, frame);
	}
	if (result == ERR_INCOMPLETE)
		result = 0;
	if (result == 0)
		result = doubt_unclaimed(reader);
	if (reader->account)
		reader->batch = account_batch(reader->account);
	*used = taken;
	*done = reader->done;
	return result < 0 ? explain(reader, result) : 0;
}
