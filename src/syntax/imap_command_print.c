/* imap_command_print.c: flags, sections and whole commands in their wire form. Writes to the caller's buffer, whose
 * sticky failure tells when something did not fit. */
#include "syntax/imap.h"

#include "base/checked.h"
#include "syntax/date.h"
#include "syntax/imap_name.h"
#include "syntax/imap_print.h"
#include "text/base64.h"

struct bit_name {
	uint32_t bit;
	struct str name;
};

#define BIT_NAME(bit, number, name) { bit, STR_INIT(name) },
static const struct bit_name flag_names[] = { IMAP_FLAG_LIST(BIT_NAME) };
static const struct bit_name use_names[] = { IMAP_USE_LIST(BIT_NAME) };
static const struct bit_name status_names[] = { IMAP_STATUS_LIST(BIT_NAME) };
static const struct bit_name select_names[] = { IMAP_LIST_SELECT_LIST(BIT_NAME) };
static const struct bit_name return_names[] = { IMAP_LIST_RETURN_LIST(BIT_NAME) };
#undef BIT_NAME

uint32_t imap_flag_from_name(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(flag_names); i++)
		if (flag_names[i].name.n == name.n && str_ieq(flag_names[i].name, name))
			return flag_names[i].bit;
	return 0;
}

void imap_error_print(const struct imap_error *error, struct buf *out)
{
	buf_add(out, str_from_c(error->message));
	buf_add(out, STR(" at column "));
	buf_add_u64(out, error->offset + 1);
}

/* A space in front of all but the first item of a list that began at `start`. */
static void separate(struct buf *out, size_t start)
{
	if (out->n > start)
		buf_add_byte(out, ' ');
}

static void put_bits(const struct bit_name *names, size_t n, uint32_t bits, struct buf *out)
{
	size_t start = out->n;
	for (size_t i = 0; i < n; i++) {
		if (!(bits & names[i].bit))
			continue;
		separate(out, start);
		buf_add(out, names[i].name);
	}
}

void imap_flags_print(uint32_t system, const struct str *keywords, size_t n, struct buf *out)
{
	buf_add_byte(out, '(');
	size_t start = out->n;
	put_bits(flag_names, COUNT_OF(flag_names), system, out);
	for (size_t i = 0; i < n; i++) {
		separate(out, start);
		buf_add(out, keywords[i]);
	}
	buf_add_byte(out, ')');
}

static struct str section_text_name(enum imap_section_text text)
{
	switch (text) {
#define SECTION_NAME(kind, name)                                                                                       \
	case kind:                                                                                                         \
		return STR(name);
		IMAP_SECTION_LIST(SECTION_NAME)
#undef SECTION_NAME
	}
	return STR("");
}

static void put_section(const struct imap_section *section, struct buf *out)
{
	buf_add_byte(out, '[');
	for (uint32_t i = 0; i < section->part_count; i++) {
		if (i)
			buf_add_byte(out, '.');
		buf_add_u64(out, section->parts[i]);
	}
	if (section->part_count && section->text != IMAP_SECTION_ALL)
		buf_add_byte(out, '.');
	buf_add(out, section_text_name(section->text));
	if (section->fields.n) {
		buf_add(out, STR(" ("));
		for (uint32_t i = 0; i < section->fields.n; i++) {
			if (i)
				buf_add_byte(out, ' ');
			imap_put_astring(out, section->fields.items[i]);
		}
		buf_add_byte(out, ')');
	}
	buf_add_byte(out, ']');
}

void imap_section_print(const struct imap_section *section, bool partial, uint32_t offset, struct buf *out)
{
	buf_add(out, STR("BODY"));
	put_section(section, out);
	if (!partial)
		return;
	buf_add_byte(out, '<');
	buf_add_u64(out, offset);
	buf_add_byte(out, '>');
}

static void put_fetch_item(const struct imap_fetch_item *item, struct buf *out)
{
	switch (item->kind) {
#define ITEM(kind, name)                                                                                               \
	case kind:                                                                                                         \
		buf_add(out, STR(name));                                                                                       \
		break;
		IMAP_FETCH_LIST(ITEM)
#undef ITEM
	}
	if (item->lazy)
		buf_add(out, STR(" (LAZY)"));
	if (item->kind != IMAP_FETCH_SECTION)
		return;
	out->n -= out->failed ? 0 : 1; /* the '[' of the list's name */
	if (item->peek)
		buf_add(out, STR(".PEEK"));
	put_section(item->section, out);
	if (item->partial)
		buf_addf(out, "<%u.%u>", item->offset, item->length);
}

