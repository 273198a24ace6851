/* address.c: a tolerant reader of address lists. All memory is the caller's arena. Each address is first measured
 * (up to the sign that says what it is), then rendered, so that every byte is looked at a small fixed number of
 * times. */
#include "syntax/address.h"

#include "base/checked.h"
#include "syntax/header_lex.h"

struct reader {
	struct str rest;
	struct arena *arena;
	struct address *list;
	size_t n, size;
	bool in_group;
	bool full; /* the arena is */
};

/* Bytes before the first of `stops` that is outside of quoted strings and comments. A quote that is never closed is an
 * ordinary byte. Escapes are skipped everywhere alike, so at most one quote can be unclosed: the cost stays linear. */
static size_t length_until(struct str s, const char *stops)
{
	size_t i = 0;
	while (i < s.n) {
		char c = s.p[i];
		if (c == '"') {
			i += MAX(lex_quoted_length(str_from(s, i)), (size_t)1);
		} else if (c == '(') {
			i += lex_comment_length(str_from(s, i));
		} else if (c != '\0' && strchr(stops, c)) {
			return i;
		} else {
			i += c == '\\' ? 2 : 1;
		}
	}
	return s.n;
}

static char *room_for(struct reader *r, size_t n)
{
	char *p = arena_alloc(r->arena, n + 1, 1);
	r->full |= !p;
	return p;
}

/* Words without quoting and comments. A phrase keeps one space where blanks stood; in a local part or domain blanks
 * around dots go (obsolete syntax), since there they mean nothing. p is NULL when no word is there. */
static struct str render(struct reader *r, struct str s, bool is_phrase, struct str *comment)
{
	char *out = room_for(r, s.n);
	size_t n = 0;
	bool any = false;
	if (!out)
		return (struct str){ NULL, 0 };
	for (;;) {
		size_t before = s.n;
		lex_skip_cfws(&s, comment);
		if (s.n == 0)
			break;
		bool dotted = !is_phrase && n > 0 && (s.p[0] == '.' || out[n - 1] == '.');
		if (before > s.n && any && !dotted)
			out[n++] = ' ';
		any = true;
		size_t taken = s.p[0] == '"' ? lex_quoted_length(s) : 0;
		if (taken > 0) {
			n += lex_unquote(str_of(s.p + 1, taken - 2), out + n);
		} else {
			taken = s.p[0] == '\\' && s.n > 1 && !lex_is_blank(s.p[1]) ? 2 : 1;
			out[n++] = s.p[taken - 1];
		}
		s = str_from(s, taken);
	}
	return any ? str_of(out, n) : (struct str){ NULL, 0 };
}

static struct str render_comment(struct reader *r, struct str comment)
{
	char *out = comment.p ? room_for(r, comment.n) : NULL;
	return out ? str_trim(str_of(out, lex_unquote(comment, out))) : (struct str){ NULL, 0 };
}

static void add(struct reader *r, struct address a)
{
	/* the last place is kept for the end of an open group */
	if (r->n + (a.kind != ADDRESS_GROUP_END && r->in_group) < r->size)
		r->list[r->n++] = a;
}

/* One piece of a domain, a word or a literal in brackets; returns how many bytes of s it is. */
static size_t take_domain_piece(struct str s, char *out, size_t *n)
{
	ptrdiff_t close = s.n > 0 && s.p[0] == '[' ? str_find_byte(s, ']') : -1;
	if (close > 0) {
		*n += lex_unquote(str_first(s, (size_t)close + 1), out + *n);
		return (size_t)close + 1;
	}
	size_t taken = 0;
	while (taken < s.n && !lex_is_blank(s.p[taken]) && (s.p[taken] == '\0' || !strchr("()<>@,;:\"[]", s.p[taken])))
		out[(*n)++] = s.p[taken++];
	return taken;
}

/* What stands behind an '@': pieces joined by dots, with the blanks of obsolete syntax around them left out. */
static struct str take_domain(struct reader *r, struct str *rest, struct str *comment)
{
	struct str s = str_first(*rest, length_until(*rest, ",;<>"));
	size_t before = s.n, n = 0;
	char *out = room_for(r, s.n);
	if (!out)
		return (struct str){ NULL, 0 };
	for (bool more = true; more;) {
		lex_skip_cfws(&s, comment);
		size_t taken = take_domain_piece(s, out, &n);
		s = str_from(s, taken);
		lex_skip_cfws(&s, comment);
		more = taken > 0 && s.n > 0 && (s.p[0] == '.' || out[n - 1] == '.');
	}
	*rest = str_from(*rest, before - s.n);
	return str_of(out, n);
}

