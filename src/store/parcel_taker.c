/* parcel_taker.c: frames of a parcel are read, and everything about them checked that can be without knowing the
 * account (see parcel.h). The taker holds the running sums and a number per mailbox; owned by whoever receives the
 * parcel. After the first problem it says nothing but ERR_CORRUPT. */
#include "store/parcel_private.h"

#include "base/checked.h"
#include "base/mem.h"
#include "db/bodylog.h"

#include <stdarg.h>

struct parcel_taker {
	struct parcel_frame frame;
	struct parcel_end totals;
	struct body_sum *sum;  /* of the stream */
	struct body_sum *body; /* of the message that is under way; NULL: none */
	struct parcel_message message;
	uint64_t left;         /* bytes of it */
	uint32_t *last_uid;    /* of mailbox i + 1: the last that came */
	uint32_t n_mailboxes;
	uint64_t continues;    /* EXPUNGED or CHANGE of this modseq goes on; 0: none */
	enum parcel_type continues_type;
	uint64_t offset;       /* of the frame at hand */
	uint64_t done;         /* bytes of the stream that were read */
	bool begun, ended;
	char problem[160];
};

struct parcel_taker *parcel_taker_new(void)
{
	struct parcel_taker *taker = mem_alloc(1, sizeof *taker);
	taker->sum = body_sum_new();
	return taker;
}

void parcel_taker_free(struct parcel_taker **pointer)
{
	struct parcel_taker *taker = *pointer;
	*pointer = NULL;
	if (!taker)
		return;
	(void)body_sum_end(&taker->sum);
	(void)body_sum_end(&taker->body);
	mem_free(taker->last_uid);
	mem_free(taker);
}

bool parcel_is_whole(const struct parcel_taker *taker)
{
	return taker->ended;
}

struct str parcel_problem(const struct parcel_taker *taker, uint64_t *offset)
{
	*offset = taker->offset;
	return str_of(taker->problem, strlen(taker->problem));
}

static int __attribute__((format(printf, 3, 4))) wrong(struct parcel_taker *taker, int err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(taker->problem, sizeof taker->problem, format, args);
	va_end(args);
	return err;
}

static bool is_number(uint64_t number)
{
	return number > 0 && number <= PARCEL_NUMBER_MAX;
}

/* --- one kind of frame each --- */

static int take_begin(struct parcel_taker *taker, struct str body)
{
	struct parcel_begin *m = &taker->frame.begin;
	struct wire_reader r = wire_reader(body);
	struct str magic = wire_get_bytes(&r, sizeof PARCEL_MAGIC - 1);
	uint16_t version = wire_get_u16(&r);
	if (!str_eq(magic, STR(PARCEL_MAGIC)))
		return wrong(taker, ERR_CORRUPT, "this is not a parcel of mail");
	if (version != PARCEL_VERSION)
		return wrong(taker, ERR_UNSUPPORTED, "it was made by a newer version (form %u)", version);
	wire_get_copy(&r, m->account.bytes, sizeof m->account.bytes);
	m->created = (int64_t)wire_get_u64(&r);
	m->uidvalidity = wire_get_u32(&r);
	m->modseq = wire_get_u64(&r);
	m->next = wire_get_u64(&r);
	m->quota.messages = (int64_t)wire_get_u64(&r);
	m->quota.bytes = (int64_t)wire_get_u64(&r);
	m->messages = wire_get_u64(&r);
	m->bytes = wire_get_u64(&r);
	if (wire_finish(&r) < 0 || m->modseq > PARCEL_NUMBER_MAX || !is_number(m->next) || m->created < 0 ||
	    m->quota.messages < QUOTA_DEFAULT || m->quota.bytes < QUOTA_DEFAULT)
		return wrong(taker, ERR_CORRUPT, "its first frame is damaged");
	taker->begun = true;
	return 0;
}