static void put_named_number(struct str name, uint64_t value, struct buf *out)
{
	buf_add(out, name);
	buf_add_u64(out, value);
}

static void put_fetch(const struct imap_fetch *fetch, struct buf *out)
{
	buf_add_byte(out, ' ');
	imap_sequence_print(&fetch->set, out);
	buf_add(out, STR(" ("));
	for (uint32_t i = 0; i < fetch->n; i++) {
		if (i)
			buf_add_byte(out, ' ');
		put_fetch_item(&fetch->items[i], out);
	}
	buf_add_byte(out, ')');
}

static struct str search_name(enum imap_search_kind kind)
{
	switch (kind) {
#define SEARCH_NAME(kind, name, argument)                                                                              \
	case kind:                                                                                                         \
		return STR(name);
		IMAP_SEARCH_LIST(SEARCH_NAME)
#undef SEARCH_NAME
	}
	return STR("");
}

static void put_search_flag(const struct imap_search_key *key, struct buf *out)
{
	if (key->flag == IMAP_FLAG_RECENT) {
		buf_add(out, key->wanted ? STR("RECENT") : STR("OLD"));
		return;
	}
	if (!key->wanted)
		buf_add(out, STR("UN"));
	for (size_t i = 0; i < COUNT_OF(flag_names); i++) {
		struct str name = str_from(flag_names[i].name, 1);
		for (size_t j = 0; flag_names[i].bit == key->flag && j < name.n; j++)
			buf_add_byte(out, ascii_upper(name.p[j]));
	}
}

static void put_day(int32_t day, struct buf *out)
{
	struct buf text = BUF_INIT(64);
	date_print_internal((struct date){ .seconds = (int64_t)day * 86400 }, &text);
	struct str date = str_trim(str_first(buf_str(&text), sizeof " 1-Jan-1970" - 1));
	buf_add(out, date);
	buf_free(&text);
}

static void put_search_key(const struct imap_search_key *key, struct buf *out);

static void put_search_keys(const struct imap_search_key *first, struct buf *out)
{
	for (const struct imap_search_key *key = first; key; key = key->next) {
		if (key != first)
			buf_add_byte(out, ' ');
		put_search_key(key, out);
	}
}

static void put_search_key(const struct imap_search_key *key, struct buf *out)
{
	if (key->kind == IMAP_SEARCH_KEYWORD && !key->wanted)
		buf_add(out, STR("UN"));
	buf_add(out, search_name(key->kind));
	if (key->kind == IMAP_SEARCH_FLAG)
		put_search_flag(key, out);
	else if (key->kind == IMAP_SEARCH_SEQUENCE)
		imap_sequence_print(&key->set, out);
	if ((key->set.n || key->set.saved) && key->kind == IMAP_SEARCH_UID) {
		buf_add_byte(out, ' ');
		imap_sequence_print(&key->set, out);
	}
	if (key->child) {
		if (key->kind != IMAP_SEARCH_AND)
			buf_add_byte(out, ' ');
		put_search_keys(key->child, out);
		if (key->kind == IMAP_SEARCH_AND)
			buf_add_byte(out, ')');
	}
	if (key->kind >= IMAP_SEARCH_BEFORE && key->kind <= IMAP_SEARCH_SAVEDSINCE) {
		buf_add_byte(out, ' ');
		put_day(key->day, out);
	}
	if (key->kind == IMAP_SEARCH_LARGER || key->kind == IMAP_SEARCH_SMALLER ||
		key->kind == IMAP_SEARCH_OLDER || key->kind == IMAP_SEARCH_YOUNGER || key->kind == IMAP_SEARCH_MODSEQ) {
		buf_add_byte(out, ' ');
		buf_add_u64(out, key->size);
	}
	if (key->field.p) {
		buf_add_byte(out, ' ');
		imap_put_astring(out, key->field);
	}
	if (key->text.p) {
		buf_add_byte(out, ' ');
		if (key->kind == IMAP_SEARCH_KEYWORD)
			buf_add(out, key->text);
		else
			imap_put_astring(out, key->text);
	}
}

/* Behind what stands from `start` on. */
static void put_param_list(const struct imap_params *params, size_t start, struct buf *out)
{
	for (uint32_t i = 0; i < params->n; i++) {
		separate(out, start);
		buf_add(out, params->items[i].name);
		if (params->items[i].value.p) {
			buf_add_byte(out, ' ');
			buf_add(out, params->items[i].value);
		}
	}
}

