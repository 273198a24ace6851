/* parcel.c: frames of a parcel are made (see parcel.h). A frame is put whole: its head is filled in when its body
 * stands behind it. The sum runs over everything that was put. Pure but for memory; a buffer that is full fails, and
 * stays failed. */
#include "store/parcel_private.h"

#include "base/checked.h"
#include "db/bodylog.h"

void parcel_maker_begin(struct parcel_maker *maker, size_t max)
{
	*maker = (struct parcel_maker){ .out = BUF_INIT(max), .sum = body_sum_new() };
}

void parcel_maker_free(struct parcel_maker *maker)
{
	(void)body_sum_end(&maker->sum);
	buf_free(&maker->out);
}

bool parcel_has_room(const struct parcel_maker *maker)
{
	return maker->out.max - maker->out.n >= PARCEL_HEAD_SIZE + PARCEL_FRAME_MAX;
}

/* --- frames --- */

static size_t begin_frame(struct buf *out, enum parcel_type type)
{
	wire_put_u8(out, (uint8_t)type);
	wire_put_u32(out, 0);
	return out->n;
}

/* The body stands from `at` on: its length goes into the head. */
static void end_frame(struct buf *out, size_t at)
{
	size_t n = out->n - at;
	if (out->failed || n > PARCEL_FRAME_MAX) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < 4; i++)
		out->p[at - 4 + i] = (char)(n >> (8 * i) & 0xff);
}

static void end_summed(struct parcel_maker *maker, size_t at)
{
	end_frame(&maker->out, at);
	if (!maker->out.failed)
		body_sum_add(maker->sum, str_from(buf_str(&maker->out), at - PARCEL_HEAD_SIZE));
}

void parcel_put_begin(struct parcel_maker *maker, const struct parcel_begin *m)
{
	struct buf *out = &maker->out;
	size_t at = begin_frame(out, PARCEL_BEGIN);
	buf_add(out, STR(PARCEL_MAGIC));
	wire_put_u16(out, PARCEL_VERSION);
	buf_add(out, str_of((const char *)m->account.bytes, sizeof m->account.bytes));
	wire_put_u64(out, (uint64_t)m->created);
	wire_put_u32(out, m->uidvalidity);
	wire_put_u64(out, m->modseq);
	wire_put_u64(out, m->next);
	wire_put_u64(out, (uint64_t)m->quota.messages);
	wire_put_u64(out, (uint64_t)m->quota.bytes);
	wire_put_u64(out, m->messages);
	wire_put_u64(out, m->bytes);
	end_summed(maker, at);
}

void parcel_put_mailbox(struct parcel_maker *maker, const struct parcel_mailbox *m)
{
	struct buf *out = &maker->out;
	size_t at = begin_frame(out, PARCEL_MAILBOX);
	wire_put_u32(out, m->number);
	wire_put_short(out, m->name);
	wire_put_u32(out, m->uidvalidity);
	wire_put_u8(out, (uint8_t)m->special_use);
	wire_put_u32(out, m->uidnext);
	wire_put_u32(out, m->recent);
	wire_put_u64(out, m->modseq);
	wire_put_u16(out, (uint16_t)m->n_keywords);
	for (uint32_t i = 0; i < m->n_keywords; i++)
		wire_put_short(out, m->keywords[i]);
	end_summed(maker, at);
}

void parcel_put_subscription(struct parcel_maker *maker, struct str name)
{
	size_t at = begin_frame(&maker->out, PARCEL_SUBSCRIPTION);
	wire_put_short(&maker->out, name);
	end_summed(maker, at);
}

void parcel_put_message(struct parcel_maker *maker, const struct parcel_message *m)
{
	struct buf *out = &maker->out;
	size_t at = begin_frame(out, PARCEL_MESSAGE);
	wire_put_u64(out, m->number);
	wire_put_u64(out, m->size);
	wire_put_u64(out, (uint64_t)m->internal_date);
	wire_put_u16(out, (uint16_t)m->zone_minutes);
	wire_put_u64(out, m->checksum);
	wire_put_u32(out, m->mailbox);
	end_summed(maker, at);
	maker->totals.messages++;
	maker->totals.bytes += m->size;
}

void parcel_put_body(struct parcel_maker *maker, struct str bytes)
{
	size_t at = begin_frame(&maker->out, PARCEL_BODY);
	buf_add(&maker->out, bytes);
	end_summed(maker, at);
}

void parcel_put_missing(struct parcel_maker *maker, const struct parcel_missing *m)
{
	size_t at = begin_frame(&maker->out, PARCEL_MISSING);
	wire_put_u64(&maker->out, m->number);
	wire_put_short(&maker->out, str_first(m->problem, PARCEL_TEXT_MAX));
	end_summed(maker, at);
	maker->totals.missing++;
}

static void put_entry(struct buf *out, const struct parcel_entry *entry)
{
	uint8_t words = KEYWORD_WORDS;
	while (words > 0 && entry->keywords.word[words - 1] == 0)
		words--;
	wire_put_u32(out, entry->uid);
	wire_put_u32(out, entry->saved);
	wire_put_u64(out, entry->modseq);
	wire_put_u64(out, entry->id);
	wire_put_u64(out, entry->message);
	wire_put_u8(out, entry->flags);
	wire_put_u8(out, entry->uidl.n ? words | PARCEL_HAS_UIDL : words);
	for (uint8_t i = 0; i < words; i++)
		wire_put_u64(out, entry->keywords.word[i]);
	if (entry->uidl.n)
		wire_put_short(out, entry->uidl);
}

