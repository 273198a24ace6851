/* header_lex.c: quoted strings, comments, tokens. Pure. */
#include "syntax/header_lex.h"

size_t lex_quoted_length(struct str s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i + 1;
	}
	return 0;
}

size_t lex_closed_comment_length(struct str s)
{
	size_t depth = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

size_t lex_comment_length(struct str s)
{
	size_t n = lex_closed_comment_length(s);
	return n > 0 ? n : s.n;
}

void lex_skip_cfws(struct str *rest, struct str *comment)
{
	while (rest->n > 0 && (lex_is_blank(rest->p[0]) || rest->p[0] == '(')) {
		size_t n = 1;
		if (rest->p[0] == '(') {
			n = lex_comment_length(*rest);
			if (comment)
				*comment = str_of(rest->p + 1, n - 1 - (n > 1 && rest->p[n - 1] == ')'));
		}
		*rest = str_from(*rest, n);
	}
}

static bool is_token_char(char c)
{
	unsigned char u = (unsigned char)c;
	return u > ' ' && u != 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

struct str lex_token(struct str *rest)
{
	size_t n = 0;
	while (n < rest->n && is_token_char(rest->p[n]))
		n++;
	struct str token = str_first(*rest, n);
	*rest = str_from(*rest, n);
	return token;
}

size_t lex_unquote(struct str s, char *out)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		if (s.p[i] != '\r' && s.p[i] != '\n')
			out[n++] = s.p[i];
	}
	return n;
}
