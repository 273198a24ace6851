/* log_level.c: `mansio log level`: what each process writes into the log, changed while it runs. A level that was set
 * holds for the process's successors too, until it is taken back or the server ends; a reload does not touch it. */
#include "proc/supervisor/supervisor_private.h"

#include "base/json.h"
#include "ipc/control.h"

enum log_level log_level_of(const struct supervisor *s, uint8_t level)
{
	return level == LOG_LEVEL_CONFIGURED ? s->conf.server.log_level : (enum log_level)level;
}

void log_level_own(const struct supervisor *s)
{
	log_set_level(log_level_of(s, s->log_level));
}

size_t log_levels_set(const struct supervisor *s)
{
	size_t n = s->log_level != LOG_LEVEL_CONFIGURED;
	for (size_t i = 0; i < s->n_children; i++)
		n += s->children[i].log_level != LOG_LEVEL_CONFIGURED;
	return n;
}

static bool read_level(struct str word, uint8_t *out)
{
	if (str_eq(word, STR("default"))) {
		*out = LOG_LEVEL_CONFIGURED;
		return true;
	}
	for (enum log_level level = LOG_DEBUG; level <= LOG_ERROR; level++) {
		if (str_eq(word, log_level_name(level))) {
			*out = (uint8_t)level;
			return true;
		}
	}
	return false;
}

/* "shard" means all of them, "shard.0" one, "all" everybody. */
static bool is_meant(struct str target, enum role role, uint16_t index)
{
	uint64_t number;
	if (str_eq(target, STR("all")))
		return true;
	struct str name = str_cut(&target, '.');
	if (!str_eq(name, role_name(role)))
		return false;
	return !target.p || target.n == 0 || (str_to_u64(target, CHILDREN_MAX, &number) == 0 && number == index);
}

static size_t set(struct supervisor *s, struct str target, uint8_t level)
{
	size_t n = 0;
	if (is_meant(target, ROLE_SUPERVISOR, 0)) {
		s->log_level = level;
		log_level_own(s);
		n++;
	}
	for (size_t i = 0; i < s->n_children; i++) {
		struct child *child = &s->children[i];
		if (!is_meant(target, child->role, child->index))
			continue;
		child->log_level = level;
		child_send_log_level(child);
		n++;
	}
	return n;
}

static void print(const struct supervisor *s, enum role role, uint16_t index, uint8_t level, struct buf *json)
{
	char name[64];
	int n = snprintf(name, sizeof name, "%.*s.%u", STR_ARG(role_name(role)), (unsigned)index);
	json_begin_object(json);
	json_field_string(json, "process", str_of(name, (size_t)n));
	json_field_string(json, "level", log_level_name(log_level_of(s, level)));
	json_field_bool(json, "configured", level == LOG_LEVEL_CONFIGURED);
	json_end_object(json);
}

int log_level_command(struct supervisor *s, const struct control_request *request, struct buf *json, struct str *problem)
{
	uint8_t level;
	if (request->n_arguments != 0 && request->n_arguments != 2) {
		*problem = STR("a process and a level, or nothing");
		return ERR_SYNTAX;
	}
	if (request->n_arguments == 2) {
		if (!read_level(request->arguments[1], &level)) {
			*problem = STR("the levels are debug, info, warning and error, and default for that of the configuration");
			return ERR_SYNTAX;
		}
		if (set(s, request->arguments[0], level) == 0) {
			*problem = STR("there is no such process: name one as it stands in the log (shard.0), a role (shard), or all");
			return ERR_NOT_FOUND;
		}
		log_at(LOG_WARNING, "log-level", LOG_S("of", request->arguments[0]), LOG_S("level", request->arguments[1]));
	}
	json_begin_array(json);
	print(s, ROLE_SUPERVISOR, 0, s->log_level, json);
	for (size_t i = 0; i < s->n_children; i++)
		print(s, s->children[i].role, s->children[i].index, s->children[i].log_level, json);
	json_end_array(json);
	return 0;
}
