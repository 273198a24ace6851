/* imap_parse.c: one IMAP command from its text (RFC 3501 section 9). FETCH, SEARCH and the LIST family have files of
 * their own. Pure; memory comes from the caller's arena; on failure *out is untouched and the arena holds rubbish. */
#include "syntax/imap_cursor.h"

#include "base/mem.h"
#include "syntax/imap_name.h"
#include "text/base64.h"

static const struct str command_names[] = {
#define COMMAND_NAME(kind, name, states) [kind] = STR_INIT(name),
	IMAP_COMMAND_TABLE(COMMAND_NAME)
#undef COMMAND_NAME
};

static const uint8_t command_states[] = {
#define COMMAND_STATES(kind, name, states) [kind] = states,
	IMAP_COMMAND_TABLE(COMMAND_STATES)
#undef COMMAND_STATES
};

struct str imap_command_name(enum imap_command_kind kind)
{
	return command_names[kind];
}

unsigned imap_command_states(enum imap_command_kind kind)
{
	return command_states[kind];
}

static bool parse_login(struct imap_cursor *c, struct imap_login *out)
{
	return imap_space(c) && imap_astring(c, "expected a user name", &out->user) && imap_space(c) &&
		imap_astring(c, "expected a password", &out->password);
}

/* RFC 4959: an initial response is base64, or "=" when it is empty. */
static bool initial_response(struct imap_cursor *c, struct str *out)
{
	const char *from = c->p;
	struct str text = imap_run(c, IMAP_CLASS_ASTRING | IMAP_CLASS_TAG);
	if (!text.n)
		return imap_fail(c, "expected an initial response in base64");
	if (str_eq(text, STR("="))) {
		*out = STR("");
		return true;
	}
	struct buf decoded = BUF_INIT(BASE64_DECODED(text.n));
	int err = base64_decode(text, &decoded);
	if (!err)
		err = arena_copy(c->arena, buf_str(&decoded), out);
	if (decoded.p)
		mem_wipe(decoded.p, decoded.n);
	buf_free(&decoded);
	if (err == ERR_LIMIT)
		return imap_fail_limit(c, "command needs too much memory");
	if (err)
		c->p = from;
	return !err || imap_fail(c, "initial response is not base64");
}

static bool parse_authenticate(struct imap_cursor *c, struct imap_authenticate *out)
{
	if (!imap_space(c) || !imap_atom(c, "expected a mechanism", &out->mechanism))
		return false;
	out->has_initial = imap_try(c, ' ') && !imap_at_end(c);
	return !out->has_initial || initial_response(c, &out->initial);
}

static bool parse_enable(struct imap_cursor *c, struct imap_strings *out)
{
	struct str name;
	if (!imap_space(c))
		return false;
	do {
		if (!imap_atom(c, "expected a capability", &name) || !imap_strings_add(c, out, name))
			return false;
	} while (imap_try(c, ' ') && !imap_at_end(c));
	return true;
}

/* RFC 2971: "(" field value ... ")" / NIL; clients send at most 30 pairs. */
static bool parse_id(struct imap_cursor *c, struct imap_id *out)
{
	enum { PAIRS_MAX = 30 };
	if (!imap_space(c))
		return false;
	if (imap_try_word(c, STR("NIL")))
		return true;
	if (!imap_open(c))
		return false;
	if (imap_try(c, ')'))
		return true;
	do {
		struct imap_id_pair pair;
		if (!imap_string(c, "expected a field name in quotes", &pair.field) || !imap_space(c) ||
			!imap_nstring(c, &pair.value) ||
			!imap_grow(c, (void **)&out->pairs, out->n, sizeof *out->pairs, PAIRS_MAX))
			return false;
		out->pairs[out->n++] = pair;
	} while (imap_list_goes_on(c));
	return !c->err;
}

static bool one_mailbox(struct imap_cursor *c, struct str *out)
{
	return imap_space(c) && imap_mailbox(c, out);
}

/* [SP "(" params ")"] at the end of a command */
static bool last_params(struct imap_cursor *c, struct imap_params *out)
{
	if (c->end - c->p < 2 || c->p[0] != ' ' || c->p[1] != '(')
		return true;
	c->p++;
	return imap_params(c, out);
}

/* RFC 6154 section 5.2: "(" [use-attr *(SP use-attr)] ")" */
static bool use_attributes(struct imap_cursor *c, struct imap_create *out)
{
	if (!imap_open(c))
		return false;
	if (imap_try(c, ')'))
		return true;
	do {
		const char *from = c->p;
		struct str word;
		if (!imap_expect(c, '\\', "expected a special-use attribute") ||
			!imap_atom(c, "expected a special-use attribute", &word))
			return false;
		struct str name = str_of(from, word.n + 1);
		uint32_t bit = 0;
#define USE_BIT(use, number, text)                                                                                     \
	if (str_ieq(name, STR(text)))                                                                                      \
		bit = use;
		IMAP_USE_LIST(USE_BIT)
#undef USE_BIT
		out->use |= bit;
		out->unknown_use |= !bit;
	} while (imap_list_goes_on(c));
	return !c->err;
}

