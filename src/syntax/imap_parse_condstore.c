/* imap_parse_condstore.c: the parameters of RFC 7162 (section 7) of SELECT, FETCH and STORE, taken out of the command's
 * list of parameters; what is left there is unknown to the server. Pure, as imap_parse.c. */
#include "syntax/imap_cursor.h"

/* Reads a parameter's value with the grammar's words; all of it. */
static bool value_of(struct imap_cursor *c, const struct imap_param *param,
                     bool (*read)(struct imap_cursor *inner, void *out), void *out)
{
	if (!param->value.n)
		return imap_fail(c, "a parameter lacks its value");
	struct imap_cursor inner = *c;
	inner.p = param->value.p;
	inner.end = param->value.p + param->value.n;
	bool fine = read(&inner, out) && imap_finish(&inner);
	c->err = inner.err;
	return fine;
}

/* mod-sequence-valzer: 63 bits. CHANGEDSINCE 0 is not in the grammar, but says clearly what it means: everything. */
static bool modseq_or_zero(struct imap_cursor *c, void *out)
{
	return imap_number(c, INT64_MAX, out);
}

static bool no_value(struct imap_cursor *c, const struct imap_param *param)
{
	return !param->value.p || imap_fail(c, "this parameter has no value");
}

/* "*" is not allowed in any of the sets (section 7). */
static bool plain_set(struct imap_cursor *c, struct imap_sequence *out)
{
	if (!imap_sequence_set(c, out))
		return false;
	if (out->saved)
		return imap_fail(c, "'$' cannot stand here");
	for (uint32_t i = 0; i < out->n; i++)
		if (out->ranges[i].first == IMAP_STAR || out->ranges[i].last == IMAP_STAR)
			return imap_fail(c, "'*' cannot stand here");
	return true;
}

/* Counts a set that has to be in ascending order (3.2.5.2). */
static bool count_ascending(struct imap_cursor *c, const struct imap_sequence *set, uint64_t *out)
{
	uint32_t last = 0;
	*out = 0;
	for (uint32_t i = 0; i < set->n; i++) {
		struct imap_sequence_range range = set->ranges[i];
		if (range.first <= last || range.last < range.first)
			return imap_fail(c, "numbers have to ascend here");
		last = range.last;
		*out += (uint64_t)range.last - range.first + 1;
	}
	return true;
}

/* seq-match-data = "(" known-sequence-set SP known-uid-set ")" */
static bool match_data(struct imap_cursor *c, struct imap_qresync *out)
{
	uint64_t numbers, uids;
	if (!imap_open(c) || !plain_set(c, &out->match_numbers) || !imap_space(c) || !plain_set(c, &out->match_uids))
		return false;
	if (!count_ascending(c, &out->match_numbers, &numbers) || !count_ascending(c, &out->match_uids, &uids))
		return false;
	if (numbers != uids)
		return imap_fail(c, "as many numbers as uids have to stand here");
	return imap_expect(c, ')', "expected ')'");
}

/* "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")" */
static bool qresync(struct imap_cursor *c, void *result)
{
	struct imap_qresync *out = result;
	if (!imap_open(c) || !imap_nz_number(c, &out->uidvalidity) || !imap_space(c))
		return false;
	if (imap_at(c, '0'))
		return imap_fail(c, "expected a number from 1 on");
	if (!modseq_or_zero(c, &out->modseq))
		return false;
	if (c->end - c->p > 1 && *c->p == ' ' && c->p[1] != '(' && !(imap_space(c) && plain_set(c, &out->known)))
		return false;
	if (imap_try(c, ' ') && !match_data(c, out))
		return false;
	return imap_expect(c, ')', "expected ')'");
}

/* Calls `take` for each parameter; keeps those that it does not know. */
static bool take_params(struct imap_cursor *c, struct imap_command *command,
                        bool (*take)(struct imap_cursor *c, struct imap_command *command, const struct imap_param *param,
                                     bool *known))
{
	struct imap_params *params = &command->params;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < params->n; i++) {
		bool known = true;
		if (!take(c, command, &params->items[i], &known))
			return false;
		if (!known)
			params->items[kept++] = params->items[i];
	}
	params->n = kept;
	return true;
}

static bool once(struct imap_cursor *c, bool *given)
{
	if (*given)
		return imap_fail(c, "a parameter is given twice");
	*given = true;
	return true;
}

static bool select_param(struct imap_cursor *c, struct imap_command *command, const struct imap_param *param, bool *known)
{
	struct imap_select *out = &command->select;
	if (str_ieq(param->name, STR("CONDSTORE")))
		return once(c, &out->condstore) && no_value(c, param);
	if (str_ieq(param->name, STR("QRESYNC"))) {
		bool twice = out->qresync != NULL;
		out->qresync = arena_alloc(c->arena, 1, sizeof *out->qresync);
		if (!out->qresync)
			return imap_fail_limit(c, "command needs too much memory");
		return once(c, &twice) && value_of(c, param, qresync, out->qresync);
	}
	*known = false;
	return true;
}

static bool fetch_param(struct imap_cursor *c, struct imap_command *command, const struct imap_param *param, bool *known)
{
	struct imap_fetch *out = &command->fetch;
	if (str_ieq(param->name, STR("CHANGEDSINCE")))
		return once(c, &out->has_changed_since) && value_of(c, param, modseq_or_zero, &out->changed_since);
	if (str_ieq(param->name, STR("VANISHED")))
		return once(c, &out->vanished) && no_value(c, param);
	*known = false;
	return true;
}

static bool store_param(struct imap_cursor *c, struct imap_command *command, const struct imap_param *param, bool *known)
{
	struct imap_store *out = &command->store;
	if (str_ieq(param->name, STR("UNCHANGEDSINCE")))
		return once(c, &out->has_unchanged_since) && value_of(c, param, modseq_or_zero, &out->unchanged_since);
	*known = false;
	return true;
}

bool imap_select_params(struct imap_cursor *c, struct imap_command *command)
{
	return take_params(c, command, select_param);
}

bool imap_fetch_params(struct imap_cursor *c, struct imap_command *command)
{
	if (!take_params(c, command, fetch_param))
		return false;
	if (!command->fetch.vanished)
		return true;
	/* 3.2.6 */
	if (!command->uid)
		return imap_fail(c, "VANISHED is for UID FETCH only");
	return command->fetch.has_changed_since || imap_fail(c, "VANISHED needs CHANGEDSINCE");
}

bool imap_store_params(struct imap_cursor *c, struct imap_command *command)
{
	return take_params(c, command, store_param);
}
