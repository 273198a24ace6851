/* reload.c: the configuration and the keys, read again while the server runs. Either all of it holds or nothing
 * changes: a file with an error, settings that do not fit those that need a restart, or keys that cannot be used leave
 * everything as it was. */
#include "proc/supervisor/supervisor_private.h"

#include "base/json.h"

static void tell(struct buf *problem, struct str line)
{
	log_error("reload-refused", LOG_S("problem", line));
	if (problem->n > 0)
		buf_add_byte(problem, '\n');
	buf_add(problem, line);
}

static void tell_all(struct buf *problem, const struct conf_errors *errors)
{
	char more[64];
	for (size_t i = 0; i < errors->n; i++)
		tell(problem, errors->list[i].text);
	if (errors->omitted > 0) {
		int n = snprintf(more, sizeof more, "and %zu more errors", errors->omitted);
		tell(problem, str_of(more, (size_t)n));
	}
}

static int read_file(const struct supervisor *s, struct conf *out, struct buf *problem)
{
	struct buf text = BUF_INIT(CONF_TEXT_MAX);
	struct conf_errors errors;
	int err = start_read_file(s, &text);
	if (err != 0) {
		struct buf wrong = BUF_INIT(PROBLEM_MAX);
		buf_addf(&wrong, "cannot read the configuration %.*s: %s", STR_ARG(s->conf_name), err_text(err));
		tell(problem, buf_str(&wrong));
		buf_free(&wrong);
		err = ERR_CONFIG;
	} else if (conf_parse(buf_str(&text), s->conf_name, out, &errors) != 0) {
		tell_all(problem, &errors);
		conf_errors_free(&errors);
		err = ERR_CONFIG;
	} else {
		conf_errors_free(&errors);
	}
	buf_free(&text);
	if (err == 0 && (err = conf_apply_environment(out)) != 0)
		conf_free(out); /* it was right at the start, and is the same */
	return err;
}

/* What holds from now on, and its text for the roles. */
static int merge(const struct supervisor *s, const struct conf *file, struct conf *out, struct buf *text,
                 struct buf *problem)
{
	struct conf_errors errors;
	conf_print_reloaded(&s->conf, file, text);
	int err = buf_error(text);
	if (err != 0) {
		tell(problem, STR("the configuration is too long"));
		return err;
	}
	err = conf_parse(buf_str(text), s->conf_name, out, &errors);
	for (size_t i = 0; err != 0 && i < errors.n; i++) {
		struct str what = errors.list[i].text;
		ptrdiff_t at = str_find(what, STR(": ")); /* lines of the merged text are nobody's */
		tell(problem, at >= 0 ? str_from(what, (size_t)at + 2) : what);
	}
	if (err != 0)
		tell(problem, STR("what can change while the server runs does not fit what cannot: restart the server"));
	conf_errors_free(&errors);
	return err;
}

static void take_keys(struct supervisor *s, struct key_pair keys)
{
	key_pair_free(&s->keys);
	s->keys = keys;
	children_send_keys(s);
	start_log_certificate(s);
}

static void print_change(const struct conf_change *change, struct buf *json)
{
	json_begin_object(json);
	json_field_string(json, "setting", change->name);
	json_key(json, "before");
	json_put_raw(json, change->before);
	json_key(json, "after");
	json_put_raw(json, change->after);
	json_end_object(json);
}

static void print_changes(const struct conf_changes *changes, enum conf_when when, struct buf *json)
{
	json_begin_array(json);
	for (size_t i = 0; i < changes->n; i++)
		if (changes->list[i].when == when)
			print_change(&changes->list[i], json);
	json_end_array(json);
}

static void log_changes(const struct conf_changes *changes)
{
	size_t live = 0, restart = 0;
	for (size_t i = 0; i < changes->n; i++) {
		const struct conf_change *change = &changes->list[i];
		switch (change->when) {
		case CONF_LIVE:
			live++;
			log_info("setting-changed", LOG_S("setting", change->name), LOG_S("before", change->before),
			         LOG_S("after", change->after));
			break;
		case CONF_RESTART:
			restart++;
			log_warning("setting-needs-restart", LOG_S("setting", change->name), LOG_S("in-force", change->before),
			            LOG_S("in-file", change->after));
			break;
		case CONF_NEW_STORE:
			log_info("setting-for-new-store", LOG_S("setting", change->name), LOG_S("in-file", change->after));
			break;
		}
	}
	log_info("reloaded", LOG_U("changed", live), LOG_U("needs-restart", restart));
}

static void answer(const struct supervisor *s, const struct conf_changes *changes, struct buf *json)
{
	struct buf warning = BUF_INIT(KEY_PAIR_TEXT_MAX);
	json_begin_object(json);
	json_key(json, "changed");
	print_changes(changes, CONF_LIVE, json);
	json_key(json, "needs_restart");
	print_changes(changes, CONF_RESTART, json);
	json_key(json, "for_new_store");
	print_changes(changes, CONF_NEW_STORE, json);
	for (size_t i = 0; i < changes->n; i++)
		if (str_eq(changes->list[i].name, STR("server.log_level")))
			json_field_u64(json, "log_level_set", log_levels_set(s)); /* where it has no effect */
	json_field_bool(json, "tls", s->keys.certificate.n > 0);
	if (start_certificate_warning(s, &warning))
		json_field_string(json, "warning", buf_str(&warning));
	buf_free(&warning);
	json_end_object(json);
}

static int read_again(struct supervisor *s, struct buf *json, struct buf *problem)
{
	struct conf file, fresh;
	struct conf_changes changes;
	struct key_pair keys;
	struct buf text = BUF_INIT(CONF_TEXT_MAX);
	int err = read_file(s, &file, problem);
	if (err != 0)
		return err;
	conf_compare(&s->conf, &file, &changes);
	err = merge(s, &file, &fresh, &text, problem);
	if (err == 0) {
		struct buf wrong = BUF_INIT(PROBLEM_MAX);
		err = start_read_keys(s->conf_name, &file, &keys, &wrong); /* [tls] is live: as in fresh */
		if (err != 0) {
			tell(problem, buf_str(&wrong));
			conf_free(&fresh);
		}
		buf_free(&wrong);
	}
	if (err == 0) {
		conf_replace(&s->conf, &s->first_conf, &fresh);
		buf_free(&s->conf_text);
		s->conf_text = text;
		text = BUF_INIT(0);
		log_level_own(s);
		children_send_configuration(s);
		take_keys(s, keys);
		log_changes(&changes);
		answer(s, &changes, json);
	}
	buf_free(&text);
	conf_changes_free(&changes);
	conf_free(&file);
	return err;
}

int reload(struct supervisor *s, struct buf *json, struct buf *problem)
{
	if (s->stopping) {
		tell(problem, STR("the server is stopping"));
		return ERR_UNAVAILABLE;
	}
	notify_reloading(s->notify);
	int err = read_again(s, json, problem);
	notify_reloaded(s->notify);
	return err == ERR_SYNTAX ? ERR_STATE : err; /* who asked made no mistake */
}
