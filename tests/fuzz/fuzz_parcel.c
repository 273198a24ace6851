/* Parcels from anywhere: what is read keeps its limits, and made into a parcel again it reads the same. The first
 * input byte chooses whether frames are to be read as they stand, or have their lengths and sums made right before. */
#include "store/parcel.h"

#include "base/checked.h"

#define OUT_MAX (8 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_again(struct parcel_maker *maker, const struct parcel_frame *frame)
{
	switch (frame->type) {
	case PARCEL_BEGIN:
		parcel_put_begin(maker, &frame->begin);
		break;
	case PARCEL_MAILBOX:
		parcel_put_mailbox(maker, &frame->mailbox);
		break;
	case PARCEL_SUBSCRIPTION:
		parcel_put_subscription(maker, frame->subscription);
		break;
	case PARCEL_MESSAGE:
		parcel_put_message(maker, &frame->message);
		break;
	case PARCEL_BODY:
		parcel_put_body(maker, frame->body);
		break;
	case PARCEL_MISSING:
		parcel_put_missing(maker, &frame->missing);
		break;
	case PARCEL_ENTRIES:
		parcel_put_entries(maker, &frame->entries);
		break;
	case PARCEL_EXPUNGED:
		parcel_put_expunged(maker, &frame->entries);
		break;
	case PARCEL_CHANGE:
		parcel_put_change(maker, &frame->change);
		break;
	case PARCEL_HIDDEN:
	case PARCEL_DUE:
		parcel_put_pop3(maker, frame->type, &frame->pop3);
		break;
	case PARCEL_SOURCES:
		parcel_put_sources(maker, &frame->sources);
		break;
	case PARCEL_END:
		parcel_put_end(maker);
		break;
	case PARCEL_ACK:
	case PARCEL_RESULT:
	case PARCEL_REFUSED:
		abort();
	}
}

static uint32_t read_frames(struct str bytes, struct parcel_maker *again, bool *whole)
{
	struct parcel_taker *taker = parcel_taker_new();
	const struct parcel_frame *frame;
	uint64_t offset;
	uint32_t n = 0;
	size_t used;
	int result;
	while ((result = parcel_next(taker, bytes, &frame, &used)) == 0) {
		if (again)
			put_again(again, frame);
		bytes = str_from(bytes, used);
		n++;
	}
	if (result != ERR_INCOMPLETE && parcel_problem(taker, &offset).n == 0)
		abort();
	*whole = parcel_is_whole(taker);
	parcel_taker_free(&taker);
	return n;
}

/* Splits the input into frames by its own length bytes, and sends them with heads and an END that are right. */
static void read_mended(struct str bytes)
{
	struct parcel_maker maker, again;
	bool whole = false;
	parcel_maker_begin(&maker, OUT_MAX);
	parcel_maker_begin(&again, OUT_MAX);
	parcel_put_begin(&maker, &(struct parcel_begin){ .modseq = 1, .next = 1 });
	while (bytes.n >= 2) {
		size_t n = MIN((size_t)(unsigned char)bytes.p[1], bytes.n - 2);
		wire_put_u8(&maker.out, (uint8_t)bytes.p[0]);
		wire_put_u32(&maker.out, (uint32_t)n);
		buf_add(&maker.out, str_first(str_from(bytes, 2), n));
		bytes = str_from(bytes, 2 + n);
	}
	uint32_t n = read_frames(buf_str(&maker.out), &again, &whole);
	if (buf_error(&again.out) < 0 || read_frames(buf_str(&again.out), NULL, &whole) != n)
		abort();
	parcel_maker_free(&maker);
	parcel_maker_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_of((const char *)data, size);
	struct parcel_answer answer;
	struct parcel_maker again;
	bool whole, same;
	size_t used;
	if (size == 0)
		return 0;
	if (data[0] & 1) {
		read_mended(str_from(bytes, 1));
		return 0;
	}
	bytes = str_from(bytes, 1);
	parcel_maker_begin(&again, OUT_MAX);
	uint32_t n = read_frames(bytes, &again, &whole);
	if (buf_error(&again.out) < 0 || read_frames(buf_str(&again.out), NULL, &same) != n || same != whole)
		abort();
	if (parcel_answer_next(bytes, &answer, &used) == 0 && (used > size || answer.result > 0))
		abort();
	parcel_maker_free(&again);
	return 0;
}
