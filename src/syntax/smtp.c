/* smtp.c: the line parser: verb, then what that verb takes. Pure; a line is read from left to right with a cursor
 * that never passes its end. Failure is a value of enum smtp_flaw, which is ready to be said to the client. */
#include "syntax/smtp.h"

#include "base/checked.h"

#include <arpa/inet.h>

/* What is still unread of a line. */
struct cursor {
	const char *p, *end;
};

static bool at_end(const struct cursor *c)
{
	return c->p == c->end;
}

static bool next_is(const struct cursor *c, char byte)
{
	return c->p < c->end && *c->p == byte;
}

static bool take(struct cursor *c, char byte)
{
	if (!next_is(c, byte))
		return false;
	c->p++;
	return true;
}

static void skip_blanks(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
		c->p++;
}

static struct str slice(const char *from, const struct cursor *to)
{
	return str_of(from, (size_t)(to->p - from));
}

static struct str take_while(struct cursor *c, bool (*belongs)(char))
{
	const char *from = c->p;
	while (c->p < c->end && belongs(*c->p))
		c->p++;
	return slice(from, c);
}

static bool is_not_blank(char c)
{
	return c != ' ' && c != '\t';
}

static bool is_alphanumeric(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

static bool is_keyword_char(char c)
{
	return is_alphanumeric(c) || c == '-';
}

/* A byte of a character beyond ASCII: UTF8-non-ascii of RFC 6531, 3.3. That they are UTF-8 is looked at for all of a
 * line at once. */
static bool is_eight_bit(char c)
{
	return (unsigned char)c >= 0x80;
}

/* esmtp-value of RFC 5321 and 6531. */
static bool is_value_char(char c)
{
	return (c > ' ' && c < 0x7f && c != '=') || is_eight_bit(c);
}

/* atext of RFC 5322 and 6531, and the dot. */
static bool is_dot_string_char(char c)
{
	return is_alphanumeric(c) || is_eight_bit(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c));
}

/* Domains have letters, digits, hyphens and U-labels; underscores live in the wild. */
static bool is_domain_char(char c)
{
	return is_alphanumeric(c) || is_eight_bit(c) || c == '-' || c == '.' || c == '_';
}

/* dcontent of RFC 5321. */
static bool is_literal_char(char c)
{
	return c > ' ' && c < 0x7f && c != '[' && c != '\\' && c != ']';
}

static bool has_eight_bit(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_eight_bit(s.p[i]))
			return true;
	return false;
}

/* Labels are not empty and do not begin or end with a hyphen; the final dot of the root is not part of the domain. The
 * limit of a label is that of its ASCII form, which for a U-label only IDNA can tell (auth/address.h). */