void parcel_put_entries(struct parcel_maker *maker, const struct parcel_entries *m)
{
	struct buf *out = &maker->out;
	size_t at = begin_frame(out, PARCEL_ENTRIES);
	wire_put_u32(out, m->mailbox);
	wire_put_u16(out, (uint16_t)m->n);
	for (uint32_t i = 0; i < m->n; i++)
		put_entry(out, &m->list[i]);
	end_summed(maker, at);
	maker->totals.entries += m->n;
}

void parcel_put_expunged(struct parcel_maker *maker, const struct parcel_entries *m)
{
	struct buf *out = &maker->out;
	size_t at = begin_frame(out, PARCEL_EXPUNGED);
	wire_put_u32(out, m->mailbox);
	wire_put_u64(out, m->modseq);
	wire_put_u64(out, (uint64_t)m->time);
	wire_put_u8(out, m->more);
	wire_put_u16(out, (uint16_t)m->n);
	for (uint32_t i = 0; i < m->n; i++)
		put_entry(out, &m->list[i]);
	end_summed(maker, at);
}

void parcel_put_change(struct parcel_maker *maker, const struct parcel_change *m)
{
	struct buf *out = &maker->out;
	size_t at = begin_frame(out, PARCEL_CHANGE);
	wire_put_u32(out, m->mailbox);
	wire_put_u64(out, m->modseq);
	wire_put_u8(out, (uint8_t)m->kind);
	wire_put_u64(out, (uint64_t)m->time);
	wire_put_u8(out, m->more);
	wire_put_str(out, m->uids);
	end_summed(maker, at);
}

void parcel_put_pop3(struct parcel_maker *maker, enum parcel_type type, const struct parcel_pop3 *m)
{
	struct buf *out = &maker->out;
	size_t at = begin_frame(out, type);
	wire_put_u32(out, m->mailbox);
	wire_put_u64(out, m->login);
	wire_put_u64(out, (uint64_t)m->due);
	wire_put_u8(out, m->trash);
	wire_put_str(out, m->uids);
	end_summed(maker, at);
}

void parcel_put_sources(struct parcel_maker *maker, const struct parcel_sources *m)
{
	struct buf *out = &maker->out;
	size_t at = begin_frame(out, PARCEL_SOURCES);
	wire_put_u64(out, m->mark);
	wire_put_u16(out, (uint16_t)m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		wire_put_u64(out, m->list[i].number);
		wire_put_u64(out, (uint64_t)m->list[i].time);
	}
	end_summed(maker, at);
}

void parcel_put_end(struct parcel_maker *maker)
{
	struct buf *out = &maker->out;
	maker->totals.checksum = body_sum_end(&maker->sum);
	size_t at = begin_frame(out, PARCEL_END);
	wire_put_u64(out, maker->totals.messages);
	wire_put_u64(out, maker->totals.bytes);
	wire_put_u64(out, maker->totals.missing);
	wire_put_u64(out, maker->totals.entries);
	wire_put_u64(out, maker->totals.checksum);
	end_frame(out, at);
}

/* --- answers --- */

void parcel_put_answer(struct buf *out, const struct parcel_answer *m)
{
	size_t at = begin_frame(out, m->type);
	if (m->type == PARCEL_REFUSED) {
		wire_put_u64(out, m->number);
		end_frame(out, at);
		return;
	}
	wire_put_u64(out, m->messages);
	wire_put_u64(out, m->entries);
	wire_put_u64(out, m->refused);
	wire_put_u64(out, m->passed);
	wire_put_u64(out, m->keywords);
	wire_put_u64(out, m->next);
	if (m->type == PARCEL_RESULT) {
		wire_put_u32(out, (uint32_t)m->result);
		wire_put_short(out, str_first(m->text, PARCEL_TEXT_MAX));
	}
	end_frame(out, at);
}

int parcel_answer_next(struct str bytes, struct parcel_answer *out, size_t *used)
{
	struct parcel_answer m = { 0 };
	struct wire_reader head = wire_reader(bytes);
	if (bytes.n < PARCEL_HEAD_SIZE)
		return ERR_INCOMPLETE;
	m.type = (enum parcel_type)wire_get_u8(&head);
	uint32_t n = wire_get_u32(&head);
	if ((m.type != PARCEL_ACK && m.type != PARCEL_RESULT && m.type != PARCEL_REFUSED) || n > PARCEL_FRAME_MAX)
		return ERR_CORRUPT;
	if (bytes.n - PARCEL_HEAD_SIZE < n)
		return ERR_INCOMPLETE;
	struct wire_reader r = wire_reader(str_first(str_from(bytes, PARCEL_HEAD_SIZE), n));
	if (m.type == PARCEL_REFUSED) {
		m.number = wire_get_u64(&r);
	} else {
		m.messages = wire_get_u64(&r);
		m.entries = wire_get_u64(&r);
		m.refused = wire_get_u64(&r);
		m.passed = wire_get_u64(&r);
		m.keywords = wire_get_u64(&r);
		m.next = wire_get_u64(&r);
	}
	if (m.type == PARCEL_RESULT) {
		m.result = (int32_t)wire_get_u32(&r);
		m.text = wire_get_short(&r, PARCEL_TEXT_MAX);
	}
	if (wire_finish(&r) < 0 || m.result > 0)
		return ERR_CORRUPT;
	*out = m;
	*used = PARCEL_HEAD_SIZE + n;
	return 0;
}
