/* mime_print.c: ENVELOPE and BODYSTRUCTURE (RFC 3501, 7.4.2 and 9) from the tree of mime.h. Pure: what was written to
 * the buffer is valid grammar whatever the message held; failures are the buffer's own. */
#include "syntax/mime.h"

#include "base/checked.h"
#include "syntax/address.h"
#include "syntax/header_lex.h"
#include "syntax/imap_print.h"

static const struct mime_envelope empty_envelope;

/* Rendered text of an address costs four rooms of the arena, each rounded up. */
#define ADDRESS_ARENA_BYTES (sizeof(struct address) + 8 * _Alignof(max_align_t))

/* What an address takes at least, and the end of a group. */
#define ADDRESS_PRINTED_MIN strlen("(NIL NIL \"\" NIL)")
#define GROUP_END_PRINTED   strlen("(NIL NIL NIL NIL)")

static void put_space(struct buf *out)
{
	buf_add_byte(out, ' ');
}

static void put_address(struct buf *out, const struct address *a)
{
	const struct str nil = { NULL, 0 };
	struct str name = nil, mailbox = nil, host = nil;
	switch (a->kind) {
	case ADDRESS_MAILBOX:
		name = a->name;
		mailbox = a->local;
		host = a->domain.p ? a->domain : STR("");
		break;
	case ADDRESS_GROUP_START: mailbox = a->name; break;
	case ADDRESS_GROUP_END: break;
	}
	buf_add_byte(out, '(');
	imap_put_nstring(out, name);
	put_space(out);
	imap_put_nstring(out, a->route);
	put_space(out);
	imap_put_nstring(out, mailbox);
	put_space(out);
	imap_put_nstring(out, host);
	buf_add_byte(out, ')');
}

/* A form of one message that is being printed. */
struct printing {
	const struct mime_message *message;
	struct buf *out;
	size_t room;   /* bytes that further addresses may take */
	bool extended;
};

static struct printing begin_printing(const struct mime_message *message, bool extended, struct buf *out)
{
	uint64_t room = MIN(message->size, (uint64_t)MIME_ADDRESSES_MAX) * MIME_ADDRESSES_PER_BYTE + MIME_ADDRESSES_BASE;
	return (struct printing){ message, out, (size_t)MIN(room, (uint64_t)MIME_ADDRESSES_MAX), extended };
}

/* Prints of the parsed list what fits in `room` bytes with its parentheses and the end of a group that is open. */
static void put_list(struct buf *out, const struct address *list, size_t n, size_t room)
{
	size_t start = out->n;
	bool in_group = false;
	buf_add_byte(out, '(');
	for (size_t i = 0; i < n && !out->failed; i++) {
		size_t before = out->n;
		bool goes_on = list[i].kind == ADDRESS_GROUP_START || (in_group && list[i].kind == ADDRESS_MAILBOX);
		put_address(out, &list[i]);
		if (out->n - start + (goes_on ? GROUP_END_PRINTED : 0) + 1 > room) {
			out->n = before;
			break;
		}
		in_group = goes_on;
	}
	if (in_group)
		put_address(out, &(struct address){ .kind = ADDRESS_GROUP_END });
	if (out->n == start + 1)
		out->n = start;
	else
		buf_add_byte(out, ')');
}

/* Prints the list of a field, or of it what fits in `room` bytes. Returns how many bytes it took, 0 when it has no
 * address. */
static size_t put_addresses(struct printing *p, struct str body, size_t room)
{
	size_t start = p->out->n;
	size_t max = MIN(room / ADDRESS_PRINTED_MIN, (size_t)p->message->addresses_max);
	struct address *list;
	size_t n;
	if (body.n == 0 || max == 0 || p->out->failed)
		return 0;
	struct arena arena = ARENA_INIT(max * ADDRESS_ARENA_BYTES + 8 * body.n + 8192);
	if (address_parse_list(body, &arena, max, &list, &n) == 0)
		put_list(p->out, list, n, room);
	arena_free(&arena);
	return p->out->n - start;
}

/* Prints again what stands at `start` of the buffer. */
static void put_copy(struct buf *out, size_t start, size_t n)
{
	char *room = buf_reserve(out, n);
	if (!room)
		return;
	memcpy(room, out->p + start, n);
	buf_commit(out, n);
}

