/* log.c: logfmt lines on stderr. State: role name and level, set once at start, and the lines that wait (the one
 * mutable global besides the clock).
 *
 * Nobody waits for whoever reads the log: what stderr does not take now is tried again with the next line and at the end
 * of each turn. When there is no room for more, lines are lost, and counted; as soon as there is room again, a line tells
 * how many, in their place. */
#include "base/log.h"

#include "base/buf.h"
#include "base/checked.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_LINE_MAX 4096
#define LOG_ROLE_MAX 31

static char role_name[LOG_ROLE_MAX + 1] = "mansio";
static enum log_level least = LOG_INFO;
/* All processes write to one pipe: up to PIPE_BUF bytes a write stays in one piece (pipe(7)). */
static char waiting[PIPE_BUF];
static size_t n_waiting;
_Static_assert(LOG_LINE_MAX <= sizeof waiting, "each line finds room when none waits");
static uint64_t n_lost;
static bool gathers;
static enum { SINK_UNKNOWN, SINK_NEVER_WAITS, SINK_SOCKET, SINK_MAY_WAIT } sink;

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

static void find_sink(void)
{
	struct stat status;
	int flags = fcntl(STDERR_FILENO, F_GETFL);
	if (fstat(STDERR_FILENO, &status) != 0 || S_ISREG(status.st_mode) || (flags >= 0 && flags & O_NONBLOCK))
		sink = SINK_NEVER_WAITS;
	else
		sink = S_ISSOCK(status.st_mode) ? SINK_SOCKET : SINK_MAY_WAIT;
}

/* False: what waits at the end would be lost. */
static bool flush_at_exit(void)
{
	static bool asked;
	asked = asked || atexit(log_flush) == 0;
	return asked;
}

void log_never_wait(void)
{
	struct stat status;
	bool is_pipe = fstat(STDERR_FILENO, &status) == 0 && S_ISFIFO(status.st_mode);
	int fd = is_pipe ? open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;
	if (fd >= 0) {
		(void)dup2(fd, STDERR_FILENO);
		close(fd);
	}
	find_sink();
	flush_at_exit();
}

/* How many bytes were taken; all, where trying again is of no use. */
static size_t write_lines(const char *p, size_t n)
{
	ssize_t taken;
	if (sink == SINK_UNKNOWN)
		find_sink();
	do {
		struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
		if (sink == SINK_MAY_WAIT && poll(&room, 1, 0) == 0)
			return 0; /* else a pipe takes PIPE_BUF bytes, if no other process was quicker */
		taken = sink == SINK_SOCKET ? send(STDERR_FILENO, p, n, MSG_DONTWAIT | MSG_NOSIGNAL)
		                            : write(STDERR_FILENO, p, n);
	} while (taken < 0 && errno == EINTR);
	if (taken < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : n;
	return (size_t)taken;
}

void log_flush(void)
{
	if (n_waiting == 0 && n_lost == 0)
		return;
	size_t taken = n_waiting > 0 ? write_lines(waiting, n_waiting) : 0;
	n_waiting -= taken;
	if (n_waiting > 0)
		memmove(waiting, waiting + taken, n_waiting);
	if (n_waiting > 0 || n_lost == 0)
		return;
	uint64_t lost = n_lost;
	n_lost = 0;
	log_warning("log-lines-lost", LOG_U("lines", lost), LOG_C("meaning", "whoever reads the log did not read it"));
}

bool log_waits(void)
{
	return n_waiting > 0 || n_lost > 0;
}

void log_gather(void)
{
	gathers = flush_at_exit();
	find_sink();
}

/* A warning or an error may be the last that is heard of this process. */
static void put_line(enum log_level level, const char *p, size_t n)
{
	if (n_lost > 0 || n > sizeof waiting - n_waiting)
		log_flush();
	if (n_lost > 0 || n > sizeof waiting - n_waiting) {
		n_lost++;
		return;
	}
	memcpy(waiting + n_waiting, p, n);
	n_waiting += n;
	if (!gathers || level >= LOG_WARNING)
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
