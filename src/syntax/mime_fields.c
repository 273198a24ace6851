/* mime_fields.c: Content-Type, Content-Disposition, Content-Transfer-Encoding and their parameters (RFC 2045, 2183,
 * 2231). Values live in the caller's arena; what does not fit in it is taken as absent. */
#include "syntax/mime_fields.h"

#include "base/checked.h"
#include "syntax/header_lex.h"

#define FIELD_PARAMS_MAX 64 /* of a field that is read by itself */

struct str mime_keep(struct arena *arena, struct str s, bool lower)
{
	char *p = arena_alloc(arena, s.n + 1, 1);
	if (!p)
		return (struct str){ NULL, 0 };
	for (size_t i = 0; i < s.n; i++)
		p[i] = lower ? ascii_lower(s.p[i]) : s.p[i];
	return str_of(p, s.n);
}

/* Splits "name*12*" into base, section and the extended mark (RFC 2231, 7). */
static void split_name(struct mime_raw_param *raw)
{
	struct str base = raw->name;
	raw->section = -1;
	raw->extended = base.n > 1 && base.p[base.n - 1] == '*';
	if (raw->extended)
		base.n--;
	raw->base = base;
	ptrdiff_t star = str_find_byte(base, '*');
	uint64_t number;
	if (star <= 0 || str_to_u64(str_from(base, (size_t)star + 1), 9999, &number) != 0)
		return;
	raw->section = (int32_t)number;
	raw->base = str_first(base, (size_t)star);
}

/* A value without quotes goes up to the ';', though RFC 2045 ends it at a blank: file names are often left unquoted.
 * Only a comment behind it is not part of it: "file(1).pdf" is one name. A parenthesis in it that is never closed is an
 * ordinary byte, and so are those behind that one: the cost stays linear. */
static struct str take_bare_value(struct str *rest)
{
	size_t n = 0, end = 0;
	bool comments = true;
	while (n < rest->n && rest->p[n] != ';') {
		if (rest->p[n] == '(' && n > 0 && comments) {
			size_t length = lex_closed_comment_length(str_from(*rest, n));
			comments = length > 0;
			if (!comments && lex_is_blank(rest->p[n - 1]))
				length = rest->n - n;
			if (length > 0) {
				n += length;
				continue;
			}
		}
		if (!lex_is_blank(rest->p[n]))
			end = n + 1;
		n++;
	}
	struct str value = str_first(*rest, end);
	*rest = str_from(*rest, n);
	return value;
}

static void take_value(struct str *rest, struct mime_raw_param *raw)
{
	size_t n = rest->n > 0 && rest->p[0] == '"' ? lex_quoted_length(*rest) : 0;
	raw->quoted = n > 0;
	if (n > 0) {
		raw->value = str_of(rest->p + 1, n - 2);
		*rest = str_from(*rest, n);
		return;
	}
	raw->value = take_bare_value(rest);
	if (raw->value.n > 0 && raw->value.p[0] == '"') /* never closed */
		raw->value = str_from(raw->value, 1);
}

/* All of ";name=value" that can be read; returns how many. */
static uint32_t take_raw_params(const struct mime_field_memory *memory, struct str rest)
{
	uint32_t n = 0;
	while (rest.n > 0 && n < memory->params_max) {
		lex_skip_cfws(&rest, NULL);
		struct mime_raw_param raw = { .name = lex_token(&rest) };
		lex_skip_cfws(&rest, NULL);
		if (raw.name.n > 0 && rest.n > 0 && rest.p[0] == '=') {
			rest = str_from(rest, 1);
			lex_skip_cfws(&rest, NULL);
			take_value(&rest, &raw);
			split_name(&raw);
			memory->raw[n++] = raw;
		}
		str_cut(&rest, ';');
	}
	return n;
}

/* Writes the value's bytes (room for value.n) with quoting or percent signs undone. */
static size_t decode_value(struct str value, bool quoted, bool percent, char *out)
{
	size_t n = 0;
	if (quoted && !percent)
		return lex_unquote(value, out);
	for (size_t i = 0; i < value.n; i++) {
		int high = percent && value.p[i] == '%' && i + 2 < value.n ? ascii_hex_value(value.p[i + 1]) : -1;
		int low = high >= 0 ? ascii_hex_value(value.p[i + 2]) : -1;
		if (low >= 0) {
			out[n++] = (char)(high << 4 | low);
			i += 2;
		} else if (value.p[i] != '\r' && value.p[i] != '\n') {
			out[n++] = value.p[i];
		}
	}
	return n;
}

/* Takes "charset'language'" off an extended value; both are empty where the quotes are missing. */
static void take_charset(struct arena *arena, struct str *value, struct mime_param *param)
{
	struct str rest = *value, charset = str_cut(&rest, '\''), language = { NULL, 0 };
	if (rest.p)
		language = str_cut(&rest, '\'');
	param->charset = param->language = STR("");
	if (!rest.p)
		return;
	param->charset = mime_keep(arena, charset, true);
	param->language = mime_keep(arena, language, true);
	*value = rest;
}

static struct mime_raw_param *find_section(struct mime_raw_param *raw, uint32_t n, struct str base, int32_t section)
{
	for (uint32_t i = 0; i < n; i++)
		if (raw[i].section == section && !raw[i].joined && str_ieq(raw[i].base, base))
			return &raw[i];
	return NULL;
}