static int take_mailbox(struct parcel_taker *taker, struct str body)
{
	struct parcel_mailbox *m = &taker->frame.mailbox;
	struct wire_reader r = wire_reader(body);
	m->number = wire_get_u32(&r);
	m->name = wire_get_short(&r, MAILBOX_NAME_MAX);
	m->uidvalidity = wire_get_u32(&r);
	m->special_use = (enum special_use)wire_get_u8(&r);
	m->uidnext = wire_get_u32(&r);
	m->recent = wire_get_u32(&r);
	m->modseq = wire_get_u64(&r);
	m->n_keywords = wire_get_u16(&r);
	if (m->n_keywords > KEYWORDS_MAX)
		return wrong(taker, ERR_CORRUPT, "a mailbox has more than %d keywords", KEYWORDS_MAX);
	bool empty = false;
	for (uint32_t i = 0; i < m->n_keywords; i++) {
		m->keywords[i] = wire_get_short(&r, KEYWORD_NAME_MAX);
		empty |= m->keywords[i].n == 0;
	}
	if (wire_finish(&r) < 0 || empty || m->name.n == 0 || m->special_use >= SPECIAL_USE_COUNT || m->uidvalidity == 0 ||
	    m->uidnext == 0 || m->recent > m->uidnext || m->modseq > PARCEL_NUMBER_MAX ||
	    m->number != taker->n_mailboxes + 1 || m->number > PARCEL_MAILBOXES_MAX)
		return wrong(taker, ERR_CORRUPT, "the frame of mailbox %u is damaged", taker->n_mailboxes + 1);
	if ((taker->n_mailboxes & (taker->n_mailboxes - 1)) == 0)
		taker->last_uid =
			mem_resize(taker->last_uid, taker->n_mailboxes ? taker->n_mailboxes * 2 : 1, sizeof *taker->last_uid);
	taker->last_uid[taker->n_mailboxes++] = 0;
	return 0;
}

static int take_subscription(struct parcel_taker *taker, struct str body)
{
	struct wire_reader r = wire_reader(body);
	taker->frame.subscription = wire_get_short(&r, MAILBOX_NAME_MAX);
	if (wire_finish(&r) < 0 || taker->frame.subscription.n == 0)
		return wrong(taker, ERR_CORRUPT, "the frame of a subscription is damaged");
	return 0;
}

/* All bytes of the message have come. */
static int end_message(struct parcel_taker *taker)
{
	taker->frame.message_complete = true;
	if (body_sum_end(&taker->body) != taker->message.checksum)
		return wrong(taker, ERR_CORRUPT, "message %llu does not have the bytes that its checksum was made of",
		             (unsigned long long)taker->message.number);
	taker->totals.messages++;
	taker->totals.bytes += taker->message.size;
	return 0;
}

static int take_message(struct parcel_taker *taker, struct str body)
{
	struct parcel_message *m = &taker->frame.message;
	struct wire_reader r = wire_reader(body);
	m->number = wire_get_u64(&r);
	m->size = wire_get_u64(&r);
	m->internal_date = (int64_t)wire_get_u64(&r);
	m->zone_minutes = (int16_t)wire_get_u16(&r);
	m->checksum = wire_get_u64(&r);
	m->mailbox = wire_get_u32(&r);
	uint64_t all;
	if (wire_finish(&r) < 0 || m->mailbox > taker->n_mailboxes || !is_number(m->number) || m->size > INT64_MAX ||
	    !checked_add(taker->totals.bytes, m->size, &all))
		return wrong(taker, ERR_CORRUPT, "the frame of a message is damaged");
	taker->message = *m;
	taker->left = m->size;
	taker->body = body_sum_new();
	return taker->left == 0 ? end_message(taker) : 0;
}

