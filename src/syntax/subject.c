/* subject.c: the steps (1) to (6) of RFC 5256, 2.1 on a slice that gets shorter from both ends. Pure. */
#include "syntax/subject.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str skip_blanks(struct str s)
{
	size_t n = 0;
	while (n < s.n && is_blank(s.p[n]))
		n++;
	return str_from(s, n);
}

/* (2): *("(fwd)" / WSP) at the end */
static struct str without_trailers(struct str s, bool *is_reply)
{
	for (;;) {
		while (s.n && is_blank(s.p[s.n - 1]))
			s.n--;
		if (s.n < 5 || !str_ieq(str_from(s, s.n - 5), STR("(fwd)")))
			return s;
		s.n -= 5;
		*is_reply = true;
	}
}

/* subj-blob = "[" *BLOBCHAR "]" *WSP: what follows it, or all of s where there is none */
static struct str skip_blob(struct str s)
{
	if (s.n == 0 || s.p[0] != '[')
		return s;
	for (size_t i = 1; i < s.n && s.p[i] != '['; i++)
		if (s.p[i] == ']')
			return skip_blanks(str_from(s, i + 1));
	return s;
}

/* subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":": false where there is none */
static bool skip_refwd(struct str *s)
{
	struct str rest = *s;
	if (str_istarts(rest, STR("re")))
		rest = str_from(rest, 2);
	else if (str_istarts(rest, STR("fwd")))
		rest = str_from(rest, 3);
	else if (str_istarts(rest, STR("fw")))
		rest = str_from(rest, 2);
	else
		return false;
	rest = skip_blob(skip_blanks(rest));
	if (rest.n == 0 || rest.p[0] != ':')
		return false;
	*s = str_from(rest, 1);
	return true;
}

/* (3): *subj-leader, that is (*subj-blob subj-refwd) / WSP */
static struct str without_leaders(struct str s, bool *is_reply)
{
	for (;;) {
		struct str rest = s = skip_blanks(s), next;
		while ((next = skip_blob(rest)).n != rest.n)
			rest = next;
		if (!skip_refwd(&rest))
			return s;
		*is_reply = true;
		s = rest;
	}
}

/* (3) to (5). Where no leader is left, none stands behind the blobs either: they go together, but for one that would
 * leave nothing. */
static struct str without_prefixes(struct str s, bool *is_reply)
{
	struct str next;
	s = without_leaders(s, is_reply);
	while ((next = skip_blob(s)).n != s.n && next.n > 0)
		s = next;
	return s;
}

/* (1): blanks of all kinds, however many, are one space */
static void add_with_single_blanks(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_blank(s.p[i]))
			buf_add_byte(out, s.p[i]);
		else if (i == 0 || !is_blank(s.p[i - 1]))
			buf_add_byte(out, ' ');
	}
}

void subject_base(struct str s, struct buf *out, bool *is_reply)
{
	*is_reply = false;
	for (;;) {
		s = without_prefixes(without_trailers(s, is_reply), is_reply);
		/* (6) */
		if (!str_istarts(s, STR("[fwd:")) || s.p[s.n - 1] != ']')
			break;
		*is_reply = true;
		s = str_of(s.p + 5, s.n - 6);
	}
	add_with_single_blanks(s, out);
}