/* Links each section 0 to 1, 2, ... wherever they stand (RFC 2231, 3); what follows a gap stays by itself. */
static void link_sections(struct mime_raw_param *raw, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct mime_raw_param *last = raw[i].section == 0 ? &raw[i] : NULL;
		for (int32_t section = 1; last; section++) {
			last->next = find_section(raw, n, raw[i].base, section);
			last = last->next;
			if (last)
				last->joined = true;
		}
	}
}

static void read_one(struct arena *arena, struct mime_raw_param *raw, struct mime_param *param)
{
	if (raw->section > 0) { /* its beginning is missing: as it stands */
		raw->base = raw->name;
		raw->extended = false;
	}
	param->name = mime_keep(arena, raw->base, true);
	param->rewritten = raw->extended || raw->next;
	if (raw->extended)
		take_charset(arena, &raw->value, param);
	size_t length = 0, at = 0;
	for (const struct mime_raw_param *section = raw; section; section = section->next)
		length += section->value.n;
	char *out = arena_alloc(arena, length + 1, 1);
	for (const struct mime_raw_param *section = raw; out && section; section = section->next)
		at += decode_value(section->value, section->quoted, section->extended, out + at);
	param->value = str_of(out, at);
}

static struct mime_params read_params(const struct mime_field_memory *memory, struct str rest)
{
	struct mime_params params = { NULL, 0 };
	uint32_t n = take_raw_params(memory, rest);
	params.list = n > 0 ? arena_alloc(memory->arena, n, sizeof *params.list) : NULL;
	if (!params.list)
		return params;
	link_sections(memory->raw, n);
	for (uint32_t i = 0; i < n; i++) {
		struct mime_param param = { 0 };
		if (memory->raw[i].joined)
			continue;
		read_one(memory->arena, &memory->raw[i], &param);
		if (param.name.p && param.value.p)
			params.list[params.n++] = param;
	}
	return params;
}

void mime_read_content_type(const struct mime_field_memory *memory, struct str body, struct mime_part *part)
{
	part->type = STR("text");
	part->subtype = STR("plain");
	part->type_assumed = true;
	lex_skip_cfws(&body, NULL);
	struct str type = lex_token(&body);
	lex_skip_cfws(&body, NULL);
	if (type.n == 0 || body.n == 0 || body.p[0] != '/')
		return;
	body = str_from(body, 1);
	lex_skip_cfws(&body, NULL);
	struct str subtype = lex_token(&body);
	if (subtype.n == 0)
		return;
	type = mime_keep(memory->arena, type, true);
	subtype = mime_keep(memory->arena, subtype, true);
	if (!type.p || !subtype.p)
		return;
	part->type = type;
	part->subtype = subtype;
	part->type_assumed = false;
	str_cut(&body, ';');
	part->params = read_params(memory, body);
}

void mime_read_disposition(const struct mime_field_memory *memory, struct str body, struct mime_part *part)
{
	struct str rest = body;
	lex_skip_cfws(&rest, NULL);
	struct str type = lex_token(&rest);
	lex_skip_cfws(&rest, NULL);
	if (type.n == 0 || (rest.n > 0 && rest.p[0] == '=')) {
		type = STR("attachment"); /* what RFC 2183, 2.8 makes of types it does not know */
		rest = body;
	} else {
		str_cut(&rest, ';');
	}
	part->disposition = mime_keep(memory->arena, type, true);
	part->disposition_params = read_params(memory, rest);
}

void mime_read_encoding(const struct mime_field_memory *memory, struct str body, struct mime_part *part)
{
	static const struct str names[] = {
#define MIME_ENCODING_NAME(name, text) [name] = STR_INIT(text),
		MIME_ENCODING_LIST(MIME_ENCODING_NAME)
#undef MIME_ENCODING_NAME
	};
	lex_skip_cfws(&body, NULL);
	struct str token = lex_token(&body);
	if (token.n == 0)
		return;
	part->encoding_name = mime_keep(memory->arena, token, true);
	part->encoding = MIME_ENCODING_OTHER;
	for (size_t i = 0; i < MIME_ENCODING_OTHER; i++)
		if (str_ieq(token, names[i]))
			part->encoding = (enum mime_encoding)i;
}

const struct mime_param *mime_param_find(const struct mime_params *params, struct str name)
{
	const struct mime_param *found = NULL;
	for (uint32_t i = 0; i < params->n; i++) {
		const struct mime_param *param = &params->list[i];
		if (str_eq(param->name, name) && (!found || (param->charset.p && !found->charset.p)))
			found = param; /* of both forms the extended one says more */
	}
	return found;
}

struct mime_params mime_field_params(struct str body, bool disposition, struct arena *arena)
{
	struct mime_raw_param raw[FIELD_PARAMS_MAX];
	const struct mime_field_memory memory = { arena, raw, FIELD_PARAMS_MAX };
	struct mime_part part = { 0 };
	if (disposition)
		mime_read_disposition(&memory, body, &part);
	else
		mime_read_content_type(&memory, body, &part);
	return disposition ? part.disposition_params : part.params;
}