/* From, Sender and Reply-To, which are From where they have no address: it has room for its copies. */
static void put_senders(struct printing *p, const struct mime_envelope *e)
{
	const struct str lists[] = { e->sender, e->reply_to };
	size_t from = p->out->n;
	size_t length = put_addresses(p, e->from, p->room / 3);
	p->room -= 3 * length;
	if (length == 0)
		buf_add(p->out, STR("NIL"));
	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		put_space(p->out);
		p->room += length;
		size_t own = put_addresses(p, lists[i], p->room);
		if (own == 0 && length == 0)
			buf_add(p->out, STR("NIL"));
		else if (own == 0)
			put_copy(p->out, from, length);
		p->room -= own == 0 ? length : own;
	}
}

static void put_envelope(struct printing *p, const struct mime_envelope *e)
{
	struct buf *out = p->out;
	if (!e)
		e = &empty_envelope;
	buf_add_byte(out, '(');
	imap_put_nstring(out, e->date);
	put_space(out);
	imap_put_nstring(out, e->subject);
	put_space(out);
	put_senders(p, e);
	const struct str lists[] = { e->to, e->cc, e->bcc };
	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		put_space(out);
		size_t length = put_addresses(p, lists[i], p->room);
		if (length == 0)
			buf_add(out, STR("NIL"));
		p->room -= length;
	}
	put_space(out);
	imap_put_nstring(out, e->in_reply_to);
	put_space(out);
	imap_put_nstring(out, e->message_id);
	buf_add_byte(out, ')');
}

void envelope_print(const struct mime_message *message, uint32_t part, struct buf *out)
{
	struct printing p = begin_printing(message, false, out);
	put_envelope(&p, message->parts[part].envelope);
}

/* RFC 2231, 7: attribute-char. */
static bool is_attribute_char(char c)
{
	return c > ' ' && c < 0x7f && !strchr("*'%()<>@,;:\\\"/[]?=", c);
}

static void put_extended_value(struct buf *out, const struct mime_param *param)
{
	static const char hex[] = "0123456789ABCDEF";
	struct buf text = BUF_INIT(param->charset.n + param->language.n + 3 * param->value.n + 2);
	buf_add(&text, param->charset);
	buf_add_byte(&text, '\'');
	buf_add(&text, param->language);
	buf_add_byte(&text, '\'');
	for (size_t i = 0; i < param->value.n; i++) {
		unsigned char c = (unsigned char)param->value.p[i];
		if (is_attribute_char(param->value.p[i]))
			buf_add_byte(&text, (char)c);
		else
			buf_add(&text, str_of((const char[]){ '%', hex[c >> 4], hex[c & 15] }, 3));
	}
	imap_put_string(out, buf_str(&text));
	buf_free(&text);
}

static void put_param(struct buf *out, const struct mime_param *param)
{
	if (!param->charset.p) {
		imap_put_string(out, param->name);
		put_space(out);
		imap_put_string(out, param->value);
		return;
	}
	struct buf name = BUF_INIT(param->name.n + 1);
	buf_add(&name, param->name);
	buf_add_byte(&name, '*');
	imap_put_string(out, buf_str(&name));
	buf_free(&name);
	put_space(out);
	put_extended_value(out, param);
}

static void put_params(struct buf *out, const struct mime_params *params)
{
	if (params->n == 0) {
		buf_add(out, STR("NIL"));
		return;
	}
	for (uint32_t i = 0; i < params->n; i++) {
		buf_add_byte(out, i == 0 ? '(' : ' ');
		put_param(out, &params->list[i]);
	}
	buf_add_byte(out, ')');
}

/* RFC 3282: a list of language tags; one prints as a string, several as a list. */
static void put_language(struct buf *out, struct str body)
{
	struct buf list = BUF_INIT(8 * body.n + 64); /* a tag of one byte grows by quotes and a space */
	size_t n = 0;
	while (body.n > 0) {
		lex_skip_cfws(&body, NULL);
		struct str tag = lex_token(&body);
		if (tag.n == 0) {
			body = str_from(body, 1); /* the comma, or what should be one */
			continue;
		}
		if (n++ > 0)
			put_space(&list);
		imap_put_string(&list, tag);
	}
	if (n == 0)
		buf_add(&list, STR("NIL"));
	if (n > 1)
		buf_add_byte(out, '(');
	buf_add(out, buf_str(&list));
	if (n > 1)
		buf_add_byte(out, ')');
	buf_free(&list);
}

