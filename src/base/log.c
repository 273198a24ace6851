/* log.c: logfmt lines on stderr. State: role name and level, set once at start, and the lines that wait (the one
 * mutable global besides the clock). */
#include "base/log.h"

#include "base/buf.h"
#include "base/checked.h"
#include "base/clock.h"

#include <limits.h>
#include <unistd.h>

#define LOG_LINE_MAX 4096
#define LOG_ROLE_MAX 31

static char role_name[LOG_ROLE_MAX + 1] = "mansio";
static enum log_level least = LOG_INFO;
/* All processes write to one pipe: up to PIPE_BUF bytes a write stays in one piece (pipe(7)). */
static char waiting[PIPE_BUF];
static size_t n_waiting;
static bool gathers;

static const struct str level_names[] = {
#define LOG_NAME(name, text) [name] = STR_INIT(text),
	LOG_LEVEL_LIST(LOG_NAME)
#undef LOG_NAME
};

struct str log_level_name(enum log_level level)
{
	return level_names[level];
}

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

static void write_lines(const char *p, size_t n)
{
	ssize_t ignored = write(STDERR_FILENO, p, n);
	(void)ignored;
}

void log_flush(void)
{
	if (n_waiting == 0)
		return;
	write_lines(waiting, n_waiting);
	n_waiting = 0;
}

void log_gather(void)
{
	if (!gathers && atexit(log_flush) == 0)
		gathers = true;
}

/* A warning or an error may be the last that is heard of this process. */
static void put_line(enum log_level level, const char *p, size_t n)
{
	if (n > sizeof waiting - n_waiting)
		log_flush();
	if (!gathers || n > sizeof waiting) {
		write_lines(p, n);
		return;
	}
	memcpy(waiting + n_waiting, p, n);
	n_waiting += n;
	if (level >= LOG_WARNING)
		log_flush();
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

static void add_digits(struct buf *line, unsigned value, int width)
{
	char digits[4];
	for (int i = width; i-- > 0; value /= 10)
		digits[i] = (char)('0' + value % 10);
	buf_add(line, str_of(digits, (size_t)width));
}

/* RFC 3339, in UTC. By hand: each event has one, and with vsnprintf it was half the cost of a line. */
static void add_time(struct buf *line)
{
	static const char before[] = { '-', '-', 'T', ':', ':', '.' };
	int64_t now = clock_wall_microseconds();
	time_t seconds = now / 1000000;
	struct tm tm;
	gmtime_r(&seconds, &tm);
	const int parts[] = { tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now / 1000 % 1000) };
	add_digits(line, (unsigned)tm.tm_year + 1900, 4);
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		buf_add_byte(line, before[i]);
		add_digits(line, (unsigned)parts[i], i == COUNT_OF(parts) - 1 ? 3 : 2);
	}
	buf_add_byte(line, 'Z');
}

static void add_key(struct buf *line, const char *key)
{
	buf_add_byte(line, ' ');
	buf_add(line, str_from_c(key));
	buf_add_byte(line, '=');
}

static void add_hex(struct buf *line, uint64_t value)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		buf_add_byte(line, "0123456789abcdef"[value >> shift & 0xf]);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
	char room[LOG_LINE_MAX];
	struct buf line = { .p = room, .size = sizeof room, .max = sizeof room - 1 };
	if (level < least)
		return;
	buf_add(&line, STR("time="));
	add_time(&line);
	add_key(&line, "level");
	buf_add(&line, level_names[level]);
	add_key(&line, "role");
	buf_add(&line, str_from_c(role_name));
	add_key(&line, "event");
	buf_add(&line, str_from_c(event));
	for (; fields->key; fields++) {
		add_key(&line, fields->key);
		switch (fields->kind) {
		case LOG_KIND_STR:
			add_value(&line, fields->s);
			break;
		case LOG_KIND_U64:
			buf_add_u64(&line, fields->u);
			break;
		case LOG_KIND_HEX:
			add_hex(&line, fields->u);
			break;
		}
	}
	line.p[line.n++] = '\n';
	put_line(level, line.p, line.n);
}
