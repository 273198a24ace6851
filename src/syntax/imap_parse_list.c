/* imap_parse_list.c: the arguments of LIST and LSUB (RFC 3501, 6.3.8; RFC 5258 section 6; RFC 5819, 6154) and of
 * STATUS. Pure, as imap_parse.c. */
#include "syntax/imap_cursor.h"

struct option {
	struct str name;
	uint32_t bit;
};

#define OPTION(option, number, name) { STR_INIT(name), option },
#define NO_OPTION { { NULL, 0 }, 0 }
static const struct option select_options[] = { IMAP_LIST_SELECT_LIST(OPTION) NO_OPTION };
static const struct option return_options[] = { IMAP_LIST_RETURN_LIST(OPTION) NO_OPTION };
static const struct option status_items[] = { IMAP_STATUS_LIST(OPTION) NO_OPTION };
#undef OPTION

/* Takes a word of the table; sets its bit. */
static bool option(struct imap_cursor *c, const struct option *table, const char *message, uint32_t *bits,
	uint32_t *bit)
{
	struct str name = imap_run(c, IMAP_CLASS_NAME);
	for (; table->bit; table++) {
		if (table->name.n == name.n && str_ieq(table->name, name)) {
			*bits |= *bit = table->bit;
			return true;
		}
	}
	c->p -= name.n;
	return imap_fail(c, message);
}

/* "(" status-att *(SP status-att) ")" */
static bool status_list(struct imap_cursor *c, uint32_t *out)
{
	uint32_t bit;
	if (!imap_open(c))
		return false;
	do {
		if (!option(c, status_items, "unknown status item", out, &bit))
			return false;
	} while (imap_list_goes_on(c));
	return !c->err;
}

bool imap_parse_status(struct imap_cursor *c, struct imap_command *command)
{
	return imap_space(c) && imap_mailbox(c, &command->status.mailbox) && imap_space(c) &&
		status_list(c, &command->status.items);
}

/* behind the "(" of list-select-opts */
static bool selection(struct imap_cursor *c, struct imap_list *out)
{
	uint32_t bit;
	out->extended = true;
	if (imap_try(c, ')'))
		return imap_space(c);
	do {
		if (!option(c, select_options, "unknown selection option", &out->select, &bit))
			return false;
	} while (imap_list_goes_on(c));
	if (c->err)
		return false;
	/* RFC 5258, 3.1: it needs an option that it can modify; SPECIAL-USE (RFC 6154) is none */
	if (out->select & IMAP_LIST_SELECT_RECURSIVEMATCH && !(out->select & IMAP_LIST_SELECT_SUBSCRIBED))
		return imap_fail(c, "RECURSIVEMATCH needs SUBSCRIBED");
	return imap_space(c);
}

static bool returns(struct imap_cursor *c, struct imap_list *out)
{
	uint32_t bit;
	out->extended = true;
	if (!imap_space(c) || !imap_open(c))
		return false;
	if (imap_try(c, ')'))
		return true;
	do {
		if (!option(c, return_options, "unknown return option", &out->returns, &bit))
			return false;
		if (bit == IMAP_LIST_RETURN_STATUS && !(imap_space(c) && status_list(c, &out->status_items)))
			return false;
	} while (imap_list_goes_on(c));
	return !c->err;
}

static bool one_pattern(struct imap_cursor *c, struct imap_list *out)
{
	struct str pattern;
	return imap_list_mailbox(c, &pattern) && imap_strings_add(c, &out->patterns, pattern);
}

/* behind the "(" of patterns */
static bool patterns(struct imap_cursor *c, struct imap_list *out)
{
	out->extended = true;
	do {
		if (!one_pattern(c, out))
			return false;
	} while (imap_list_goes_on(c));
	return !c->err;
}

bool imap_parse_list(struct imap_cursor *c, struct imap_command *command)
{
	struct imap_list *out = &command->list;
	bool may_extend = command->kind == IMAP_COMMAND_LIST;
	if (!imap_space(c))
		return false;
	if (may_extend && imap_try(c, '(') && !selection(c, out))
		return false;
	if (!imap_mailbox(c, &out->reference) || !imap_space(c))
		return false;
	if (!(may_extend && imap_try(c, '(') ? patterns(c, out) : one_pattern(c, out)))
		return false;
	if (!may_extend || c->end - c->p < 2)
		return true;
	if (!imap_space(c) || !imap_try_word(c, STR("RETURN")))
		return imap_fail(c, "expected RETURN");
	return returns(c, out);
}
