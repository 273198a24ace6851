/* reload.c: what a reload changes. Two configurations are compared by what they print, so that a value written in
 * another way (60s, 1m) is no change. Owns nothing but the arena of struct conf_changes, which the caller frees. */
#include "conf/table.h"

#define VALUE_MAX         (CONF_LISTEN_MAX * 512 + 2 * CONF_PATH_MAX + 64)
#define CHANGES_ARENA_MAX (2 * CONF_MB)

static struct str keep(struct arena *arena, const struct buf *value)
{
	struct str copy = STR("too long to tell");
	if (buf_error(value) == 0)
		(void)!arena_copy(arena, buf_str(value), &copy);
	return copy;
}

void conf_compare(const struct conf *running, const struct conf *file, struct conf_changes *out)
{
	struct buf before = BUF_INIT(VALUE_MAX), after = BUF_INIT(VALUE_MAX);
	out->n = 0;
	out->arena = ARENA_INIT(CHANGES_ARENA_MAX);
	for (enum conf_setting id = 0; id < CONF_SETTINGS; id++) {
		buf_clear(&before);
		buf_clear(&after);
		conf_print_value(&conf_table[id], running, &before);
		conf_print_value(&conf_table[id], file, &after);
		if (str_eq(buf_str(&before), buf_str(&after)))
			continue;
		out->list[out->n++] = (struct conf_change){ conf_table[id].path, keep(&out->arena, &before),
			                                        keep(&out->arena, &after), conf_table[id].when };
	}
	buf_free(&before);
	buf_free(&after);
}

void conf_changes_free(struct conf_changes *changes)
{
	arena_free(&changes->arena);
	changes->n = 0;
}

void conf_print_reloaded(const struct conf *running, const struct conf *file, struct buf *out)
{
	for (enum conf_setting id = 0; id < CONF_SETTINGS; id++) {
		const struct setting *setting = &conf_table[id];
		buf_add(out, setting->path);
		buf_add(out, STR(" = "));
		conf_print_value(setting, setting->when == CONF_LIVE ? file : running, out);
		buf_add_byte(out, '\n');
	}
}

void conf_replace(struct conf *running, struct conf *first, struct conf *fresh)
{
	bool is_first = first->server.directory.n == 0; /* a configuration has one */
	if (is_first)
		*first = *running;
	else
		conf_free(running);
	*running = *fresh;
	*fresh = (struct conf){ .arena = { .max = 0 } };
}
