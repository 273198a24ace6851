/* imap_parse_fetch.c: the arguments of FETCH (RFC 3501, 6.4.5 and section 9: fetch, fetch-att, section). */
#include "syntax/imap_cursor.h"

#include "base/checked.h"

#define KIND_BIT(kind) (1u << (kind))

static const struct str item_names[] = {
#define ITEM_NAME(kind, name) [kind] = STR_INIT(name),
	IMAP_FETCH_LIST(ITEM_NAME)
#undef ITEM_NAME
};

static const struct str section_names[] = {
#define SECTION_NAME(kind, name) [kind] = STR_INIT(name),
	IMAP_SECTION_LIST(SECTION_NAME)
#undef SECTION_NAME
};

/* Each macro adds to the one before (6.4.5). */
static const struct {
	struct str name;
	uint32_t kinds;
} macros[] = {
#define FAST (KIND_BIT(IMAP_FETCH_FLAGS) | KIND_BIT(IMAP_FETCH_INTERNALDATE) | KIND_BIT(IMAP_FETCH_RFC822_SIZE))
	{ STR_INIT("FAST"), FAST },
	{ STR_INIT("ALL"), FAST | KIND_BIT(IMAP_FETCH_ENVELOPE) },
	{ STR_INIT("FULL"), FAST | KIND_BIT(IMAP_FETCH_ENVELOPE) | KIND_BIT(IMAP_FETCH_BODY) },
#undef FAST
};

bool imap_fetch_sets_seen(const struct imap_fetch_item *item)
{
	switch (item->kind) {
	case IMAP_FETCH_RFC822:
	case IMAP_FETCH_RFC822_TEXT:
		return true;
	case IMAP_FETCH_SECTION:
		return !item->peek;
	case IMAP_FETCH_UID:
	case IMAP_FETCH_FLAGS:
	case IMAP_FETCH_INTERNALDATE:
	case IMAP_FETCH_RFC822_SIZE:
	case IMAP_FETCH_MODSEQ:
	case IMAP_FETCH_SAVEDATE:
	case IMAP_FETCH_EMAILID:
	case IMAP_FETCH_THREADID:
	case IMAP_FETCH_PREVIEW:
	case IMAP_FETCH_ENVELOPE:
	case IMAP_FETCH_BODY:
	case IMAP_FETCH_BODYSTRUCTURE:
	case IMAP_FETCH_RFC822_HEADER:
		break;
	}
	return false;
}

static bool add_item(struct imap_cursor *c, struct imap_fetch *fetch, const struct imap_fetch_item *item)
{
	if (item->kind != IMAP_FETCH_SECTION && fetch->kinds & KIND_BIT(item->kind))
		return true;
	if (!imap_grow(c, (void **)&fetch->items, fetch->n, sizeof *fetch->items, c->limits->list_items))
		return false;
	fetch->items[fetch->n++] = *item;
	fetch->kinds |= KIND_BIT(item->kind);
	return true;
}

static bool add_kind(struct imap_cursor *c, struct imap_fetch *fetch, enum imap_fetch_kind kind)
{
	return add_item(c, fetch, &(struct imap_fetch_item){ .kind = kind });
}

/* section-part = nz-number *("." nz-number); takes the dot in front of a text as well */
static bool part_numbers(struct imap_cursor *c, struct imap_section *out, bool *text_follows)
{
	*text_follows = true;
	while (c->p < c->end && ascii_is_digit(*c->p)) {
		uint32_t number;
		if (!imap_nz_number(c, &number))
			return false;
		if (!imap_grow(c, (void **)&out->parts, out->part_count, sizeof *out->parts, c->limits->part_depth))
			return false;
		out->parts[out->part_count++] = number;
		*text_follows = imap_try(c, '.');
		if (!*text_follows)
			return true;
	}
	return true;
}

static bool field_names(struct imap_cursor *c, struct imap_strings *out)
{
	struct str name;
	if (!imap_space(c) || !imap_open(c))
		return false;
	do {
		if (!imap_astring(c, "expected a header field name", &name) || !imap_strings_add(c, out, name))
			return false;
	} while (imap_list_goes_on(c));
	return !c->err;
}

static bool section_text(struct imap_cursor *c, struct imap_section *out)
{
	if (imap_at(c, ']') && !out->part_count)
		return true;
	struct str name = imap_run(c, IMAP_CLASS_NAME);
	for (size_t i = IMAP_SECTION_HEADER; name.n && i < COUNT_OF(section_names); i++) {
		if (!str_ieq(name, section_names[i]))
			continue;
		out->text = (enum imap_section_text)i;
		if (out->text == IMAP_SECTION_MIME && !out->part_count)
			break; /* MIME is of parts only */
		if (out->text == IMAP_SECTION_HEADER_FIELDS || out->text == IMAP_SECTION_HEADER_FIELDS_NOT)
			return field_names(c, &out->fields);
		return true;
	}
	c->p -= name.n;
	return imap_fail(c, "expected HEADER, HEADER.FIELDS, TEXT or a part");
}