static int take_body(struct parcel_taker *taker, struct str body)
{
	if (!taker->body || body.n == 0 || body.n > taker->left)
		return wrong(taker, ERR_CORRUPT, "bytes of a message come where none are due");
	taker->frame.body = body;
	body_sum_add(taker->body, body);
	taker->left -= body.n;
	return taker->left == 0 ? end_message(taker) : 0;
}

static int take_missing(struct parcel_taker *taker, struct str body)
{
	struct parcel_missing *m = &taker->frame.missing;
	struct wire_reader r = wire_reader(body);
	m->number = wire_get_u64(&r);
	m->problem = wire_get_short(&r, PARCEL_TEXT_MAX);
	if (wire_finish(&r) < 0 || !is_number(m->number))
		return wrong(taker, ERR_CORRUPT, "the frame of a missing message is damaged");
	taker->totals.missing++;
	return 0;
}

/* False when it is damaged. `last`: the uid before it; NULL where the order is not checked. */
static bool take_entry(struct wire_reader *r, uint32_t *last, struct parcel_entry *m)
{
	*m = (struct parcel_entry){ 0 };
	m->uid = wire_get_u32(r);
	m->saved = wire_get_u32(r);
	m->modseq = wire_get_u64(r);
	m->id = wire_get_u64(r);
	m->message = wire_get_u64(r);
	m->flags = wire_get_u8(r);
	uint8_t words = wire_get_u8(r);
	bool has_uidl = words & PARCEL_HAS_UIDL;
	words &= (uint8_t)~PARCEL_HAS_UIDL;
	for (uint8_t i = 0; i < words && i < KEYWORD_WORDS; i++)
		m->keywords.word[i] = wire_get_u64(r);
	if (has_uidl)
		m->uidl = wire_get_short(r, POP3_UIDL_MAX);
	if (r->failed || (has_uidl && m->uidl.n == 0) || words > KEYWORD_WORDS || m->modseq > PARCEL_NUMBER_MAX || m->id > PARCEL_NUMBER_MAX ||
	    !is_number(m->message) || (m->flags & ~PARCEL_FLAGS) || m->uid == UINT32_MAX)
		return false;
	if (!last || m->uid == 0)
		return true;
	if (m->uid <= *last)
		return false;
	*last = m->uid;
	return true;
}

static int take_list(struct parcel_taker *taker, struct wire_reader *r, uint32_t *last_uid)
{
	struct parcel_entries *m = &taker->frame.entries;
	bool good = true;
	m->n = wire_get_u16(r);
	if (r->failed || m->n == 0 || m->n > PARCEL_ENTRIES_MAX)
		good = false;
	for (uint32_t i = 0; i < m->n && good; i++)
		good = take_entry(r, last_uid, &m->list[i]);
	if (!good || wire_finish(r) < 0)
		return wrong(taker, ERR_CORRUPT, "a frame with entries of a mailbox is damaged");
	return 0;
}

static int take_entries(struct parcel_taker *taker, struct str body)
{
	struct parcel_entries *m = &taker->frame.entries;
	struct wire_reader r = wire_reader(body);
	m->mailbox = wire_get_u32(&r);
	m->modseq = 0;
	m->time = 0;
	m->more = false;
	if (m->mailbox == 0 || m->mailbox > taker->n_mailboxes)
		return wrong(taker, ERR_CORRUPT, "entries of a mailbox come before it");
	int result = take_list(taker, &r, &taker->last_uid[m->mailbox - 1]);
	if (result == 0)
		taker->totals.entries += m->n;
	return result;
}

/* A row that comes in several frames: all have the same modseq, one behind the other. */
static int follow(struct parcel_taker *taker, uint64_t modseq, bool more)
{
	if (!is_number(modseq) || (taker->continues && (modseq != taker->continues || taker->frame.type != taker->continues_type)))
		return wrong(taker, ERR_CORRUPT, "a frame of a log is damaged");
	taker->continues = more ? modseq : 0;
	taker->continues_type = taker->frame.type;
	return 0;
}