static bool take_domain_name(struct cursor *c, struct str *out)
{
	struct str domain = take_while(c, is_domain_char);
	if (str_ends(domain, STR(".")))
		domain.n--;
	if (domain.n == 0 || domain.n > SMTP_DOMAIN_MAX)
		return false;
	struct str rest = domain;
	while (rest.p) {
		struct str label = str_cut(&rest, '.');
		size_t max = has_eight_bit(label) ? SMTP_DOMAIN_MAX : 63;
		if (label.n == 0 || label.n > max || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
	}
	*out = domain;
	return true;
}

/* Whether what stands between the brackets is an address-literal (RFC 5321, 4.1.3). */
static bool is_address_literal(struct str content)
{
	char text[64], binary[16];
	if (content.n == 0 || content.n >= sizeof text)
		return false;
	bool ipv6 = str_istarts(content, STR("IPv6:"));
	struct str number = ipv6 ? str_from(content, 5) : content;
	memcpy(text, number.p, number.n);
	text[number.n] = '\0';
	if (ipv6)
		return inet_pton(AF_INET6, text, binary) == 1;
	struct str value = content, tag = str_cut(&value, ':');
	if (!value.p)
		return inet_pton(AF_INET, text, binary) == 1;
	struct cursor rest = { tag.p, tag.p + tag.n };
	return tag.n > 0 && value.n > 0 && take_while(&rest, is_keyword_char).n == tag.n;
}

static bool take_domain(struct cursor *c, struct str *out)
{
	const char *from = c->p;
	if (!take(c, '['))
		return take_domain_name(c, out);
	struct str content = take_while(c, is_literal_char);
	if (!take(c, ']') || !is_address_literal(content))
		return false;
	*out = slice(from, c);
	return true;
}

/* Quoted-string of RFC 5321; the content goes unquoted into `out`, which has room for the rest of the line. */
static bool take_quoted(struct cursor *c, char *out, size_t *n)
{
	*n = 0;
	for (c->p++; c->p < c->end && *c->p != '"'; c->p++) {
		if (*c->p == '\\' && ++c->p == c->end)
			return false;
		if (((unsigned char)*c->p < ' ') || *c->p == 0x7f)
			return false;
		out[(*n)++] = *c->p;
	}
	return take(c, '"');
}

/* Local part into `out`: its unquoted length, 0 when there is none. */
static size_t take_local(struct cursor *c, char *out)
{
	size_t n;
	if (next_is(c, '"'))
		return take_quoted(c, out, &n) ? n : 0;
	struct str atom = take_while(c, is_dot_string_char);
	if (atom.n > 0)
		memcpy(out, atom.p, atom.n);
	return atom.n;
}

/* A-d-l of RFC 5321, appendix C: accepted and ignored. */
static bool skip_source_route(struct cursor *c)
{
	struct str domain;
	if (!next_is(c, '@'))
		return true;
	do {
		if (!take(c, '@') || !take_domain(c, &domain))
			return false;
	} while (take(c, ','));
	return take(c, ':');
}

/* Mailbox, or the one name that needs no domain (RFC 5321, 4.5.1). */
static bool take_mailbox(struct cursor *c, struct arena *arena, bool postmaster, struct smtp_path *out)
{
	const char *from = c->p;
	struct str domain;
	char *address = arena_alloc(arena, (size_t)(c->end - c->p) + 1, 1);
	if (!address)
		return false;
	size_t n = take_local(c, address);
	if (n == 0 || n > SMTP_LOCAL_PART_MAX)
		return false;
	struct str local = str_of(address, n);
	if (take(c, '@')) {
		if (!take_domain(c, &domain))
			return false;
		address[n++] = '@';
		memcpy(address + n, domain.p, domain.n);
		n += domain.n;
	} else if (!postmaster || !str_ieq(local, STR("postmaster"))) {
		return false;
	}
	*out = (struct smtp_path){ .written = slice(from, c), .address = str_of(address, n), .local = local };
	out->eight_bit = has_eight_bit(out->written);
	return true;
}

/* Path, with or without its brackets; "<>" only where `null` is allowed. A blank or the end of the line follows. */
static bool take_path(struct cursor *line, struct arena *arena, bool null, struct smtp_path *out)
{
	const char *from = line->p;
	struct cursor path = { from, from + MIN((size_t)(line->end - from), (size_t)SMTP_PATH_MAX) };
	bool bracket = take(&path, '<');
	if (bracket && null && next_is(&path, '>'))
		*out = (struct smtp_path){ { from, 0 }, { from, 0 }, { from, 0 }, false };
	else if (!skip_source_route(&path) || !take_mailbox(&path, arena, !null, out))
		return false;
	if (bracket && !take(&path, '>'))
		return false;
	line->p = path.p;
	return at_end(line) || !is_not_blank(*line->p);
}

static enum smtp_flaw read_size(struct str value, struct smtp_command *out)
{
	if (out->has_size)
		return SMTP_FLAW_PARAMETER;
	int err = str_to_u64(value, UINT64_MAX, &out->size);
	if (err == ERR_OVERFLOW)
		out->size = UINT64_MAX;
	else if (err)
		return SMTP_FLAW_PARAMETER;
	out->has_size = true;
	return SMTP_FLAW_NONE;
}

static enum smtp_flaw read_body(struct str value, bool *seen, struct smtp_command *out)
{
	if (*seen)
		return SMTP_FLAW_PARAMETER;
	*seen = true;
	if (str_ieq(value, STR("8BITMIME")))
		out->body = SMTP_BODY_8BITMIME;
	else if (!str_ieq(value, STR("7BIT")))
		return SMTP_FLAW_PARAMETER;
	return SMTP_FLAW_NONE;
}

/* xtext of RFC 3461, 4, undone into `out`, which has room for all of it; its length, or -1. */
static ptrdiff_t undo_xtext(struct str value, char *out)
{
	ptrdiff_t n = 0;
	for (size_t i = 0; i < value.n; i++, n++) {
		out[n] = value.p[i];
		if (value.p[i] != '+')
			continue;
		if (value.n - i < 3 || ascii_hex_value(value.p[i + 1]) < 0 || ascii_hex_value(value.p[i + 2]) < 0)
			return -1;
		out[n] = (char)(ascii_hex_value(value.p[i + 1]) * 16 + ascii_hex_value(value.p[i + 2]));
		i += 2;
	}
	return n;
}

/* RFC 4954, 5: a mailbox or <>, as xtext. Nobody here trusts it: it is read and forgotten. */
static enum smtp_flaw read_auth(struct str value, struct arena *arena, struct smtp_command *out)
{
	char text[SMTP_PATH_MAX];
	struct smtp_path path;
	if (out->has_auth || value.n > sizeof text)
		return SMTP_FLAW_PARAMETER;
	ptrdiff_t n = undo_xtext(value, text);
	struct cursor c = { text, text + MAX(n, 0) };
	if (n != 2 || memcmp(text, "<>", 2) != 0)
		if (n < 0 || !take_mailbox(&c, arena, false, &path) || !at_end(&c))
			return SMTP_FLAW_PARAMETER;
	out->has_auth = true;
	return SMTP_FLAW_NONE;
}

static enum smtp_flaw read_mail_parameter(struct str keyword, bool valued, struct str value, bool *body_seen,
                                          struct arena *arena, struct smtp_command *out)
{
	if (str_ieq(keyword, STR("SIZE")))
		return read_size(value, out);
	if (str_ieq(keyword, STR("BODY")))
		return read_body(value, body_seen, out);
	if (str_ieq(keyword, STR("AUTH")))
		return valued ? read_auth(value, arena, out) : SMTP_FLAW_PARAMETER;
	if (!str_ieq(keyword, STR("SMTPUTF8")))
		return SMTP_FLAW_PARAMETER_UNKNOWN;
	if (valued || out->utf8) /* RFC 6531, 3.4 */
		return SMTP_FLAW_PARAMETER;
	out->utf8 = true;
	return SMTP_FLAW_NONE;
}

/* RCPT has no parameter that we know. */
static enum smtp_flaw read_parameters(struct cursor *c, struct arena *arena, struct smtp_command *out)
{
	bool body_seen = false;
	for (unsigned count = 0; skip_blanks(c), !at_end(c); count++) {
		struct str keyword = take_while(c, is_keyword_char), value = { NULL, 0 };
		bool valued = take(c, '=');
		if (valued)
			value = take_while(c, is_value_char);
		if (keyword.n == 0 || keyword.p[0] == '-' || (valued && value.n == 0) || count == SMTP_PARAMETERS_MAX ||
		    (!at_end(c) && is_not_blank(*c->p)))
			return SMTP_FLAW_PARAMETER;
		enum smtp_flaw flaw = SMTP_FLAW_PARAMETER_UNKNOWN;
		if (out->verb == SMTP_MAIL)
			flaw = read_mail_parameter(keyword, valued, value, &body_seen, arena, out);
		if (flaw)
			return flaw;
	}
	return SMTP_FLAW_NONE;
}

/* "FROM:<path> parameters" and "TO:<path> parameters". */
static enum smtp_flaw parse_path_command(struct cursor *c, struct arena *arena, struct smtp_command *out)
{
	bool mail = out->verb == SMTP_MAIL;
	struct str rest = str_of(c->p, (size_t)(c->end - c->p));
	struct str keyword = mail ? STR("FROM") : STR("TO");
	if (!str_istarts(rest, keyword))
		return mail ? SMTP_FLAW_MAIL : SMTP_FLAW_RCPT;
	c->p += keyword.n;
	skip_blanks(c);
	bool colon = take(c, ':');
	skip_blanks(c);
	if (!colon || at_end(c))
		return mail ? SMTP_FLAW_MAIL : SMTP_FLAW_RCPT;
	if (!str_is_utf8(rest) || !take_path(c, arena, mail, &out->path))
		return mail ? SMTP_FLAW_SENDER : SMTP_FLAW_RECIPIENT;
	enum smtp_flaw flaw = read_parameters(c, arena, out);
	if (flaw == SMTP_FLAW_NONE && mail && out->path.eight_bit && !out->utf8)
		flaw = SMTP_FLAW_SENDER_EIGHT_BIT;
	return flaw;
}

/* Mechanism and perhaps a first response, which is one word (RFC 4954, 8). */
static enum smtp_flaw parse_auth(struct cursor *c, struct smtp_command *out)
{
	if (at_end(c))
		return SMTP_FLAW_ARGUMENT_MISSING;
	out->mechanism = take_while(c, is_not_blank);
	skip_blanks(c);
	out->has_initial = !at_end(c);
	out->initial = take_while(c, is_not_blank);
	return at_end(c) ? SMTP_FLAW_NONE : SMTP_FLAW_AUTH;
}

static const struct str verb_names[] = {
#define SMTP_VERB_NAME(name, text) STR_INIT(text),
	SMTP_VERB_LIST(SMTP_VERB_NAME)
#undef SMTP_VERB_NAME
};

struct str smtp_verb_name(enum smtp_verb verb)
{
	return verb_names[verb];
}

static enum smtp_verb find_verb(struct str word)
{
	for (size_t i = 1; i < COUNT_OF(verb_names); i++)
		if (str_ieq(word, verb_names[i]))
			return (enum smtp_verb)i;
	return SMTP_UNKNOWN;
}

static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
			return true;
	return false;
}