/* Takes USE out of the parameters. */
static bool create_params(struct imap_cursor *c, struct imap_params *params, struct imap_create *out)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < params->n; i++) {
		if (!str_ieq(params->items[i].name, STR("USE"))) {
			params->items[kept++] = params->items[i];
			continue;
		}
		struct str value = params->items[i].value;
		if (!value.n)
			return imap_fail(c, "expected special-use attributes behind USE");
		struct imap_cursor inner = *c;
		inner.p = value.p;
		inner.end = value.p + value.n;
		bool fine = use_attributes(&inner, out) && imap_finish(&inner);
		c->err = inner.err;
		if (!fine)
			return false;
	}
	params->n = kept;
	return true;
}

static bool parse_create(struct imap_cursor *c, struct imap_command *command)
{
	struct imap_create *out = &command->create;
	if (!one_mailbox(c, &out->mailbox) || !last_params(c, &command->params))
		return false;
	if (out->mailbox.n > 1 && out->mailbox.p[out->mailbox.n - 1] == IMAP_SEPARATOR)
		out->mailbox.n--;
	return create_params(c, &command->params, out);
}

static bool parse_rename(struct imap_cursor *c, struct imap_command *command)
{
	return one_mailbox(c, &command->rename.from) && one_mailbox(c, &command->rename.to) &&
		last_params(c, &command->params);
}

static bool parse_select(struct imap_cursor *c, struct imap_command *command)
{
	return one_mailbox(c, &command->select.mailbox) && last_params(c, &command->params) && imap_select_params(c, command);
}

static bool parse_copy(struct imap_cursor *c, struct imap_copy *out)
{
	return imap_space(c) && imap_sequence_set(c, &out->set) && one_mailbox(c, &out->mailbox);
}

/* store = sequence-set [SP "(" params ")"] SP ["+" / "-"] "FLAGS" [".SILENT"] SP (flag-list / (flag *(SP flag))) */
static bool parse_store(struct imap_cursor *c, struct imap_command *command)
{
	struct imap_store *out = &command->store;
	if (!imap_space(c) || !imap_sequence_set(c, &out->set) || !last_params(c, &command->params) ||
		!imap_store_params(c, command) || !imap_space(c))
		return false;
	if (imap_try(c, '+'))
		out->mode = IMAP_STORE_ADD;
	else if (imap_try(c, '-'))
		out->mode = IMAP_STORE_REMOVE;
	out->silent = imap_try_word(c, STR("FLAGS.SILENT"));
	if (!out->silent && !imap_try_word(c, STR("FLAGS")))
		return imap_fail(c, "expected FLAGS, +FLAGS or -FLAGS");
	return imap_space(c) && (imap_at(c, '(') ? imap_flag_list(c, &out->flags) : imap_flag_words(c, &out->flags));
}

/* append-message (RFC 3502) = [SP flag-list] [SP date-time] SP literal; the literal's bytes are not in the text */
static bool append_message(struct imap_cursor *c, struct imap_append_message *out)
{
	if (!imap_space(c))
		return false;
	if (imap_at(c, '(') && (!imap_flag_list(c, &out->flags) || !imap_space(c)))
		return false;
	if (imap_at(c, '"')) {
		out->has_date = true;
		if (!imap_date_time(c, &out->date, &out->zone_minutes) || !imap_space(c))
			return false;
	}
	if (!imap_literal_head(c, &out->size, &out->synchronising))
		return false;
	return imap_at_end(c) || imap_fail(c, "expected a line end behind '}'");
}

static bool parse_append(struct imap_cursor *c, struct imap_append *out)
{
	return one_mailbox(c, &out->mailbox) && append_message(c, &out->message);
}

static bool parse_expunge(struct imap_cursor *c, struct imap_command *command)
{
	return !command->uid || (imap_space(c) && imap_sequence_set(c, &command->expunge));
}