/* The extension data that all bodies have. */
static void put_disposition_language_location(struct buf *out, const struct mime_part *part)
{
	put_space(out);
	if (part->disposition.p) {
		buf_add_byte(out, '(');
		imap_put_string(out, part->disposition);
		put_space(out);
		put_params(out, &part->disposition_params);
		buf_add_byte(out, ')');
	} else {
		buf_add(out, STR("NIL"));
	}
	put_space(out);
	put_language(out, part->language);
	put_space(out);
	imap_put_nstring(out, part->location);
}

static void put_basic_fields(struct buf *out, const struct mime_part *part)
{
	imap_put_string(out, part->type);
	put_space(out);
	imap_put_string(out, part->subtype);
	put_space(out);
	if (part->type_assumed && str_eq(part->type, STR("text")))
		buf_add(out, STR("(\"charset\" \"us-ascii\")")); /* RFC 2045, 5.2: the default has it */
	else
		put_params(out, &part->params);
	put_space(out);
	imap_put_nstring(out, part->id);
	put_space(out);
	imap_put_nstring(out, part->description);
	put_space(out);
	imap_put_string(out, part->encoding_name.p ? part->encoding_name : STR("7bit"));
	put_space(out);
	buf_add_u64(out, part->body_end - part->body_start);
}

/* Recursion is as deep as struct mime_limits allows. */
static void put_body(struct printing *p, const struct mime_part *part)
{
	const struct mime_part *parts = p->message->parts;
	struct buf *out = p->out;
	if (out->failed)
		return; /* nobody will read it */
	buf_add_byte(out, '(');
	if (part->kind == MIME_MULTIPART) {
		for (uint32_t i = part->first_child; i != MIME_NONE; i = parts[i].next)
			put_body(p, &parts[i]);
		put_space(out);
		imap_put_string(out, part->subtype);
	} else {
		put_basic_fields(out, part);
		bool has_envelope = part->kind == MIME_MESSAGE && str_eq(part->subtype, STR("rfc822"));
		if (has_envelope) {
			put_space(out);
			put_envelope(p, parts[part->first_child].envelope);
			put_space(out);
			put_body(p, &parts[part->first_child]);
		}
		if (has_envelope || str_eq(part->type, STR("text"))) {
			put_space(out);
			buf_add_u64(out, part->lines);
		}
	}
	if (p->extended) {
		put_space(out);
		if (part->kind == MIME_MULTIPART)
			put_params(out, &part->params);
		else
			imap_put_nstring(out, part->md5);
		put_disposition_language_location(out, part);
	}
	buf_add_byte(out, ')');
}

void bodystructure_print(const struct mime_message *message, bool extended, struct buf *out)
{
	struct printing p = begin_printing(message, extended, out);
	put_body(&p, &message->parts[0]);
}

const struct mime_message *mime_as_one_part(const struct mime_message *message, struct mime_whole *room)
{
	static const struct str encodings[] = {
#define ENCODING_TEXT(name, text) [name] = STR_INIT(text),
		MIME_ENCODING_LIST(ENCODING_TEXT)
#undef ENCODING_TEXT
	};
	const struct mime_part *root = &message->parts[0];
	room->part = (struct mime_part){
		.kind = MIME_LEAF, .encoding = root->encoding, .parent = MIME_NONE, .first_child = MIME_NONE, .next = MIME_NONE,
		.header_start = root->header_start, .body_start = root->body_start, .body_end = root->body_end,
		.lines = root->lines, .type = STR("application"), .subtype = STR("octet-stream"), .envelope = root->envelope,
	};
	if (encodings[root->encoding].n > 0)
		room->part.encoding_name = encodings[root->encoding];
	room->message = *message;
	room->message.parts = &room->part;
	room->message.n_parts = 1;
	return &room->message;
}