static int take_expunged(struct parcel_taker *taker, struct str body)
{
	struct parcel_entries *m = &taker->frame.entries;
	struct wire_reader r = wire_reader(body);
	m->mailbox = wire_get_u32(&r);
	m->modseq = wire_get_u64(&r);
	m->time = (int64_t)wire_get_u64(&r);
	m->more = wire_get_bool(&r);
	if (m->mailbox > taker->n_mailboxes || m->time < 0)
		return wrong(taker, ERR_CORRUPT, "a frame of a log is damaged");
	int result = take_list(taker, &r, NULL);
	for (uint32_t i = 0; i < m->n && result == 0; i++)
		if (m->list[i].uid == 0)
			result = wrong(taker, ERR_CORRUPT, "a frame of a log is damaged");
	return result == 0 ? follow(taker, m->modseq, m->more) : result;
}

static int take_change(struct parcel_taker *taker, struct str body)
{
	struct parcel_change *m = &taker->frame.change;
	struct wire_reader r = wire_reader(body);
	struct set uids = SET_INIT;
	m->mailbox = wire_get_u32(&r);
	m->modseq = wire_get_u64(&r);
	m->kind = (enum change_kind)wire_get_u8(&r);
	m->time = (int64_t)wire_get_u64(&r);
	m->more = wire_get_bool(&r);
	m->uids = wire_get_str(&r, PARCEL_FRAME_MAX);
	bool good = wire_finish(&r) == 0 && m->mailbox > 0 && m->mailbox <= taker->n_mailboxes && m->kind <= CHANGE_EXPUNGE &&
	            m->time >= 0 && set_decode(m->uids, &uids) == 0 && uids.n > 0 && uids.ranges[0].first > 0;
	set_free(&uids);
	return good ? follow(taker, m->modseq, m->more) : wrong(taker, ERR_CORRUPT, "a frame of a log is damaged");
}

static int take_pop3(struct parcel_taker *taker, enum parcel_type type, struct str body)
{
	struct parcel_pop3 *m = &taker->frame.pop3;
	struct wire_reader r = wire_reader(body);
	struct set uids = SET_INIT;
	m->mailbox = wire_get_u32(&r);
	m->login = wire_get_u64(&r);
	m->due = (int64_t)wire_get_u64(&r);
	m->trash = wire_get_bool(&r);
	m->uids = wire_get_str(&r, PARCEL_FRAME_MAX);
	bool known = type == PARCEL_DUE ? m->due > 0 : m->login < INT64_MAX;
	bool good = wire_finish(&r) == 0 && m->mailbox > 0 && m->mailbox <= taker->n_mailboxes && known &&
	            set_decode(m->uids, &uids) == 0 && uids.n > 0 && uids.ranges[0].first > 0;
	set_free(&uids);
	return good ? 0 : wrong(taker, ERR_CORRUPT, "a frame of what POP3 remembers is damaged");
}

static int take_sources(struct parcel_taker *taker, struct str body)
{
	struct parcel_sources *m = &taker->frame.sources;
	struct wire_reader r = wire_reader(body);
	uint64_t before = 0;
	m->mark = wire_get_u64(&r);
	m->n = wire_get_u16(&r);
	bool good = m->n > 0 && m->n <= PARCEL_SOURCES_MAX;
	for (uint32_t i = 0; i < m->n && good; i++) {
		m->list[i].number = wire_get_u64(&r);
		m->list[i].time = (int64_t)wire_get_u64(&r);
		good = m->list[i].number > before && is_number(m->list[i].number) && m->list[i].time >= 0;
		before = m->list[i].number;
	}
	return good && wire_finish(&r) == 0 ? 0 : wrong(taker, ERR_CORRUPT, "a frame of what imports brought is damaged");
}

