/* set.c: sorted ranges in one array. Owned by its declarer. */
#include "base/set.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/wire.h"

#define SET_FIRST_SIZE 4

void set_free(struct set *s)
{
	mem_free(s->ranges);
	*s = SET_INIT;
}

void set_clear(struct set *s)
{
	s->n = 0;
}

static void make_room(struct set *s, uint32_t n)
{
	if (n <= s->size)
		return;
	s->size = MAX(n, s->size ? s->size * 2 : (uint32_t)SET_FIRST_SIZE);
	s->ranges = mem_resize(s->ranges, s->size, sizeof *s->ranges);
}

void set_copy(struct set *to, const struct set *from)
{
	make_room(to, from->n);
	if (from->n)
		memcpy(to->ranges, from->ranges, from->n * sizeof *from->ranges);
	to->n = from->n;
}

uint32_t set_seek(const struct set *s, uint32_t value)
{
	uint32_t low = 0, high = s->n;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (s->ranges[middle].last < value)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Behind all that is in it; no merging. */
static void append(struct set *s, uint32_t first, uint32_t last)
{
	make_room(s, s->n + 1);
	s->ranges[s->n++] = (struct set_range){ first, last };
}

/* Replaces ranges [from, to) by `count` new ones. */
static void splice(struct set *s, uint32_t from, uint32_t to, const struct set_range *fresh, uint32_t count)
{
	uint32_t tail = s->n - to;
	make_room(s, from + count + tail);
	if (tail)
		memmove(s->ranges + from + count, s->ranges + to, tail * sizeof *s->ranges);
	for (uint32_t i = 0; i < count; i++)
		s->ranges[from + i] = fresh[i];
	s->n = from + count + tail;
}

void set_add(struct set *s, uint32_t first, uint32_t last)
{
	struct set_range *end = s->n ? &s->ranges[s->n - 1] : NULL;
	if (!end || first > (uint64_t)end->last + 1) {
		append(s, first, last);
		return;
	}
	if (first >= end->first) {
		end->last = MAX(end->last, last);
		return;
	}
	uint32_t from = set_seek(s, first ? first - 1 : 0), to = from;
	struct set_range merged = { first, last };
	while (to < s->n && (last == UINT32_MAX || s->ranges[to].first <= last + 1)) {
		merged.first = MIN(merged.first, s->ranges[to].first);
		merged.last = MAX(merged.last, s->ranges[to].last);
		to++;
	}
	splice(s, from, to, &merged, 1);
}

void set_remove(struct set *s, uint32_t first, uint32_t last)
{
	uint32_t from = set_seek(s, first), to = from, count = 0;
	struct set_range left[2];
	while (to < s->n && s->ranges[to].first <= last) {
		struct set_range range = s->ranges[to++];
		if (range.first < first)
			left[count++] = (struct set_range){ range.first, first - 1 };
		if (range.last > last)
			left[count++] = (struct set_range){ last + 1, range.last };
	}
	if (to > from)
		splice(s, from, to, left, count);
}

/* In place: what the other's ranges can touch is moved to the end of the room for both, and merged from there; what is
 * written never gets past what is read. */
void set_add_set(struct set *s, const struct set *other)
{
	if (other->n == 0)
		return;
	uint32_t first = other->ranges[0].first, from = set_seek(s, first ? first - 1 : 0), n = s->n - from;
	make_room(s, s->n + other->n);
	struct set_range *mine = s->ranges + from + other->n;
	if (n)
		memmove(mine, s->ranges + from, n * sizeof *mine);
	s->n = from;
	for (uint32_t i = 0, j = 0; i < n || j < other->n;) {
		bool is_mine = j == other->n || (i < n && mine[i].first <= other->ranges[j].first);
		struct set_range range = is_mine ? mine[i++] : other->ranges[j++];
		struct set_range *last = s->n > from ? &s->ranges[s->n - 1] : NULL;
		if (last && range.first <= (uint64_t)last->last + 1)
			last->last = MAX(last->last, range.last);
		else
			s->ranges[s->n++] = range;
	}
}

void set_intersection(const struct set *a, const struct set *b, struct set *out)
{
	set_clear(out);
	for (uint32_t i = 0, j = 0; i < a->n && j < b->n;) {
		uint32_t first = MAX(a->ranges[i].first, b->ranges[j].first), last = MIN(a->ranges[i].last, b->ranges[j].last);
		if (first <= last)
			append(out, first, last);
		if (a->ranges[i].last < b->ranges[j].last)
			i++;
		else
			j++;
	}
}

void set_difference(const struct set *a, const struct set *b, struct set *out)
{
	uint32_t j = 0;
	set_clear(out);
	for (uint32_t i = 0; i < a->n; i++) {
		uint64_t first = a->ranges[i].first, last = a->ranges[i].last;
		while (j < b->n && b->ranges[j].last < first)
			j++;
		for (uint32_t k = j; k < b->n && b->ranges[k].first <= last && first <= last; k++) {
			if (b->ranges[k].first > first)
				append(out, (uint32_t)first, b->ranges[k].first - 1);
			first = (uint64_t)b->ranges[k].last + 1;
		}
		if (first <= last)
			append(out, (uint32_t)first, (uint32_t)last);
	}
}

bool set_has(const struct set *s, uint32_t value)
{
	uint32_t at = set_seek(s, value);
	return at < s->n && s->ranges[at].first <= value;
}

static uint64_t range_count(struct set_range range)
{
	return (uint64_t)range.last - range.first + 1;
}

uint64_t set_count(const struct set *s)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < s->n; i++)
		count += range_count(s->ranges[i]);
	return count;
}