/* " (" for parameters; returns where the list begins. */
static size_t open_params(struct buf *out)
{
	buf_add(out, STR(" ("));
	return out->n;
}

/* The rest of them and ")"; nothing for an empty list. */
static void close_params(const struct imap_params *rest, size_t start, struct buf *out)
{
	put_param_list(rest, start, out);
	if (out->n == start && !out->failed)
		out->n -= 2;
	else
		buf_add_byte(out, ')');
}

/* "(" params ")" */
static void put_params(const struct imap_params *params, struct buf *out)
{
	buf_add_byte(out, '(');
	put_param_list(params, out->n, out);
	buf_add_byte(out, ')');
}

static void put_search(const struct imap_command *command, struct buf *out)
{
	const struct imap_search *search = &command->search;
	buf_add_byte(out, ' ');
	if (search->has_return) {
		buf_add(out, STR("RETURN "));
		put_params(&command->params, out);
		buf_add_byte(out, ' ');
	}
	if (search->charset.p) {
		buf_add(out, STR("CHARSET "));
		imap_put_astring(out, search->charset);
		buf_add_byte(out, ' ');
	}
	put_search_key(search->key, out);
}

static void put_criteria(const struct imap_search *search, struct buf *out)
{
	static const struct str names[] = {
#define SORT_NAME(kind, name) [kind] = STR_INIT(name),
		IMAP_SORT_LIST(SORT_NAME)
#undef SORT_NAME
	};
	for (uint32_t i = 0; i < search->n_sort; i++) {
		buf_add(out, i ? STR(" ") : STR(" ("));
		if (search->sort[i].reverse)
			buf_add(out, STR("REVERSE "));
		buf_add(out, names[search->sort[i].kind]);
	}
	buf_add_byte(out, ')');
}

static void put_sort(const struct imap_command *command, struct buf *out)
{
	const struct imap_search *search = &command->search;
	if (command->kind == IMAP_COMMAND_SORT)
		put_criteria(search, out);
	else
		buf_add(out, search->thread == IMAP_THREAD_REFERENCES ? STR(" REFERENCES") : STR(" ORDEREDSUBJECT"));
	buf_add_byte(out, ' ');
	imap_put_astring(out, search->charset);
	buf_add_byte(out, ' ');
	put_search_key(search->key, out);
}

static void put_store(const struct imap_command *command, struct buf *out)
{
	static const char *const mode_names[] = {
		[IMAP_STORE_REPLACE] = "", [IMAP_STORE_ADD] = "+", [IMAP_STORE_REMOVE] = "-"
	};
	const struct imap_store *store = &command->store;
	buf_add_byte(out, ' ');
	imap_sequence_print(&store->set, out);
	size_t start = open_params(out);
	if (store->has_unchanged_since)
		put_named_number(STR("UNCHANGEDSINCE "), store->unchanged_since, out);
	close_params(&command->params, start, out);
	buf_addf(out, " %sFLAGS%s ", mode_names[store->mode], store->silent ? ".SILENT" : "");
	imap_flags_print(store->flags.system, store->flags.keywords.items, store->flags.keywords.n, out);
}

static void put_append(const struct imap_append *append, struct buf *out)
{
	const struct imap_append_message *message = &append->message;
	buf_add_byte(out, ' ');
	imap_put_mailbox(out, append->mailbox);
	buf_add_byte(out, ' ');
	imap_flags_print(message->flags.system, message->flags.keywords.items, message->flags.keywords.n, out);
	if (message->has_date) {
		buf_add(out, STR(" \""));
		date_print_internal((struct date){ message->date, message->zone_minutes }, out);
		buf_add_byte(out, '"');
	}
	buf_add(out, STR(" {"));
	buf_add_u64(out, message->size);
	buf_add(out, message->synchronising ? STR("}") : STR("+}"));
}

static void put_patterns(const struct imap_list *list, struct buf *out)
{
	bool bracketed = list->extended;
	if (bracketed)
		buf_add_byte(out, '(');
	for (uint32_t i = 0; i < list->patterns.n; i++) {
		struct buf wire = BUF_INIT(list->patterns.items[i].n * 8 + 8);
		if (i)
			buf_add_byte(out, ' ');
		if (imap_utf7_encode(list->patterns.items[i], &wire))
			out->failed = true;
		imap_put_string(out, buf_str(&wire)); /* never an atom: wildcards may stand in quotes */
		buf_free(&wire);
	}
	if (bracketed)
		buf_add_byte(out, ')');
}

