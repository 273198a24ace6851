/* flowed.c: a scanner of lines that holds back what may be a line's end until the next line tells whether it is one.
 * Any bytes have a text. Owned by its caller; nothing is allocated but in `out`. */
#include "text/flowed.h"

#include "base/checked.h"

static const struct str signature = STR_INIT("-- ");

static void put_held(struct flowed_text *f, struct buf *out)
{
	if (f->blank)
		buf_add_byte(out, ' ');
	if (f->cr)
		buf_add_byte(out, '\r');
	f->blank = f->cr = false;
}

/* Characters of the line: does it still look like a signature's first line? UINT8_MAX: no. */
static void note(struct flowed_text *f, struct str s)
{
	for (size_t i = 0; i < s.n && f->n != UINT8_MAX; i++)
		f->n = f->n < signature.n && s.p[i] == signature.p[f->n] ? (uint8_t)(f->n + 1) : UINT8_MAX;
}

/* Behind its quote marks; `first` may be space-stuffing. Returns how many bytes of it were taken. */
static size_t begin_line(struct flowed_text *f, char first, struct buf *out)
{
	bool joined = f->soft && f->depth == f->last;
	if (!joined && f->any)
		buf_add(out, STR("\r\n"));
	for (uint32_t i = 0; i < f->depth && !joined; i++)
		buf_add_byte(out, '>');
	if (first == ' ' && !joined)
		buf_add_byte(out, ' ');
	f->in_line = true;
	f->n = 0;
	return first == ' ' ? 1 : 0;
}

static void end_line(struct flowed_text *f, struct buf *out)
{
	f->soft = f->blank && f->n != signature.n;
	f->blank = f->blank && !(f->soft && f->delete_space);
	f->cr = false;
	put_held(f, out);
	f->last = f->depth;
	f->depth = 0;
	f->in_line = false;
	f->any = true;
}

/* Up to the line's end, or the piece's; a blank and a CR there are held back. Returns how many bytes were taken. */
static size_t in_line(struct flowed_text *f, struct str s, struct buf *out)
{
	ptrdiff_t end = str_find_byte(s, '\n');
	if (end == 0) {
		end_line(f, out);
		return 1;
	}
	size_t n = end < 0 ? s.n : (size_t)end;
	bool cr = s.p[n - 1] == '\r', blank = n > cr && s.p[n - 1 - cr] == ' ';
	struct str words = str_first(s, n - cr - blank);
	if (f->cr)
		f->n = UINT8_MAX; /* it is text */
	if (words.n > 0 || blank || f->cr)
		put_held(f, out);
	buf_add(out, words);
	note(f, words);
	if (blank)
		note(f, STR(" "));
	f->blank = f->blank || blank;
	f->cr = cr;
	return n;
}

void flowed_text_add(struct flowed_text *f, struct str s, struct buf *out)
{
	while (s.n > 0) {
		size_t n = 1;
		if (f->in_line)
			n = in_line(f, s, out);
		else if (s.p[0] == '>' && f->depth < UINT32_MAX)
			f->depth++;
		else
			n = begin_line(f, s.p[0], out);
		s = str_from(s, n);
	}
}

void flowed_text_end(struct flowed_text *f, struct buf *out)
{
	if (!f->in_line && (f->depth > 0 || f->any))
		begin_line(f, '\n', out);
	put_held(f, out);
}