static bool parse_arguments(struct imap_cursor *c, struct imap_command *command)
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
		return true;
	case IMAP_COMMAND_ID:
		return parse_id(c, &command->id);
	case IMAP_COMMAND_AUTHENTICATE:
		return parse_authenticate(c, &command->authenticate);
	case IMAP_COMMAND_LOGIN:
		return parse_login(c, &command->login);
	case IMAP_COMMAND_ENABLE:
		return parse_enable(c, &command->enable);
	case IMAP_COMMAND_SELECT:
	case IMAP_COMMAND_EXAMINE:
		return parse_select(c, command);
	case IMAP_COMMAND_CREATE:
		return parse_create(c, command);
	case IMAP_COMMAND_DELETE:
	case IMAP_COMMAND_SUBSCRIBE:
	case IMAP_COMMAND_UNSUBSCRIBE:
	case IMAP_COMMAND_GETQUOTAROOT:
		return one_mailbox(c, &command->mailbox);
	case IMAP_COMMAND_RENAME:
		return parse_rename(c, command);
	case IMAP_COMMAND_LIST:
	case IMAP_COMMAND_LSUB:
		return imap_parse_list(c, command);
	case IMAP_COMMAND_GETQUOTA:
		return imap_space(c) && imap_astring(c, "expected a quota root", &command->quota_root);
	case IMAP_COMMAND_STATUS:
		return imap_parse_status(c, command);
	case IMAP_COMMAND_APPEND:
		return parse_append(c, &command->append);
	case IMAP_COMMAND_EXPUNGE:
		return parse_expunge(c, command);
	case IMAP_COMMAND_SEARCH:
		return imap_parse_search(c, command);
	case IMAP_COMMAND_SORT:
		return imap_parse_sort(c, command);
	case IMAP_COMMAND_THREAD:
		return imap_parse_thread(c, command);
	case IMAP_COMMAND_FETCH:
		return imap_parse_fetch(c, command);
	case IMAP_COMMAND_STORE:
		return parse_store(c, command);
	case IMAP_COMMAND_COPY:
	case IMAP_COMMAND_MOVE:
		return parse_copy(c, &command->copy);
	case IMAP_COMMAND_COUNT:
		break;
	}
	return imap_fail(c, "unknown command");
}

static bool find_command(struct str word, enum imap_command_kind *out)
{
	for (unsigned kind = 0; kind < IMAP_COMMAND_COUNT; kind++) {
		struct str name = command_names[kind];
		if (name.n == word.n && name.p[0] == ascii_upper(word.p[0]) && str_ieq(name, word)) {
			*out = (enum imap_command_kind)kind;
			return true;
		}
	}
	return false;
}

static bool command_word(struct imap_cursor *c, enum imap_command_kind *out)
{
	const char *from = c->p;
	struct str word;
	if (!imap_atom(c, "expected a command", &word))
		return false;
	if (find_command(word, out))
		return true;
	c->p = from;
	return imap_fail(c, "unknown command");
}

static bool may_follow_uid(enum imap_command_kind kind)
{
	return kind == IMAP_COMMAND_FETCH || kind == IMAP_COMMAND_STORE || kind == IMAP_COMMAND_SEARCH ||
		kind == IMAP_COMMAND_SORT || kind == IMAP_COMMAND_THREAD ||
		kind == IMAP_COMMAND_COPY || kind == IMAP_COMMAND_MOVE || kind == IMAP_COMMAND_EXPUNGE;
}

/* tag SP command; the tag is told even when what follows is wrong */
static bool tag_and_command(struct imap_cursor *c, struct imap_command *out)
{
	struct str tag = imap_run(c, IMAP_CLASS_TAG);
	if (!tag.n || !imap_at(c, ' '))
		return imap_fail(c, tag.n ? "expected a space behind the tag" : "expected a tag");
	out->tag = c->error->tag = tag;
	if (!imap_space(c))
		return false;
	out->uid = imap_try_word(c, STR("UID"));
	if (!out->uid)
		return command_word(c, &out->kind);
	if (!imap_space(c) || !command_word(c, &out->kind))
		return false;
	return may_follow_uid(out->kind) || imap_fail(c, "this command cannot follow UID");
}

static struct imap_cursor cursor_of(struct str text, const struct imap_limits *limits, struct arena *arena,
	struct imap_error *error)
{
	*error = (struct imap_error){ .message = "" };
	return (struct imap_cursor){ .start = text.p, .p = text.p, .end = text.p + text.n, .limits = limits,
		.arena = arena, .error = error };
}

int imap_parse(struct str text, const struct imap_limits *limits, struct arena *arena, struct imap_command *out,
	struct imap_error *error)
{
	struct imap_command command = { 0 };
	struct imap_cursor c = cursor_of(text, limits, arena, error);
	if (!tag_and_command(&c, &command) || !parse_arguments(&c, &command) || !imap_finish(&c))
		return c.err;
	*out = command;
	return 0;
}

struct str imap_tag_of(struct str text)
{
	struct imap_cursor c = { .p = text.p, .end = text.p + text.n };
	struct str tag = imap_run(&c, IMAP_CLASS_TAG);
	return imap_at(&c, ' ') ? tag : STR("");
}

int imap_parse_head(struct str text, const struct imap_limits *limits, struct arena *arena,
	enum imap_command_kind *kind, size_t *arguments, struct imap_error *error)
{
	struct imap_command command = { 0 };
	struct imap_cursor c = cursor_of(text, limits, arena, error);
	if (!tag_and_command(&c, &command))
		return c.err;
	*kind = command.kind;
	*arguments = (size_t)(c.p - c.start);
	return 0;
}

int imap_parse_append_more(struct str text, const struct imap_limits *limits, struct arena *arena,
	struct imap_append_message *out, struct imap_error *error)
{
	struct imap_append_message message = { 0 };
	struct imap_cursor c = cursor_of(text, limits, arena, error);
	if (!append_message(&c, &message) || !imap_finish(&c))
		return c.err;
	*out = message;
	return 0;
}