static void put_list(const struct imap_list *list, struct buf *out)
{
	if (list->extended) {
		buf_add(out, STR(" ("));
		put_bits(select_names, COUNT_OF(select_names), list->select, out);
		buf_add_byte(out, ')');
	}
	buf_add_byte(out, ' ');
	imap_put_mailbox(out, list->reference);
	buf_add_byte(out, ' ');
	put_patterns(list, out);
	if (!list->returns)
		return;
	buf_add(out, STR(" RETURN ("));
	put_bits(return_names, COUNT_OF(return_names), list->returns, out); /* STATUS is the last */
	if (list->returns & IMAP_LIST_RETURN_STATUS) {
		buf_add(out, STR(" ("));
		put_bits(status_names, COUNT_OF(status_names), list->status_items, out);
		buf_add_byte(out, ')');
	}
	buf_add_byte(out, ')');
}

static void put_id(const struct imap_id *id, struct buf *out)
{
	if (!id->n) {
		buf_add(out, STR(" NIL"));
		return;
	}
	buf_add(out, STR(" ("));
	for (uint32_t i = 0; i < id->n; i++) {
		if (i)
			buf_add_byte(out, ' ');
		imap_put_string(out, id->pairs[i].field);
		buf_add_byte(out, ' ');
		imap_put_nstring(out, id->pairs[i].value);
	}
	buf_add_byte(out, ')');
}

static void put_atom(struct str s, struct buf *out)
{
	buf_add_byte(out, ' ');
	buf_add(out, s);
}

static void put_astring(struct str s, struct buf *out)
{
	buf_add_byte(out, ' ');
	imap_put_astring(out, s);
}

static void put_mailbox(struct str name, struct buf *out)
{
	buf_add_byte(out, ' ');
	imap_put_mailbox(out, name);
}

static void put_authenticate(const struct imap_authenticate *authenticate, struct buf *out)
{
	put_atom(authenticate->mechanism, out);
	if (!authenticate->has_initial)
		return;
	buf_add_byte(out, ' ');
	if (authenticate->initial.n)
		base64_encode(authenticate->initial, out);
	else
		buf_add_byte(out, '=');
}

/* the parameters at the end of CREATE, RENAME */
static void put_last_params(const struct imap_command *command, struct buf *out)
{
	close_params(&command->params, open_params(out), out);
}

static void put_fetch_params(const struct imap_command *command, struct buf *out)
{
	size_t start = open_params(out);
	if (command->fetch.has_changed_since)
		put_named_number(STR("CHANGEDSINCE "), command->fetch.changed_since, out);
	if (command->fetch.vanished) {
		separate(out, start);
		buf_add(out, STR("VANISHED"));
	}
	close_params(&command->params, start, out);
}

static void put_qresync(const struct imap_qresync *qresync, struct buf *out)
{
	buf_add(out, STR("QRESYNC ("));
	buf_add_u64(out, qresync->uidvalidity);
	buf_add_byte(out, ' ');
	buf_add_u64(out, qresync->modseq);
	if (qresync->known.n) {
		buf_add_byte(out, ' ');
		imap_sequence_print(&qresync->known, out);
	}
	if (qresync->match_numbers.n) {
		buf_add(out, STR(" ("));
		imap_sequence_print(&qresync->match_numbers, out);
		buf_add_byte(out, ' ');
		imap_sequence_print(&qresync->match_uids, out);
		buf_add_byte(out, ')');
	}
	buf_add_byte(out, ')');
}

static void put_select(const struct imap_command *command, struct buf *out)
{
	put_mailbox(command->select.mailbox, out);
	size_t start = open_params(out);
	if (command->select.condstore)
		buf_add(out, STR("CONDSTORE"));
	if (command->select.qresync) {
		separate(out, start);
		put_qresync(command->select.qresync, out);
	}
	close_params(&command->params, start, out);
}

/* One separator at the end is taken off by the parser, so a name that really ends in one gets another. */
static void put_new_mailbox(struct str name, struct buf *out)
{
	struct buf longer = BUF_INIT(name.n + 1);
	buf_add(&longer, name);
	if (str_ends(name, STR("/")))
		buf_add_byte(&longer, IMAP_SEPARATOR);
	put_mailbox(buf_str(&longer), out);
	buf_free(&longer);
}

