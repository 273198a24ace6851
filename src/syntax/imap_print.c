/* imap_print.c: quoted strings, literals and atoms of IMAP. Pure; failures are the buffer's own. */
#include "syntax/imap_print.h"

/* Can be in a quoted string, escaped or not: TEXT-CHAR of RFC 3501. */
static bool is_text_char(char c)
{
	return (unsigned char)c < 0x80 && c != '\0' && c != '\r' && c != '\n';
}

/* ASTRING-CHAR of RFC 3501: an atom character or "]". */
static bool is_astring_char(char c)
{
	return c > ' ' && c < 0x7f && !strchr("(){%*\"\\", c);
}

static void put_quoted(struct buf *out, struct str s)
{
	char *room = buf_reserve(out, 2 * s.n + 2);
	if (!room)
		return;
	size_t n = 0;
	room[n++] = '"';
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			room[n++] = '\\';
		room[n++] = s.p[i];
	}
	room[n++] = '"';
	buf_commit(out, n);
}

static void put_literal(struct buf *out, struct str s)
{
	size_t nuls = 0;
	for (size_t i = 0; i < s.n; i++)
		nuls += s.p[i] == '\0';
	buf_add_byte(out, '{');
	buf_add_u64(out, s.n - nuls);
	buf_add(out, STR("}\r\n"));
	while (nuls-- > 0)
		buf_add(out, str_cut(&s, '\0'));
	buf_add(out, s);
}

void imap_put_string(struct buf *out, struct str s)
{
	bool quoted = s.n <= IMAP_QUOTED_MAX;
	for (size_t i = 0; quoted && i < s.n; i++)
		quoted = is_text_char(s.p[i]);
	if (quoted)
		put_quoted(out, s);
	else
		put_literal(out, s);
}

void imap_put_nstring(struct buf *out, struct str s)
{
	if (!s.p)
		buf_add(out, STR("NIL"));
	else
		imap_put_string(out, s);
}

void imap_put_astring(struct buf *out, struct str s)
{
	bool atom = s.n > 0 && s.n <= IMAP_QUOTED_MAX && !str_ieq(s, STR("NIL"));
	for (size_t i = 0; atom && i < s.n; i++)
		atom = is_astring_char(s.p[i]);
	if (atom)
		buf_add(out, s);
	else
		imap_put_string(out, s);
}
