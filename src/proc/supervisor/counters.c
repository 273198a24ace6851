/* counters.c: what a process tells of itself, before anybody reads it. It may have been taken over: nothing that it
 * says may hide what others say (a JSON object or a text for Prometheus with something twice is worth nothing), steer a
 * terminal, or have no end. Pure. */
#include "proc/supervisor/supervisor_private.h"

#include "base/checked.h"
#include "proc/role.h"

static bool is_word(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return text.n > 0;
}

/* Fields of `mansio status` that the supervisor fills in. */
static bool is_ours(struct str key)
{
	static const struct str ours[] = { STR_INIT("role"), STR_INIT("index"), STR_INIT("pid"), STR_INIT("restarts"),
		                           STR_INIT("uptime_seconds"), STR_INIT("ready"), STR_INIT("answered"),
		                           STR_INIT("log_level") };
	for (size_t i = 0; i < COUNT_OF(ours); i++)
		if (str_eq(key, ours[i]))
			return true;
	return false;
}

bool counters_next(struct wire_reader *counters, struct str *key, uint64_t *value)
{
	if (counters->failed || counters->p >= counters->end)
		return false;
	*key = wire_get_short(counters, ROLE_STATUS_KEY_MAX);
	*value = wire_get_u64(counters);
	return !counters->failed;
}

static bool has(struct str counters, struct str wanted)
{
	struct wire_reader r = wire_reader(counters);
	struct str key;
	uint64_t value;
	while (counters_next(&r, &key, &value))
		if (str_eq(key, wanted))
			return true;
	return false;
}

void counters_take(struct str told, struct buf *kept)
{
	struct wire_reader r = wire_reader(told);
	struct str key;
	uint64_t value;
	for (unsigned n = 0; n < COUNTERS_MAX && counters_next(&r, &key, &value); n++) {
		if (is_word(key) && !is_ours(key) && !has(buf_str(kept), key))
			role_status_add(kept, key, value);
	}
}
