/* submission_header.c: the filter. Pure; one state for each kind of place, and a few bytes that wait when a piece ends
 * before it is known which field they begin:
 *
 *            a name's byte       ':' of another field, or no field      LF
 *     LINE ----------------> NAME ------------------------------> TEXT -----> LINE
 *      | \ blank: as the line before (TEXT, DROPPED)  \ ':' of Bcc
 *      |  CR: BODY                                     '--------> DROPPED --> LINE (LF) */
#include "syntax/submission_header.h"

enum field { FIELD_UNDECIDED, FIELD_KEPT, FIELD_DROPPED };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_secret(struct str name)
{
	return str_ieq(name, STR("Bcc")) || str_ieq(name, STR("Resent-Bcc"));
}

/* The next byte of a line that may be a field. */
static enum field take_byte(struct submission_header *header, char c)
{
	struct str name = str_of(header->name, header->name_n);
	if (c == ':') {
		header->has_date |= str_ieq(name, STR("Date"));
		header->has_message_id |= str_ieq(name, STR("Message-ID"));
		return is_secret(name) ? FIELD_DROPPED : FIELD_KEPT;
	}
	if (is_blank(c)) {
		header->blank = true;
		return FIELD_UNDECIDED;
	}
	if (header->blank || header->name_n == SUBMISSION_NAME_MAX || c < ' ' || c == 0x7f)
		return FIELD_KEPT;
	header->name[header->name_n++] = c;
	return FIELD_UNDECIDED;
}

/* Goes on with a name. Where so many blanks stand behind it that they cannot be held, the colon is not waited for: what
 * may be a secret goes. */
static enum field take_name(struct submission_header *header, const char **p, const char *end)
{
	const char *from = *p;
	enum field field = FIELD_UNDECIDED;
	while (*p < end && field == FIELD_UNDECIDED) {
		field = take_byte(header, **p);
		++*p;
		if (field == FIELD_UNDECIDED && header->held_n + (size_t)(*p - from) == SUBMISSION_HELD_MAX)
			field = is_secret(str_of(header->name, header->name_n)) ? FIELD_DROPPED : FIELD_KEPT;
	}
	return field;
}

static void begin_line(struct submission_header *header, char first)
{
	if (is_blank(first)) {
		header->at = header->dropping ? SUBMISSION_AT_DROPPED : SUBMISSION_AT_TEXT;
		return;
	}
	header->dropping = header->blank = false;
	header->name_n = 0;
	header->at = first == '\r' ? SUBMISSION_AT_BODY : SUBMISSION_AT_NAME;
}

static const char *behind_line(struct submission_header *header, const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));
	if (!lf)
		return end;
	header->at = SUBMISSION_AT_LINE;
	return lf + 1;
}

/* Gives out `piece`, or, when it is empty, nothing; the rest of the input begins at p. */
static bool give(struct str piece, const char *p, struct str *in, struct str *out)
{
	*in = str_from(*in, (size_t)(p - in->p));
	*out = piece;
	return piece.n > 0;
}

/* What happens to the line whose name began at `name`. True: *out was given. *kept: what stays begins here. */
static bool decide(struct submission_header *header, enum field field, const char *name, const char *p,
                   const char **kept, struct str *in, struct str *out)
{
	struct str before = str_of(*kept, (size_t)(name - *kept));
	if (field == FIELD_UNDECIDED) {
		memcpy(header->held + header->held_n, name, (size_t)(p - name));
		header->held_n = (uint8_t)(header->held_n + (p - name));
		*kept = p;
		return give(before, p, in, out);
	}
	struct str held = str_of(header->held, header->held_n);
	header->held_n = 0;
	if (field == FIELD_DROPPED) {
		header->dropping = true;
		header->at = SUBMISSION_AT_DROPPED;
		*kept = p;
		return give(before, p, in, out);
	}
	header->at = SUBMISSION_AT_TEXT;
	return held.n > 0 && give(held, name, in, out); /* bytes that waited come first; then `name` is where *in begins */
}

bool submission_header_next(struct submission_header *header, struct str *in, struct str *out)
{
	const char *p = in->p, *end = p + in->n, *kept = p;
	while (p < end) {
		const char *from = p;
		switch (header->at) {
		case SUBMISSION_AT_LINE:
			begin_line(header, *p);
			break;
		case SUBMISSION_AT_NAME: {
			enum field field = take_name(header, &p, end);
			if (decide(header, field, from, p, &kept, in, out))
				return true;
			break;
		}
		case SUBMISSION_AT_TEXT:
			p = behind_line(header, p, end);
			break;
		case SUBMISSION_AT_DROPPED:
			if (from > kept) /* a continuation line */
				return give(str_of(kept, (size_t)(from - kept)), from, in, out);
			p = kept = behind_line(header, p, end);
			break;
		case SUBMISSION_AT_BODY:
			p = end;
			break;
		}
	}
	return give(str_of(kept, (size_t)(end - kept)), end, in, out);
}