uint64_t set_count_below(const struct set *s, uint32_t value)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < s->n && s->ranges[i].first < value; i++)
		count += s->ranges[i].last < value ? range_count(s->ranges[i]) : (uint64_t)value - s->ranges[i].first;
	return count;
}

bool set_at(const struct set *s, uint64_t index, uint32_t *out)
{
	for (uint32_t i = 0; i < s->n; i++) {
		uint64_t count = range_count(s->ranges[i]);
		if (index < count) {
			*out = (uint32_t)(s->ranges[i].first + index);
			return true;
		}
		index -= count;
	}
	return false;
}

void set_print(const struct set *s, struct buf *out)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (i)
			buf_add_byte(out, ',');
		buf_add_u64(out, s->ranges[i].first);
		if (s->ranges[i].last != s->ranges[i].first) {
			buf_add_byte(out, ':');
			buf_add_u64(out, s->ranges[i].last);
		}
	}
}

void set_encode(const struct set *s, struct buf *out)
{
	uint32_t next = 0;
	wire_put_varint(out, s->n);
	for (uint32_t i = 0; i < s->n; i++) {
		wire_put_varint(out, s->ranges[i].first - next);
		wire_put_varint(out, s->ranges[i].last - s->ranges[i].first);
		next = s->ranges[i].last;
	}
}

int set_decode(struct str bytes, struct set *out)
{
	struct wire_reader r = wire_reader(bytes);
	struct set read = SET_INIT;
	uint64_t n = wire_get_varint(&r), next = 0;
	for (uint64_t i = 0; i < n && !r.failed; i++) {
		uint64_t first = 0, last = 0;
		if (!checked_add(next, wire_get_varint(&r), &first) || !checked_add(first, wire_get_varint(&r), &last) ||
		    last > UINT32_MAX || (i > 0 && first <= next + 1))
			r.failed = true;
		else
			set_add(&read, (uint32_t)first, (uint32_t)last);
		next = last;
	}
	if (wire_finish(&r) < 0) {
		set_free(&read);
		return ERR_CORRUPT;
	}
	set_free(out);
	*out = read;
	return 0;
}