/* "<@route:local@domain>", at its '<'. */
static void take_angle(struct reader *r, struct address *a, struct str *comment)
{
	struct str *rest = &r->rest;
	*rest = str_from(*rest, 1);
	lex_skip_cfws(rest, comment);
	if (rest->n > 0 && rest->p[0] == '@') {
		size_t n = length_until(*rest, ":><;"); /* commas stand between the hosts of a route */
		if (n < rest->n && rest->p[n] == ':') {
			a->route = render(r, str_first(*rest, n), false, comment);
			*rest = str_from(*rest, n + 1);
		}
	}
	size_t n = length_until(*rest, "@>,;");
	a->local = render(r, str_first(*rest, n), false, comment);
	if (!a->local.p)
		a->local = STR("");
	*rest = str_from(*rest, n);
	if (rest->n > 0 && rest->p[0] == '@') {
		*rest = str_from(*rest, 1);
		a->domain = take_domain(r, rest, comment);
	}
	size_t junk = length_until(*rest, ">,;");
	*rest = str_from(*rest, junk + (junk < rest->n && rest->p[junk] == '>'));
}

/* Skips what is left of an address; a comment in it may be the name. */
static void skip_to_separator(struct reader *r, struct str *comment)
{
	struct str tail = str_first(r->rest, length_until(r->rest, ",;"));
	r->rest = str_from(r->rest, tail.n);
	while (tail.n > 0) {
		lex_skip_cfws(&tail, comment);
		size_t quoted = tail.n > 0 && tail.p[0] == '"' ? lex_quoted_length(tail) : 0;
		size_t escaped = tail.n > 0 && tail.p[0] == '\\' ? 2 : 1;
		tail = str_from(tail, MAX(quoted, escaped));
	}
}

/* One mailbox; `head` is the text up to the sign that *rest begins with now. */
static void take_mailbox(struct reader *r, struct str head)
{
	struct address a = { .kind = ADDRESS_MAILBOX };
	struct str comment = { NULL, 0 };
	char sign = r->rest.n > 0 ? r->rest.p[0] : '\0';
	if (sign == '@') {
		/* "joe@example.test <joe@example.test>": a name that should have been quoted */
		size_t n = length_until(r->rest, "<,;");
		if (n < r->rest.n && r->rest.p[n] == '<') {
			head = str_of(head.p, head.n + n);
			r->rest = str_from(r->rest, n);
			sign = '<';
		}
	}
	if (sign == '<') {
		a.name = render(r, head, true, &comment);
		take_angle(r, &a, &comment);
	} else {
		a.local = render(r, head, false, &comment);
		if (sign == '@') {
			r->rest = str_from(r->rest, 1);
			a.domain = take_domain(r, &r->rest, &comment);
		}
	}
	skip_to_separator(r, &comment);
	if (!a.name.p && (a.local.n > 0 || a.domain.n > 0))
		a.name = render_comment(r, comment);
	if (a.local.n == 0 && a.domain.n == 0 && a.name.n == 0)
		return;
	if (!a.local.p)
		a.local = STR("");
	add(r, a);
}

static void take_one(struct reader *r)
{
	struct str head = str_first(r->rest, length_until(r->rest, ",;:<@"));
	r->rest = str_from(r->rest, head.n);
	if (r->rest.n > 0 && r->rest.p[0] == ':') {
		struct address a = { .kind = ADDRESS_GROUP_START };
		if (!r->in_group) {
			a.name = render(r, head, true, NULL);
			if (!a.name.p)
				a.name = STR("");
			if (r->n + 2 <= r->size) {
				add(r, a);
				r->in_group = true;
			}
		}
		r->rest = str_from(r->rest, 1);
		return;
	}
	take_mailbox(r, head);
	if (r->rest.n == 0)
		return;
	if (r->rest.p[0] == ';' && r->in_group) {
		r->in_group = false;
		add(r, (struct address){ .kind = ADDRESS_GROUP_END });
	}
	r->rest = str_from(r->rest, 1); /* ',' or ';' */
}

int address_parse_list(struct str body, struct arena *arena, size_t max, struct address **out, size_t *n)
{
	size_t signs = 0;
	for (size_t i = 0; i < body.n; i++)
		signs += body.p[i] == ',' || body.p[i] == ';' || body.p[i] == ':';
	/* between two signs stands at most one mailbox, with the end of a group */
	struct reader r = { .rest = body, .arena = arena, .size = MIN(max, 2 * signs + 2) };
	r.list = arena_alloc(arena, r.size, sizeof *r.list);
	if (!r.list)
		return ERR_LIMIT;
	while (r.rest.n > 0 && !r.full && r.n < r.size)
		take_one(&r);
	if (r.full)
		return ERR_LIMIT;
	if (r.in_group) {
		r.in_group = false;
		add(&r, (struct address){ .kind = ADDRESS_GROUP_END });
	}
	*out = r.list;
	*n = r.n;
	return 0;
}