static void put_create(const struct imap_create *create, struct buf *out)
{
	put_new_mailbox(create->mailbox, out);
	if (!create->use && !create->unknown_use)
		return;
	buf_add(out, STR(" (USE ("));
	size_t start = out->n;
	put_bits(use_names, COUNT_OF(use_names), create->use, out);
	if (create->unknown_use) {
		separate(out, start);
		buf_add(out, STR("\\Unknown"));
	}
	buf_add(out, STR("))"));
}

static void put_set(const struct imap_sequence *set, struct buf *out)
{
	buf_add_byte(out, ' ');
	imap_sequence_print(set, out);
}

static void put_copy(const struct imap_copy *copy, struct buf *out)
{
	put_set(&copy->set, out);
	put_mailbox(copy->mailbox, out);
}

static void put_enable(const struct imap_strings *capabilities, struct buf *out)
{
	for (uint32_t i = 0; i < capabilities->n; i++)
		put_atom(capabilities->items[i], out);
}

static void put_status(const struct imap_status *status, struct buf *out)
{
	put_mailbox(status->mailbox, out);
	buf_add(out, STR(" ("));
	put_bits(status_names, COUNT_OF(status_names), status->items, out);
	buf_add_byte(out, ')');
}

static void put_rename(const struct imap_command *command, struct buf *out)
{
	put_mailbox(command->rename.from, out);
	put_mailbox(command->rename.to, out);
	put_last_params(command, out);
}

static void put_arguments(const struct imap_command *command, struct buf *out)
{
	switch (command->kind) {
	case IMAP_COMMAND_CAPABILITY:
	case IMAP_COMMAND_NOOP:
	case IMAP_COMMAND_LOGOUT:
	case IMAP_COMMAND_STARTTLS:
	case IMAP_COMMAND_NAMESPACE:
	case IMAP_COMMAND_IDLE:
	case IMAP_COMMAND_CHECK:
	case IMAP_COMMAND_CLOSE:
	case IMAP_COMMAND_UNSELECT:
	case IMAP_COMMAND_COUNT:
		return;
	case IMAP_COMMAND_ID:
		put_id(&command->id, out);
		return;
	case IMAP_COMMAND_AUTHENTICATE:
		put_authenticate(&command->authenticate, out);
		return;
	case IMAP_COMMAND_LOGIN:
		put_astring(command->login.user, out);
		put_astring(command->login.password, out);
		return;
	case IMAP_COMMAND_ENABLE:
		put_enable(&command->enable, out);
		return;
	case IMAP_COMMAND_SELECT:
	case IMAP_COMMAND_EXAMINE:
		put_select(command, out);
		return;
	case IMAP_COMMAND_DELETE:
	case IMAP_COMMAND_SUBSCRIBE:
	case IMAP_COMMAND_UNSUBSCRIBE:
	case IMAP_COMMAND_GETQUOTAROOT:
		put_mailbox(command->mailbox, out);
		return;
	case IMAP_COMMAND_GETQUOTA:
		put_astring(command->quota_root, out);
		return;
	case IMAP_COMMAND_CREATE:
		put_create(&command->create, out);
		return;
	case IMAP_COMMAND_RENAME:
		put_rename(command, out);
		return;
	case IMAP_COMMAND_LIST:
	case IMAP_COMMAND_LSUB:
		put_list(&command->list, out);
		return;
	case IMAP_COMMAND_STATUS:
		put_status(&command->status, out);
		return;
	case IMAP_COMMAND_APPEND:
		put_append(&command->append, out);
		return;
	case IMAP_COMMAND_EXPUNGE:
		if (command->uid)
			put_set(&command->expunge, out);
		return;
	case IMAP_COMMAND_SEARCH:
		put_search(command, out);
		return;
	case IMAP_COMMAND_SORT:
	case IMAP_COMMAND_THREAD:
		put_sort(command, out);
		return;
	case IMAP_COMMAND_FETCH:
		put_fetch(&command->fetch, out);
		put_fetch_params(command, out);
		return;
	case IMAP_COMMAND_STORE:
		put_store(command, out);
		return;
	case IMAP_COMMAND_COPY:
	case IMAP_COMMAND_MOVE:
		put_copy(&command->copy, out);
		return;
	}
}

void imap_command_print(const struct imap_command *command, struct buf *out)
{
	buf_add(out, command->tag);
	buf_add(out, command->uid ? STR(" UID ") : STR(" "));
	buf_add(out, imap_command_name(command->kind));
	put_arguments(command, out);
}