/* "<" number "." nz-number ">" */
static bool partial(struct imap_cursor *c, struct imap_fetch_item *item)
{
	uint64_t offset;
	if (!imap_try(c, '<'))
		return true;
	item->partial = true;
	if (!imap_number(c, UINT32_MAX, &offset) || !imap_expect(c, '.', "expected '.' and a length"))
		return false;
	item->offset = (uint32_t)offset;
	return imap_nz_number(c, &item->length) && imap_expect(c, '>', "expected '>'");
}

static bool make_echo(struct imap_cursor *c, const struct imap_fetch_item *item)
{
	struct buf text = BUF_INIT(c->limits->command_bytes * 2);
	imap_section_print(item->section, item->partial, item->offset, &text);
	int err = buf_error(&text);
	if (!err)
		err = arena_copy(c->arena, buf_str(&text), &item->section->echo);
	buf_free(&text);
	return !err || imap_fail_limit(c, "command needs too much memory");
}

/* behind BODY[ or BODY.PEEK[ */
static bool section(struct imap_cursor *c, struct imap_fetch *fetch, bool peek)
{
	struct imap_fetch_item item = { .kind = IMAP_FETCH_SECTION, .peek = peek };
	bool text_follows;
	item.section = arena_alloc(c->arena, 1, sizeof *item.section);
	if (!item.section)
		return imap_fail_limit(c, "command needs too much memory");
	if (!part_numbers(c, item.section, &text_follows) || (text_follows && !section_text(c, item.section)))
		return false;
	return imap_expect(c, ']', "expected ']'") && partial(c, &item) && make_echo(c, &item) &&
		add_item(c, fetch, &item);
}

/* [SP "(LAZY)"] behind PREVIEW (RFC 8970, 6); parameters of FETCH may stand there instead. */
static bool lazy(struct imap_cursor *c)
{
	const struct str modifier = STR(" (LAZY)");
	if (!str_istarts(str_of(c->p, (size_t)(c->end - c->p)), modifier))
		return false;
	c->p += modifier.n;
	return true;
}

static bool fetch_item(struct imap_cursor *c, struct imap_fetch *fetch)
{
	struct str name = imap_run(c, IMAP_CLASS_NAME);
	if (imap_at(c, '[')) {
		bool peek = str_ieq(name, STR("BODY.PEEK"));
		if (peek || str_ieq(name, STR("BODY"))) {
			c->p++;
			return section(c, fetch, peek);
		}
	}
	for (size_t i = 0; i < COUNT_OF(item_names); i++) {
		if (item_names[i].n != name.n || !str_ieq(item_names[i], name))
			continue;
		struct imap_fetch_item item = { .kind = (enum imap_fetch_kind)i };
		item.lazy = item.kind == IMAP_FETCH_PREVIEW && lazy(c);
		return add_item(c, fetch, &item);
	}
	c->p -= name.n;
	return imap_fail(c, name.n ? "unknown FETCH item" : "expected a FETCH item");
}

static bool item_list(struct imap_cursor *c, struct imap_fetch *fetch)
{
	do {
		if (!fetch_item(c, fetch))
			return false;
	} while (imap_list_goes_on(c));
	return !c->err;
}

/* One item without brackets, or a macro. */
static bool macro_or_item(struct imap_cursor *c, struct imap_fetch *fetch)
{
	for (size_t i = 0; i < COUNT_OF(macros); i++) {
		if (!imap_try_word(c, macros[i].name))
			continue;
		for (unsigned kind = 0; kind < COUNT_OF(item_names); kind++)
			if (macros[i].kinds & KIND_BIT(kind) && !add_kind(c, fetch, (enum imap_fetch_kind)kind))
				return false;
		return true;
	}
	return fetch_item(c, fetch);
}

bool imap_parse_fetch(struct imap_cursor *c, struct imap_command *command)
{
	struct imap_fetch *fetch = &command->fetch;
	if (!imap_space(c) || !imap_sequence_set(c, &fetch->set) || !imap_space(c))
		return false;
	/* the answer to UID FETCH always has the UID (6.4.8) */
	if (command->uid && !add_kind(c, fetch, IMAP_FETCH_UID))
		return false;
	if (!(imap_try(c, '(') ? item_list(c, fetch) : macro_or_item(c, fetch)))
		return false;
	if (c->end - c->p < 2 || c->p[1] != '(')
		return true;
	if (!imap_space(c) || !imap_params(c, &command->params) || !imap_fetch_params(c, command))
		return false;
	return !fetch->has_changed_since || add_kind(c, fetch, IMAP_FETCH_MODSEQ); /* RFC 7162, 3.1.4.1 */
}
