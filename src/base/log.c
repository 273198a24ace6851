/* log.c: logfmt lines on stderr. State: role name and level, set once at start (the one mutable global besides the clock). */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <unistd.h>

#define LOG_LINE_MAX 4096
#define LOG_ROLE_MAX 31

static char role_name[LOG_ROLE_MAX + 1] = "mansio";
static enum log_level least = LOG_INFO;

static const struct str level_names[] = {
#define LOG_NAME(name, text) [name] = STR_INIT(text),
	LOG_LEVEL_LIST(LOG_NAME)
#undef LOG_NAME
};

void log_set_role(struct str role)
{
	size_t n = role.n < LOG_ROLE_MAX ? role.n : LOG_ROLE_MAX;
	memcpy(role_name, role.p, n);
	role_name[n] = '\0';
}

void log_set_level(enum log_level level)
{
	least = level;
}

bool log_level_from_name(struct str name, enum log_level *out)
{
	for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
		if (str_eq(name, level_names[i])) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static void add_value(struct buf *line, struct str value)
{
	bool plain = value.n > 0;
	for (size_t i = 0; i < value.n && plain; i++)
		plain = value.p[i] > ' ' && value.p[i] != '"' && value.p[i] != '=' && value.p[i] != '\\' && value.p[i] != 127;
	if (plain) {
		buf_add(line, value);
		return;
	}
	buf_add_byte(line, '"');
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if (c == '"' || c == '\\')
			buf_addf(line, "\\%c", c);
		else if (c < ' ' || c == 127)
			buf_addf(line, "\\x%02x", c);
		else
			buf_add_byte(line, (char)c);
	}
	buf_add_byte(line, '"');
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
	char room[LOG_LINE_MAX];
	struct buf line = { .p = room, .size = sizeof room, .max = sizeof room - 1 };
	if (level < least)
		return;
	int64_t now = clock_wall_microseconds();
	time_t seconds = now / 1000000;
	struct tm tm;
	gmtime_r(&seconds, &tm);
	buf_addf(&line, "time=%04d-%02d-%02dT%02d:%02d:%02d.%03dZ level=%s role=%s event=%s", tm.tm_year + 1900, tm.tm_mon + 1,
	         tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now / 1000 % 1000), level_names[level].p, role_name, event);
	for (; fields->key; fields++) {
		buf_addf(&line, " %s=", fields->key);
		switch (fields->kind) {
		case LOG_KIND_STR:
			add_value(&line, fields->s);
			break;
		case LOG_KIND_U64:
			buf_add_u64(&line, fields->u);
			break;
		case LOG_KIND_HEX:
			buf_addf(&line, "%016llx", (unsigned long long)fields->u);
			break;
		}
	}
	line.p[line.n++] = '\n';
	ssize_t ignored = write(STDERR_FILENO, line.p, line.n);
	(void)ignored;
}