static int take_end(struct parcel_taker *taker, struct str body)
{
	struct parcel_end *m = &taker->frame.end;
	struct wire_reader r = wire_reader(body);
	m->messages = wire_get_u64(&r);
	m->bytes = wire_get_u64(&r);
	m->missing = wire_get_u64(&r);
	m->entries = wire_get_u64(&r);
	m->checksum = wire_get_u64(&r);
	if (wire_finish(&r) < 0)
		return wrong(taker, ERR_CORRUPT, "its last frame is damaged");
	if (body_sum_end(&taker->sum) != m->checksum || m->messages != taker->totals.messages ||
	    m->bytes != taker->totals.bytes || m->missing != taker->totals.missing || m->entries != taker->totals.entries)
		return wrong(taker, ERR_CORRUPT, "it is not what its last frame says that it is");
	taker->ended = true;
	return 0;
}

/* --- frames in order --- */

static int check_phase(struct parcel_taker *taker, enum parcel_type type)
{
	if (taker->ended)
		return wrong(taker, ERR_CORRUPT, "something follows its end");
	if (taker->begun == (type == PARCEL_BEGIN))
		return wrong(taker, ERR_CORRUPT, taker->begun ? "it begins a second time" : "this is not a parcel of mail");
	if (taker->body && type != PARCEL_BODY)
		return wrong(taker, ERR_CORRUPT, "the bytes of message %llu are cut off",
		             (unsigned long long)taker->message.number);
	if (taker->continues && type != taker->continues_type)
		return wrong(taker, ERR_CORRUPT, "a row of a log is cut off");
	return 0;
}

static int take(struct parcel_taker *taker, unsigned type, struct str body)
{
	switch (type) {
	case PARCEL_BEGIN:
		return take_begin(taker, body);
	case PARCEL_MAILBOX:
		return take_mailbox(taker, body);
	case PARCEL_SUBSCRIPTION:
		return take_subscription(taker, body);
	case PARCEL_MESSAGE:
		return take_message(taker, body);
	case PARCEL_BODY:
		return take_body(taker, body);
	case PARCEL_MISSING:
		return take_missing(taker, body);
	case PARCEL_ENTRIES:
		return take_entries(taker, body);
	case PARCEL_EXPUNGED:
		return take_expunged(taker, body);
	case PARCEL_CHANGE:
		return take_change(taker, body);
	case PARCEL_HIDDEN:
	case PARCEL_DUE:
		return take_pop3(taker, (enum parcel_type)type, body);
	case PARCEL_SOURCES:
		return take_sources(taker, body);
	case PARCEL_END:
		return take_end(taker, body);
	}
	return wrong(taker, ERR_CORRUPT, "a frame is of no known kind");
}

int parcel_next(struct parcel_taker *taker, struct str bytes, const struct parcel_frame **frame, size_t *used)
{
	if (taker->problem[0])
		return ERR_CORRUPT;
	if (bytes.n < PARCEL_HEAD_SIZE)
		return ERR_INCOMPLETE;
	struct wire_reader head = wire_reader(bytes);
	unsigned type = wire_get_u8(&head);
	uint32_t n = wire_get_u32(&head);
	taker->offset = taker->done;
	taker->frame.type = (enum parcel_type)type;
	taker->frame.message_complete = false;
	int result = check_phase(taker, (enum parcel_type)type);
	if (result == 0 && n > PARCEL_FRAME_MAX)
		result = wrong(taker, ERR_CORRUPT, "a frame is too long");
	if (result < 0)
		return result;
	if (bytes.n - PARCEL_HEAD_SIZE < n)
		return ERR_INCOMPLETE;
	struct str whole = str_first(bytes, PARCEL_HEAD_SIZE + n);
	if (type != PARCEL_END)
		body_sum_add(taker->sum, whole);
	result = take(taker, type, str_from(whole, PARCEL_HEAD_SIZE));
	if (result < 0)
		return result;
	taker->done += whole.n;
	*frame = &taker->frame;
	*used = whole.n;
	return 0;
}