enum smtp_flaw smtp_parse(struct str line, struct arena *arena, struct smtp_command *out)
{
	struct str text = line;
	while (text.n > 0 && !is_not_blank(text.p[text.n - 1]))
		text.n--;
	struct cursor c = { text.p, text.p + text.n };
	*out = (struct smtp_command){ .verb = find_verb(take_while(&c, is_alphanumeric)) };
	if (has_control(text))
		return SMTP_FLAW_BYTES;
	if (!at_end(&c) && is_not_blank(*c.p))
		out->verb = SMTP_UNKNOWN;
	skip_blanks(&c);
	out->argument = str_of(c.p, (size_t)(c.end - c.p));
	switch (out->verb) {
	case SMTP_UNKNOWN:
		return SMTP_FLAW_COMMAND;
	case SMTP_HELO:
	case SMTP_EHLO:
	case SMTP_LHLO:
	case SMTP_VRFY:
	case SMTP_EXPN:
		return at_end(&c) ? SMTP_FLAW_ARGUMENT_MISSING : SMTP_FLAW_NONE;
	case SMTP_MAIL:
	case SMTP_RCPT:
		return parse_path_command(&c, arena, out);
	case SMTP_AUTH:
		return parse_auth(&c, out);
	case SMTP_DATA:
	case SMTP_RSET:
	case SMTP_QUIT:
	case SMTP_STARTTLS:
		return at_end(&c) ? SMTP_FLAW_NONE : SMTP_FLAW_ARGUMENT_NONE;
	case SMTP_NOOP:
	case SMTP_HELP:
		return SMTP_FLAW_NONE;
	}
	return SMTP_FLAW_COMMAND;
}

struct smtp_complaint smtp_flaw_complaint(enum smtp_flaw flaw)
{
	static const struct smtp_complaint complaints[] = {
#define SMTP_FLAW_COMPLAINT(name, code, enhanced, text) { code, enhanced, text },
		SMTP_FLAW_LIST(SMTP_FLAW_COMPLAINT)
#undef SMTP_FLAW_COMPLAINT
	};
	return complaints[flaw];
}
